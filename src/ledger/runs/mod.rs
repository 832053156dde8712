//! What was done: runs with their results, those that run now, those that did not begin.

mod last_runs;
pub(in crate::ledger) mod missed;
mod past;
mod record;
mod run;
mod running;

pub use last_runs::LastRuns;
pub use missed::MissedRuns;
pub(in crate::ledger) use missed::newest_missed;
pub(in crate::ledger) use past::{read_failed_drills, read_wrong_moments};
pub(in crate::ledger) use record::next_revision;
pub use run::{
    LineBytes, NOT_PROVED, Operation, Outcome, PROVED_CHAIN, PointRow, REPLAYED_BYTES, REPLAYED_TRANSACTIONS, Run,
    RunId, RunReport, RunResult, RunStart,
};
pub use running::LiveRun;
