//! Which job begins when: a pure state machine. It is told the time and what ended, and answers what to begin.
//!
//! - One operation per source at a time, with two exceptions: an incremental backup begins beside a full one of its source, which may
//!   take hours; and a backup begins beside a drill of its source if waiting for the
//!   drill would break the promised RPO (a drill reads the repository and works in a sandbox; it can wait for nobody).
//! - Backups and drills have limits of their own, so that no drill takes a backup's place. They count sources: an incremental backup
//!   beside a full one of its source takes no place. One whose RPO is at stake may exceed the limit, up to twice.
//! - An incremental backup that finds a full one due makes it due. Where it can continue nothing, it waits until that one has ended.
//! - What never had a result does not wait for its time: the first full backup is due as soon as a source without a
//!   recovery point is seen, the first drill as soon as there is a recovery point, and not before.
//! - A drill does not begin while a backup of its source is ready. Of several backups the one whose RPO ends first goes
//!   first (of a new source it ends one RPO after it was first seen), of several drills the one that has waited longest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::entry::Entry;
use super::job::{Ended, Job, JobHistory, JobSpec, Limits, Promise, Step};
use crate::domain::schedule::Work;

/// All jobs.
#[derive(Debug)]
pub struct Plan {
    entries: BTreeMap<Job, Entry>,
    limits: Limits,
    has_looked: bool,
    /// Sources that have nothing to continue until a full backup has ended.
    awaiting_full: BTreeSet<String>,
}

impl Plan {
    /// Nothing to do.
    pub fn new(limits: Limits) -> Self {
        Self { entries: BTreeMap::new(), limits, has_looked: false, awaiting_full: BTreeSet::new() }
    }

    /// Follow `specs` from now on. Jobs that are known keep what waits and runs; `history` is asked for the others.
    pub fn configure(
        &mut self,
        specs: Vec<JobSpec>,
        limits: Limits,
        now: DateTime<Utc>,
        history: impl Fn(&Job) -> JobHistory,
    ) {
        self.limits = limits;
        let mut before = std::mem::take(&mut self.entries);
        for spec in specs {
            let job = spec.job.clone();
            let entry = match before.remove(&job) {
                Some(mut entry) => {
                    entry.respecify(spec, now);
                    entry
                }
                None => Entry::new(spec, &history(&job), now),
            };
            self.entries.insert(job, entry);
        }
        // What still runs holds its place until it ends.
        for (job, mut entry) in before.into_iter().filter(|(_, entry)| entry.is_running()) {
            entry.retire();
            self.entries.insert(job, entry);
        }
    }

    /// What is to be done at `now`. Started jobs count as running until [`Plan::ended`].
    pub fn tick(&mut self, now: DateTime<Utc>, promise: impl Fn(&str) -> Option<Promise>) -> Vec<Step> {
        let is_first_look = !std::mem::replace(&mut self.has_looked, true);
        self.begin_first_ones(now, &promise);
        let mut steps: Vec<Step> =
            self.entries.values_mut().filter_map(|entry| entry.look(now, is_first_look)).map(Step::Missed).collect();
        let mut ready: Vec<Candidate> = self
            .entries
            .iter()
            .filter(|(job, entry)| entry.is_ready(now) && !(entry.awaits_first() && job.work == Work::Drill))
            .filter(|(job, _)| !self.comes_after_a_full(job, &promise))
            .map(|(job, entry)| Candidate::new(job, entry, promise(&job.source), now))
            .collect();
        ready.sort_by_key(Candidate::rank);
        for candidate in ready {
            if !self.may_start(&candidate, now) {
                continue;
            }
            let started = self.entries.get_mut(&candidate.job).and_then(|entry| entry.start(now));
            if let Some((start, missed)) = started {
                steps.extend(missed.map(Step::Missed));
                steps.push(Step::Start(start));
            }
        }
        steps
    }

    /// An increment of a source that has nothing to continue, or not yet, waits for the full backup, which is due at once.
    fn comes_after_a_full(&self, job: &Job, promise: impl Fn(&str) -> Option<Promise>) -> bool {
        let is_first = || promise(&job.source).is_some_and(|promise| promise.newest.is_none());
        job.work == Work::IncrementalBackup
            && self.entries.contains_key(&Job::new(job.source.clone(), Work::FullBackup))
            && (self.awaiting_full.contains(&job.source) || is_first())
    }

    /// What nothing ever came of is due now, if it can do something.
    pub(super) fn begin_first_ones(&mut self, now: DateTime<Utc>, promise: impl Fn(&str) -> Option<Promise>) {
        for (job, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.awaits_first()) {
            let has_point = promise(&job.source).is_some_and(|promise| promise.newest.is_some());
            match (job.work, has_point) {
                // Until there is something to restore.
                (Work::Drill, false) => {}
                (Work::Drill, true) => entry.first_comes(true, now),
                (_, has_point) => entry.first_comes(!has_point, now),
            }
        }
    }

    /// Somebody found that this job is to be done now. One that waits or runs already is not due twice.
    pub fn is_due(&mut self, job: &Job, now: DateTime<Utc>) {
        if let Some(entry) = self.entries.get_mut(job).filter(|entry| !entry.is_retired()) {
            entry.first_comes(true, now);
        }
    }

    /// A job that was started has ended.
    pub fn ended(&mut self, job: &Job, ended: Ended, now: DateTime<Utc>) {
        let Some(entry) = self.entries.get_mut(job) else { return };
        entry.ended(ended, now);
        if entry.is_retired() {
            self.entries.remove(job);
        }
        if job.work == Work::FullBackup && ended != Ended::Busy {
            self.awaiting_full.remove(&job.source);
        }
        if matches!(ended, Ended::FullIsDue | Ended::AwaitsFull) {
            if ended == Ended::AwaitsFull {
                self.awaiting_full.insert(job.source.clone());
            }
            self.is_due(&Job::new(job.source.clone(), Work::FullBackup), now);
        }
    }

    /// The wall clock was put forward by `by`, or back if that is negative, as seen from the monotonic clock. Forward needs
    /// nothing: what was skipped is late.
    pub fn clock_jumped(&mut self, by: TimeDelta, now: DateTime<Utc>) {
        if by < TimeDelta::zero() {
            self.entries.values_mut().for_each(|entry| entry.clock_put_back(-by, now));
        }
    }

    /// When each job begins next; in the past if it is late.
    pub fn next_runs(&self) -> BTreeMap<(String, Work), DateTime<Utc>> {
        let next = |(job, entry): (&Job, &Entry)| Some(((job.source.clone(), job.work), entry.next_run()?));
        self.entries.iter().filter_map(next).collect()
    }

    fn runs(&self, source: &str, work: Work) -> bool {
        self.entries.get(&Job::new(source, work)).is_some_and(Entry::is_running)
    }

    fn may_start(&self, candidate: &Candidate, now: DateTime<Utc>) -> bool {
        let job = &candidate.job;
        let running = |backups: bool| {
            self.entries.iter().filter(move |(job, entry)| job.work.is_backup() == backups && entry.is_running())
        };
        let others = || running(true).map(|(other, _)| &other.source).filter(|source| **source != job.source);
        let on_source = |backups: bool, holds: &dyn Fn(&Entry) -> bool| {
            let works = Work::ALL.into_iter().filter(|work| work.is_backup() == backups);
            works.filter_map(|work| self.entries.get(&Job::new(job.source.clone(), work))).any(holds)
        };
        let runs = |backups: bool| on_source(backups, &Entry::is_running);
        if job.work.is_backup() {
            let may_exceed = candidate.is_urgent && job.work == Work::IncrementalBackup;
            let limit = if may_exceed { self.limits.backups * 2 } else { self.limits.backups };
            let is_beside_a_full = job.work == Work::IncrementalBackup && self.runs(&job.source, Work::FullBackup);
            let is_in_the_way = if is_beside_a_full { self.runs(&job.source, job.work) } else { runs(true) };
            let is_place = is_beside_a_full || others().collect::<BTreeSet<_>>().len() < limit;
            is_place && !is_in_the_way && (candidate.is_urgent || !runs(false))
        } else {
            let backup_is_ready = on_source(true, &|entry| entry.is_ready(now));
            running(false).count() < self.limits.drills && !runs(true) && !runs(false) && !backup_is_ready
        }
    }
}

/// A job that could begin.
struct Candidate {
    job: Job,
    /// Since when it could begin: what failed waits anew after its pause.
    ready: DateTime<Utc>,
    /// When the promised RPO ends, counted from the newest recovery point or, before the first, from when the source was
    /// first seen; none where it is no backup.
    deadline: Option<DateTime<Utc>>,
    /// Waiting much longer breaks the promise.
    is_urgent: bool,
}

impl Candidate {
    fn new(job: &Job, entry: &Entry, promise: Option<Promise>, now: DateTime<Utc>) -> Self {
        let ready = entry.waiting.as_ref().map_or(now, |waiting| waiting.not_before);
        let promise = promise.filter(|_| job.work.is_backup());
        let delta = |duration: Duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        let deadline = promise.and_then(|promise| {
            // What the ledger has not heard of yet is new.
            promise.newest.or(promise.created).unwrap_or(now).checked_add_signed(delta(promise.rpo))
        });
        let is_urgent = promise.is_some_and(|promise| {
            // Half again as long as the last time, and some room: a tenth of the RPO, half a minute at least.
            let needed = entry.duration.unwrap_or_default().mul_f64(1.5);
            let room = (promise.rpo / 10).max(Duration::from_secs(30));
            deadline.is_some_and(|deadline| now + delta(needed + room) >= deadline)
        });
        Self { job: job.clone(), ready, deadline, is_urgent }
    }

    /// Backups before drills, then by the end of the RPO (one that never ends is last), then by time waited.
    fn rank(&self) -> (Reverse<bool>, bool, Option<DateTime<Utc>>, DateTime<Utc>, Job) {
        (Reverse(self.job.work.is_backup()), self.deadline.is_none(), self.deadline, self.ready, self.job.clone())
    }
}

#[cfg(test)]
mod tests;
