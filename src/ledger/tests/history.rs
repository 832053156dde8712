use proptest::prelude::RngExt;
use proptest::test_runner::TestRunner;

use super::*;
use crate::domain::history::{Facts, Timeline, window_start};
use crate::domain::schedule::Work;
use crate::domain::sla::{Judgement, Objective, Objectives};
use crate::ledger::{Asked, Configured, KnownSource, LastRuns, MissedRuns, Reconciled};

const HOUR: i64 = 3600;

fn promised(rpo_hours: u64) -> Objectives {
    let hours = Duration::from_hours;
    Objectives {
        rpo: hours(rpo_hours),
        rto: hours(1),
        retention: hours(48),
        drill_interval: hours(24),
        max_chain_length: 2,
        objective_ratio: 0.99,
    }
}

async fn facts(ledger: &Ledger, clock: &SetClock) -> Facts {
    ledger.facts("agama", window_start(clock.wall())).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_point_that_vanished_keeps_its_lifetime_and_one_that_came_back_was_not_there_in_between() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    ledger.ensure_source("agama", "mysql", "onsite").await.unwrap();
    let (a, b) = (point("a", &clock, 3000), point("b", &clock, 100));
    let changed = ledger.reconcile_points("agama", &[a.clone(), b.clone()]).await.unwrap();
    assert_eq!(changed, Reconciled { appeared: 2, older_than_ledger: 2, ..Reconciled::default() });
    clock.advance(60);
    let gone = clock.wall();
    assert_eq!(ledger.reconcile_points("agama", std::slice::from_ref(&b)).await.unwrap().gone, 1);
    clock.advance(60);
    let back = clock.wall();
    let changed = ledger.reconcile_points("agama", &[a.clone(), b.clone()]).await.unwrap();
    assert_eq!(changed, Reconciled { appeared: 1, older_than_ledger: 1, ..Reconciled::default() });
    let mut lives: Vec<_> = facts(&ledger, &clock).await.points;
    lives.retain(|life| life.as_of == a.as_of);
    lives.sort_by_key(|life| life.available);
    let lives: Vec<_> = lives.into_iter().map(|life| (life.available, life.gone)).collect();
    assert_eq!(lives, [(a.finished, Some(gone)), (back, None)]);

    clock.advance(401 * 86_400);
    ledger.reconcile_points("agama", &[a]).await.unwrap();
    let ever = ledger.facts("agama", DateTime::UNIX_EPOCH).await.unwrap().unwrap().points;
    assert_eq!(ever.len(), 2, "what is gone for more than 400 days is forgotten, what has just gone is not: {ever:?}");
}

#[tokio::test]
async fn a_gap_breaks_the_retention_from_the_point_that_ends_it_until_it_is_older_than_the_promised_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let source = KnownSource { name: "agama", kind: "mysql", repository: "onsite", objectives: &promised(1) };
    ledger.know(&[source]).await.unwrap();
    let asked = |schedule: &str| Configured {
        source: "agama".into(),
        asked: Some(Asked {
            work: Work::IncrementalBackup,
            schedule: schedule.into(),
            zone: "UTC".into(),
            jitter: Duration::ZERO,
        }),
    };
    ledger.record_configured(&[asked("*/15 * * * *")]).await.unwrap();
    clock.advance(5 * HOUR);
    // A chain to four hours ago, and a full backup that began the next one an hour ago.
    let first = point("first", &clock, 5 * HOUR - 60);
    let last = PointRow { window_from: first.window_from, ..point("last", &clock, 4 * HOUR) };
    ledger.reconcile_points("agama", &[first.clone(), last.clone()]).await.unwrap();
    ledger.record_configured(&[asked("*/10 * * * *")]).await.unwrap();
    let judged = async |at: DateTime<Utc>| {
        let (facts, now) = (facts(&ledger, &clock).await, clock.wall());
        let snapshot = ledger.snapshot().await.unwrap();
        let measured = snapshot.measured("agama", promised(1).rpo);
        let timeline = Timeline::of(&facts, window_start(now), now);
        let judged = promised(1).judge(Objective::Retention, &measured, now);
        assert_eq!(timeline.judged(Objective::Retention, now), Some(judged), "as of now both say the same");
        timeline.judged(Objective::Retention, at).unwrap()
    };
    assert_eq!(judged(clock.wall()).await, Judgement::Met);
    let next = point("next", &clock, HOUR);
    let listed = [first, last.clone(), next.clone()];
    ledger.reconcile_points("agama", &listed).await.unwrap();
    assert_eq!(judged(clock.wall()).await, Judgement::NotMet, "three hours are lost, and one is allowed");
    assert_eq!(judged(next.finished - TimeDelta::seconds(1)).await, Judgement::Met, "not known by then");
    assert_eq!(judged(next.finished).await, Judgement::NotMet);
    let outlived = next.as_of + TimeDelta::hours(48);
    assert_eq!(judged(outlived - TimeDelta::seconds(1)).await, Judgement::NotMet);
    assert_eq!(judged(outlived).await, Judgement::Met);
    // What is before the gap is removed: nothing promises any moment of that any more.
    clock.advance(49 * HOUR);
    assert_eq!(judged(clock.wall()).await, Judgement::Met);
    ledger.reconcile_points("agama", &listed[2..]).await.unwrap();
    assert_eq!(facts(&ledger, &clock).await.gaps[0].gone, Some(clock.wall()));
    ledger.record_configured(&[]).await.unwrap();
    assert_eq!(judged(clock.wall()).await, Judgement::Met, "only points are promised now");
}

#[tokio::test]
async fn an_increment_that_cannot_be_restored_any_more_was_available_until_that_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let source = KnownSource { name: "agama", kind: "mysql", repository: "onsite", objectives: &promised(24) };
    ledger.know(&[source]).await.unwrap();
    clock.advance(5 * HOUR);
    let full = point("full", &clock, 4 * HOUR);
    let (kind, window_from) = (BackupKind::Incremental, full.window_from);
    let increment = PointRow { kind, window_from, ..point("increment", &clock, HOUR) };
    ledger.reconcile_points("agama", &[full.clone(), increment.clone()]).await.unwrap();
    let of_increment = async || {
        let points = facts(&ledger, &clock).await.points;
        points.into_iter().find(|it| it.as_of == increment.as_of).unwrap().gone
    };
    assert_eq!(of_increment().await, None);
    clock.advance(HOUR);
    let lost = PointRow { window_from: None, ..increment.clone() };
    ledger.reconcile_points("agama", &[full.clone(), lost.clone()]).await.unwrap();
    let found = clock.wall();
    assert_eq!(of_increment().await, Some(found));
    clock.advance(HOUR);
    ledger.reconcile_points("agama", std::slice::from_ref(&lost)).await.unwrap();
    assert_eq!(of_increment().await, Some(found), "it was found before");
    ledger.reconcile_points("agama", &[]).await.unwrap();
    assert_eq!(of_increment().await, Some(found), "that it is gone as well makes it no younger");
    ledger.reconcile_points("agama", &[full.clone(), lost]).await.unwrap();
    ledger.reconcile_points("agama", &[full, increment.clone()]).await.unwrap();
    let points = facts(&ledger, &clock).await.points;
    let back = points.iter().filter(|it| it.as_of == increment.as_of && it.gone.is_none());
    assert_eq!(back.count(), 1, "what can be restored again counts");
}

#[tokio::test]
async fn a_listing_that_was_begun_earlier_takes_nothing_back_that_others_found_since() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let (old, new) = (point("old", &clock, 3000), point("new", &clock, 100));
    ledger.reconcile_points("agama", std::slice::from_ref(&old)).await.unwrap();
    let begun = ledger.revision().await.unwrap();
    // Somebody else publishes one and removes one while we list.
    ledger.reconcile_points("agama", std::slice::from_ref(&new)).await.unwrap();
    ledger.reconcile_listing("agama", std::slice::from_ref(&old), begun).await.unwrap();
    assert_eq!(ledger.points("agama").await.unwrap(), [new]);
}

#[tokio::test]
async fn a_new_ledger_knows_from_the_manifests_how_long_points_were_there_and_how_old_the_source_is() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let began = clock.wall();
    let ledger = open(dir.path(), &clock).await;
    clock.advance(10);
    ledger.ensure_source("agama", "mysql", "onsite").await.unwrap();
    assert!(!ledger.snapshot().await.unwrap().is_history_partial("agama"));
    // Published now; its as-of time is a little before that, as with every backup, and before this ledger began.
    let mut ours = point("own", &clock, 30);
    ours.finished = clock.wall();
    ledger.reconcile_points("agama", std::slice::from_ref(&ours)).await.unwrap();
    let snapshot = ledger.snapshot().await.unwrap();
    assert!(!snapshot.is_history_partial("agama"), "nothing is lost");
    assert_eq!(
        snapshot.sources["agama"].created,
        Some(clock.wall()),
        "its own backup makes it no older: it is still new"
    );
    let oldest = point("a", &clock, 90_000);
    ledger.reconcile_points("agama", &[oldest.clone(), point("b", &clock, 100)]).await.unwrap();
    let snapshot = ledger.snapshot().await.unwrap();
    assert_eq!((snapshot.created, snapshot.sources["agama"].created), (began, Some(oldest.as_of)));
    assert!(snapshot.is_history_partial("agama") && !snapshot.is_history_partial("nobody"));
    assert!(facts(&ledger, &clock).await.points.iter().any(|life| life.available == oldest.finished));
    ledger.close().await;
    clock.advance(100);
    let ledger = open(dir.path(), &clock).await;
    assert_eq!(ledger.snapshot().await.unwrap().created, began, "opening it again does not make it younger");
}

#[tokio::test]
async fn promises_are_written_when_they_change_and_say_that_the_history_changed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    ledger.ensure_source("agama", "mysql", "onsite").await.unwrap();
    let mut revisions = Vec::new();
    for hours in [24, 24, 12, 12, 24] {
        ledger.record_promises("agama", &promised(hours)).await.unwrap();
        revisions.push(ledger.snapshot().await.unwrap().sources["agama"].facts_revision);
        clock.advance(10);
    }
    let kept = facts(&ledger, &clock).await.promises;
    assert_eq!(kept.iter().map(|it| it.objectives.rpo.as_secs() / 3600).collect::<Vec<_>>(), [24, 12, 24]);
    assert_eq!(kept[0].objectives, promised(24));
    assert!(
        revisions[0] == revisions[1] && revisions[1] < revisions[2] && revisions[3] < revisions[4],
        "{revisions:?}"
    );
    ran(&ledger, backup("agama"), RunResult::new(Outcome::Succeeded, 1.0)).await;
    assert_eq!(
        ledger.snapshot().await.unwrap().sources["agama"].facts_revision,
        revisions[4],
        "no promise is about it"
    );
    ran(&ledger, drill("agama"), passed("p", 1.0)).await;
    assert!(ledger.snapshot().await.unwrap().sources["agama"].facts_revision > revisions[4]);
}

#[tokio::test]
async fn the_history_has_the_answers_that_each_snapshot_gave_at_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    ledger.ensure_source("agama", "mysql", "onsite").await.unwrap();
    let mut random = TestRunner::deterministic().new_rng();
    let (mut promise, mut points, mut said) = (promised(24), Vec::new(), Vec::new());
    ledger.record_promises("agama", &promise).await.unwrap();
    for step in 0..150 {
        match random.random_range(0..10) {
            0..=4 => {
                let as_of = random.random_range(0..7200);
                let chain_length = random.random_range(0..4);
                points.push(PointRow {
                    finished: clock.wall(),
                    chain_length,
                    ..point(&format!("p{step}"), &clock, as_of)
                });
            }
            5 if !points.is_empty() => drop(points.remove(random.random_range(0..points.len()))),
            6 => drop(ran(&ledger, drill("agama"), failed("p")).await),
            7 | 8 => drop(ran(&ledger, drill("agama"), passed("p", f64::from(random.random_range(1000..5000)))).await),
            _ => {
                promise = promised(random.random_range(1..30));
                ledger.record_promises("agama", &promise).await.unwrap();
            }
        }
        ledger.reconcile_points("agama", &points).await.unwrap();
        let measured = ledger.snapshot().await.unwrap().measured("agama", Duration::from_hours(1));
        let until = random.random_range(1..6 * 3600);
        for seconds in (0..until).step_by(601) {
            let at = clock.wall() + TimeDelta::seconds(seconds);
            said.push((at, Objective::ALL.map(|objective| promise.judge(objective, &measured, at))));
        }
        clock.advance(until);
    }
    let created = ledger.snapshot().await.unwrap().sources["agama"].created.unwrap();
    let known = ledger.facts("agama", created).await.unwrap().unwrap();
    let timeline = Timeline::of(&known, created, clock.wall());
    let mut both = [[0; 2]; 5];
    for (at, answers) in said {
        for (place, objective) in Objective::ALL.into_iter().enumerate() {
            // The retention of a source that turned out to be older is judged by what is known now.
            assert_eq!(timeline.judged(objective, at), Some(answers[place]), "{objective:?} at {at}");
            both[place][usize::from(answers[place] == Judgement::Met)] += 1;
        }
    }
    assert!(both.iter().flatten().all(|count| *count > 0), "each answer was seen: {both:?}");
}

#[tokio::test]
async fn missed_runs_are_counted_once_and_grow() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    let (first, last) = (clock.wall() - TimeDelta::hours(5), clock.wall() - TimeDelta::hours(1));
    let reason = "the service was down".to_owned();
    let kind = Some(BackupKind::Full);
    let missed =
        MissedRuns { source: "agama".into(), operation: Operation::Backup, kind, first, last, count: 5, reason };
    ledger.record_missed(&missed).await.unwrap();
    let revision = ledger.revision().await.unwrap();
    ledger.record_missed(&missed).await.unwrap();
    ledger.record_missed(&MissedRuns { count: 2, ..missed.clone() }).await.unwrap();
    assert_eq!(ledger.revision().await.unwrap(), revision, "said again it changes nothing");
    let more = MissedRuns { count: 6, last: clock.wall(), ..missed.clone() };
    ledger.record_missed(&more).await.unwrap();
    let other = MissedRuns { operation: Operation::Drill, kind: None, ..missed.clone() };
    ledger.record_missed(&other).await.unwrap();
    let counted = &ledger.snapshot().await.unwrap().sources["agama"].missed;
    assert_eq!((counted[&Operation::Backup], counted[&Operation::Drill]), (6, 5));
    assert_eq!(ledger.missed_runs("agama", first, 10).await.unwrap(), [more.clone(), other]);
    assert_eq!(ledger.missed_runs("agama", clock.wall(), 10).await.unwrap(), [more]);
    assert_eq!(ledger.missed_runs("other", first, 10).await.unwrap(), []);
}

#[tokio::test]
async fn the_last_runs_of_each_work_say_how_it_went_and_how_often_it_failed_since() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = open(dir.path(), &clock).await;
    ran(&ledger, backup("agama"), RunResult::new(Outcome::Failed, 1.0)).await;
    ran(&ledger, backup("agama"), RunResult::new(Outcome::Succeeded, 7.5)).await;
    clock.advance(60);
    ran(&ledger, backup("agama"), RunResult::new(Outcome::Failed, 1.0)).await;
    ran(&ledger, backup("agama"), RunResult::new(Outcome::Interrupted, 1.0)).await;
    let incremental = RunStart { kind: Some(BackupKind::Incremental), ..backup("agama") };
    ran(&ledger, incremental, RunResult::new(Outcome::Succeeded, 0.5)).await;
    ran(&ledger, drill("agama"), RunResult::new(Outcome::Inconclusive, 1.0)).await;
    ledger.begin(&drill("agama")).await.unwrap();
    let runs = ledger.last_runs_by_work().await.unwrap();
    let of = |work| runs[&("agama".to_owned(), work)].clone();
    let now = Some(clock.wall());
    let full = LastRuns {
        started: now,
        outcome: Some(Outcome::Interrupted),
        ended: now,
        failures_in_a_row: 2,
        last_good_seconds: Some(7.5),
        missed_until: None,
    };
    assert_eq!(of(Work::FullBackup), full);
    let incremental = of(Work::IncrementalBackup);
    assert_eq!((incremental.failures_in_a_row, incremental.last_good_seconds), (0, Some(0.5)));
    let drills = LastRuns { started: now, failures_in_a_row: 1, ..LastRuns::default() };
    assert_eq!(of(Work::Drill), drills, "the last one is running");
    assert_eq!(runs.len(), 3);
}
