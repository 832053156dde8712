//! 60 days of the service in seconds: the real plan, ledger and exporter under a clock of our own, with failures, crashes and
//! downtime, held at every change against a naive model of what should be exported.
//!
//! `SOAK_SEED` repeats a run, `SOAK_DAYS` makes it longer. Clocks that jump are in the tests of the plan: a history in which
//! times come twice has no one answer to be held against.

mod calendar;
mod forecast;
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::model::{End, Happened, Model, Point, Promised};
use super::job::{Ended, Job, Limits, Missed, Promise, Step};
use super::plan::Plan;
use super::work;
use crate::clock::Clock;
use crate::config::{Config, parse};
use crate::domain::drill::{Check, TableResult};
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::domain::schedule::Work;
use crate::exporter::collector::collect;
use crate::exporter::exposition::{Exposition, Format};
use crate::exporter::refresh::Exporter;
use crate::ledger::{Ledger, MissedRuns, Outcome, PointRow, RunId, RunResult, RunStart};

/// Two weeks before the clocks of Berlin are put back, 00:00 UTC.
const START: &str = "2026-10-11T00:00:00Z";
const LIMITS: Limits = Limits { backups: 2, drills: 1 };

const CONFIG: &str = r#"
state_dir = "state"
timezone = "Europe/Berlin"
[repository.offsite]
kind = "restic"
url = "repo"
password_file = "key"
[sla.hourly]
rpo = "6h"
rto = "90m"
retention = "20d"
drill_interval = "26h"
[sla.daily]
rpo = "25h"
rto = "5h"
retention = "10d"
drill_interval = "2d"
[source.a]
kind = "files"
repository = "offsite"
sla = "hourly"
schedule = { full = "0 */4 * * *", drill = "30 4 * * *" }
files = { paths = ["a"] }
[source.b]
kind = "files"
repository = "offsite"
sla = "daily"
schedule = { full = "30 2 * * *", drill = "30 2 * * *", jitter = "20m" }
files = { paths = ["b"] }
[source.c]
kind = "files"
repository = "offsite"
sla = "hourly"
schedule = { full = "@every 290m", drill = "@every 13h" }
files = { paths = ["c"] }
[source.d]
kind = "files"
repository = "offsite"
sla = "daily"
schedule = { full = "15 3 * * *", drill = "45 3 * * *" }
files = { paths = ["d"] }
"#;

struct SoakClock(AtomicI64);

impl SoakClock {
    fn set(&self, now: DateTime<Utc>) {
        self.0.store(now.timestamp_micros(), Ordering::SeqCst);
    }
}

impl Clock for SoakClock {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// splitmix64: the same seed, the same life.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A run that is under way: its place in the model, its run in the ledger, when it ends.
struct Under {
    job: Job,
    at: usize,
    run: RunId,
    ends: DateTime<Utc>,
}

struct Soak {
    clock: Arc<SoakClock>,
    config: Config,
    ledger: Ledger,
    exporter: Arc<Exporter>,
    plan: Plan,
    model: Model,
    chance: Chance,
    repository: BTreeMap<String, Vec<PointRow>>,
    under_way: Vec<Under>,
    /// Everything that began, with its occurrence.
    begun: Vec<(Job, DateTime<Utc>, DateTime<Utc>)>,
    /// Until when somebody else works on what.
    busy: BTreeMap<Job, DateTime<Utc>>,
    missed: Vec<Missed>,
    compared: usize,
    crashes: usize,
}

impl Soak {
    async fn start(directory: &Path, seed: u64) -> Self {
        let now: DateTime<Utc> = START.parse().unwrap();
        let clock = Arc::new(SoakClock(AtomicI64::new(now.timestamp_micros())));
        std::fs::write(directory.join("key"), "correct horse").unwrap();
        std::fs::set_permissions(directory.join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = parse(CONFIG, &directory.join("config.toml")).unwrap();
        let ledger = Ledger::open(directory, clock.clone()).await.unwrap();
        let exporter = Exporter::new(Arc::new(config.clone()), clock.clone());
        let mut soak = Self {
            clock,
            config,
            ledger,
            exporter,
            plan: Plan::new(LIMITS),
            model: Model::default(),
            chance: Chance(seed),
            repository: BTreeMap::new(),
            under_way: Vec::new(),
            begun: Vec::new(),
            busy: BTreeMap::new(),
            missed: Vec::new(),
            compared: 0,
            crashes: 0,
        };
        for name in soak.config.sources.keys() {
            soak.model.created.insert(name.clone(), now);
        }
        soak.promise().await;
        soak.configure().await;
        soak
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.wall()
    }

    /// What is promised from now on.
    async fn promise(&mut self) {
        for source in self.config.sources.values() {
            self.ledger.ensure_source(&source.name, "files", "offsite").await.unwrap();
            self.ledger.record_promises(&source.name, &source.objectives).await.unwrap();
            let seconds = |duration: Duration| duration.as_secs_f64();
            let objectives = &source.objectives;
            let promised = Promised {
                rpo: seconds(objectives.rpo),
                rto: seconds(objectives.rto),
                retention: seconds(objectives.retention),
                chain_length: f64::from(objectives.max_chain_length),
                ratio: objectives.objective_ratio,
                drill_interval: seconds(objectives.drill_interval),
            };
            self.model.promised.insert(source.name.clone(), promised);
        }
    }

    /// As the service does at its start and with a new configuration.
    async fn configure(&mut self) {
        let runs = self.ledger.last_runs_by_work().await.unwrap();
        let specs = self.config.sources.values().flat_map(|source| work::specs(source, self.config.timezone)).collect();
        let created = &self.model.created;
        self.plan.configure(specs, LIMITS, self.clock.wall(), |job| {
            let of_it = runs.get(&(job.source.clone(), job.work));
            work::history(job.work, of_it, created.get(&job.source).copied())
        });
        self.exporter.refresh(&self.ledger).await.unwrap();
    }

    async fn tick(&mut self) {
        let (now, exporter) = (self.now(), self.exporter.clone());
        let objectives: BTreeMap<String, Duration> =
            self.config.sources.values().map(|source| (source.name.clone(), source.objectives.rpo)).collect();
        let promise = |name: &str| Some(Promise { newest: exporter.newest_point(name), rpo: objectives[name] });
        let steps = self.plan.tick(now, promise);
        let changed = !steps.is_empty();
        for step in steps {
            match step {
                Step::Missed(missed) => self.miss(missed).await,
                Step::Start(start) => {
                    let busy_until = self.busy.get(&start.job).copied();
                    if busy_until.is_some_and(|until| now < until) {
                        // Somebody else works on it: nothing is recorded.
                        self.plan.ended(&start.job, Ended::Busy, now);
                    } else if busy_until.is_none() && self.chance.percent(4) {
                        let minutes = 1 + i64::try_from(self.chance.below(400)).unwrap();
                        self.busy.insert(start.job.clone(), now + TimeDelta::minutes(minutes));
                        self.plan.ended(&start.job, Ended::Busy, now);
                    } else {
                        self.busy.remove(&start.job);
                        self.begun.push((start.job.clone(), start.scheduled, now));
                        self.begin(start.job).await;
                    }
                }
            }
        }
        if changed {
            self.compare(None).await;
        }
    }

    async fn miss(&mut self, missed: Missed) {
        let operation = work::operation(missed.job.work);
        let record = MissedRuns {
            source: missed.job.source.clone(),
            operation,
            kind: missed.job.work.backup_kind(),
            first: missed.first,
            last: missed.last,
            count: missed.count,
            reason: missed.reason.to_owned(),
        };
        self.ledger.record_missed(&record).await.unwrap();
        let told = self.model.missed.entry((missed.job.source.clone(), operation.name(), missed.first)).or_default();
        *told = missed.count.max(*told);
        self.missed.push(missed);
    }

    async fn begin(&mut self, job: Job) {
        let now = self.now();
        let is_backup = job.work.is_backup();
        let start =
            RunStart { source: job.source.clone(), operation: work::operation(job.work), kind: job.work.backup_kind() };
        let run = self.ledger.begin(&start).await.unwrap();
        let longest = if self.chance.percent(4) {
            20_000
        } else if is_backup {
            2400
        } else {
            7000
        };
        let ends = now + TimeDelta::milliseconds(60_000 + i64::try_from(self.chance.below(longest * 1000)).unwrap());
        let at = self.model.runs.len();
        self.model.runs.push(Happened {
            source: job.source.clone(),
            is_backup,
            begun: now,
            end: None,
            seconds: (ends - now).as_seconds_f64(),
            // None is 1.5 times another: the naive forecast knows no slopes.
            bytes: 1_000_000 + self.chance.below(400_000),
            point: None,
            checks: (0, 0),
            rows: 0,
            over: false,
        });
        self.under_way.push(Under { job, at, run, ends });
    }

    /// What was to end until `until` ends, each at its time.
    async fn end_until(&mut self, until: DateTime<Utc>) {
        loop {
            self.under_way.sort_by_key(|under| under.ends);
            if self.under_way.first().is_none_or(|under| under.ends > until) {
                return;
            }
            let under = self.under_way.remove(0);
            self.clock.set(under.ends);
            let ended = if under.job.work == Work::Drill {
                self.end_drill(&under).await
            } else {
                self.end_backup(&under).await
            };
            self.plan.ended(&under.job, ended, under.ends);
            self.compare(Some(&under.job.source)).await;
        }
    }

    async fn end_backup(&mut self, under: &Under) -> Ended {
        let (now, order) = (self.now(), self.model.next_result());
        let happened = self.model.runs[under.at].clone();
        let is_good = !self.chance.percent(12);
        let end = if is_good { End::Good } else { End::Failed };
        self.model.runs[under.at].end = Some((now, end, order));
        let outcome = if is_good { Outcome::Succeeded } else { Outcome::Failed };
        let mut result = RunResult::new(outcome, happened.seconds);
        if is_good {
            let id = RecoveryPointId(format!("{}-{}", happened.source, under.at));
            result.recovery_point = Some(id.clone());
            result.recovery_point_time = Some(happened.begun);
            (result.logical_bytes, result.added_bytes) = (happened.bytes, happened.bytes / 10);
            let row = PointRow {
                id: id.clone(),
                kind: BackupKind::Full,
                as_of: happened.begun,
                finished: now,
                chain_length: 0,
                logical_bytes: happened.bytes,
                stored_bytes: happened.bytes / 10,
                rows: 1,
            };
            self.repository.entry(happened.source.clone()).or_default().push(row);
            let points = self.model.points.entry(happened.source.clone()).or_default();
            points.push(Point { id: id.0, as_of: happened.begun, bytes: happened.bytes, gone: false });
            self.list(&happened.source).await;
        }
        self.ledger.finish(&under.run, &result).await.unwrap();
        if is_good { Ended::Done } else { Ended::Again }
    }

    async fn end_drill(&mut self, under: &Under) -> Ended {
        let (now, order) = (self.now(), self.model.next_result());
        let source = under.job.source.clone();
        let newest = self.repository.get(&source).and_then(|points| points.iter().max_by_key(|point| point.as_of));
        let (point, bytes) = (newest.map(|point| point.id.clone()), newest.map_or(0, |point| point.logical_bytes));
        let end = match self.chance.below(100) {
            _ if point.is_none() => End::Failed,
            0..6 => End::Failed,
            6..14 => End::Inconclusive,
            _ => End::Good,
        };
        let rto = self.config.sources[&source].objectives.rto.as_secs_f64();
        let happened = &mut self.model.runs[under.at];
        happened.end = Some((now, end, order));
        happened.point = point.as_ref().map(|point| point.0.clone());
        (happened.over, happened.bytes) = (happened.seconds > rto, bytes);
        let outcome = match end {
            End::Good => Outcome::Passed,
            End::Failed => Outcome::Failed,
            End::Inconclusive | End::Interrupted => Outcome::Inconclusive,
        };
        let mut result = RunResult::new(outcome, happened.seconds);
        (result.recovery_point, result.logical_bytes) = (point, bytes);
        if end == End::Good {
            result.rto_seconds = Some(happened.seconds);
            result.over_rto = happened.over;
            result.stages = vec![("load".to_owned(), happened.seconds)];
        }
        if end != End::Inconclusive {
            (happened.checks, happened.rows) = ((3, u64::from(end == End::Failed)), 1000 + order as u64);
            let check = |at| Check {
                name: format!("{at}"),
                expected: "1".into(),
                actual: "1".into(),
                ok: at > 0 || end == End::Good,
            };
            result.checks = (0..3).map(check).collect();
            let rows = happened.rows;
            result.tables =
                vec![TableResult { name: "t".into(), rows_expected: rows, rows_restored: rows, digest_ok: true }];
        }
        self.ledger.finish(&under.run, &result).await.unwrap();
        if end == End::Inconclusive { Ended::Again } else { Ended::Done }
    }

    async fn list(&self, source: &str) {
        let points = self.repository.get(source).map(Vec::as_slice).unwrap_or_default();
        self.ledger.reconcile_points(source, points).await.unwrap();
    }

    /// Retention, once a day; of `d` more is removed than may be.
    async fn maintain(&mut self) {
        let now = self.now();
        for source in self.config.sources.values() {
            let kept = if source.name == "d" {
                Duration::from_hours(5 * 24)
            } else {
                source.objectives.retention + Duration::from_hours(30)
            };
            let oldest = now - TimeDelta::from_std(kept).unwrap();
            if let Some(points) = self.repository.get_mut(&source.name) {
                points.retain(|point| point.as_of >= oldest);
                let there: Vec<&str> = points.iter().map(|point| point.id.0.as_str()).collect();
                for point in self.model.points.get_mut(&source.name).into_iter().flatten() {
                    point.gone |= !there.contains(&point.id.as_str());
                }
            }
            self.list(&source.name).await;
        }
        self.compare(None).await;
    }

    /// The service is killed; returns for how many minutes it is down.
    async fn crash(&mut self) -> u64 {
        self.crashes += 1;
        self.ledger.disown_running().await.unwrap();
        self.ledger.clone().close().await;
        let short = self.chance.percent(40);
        1 + self.chance.below(if short { 4 } else { 1000 })
    }

    async fn restart(&mut self, directory: &Path) {
        let now = self.now();
        self.ledger = Ledger::open(directory, self.clock.clone()).await.unwrap();
        for under in std::mem::take(&mut self.under_way) {
            let order = self.model.next_result();
            self.model.runs[under.at].end = Some((now, End::Interrupted, order));
        }
        self.exporter = Exporter::new(Arc::new(self.config.clone()), self.clock.clone());
        self.plan = Plan::new(LIMITS);
        self.configure().await;
        self.compare(None).await;
    }

    /// What is exported of `source`, to which something has happened, or of all, against what should be.
    async fn compare(&mut self, source: Option<&str>) {
        self.exporter.refresh(&self.ledger).await.unwrap();
        let view = self.exporter.view().unwrap();
        let text = collect(&view, Exposition::new(Format::Text)).encode();
        let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        let exported: BTreeMap<&str, f64> = lines.map(|(series, value)| (series, value.parse().unwrap())).collect();
        let now = self.now();
        let mut modelled = BTreeSet::new();
        for (series, value) in self.model.expected(source, now) {
            modelled.insert(series.split('{').next().unwrap().to_owned());
            let found = exported.get(series.as_str());
            assert!(
                found.is_some_and(|found| (found - value).abs() < 1e-3),
                "{now}: {series}: expected {value}, exported {found:?}"
            );
            self.compared += 1;
        }
        for series in exported.keys().filter(|_| source.is_none()) {
            let name = series.split('{').next().unwrap();
            let is_modelled = modelled.contains(name) || name == "backup_sla_objective_met_ratio";
            assert!(is_modelled || ELSEWHERE.iter().any(|known| name.starts_with(known)), "{name} has no model");
        }
        for (series, ratio, error) in self.model.expected_ratios(source) {
            let found = exported[series.as_str()];
            assert!((found - ratio).abs() <= error, "{now}: {series}: expected {ratio} ± {error}, exported {found}");
            self.compared += 1;
        }
    }

    /// Every occurrence of every cron schedule began within five minutes of its time, or was told as missed, once.
    fn check_occurrences(&self, until: DateTime<Utc>) -> usize {
        let start: DateTime<Utc> = START.parse().unwrap();
        let mut checked = 0;
        for (source, work, expression, jitter) in CRON {
            let job = Job::new(source, work);
            for due in calendar::dues(expression, chrono_tz::Europe::Berlin, start, until) {
                let late = TimeDelta::minutes(5 + jitter);
                let mut of_it = self.begun.iter().filter(|(begun, scheduled, _)| *begun == job && *scheduled == due);
                let began = of_it.any(|(_, _, at)| *at - due <= late);
                let told = self.missed.iter().filter(|it| it.job == job && it.first <= due && due <= it.last);
                // After a crash the same is told again, and written down once.
                let told: BTreeSet<_> = told.map(|it| it.first).collect();
                assert!(began || !told.is_empty(), "{job} of {due} neither began in time nor was told as missed");
                assert!(told.len() <= 1, "{job} of {due} was told as missed from {told:?}");
                checked += 1;
            }
        }
        checked
    }
}

/// The cron schedules above, with their jitter in minutes.
const CRON: [(&str, Work, &str, i64); 6] = [
    ("a", Work::FullBackup, "0 */4 * * *", 0),
    ("a", Work::Drill, "30 4 * * *", 0),
    ("b", Work::FullBackup, "30 2 * * *", 20),
    ("b", Work::Drill, "30 2 * * *", 20),
    ("d", Work::FullBackup, "15 3 * * *", 0),
    ("d", Work::Drill, "45 3 * * *", 0),
];

/// Exported, and not what this model is about: the service itself, repositories, what there are only full backups of.
const ELSEWHERE: [&str; 14] = [
    "backup_sla_test_page_",
    "process_",
    "backup_sla_build_info",
    "backup_sla_repository_",
    "backup_sla_encryption_key_available",
    "backup_sla_sandboxes",
    "backup_sla_oldest_sandbox",
    "backup_sla_scheduler_last_tick",
    "backup_sla_config_last_reload",
    "backup_sla_ledger_",
    "backup_sla_operation_progress_ratio",
    "backup_sla_backup_next_run",
    "backup_sla_drill_next_run",
    "backup_sla_source_info",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_days_of_failures_and_every_metric_is_what_a_naive_model_says() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (seed, days) = (number("SOAK_SEED", 1), number("SOAK_DAYS", 60));
    println!("SOAK_SEED={seed} SOAK_DAYS={days}");
    // The ledger waits for its disk at every write; here it may be memory.
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut soak = Soak::start(directory.path(), seed).await;
    let start: DateTime<Utc> = START.parse().unwrap();
    let mut down = 0;
    for minute in 0..days * 1440 {
        let now = start + TimeDelta::minutes(i64::try_from(minute).unwrap());
        if down == 0 {
            soak.end_until(now).await;
        }
        soak.clock.set(now);
        if down > 0 {
            down -= 1;
            if down == 0 {
                soak.restart(directory.path()).await;
            }
        } else if minute > 0 && soak.chance.below(4 * 1440) == 0 {
            down = soak.crash().await;
        }
        if down == 0 {
            if minute == 20 * 1440 {
                // A tighter promise and another schedule, as a reload would bring them.
                let text = CONFIG.replace("rpo = \"6h\"", "rpo = \"4h\"").replace("@every 290m", "@every 190m");
                soak.config = parse(&text, &directory.path().join("config.toml")).unwrap();
                soak.exporter.set_config(Arc::new(soak.config.clone()));
                soak.promise().await;
                soak.configure().await;
            }
            soak.tick().await;
            if minute % 1440 == 720 {
                soak.maintain().await;
            }
        }
        soak.model.note_minute(now);
    }
    let occurrences = soak.check_occurrences(start + TimeDelta::days(i64::try_from(days).unwrap() - 1));
    println!(
        "{days} days: {} runs, {} crashes, {} missed, {} values compared, {occurrences} occurrences accounted for",
        soak.model.runs.len(),
        soak.crashes,
        soak.missed.len(),
        soak.compared
    );
    assert!(soak.crashes > 3 && soak.compared > 100_000 && occurrences > 500);
}
