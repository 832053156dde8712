//! A private MySQL or MariaDB server of a test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::entries;
use crate::stock_servers;

/// Which product a server is, and where its programs are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Product {
    MariaDb,
    MySql,
}

impl Product {
    pub fn program(self, name: &str) -> PathBuf {
        let path = match (self, name) {
            (Self::MariaDb, "server") => PathBuf::from("/usr/sbin/mariadbd"),
            (Self::MariaDb, "client") => PathBuf::from("/usr/bin/mariadb"),
            (Self::MariaDb, "dump") => PathBuf::from("/usr/bin/mariadb-dump"),
            (Self::MySql, "server") => mysql_programs().join("mysqld"),
            (Self::MySql, "client") => mysql_programs().join("mysql"),
            (Self::MySql, "dump") => mysql_programs().join("mysqldump"),
            other => panic!("no program for {other:?}"),
        };
        assert!(path.exists(), "{} is missing: run scripts/setup --for test", path.display());
        path
    }

    fn template(self) -> PathBuf {
        static MADE: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
        MADE[self as usize].get_or_init(|| make_template(self)).clone()
    }

    /// A data directory as the product's own package makes it, and what was said.
    fn stock(self) -> (PathBuf, String) {
        static MADE: [OnceLock<(PathBuf, String)>; 2] = [OnceLock::new(), OnceLock::new()];
        MADE[self as usize].get_or_init(|| stock_servers::make(self)).clone()
    }
}

/// MySQL's programs, in a root of their own (scripts/mysql-root).
pub fn mysql_programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers")
}

/// An empty place for what one run of the suite makes once. Places of that name go whose run has ended.
pub fn place_of_this_run(name: &str) -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for old in entries(all) {
        let run = old.file_name().unwrap().to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
        if run.is_some_and(|run| run.parse::<u32>().is_ok() && !Path::new("/proc").join(run).exists()) {
            let _ = fs::remove_dir_all(&old);
        }
    }
    let place = all.join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    place
}

fn make_template(product: Product) -> PathBuf {
    let place = place_of_this_run(&format!("template-{product:?}"));
    let data = place.join("data");
    hand_to_server(&place);
    let mut command = match product {
        Product::MariaDb => {
            let mut command = as_server("mariadb-install-db");
            command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
            command.arg("--innodb-log-file-size=8M");
            command
        }
        Product::MySql => {
            let mut command = as_server(&product.program("server").to_string_lossy());
            command.args(["--no-defaults", "--initialize-insecure", "--secure-file-priv=NULL"]);
            command
        }
    };
    own_temporary(&mut command, &place);
    let output = command.arg(format!("--datadir={}", data.display())).output().unwrap();
    assert!(output.status.success(), "make template: {}", String::from_utf8_lossy(&output.stderr));
    place
}

/// A command that runs as the account servers run as.
pub fn as_server(program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=mysql", "--regid=mysql", "--clear-groups", "--"]).arg(program);
    command
}

pub fn hand_to_server(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let done = Command::new("chown").args(["-R", "mysql:mysql"]).arg(path).status().unwrap();
        assert!(done.success());
    }
}

/// A server that starts removes temporary tables from its tmpdir: in a shared one, those of another server's queries.
pub fn own_temporary(command: &mut Command, directory: &Path) {
    let temporary = directory.join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    hand_to_server(&temporary);
    command.arg(format!("--tmpdir={}", temporary.display()));
}

/// A private server; killed and wiped when dropped.
pub struct Server {
    pub product: Product,
    program: PathBuf,
    pub socket: PathBuf,
    child: Child,
    directory: tempfile::TempDir,
    extra: Vec<String>,
    /// The administrator, and the password where there is one.
    pub user: String,
    pub password: Option<String>,
}

impl Server {
    pub fn start(product: Product) -> Self {
        Self::start_with(product, &[])
    }

    /// A server as the product's own package sets it up: MariaDB lets root in by its socket and has the accounts that
    /// Debian's package makes; MySQL's root has got a password for the generated one that had expired.
    pub fn stock(product: Product) -> Self {
        Self::stock_with(product, &[])
    }

    pub fn stock_with(product: Product, extra: &[&str]) -> Self {
        let (template, said) = product.stock();
        let mut server = Self::launched(product, &product.program("server"), &template, extra);
        server.user = stock_servers::user(product);
        if product == Product::MySql {
            let (_, temporary) = said.split_once("root@localhost: ").unwrap();
            server.password = Some(temporary.lines().next().unwrap().trim().to_owned());
            server.wait();
            server.sql("ALTER USER USER() IDENTIFIED BY 'Stock 1'");
            server.password = Some("Stock 1".to_owned());
        }
        server.wait();
        server
    }

    pub fn start_with(product: Product, extra: &[&str]) -> Self {
        Self::start_program(product, &product.program("server"), extra)
    }

    /// The server's program called by another name.
    pub fn start_program(product: Product, program: &Path, extra: &[&str]) -> Self {
        let mut server = Self::launched(product, program, &product.template(), extra);
        server.wait();
        server
    }

    fn launched(product: Product, program: &Path, template: &Path, extra: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = directory.path().join("data");
        let copied = Command::new("cp").arg("-a").arg(template.join("data")).arg(&data).status().unwrap();
        assert!(copied.success());
        hand_to_server(directory.path());
        let socket = directory.path().join("s");
        let extra: Vec<String> = extra.iter().map(ToString::to_string).collect();
        let program = program.to_owned();
        let child = launch(product, &program, directory.path(), &extra);
        Self { product, program, socket, child, directory, extra, user: "root".to_owned(), password: None }
    }

    /// End it without a word, as a crash does.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// End it in good order.
    pub fn shut_down(&mut self) {
        self.sql("SHUTDOWN");
        self.child.wait().unwrap();
    }

    /// A file of its data directory.
    pub fn data(&self, path: &str) -> PathBuf {
        self.directory.path().join("data").join(path)
    }

    /// Start it again with one argument more.
    pub fn start_again_with(&mut self, argument: &str) {
        self.extra.push(argument.to_owned());
        self.start_again();
    }

    /// Start it again on its data.
    pub fn start_again(&mut self) {
        self.child = launch(self.product, &self.program, self.directory.path(), &self.extra);
        self.wait();
    }

    fn wait(&mut self) {
        let log = self.directory.path().join("log");
        let deadline = Instant::now() + Duration::from_secs(60);
        // A client is not started before somebody listens: starting one in vain, again and again, costs more than the server.
        while !self.answers() {
            let ended = self.child.try_wait().unwrap();
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "server does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        if UnixStream::connect(&self.socket).is_err() {
            return false;
        }
        let asked = self.try_sql("SELECT 1");
        // An expired password lets in, and nothing more.
        asked.status.success() || is_expired(&asked)
    }

    pub fn client(&self) -> Command {
        let mut command = Command::new(self.product.program("client"));
        command.arg("--no-defaults").arg(format!("-u{}", self.user)).arg("-S").arg(&self.socket);
        if let Some(password) = &self.password {
            command.arg(format!("--password={password}")).arg("--connect-expired-password");
        }
        command.args(["--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--batch", "--skip-column-names"]);
        command
    }

    pub fn try_sql(&self, sql: &str) -> Output {
        let mut child =
            self.client().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(sql.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Run SQL; its output.
    pub fn sql(&self, sql: &str) -> String {
        let output = self.try_sql(sql);
        assert!(output.status.success(), "{sql:.300}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Run an SQL file with the plain client.
    pub fn load(&self, file: &Path) {
        let output = self.client().stdin(fs::File::open(file).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    }

    pub fn pid(&self) -> u32 {
        fs::read_to_string(self.directory.path().join("pid")).unwrap().trim().parse().unwrap()
    }

    pub fn destination(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}

fn is_expired(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("ERROR 1820")
}

fn launch(product: Product, program: &Path, directory: &Path, extra: &[String]) -> Child {
    let mut command = as_server(&program.to_string_lossy());
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}/data", directory.display()))
        .arg(format!("--socket={}/s", directory.display()))
        .arg(format!("--pid-file={}/pid", directory.display()))
        .args(["--log-bin=binlog", "--server-id=1", "--binlog-format=ROW", "--max-allowed-packet=1G"])
        .args(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"])
        .arg("--lock-wait-timeout=120")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(directory.join("log")).unwrap());
    own_temporary(&mut command, directory);
    command.args(extra);
    if !extra.iter().any(|argument| argument.starts_with("--port")) {
        command.arg("--skip-networking");
    }
    match product {
        Product::MariaDb => command.arg("--innodb-log-file-size=8M"),
        Product::MySql => command.args(["--mysqlx=OFF", "--secure-file-priv=NULL"]),
    };
    command.spawn().unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
