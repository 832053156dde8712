//! What is kept of the upkeep of repositories.

use super::*;
use crate::ledger::{PartRead, Upkeep, UpkeepOutcome, UpkeepRun};

fn run(clock: &SetClock, operation: Upkeep, outcome: UpkeepOutcome) -> UpkeepRun {
    UpkeepRun {
        repository: "offsite".into(),
        operation,
        outcome,
        started: clock.wall() - TimeDelta::seconds(5),
        ended: clock.wall(),
        removed_points: 0,
        freed_bytes: 0,
        read_bytes: 0,
    }
}

#[tokio::test]
async fn the_last_of_each_the_last_that_says_something_and_the_last_good_one_are_told_apart() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    assert!(ledger.upkeep().await.unwrap().is_empty());
    let good = run(&clock, Upkeep::Check, UpkeepOutcome::Succeeded);
    ledger.record_upkeep(&good, &[(0, true), (3, true)]).await.unwrap();
    clock.advance(60);
    let bad = run(&clock, Upkeep::Check, UpkeepOutcome::Failed("pack ab is missing".into(), Some("look".into())));
    ledger.record_upkeep(&bad, &[]).await.unwrap();
    clock.advance(60);
    let unseen = run(&clock, Upkeep::Check, UpkeepOutcome::Inconclusive("it is away".into(), None));
    ledger.record_upkeep(&unseen, &[]).await.unwrap();

    let revision = ledger.revision().await.unwrap();
    let figures = ledger.snapshot().await.unwrap().upkeep.remove("offsite").unwrap();
    assert_eq!(figures.last[&Upkeep::Check], unseen);
    assert_eq!(figures.last_result[&Upkeep::Check], bad);
    assert_eq!(figures.last_success[&Upkeep::Check], good.ended);
    let read = |at, is_sound| PartRead { at, is_sound };
    let parts = [(0, read(good.started, true)), (3, read(good.started, true))];
    assert_eq!(figures.parts.into_iter().collect::<Vec<_>>(), parts);
    assert!(!figures.last.contains_key(&Upkeep::Maintain));

    // A part that is read again has its new time, and removed points add up.
    clock.advance(60);
    ledger.record_upkeep(&run(&clock, Upkeep::Check, UpkeepOutcome::Succeeded), &[(3, false)]).await.unwrap();
    for removed_points in [2, 3] {
        let maintained = run(&clock, Upkeep::Maintain, UpkeepOutcome::Succeeded);
        ledger.record_upkeep(&UpkeepRun { removed_points, ..maintained }, &[]).await.unwrap();
    }
    assert!(ledger.revision().await.unwrap() > revision, "whoever shows it must notice");
    let figures = ledger.upkeep().await.unwrap().remove("offsite").unwrap();
    let again = read(clock.wall() - TimeDelta::seconds(5), false);
    assert_eq!((figures.parts[&0], figures.parts[&3]), (read(good.started, true), again));
    assert_eq!(figures.removed_points, 5);
}
