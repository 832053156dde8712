//! Increments beside a full backup of their source.

use super::*;

fn full() -> Job {
    Job::new("a", Work::FullBackup)
}

fn incremental() -> Job {
    Job::new("a", Work::IncrementalBackup)
}

/// A source with both, and another one.
fn specs() -> Vec<JobSpec> {
    vec![
        spec("a", Work::FullBackup, "0 2 * * *"),
        spec("a", Work::IncrementalBackup, "5,20,35,50 * * * *"),
        spec("b", Work::FullBackup, "0 2 * * *"),
        spec("c", Work::IncrementalBackup, "5,20,35,50 * * * *"),
    ]
}

#[test]
fn increments_go_on_beside_the_full_backup_of_their_source_and_take_no_place_of_others() {
    let mut plan = plan(specs(), "01:59:00", |_| begun("01:51:00"));
    assert_eq!(starts(&plan.tick(at("02:00:00"), calm)), ["full backup of a #1", "full backup of b #1"], "the limit");
    assert_eq!(starts(&plan.tick(at("02:05:00"), calm)), ["incremental backup of a #1"], "c has to wait");
    plan.ended(&incremental(), Ended::Done, at("02:06:00"));
    assert_eq!(starts(&plan.tick(at("02:20:00"), calm)), ["incremental backup of a #1"]);
    assert_eq!(starts(&plan.tick(at("02:35:00"), calm)), [""; 0], "one at a time");
    plan.ended(&full(), Ended::Done, at("02:36:00"));
    assert_eq!(starts(&plan.tick(at("02:36:00"), calm)), [""; 0], "a is still being backed up");
    plan.ended(&incremental(), Ended::Done, at("02:37:00"));
    assert_eq!(starts(&plan.tick(at("02:37:00"), calm)), ["incremental backup of c #1"], "one place is free");
}

#[test]
fn a_full_backup_waits_for_an_increment_that_runs() {
    let mut plan = plan(specs(), "01:49:00", |_| begun("01:36:00"));
    assert_eq!(starts(&plan.tick(at("01:50:00"), calm)), ["incremental backup of a #1", "incremental backup of c #1"]);
    plan.ended(&Job::new("c", Work::IncrementalBackup), Ended::Done, at("01:51:00"));
    assert_eq!(starts(&plan.tick(at("02:00:00"), calm)), ["full backup of b #1"]);
    plan.ended(&incremental(), Ended::Done, at("02:00:10"));
    assert_eq!(starts(&plan.tick(at("02:00:10"), calm)), ["full backup of a #1"]);
}

#[test]
fn a_full_backup_that_an_increment_finds_due_begins_at_once_and_not_twice() {
    let mut plan = plan(specs(), "00:19:00", |_| begun("00:06:00"));
    plan.tick(at("00:20:00"), calm);
    plan.ended(&Job::new("c", Work::IncrementalBackup), Ended::Done, at("00:21:00"));
    plan.ended(&incremental(), Ended::FullIsDue, at("00:21:00"));
    let steps = plan.tick(at("00:21:00"), calm);
    let Some(Step::Start(start)) = steps.first() else { panic!("{steps:?}") };
    assert_eq!((&start.job, start.is_asked, start.scheduled), (&full(), true, at("00:21:00")));
    // It goes on to find it due while it is taken.
    for time in ["00:35:00", "00:50:00"] {
        assert!(starts(&plan.tick(at(time), calm)).contains(&"incremental backup of a #1".to_owned()));
        plan.ended(&incremental(), Ended::FullIsDue, at(time) + TimeDelta::minutes(1));
    }
    plan.ended(&full(), Ended::Done, at("00:52:00"));
    assert_eq!(starts(&plan.tick(at("00:52:00"), calm)), [""; 0]);
}

#[test]
fn an_increment_that_has_nothing_to_continue_waits_until_the_full_backup_has_ended_well_or_badly() {
    for ended in [Ended::Done, Ended::Again] {
        let mut plan = plan(specs()[..2].to_vec(), "00:19:00", |_| begun("00:06:00"));
        plan.tick(at("00:20:00"), calm);
        plan.ended(&incremental(), Ended::AwaitsFull, at("00:21:00"));
        assert_eq!(starts(&plan.tick(at("00:21:00"), calm)), ["full backup of a #1"]);
        assert_eq!(starts(&plan.tick(at("01:00:00"), calm)), [""; 0]);
        plan.ended(&full(), ended, at("01:01:00"));
        assert_eq!(
            starts(&plan.tick(at("01:01:00"), calm)),
            ["incremental backup of a #1"],
            "what waited begins at once"
        );
    }
}

#[test]
fn somebody_elses_full_backup_is_waited_for() {
    let mut plan = plan(specs()[..2].to_vec(), "00:19:00", |_| begun("00:06:00"));
    plan.tick(at("00:20:00"), calm);
    plan.ended(&incremental(), Ended::AwaitsFull, at("00:21:00"));
    plan.tick(at("00:21:00"), calm);
    plan.ended(&full(), Ended::Busy, at("00:21:00"));
    assert_eq!(starts(&plan.tick(at("00:21:10"), calm)), [""; 0]);
    assert_eq!(starts(&plan.tick(at("00:21:15"), calm)), ["full backup of a #1"]);
}
