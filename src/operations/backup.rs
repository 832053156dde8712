//! Backup: lock the source, stream a consistent snapshot into the repository as a candidate, prove that it is whole,
//! publish the manifest last. A failure or a kill anywhere before leaves nothing that a listing shows. Increments of the source go on while
//! it is read; only to end the chain before it and to publish it takes their lock.

use super::canary;
use super::change::{accepted, compare, warning};
use super::closing::close_chain;
use super::expectations::prepare_repository;
use super::ownership::Listed;
use super::recording::{Recorded, new_id};
use super::room::room;
pub use super::stored::BackupReport;
use super::stored::{Taken, made, publish, record, store};
use crate::app::{App, BACKUP, INCREMENT, Source};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::error::{Kind, Result};
use crate::ledger::Operation;
use crate::repository::Candidate;
use crate::run_context::RunContext;

/// Take a full backup of `source` now.
pub fn backup(app: &App, source: &Source, context: &RunContext) -> Result<BackupReport> {
    // One at a time on a source: two dumps would slow the server twice for one backup. Increments go on beside it.
    let _lock = app.lock(&source.name, BACKUP)?;
    full(app, source, context)
}

/// The same where the source is locked for a full backup, and not for increments.
pub(super) fn full(app: &App, source: &Source, context: &RunContext) -> Result<BackupReport> {
    // From here on every end is in the ledger: what failed is as much of the truth as what succeeded.
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Full))?;
    record(source, run, take(app, source, context), context)
}

fn take(app: &App, source: &Source, context: &RunContext) -> Result<Taken> {
    // A lock that cannot be made is found before hours of reading, not after them.
    match app.lock(&source.name, INCREMENT) {
        Err(error) if error.kind() == Kind::Busy => {}
        lock => drop(lock?),
    }
    // Whoever frees room there must not take what this backup relies on.
    let _storing = app.storing_in(&source.repository_name, &context.cancel)?;
    // A repository that cannot be used, or is full, is found before the source is made to work.
    prepare_repository(app, source)?;
    let scarce = room(app, source)?;
    // A row of our own that has to be in it.
    let canary = canary::write(app, source, context);
    // Preflight: what the dump needs of the source (reach, privileges, settings, programs) is named before anything is read.
    let ready = source.engine.preflight(context)?;
    // A consistent snapshot: everything in the backup is of one moment. Reading the streams drives the dump.
    let dump = ready.dump(context)?;
    let id = RecoveryPointId(new_id());
    let mut made = made(app, source, id, dump.as_of);
    // Stored as a candidate, which no listing shows: whatever ends us from here on leaves nothing that looks like a backup.
    let (candidate, captured) = store(source, &made, dump, context)?;
    // Increments went on in the chain before it. From here on none does, and the next one continues this backup.
    let _increments = app.lock_when_free(&source.name, INCREMENT, &context.cancel)?;
    made.finished = app.clock.wall();
    // The manifest promises what was captured, and only if that is what the repository gave back when it was read.
    let manifest = promise(app, source, captured.full(made), &candidate)?;
    // The chain before it ends where it begins: then it proves that chain, and no moment between them is lost.
    let unclosed = close_chain(app, source, &manifest, context);
    let (manifest, stored_bytes, listed) = publish(app, source, candidate, manifest)?;
    let said = scarce.into_iter().chain(unclosed).chain(canary.said(&manifest)).collect();
    Ok(taken(app, source, (manifest, stored_bytes), &listed, said))
}

/// The manifest with what later backups are compared by, as far as the repository and the operator know it.
fn promise(app: &App, source: &Source, mut manifest: Manifest, candidate: &Candidate) -> Result<Manifest> {
    manifest.evidence.new_data = candidate.new_data;
    manifest.evidence.accepted = accepted(app, source)?;
    Ok(manifest)
}

/// The published backup, with what this run has to say of it and its surroundings.
fn taken(
    app: &App,
    source: &Source,
    (mut manifest, stored_bytes): (Manifest, u64),
    listed: &Listed,
    said: Vec<String>,
) -> Taken {
    // Of the run, not of the backup: the manifest is published and stays as it is.
    manifest.warnings.extend(said);
    manifest
        .warnings
        .extend(listed.own.damaged.iter().map(|error| format!("the repository has damage elsewhere: {error}")));
    manifest.warnings.extend(listed.warning(source));
    // The backup is what it should be, whatever is said of the data; what could not be compared now is next time.
    let change = compare(app, source, &listed.own.points).unwrap_or_else(|error| {
        tracing::error!(source = %source.name, hint = error.hint_text(), "cannot compare the backup with those before it: {error}");
        None
    });
    manifest.warnings.extend(change.as_ref().and_then(|found| warning(&source.name, found)));
    Taken { manifest, stored_bytes, change }
}
