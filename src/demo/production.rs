//! The demo's "production": a real MariaDB of its own with a shop that is in use, reachable by unix socket only.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::background::Background;
use super::shop::{self, Size};
use crate::error::{Error, OrFailed, Result};
use crate::process::{OwnedChild, answer_of, find_program};

/// About twenty changes a second, some of which commit together.
const BETWEEN_CUSTOMERS: Duration = Duration::from_millis(50);

/// Name of the backup account.
pub const BACKUP_USER: &str = "backup";

/// Statements that make the least-privilege backup account on MariaDB (10.5 and later). What each is for, and what would
/// be missing without it, is in docs/mysql-privileges.md.
pub fn backup_account_sql(user: &str, host: &str, password: &str) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let account = format!("{}@{}", text(user), text(host));
    format!(
        "CREATE USER {account} IDENTIFIED BY {};\n\
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, BINLOG MONITOR ON *.* TO {account};\n",
        text(password)
    )
}

/// A private MariaDB; killed and reaped when dropped.
pub struct Production {
    socket: PathBuf,
    password_file: PathBuf,
    client: PathBuf,
    server: OwnedChild,
}

impl Production {
    /// Start a server with its data under `directory` and fill it with the demo's shop.
    pub fn start(directory: &Path) -> Result<Self> {
        let production = Self::empty(directory)?;
        production.fill()?;
        Ok(production)
    }

    /// Start a server with its data under `directory` and nothing in it.
    pub fn empty(directory: &Path) -> Result<Self> {
        let find = |names: &[&str]| {
            find_program(None, names).ok_or_else(|| {
                Error::failed(format!("cannot start the demo: there is no program `{}`", names[0]))
                    .hint("run scripts/setup --for demo, or install mariadb-server")
            })
        };
        let (server, client) = (find(&["mariadbd", "mysqld"])?, find(&["mariadb", "mysql"])?);
        let install = find(&["mariadb-install-db"])?;
        let data = directory.join("data");
        let owner = server_account(&["mysql", "nobody"]);
        private_directory(directory, owner)?;
        // A server that starts removes temporary tables from its tmpdir: in a shared one, another server's.
        let temporary = directory.join("tmp");
        fs::create_dir_all(&temporary).or_failed("cannot create the demo's directory")?;
        if let Some((uid, gid)) = owner {
            chown(&temporary, Some(uid), Some(gid)).or_failed("cannot give the demo's data to the server's account")?;
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.arg("--no-defaults").arg(format!("--datadir={}", data.display())).current_dir(directory);
            command.arg(format!("--tmpdir={}", temporary.display()));
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let mut installing = command(&install);
        installing.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        OwnedChild::spawn(installing, "mariadb-install-db")?.wait_success()?;
        let socket = directory.join("server.sock");
        let mut serving = command(&server);
        serving
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}", directory.join("server.pid").display()))
            .args(["--skip-networking", "--log-bin=binlog", "--server-id=1", "--binlog-format=ROW", "--sql-mode="]);
        let server = OwnedChild::spawn(serving, "the demo's MariaDB")?;
        let password_file = directory.with_file_name("backup.pw");
        let mut production = Self { socket, password_file, client, server };
        production.wait_until_ready()?;
        Ok(production)
    }

    /// Unix socket of the server.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// File (0600) with the password of [`BACKUP_USER`].
    pub fn password_file(&self) -> &Path {
        &self.password_file
    }

    /// Customers from now on: orders are placed until the writer is dropped.
    pub fn open_shop(&self) -> Result<Background> {
        // One that is a deadlock's victim goes on with the next thing to do.
        let mut command = self.client();
        command.arg("--force");
        let mut client = OwnedChild::spawn(command, "the demo's customers")?;
        let mut counter =
            client.take_stdin().ok_or_else(|| Error::failed("cannot open the demo's shop: no input pipe"))?;
        Background::every(BETWEEN_CUSTOMERS, "customers", move |at| {
            // The client lives as long as its customers.
            let _ = &client;
            let begin = if at == 0 { "USE shop;\n" } else { "" };
            counter.write_all(format!("{begin}{}", activity(at)).as_bytes()).is_ok()
        })
    }

    /// What the server answers to `sql`, one line per row.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let mut command = self.client();
        command.args(["--skip-column-names", "-e", sql]).stdin(Stdio::null());
        let said = answer_of(command).map_err(|error| error.context("cannot ask the demo's server"))?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }

    fn client(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.args(["--no-defaults", "-uroot", "--batch", "--default-character-set=utf8mb4"]);
        command.arg("-S").arg(&self.socket).stdin(Stdio::piped()).stdout(Stdio::null());
        command
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..600 {
            if self.server.try_wait().or_failed("cannot start the demo's MariaDB")?.is_some() {
                return self.server.wait_success().and(Err(Error::failed("cannot start the demo's MariaDB: it ended")));
            }
            if std::os::unix::net::UnixStream::connect(&self.socket).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Error::failed(format!("cannot start the demo's MariaDB: {}", self.server.stderr_tail())))
    }

    fn fill(&self) -> Result<()> {
        let password = ulid::Ulid::generate().to_string();
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.password_file)
            .or_failed("cannot write the backup account's password")?;
        writeln!(file, "{password}").or_failed("cannot write the backup account's password")?;
        let mut loading = OwnedChild::spawn(self.client(), "the demo's client")?;
        let mut stdin =
            loading.take_stdin().ok_or_else(|| Error::failed("cannot fill the demo's shop: no input pipe"))?;
        let written = shop::write_all(&mut stdin, &Size::demo())
            .and_then(|()| stdin.write_all(backup_account_sql(BACKUP_USER, "localhost", &password).as_bytes()))
            // For increments.
            .and_then(|()| stdin.write_all(b"GRANT REPLICATION SLAVE ON *.* TO 'backup'@'localhost';\n"));
        drop(stdin);
        loading.wait_success().map_err(|error| error.context("cannot fill the demo's shop"))?;
        written.or_failed("cannot fill the demo's shop")
    }
}

/// Make a directory that only the server's account may read.
pub(super) fn private_directory(directory: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    fs::create_dir_all(directory).or_failed("cannot create the demo's directory")?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).or_failed("cannot protect the demo's data")?;
    let Some((uid, gid)) = owner else { return Ok(()) };
    chown(directory, Some(uid), Some(gid)).or_failed("cannot give the demo's data to the server's account")
}

/// The first of these accounts that exists, when we are root.
pub(super) fn server_account(names: &[&str]) -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line_of = |name: &str| passwd.lines().find(|line| line.split(':').next() == Some(name));
    let line = names.iter().find_map(|name| line_of(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// One thing that customers and staff do.
fn activity(at: u64) -> String {
    let order = "(SELECT * FROM (SELECT MAX(id) FROM orders) newest)";
    match at % 10 {
        3 => format!("UPDATE orders SET status = 'paid' WHERE id = {order} - 3;\n"),
        6 => "UPDATE customers SET credit = credit + 0.5, newsletter = 1 - newsletter ORDER BY updated LIMIT 1;\n"
            .to_owned(),
        9 => "DELETE FROM stock_movements ORDER BY moved_on LIMIT 1;\n".to_owned(),
        _ => "SET @c = (SELECT customer FROM addresses ORDER BY RAND() LIMIT 1);\n\
              SET @p = (SELECT id FROM products ORDER BY RAND() LIMIT 1);\n\
              CALL place_order(@c, @p, 1 + FLOOR(RAND() * 3));\n"
            .to_owned(),
    }
}
