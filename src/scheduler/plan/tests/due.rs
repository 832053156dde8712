//! What is due when, and what was missed.

use super::*;

#[test]
fn a_job_begins_at_its_minute_and_once() {
    let mut plan = plan(vec![spec("a", Work::FullBackup, "0 2 * * *")], "01:00:00", |_| begun("00:30:00"));
    assert_eq!(plan.tick(at("01:59:59"), calm), []);
    assert_eq!(plan.next_runs()[&("a".to_owned(), Work::FullBackup)], at("02:00:00"));
    let steps = plan.tick(at("02:00:00"), calm);
    let job = Job::new("a", Work::FullBackup);
    assert_eq!(
        steps,
        [Step::Start(Start {
            job: job.clone(),
            scheduled: at("02:00:00"),
            attempt: 1,
            is_more: false,
            is_asked: false
        })]
    );
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
