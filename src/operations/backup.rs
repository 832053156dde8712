//! Backup: lock the source, stream a consistent snapshot into the repository as a candidate, prove that it is whole,
//! publish the manifest last. A failure or a kill anywhere before leaves nothing that a listing shows.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::change::{accepted, compare, warning};
use super::expectations::prepare_repository;
use super::listing::refresh_points;
use super::ownership::Listed;
use super::recording::{Recorded, new_id};
use super::room::room;
use crate::app::{App, Source};
use crate::domain::captured::{Captured, Made};
use crate::domain::change::Assessment;
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::engine::Dump;
use crate::engine::stream::Unread;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Operation, Outcome, RunResult};
use crate::repository::{Candidate, NewCandidate};
use crate::run_context::RunContext;

/// A published backup, as the command reports it.
#[derive(Debug, Clone, Serialize)]
pub struct BackupReport {
    /// Source name.
    pub source: String,
    /// The new recovery point.
    pub recovery_point: RecoveryPointId,
    /// Its as-of time.
    pub recovery_point_time: DateTime<Utc>,
    /// Full or incremental.
    pub kind: BackupKind,
    /// Tables in it.
    pub tables: usize,
    /// Rows in them.
    pub rows: u64,
    /// Transactions of an increment; none of a full backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions: Option<u64>,
    /// Bytes before deduplication and compression.
    pub logical_bytes: u64,
    /// Bytes the repository grew by.
    pub stored_bytes: u64,
    /// Whole run.
    pub duration_seconds: f64,
    /// What a reader must know (see the manifest).
    pub warnings: Vec<String>,
    /// What the comparison with the backups before it found; none where it was not made.
    pub change: Option<Assessment>,
    /// Those of them that say what is lost.
    #[serde(skip)]
    pub losses: Vec<String>,
}

/// Take a full backup of `source` now.
pub fn backup(app: &App, source: &Source, context: &RunContext) -> Result<BackupReport> {
    // One operation at a time on a source: two dumps would slow the server twice for one backup.
    let _lock = app.lock(&source.name, "backup")?;
    full(app, source, context)
}

/// The same where the source is locked.
pub(super) fn full(app: &App, source: &Source, context: &RunContext) -> Result<BackupReport> {
    // From here on every end is in the ledger: what failed is as much of the truth as what succeeded.
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Full))?;
    record(source, run, take(app, source, context), context)
}

/// Whatever came of it is in the ledger, and reported.
pub(super) fn record(
    source: &Source,
    run: Recorded<'_>,
    taken: Result<Taken>,
    context: &RunContext,
) -> Result<BackupReport> {
    match taken {
        Ok(Taken { manifest, stored_bytes, change }) => {
            let mut result = RunResult::new(Outcome::Succeeded, run.seconds());
            result.recovery_point = Some(manifest.id.clone());
            result.recovery_point_time = Some(manifest.as_of);
            result.logical_bytes = manifest.logical_bytes();
            result.added_bytes = stored_bytes;
            result.rows = manifest.rows();
            let duration_seconds = result.duration_seconds;
            run.finish(&result)?;
            Ok(BackupReport { change, ..report(manifest, stored_bytes, duration_seconds) })
        }
        Err(error) => {
            // Whatever broke when we ended it is not the reason.
            let error = if context.cancel.is_cancelled() { context.cancel.error() } else { error };
            // A backup is never inconclusive: there is none.
            let kind = if error.kind() == Kind::Inconclusive { Kind::Failed } else { error.kind() };
            Err(run.fail(error.with_kind(kind).context(format!("cannot back up {}", source.name)), None))
        }
    }
}

/// A published backup.
pub(super) struct Taken {
    pub(super) manifest: Manifest,
    pub(super) stored_bytes: u64,
    pub(super) change: Option<Assessment>,
}

fn take(app: &App, source: &Source, context: &RunContext) -> Result<Taken> {
    // Whoever frees room there must not take what this backup relies on.
    let _storing = app.storing_in(&source.repository_name, &context.cancel)?;
    // A repository that cannot be used, or is full, is found before the source is made to work.
    prepare_repository(app, source)?;
    let scarce = room(app, source)?;
    // Preflight: what the dump needs of the source (reach, privileges, settings, programs) is named before anything is read.
    let ready = source.engine.preflight(context)?;
    // A consistent snapshot: everything in the backup is of one moment. Reading the streams drives the dump.
    let dump = ready.dump(context)?;
    let id = RecoveryPointId(new_id());
    let made = made(app, source, id, dump.as_of);
    // Stored as a candidate, which no listing shows: whatever ends us from here on leaves nothing that looks like a backup.
    let (candidate, captured) = store(source, &made, dump, context)?;
    // The manifest promises what was captured, and only if that is what the repository gave back when it was read.
    let manifest = promise(app, source, captured.full(made), &candidate)?;
    let (manifest, stored_bytes, listed) = publish(app, source, candidate, manifest)?;
    Ok(taken(app, source, (manifest, stored_bytes), &listed, scarce))
}

/// Let everything stream into the repository, as a candidate.
pub(super) fn store(source: &Source, made: &Made, dump: Dump, context: &RunContext) -> Result<(Candidate, Captured)> {
    let (id, as_of) = (made.id.clone(), dump.as_of);
    let candidate = NewCandidate { source: source.name.clone(), id, as_of, streams: dump.streams };
    let stored = source.repository.storing()?.store(candidate);
    // What was captured is known only once the tool has succeeded and its end was seen. Why it did not comes before what the
    // repository says, which only saw a stream end.
    let stored = match (stored, (dump.finish)()) {
        (Ok(candidate), Ok(captured)) => (candidate, captured),
        (Err(stored), Err(dump)) => return Err(first_cause(stored, dump)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
    };
    context.cancel.check()?;
    Ok(stored)
}

/// Publishing comes last: from here on it is a backup.
pub(super) fn publish(
    app: &App,
    source: &Source,
    candidate: Candidate,
    manifest: Manifest,
) -> Result<(Manifest, u64, Listed)> {
    whole(&candidate, &manifest)?;
    let stored_bytes = source.repository.storing()?.publish(candidate, &manifest)?;
    // What counts is what the repository lists now, not that we believe to have published.
    let listed = refresh_points(app, source)?;
    if !listed.own.points.iter().any(|published| published.manifest == manifest) {
        return Err(Error::failed(format!("cannot publish backup {}: the repository does not list it", manifest.id))
            .hint("find out what removes files from the repository: see who else can write to it"));
    }
    Ok((manifest, stored_bytes, listed))
}

/// What only we know of the backup: the engine knows no names, and the repository no hosts.
pub(super) fn made(app: &App, source: &Source, id: RecoveryPointId, as_of: DateTime<Utc>) -> Made {
    Made {
        id,
        source: source.name.clone(),
        engine: source.engine_name.to_owned(),
        host: app.host.identity.clone(),
        as_of,
        finished: app.clock.wall(),
        created_by: concat!("backup-sla ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
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
    scarce: Option<String>,
) -> Taken {
    // Of the run, not of the backup: the manifest is published and stays as it is.
    manifest.warnings.extend(scarce);
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

/// When both sides failed: a dump that was only not read to its end is not the cause.
fn first_cause(stored: Error, dump: Error) -> Error {
    if dump.cause::<Unread>().is_some() { stored } else { dump }
}

/// The candidate, as read back, is as long as what the dump says it sent.
fn whole(candidate: &Candidate, manifest: &Manifest) -> Result<()> {
    for file in &manifest.files {
        let stored = candidate.files.iter().find(|(path, _)| *path == file.path).map(|(_, bytes)| *bytes);
        if stored != Some(file.bytes) {
            return Err(Error::failed(format!(
                "cannot read back {}: the repository has {} bytes of {}",
                file.path,
                stored.map_or("no".to_owned(), |bytes| bytes.to_string()),
                file.bytes
            )));
        }
    }
    Ok(())
}

fn report(manifest: Manifest, stored_bytes: u64, duration_seconds: f64) -> BackupReport {
    BackupReport {
        tables: manifest.inventory().tables.len(),
        rows: manifest.rows(),
        transactions: manifest.transactions(),
        logical_bytes: manifest.logical_bytes(),
        losses: manifest.losses(),
        source: manifest.source,
        recovery_point: manifest.id,
        recovery_point_time: manifest.as_of,
        kind: manifest.kind,
        stored_bytes,
        duration_seconds,
        warnings: manifest.warnings,
        change: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_both_sides_fail_the_side_that_the_other_waited_for_is_named() {
        let full = || Error::failed("cannot write a pack: no space left");
        let cause = |dump| first_cause(full(), dump).to_string();
        assert_eq!(cause(Unread::error()), full().to_string());
        assert_eq!(cause(Unread::error().context("cannot back up database telegraf")), full().to_string());
        // Whoever says so without meaning it is not believed: the client may print these very words.
        let died = "the dump client said: the repository stopped reading it, it was not read to its end";
        assert_eq!(cause(Error::failed(died)), died);
    }
}
