//! The past cannot be changed without being found out.

use super::*;
use crate::domain::schedule::Work;
use crate::domain::sla::Objectives;
use crate::ledger::points::GONE_POINTS_DAYS;
use crate::ledger::{Asked, ChainBreak, ChainHead, Configured, KnownSource, MissedRuns, SealWatch};

const OBJECTIVES: Objectives = Objectives {
    rpo: Duration::from_hours(24),
    rto: Duration::from_hours(5),
    retention: Duration::from_hours(720),
    drill_interval: Duration::from_hours(24),
    max_chain_length: 9,
    objective_ratio: 0.99,
};

/// A ledger in which something of every kind was written.
pub(super) async fn busy(dir: &Path, clock: &Arc<SetClock>) -> Ledger {
    let ledger = open(dir, clock).await;
    let source = KnownSource { name: "agama", kind: "mysql", repository: "offsite", objectives: &OBJECTIVES };
    ledger.know(&[source, KnownSource { name: "shop", ..source }]).await.unwrap();
    let configured = |source: &str| Configured { source: source.into(), asked: None };
    let asked = Asked { work: Work::Drill, schedule: "0 3 * * *".into(), zone: "UTC".into(), jitter: Duration::ZERO };
    let drill_of_agama = Configured { source: "agama".into(), asked: Some(asked) };
    let increments = Asked { work: Work::IncrementalBackup, ..drill_of_agama.asked.clone().unwrap() };
    let increments = Configured { asked: Some(increments), ..drill_of_agama.clone() };
    let asked = vec![configured("agama"), drill_of_agama, increments];
    ledger.record_configured(&[asked.as_slice(), &[configured("shop")]].concat()).await.unwrap();
    assert!(ledger.adopt("offsite", "0a1b2c").await.unwrap().is_new);
    clock.advance(1);
    ledger.record_configured(&asked).await.unwrap();
    for second in 0..3 {
        clock.advance(100);
        ran(&ledger, backup("agama"), RunResult::new(Outcome::Succeeded, 2.5)).await;
        ran(&ledger, drill("agama"), passed("p", 0.1 + f64::from(second))).await;
    }
    let stages = vec![("provision".to_owned(), 0.25), ("load".to_owned(), 1.0 / 3.0)];
    let said = "no \"room\"\n".into();
    let details = [("server".to_owned(), "10.11".to_owned())].into();
    let drilled = RunResult { reason: said, stages, tables: vec![table("shop.users")], details, ..failed("p") };
    ran(&ledger, drill("agama"), drilled).await;
    ledger.reconcile_points("agama", &[point("p", clock, 50), point("q", clock, 20)]).await.unwrap();
    clock.advance(100);
    ledger.reconcile_points("agama", &[point("q", clock, 20)]).await.unwrap();
    let broken = ChainBreak {
        source: "agama".into(),
        kind: "purged".into(),
        detail: "the server removed its logs".into(),
        parent: RecoveryPointId("q".into()),
        lost_since: clock.wall(),
        found: clock.wall(),
    };
    ledger.record_break(&broken).await.unwrap();
    let missed = MissedRuns {
        source: "agama".into(),
        operation: Operation::Backup,
        kind: Some(BackupKind::Full),
        first: clock.wall(),
        last: clock.wall(),
        count: 1,
        reason: "the service was down".into(),
    };
    ledger.record_missed(&missed).await.unwrap();
    ledger.record_missed(&MissedRuns { count: 2, ..missed }).await.unwrap();
    ledger
}

async fn faults(ledger: &Ledger, known: &[ChainHead]) -> Vec<String> {
    let found = ledger.verify_seals(known).await.unwrap();
    assert_eq!(found.is_whole(), found.faults.is_empty());
    found.faults.into_iter().map(|fault| fault.what).collect()
}

async fn tamper(ledger: &Ledger, statement: &'static str) {
    let done = sqlx::query(statement).execute(&ledger.pool).await.unwrap();
    assert!(done.rows_affected() > 0 || statement.starts_with("CREATE"), "{statement} changed nothing");
}

#[tokio::test]
async fn what_is_written_as_it_should_be_is_whole() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new());
    let head = ledger.seal_head().await.unwrap();
    assert!(head.position > 10 && head.seal.len() == 64, "{head:?}");
    // A run that is taken for interrupted and reports after all, one that still runs, and points that are forgotten.
    let run = ledger.begin(&drill("agama")).await.unwrap();
    sqlx::query("UPDATE runs SET process = 'gone' WHERE id = ?").bind(&run.0).execute(&ledger.pool).await.unwrap();
    assert_eq!(ledger.recover().await.unwrap(), std::slice::from_ref(&run));
    ledger.finish(&run, &RunResult::new(Outcome::Inconclusive, 3.0)).await.unwrap();
    let cancelled = ledger.begin(&drill("shop")).await.unwrap();
    sqlx::query("UPDATE runs SET process = 'gone' WHERE id = ?")
        .bind(&cancelled.0)
        .execute(&ledger.pool)
        .await
        .unwrap();
    ledger.recover().await.unwrap();
    ledger.finish(&cancelled, &RunResult::new(Outcome::Interrupted, 3.0)).await.unwrap();
    // A test page that is withdrawn and comes back late.
    let page = ledger.raise_test_page(Duration::from_mins(1)).await.unwrap();
    clock.advance(10);
    ledger.withdraw_test_page().await.unwrap().unwrap();
    clock.advance(10);
    ledger.confirm_test_page(page.code).await.unwrap();
    ledger.begin(&backup("agama")).await.unwrap();
    clock.advance((GONE_POINTS_DAYS + 1) * 86_400);
    ledger.reconcile_points("agama", &[]).await.unwrap();
    assert_eq!(faults(&ledger, &[head]).await, Vec::<String>::new());
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM point_lifetimes").fetch_one(&ledger.pool).await.unwrap();
    assert_eq!(left, 1, "the one that went away long ago is forgotten");
}

#[tokio::test]
async fn every_change_of_the_past_is_found_and_named() {
    let cases = [
        ("UPDATE runs SET outcome = 'passed' WHERE outcome = 'failed'", "run "),
        ("UPDATE runs SET rto_seconds = 0.05 WHERE rto_seconds > 2", "run "),
        ("UPDATE runs SET reason = '' WHERE reason <> ''", "run "),
        ("UPDATE run_stages SET seconds = 0.01 WHERE position = 0", "run "),
        ("UPDATE run_checks SET ok = 1 - ok", "run "),
        ("UPDATE run_tables SET rows_restored = 5", "run "),
        ("DELETE FROM runs WHERE outcome = 'failed'", "was removed"),
        (
            "INSERT INTO runs SELECT 'forged', source, operation, kind, outcome, reason, hint, process, started_at, ended_at, \
             begun_revision + 100000, ended_revision + 100000, recovery_point, recovery_point_time, duration_seconds, \
             rto_seconds, over_rto, logical_bytes, added_bytes, row_count, chain_length, check_count, mismatch_count, \
             verified_rows, repository FROM runs WHERE outcome = 'failed'",
            "run forged was added",
        ),
        ("DELETE FROM missed_runs", "missed runs agama/backup/full"),
        ("UPDATE missed_runs SET missed = 1", "missed runs agama/backup/full"),
        ("UPDATE promises SET rpo = rpo * 2 WHERE source = 'agama'", "objectives agama/"),
        ("UPDATE point_lifetimes SET as_of = as_of + 1 WHERE gone_at IS NULL", "recovery point agama/q"),
        ("UPDATE point_lifetimes SET gone_at = NULL WHERE id = 'p'", "recovery point agama/p"),
        ("UPDATE point_lifetimes SET gone_early = 0", "vanished mark of recovery point agama/p"),
        ("UPDATE point_lifetimes SET gone_early = 2 WHERE id = 'p'", "vanished mark of recovery point agama/p"),
        ("UPDATE point_lifetimes SET gone_early = 1 WHERE id = 'q'", "vanished mark of recovery point agama/q"),
        ("UPDATE repositories SET identity = 'ffffff'", "identity of repository offsite was changed"),
        ("UPDATE repositories SET adopted_at = 0", "identity of repository offsite was changed"),
        ("DELETE FROM repositories", "identity of repository offsite was removed"),
        ("UPDATE points SET suspect = 1 WHERE id = 'q'", "listed recovery point agama/q was changed"),
        ("UPDATE points SET as_of = as_of + 1", "listed recovery point agama/q was changed"),
        ("UPDATE points SET left_out_tables = 1", "listed recovery point agama/q was changed"),
        ("DELETE FROM points", "listed recovery point agama/q was removed"),
        ("UPDATE chain_breaks SET kind = 'no_log'", "break of a chain"),
        ("DELETE FROM chain_breaks", "break of a chain"),
        ("UPDATE gaps SET ends = begins + 1", "gap between restorable moments agama/"),
        ("UPDATE gaps SET gone_at = NULL", "gap between restorable moments agama/"),
        ("DELETE FROM gaps", "gap between restorable moments agama/"),
        ("UPDATE seal_origin SET adopted = 1000", "number of records from before there were seals"),
        ("UPDATE configured SET ended_at = NULL", "configured period of shop/"),
        ("UPDATE configured SET ended_at = began_at + 5 WHERE source = 'agama'", "configured period of agama/"),
        ("UPDATE configured SET began_at = began_at - 1", "configured period of agama/"),
        ("UPDATE configured SET schedule = '0 4 * * *' WHERE work <> ''", "configured period of agama/"),
        ("DELETE FROM configured", "configured period of agama/"),
        ("UPDATE sources SET created_at = created_at + 1 WHERE name = 'shop'", "source shop"),
        ("DELETE FROM seals WHERE position = 4", "entries 4 to 4 of the chain are missing"),
        ("DELETE FROM seals", "was added by something"),
        ("UPDATE seals SET position = position - 2000", "of the chain are missing"),
        (
            "INSERT INTO seals (position, subject, name, content, state, sealed_at, seal) \
             SELECT -5, subject, name || 'x', content, state, sealed_at, seal FROM seals WHERE position = 5",
            "of the chain are missing",
        ),
        ("UPDATE runs SET row_count = 'two' WHERE outcome = 'failed'", "run "),
        ("UPDATE runs SET rto_seconds = -9e999 WHERE outcome = 'failed'", "run "),
        ("UPDATE ledger_origin SET created_at = created_at - 5", "begin of the ledger at"),
        ("CREATE TRIGGER quiet AFTER UPDATE ON runs BEGIN UPDATE runs SET reason = ''; END", "trigger quiet"),
        ("UPDATE seals SET sealed_at = sealed_at + 1 WHERE position = 5", "entry 5 of the chain was changed"),
    ];
    for (statement, expected) in cases {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = busy(dir.path(), &clock).await;
        // Whoever compares again and again finds it, too, and goes on finding it.
        let mut watch = SealWatch::default();
        assert!(ledger.watch_seals(&mut watch).await.unwrap().is_whole());
        clock.advance(1);
        ran(&ledger, backup("agama"), RunResult::new(Outcome::Succeeded, 2.5)).await;
        assert!(ledger.watch_seals(&mut watch).await.unwrap().is_whole());
        tamper(&ledger, statement).await;
        let found = faults(&ledger, &[]).await;
        assert!(found.iter().any(|fault| fault.contains(expected)), "{statement}: {found:?}");
        for _ in 0..2 {
            let watched = ledger.watch_seals(&mut watch).await.unwrap();
            assert!(watched.faults.iter().any(|fault| fault.what.contains(expected)), "{statement}: {watched:?}");
        }
    }
}

#[tokio::test]
async fn what_is_written_while_the_ledger_is_watched_is_whole_and_only_that_is_compared() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    let mut watch = SealWatch::default();
    assert!(!ledger.is_followed(&mut watch).await, "there is nothing to follow yet");
    assert!(ledger.watch_seals(&mut watch).await.unwrap().is_whole());
    for round in 0..3 {
        clock.advance(100);
        let begun = ledger.begin(&backup("shop")).await.unwrap();
        assert!(ledger.is_followed(&mut watch).await, "{round}: a run that runs");
        ledger.finish(&begun, &RunResult::new(Outcome::Succeeded, 2.5)).await.unwrap();
        ran(&ledger, drill("agama"), passed("q", 0.5)).await;
        ledger.reconcile_points("shop", &[point(&format!("s{round}"), &clock, 50)]).await.unwrap();
        assert!(ledger.is_followed(&mut watch).await, "{round}: runs with results, points that come and go");
        assert_eq!(ledger.watch_seals(&mut watch).await.unwrap().head, ledger.seal_head().await.unwrap());
    }
    clock.advance((GONE_POINTS_DAYS + 1) * 86_400);
    ledger.reconcile_points("shop", &[]).await.unwrap();
    assert!(ledger.is_followed(&mut watch).await, "points that are forgotten");
    watch.forget();
    assert!(!ledger.is_followed(&mut watch).await);
    assert!(ledger.watch_seals(&mut watch).await.unwrap().is_whole());
}

/// Whoever knows how the chain is made appends to it.
async fn append_by_hand(ledger: &Ledger, state: &str, of: &str) {
    use sha2::{Digest as _, Sha256};
    let (position, previous): (i64, String) =
        sqlx::query_as("SELECT position, seal FROM seals ORDER BY position DESC LIMIT 1")
            .fetch_one(&ledger.pool)
            .await
            .unwrap();
    let (name, content): (String, String) =
        sqlx::query_as("SELECT name, content FROM seals WHERE subject = 'run' AND state LIKE ?")
            .bind(format!("{of} %"))
            .fetch_one(&ledger.pool)
            .await
            .unwrap();
    let sealed_at = ledger.clock.wall().timestamp_micros();
    let said = serde_json::json!([position + 1, "run", name, content, state, sealed_at, previous]).to_string();
    let seal = crate::domain::digest::Digest(Sha256::digest(said.as_bytes()).into()).to_string();
    sqlx::query(
        "INSERT INTO seals (position, subject, name, content, state, sealed_at, seal) VALUES (?, 'run', ?, ?, ?, ?, ?)",
    )
    .bind(position + 1)
    .bind(name)
    .bind(content)
    .bind(state)
    .bind(sealed_at)
    .bind(seal)
    .execute(&ledger.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_result_that_is_sealed_again_is_no_result() {
    for state in ["passed 1790000000000000 00", "forgotten", "running 1790000000000000"] {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = busy(dir.path(), &clock).await;
        append_by_hand(&ledger, state, "failed").await;
        let found = faults(&ledger, &[]).await;
        assert!(
            found.iter().any(|fault| fault.contains("was changed after it was written (entry")),
            "{state}: {found:?}"
        );
    }
}

#[tokio::test]
async fn the_program_does_not_seal_for_others_what_they_changed() {
    // A source that is made younger, and touched so that it is sealed again.
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    clock.advance(1000);
    tamper(&ledger, "UPDATE sources SET created_at = created_at + 500000000, kind = 'files' WHERE name = 'agama'")
        .await;
    ledger.ensure_source("agama", "mysql", "offsite").await.unwrap();
    assert!(faults(&ledger, &[]).await.iter().any(|fault| fault.contains("source agama was changed")));
    // The time without a point, forgotten too early.
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    tamper(&ledger, "UPDATE point_lifetimes SET gone_at = 0 WHERE id = 'p'").await;
    ledger.reconcile_points("agama", &[point("q", &clock, 20), point("r", &clock, 10)]).await.unwrap();
    assert!(faults(&ledger, &[]).await.iter().any(|fault| fault.contains("recovery point agama/p")));
    // A run that never began, taken for interrupted.
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    tamper(
        &ledger,
        "INSERT INTO runs SELECT 'forged', source, operation, kind, 'running', reason, hint, 'gone', started_at, NULL, \
         begun_revision + 100000, NULL, recovery_point, recovery_point_time, NULL, 0.001, over_rto, logical_bytes, added_bytes, \
         row_count, chain_length, check_count, mismatch_count, verified_rows, repository FROM runs WHERE outcome = 'failed'",
    )
    .await;
    assert_eq!(ledger.recover().await.unwrap().len(), 1);
    assert!(faults(&ledger, &[]).await.iter().any(|fault| fault.contains("run forged was added")));
    // A run that began, and is gone.
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    ledger.begin(&backup("agama")).await.unwrap();
    tamper(&ledger, "DELETE FROM runs WHERE outcome = 'running'").await;
    assert!(faults(&ledger, &[]).await.iter().any(|fault| fault.contains("was removed")));
}

#[tokio::test]
async fn a_chain_that_was_cut_or_made_anew_does_not_have_what_was_written_down_elsewhere() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    let head = ledger.seal_head().await.unwrap();
    tamper(&ledger, "DELETE FROM seals").await;
    tamper(&ledger, "DELETE FROM seal_origin").await;
    tamper(&ledger, "UPDATE runs SET outcome = 'passed' WHERE outcome = 'failed'").await;
    ledger.clone().close().await;
    clock.advance(1);
    let ledger = open(dir.path(), &clock).await;
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new(), "by itself the new chain is whole");
    let found = faults(&ledger, std::slice::from_ref(&head)).await;
    assert!(found[0].contains("chain"), "{found:?}");
    // All that was written lately, and its seals.
    let dir = tempfile::tempdir().unwrap();
    let ledger = busy(dir.path(), &clock).await;
    let head = ledger.seal_head().await.unwrap();
    let last = "DELETE FROM seals WHERE position = (SELECT MAX(position) FROM seals)";
    tamper(&ledger, last).await;
    tamper(&ledger, last).await;
    tamper(&ledger, "DELETE FROM missed_runs").await;
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new());
    let found = faults(&ledger, &[head]).await;
    assert!(found.len() == 1 && found[0].contains("was there once"), "{found:?}");
}

#[tokio::test]
async fn what_an_older_version_wrote_is_sealed_once() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    tamper(&ledger, "DELETE FROM seals").await;
    tamper(&ledger, "DELETE FROM seal_origin").await;
    ledger.close().await;
    let ledger = open(dir.path(), &clock).await;
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new());
    let found = ledger.verify_seals(&[]).await.unwrap();
    assert!(found.adopted > 10 && found.since == Some(clock.wall()), "and it is said so: {found:?}");
    assert!(ledger.seal_head().await.unwrap().position > 10);
    tamper(&ledger, "DELETE FROM seals WHERE subject = 'run' AND position = (SELECT MAX(position) FROM seals WHERE subject = 'run')").await;
    ledger.close().await;
    let ledger = open(dir.path(), &clock).await;
    assert!(!faults(&ledger, &[]).await.is_empty(), "a seal that is missing is not made again");
}

/// As the version before wrote it, that did not seal what is listed, what vanished and which repositories are meant.
async fn of_the_version_before(dir: &Path, clock: &Arc<SetClock>) -> Ledger {
    let ledger = busy(dir, clock).await;
    tamper(&ledger, "DELETE FROM seals").await;
    tamper(&ledger, "DELETE FROM seal_origin").await;
    ledger.seal_what_is_there().await.unwrap();
    // Now the later kinds are at the end of the chain.
    tamper(&ledger, "DELETE FROM seals WHERE position >= (SELECT MIN(position) FROM seals WHERE subject = 'adoption')")
        .await;
    ledger
}

#[tokio::test]
async fn a_ledger_of_the_version_before_is_sealed_when_it_is_opened_and_only_then() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = of_the_version_before(dir.path(), &clock).await;
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new(), "as a copy that somebody was given");
    let head = ledger.seal_head().await.unwrap();
    ledger.close().await;
    clock.advance(10);
    let ledger = open(dir.path(), &clock).await;
    assert_eq!(faults(&ledger, std::slice::from_ref(&head)).await, Vec::<String>::new());
    let sealed = ledger.seal_head().await.unwrap();
    assert_eq!(
        sealed.position,
        head.position + 6 + 6,
        "marks; what is listed, vanished, meant, the origin, a break, a gap"
    );
    tamper(&ledger, "UPDATE point_lifetimes SET gone_early = 0 WHERE gone_early = 1").await;
    ledger.close().await;
    let ledger = open(dir.path(), &clock).await;
    let found = faults(&ledger, &[head]).await;
    assert!(found.len() == 1 && found[0].contains("vanished mark of recovery point agama/p/"), "{found:?}");
    assert_eq!(ledger.seal_head().await.unwrap(), sealed, "it is not sealed again");
}

#[tokio::test]
async fn which_repository_is_meant_is_what_was_sealed_whatever_the_row_says() {
    for statement in ["UPDATE repositories SET identity = 'ffffff'", "DELETE FROM repositories"] {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = busy(dir.path(), &clock).await;
        tamper(&ledger, statement).await;
        let adopted = ledger.adopt("offsite", "ffffff").await.unwrap();
        assert_eq!((adopted.identity.as_str(), adopted.is_new), ("0a1b2c", false), "{statement}");
        assert!(!faults(&ledger, &[]).await.is_empty(), "and it goes on being told: {statement}");
    }
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    clock.advance(5);
    assert_eq!(ledger.accept("offsite", "ffffff").await.unwrap().as_deref(), Some("0a1b2c"));
    assert_eq!(ledger.adopt("offsite", "0a1b2c").await.unwrap().identity, "ffffff");
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new());
}

#[tokio::test]
async fn everything_that_becomes_of_points_is_sealed_as_it_happens() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = busy(dir.path(), &clock).await;
    assert_eq!(ledger.accept_gone_points("offsite").await.unwrap(), [("agama".to_owned(), 1)].into());
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new());
    // One that comes back, one that is listed with other figures, and one that was dated by a wrong clock.
    let other = PointRow { logical_bytes: 7, ..point("q", &clock, 20) };
    ledger.reconcile_points("agama", &[point("p", &clock, 500), other]).await.unwrap();
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new());
    for (id, age) in [("r", 5), ("s", 40), ("t", 1)] {
        clock.advance(10);
        let made =
            RunResult { recovery_point: Some(RecoveryPointId(id.into())), ..RunResult::new(Outcome::Succeeded, 1.0) };
        ran(&ledger, backup("agama"), made).await;
        ledger.reconcile_points("agama", &[point("q", &clock, 60), point(id, &clock, age)]).await.unwrap();
    }
    // A source that moves leaves its points behind.
    ledger.ensure_source("agama", "mysql", "elsewhere").await.unwrap();
    assert_eq!(ledger.points("agama").await.unwrap(), []);
    assert_eq!(faults(&ledger, &[]).await, Vec::<String>::new());
}
