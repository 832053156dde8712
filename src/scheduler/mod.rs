//! The scheduler: begins what is due, ends what takes too long, and says what it does.
//!
//! `plan` decides, purely; `entry` is one job in it; `work` knows how a job is done with an [`App`](crate::app::App);
//! this file runs the jobs on threads of their own. A job that panics takes nothing with it. Nothing here knows a kind
//! of source, repository or sandbox.

mod asked;
mod entry;
mod following;
mod job;
mod jumps;
mod outlook;
mod pace;
mod plan;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod tests;
mod tracker;
mod wanted;
mod work;
mod workplace;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::following::Following;
pub use self::job::{Ended, Job, JobHistory, JobSpec, Limits, MOST_COUNTED, Missed, Promise, Start, Step};
use self::jumps::Jumps;
pub use self::outlook::next_runs;
pub use self::plan::Plan;
use self::tracker::Tracker;
pub use self::work::{AppWork, take_over};
pub use self::workplace::Workplace;
use crate::clock::Clock;
use crate::display;
use crate::domain::schedule::Work;
use crate::error::Result;
use crate::ledger::Operation;
use crate::run_context::{Cancel, RunContext};
use crate::state::service::{Progress, SchedulerState};

/// How often we look for work.
const TICK: Duration = Duration::from_millis(500);
/// How long a cancelled operation may take to clean up (kill its children, wipe its sandbox).
const CLEAN_UP: Duration = Duration::from_secs(45);

/// Tells the scheduler something from another thread.
#[derive(Debug, Clone)]
pub struct Bell(Sender<Message>);

impl Bell {
    /// The configuration changed: ask for specs and limits again.
    pub fn reconfigured(&self) {
        // Without a scheduler there is nobody to be told.
        let _ = self.0.send(Message::Reconfigured);
    }

    /// A full backup of `source` is due now, whatever its times are.
    pub fn full_is_due(&self, source: &str) {
        let _ = self.0.send(Message::FullIsDue(source.to_owned()));
    }
}

#[derive(Debug)]
enum Message {
    Ended(Job, u64, Ended),
    Reconfigured,
    FullIsDue(String),
}

/// Runs jobs when they are due.
pub struct Scheduler {
    workplace: Arc<dyn Workplace>,
    clock: Arc<dyn Clock>,
    plan: Plan,
    running: BTreeMap<Job, Running>,
    /// Runs that go on although they were cancelled: they wait for something that nobody can end. They hold no place.
    stuck: BTreeMap<u64, (Job, Running)>,
    /// How long a cancelled run may take to clean up.
    clean_up: Duration,
    /// Runs so far.
    runs: u64,
    inbox: Receiver<Message>,
    bell: Bell,
    jumps: Jumps,
    /// The configuration changed, and the plan is not made from it yet.
    is_behind: bool,
    /// Why, as it was last said.
    trouble: Option<String>,
}

struct Running {
    /// Which run of the job it is.
    number: u64,
    /// On the monotonic clock.
    cancelled: Option<Duration>,
    operation: Operation,
    cancel: Cancel,
    tracker: Arc<Tracker>,
    begun: DateTime<Utc>,
    begun_monotonic: Duration,
    limit: Duration,
}

impl Scheduler {
    /// A scheduler that knows its jobs. Errors: the ledger cannot be read.
    pub fn new(workplace: Arc<dyn Workplace>, clock: Arc<dyn Clock>) -> Result<Self> {
        let (sender, inbox) = channel();
        let plan = Plan::new(workplace.limits());
        let mut scheduler = Self {
            workplace,
            clock,
            plan,
            running: BTreeMap::new(),
            stuck: BTreeMap::new(),
            clean_up: CLEAN_UP,
            runs: 0,
            inbox,
            bell: Bell(sender),
            jumps: Jumps::default(),
            is_behind: true,
            trouble: None,
        };
        scheduler.reconfigure()?;
        Ok(scheduler)
    }

    /// A way to tell it something.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Work until `stop`, then let what runs end within `drain`, then cancel it. `alive` is called at every tick.
    /// Returns the jobs that did not even end after being cancelled.
    pub fn run(mut self, stop: &Cancel, drain: impl Fn() -> Duration, mut alive: impl FnMut()) -> Vec<Job> {
        while !stop.is_cancelled() {
            self.tick();
            alive();
            self.wait(TICK);
        }
        alive();
        let drain = drain();
        tracing::info!(running = self.running.len(), ?drain, "stopping: no new operations begin");
        if !self.wind_down(drain, &mut alive) {
            for (job, running) in &self.running {
                tracing::warn!("cancel {job}: it did not end within {drain:?}");
                running.cancel.cancel();
            }
            self.wind_down(self.clean_up, &mut alive);
        }
        self.running.into_keys().chain(self.stuck.into_values().map(|(job, _)| job)).collect()
    }

    /// Look once: take note of the time, begin what is due, end what takes too long, publish.
    fn tick(&mut self) {
        let (now, monotonic) = (self.clock.wall(), self.clock.monotonic());
        self.notice_clock(now);
        let workplace = self.workplace.clone();
        self.follow_configuration();
        let mut missed = Vec::new();
        for step in self.plan.tick(now, |source| workplace.promise(source)) {
            match step {
                Step::Missed(one) => missed.push(one),
                Step::Start(start) => self.start(start, now, monotonic),
            }
        }
        if !missed.is_empty() {
            // Writing waits for the ledger; a tick must not.
            std::thread::spawn(move || missed.iter().for_each(|missed| workplace.missed(missed)));
        }
        self.end_overdue(monotonic);
        self.end_unwanted(monotonic);
        self.give_up_stuck(now, monotonic);
        self.publish(now);
    }

    fn notice_clock(&mut self, now: DateTime<Utc>) {
        if let Some(jump) = self.jumps.look(&*self.clock) {
            tracing::warn!(seconds = jump.as_seconds_f64(), "the host's clock jumped");
            self.plan.clock_jumped(jump, now);
        }
    }

    fn start(&mut self, start: Start, begun: DateTime<Utc>, begun_monotonic: Duration) {
        let job = start.job.clone();
        // Who asked to cancel the run before this one does not mean this one.
        self.workplace.is_unwanted(&job);
        let tracker = Arc::new(Tracker::default());
        let context = RunContext { cancel: Cancel::default(), progress: tracker.clone() };
        let operation = wanted::operation(job.work);
        let limit = self.workplace.time_limit(&job);
        let cancel = context.cancel.clone();
        self.runs += 1;
        let (number, cancelled) = (self.runs, None);
        let running = Running { number, cancelled, operation, cancel, tracker, begun, begun_monotonic, limit };
        let (workplace, done) = (self.workplace.clone(), self.bell.0.clone());
        let spawned = std::thread::Builder::new().name(job.to_string()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| workplace.perform(&start, &context)));
            let ended = ended.unwrap_or_else(|_| {
                // The panic's own message is on standard error, and its run in the ledger says so.
                tracing::error!("{} panicked: this is a bug in backup-sla", start.job);
                Ended::Again
            });
            let _ = done.send(Message::Ended(start.job, number, ended));
        });
        match spawned {
            Ok(_) => {
                self.running.insert(job, running);
            }
            Err(error) => {
                tracing::error!("begin {job}: make a thread: {error}");
                self.plan.ended(&job, Ended::Busy, begun);
            }
        }
    }

    fn end_overdue(&mut self, monotonic: Duration) {
        for (job, running) in &mut self.running {
            let took = monotonic.saturating_sub(running.begun_monotonic);
            if took > running.limit && running.cancelled.is_none() {
                running.cancelled = Some(monotonic);
                tracing::error!("ending {job}: it takes longer than {}", display::limit(running.limit));
                let (cancel, limit) = (running.cancel.clone(), running.limit);
                // Killing and reaping its children may block; a tick must not.
                std::thread::spawn(move || cancel.time_out(limit));
            }
        }
    }

    fn end_unwanted(&mut self, monotonic: Duration) {
        for (job, running) in &mut self.running {
            if running.cancelled.is_none() && self.workplace.is_unwanted(job) {
                running.cancelled = Some(monotonic);
                tracing::warn!("cancel {job}: somebody asked for it");
                let cancel = running.cancel.clone();
                std::thread::spawn(move || cancel.cancel());
            }
        }
    }

    /// A run that does not even end after it was cancelled must not keep others from theirs. Until it ends it holds the lock
    /// of its source, so that it is not begun twice.
    fn give_up_stuck(&mut self, now: DateTime<Utc>, monotonic: Duration) {
        let is_stuck = |running: &Running| {
            running.cancelled.is_some_and(|cancelled| monotonic.saturating_sub(cancelled) > self.clean_up)
        };
        let stuck: Vec<Job> = self.running.iter().filter(|(_, it)| is_stuck(it)).map(|(job, _)| job.clone()).collect();
        for job in stuck {
            let Some(running) = self.running.remove(&job) else { continue };
            tracing::error!(
                hint = "it waits for something that cannot be interrupted: look for a hung mount or disk (dmesg)",
                "{job} was cancelled and does not end; others take its place"
            );
            self.plan.ended(&job, Ended::Again, now);
            self.stuck.insert(running.number, (job, running));
        }
    }

    fn publish(&self, now: DateTime<Utc>) {
        let scheduler = SchedulerState { last_tick: Some(now), next_runs: self.plan.next_runs() };
        let stuck = self.stuck.values().map(|(job, running)| (job, running));
        let mut running: Vec<Progress> = self.running.iter().chain(stuck).map(|(job, it)| it.progress(job)).collect();
        running.sort_by_key(|progress| progress.started);
        self.workplace.publish(scheduler, running);
    }

    /// Sleep until something happens, `longest` at most.
    fn wait(&mut self, longest: Duration) {
        let mut message = self.inbox.recv_timeout(longest);
        loop {
            match message {
                // What had been given up has ended after all; the plan knows of it.
                Ok(Message::Ended(_, number, _)) if self.stuck.remove(&number).is_some() => {}
                Ok(Message::Ended(job, _, ended)) => {
                    self.running.remove(&job);
                    self.plan.ended(&job, ended, self.clock.wall());
                }
                Ok(Message::Reconfigured) => self.is_behind = true,
                Ok(Message::FullIsDue(source)) => {
                    self.plan.is_due(&Job::new(source, Work::FullBackup), self.clock.wall());
                }
                // We hold a sender ourselves: it cannot be disconnected.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            message = self.inbox.recv_timeout(Duration::ZERO);
        }
    }

    /// Wait until nothing runs, `longest` at most.
    fn wind_down(&mut self, longest: Duration, alive: &mut impl FnMut()) -> bool {
        let until = self.clock.monotonic() + longest;
        while !self.running.is_empty() {
            let left = until.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return false;
            }
            self.wait(left.min(TICK));
            self.publish(self.clock.wall());
            alive();
        }
        true
    }

    /// Try again at every tick what did not work: a plan from before must not stay.
    fn follow_configuration(&mut self) {
        if !self.is_behind {
            return;
        }
        match self.reconfigure() {
            Ok(()) => self.trouble = None,
            Err(error) => {
                let said = error.to_string();
                if self.trouble.as_ref() != Some(&said) {
                    tracing::error!(hint = error.hint_text(), "follow the new configuration: {error}");
                }
                self.trouble = Some(said);
            }
        }
    }

    fn reconfigure(&mut self) -> Result<()> {
        let jobs = self.workplace.jobs()?;
        let histories: BTreeMap<Job, JobHistory> =
            jobs.iter().map(|(spec, history)| (spec.job.clone(), *history)).collect();
        let history = |job: &Job| histories.get(job).copied().unwrap_or_default();
        let specs = jobs.into_iter().map(|(spec, _)| spec).collect();
        self.plan.configure(specs, self.workplace.limits(), self.clock.wall(), history);
        self.is_behind = false;
        Ok(())
    }
}

impl Running {
    fn progress(&self, job: &Job) -> Progress {
        let (phase, done_bytes, total_bytes) = self.tracker.read();
        Progress {
            source: job.source.clone(),
            operation: self.operation,
            kind: job.work.backup_kind(),
            started: self.begun,
            phase,
            done_bytes,
            total_bytes,
        }
    }
}
