//! Commands that look at a restored tree.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::target::Target;
use super::Bench;
use crate::domain::drill::Check;
use crate::engine::assertion::{Assertion, Question};
use crate::engine::{Destination, Engine};
use crate::run_context::RunContext;

/// A restored tree, and what a shell script in it comes to.
fn ask(bench: &Bench, script: &str) -> Check {
    ask_within(bench, script, Duration::from_mins(1))
}

fn ask_within(bench: &Bench, script: &str, limit: Duration) -> Check {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let assertion = Assertion { name: "asked".to_owned(), question: Question::Command(command) };
    let engine = bench.engine_of(vec![bench.live()], limit);
    engine.assert(&Destination::new(Target::Sandbox(bench.restored())), &assertion, &RunContext::silent()).unwrap()
}

fn restored() -> Bench {
    let bench = Bench::new();
    bench.write("site.yml", "- hosts: all\n");
    let point = bench.back_up();
    bench.restore(&point);
    bench
}

#[test]
fn a_command_runs_in_the_restored_tree_and_its_exit_status_is_the_answer() {
    let bench = restored();
    let check = ask(&bench, "test -s site.yml && pwd");
    assert_eq!((check.name.as_str(), check.expected.as_str()), ("assertion asked", "exit 0"));
    assert!(check.ok && check.actual.starts_with("exit 0"), "{check:?}");
    let check = ask(&bench, "echo to output; echo to error >&2; exit 3");
    assert!(!check.ok && check.actual == "exit status: 3: to output; to error", "{check:?}");
    let missing = Question::Command(vec!["no-such-program".to_owned()]);
    let assertion = Assertion { name: "missing".to_owned(), question: missing };
    let at = Destination::new(Target::Sandbox(bench.restored()));
    let check = bench.engine().assert(&at, &assertion, &RunContext::silent()).unwrap();
    assert!(!check.ok && check.actual.contains("not found"), "{check:?}");
}

#[test]
fn nothing_but_the_tree_can_be_written() {
    let bench = restored();
    assert!(ask(&bench, "touch here && echo scratch > /tmp/backup-sla-test && echo scratch > $HOME/x").ok);
    let outside = bench.directory.path().join("live/site.yml");
    for path in [outside.to_str().unwrap(), "/etc/backup-sla-test", "/usr/backup-sla-test", "/sys/backup-sla-test"] {
        assert!(!ask(&bench, &format!("echo evil > {path}")).ok, "{path} was written");
    }
    // Only opened: on a host where this went wrong it would have an effect.
    for path in ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches"] {
        assert!(!ask(&bench, &format!("exec 3<>{path}")).ok, "{path} could be written");
    }
    assert_eq!(fs::read_to_string(&outside).unwrap(), "- hosts: all\n");
    // Nothing that could mount, trace or make devices.
    let capabilities = if rustix::process::geteuid().is_root() { "0000000000000002" } else { "0000000000000000" };
    assert!(ask(&bench, &format!("grep -q 'CapEff:.*{capabilities}$' /proc/self/status")).ok);
    assert!(!std::path::Path::new("/tmp/backup-sla-test").exists());
}

#[test]
fn there_is_no_network_and_no_socket_of_the_host() {
    let bench = restored();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let check = ask(&bench, &format!("exec 3<>/dev/tcp/127.0.0.1/{port}"));
    assert!(!check.ok);
    let check = ask(&bench, &format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"));
    assert!(!check.ok && check.actual.contains("refused"), "{check:?}");
    let socket = bench.directory.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(!ask(&bench, &format!("test -e {}", socket.display())).ok, "what is under /tmp is hidden");
    assert!(ask(&bench, "test -z \"$(ls -A /run)\"").ok);
    let elsewhere = tempfile::tempdir_in(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target")).unwrap();
    let socket = elsewhere.path().join("s");
    let _other = UnixListener::bind(&socket).unwrap();
    assert!(!ask(&bench, &format!("test -S {}", socket.display())).ok, "a socket beside the places that are hidden");
}

#[test]
fn the_environment_is_clean_and_other_processes_are_not_seen() {
    let bench = restored();
    // So that git takes a tree of others for one that it may look at.
    let check = ask(&bench, "env | grep -v ^GIT_CONFIG_ | cut -d= -f1 | sort | tr '\\n' ' '; exit 1");
    assert_eq!(check.actual.split(": ").last().unwrap().trim(), "HOME LANG PATH PWD", "{check:?}");
    assert!(ask(&bench, "! tr '\\0' '\\n' < /proc/1/environ | grep -q CARGO").ok);
    let pid = std::process::id();
    assert!(
        ask(&bench, &format!("test \"$(ls -d /proc/[0-9]* | wc -l)\" -lt 10 && ! grep -q tests /proc/{pid}/cmdline"))
            .ok
    );
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_everything_it_started() {
    let bench = restored();
    let check = ask_within(&bench, "(sleep 1000 & echo begun; sleep 1000)", Duration::from_secs(2));
    assert!(!check.ok && check.actual == "no end within 2s: begun", "{check:?}");
}

#[test]
fn endless_output_neither_fills_memory_nor_the_report() {
    let bench = restored();
    let check = ask(&bench, "yes | head -c 50000000; exit 1");
    assert!(!check.ok && check.actual.len() < 3_000);
}

/// What a script in the tree can see is what its owner can read: everything else of this host is not there.
#[test]
fn nothing_of_the_host_but_programs_and_the_tree_is_there() {
    let bench = restored();
    let check = ask(&bench, "ls / | tr '\\n' ' '; exit 1");
    let top = check.actual.split(": ").last().unwrap().trim().to_owned();
    let known = [
        "bin", "dev", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "proc", "run", "sbin", "tmp", "usr",
        "var",
    ];
    // The first part of the tree's own path is among them: /tmp, or where TMPDIR leads.
    let own = bench.restored().components().nth(1).unwrap().as_os_str().to_str().unwrap().to_owned();
    assert!(top.split(' ').all(|name| known.contains(&name) || name == own), "{top}");
    for gone in [
        "/etc/shadow",
        "/etc/ssh",
        "/etc/backup-sla",
        "/root",
        "/home",
        "/var/lib",
        "/var/log",
        "/sys/kernel",
        "/opt",
        "/srv",
    ] {
        // Spelt so that it is not taken for something that the operator wants to be seen.
        assert!(ask(&bench, &format!("! test -e {}", gone.replace('/', "/''"))).ok, "{gone}");
    }
    // Nor what is beside the tree, for whoever could read it.
    let other = bench.directory.path().join("live/site.yml");
    let hidden = other.display().to_string().replace('/', "/''");
    assert!(other.exists() && !ask(&bench, &format!("cat {hidden}")).ok);
    let empty = "test -z \"$(find /var /run /tmp -type f)\"";
    assert!(ask(&bench, empty).ok || bench.restored().starts_with("/tmp") || bench.restored().starts_with("/var"));
    // Programs work, and find out who they are.
    let is_root = rustix::process::geteuid().is_root();
    assert!(ask(&bench, "git init -q . && git status --short && python3 --version && getent passwd $(id -u)").ok);
    assert_eq!(ask(&bench, "test $(id -u) -ge 1879048192 && test $(id -g) -ge 1879048192").ok, is_root);
    assert!(ask(&bench, "! kill -0 -1 && ! chown 0:0 site.yml && ! mount -t tmpfs x /run").ok);
    let private = Path::new("/etc/ssl/private");
    assert!(!private.exists() || ask(&bench, "test -z \"$(cat /etc/ssl/private/*.key)\"").ok);
}

#[test]
fn what_the_operators_command_names_is_there_and_our_own_places_never() {
    let bench = restored();
    let directory = tempfile::Builder::new()
        .prefix("tools-")
        .tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target")
        .unwrap();
    let tool = directory.path().join("venv/bin/tool");
    fs::create_dir_all(directory.path().join("venv/lib")).unwrap();
    fs::create_dir_all(directory.path().join("venv/bin")).unwrap();
    fs::create_dir_all(directory.path().join("state")).unwrap();
    fs::write(directory.path().join("venv/lib/words"), "a library\n").unwrap();
    fs::write(directory.path().join("state/key"), "a key").unwrap();
    fs::write(&tool, "#!/bin/sh\ncat ${0%/bin/tool}/lib/words && ! cat \"$1\"\n").unwrap();
    super::mode(&tool, 0o755);
    let (tool, key) = (tool.display().to_string(), directory.path().join("state/key").display().to_string());
    let assertion = Assertion { name: "asked".to_owned(), question: Question::Command(vec![tool, key]) };
    let config = crate::engine::files::table::FilesConfig {
        paths: vec![bench.live()],
        exclude: Vec::new(),
        assertion_timeout: Duration::from_mins(1),
    };
    let own = vec![directory.path().join("state")];
    let engine = super::FilesEngine::new(config, crate::clock::SystemClock::shared(), own);
    let check =
        engine.assert(&Destination::new(Target::Sandbox(bench.restored())), &assertion, &RunContext::silent()).unwrap();
    assert!(check.ok, "{check:?}");
}

/// A directory below `/usr/local` that everybody may read, gone in the end.
struct Local(PathBuf);

impl Local {
    fn make(name: &str) -> Self {
        let local = Self(Path::new("/usr/local").join(format!("bsla-{name}-{}", std::process::id())));
        fs::create_dir(&local.0).unwrap();
        super::mode(&local.0, 0o755);
        local
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        super::mode(&path, mode);
        path
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn ask_engine(engine: &super::FilesEngine, tree: &Path, script: &str) -> Check {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let assertion = Assertion { name: "asked".to_owned(), question: Question::Command(command) };
    engine.assert(&Destination::new(Target::Sandbox(tree.to_owned())), &assertion, &RunContext::silent()).unwrap()
}

/// Spelt so that it is not taken for something that the operator wants to be seen.
fn unnamed(path: &Path) -> String {
    path.display().to_string().replace('/', "/''")
}

#[test]
fn our_own_places_below_the_programs_are_covered_and_the_tree_in_them_is_not() {
    if !super::is_root() {
        return;
    }
    let (bench, local) = (Bench::new(), Local::make("own"));
    bench.write("site.yml", "- hosts: all\n");
    // Open to everybody, so that nothing but the cover is in the way.
    let state = local.write("state/ledger", "a ledger", 0o644);
    let repository = local.write("repository/config", "a repository", 0o644);
    let (key, config) = (local.write("key", "a key", 0o644), local.write("backup-sla.toml", "a configuration", 0o644));
    let tool = local.write("lib/tool", "a library", 0o644);
    let own = vec![local.0.join("state"), local.0.join("repository")];
    let engine = bench.engine_with(own).hiding(vec![key.clone(), config.clone()]);
    let tree = local.0.join("state/sandboxes/run");
    fs::create_dir_all(bench.inside(&tree)).unwrap();
    fs::copy(bench.live().join("site.yml"), bench.inside(&tree).join("site.yml")).unwrap();
    let ask = |script: &str| ask_engine(&engine, &tree, script);
    for place in [&state, &repository, &key, &config] {
        let check = ask(&format!("test -z \"$(cat {})\"", unnamed(place)));
        assert!(check.ok, "{} was read: {check:?}", place.display());
        // Named, too.
        let check = ask(&format!("test -z \"$(cat {})\"", place.display()));
        assert!(check.ok, "{} was read: {check:?}", place.display());
    }
    let check = ask(&format!("grep library {} && grep hosts site.yml && echo > new", unnamed(&tool)));
    assert!(check.ok, "{check:?}");
    let check = ask(&format!("! touch {}/x", unnamed(&local.0.join("state"))));
    assert!(check.ok, "{check:?}");
    // Installed software that a configuration of ours lies in goes on working, without it.
    let check = ask(&format!("grep library {} && ! grep . {0}/../../key", tool.display()));
    assert!(check.ok, "{check:?}");
}

#[test]
fn what_a_site_keeps_for_itself_beside_its_programs_is_not_there_unless_it_is_named() {
    if !super::is_root() {
        return;
    }
    let (bench, local) = (restored(), Local::make("site"));
    let secret = local.write("share/secret", "a password", 0o600);
    let script = local.write("sbin/check", "#!/bin/sh\necho checked\n", 0o700);
    let library = local.write("lib/words", "words", 0o644);
    for place in [&secret, &script] {
        let check = ask(&bench, &format!("test -z \"$(cat {})\"", unnamed(place)));
        assert!(check.ok, "{} was read: {check:?}", place.display());
    }
    assert!(ask(&bench, &format!("grep words {}", unnamed(&library))).ok);
    let check =
        ask(&bench, &format!("test \"$({})\" = checked && grep password {}", script.display(), secret.display()));
    assert!(check.ok, "{check:?}");
    for place in ["/usr/local/etc", "/usr/local/var"] {
        let check = ask(&bench, &format!("test -z \"$(ls -A {place})\""));
        assert!(check.ok, "{place}: {check:?}");
    }
}
