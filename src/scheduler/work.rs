//! How the scheduler's jobs are done with an [`App`]: by the same operations that the command line calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::asked;
use super::job::{Ended, Job, JobHistory, JobSpec, Limits, Missed, Promise, Start};
use super::wanted::{BUILT, all_specs, operation};
use super::workplace::Workplace;
use crate::app::{App, Source};
use crate::domain::drill::Verdict;
use crate::domain::schedule::Work;
use crate::error::{Error, Kind, Result};
use crate::ledger::{LastRuns, MissedRuns, Outcome, SourceFigures};
use crate::operations::backup::{BackupReport, backup};
use crate::operations::drill::{DrillRequest, drill};
use crate::operations::drill_plan::drill_planned;
use crate::operations::drill_plan::further;
use crate::operations::increment::{Advanced, increment_beside};
use crate::operations::listing::is_there_since;
use crate::operations::observe::observe;
use crate::run_context::RunContext;
use crate::state::State;
use crate::state::service::{Progress, SchedulerState};

/// How long a job waits for what its repository lists after it.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// The sources of an [`App`], which another one may replace while jobs run: each ends with the one it began with.
pub struct AppWork {
    app: Arc<RwLock<Arc<App>>>,
    state: Arc<State>,
    /// What the scheduled drill of a source has still to drill beside the newest recovery point.
    further: Mutex<BTreeMap<String, VecDeque<DrillRequest>>>,
}

impl AppWork {
    /// Work on the sources of `app`, and let `state` know.
    pub fn new(app: Arc<App>, state: Arc<State>) -> Self {
        Self { app: Arc::new(RwLock::new(app)), state, further: Mutex::default() }
    }

    /// The sources in use.
    pub fn app(&self) -> Arc<App> {
        self.app.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Work on the sources of `app` from now on.
    pub fn replace(&self, app: Arc<App>) {
        *self.app.write().unwrap_or_else(PoisonError::into_inner) = app;
    }

    fn further(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<DrillRequest>>> {
        self.further.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drill the newest recovery point, or the next of what is drilled beside it. Each is a run of its own: with its own time limit,
    /// and backups of the source come between.
    fn drill(&self, app: &App, source: &Source, start: &Start, context: &RunContext) -> Result<Ended> {
        let request = if start.is_more {
            let next = self.further().get(&source.name).and_then(|further| further.front().cloned());
            let Some(next) = next else { return Ok(Ended::Done) };
            next
        } else {
            self.further().remove(&source.name);
            DrillRequest::default()
        };
        let drilled = if start.is_more {
            drill_planned(app, source, &request, context)
        } else {
            drill(app, source, &request, context).map(Some)
        };
        if start.is_more && drilled.as_ref().err().is_none_or(|error| error.kind() != Kind::Busy) {
            self.further().get_mut(&source.name).and_then(VecDeque::pop_front);
        }
        let Some(report) = drilled? else {
            tracing::info!(source = %source.name, kind = request.kind.name(), "what was to be drilled is not kept any more");
            return Ok(self.after_drill(source));
        };
        let (verdict, reason, rto, kind) = (report.verdict, report.reason, report.rto_seconds, request.kind.name());
        match verdict {
            Verdict::Passed if !report.differs.is_empty() => {
                let differs = report.differs.join("; ");
                tracing::warn!(source = %source.name, kind, "drill passed, but the chain is not proved whole: {differs}");
            }
            Verdict::Passed => tracing::info!(source = %source.name, kind, rto, "drill passed"),
            Verdict::Failed | Verdict::Inconclusive => {
                let hint = report.hint;
                tracing::error!(source = %source.name, kind, hint, "drill {}: {reason}", verdict.name());
            }
        }
        if verdict == Verdict::Inconclusive {
            // The others would go the same way; they are due at the next drill all the same.
            self.further().remove(&source.name);
            return Ok(Ended::Again);
        }
        if !start.is_more {
            let due = further(app, source).unwrap_or_else(|error| {
                tracing::error!(source = %source.name, hint = error.hint_text(), "cannot tell what else to drill: {error}");
                VecDeque::new()
            });
            self.further().insert(source.name.clone(), due);
        }
        // The data does not become better by another look at it.
        Ok(self.after_drill(source))
    }

    fn after_drill(&self, source: &Source) -> Ended {
        let has_more = self.further().get(&source.name).is_some_and(|further| !further.is_empty());
        if has_more { Ended::More } else { Ended::Done }
    }

    /// Read what the repository lists for `source`; what comes out is in the ledger and in the metrics. Not waited for longer
    /// than is sensible: a repository that hangs must not keep the job from ending.
    fn observe(&self, app: Arc<App>, source: Source) {
        let (state, (ended, end)) = (self.state.clone(), channel());
        let (name, in_use) = (source.name.clone(), self.app.clone());
        let look = move || {
            let seen = observe(&app, &source).state;
            // The configuration may name another one by now, or none: what was seen there is nobody's.
            if !in_use.read().unwrap_or_else(PoisonError::into_inner).uses_repository_of(&source) {
                let _ = ended.send(());
                return;
            }
            state.update_service(|service| {
                service.repositories.insert(source.repository_name.clone(), seen);
            });
            state.changed();
            let _ = ended.send(());
        };
        let spawned = std::thread::Builder::new().name(format!("look after {name}")).spawn(look);
        if spawned.is_ok() && end.recv_timeout(LONGEST_LOOK) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(source = %name, "the repository did not answer within {LONGEST_LOOK:?} after the run");
        }
        self.state.changed();
    }
}

impl Workplace for AppWork {
    fn limits(&self) -> Limits {
        let limits = &self.app().config.scheduler;
        Limits { backups: limits.backups as usize, drills: limits.drills as usize }
    }

    fn jobs(&self) -> Result<Vec<(JobSpec, JobHistory)>> {
        let app = self.app();
        let runs = app.block_on(app.ledger.last_runs_by_work())?;
        // A configuration that has just been taken over is in the ledger; what is shown may be from before.
        app.block_on(self.state.refresh(&app.ledger))?;
        let snapshot = self.state.view()?.snapshot;
        let history = |spec: JobSpec| {
            let job = &spec.job;
            let runs = runs.get(&(job.source.clone(), job.work));
            let history = history(job.work, runs, snapshot.sources.get(&job.source));
            (spec, history)
        };
        Ok(all_specs(&app).map(history).collect())
    }

    fn promise(&self, source: &str) -> Option<Promise> {
        let rpo = self.app().config.sources.get(source)?.objectives.rpo;
        let (newest, created) = self.state.newest_point_and_creation(source);
        Some(Promise { newest, created, rpo })
    }

    fn perform(&self, start: &Start, context: &RunContext) -> Ended {
        let (app, job) = (self.app(), &start.job);
        tracing::info!(source = %job.source, attempt = start.attempt, "{} begins", job.work);
        let source = match app.source(&job.source) {
            Ok(source) => source,
            Err(error) => return judge(job, &error),
        };
        let ended = match job.work {
            Work::FullBackup => full(&app, &source, start, context),
            Work::IncrementalBackup => increment_beside(&app, &source, context).map(|came| advanced(job, came)),
            Work::Drill => self.drill(&app, &source, start, context),
        };
        let ended = ended.unwrap_or_else(|error| judge(job, &error));
        // Who has the source looks at its repository when it is done.
        if ended != Ended::Busy {
            self.observe(app, source);
        }
        ended
    }

    fn missed(&self, missed: &Missed) {
        let (app, job) = (self.app(), &missed.job);
        tracing::warn!(
            source = %job.source, first = %missed.first, last = %missed.last, count = missed.count,
            "{} did not begin at its time: {}", job.work, missed.reason
        );
        let record = MissedRuns {
            source: job.source.clone(),
            operation: operation(job.work),
            kind: job.work.backup_kind(),
            first: missed.first,
            last: missed.last,
            count: missed.count,
            reason: missed.reason.to_owned(),
        };
        if let Err(error) = app.block_on(app.ledger.record_missed(&record)) {
            tracing::error!(hint = error.hint_text(), "cannot record that {job} was missed: {error}");
        }
    }

    fn is_unwanted(&self, job: &Job) -> bool {
        let request = self.app().cancel_request(&job.source, operation(job.work), job.work.backup_kind());
        // Removing it tells us that it was there, and that it was us who saw it.
        std::fs::remove_file(request).is_ok()
    }

    fn time_limit(&self, job: &Job) -> Duration {
        let app = self.app();
        app.config.sources.get(&job.source).map_or(Duration::MAX, |source| source.time_limit(job.work))
    }

    fn publish(&self, scheduler: SchedulerState, running: Vec<Progress>) {
        self.state.update_service(|service| {
            service.scheduler = Some(scheduler);
            service.running = running;
        });
    }
}

/// From now on the service does what the configuration of `app` asks for; what is no longer asked for and is late is told.
pub fn take_over(app: &App) -> Result<()> {
    app.block_on(asked::record(&app.ledger, &asked::asked(&app.config, &BUILT), app.clock.wall()))
}

/// What the plan has to know of the runs of one work.
pub(super) fn history(work: Work, runs: Option<&LastRuns>, figures: Option<&SourceFigures>) -> JobHistory {
    let asked_since = figures.and_then(|figures| figures.asked_since.get(&work).copied());
    // A ledger that was lost knows no runs. What they stored is still there, and says when they began.
    let newest = work.backup_kind().and_then(|kind| figures?.points.newest_of.get(&kind).copied());
    let has_begun = runs.is_some_and(|runs| runs.started.is_some());
    let is_empty = figures.is_none_or(|figures| figures.points.newest.is_none());
    let awaits_first = match work {
        // Whatever succeeded is no longer there, or somewhere else. What failed is tried again anyway.
        Work::FullBackup => {
            is_empty && (!has_begun || runs.and_then(|runs| runs.outcome).is_some_and(Outcome::is_good))
        }
        Work::Drill => !has_begun,
        Work::IncrementalBackup => false,
    };
    let Some(runs) = runs else {
        return JobHistory { asked_since, begun: newest, awaits_first, ..JobHistory::default() };
    };
    let again = match runs.outcome {
        // The data of a drill that failed does not become better by another look at it.
        Some(Outcome::Failed) => work.is_backup(),
        Some(outcome) => !outcome.is_good(),
        // Another process is at it.
        None => false,
    };
    JobHistory {
        asked_since,
        begun: runs.started.or(newest),
        failures: if again { u32::try_from(runs.failures_in_a_row).unwrap_or(u32::MAX).max(1) } else { 0 },
        missed_until: runs.missed_until,
        awaits_first,
        duration: runs.last_good_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}

/// Take a full backup, unless it was found to be due and one has come since.
fn full(app: &App, source: &Source, start: &Start, context: &RunContext) -> Result<Ended> {
    if start.is_asked && is_there_since(app, source, start.scheduled)? {
        tracing::info!(source = %source.name, "the full backup that was due is there already");
        return Ok(Ended::Done);
    }
    backup(app, source, context).map(|report| succeeded(&start.job, &report))
}

fn advanced(job: &Job, came: Advanced) -> Ended {
    match came {
        Advanced::Taken(report) => succeeded(job, &report),
        Advanced::AndFullIsDue(report, why) => {
            succeeded(job, &report);
            tracing::info!(source = %job.source, "a full backup is due: {why}");
            Ended::FullIsDue
        }
        Advanced::AwaitsFull(why) => {
            tracing::warn!(source = %job.source, "a full backup is taken next: {why}");
            Ended::AwaitsFull
        }
    }
}

fn succeeded(job: &Job, report: &BackupReport) -> Ended {
    let (point, seconds) = (&report.recovery_point, report.duration_seconds);
    tracing::info!(source = %job.source, %point, seconds, "{} backup succeeded", report.kind);
    Ended::Done
}

/// What an error means for the job; it is said here, once.
fn judge(job: &Job, error: &Error) -> Ended {
    if error.kind() == Kind::Busy {
        tracing::info!(source = %job.source, "{} waits: {error}", job.work);
        return Ended::Busy;
    }
    if error.kind() == Kind::Cancelled {
        tracing::warn!(source = %job.source, "{} was cancelled", job.work);
        return Ended::Done;
    }
    tracing::error!(source = %job.source, hint = error.hint_text(), "{} failed: {error}", job.work);
    Ended::Again
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Runtime;

    use super::*;
    use crate::operations::tests::app;

    #[test]
    fn a_look_after_a_run_says_nothing_of_a_repository_that_is_no_longer_configured() {
        let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let first = Arc::new(app(dir.path(), "correct horse", &runtime));
        let source = first.source("ansible").unwrap();
        source.repository.storing().unwrap().prepare().unwrap();
        let state = State::new(Arc::new(first.config.clone()), first.clock.clone());
        let work = AppWork::new(first.clone(), state.clone());
        let known = || {
            let mut known = 0;
            state.update_service(|service| known = service.repositories.len());
            known
        };
        // Read anew, the configuration names the same repository; what runs ends with the driver that it began with.
        work.replace(Arc::new(app(dir.path(), "correct horse", &runtime)));
        work.observe(first.clone(), source.clone());
        assert_eq!(known(), 0, "a driver of before");
        let source = work.app().source("ansible").unwrap();
        work.observe(work.app(), source);
        assert_eq!(known(), 1);
    }
}
