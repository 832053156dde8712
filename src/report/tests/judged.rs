//! Which promises were kept in a month, and from when until when they were not.

use super::*;

#[test]
fn a_month_in_which_everything_went_well_is_kept_whole() {
    let report = source(records(), october()).unwrap();
    assert!(report.kept() == Some(true), "{:?}", report.objectives);
    assert!(report.objectives.iter().all(|it| it.met_ratio == Some(1.0) && it.breaches.is_empty()));
    assert_eq!((report.days.days, report.days.with_passed_drill), (31, 31));
    assert_eq!(report.drills.len(), 31);
    assert_eq!(report.backups, [BackupCount { kind: BackupKind::Full, succeeded: 31, failed: 0, added_bytes: 310 }]);
    assert_eq!(report.achieved.rpo_worst_seconds, Some(24.0 * 3600.0 + 1200.0));
    assert_eq!(report.achieved.rto_p95_seconds, Some(600.0));
}

#[test]
fn every_breach_has_its_begin_its_end_and_the_runs_that_explain_it() {
    let mut records = records();
    let third = at("2026-10-03T02:00:00Z");
    let broken = records.runs.iter_mut().find(|run| run.started == third).unwrap();
    (broken.outcome, broken.reason) = (Some(Outcome::Failed), "access denied".into());
    let slow = records.runs.iter_mut().find(|run| run.started == at("2026-10-10T04:30:00Z")).unwrap();
    slow.rto_seconds = Some(4000.0);
    let gone = at("2026-10-20T04:30:00Z");
    records.runs.retain(|run| run.started != gone);
    records.missed.push(MissedRuns {
        source: "agama".into(),
        operation: Operation::Drill,
        kind: None,
        first: gone,
        last: gone,
        count: 1,
        reason: "the service was not running".into(),
    });
    settle(&mut records);
    let report = source(records, october()).unwrap();

    let rpo = &of(&report, "rpo").breaches;
    assert_eq!(rpo.len(), 1);
    assert_eq!(rpo[0].start, at("2026-10-03T04:00:00.000001Z"), "the point of the second is good for 26 hours");
    assert_eq!(rpo[0].end, Some(at("2026-10-04T02:20:00Z")));
    assert!(rpo[0].reason.contains("was of 2026-10-02T02:00:00Z"), "{}", rpo[0].reason);
    assert!(
        rpo[0].reason.contains("1 backup failed, the first at 2026-10-03T02:00:00Z: access denied"),
        "{}",
        rpo[0].reason
    );

    let rto = &of(&report, "rto").breaches;
    assert_eq!((rto.len(), rto[0].end), (1, Some(at("2026-10-11T04:50:00Z"))));
    assert!(rto[0].reason.contains("took 1h 6m"), "{}", rto[0].reason);
    assert_eq!(of(&report, "rto").is_kept, Some(false));

    let drill = &of(&report, "drill_interval").breaches;
    assert_eq!(drill.len(), 1);
    assert!(drill[0].reason.contains("1 scheduled drill did not begin"), "{}", drill[0].reason);
    assert!(drill[0].reason.contains("the service was not running"), "{}", drill[0].reason);
    assert_eq!(report.days.without, ["2026-10-20".parse().unwrap()]);
    assert_eq!(report.missed.len(), 1);
    assert_eq!(report.backup_failures.len(), 1);
}

#[test]
fn a_source_of_a_few_days_is_not_judged_yet_unless_the_month_is_lost_already() {
    let mut records = records();
    records.facts.created = at("2026-10-11T01:00:00Z");
    let now = at("2026-10-13T07:00:00Z");
    records.runs.retain(|run| (records.facts.created..now).contains(&run.started));
    settle(&mut records);
    let period = Period { until: now, now, ..october() };
    let fresh = source(records.clone(), period).unwrap();
    let rpo = of(&fresh, "rpo");
    assert_eq!((fresh.kept(), rpo.met_ratio, rpo.is_kept, rpo.is_judged), (None, Some(1.0), None, false));
    assert_eq!(
        (rpo.kept_in_words(), rpo.breaches.len()),
        ("not judged yet: after 7 days, so far 2 days".to_owned(), 0)
    );
    assert_eq!(fresh.kept_in_words(), "not judged yet: after 7 days, so far 2 days", "of the first drill");
    // Nothing but the first backup, which was late: the budget of a month is 7.2 hours.
    records.runs.clear();
    settle(&mut records);
    let failing = source(records, period).unwrap();
    let rpo = of(&failing, "rpo");
    assert_eq!((rpo.kept_in_words().as_str(), rpo.breaches.len()), ("no", 1));
    assert_eq!(rpo.breaches[0].start, at("2026-10-12T03:00:00.000001Z"), "26 hours after it was first seen");
}

#[test]
fn a_source_is_judged_from_when_it_was_known_and_a_month_that_is_not_over_to_now() {
    let mut records = records();
    records.facts.created = at("2026-10-11T02:00:00Z");
    let early = Period { until: at("2026-10-05T00:00:00Z"), ..october() };
    assert!(source(records.clone(), early).is_none());
    records.runs.retain(|run| run.started >= at("2026-10-11T02:00:00Z"));
    settle(&mut records);
    let now = at("2026-10-21T03:00:00Z");
    records.runs.retain(|run| run.started < now);
    settle(&mut records);
    let report = source(records, Period { until: now, now, ..october() }).unwrap();
    assert_eq!(report.from, at("2026-10-11T02:00:00Z"));
    // The eleventh began before the source did, and the twenty-first is not over.
    assert_eq!(report.days.days, 10, "{:?}", report.days);
    assert_eq!(of(&report, "rpo").breaches, [], "before the first backup could be there nothing was broken");
    assert_eq!(report.kept(), Some(true), "{:?}", report.objectives);
    assert!(report.achieved.without_recovery_point_seconds > 0.0);
}

#[test]
fn what_still_lasts_has_no_end_and_what_nobody_promised_is_not_judged() {
    let mut records = records();
    records.runs.retain(|run| run.operation == Operation::Drill || run.started < at("2026-10-25T00:00:00Z"));
    settle(&mut records);
    let report = source(records.clone(), october()).unwrap();
    let last = of(&report, "rpo").breaches.last().unwrap();
    assert_eq!(last.end, None);
    assert!(last.reason.contains("no backup ended or was missed in that time"), "{}", last.reason);
    records.facts.promises.clear();
    let report = source(records, october()).unwrap();
    assert!(report.objectives.is_empty() && report.promised.is_empty());
}

#[test]
fn percentiles_are_values_that_were_measured() {
    assert_eq!(percentile(&[], 50), None);
    assert_eq!(percentile(&[3.0], 95), Some(3.0));
    let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!((percentile(&hundred, 50), percentile(&hundred, 95)), (Some(50.0), Some(95.0)));
    assert_eq!(percentile(&[1.0, 2.0, 3.0], 95), Some(3.0));
}

#[test]
fn months_begin_and_end_where_the_time_zone_has_its_midnights() {
    let berlin: Tz = "Europe/Berlin".parse().unwrap();
    let (from, end) = Month::parse("2026-10").unwrap().bounds(berlin);
    assert_eq!((from, end), (at("2026-09-30T22:00:00Z"), at("2026-10-31T23:00:00Z")));
    assert_eq!(Month::last(at("2027-01-01T00:30:00Z"), Tz::UTC).to_string(), "2026-12");
    assert_eq!(Month::last(at("2026-10-31T23:30:00Z"), berlin).to_string(), "2026-10");
    // There, clocks are put forward at midnight of the first day.
    let beirut: Tz = "Asia/Beirut".parse().unwrap();
    assert_eq!(month::midnight("2026-03-29".parse().unwrap(), beirut), at("2026-03-28T22:00:00Z"));
    for bad in ["", "2026", "2026-13", "2026-1", "10-2026", "2026-10-01", "2026/10", "二026-1"] {
        assert!(Month::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_drill_over_midnight_counts_for_the_day_and_the_month_in_which_it_ended() {
    let mut records = records();
    for run in records.runs.iter_mut().filter(|run| run.is_drill()) {
        // From five to midnight to a quarter past.
        run.started -= TimeDelta::minutes(275);
        run.ended = Some(run.started + TimeDelta::minutes(20));
    }
    settle(&mut records);
    let report = source(records, october()).unwrap();
    assert_eq!((report.days.days, report.days.with_passed_drill), (31, 31), "{:?}", report.days.without);
    assert_eq!(report.drills.len(), 31);
}

#[test]
fn a_source_that_is_no_longer_configured_is_judged_until_its_last_run() {
    let mut records = records();
    records.is_configured = false;
    records.runs.retain(|run| run.started < at("2026-10-10T12:00:00Z"));
    settle(&mut records);
    let report = source(records.clone(), october()).unwrap();
    assert_eq!(report.until, at("2026-10-10T04:50:00Z"));
    assert_eq!(report.kept(), Some(true), "{:?}", report.objectives);
    let end = at("2026-11-30T00:00:00Z");
    let november = Period { from: october().until, until: end, now: at("2026-12-01T00:00:00Z"), ..october() };
    assert!(source(records, november).is_none());
}

#[test]
fn a_source_that_was_taken_out_is_judged_until_then_and_an_absence_is_told_and_counts() {
    let period = |began: &str, ended: Option<&str>| ConfiguredPeriod { began: at(began), ended: ended.map(at) };
    let first = period("2026-09-20T00:00:00Z", Some("2026-10-12T08:00:00Z"));
    let mut records = records();
    records.runs.retain(|run| run.started < at("2026-10-10T12:00:00Z"));
    (records.is_configured, records.configured) = (false, vec![first]);
    settle(&mut records);
    let report = source(records.clone(), october()).unwrap();
    assert_eq!(report.until, at("2026-10-12T08:00:00Z"), "broken promises before it went are not hidden");
    assert_eq!((of(&report, "rpo").is_kept, report.not_configured.len()), (Some(false), 0));
    let november = Period { from: october().until, until: at("2026-11-30T00:00:00Z"), ..october() };
    assert!(source(records.clone(), november).is_none());

    // A file that does not have it, while no service saw it go, ends nothing.
    records.configured[0].ended = None;
    let report = source(records.clone(), october()).unwrap();
    assert_eq!((report.until, report.is_configured), (october().until, true));
    records.configured[0].ended = first.ended;

    records.is_configured = true;
    let report = source(records.clone(), october()).unwrap();
    let [absence] = report.not_configured[..] else { panic!("{:?}", report.not_configured) };
    assert_eq!((absence.from, absence.until), (at("2026-10-12T08:00:00Z"), october().until));
    records.configured.push(period("2026-10-15T08:00:00Z", None));
    let report = source(records, october()).unwrap();
    assert_eq!(report.until, october().until);
    let [absence] = report.not_configured[..] else { panic!("{:?}", report.not_configured) };
    assert_eq!((absence.from, absence.until), (at("2026-10-12T08:00:00Z"), at("2026-10-15T08:00:00Z")));
    assert!(of(&report, "rpo").met_ratio.unwrap() < 0.4);
}

#[test]
fn a_promise_that_is_loosened_does_not_excuse_the_days_before() {
    let mut records = records();
    let mut loose = records.facts.promises[0].clone();
    loose.since = at("2026-10-31T12:00:00Z");
    loose.objectives.objective_ratio = 0.01;
    records.facts.promises.push(loose);
    records.runs.retain(|run| run.is_drill() || run.started < at("2026-10-02T00:00:00Z"));
    settle(&mut records);
    let report = source(records, october()).unwrap();
    let rpo = of(&report, "rpo");
    assert!(rpo.target_ratio > 0.98 && rpo.is_kept == Some(false), "{rpo:?}");
}

#[test]
fn without_a_drill_that_measured_one_nobody_knows_the_recovery_time() {
    let mut records = records();
    records.runs.retain(|run| !run.is_drill() || run.started < october().from);
    settle(&mut records);
    let report = source(records, october()).unwrap();
    assert_eq!(of(&report, "rto").is_kept, None);
    assert_eq!(report.kept(), Some(false), "the drills themselves were promised");
}

#[test]
fn what_was_before_the_ledger_is_not_judged() {
    let began = at("2026-10-15T00:00:00Z");
    let report = source(records(), Period { ledger_began: began, ..october() }).unwrap();
    assert_eq!(report.from, began);
    assert_eq!(report.days.days, 17);
}
