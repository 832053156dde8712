//! A fleet with 35 days behind it, in a real ledger, shown by the real pages over a socket.
// The figures are made up: what they lose when they are rounded does not matter.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod history;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backup_sla::app::KINDS;
use backup_sla::clock::Clock;
use backup_sla::config;
use backup_sla::domain::history::{MetRatios, Share};
use backup_sla::domain::left_out::LeftOutCounts;
use backup_sla::domain::manifest::{BackupKind, RecoveryPointId};
use backup_sla::domain::schedule::Work;
use backup_sla::domain::sla::Objective;
use backup_sla::exporter::pages;
use backup_sla::ledger::{Ledger, MissedRuns, Operation, PointRow, RunStart};
use backup_sla::state::View;
use backup_sla::state::service::{Progress, RepositoryState, SchedulerState, ServiceState};
use chrono::{DateTime, TimeDelta, Utc};

use self::history::History;

/// A clock that goes where it is put.
struct SetClock(AtomicI64);

impl SetClock {
    fn set(&self, time: DateTime<Utc>) {
        self.0.store(time.timestamp_micros(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// 2026-09-21 14:13:20 UTC.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

/// Sources: name, kind, and what goes wrong.
const FLEET: [(&str, &str, Fate); 12] = [
    ("agama", "mysql", Fate::DrillFails),
    ("billing", "mysql", Fate::BackupsFail),
    ("telegraf", "influxdb", Fate::Good),
    ("ansible", "files", Fate::Good),
    ("wiki", "mysql", Fate::Good),
    ("tickets", "mysql", Fate::NoSandbox),
    ("sensors", "influxdb", Fate::Good),
    ("dns-zones", "files", Fate::Good),
    ("crm", "mysql", Fate::Good),
    ("mail-config", "files", Fate::Good),
    ("warehouse", "mysql", Fate::Good),
    ("new-shop", "mysql", Fate::NothingYet),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    DrillFails,
    BackupsFail,
    NoSandbox,
    NothingYet,
}

pub struct Fleet {
    pub address: String,
    view: Arc<Mutex<View>>,
    runtime: tokio::runtime::Runtime,
    ledger: Ledger,
    _directory: tempfile::TempDir,
}

impl Fleet {
    pub fn start() -> Self {
        Self::with(fill)
    }

    /// The same sources after their ledger was lost three hours ago: the repositories still list a month.
    pub fn after_losing_its_ledger() -> Self {
        Self::with(begin_again)
    }

    fn with(fill: impl AsyncFn(&Path, &Arc<SetClock>) -> Ledger) -> Self {
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock = Arc::new(SetClock(AtomicI64::new(0)));
        let ledger = runtime.block_on(fill(directory.path(), &clock));
        let snapshot = runtime.block_on(ledger.snapshot()).unwrap();
        let config = config::parse(&configuration(), &directory.path().join("config.toml"), KINDS).unwrap();
        let mut view = View::new(config, snapshot, service(), now());
        view.met_ratios = Arc::new(ratios());
        let view = Arc::new(Mutex::new(view));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let (served, of, handle) = (view.clone(), ledger.clone(), runtime.handle().clone());
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (view, ledger, handle) = (served.clone(), of.clone(), handle.clone());
                std::thread::spawn(move || serve(stream, &view, &ledger, &handle));
            }
        });
        Self { address, view, runtime, ledger, _directory: directory }
    }

    /// Change what is shown.
    pub fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.lock().unwrap());
    }

    pub fn break_ledger(&self) {
        self.runtime.block_on(self.ledger.clone().close());
    }
}

fn serve(stream: TcpStream, view: &Mutex<View>, ledger: &Ledger, handle: &tokio::runtime::Handle) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let target = request.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let view = view.lock().unwrap().clone();
    let page = handle.block_on(pages::answer(&view, (ledger, None), path, query)).unwrap();
    let mut stream = stream;
    let Some(page) = page else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
    };
    let mut head = format!("HTTP/1.1 {} X\r\ncontent-type: {}\r\n", page.status, page.content_type);
    for (name, value) in &page.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    write!(head, "content-length: {}\r\nconnection: close\r\n\r\n", page.body.len()).unwrap();
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&page.body).ok()
}

fn configuration() -> String {
    let mut text = String::from(
        "state_dir = \"state\"\n[repository.offsite]\nkind = \"restic\"\nurl = \"/srv/backup\"\npassword_env = \"PATH\"\n\
         [repository.vault]\nkind = \"restic\"\nurl = \"/srv/vault\"\npassword_env = \"PATH\"\n\
         [sla.standard]\nrpo = \"24h\"\nrto = \"5h\"\nretention = \"30d\"\ndrill_interval = \"30h\"\n\
         [sla.hourly]\nrpo = \"90m\"\nrto = \"15m\"\nretention = \"30d\"\ndrill_interval = \"30h\"\nmax_chain_length = 24\n",
    );
    for (name, kind, _) in FLEET {
        let sla = if name == "agama" { "hourly" } else { "standard" };
        let table = match kind {
            "mysql" => "user = \"backup\"\nsocket = \"/run/mysqld/mysqld.sock\"",
            "influxdb" => "url = \"http://127.0.0.1:8086\"\nrpc_address = \"127.0.0.1:8088\"",
            _ => "paths = [\"/srv/files\"]",
        };
        let repository = if kind == "files" { "vault" } else { "offsite" };
        write!(
            text,
            "[source.{name}]\nkind = \"{kind}\"\nrepository = \"{repository}\"\nsla = \"{sla}\"\n\
             schedule = {{ full = \"0 2 * * *\", drill = \"30 4 * * *\" }}\n[source.{name}.{kind}]\n{table}\n"
        )
        .unwrap();
    }
    text
}

fn service() -> ServiceState {
    let repository = |size: u64, free: u64| RepositoryState {
        awaited_since: None,
        last_look: None,
        up: Some(true),
        key_available: Some(true),
        size_bytes: Some(size),
        available_bytes: Some(free),
    };
    let mut next_runs = BTreeMap::new();
    for (at, (name, ..)) in FLEET.iter().enumerate() {
        let minutes = i64::try_from(at).unwrap() * 7;
        next_runs.insert(((*name).to_owned(), Work::FullBackup), now() + TimeDelta::minutes(706 + minutes));
        next_runs.insert(((*name).to_owned(), Work::Drill), now() + TimeDelta::minutes(856 + minutes));
    }
    next_runs.insert(("agama".to_owned(), Work::IncrementalBackup), now() + TimeDelta::minutes(12));
    let progress = Progress {
        source: "warehouse".to_owned(),
        operation: Operation::Drill,
        kind: None,
        started: now() - TimeDelta::seconds(224),
        phase: "load".to_owned(),
        done_bytes: 1_400_000_000,
        total_bytes: Some(3_300_000_000),
    };
    ServiceState {
        config_file: Some("/srv/backup-sla/fleet.toml".into()),
        repositories: BTreeMap::from([
            ("offsite".to_owned(), repository(812_000_000_000, 2_400_000_000_000)),
            ("vault".to_owned(), repository(3_100_000_000, 2_400_000_000_000)),
        ]),
        scheduler: Some(SchedulerState { last_tick: Some(now() - TimeDelta::seconds(1)), next_runs }),
        running: vec![progress],
        version: "0.1.0".to_owned(),
        ..ServiceState::default()
    }
}

fn ratios() -> BTreeMap<String, MetRatios> {
    let of = |fate: Fate| -> Option<MetRatios> {
        let share = |objective| match (fate, objective) {
            (Fate::BackupsFail, Objective::Rpo) => 0.934,
            (Fate::DrillFails, Objective::DrillInterval) => 0.9911,
            (Fate::NoSandbox, Objective::DrillInterval) => 0.962,
            _ => 1.0,
        };
        let month = 30 * 86_400;
        #[allow(clippy::cast_possible_truncation)] // seconds of a month
        let share = |objective| Share {
            met: TimeDelta::seconds((share(objective) * f64::from(month)) as i64),
            judged: TimeDelta::seconds(i64::from(month)),
        };
        let known = fate != Fate::NothingYet;
        known.then(|| Objective::ALL.into_iter().map(|objective| (objective, share(objective))).collect())
    };
    FLEET.iter().filter_map(|(name, _, fate)| Some(((*name).to_owned(), of(*fate)?))).collect()
}

async fn fill(directory: &Path, clock: &Arc<SetClock>) -> Ledger {
    clock.set(now() - TimeDelta::days(35));
    let ledger = Ledger::open(directory, clock.clone()).await.unwrap();
    ledger.ensure_source("legacy-forum", "mysql", "offsite").await.unwrap();
    ledger
        .reconcile_points("legacy-forum", &[point("f0", BackupKind::Full, clock.wall(), 9_000_000, 0)])
        .await
        .unwrap();
    for (at, (name, kind, fate)) in FLEET.iter().enumerate() {
        clock.set(now() - TimeDelta::days(if *fate == Fate::NothingYet { 0 } else { 35 }));
        ledger.ensure_source(name, kind, if *kind == "files" { "vault" } else { "offsite" }).await.unwrap();
        if *fate != Fate::NothingYet {
            let seed = i64::try_from(at).unwrap() * 1000;
            History { ledger: &ledger, clock, name, kind, fate: *fate, seed }.write().await;
        }
    }
    clock.set(now() - TimeDelta::seconds(224));
    let start = RunStart { source: "warehouse".into(), operation: Operation::Drill, kind: None, drill: None };
    ledger.begin(&start).await.unwrap();
    clock.set(now() - TimeDelta::seconds(31));
    let start = RunStart {
        source: "agama".into(),
        operation: Operation::Backup,
        kind: Some(BackupKind::Incremental),
        drill: None,
    };
    ledger.begin(&start).await.unwrap();
    clock.set(now());
    miss(&ledger).await;
    ledger
}

/// The service was down for two days, a week ago, and a drill was held up this morning.
async fn miss(ledger: &Ledger) {
    let down = "the service was not running".to_owned();
    let busy = "another operation on the source had not ended".to_owned();
    let hours = TimeDelta::hours;
    let missed = [
        (Operation::Backup, Some(BackupKind::Incremental), hours(216), hours(168), 49, &down),
        (Operation::Backup, Some(BackupKind::Full), hours(204), hours(180), 2, &down),
        (Operation::Drill, None, hours(202), hours(178), 2, &down),
        (Operation::Drill, None, hours(10), hours(10), 1, &busy),
    ];
    for (operation, kind, first, last, count, reason) in missed {
        let (source, first, last) = ("agama".to_owned(), now() - first, now() - last);
        let missed = MissedRuns { source, operation, kind, first, last, count, reason: reason.clone() };
        ledger.record_missed(&missed).await.unwrap();
    }
}

async fn begin_again(directory: &Path, clock: &Arc<SetClock>) -> Ledger {
    clock.set(now() - TimeDelta::hours(3));
    let ledger = Ledger::open(directory, clock.clone()).await.unwrap();
    for (name, kind, fate) in FLEET {
        ledger.ensure_source(name, kind, if kind == "files" { "vault" } else { "offsite" }).await.unwrap();
        if fate != Fate::NothingYet {
            let as_of = |day| now() - TimeDelta::days(day) - TimeDelta::hours(12);
            let points: Vec<_> =
                (0..31).rev().map(|day| point("a1", BackupKind::Full, as_of(day), 1_900_000_000, 0)).collect();
            ledger.reconcile_points(name, &points).await.unwrap();
        }
    }
    clock.set(now());
    ledger
}

fn point(id: &str, kind: BackupKind, as_of: DateTime<Utc>, bytes: u64, chain_length: u32) -> PointRow {
    let id = RecoveryPointId(format!("{id}{:024x}", as_of.timestamp_micros()));
    let (finished, stored_bytes) = (as_of + TimeDelta::seconds(95), bytes / 31);
    let left_out = LeftOutCounts::default();
    PointRow {
        id,
        kind,
        as_of,
        finished,
        chain_length,
        logical_bytes: bytes,
        stored_bytes,
        rows: bytes / 130,
        left_out,
        window_from: Some(as_of),
        line: None,
        canary: None,
    }
}
