//! The sandbox with the real server that Debian ships.

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::clock::SystemClock;
use crate::process::find_program;
use crate::sandbox::{Fixed, Template};

mod outside;

const MEMORY: u64 = 1 << 30;

fn program(name: &str) -> PathBuf {
    find_program(None, &[name]).unwrap_or_else(|| panic!("{name} is not installed: run scripts/setup"))
}

fn mariadb() -> ServerSpec {
    let texts = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<String>>();
    ServerSpec {
        product: "MariaDB".to_owned(),
        version: "10.11".to_owned(),
        program: program("mariadbd"),
        args: texts(&[
            "--no-defaults",
            "--datadir={data}",
            "--socket={socket}",
            "--pid-file={dir}/server.pid",
            "--skip-networking",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--key-buffer-size=8M",
            "--aria-pagecache-buffer-size=8M",
        ]),
        template: Some(Template {
            key: "mariadb-10.11".to_owned(),
            program: program("mariadb-install-db"),
            args: texts(&[
                "--no-defaults",
                "--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=16M",
            ]),
            files: Vec::new(),
        }),
        settings: BTreeMap::new(),
        memory: MEMORY,
        files: Vec::new(),
        fixed: Fixed::default(),
        user: "root".to_owned(),
        password: None,
        accounts: &["mysql", "nobody"],
        network: Network::None,
        outside: Vec::new(),
        connections: Vec::new(),
        greeting: None,
    }
}

fn sandbox(state: &Path) -> LocalSandbox {
    LocalSandbox::new(state, SystemClock::shared())
}

fn provision(state: &Path, run: &str, spec: &ServerSpec) -> Result<Box<dyn Instance>> {
    sandbox(state).provision(&SandboxSpec::Server(Box::new(spec.clone())), run, &RunContext::silent())
}

/// The MySQL that `scripts/mysql-root` puts beside the system.
fn mysql_program(name: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers").join(name);
    assert!(file.is_file(), "{} is missing: run scripts/setup", file.display());
    file
}

fn mysql() -> ServerSpec {
    let texts = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<String>>();
    ServerSpec {
        product: "MySQL".to_owned(),
        version: "9.7".to_owned(),
        program: mysql_program("mysqld"),
        args: texts(&[
            "--no-defaults",
            "--datadir={data}",
            "--socket={socket}",
            "--pid-file={dir}/server.pid",
            "--skip-networking",
            "--mysqlx=OFF",
            "--disable-log-bin",
            "--innodb-buffer-pool-size=128M",
        ]),
        template: Some(Template {
            key: "mysql-9.7".to_owned(),
            program: mysql_program("mysqld"),
            args: texts(&["--no-defaults", "--initialize-insecure", "--datadir={data}"]),
            files: Vec::new(),
        }),
        settings: BTreeMap::new(),
        memory: MEMORY,
        files: Vec::new(),
        fixed: Fixed::default(),
        user: "root".to_owned(),
        password: None,
        accounts: &["mysql", "nobody"],
        network: Network::None,
        outside: Vec::new(),
        connections: Vec::new(),
        greeting: None,
    }
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
    let mut spec = mariadb();
    spec.program = state.path().join("server");
    std::os::unix::fs::symlink(program("mariadbd"), &spec.program).unwrap();
    provision(state.path(), "run1", &spec).unwrap().destroy().unwrap();
    fs::remove_file(&spec.program).unwrap();
    fs::copy("/bin/true", &spec.program).unwrap();
    let text = provision(state.path(), "run1", &spec).err().unwrap().to_string();
    if geteuid().is_root() {
        assert!(text.contains("cannot reach") && text.contains("/server"), "{text}");
    } else {
        assert!(text.contains("it ended with exit status: 0"), "{text}");
    }
}

#[test]
fn a_dropped_instance_is_destroyed_too() {
    let state = State::new();
    let instance = provision(state.path(), "run1", &mariadb()).unwrap();
    let pid = instance.pid().unwrap();
    drop(instance);
    assert!(is_gone(pid));
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
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
    let template = state.path().join("templates/mariadb-10.11");
    let made = template.metadata().unwrap();
    assert_eq!((made.mode() & 0o777, made.uid()), (0o700, geteuid().as_raw()));
    // A program that cannot run shows that it is not asked again.
    let mut spec = mariadb();
    spec.template.as_mut().unwrap().program = PathBuf::from("/nonexistent");
    provision(state.path(), "again", &spec).unwrap().destroy().unwrap();
    assert_eq!(template.metadata().unwrap().ino(), made.ino());
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_server_that_does_not_start_is_inconclusive_and_says_why() {
    let state = State::new();
    let mut spec = mariadb();
    spec.args.push("--no-such-option".to_owned());
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    let text = error.to_string();
    assert!(text.starts_with("provide sandbox: start MariaDB 10.11: it ended with exit status"), "{text}");
    assert!(text.contains("no-such-option"), "{text}");
    assert!(error.hint_text().unwrap().contains("memory"));
    spec.template.as_mut().unwrap().key = "other".to_owned();
    spec.template.as_mut().unwrap().args.push("--no-such-option".to_owned());
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    assert!(error.to_string().contains("initialise an empty data directory of MariaDB 10.11"), "{error}");
    spec.program = PathBuf::from("/nonexistent/mariadbd");
    spec.template.as_mut().unwrap().key = "mariadb-10.11".to_owned();
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    assert!(error.to_string().contains("there is no program /nonexistent/mariadbd"), "{error}");
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_server_that_never_answers_ends_with_the_time_to_start() {
    let state = State::new();
    let mut spec = mariadb();
    spec.args.retain(|arg| !arg.starts_with("--socket"));
    spec.args.push("--socket={dir}/other.sock".to_owned());
    let sandbox = sandbox(state.path()).time_to_start(Duration::from_millis(200));
    let error = sandbox.provision(&SandboxSpec::Server(Box::new(spec)), "run1", &RunContext::silent()).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    assert!(error.to_string().contains("nothing after 200ms"), "{error}");
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_cancelled_run_gets_no_instance_and_leaves_nothing() {
    let state = State::new();
    let context = RunContext::silent();
    context.cancel.cancel();
    let error =
        sandbox(state.path()).provision(&SandboxSpec::Server(Box::new(mariadb())), "run1", &context).err().unwrap();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_server_that_needs_more_memory_than_it_may_have_ends_and_we_say_what_it_had() {
    let state = State::new();
    let mut spec = mariadb();
    spec.memory = 300 << 20;
    spec.args.push("--innodb-buffer-pool-size=1400M".to_owned());
    let error = provision(state.path(), "run1", &spec).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive);
    // Whether a server that is refused memory says so or crashes is its own affair; what it had is said either way.
    assert!(error.to_string().contains("start MariaDB 10.11: it ended with"), "{error}");
    assert!(error.hint_text().unwrap().contains("it may have 300.0 MiB of memory"), "{:?}", error.hint_text());
    // The same server fits if it is asked to.
    spec.args.push("--innodb-buffer-pool-size=16M".to_owned());
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
    spec.args.retain(|arg| arg != "--skip-networking");
    spec.args.extend(["--bind-address=127.0.0.1".to_owned(), "--port=0".to_owned()]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    spec.args.push(format!("--port={free}"));
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

/// Runs itself as the process that is killed: a lock is only really lost with its process.
#[test]
fn what_a_killed_process_leaves_is_reaped_and_what_a_live_one_has_is_not() {
    const CHILD: &str = "BACKUP_SLA_TEST_LEAK";
    if let Some(state) = std::env::var_os(CHILD) {
        let instance = provision(Path::new(&state), "leaked", &mariadb()).unwrap();
        println!("\nserver {}", instance.pid().unwrap());
        // Until we are killed, or our parent is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let state = State::new();
    let name = "sandbox::local::tests::what_a_killed_process_leaves_is_reaped_and_what_a_live_one_has_is_not";
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, state.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let server = lines.find_map(|line| line.unwrap().strip_prefix("server ").map(str::to_owned)).unwrap();
    let server: u32 = server.parse().unwrap();
    let live = provision(state.path(), "live", &mariadb()).unwrap();
    assert_eq!(sandbox(state.path()).reap().unwrap(), [], "both owners live");
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(!is_gone(server), "nobody has ended it yet");
    let reaped = sandbox(state.path()).reap().unwrap();
    let directory = live.directory().with_file_name("leaked");
    assert_eq!(reaped, [Reaped { directory: directory.clone(), pid: Some(server) }]);
    assert!(is_gone(server) && !directory.exists());
    assert_eq!(query(&*live, "SELECT 1"), "1");
    live.destroy().unwrap();
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}
