use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::ledger::FILE_NAME;
use crate::process::identity;

#[tokio::test]
async fn a_finished_run_is_read_back_whole_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let run = ledger.begin(&drill("agama")).await.unwrap();
    clock.advance(90);
    let result = RunResult {
        reason: "2 checks differ".into(),
        hint: Some("look at the table".into()),
        recovery_point_time: Some(clock.wall()),
        over_rto: true,
        logical_bytes: u64::MAX,
        chain_length: 7,
        stages: vec![("load".into(), 1.5), ("verify".into(), 0.25)],
        checks: vec![check("rows a.b", true), check("digest a.b", false)],
        tables: vec![table("a.b")],
        details: BTreeMap::from([("server".into(), "10.11".into())]),
        ..passed("p1", 1.75)
    };
    ledger.finish(&run, &result).await.unwrap();
    ledger.close().await;

    let ledger = open(dir.path(), &clock).await;
    let report = ledger.run_report(&run).await.unwrap();
    assert_eq!(report.stages, result.stages);
    assert_eq!(report.checks, result.checks);
    assert_eq!(report.tables, result.tables);
    assert_eq!(report.details, result.details);
    assert_eq!(report.run.outcome, Some(Outcome::Passed));
    assert_eq!(report.run.hint, result.hint);
    assert_eq!(report.run.recovery_point, result.recovery_point);
    assert_eq!(report.run.recovery_point_time, result.recovery_point_time);
    assert_eq!((report.run.checks, report.run.mismatches, report.run.verified_rows), (2, 1, 3));
    assert_eq!(report.run.ended.unwrap() - report.run.started, TimeDelta::seconds(90));
    assert_eq!(report.run.logical_bytes, i64::MAX.unsigned_abs(), "what does not fit is as large as fits");
    assert_eq!(ledger.last_runs("agama", Operation::Drill, 10).await.unwrap(), vec![report.run]);
}

#[tokio::test]
async fn a_result_is_written_once_and_only_for_a_known_run() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &SetClock::new()).await;
    let run = ran(&ledger, backup("agama"), RunResult::new(Outcome::Interrupted, 1.0)).await;
    let again = ledger.finish(&run, &RunResult::new(Outcome::Succeeded, 1.0)).await.unwrap_err();
    assert!(again.to_string().contains("has a result already"), "{again}");
    assert!(ledger.finish(&RunId("nobody".into()), &RunResult::new(Outcome::Succeeded, 1.0)).await.is_err());
    assert!(ledger.run_report(&RunId("nobody".into())).await.is_err());
    let runs = ledger.last_runs("agama", Operation::Backup, 10).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.outcome).collect::<Vec<_>>(), [Some(Outcome::Interrupted)]);
}

#[tokio::test]
async fn a_run_of_a_killed_process_is_marked_interrupted_and_ours_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let mut ledger = open(dir.path(), &clock).await;
    let ours = ledger.begin(&backup("agama")).await.unwrap();
    // Another process that has the ledger open, as far as the ledger can tell.
    let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    ledger.process = identity::of(other.id()).unwrap().into();
    let killed = ledger.begin(&drill("agama")).await.unwrap();
    assert_eq!(ledger.recover().await.unwrap(), Vec::<RunId>::new(), "both are alive");
    other.kill().unwrap();
    other.wait().unwrap();
    drop(ledger);

    clock.advance(60);
    let ledger = open(dir.path(), &clock).await;
    let report = ledger.run_report(&killed).await.unwrap();
    assert_eq!(report.run.outcome, Some(Outcome::Interrupted));
    assert_eq!(report.run.reason, "the process that ran it ended without a result");
    assert_eq!(ledger.run_report(&ours).await.unwrap().run.outcome, None);
    let figures = &ledger.snapshot().await.unwrap().sources["agama"];
    assert_eq!(figures.running.iter().map(|it| it.run.clone()).collect::<Vec<_>>(), [ours]);
    assert_eq!(ledger.recover().await.unwrap(), Vec::<RunId>::new());

    // It was alive after all, out of our sight: the real result counts.
    ledger.finish(&killed, &passed("p1", 3.0)).await.unwrap();
    assert_eq!(ledger.run_report(&killed).await.unwrap().run.outcome, Some(Outcome::Passed));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pools_write_at_once_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    // Opened at once too: the schema is created by one of them.
    let (one, two) = tokio::join!(open(dir.path(), &clock), open(dir.path(), &clock));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let ledger = if writer % 2 == 0 { one.clone() } else { two.clone() };
        writers.spawn(async move {
            for _ in 0..20 {
                ran(&ledger, backup("agama"), RunResult::new(Outcome::Succeeded, 1.0)).await;
            }
        });
    }
    for result in writers.join_all().await {
        let () = result;
    }
    let figures = &two.snapshot().await.unwrap().sources["agama"];
    assert_eq!(figures.backups[&BackupKind::Full].attempts, 160);
    assert_eq!(one.revision().await.unwrap(), 320);
}

#[tokio::test]
async fn ten_thousand_tables_are_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &SetClock::new()).await;
    let names: Vec<String> = (0..10_000).map(|n| format!("shop.t{n}")).collect();
    let result = RunResult {
        checks: names.iter().flat_map(|name| [check(name, true), check(&format!("digest {name}"), false)]).collect(),
        tables: names.iter().map(|name| table(name)).collect(),
        ..RunResult::new(Outcome::Failed, 1.0)
    };
    let run = ledger.begin(&drill("agama")).await.unwrap();
    let watch = crate::clock::Stopwatch::start(&crate::clock::SystemClock::shared());
    ledger.finish(&run, &result).await.unwrap();
    println!("finish with 20 000 checks and 10 000 tables: {:?}", watch.elapsed());
    let report = ledger.run_report(&run).await.unwrap();
    assert_eq!(report.checks, result.checks);
    assert_eq!(report.tables, result.tables);
    assert_eq!(report.run.mismatches, 10_000);
}

#[tokio::test]
async fn files_are_private_even_if_someone_opened_them_up() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let clock = SetClock::new();
    let mode = |name: &str| std::fs::metadata(state.join(name)).unwrap().permissions().mode() & 0o777;
    let ledger = open(&state, &clock).await;
    ran(&ledger, backup("agama"), RunResult::new(Outcome::Succeeded, 1.0)).await;
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!((mode(FILE_NAME), mode("ledger.sqlite-wal")), (0o600, 0o600));
    std::fs::set_permissions(state.join(FILE_NAME), std::fs::Permissions::from_mode(0o644)).unwrap();
    open(&state, &clock).await;
    assert_eq!(mode(FILE_NAME), 0o600);
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE_NAME), vec![b'x'; 8192]).unwrap();
    let error = Ledger::open(dir.path(), SetClock::new()).await.err().unwrap();
    assert!(error.to_string().contains("ledger.sqlite"), "{error}");
    assert!(error.hint_text().unwrap().contains("damaged"), "{error}: {:?}", error.hint_text());
}

#[tokio::test]
async fn a_page_damaged_inside_is_an_error_and_not_a_wrong_figure() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    for _ in 0..20 {
        ran(&ledger, backup("agama"), RunResult::new(Outcome::Succeeded, 1.0)).await;
    }
    ledger.close().await;
    let file = dir.path().join(FILE_NAME);
    let mut bytes = std::fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    bytes[8192..].fill(0xff);
    std::fs::write(&file, &bytes).unwrap();
    assert!(half > 8192);
    let error = match Ledger::open(dir.path(), clock).await {
        Ok(ledger) => ledger.snapshot().await.err().unwrap(),
        Err(error) => error,
    };
    assert!(error.hint_text().unwrap().contains("damaged"), "{error}: {:?}", error.hint_text());
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .execute(&ledger.pool)
    .await
    .unwrap();
    ledger.close().await;
    let error = Ledger::open(dir.path(), clock).await.err().unwrap();
    assert!(error.to_string().contains("newer version of backup-sla (schema version 9999)"), "{error}");
    assert!(error.hint_text().is_some());
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_made_names_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let error = Ledger::open(&dir.path().join("file/state"), SetClock::new()).await.err().unwrap();
    assert!(error.to_string().starts_with("cannot create state directory"), "{error}");
    assert!(error.hint_text().unwrap().contains("state_dir"));
}

#[tokio::test]
async fn a_full_file_system_is_named_and_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path(), &SetClock::new()).await;
    // SQLite's own limit gives the same error as a full disk. One connection, so that it is the one that writes.
    let limited = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(dir.path().join(FILE_NAME))
        .foreign_keys(true)
        .pragma("max_page_count", "60");
    ledger.pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(limited).await.unwrap();
    let run = ledger.begin(&drill("agama")).await.unwrap();
    let long = Check { actual: "x".repeat(1_000_000), ..check("rows a.b", false) };
    let result = RunResult { checks: vec![long], ..RunResult::new(Outcome::Failed, 1.0) };
    let error = ledger.finish(&run, &result).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("full"), "{error}: {:?}", error.hint_text());
    let report = ledger.run_report(&run).await.unwrap();
    assert_eq!((report.run.outcome, report.checks.len()), (None, 0));
}

#[tokio::test]
async fn a_connection_whose_transaction_the_database_ended_is_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), SetClock::new()).await.unwrap();
    for _ in 0..8 {
        // What SQLite does by itself where its disk is full.
        let mut write = ledger.write().await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut *write).await.unwrap();
        drop(write);
    }
    ledger.ensure_source("agama", "mysql", "offsite").await.unwrap();
}

#[tokio::test]
async fn a_ledger_that_was_removed_or_replaced_while_it_was_open_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), SetClock::new()).await.unwrap();
    ledger.check_place().unwrap();
    std::fs::rename(dir.path().join(FILE_NAME), dir.path().join("moved")).unwrap();
    assert!(ledger.check_place().unwrap_err().to_string().contains("removed or replaced"));
    std::fs::write(dir.path().join(FILE_NAME), "another").unwrap();
    assert!(ledger.check_place().is_err());
}

#[tokio::test]
async fn a_source_that_moved_to_another_repository_has_nothing_there_yet_and_the_old_one_is_still_known() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), SetClock::new()).await.unwrap();
    ledger.ensure_source("agama", "mysql", "old").await.unwrap();
    let start =
        RunStart { source: "agama".into(), operation: Operation::Backup, kind: Some(BackupKind::Full), drill: None };
    let run = ledger.begin(&start).await.unwrap();
    ledger.finish(&run, &RunResult::new(Outcome::Succeeded, 1.0)).await.unwrap();
    ledger.reconcile_points("agama", &[point("p", &SetClock::new(), 0)]).await.unwrap();
    ledger.ensure_source("agama", "mysql", "new").await.unwrap();
    assert!(ledger.has_backups_in("old").await.unwrap());
    assert!(!ledger.has_backups_in("new").await.unwrap());
    assert_eq!(ledger.points("agama").await.unwrap(), []);
}
