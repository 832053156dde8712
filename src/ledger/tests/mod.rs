//! The ledger on real files.

mod changes;
mod configured;
mod copy;
mod durability;
mod figures;
mod history;
mod kinds;
mod portability;
mod reports;
mod seals;
mod trust;
mod upkeep;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::domain::drill::{Check, TableResult};
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::ledger::{Ledger, Operation, Outcome, PointRow, RunId, RunResult, RunStart};

/// A clock that stands still until it is told otherwise, forwards or backwards.
pub(super) struct SetClock(AtomicI64);

impl SetClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_790_000_000)))
    }
    pub(super) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.load(Ordering::SeqCst), 0).unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

pub(super) async fn open(dir: &Path, clock: &Arc<SetClock>) -> Ledger {
    Ledger::open(dir, clock.clone()).await.unwrap()
}

pub(super) fn backup(source: &str) -> RunStart {
    RunStart { source: source.into(), operation: Operation::Backup, kind: Some(BackupKind::Full), drill: None }
}

pub(super) fn drill(source: &str) -> RunStart {
    RunStart { source: source.into(), operation: Operation::Drill, kind: None, drill: None }
}

pub(super) async fn ran(ledger: &Ledger, start: RunStart, result: RunResult) -> RunId {
    let run = ledger.begin(&start).await.unwrap();
    ledger.finish(&run, &result).await.unwrap();
    run
}

pub(super) fn passed(point: &str, rto: f64) -> RunResult {
    RunResult {
        recovery_point: Some(RecoveryPointId(point.into())),
        rto_seconds: Some(rto),
        ..RunResult::new(Outcome::Passed, rto + 1.0)
    }
}

pub(super) fn failed(point: &str) -> RunResult {
    RunResult {
        reason: "rows differ".into(),
        recovery_point: Some(RecoveryPointId(point.into())),
        checks: vec![check("rows shop.orders", false), check("rows shop.users", true)],
        ..RunResult::new(Outcome::Failed, 5.0)
    }
}

pub(super) fn check(name: &str, ok: bool) -> Check {
    Check { name: name.into(), expected: "3".into(), actual: if ok { "3" } else { "2" }.into(), ok }
}

pub(super) fn table(name: &str) -> TableResult {
    TableResult { name: name.into(), rows_expected: 3, rows_restored: 3, digest_ok: true }
}

pub(super) fn point(id: &str, clock: &SetClock, seconds_ago: i64) -> PointRow {
    let as_of = clock.wall() - TimeDelta::seconds(seconds_ago);
    PointRow {
        id: RecoveryPointId(id.into()),
        kind: BackupKind::Full,
        as_of,
        finished: as_of + TimeDelta::seconds(30),
        chain_length: 0,
        logical_bytes: 1000,
        stored_bytes: 100,
        rows: 42,
        left_out: crate::domain::left_out::LeftOutCounts::default(),
        window_from: Some(as_of),
        line: None,
        canary: None,
    }
}

impl Ledger {
    /// As if the disk were full: what is listed next differs, and cannot be written down.
    pub(crate) async fn refuse_writes(&self) -> crate::error::Result<()> {
        for statement in [
            "CREATE TRIGGER full_disk BEFORE UPDATE ON ledger_revision BEGIN SELECT RAISE(ABORT, 'full'); END",
            "UPDATE points SET as_of = as_of - 1",
        ] {
            let done = sqlx::query(statement).execute(&self.pool).await;
            done.map_err(|error| super::database::ledger_error("refuse writes", error))?;
        }
        Ok(())
    }
}
