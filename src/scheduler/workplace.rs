//! SEAM: how jobs are done.

use std::time::Duration;

use super::job::{Ended, Job, JobHistory, JobSpec, Limits, Missed, Promise, Start};
use crate::error::Result;
use crate::run_context::RunContext;
use crate::state::service::{Progress, SchedulerState};

/// How jobs are done. The scheduler calls it from threads of its own; [`Workplace::perform`] blocks.
pub trait Workplace: Send + Sync {
    /// What is configured, and what the ledger knows of each.
    fn jobs(&self) -> Result<Vec<(JobSpec, JobHistory)>>;
    /// How much may run at once.
    fn limits(&self) -> Limits;
    /// What is at stake for each configured source, as far as is known without asking anybody.
    fn promise(&self, source: &str) -> Option<Promise>;
    /// Do it. Everything about it is in the ledger when this returns.
    fn perform(&self, start: &Start, context: &RunContext) -> Ended;
    /// Write down what did not begin.
    fn missed(&self, missed: &Missed);
    /// Whether somebody asked that this job, which runs, be cancelled. Says so once.
    fn is_unwanted(&self, job: &Job) -> bool;
    /// How long a job may take.
    fn time_limit(&self, job: &Job) -> Duration;
    /// The state of the scheduler for those who watch; called at every tick.
    fn publish(&self, scheduler: SchedulerState, running: Vec<Progress>);
}
