//! What was promised: the objectives of one SLA.

use std::time::Duration;

use serde::Serialize;

/// Promised numbers of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Objectives {
    /// Largest age of the newest restorable recovery point.
    pub rpo: Duration,
    /// Largest time from the decision to restore to the first correct answer.
    pub rto: Duration,
    /// How far back recovery points are kept.
    pub retention: Duration,
    /// Largest time between two passed drills.
    pub drill_interval: Duration,
    /// Largest number of increments on top of a full.
    pub max_chain_length: u32,
    /// Share of time in which the objectives must be met, 0–1.
    pub objective_ratio: f64,
}
