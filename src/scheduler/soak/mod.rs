//! 60 days of the service in seconds: the real plan, ledger and exporter under a clock of our own, with failures, crashes and
//! downtime, held at every change against a naive model of what should be exported.
//!
//! `SOAK_SEED` repeats a run, `SOAK_DAYS` makes it longer. Clocks that jump are in the tests of the plan: a history in which
//! times come twice has no one answer to be held against.

mod calendar;
mod ends;
mod forecast;
mod model;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::model::{End, Happened, Model, Promised};
use self::world::{CONFIG, Chance, LIMITS, START, SoakClock};
use super::job::{Ended, Job, Missed, Promise, Step};
use super::plan::Plan;
use super::work;
use crate::clock::Clock;
use crate::config::{Config, parse};
use crate::domain::schedule::Work;
use crate::exporter::collector::collect;
use crate::exporter::exposition::{Exposition, Format};
use crate::exporter::refresh::Exporter;
use crate::ledger::{Ledger, MissedRuns, PointRow, RunId, RunStart};

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
