//! What the plan is told and what it answers.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::schedule::{Timing, Work};

/// One piece of work on one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job {
    /// Name of the source.
    pub source: String,
    /// What is done to it.
    pub work: Work,
}

impl Job {
    /// `work` on `source`.
    pub fn new(source: impl Into<String>, work: Work) -> Self {
        Self { source: source.into(), work }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.work, self.source)
    }
}

/// When a job is due, as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// Which job.
    pub job: Job,
    /// Its occurrences.
    pub timing: Timing,
    /// Zone of a cron expression.
    pub zone: Tz,
    /// Each occurrence begins up to this much later.
    pub jitter: Duration,
    /// The objective that suffers when it does not succeed: attempts after a failure are spread within it.
    pub objective: Duration,
}

/// What the ledger knows of a job when the service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobHistory {
    /// Since when it is asked for at these times: nothing before was missed.
    pub asked_since: Option<DateTime<Utc>>,
    /// When its last run began, as far as that is known.
    pub begun: Option<DateTime<Utc>>,
    /// How many of its newest runs in a row should be tried again.
    pub failures: u32,
    /// How long its last good run took.
    pub duration: Option<Duration>,
    /// Up to when its missed occurrences are written down.
    pub missed_until: Option<DateTime<Utc>>,
    /// Nothing ever came of it: it is due as soon as it can do something, whatever its times are. A full backup can where
    /// there is no recovery point, a drill where there is one.
    pub awaits_first: bool,
}

/// What is at stake for a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// As-of time of the newest recovery point.
    pub newest: Option<DateTime<Utc>>,
    /// When the source was first seen: its first recovery point is promised within the RPO from then.
    pub created: Option<DateTime<Utc>>,
    /// Its largest age that was promised.
    pub rpo: Duration,
}

/// How much may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Backups of all sources.
    pub backups: usize,
    /// Drills of all sources.
    pub drills: usize,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Begin this job.
    Start(Start),
    /// Write down that occurrences did not begin when they should have.
    Missed(Missed),
}

/// A job that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub job: Job,
    /// The occurrence it is for.
    pub scheduled: DateTime<Utc>,
    /// 1 for the first attempt at it.
    pub attempt: u32,
    /// It goes on with what a run of the same occurrence left to be done.
    pub is_more: bool,
    /// It is no occurrence: somebody found at the time `scheduled` that it is due.
    pub is_asked: bool,
}

/// Occurrences that did not begin at their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Whose.
    pub job: Job,
    /// The first of them.
    pub first: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
    /// How many; counting ends at [`MOST_COUNTED`].
    pub count: u32,
    /// Why, as far as we know.
    pub reason: &'static str,
}

/// How far missed occurrences are counted: a clock that stood in 1970 misses millions.
pub const MOST_COUNTED: u32 = 1000;

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has its result, good or bad, and is not to be tried again before its next occurrence.
    Done,
    /// The same, and there is more to do, as a run of its own: as soon as nothing else of the source waits.
    More,
    /// It has its result, and found that a full backup of the source is due.
    FullIsDue,
    /// It cannot be done before a full backup of the source, which is due.
    AwaitsFull,
    /// It has to be tried again.
    Again,
    /// It could not begin: somebody else works on the source.
    Busy,
}
