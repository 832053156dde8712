//! What every backup goes through, full or increment: stored as a candidate, read back, published, recorded.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::listing::refresh_points;
use super::ownership::Listed;
use super::recording::Recorded;
use crate::app::{App, Source};
use crate::domain::captured::{Captured, Made};
use crate::domain::change::Assessment;
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::engine::Dump;
use crate::engine::stream::Unread;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Outcome, RunResult};
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
            result.chain_length = manifest.chain_length;
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
    let stored_bytes = publish_unlisted(source, candidate, &manifest)?;
    // What counts is what the repository lists now, not that we believe to have published.
    let listed = refresh_points(app, source)?;
    if !listed.own.points.iter().any(|published| published.manifest == manifest) {
        return Err(Error::failed(format!("cannot publish backup {}: the repository does not list it", manifest.id))
            .hint("find out what removes files from the repository: see who else can write to it"));
    }
    Ok((manifest, stored_bytes, listed))
}

/// The same where the repository is asked later what it lists. Bytes that it grew by.
pub(super) fn publish_unlisted(source: &Source, candidate: Candidate, manifest: &Manifest) -> Result<u64> {
    whole(&candidate, manifest)?;
    source.repository.storing()?.publish(candidate, manifest)
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

/// When both sides failed: a dump that was only not read to its end is not the cause.
fn first_cause(stored: Error, dump: Error) -> Error {
    if dump.cause::<Unread>().is_some() { stored } else { dump }
}

/// The candidate, as read back, is as long as what the dump says it sent.
pub(super) fn whole(candidate: &Candidate, manifest: &Manifest) -> Result<()> {
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
