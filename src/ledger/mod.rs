//! The ledger: durable local history of every run, in an embedded SQLite file. Metrics and `status` are rendered from it.
//!
//! Losing it loses history, never backups: the recovery points in it are what the repository last listed, and are
//! replaced at every listing. When this ledger began is part of it ([`LedgerSnapshot::created`]), so that whoever shows
//! its figures can say how far back they reach. The ledger knows nothing of engines, repositories or sandboxes; callers tell it what
//! happened in the words of [`crate::domain`].
//!
//! Portability: many workers will share one PostgreSQL or MySQL later. So the schema has text identifiers, BIGINT
//! microseconds and bytes, DOUBLE PRECISION seconds and SMALLINT truth values; statements use no upsert dialect (a row
//! is looked for, then inserted or updated, in one transaction), no automatic keys, no functions of one product
//! (a test greps). What is SQLite's own — pragmas, `BEGIN IMMEDIATE`, error codes — is in `open`, `copy` and `schema` alone; the `?`
//! placeholders are the one thing that PostgreSQL writes differently. On MySQL the database has to be created with a
//! binary collation, because names differ by case.

use std::sync::Arc;

use self::database::Pool;
use crate::clock::Clock;

mod begin_anew;
mod changes;
mod configured;
mod copy;
mod facts;
mod failure;
mod forecasts;
mod gone;
pub mod history;
mod identities;
mod last_runs;
mod lock;
mod memory;
mod missed;
mod open;
mod points;
mod promises;
mod query;
mod record;
mod reports;
mod run;
mod running;
mod schema;
mod seals;
mod set_aside;
mod snapshot;
mod sources;
mod stored;
mod suspects;
mod test_pages;
#[cfg(test)]
mod tests;
mod unreadable;
mod vanished;

pub use changes::{ChangeFigures, Compared};
pub use configured::{Asked, Configured, ConfiguredPeriod};
pub use copy::{HOW_TO_COPY, LedgerCopy};
pub use forecasts::ForecastBasis;
pub use gone::Gone;
pub use identities::Adopted;
pub use last_runs::LastRuns;
pub use lock::is_in_use;
pub use missed::MissedRuns;
pub use points::Reconciled;
pub use reports::{ReportedRun, TableTotals};
pub use run::{Operation, Outcome, PointRow, Run, RunId, RunReport, RunResult, RunStart};
pub use running::LiveRun;
pub use seals::{ChainHead, SealFault, SealWatch, Sealed};
pub use set_aside::{is_damage, set_aside};
pub use snapshot::{
    BackupFigures, DrillFigures, LedgerSnapshot, PointFigures, RTO_WINDOW_DAYS, RtoSummary, RunningOperation,
    SourceFigures,
};
pub use sources::KnownSource;
pub use test_pages::{TestPage, TestPages};
pub use vanished::VanishedPoint;

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
}
