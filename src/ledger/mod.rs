//! The ledger: durable local history of every run, in an embedded SQLite file. Metrics and `status` are rendered from it.
//!
//! Losing it loses history, never backups: the recovery points in it are what the repository last listed, and are
//! replaced at every listing. When this ledger began is part of it ([`LedgerSnapshot::created`]), so that whoever shows
//! its figures can say how far back they reach. The ledger knows nothing of engines, repositories or sandboxes; callers tell it what
//! happened in the words of [`crate::domain`].
//!
//! Four parts write and read what belongs together, and know of each other only what their `mod.rs` hands out: `runs` (what
//! was done and what was missed), `points` (what the repositories list and listed), `promises` (what was promised, of which
//! sources), `evidence` (seals, findings, test pages, what a report asks for). `snapshot`, `history` and `query` read across
//! them; `database` is the file underneath.
//!
//! Portability: many workers will share one PostgreSQL or MySQL later. So the schema has text identifiers, BIGINT
//! microseconds and bytes, DOUBLE PRECISION seconds and SMALLINT truth values; statements use no upsert dialect (a row
//! is looked for, then inserted or updated, in one transaction), no automatic keys, no functions of one product
//! (a test greps). What is SQLite's own — pragmas, `BEGIN IMMEDIATE`, error codes — is in `database` alone; the `?`
//! placeholders are the one thing that PostgreSQL writes differently. On MySQL the database has to be created with a
//! binary collation, because names differ by case.

use std::sync::Arc;

use self::database::Pool;
use crate::clock::Clock;

mod breaks;
mod database;
mod evidence;
pub mod history;
mod memory;
mod points;
mod promises;
mod query;
mod runs;
mod snapshot;
#[cfg(test)]
mod tests;
mod upkeep;

pub use breaks::{BreakFigures, ChainBreak};
pub use database::{HOW_TO_COPY, LedgerCopy, is_damage, is_in_use, set_aside};
pub use evidence::{
    ChainHead, ChangeFigures, Compared, ReportedRun, SealFault, SealWatch, Sealed, TableTotals, TestPage, TestPages,
};
pub use points::{Adopted, Gone, Reconciled, VanishedPoint};
pub use promises::{Asked, Configured, ConfiguredPeriod, ForecastBasis, KnownSource};
pub use query::DrilledPoints;
pub use runs::{
    LastRuns, LineBytes, LiveRun, MissedRuns, NOT_PROVED, Operation, Outcome, PROVED_CHAIN, PointRow, REPLAYED_BYTES,
    REPLAYED_TRANSACTIONS, Run, RunId, RunReport, RunResult, RunStart,
};
pub use snapshot::{
    BackupFigures, DrillFigures, KindFigures, LedgerSnapshot, PointFigures, RTO_WINDOW_DAYS, RtoSummary,
    RunningOperation, SourceFigures,
};

pub use upkeep::{PartRead, REPOSITORY_PARTS, Upkeep, UpkeepFigures, UpkeepOutcome, UpkeepRun};

/// File name of the ledger inside the state directory.
pub const FILE_NAME: &str = "ledger.sqlite";

/// An open ledger. Clones share one pool of connections; any number of processes may have the same file open.
#[derive(Clone)]
pub struct Ledger {
    pool: Pool,
    clock: Arc<dyn Clock>,
    process: Arc<str>,
    /// The file, and which one it was when it was opened.
    place: Arc<(std::path::PathBuf, Option<(u64, u64)>)>,
    /// The greatest length that it was seen to have. It never becomes shorter by itself.
    longest: Arc<std::sync::atomic::AtomicU64>,
}
