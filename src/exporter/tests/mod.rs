//! The exporter over real ledgers and real sockets.

mod exposition;
mod forecasts;
pub(crate) mod kept_promises;
mod openmetrics;
mod rendering;
mod web;
mod web_file;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::app::KINDS;
use crate::clock::Clock;
use crate::config::{
    Config, MaintenanceConfig, RepositoryConfig, RepositoryKind, Schedule, SchedulerConfig, SourceConfig, Web,
};
use crate::domain::change::{Assessment, Point, State};
use crate::domain::drill::{Check, TableResult};
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::domain::schedule::Timing;
use crate::domain::sla::Objectives;
use crate::engine::mysql::{Mysql, MysqlConfig};
use crate::ledger::{
    Ledger, MissedRuns, Operation, Outcome, PointRow, REPOSITORY_PARTS, RunResult, RunStart, Upkeep, UpkeepOutcome,
    UpkeepRun,
};
use crate::sandbox::settings::SandboxConfig;
use crate::state::process_facts::ProcessFacts;
use crate::state::service::{RepositoryState, SealCheck, ServiceState};

/// 2026-09-21 14:13:20 UTC.
pub(super) const START: i64 = 1_790_000_000;

/// A clock that stands still until it is told otherwise.
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(START)))
    }
    pub(crate) fn advance(&self, seconds: i64) {
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

pub(crate) fn config(state_dir: &Path, sources: &[&str]) -> Config {
    let source = |name: &&str| {
        let config = SourceConfig {
            name: (*name).to_owned(),
            repository: "offsite".into(),
            sla: "standard".into(),
            labels: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
            objectives: Objectives {
                rpo: Duration::from_hours(24),
                rto: Duration::from_hours(5),
                retention: Duration::from_hours(720),
                drill_interval: Duration::from_hours(24),
                max_chain_length: 100,
                objective_ratio: 0.99,
            },
            schedule: Schedule::default(),
            kind: &Mysql,
            settings: Arc::new(MysqlConfig::default()),
            sandbox: SandboxConfig { kind: "local".into(), image: None, memory: 1 << 30, programs: None },
            assertions: Vec::new(),
            watch: crate::domain::change::watch::Watch::default(),
            drills: crate::domain::drill_choice::Policy::default(),
            max_replay: None,
        };
        ((*name).to_owned(), config)
    };
    let repository = RepositoryConfig {
        name: "offsite".into(),
        kind: RepositoryKind::Restic,
        url: "/srv/backup".into(),
        password: None,
        password_file: None,
    };
    Config {
        file: state_dir.join("config.toml"),
        kinds: KINDS,
        state_dir: state_dir.to_owned(),
        host: None,
        timezone: chrono_tz::UTC,
        scheduler: SchedulerConfig::default(),
        maintenance: MaintenanceConfig { schedule: Timing::parse("0 6 * * *").ok(), ..MaintenanceConfig::default() },
        web: Web { listen_addresses: vec!["127.0.0.1:0".into()], config_file: None },
        repositories: BTreeMap::from([("offsite".to_owned(), repository.clone()), ("new".to_owned(), repository)]),
        sources: sources.iter().map(source).collect(),
        password_files: Vec::new(),
        not_built: Vec::new(),
    }
}

pub(crate) fn service() -> ServiceState {
    let repository = RepositoryState {
        last_look: DateTime::from_timestamp(START, 0),
        awaited_since: None,
        up: Some(true),
        key_available: Some(true),
        size_bytes: Some(123_456_789_012),
        available_bytes: Some(5_000_000),
    };
    ServiceState {
        version: "1.2.3".into(),
        revision: "abc".into(),
        repositories: BTreeMap::from([
            ("new".to_owned(), RepositoryState::awaited(DateTime::from_timestamp(START, 0).unwrap())),
            ("offsite".to_owned(), repository),
        ]),
        seals: Some(SealCheck { at: DateTime::from_timestamp(START, 0).unwrap(), faults: 0, first: None }),
        sandboxes: 1,
        oldest_sandbox: DateTime::from_timestamp(START, 0),
        process: ProcessFacts::read(),
        ..ServiceState::default()
    }
}

pub(super) fn point(id: &str, as_of: DateTime<Utc>) -> PointRow {
    PointRow {
        id: RecoveryPointId(id.into()),
        kind: BackupKind::Full,
        as_of,
        finished: as_of,
        chain_length: 0,
        logical_bytes: 1,
        stored_bytes: 1,
        rows: 1,
        left_out: crate::domain::left_out::LeftOutCounts::default(),
        window_from: Some(as_of),
        line: None,
        canary: None,
    }
}

/// A ledger in which much has happened to `agama`, nothing to `new` (which is not in it), and `gone` is not configured
/// any more. Ends at START + 600.
pub(super) async fn seeded(dir: &Path, clock: &Arc<SetClock>) -> Ledger {
    let ledger = Ledger::open(dir, clock.clone()).await.unwrap();
    ledger.ensure_source("agama", "mysql", "offsite").await.unwrap();
    ledger.ensure_source("gone", "influxdb", "old").await.unwrap();
    let start = |operation, kind| RunStart { source: "agama".into(), operation, kind, drill: None };
    let (old, new) = (clock.wall() - TimeDelta::hours(30), clock.wall() - TimeDelta::hours(1));
    ledger.reconcile_points("agama", &[point("old", old), point("new", new)]).await.unwrap();
    ledger.reconcile_points("gone", &[point("g", old)]).await.unwrap();

    let good = RunResult { logical_bytes: 3_000_000, added_bytes: 70_000, ..RunResult::new(Outcome::Succeeded, 42.5) };
    let run = ledger.begin(&start(Operation::Backup, Some(BackupKind::Full))).await.unwrap();
    clock.advance(100);
    ledger.finish(&run, &good).await.unwrap();
    let run = ledger.begin(&start(Operation::Backup, Some(BackupKind::Full))).await.unwrap();
    ledger.finish(&run, &RunResult::new(Outcome::Failed, 1.0)).await.unwrap();

    let passed = RunResult {
        recovery_point: Some(RecoveryPointId("old".into())),
        rto_seconds: Some(80.5),
        stages: vec![("select".into(), 0.5), ("load".into(), 80.0)],
        ..RunResult::new(Outcome::Passed, 90.0)
    };
    let run = ledger.begin(&start(Operation::Drill, None)).await.unwrap();
    clock.advance(100);
    ledger.finish(&run, &passed).await.unwrap();
    let check = |ok| Check { name: "rows a.b".into(), expected: "3".into(), actual: "2".into(), ok };
    let table = TableResult { name: "a.b".into(), rows_expected: 3, rows_restored: 2, digest_ok: false };
    let failed = RunResult {
        recovery_point: Some(RecoveryPointId("new".into())),
        checks: vec![check(true), check(false)],
        tables: vec![table],
        ..RunResult::new(Outcome::Failed, 9.0)
    };
    let run = ledger.begin(&start(Operation::Drill, None)).await.unwrap();
    ledger.finish(&run, &failed).await.unwrap();
    let of = |id: &str, as_of| Point { id: RecoveryPointId(id.into()), as_of };
    let found = Assessment {
        state: State::Critical,
        before: Some(of("old", old)),
        rows: [40, 10],
        rows_lost: 0.75,
        tables_emptied: [3, 4],
        replaced: Some(0.5),
        compression: [Some(0.3), Some(0.9)],
        reasons: vec!["75 % of the rows are gone: 40 before, 10 now".into()],
        ..Assessment::default()
    };
    ledger.record_change("agama", &of("new", new), &found).await.unwrap();
    let (first, last) = (clock.wall() - TimeDelta::days(3), clock.wall() - TimeDelta::days(1));
    let (source, reason) = ("agama".to_owned(), "the service was down".to_owned());
    let missed = MissedRuns { source, operation: Operation::Drill, kind: None, first, last, count: 3, reason };
    ledger.record_missed(&missed).await.unwrap();
    for (operation, removed_points) in [(Upkeep::Maintain, 3), (Upkeep::Check, 0)] {
        let run = UpkeepRun {
            repository: "offsite".into(),
            operation,
            outcome: UpkeepOutcome::Succeeded,
            started: clock.wall(),
            ended: clock.wall(),
            removed_points,
            freed_bytes: 0,
            read_bytes: 0,
        };
        let parts: Vec<(u32, bool)> = (0..=REPOSITORY_PARTS / 4).map(|part| (part, part > 0)).collect();
        ledger.record_upkeep(&run, if operation == Upkeep::Check { &parts } else { &[] }).await.unwrap();
    }
    clock.advance(400);
    ledger.begin(&start(Operation::Restore, None)).await.unwrap();
    ledger
}
