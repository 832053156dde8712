//! Clocks that are set and configurations that are read anew.

use super::*;

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
