//! Evidence: every record of the ledger that a report speaks of is sealed when it is written, and each seal binds the
//! one before it. Whoever changes, removes or inserts a record of the past leaves a chain that does not fit the records
//! any more; whoever makes the whole chain anew leaves one that does not contain the seals that signed reports name.
//!
//! A record that changes as it should (a recovery point that goes away, a run that was taken for interrupted and reports
//! after all) is sealed again, and the newest entry is the one that counts. This module knows nothing of reports.

mod records;
mod verify;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::open::ledger_error;
use super::record::ROWS_PER_INSERT;
use super::stored::{self, column};
use super::{Ledger, RunId};
use crate::domain::digest::Digest;
use crate::error::{Error, Result};

pub use verify::{SealFault, Sealed};

/// Kinds of records that are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// A run with its stages, checks, tables and details, once it has ended.
    Run,
    /// Runs that did not begin.
    Missed,
    /// A source and since when it is known.
    Source,
    /// Objectives that came into force.
    Promise,
    /// From when until when a recovery point could be restored.
    Point,
    /// A page that was raised for a test.
    TestPage,
}

impl Subject {
    const ALL: [Self; 6] = [Self::Run, Self::Missed, Self::Source, Self::Promise, Self::Point, Self::TestPage];

    fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Missed => "missed",
            Self::Source => "source",
            Self::Promise => "promise",
            Self::Point => "point",
            Self::TestPage => "test_page",
        }
    }

    /// For people, with the name of the record behind it.
    fn title(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Missed => "missed runs",
            Self::Source => "source",
            Self::Promise => "objectives",
            Self::Point => "recovery point",
            Self::TestPage => "test page",
        }
    }
}

/// One record that is to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    subject: Subject,
    /// Which one: the columns that identify it, with slashes between them.
    name: String,
    /// SHA-256 of its canonical form, or [`FORGOTTEN`].
    content: String,
}

/// In place of a digest: the record is no longer kept, as it should be after so long a time.
const FORGOTTEN: &str = "forgotten";
/// What the first seal binds.
const BEGINNING: &str = "";

/// The end of the chain: whoever knows it can tell later whether anything before it was changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChainHead {
    /// Number of the last entry, from 1; 0 for a ledger that has none.
    pub position: u64,
    /// Its seal, 64 hexadecimal digits; empty for a ledger that has none.
    pub seal: String,
}

fn failed(error: sqlx::Error) -> Error {
    ledger_error("seal records", error)
}

fn hex(bytes: &[u8]) -> String {
    Digest(Sha256::digest(bytes).into()).to_string()
}

/// The seal of an entry: SHA-256 of a JSON array of all it says and of the seal before it.
fn seal_of(position: i64, entry: (&str, &str, &str), sealed_at: i64, previous: &str) -> String {
    let (subject, name, content) = entry;
    hex(serde_json::json!([position, subject, name, content, sealed_at, previous]).to_string().as_bytes())
}

async fn head(tx: &mut SqliteConnection) -> Result<(i64, String)> {
    let last = "SELECT position, seal FROM seals ORDER BY position DESC LIMIT 1";
    let row = sqlx::query(last).fetch_optional(tx).await.map_err(failed)?;
    row.map_or(Ok((0, BEGINNING.to_owned())), |row| Ok((column(&row, "position")?, column(&row, "seal")?)))
}

/// Append entries to the chain, in the transaction that wrote the records.
async fn append(tx: &mut SqliteConnection, entries: &[Entry], now: DateTime<Utc>) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let (mut position, mut previous) = head(tx).await?;
    let sealed_at = stored::micros(now);
    for chunk in entries.chunks(ROWS_PER_INSERT) {
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO seals (position, subject, name, content, sealed_at, seal) ");
        insert.push_values(chunk, |mut row, entry| {
            position += 1;
            let said = (entry.subject.name(), entry.name.as_str(), entry.content.as_str());
            previous = seal_of(position, said, sealed_at, &previous);
            row.push_bind(position).push_bind(said.0).push_bind(entry.name.clone()).push_bind(entry.content.clone());
            row.push_bind(sealed_at).push_bind(previous.clone());
        });
        insert.build().execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(())
}

/// Seal runs that have ended.
pub(super) async fn seal_runs(tx: &mut SqliteConnection, runs: &[RunId], now: DateTime<Utc>) -> Result<()> {
    let entries = records::runs(tx, runs).await?;
    append(tx, &entries, now).await
}

/// Seal a source.
pub(super) async fn seal_source(tx: &mut SqliteConnection, source: &str, now: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("SELECT * FROM sources WHERE name = ?").bind(source);
    let entries = records::fetch(tx, Subject::Source, query).await?;
    append(tx, &entries, now).await
}

/// Seal the objectives that came into force for `source` with `revision`.
pub(super) async fn seal_promise(
    tx: &mut SqliteConnection,
    source: &str,
    revision: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let query = sqlx::query("SELECT * FROM promises WHERE source = ? AND revision = ?").bind(source).bind(revision);
    let entries = records::fetch(tx, Subject::Promise, query).await?;
    append(tx, &entries, now).await
}

/// Seal missed runs of `source`: those of this operation and kind whose first one was due at `first`.
pub(super) async fn seal_missed(
    tx: &mut SqliteConnection,
    source: &str,
    (operation, kind, first): (&str, &str, i64),
    now: DateTime<Utc>,
) -> Result<()> {
    let known = "SELECT * FROM missed_runs WHERE source = ? AND operation = ? AND kind = ? AND first_at = ?";
    let query = sqlx::query(known).bind(source).bind(operation).bind(kind).bind(first);
    let entries = records::fetch(tx, Subject::Missed, query).await?;
    append(tx, &entries, now).await
}

/// Seal the recovery points of `source` that appeared or went away with `revision`.
pub(super) async fn seal_points(
    tx: &mut SqliteConnection,
    source: &str,
    revision: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let changed = "SELECT * FROM point_lifetimes WHERE source = ? AND seen_revision = ? \
         UNION ALL SELECT * FROM point_lifetimes WHERE source = ? AND gone_revision = ? AND seen_revision <> ?";
    let query = sqlx::query(changed).bind(source).bind(revision).bind(source).bind(revision).bind(revision);
    let entries = records::fetch(tx, Subject::Point, query).await?;
    append(tx, &entries, now).await
}

/// Seal a test page.
pub(super) async fn seal_test_page(tx: &mut SqliteConnection, revision: i64, now: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("SELECT * FROM test_pages WHERE revision = ?").bind(revision);
    let entries = records::fetch(tx, Subject::TestPage, query).await?;
    append(tx, &entries, now).await
}

/// Note that recovery points of `source` that went away before `before` are about to be forgotten.
pub(super) async fn forget_points(
    tx: &mut SqliteConnection,
    source: &str,
    before: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let old = "SELECT * FROM point_lifetimes WHERE source = ? AND gone_at < ?";
    let mut entries = records::fetch(tx, Subject::Point, sqlx::query(old).bind(source).bind(before)).await?;
    for entry in &mut entries {
        FORGOTTEN.clone_into(&mut entry.content);
    }
    append(tx, &entries, now).await
}

impl Ledger {
    /// Seal what an older version of this program wrote, once: a ledger that has no seal yet.
    pub(super) async fn seal_what_is_there(&self) -> Result<()> {
        let sealed: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM seals").fetch_one(&self.pool).await.map_err(failed)?;
        if sealed > 0 {
            return Ok(());
        }
        let mut tx = self.write().await?;
        if head(&mut tx).await?.0 == 0 {
            let now = self.clock.wall();
            for subject in Subject::ALL {
                let mut known = 0;
                loop {
                    let entries = records::page(&mut tx, subject, known).await?;
                    if entries.is_empty() {
                        break;
                    }
                    append(&mut tx, &entries, now).await?;
                    known += entries.len();
                }
            }
            tx.commit().await.map_err(failed)?;
        }
        Ok(())
    }
}
