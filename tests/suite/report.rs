//! The SLA report: made from real runs, signed with OpenSSL's keys, checked with and without us, printed by a real browser.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use chrono::Utc;
use serde_json::Value;
use tempfile::TempDir;

use crate::files::{fill, world};
use crate::pages::browser::Browser;
use crate::support::{PROGRAM, Ran, World, finish};

/// A world in which two backups and two drills were run, and one backup failed.
fn lived_in() -> World {
    let world = world("", "");
    fill(&world.path("tree"));
    for _ in 0..2 {
        world.json(&["backup"], 0);
        world.json(&["drill"], 0);
    }
    fs::rename(world.path("tree"), world.path("elsewhere")).unwrap();
    assert_eq!(world.run(&["backup"]).status, 1);
    fs::rename(world.path("elsewhere"), world.path("tree")).unwrap();
    world
}

fn month() -> String {
    Utc::now().format("%Y-%m").to_string()
}

fn openssl(world: &World, arguments: &[&str]) -> bool {
    let output = Command::new("openssl").args(arguments).current_dir(world.directory.path()).output().unwrap();
    output.status.success()
}

fn keys(world: &World, name: &str) {
    assert!(openssl(world, &["genpkey", "-algorithm", "ed25519", "-out", &format!("{name}.key")]));
    assert!(openssl(world, &["pkey", "-in", &format!("{name}.key"), "-pubout", "-out", &format!("{name}.pub")]));
    assert!(
        finish({
            let mut command = Command::new("chmod");
            command.arg("600").arg(world.path(&format!("{name}.key")));
            command
        })
        .status
            == 0
    );
}

/// Change the ledger as somebody would who wants the past to have been better.
fn tamper(world: &World, statement: &str) {
    change(&world.path("state/ledger.sqlite"), statement);
}

fn change(ledger: &Path, statement: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); n = db.execute(sys.argv[2]).rowcount; \
                  db.commit(); sys.exit(0 if n > 0 else 1)";
    let done = Command::new("python3").args(["-c", script]).arg(ledger).arg(statement).status().unwrap();
    assert!(done.success(), "{statement} changed nothing");
}

fn report_json(world: &World) -> Value {
    let ran = world.run(&["--json", "report", "--month", &month()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_report_says_what_was_run_in_every_form() {
    let world = lived_in();
    let report = report_json(&world);
    assert_eq!((&report["is_complete"], &report["evidence"]["is_whole"]), (&Value::from(false), &Value::from(true)));
    let source = &report["sources"][0];
    assert_eq!(source["source"], "ansible");
    assert_eq!(source["drills"].as_array().unwrap().len(), 2);
    let drill = &source["drills"][0];
    assert_eq!(drill["verdict"], "passed", "{drill}");
    assert!(drill["recovery_point"].as_str().unwrap().len() > 10 && drill["rto_seconds"].as_f64().unwrap() > 0.0);
    assert!(drill["tables"]["rows_expected"].as_u64().unwrap() > 5, "{drill}");
    assert_eq!(drill["tables"]["rows_expected"], drill["tables"]["rows_restored"]);
    assert!(drill["sandbox"]["drilled_by"].as_str().unwrap().starts_with("backup-sla "), "{drill}");
    assert_eq!(source["backups"][0]["succeeded"], 2);
    assert_eq!(source["backup_failures"].as_array().unwrap().len(), 1);
    let chain = |it: &Value| {
        it["objectives"].as_array().unwrap().iter().any(|it| it["objective"] == "rpo" && it["met_ratio"].is_f64())
    };
    assert!(chain(source), "{source}");

    let text = world.run(&["report", "--month", &month(), "ansible"]);
    assert_eq!(text.status, 0, "{text:?}");
    for said in [
        "# Backup SLA report",
        "## ansible",
        "Recovery time (RTO)",
        "### Drills",
        "ledger-seal ",
        "the month is not over",
    ] {
        assert!(text.stdout.contains(said), "no {said:?} in {}", text.stdout);
    }
    for (arguments, status, said) in [
        (vec!["report", "--month", "2999-01"], 2, "has not begun"),
        (vec!["report", "--month", "october"], 2, "YYYY-MM"),
        (vec!["report", "nobody", "--month", "2026-10"], 2, "nobody"),
        (vec!["report", "--sign", "x.key"], 2, "--output"),
    ] {
        let ran = world.run(&arguments);
        assert!(ran.status == status && ran.stderr.contains(said), "{arguments:?}: {ran:?}");
    }
    let before = world.run(&["report", "--month", "2020-01"]);
    assert!(before.status == 0 && before.stdout.contains("No source was known"), "{before:?}");
}

#[test]
fn a_signed_report_is_good_until_it_or_the_past_is_changed() {
    let world = lived_in();
    keys(&world, "report");
    keys(&world, "stranger");
    let path = |name: &str| world.path(name).display().to_string();
    for format in ["md", "html", "json"] {
        let file = path(&format!("report.{format}"));
        let (month, key) = (month(), path("report.key"));
        let made = world.run(&["report", "--month", &month, "--format", format, "--output", &file, "--sign", &key]);
        assert_eq!(made.status, 0, "{made:?}");
        // The reader needs nothing of ours.
        let (signature, public) = (format!("{file}.sig"), path("report.pub"));
        let arguments =
            ["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin", "-in", &file, "-sigfile", &signature];
        assert!(openssl(&world, &arguments), "{format}");
        let verified = world.run(&["report", "verify", &file, "--key", &public]);
        assert!(verified.status == 0 && verified.stdout.contains("signature: good"), "{verified:?}");
        assert!(verified.stdout.contains("ledger: whole"), "{verified:?}");
        let stranger = world.run(&["report", "verify", &file, "--key", &path("stranger.pub"), "--signature-only"]);
        assert!(stranger.status == 1 && stranger.stdout.contains("BAD"), "{stranger:?}");
    }
    let (file, public) = (path("report.md"), path("report.pub"));
    let edited = fs::read_to_string(&file).unwrap().replacen("passed", "Passed", 1);
    fs::write(path("edited.md"), edited).unwrap();
    fs::copy(path("report.md.sig"), path("edited.md.sig")).unwrap();
    let verified = world.run(&["report", "verify", &path("edited.md"), "--key", &public]);
    assert!(verified.status == 1 && verified.stdout.contains("BAD"), "{verified:?}");

    // New runs change nothing of the past.
    world.json(&["drill"], 0);
    assert_eq!(world.run(&["report", "verify", &file, "--key", &public]).status, 0);
    tamper(&world, "UPDATE runs SET outcome = 'succeeded', reason = '' WHERE outcome = 'failed'");
    let verified = world.run(&["report", "verify", &file, "--key", &public]);
    assert!(verified.status == 1 && verified.stdout.contains("was changed after it was written"), "{verified:?}");
    let again = world.run(&["report", "--month", &month()]);
    assert!(again.status == 1 && again.stdout.contains("Do not rely on this report"), "{again:?}");
    assert!(again.stderr.contains("records were changed after they were written"), "{again:?}");
    // Whoever makes the chain anew has another one than the one that was signed.
    tamper(&world, "DELETE FROM seals");
    assert_eq!(world.run(&["report", "--month", &month()]).status, 1, "a ledger is sealed once");
    tamper(&world, "DELETE FROM seal_origin");
    let anew = world.run(&["report", "--month", &month()]);
    assert!(anew.status == 1 && anew.stdout.contains("before there were seals"), "{anew:?}");
    let verified = world.run(&["report", "verify", &file, "--key", &public]);
    let is_noticed = ["written down elsewhere", "was there once"].iter().any(|said| verified.stdout.contains(said));
    assert!(verified.status == 1 && is_noticed, "{verified:?}");
}

/// Somebody with a directory that he can only read, no configuration and no right to overrule permissions.
struct Auditor {
    directory: TempDir,
}

impl Auditor {
    /// Hand over these files.
    fn with(files: &[&Path]) -> Self {
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for file in files {
            let there = directory.path().join(file.file_name().unwrap());
            fs::copy(file, &there).unwrap();
            fs::set_permissions(&there, Permissions::from_mode(0o444)).unwrap();
        }
        let auditor = Self { directory };
        auditor.may_write(false);
        let tried = auditor.ran("touch", &["new"]);
        assert!(tried.status != 0 && !auditor.path("new").exists(), "the directory can be written: {tried:?}");
        auditor
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn may_write(&self, yes: bool) {
        let mode = if yes { 0o755 } else { 0o555 };
        fs::set_permissions(self.directory.path(), Permissions::from_mode(mode)).unwrap();
    }

    fn ran(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-all", "--inh-caps=-all", "--", program]);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null()).env_remove("BACKUP_SLA_CONFIG");
        finish(command)
    }

    /// `report verify report.md --key report.pub` and more.
    fn verifies(&self, more: &[&str]) -> Ran {
        let all = [&["report", "verify", "report.md", "--key", "report.pub"], more].concat();
        let before = self.files();
        let ran = self.ran(PROGRAM, &all);
        assert_eq!(self.files(), before, "{more:?} changed something: {ran:?}");
        ran
    }

    fn files(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let paths = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let state = |path: &Path| (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap());
        paths.map(|path| (path.clone(), state(&path))).collect()
    }
}

#[test]
fn an_auditor_verifies_a_copy_of_the_ledger_with_nothing_but_what_was_handed_over() {
    let world = lived_in();
    keys(&world, "report");
    let path = |name: &str| world.path(name).display().to_string();
    let (file, key) = (path("report.md"), path("report.key"));
    let before = path("before.sqlite");
    let backup = |to: &str| {
        let copied = Command::new("sqlite3").arg(path("state/ledger.sqlite")).arg(format!(".backup '{to}'")).status();
        assert!(copied.unwrap().success());
    };
    backup(&before);
    world.json(&["drill"], 0);
    assert_eq!(world.run(&["report", "--month", &month(), "--output", &file, "--sign", &key]).status, 0);
    backup(&path("copy.sqlite"));
    let vacuumed = format!("VACUUM INTO '{}'", path("vacuumed.sqlite"));
    assert!(Command::new("sqlite3").arg(path("state/ledger.sqlite")).arg(vacuumed).status().unwrap().success());
    fs::copy(path("copy.sqlite"), path("changed.sqlite")).unwrap();
    change(&world.path("changed.sqlite"), "UPDATE runs SET rto_seconds = rto_seconds / 2 WHERE rto_seconds > 0");
    let handed = [
        "report.md",
        "report.md.sig",
        "report.pub",
        "copy.sqlite",
        "vacuumed.sqlite",
        "changed.sqlite",
        "before.sqlite",
    ];
    let handed: Vec<PathBuf> = handed.iter().map(|name| world.path(name)).collect();
    let auditor = Auditor::with(&handed.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    for copy in ["copy.sqlite", "vacuumed.sqlite"] {
        let ran = auditor.verifies(&["--ledger", copy]);
        assert!(ran.status == 0 && ran.stdout.contains("signature: good"), "{copy}: {ran:?}");
        assert!(ran.stdout.contains("ledger: whole"), "{copy}: {ran:?}");
    }
    let ran = auditor.verifies(&["--ledger", "copy.sqlite", "--json"]);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&said["signature_is_good"], &said["ledger"]["fault_count"]), (&true.into(), &0.into()), "{said:#}");
    let changed = auditor.verifies(&["--ledger", "changed.sqlite"]);
    assert!(changed.status == 1 && changed.stdout.contains("was changed after it was written"), "{changed:?}");
    let old = auditor.verifies(&["--ledger", "before.sqlite"]);
    assert!(old.status == 1 && old.stdout.contains("was there once"), "{old:?}");
    assert!(old.stdout.contains("unless the copy is older than the report, or not complete"), "{old:?}");
    for (copy, said) in
        [("nothing.sqlite", "No such file"), ("report.md", "no SQLite database"), (".", "no regular file")]
    {
        let ran = auditor.verifies(&["--ledger", copy]);
        assert!(ran.status == 2 && ran.stderr.contains(said) && ran.stderr.contains(".backup copy.sqlite"), "{ran:?}");
    }
    let both = auditor.verifies(&["--ledger", "copy.sqlite", "--signature-only"]);
    assert!(both.status == 2 && both.stderr.contains("cannot be used with"), "{both:?}");
    let none = auditor.verifies(&["--config", "/nowhere/config.toml"]);
    assert!(none.status == 2 && none.stderr.contains("--ledger COPY"), "{none:?}");
    let unsigned = auditor.ran(PROGRAM, &["report", "verify", "report.md", "--ledger", "copy.sqlite"]);
    assert!(unsigned.status == 4 && unsigned.stdout.contains("signature: not checked"), "{unsigned:?}");
    auditor.may_write(true);
}

#[test]
fn keys_that_are_none_are_refused_before_anything_is_written() {
    let world = lived_in();
    keys(&world, "report");
    let path = |name: &str| world.path(name).display().to_string();
    fs::write(path("empty.key"), "").unwrap();
    world.secret("empty.key", "");
    assert!(openssl(&world, &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "rsa.key"]));
    assert!(openssl(&world, &["pkey", "-in", "rsa.key", "-pubout", "-out", "rsa.pub"]));
    world.secret("rsa.key", &fs::read_to_string(path("rsa.key")).unwrap());
    fs::copy(path("report.key"), path("open.key")).unwrap();
    fs::set_permissions(path("open.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let output = path("report.md");
    for key in ["empty.key", "rsa.key", "open.key", "report.pub", "nothing.key"] {
        let ran = world.run(&["report", "--month", &month(), "--output", &output, "--sign", &path(key)]);
        assert!(ran.status == 2 && ran.stderr.contains("read private key"), "{key}: {ran:?}");
        assert!(!Path::new(&output).exists(), "{key}");
    }
    assert_eq!(world.run(&["report", "--month", &month(), "--output", &output]).status, 0);
    for key in ["rsa.pub", "report.key", "nothing.pub"] {
        let ran = world.run(&["report", "verify", &output, "--key", &path(key)]);
        assert!(ran.status == 2 && ran.stderr.contains("public key"), "{key}: {ran:?}");
    }
    let unsigned = world.run(&["report", "verify", &output, "--key", &path("report.pub")]);
    assert!(unsigned.status == 2 && unsigned.stderr.contains("read signature"), "{unsigned:?}");
    let unchecked = world.run(&["report", "verify", &output]);
    assert!(unchecked.status == 4 && unchecked.stdout.contains("signature: not checked"), "{unchecked:?}");
    for place in ["report.key", "config.toml", "tree"] {
        let key = path("report.key");
        let ran = world.run(&["report", "--month", &month(), "--output", &path(place), "--sign", &key]);
        assert!(ran.status == 2 && ran.stderr.contains("write `"), "{place}: {ran:?}");
    }
    assert!(
        !Path::new(&path("tree.sig")).exists() && fs::read_to_string(path("report.key")).unwrap().contains("PRIVATE")
    );
    fs::write(path("other.md"), "# Something else, all promises kept. ledger-seal 0 -\n    ledger-seal 0 -\n").unwrap();
    let other = world.run(&["report", "verify", &path("other.md")]);
    assert!(other.status == 1 && other.stdout.contains("names no entry of a ledger"), "{other:?}");
}

#[test]
fn a_browser_prints_the_report_on_paper() {
    let world = lived_in();
    let file = world.path("report.html");
    let made = world.run(&["report", "--month", &month(), "--format", "html", "--output", &file.display().to_string()]);
    assert_eq!(made.status, 0, "{made:?}");
    let mut browser = Browser::start();
    browser.open(&format!("file://{}", file.display()));
    browser.picture("report");
    let printed = fs::read(browser.print("report")).unwrap();
    assert!(printed.starts_with(b"%PDF-") && printed.len() > 10_000, "{} bytes", printed.len());
    let pages = printed.windows(12).filter(|it| it.starts_with(b"/Type /Page") && !it.ends_with(b"s")).count();
    assert!(pages >= 2, "the summary and the source are on pages of their own: {pages}");
}

#[test]
fn a_mark_that_was_taken_back_by_hand_is_told_by_status_metrics_and_report() {
    let world = world("", "");
    fill(&world.path("tree"));
    world.json(&["backup"], 0);
    fs::write(world.path("tree/hosts"), "web3\n").unwrap();
    world.json(&["backup"], 0);
    let snapshots = fs::read_dir(world.path("repo/snapshots")).unwrap().map(|entry| entry.unwrap().path());
    fs::remove_file(snapshots.min().unwrap()).unwrap();
    assert_eq!(world.json(&["status"], 1)["measured"]["vanished"], 1);
    tamper(&world, "UPDATE point_lifetimes SET gone_early = 0 WHERE gone_early = 1");
    let status = world.json(&["status"], 1);
    assert_eq!(status["measured"]["vanished"], 0, "so it looks as if nothing had happened");
    let told = status["ledger_problem"].as_str().unwrap_or_default();
    assert!(told.starts_with("vanished mark of recovery point ansible/"), "{status:#}");
    let ran = world.run(&["status"]);
    assert!(ran.stdout.contains("records of the ledger were changed") && ran.stdout.contains(told), "{ran:?}");
    let quiet = world.run(&["status", "--quiet"]);
    assert!(quiet.status == 1 && quiet.stdout.contains(told), "{quiet:?}");
    assert!(world.run(&["metrics"]).stdout.contains("backup_sla_ledger_seal_faults 1\n"));
    assert!(world.run(&["report"]).stdout.contains(told), "the report tells it");
}

#[test]
fn a_recovery_point_that_somebody_removed_is_told_by_the_report_until_it_is_accepted_and_after() {
    let world = lived_in();
    let snapshots = fs::read_dir(world.path("repo/snapshots")).unwrap().map(|entry| entry.unwrap().path());
    fs::remove_file(snapshots.min().unwrap()).unwrap();
    assert_eq!(world.json(&["status"], 1)["measured"]["vanished"], 1);
    let vanished = |report: &Value| report["sources"][0]["vanished"].clone();
    let told = vanished(&report_json(&world));
    let noticed = told[0]["noticed"].as_str().unwrap().to_owned();
    assert_eq!((&told[0]["is_accepted"], told.as_array().unwrap().len()), (&false.into(), 1), "{told}");
    let month = month();
    let said = "1 recovery point is gone before the promised retention, and nobody accepted that";
    for form in ["md", "html"] {
        let ran = world.run(&["report", "--month", &month, "--format", form]);
        assert!(ran.status == 0 && ran.stdout.contains(said), "{form}: {ran:?}");
    }
    world.json(&["accept-repository", "local", "--points"], 0);
    let told = vanished(&report_json(&world));
    assert_eq!(
        (&told[0]["is_accepted"], told[0]["noticed"].as_str()),
        (&true.into(), Some(noticed.as_str())),
        "{told}"
    );
    let ran = world.run(&["report", "--month", &month]);
    assert!(!ran.stdout.contains(said) && ran.stdout.contains("gone before their retention"), "{ran:?}");
}
