//! A copy of a ledger that somebody was given as evidence: looked at, never touched. Nothing is created, migrated or
//! written, neither into the file nor beside it, so that it stays what was handed over.
//!
//! A copy is taken as it is: whatever SQLite would have to put right first (a log beside it, an older schema) is a reason to
//! refuse it and to say how a good one is made.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::migrate::{AppliedMigration, Migrate as _, MigrateError};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::Pool;
use super::failure::ledger_error;
use super::open::MIGRATIONS;
use super::schema::damage;
use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::ledger::Ledger;
use crate::ledger::evidence::{ChainHead, SealFault, Sealed};
use crate::process::identity::own;

/// How a copy is made that is complete in itself.
pub const HOW_TO_COPY: &str = "a complete copy is made beside the ledger, also while the service runs, with \
     `sqlite3 ledger.sqlite \".backup copy.sqlite\"` or `sqlite3 ledger.sqlite \"VACUUM INTO 'copy.sqlite'\"`";

/// First bytes of every SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// A copy of a ledger, open for reading.
pub struct LedgerCopy {
    ledger: Ledger,
    shown: String,
}

impl LedgerCopy {
    /// Open a copy.
    ///
    /// Errors, all of [`Kind::Configuration`]: there is no such file, it is no ledger, it is not complete without another
    /// file beside it, or another version of this program wrote it.
    pub async fn open(file: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let shown = file.display().to_string();
        let refused = |error| unusable(&shown, error);
        let place = check_file(file).map_err(refused)?;
        let pool = connect(&place).await.map_err(refused)?;
        let ledger =
            Ledger { pool, clock, process: own().into(), place: Arc::new((place, None)), longest: Arc::default() };
        check_schema(&ledger.pool).await.map_err(refused)?;
        Ok(Self { ledger, shown })
    }

    /// Compare all records with their seals, as [`Ledger::verify_seals`] does, and the file with itself.
    ///
    /// Errors, of [`Kind::Configuration`]: the copy is so damaged that it cannot be read to its end.
    pub async fn verify_seals(&self, known: &[ChainHead]) -> Result<Sealed> {
        let looked = async {
            let damage = damage(&mut *self.ledger.read().await?).await?;
            Ok((damage, self.ledger.verify_seals(known).await?))
        };
        let (damage, mut sealed) = looked.await.map_err(|e: Error| unusable(&self.shown, e).hint(HOW_TO_COPY))?;
        if let Some(damage) = damage {
            let why = "it was not copied as a whole, or changed by something that is not SQLite";
            sealed.faults.insert(0, SealFault { what: format!("the file is damaged ({damage}): {why}") });
            sealed.fault_count += 1;
        }
        Ok(sealed)
    }
}

fn unusable(shown: &str, error: Error) -> Error {
    error.context(format!("cannot read ledger copy `{shown}`")).with_kind(Kind::Configuration)
}

fn no_ledger(what: impl Into<String>) -> Error {
    Error::configuration(what).hint(format!("name a copy of `ledger.sqlite` from a state directory; {HOW_TO_COPY}"))
}

/// The file that is really there, if it is a database that is complete in itself.
fn check_file(file: &Path) -> Result<PathBuf> {
    let unreadable = |e: std::io::Error| no_ledger("it cannot be opened").because(e);
    let place = file.canonicalize().map_err(unreadable)?;
    if !std::fs::metadata(&place).map_err(unreadable)?.is_file() {
        return Err(no_ledger("it is no regular file"));
    }
    let mut start = Vec::new();
    let opened = File::open(&place).map_err(unreadable)?;
    opened.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(unreadable)?;
    if start != MAGIC {
        return Err(no_ledger("it is no SQLite database"));
    }
    // A link and its target may lie in different directories, and either may have been copied with a log.
    for path in [file, &place] {
        for suffix in ["-wal", "-journal"] {
            let mut beside = OsString::from(path);
            beside.push(suffix);
            if std::fs::metadata(&beside).is_ok_and(|facts| facts.len() > 0) {
                let what = format!(
                    "it is not complete without `{}`, and joining the two would change it",
                    Path::new(&beside).display()
                );
                return Err(Error::configuration(what).hint(format!("ask for a copy that is one file: {HOW_TO_COPY}")));
            }
        }
    }
    Ok(place)
}

async fn connect(place: &Path) -> Result<Pool> {
    let options = SqliteConnectOptions::new()
        .filename(place)
        .read_only(true)
        // No locks and no shared memory: it can be read where nothing can be written.
        .immutable(true)
        // Whoever made the file may have put anything into its schema.
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON");
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
    pool.map_err(|e| no_ledger("it cannot be opened").because(e))
}

async fn check_schema(pool: &Pool) -> Result<()> {
    let is_none = |e: MigrateError| no_ledger("it is no ledger of backup-sla").because(e);
    let mut connection = pool.acquire().await.map_err(|e| ledger_error("cannot connect to it", e))?;
    let applied = connection.list_applied_migrations(&MIGRATIONS.table_name).await.map_err(is_none)?;
    match connection.dirty_version(&MIGRATIONS.table_name).await.map_err(is_none)? {
        Some(version) => Err(half_migrated(version)),
        None => check_versions(&applied),
    }
}

fn check_versions(applied: &[AppliedMigration]) -> Result<()> {
    let known = |version: i64| MIGRATIONS.iter().find(|it| it.version == version);
    let newest = MIGRATIONS.iter().map(|it| it.version).max().unwrap_or(0);
    let last = applied.iter().map(|it| it.version).max();
    let Some(last) = last else { return Err(no_ledger("it is no ledger of backup-sla")) };
    if last > newest {
        let what = format!("it was written by a newer version of backup-sla (schema version {last})");
        return Err(Error::configuration(what).hint("verify it with the version that wrote it, or a newer one"));
    }
    if let Some(other) = applied.iter().find(|it| known(it.version).is_none_or(|ours| ours.checksum != it.checksum)) {
        let what = format!("it was written by a development build (schema version {} differs)", other.version);
        let hint = "it was written by a development build: verify it with that one";
        return Err(Error::configuration(what).hint(hint));
    }
    if MIGRATIONS.iter().all(|ours| applied.iter().any(|it| it.version == ours.version)) {
        return Ok(());
    }
    let what = format!("it was written by an older version of backup-sla (schema version {last}, not {newest})");
    Err(Error::configuration(what).hint(
        "it is not brought up to date, because that would change it: verify it with the version that wrote it, or have it \
         copied again when the service has been updated; what was sealed before stays sealed",
    ))
}

fn half_migrated(version: i64) -> Error {
    let what = format!("the update of its schema to version {version} was not finished");
    Error::configuration(what).hint(format!("start the service, and copy the ledger again: {HOW_TO_COPY}"))
}
