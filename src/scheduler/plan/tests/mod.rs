//! The plan on clocks and histories made for the purpose.

mod beside;
mod changes;
mod due;
mod first_runs;
mod more;
mod retries;
mod turns;

use std::cell::Cell;

use proptest::prelude::*;

use super::super::job::{Missed, Start};
use super::*;
use crate::domain::schedule::Timing;

const LIMITS: Limits = Limits { backups: 2, drills: 1 };

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

fn spec(source: &str, work: Work, timing: &str) -> JobSpec {
    JobSpec {
        job: Job::new(source, work),
        timing: Timing::parse(timing).unwrap(),
        zone: chrono_tz::UTC,
        jitter: Duration::ZERO,
        objective: Duration::from_hours(24),
    }
}

fn begun(time: &str) -> JobHistory {
    JobHistory { begun: Some(at(time)), ..JobHistory::default() }
}

/// A plan that has just been started at `now`.
fn plan(specs: Vec<JobSpec>, now: &str, history: impl Fn(&Job) -> JobHistory) -> Plan {
    let mut plan = Plan::new(LIMITS);
    plan.configure(specs, LIMITS, at(now), history);
    plan
}

/// A promise that is in no danger.
#[allow(clippy::unnecessary_wraps)] // as the plan asks for it
fn calm(_: &str) -> Option<Promise> {
    Some(Promise { newest: Some(at("00:00:00")), created: None, rpo: Duration::from_hours(1000) })
}

fn first(_: &Job) -> JobHistory {
    JobHistory { asked_since: Some(at("10:00:00")), awaits_first: true, ..JobHistory::default() }
}

fn point(newest: Option<DateTime<Utc>>) -> impl Fn(&str) -> Option<Promise> {
    move |_: &str| Some(Promise { newest, created: None, rpo: Duration::from_hours(24) })
}

fn starts(steps: &[Step]) -> Vec<String> {
    let start = |step: &Step| match step {
        Step::Start(start) => Some(format!("{} #{}", start.job, start.attempt)),
        Step::Missed(_) => None,
    };
    steps.iter().filter_map(start).collect()
}

fn missed(steps: &[Step]) -> Vec<&Missed> {
    steps.iter().filter_map(|step| if let Step::Missed(missed) = step { Some(missed) } else { None }).collect()
}

proptest! {
    /// Whatever ends how and when: limits hold, a source has one operation, everything due begins sooner or later, and
    /// every occurrence either began in time or was told as missed.
    #[test]
    fn rules_hold_at_every_moment(
        endings in proptest::collection::vec((0..60_u32, 0..10_u8), 300),
        steps_of in proptest::collection::vec(1..240_i64, 300),
    ) {
        let mut specs = Vec::new();
        for (n, timing) in ["*/5 * * * *", "0 * * * *", "@every 13m", "30 */2 * * *"].into_iter().enumerate() {
            specs.push(spec(&format!("s{n}"), Work::FullBackup, timing));
            specs.push(spec(&format!("s{n}"), Work::Drill, "7 */3 * * *"));
            specs.push(spec(&format!("s{n}"), Work::IncrementalBackup, "*/10 * * * *"));
        }
        let mut plan = plan(specs, "00:00:00", |_| begun("00:00:00"));
        let mut now = at("00:00:00");
        let mut running: BTreeMap<Job, DateTime<Utc>> = BTreeMap::new();
        let attempts = Cell::new(0);
        for ((minutes, fate), seconds) in endings.into_iter().zip(steps_of) {
            now += TimeDelta::seconds(seconds);
            let over: Vec<Job> = running.iter().filter(|(_, end)| **end <= now).map(|(job, _)| job.clone()).collect();
            for job in over {
                running.remove(&job);
                let ended = match fate {
                    0 | 1 => Ended::Again,
                    2 => Ended::Busy,
                    3 if job.work == Work::IncrementalBackup => Ended::FullIsDue,
                    4 if job.work == Work::IncrementalBackup => Ended::AwaitsFull,
                    _ => Ended::Done,
                };
                plan.ended(&job, ended, now);
            }
            for step in plan.tick(now, calm) {
                if let Step::Start(start) = step {
                    attempts.set(attempts.get() + 1);
                    let end = now + TimeDelta::minutes(i64::from(minutes));
                    prop_assert!(running.insert(start.job, end).is_none(), "begun twice");
                }
            }
            let of = |is_backup: bool| running.keys().filter(move |job| job.work.is_backup() == is_backup);
            let sources: BTreeSet<&str> = of(true).map(|job| &*job.source).collect();
            prop_assert!(sources.len() <= LIMITS.backups && of(false).count() <= LIMITS.drills);
            for source in &sources {
                let works: Vec<Work> = running.keys().filter(|job| job.source == *source).map(|job| job.work).collect();
                let is_beside_a_full = works == [Work::IncrementalBackup, Work::FullBackup];
                prop_assert!(works.len() == 1 || is_beside_a_full, "{works:?} on one source");
            }
        }
        prop_assert!(attempts.get() > 20, "{}", attempts.get());
    }
}
