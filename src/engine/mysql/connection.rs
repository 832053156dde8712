//! Reaching a server: queries in our own process.

use std::fmt;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlDatabaseError, MySqlRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::account::{Account, Side};
use super::refusal;
use super::waits::{GivenUp, Unanswered, Waits};
use crate::domain::manifest::ServerIdentity;
use crate::error::{Error, OrFailed, Result};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long saying goodbye, and having a forsaken query ended, may take.
const FAREWELL: Duration = Duration::from_secs(2);

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

impl Refusal {
    /// Its words up to where they repeat what was in the statement or in a row.
    pub fn without_data(&self) -> String {
        let words = self.message.split('\'').next().unwrap_or_default().trim_end_matches([' ', ':']);
        format!("{words} ({})", self.number)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.number)
    }
}

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    AsText,
    /// The server takes one statement at a time this way.
    Prepared,
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
            .or_failed("cannot start the runtime of a connection")?;
        let waits = Waits { longest: CONNECT_TIMEOUT, ..account.waits.clone() };
        let connection = match runtime.block_on(waits.on(account.connect())) {
            Err(GivenUp::Cancelled) => return Err(account.waits.cancel.error()),
            Err(GivenUp::TooLong) => return Err(refusal::timed_out(account, CONNECT_TIMEOUT.as_secs())),
            Ok(Err(error)) => return Err(refusal::refused(account, error)),
            Ok(Ok(connection)) => connection,
        };
        let mut session = Self { runtime, connection: Some(connection), account: account.clone(), id: None };
        session.id = session.value("SELECT CONNECTION_ID()")?;
        if account.side() == Side::Destination {
            // Sessions begin read-only where transaction_read_only (MariaDB: tx_read_only) says so.
            session.rows("SET SESSION TRANSACTION READ WRITE")?;
        }
        Ok(session)
    }

    /// Run one statement, all rows as text.
    pub fn rows(&mut self, sql: &str) -> Result<Rows> {
        let rows = self.fetch(How::AsText, sql)?.map_err(|error| refusal::of_query(&self.account, error))?;
        self.texts(&rows)
    }

    /// The same, where the server may refuse: a refusal is an answer, a lost connection is an error.
    pub fn ask(&mut self, sql: &str) -> Result<std::result::Result<Rows, Refusal>> {
        self.asked(sql, Self::texts)
    }

    /// Run exactly one statement: the server reads the text as a whole, so that nothing in it can end it and begin another.
    pub fn one(&mut self, sql: &str) -> Result<std::result::Result<(), Refusal>> {
        /// What cannot be prepared was read as a whole to find that out.
        const NOT_TO_BE_PREPARED: u16 = 1295;
        match self.answer(How::Prepared, sql, |_, _| Ok(()))? {
            Err(refusal) if refusal.number == NOT_TO_BE_PREPARED => self.asked(sql, |_, _| Ok(())),
            done => Ok(done),
        }
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
        self.answer(How::AsText, sql, read)
    }

    fn answer<T>(
        &mut self,
        how: How,
        sql: &str,
        read: impl Fn(&Self, &[MySqlRow]) -> Result<T>,
    ) -> Result<std::result::Result<T, Refusal>> {
        match self.fetch(how, sql)? {
            Ok(rows) => Ok(Ok(read(self, &rows)?)),
            Err(error) => match error.as_database_error().and_then(|e| e.try_downcast_ref::<MySqlDatabaseError>()) {
                Some(said) => Ok(Err(Refusal { number: said.number(), message: said.message().to_owned() })),
                None => Err(Error::failed(format!("cannot query {}", self.account.describe())).because(error)),
            },
        }
    }

    fn fetch(&mut self, how: How, sql: &str) -> Result<sqlx::Result<Vec<MySqlRow>>> {
        let waits = self.account.waits.clone();
        let connection = self
            .connection
            .as_mut()
            .ok_or_else(|| Error::failed("cannot query the server: the connection is closed"))?;
        let sql = AssertSqlSafe(sql.to_owned());
        let query = async {
            match how {
                How::AsText => sqlx::raw_sql(sql).fetch_all(connection).await,
                How::Prepared => sqlx::query(sql).persistent(false).fetch_all(connection).await,
            }
        };
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
            bytes.or_failed(format!("cannot read the answer of {}", self.account.describe()))
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
    fn product_and_series_come_from_the_version_text() {
        assert_eq!(identity("10.11.19-MariaDB-0+deb12u1-log").series, "10.11");
        assert_eq!(identity("10.11.19-MariaDB-0+deb12u1-log").product, "MariaDB");
        assert_eq!(identity("9.7.4-1").series, "9.7");
        assert_eq!(identity("9.7.4-1").product, "MySQL");
    }
}
