//! When sources were configured, and what was asked for.

use super::*;
use crate::domain::schedule::Work;
use crate::ledger::{Asked, Configured, ConfiguredPeriod};

fn source(name: &str) -> Configured {
    Configured { source: name.into(), asked: None }
}

fn asked(name: &str, work: Work, schedule: &str) -> Configured {
    let (schedule, zone, jitter) = (schedule.into(), "Europe/Berlin".into(), Duration::from_mins(5));
    Configured { source: name.into(), asked: Some(Asked { work, schedule, zone, jitter }) }
}

#[tokio::test]
async fn what_goes_and_comes_back_has_two_periods_and_saying_it_again_writes_nothing() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    let began = clock.wall();
    let full = asked("agama", Work::FullBackup, "0 2 * * *");
    let all = [source("agama"), full.clone(), source("shop")];
    ledger.record_configured(&all).await.unwrap();
    let revision = ledger.revision().await.unwrap();
    clock.advance(60);
    ledger.record_configured(&[all[2].clone(), all[1].clone(), all[0].clone()]).await.unwrap();
    assert_eq!(ledger.revision().await.unwrap(), revision);
    assert_eq!(ledger.configured().await.unwrap(), all.clone().map(|it| (it, began)));

    ledger.record_configured(&all[2..]).await.unwrap();
    let ended = clock.wall();
    assert_eq!(ledger.configured().await.unwrap(), [(source("shop"), began)]);
    clock.advance(60);
    ledger.record_configured(&all).await.unwrap();
    let first = ConfiguredPeriod { began, ended: Some(ended) };
    let back = clock.wall();
    let periods = ledger.configured_periods("agama").await.unwrap();
    assert_eq!(periods, [first, ConfiguredPeriod { began: back, ended: None }]);
    assert_eq!(ledger.configured_periods("nobody").await.unwrap(), []);

    // Another schedule is another period of the work, not of the source.
    clock.advance(60);
    let other = asked("agama", Work::FullBackup, "0 3 * * *");
    ledger.record_configured(&[source("agama"), other, source("shop")]).await.unwrap();
    assert_eq!(ledger.configured_periods("agama").await.unwrap(), periods);
    let since = ledger.snapshot().await.unwrap().sources["agama"].asked_since.clone();
    assert_eq!(since, [(Work::FullBackup, clock.wall())].into());
    assert!(ledger.verify_seals(&[]).await.unwrap().is_whole());
}

#[tokio::test]
async fn what_was_dated_by_a_clock_that_ran_ahead_begins_anew_when_it_is_put_right() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    let all = [source("agama"), asked("agama", Work::Drill, "@every 1h")];
    let ahead = 300 * 86_400;
    clock.advance(ahead);
    ledger.record_configured(&all).await.unwrap();
    clock.advance(-60);
    let revision = ledger.revision().await.unwrap();
    ledger.record_configured(&all).await.unwrap();
    assert_eq!(ledger.revision().await.unwrap(), revision, "a minute is no wrong clock");
    clock.advance(60 - ahead);
    ledger.record_configured(&all).await.unwrap();
    assert_eq!(ledger.configured().await.unwrap(), all.map(|it| (it, clock.wall())));
    assert!(ledger.verify_seals(&[]).await.unwrap().is_whole());
}
