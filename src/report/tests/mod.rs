//! Reports on histories made for the purpose.

mod forms;
mod judged;

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
        drill: None,
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
            gaps: Vec::new(),
            moments: Vec::new(),
            drills: Vec::new(),
        },
        runs: backups.chain(drills).collect(),
        drills: Vec::new(),
        points: Vec::new(),
        missed: Vec::new(),
        changes: Vec::new(),
        vanished: Vec::new(),
        breaks: Vec::new(),
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
