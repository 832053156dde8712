//! Reports on histories made for the purpose.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::build::{Period, SourceRecords, percentile, source};
use super::*;
use crate::domain::drill::Verdict;
use crate::domain::history::{Drilled, Facts, Lifetime, Promise};
use crate::domain::left_out::LeftOutCounts;
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::domain::sla::Objectives;
use crate::ledger::{ConfiguredPeriod, Operation, Outcome, PointRow, ReportedRun, Run, RunId, TableTotals};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn october() -> Period {
    let (from, end) = Month::parse("2026-10").unwrap().bounds(Tz::UTC);
    Period {
        from,
        until: end,
        now: at("2026-11-03T00:00:00Z"),
        ledger_began: at("2026-09-20T00:00:00Z"),
        timezone: Tz::UTC,
    }
}

fn run(operation: Operation, started: DateTime<Utc>, outcome: Outcome, reason: &str) -> Run {
    Run {
        id: RunId(format!("{}-{}", operation.name(), started.timestamp())),
        source: "agama".into(),
        operation,
        kind: (operation == Operation::Backup).then_some(BackupKind::Full),
        outcome: Some(outcome),
        reason: reason.into(),
        hint: None,
        started,
        ended: Some(started + TimeDelta::minutes(20)),
        recovery_point: Some(RecoveryPointId("01point".into())),
        recovery_point_time: Some(started),
        duration_seconds: Some(1200.0),
        rto_seconds: (operation == Operation::Drill).then_some(600.0),
        over_rto: false,
        logical_bytes: 1000,
        added_bytes: 10,
        rows: 5,
        chain_length: 0,
        checks: 7,
        mismatches: 0,
        verified_rows: 5,
        ended_revision: Some(started.timestamp()),
    }
}

/// A backup every day at 02:00, a drill at 04:30, from 20 September to the end of October.
fn records() -> SourceRecords {
    let day = |n: i64| at("2026-09-20T00:00:00Z") + TimeDelta::days(n);
    let backups = (0..42).map(|n| run(Operation::Backup, day(n) + TimeDelta::hours(2), Outcome::Succeeded, ""));
    let drills = (0..42).map(|n| run(Operation::Drill, day(n) + TimeDelta::minutes(270), Outcome::Passed, ""));
    let objectives = Objectives {
        rpo: Duration::from_hours(26),
        rto: Duration::from_hours(1),
        retention: Duration::from_hours(24 * 30),
        drill_interval: Duration::from_hours(26),
        max_chain_length: 5,
        objective_ratio: 0.99,
    };
    let mut records = SourceRecords {
        source: "agama".into(),
        kind: "mysql".into(),
        repository: "offsite".into(),
        is_configured: true,
        configured: Vec::new(),
        facts: Facts {
            created: day(0) + TimeDelta::hours(2),
            ledger_began: day(0),
            had_points: false,
            promises: vec![Promise { since: day(0), objectives }],
            points: Vec::new(),
            drills: Vec::new(),
        },
        runs: backups.chain(drills).collect(),
        drills: Vec::new(),
        points: Vec::new(),
        missed: Vec::new(),
        changes: Vec::new(),
        vanished: Vec::new(),
    };
    settle(&mut records);
    records
}

/// Let the facts follow from the runs.
fn settle(records: &mut SourceRecords) {
    records.runs.sort_by_key(|run| run.started);
    let good = |run: &&Run| run.operation == Operation::Backup && run.outcome == Some(Outcome::Succeeded);
    let life = |run: &Run| Lifetime { as_of: run.started, chain_length: 0, available: run.ended.unwrap(), gone: None };
    records.facts.points = records.runs.iter().filter(good).map(life).collect();
    let drilled = |run: &Run| Drilled {
        ended: run.ended.unwrap(),
        verdict: match run.outcome {
            Some(Outcome::Passed) => Verdict::Passed,
            Some(Outcome::Failed) => Verdict::Failed,
            _ => Verdict::Inconclusive,
        },
        rto_seconds: run.rto_seconds,
    };
    records.facts.drills = records.runs.iter().filter(|run| run.is_drill()).map(drilled).collect();
    let in_month = |ended: DateTime<Utc>| (october().from..october().until).contains(&ended);
    let of_month = |run: &&Run| run.is_drill() && run.ended.is_some_and(in_month);
    let reported = |run: &Run| ReportedRun {
        run: run.clone(),
        details: BTreeMap::from([("server".to_owned(), "MariaDB 10.11".to_owned())]),
        tables: TableTotals { tables: 2, rows_expected: 5, rows_restored: 5 },
    };
    records.drills = records.runs.iter().filter(of_month).map(reported).collect();
}

fn of<'a>(report: &'a SourceReport, objective: &str) -> &'a ObjectiveReport {
    report.objectives.iter().find(|it| it.objective == objective).unwrap()
}

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

fn whole(sources: Vec<SourceReport>) -> SlaReport {
    let period = october();
    SlaReport {
        month: "2026-10".into(),
        timezone: "UTC".into(),
        from: period.from,
        until: period.until,
        is_complete: true,
        generated: period.now,
        version: "0".into(),
        evidence: Evidence {
            ledger_began: period.from,
            sealed_since: Some(period.from),
            adopted: 3,
            head: ChainHead { position: 12, seal: "ab".repeat(32) },
            is_whole: true,
            faults: Vec::new(),
            fault_count: 0,
        },
        test_pages: Vec::new(),
        sources,
    }
}

#[test]
fn what_others_said_has_no_meaning_in_any_form() {
    let mut records = records();
    let hostile = "<script>alert(1)</script> | [x](http://evil) `a`\n# Title";
    let broken = records.runs.iter_mut().find(|run| run.started == at("2026-10-03T02:00:00Z")).unwrap();
    (broken.outcome, broken.reason) = (Some(Outcome::Failed), hostile.into());
    settle(&mut records);
    let report = whole(vec![source(records, october()).unwrap()]);
    let (page, text) = (html::render(&report), markdown::render(&report));
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"));
    assert!(!text.contains("<script>") && !text.contains("\n# Title") && !text.contains(" | [x]"), "{text}");
    assert!(page.contains("agama"));
}

#[test]
fn every_form_names_the_end_of_the_chain() {
    let report = whole(Vec::new());
    let json = serde_json::to_string(&report).unwrap();
    for form in [html::render(&report), markdown::render(&report), json] {
        assert_eq!(named_head(&form), Some(report.evidence.head.clone()));
    }
    let seal = "ab".repeat(32);
    for bad in ["", "ledger-seal", "    ledger-seal x y", "    ledger-seal 12 abcdef", "    ledger-seal 0 -", "{}"] {
        assert_eq!(named_head(bad), None, "{bad}");
    }
    assert_eq!(named_head(&format!("somebody said: ledger-seal 12 {seal}")), None);
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

#[test]
fn recovery_points_that_lack_something_are_told_of_in_every_form() {
    let point = |day: &str, table| PointRow {
        id: RecoveryPointId(day.to_owned()),
        kind: BackupKind::Full,
        as_of: at(day),
        finished: at(day) + TimeDelta::minutes(5),
        chain_length: 0,
        logical_bytes: 7,
        stored_bytes: 7,
        rows: 1,
        left_out: LeftOutCounts { table, ..LeftOutCounts::default() },
    };
    let told = |points: &[PointRow]| source(SourceRecords { points: points.to_vec(), ..records() }, october()).unwrap();
    let whole = told(&[point("2026-10-03T02:00:00Z", 0), point("2026-09-30T02:00:00Z", 3)]);
    assert_eq!(whole.incomplete, None, "September is not October");
    assert!(!serde_json::to_string(&whole).unwrap().contains("incomplete"));
    let report = told(&[
        point("2026-10-03T02:00:00Z", 2),
        point("2026-10-04T02:00:00Z", 1),
        point("2026-10-05T02:00:00Z", 0),
        point("2026-11-01T02:00:00Z", 9),
    ]);
    let incomplete = report.incomplete.unwrap();
    assert_eq!((incomplete.recovery_points, incomplete.left_out.table), (2, 1));
    assert_eq!(incomplete.newest, at("2026-10-04T02:00:00Z"));
    let words = "2 recovery points lack something that the source had and that could not be backed up; the newest of them is \
                 INCOMPLETE; left out: 1 table.";
    assert!(incomplete.in_words().starts_with(words), "{}", incomplete.in_words());
    assert_eq!(serde_json::to_value(&report).unwrap()["incomplete"]["left_out"]["table"], 1);
}

#[test]
fn backups_of_data_that_looked_destroyed_are_listed_with_what_was_said_of_them() {
    use crate::domain::change::{Assessment, Point, State};
    use crate::ledger::ChangeFigures;

    let change = |id: &str, judged: &str, accepted: Option<&str>| ChangeFigures {
        point: Point { id: crate::domain::manifest::RecoveryPointId(id.into()), as_of: at(judged) },
        judged: at(judged),
        found: Assessment {
            state: State::Critical,
            reasons: vec![format!("why | {id}"), "and <more>".into()],
            ..Assessment::default()
        },
        accepted: accepted.map(at),
        since: None,
    };
    let mut records = records();
    records.changes = vec![
        change("01old", "2026-09-25T02:00:00Z", None),
        change("01new", "2026-10-05T02:00:00Z", None),
        change("01meant", "2026-10-06T02:00:00Z", Some("2026-10-07T09:00:00Z")),
    ];
    let report = whole(vec![source(records, october()).unwrap()]);
    let json = serde_json::to_value(&report).unwrap();
    let listed = &json["sources"][0]["changes"];
    assert_eq!(listed.as_array().unwrap().len(), 2, "the one of September is not in it");
    assert_eq!((&listed[0]["state"], &listed[0]["accepted"]), (&"critical".into(), &serde_json::Value::Null));
    let markdown = markdown::render(&report);
    assert!(markdown.contains("| 01new | 2026-10-05T02:00:00Z | critical | why \\| 01new; and"), "{markdown}");
    assert!(markdown.contains("| 2026-10-07T09:00:00Z |"), "{markdown}");
    let said = "2 backups of data that looked destroyed, 1 accepted as meant.";
    let head = markdown.find(said).expect("a line above the table");
    assert!(head < markdown.find("| Objective |").unwrap(), "{markdown}");
    let page = html::render(&report);
    assert!(page.contains(said), "{page}");
    assert!(page.contains("and &lt;more&gt;") && page.contains("01meant"), "{page}");
    let quiet = whole(vec![source(self::records(), october()).unwrap()]);
    assert!(
        !markdown::render(&quiet).contains("looked destroyed") && !html::render(&quiet).contains("looked destroyed")
    );
}

#[test]
fn recovery_points_that_vanished_in_the_month_are_told_with_when_that_was_noticed_and_whether_it_was_accepted() {
    use crate::ledger::VanishedPoint;

    let gone = |id: &str, noticed: &str, is_accepted: bool, returned: Option<&str>| VanishedPoint {
        id: RecoveryPointId(id.into()),
        as_of: at("2026-09-24T02:00:00Z"),
        noticed: at(noticed),
        is_accepted,
        accepted: is_accepted.then(|| at("2026-10-03T09:00:00Z")).filter(|_| id != "01long"),
        returned: returned.map(at),
    };
    let report =
        |vanished: Vec<VanishedPoint>| whole(vec![source(SourceRecords { vanished, ..records() }, october()).unwrap()]);
    let told = report(vec![
        gone("01before", "2026-09-30T23:59:59Z", false, None),
        gone("01<open>", "2026-10-02T02:00:00Z", false, None),
        gone("01meant", "2026-10-03T02:00:00Z", true, None),
        gone("01long", "2026-10-03T02:00:00Z", true, None),
        gone("01back", "2026-10-04T02:00:00Z", false, Some("2026-10-05T09:00:00Z")),
        gone("01after", "2026-11-01T00:00:00Z", false, None),
    ]);
    let listed = &serde_json::to_value(&told).unwrap()["sources"][0]["vanished"];
    assert_eq!(listed.as_array().unwrap().len(), 4, "what was noticed in other months is not in it: {listed}");
    assert_eq!((&listed[0]["noticed"], &listed[0]["is_accepted"]), (&"2026-10-02T02:00:00Z".into(), &false.into()));
    assert_eq!((&listed[1]["is_accepted"], &listed[1]["returned"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(
        (&listed[1]["accepted"], &listed[0]["accepted"]),
        (&"2026-10-03T09:00:00Z".into(), &serde_json::Value::Null)
    );
    assert_eq!(listed[3]["returned"], "2026-10-05T09:00:00Z");
    let (markdown, page) = (markdown::render(&told), html::render(&told));
    let beside = "1 recovery point is gone before the promised retention, and nobody accepted that: agama.";
    assert!(markdown.contains(&format!("**{beside}**")) && page.contains(beside), "{markdown}");
    let accepted = "2026-10-03T09:00:00Z";
    let meant = format!("| 01meant | 2026-09-24T02:00:00Z | 2026-10-03T02:00:00Z | {accepted} | no |");
    assert!(markdown.contains(&meant) && page.contains(accepted), "{markdown}");
    assert!(markdown.contains("| 01long | 2026-09-24T02:00:00Z | 2026-10-03T02:00:00Z | yes | no |"), "{markdown}");
    assert!(markdown.contains("| no | 2026-10-05T09:00:00Z |"), "{markdown}");
    assert!(markdown.contains("01&lt;open>") && page.contains("01&lt;open&gt;"), "{page}");
    for quiet in [report(Vec::new()), report(vec![gone("01meant", "2026-10-03T02:00:00Z", true, None)])] {
        assert!(
            !markdown::render(&quiet).contains("nobody accepted") && !html::render(&quiet).contains("nobody accepted")
        );
    }
}
