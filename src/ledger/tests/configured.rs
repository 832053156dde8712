//! When sources were configured.

use super::*;
use crate::domain::sla::Objectives;
use crate::ledger::{ConfiguredPeriod, KnownSource};

const OBJECTIVES: Objectives = Objectives {
    rpo: Duration::from_hours(24),
    rto: Duration::from_hours(5),
    retention: Duration::from_hours(720),
    drill_interval: Duration::from_hours(24),
    max_chain_length: 9,
    objective_ratio: 0.99,
};

#[tokio::test]
async fn a_source_that_goes_and_comes_back_has_two_periods_and_saying_it_again_writes_nothing() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    let began = clock.wall();
    let known = KnownSource { name: "agama", kind: "mysql", repository: "offsite", objectives: &OBJECTIVES };
    ledger.know(&[known, KnownSource { name: "shop", ..known }]).await.unwrap();
    ledger.record_configured(&["agama", "shop"]).await.unwrap();
    let revision = ledger.revision().await.unwrap();
    clock.advance(60);
    ledger.record_configured(&["shop", "agama"]).await.unwrap();
    assert_eq!(ledger.revision().await.unwrap(), revision);
    ledger.record_configured(&["shop"]).await.unwrap();
    let ended = clock.wall();
    let since = |snapshot: &crate::ledger::LedgerSnapshot, name| snapshot.sources[name].configured;
    let snapshot = ledger.snapshot().await.unwrap();
    assert_eq!((since(&snapshot, "agama"), since(&snapshot, "shop")), (None, Some(began)));
    clock.advance(60);
    ledger.record_configured(&["shop", "agama"]).await.unwrap();
    let periods = ledger.configured_periods("agama").await.unwrap();
    let first = ConfiguredPeriod { began, ended: Some(ended) };
    assert_eq!(periods, [first, ConfiguredPeriod { began: clock.wall(), ended: None }]);
    assert_eq!(since(&ledger.snapshot().await.unwrap(), "agama"), Some(clock.wall()));
    assert_eq!(ledger.configured_periods("nobody").await.unwrap(), []);
    assert!(ledger.verify_seals(&[]).await.unwrap().is_whole());
}

#[tokio::test]
async fn a_source_that_an_older_version_knew_is_configured_since_it_was_first_promised_and_not_since_its_oldest_point()
{
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    let known = KnownSource { name: "agama", kind: "mysql", repository: "offsite", objectives: &OBJECTIVES };
    ledger.know(&[known]).await.unwrap();
    let first = clock.wall();
    ledger.reconcile_points("agama", &[point("p", &clock, 86_400)]).await.unwrap();
    clock.advance(60);
    ledger.record_configured(&["agama"]).await.unwrap();
    let figures = ledger.snapshot().await.unwrap().sources["agama"].clone();
    assert_eq!(figures.configured, Some(first));
    assert_eq!(figures.points.newest_of, [(BackupKind::Full, first - TimeDelta::days(1))].into());
    assert!(figures.created < figures.configured);
}
