//! What a snapshot of the ledger says, by source.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::chain::{Gap, PromisedTime, Window, gaps, kept_since};
use crate::domain::drill_choice::DrillKind;
use crate::domain::left_out::LeftOutCounts;
use crate::domain::manifest::BackupKind;
use crate::domain::schedule::Work;
use crate::domain::sla::{Measured, is_older_than_ledger};
use crate::ledger::breaks::BreakFigures;
use crate::ledger::evidence::{ChangeFigures, TestPages};
use crate::ledger::runs::{Operation, Outcome, Run, RunId};
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
    /// When any moment was promised, because incremental backups were asked for; oldest first.
    pub moments_promised: Vec<PromisedTime>,
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
        if !self.are_moments_promised() {
            return None;
        }
        kept_since(&self.points.windows, loss(rpo), &self.moments_promised)
    }

    /// Whether any moment is promised now, and not only recovery points.
    pub fn are_moments_promised(&self) -> bool {
        self.moments_promised.iter().any(|time| time.to.is_none())
    }

    /// Where any moment is promised: the stretches of it that lose more than `rpo`, oldest first.
    pub fn broken_gaps(&self, rpo: Duration) -> Vec<Gap> {
        if !self.are_moments_promised() {
            return Vec::new();
        }
        let mut found = gaps(&self.points.windows, self.points.oldest);
        found.retain(|gap| gap.breaks(&self.moments_promised, loss(rpo)));
        found
    }

    /// Those that a `retention` that is promised now still asks for.
    pub fn gaps_within(&self, retention: Duration, rpo: Duration, now: DateTime<Utc>) -> Vec<Gap> {
        let mut found = self.broken_gaps(rpo);
        found.retain(|gap| (now - gap.to).as_seconds_f64() < retention.as_secs_f64());
        found
    }
}

impl LedgerSnapshot {
    /// What the promises of `source` are held against; `rpo` is how much of any moment may be lost.
    pub fn measured(&self, source: &str, rpo: Duration) -> Measured {
        let Some(figures) = self.sources.get(source) else { return Measured::default() };
        Measured {
            created: figures.created,
            is_history_partial: figures.created.is_some_and(|created| is_older_than_ledger(created, self.created)),
            ever_had_point: figures.points.ever,
            newest: figures.points.newest,
            oldest: figures.points.oldest,
            newest_gap: figures.broken_gaps(rpo).last().map(|gap| gap.to),
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

fn loss(rpo: Duration) -> TimeDelta {
    TimeDelta::from_std(rpo).unwrap_or(TimeDelta::MAX)
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
    /// When the full backup was published that was published last.
    pub newest_full_finished: Option<DateTime<Utc>>,
    /// As-of time of the oldest.
    pub oldest: Option<DateTime<Utc>>,
    /// Between which times any moment can be restored, oldest first.
    pub windows: Vec<Window>,
    /// When the newest canary was written that one of them has.
    pub canary: Option<DateTime<Utc>>,
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
    /// The drill whose result was written last; one of another kind than the newest recovery point that did not pass, as long as that
    /// stands.
    pub last: Option<Run>,
    /// The last one of the newest recovery point that passed.
    pub last_passed: Option<Run>,
    /// The last one with a verdict about the data: passed or failed. An inconclusive one does not hide its mismatches.
    pub last_conclusive: Option<Run>,
    /// The last ones of each kind; a kind that never ended is missing.
    pub kinds: BTreeMap<DrillKind, KindFigures>,
    /// As-of time of the newest full backup that proved the chain before it whole.
    pub closing_proof: Option<DateTime<Utc>>,
    /// Transactions that the drill of `last_measured` replayed.
    pub replayed_transactions: u64,
    /// The last one that measured an RTO, with its stages in order; their sum is the RTO.
    pub last_measured: Option<Run>,
    /// Seconds per stage of `last_measured`.
    pub stages: Vec<(String, f64)>,
    /// RTO of passed drills.
    pub rto: RtoSummary,
}

/// Drills of one kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KindFigures {
    /// The one whose result was written last.
    pub last: Option<Run>,
    /// When the last one that passed ended.
    pub last_passed: Option<DateTime<Utc>>,
}

impl DrillFigures {
    /// Take note of a drill that ended after all that were remembered before.
    pub(in crate::ledger) fn remember(&mut self, run: Run) {
        let kind = run.drill.unwrap_or_default();
        let is_passed = run.outcome == Some(Outcome::Passed);
        let of_kind = self.kinds.entry(kind).or_default();
        of_kind.last = Some(run.clone());
        if is_passed {
            of_kind.last_passed = run.ended;
        }
        if is_passed && kind.counts_for_promises() {
            self.last_passed = Some(run.clone());
        }
        if run.rto_seconds.is_some() {
            self.last_measured = Some(run.clone());
        }
        // Whoever names a point wants to know of it now; the next drill of the newest is the truth again.
        if matches!(kind, DrillKind::Newest | DrillKind::Named) {
            if matches!(run.outcome, Some(Outcome::Passed | Outcome::Failed)) {
                self.last_conclusive = Some(run.clone());
            }
            self.last = Some(run);
        }
    }

    /// The last drills of the other kinds that did not pass.
    pub(in crate::ledger) fn bad_beside(&self) -> Vec<Run> {
        let beside = self.kinds.iter().filter(|(kind, _)| !matches!(kind, DrillKind::Newest | DrillKind::Named));
        let last = beside.filter_map(|(_, figures)| figures.last.clone());
        last.filter(|run| run.outcome != Some(Outcome::Passed)).collect()
    }

    /// A drill beside that of the newest recovery point did not pass, and that stands: a good drill of another point does not hide it.
    pub(in crate::ledger) fn stands(&mut self, run: Run) {
        let is_failed = |run: &Option<Run>| run.as_ref().is_some_and(|run| run.outcome == Some(Outcome::Failed));
        let is_passed = |run: &Option<Run>| run.as_ref().is_none_or(|run| run.outcome == Some(Outcome::Passed));
        if run.outcome == Some(Outcome::Failed) {
            if !is_failed(&self.last_conclusive) {
                self.last_conclusive = Some(run.clone());
            }
            if !is_failed(&self.last) {
                self.last = Some(run);
            }
        } else if is_passed(&self.last)
            && self.last.as_ref().is_none_or(|last| last.ended_revision < run.ended_revision)
        {
            self.last = Some(run);
        }
    }
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
    /// The kind of backup that it makes, if it makes one.
    pub kind: Option<BackupKind>,
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
