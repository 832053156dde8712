//! Follows the logs of sources whose increments are taken all the time: one thread for each, which looks every second how far the server
//! is. What an increment is and how it is published is the operation's; full backups and drills are the plan's.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Bell;
use super::pace::Seen;
use super::work::AppWork;
use crate::app::{App, Source};
use crate::clock::Stopwatch;
use crate::domain::schedule::{Continuous, Work};
use crate::engine::Tail;
use crate::error::{Error, Result};
use crate::operations::compact::compact;
use crate::operations::follow::{self, Advance, Follower};
use crate::repository::Repository;
use crate::run_context::{Cancel, RunContext};
use crate::state::service::Followed;

/// How often a server is asked how far it is.
const LOOK: Duration = Duration::from_secs(1);
/// How soon the end is noticed.
const NOTICE: Duration = Duration::from_millis(100);
/// How long what ends may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(20);
/// Before another look where a full backup has to come first.
const UNTIL_FULL: Duration = Duration::from_secs(5);
/// Between two attempts at most, after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So many small increments are joined.
const COMPACTED_AFTER: u32 = 30;
/// What went wrong is recorded again after this time, if it lasts.
const RECORDED_AGAIN: Duration = Duration::from_mins(15);

/// All that follow.
pub struct Following(Option<JoinHandle<()>>);

impl Following {
    /// Follow what the configuration of `work` says, until `stop`.
    pub fn begin(work: &Arc<AppWork>, bell: &Bell, stop: &Cancel) -> Self {
        let (work, bell, stop) = (work.clone(), bell.clone(), stop.clone());
        let look = std::thread::Builder::new().name("followers".to_owned()).spawn(move || {
            let mut threads: BTreeMap<String, Thread> = BTreeMap::new();
            while !stop.is_cancelled() {
                let app = work.app();
                threads.retain(|_, thread| !thread.handle.is_finished());
                for name in followed(&app).filter(|name| !threads.contains_key(name)).collect::<Vec<_>>() {
                    if let Some(thread) = Thread::begin(&work, &bell, &name) {
                        threads.insert(name, thread);
                    }
                }
                let watch = Stopwatch::start(&app.clock);
                while watch.elapsed() < LOOK && !stop.is_cancelled() {
                    for thread in threads.values() {
                        thread.end_overdue(&app);
                    }
                    std::thread::sleep(NOTICE);
                }
            }
            for thread in threads.values() {
                thread.held.stop();
            }
            let watch = Stopwatch::start(&work.app().clock);
            while watch.elapsed() < CLEAN_UP && threads.values().any(|thread| !thread.handle.is_finished()) {
                std::thread::sleep(NOTICE);
            }
        });
        Self(look.map_err(|error| tracing::error!("cannot follow any source: make a thread: {error}")).ok())
    }

    /// Wait for all of them, after `stop`.
    pub fn end(mut self) {
        if let Some(handle) = self.0.take() {
            let _ = handle.join();
        }
    }
}

/// Names of the sources that are followed.
fn followed(app: &App) -> impl Iterator<Item = String> + '_ {
    let built = |name: &&String| app.config.not_built_of(name).next().is_none();
    let sources = app.config.sources.iter().filter(|(_, source)| source.schedule.continuous.is_some());
    sources.map(|(name, _)| name).filter(built).cloned()
}

/// What somebody else has to be able to end.
#[derive(Default)]
struct Held {
    /// All of it.
    all: Cancel,
    /// The increment, or the compaction, that is being made, since when.
    now: Mutex<Vec<(Cancel, Duration)>>,
}

impl Held {
    /// Do something that can be ended.
    fn during<T>(&self, app: &App, work: impl FnOnce(&RunContext) -> T) -> T {
        let context = RunContext { cancel: Cancel::default(), ..RunContext::silent() };
        self.lock().push((context.cancel.clone(), app.clock.monotonic()));
        if self.all.is_cancelled() {
            context.cancel.cancel();
        }
        let done = work(&context);
        context.cancel.cancel();
        self.lock().retain(|(cancel, _)| !cancel.is_cancelled());
        done
    }

    fn stop(&self) {
        self.all.cancel();
        self.lock().iter().for_each(|(cancel, _)| cancel.cancel());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Cancel, Duration)>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that follows one source.
struct Thread {
    name: String,
    held: Arc<Held>,
    handle: JoinHandle<()>,
}

impl Thread {
    fn begin(work: &Arc<AppWork>, bell: &Bell, name: &str) -> Option<Self> {
        let held = Arc::new(Held::default());
        let (work, bell, its, source) = (work.clone(), bell.clone(), held.clone(), name.to_owned());
        let follow = move || {
            let mut one = One::new(source, work, bell, its);
            if catch_unwind(AssertUnwindSafe(|| one.follow())).is_err() {
                tracing::error!(source = %one.name, "following it panicked: this is a bug in backup-sla");
                std::thread::sleep(UNTIL_FULL);
            }
        };
        let spawned = std::thread::Builder::new().name(format!("follow {name}")).spawn(follow);
        let handle = spawned.map_err(|error| tracing::error!(source = %name, "cannot follow it: {error}")).ok()?;
        Some(Self { name: name.to_owned(), held, handle })
    }

    fn end_overdue(&self, app: &App) {
        let Some(source) = app.config.sources.get(&self.name) else { return };
        let limit = source.time_limit(Work::IncrementalBackup);
        for (cancel, since) in &*self.held.lock() {
            if app.clock.monotonic().saturating_sub(*since) > limit {
                cancel.time_out(limit);
            }
        }
    }
}

/// One source that is followed.
struct One {
    name: String,
    work: Arc<AppWork>,
    bell: Bell,
    held: Arc<Held>,
    follower: Follower,
    /// Where its increments are.
    repository: Option<Arc<dyn Repository>>,
    /// The connection, and the configuration that it is of.
    tail: Option<(Box<dyn Tail>, Arc<App>)>,
    published: Option<Duration>,
    /// Up to when nothing is missing, as far as that was seen.
    caught_up: Option<DateTime<Utc>>,
    /// Not before.
    next: Duration,
    /// An increment was due and is not there yet.
    is_owed: bool,
    trouble: Option<Trouble>,
    /// Small increments since the last compaction; at the start nobody knows.
    small: u32,
    compaction: Option<JoinHandle<()>>,
}

/// What goes wrong, again and again.
struct Trouble {
    since: Duration,
    pause: Duration,
    said: String,
    recorded: Option<Duration>,
}

impl One {
    fn new(name: String, work: Arc<AppWork>, bell: Bell, held: Arc<Held>) -> Self {
        Self {
            name,
            work,
            bell,
            held,
            follower: Follower::default(),
            repository: None,
            tail: None,
            published: None,
            caught_up: None,
            next: Duration::ZERO,
            is_owed: false,
            trouble: None,
            small: COMPACTED_AFTER,
            compaction: None,
        }
    }

    fn follow(&mut self) {
        while !self.held.all.is_cancelled() {
            let app = self.work.app();
            let continuous = app.config.sources.get(&self.name).and_then(|source| source.schedule.continuous);
            // Somebody took it out of the configuration, or gave it a schedule.
            let (Some(continuous), Ok(source)) = (continuous, app.source(&self.name)) else { break };
            if app.clock.monotonic() >= self.next {
                self.attempt(&app, &source, &continuous);
            }
            let watch = Stopwatch::start(&app.clock);
            while watch.elapsed() < LOOK && !self.held.all.is_cancelled() {
                std::thread::sleep(NOTICE);
            }
        }
        self.end();
    }

    /// Look once; what goes wrong is told.
    fn attempt(&mut self, app: &Arc<App>, source: &Source, continuous: &Continuous) {
        match self.turn(app, source, continuous) {
            // A server that answers is not followed while its changes wait for a full backup.
            Ok(()) if self.is_owed => {}
            Ok(()) => self.recovered(),
            Err(_) if self.held.all.is_cancelled() => {}
            Err(error) => self.failed(app, source, error),
        }
    }

    /// Look once.
    fn turn(&mut self, app: &Arc<App>, source: &Source, continuous: &Continuous) -> Result<()> {
        if self.repository.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &source.repository)) {
            // What is known of one repository means nothing in another.
            (self.follower, self.caught_up) = (Follower::default(), None);
            self.repository = Some(source.repository.clone());
        }
        if self.follower.end().is_none() {
            self.follower.look(app, source)?;
            self.caught_up = self.follower.end().map(|(_, as_of)| as_of);
            if self.caught_up.is_none() {
                // The first full backup is the plan's.
                self.next = app.clock.monotonic() + UNTIL_FULL;
                return Ok(());
            }
            self.show(true);
        }
        let now = app.clock.wall();
        let end = self.ask(app, source)?;
        let Some((place, as_of)) = self.follower.end() else { return Ok(()) };
        let since_published = self.published.map(|published| app.clock.monotonic().saturating_sub(published));
        let seen = Seen { archived: (place.as_ref(), as_of), end: end.as_ref(), since_published, now };
        if seen.is_idle() {
            self.caught_up = Some(now);
        }
        self.show(!seen.is_idle());
        self.is_owed |= seen.is_due(continuous, source.objectives.rpo);
        let advanced = if self.is_owed { self.advance(app, source) } else { Ok(()) };
        if self.compaction.as_ref().is_none_or(JoinHandle::is_finished) {
            self.compact(app, source);
        }
        // Whatever is in the way of the next increment, or is done beside it: what was published is known soon.
        let told = if self.follower.is_to_tell(app, source) {
            self.follower.tell(app, source, false)
        } else {
            return advanced;
        };
        self.work.state().changed();
        advanced.and(told)
    }

    /// How far the server is.
    fn ask(&mut self, app: &Arc<App>, source: &Source) -> Result<Option<crate::domain::chain::Place>> {
        self.tail.take_if(|(_, of)| !Arc::ptr_eq(of, app));
        let (mut tail, of) = if let Some(tail) = self.tail.take() {
            tail
        } else {
            let context = RunContext { cancel: self.held.all.clone(), ..RunContext::silent() };
            (source.engine.tail(&context)?, app.clone())
        };
        let end = tail.end()?;
        // One that failed is not asked again.
        self.tail = Some((tail, of));
        Ok(end)
    }

    fn advance(&mut self, app: &Arc<App>, source: &Source) -> Result<()> {
        let held = self.held.clone();
        match held.during(app, |context| self.follower.advance(app, source, context))? {
            Advance::Published(as_of) => {
                tracing::debug!(source = %self.name, %as_of, "published an increment");
                (self.published, self.caught_up) = (Some(app.clock.monotonic()), Some(as_of));
                self.small += 1;
                self.is_owed = false;
                self.show(false);
            }
            Advance::Busy => return Ok(()),
            Advance::AwaitsFull => self.next = app.clock.monotonic() + UNTIL_FULL,
            Advance::FullIsDue(why) => {
                tracing::warn!(source = %self.name, "a full backup is taken next: {why}");
                self.bell.full_is_due(&self.name);
                self.next = app.clock.monotonic() + UNTIL_FULL;
            }
        }
        if self.follower.asks_again(app) {
            self.bell.full_is_due(&self.name);
        }
        Ok(())
    }

    /// Join small increments, beside what goes on.
    fn compact(&mut self, app: &Arc<App>, source: &Source) {
        if self.compaction.take().is_some() {
            // Another length, and perhaps another name, of what is continued.
            self.follower.forget();
        }
        if self.small < COMPACTED_AFTER {
            return;
        }
        self.small = 0;
        let (app, source, held) = (app.clone(), source.clone(), self.held.clone());
        let work = move || match held.during(&app, |context| compact(&app, &source, context)) {
            Ok(done) if done.joined + done.removed > 0 => {
                let (joined, removed) = (done.joined, done.removed);
                tracing::info!(source = %source.name, joined, removed, "joined increments");
            }
            Ok(_) => {}
            Err(_) if held.all.is_cancelled() => {}
            Err(error) => tracing::error!(source = %source.name, hint = error.hint_text(), "{error}"),
        };
        self.compaction = std::thread::Builder::new().name(format!("compact {}", self.name)).spawn(work).ok();
    }

    fn show(&self, is_behind: bool) {
        let Some(caught_up) = self.caught_up else { return };
        self.work.state().update_service(|service| {
            service.followed.insert(self.name.clone(), Followed { caught_up, is_behind });
        });
    }

    fn recovered(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!(source = %self.name, "it is followed again");
        }
    }

    /// Told once, and recorded where it lasts: a server that is restarted is no failure.
    fn failed(&mut self, app: &App, source: &Source, error: Error) {
        // What it has by now is not known.
        self.show(true);
        let now = app.clock.monotonic();
        let said = error.to_string();
        let trouble = self.trouble.get_or_insert_with(|| {
            tracing::warn!(source = %source.name, hint = error.hint_text(), "cannot follow it, trying again: {said}");
            Trouble { since: now, pause: LOOK, said: said.clone(), recorded: None }
        });
        if trouble.said != said && trouble.pause == LONGEST_PAUSE {
            tracing::warn!(source = %source.name, hint = error.hint_text(), "cannot follow it, trying again: {said}");
            trouble.said = said;
        }
        self.next = now + trouble.pause;
        trouble.pause = (trouble.pause * 2).min(LONGEST_PAUSE);
        let patience = (source.objectives.rpo / 2).clamp(Duration::from_mins(1), Duration::from_mins(10));
        let is_new = trouble.recorded.is_none_or(|recorded| now.saturating_sub(recorded) >= RECORDED_AGAIN);
        if now.saturating_sub(trouble.since) >= patience && is_new {
            trouble.recorded = Some(now);
            tracing::error!(source = %source.name, hint = error.hint_text(), "increments have failed for {patience:?}: {error}");
            if let Err(error) = follow::failed(app, source, error) {
                tracing::error!(source = %source.name, hint = error.hint_text(), "cannot record that increments fail: {error}");
            }
            self.work.state().changed();
        }
    }

    /// What was published is recorded, and nothing more is said of it.
    fn end(&mut self) {
        if let Some(thread) = self.compaction.take() {
            let _ = thread.join();
        }
        let app = self.work.app();
        if let Ok(source) = app.source(&self.name)
            && let Err(error) = self.follower.tell(&app, &source, true)
        {
            tracing::warn!(source = %self.name, "cannot record increments: {error}");
        }
        self.work.state().update_service(|service| {
            service.followed.remove(&self.name);
        });
    }
}

#[cfg(test)]
mod tests;
