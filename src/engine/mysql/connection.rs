//! Reaching a server: queries in our own process, and client programs that get their password through an option file
//! that nobody else can read, never through arguments or environment.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::refusal::{self, Side};
use super::waits::{GivenUp, Unanswered, Waits};
use crate::config::MysqlConfig;
use crate::domain::manifest::ServerIdentity;
use crate::engine::Destination;
use crate::error::{Error, OrFailed, Result};
use crate::run_context::Cancel;
use crate::temporary;

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long saying goodbye, and having a forsaken query ended, may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What to try where no option file can be written.
const TEMPORARY: &str = "check the directory for temporary files of this host: TMPDIR, or /tmp";

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
    waits: Waits,
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
        let (side, waits) = (Side::Destination, Waits::default());
        match destination.clone() {
            Destination::Unix { socket, user, password } => {
                let (socket, host) = (Some(socket), "localhost".to_owned());
                Ok(Self { socket, host, port: 0, user, password, tls_ca: None, side, waits })
            }
            Destination::Tcp { host, port, user, password, tls_ca } => {
                Ok(Self { socket: None, host, port, user, password, tls_ca, side, waits })
            }
            Destination::Http(address) => Err(Error::configuration(format!(
                "restore to {}: a MySQL or MariaDB backup needs a MySQL or MariaDB server",
                address.url
            ))
            .hint("use mysql://USER@HOST:PORT or unix:/PATH/TO/SOCKET")),
            Destination::Directory(path) | Destination::Sandbox(path) => Err(Error::configuration(format!(
                "restore to {}: a MySQL or MariaDB backup needs a server, not a directory",
                path.display()
            ))
            .hint("use mysql://USER@HOST:PORT or unix:/PATH/TO/SOCKET")),
        }
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

    async fn connect(&self) -> sqlx::Result<MySqlConnection> {
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

/// The server's own number of what went wrong; none where it was not the server that said so.
pub fn code(error: &Error) -> Option<u16> {
    refusal::number(error.cause::<sqlx::Error>()?)
}

/// Rows as text; `None` is SQL NULL.
pub type Rows = Vec<Vec<Option<String>>>;
/// The same as bytes.
pub type ByteRows = Vec<Vec<Option<Vec<u8>>>>;

/// What a server said to a statement that it did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The server's error number.
    pub number: u16,
    /// Its words.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.number)
    }
}

/// A connection for a few queries. Blocks; not for async code.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    connection: Option<MySqlConnection>,
    account: Account,
    /// The server's number of it.
    id: Option<String>,
}

impl Session {
    /// Connect.
    pub fn open(account: &Account) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_failed("start the connection's runtime")?;
        let waits = Waits { longest: CONNECT_TIMEOUT, ..account.waits.clone() };
        let connection = match runtime.block_on(waits.on(account.connect())) {
            Err(GivenUp::Cancelled) => return Err(account.waits.cancel.error()),
            Err(GivenUp::TooLong) => return Err(refusal::timed_out(account, CONNECT_TIMEOUT.as_secs())),
            Ok(Err(error)) => return Err(refusal::refused(account, error)),
            Ok(Ok(connection)) => connection,
        };
        let mut session = Self { runtime, connection: Some(connection), account: account.clone(), id: None };
        session.id = session.value("SELECT CONNECTION_ID()")?;
        if account.side == Side::Destination {
            // Sessions begin read-only where transaction_read_only (MariaDB: tx_read_only) says so.
            session.rows("SET SESSION TRANSACTION READ WRITE")?;
        }
        Ok(session)
    }

    /// Run one statement, all rows as text.
    pub fn rows(&mut self, sql: &str) -> Result<Rows> {
        let rows = self.fetch(sql)?.map_err(|error| refusal::of_query(&self.account, error))?;
        self.texts(&rows)
    }

    /// The same, where the server may refuse: a refusal is an answer, a lost connection is an error.
    pub fn ask(&mut self, sql: &str) -> Result<std::result::Result<Rows, Refusal>> {
        self.asked(sql, Self::texts)
    }

    /// The same, as the server sent it: programs are kept in the character set of whoever created them.
    pub fn ask_bytes(&mut self, sql: &str) -> Result<std::result::Result<ByteRows, Refusal>> {
        self.asked(sql, Self::bytes)
    }

    fn asked<T>(
        &mut self,
        sql: &str,
        read: impl Fn(&Self, &[MySqlRow]) -> Result<T>,
    ) -> Result<std::result::Result<T, Refusal>> {
        match self.fetch(sql)? {
            Ok(rows) => Ok(Ok(read(self, &rows)?)),
            Err(error) => match error.as_database_error().and_then(|e| e.try_downcast_ref::<MySqlDatabaseError>()) {
                Some(said) => Ok(Err(Refusal { number: said.number(), message: said.message().to_owned() })),
                None => Err(Error::failed(format!("query {}", self.account.describe())).because(error)),
            },
        }
    }

    fn fetch(&mut self, sql: &str) -> Result<sqlx::Result<Vec<MySqlRow>>> {
        let waits = self.account.waits.clone();
        let connection = self.connection.as_mut().ok_or_else(|| Error::failed("query a closed connection"))?;
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(connection);
        let given_up = match self.runtime.block_on(waits.on(query)) {
            Ok(answered) => return Ok(answered),
            Err(given_up) => given_up,
        };
        let is_alive = self.forsake();
        Err(match given_up {
            GivenUp::Cancelled => waits.cancel.error(),
            GivenUp::TooLong => refusal::unanswered(&self.account, Unanswered { limit: waits.longest, is_alive }),
        })
    }

    /// Leave a query that is not answered. The server would go on with it: it is asked, on another connection, to end it.
    /// Whether it answers there.
    fn forsake(&mut self) -> bool {
        // The answer may still come: no goodbye fits there.
        self.connection = None;
        let Some(id) = self.id.take() else { return false };
        let account = &self.account;
        let end = async {
            let mut other = account.connect().await?;
            sqlx::raw_sql(AssertSqlSafe(format!("KILL {id}"))).execute(&mut other).await?;
            // How the goodbye goes tells nothing more.
            let _ = other.close().await;
            Ok::<(), sqlx::Error>(())
        };
        self.runtime.block_on(async { tokio::time::timeout(FAREWELL, end).await.is_ok_and(|ended| ended.is_ok()) })
    }

    fn texts(&self, rows: &[MySqlRow]) -> Result<Rows> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let rows = self.bytes(rows)?.into_iter();
        Ok(rows.map(|row| row.into_iter().map(|value| value.map(text)).collect()).collect())
    }

    fn bytes(&self, rows: &[MySqlRow]) -> Result<ByteRows> {
        let value = |row: &MySqlRow, column| {
            let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(column);
            bytes.or_failed(format!("read answer of {}", self.account.describe()))
        };
        rows.iter().map(|row| (0..row.len()).map(|column| value(row, column)).collect()).collect()
    }

    /// First column of all rows, NULLs left out.
    pub fn column(&mut self, sql: &str) -> Result<Vec<String>> {
        Ok(self.rows(sql)?.into_iter().filter_map(|mut row| row.drain(..).next().flatten()).collect())
    }

    /// First column of the first row.
    pub fn value(&mut self, sql: &str) -> Result<Option<String>> {
        Ok(self.rows(sql)?.into_iter().next().and_then(|mut row| row.drain(..).next().flatten()))
    }

    /// Product, version and series.
    pub fn identity(&mut self) -> Result<ServerIdentity> {
        let version = self.value("SELECT VERSION()")?.unwrap_or_default();
        Ok(identity(&version))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.runtime.block_on(async { tokio::time::timeout(FAREWELL, connection.close()).await });
        }
    }
}

/// Product and series from a version text.
pub fn identity(version: &str) -> ServerIdentity {
    let product = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
    ServerIdentity { product: product.to_owned(), version: version.to_owned(), series: series(version) }
}

/// `10.11` of `10.11.19-MariaDB`.
pub fn series(version: &str) -> String {
    let mut parts = version.split(['.', '-']).take(2);
    format!("{}.{}", parts.next().unwrap_or("?"), parts.next().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_files_quote_what_passwords_may_contain() {
        assert_eq!(option("password", "a\"b\\c#d;'"), "password=\"a\\\"b\\\\c#d;'\"");
    }

    #[test]
    fn product_and_series_come_from_the_version_text() {
        assert_eq!(identity("10.11.19-MariaDB-0+deb12u1-log").series, "10.11");
        assert_eq!(identity("10.11.19-MariaDB-0+deb12u1-log").product, "MariaDB");
        assert_eq!(identity("9.7.4-1").series, "9.7");
        assert_eq!(identity("9.7.4-1").product, "MySQL");
    }
}
