//! What was done: runs with their results, those that run now, those that did not begin.

mod last_runs;
pub(in crate::ledger) mod missed;
mod record;
mod run;
mod running;

pub use last_runs::LastRuns;
pub use missed::MissedRuns;
pub(in crate::ledger) use missed::newest_missed;
pub(in crate::ledger) use record::next_revision;
pub use run::{Operation, Outcome, PointRow, Run, RunId, RunReport, RunResult, RunStart};
pub use running::LiveRun;
