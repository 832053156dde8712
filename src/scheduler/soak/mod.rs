//! 60 days of the service in seconds: the real plan, ledger and exporter under clocks of our own, with failures, crashes,
//! downtime, clocks that are put wrong, ledgers that are lost, sources that are taken out of the configuration and put back,
//! held at every change against a naive model of what should be exported.
//!
//! `SOAK_SEED` repeats a run, `SOAK_DAYS` makes it longer. Of one thing the model does not know the one answer: which of two
//! histories counts for minutes that came twice because the clock was put back.

mod calendar;
mod dues;
mod ends;
mod fate;
mod forecast;
mod model;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::dues::Awaited;
use self::model::{Happened, Model, OF_RETIRED};
use self::world::{CHAINED, CRON, Chance, LIMITS, START, SoakClock};
use super::job::{Ended, Job, Missed, Promise, Step};
use super::jumps::Jumps;
use super::plan::Plan;
use super::{wanted, work};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::schedule::{Work, delay_within};
use crate::exporter::collector::collect;
use crate::exporter::exposition::{Exposition, Format};
use crate::ledger::{Ledger, MissedRuns, RunId, RunStart};
use crate::state::State;
use crate::state::service::SchedulerState;

/// A run that is under way: its place among those of its source in the model, its run in the ledger, when it ends.
struct Under {
    job: Job,
    at: usize,
    run: RunId,
    /// Since the start, on the monotonic clock.
    ends: TimeDelta,
}

/// A time by the wall clock, both ends included.
type Span = (DateTime<Utc>, DateTime<Utc>);

struct Soak {
    directory: PathBuf,
    clock: Arc<SoakClock>,
    config: Config,
    ledger: Ledger,
    state: Arc<State>,
    plan: Plan,
    jumps: Jumps,
    model: Model,
    awaited: BTreeMap<Job, Awaited>,
    chance: Chance,
    under_way: Vec<Under>,
    /// Everything that began, with its occurrence.
    begun: Vec<(Job, DateTime<Utc>, DateTime<Utc>)>,
    /// The chain cannot be continued before a full backup.
    awaits_full: bool,
    /// Until when somebody else works on what.
    busy: BTreeMap<Job, DateTime<Utc>>,
    missed: Vec<Missed>,
    /// Recovery points that were made.
    made: usize,
    /// Since when each work is asked for at its times, as far as the ledger knows.
    asked_since: BTreeMap<Job, DateTime<Utc>>,
    is_tightened: bool,
    /// Times of which nobody knows what was due: before a ledger was lost, and while a source was not configured.
    forgotten: Vec<Span>,
    unasked: Vec<Span>,
    /// Times that came twice.
    repeated: Vec<Span>,
    compared: usize,
    crashes: usize,
    losses: usize,
    /// Minutes for which it is still down.
    down: i64,
}

impl Soak {
    async fn tick(&mut self) {
        let (now, state) = (self.clock.wall(), self.state.clone());
        if let Some(jump) = self.jumps.look(&*self.clock) {
            self.plan.clock_jumped(jump, now);
            if jump < TimeDelta::zero() {
                self.awaited.values_mut().for_each(|awaited| awaited.put_back(-jump, now));
            }
        }
        let objectives: BTreeMap<String, Duration> =
            self.config.sources.values().map(|source| (source.name.clone(), source.objectives.rpo)).collect();
        let promise = |name: &str| {
            let (newest, created) = state.newest_point_and_creation(name);
            Some(Promise { newest, created, rpo: objectives[name] })
        };
        let steps = self.plan.tick(now, promise);
        for (job, awaited) in &mut self.awaited {
            awaited.look(now, state.newest_point(&job.source).is_some());
        }
        let (mut touched, mut put_off) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Missed(missed) => {
                    touched.insert(missed.job.source.clone());
                    self.miss(missed).await;
                }
                Step::Start(start) => {
                    self.awaited.get_mut(&start.job).unwrap().began(now);
                    if self.is_busy(&start.job, now) {
                        // Somebody else works on it: nothing is recorded, it is only tried again later.
                        self.plan.ended(&start.job, Ended::Busy, now);
                        self.awaited.get_mut(&start.job).unwrap().ended(Ended::Busy, now);
                        put_off.insert(start.job.source);
                    } else {
                        touched.insert(start.job.source.clone());
                        self.begun.push((start.job.clone(), start.scheduled, now));
                        self.begin(start.job).await;
                    }
                }
            }
        }
        // What began and found somebody else at work made the others wait until the next look.
        if !touched.contains(CHAINED) && !put_off.contains(CHAINED) {
            self.check_urgency(now);
        }
        for source in put_off.difference(&touched) {
            self.compare_next_runs(source, now);
        }
        for source in touched {
            self.compare(Some(&source)).await;
        }
    }

    fn is_busy(&mut self, job: &Job, now: DateTime<Utc>) -> bool {
        match self.busy.get(job) {
            Some(until) if now < *until => true,
            Some(_) => {
                self.busy.remove(job);
                false
            }
            None if self.chance.percent(3) => {
                let until = now + self.chance.minutes(400);
                self.busy.insert(job.clone(), until);
                true
            }
            None => false,
        }
    }

    /// An increment whose promise ran out waits for nothing but a full backup that it needs, or for twice the limit.
    fn check_urgency(&self, now: DateTime<Utc>) {
        let job = Job::new(CHAINED, Work::IncrementalBackup);
        let Some(newest) = self.state.newest_point(CHAINED) else { return };
        let promised = TimeDelta::from_std(self.config.sources[CHAINED].objectives.rpo).unwrap();
        if now < newest + promised || !self.awaited[&job].is_ready(now) {
            return;
        }
        let is_beside_a_full = self.awaited[&Job::new(CHAINED, Work::FullBackup)].is_running();
        let backups = self.under_way.iter().filter(|under| under.job.work.is_backup());
        let sources: BTreeSet<&str> = backups.map(|under| &*under.job.source).collect();
        let waits_for_backup = self.awaits_full || !is_beside_a_full && sources.len() >= 2 * LIMITS.backups;
        let running: Vec<String> = self.under_way.iter().map(|under| under.job.to_string()).collect();
        assert!(waits_for_backup, "{now}: {job} waits beside {running:?}, its promise ended {}", newest + promised);
    }

    async fn miss(&mut self, missed: Missed) {
        let (source, work) = (missed.job.source.clone(), missed.job.work);
        let record = MissedRuns {
            source: source.clone(),
            operation: wanted::operation(work),
            kind: work.backup_kind(),
            first: missed.first,
            last: missed.last,
            count: missed.count,
            reason: missed.reason.to_owned(),
        };
        let since = self.asked_since[&missed.job];
        let was_asked = record.first >= since || within(&self.repeated, record.first);
        assert!(was_asked, "{record:?}: nobody asked for it before {since}");
        self.ledger.record_missed(&record).await.unwrap();
        self.note_missed(missed);
    }

    fn note_missed(&mut self, missed: Missed) {
        let of_it = (missed.job.source.clone(), missed.job.work, missed.first);
        let told = self.model.missed.entry(of_it).or_insert((0, missed.last));
        if missed.count > told.0 {
            *told = (missed.count, missed.last);
        }
        self.missed.push(missed);
    }

    async fn begin(&mut self, job: Job) {
        let start = RunStart {
            source: job.source.clone(),
            operation: wanted::operation(job.work),
            kind: job.work.backup_kind(),
            drill: None,
        };
        let run = self.ledger.begin(&start).await.unwrap();
        let longest = match job.work {
            _ if self.chance.percent(4) => 20_000,
            Work::IncrementalBackup => 300,
            Work::FullBackup => 2400,
            Work::Drill => 7000,
        };
        let takes = TimeDelta::milliseconds(60_000 + i64::try_from(self.chance.below(longest * 1000)).unwrap());
        let ends = TimeDelta::from_std(self.clock.monotonic()).unwrap() + takes;
        let of_source = self.model.runs.entry(job.source.clone()).or_default();
        of_source.push(Happened {
            work: job.work,
            begun: self.clock.wall(),
            end: None,
            seconds: takes.as_seconds_f64(),
            // None is 1.5 times another: the naive forecast knows no slopes.
            bytes: 1_000_000 + self.chance.below(400_000),
            point: None,
            checks: (0, 0),
            rows: 0,
            over: false,
        });
        self.under_way.push(Under { job, at: of_source.len() - 1, run, ends });
    }

    /// When everything of `source` begins next, where nothing else can have changed.
    fn compare_next_runs(&mut self, source: &str, now: DateTime<Utc>) {
        let planned = self.plan.next_runs();
        for work in Work::ALL {
            let expected = self.awaited.get(&Job::new(source, work)).and_then(Awaited::next);
            let found = planned.get(&(source.to_owned(), work)).copied();
            assert_eq!(found, expected, "{now}: next {work} of {source}");
            self.compared += 1;
        }
    }

    /// What is exported of `source`, to which something has happened, or of all, against what should be.
    async fn compare(&mut self, source: Option<&str>) {
        for source in self.model.created.keys() {
            let suspect = self.ledger.marked_points(source).await.unwrap();
            self.model.suspect.insert(source.clone(), suspect);
        }
        self.state.refresh(&self.ledger).await.unwrap();
        let now = self.clock.wall();
        let scheduler = SchedulerState { last_tick: Some(now), next_runs: self.plan.next_runs() };
        self.state.update_service(|service| service.scheduler = Some(scheduler));
        let view = self.state.view().unwrap();
        let text = collect(&view, Exposition::new(Format::Text)).encode();
        let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        let exported: BTreeMap<&str, f64> = lines.map(|(series, value)| (series, value.parse().unwrap())).collect();
        let mut modelled = BTreeSet::new();
        let expected = self.model.expected(source, now).into_iter().chain(self.next_runs(source));
        for (series, value) in expected {
            modelled.insert(series.split('{').next().unwrap().to_owned());
            let found = exported.get(series.as_str());
            let is_right =
                if value.is_nan() { found.is_none() } else { found.is_some_and(|found| (found - value).abs() < 1e-3) };
            assert!(is_right, "{now}: {series}: expected {value}, exported {found:?}");
            self.compared += 1;
        }
        if source.is_some() {
            return;
        }
        for series in exported.keys() {
            let name = series.split('{').next().unwrap();
            let is_modelled = modelled.contains(name) || name == "backup_sla_objective_met_ratio";
            assert!(is_modelled || ELSEWHERE.iter().any(|known| name.starts_with(known)), "{name} has no model");
            let of_retired = self.model.retired.iter().any(|it| series.contains(&format!("{{source=\"{it}\"")));
            let stays = OF_RETIRED.iter().any(|kept| name.starts_with(&format!("backup_sla_{kept}")));
            assert!(!of_retired || stays, "{now}: {series} of a source that is not configured");
        }
        for (series, ratio, error) in self.model.expected_ratios(now) {
            let found = exported[series.as_str()];
            assert!((found - ratio).abs() <= error, "{now}: {series}: expected {ratio} ± {error}, exported {found}");
            self.compared += 1;
        }
    }

    /// When everything should be due next, by series.
    fn next_runs(&self, source: Option<&str>) -> Vec<(String, f64)> {
        let mut all = Vec::new();
        let configured = self.config.sources.keys().filter(|name| source.is_none_or(|only| only == *name));
        for source in configured {
            for work in Work::ALL {
                let next = self.awaited.get(&Job::new(source, work)).and_then(Awaited::next);
                let (metric, kind) = match work {
                    Work::FullBackup => ("backup", ",kind=\"full\""),
                    Work::IncrementalBackup => ("backup", ",kind=\"incremental\""),
                    Work::Drill => ("drill", ""),
                };
                let series = format!("backup_sla_{metric}_next_run_timestamp_seconds{{source=\"{source}\"{kind}}}");
                all.push((series, next.map_or(0.0, |next| next.timestamp_micros() as f64 / 1e6)));
            }
        }
        all
    }

    /// Every occurrence of every cron schedule began within five minutes of its time, or was told as missed, once.
    fn check_occurrences(&self, until: DateTime<Utc>) -> usize {
        let start: DateTime<Utc> = START.parse().unwrap();
        let mut checked = 0;
        for (source, work, expression, jitter) in CRON {
            let job = Job::new(source, work);
            let dues = calendar::dues(expression, chrono_tz::Europe::Berlin, start, self.clock.wall());
            let is_unknown =
                |due| within(&self.forgotten, due) || source == world::REMOVABLE && within(&self.unasked, due);
            let late: Vec<DateTime<Utc>> =
                dues.iter().copied().filter(|due| !self.began_in_time(&job, *due, jitter)).collect();
            for due in dues.iter().copied().filter(|due| *due < until && !is_unknown(*due)) {
                checked += 1;
                let Some((told, (first, last))) = self.told_of(&job, due) else {
                    assert!(!late.contains(&due), "{job} of {due} neither began in time nor was told as missed");
                    continue;
                };
                let came_twice = dues.iter().any(|due| first <= *due && *due <= last && within(&self.repeated, *due));
                let is_known = !dues.iter().any(|due| first <= *due && *due <= last && is_unknown(*due));
                let in_truth = late.iter().filter(|due| first <= **due && **due <= last).count();
                let is_right = told == in_truth || came_twice || !is_known;
                assert!(
                    is_right,
                    "{job} of {first} to {last}: {told} told as missed, {in_truth} did not begin in time"
                );
            }
        }
        checked
    }

    fn began_in_time(&self, job: &Job, due: DateTime<Utc>, jitter: i64) -> bool {
        let delay = delay_within(Duration::from_mins(jitter.unsigned_abs()), &job.to_string(), due);
        let latest = due + TimeDelta::from_std(delay).unwrap() + TimeDelta::minutes(5);
        self.begun.iter().any(|(begun, scheduled, at)| begun == job && *scheduled == due && *at <= latest)
    }

    /// How many were told as missed together with the occurrence `due`, and of which time. What came while others waited may
    /// have been told before them: spans overlap, counts do not.
    fn told_of(&self, job: &Job, due: DateTime<Utc>) -> Option<(usize, Span)> {
        let of_job = || self.missed.iter().filter(|missed| missed.job == *job);
        let (mut first, mut last) =
            of_job().find(|it| it.first <= due && due <= it.last).map(|missed| (missed.first, missed.last))?;
        loop {
            // After a crash the same is told again, and written down once.
            let overlapping = of_job().filter(|it| it.first <= last && first <= it.last);
            let told: BTreeMap<_, _> = overlapping.map(|it| (it.first, (it.last, it.count))).collect();
            let span = (*told.keys().next()?, told.values().map(|(last, _)| *last).max()?);
            if span == (first, last) {
                return Some((told.values().map(|(_, count)| *count as usize).sum(), span));
            }
            (first, last) = span;
        }
    }
}

fn within(spans: &[Span], due: DateTime<Utc>) -> bool {
    spans.iter().any(|(from, to)| *from <= due && due <= *to)
}

/// Exported, and not what this model is about: the service itself, repositories.
const ELSEWHERE: [&str; 21] = [
    "backup_sla_closing_proof_max_age",
    "backup_sla_increments_since",
    "backup_sla_change_",
    "backup_sla_recovery_points_vanished",
    "backup_sla_suspect_recovery_point_",
    "backup_sla_ledgers_set_aside",
    "backup_sla_ledger_seal",
    "backup_sla_test_page_",
    "process_",
    "backup_sla_build_info",
    "backup_sla_repository_",
    "backup_sla_encryption_key_available",
    "backup_sla_sandboxes",
    "backup_sla_oldest_sandbox",
    "backup_sla_scheduler_last_tick",
    "backup_sla_config_last_reload",
    "backup_sla_state_writable",
    "backup_sla_ledger_last_read",
    "backup_sla_operation_progress_ratio",
    "backup_sla_source_info",
    "backup_sla_objective_met_ratio",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_days_of_failures_and_every_metric_is_what_a_naive_model_says() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (seed, days) = (number("SOAK_SEED", 1), i64::try_from(number("SOAK_DAYS", 60)).unwrap());
    println!("SOAK_SEED={seed} SOAK_DAYS={days}");
    // The ledger waits for its disk at every write; here it may be memory.
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut soak = Soak::start(directory.path(), seed, days).await;
    for minute in 1..days * 1440 {
        soak.live_until(TimeDelta::minutes(minute)).await;
    }
    soak.end(days);
}
