//! Incremental backup: what came since the newest backup, linked to it so that nothing can be missing between. A source that does
//! not continue its newest backup is a break: it is recorded, told, and a full backup begins a new chain at once.

use chrono::{DateTime, TimeDelta, Utc};

use super::backup::{BackupReport, Taken, full, made, publish, record, store};
use super::expectations::prepare_repository;
use super::listing::refresh_points;
use super::recording::{Recorded, new_id};
use super::room::room;
use super::select::split_suspects;
use crate::app::{App, Source};
use crate::domain::captured::Captured;
use crate::domain::chain::{Break, BreakKind};
use crate::domain::digest::Digest;
use crate::domain::manifest::{BackupKind, FileRole, Manifest, RecoveryPointId, StoredFileFacts};
use crate::engine::{Dump, Since};
use crate::error::{Error, Result};
use crate::ledger::{ChainBreak, Operation};
use crate::repository::{Stream, in_order};
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
    let _lock = app.lock(&source.name, "backup")?;
    let Some(parent) = newest(app, source)? else {
        tracing::info!(source = %source.name, "there is no backup to continue: taking a full one");
        return full(app, source, context);
    };
    if parent.chain_length >= source.objectives.max_chain_length {
        tracing::info!(source = %source.name, increments = parent.chain_length, "the chain is as long as promised: taking a full backup");
        return full(app, source, context);
    }
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Incremental))?;
    let error = match record(source, run, take(app, source, &parent, context), context) {
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
    // What lies between the newest backup and the next one cannot be restored: that is said for ever, not skipped over.
    let said = tell(app, source, &parent, &broken);
    let mut report = full(app, source, context)?;
    report.warnings.insert(0, said);
    Ok(report)
}

/// Whether a full backup was taken for the same reason not long ago.
fn has_just_begun_anew(app: &App, source: &Source) -> Result<bool> {
    let breaks = app.block_on(app.ledger.snapshot())?.breaks;
    let since = app.clock.wall() - TimeDelta::hours(24);
    let last = breaks.get(&source.name).map(|it| &it.last);
    Ok(last.is_some_and(|last| last.kind == BreakKind::ChangedMeanwhile.name() && last.found > since))
}

/// The newest backup of this host: what an increment continues.
fn newest(app: &App, source: &Source) -> Result<Option<Manifest>> {
    if !source.repository.exists()? {
        return Ok(None);
    }
    source.repository.open_existing()?;
    let listed = refresh_points(app, source)?;
    let (_, sound) = split_suspects(app, source, listed.own.points)?;
    Ok(sound.into_iter().next_back().map(|point| point.manifest))
}

fn take(app: &App, source: &Source, parent: &Manifest, context: &RunContext) -> Result<Taken> {
    // Whoever frees room there must not take what this backup relies on.
    let _storing = app.storing_in(&source.repository_name, &context.cancel)?;
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
    let manifest = captured.increment(made, parent);
    if let Some(wrong) = manifest.contradiction() {
        return Err(Error::failed(format!("cannot publish an increment: it would be {wrong}")));
    }
    let (mut manifest, stored_bytes, listed) = publish(app, source, candidate, manifest)?;
    // Of the run, not of the backup: the manifest is published and stays as it is.
    manifest.warnings.extend(scarce);
    manifest
        .warnings
        .extend(listed.own.damaged.iter().map(|error| format!("the repository has damage elsewhere: {error}")));
    Ok(Taken { manifest, stored_bytes, change: None })
}

/// Nothing came: the parent is as good at that moment as when it was made. No change is invented; a repository wants a file all the
/// same.
fn idle(parent: &Manifest, as_of: DateTime<Utc>) -> Dump {
    const NOTE: &[u8] = b"Nothing came since the backup that this one continues.\n";
    let (path, role, bytes) = ("nothing.txt".to_owned(), FileRole::Description, NOTE.len() as u64);
    let note = StoredFileFacts { path: path.clone(), role, bytes, digest: Digest::of(NOTE) };
    let captured = Captured::nothing_since(parent, note);
    let streams = in_order(vec![Stream { path, reader: Box::new(NOTE) }]);
    Dump { streams, as_of, finish: Box::new(move || Ok(captured)) }
}

/// Write a break down, and say it.
fn tell(app: &App, source: &Source, parent: &Manifest, broken: &Break) -> String {
    let kind = broken.kind.name();
    let record = ChainBreak {
        source: source.name.clone(),
        kind: kind.to_owned(),
        detail: broken.detail.clone(),
        parent: parent.id.clone(),
        lost_since: parent.as_of,
        found: app.clock.wall(),
    };
    if let Err(error) = app.block_on(app.ledger.record_break(&record)) {
        tracing::error!(hint = error.hint_text(), "cannot record a break of the chain: {error}");
    }
    let since = parent.as_of.format("%F %T UTC");
    let said = format!(
        "the chain is broken ({kind}): {broken}; moments between {since} and the full backup that follows cannot be restored"
    );
    tracing::error!(source = %source.name, "{said}");
    said
}
