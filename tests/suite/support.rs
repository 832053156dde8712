//! A world per test: a private server, a configuration, a repository, and the program under test.

mod server;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use self::server::{Product, Server, as_server, hand_to_server, mysql_programs, own_temporary, place_of_this_run};
use crate::leftovers::left_in;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_backup-sla");

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Configuration, state directory and repository of one test.
pub struct World {
    pub directory: tempfile::TempDir,
}

impl World {
    /// A world with one source, `shop`, which is `server`; `more` is appended to the configuration.
    pub fn new(server: &Server, databases: &[&str], more: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir().unwrap();
        let world = Self { directory };
        keep_templates_together(&world.path("state"));
        world.secret("key", "correct horse");
        let programs = match server.product {
            Product::MariaDb => String::new(),
            Product::MySql => format!("programs = \"{}\"\n", mysql_programs().display()),
        };
        let password = server.password.as_deref().map_or("", |password| {
            world.secret("source.pw", password);
            "password_file = \"source.pw\"\n"
        });
        let list = databases.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let databases = if databases.is_empty() { String::new() } else { format!("databases = [{list}]\n") };
        world.configure(&format!(
            "[source.shop.mysql]\nsocket = \"{}\"\nuser = \"{}\"\n{password}{databases}{programs}[source.shop.sandbox]\nmemory = \"1GiB\"\n{programs}{more}",
            server.socket.display(),
            server.user
        ));
        world
    }

    /// Replace the configuration: the given text follows the usual head.
    pub fn configure(&self, tail: &str) {
        self.configure_source("shop", "mysql", tail);
    }

    /// The same for one source of any name and kind.
    pub fn configure_source(&self, name: &str, kind: &str, tail: &str) {
        let head = "state_dir = \"state\"\n[repository.local]\nkind = \"restic\"\nurl = \"repo\"\npassword_file = \"key\"\n\
                    [sla.standard]\nrpo = \"24h\"\nrto = \"5h\"\nretention = \"30d\"\ndrill_interval = \"24h\"\n";
        let source = format!(
            "[source.{name}]\nkind = \"{kind}\"\nrepository = \"local\"\nsla = \"standard\"\nschedule = {{ full = \"0 2 * * *\" }}\n"
        );
        fs::write(self.path("config.toml"), format!("{head}{source}{tail}")).unwrap();
    }

    pub fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program with this world's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.path("config.toml")).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    /// Run with `--json`; the first object. The command must end with `status`.
    pub fn json(&self, arguments: &[&str], status: i32) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let ran = self.run(&all);
        assert_eq!(ran.status, status, "{arguments:?}: {ran:?}");
        let line = ran.stdout.lines().next().unwrap_or_else(|| panic!("{arguments:?} printed nothing: {ran:?}"));
        serde_json::from_str(line).unwrap()
    }

    /// What `status` says of the first source, whatever of its promises is kept.
    pub fn status(&self) -> Value {
        let ran = self.run(&["--json", "status"]);
        assert!([0, 1].contains(&ran.status), "{ran:?}");
        serde_json::from_str(ran.stdout.lines().next().unwrap_or_else(|| panic!("{ran:?}"))).unwrap()
    }

    pub fn backup(&self) -> Value {
        self.json(&["backup", "shop"], 0)
    }

    /// Recovery points that the program lists.
    pub fn listed(&self) -> usize {
        let ran = self.run(&["--json", "list"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        ran.stdout.lines().count()
    }

    /// The manifest of the newest backup, as it is stored.
    pub fn manifest(&self) -> Value {
        let dump = self.restic(&["dump", "latest", "/shop/manifest.json"]);
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        serde_json::from_slice(&dump.stdout).unwrap()
    }

    /// The restic program on this world's repository.
    pub fn restic(&self, arguments: &[&str]) -> Output {
        assert!(Path::new("/usr/bin/restic").exists(), "restic is missing: run scripts/setup --for test");
        let mut command = Command::new("/usr/bin/restic");
        command.arg("--no-cache").arg("--repo").arg(self.path("repo"));
        command.arg("--password-file").arg(self.path("key")).args(arguments).output().unwrap()
    }

    /// No server and no data directory of a sandbox is left.
    pub fn assert_no_sandbox_left(&self) {
        let left = left_in(&self.path("state"));
        assert!(left.is_empty(), "left of sandboxes: {left:?}");
    }
}

/// Empty data directories for sandboxes are made once in a run, not once in each state directory: that takes seconds of both cores.
pub fn keep_templates_together(state: &Path) {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    fs::DirBuilder::new().mode(0o700).create(state).unwrap();
    symlink(PLACE.get_or_init(|| place_of_this_run("sandbox-templates")), state.join("templates")).unwrap();
}

pub fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(list) = fs::read_dir(directory) else { return Vec::new() };
    list.map(|entry| entry.unwrap().path()).collect()
}

/// What a run of the program said.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Run a command to its end; what should take seconds must not stop the whole suite, so it is killed after five minutes.
pub fn finish(mut command: Command) -> Ran {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (ended, waits) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = waits.recv_timeout(Duration::from_mins(5)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            std::thread::sleep(Duration::from_secs(20));
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    assert!(!watch.join().unwrap(), "{command:?} did not end by itself: {output:?}");
    Ran::of(output)
}

/// Names of the checks of a report that did not hold.
pub fn wrong(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().filter(|check| check["ok"] == false).map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

/// How long a test waits for anything.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Wait until `found` gives something.
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Tests that mount or measure must not run beside each other.
pub static ALONE: Mutex<()> = Mutex::new(());

/// A running program that does not outlive its test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
