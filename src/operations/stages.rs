//! Times the stages of a restore on the monotonic clock. Their sum is the RTO.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Stopwatch};
use crate::domain::drill::Stage;

/// Stage times of one restore; the clock has been running since the decision to restore.
pub struct Stages {
    clock: Arc<dyn Clock>,
    total: Stopwatch,
    times: BTreeMap<Stage, Duration>,
}

impl Stages {
    /// The decision to restore falls now.
    pub fn start(clock: &Arc<dyn Clock>) -> Self {
        Self { clock: clock.clone(), total: Stopwatch::start(clock), times: BTreeMap::new() }
    }

    /// Run one stage; its time counts whether it succeeds or not.
    pub fn run<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let watch = Stopwatch::start(&self.clock);
        let result = work();
        *self.times.entry(stage).or_default() += watch.elapsed();
        result
    }

    /// Since the decision.
    pub fn total(&self) -> Duration {
        self.total.elapsed()
    }

    /// Seconds per stage.
    pub fn seconds(&self) -> BTreeMap<Stage, f64> {
        self.times.iter().map(|(stage, time)| (*stage, time.as_secs_f64())).collect()
    }

    /// The same as the ledger takes it.
    pub fn rows(&self) -> Vec<(String, f64)> {
        self.times.iter().map(|(stage, time)| (stage.name().to_owned(), time.as_secs_f64())).collect()
    }
}
