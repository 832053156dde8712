//! Incremental backup: what came since the newest backup, linked to it so that nothing can be missing between. A source that does
//! not continue its newest backup is a break: it is recorded, told, and a full backup begins a new chain at once.

use chrono::{DateTime, TimeDelta, Utc};

use super::backup::{BackupReport, full};
use super::breaks::{Continued, Loss, Unreachable, tell, to_continue};
use super::canary;
use super::expectations::prepare_repository;
use super::recording::{Recorded, new_id};
use super::room::room;
use super::stored::{Taken, made, publish, record, store};
use crate::app::{App, BACKUP, Source};
use crate::display;
use crate::domain::captured::Captured;
use crate::domain::chain::{Break, BreakKind};
use crate::domain::digest::Digest;
use crate::domain::forecast::forecast;
use crate::domain::manifest::{BackupKind, FileRole, Manifest, RecoveryPointId, StoredFileFacts};
use crate::engine::{Dump, Since};
use crate::error::{Error, Kind, Result};
use crate::ledger::Operation;
use crate::repository::{Candidate, Stream, in_order};
use crate::run_context::RunContext;

/// Why a full backup has to come.
enum Due {
    /// Increments may go on until it is there: no moment is lost.
    Soon(String),
    /// Nothing that would be taken before could be restored: what is lost, as it is told.
    First(Option<String>),
}

/// What is said where a chain had not begun.
const NOTHING: &str = "there is no backup that can be continued";

impl Due {
    fn said(&self) -> Option<&str> {
        match self {
            Self::Soon(why) => Some(why),
            Self::First(said) => said.as_deref(),
        }
    }
}

/// What came of an attempt.
enum Attempt {
    /// An increment, and why a full backup is due all the same.
    Taken(Box<BackupReport>, Option<String>),
    /// None: a full backup comes first, in place of the chain of this one.
    Due(Due, Option<RecoveryPointId>),
}

/// What came of an attempt beside whoever takes full backups by himself.
pub enum Advanced {
    /// An increment.
    Taken(Box<BackupReport>),
    /// An increment, and why a full backup is due.
    AndFullIsDue(Box<BackupReport>, String),
    /// Nothing could be continued: why a full backup has to come first.
    AwaitsFull(String),
}

/// Take an incremental backup of `source` now; a full one where there is nothing to continue. Where a full backup is taken already, that one
/// is not taken twice: the increment continues the chain before it, or waits for it.
pub fn increment(app: &App, source: &Source, context: &RunContext) -> Result<BackupReport> {
    let (due, before) = match attempt(app, source, Goes::Aside, context)? {
        Attempt::Taken(report, _) => return Ok(*report),
        Attempt::Due(due, before) => (due, before),
    };
    let _full = match (app.lock(&source.name, BACKUP), &due) {
        // The one that is due is on its way.
        (Err(error), Due::Soon(_)) if error.kind() == Kind::Busy => return last_attempt(app, source, context),
        (Err(error), Due::First(said)) if error.kind() == Kind::Busy => {
            return Err(on_its_way(source, said.as_deref()));
        }
        (lock, _) => lock?,
    };
    if to_continue(app, source)?.and_then(|continued| continued.full) != before {
        // It was taken meanwhile.
        return last_attempt(app, source, context);
    }
    match due {
        Due::Soon(why) => {
            tracing::info!(source = %source.name, "{why}: taking a full backup");
            full(app, source, context)
        }
        Due::First(None) => full(app, source, context),
        Due::First(Some(said)) => {
            let mut report = full(app, source, context)?;
            report.warnings.insert(0, said);
            Ok(report)
        }
    }
}

/// The same beside whoever takes the full backups that are due: none is taken here, and increments go on until one is there.
pub fn increment_beside(app: &App, source: &Source, context: &RunContext) -> Result<Advanced> {
    Ok(match attempt(app, source, Goes::On, context)? {
        Attempt::Taken(report, None) => Advanced::Taken(report),
        Attempt::Taken(report, Some(why)) => Advanced::AndFullIsDue(report, why),
        Attempt::Due(due, _) => Advanced::AwaitsFull(due.said().unwrap_or(NOTHING).to_owned()),
    })
}

/// What is done where a full backup is due although an increment could be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    /// The increment.
    On,
    /// Nothing: the full backup takes its place.
    Aside,
}

fn attempt(app: &App, source: &Source, goes: Goes, context: &RunContext) -> Result<Attempt> {
    if !source.engine.has_increments() {
        return Err(Error::configuration(format!(
            "cannot take an incremental backup of {}: there are none of {}",
            source.name, source.engine_name
        ))
        .hint("each full backup of it stores only what is new, and restores by itself: take full ones as often as is needed"));
    }
    // Whoever waits until maintenance has freed space holds nobody else up meanwhile.
    let _storing = app.storing_in(&source.repository_name, &context.cancel)?;
    // One at a time on a source: an increment continues what the one before it published.
    let _lock = app.lock_for_increment(&source.name, &context.cancel)?;
    let Some(continued) = to_continue(app, source)? else {
        tracing::info!(source = %source.name, "there is no backup to continue: a full one comes first");
        return Ok(Attempt::Due(Due::First(None), None));
    };
    if let Some(Unreachable { why, gone }) = &continued.unrestorable {
        let said = match gone {
            Some((last, broken)) => tell_or_wait(app, source, Loss::after(last), broken)?,
            None => {
                format!("{why}: moments between the backup before it and this full backup cannot all be restored")
            }
        };
        tracing::warn!(source = %source.name, "{said}");
        return enough(source, &continued, Due::First(Some(said)));
    }
    let soon = is_too_long(app, source, &continued)?;
    match soon {
        Some(why) if goes == Goes::Aside => Ok(Attempt::Due(Due::Soon(why), continued.full)),
        soon => advance(app, source, &continued, context).map(|attempt| match attempt {
            Attempt::Taken(report, _) => Attempt::Taken(report, soon),
            due @ Attempt::Due(..) => due,
        }),
    }
}

fn advance(app: &App, source: &Source, continued: &Continued, context: &RunContext) -> Result<Attempt> {
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Incremental))?;
    let error = match record(source, run, take(app, source, continued, context), context) {
        Ok(report) => return Ok(Attempt::Taken(Box::new(report), None)),
        Err(error) => error,
    };
    let Some(broken) = error.cause::<Break>().cloned() else { return Err(error) };
    if broken.kind == BreakKind::Unknown {
        // Nothing of a chain is lost where none had begun.
        tracing::info!(source = %source.name, "the newest backup cannot be continued: {broken}");
        return enough(source, continued, Due::First(None));
    }
    if broken.kind == BreakKind::ChangedMeanwhile && has_just_begun_anew(app, source)? {
        // Definitions change all the time there: full backups one after the other would only burden the server.
        return Err(error.hint(
            "definitions changed while each of the last two full backups was read: take them at a quieter time",
        ));
    }
    let said = tell_or_wait(app, source, continued.loss(), &broken)?;
    enough(source, continued, Due::First(Some(said)))
}

/// A full backup has to come first, unless that was tried often enough.
fn enough(source: &Source, continued: &Continued, due: Due) -> Result<Attempt> {
    if !continued.is_enough() {
        return Ok(Attempt::Due(due, continued.full.clone()));
    }
    let why = due.said().unwrap_or(NOTHING);
    Err(Error::failed(format!("cannot take an incremental backup of {}: {why}", source.name)).hint(QUIETER))
}

/// What is to be done where no increment can continue any full backup.
pub(super) const QUIETER: &str = "the last two full backups say in their warnings why nothing can continue them, such as accounts that \
    changed while each of them was read: take them at a quieter time";

/// Another attempt, where nothing more is done if a full backup has to come first.
fn last_attempt(app: &App, source: &Source, context: &RunContext) -> Result<BackupReport> {
    match attempt(app, source, Goes::On, context)? {
        Attempt::Taken(report, _) => Ok(*report),
        Attempt::Due(due, _) => Err(on_its_way(source, due.said())),
    }
}

/// The full backup that has to come first is being taken.
fn on_its_way(source: &Source, said: Option<&str>) -> Error {
    let why = said.unwrap_or(NOTHING);
    Error::new(Kind::Busy, format!("cannot take an incremental backup of {}: {why}", source.name))
        .hint("a full backup of it is running, and increments go on when it has ended; `backup-sla status` shows it")
}

/// Why the chain should end, although it can be continued.
pub(super) fn is_too_long(app: &App, source: &Source, continued: &Continued) -> Result<Option<String>> {
    if continued.is_enough() {
        return Ok(None);
    }
    if continued.replayed >= source.objectives.max_chain_length {
        return Ok(Some(format!("a restore replays {} increments", continued.replayed)));
    }
    let too_long =
        |replay| format!("a replay is expected to take {}, longer than `max_replay`", display::duration(replay));
    Ok(replay_too_long(app, source, continued)?.map(too_long))
}

/// What an operator does where no full backup is taken after a break.
pub(super) fn begin_anew(source: &Source) -> String {
    format!("when the cause is mended, begin a new chain: `backup-sla backup {} --full`", source.name)
}

/// How long a replay of what is continued is expected to take, where that is longer than it may. The newest recovery point may be one of
/// the chain before.
fn replay_too_long(app: &App, source: &Source, continued: &Continued) -> Result<Option<f64>> {
    let Some(most) = source.max_replay else { return Ok(None) };
    let drills = app.block_on(app.ledger.forecast_basis(&source.name))?.drills;
    let forecast = forecast(&drills, continued.size, app.clock.wall());
    Ok(forecast.map(|it| it.replay_seconds).filter(|replay| *replay > most.as_secs_f64()))
}

/// What lies between the newest backup and the next one cannot be restored: that is said for ever, not skipped over. An error where an
/// operator takes the next one.
fn tell_or_wait(app: &App, source: &Source, loss: Loss<'_>, broken: &Break) -> Result<String> {
    let said = tell(app, source, loss, (broken, None))?;
    if source.engine.waits_on_break() {
        return Err(Error::failed(format!("cannot take an incremental backup of {}: {said}", source.name))
            .hint(begin_anew(source)));
    }
    Ok(said)
}

/// Whether a full backup was taken for the same reason not long ago.
pub(super) fn has_just_begun_anew(app: &App, source: &Source) -> Result<bool> {
    let breaks = app.block_on(app.ledger.snapshot())?.breaks;
    let since = app.clock.wall() - TimeDelta::hours(24);
    let last = breaks.get(&source.name).map(|it| &it.last);
    Ok(last.is_some_and(|last| last.kind == BreakKind::ChangedMeanwhile.name() && last.found > since))
}

fn take(app: &App, source: &Source, parent: &Continued, context: &RunContext) -> Result<Taken> {
    let canary = canary::write(app, source, context);
    let Stored { candidate, manifest, scarce } = stored(app, source, parent, context)?;
    let (mut manifest, stored_bytes, listed) = publish(app, source, candidate, manifest)?;
    // Of the run, not of the backup: the manifest is published and stays as it is.
    let unseen = canary.said(&manifest);
    manifest.warnings.extend(scarce.into_iter().chain(unseen));
    manifest
        .warnings
        .extend(listed.own.damaged.iter().map(|error| format!("the repository has damage elsewhere: {error}")));
    Ok(Taken { manifest, stored_bytes, change: None })
}

/// An increment that is stored and read back, and is to be published.
pub(super) struct Stored {
    pub(super) candidate: Candidate,
    pub(super) manifest: Manifest,
    /// What is to be known of the room that is left.
    pub(super) scarce: Option<String>,
}

/// Store what came since `continued`, while nobody frees room in the repository: he must not take what it relies on. The error's cause is a [`Break`] where the source does not continue it.
pub(super) fn stored(app: &App, source: &Source, continued: &Continued, context: &RunContext) -> Result<Stored> {
    let parent = &continued.manifest;
    // A repository that cannot be used, or is full, is found before the source is made to work.
    prepare_repository(app, source)?;
    let scarce = room(app, source)?;
    // What continues the parent, to the byte; or that nothing came; or why it does not continue.
    let dump = match source.engine.changes_since(parent, context)? {
        Since::Changes(dump) => dump,
        Since::Nothing(as_of) => idle(parent, as_of),
        Since::Broken(broken) => {
            let what = format!("cannot continue backup {}: {broken}", parent.id);
            return Err(Error::failed(what).because(broken));
        }
    };
    let made = made(app, source, RecoveryPointId(new_id()), dump.as_of);
    // As with a full backup: a candidate that no listing shows, read back, and published last.
    let (candidate, captured) = store(source, &made, dump, context)?;
    let mut manifest = captured.increment(made, parent);
    // Since the parent was made, increments before it may have been joined.
    manifest.chain_length = continued.replayed + (manifest.chain_length - parent.chain_length);
    match manifest.contradiction() {
        None => Ok(Stored { candidate, manifest, scarce }),
        Some(wrong) => Err(Error::failed(format!("cannot publish an increment: it would be {wrong}"))),
    }
}

/// Nothing came: the parent is as good at that moment as when it was made. No change is invented; a repository wants a file all the
/// same.
pub(super) fn idle(parent: &Manifest, as_of: DateTime<Utc>) -> Dump {
    const NOTE: &[u8] = b"Nothing came since the backup that this one continues.\n";
    let (path, role, bytes) = ("nothing.txt".to_owned(), FileRole::Description, NOTE.len() as u64);
    let note = StoredFileFacts { path: path.clone(), role, bytes, digest: Digest::of(NOTE) };
    let captured = Captured::nothing_since(parent, note);
    let streams = in_order(vec![Stream { path, reader: Box::new(NOTE) }]);
    Dump { streams, as_of, finish: Box::new(move || Ok(captured)) }
}
