//! When each work should be due next, by a calendar that was written down before: what `next_run` metrics have to say.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::world::{CRON, EVERY};
use super::{START, calendar};
use crate::domain::schedule::delay_within;
use crate::scheduler::job::{Ended, Job};

/// When a work is due.
#[derive(Debug, Clone)]
enum Rule {
    /// At these times, each up to so much later.
    At(Vec<DateTime<Utc>>, Duration),
    Every(TimeDelta),
}

/// One work that is scheduled.
#[derive(Debug, Clone)]
pub(super) struct Awaited {
    job: Job,
    rule: Rule,
    /// A failure is tried again within a quarter of it.
    objective: TimeDelta,
    /// What was due up to here is dealt with.
    dealt_with: DateTime<Utc>,
    waits: Option<Waits>,
    runs: Option<(DateTime<Utc>, Option<Waits>)>,
    failures: u32,
    /// Nothing came of it yet: it does not wait for its time.
    awaits_first: bool,
}

#[derive(Debug, Clone)]
struct Waits {
    since: DateTime<Utc>,
    not_before: DateTime<Utc>,
    is_retry: bool,
}

impl Awaited {
    /// What a service that starts knows: when the last run began, how many in a row are to be tried again, and since when the
    /// source is configured.
    pub(super) fn restart(
        &mut self,
        last: (Option<DateTime<Utc>>, u32),
        awaits_first: bool,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        self.awaits_first = awaits_first;
        let never = match self.rule {
            Rule::At(..) => since,
            Rule::Every(every) => now - every,
        };
        (self.waits, self.runs, self.failures) = (None, None, last.1);
        self.dealt_with = last.0.unwrap_or(never).min(now);
        if self.failures > 0 {
            self.try_again(self.dealt_with, now);
        }
    }

    fn first_due(&self) -> Option<DateTime<Utc>> {
        match &self.rule {
            Rule::At(times, jitter) => {
                let due = times.iter().find(|due| **due > self.dealt_with)?;
                Some(*due + TimeDelta::from_std(delay_within(*jitter, &self.job.to_string(), *due)).unwrap())
            }
            Rule::Every(every) => Some(self.dealt_with + *every),
        }
    }

    /// What the metric says.
    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        match &self.waits {
            Some(waits) if waits.is_retry => Some(waits.not_before),
            Some(waits) => Some(waits.since),
            None => self.first_due(),
        }
    }

    /// Whether it could begin, for all that is known of itself.
    pub(super) fn is_ready(&self, now: DateTime<Utc>) -> bool {
        self.runs.is_none() && self.waits.as_ref().is_some_and(|waits| waits.not_before <= now)
    }

    /// What was due after one time, up to another.
    pub(super) fn dues(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        match &self.rule {
            Rule::At(times, _) => times.iter().copied().filter(|due| *due > after && *due <= until).collect(),
            Rule::Every(every) => {
                let every = *every;
                std::iter::successors(Some(after + every), |due| Some(*due + every))
                    .take_while(|due| *due <= until)
                    .collect()
            }
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.runs.is_some()
    }

    /// The service looks for work.
    pub(super) fn look(&mut self, now: DateTime<Utc>, has_point: bool) {
        // A full backup is wanted where there is no point, a drill where there is one.
        let is_drill = !self.job.work.is_backup();
        if self.awaits_first && has_point == is_drill && self.waits.is_none() && self.runs.is_none() {
            self.waits = Some(Waits { since: now, not_before: now, is_retry: false });
        }
        self.awaits_first &= is_drill && !has_point;
        let Some(due) = self.first_due().filter(|due| *due <= now) else { return };
        self.dealt_with = match &self.rule {
            Rule::At(times, _) => *times.iter().rfind(|time| **time <= now).unwrap(),
            Rule::Every(every) => {
                let mut last = self.dealt_with + *every;
                while last + *every <= now {
                    last += *every;
                }
                last
            }
        };
        match &mut self.waits {
            Some(waits) => waits.not_before = waits.not_before.min(now.max(due)),
            None => self.waits = Some(Waits { since: due, not_before: due, is_retry: false }),
        }
    }

    pub(super) fn began(&mut self, now: DateTime<Utc>) {
        self.awaits_first = false;
        self.runs = Some((now, self.waits.take()));
    }

    pub(super) fn ended(&mut self, ended: Ended, now: DateTime<Utc>) {
        let (began, waited) = self.runs.take().unwrap();
        match ended {
            // Here nothing is left to be done.
            Ended::Done | Ended::More | Ended::FullIsDue => {
                self.failures = 0;
                if let Rule::Every(_) = self.rule {
                    self.dealt_with = self.dealt_with.max(began);
                }
            }
            Ended::Again => {
                self.failures += 1;
                self.try_again(began, now);
            }
            Ended::Busy => {
                self.waits = waited.map(|waits| Waits { not_before: now + TimeDelta::seconds(15), ..waits });
            }
            Ended::AwaitsFull => {
                self.waits = waited.map(|waits| Waits { not_before: now, ..waits });
            }
        }
    }

    /// Somebody found that it is due.
    pub(super) fn is_found_due(&mut self, now: DateTime<Utc>) {
        if self.waits.is_none() && self.runs.is_none() {
            self.waits = Some(Waits { since: now, not_before: now, is_retry: false });
        }
    }

    /// One minute after the first failure, then twice as long each time, and never longer than a quarter of the objective.
    fn try_again(&mut self, since: DateTime<Utc>, now: DateTime<Utc>) {
        let since = self.waits.as_ref().map_or(since, |waits| waits.since);
        self.waits = Some(Waits { since, not_before: now + self.pause(), is_retry: true });
    }

    fn pause(&self) -> TimeDelta {
        let mut pause = TimeDelta::minutes(1);
        for _ in 1..self.failures {
            pause = (pause * 2).min(self.objective);
        }
        pause.min(self.objective / 4)
    }

    /// The wall clock was put back.
    pub(super) fn put_back(&mut self, by: TimeDelta, now: DateTime<Utc>) {
        let latest = now + self.pause();
        if let Some(waits) = &mut self.waits {
            waits.not_before = waits.not_before.min(latest);
            waits.since = waits.since.min(now);
        }
        match self.rule {
            Rule::Every(_) => self.dealt_with -= by,
            Rule::At(..) => self.dealt_with = self.dealt_with.min(now),
        }
    }

    /// Another interval from now on.
    pub(super) fn every(&mut self, minutes: i64, now: DateTime<Utc>) {
        self.rule = Rule::Every(TimeDelta::minutes(minutes));
        self.dealt_with = now;
    }

    pub(super) fn set_objective(&mut self, objective: TimeDelta) {
        self.objective = objective;
    }
}

/// All of them, with a calendar of `days`.
pub(super) fn all(days: i64) -> BTreeMap<Job, Awaited> {
    let start: DateTime<Utc> = START.parse().unwrap();
    let awaited = |job: Job, rule: Rule| Awaited {
        job,
        rule,
        objective: TimeDelta::zero(),
        dealt_with: start,
        waits: None,
        runs: None,
        failures: 0,
        awaits_first: false,
    };
    let cron = CRON.iter().map(|(source, work, expression, jitter)| {
        let until = start + TimeDelta::days(days);
        let times = calendar::dues(expression, chrono_tz::Europe::Berlin, start, until);
        let jitter = Duration::from_mins(jitter.unsigned_abs());
        awaited(Job::new(*source, *work), Rule::At(times, jitter))
    });
    let every =
        EVERY.iter().map(|(work, minutes, _)| awaited(Job::new("c", *work), Rule::Every(TimeDelta::minutes(*minutes))));
    cron.chain(every).map(|it| (it.job.clone(), it)).collect()
}
