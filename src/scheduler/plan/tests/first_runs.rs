//! The first full and the first drill of a source.

use super::*;

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
fn a_full_that_is_asked_for_while_one_waits_or_runs_is_not_taken_twice_and_one_that_is_asked_for_again_after_it_is_taken()
 {
    let full = Job::new("a", Work::FullBackup);
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 2 * * *")], "10:00:00", |_| begun("02:00:00"));
    plan.is_due(&full, at("10:00:00"));
    plan.is_due(&full, at("10:00:00"));
    assert_eq!(starts(&plan.tick(at("10:00:01"), calm)), ["full backup of a #1"]);
    plan.is_due(&full, at("10:00:30"));
    plan.ended(&full, Ended::Done, at("10:00:31"));
    assert_eq!(plan.tick(at("10:01:29"), calm), []);
    plan.is_due(&full, at("10:01:30"));
    assert_eq!(starts(&plan.tick(at("10:01:30"), calm)), ["full backup of a #1"]);
    plan.ended(&full, Ended::Again, at("10:02:00"));
    plan.is_due(&full, at("10:02:30"));
    assert_eq!(plan.tick(at("10:02:59"), calm), [], "it does not hurry what failed");
    assert_eq!(starts(&plan.tick(at("10:03:00"), calm)), ["full backup of a #2"]);
}
