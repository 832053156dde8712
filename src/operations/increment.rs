//! Incremental backup: what came since the newest backup, linked to it so that nothing can be missing between. A source that does
//! not continue its newest backup is a break: it is recorded, told, and a full backup begins a new chain at once.

use chrono::{DateTime, TimeDelta, Utc};

use super::backup::{BackupReport, full};
use super::breaks::{Continued, Unreachable, newest, tell};
use super::expectations::prepare_repository;
use super::recording::{Recorded, new_id};
use super::room::room;
use super::stored::{Taken, made, publish, record, store};
use crate::app::{App, RepositoryLock, Source};
use crate::display;
use crate::domain::captured::Captured;
use crate::domain::chain::{Break, BreakKind};
use crate::domain::digest::Digest;
use crate::domain::forecast::forecast;
use crate::domain::manifest::{BackupKind, FileRole, Manifest, RecoveryPointId, StoredFileFacts};
use crate::engine::{Dump, Since};
use crate::error::{Error, Result};
use crate::ledger::Operation;
use crate::repository::{Candidate, Stream, in_order};
use crate::run_context::RunContext;

/// Take an incremental backup of `source` now; a full one where there is nothing to continue.
pub fn increment(app: &App, source: &Source, context: &RunContext) -> Result<BackupReport> {
    if !source.engine.has_increments() {
        return Err(Error::configuration(format!(
            "cannot take an incremental backup of {}: there are none of {}",
            source.name, source.engine_name
        ))
        .hint("each full backup of it stores only what is new, and restores by itself: take full ones as often as is needed"));
    }
    // One operation at a time on a source: an increment continues what the one before it published.
    let _lock = app.lock_for_backup(&source.name, &context.cancel)?;
    let Some(continued) = newest(app, source)? else {
        tracing::info!(source = %source.name, "there is no backup to continue: taking a full one");
        return full(app, source, context);
    };
    let parent = &continued.manifest;
    if continued.replayed >= source.objectives.max_chain_length {
        tracing::info!(source = %source.name, increments = continued.replayed, "the chain is as long as promised: taking a full backup");
        return full(app, source, context);
    }
    if let Some(replay) = replay_too_long(app, source)? {
        let replay = display::duration(replay);
        tracing::info!(source = %source.name, "a replay is expected to take {replay}, longer than `max_replay`: taking a full backup");
        return full(app, source, context);
    }
    if let Some(Unreachable { why, gone }) = &continued.unrestorable {
        let said = match gone {
            Some((last, broken)) => tell_or_wait(app, source, last, broken)?,
            None => {
                format!("{why}: moments between the backup before it and this full backup cannot all be restored")
            }
        };
        tracing::warn!(source = %source.name, "{said}");
        let mut report = full(app, source, context)?;
        report.warnings.insert(0, said);
        return Ok(report);
    }
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Incremental))?;
    let error = match record(source, run, take(app, source, &continued, context), context) {
        Ok(report) => return Ok(report),
        Err(error) => error,
    };
    let Some(broken) = error.cause::<Break>().cloned() else { return Err(error) };
    if broken.kind == BreakKind::Unknown {
        // Nothing of a chain is lost where none had begun.
        tracing::info!(source = %source.name, "the newest backup cannot be continued: {broken}; taking a full one");
        return full(app, source, context);
    }
    if broken.kind == BreakKind::ChangedMeanwhile && has_just_begun_anew(app, source)? {
        // Definitions change all the time there: full backups one after the other would only burden the server.
        return Err(error.hint(
            "definitions changed while each of the last two full backups was read: take them at a quieter time",
        ));
    }
    let said = tell_or_wait(app, source, parent, &broken)?;
    let mut report = full(app, source, context)?;
    report.warnings.insert(0, said);
    Ok(report)
}

/// What an operator does where no full backup is taken after a break.
pub(super) fn begin_anew(source: &Source) -> String {
    format!("when the cause is mended, begin a new chain: `backup-sla backup {} --full`", source.name)
}

/// How long the replay of the newest recovery point is expected to take, where that is longer than it may.
pub(super) fn replay_too_long(app: &App, source: &Source) -> Result<Option<f64>> {
    let Some(most) = source.max_replay else { return Ok(None) };
    let basis = app.block_on(app.ledger.forecast_basis(&source.name))?;
    let forecast = basis.newest.and_then(|newest| forecast(&basis.drills, newest, app.clock.wall()));
    Ok(forecast.map(|it| it.replay_seconds).filter(|replay| *replay > most.as_secs_f64()))
}

/// What lies between the newest backup and the next one cannot be restored: that is said for ever, not skipped over. An error where an
/// operator takes the next one.
fn tell_or_wait(app: &App, source: &Source, parent: &Manifest, broken: &Break) -> Result<String> {
    let said = tell(app, source, parent, (broken, None))?;
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
    let Stored { candidate, manifest, scarce, storing: _storing } = stored(app, source, parent, context)?;
    let (mut manifest, stored_bytes, listed) = publish(app, source, candidate, manifest)?;
    // Of the run, not of the backup: the manifest is published and stays as it is.
    manifest.warnings.extend(scarce);
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
    /// Whoever frees room there must not take what it relies on.
    pub(super) storing: RepositoryLock,
}

/// Store what came since `continued`. The error's cause is a [`Break`] where the source does not continue it.
pub(super) fn stored(app: &App, source: &Source, continued: &Continued, context: &RunContext) -> Result<Stored> {
    let parent = &continued.manifest;
    let storing = app.storing_in(&source.repository_name, &context.cancel)?;
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
        None => Ok(Stored { candidate, manifest, scarce, storing }),
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
