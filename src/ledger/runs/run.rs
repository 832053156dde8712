//! What a run is: how it begins, how it ends, and how it is read back.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::drill::{Check, TableResult, Verdict};
use crate::domain::drill_choice::DrillKind;
use crate::domain::left_out::LeftOutCounts;
use crate::domain::manifest::{BackupKind, RecoveryPointId};

/// Name of one run: unique, and sortable by the time it began.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Operation {
    Backup,
    Drill,
    Restore,
    Verify,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Backup, Self::Drill, Self::Restore, Self::Verify];

    /// Name in metrics, JSON and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Drill => "drill",
            Self::Restore => "restore",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A backup or restore did what it should.
    Succeeded,
    /// A backup or restore failed; a drill or verification found the data or the promise wrong.
    Failed,
    /// A drill or verification found everything as promised.
    Passed,
    /// A drill or verification could not be carried out.
    Inconclusive,
    /// It was stopped, or its process ended without a result.
    Interrupted,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Succeeded, Self::Failed, Self::Passed, Self::Inconclusive, Self::Interrupted];

    /// Name in JSON and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Passed => "passed",
            Self::Inconclusive => "inconclusive",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether the run did what it was for.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Succeeded | Self::Passed)
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Failed => Self::Failed,
            Verdict::Inconclusive => Self::Inconclusive,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run that begins.
#[derive(Debug, Clone)]
pub struct RunStart {
    /// Name of the source.
    pub source: String,
    /// What is done.
    pub operation: Operation,
    /// For a backup: which kind.
    pub kind: Option<BackupKind>,
    /// For a drill: why. None is the newest recovery point, as drills of earlier versions were.
    pub drill: Option<DrillKind>,
}

/// Names of details of a drill: transactions and bytes that were replayed, and the full backup of the chain that was to be proved.
pub const REPLAYED_TRANSACTIONS: &str = "replayed_transactions";
#[allow(missing_docs)]
pub const REPLAYED_BYTES: &str = "replayed_bytes";
#[allow(missing_docs)]
pub const PROVED_CHAIN: &str = "proved_chain";
/// What differs in a chain that was to be proved, and may: it is not proved whole.
pub const NOT_PROVED: &str = "not_proved";

/// A run that has ended. Only `outcome` and `duration_seconds` always mean something; the rest as the operation has it.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not end well; empty where it did.
    pub reason: String,
    /// What to try, where we know.
    pub hint: Option<String>,
    /// Recovery point that was made or restored.
    pub recovery_point: Option<RecoveryPointId>,
    /// Its as-of time.
    pub recovery_point_time: Option<DateTime<Utc>>,
    /// Whole run, on the monotonic clock.
    pub duration_seconds: f64,
    /// Decision to first correct answer, where there was one.
    pub rto_seconds: Option<f64>,
    /// Whether `rto_seconds` is over the objective that was promised then.
    pub over_rto: bool,
    /// Bytes of the backup before deduplication and compression.
    pub logical_bytes: u64,
    /// Bytes the repository grew by.
    pub added_bytes: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Increments on top of the full.
    pub chain_length: u32,
    /// Seconds per stage, in order.
    pub stages: Vec<(String, f64)>,
    /// Every comparison.
    pub checks: Vec<Check>,
    /// Every table.
    pub tables: Vec<TableResult>,
    /// Settings and versions worth keeping with the run.
    pub details: BTreeMap<String, String>,
}

impl RunResult {
    /// A result with nothing to say but how it ended and how long it took.
    pub fn new(outcome: Outcome, duration_seconds: f64) -> Self {
        Self {
            outcome,
            reason: String::new(),
            hint: None,
            recovery_point: None,
            recovery_point_time: None,
            duration_seconds,
            rto_seconds: None,
            over_rto: false,
            logical_bytes: 0,
            added_bytes: 0,
            rows: 0,
            chain_length: 0,
            stages: Vec::new(),
            checks: Vec::new(),
            tables: Vec::new(),
            details: BTreeMap::new(),
        }
    }
}

/// One run as the ledger remembers it, without its stages, checks and tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// Name of the source.
    pub source: String,
    /// What was done.
    pub operation: Operation,
    /// For a backup: which kind.
    pub kind: Option<BackupKind>,
    /// For a drill: why.
    #[serde(rename = "drill_kind", skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillKind>,
    /// How it ended; none while it is running.
    pub outcome: Option<Outcome>,
    /// Why it did not end well; empty where it did.
    pub reason: String,
    /// What to try, where we knew.
    pub hint: Option<String>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When its result was written.
    pub ended: Option<DateTime<Utc>>,
    /// Recovery point that was made or restored.
    pub recovery_point: Option<RecoveryPointId>,
    /// Its as-of time.
    pub recovery_point_time: Option<DateTime<Utc>>,
    /// Whole run, on the monotonic clock; none while it is running and where its process was killed.
    pub duration_seconds: Option<f64>,
    /// Decision to first correct answer, where there was one.
    pub rto_seconds: Option<f64>,
    /// Whether that was over the objective.
    pub over_rto: bool,
    /// Bytes of the backup before deduplication and compression.
    pub logical_bytes: u64,
    /// Bytes the repository grew by.
    pub added_bytes: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Increments on top of the full.
    pub chain_length: u32,
    /// Comparisons made.
    pub checks: u64,
    /// Comparisons that did not agree.
    pub mismatches: u64,
    /// Rows found in all restored tables.
    pub verified_rows: u64,
    /// Order in which results were written; grows even where the clock goes backwards. None while it is running.
    #[serde(skip)]
    pub(crate) ended_revision: Option<i64>,
}

/// Everything the ledger knows about one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The run.
    pub run: Run,
    /// Seconds per stage, in order.
    pub stages: Vec<(String, f64)>,
    /// Every comparison, in order.
    pub checks: Vec<Check>,
    /// Every table, in order.
    pub tables: Vec<TableResult>,
    /// Settings and versions kept with the run.
    pub details: BTreeMap<String, String>,
}

/// One recovery point as the repository lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointRow {
    /// Its name.
    pub id: RecoveryPointId,
    /// Full or incremental.
    pub kind: BackupKind,
    /// As-of time of the data.
    pub as_of: DateTime<Utc>,
    /// When the last byte was stored.
    pub finished: DateTime<Utc>,
    /// Increments on top of the full.
    pub chain_length: u32,
    /// Bytes before deduplication and compression.
    pub logical_bytes: u64,
    /// Bytes that storing it added to the repository.
    pub stored_bytes: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// What the source had and it has not.
    pub left_out: LeftOutCounts,
    /// As-of time with which the restore window begins that it is part of; none where it cannot be restored.
    pub window_from: Option<DateTime<Utc>>,
    /// What a restore of it works through; none for a full, which is its own size, and where it cannot be restored.
    pub line: Option<LineBytes>,
    /// When the newest canary was written that a restore of it brings back; none where there is none.
    pub canary: Option<DateTime<Utc>>,
}

/// What a restore of an increment works through, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LineBytes {
    /// The full and everything that is replayed.
    pub all: u64,
    /// What is replayed.
    pub replayed: u64,
}
