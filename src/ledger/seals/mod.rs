//! Evidence: every record of the ledger that a report speaks of is sealed when it is written, and each seal binds the
//! one before it. Whoever changes, removes or inserts a record of the past leaves a chain that does not fit the records
//! any more; whoever makes the whole chain anew leaves one that does not contain the seals that signed reports name.
//!
//! A record has a part that never changes, of which the digest is kept, and a state: a run is running and then has a result,
//! a recovery point is there and then gone. A change of state is sealed again, and [`transition`] says which changes there can
//! be: one that cannot is found for ever, whoever sealed it. This module knows nothing of reports.

mod later;
mod print;
mod records;
mod transition;
mod verify;
mod watch;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::failure::ledger_error;
use super::record::ROWS_PER_INSERT;
use super::stored::{self, column};
use super::{Ledger, RunId};
use crate::domain::digest::Digest;
use crate::error::{Error, Result};

pub(super) use later::{Sealable, seal_repository, sealed_repository};
pub use verify::{SealFault, Sealed};
pub use watch::SealWatch;

/// Kinds of records that are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// The ledger itself: when it began.
    Ledger,
    /// A run; once it has ended with its stages, checks, tables and details.
    Run,
    /// Runs that did not begin.
    Missed,
    /// A source and since when it is known.
    Source,
    /// From when until when a source was configured, or a work of it.
    Configured,
    /// Objectives that came into force.
    Promise,
    /// From when until when a recovery point could be restored.
    Point,
    /// A page that was raised for a test.
    TestPage,
    /// A recovery point as the repository last listed it.
    Listed,
    /// A recovery point that went away before the end of its retention, and what was said of that since.
    Vanished,
    /// The repository that is meant by a name.
    Repository,
    /// How many of the first entries are of records that were there before there were seals.
    Origin,
    /// What was found in a backup.
    Change,
    /// From here on records of another kind are sealed. It is an entry of the chain and no record.
    Adoption,
}

impl Subject {
    /// Every kind of which there are records.
    const ALL: [Self; 13] = [
        Self::Ledger,
        Self::Run,
        Self::Missed,
        Self::Source,
        Self::Configured,
        Self::Promise,
        Self::Point,
        Self::TestPage,
        Self::Listed,
        Self::Vanished,
        Self::Repository,
        Self::Origin,
        Self::Change,
    ];

    /// Those that earlier versions did not seal. An [`Self::Adoption`] says from where on they are.
    const LATER: [Self; 4] = [Self::Listed, Self::Vanished, Self::Repository, Self::Origin];

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Adoption]).find(|it| it.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Run => "run",
            Self::Missed => "missed",
            Self::Source => "source",
            Self::Configured => "configured",
            Self::Promise => "promise",
            Self::Point => "point",
            Self::TestPage => "test_page",
            Self::Listed => "listed",
            Self::Vanished => "vanished",
            Self::Repository => "repository",
            Self::Origin => "origin",
            Self::Adoption => "adoption",
            Self::Change => "change",
        }
    }

    /// For people, with the name of the record behind it.
    fn title(self) -> &'static str {
        match self {
            Self::Ledger => "begin of the ledger at",
            Self::Run => "run",
            Self::Missed => "missed runs",
            Self::Source => "source",
            Self::Configured => "configured period of",
            Self::Promise => "objectives",
            Self::Point => "recovery point",
            Self::TestPage => "test page",
            Self::Listed => "listed recovery point",
            Self::Vanished => "vanished mark of recovery point",
            Self::Repository => "identity of repository",
            Self::Origin => "number of records from before there were seals,",
            Self::Adoption => "first sealing of records of the kind",
            Self::Change => "comparison of recovery point",
        }
    }
}

/// One record that is to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    subject: Subject,
    /// Which one: the columns that identify it, with slashes between them.
    name: String,
    /// SHA-256 of the canonical form of what never changes.
    content: String,
    /// The rest.
    state: String,
}

/// State of a record that is no longer kept, as it should be after so long a time.
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
fn seal_of(position: i64, entry: &Entry, sealed_at: i64, previous: &str) -> String {
    let Entry { subject, name, content, state } = entry;
    hex(serde_json::json!([position, subject.name(), name, content, state, sealed_at, previous]).to_string().as_bytes())
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
    let (last, mut previous) = head(tx).await?;
    let sealed_at = stored::micros(now);
    let mut numbered = Vec::new();
    for (offset, entry) in (1..).zip(entries) {
        let position = last.checked_add(offset).ok_or_else(|| Error::failed("seal records: the chain has no end"))?;
        previous = seal_of(position, entry, sealed_at, &previous);
        numbered.push((position, entry, previous.clone()));
    }
    for chunk in numbered.chunks(ROWS_PER_INSERT) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO seals (position, subject, name, content, state, sealed_at, seal) ",
        );
        insert.push_values(chunk, |mut row, (position, entry, seal)| {
            row.push_bind(*position).push_bind(entry.subject.name()).push_bind(entry.name.clone());
            row.push_bind(entry.content.clone()).push_bind(entry.state.clone());
            row.push_bind(sealed_at).push_bind(seal.clone());
        });
        insert.build().execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(())
}

/// Seal runs that begin or have ended.
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

/// Seal from when until when `source`, or a work of it, was configured: the period that began with `revision`.
pub(super) async fn seal_configured(
    tx: &mut SqliteConnection,
    source: &str,
    revision: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let query = sqlx::query("SELECT * FROM configured WHERE source = ? AND revision = ?").bind(source).bind(revision);
    let entries = records::fetch(tx, Subject::Configured, query).await?;
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

/// Seal what was found in backups of `source`, or that it was accepted.
pub(super) async fn seal_changes(
    tx: &mut SqliteConnection,
    source: &str,
    points: &[&str],
    now: DateTime<Utc>,
) -> Result<()> {
    let mut entries = Vec::new();
    for point in points {
        let query =
            sqlx::query("SELECT * FROM changes WHERE source = ? AND recovery_point = ?").bind(source).bind(*point);
        entries.extend(records::fetch(tx, Subject::Change, query).await?);
    }
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
        FORGOTTEN.clone_into(&mut entry.state);
    }
    append(tx, &entries, now).await
}

impl Ledger {
    /// Seal what an older version of this program wrote, once. A ledger that was sealed before is not sealed again: what is
    /// missing there was removed.
    pub(super) async fn seal_what_is_there(&self) -> Result<()> {
        const DONE: &str = "SELECT COUNT(*) FROM seal_origin";
        let done: i64 = sqlx::query_scalar(DONE).fetch_one(&self.pool).await.map_err(failed)?;
        if done > 0 {
            return self.seal_later_kinds().await;
        }
        let mut tx = self.write().await?;
        let done: i64 = sqlx::query_scalar(DONE).fetch_one(&mut *tx).await.map_err(failed)?;
        if done > 0 {
            drop(tx);
            return self.seal_later_kinds().await;
        }
        let now = self.clock.wall();
        for subject in Subject::ALL.into_iter().filter(|it| !Subject::LATER.contains(it)) {
            let mut pages = records::Pages::of(subject);
            loop {
                let entries = pages.next(&mut tx).await?;
                if entries.is_empty() {
                    break;
                }
                append(&mut tx, &entries, now).await?;
            }
        }
        let (adopted, _) = head(&mut tx).await?;
        let note = sqlx::query("INSERT INTO seal_origin (adopted) VALUES (?)").bind(adopted);
        note.execute(&mut *tx).await.map_err(failed)?;
        later::adopt(&mut tx, now).await?;
        tx.commit().await.map_err(failed)
    }
}
