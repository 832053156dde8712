//! The ledger is history, never the truth about what is stored: it can be lost without losing a backup, a damaged one is
//! never overwritten, and what it once confirmed survives a kill at any moment.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use backup_sla::clock::SystemClock;
use backup_sla::domain::manifest::BackupKind;
use backup_sla::ledger::{Ledger, Operation, Outcome, RunResult, RunStart};

use crate::files::{fill, world};
use crate::support::{Running, World, wait_for};

/// Figures that come from what the repository lists; they are the same whatever the ledger remembers.
const FROM_THE_REPOSITORY: [&str; 9] = [
    "backup_sla_recovery_point_timestamp_seconds{",
    "backup_sla_oldest_recovery_point_timestamp_seconds{",
    "backup_sla_recovery_points{",
    "backup_sla_chain_length{",
    "backup_sla_repository_up{",
    "backup_sla_repository_size_bytes{",
    "backup_sla_objective_met{source=\"ansible\",objective=\"rpo\"}",
    "backup_sla_objective_met{source=\"ansible\",objective=\"retention\"}",
    "backup_sla_objective_met{source=\"ansible\",objective=\"chain_length\"}",
];

fn from_the_repository(metrics: &str) -> Vec<&str> {
    let lines: Vec<&str> =
        metrics.lines().filter(|line| FROM_THE_REPOSITORY.iter().any(|name| line.starts_with(name))).collect();
    assert!(lines.len() >= FROM_THE_REPOSITORY.len(), "{metrics}");
    lines
}

fn value<'m>(metrics: &'m str, series: &str) -> &'m str {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {metrics}"))
}

fn lose_ledger(world: &World) {
    for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let _ = fs::remove_file(world.path("state").join(name));
    }
}

fn metrics(world: &World) -> String {
    let ran = world.run(&["metrics"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.stdout
}

#[test]
fn a_lost_ledger_loses_history_and_says_so_and_no_recovery_point() {
    let world = world("", "");
    fill(&world.path("tree"));
    world.json(&["backup"], 0);
    fs::write(world.path("tree/hosts"), "web3\n").unwrap();
    world.json(&["backup"], 0);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    let before = metrics(&world);
    assert_eq!(value(&before, "backup_sla_backups_total{source=\"ansible\",kind=\"full\"}"), "2");
    let status_before = world.status();
    assert_eq!(status_before["history_is_partial"], false);
    assert_eq!(value(&before, "backup_sla_recovery_points{source=\"ansible\",kind=\"full\"}"), "2");

    lose_ledger(&world);
    let ran = world.run(&["metrics"]);
    assert!(ran.stderr.contains("the ledger is younger than 2 recovery points"), "{ran:?}");
    let after = ran.stdout;
    assert_eq!(from_the_repository(&after), from_the_repository(&before));
    for series in [
        "backup_sla_backups_total{source=\"ansible\",kind=\"full\"}",
        "backup_sla_drills_total{source=\"ansible\"}",
        "backup_sla_drill_last_success_timestamp_seconds{source=\"ansible\"}",
        "backup_sla_verified_recovery_point_timestamp_seconds{source=\"ansible\"}",
        "backup_sla_objective_met{source=\"ansible\",objective=\"drill_interval\"}",
        "backup_sla_objective_met_ratio{source=\"ansible\",objective=\"drill_interval\",window=\"30d\"}",
    ] {
        assert_eq!(value(&after, series), "0", "{series}");
    }
    let oldest = value(&after, "backup_sla_oldest_recovery_point_timestamp_seconds{source=\"ansible\"}");
    let seconds = |value: &str| value.parse::<f64>().unwrap();
    assert!(seconds(value(&after, "backup_sla_ledger_created_timestamp_seconds")) > seconds(oldest));
    assert_eq!(value(&after, "backup_sla_source_created_timestamp_seconds{source=\"ansible\"}"), oldest);
    assert!(!world.run(&["metrics"]).stderr.contains("younger"), "said once, when it was found");

    lose_ledger(&world);
    // Not pending: nobody knows whether a drill passed, and that is not met.
    let status = world.json(&["status"], 1);
    assert_eq!((&status["met"]["drill_interval"], &status["pending"]), (&false.into(), &serde_json::json!({})));
    assert_eq!(status["history_is_partial"], true, "{status:#}");
    for figure in ["recovery_points", "recovery_point_time", "oldest_recovery_point_time", "chain_length"] {
        assert_eq!(status["measured"][figure], status_before["measured"][figure], "{figure}");
    }
    assert!(status["measured"]["last_passed_drill_time"].is_null());
    let shown = world.run(&["status"]).stdout;
    assert!(shown.contains("the history before that is lost"), "{shown}");
    let ratio = status["met_ratio_30d"]["rpo"].as_f64().unwrap();
    assert!(ratio > 0.0 && ratio <= 1.0, "{status:#}");

    // And the service goes on from there.
    lose_ledger(&world);
    let mut service = world.command(&["serve", "--web.listen-address", "127.0.0.1:0"]);
    let service = service.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut service = Running(service);
    let mut line = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("listening on http://").trim_end_matches("/metrics").to_owned();
    let served = wait_for("the service", || {
        let served = crate::service::get(&address, "/metrics");
        served.contains("backup_sla_recovery_points{").then_some(served)
    });
    assert_eq!(from_the_repository(&served), from_the_repository(&before));
    world.json(&["drill"], 0);
    assert_eq!(value(&metrics(&world), "backup_sla_drills_total{source=\"ansible\"}"), "1");
}

#[test]
fn a_ledger_with_damaged_pages_stops_no_command_and_a_lost_one_is_not_silent() {
    use std::os::unix::fs::FileExt;
    let world = world("", "");
    fill(&world.path("tree"));
    world.json(&["backup"], 0);
    let set_aside = || value(&metrics(&world), "backup_sla_ledgers_set_aside").parse::<usize>().unwrap();
    assert_eq!(set_aside(), 0, "a fresh one has lost nothing");
    let damage = || {
        // What lies in the log would take the place of what is damaged.
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg(world.path("state/ledger.sqlite")).arg("PRAGMA wal_checkpoint(TRUNCATE)");
        assert!(sqlite.output().unwrap().status.success());
        let file = fs::File::options().write(true).open(world.path("state/ledger.sqlite")).unwrap();
        file.write_all_at(&vec![0xa5; 6 * 4096], 3 * 4096).unwrap();
    };
    let to = format!("{}", world.path("restored").display());
    fs::create_dir(&to).unwrap();
    fs::create_dir(format!("{to}-2")).unwrap();
    for (number, arguments) in
        [["backup"].as_slice(), &["drill"], &["restore", "ansible", "--to", &to]].into_iter().enumerate()
    {
        damage();
        let ran = world.run(arguments);
        assert_eq!(ran.status, 0, "{ran:?}");
        assert!(ran.stderr.contains("is damaged and was set aside"), "{ran:?}");
        assert_eq!(set_aside(), number + 1);
    }
    // Another process is at work: the file stays, and a restore goes on all the same.
    damage();
    let lock = fs::File::open(world.path("state/locks/ansible.backup.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let ran = world.run(&["restore", "ansible", "--to", &format!("{to}-2")]);
    assert!(ran.status == 0 && ran.stderr.contains("this restore is not recorded"), "{ran:?}");
    drop(lock);
    assert_eq!(set_aside(), 4);
    lose_ledger(&world);
    let ran = world.run(&["status"]);
    assert!(ran.stderr.contains("the ledger was removed or emptied"), "{ran:?}");
    assert_eq!(set_aside(), 5);
}

/// Where the writer writes; unset in a normal run of the tests.
const PLACE: &str = "BACKUP_SLA_TEST_LEDGER";
/// What a writer says of each run, once the ledger has confirmed it.
const SAID: &str = "confirmed ";

/// Begin and finish runs and say so, `limit` of them or for ever.
fn write_runs(place: &Path, limit: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(place, SystemClock::shared()).await.unwrap();
        for n in 0..limit {
            let (operation, kind, outcome) = match n % 3 {
                0 => (Operation::Drill, None, Outcome::Passed),
                _ => (Operation::Backup, Some(BackupKind::Full), Outcome::Succeeded),
            };
            let run = ledger.begin(&RunStart { source: "s".into(), operation, kind, drill: None }).await.unwrap();
            // On a line of its own, whatever the test harness has printed.
            print!("\n{SAID}begun {run}\n");
            std::io::stdout().flush().unwrap();
            let stages = (0..20).map(|stage| (format!("stage {stage}"), 1.0)).collect();
            ledger.finish(&run, &RunResult { stages, ..RunResult::new(outcome, 1.0) }).await.unwrap();
            print!("\n{SAID}ended {run}\n");
            std::io::stdout().flush().unwrap();
        }
    });
}

/// Also the process that the next test kills.
#[test]
fn a_writer_that_nobody_kills_has_all_its_runs_recorded() {
    if let Some(place) = std::env::var_os(PLACE) {
        return write_runs(Path::new(&place), usize::MAX);
    }
    let place = tempfile::tempdir().unwrap();
    write_runs(place.path(), 9);
    assert_eq!(recorded(place.path()).values().filter(|outcome| outcome.is_some_and(Outcome::is_good)).count(), 9);
}

/// All runs after a restart, by id; and the counters have them all.
fn recorded(place: &Path) -> BTreeMap<String, Option<Outcome>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(place, SystemClock::shared()).await.unwrap();
        let mut runs = ledger.last_runs("s", Operation::Backup, u32::MAX).await.unwrap();
        runs.extend(ledger.last_runs("s", Operation::Drill, u32::MAX).await.unwrap());
        let snapshot = ledger.snapshot().await.unwrap();
        if let Some(figures) = snapshot.sources.get("s") {
            let backups: u64 = figures.backups.values().map(|backups| backups.attempts).sum();
            assert_eq!(backups + figures.drills.attempts, runs.len() as u64);
        }
        ledger.close().await;
        runs.into_iter().map(|run| (run.id.0, run.outcome)).collect()
    })
}

#[test]
fn what_the_ledger_confirmed_survives_a_kill_at_any_moment() {
    let place = tempfile::tempdir().unwrap();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let (mut begun, mut ended): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut before = 0;
    for kill in 1..=40 {
        let mut writer = Command::new(std::env::current_exe().unwrap());
        writer.args(["ledger_truth::a_writer_that_nobody_kills_has_all_its_runs_recorded", "--exact", "--nocapture"]);
        let writer = writer.env(PLACE, place.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut writer = Running(writer);
        let mut lines = BufReader::new(writer.0.stdout.take().unwrap())
            .split(b'\n')
            .map(|line| String::from_utf8(line.unwrap()).unwrap());
        let mut note = |line: &str| match line.strip_prefix(SAID).and_then(|said| said.split_once(' ')) {
            Some(("begun", run)) => begun.push(run.to_owned()),
            Some((_, run)) => ended.push(run.to_owned()),
            None => {}
        };
        for line in lines.by_ref().take(10 + usize::try_from(random(40)).unwrap()) {
            note(&line);
        }
        // Somewhere inside of a transaction: none takes longer.
        std::thread::sleep(Duration::from_micros(random(4000)));
        writer.0.kill().unwrap();
        writer.0.wait().unwrap();
        // What it said before it was killed; the last line may be cut.
        lines.filter(|line| line.len() == SAID.len() + "begun ".len() + 26).for_each(|line| note(&line));
        let recorded = recorded(place.path());
        for run in &ended {
            assert!(recorded[run].is_some_and(Outcome::is_good), "kill {kill}: {run} is {:?}", recorded[run]);
        }
        assert!(begun.iter().all(|run| recorded.contains_key(run)), "kill {kill}");
        let interrupted = recorded.values().filter(|outcome| **outcome == Some(Outcome::Interrupted)).count();
        assert!(interrupted <= kill, "{interrupted} interrupted runs after {kill} kills");
        assert!(recorded.values().all(Option::is_some), "kill {kill}: a run of a dead process seems to run");
        assert!(recorded.len() >= before, "kill {kill}: {} runs, there were {before}", recorded.len());
        before = recorded.len();
    }
    assert!(ended.len() > 100, "only {} runs ended", ended.len());
}
