//! What a run leaves to be done.

use super::*;

fn drill_of_a() -> Job {
    Job::new("a", Work::Drill)
}

fn more(steps: &[Step]) -> Vec<bool> {
    let started = |step: &Step| if let Step::Start(start) = step { Some(start.is_more) } else { None };
    steps.iter().filter_map(started).collect()
}

#[test]
fn more_begins_at_once_after_backups_that_wait_and_is_no_occurrence() {
    let specs = vec![spec("a", Work::FullBackup, "30 2 * * *"), spec("a", Work::Drill, "0 2 * * *")];
    let mut plan = plan(specs, "01:59:00", |_| begun("00:00:00"));
    assert_eq!(more(&plan.tick(at("02:00:00"), calm)), [false]);
    plan.ended(&drill_of_a(), Ended::More, at("02:31:00"));
    let next = plan.next_runs()[&("a".to_owned(), Work::Drill)];
    assert_eq!(next, at("02:00:00") + TimeDelta::days(1), "nothing is late");
    assert_eq!(starts(&plan.tick(at("02:31:00"), calm)), ["full backup of a #1"]);
    plan.ended(&Job::new("a", Work::FullBackup), Ended::Done, at("02:40:00"));
    let steps = plan.tick(at("02:40:00"), calm);
    assert_eq!((starts(&steps), more(&steps)), (vec!["drill of a #1".to_owned()], vec![true]));
    assert_eq!(steps.len(), 1, "nothing was missed");
    plan.ended(&drill_of_a(), Ended::More, at("02:50:00"));
    assert_eq!(more(&plan.tick(at("02:50:00"), calm)), [true]);
    plan.ended(&drill_of_a(), Ended::Again, at("02:55:00"));
    assert_eq!(plan.tick(at("04:00:00"), calm), [], "it is not tried again by itself");
    assert_eq!(more(&plan.tick(next, calm)), [false]);
}

#[test]
fn the_next_occurrence_comes_before_what_is_left() {
    let specs = vec![spec("a", Work::Drill, "0 * * * *"), spec("b", Work::Drill, "0 2 * * *")];
    let mut plan = plan(specs, "01:59:00", |_| begun("01:00:00"));
    assert_eq!(starts(&plan.tick(at("02:00:00"), calm)), ["drill of a #1"]);
    plan.ended(&drill_of_a(), Ended::More, at("02:10:00"));
    assert_eq!(starts(&plan.tick(at("02:10:00"), calm)), ["drill of b #1"], "it has waited longer");
    assert_eq!(more(&plan.tick(at("03:00:00"), calm)), [false; 0]);
    plan.ended(&Job::new("b", Work::Drill), Ended::Done, at("03:01:00"));
    assert_eq!(more(&plan.tick(at("03:01:00"), calm)), [false]);
}

#[test]
fn more_that_found_somebody_else_at_work_waits_and_stays_more() {
    let mut plan = plan(vec![spec("a", Work::Drill, "0 2 * * *")], "01:59:00", |_| begun("00:00:00"));
    plan.tick(at("02:00:00"), calm);
    plan.ended(&drill_of_a(), Ended::More, at("02:10:00"));
    assert_eq!(more(&plan.tick(at("02:10:00"), calm)), [true]);
    plan.ended(&drill_of_a(), Ended::Busy, at("02:10:01"));
    assert_eq!(plan.tick(at("02:10:02"), calm), []);
    assert_eq!(more(&plan.tick(at("02:10:16"), calm)), [true]);
}
