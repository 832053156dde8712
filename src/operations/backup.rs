//! Backup: lock the source, stream a consistent snapshot into the repository as a candidate, prove that it is whole,
//! publish the manifest last. A failure or a kill anywhere before leaves nothing that a listing shows.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::change::{accepted, compare, warning};
use super::expectations::prepare_repository;
use super::listing::refresh_points;
use super::recording::{Recorded, new_id};
use crate::app::{App, Source};
use crate::domain::change::Assessment;
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
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
    let _lock = app.lock(&source.name, "backup")?;
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Full))?;
    match take(app, source, context) {
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
        // A backup is never inconclusive: there is none.
        Err(error) => {
            // Whatever broke when we ended it is not the reason.
            let error = if context.cancel.is_cancelled() { context.cancel.error() } else { error };
            let kind = if error.kind() == Kind::Inconclusive { Kind::Failed } else { error.kind() };
            Err(run.fail(error.with_kind(kind).context(format!("cannot back up {}", source.name)), None))
        }
    }
}

/// A published backup.
struct Taken {
    manifest: Manifest,
    stored_bytes: u64,
    change: Option<Assessment>,
}

fn take(app: &App, source: &Source, context: &RunContext) -> Result<Taken> {
    // A repository that cannot be used is found before the server is asked to work.
    prepare_repository(app, source)?;
    let dump = source.engine.dump(context)?;
    let id = RecoveryPointId(new_id());
    let candidate =
        NewCandidate { source: source.name.clone(), id: id.clone(), as_of: dump.as_of, streams: dump.streams };
    let stored = source.repository.storing()?.store(candidate);
    // The dump's own reason comes before the repository's, which only saw its stream end.
    let finished = (dump.finish)();
    let (candidate, mut manifest) = match (stored, finished) {
        (Ok(candidate), Ok(manifest)) => (candidate, manifest),
        (Err(stored), Err(dump)) => return Err(first_cause(stored, dump)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
    };
    context.cancel.check()?;
    manifest.id = id;
    manifest.source.clone_from(&source.name);
    manifest.host = Some(app.host.identity.clone());
    manifest.as_of = dump.as_of;
    manifest.finished = app.clock.wall();
    manifest.evidence.new_data = candidate.new_data;
    manifest.evidence.accepted = accepted(app, source)?;
    whole(&candidate, &manifest)?;
    let stored_bytes = source.repository.storing()?.publish(candidate, &manifest)?;
    // What counts is what the repository lists now, not that we believe to have published.
    let listed = refresh_points(app, source)?;
    if !listed.own.points.iter().any(|published| published.manifest == manifest) {
        return Err(Error::failed(format!("publish backup {}: the repository does not list it", manifest.id))
            .hint("check the repository: something removes what is written to it"));
    }
    // Of the run, not of the backup: the manifest is published and stays as it is.
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
    Ok(Taken { manifest, stored_bytes, change })
}

/// When both sides failed: a dump that only says that the repository stopped reading is not the cause.
fn first_cause(stored: Error, dump: Error) -> Error {
    let effect =
        dump.to_string().contains("the repository stopped reading") || dump.to_string().contains("not read to its end");
    if effect { stored } else { dump }
}

/// The candidate, as read back, is as long as what the dump says it sent.
fn whole(candidate: &Candidate, manifest: &Manifest) -> Result<()> {
    for file in &manifest.files {
        let stored = candidate.files.iter().find(|(path, _)| *path == file.path).map(|(_, bytes)| *bytes);
        if stored != Some(file.bytes) {
            return Err(Error::failed(format!(
                "read back {}: the repository has {} bytes of {}",
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
        tables: manifest.inventory.tables.len(),
        rows: manifest.rows(),
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
