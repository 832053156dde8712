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

#[test]
fn a_job_begins_at_its_minute_and_once() {
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 2 * * *")], "01:00:00", |_| begun("00:30:00"));
    assert_eq!(plan.tick(at("01:59:59"), calm), []);
    assert_eq!(plan.next_runs()[&("a".to_owned(), Work::FullBackup)], at("02:00:00"));
    let steps = plan.tick(at("02:00:00"), calm);
    let job = Job::new("a", Work::FullBackup);
    assert_eq!(steps, [Step::Start(Start { job: job.clone(), scheduled: at("02:00:00"), attempt: 1 })]);
    assert_eq!(plan.tick(at("02:00:01"), calm), []);
    plan.ended(&job, Ended::Done, at("02:10:00"));
    assert_eq!(plan.tick(at("23:59:59"), calm), []);
}

#[test]
fn after_downtime_a_job_is_made_up_for_once_and_the_miss_is_told() {
    let specs = vec![spec("a", Work::FullBackup, "*/15 * * * *"), spec("b", Work::FullBackup, "0 12 * * *")];
    // What was due at 03:00 begins in time at 03:05:00 and not at 03:05:01.
    for (now, last, count) in [("03:05:01", at("03:00:00"), 8), ("03:05:00", at("02:45:00"), 7)] {
        let mut plan = plan(specs.clone(), now, |_| begun("01:00:10"));
        let steps = plan.tick(at(now), calm);
        assert_eq!(starts(&steps), ["full backup of a #1"]);
        let [missed] = missed(&steps)[..] else { panic!("{steps:?}") };
        assert_eq!((missed.first, missed.last, missed.count), (at("01:15:00"), last, count));
        assert_eq!(missed.reason, "the service did not run");
        plan.ended(&Job::new("a", Work::FullBackup), Ended::Done, at("03:06:00"));
        assert_eq!(plan.tick(at("03:07:00"), calm), [], "one catch-up, not eight");
    }
}

#[test]
fn what_was_due_before_it_was_asked_for_is_made_up_for_once_and_was_not_missed() {
    let history = |_: &Job| JobHistory { asked_since: Some(at("10:00:00")), ..begun("01:00:10") };
    for (now, expected) in [("10:00:00", None), ("13:30:00", Some((at("12:00:00"), at("12:00:00"), 1)))] {
        let mut plan = plan(vec![spec("a", Work::FullBackup, "0 */3 * * *")], now, history);
        let steps = plan.tick(at(now), calm);
        assert_eq!(starts(&steps), ["full backup of a #1"]);
        let told: Vec<_> = missed(&steps).iter().map(|missed| (missed.first, missed.last, missed.count)).collect();
        assert_eq!(told, Vec::from_iter(expected), "at {now}");
    }
}

#[test]
fn what_a_clock_that_ran_ahead_wrote_down_hides_no_later_miss() {
    let ahead = Some(at("23:00:00"));
    let history = |_: &Job| JobHistory { asked_since: ahead, missed_until: ahead, ..begun("01:00:10") };
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 * * * *")], "02:30:00", history);
    let first = plan.tick(at("02:30:00"), calm);
    assert_eq!((starts(&first).len(), missed(&first).len()), (1, 0));
    plan.ended(&Job::new("a", Work::FullBackup), Ended::Done, at("02:31:00"));
    let steps = plan.tick(at("06:30:00"), calm);
    let [missed] = missed(&steps)[..] else { panic!("{steps:?}") };
    assert_eq!((missed.first, missed.last, missed.count), (at("03:00:00"), at("06:00:00"), 4));
}

#[test]
fn a_short_restart_misses_nothing() {
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 2 * * *")], "02:00:40", |_| begun("00:00:00"));
    let steps = plan.tick(at("02:00:41"), calm);
    assert_eq!((starts(&steps).len(), missed(&steps).len()), (1, 0));
}

#[test]
fn what_never_ran_waits_for_its_time_of_day_and_begins_at_once_at_an_interval() {
    let specs = vec![spec("a", Work::FullBackup, "0 2 * * *"), spec("b", Work::FullBackup, "@every 1h")];
    let mut plan =
        plan(specs, "12:00:00", |_| JobHistory { asked_since: Some(at("11:59:00")), ..JobHistory::default() });
    assert_eq!(starts(&plan.tick(at("12:00:00"), calm)), ["full backup of b #1"]);
}

#[test]
fn an_interval_is_counted_from_begin_to_begin() {
    let job = Job::new("a", Work::FullBackup);
    let mut plan = plan(vec![spec("a", Work::FullBackup, "@every 1h")], "12:00:00", |_| begun("11:30:00"));
    assert_eq!(plan.tick(at("12:29:59"), calm), []);
    assert_eq!(starts(&plan.tick(at("12:30:00"), calm)).len(), 1);
    plan.ended(&job, Ended::Done, at("12:50:00"));
    assert_eq!(plan.tick(at("13:29:59"), calm), []);
    assert_eq!(starts(&plan.tick(at("13:30:00"), calm)).len(), 1);
}

#[test]
fn what_comes_while_a_job_runs_waits_for_its_end_and_is_one_run() {
    let job = Job::new("a", Work::FullBackup);
    let mut plan = plan(vec![spec("a", Work::FullBackup, "*/15 * * * *")], "12:00:00", |_| begun("11:50:00"));
    plan.tick(at("12:00:00"), calm);
    for minute in 1..40 {
        assert_eq!(starts(&plan.tick(at(&format!("12:{minute:02}:00")), calm)), [""; 0]);
    }
    plan.ended(&job, Ended::Done, at("12:40:00"));
    let steps = plan.tick(at("12:40:00"), calm);
    assert_eq!(starts(&steps).len(), 1);
    let [missed] = missed(&steps)[..] else { panic!("{steps:?}") };
    assert_eq!((missed.first, missed.last, missed.count), (at("12:15:00"), at("12:30:00"), 2));
}

#[test]
fn of_what_waited_for_hours_the_occurrence_that_begins_in_time_was_not_missed() {
    let job = Job::new("a", Work::FullBackup);
    let mut plan = plan(vec![spec("a", Work::FullBackup, "*/15 * * * *")], "12:00:00", |_| begun("11:50:00"));
    plan.tick(at("12:00:00"), calm);
    for minute in 1..46 {
        plan.tick(at(&format!("12:{minute:02}:00")), calm);
    }
    plan.ended(&job, Ended::Done, at("12:46:00"));
    let steps = plan.tick(at("12:46:00"), calm);
    assert_eq!(starts(&steps).len(), 1);
    let [missed] = missed(&steps)[..] else { panic!("{steps:?}") };
    assert_eq!((missed.first, missed.last, missed.count), (at("12:15:00"), at("12:30:00"), 2), "12:45 is in time");
}

#[test]
fn a_failed_backup_is_tried_again_and_more_and_more_seldom_within_its_objective() {
    let job = Job::new("a", Work::FullBackup);
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 2 * * *")], "01:59:00", |_| begun("00:00:00"));
    let mut waits = Vec::new();
    let mut now = at("02:00:00");
    let mut ended = now;
    for attempt in 1..=12 {
        while starts(&plan.tick(now, calm)).is_empty() {
            now += TimeDelta::seconds(10);
        }
        if attempt > 1 {
            waits.push((now - ended).num_minutes());
        }
        now += TimeDelta::seconds(10);
        ended = now;
        plan.ended(&job, Ended::Again, ended);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360], "never more than a quarter of 24 h");
}

#[test]
fn the_next_occurrence_does_not_wait_for_the_end_of_a_backoff() {
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 * * * *")], "01:59:00", |_| JobHistory {
        failures: 9,
        ..begun("01:30:00")
    });
    assert_eq!(starts(&plan.tick(at("01:59:30"), calm)), [""; 0]);
    assert_eq!(starts(&plan.tick(at("02:00:00"), calm)), ["full backup of a #10"]);
}

#[test]
fn a_run_that_failed_before_the_restart_is_tried_again_after_it() {
    let history = |_: &Job| JobHistory { failures: 1, ..begun("02:00:00") };
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 2 * * *")], "02:10:00", history);
    assert_eq!(starts(&plan.tick(at("02:10:30"), calm)), [""; 0]);
    assert_eq!(starts(&plan.tick(at("02:11:00"), calm)), ["full backup of a #2"]);
}

#[test]
fn a_source_that_somebody_else_works_on_is_looked_at_again_and_that_is_no_attempt() {
    let job = Job::new("a", Work::FullBackup);
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 2 * * *")], "01:59:00", |_| begun("00:00:00"));
    plan.tick(at("02:00:00"), calm);
    plan.ended(&job, Ended::Busy, at("02:00:00"));
    assert_eq!(starts(&plan.tick(at("02:00:14"), calm)), [""; 0]);
    assert_eq!(starts(&plan.tick(at("02:00:15"), calm)), ["full backup of a #1"]);
}

#[test]
fn what_waits_long_for_somebody_else_is_told_as_missed() {
    let job = Job::new("a", Work::FullBackup);
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 2 * * *")], "01:59:00", |_| begun("00:00:00"));
    let (mut now, mut told) = (at("02:00:00"), Vec::new());
    while now < at("04:00:00") {
        let steps = plan.tick(now, calm);
        if !starts(&steps).is_empty() {
            plan.ended(&job, Ended::Busy, now);
        }
        told.extend(missed(&steps).into_iter().cloned());
        now += TimeDelta::seconds(15);
    }
    let [missed] = &told[..] else { panic!("{told:?}") };
    assert_eq!((missed.first, missed.last, missed.count), (at("02:00:00"), at("02:00:00"), 1));
    assert_eq!(plan.next_runs()[&("a".to_owned(), Work::FullBackup)], at("02:00:00"), "it is overdue, and looks so");
}

#[test]
fn an_occurrence_that_waited_behind_a_failed_run_is_told_as_missed() {
    let job = Job::new("a", Work::FullBackup);
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 */4 * * *")], "03:59:00", |_| begun("00:00:00"));
    plan.tick(at("04:00:00"), calm);
    plan.tick(at("08:00:00"), calm);
    plan.ended(&job, Ended::Again, at("11:00:00"));
    let steps = plan.tick(at("11:01:00"), calm);
    assert_eq!(starts(&steps), ["full backup of a #2"]);
    let [missed] = missed(&steps)[..] else { panic!("{steps:?}") };
    assert_eq!((missed.first, missed.last, missed.count), (at("08:00:00"), at("08:00:00"), 1));
}

#[test]
fn nothing_is_missed_while_a_source_is_not_configured() {
    let a = spec("a", Work::FullBackup, "0 */4 * * *");
    let mut plan = plan(vec![a.clone()], "03:59:00", |_| begun("00:00:00"));
    plan.tick(at("04:00:00"), calm);
    plan.configure(Vec::new(), LIMITS, at("04:10:00"), |_| JobHistory::default());
    plan.tick(at("12:30:00"), calm);
    plan.configure(vec![a], LIMITS, at("13:00:00"), |_| JobHistory::default());
    assert_eq!(plan.tick(at("13:00:01"), calm), []);
}

#[test]
fn one_operation_per_source_and_the_backup_first() {
    let specs = vec![spec("a", Work::FullBackup, "0 2 * * *"), spec("a", Work::Drill, "0 2 * * *")];
    let mut plan = plan(specs, "01:59:00", |_| begun("00:00:00"));
    assert_eq!(starts(&plan.tick(at("02:00:00"), calm)), ["full backup of a #1"]);
    assert_eq!(plan.tick(at("02:01:00"), calm), []);
    plan.ended(&Job::new("a", Work::FullBackup), Ended::Done, at("02:02:00"));
    assert_eq!(starts(&plan.tick(at("02:02:00"), calm)), ["drill of a #1"]);
}

#[test]
fn limits_hold_and_a_drill_takes_no_place_of_a_backup() {
    let backups = (0..4).map(|n| spec(&format!("b{n}"), Work::FullBackup, "0 2 * * *"));
    let drills = (0..3).map(|n| spec(&format!("d{n}"), Work::Drill, "0 2 * * *"));
    let mut plan = plan(backups.chain(drills).collect(), "01:59:00", |_| begun("00:00:00"));
    let first = starts(&plan.tick(at("02:00:00"), calm));
    assert_eq!(first, ["full backup of b0 #1", "full backup of b1 #1", "drill of d0 #1"]);
    plan.ended(&Job::new("b1", Work::FullBackup), Ended::Done, at("02:01:00"));
    assert_eq!(starts(&plan.tick(at("02:01:00"), calm)), ["full backup of b2 #1"]);
}

#[test]
fn a_drill_never_delays_a_backup_past_its_rpo() {
    let specs = vec![spec("a", Work::IncrementalBackup, "*/15 * * * *"), spec("a", Work::Drill, "1 2 * * *")];
    let history = |_: &Job| JobHistory { duration: Some(Duration::from_mins(1)), ..begun("02:00:30") };
    let mut plan = plan(specs, "02:00:40", history);
    let promise = |_: &str| Some(Promise { newest: Some(at("02:00:00")), created: None, rpo: Duration::from_mins(30) });
    assert_eq!(starts(&plan.tick(at("02:01:00"), promise)), ["drill of a #1"]);
    assert_eq!(starts(&plan.tick(at("02:15:00"), promise)), [""; 0], "there is time to wait for the drill");
    // It takes 1.5 × 1 min, and 3 min are kept as room: 02:30 − 4.5 min.
    assert_eq!(starts(&plan.tick(at("02:25:29"), promise)), [""; 0]);
    assert_eq!(starts(&plan.tick(at("02:25:30"), promise)), ["incremental backup of a #1"]);
}

#[test]
fn an_incremental_whose_rpo_is_at_stake_may_exceed_the_limit_and_no_full_may() {
    let mut specs: Vec<JobSpec> = (0..2).map(|n| spec(&format!("big{n}"), Work::FullBackup, "0 2 * * *")).collect();
    specs.extend((0..4).map(|n| spec(&format!("i{n}"), Work::IncrementalBackup, "5 2 * * *")));
    specs.push(spec("late", Work::FullBackup, "5 2 * * *"));
    let mut plan = plan(specs, "01:59:00", |_| begun("00:00:00"));
    let promise = |source: &str| {
        let newest = if source.starts_with("big") { "02:00:00" } else { "00:00:00" };
        Some(Promise { newest: Some(at(newest)), created: None, rpo: Duration::from_hours(1) })
    };
    assert_eq!(starts(&plan.tick(at("02:00:00"), promise)).len(), 2);
    let beyond = starts(&plan.tick(at("02:05:00"), promise));
    assert_eq!(beyond, ["incremental backup of i0 #1", "incremental backup of i1 #1"]);
}

#[test]
fn of_two_backups_the_one_whose_rpo_ends_first_goes_first() {
    let specs = ["a", "b", "c"].map(|name| spec(name, Work::FullBackup, "0 2 * * *")).to_vec();
    let mut plan = plan(specs, "01:59:00", |_| begun("00:00:00"));
    let promise = |source: &str| {
        let hours = match source {
            "a" => 9,
            "b" => 7,
            // New: promised within a day of when it was first seen.
            _ => return Some(Promise { newest: None, created: Some(at("01:00:00")), rpo: Duration::from_hours(24) }),
        };
        Some(Promise { newest: Some(at("00:00:00")), created: None, rpo: Duration::from_hours(hours) })
    };
    assert_eq!(starts(&plan.tick(at("02:00:00"), promise)), ["full backup of b #1", "full backup of a #1"]);
}

#[test]
fn new_sources_do_not_come_before_one_whose_rpo_ends_sooner() {
    let mut specs: Vec<JobSpec> = (0..20).map(|n| spec(&format!("new{n:02}"), Work::FullBackup, "0 2 * * *")).collect();
    specs.push(spec("old", Work::FullBackup, "5 12 * * *"));
    let history = |job: &Job| if job.source == "old" { begun("11:15:00") } else { first(job) };
    let mut plan = plan(specs, "12:00:00", history);
    let promise = |source: &str| {
        let (newest, hours) = if source == "old" { (Some(at("11:15:00")), 1) } else { (None, 24) };
        Some(Promise { newest, created: Some(at("11:15:00")), rpo: Duration::from_hours(hours) })
    };
    assert_eq!(starts(&plan.tick(at("12:00:00"), promise)), ["full backup of new00 #1", "full backup of new01 #1"]);
    plan.ended(&Job::new("new00", Work::FullBackup), Ended::Again, at("12:05:00"));
    // It has ten minutes left, eighteen others wait for longer.
    assert_eq!(starts(&plan.tick(at("12:05:00"), promise)), ["full backup of old #1"]);
    plan.ended(&Job::new("new01", Work::FullBackup), Ended::Done, at("12:06:00"));
    assert_eq!(starts(&plan.tick(at("12:06:00"), promise)), ["full backup of new02 #1"], "a failed one comes last");
}

#[test]
fn a_clock_that_is_put_back_stops_nothing() {
    let specs = vec![spec("a", Work::FullBackup, "0 * * * *"), spec("b", Work::FullBackup, "@every 1h")];
    let mut plan = plan(specs, "12:30:00", |_| begun("12:10:00"));
    plan.tick(at("12:30:00"), calm);
    plan.clock_jumped(-TimeDelta::hours(6), at("06:31:00"));
    let next = plan.next_runs();
    assert_eq!(next[&("a".to_owned(), Work::FullBackup)], at("07:00:00"));
    assert_eq!(next[&("b".to_owned(), Work::FullBackup)], at("07:10:00"), "40 minutes were left and are left");
}

#[test]
fn a_clock_that_is_put_forward_makes_up_for_what_it_skipped_once() {
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 * * * *")], "02:30:00", |_| begun("02:00:00"));
    plan.tick(at("02:30:00"), calm);
    let steps = plan.tick(at("09:10:00"), calm);
    assert_eq!(starts(&steps).len(), 1);
    assert_eq!(missed(&steps)[0].count, 7);
    assert_ne!(missed(&steps)[0].reason, "the service did not run");
}

#[test]
fn a_new_configuration_keeps_what_runs_and_forgets_what_was_removed() {
    let (a, b) = (spec("a", Work::FullBackup, "0 2 * * *"), spec("b", Work::FullBackup, "0 2 * * *"));
    let mut plan = plan(vec![a.clone(), b], "01:59:00", |_| begun("00:00:00"));
    plan.tick(at("02:00:00"), calm);
    let changed = spec("a", Work::FullBackup, "30 2 * * *");
    plan.configure(vec![changed], Limits { backups: 1, drills: 1 }, at("02:05:00"), |_| JobHistory::default());
    assert_eq!(plan.next_runs().len(), 1, "{:?}", plan.next_runs());
    assert_eq!(starts(&plan.tick(at("02:30:00"), calm)), [""; 0], "b still runs and holds its place");
    plan.ended(&a.job, Ended::Done, at("02:31:00"));
    plan.ended(&Job::new("b", Work::FullBackup), Ended::Again, at("02:31:00"));
    assert_eq!(starts(&plan.tick(at("02:31:00"), calm)), ["full backup of a #1"]);
    assert_eq!(plan.tick(at("03:31:00"), calm), [], "b is not tried again");
}

#[test]
fn a_new_schedule_asks_for_nothing_in_the_past() {
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 23 * * *")], "12:00:00", |_| begun("00:00:00"));
    plan.tick(at("12:00:00"), calm);
    plan.configure(vec![spec("a", Work::FullBackup, "0 6 * * *")], LIMITS, at("12:00:01"), |_| JobHistory::default());
    assert_eq!(plan.tick(at("12:00:02"), calm), []);
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
                let ended = match fate { 0 | 1 => Ended::Again, 2 => Ended::Busy, _ => Ended::Done };
                plan.ended(&job, ended, now);
            }
            for step in plan.tick(now, calm) {
                if let Step::Start(start) = step {
                    attempts.set(attempts.get() + 1);
                    let end = now + TimeDelta::minutes(i64::from(minutes));
                    prop_assert!(running.insert(start.job, end).is_none(), "begun twice");
                }
            }
            let backups = running.keys().filter(|job| job.work.is_backup()).count();
            prop_assert!(backups <= LIMITS.backups && running.len() - backups <= LIMITS.drills);
            let mut sources: Vec<&str> = running.keys().map(|job| &*job.source).collect();
            let all = sources.len();
            sources.dedup();
            prop_assert_eq!(sources.len(), all, "two operations on one source");
        }
        prop_assert!(attempts.get() > 20, "{}", attempts.get());
    }
}

fn first(_: &Job) -> JobHistory {
    JobHistory { asked_since: Some(at("10:00:00")), awaits_first: true, ..JobHistory::default() }
}

fn point(newest: Option<DateTime<Utc>>) -> impl Fn(&str) -> Option<Promise> {
    move |_: &str| Some(Promise { newest, created: None, rpo: Duration::from_hours(24) })
}

#[test]
fn the_first_full_and_the_first_drill_of_a_new_source_do_not_wait_for_their_times() {
    let specs = vec![spec("a", Work::FullBackup, "0 2 * * *"), spec("a", Work::Drill, "30 4 * * *")];
    let mut plan = plan(specs, "10:00:00", first);
    let steps = plan.tick(at("10:00:00"), point(None));
    assert_eq!((starts(&steps), missed(&steps).len()), (vec!["full backup of a #1".to_owned()], 0));
    assert_eq!(plan.tick(at("10:00:01"), point(None)), []);
    let (full, drill) = (Job::new("a", Work::FullBackup), Job::new("a", Work::Drill));
    plan.ended(&full, Ended::Done, at("10:20:00"));
    assert_eq!(plan.tick(at("10:20:00"), point(None)), [], "the listing is not read yet");
    let newest = Some(at("10:00:00"));
    assert_eq!(starts(&plan.tick(at("10:20:01"), point(newest))), ["drill of a #1"]);
    plan.ended(&drill, Ended::Done, at("10:30:00"));
    assert_eq!(plan.tick(at("23:59:59"), point(newest)), [], "once");
    assert_eq!(plan.next_runs()[&("a".to_owned(), Work::FullBackup)], at("02:00:00") + TimeDelta::days(1));
}

#[test]
fn a_first_run_that_fails_is_tried_again_as_every_other() {
    let mut plan =
        plan(vec![spec("a", Work::FullBackup, "0 2 * * *"), spec("a", Work::Drill, "30 4 * * *")], "10:00:00", first);
    assert_eq!(starts(&plan.tick(at("10:00:00"), point(None))), ["full backup of a #1"]);
    let full = Job::new("a", Work::FullBackup);
    plan.ended(&full, Ended::Again, at("10:05:00"));
    assert_eq!(plan.tick(at("10:05:59"), point(None)), []);
    assert_eq!(starts(&plan.tick(at("10:06:00"), point(None))), ["full backup of a #2"]);
    plan.ended(&full, Ended::Again, at("10:07:00"));
    assert_eq!(plan.tick(at("10:08:59"), point(None)), [], "two minutes after the second failure");
    assert_eq!(starts(&plan.tick(at("10:09:00"), point(None))), ["full backup of a #3"]);
    plan.ended(&full, Ended::Done, at("10:10:00"));
    assert_eq!(plan.tick(at("23:00:00"), point(None)), []);
}

#[test]
fn a_source_with_recovery_points_waits_for_its_full_and_is_drilled_at_once() {
    let specs = vec![spec("a", Work::FullBackup, "0 2 * * *"), spec("a", Work::Drill, "30 4 * * *")];
    let mut plan = plan(specs, "10:00:00", first);
    assert_eq!(starts(&plan.tick(at("10:00:00"), calm)), ["drill of a #1"]);
    plan.ended(&Job::new("a", Work::Drill), Ended::Done, at("10:01:00"));
    assert_eq!(plan.tick(at("23:00:00"), calm), []);
}

#[test]
fn a_first_drill_that_comes_due_before_there_is_a_recovery_point_waits_for_one() {
    let specs = vec![spec("a", Work::Drill, "@every 1h"), spec("b", Work::Drill, "30 10 * * *")];
    let mut plan = plan(specs, "10:00:00", first);
    assert_eq!(starts(&plan.tick(at("10:30:00"), point(None))), [""; 0]);
    let b = |name: &str| (name == "b").then(|| point(Some(at("10:41:00")))(name)).flatten();
    let steps = plan.tick(at("10:42:00"), b);
    assert_eq!(starts(&steps), ["drill of b #1"]);
    assert_eq!(missed(&steps).iter().map(|it| (it.first, it.count)).collect::<Vec<_>>(), [(at("10:30:00"), 1)]);
}

#[test]
fn many_new_sources_begin_within_the_limits() {
    let specs = ["a", "b", "c", "d"].map(|name| spec(name, Work::FullBackup, "0 2 * * *")).to_vec();
    let mut plan = plan(specs, "10:00:00", first);
    assert_eq!(starts(&plan.tick(at("10:00:00"), point(None))), ["full backup of a #1", "full backup of b #1"]);
    plan.ended(&Job::new("a", Work::FullBackup), Ended::Done, at("10:01:00"));
    assert_eq!(starts(&plan.tick(at("10:01:00"), point(None))), ["full backup of c #1"]);
}
