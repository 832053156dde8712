use super::*;
use crate::domain::chain::PromisedTime;
use crate::domain::left_out::LeftOutCounts;
use crate::ledger::{RtoSummary, SourceFigures};

async fn agama(ledger: &Ledger) -> SourceFigures {
    ledger.snapshot().await.unwrap().sources["agama"].clone()
}

#[tokio::test]
async fn a_source_keeps_the_time_it_was_first_seen() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let first = clock.wall();
    let ledger = open(dir.path(), &clock).await;
    ledger.ensure_source("agama", "mysql", "onsite").await.unwrap();
    let revision = ledger.revision().await.unwrap();
    clock.advance(1000);
    ledger.ensure_source("agama", "mysql", "onsite").await.unwrap();
    assert_eq!(ledger.revision().await.unwrap(), revision, "nothing changed");
    ledger.ensure_source("agama", "mysql", "offsite").await.unwrap();
    let figures = agama(&ledger).await;
    assert_eq!(figures.created, Some(first));
    assert_eq!((figures.kind.as_str(), figures.repository.as_str()), ("mysql", "offsite"));
    assert_eq!(figures.drills, crate::ledger::DrillFigures::default());
}

#[tokio::test]
async fn a_listing_replaces_what_was_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let incremental = PointRow { kind: BackupKind::Incremental, chain_length: 3, ..point("c", &clock, 10) };
    let mut listed = vec![point("a", &clock, 3000), point("b", &clock, 2000), incremental];
    ledger.reconcile_points("agama", &listed).await.unwrap();
    ledger.reconcile_points("other", &[point("a", &clock, 1)]).await.unwrap();
    assert_eq!(ledger.points("agama").await.unwrap(), listed);
    let points = agama(&ledger).await.points;
    assert_eq!((points.oldest, points.newest), (Some(listed[0].as_of), Some(listed[2].as_of)));
    assert_eq!((points.by_kind[&BackupKind::Full], points.by_kind[&BackupKind::Incremental]), (2, 1));
    assert_eq!(points.chain_length, 3);

    let revision = ledger.revision().await.unwrap();
    ledger.reconcile_points("agama", &listed).await.unwrap();
    assert_eq!(ledger.revision().await.unwrap(), revision, "the same listing writes nothing");

    // As after an update from a version whose ledger does not count what was left out.
    listed[1].left_out = LeftOutCounts { table: 9, ..LeftOutCounts::default() };
    listed[2].left_out = LeftOutCounts { table: 2, view: 1, other: 4 };
    ledger.reconcile_points("agama", &listed).await.unwrap();
    assert_eq!(ledger.points("agama").await.unwrap(), listed);
    assert_eq!(agama(&ledger).await.points.left_out, listed[2].left_out, "of the newest");

    listed.pop();
    listed[0].stored_bytes = 7;
    ledger.reconcile_points("agama", &listed).await.unwrap();
    assert_eq!(ledger.points("agama").await.unwrap(), listed);
    assert_eq!(ledger.points("other").await.unwrap().len(), 1);
    ledger.reconcile_points("agama", &[]).await.unwrap();
    assert!(ledger.points("agama").await.unwrap().is_empty());
}

#[tokio::test]
async fn only_a_point_whose_newest_verdict_is_passed_and_that_is_still_listed_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let (old, new) = (point("old", &clock, 5000), point("new", &clock, 50));
    ledger.reconcile_points("agama", &[old.clone(), new.clone()]).await.unwrap();
    assert_eq!(agama(&ledger).await.points.newest_verified, None);

    ran(&ledger, drill("agama"), passed("old", 4.0)).await;
    assert_eq!(agama(&ledger).await.points.newest_verified, Some(old.as_of));
    ran(&ledger, drill("other"), passed("new", 4.0)).await;
    assert_eq!(agama(&ledger).await.points.newest_verified, Some(old.as_of), "another source's drill");
    ran(&ledger, drill("agama"), passed("new", 4.0)).await;
    assert_eq!(agama(&ledger).await.points.newest_verified, Some(new.as_of));
    let inconclusive = RunResult { recovery_point: Some(new.id.clone()), ..RunResult::new(Outcome::Inconclusive, 1.0) };
    ran(&ledger, drill("agama"), inconclusive).await;
    assert_eq!(agama(&ledger).await.points.newest_verified, Some(new.as_of), "says nothing about the backup");

    clock.advance(-100_000); // even if the clock went backwards in between
    ran(&ledger, drill("agama"), failed("new")).await;
    assert_eq!(agama(&ledger).await.points.newest_verified, None, "by this clock they are still to come");
    clock.advance(100_000);
    assert_eq!(agama(&ledger).await.points.newest_verified, Some(old.as_of));
    let verified = ledger.verified_at("agama").await.unwrap();
    assert_eq!(verified.keys().collect::<Vec<_>>(), [&old.id]);

    ledger.reconcile_points("agama", &[new]).await.unwrap();
    assert_eq!(agama(&ledger).await.points.newest_verified, None, "what is no longer listed cannot be restored");
}

#[tokio::test]
async fn windows_are_read_from_the_points_and_moments_are_counted_once_increments_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let begin = |seconds_ago: i64| Some(clock.wall() - TimeDelta::seconds(seconds_ago));
    let listed = [
        (5000, begin(5000)),
        (4000, begin(5000)),
        (3000, begin(3000)),
        (1000, begin(3000)),
        (500, None),
        // Dated in the future.
        (-9000, begin(3000)),
    ];
    let row = |(ago, window_from): &(i64, _)| PointRow {
        window_from: *window_from,
        ..point(&format!("p{ago}"), &clock, *ago)
    };
    let listed: Vec<PointRow> = listed.iter().map(row).collect();
    ledger.reconcile_points("agama", &listed).await.unwrap();
    let mut snapshot = ledger.snapshot().await.unwrap();
    let windows: Vec<_> =
        snapshot.sources["agama"].points.windows.iter().map(|it| (Some(it.from), Some(it.to))).collect();
    assert_eq!(windows, [(begin(5000), begin(4000)), (begin(3000), begin(1000))]);

    let since = |figures: &SourceFigures, rpo| figures.any_moment_since(Duration::from_secs(rpo));
    let figures = snapshot.sources.get_mut("agama").unwrap();
    assert_eq!(since(figures, 1000), None, "only points are promised");
    let asked = begin(90_000).unwrap();
    figures.moments_promised.push(PromisedTime { from: asked, to: None });
    let gaps = |figures: &SourceFigures, rpo, retention| {
        figures.gaps_within(Duration::from_secs(retention), Duration::from_secs(rpo), clock.wall()).len()
    };
    assert_eq!((gaps(figures, 999, 9000), gaps(figures, 1000, 9000), gaps(figures, 999, 3000)), (1, 0, 0));
    assert_eq!((since(figures, 999), since(figures, 1000)), (begin(3000), begin(5000)));
    // What a listing finds broken later is in no window any more.
    let broken: Vec<PointRow> = listed.iter().map(|point| PointRow { window_from: None, ..point.clone() }).collect();
    ledger.reconcile_points("agama", &broken).await.unwrap();
    assert_eq!(agama(&ledger).await.points.windows, []);
}

#[tokio::test]
async fn an_increment_whose_full_backup_is_gone_keeps_no_promise() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let full = point("full", &clock, 5000);
    let lost = PointRow {
        kind: BackupKind::Incremental,
        chain_length: 7,
        window_from: None,
        canary: None,
        left_out: LeftOutCounts { table: 3, ..LeftOutCounts::default() },
        ..point("lost", &clock, 50)
    };
    ledger.reconcile_points("agama", &[lost.clone(), full.clone()]).await.unwrap();
    let points = agama(&ledger).await.points;
    assert_eq!((points.newest, points.oldest), (Some(full.as_of), Some(full.as_of)));
    assert_eq!((points.chain_length, points.left_out), (0, LeftOutCounts::default()));
    assert_eq!(points.by_kind[&BackupKind::Incremental], 1, "it is listed all the same");
    ledger.reconcile_points("agama", &[lost]).await.unwrap();
    let points = agama(&ledger).await.points;
    assert_eq!((points.newest, points.oldest), (None, None));
}

#[tokio::test]
async fn a_drill_that_stopped_within_an_increment_verifies_no_point_and_one_that_failed_there_says_it_is_bad() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let point = PointRow { kind: BackupKind::Incremental, chain_length: 2, ..point("inc", &clock, 50) };
    ledger.reconcile_points("agama", std::slice::from_ref(&point)).await.unwrap();
    let until = |time| RunResult { recovery_point_time: Some(time), ..passed("inc", 4.0) };
    let within = point.as_of - TimeDelta::seconds(20);
    let is_verified = async || {
        let (figures, verified) = (agama(&ledger).await, ledger.verified_at("agama").await.unwrap());
        let history = ledger.source_history("agama", point.as_of, figures.points.newest_verified).await.unwrap();
        let is_passed = history.points.iter().any(|state| state.verdict.is_some_and(|(passed, _)| passed));
        assert_eq!(verified.is_empty(), figures.points.newest_verified.is_none());
        assert_eq!(verified.is_empty(), !is_passed);
        !verified.is_empty()
    };
    for (result, expected) in [
        (until(within), false),
        (until(point.as_of), true),
        (until(within), true),
        (RunResult { recovery_point_time: Some(within), ..failed("inc") }, false),
        (until(within), false),
    ] {
        ran(&ledger, drill("agama"), result).await;
        assert_eq!(is_verified().await, expected);
    }
}

#[tokio::test]
async fn backup_counters_and_last_results_are_counted_from_the_runs_and_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let good = RunResult { logical_bytes: 500, added_bytes: 50, rows: 9, ..RunResult::new(Outcome::Succeeded, 12.5) };
    ran(&ledger, backup("agama"), good).await;
    let success = clock.wall();
    clock.advance(60);
    ran(&ledger, backup("agama"), RunResult::new(Outcome::Failed, 1.0)).await;
    ran(&ledger, backup("agama"), RunResult::new(Outcome::Interrupted, 1.0)).await;
    clock.advance(60);
    ledger.begin(&backup("agama")).await.unwrap();
    ledger.close().await;

    let ledger = open(dir.path(), &clock).await;
    let figures = agama(&ledger).await;
    let full = &figures.backups[&BackupKind::Full];
    assert_eq!((full.attempts, full.failures), (4, 2));
    assert_eq!(full.last_start, Some(clock.wall()));
    let last = full.last_success.as_ref().unwrap();
    assert_eq!((last.ended, last.duration_seconds, last.added_bytes), (Some(success), Some(12.5), 50));
    assert_eq!(figures.last_backup.unwrap().outcome, Some(Outcome::Interrupted));
    assert_eq!(figures.running.len(), 1);
    assert!(!figures.backups.contains_key(&BackupKind::Incremental));
}

#[tokio::test]
async fn an_inconclusive_drill_hides_neither_the_mismatches_nor_the_last_rto() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let slow = RunResult {
        over_rto: true,
        stages: vec![("select".into(), 1.0), ("load".into(), 99.0)],
        tables: vec![table("a.b")],
        checks: vec![check("rows a.b", true)],
        ..passed("p", 100.0)
    };
    ran(&ledger, drill("agama"), slow).await;
    ran(&ledger, drill("agama"), failed("p")).await;
    clock.advance(-3600); // "last" is what was written last
    ran(&ledger, drill("agama"), RunResult::new(Outcome::Inconclusive, 1.0)).await;
    let drills = agama(&ledger).await.drills;
    assert_eq!((drills.attempts, drills.failures, drills.over_rto), (3, 1, 1));
    assert_eq!(drills.last.unwrap().outcome, Some(Outcome::Inconclusive));
    let conclusive = drills.last_conclusive.unwrap();
    assert_eq!((conclusive.outcome, conclusive.checks, conclusive.mismatches), (Some(Outcome::Failed), 2, 1));
    assert_eq!(drills.last_measured.unwrap().rto_seconds, Some(100.0));
    assert_eq!(drills.stages, [("select".to_owned(), 1.0), ("load".to_owned(), 99.0)]);
    assert_eq!(drills.last_passed.unwrap().verified_rows, 3);
}

#[tokio::test]
async fn percentiles_cover_thirty_days_and_the_sum_all_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    ran(&ledger, drill("agama"), passed("p", 5000.0)).await;
    clock.advance(31 * 86_400);
    for rto in (1..=20).rev() {
        ran(&ledger, drill("agama"), passed("p", f64::from(rto))).await;
    }
    ran(&ledger, drill("agama"), RunResult { rto_seconds: Some(999.0), ..failed("p") }).await;
    let expected = RtoSummary { window_count: 20, p50: 10.0, p95: 19.0, max: 20.0, sum: 5210.0, count: 21 };
    assert_eq!(agama(&ledger).await.drills.rto, expected);

    clock.advance(31 * 86_400);
    let expected = RtoSummary { sum: 5210.0, count: 21, ..RtoSummary::default() };
    assert_eq!(agama(&ledger).await.drills.rto, expected);
    ran(&ledger, drill("agama"), passed("p", 8.0)).await;
    let rto = agama(&ledger).await.drills.rto;
    assert_eq!((rto.p50, rto.p95, rto.max), (8.0, 8.0, 8.0));
}

#[tokio::test]
async fn a_snapshot_of_five_thousand_runs_counts_every_one() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let mut tx = ledger.write().await.unwrap();
    for n in 0..5000_i64 {
        let (operation, kind) = if n % 2 == 0 { ("backup", "full") } else { ("drill", "") };
        let outcome = if n % 2 == 0 { "succeeded" } else { "passed" };
        sqlx::query(
            "INSERT INTO runs (id, source, operation, kind, outcome, reason, process, started_at, ended_at, \
             begun_revision, ended_revision, recovery_point, duration_seconds, rto_seconds, over_rto, logical_bytes, \
             added_bytes, row_count, chain_length, check_count, mismatch_count, verified_rows) \
             VALUES (?, ?, ?, ?, ?, '', '', 0, ?, ?, ?, 'p1', 1.0, 1.0, 0, 1, 1, 1, 0, 0, 0, 0)",
        )
        .bind(format!("{n:026}"))
        .bind(format!("source{}", n % 50))
        .bind(operation)
        .bind(kind)
        .bind(outcome)
        .bind(clock.wall().timestamp_micros())
        .bind(n)
        .bind(n)
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let points: Vec<PointRow> = (0..60).map(|n| point(&format!("p{n}"), &clock, n)).collect();
    for source in 0..50 {
        ledger.reconcile_points(&format!("source{source}"), &points).await.unwrap();
    }
    let snapshot = ledger.snapshot().await.unwrap();
    assert_eq!(snapshot.sources.len(), 50);
    assert_eq!(snapshot.sources["source1"].drills.rto.count, 100);
    let added = |source: &str| snapshot.sources[source].backups[&BackupKind::Full].added_bytes;
    assert!((added("source0") - 100.0).abs() < f64::EPSILON);
}

/// What is read whenever something changed is read from indexes, whatever the size of a run's row.
#[tokio::test]
async fn a_snapshot_looks_at_no_table_from_end_to_end() {
    use sqlx::Row;

    use crate::ledger::snapshot::{ADDED_BYTES, COUNTERS, EVER_HAD_POINTS, VERIFIED};
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &SetClock::new()).await;
    let cases = [
        (COUNTERS, vec!["COVERING INDEX runs_counters"]),
        (ADDED_BYTES, vec!["COVERING INDEX runs_added"]),
        (EVER_HAD_POINTS, vec!["SCAN s", "COVERING INDEX"]),
        (VERIFIED, vec!["SCAN p", "INDEX", "COVERING INDEX runs_by_point"]),
    ];
    for (statement, parts) in cases {
        let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let plan = sqlx::query(explained).fetch_all(&ledger.pool).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get::<String, _>("detail")).collect();
        let text = plan.join("; ");
        assert!(parts.iter().all(|part| text.contains(part)), "{statement}: {text}");
        let scans_runs =
            plan.iter().any(|step| step.contains("SCAN") && step.contains("runs") && !step.contains("INDEX"));
        assert!(!scans_runs, "{statement}: {text}");
    }
}
