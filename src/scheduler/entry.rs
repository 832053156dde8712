//! One job in the plan: when it is due next, what waits, what runs.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::job::{Ended, JobHistory, JobSpec, MOST_COUNTED, Missed, Start};
use crate::domain::schedule::{Timing, delay_within};

/// An occurrence that begins this much after its time was missed, even if it is made up for.
pub(super) const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// Before the second attempt; doubled for each further one.
const FIRST_BACKOFF: Duration = Duration::from_mins(1);
/// Before another look at a source that somebody else works on.
const BUSY_BACKOFF: TimeDelta = TimeDelta::seconds(15);

/// Why an occurrence is late.
pub(super) const DOWNTIME: &str = "the service did not run";
const SUSPENDED: &str = "the host was suspended, or its clock was put forward";
const QUEUED: &str = "it had to wait for other operations";

/// A job that is due and has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The newest occurrence it stands for.
    pub(super) scheduled: DateTime<Utc>,
    /// When it was due; of several occurrences the first.
    pub(super) due: DateTime<Utc>,
    /// Not before; later than `due` after a failure.
    pub(super) not_before: DateTime<Utc>,
    /// Occurrences that wait and are not written down as missed.
    unwritten: u32,
    /// The first of them.
    first: DateTime<Utc>,
    /// 1 for the first attempt.
    attempt: u32,
    /// It is no occurrence, but what a run left to be done.
    is_more: bool,
    /// It is no occurrence, but was found to be due.
    is_asked: bool,
}

impl Waiting {
    /// Something that is due now and is no occurrence: nothing of it can be missed.
    fn of_now(now: DateTime<Utc>, is_more: bool) -> Self {
        let (unwritten, attempt, is_asked) = (0, 1, !is_more);
        Self { scheduled: now, due: now, not_before: now, unwritten, first: now, attempt, is_more, is_asked }
    }
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    begun: DateTime<Utc>,
    /// What it was before it began.
    from: Waiting,
}

/// One job.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) spec: JobSpec,
    /// Occurrences up to here are dealt with.
    cursor: DateTime<Utc>,
    /// When the first one after it is due, with its jitter.
    next: Option<DateTime<Utc>>,
    pub(super) waiting: Option<Waiting>,
    running: Option<Running>,
    /// Runs in a row that have to be tried again.
    failures: u32,
    /// How long the last good run took.
    pub(super) duration: Option<Duration>,
    /// Occurrences up to here that did not begin are written down, by the service before this one, or were never asked for.
    told_until: Option<DateTime<Utc>>,
    /// As in [`JobHistory`], until it has become due.
    awaits_first: bool,
    /// No longer configured: it goes when its run ends.
    is_retired: bool,
}

impl Entry {
    /// A job as the service finds it at its start, or in a new configuration.
    pub(super) fn new(spec: JobSpec, history: &JobHistory, now: DateTime<Utc>) -> Self {
        let never_begun = match &spec.timing {
            // What never ran at an interval is due at once; what has a time of day waits for it.
            Timing::Every(every) => now - TimeDelta::from_std(*every).unwrap_or(TimeDelta::MAX),
            Timing::Cron(_) => history.asked_since.unwrap_or(now),
        };
        let cursor = history.begun.unwrap_or(never_begun).min(now);
        let mut entry = Self {
            spec,
            cursor,
            next: None,
            waiting: None,
            running: None,
            failures: history.failures,
            duration: history.duration,
            // What a clock that ran ahead wrote down hides nothing that comes after now.
            told_until: history.missed_until.max(history.asked_since).map(|told| told.min(now)),
            awaits_first: history.awaits_first,
            is_retired: false,
        };
        entry.move_cursor(cursor);
        if let Some(begun) = history.begun.filter(|_| history.failures > 0) {
            entry.try_again((begun, begun.min(now)), history.failures + 1, false, now);
        }
        entry
    }

    /// Take over another specification; what waits and runs stays.
    pub(super) fn respecify(&mut self, spec: JobSpec, now: DateTime<Utc>) {
        // What came while it was not configured was never asked for.
        let was_retired = std::mem::replace(&mut self.is_retired, false);
        let is_new_timing = was_retired || self.spec.timing != spec.timing || self.spec.zone != spec.zone;
        self.spec = spec;
        // Occurrences of the new timing before now were never asked for.
        self.move_cursor(if is_new_timing { now } else { self.cursor });
    }

    /// When it is going to begin: in the past if it is late.
    pub(super) fn next_run(&self) -> Option<DateTime<Utc>> {
        match &self.waiting {
            Some(waiting) if waiting.is_more => self.next,
            Some(waiting) if waiting.attempt > 1 => Some(waiting.not_before),
            Some(waiting) => Some(waiting.due),
            None => self.next,
        }
    }

    /// It is no longer configured; nothing more is due.
    pub(super) fn retire(&mut self) {
        (self.is_retired, self.next, self.waiting) = (true, None, None);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.is_retired
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether it is to become due as soon as it can do something.
    pub(super) fn awaits_first(&self) -> bool {
        self.awaits_first
    }

    /// It can do something for the first time, or others have done it. Once: if it fails, its times and the pauses after
    /// failures count.
    pub(super) fn first_comes(&mut self, is_wanted: bool, now: DateTime<Utc>) {
        self.awaits_first = false;
        if is_wanted && self.waiting.is_none() && !self.is_running() {
            self.waiting = Some(Waiting::of_now(now, false));
        }
    }

    /// Due, and not held back after a failure.
    pub(super) fn is_ready(&self, now: DateTime<Utc>) -> bool {
        !self.is_running() && self.waiting.as_ref().is_some_and(|waiting| waiting.not_before <= now)
    }

    /// Take note of the occurrences that have come. What came while nobody looked is missed, and made up for once.
    pub(super) fn look(&mut self, now: DateTime<Utc>, is_first_look: bool) -> Option<Missed> {
        let due = self.next.filter(|due| *due <= now)?;
        let (timing, zone) = (&self.spec.timing, self.spec.zone);
        let untold = self.told_until.map_or(self.cursor, |told| told.max(self.cursor));
        let first = timing.next_after(untold, zone)?;
        let last = timing.last_due(self.cursor, now, zone).or_else(|| timing.next_after(self.cursor, zone))?;
        // What is made up for now may be written down already.
        let count = timing.count_due(untold, last, zone, MOST_COUNTED);
        self.move_cursor(last);
        let is_late = |due: DateTime<Utc>| now - due > TOLERANCE;
        // Of what came while nobody looked, the newest may still begin in time.
        let late = match (is_late(due), is_late(self.with_jitter(last))) {
            (false, _) => 0,
            (true, true) => count,
            (true, false) => count.saturating_sub(1),
        };
        let reason = if is_first_look { DOWNTIME } else { SUSPENDED };
        let missed = (late > 0).then(|| {
            let last = if late < count { self.one_before(last, first) } else { last };
            Missed { job: self.spec.job.clone(), first, last, count: late, reason }
        });
        let unwritten = count - late;
        let first = if late > 0 { last } else { first };
        if let Some(waiting) = &mut self.waiting {
            waiting.scheduled = last;
            waiting.is_asked = false;
            // The occurrence comes first, and finds out itself what else there is to do.
            if std::mem::replace(&mut waiting.is_more, false) {
                waiting.due = due;
            }
            // A failure long ago is no reason to let the next occurrence pass.
            waiting.not_before = waiting.not_before.min(now.max(due));
            if waiting.unwritten == 0 {
                waiting.first = first;
            }
            waiting.unwritten += unwritten;
        } else {
            let occurrence = Waiting::of_now(due, false);
            self.waiting = Some(Waiting { scheduled: last, unwritten, first, is_asked: false, ..occurrence });
        }
        missed
    }

    /// It begins now.
    pub(super) fn start(&mut self, now: DateTime<Utc>) -> Option<(Start, Option<Missed>)> {
        let mut waiting = self.waiting.take()?;
        self.awaits_first = false;
        let is_late = now - self.with_jitter(waiting.scheduled) > TOLERANCE;
        // In time, the newest occurrence begins and only what it swallowed was missed.
        let count = if is_late { waiting.unwritten } else { waiting.unwritten.saturating_sub(1) };
        let job = self.spec.job.clone();
        let missed = (count > 0).then(|| {
            let (first, scheduled) = (waiting.first, waiting.scheduled);
            let last = if is_late { scheduled } else { self.one_before(scheduled, first) };
            Missed { job: job.clone(), first, last, count, reason: QUEUED }
        });
        let Waiting { scheduled, attempt, is_more, is_asked, .. } = waiting;
        let start = Start { job, scheduled, attempt, is_more, is_asked };
        // Told once, also if it has to wait again.
        waiting.unwritten -= count;
        waiting.first = waiting.scheduled;
        self.running = Some(Running { begun: now, from: waiting });
        Some((start, missed))
    }

    /// The occurrence before `scheduled`, not before `first`.
    fn one_before(&self, scheduled: DateTime<Utc>, first: DateTime<Utc>) -> DateTime<Utc> {
        let second = TimeDelta::seconds(1);
        let before = match &self.spec.timing {
            Timing::Every(every) => Some(scheduled - TimeDelta::from_std(*every).unwrap_or_default()),
            cron @ Timing::Cron(_) => cron.last_due(first - second, scheduled - second, self.spec.zone),
        };
        before.map_or(first, |before| before.max(first))
    }

    /// It ended.
    pub(super) fn ended(&mut self, ended: Ended, now: DateTime<Utc>) {
        let Some(run) = self.running.take() else { return };
        match ended {
            // What is beside the occurrence changes nothing of it, and is not tried again by itself.
            Ended::Done | Ended::FullIsDue | Ended::Again if run.from.is_more => {}
            Ended::More if run.from.is_more => self.has_more(now),
            Ended::Done | Ended::More | Ended::FullIsDue => {
                self.failures = 0;
                self.duration = (now - run.begun).to_std().ok();
                // An interval is counted from begin to begin, also where it began late.
                if matches!(self.spec.timing, Timing::Every(_)) {
                    self.move_cursor(self.cursor.max(run.begun));
                }
                if ended == Ended::More {
                    self.has_more(now);
                }
            }
            Ended::Again => {
                self.failures += 1;
                self.try_again((run.from.scheduled, run.begun), run.from.attempt + 1, run.from.is_asked, now);
            }
            Ended::Busy | Ended::AwaitsFull => {
                let mut from = run.from;
                if ended == Ended::AwaitsFull {
                    // It began, and what came of it is written down.
                    from.unwritten = 0;
                }
                if let Some(newer) = self.waiting.take() {
                    from.scheduled = newer.scheduled;
                    if from.unwritten == 0 {
                        from.first = newer.first;
                    }
                    from.unwritten += newer.unwritten;
                    from.is_more &= newer.is_more;
                    from.is_asked &= newer.is_asked;
                }
                // A full backup that has ended is waited for by the plan.
                from.not_before = if ended == Ended::Busy { now + BUSY_BACKOFF } else { now };
                self.waiting = Some(from);
            }
        }
    }

    /// The wall clock was put back by `by`. An interval lasts as long as it did; of a time of day that comes again the new
    /// time is believed. (A clock that was put forward needs nothing: what it skipped is late.)
    pub(super) fn clock_put_back(&mut self, by: TimeDelta, now: DateTime<Utc>) {
        let latest = now + self.backoff();
        if let Some(waiting) = &mut self.waiting {
            waiting.not_before = waiting.not_before.min(latest);
            waiting.due = waiting.due.min(now);
        }
        self.told_until = self.told_until.map(|told| told.min(now));
        let cursor = match &self.spec.timing {
            Timing::Every(_) => self.cursor - by,
            Timing::Cron(_) => self.cursor.min(now),
        };
        self.move_cursor(cursor);
    }

    fn try_again(
        &mut self,
        (scheduled, due): (DateTime<Utc>, DateTime<Utc>),
        attempt: u32,
        is_asked: bool,
        now: DateTime<Utc>,
    ) {
        let not_before = now + self.backoff();
        if let Some(waiting) = &mut self.waiting {
            // A new occurrence came while it ran.
            waiting.attempt = attempt;
            waiting.not_before = not_before;
        } else {
            let (unwritten, first, is_more) = (0, scheduled, false);
            self.waiting = Some(Waiting { scheduled, due, not_before, unwritten, first, attempt, is_more, is_asked });
        }
    }

    /// What a run left to be done waits, unless the next occurrence does.
    fn has_more(&mut self, now: DateTime<Utc>) {
        if self.waiting.is_none() && !self.is_retired {
            self.waiting = Some(Waiting::of_now(now, true));
        }
    }

    /// How long to wait after the failures so far: doubled each time, and never so long that fewer than four attempts
    /// fit into the objective.
    fn backoff(&self) -> TimeDelta {
        let longest = (self.spec.objective / 4).max(Duration::from_secs(5));
        let doubled = FIRST_BACKOFF.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        TimeDelta::from_std(doubled.min(longest)).unwrap_or(TimeDelta::MAX)
    }

    fn move_cursor(&mut self, cursor: DateTime<Utc>) {
        self.cursor = cursor;
        if self.is_retired {
            return;
        }
        self.next = self.spec.timing.next_after(cursor, self.spec.zone).map(|occurrence| self.with_jitter(occurrence));
    }

    /// When this occurrence is due, with its jitter.
    fn with_jitter(&self, occurrence: DateTime<Utc>) -> DateTime<Utc> {
        let delay = delay_within(self.spec.jitter, &self.spec.job.to_string(), occurrence);
        occurrence + TimeDelta::from_std(delay).unwrap_or_default()
    }
}
