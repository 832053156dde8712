//! Where a server is, as whom to speak to it, and how a client program is told: through an option file that nobody else can read,
//! never through arguments or environment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};

use super::table::{DEFAULT_PORT, MysqlConfig};
use super::waits::Waits;
use crate::engine::destination::{Credentials, Destination, user_host_and_port};
use crate::error::{Error, OrFailed, Result};
use crate::run_context::Cancel;
use crate::temporary;

/// What to try where no option file can be written.
const TEMPORARY: &str = "check the directory for temporary files of this host: TMPDIR, or /tmp";

/// Which account a message is about: what to do differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The account that backs up.
    Source,
    /// The account that a restore uses.
    Destination,
}

/// Where a server is and as whom to speak to it.
#[derive(Debug, Clone)]
pub struct Account {
    socket: Option<PathBuf>,
    host: String,
    port: u16,
    user: String,
    password: Option<SecretString>,
    tls_ca: Option<PathBuf>,
    side: Side,
    /// How long its questions wait.
    pub(super) waits: Waits,
}

impl Account {
    /// The source's own account.
    pub fn of_source(config: &MysqlConfig) -> Self {
        Self {
            socket: config.socket.clone(),
            host: config.host.clone().unwrap_or_else(|| "localhost".to_owned()),
            port: config.port,
            user: config.user.clone(),
            password: config.password.clone(),
            tls_ca: config.tls_ca.clone(),
            side: Side::Source,
            waits: Waits::default(),
        }
    }

    /// The same for a run that may be cancelled: then nothing goes on waiting for the server.
    #[must_use]
    pub fn for_run(mut self, cancel: &Cancel) -> Self {
        self.waits.cancel = cancel.clone();
        self
    }

    /// The same where one answer may take as long as this.
    #[must_use]
    pub fn answers_within(mut self, longest: Duration) -> Self {
        self.waits.longest = longest;
        self
    }

    /// Its socket, if it is reached by one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Its name, without a host.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What it is for.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The account at a restore destination.
    pub fn of_destination(destination: &Destination) -> Result<Self> {
        destination.place().cloned()
    }

    /// The account of a sandbox's server, which only the owner of the socket's directory can reach.
    pub fn of_sandbox(socket: PathBuf, user: String) -> Self {
        Self::behind(socket, user, None)
    }

    /// The account at `mysql://USER@HOST:PORT`, `mariadb://…` or `unix:/PATH/TO/SOCKET`.
    pub fn named(address: &str, credentials: &Credentials) -> Result<Self> {
        let user = credentials.user.clone().unwrap_or_else(|| "root".to_owned());
        if let Some(path) = address.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Self::behind(PathBuf::from(path), user, credentials.password.clone()));
        }
        let Some(rest) = address.strip_prefix("mysql://").or_else(|| address.strip_prefix("mariadb://")) else {
            let what = format!(
                "cannot use `{address}` as a destination: a MySQL or MariaDB backup needs a MySQL or MariaDB server"
            );
            return Err(Error::configuration(what).hint("use mysql://USER@HOST:PORT or unix:/PATH/TO/SOCKET"));
        };
        let (user, host, port) = user_host_and_port(address, rest.trim_end_matches('/'), &user, DEFAULT_PORT)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (password, tls_ca) = (credentials.password.clone(), credentials.tls_ca.clone());
        let (side, waits) = (Side::Destination, Waits::default());
        Ok(Self { socket: None, host, port, user, password, tls_ca, side, waits })
    }

    fn behind(socket: PathBuf, user: String, password: Option<SecretString>) -> Self {
        let (socket, host) = (Some(socket), "localhost".to_owned());
        let (side, waits) = (Side::Destination, Waits::default());
        Self { socket, host, port: 0, user, password, tls_ca: None, side, waits }
    }

    /// The same place as somebody else, without a password.
    #[must_use]
    pub fn with_user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Whether both lead to the same address, whoever asks there.
    pub fn has_address_of(&self, other: &Self) -> bool {
        match (&self.socket, &other.socket) {
            (Some(a), Some(b)) => a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b)),
            (None, None) => (&self.host, self.port) == (&other.host, other.port),
            _ => false,
        }
    }

    /// `user@place`, for messages.
    pub fn describe(&self) -> String {
        match &self.socket {
            Some(socket) => format!("{}@{}", self.user, socket.display()),
            None => format!("{}@{}:{}", self.user, self.host, self.port),
        }
    }

    /// Contents of the option file for a client program.
    pub fn option_file(&self) -> String {
        let mut lines = vec!["[client]".to_owned(), option("user", &self.user)];
        if let Some(socket) = &self.socket {
            lines.push(option("socket", &socket.to_string_lossy()));
            lines.push("protocol=SOCKET".to_owned());
        } else {
            lines.push(option("host", &self.host));
            lines.push(format!("port={}", self.port));
            lines.push("protocol=TCP".to_owned());
        }
        if let Some(password) = &self.password {
            lines.push(option("password", password.expose_secret()));
        }
        if let Some(ca) = &self.tls_ca {
            lines.push(option("ssl-ca", &ca.to_string_lossy()));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// The option file on disk, mode 0600, gone when dropped: for programs whose standard input is needed for data.
    /// A temporary directory that takes no file says nothing about a backup.
    pub fn option_file_on_disk(&self) -> Result<tempfile::NamedTempFile> {
        let mut file = temporary::file("client", ".cnf")
            .or_inconclusive("cannot create option file for the client program")
            .map_err(|error| error.hint(TEMPORARY))?;
        file.write_all(self.option_file().as_bytes())
            .or_inconclusive("cannot write option file for the client program")
            .map_err(|error| error.hint(TEMPORARY))?;
        Ok(file)
    }

    /// Arguments that make a client program insist on the TLS that was configured.
    pub fn tls_arguments(&self, product: &str) -> Vec<String> {
        match (&self.tls_ca, product) {
            (None, _) => Vec::new(),
            (Some(_), "MySQL") => vec!["--ssl-mode=VERIFY_CA".to_owned()],
            (Some(_), _) => vec!["--ssl".to_owned(), "--ssl-verify-server-cert".to_owned()],
        }
    }

    /// One connection; through a socket without TLS if it must be.
    pub(super) async fn connect(&self) -> sqlx::Result<MySqlConnection> {
        match self.options().connect().await {
            Err(error) if self.socket.is_some() && error.as_database_error().is_none() => {
                self.options().ssl_mode(MySqlSslMode::Disabled).connect().await
            }
            attempt => attempt,
        }
    }

    fn options(&self) -> MySqlConnectOptions {
        let mut options = MySqlConnectOptions::new()
            .username(&self.user)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            // Statements carry password hashes.
            .disable_statement_logging();
        if let Some(password) = &self.password {
            options = options.password(password.expose_secret());
        }
        options = match &self.socket {
            // MySQL takes a socket for as safe as TLS and expects the password as it is, which the library sends over TLS
            // only: without it an account gets in no more after each start of the server.
            Some(socket) => options.socket(socket).ssl_mode(MySqlSslMode::Preferred),
            None => options.host(&self.host).port(self.port),
        };
        match &self.tls_ca {
            Some(ca) => options.ssl_ca(ca).ssl_mode(MySqlSslMode::VerifyCa),
            None if self.socket.is_none() => options.ssl_mode(MySqlSslMode::Preferred),
            None => options,
        }
    }
}

/// One line of an option file; quoted and escaped as the client programs read it.
fn option(key: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    format!("{key}=\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_as_people_write_them() {
        let read = |address: &str| Account::named(address, &Credentials::default());
        let account = read("mysql://dba@[::1]:3307/").unwrap();
        assert_eq!((account.host.as_str(), account.port, account.user.as_str()), ("::1", 3307, "dba"));
        let account = read("mysql://[fe80::1]").unwrap();
        assert_eq!((account.host.as_str(), account.port), ("fe80::1", 3306));
        let account = read("mariadb://db.example.org").unwrap();
        assert_eq!((account.host.as_str(), account.port, account.socket()), ("db.example.org", 3306, None));
        let account = read("unix:/run/x.sock").unwrap();
        assert_eq!((account.socket(), account.user.as_str()), (Some(Path::new("/run/x.sock")), "root"));
        for bad in
            ["mysql://u:p@h:1", "mysql://h:x", "mysql://:1", "mysql://::1", "mysql://fe80::1:3306", "ftp://h", "/x"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn option_files_quote_what_passwords_may_contain() {
        assert_eq!(option("password", "a\"b\\c#d;'"), "password=\"a\\\"b\\\\c#d;'\"");
    }
}
