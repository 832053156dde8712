//! Following a source: increments all the time, by the same steps as one that is asked for.
//!
//! When one is due is decided by whoever calls. What is known of the chain is kept from one increment to the next: to ask the repository
//! for all its points each time would cost more than the increments. So the ledger hears of them some at a time, and records one run for
//! all of them; what a killed process did not record is in the repository, where it is found.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::breaks::{Continued, Loss, is_told, tell, to_continue, told};
use super::canary::Paced;
use super::increment::{QUIETER, Stored, begin_anew, has_just_begun_anew, is_too_long, stored};
use super::listing::{refresh_points, told_every};
use super::recording::Recorded;
use super::stored::publish_unlisted;
use crate::app::{App, INCREMENT, Source};
use crate::clock::Stopwatch;
use crate::domain::chain::{Break, BreakKind, Place};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::error::{Error, Kind, Result};
use crate::ledger::{Operation, Outcome, RunResult};
use crate::run_context::RunContext;

/// A run of them is recorded so often.
const RECORDED_WITHIN: Duration = Duration::from_mins(5);
/// A full backup that is not there is asked for again after this time.
const ASKED_AGAIN: Duration = Duration::from_mins(1);

/// What is known of a source that is followed.
#[derive(Default)]
pub struct Follower {
    known: Option<Known>,
    /// What was published and not told to the ledger.
    untold: Option<Untold>,
    given_up: Option<GivenUp>,
    canary: Paced,
    /// When a full backup was last asked for that is not there yet, on the monotonic clock.
    asked: Option<Duration>,
    /// When the ledger last heard of increments, and when a run of them was last recorded, on the monotonic clock.
    told: Option<Duration>,
    recorded: Option<Duration>,
}

/// The end of the chain.
struct Known {
    newest: Continued,
    /// Of the lock, when this was so.
    mark: String,
}

/// What cannot be continued, as was told: a full backup has to come first.
struct GivenUp {
    parent: RecoveryPointId,
    /// Where nobody is asked for that full backup: why, which is a failure until it is there.
    failure: Option<String>,
}

/// Increments that no run is recorded of.
struct Untold {
    count: u64,
    logical_bytes: u64,
    stored_bytes: u64,
    seconds: f64,
    newest: Manifest,
    /// The repository was asked for it.
    is_listed: bool,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// An increment was published: up to this moment nothing is missing.
    Published(DateTime<Utc>),
    /// Somebody else takes an increment of the source, or publishes a full backup.
    Busy,
    /// There is no backup to continue, or the newest cannot be continued: a full backup has to come.
    AwaitsFull,
    /// The same, and nobody was told before: why it is due.
    FullIsDue(String),
}

impl Follower {
    /// Where the chain ends, and up to when nothing is missing; none where that is not known.
    pub fn end(&self) -> Option<(Option<Place>, DateTime<Utc>)> {
        let newest = &self.known.as_ref()?.newest;
        let place = newest.manifest.position.as_ref().and_then(Place::of);
        Some((place, newest.manifest.as_of.max(newest.restorable_until)))
    }

    /// Look where the chain ends.
    pub fn look(&mut self, app: &App, source: &Source) -> Result<()> {
        self.known = to_continue(app, source)?.map(|newest| Known { newest, mark: String::new() });
        Ok(())
    }

    /// Look at the chain anew before the next increment.
    pub fn forget(&mut self) {
        if let Some(known) = &mut self.known {
            known.mark.clear();
        }
    }

    /// Publish what came since the newest backup, or that nothing came.
    pub fn advance(&mut self, app: &App, source: &Source, context: &RunContext) -> Result<Advance> {
        // Whoever waits until maintenance has freed space holds nobody else up meanwhile.
        let _storing = app.storing_in(&source.repository_name, &context.cancel)?;
        let lock = match app.lock(&source.name, INCREMENT) {
            Err(error) if error.kind() == Kind::Busy => return Ok(Advance::Busy),
            locked => locked?,
        };
        if self.known.as_ref().is_none_or(|known| !lock.is_next_after(&known.mark)) {
            self.look(app, source)?;
        }
        let Some(known) = &mut self.known else { return Ok(Advance::AwaitsFull) };
        lock.mark().clone_into(&mut known.mark);
        let why_full = why_full(app, source, &known.newest)?;
        if self.given_up.take_if(|it| it.parent != known.newest.manifest.id).is_some() {
            self.asked = None;
        }
        match &self.given_up {
            Some(GivenUp { failure: Some(failure), .. }) => return Err(quieter(Error::failed(failure.clone()))),
            Some(_) => return Ok(Advance::AwaitsFull),
            None if why_full.is_none() => self.asked = None,
            None => {}
        }
        if let Some((last, broken)) = known.newest.unrestorable.as_ref().and_then(|it| it.gone.clone()) {
            let end = known.newest.manifest.id.clone();
            let told = self.broke(app, source, Loss::after(&last), (&broken, Error::failed(broken.to_string())));
            if let Some(given_up) = &mut self.given_up {
                given_up.parent = end;
            }
            return told;
        }
        if let Some(why) = why_full.filter(|_| self.asked.is_none()) {
            self.asked = Some(app.clock.monotonic());
            // Until it is there, increments go on: a chain that is too long is better than a moment that is missing.
            return Ok(Advance::FullIsDue(why));
        }
        let watch = Stopwatch::start(&app.clock);
        match publish(app, source, (&known.newest, &mut self.canary), context) {
            Ok((manifest, stored_bytes)) => {
                let as_of = manifest.as_of;
                known.newest.advance(manifest.clone());
                self.count(manifest, stored_bytes, watch.elapsed().as_secs_f64());
                Ok(Advance::Published(as_of))
            }
            Err(error) if context.cancel.is_cancelled() => {
                self.known = None;
                Err(context.cancel.error().because(error))
            }
            Err(error) => {
                let Some(broken) = error.cause::<Break>().cloned() else {
                    // Whether it was published is not known.
                    self.known = None;
                    return Err(error);
                };
                let (parent, since) = (known.newest.manifest.clone(), known.newest.loss().since);
                self.broke(app, source, Loss { parent: &parent, since }, (&broken, error))
            }
        }
    }

    /// The newest backup cannot be continued.
    fn broke(
        &mut self,
        app: &App,
        source: &Source,
        loss: Loss<'_>,
        (broken, error): (&Break, Error),
    ) -> Result<Advance> {
        let parent = loss.parent;
        // Nothing of a chain is lost where none had begun.
        if broken.kind != BreakKind::Unknown {
            // It may have been told before this process began.
            let is_told = is_told(app, source, parent)?;
            let is_second = !is_told && broken.kind == BreakKind::ChangedMeanwhile && has_just_begun_anew(app, source)?;
            let said = if is_told { told(loss, broken) } else { tell(app, source, loss, (broken, None))? };
            if source.engine.waits_on_break() {
                // Nothing is given up: a cause that is mended without a loss is noticed.
                return Err(Error::failed(format!("cannot follow {}: {said}", source.name)).hint(begin_anew(source)));
            }
            if is_second {
                // Definitions change all the time there: full backups one after the other would only burden the server.
                self.given_up = Some(GivenUp { parent: parent.id.clone(), failure: Some(error.to_string()) });
                self.asked = None;
                return Err(quieter(error));
            }
        }
        if self.known.as_ref().is_some_and(|known| known.newest.is_enough()) {
            self.given_up = Some(GivenUp { parent: parent.id.clone(), failure: Some(error.to_string()) });
            self.asked = None;
            return Err(error.hint(QUIETER));
        }
        self.given_up = Some(GivenUp { parent: parent.id.clone(), failure: None });
        self.asked = Some(app.clock.monotonic());
        Ok(Advance::FullIsDue(format!("the newest backup cannot be continued: {broken}")))
    }

    /// Whether a full backup that was asked for, and is not there, is to be asked for again: who takes them does not hear it while one
    /// runs, and one that was cancelled is not tried again.
    pub fn asks_again(&mut self, app: &App) -> bool {
        let now = app.clock.monotonic();
        let is_due = self.asked.is_some_and(|asked| now.saturating_sub(asked) >= ASKED_AGAIN);
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    fn count(&mut self, newest: Manifest, stored_bytes: u64, seconds: f64) {
        let logical_bytes = newest.logical_bytes();
        let before = self.untold.take();
        let of = |part: fn(&Untold) -> u64| before.as_ref().map_or(0, part);
        self.untold = Some(Untold {
            count: of(|it| it.count) + 1,
            logical_bytes: of(|it| it.logical_bytes) + logical_bytes,
            stored_bytes: of(|it| it.stored_bytes) + stored_bytes,
            seconds: before.as_ref().map_or(0.0, |it| it.seconds) + seconds,
            newest,
            is_listed: false,
        });
    }

    /// Whether the ledger is to hear of what was published.
    pub fn is_to_tell(&self, app: &App, source: &Source) -> bool {
        let within = told_every(source);
        let is_due =
            |since: Option<Duration>| since.is_none_or(|told| app.clock.monotonic().saturating_sub(told) >= within);
        self.untold.as_ref().is_some_and(|untold| !untold.is_listed) && is_due(self.told)
    }

    /// Let the ledger know what the repository lists, and from time to time (`now`: at once) record a run of what was published.
    pub fn tell(&mut self, app: &App, source: &Source, now: bool) -> Result<()> {
        let Some(untold) = &mut self.untold else { return Ok(()) };
        // What counts is what the repository lists, not that we believe to have published.
        let id = &untold.newest.id;
        let is_there = |manifest: &Manifest| {
            manifest.id == *id || manifest.joins.as_ref().is_some_and(|joins| joins.of.contains(id))
        };
        let is_listed = || -> Result<bool> {
            Ok(refresh_points(app, source)?.own.points.iter().any(|point| is_there(&point.manifest)))
        };
        // A compaction may put something in its place just while the repository is read.
        let is_published = is_listed()? || is_listed()?;
        self.told = Some(app.clock.monotonic());
        if !is_published {
            let what = format!("cannot publish increment {id} of {}: the repository does not list it", source.name);
            (self.untold, self.known) = (None, None);
            return Err(Error::failed(what)
                .hint("find out what removes files from the repository: see who else can write to it"));
        }
        untold.is_listed = true;
        let passed = |since: Duration| app.clock.monotonic().saturating_sub(since);
        let is_due = self.recorded.is_none_or(|recorded| passed(recorded) >= RECORDED_WITHIN);
        if is_due || now {
            self.recorded = Some(app.clock.monotonic());
            if let Some(untold) = self.untold.take() {
                record(app, source, &untold)?;
            }
        }
        Ok(())
    }
}

/// Why a full backup is due although the newest one can be continued.
fn why_full(app: &App, source: &Source, newest: &Continued) -> Result<Option<String>> {
    if let Some(unreachable) = &newest.unrestorable {
        return Ok(Some(unreachable.why.clone()));
    }
    is_too_long(app, source, newest)
}

/// Increments could not be published for so long that it counts: a run that failed.
pub fn failed(app: &App, source: &Source, error: Error) -> Result<()> {
    let kind = if error.kind() == Kind::Inconclusive { Kind::Failed } else { error.kind() };
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Incremental))?;
    run.fail(error.with_kind(kind).context(format!("cannot back up {}", source.name)), None);
    Ok(())
}

fn record(app: &App, source: &Source, untold: &Untold) -> Result<()> {
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Incremental))?;
    let mut result = RunResult::new(Outcome::Succeeded, untold.seconds);
    result.recovery_point = Some(untold.newest.id.clone());
    result.recovery_point_time = Some(untold.newest.as_of);
    (result.logical_bytes, result.added_bytes) = (untold.logical_bytes, untold.stored_bytes);
    result.details.insert("increments".to_owned(), untold.count.to_string());
    run.finish(&result)
}

fn publish(
    app: &App,
    source: &Source,
    (newest, canary): (&Continued, &mut Paced),
    context: &RunContext,
) -> Result<(Manifest, u64)> {
    let written = canary.write(app, source, context);
    let Stored { candidate, manifest, scarce } = stored(app, source, newest, context)?;
    if let Some(scarce) = scarce {
        tracing::debug!(source = %source.name, "{scarce}");
    }
    let stored_bytes = publish_unlisted(source, candidate, &manifest)?;
    canary.tell(source, written, &manifest);
    Ok((manifest, stored_bytes))
}

/// With what is to be done where the same happens after each full backup.
fn quieter(error: Error) -> Error {
    error.hint("definitions changed while each of the last two full backups was read: take them at a quieter time")
}

#[cfg(test)]
mod tests;
