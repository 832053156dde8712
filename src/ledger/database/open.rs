//! Opening the file: permissions, migrations, and everything that is SQLite's own.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::failure::ledger_error;
use super::lock::{identity, lock, was_in_use};
use super::schema::{NO_TABLES, is_bare};
use super::set_aside::{Found, note_loss};
use super::{Pool, Transaction, stored};
use crate::clock::Clock;
use crate::error::{Error, OrFailed, Result, Side};
use crate::ledger::{FILE_NAME, Ledger};
use crate::process::identity::own;
use crate::run_context::Cancel;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("src/ledger/migrations");

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections per process: one writer at a time anyway, a few readers beside it.
const CONNECTIONS: u32 = 4;

impl Ledger {
    /// Open the ledger in `state_dir`, creating both where they are missing (mode 0700 and 0600), bring its schema up
    /// to date and mark the runs whose process is gone.
    ///
    /// Errors: the directory cannot be used, the file is damaged, or a newer version of this program wrote it.
    pub async fn open(state_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_until(state_dir, clock, &Cancel::default()).await
    }

    /// The same; another process that makes or mends the ledger is waited for no longer than until `stop`.
    pub async fn open_until(state_dir: &Path, clock: Arc<dyn Clock>, stop: &Cancel) -> Result<Self> {
        Self::open_expecting(state_dir, clock, stop, Expected::WhatWasThere).await
    }

    pub(super) async fn open_expecting(
        state_dir: &Path,
        clock: Arc<dyn Clock>,
        stop: &Cancel,
        expected: Expected,
    ) -> Result<Self> {
        let file = state_dir.join(FILE_NAME);
        let (directory, stop, now) = (state_dir.to_owned(), stop.clone(), clock.wall());
        // One that was used has tables. One without was emptied, and something was written to it after that.
        let has_bytes = std::fs::metadata(&file).is_ok_and(|facts| facts.len() > 0);
        let must_have_tables = expected == Expected::WhatWasThere && has_bytes && was_in_use(state_dir)?;
        // Held until the schema is there: two processes must not create it at the same time.
        let prepared = tokio::task::spawn_blocking(move || prepare(&directory, &stop, now, expected));
        let lock = prepared.await.or_failed("cannot prepare the ledger")??;
        let pool = connect(&file, must_have_tables)
            .await
            .map_err(|e| e.context(format!("cannot open ledger `{}`", file.display())))?;
        drop(lock);
        let place = Arc::new((file.clone(), identity(&file)));
        let longest = Arc::default();
        let ledger = Self { pool, clock, longest, process: own().into(), place };
        ledger.begin_ledger().await?;
        ledger.seal_what_is_there().await?;
        ledger.recover().await?;
        Ok(ledger)
    }

    /// Write when this ledger began, once.
    async fn begin_ledger(&self) -> Result<()> {
        let failed = |e| ledger_error("cannot write down when the ledger began", e);
        let dates = "SELECT COUNT(*) FROM ledger_origin";
        let known: i64 = sqlx::query_scalar(dates).fetch_one(&self.pool).await.map_err(failed)?;
        if known > 0 {
            return Ok(());
        }
        let mut tx = self.write().await?;
        let known: i64 = sqlx::query_scalar(dates).fetch_one(&mut *tx).await.map_err(failed)?;
        if known == 0 {
            sqlx::query("INSERT INTO ledger_origin (created_at) VALUES (?)")
                .bind(stored::micros(self.clock.wall()))
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    /// Errors: the file was removed or replaced since it was opened. Then what is written goes nowhere.
    pub fn check_place(&self) -> Result<()> {
        let (file, opened) = &*self.place;
        if opened.is_some() && identity(file) == *opened {
            return Ok(());
        }
        let what = format!("cannot use ledger `{}`: it was removed or replaced while it was open", file.display());
        Err(Error::failed(what).hint("restart the service: it starts a new ledger from what the repositories list"))
    }

    /// Whether somebody removed the file while it was open, or put another in its place, and the state directory is still there.
    pub fn is_lost(&self) -> bool {
        let (file, opened) = &*self.place;
        let is_there = file.parent().is_some_and(|directory| directory.join("locks").is_dir());
        let is_other = match std::fs::metadata(file) {
            Ok(facts) => Some((facts.dev(), facts.ino())) != *opened,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        is_there && opened.is_some() && is_other
    }

    /// Whether somebody emptied the file while it was open: SQLite would not notice before it reads what it has not yet, and what
    /// it writes meanwhile gives the file a few bytes again.
    pub fn is_emptied(&self) -> bool {
        let (file, opened) = &*self.place;
        let Ok(facts) = std::fs::metadata(file) else { return false };
        let longest = self.longest.fetch_max(facts.len(), Ordering::SeqCst);
        (facts.len() == 0 || facts.len() < longest) && Some((facts.dev(), facts.ino())) == *opened
    }

    /// A transaction that will write. SQLite has to know at its begin: a reader that becomes a writer fails at once
    /// where another wrote in between, instead of waiting.
    pub(in crate::ledger) async fn write(&self) -> Result<Transaction> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|e| ledger_error("cannot write to the ledger", e))
    }

    /// A transaction that only reads, and sees one state of the ledger throughout.
    pub(in crate::ledger) async fn read(&self) -> Result<Transaction> {
        self.pool.begin().await.map_err(|e| ledger_error("cannot read the ledger", e))
    }

    /// Close all connections and fold the write-ahead log into the file. Clones are closed too.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

async fn connect(file: &Path, must_have_tables: bool) -> Result<Pool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        // What `finish` reported as written survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT * 2)
        // SQLite ends a transaction by itself where its disk is full; the driver then believes it to be open for ever. A
        // connection that is not as it was is not used again.
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await
        .map_err(|e| ledger_error("cannot connect to it", e))?;
    if must_have_tables && is_bare(&pool).await.map_err(|e| ledger_error("cannot read it", e))? {
        pool.close().await;
        return Err(ledger_error("cannot use it", sqlx::Error::Database(Box::new(Found(NO_TABLES.to_owned())))));
    }
    if let Err(error) = MIGRATIONS.run(&pool).await {
        pool.close().await;
        return Err(migration_error(error));
    }
    Ok(pool)
}

/// What a caller expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The ledger, if there ever was one: its loss is told.
    WhatWasThere,
    /// None: it was put beside a moment ago, and that was told.
    Nothing,
}

/// Create the directory and the file with private modes; returns the lock that is to be held while migrating.
fn prepare(state_dir: &Path, stop: &Cancel, now: DateTime<Utc>, expected: Expected) -> Result<File> {
    let shown = state_dir.display();
    let hint = "set `state_dir` to a directory that the user who runs backup-sla may write";
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(|e| {
        Error::failed(format!("cannot create state directory `{shown}`")).because(e).hint(hint).on(Side::State)
    })?;
    let lock = lock(state_dir, stop)?;
    if expected == Expected::WhatWasThere {
        note_loss(state_dir, now)?;
    }
    private_file(&state_dir.join(FILE_NAME))?;
    Ok(lock)
}

/// Make the ledger's files mode 0600. An existing file is never opened here: closing it would release the locks that
/// another pool in this process holds on it.
fn private_file(file: &Path) -> Result<()> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(file) {
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(Error::failed(format!("cannot create ledger `{}`", file.display())).because(e)),
    }
    let beside = ["", "-wal", "-shm"].map(|suffix| {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    });
    for path in beside {
        match std::fs::metadata(&path) {
            Ok(facts) if facts.permissions().mode() & 0o777 == 0o600 => {}
            Ok(_) => std::fs::set_permissions(&path, Permissions::from_mode(0o600))
                .or_failed(format!("cannot make `{}` private", path.display()))?,
            Err(_) => {}
        }
    }
    Ok(())
}

fn migration_error(error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
            Error::failed(format!("it was written by a newer version of backup-sla (schema version {version})"))
                .hint("run the version that wrote it, or a newer one; an older one would misread it")
        }
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            Error::failed(format!("it was written by a development build (schema version {version} differs)"))
                .hint("run that build, or move the file away to begin a new one: the history of backups and drills begins again, recovery points stay")
        }
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => ledger_error("cannot update its schema", e),
        other => Error::failed("cannot update its schema").because(other),
    }
}
