//! The sandbox with the real server that Debian ships.

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use chrono::TimeDelta;
use rustix::process::geteuid;

use crate::clock::SystemClock;
use crate::engine::mysql::installed::{MARIADB, MYSQL};
use crate::error::Kind;
use crate::process::find_program;
use crate::sandbox::{Initial, Installation, Place, Text};

pub(crate) mod bench;
mod outside;

const MEMORY: u64 = 1 << 30;

fn program(name: &str) -> PathBuf {
    find_program(None, &[name]).unwrap_or_else(|| panic!("{name} is not installed: run scripts/setup"))
}

fn server(product: &str, series: &str, installation: &Installation) -> ServerSpec {
    ServerSpec {
        product: product.to_owned(),
        series: series.to_owned(),
        options: Vec::new(),
        files: Vec::new(),
        first_statements: String::new(),
        data: Data::New,
        named_time_zones: false,
        libraries: Vec::new(),
        extras: Vec::new(),
        memory: MEMORY,
        network: Network::None,
        outside: Vec::new(),
        connections: Vec::new(),
        greeting: None,
        user: "root".to_owned(),
        password: None,
        recorded: BTreeMap::new(),
        installation: *installation,
        programs: None,
    }
}

fn add(spec: &mut ServerSpec, options: &[(&str, &str)]) {
    spec.options.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
}

/// Where every server has its files.
fn places() -> Vec<(String, Text)> {
    vec![
        ("datadir".to_owned(), Place::Data.into()),
        ("socket".to_owned(), Place::Socket.into()),
        ("pid-file".to_owned(), Text::from(Place::Own).then("/server.pid")),
    ]
}

pub(crate) fn mariadb() -> ServerSpec {
    let mut spec = ServerSpec { options: places(), ..server("MariaDB", "10.11", &MARIADB) };
    add(
        &mut spec,
        &[
            ("skip-networking", "1"),
            ("innodb-buffer-pool-size", "64M"),
            ("innodb-log-file-size", "16M"),
            ("key-buffer-size", "8M"),
            ("aria-pagecache-buffer-size", "8M"),
        ],
    );
    spec
}

fn sandbox(state: &Path) -> LocalSandbox {
    LocalSandbox::new(state, SystemClock::shared())
}

/// An instance that was started.
fn provision(state: &Path, run: &str, spec: &ServerSpec) -> Result<Box<dyn Instance>> {
    provision_in(&sandbox(state), run, spec)
}

fn provision_in(sandbox: &LocalSandbox, run: &str, spec: &ServerSpec) -> Result<Box<dyn Instance>> {
    let context = RunContext::silent();
    let mut instance = sandbox.provision(&SandboxSpec::Server(Box::new(spec.clone())), run, &context)?;
    instance.start(&context)?;
    Ok(instance)
}

/// The MySQL that `scripts/mysql-root` puts beside the system.
fn mysql_program(name: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers").join(name);
    assert!(file.is_file(), "{} is missing: run scripts/setup", file.display());
    file
}

fn mysql() -> ServerSpec {
    let programs = mysql_program("mysqld").parent().map(Path::to_owned);
    let mut spec = ServerSpec { options: places(), programs, ..server("MySQL", "9.7", &MYSQL) };
    add(
        &mut spec,
        &[("skip-networking", "1"), ("mysqlx", "OFF"), ("skip-log-bin", "1"), ("innodb-buffer-pool-size", "128M")],
    );
    spec
}

/// Fails with what the server or client says.
fn query(instance: &dyn Instance, sql: &str) -> String {
    query_with(&program("mariadb"), instance, sql)
}

fn query_with(client: &Path, instance: &dyn Instance, sql: &str) -> String {
    let socket = format!("--socket={}", instance.access().socket.display());
    let answer = Command::new(client)
        .args(["--no-defaults", "--user=root", "--batch", "--skip-column-names", "-e", sql])
        .arg(socket)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}

/// All that is left in the places where instances live.
fn leftovers(state: &Path) -> Vec<PathBuf> {
    let entries = area::all(state).into_iter().flat_map(|area| fs::read_dir(area).unwrap());
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

fn is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// A private state directory as a service has it.
struct State(tempfile::TempDir);

impl State {
    fn new() -> Self {
        let private = fs::Permissions::from_mode(0o700);
        Self(tempfile::Builder::new().permissions(private).tempdir().unwrap())
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[test]
fn an_instance_answers_is_private_and_leaves_nothing_behind() {
    let state = State::new();
    let instance = provision(state.path(), "run1", &mariadb()).unwrap();
    assert_eq!(query(&*instance, "SELECT CURRENT_USER(), @@skip_networking"), "root@localhost\t1");
    let meta = instance.directory().metadata().unwrap();
    assert_eq!(meta.mode() & 0o777, 0o700);
    assert_eq!(state.path().metadata().unwrap().mode() & 0o777, 0o700, "the state directory stays private");
    let status = fs::read_to_string(format!("/proc/{}/status", instance.pid().unwrap())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    if geteuid().is_root() {
        assert_eq!(field("Uid:"), vec![meta.uid().to_string(); 4]);
        assert_eq!(field("Gid:"), vec![meta.gid().to_string(); 4]);
        assert!(meta.uid() >= 0x7000_0000, "{} may be somebody's", meta.uid());
    } else {
        assert_eq!(meta.uid(), geteuid().as_raw());
    }
    let groups = field("Groups:");
    assert!(!geteuid().is_root() || groups.is_empty(), "supplementary groups {groups:?}");
    let environment = fs::read_to_string(format!("/proc/{}/environ", instance.pid().unwrap())).unwrap();
    assert!(!environment.contains("CARGO") && !environment.contains("HOME="), "{environment}");
    assert_eq!(processes::listens_on(instance.pid().unwrap()), Some(vec![]));
    assert!(instance.free_bytes().unwrap() > 0);
    let (pid, directory) = (instance.pid().unwrap(), instance.directory().to_owned());
    instance.destroy().unwrap();
    assert!(is_gone(pid) && !directory.exists());
    assert_eq!(directory.parent().unwrap().exists(), directory.starts_with(state.path()), "a place elsewhere goes too");
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn mysql_runs_in_it_as_mariadb_does() {
    let state = State::new();
    let instance = provision(state.path(), "run1", &mysql()).unwrap();
    let answer = query_with(&mysql_program("mysql"), &*instance, "SELECT CURRENT_USER(), VERSION() LIKE '9.7.%'");
    assert_eq!(answer, "root@localhost\t1");
    instance.destroy().unwrap();
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_program_behind_a_private_directory_runs_by_its_real_path_or_is_refused_by_name() {
    let state = State::new();
    let mut spec = ServerSpec { programs: Some(state.path().to_owned()), ..mariadb() };
    for name in ["mariadbd", "mariadb-install-db"] {
        std::os::unix::fs::symlink(program(name), state.path().join(name)).unwrap();
    }
    provision(state.path(), "run1", &spec).unwrap().destroy().unwrap();
    let server = state.path().join("mariadbd");
    fs::remove_file(&server).unwrap();
    fs::write(&server, "#!/bin/sh\n[ \"$BACKUP_SLA_SANDBOX\" ] || echo 'x  Ver 10.11.1-MariaDB y'\n").unwrap();
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).unwrap();
    spec.data = Data::Laid;
    let text = provision(state.path(), "run1", &spec).err().unwrap().to_string();
    assert!(text.starts_with("cannot start MariaDB 10.11.1-MariaDB: "), "{text}");
    if geteuid().is_root() {
        assert!(text.contains("cannot reach") && text.contains("/mariadbd"), "{text}");
    } else {
        assert!(text.contains("it ended with exit status: 0"), "{text}");
    }
}

#[test]
fn instances_provided_at_once_share_one_template_and_nothing_else() {
    let state = State::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let state = state.path();
                scope.spawn(move || {
                    let instance = provision(state, &format!("run{number}"), &mariadb()).unwrap();
                    query(&*instance, &format!("CREATE DATABASE only{number}"));
                    assert_eq!(query(&*instance, "SHOW DATABASES LIKE 'only%'"), format!("only{number}"));
                    instance.destroy().unwrap();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    let kept = fs::read_dir(state.path().join("templates")).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<PathBuf> = kept.filter(|path| path.is_dir()).collect();
    let [template] = kept.as_slice() else { panic!("{kept:?}") };
    assert!(template.file_name().unwrap().to_str().unwrap().starts_with("mariadb-10-11-"), "{kept:?}");
    let made = template.metadata().unwrap();
    assert_eq!((made.mode() & 0o777, made.uid()), (0o700, geteuid().as_raw()));
    // A program that cannot run shows that it is not asked again.
    let mut spec = mariadb();
    spec.installation.initial.as_mut().unwrap().programs = &["no such program"];
    provision(state.path(), "again", &spec).unwrap().destroy().unwrap();
    assert_eq!(template.metadata().unwrap().ino(), made.ino());
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_template_that_no_sandbox_used_for_30_days_goes_at_the_reap() {
    struct Later(SystemClock);
    impl Clock for Later {
        fn wall(&self) -> DateTime<Utc> {
            self.0.wall() + TimeDelta::days(31)
        }
        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }
    }
    let state = State::new();
    let (now, later) =
        (sandbox(state.path()), LocalSandbox::new(state.path(), Arc::new(Later(SystemClock::default()))));
    let kept = || fs::read_dir(state.path().join("templates")).unwrap().count();
    let spec = SandboxSpec::Server(Box::new(mariadb()));
    let mut instance = now.provision(&spec, "run1", &RunContext::silent()).unwrap();
    assert_eq!((later.reap().unwrap(), kept()), (Vec::new(), 2), "a server is about to be started on it");
    instance.start(&RunContext::silent()).unwrap();
    assert_eq!(query(&*instance, "SELECT 1"), "1");
    instance.destroy().unwrap();
    assert_eq!((now.reap().unwrap(), kept()), (Vec::new(), 2), "it was used just now");
    assert_eq!((later.reap().unwrap(), kept()), (Vec::new(), 0));
}

#[test]
fn a_server_that_does_not_start_is_inconclusive_and_says_why() {
    let state = State::new();
    let mut spec = mariadb();
    add(&mut spec, &[("no-such-option", "1")]);
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    let text = error.to_string();
    assert!(text.starts_with("cannot start MariaDB 10.11.") && text.contains(": it ended with exit status"), "{text}");
    assert!(text.contains("no-such-option"), "{text}");
    assert!(error.hint_text().unwrap().contains("memory"));
    let usual = spec.installation.initial.unwrap();
    spec.installation.initial = Some(Initial { arguments: &["--no-such-option"], decisive: &[], ..usual });
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    assert!(error.to_string().starts_with("cannot make an empty data directory of MariaDB 10.11."), "{error}");
    spec.installation.initial = Some(usual);
    spec.programs = Some(PathBuf::from("/nonexistent"));
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    let text = error.to_string();
    assert!(text.contains("MariaDB 10.11 server") && text.contains("no program `mariadbd` in /nonexistent"), "{text}");
    assert!(error.hint_text().unwrap().contains("mariadb-server"));
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_program_of_another_series_or_product_is_not_run() {
    let state = State::new();
    let other = ServerSpec { series: "10.6".to_owned(), ..mariadb() };
    let maria_as_mysql = ServerSpec { series: "10.11".to_owned(), programs: None, ..mysql() };
    for (spec, wanted) in [(other, "MariaDB 10.6"), (maria_as_mysql, "MySQL 10.11")] {
        let error = provision(state.path(), "run1", &spec).err().unwrap();
        assert_eq!(error.kind(), Kind::Inconclusive);
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot find a {wanted} server to restore into: /")), "{text}");
        assert!(text.contains("Ver 10.11."), "{text}");
        assert!(error.hint_text().unwrap().contains("another series proves nothing"));
    }
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_server_that_never_answers_ends_with_the_time_to_start() {
    let state = State::new();
    let mut spec = mariadb();
    spec.options.push(("socket".to_owned(), Text::from(Place::Own).then("/other.sock")));
    let sandbox = sandbox(state.path()).time_to_start(Duration::from_millis(200));
    let error = provision_in(&sandbox, "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    assert!(error.to_string().contains("it took longer than 200ms"), "{error}");
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_server_that_needs_more_memory_than_it_may_have_ends_and_we_say_what_it_had() {
    let state = State::new();
    let mut spec = mariadb();
    spec.memory = 300 << 20;
    add(&mut spec, &[("innodb-buffer-pool-size", "1400M")]);
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    // Whether a server that is refused memory says so or crashes is its own affair; what it had is said either way.
    assert!(
        error.to_string().starts_with("cannot start MariaDB 10.11.") && error.to_string().contains(": it ended with"),
        "{error}"
    );
    assert!(
        error.hint_text().unwrap().contains("raise `memory` of the sandbox (now 300.0 MiB)"),
        "{:?}",
        error.hint_text()
    );
    // The same server fits if it is asked to.
    add(&mut spec, &[("innodb-buffer-pool-size", "16M")]);
    let instance = provision(state.path(), "run2", &spec).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", instance.pid().unwrap())).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max data size"), vec![(spec.memory * 3).to_string(); 2]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert!(limit("Max open files")[1].parse::<u64>().unwrap() <= 65_536);
    assert!(!geteuid().is_root() || limit("Max processes") == ["1024", "1024"]);
    instance.destroy().unwrap();
}

#[test]
fn a_server_that_holds_a_network_socket_is_refused() {
    let state = State::new();
    let mut spec = mariadb();
    spec.options.retain(|(name, _)| name != "skip-networking");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    add(&mut spec, &[("bind-address", "127.0.0.1"), ("port", &free.to_string())]);
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    let text = error.to_string();
    assert!(text.contains(&format!("it listens on tcp 0100007F:{free:04X}")), "{text}");
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_long_state_directory_still_gets_a_socket() {
    let base = tempfile::tempdir().unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let state = base.path().join("a-rather-long-name-".repeat(6));
    fs::create_dir(&state).unwrap();
    let instance = provision(&state, "run1", &mariadb()).unwrap();
    assert!(instance.directory().starts_with(state.canonicalize().unwrap()));
    let socket = instance.access().socket.clone();
    assert!(!socket.starts_with(&state));
    assert_eq!(socket.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(query(&*instance, "SELECT 1"), "1");
    instance.destroy().unwrap();
    assert!(!socket.parent().unwrap().exists());
    assert_eq!(leftovers(&state), Vec::<PathBuf>::new());
}
