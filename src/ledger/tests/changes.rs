//! What was found in backups is kept as it was found, and what was accepted is sealed.

use super::*;
use crate::domain::change::{Assessment, Point, State};

async fn judge(ledger: &Ledger, clock: &SetClock, id: &str, state: State) {
    clock.advance(100);
    let point = Point { id: RecoveryPointId(id.into()), as_of: clock.wall() };
    let reasons = if state.is_suspect() { vec![format!("why {id}")] } else { Vec::new() };
    let found = Assessment { state, reasons, rows: [7, 3], replaced: Some(0.25), ..Assessment::default() };
    ledger.record_change("shop", &point, &found).await.unwrap();
}

async fn newest(ledger: &Ledger) -> (State, Option<String>, Vec<String>) {
    let change = ledger.snapshot().await.unwrap().sources["shop"].change.clone().unwrap();
    (change.state(), change.since.map(|since| since.id.0), change.found.reasons)
}

async fn faults(ledger: &Ledger) -> Vec<String> {
    ledger.verify_seals(&[]).await.unwrap().faults.into_iter().map(|fault| fault.what).collect()
}

#[tokio::test]
async fn the_newest_change_is_told_since_when_until_it_is_over_or_accepted() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    ledger.ensure_source("shop", "mysql", "offsite").await.unwrap();
    assert_eq!(ledger.newest_change("shop").await.unwrap(), None);
    let why = |id: &str| vec![format!("why {id}")];
    judge(&ledger, &clock, "a", State::Pending).await;
    assert_eq!(newest(&ledger).await, (State::Pending, None, vec![]));
    judge(&ledger, &clock, "b", State::Quiet).await;
    judge(&ledger, &clock, "c", State::Warning).await;
    judge(&ledger, &clock, "d", State::Critical).await;
    assert_eq!(newest(&ledger).await, (State::Critical, Some("d".into()), why("d")));
    // What was found once stays.
    judge(&ledger, &clock, "d", State::Quiet).await;
    assert_eq!(newest(&ledger).await.0, State::Critical);
    judge(&ledger, &clock, "e", State::Quiet).await;
    assert_eq!(newest(&ledger).await, (State::Quiet, None, vec![]));
    judge(&ledger, &clock, "f", State::Critical).await;
    assert_eq!(newest(&ledger).await, (State::Critical, Some("f".into()), why("f")));

    let before = ledger.revision().await.unwrap();
    let accepted = ledger.accept_changes("shop").await.unwrap();
    assert_eq!(accepted.iter().map(|it| it.point.id.0.as_str()).collect::<Vec<_>>(), ["f"]);
    assert_eq!((accepted[0].found.rows, accepted[0].found.replaced), ([7, 3], Some(0.25)));
    assert!(ledger.revision().await.unwrap() > before, "whoever shows it reads it anew");
    assert_eq!(newest(&ledger).await, (State::Quiet, None, why("f")));
    let compared = ledger.compared("shop").await.unwrap();
    let accepted = |id: &str| compared[&RecoveryPointId(id.into())].is_accepted;
    assert_eq!(["d", "e", "f"].map(accepted), [false, false, true], "what was over before is not what was meant");
    assert_eq!(ledger.accept_changes("shop").await.unwrap(), []);
    judge(&ledger, &clock, "g", State::Warning).await;
    assert_eq!(newest(&ledger).await, (State::Warning, Some("g".into()), why("g")));
    assert_eq!(faults(&ledger).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_before_is_never_suspect_itself_nor_later_than_since_when() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    ledger.ensure_source("shop", "mysql", "offsite").await.unwrap();
    let mut last: Option<Point> = None;
    for (id, state) in [("a", State::Quiet), ("b", State::Warning), ("c", State::Critical), ("d", State::Critical)] {
        clock.advance(100);
        let point = Point { id: RecoveryPointId(id.into()), as_of: clock.wall() };
        // As a version before wrote it: what it was compared with.
        let found = Assessment { state, before: last.replace(point.clone()), ..Assessment::default() };
        ledger.record_change("shop", &point, &found).await.unwrap();
    }
    let change = ledger.newest_change("shop").await.unwrap().unwrap();
    let names = |change: &crate::ledger::ChangeFigures| {
        [&change.since, &change.found.before].map(|it| it.clone().unwrap().id.0)
    };
    assert_eq!(names(&change), ["c", "a"]);
    judge(&ledger, &clock, "e", State::Warning).await;
    let change = ledger.newest_change("shop").await.unwrap().unwrap();
    assert_eq!(change.since.unwrap().id.0, "b", "what is worse counts too");
    let accepted = ledger.accept_changes("shop").await.unwrap();
    assert_eq!(accepted.iter().map(|it| it.point.id.0.as_str()).collect::<Vec<_>>(), ["b", "c", "d", "e"]);
}

#[tokio::test]
async fn what_is_over_is_not_accepted() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    ledger.ensure_source("shop", "mysql", "offsite").await.unwrap();
    judge(&ledger, &clock, "a", State::Critical).await;
    judge(&ledger, &clock, "b", State::Quiet).await;
    assert_eq!(ledger.accept_changes("shop").await.unwrap(), []);
}

#[tokio::test]
async fn what_was_found_or_accepted_cannot_be_changed_unnoticed() {
    for statement in [
        "UPDATE changes SET state = 'quiet' WHERE recovery_point = 'd'",
        "UPDATE changes SET found = '{}' WHERE recovery_point = 'd'",
        "UPDATE changes SET accepted_at = 1790000000000000 WHERE recovery_point = 'd'",
        "UPDATE changes SET accepted_at = NULL WHERE recovery_point = 'c'",
        "DELETE FROM changes WHERE recovery_point = 'd'",
        "INSERT INTO changes SELECT source, 'forged', revision + 1000, as_of, judged_at, 'quiet', found, accepted_at FROM changes",
    ] {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = open(dir.path(), &clock).await;
        ledger.ensure_source("shop", "mysql", "offsite").await.unwrap();
        judge(&ledger, &clock, "c", State::Critical).await;
        ledger.accept_changes("shop").await.unwrap();
        judge(&ledger, &clock, "d", State::Critical).await;
        assert_eq!(faults(&ledger).await, Vec::<String>::new());
        let statement = statement
            .replace("found, accepted_at FROM changes", "found, accepted_at FROM changes WHERE recovery_point = 'd'");
        sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(&ledger.pool).await.unwrap();
        let found = faults(&ledger).await;
        assert!(
            found.iter().any(|fault| fault.contains("comparison of recovery point shop/")),
            "{statement}: {found:?}"
        );
    }
}
