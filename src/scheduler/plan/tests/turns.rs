//! Which of several jobs begins first, and how many run at once.

use super::*;

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
fn many_new_sources_begin_within_the_limits() {
    let specs = ["a", "b", "c", "d"].map(|name| spec(name, Work::FullBackup, "0 2 * * *")).to_vec();
    let mut plan = plan(specs, "10:00:00", first);
    assert_eq!(starts(&plan.tick(at("10:00:00"), point(None))), ["full backup of a #1", "full backup of b #1"]);
    plan.ended(&Job::new("a", Work::FullBackup), Ended::Done, at("10:01:00"));
    assert_eq!(starts(&plan.tick(at("10:01:00"), point(None))), ["full backup of c #1"]);
}
