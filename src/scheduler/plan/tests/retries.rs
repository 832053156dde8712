//! When a job is tried again that failed or found its source busy.

use super::*;

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
