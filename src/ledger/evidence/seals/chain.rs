//! The chain: what one seal says, and how the next one stands on it.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use crate::domain::digest::Digest;
use crate::error::{Error, Result};
use crate::ledger::database::stored::{self, ROWS_PER_INSERT, column};
use crate::ledger::database::{Builder, Connection, ledger_error};

/// Kinds of records that are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::ledger) enum Subject {
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
    /// A source that did not continue its newest backup.
    Break,
    /// From when until when moments between two that can be restored could not be.
    Gap,
    /// From here on records of another kind are sealed. It is an entry of the chain and no record.
    Adoption,
}

impl Subject {
    /// Every kind of which there are records.
    pub(super) const ALL: [Self; 15] = [
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
        Self::Break,
        Self::Gap,
    ];

    /// Those that earlier versions did not seal. An [`Self::Adoption`] says from where on they are.
    pub(super) const LATER: [Self; 6] =
        [Self::Listed, Self::Vanished, Self::Repository, Self::Origin, Self::Break, Self::Gap];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Adoption]).find(|it| it.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
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
            Self::Break => "break",
            Self::Gap => "gap",
        }
    }

    /// For people, with the name of the record behind it.
    pub(super) fn title(self) -> &'static str {
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
            Self::Break => "break of a chain",
            Self::Gap => "gap between restorable moments",
        }
    }
}

/// One record that is to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) subject: Subject,
    /// Which one: the columns that identify it, with slashes between them.
    pub(super) name: String,
    /// SHA-256 of the canonical form of what never changes.
    pub(super) content: String,
    /// The rest.
    pub(super) state: String,
}

/// State of a record that is no longer kept, as it should be after so long a time.
pub(super) const FORGOTTEN: &str = "forgotten";
/// What the first seal binds.
pub(super) const BEGINNING: &str = "";

/// The end of the chain: whoever knows it can tell later whether anything before it was changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChainHead {
    /// Number of the last entry, from 1; 0 for a ledger that has none.
    pub position: u64,
    /// Its seal, 64 hexadecimal digits; empty for a ledger that has none.
    pub seal: String,
}

pub(super) fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot seal records", error)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    Digest(Sha256::digest(bytes).into()).to_string()
}

/// The seal of an entry: SHA-256 of a JSON array of all it says and of the seal before it.
pub(super) fn seal_of(position: i64, entry: &Entry, sealed_at: i64, previous: &str) -> String {
    let Entry { subject, name, content, state } = entry;
    hex(serde_json::json!([position, subject.name(), name, content, state, sealed_at, previous]).to_string().as_bytes())
}

pub(super) async fn head(tx: &mut Connection) -> Result<(i64, String)> {
    let last = "SELECT position, seal FROM seals ORDER BY position DESC LIMIT 1";
    let row = sqlx::query(last).fetch_optional(tx).await.map_err(failed)?;
    row.map_or(Ok((0, BEGINNING.to_owned())), |row| Ok((column(&row, "position")?, column(&row, "seal")?)))
}

/// Append entries to the chain, in the transaction that wrote the records.
pub(super) async fn append(tx: &mut Connection, entries: &[Entry], now: DateTime<Utc>) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let (last, mut previous) = head(tx).await?;
    let sealed_at = stored::micros(now);
    let mut numbered = Vec::new();
    for (offset, entry) in (1..).zip(entries) {
        let position =
            last.checked_add(offset).ok_or_else(|| Error::failed("cannot seal records: the chain of seals is full"))?;
        previous = seal_of(position, entry, sealed_at, &previous);
        numbered.push((position, entry, previous.clone()));
    }
    for chunk in numbered.chunks(ROWS_PER_INSERT) {
        let mut insert = Builder::new("INSERT INTO seals (position, subject, name, content, state, sealed_at, seal) ");
        insert.push_values(chunk, |mut row, (position, entry, seal)| {
            row.push_bind(*position).push_bind(entry.subject.name()).push_bind(entry.name.clone());
            row.push_bind(entry.content.clone()).push_bind(entry.state.clone());
            row.push_bind(sealed_at).push_bind(seal.clone());
        });
        insert.build().execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(())
}
