//! Drills of other kinds than the newest recovery point.

use std::collections::BTreeSet;

use sqlx::Row;

use super::*;
use crate::domain::drill_choice::{DrillKind, Past};
use crate::domain::schedule::Work;
use crate::ledger::snapshot::CLOSING_PROOF;
use crate::ledger::{NOT_PROVED, PROVED_CHAIN};

fn of(kind: DrillKind) -> RunStart {
    RunStart { drill: Some(kind), ..drill("agama") }
}

fn beside(result: RunResult) -> RunResult {
    RunResult { rto_seconds: None, ..result }
}

async fn opened(dir: &Path, clock: &Arc<SetClock>) -> Ledger {
    let ledger = open(dir, clock).await;
    ledger.reconcile_points("agama", &[point("p", clock, 10), point("q", clock, 20)]).await.unwrap();
    ledger
}

#[tokio::test]
async fn only_drills_of_the_newest_point_count_for_promises_and_schedules() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = opened(dir.path(), &clock).await;
    ran(&ledger, drill("agama"), passed("p", 5.0)).await;
    clock.advance(100);
    for kind in [DrillKind::ClosedChain, DrillKind::Random, DrillKind::Oldest, DrillKind::Named] {
        ran(&ledger, of(kind), beside(passed("q", 9.0))).await;
    }
    ran(&ledger, of(DrillKind::Random), RunResult::new(Outcome::Inconclusive, 1.0)).await;
    let snapshot = ledger.snapshot().await.unwrap();
    let drills = &snapshot.sources["agama"].drills;
    assert_eq!((drills.attempts, drills.kinds.len()), (6, 5));
    let newest = drills.last_passed.as_ref().unwrap();
    assert_eq!((newest.drill, newest.ended), (Some(DrillKind::Newest), drills.kinds[&DrillKind::Newest].last_passed));
    assert_eq!((drills.rto.count, drills.rto.max), (1, 5.0));
    assert!(drills.kinds[&DrillKind::Oldest].last_passed > newest.ended);
    let runs = &ledger.last_runs_by_work().await.unwrap()[&("agama".to_owned(), Work::Drill)];
    assert_eq!((runs.outcome, runs.failures_in_a_row, runs.started), (Some(Outcome::Passed), 0, Some(newest.started)));
    let facts = ledger.facts("agama", clock.wall() + TimeDelta::hours(1)).await.unwrap();
    assert!(facts.is_none_or(|facts| facts.drills.len() == 1 && facts.drills[0].rto_seconds == Some(5.0)));
    let history = ledger.source_history("agama", clock.wall() - TimeDelta::days(1), None).await.unwrap();
    let kinds: Vec<_> = history.drills.iter().filter_map(|sample| sample.run.drill).collect();
    assert_eq!((kinds[0], kinds[5], history.failures.len()), (DrillKind::Random, DrillKind::Newest, 1));
}

#[tokio::test]
async fn what_failed_beside_the_newest_point_stands_until_its_kind_passes_or_its_point_is_gone() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = opened(dir.path(), &clock).await;
    let last = async || {
        let drills = ledger.snapshot().await.unwrap().sources["agama"].drills.clone();
        let outcome = |run: Option<crate::ledger::Run>| run.and_then(|run| run.outcome);
        (outcome(drills.last), outcome(drills.last_conclusive), drills.failures)
    };
    let (good, bad, unsure) = (Some(Outcome::Passed), Some(Outcome::Failed), Some(Outcome::Inconclusive));
    ran(&ledger, of(DrillKind::ClosedChain), failed("q")).await;
    ran(&ledger, drill("agama"), passed("p", 5.0)).await;
    assert_eq!(last().await, (bad, bad, 1), "a good drill of another point does not hide it");
    ran(&ledger, of(DrillKind::ClosedChain), beside(passed("q", 5.0))).await;
    assert_eq!(last().await, (good, good, 1));
    ran(&ledger, of(DrillKind::Oldest), failed("q")).await;
    assert_eq!(last().await, (bad, bad, 2));
    ledger.reconcile_points("agama", &[point("p", &clock, 10)]).await.unwrap();
    assert_eq!(last().await, (good, good, 2), "what is gone cannot be restored anyway");
    ran(&ledger, of(DrillKind::Random), RunResult::new(Outcome::Inconclusive, 1.0)).await;
    assert_eq!(last().await, (unsure, good, 2));
    ran(&ledger, drill("agama"), passed("p", 5.0)).await;
    assert_eq!(last().await, (good, good, 2), "it is tried again at the next drill");
    ran(&ledger, of(DrillKind::Named), failed("p")).await;
    assert_eq!(last().await, (bad, bad, 3));
    ran(&ledger, drill("agama"), passed("p", 5.0)).await;
    assert_eq!(last().await, (good, good, 3));
}

#[tokio::test]
async fn chains_that_had_a_verdict_are_known_and_the_newest_proof_is_that_of_the_newest_full_backup() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = opened(dir.path(), &clock).await;
    assert_eq!(ledger.past_drills("agama").await.unwrap(), Past::default());
    let proved = |full: &str, result: RunResult, ago: i64| RunResult {
        recovery_point_time: Some(clock.wall() - TimeDelta::hours(ago)),
        details: [(PROVED_CHAIN.to_owned(), full.to_owned())].into(),
        ..beside(result)
    };
    let begun = clock.wall();
    ran(&ledger, of(DrillKind::ClosedChain), proved("f2", passed("p", 1.0), 3)).await;
    ran(&ledger, of(DrillKind::ClosedChain), proved("f1", passed("p", 1.0), 9)).await;
    ran(&ledger, of(DrillKind::ClosedChain), proved("f3", failed("p"), 1)).await;
    ran(&ledger, of(DrillKind::ClosedChain), proved("f4", RunResult::new(Outcome::Inconclusive, 1.0), 0)).await;
    clock.advance(60);
    ran(&ledger, of(DrillKind::Oldest), beside(passed("q", 1.0))).await;
    ran(&ledger, of(DrillKind::Random), failed("q")).await;
    let past = ledger.past_drills("agama").await.unwrap();
    let known: Vec<&str> = past.proved.iter().map(|full| full.0.as_str()).collect();
    assert_eq!((known, past.last_proof), (vec!["f1", "f2"], Some(begun)));
    assert_eq!(past.wrong, [(RecoveryPointId("f3".to_owned()), begun)].into());
    assert_eq!((past.random, past.oldest), (None, Some(begun + TimeDelta::seconds(60))), "what failed is due again");
    let drills = ledger.snapshot().await.unwrap().sources["agama"].drills.clone();
    assert_eq!(drills.closing_proof, Some(begun - TimeDelta::hours(3)));
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {CLOSING_PROOF}")));
    let plan = plan.fetch_all(&ledger.pool).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get::<String, _>("detail")).collect();
    // Newest first along the index, so that only the runs before the first whole proof are looked at.
    assert!(plan[0].contains("INDEX runs_by_kind (operation=? AND kind=? AND outcome=? AND source=?"), "{plan:?}");
    assert!(!plan.iter().any(|step| step.starts_with("SCAN ") || step.contains("TEMP B-TREE")), "{plan:?}");
}

#[tokio::test]
async fn a_chain_that_was_wrong_stands_until_it_is_proved_or_gone_and_one_that_may_differ_is_no_whole_proof() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = opened(dir.path(), &clock).await;
    let proved = |full: &str, result: RunResult, ago: i64, not_proved: Option<&str>| RunResult {
        recovery_point_time: Some(clock.wall() - TimeDelta::hours(ago)),
        details: [(PROVED_CHAIN, Some(full)), (NOT_PROVED, not_proved)]
            .into_iter()
            .filter_map(|(name, content)| Some((name.to_owned(), content?.to_owned())))
            .collect(),
        ..beside(result)
    };
    let figures = async || {
        let drills = ledger.snapshot().await.unwrap().sources["agama"].drills.clone();
        (drills.last.and_then(|run| run.outcome), drills.closing_proof)
    };
    let (good, bad) = (Some(Outcome::Passed), Some(Outcome::Failed));
    let proof = |ago| Some(clock.wall() - TimeDelta::hours(ago));
    ran(&ledger, of(DrillKind::ClosedChain), proved("q", failed("p"), 9, None)).await;
    ran(&ledger, of(DrillKind::ClosedChain), proved("f2", passed("p", 1.0), 5, None)).await;
    ran(&ledger, drill("agama"), passed("p", 5.0)).await;
    assert_eq!(figures().await, (bad, proof(5)), "the next chain does not hide it");
    ran(&ledger, of(DrillKind::ClosedChain), proved("f3", passed("p", 1.0), 1, Some("rows differ"))).await;
    assert_eq!(figures().await, (bad, proof(5)), "not proved whole");
    let past = ledger.past_drills("agama").await.unwrap();
    assert_eq!(past.not_whole, [RecoveryPointId("f3".to_owned())].into());
    assert!(past.proved == [RecoveryPointId("f2".to_owned())].into() && past.wrong.len() == 1, "{past:?}");
    ran(&ledger, of(DrillKind::ClosedChain), proved("q", passed("p", 1.0), 9, None)).await;
    assert_eq!(figures().await, (good, proof(5)), "it was proved at last");
    assert!(ledger.past_drills("agama").await.unwrap().wrong.is_empty());
    ran(&ledger, of(DrillKind::ClosedChain), proved("q", failed("p"), 9, None)).await;
    ran(&ledger, of(DrillKind::ClosedChain), proved("f4", passed("p", 1.0), 4, None)).await;
    assert_eq!(figures().await, (bad, proof(4)));
    ledger.reconcile_points("agama", &[point("p", &clock, 10)]).await.unwrap();
    assert_eq!(figures().await, (good, proof(4)), "what is gone cannot be restored anyway");
}

#[tokio::test]
async fn a_drill_that_found_no_point_stands_until_the_next_of_its_kind_and_failed_points_are_known() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = opened(dir.path(), &clock).await;
    let last = async || {
        let drills = ledger.snapshot().await.unwrap().sources["agama"].drills.clone();
        drills.last.and_then(|run| run.outcome)
    };
    ran(&ledger, of(DrillKind::Random), RunResult { recovery_point: None, ..failed("q") }).await;
    ran(&ledger, drill("agama"), passed("p", 5.0)).await;
    assert_eq!(last().await, Some(Outcome::Failed));
    ran(&ledger, of(DrillKind::Random), beside(passed("q", 5.0))).await;
    assert_eq!(last().await, Some(Outcome::Passed));
    let drilled = async || {
        let drilled = ledger.drilled_points("agama").await.unwrap();
        let listed = ledger.points("agama").await.unwrap();
        let listed = listed.into_iter().filter(|it| drilled.contains(&it.id, it.as_of));
        listed.map(|it| it.id.0).collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from(["p".to_owned(), "q".to_owned()]);
    assert_eq!(drilled().await, both);
    ran(&ledger, of(DrillKind::Random), failed("q")).await;
    ran(&ledger, drill("agama"), RunResult { outcome: Outcome::Inconclusive, ..passed("p", 5.0) }).await;
    assert_eq!(drilled().await, both, "whatever the verdict");
    assert!(!ledger.verified_at("agama").await.unwrap().contains_key(&RecoveryPointId("q".to_owned())));
}

#[tokio::test]
async fn a_random_moment_that_failed_stands_until_the_same_moment_passes() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = opened(dir.path(), &clock).await;
    let at = |minutes: i64, result: RunResult| RunResult {
        recovery_point_time: Some(clock.wall() - TimeDelta::minutes(minutes)),
        ..beside(result)
    };
    let stands = async || {
        let drills = ledger.snapshot().await.unwrap().sources["agama"].drills.clone();
        let failed = ledger.past_drills("agama").await.unwrap().failed;
        let shown = failed.iter().map(|it| format!("{} {}", it.kind.name(), it.point)).collect::<Vec<_>>().join(", ");
        (drills.last.and_then(|run| run.outcome), shown)
    };
    let (good, bad) = (Some(Outcome::Passed), Some(Outcome::Failed));
    ran(&ledger, of(DrillKind::Random), at(7, failed("q"))).await;
    let found = ledger.failed_drills("agama").await.unwrap().remove(0);
    assert_eq!(
        (found.moment, found.chain, found.reason),
        (Some(clock.wall() - TimeDelta::minutes(7)), None, "rows differ".to_owned())
    );
    ran(&ledger, of(DrillKind::Random), at(8, passed("q", 1.0))).await;
    ran(&ledger, of(DrillKind::Random), at(7, passed("p", 1.0))).await;
    ran(&ledger, drill("agama"), passed("p", 5.0)).await;
    assert_eq!(stands().await, (bad, "random q".to_owned()), "other moments say nothing of it");
    ran(&ledger, of(DrillKind::Random), at(7, RunResult { outcome: Outcome::Inconclusive, ..failed("q") })).await;
    assert_eq!(stands().await, (bad, "random q".to_owned()));
    ran(&ledger, of(DrillKind::Named), at(7, passed("q", 1.0))).await;
    assert_eq!(stands().await, (good, String::new()));
    ran(&ledger, of(DrillKind::Random), at(7, failed("q"))).await;
    ran(&ledger, of(DrillKind::Random), at(9, failed("p"))).await;
    assert_eq!(stands().await, (bad, "random p, random q".to_owned()));
    ledger.reconcile_points("agama", &[point("p", &clock, 10)]).await.unwrap();
    assert_eq!(stands().await, (bad, "random p".to_owned()), "what is gone cannot be restored anyway");
    ran(&ledger, of(DrillKind::Random), at(9, passed("p", 1.0))).await;
    assert_eq!(stands().await, (good, String::new()));
}
