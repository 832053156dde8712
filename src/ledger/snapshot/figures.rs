//! What a snapshot of the ledger says, by source.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::chain::{Window, kept_since};
use crate::domain::left_out::LeftOutCounts;
use crate::domain::manifest::BackupKind;
use crate::domain::schedule::Work;
use crate::domain::sla::{Measured, is_older_than_ledger};
use crate::ledger::breaks::BreakFigures;
use crate::ledger::evidence::{ChangeFigures, TestPages};
use crate::ledger::runs::{Operation, Run, RunId};
use crate::ledger::upkeep::UpkeepFigures;

/// The ledger at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerSnapshot {
    /// When it was read.
    pub taken: DateTime<Utc>,
    /// When the ledger began: counters count from then, and of drills before nothing is known.
    pub created: DateTime<Utc>,
    /// [`revision`](crate::ledger::Ledger::revision) it was read at.
    pub revision: i64,
    /// Pages that were raised for a test.
    pub test_pages: TestPages,
    /// What was done to repositories beside backups, by name.
    pub upkeep: BTreeMap<String, UpkeepFigures>,
    /// Breaks of chains, by source; a source without any is missing.
    pub breaks: BTreeMap<String, BreakFigures>,
    /// By name; every source the ledger ever heard of.
    pub sources: BTreeMap<String, SourceFigures>,
}

/// What the ledger knows about one source. Figures of what never happened are zero or none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceFigures {
    /// `mysql`, `influxdb`, `files`; empty where only runs are known.
    pub kind: String,
    /// Name of its repository; empty where only runs are known.
    pub repository: String,
    /// When the ledger first heard of it, or the as-of time of the oldest recovery point it ever had if that is older.
    pub created: Option<DateTime<Utc>>,
    /// Since when the service is asked for each work at the times that are configured; what is not asked for is missing.
    pub asked_since: BTreeMap<Work, DateTime<Utc>>,
    /// [`revision`](crate::ledger::Ledger::revision) at which its points, drills or promises last changed ([`facts`](crate::ledger::Ledger::facts)).
    pub facts_revision: i64,
    /// What the repository last listed.
    pub points: PointFigures,
    /// Backups by kind; a kind that never ran is missing.
    pub backups: BTreeMap<BackupKind, BackupFigures>,
    /// The backup whose result was written last, of any kind.
    pub last_backup: Option<Run>,
    /// Drills.
    pub drills: DrillFigures,
    /// What runs now, oldest first.
    pub running: Vec<RunningOperation>,
    /// Scheduled runs that did not begin, ever; an operation that never missed one is missing.
    pub missed: BTreeMap<Operation, u64>,
    /// What was found in the newest backup that was compared with those before it; none before the first.
    pub change: Option<ChangeFigures>,
}

impl SourceFigures {
    /// Since when whoever asks for any moment loses at most `rpo` of it; none where no increments are asked for, or nothing can be
    /// restored.
    pub fn any_moment_since(&self, rpo: Duration) -> Option<DateTime<Utc>> {
        let asked = self.asked_since.get(&Work::IncrementalBackup)?;
        kept_since(&self.points.windows, TimeDelta::from_std(rpo).unwrap_or(TimeDelta::MAX), *asked)
    }
}

impl LedgerSnapshot {
    /// What the promises of `source` are held against.
    pub fn measured(&self, source: &str) -> Measured {
        let Some(figures) = self.sources.get(source) else { return Measured::default() };
        Measured {
            created: figures.created,
            is_history_partial: figures.created.is_some_and(|created| is_older_than_ledger(created, self.created)),
            ever_had_point: figures.points.ever,
            newest: figures.points.newest,
            oldest: figures.points.oldest,
            rto_seconds: figures.drills.last_measured.as_ref().and_then(|run| run.rto_seconds),
            last_passed_drill: figures.drills.last_passed.as_ref().and_then(|run| run.ended),
            ever_failed_drill: figures.drills.failures > 0,
            chain_length: figures.points.chain_length,
        }
    }

    /// Whether recovery points of a source are older than this ledger: there was another one, and its history is lost.
    pub fn is_history_partial(&self, source: &str) -> bool {
        let first = |figures: &SourceFigures| figures.points.first_finished;
        self.sources.get(source).and_then(first).is_some_and(|finished| finished < self.created)
    }
}

/// Recovery points of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PointFigures {
    /// How many are dated after now, or against the order of their publication. Newest and oldest pass over them.
    pub suspect: u64,
    /// As-of time of the latest of those.
    pub newest_suspect: Option<DateTime<Utc>>,
    /// As-of times of points that somebody removed before the end of the retention that was promised then.
    pub vanished: Vec<DateTime<Utc>>,
    /// How many of each kind.
    pub by_kind: BTreeMap<BackupKind, u64>,
    /// As-of time of the newest.
    pub newest: Option<DateTime<Utc>>,
    /// As-of time of the newest of each kind; a kind that there is none of is missing.
    pub newest_of: BTreeMap<BackupKind, DateTime<Utc>>,
    /// As-of time of the oldest.
    pub oldest: Option<DateTime<Utc>>,
    /// Between which times any moment can be restored, oldest first.
    pub windows: Vec<Window>,
    /// Whether there ever was one.
    pub ever: bool,
    /// When the first of them was published; its as-of time is earlier.
    pub first_finished: Option<DateTime<Utc>>,
    /// As-of time of the newest whose newest verdict is `passed`.
    pub newest_verified: Option<DateTime<Utc>>,
    /// Increments that a restore of the newest replays.
    pub chain_length: u32,
    /// What the source had and the newest has not.
    pub left_out: LeftOutCounts,
}

impl PointFigures {
    /// How many are gone that a `retention` promised now still asks for.
    pub fn vanished_of(&self, retention: Duration, now: DateTime<Utc>) -> u64 {
        let is_asked_for = |as_of: &&DateTime<Utc>| (now - **as_of).to_std().is_ok_and(|age| age < retention);
        self.vanished.iter().filter(is_asked_for).count() as u64
    }
}

/// Backups of one kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BackupFigures {
    /// Begun, ever.
    pub attempts: u64,
    /// Failed or interrupted, ever.
    pub failures: u64,
    /// Bytes that they added to the repository, ever.
    pub added_bytes: f64,
    /// When the last one began.
    pub last_start: Option<DateTime<Utc>>,
    /// The last one that succeeded.
    pub last_success: Option<Run>,
}

/// Drills of a source.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrillFigures {
    /// Begun, ever.
    pub attempts: u64,
    /// With the verdict `failed`, ever. Inconclusive and interrupted drills say nothing about the backup.
    pub failures: u64,
    /// Over the RTO that was promised then, ever.
    pub over_rto: u64,
    /// The drill whose result was written last.
    pub last: Option<Run>,
    /// The last one that passed.
    pub last_passed: Option<Run>,
    /// The last one with a verdict about the data: passed or failed. An inconclusive one does not hide its mismatches.
    pub last_conclusive: Option<Run>,
    /// The last one that measured an RTO, with its stages in order; their sum is the RTO.
    pub last_measured: Option<Run>,
    /// Seconds per stage of `last_measured`.
    pub stages: Vec<(String, f64)>,
    /// RTO of passed drills.
    pub rto: RtoSummary,
}

/// RTO of passed drills: percentiles over the last [`RTO_WINDOW_DAYS`](super::RTO_WINDOW_DAYS) days, sum and count since the ledger began.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RtoSummary {
    /// Passed drills in the window; where it is 0 the percentiles are 0.
    pub window_count: u64,
    /// Half of the drills in the window took at most this many seconds.
    pub p50: f64,
    /// 95 % of them did.
    pub p95: f64,
    /// All of them did.
    pub max: f64,
    /// Seconds of all passed drills, ever.
    pub sum: f64,
    /// All passed drills, ever.
    pub count: u64,
}

/// An operation that runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningOperation {
    /// Its run.
    pub run: RunId,
    /// What it does.
    pub operation: Operation,
    /// When it began.
    pub started: DateTime<Utc>,
}

impl RtoSummary {
    /// Percentiles by nearest rank: always a time that a drill really took, never one in between.
    pub(in crate::ledger) fn set_window(&mut self, mut seconds: Vec<f64>) {
        seconds.sort_by(f64::total_cmp);
        let rank = |percent: usize| match seconds.len() {
            0 => 0.0,
            n => seconds[(n * percent).div_ceil(100).max(1) - 1],
        };
        (self.p50, self.p95, self.max) = (rank(50), rank(95), rank(100));
        self.window_count = seconds.len() as u64;
    }
}
