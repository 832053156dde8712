//! The stories: [`backup`] and [`drill`], and the restore and proof that a drill shares with a real disaster.
//!
//! Nothing here knows the kind of an engine, a repository or a sandbox. Everything blocks; async callers use blocking
//! threads. Every run, good or bad, ends in the ledger.

pub mod backup;
pub mod cancel;
pub mod change;
pub mod drill;
pub mod identity;
pub mod ledger_health;
pub mod observe;
pub mod ownership;
pub mod prove;
pub mod report;
pub mod restore;
pub mod select;
mod stages;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::identity::check_identity;
use self::ownership::{Listed, tell_of_others};
use crate::app::{App, Source};
use crate::clock::Stopwatch;
use crate::domain::left_out::LeftOutCounts;
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::error::{Error, Kind, Result};
use crate::ledger::{Gone, KnownSource, Operation, Outcome, PointRow, RunId, RunResult, RunStart, is_damage};
use crate::repository::{Listing, Published};

/// A name for a recovery point or a sandbox: sorts by time, unique, lower case.
fn new_id() -> String {
    ulid::Ulid::generate().to_string().to_lowercase()
}

/// Read what the repository lists for a source and let the ledger know: truth is in the repository. What cannot be read
/// there is no recovery point. Nor is what another host made.
pub fn refresh_points(app: &App, source: &Source) -> Result<Listed> {
    // How old it is follows from its points only where the ledger knows of it.
    know(app, &[source])?;
    check_identity(app, source)?;
    let begun = app.block_on(app.ledger.revision())?;
    let listed = Listed::of(app, source.repository.listing(Some(&source.name))?);
    let rows: Vec<PointRow> = listed.own.points.iter().map(point_row).collect();
    reconcile(app, source, &rows, (begun, &Unlisted::of(&listed.own, &listed.foreign)))?;
    Ok(listed)
}

/// The same for all sources of one repository, which is asked once.
fn refresh_points_of(app: &App, sources: &[&Source]) -> Result<Listing> {
    let Some(first) = sources.first() else { return Ok(Listing::default()) };
    check_identity(app, first)?;
    let begun = app.block_on(app.ledger.revision())?;
    let Listed { own: mut listing, foreign } = Listed::of(app, first.repository.listing(None)?);
    listing.damaged.extend(first.repository.incomplete()?);
    let unlisted = Unlisted::of(&listing, &foreign);
    tell_of_others(app, sources, foreign);
    let mut rows: BTreeMap<&str, Vec<PointRow>> = BTreeMap::new();
    for published in &listing.points {
        rows.entry(&published.manifest.source).or_default().push(point_row(published));
    }
    for source in sources {
        reconcile(app, source, rows.get(source.name.as_str()).map_or(&[], Vec::as_slice), (begun, &unlisted))?;
    }
    Ok(listing)
}

/// What is in the repository and counts as no recovery point of this host.
struct Unlisted {
    /// What another host made.
    others: BTreeSet<String>,
    /// What cannot be read, by source and id.
    unreadable: BTreeSet<(String, String)>,
    /// What cannot be read so much that nobody knows what it is.
    unnamed: u64,
}

impl Unlisted {
    fn of(listing: &Listing, foreign: &[Published]) -> Self {
        let named = listing.unreadable.iter();
        Self {
            others: foreign.iter().map(|point| point.manifest.id.0.clone()).collect(),
            unreadable: named.map(|(source, id)| (source.clone(), id.0.clone())).collect(),
            unnamed: listing.unnamed,
        }
    }
}

fn reconcile(app: &App, source: &Source, rows: &[PointRow], (begun, unlisted): (i64, &Unlisted)) -> Result<()> {
    let Unlisted { others, unreadable, unnamed } = unlisted;
    let meaning = Gone::Unless { others, unreadable, unnamed: *unnamed };
    let changed = app.block_on(app.ledger.reconcile(&source.name, rows, begun, meaning))?;
    if changed.unreadable > 0 {
        tracing::error!(
            source = %source.name,
            hint = "they are still in the repository: look at what `backup-sla list` says of it",
            "{} recovery points cannot be read any more",
            changed.unreadable
        );
    }
    if changed.older_than_ledger > 0 {
        tracing::warn!(
            source = %source.name,
            "the ledger is younger than {} recovery points that the repository lists: what was known of earlier drills and \
             runs is lost, counters began at 0",
            changed.older_than_ledger
        );
    }
    if changed.gone_early > 0 {
        tracing::error!(
            source = %source.name,
            hint = "somebody removed them, or put back an older copy of the repository: see who can write to it",
            "{} recovery points that had to be kept longer are no longer in the repository",
            changed.gone_early
        );
    }
    let expired = changed.gone.saturating_sub(changed.gone_early + changed.unreadable);
    if expired > 0 {
        tracing::info!(source = %source.name, "{expired} recovery points are no longer in the repository");
    }
    Ok(())
}

/// Let the ledger know sources and what is promised of them now.
pub fn know(app: &App, sources: &[&Source]) -> Result<()> {
    let known: Vec<KnownSource<'_>> = sources
        .iter()
        .map(|source| KnownSource {
            name: &source.name,
            kind: source.engine_name,
            repository: &source.repository_name,
            objectives: &source.objectives,
        })
        .collect();
    app.block_on(app.ledger.know(&known))
}

/// Make ready to write to the repository, and create it only for its very first backup: a place that was in use and is
/// empty now is a disk that is not mounted, and a new repository there would hide that every backup is gone.
pub fn prepare_repository(app: &App, source: &Source) -> Result<()> {
    if was_used(app, source)? && !source.repository.exists()? {
        return source.repository.open_existing().map_err(|error| {
            error.context(format!("expect the backups that {} has of before", source.repository_name)).hint(
                "mount its file system; a repository that is meant to be new needs a new name in the configuration",
            )
        });
    }
    // Nothing is written to another one, not even what makes it ready.
    if source.repository.exists()? {
        check_identity(app, source)?;
    }
    source.repository.prepare()?;
    check_identity(app, source)
}

/// Look at the repository without changing anything. None where there is none, as it should be before its first backup.
pub fn look_at_repository(app: &App, source: &Source) -> Result<Option<Listed>> {
    if !is_expected(app, source)? {
        return Ok(None);
    }
    source.repository.open_existing()?;
    let mut listed = refresh_points(app, source)?;
    listed.own.damaged.extend(source.repository.incomplete()?);
    Ok(Some(listed))
}

/// Whether there is a repository, or there should be one.
fn is_expected(app: &App, source: &Source) -> Result<bool> {
    Ok(source.repository.exists()? || was_used(app, source)?)
}

fn was_used(app: &App, source: &Source) -> Result<bool> {
    app.block_on(app.ledger.has_backups_in(&source.repository_name))
}

fn point_row(published: &Published) -> PointRow {
    let manifest = &published.manifest;
    PointRow {
        id: manifest.id.clone(),
        kind: manifest.kind,
        as_of: manifest.as_of,
        finished: manifest.finished,
        chain_length: manifest.chain_length,
        logical_bytes: manifest.logical_bytes(),
        stored_bytes: published.stored_bytes,
        rows: manifest.rows(),
        left_out: LeftOutCounts::of(&manifest.left_out),
    }
}

/// How often a result is offered to a ledger that does not take it, and how long is waited in between.
const RESULT_ATTEMPTS: u32 = 60;
const RESULT_PAUSE: Duration = Duration::from_secs(5);
/// How soon it is noticed meanwhile that the process is to end.
const NOTICE: Duration = Duration::from_millis(100);

/// A run that is being recorded.
struct Recorded<'a> {
    app: &'a App,
    operation: Operation,
    id: RunId,
    watch: Stopwatch,
    finished: bool,
}

impl<'a> Recorded<'a> {
    fn begin(app: &'a App, source: &Source, operation: Operation, kind: Option<BackupKind>) -> Result<Self> {
        know(app, &[source])?;
        let start = RunStart { source: source.name.clone(), operation, kind };
        let id = app.block_on(app.ledger.begin(&start))?;
        Ok(Self { app, operation, id, watch: Stopwatch::start(&app.clock), finished: false })
    }

    fn seconds(&self) -> f64 {
        self.watch.elapsed().as_secs_f64()
    }

    /// Write the result. A ledger that cannot take it now is asked again for a while: a result that is lost would be a run that
    /// never ended.
    fn finish(mut self, result: &RunResult) -> Result<()> {
        self.finished = true;
        let mut written = self.app.block_on(self.app.ledger.finish(&self.id, result));
        for _ in 0..RESULT_ATTEMPTS {
            let Err(error) = &written else { break };
            tracing::error!(run = %self.id, hint = error.hint_text(), "write a result, and try again: {error}");
            if is_damage(error) || !self.pause() {
                // Damage does not go away. The next start records it as interrupted.
                break;
            }
            written = self.app.block_on(self.app.ledger.finish(&self.id, result));
        }
        written
    }

    /// Wait a little; false once the process is to end.
    fn pause(&self) -> bool {
        let watch = Stopwatch::start(&self.app.clock);
        while watch.elapsed() < RESULT_PAUSE && !self.app.stop.is_cancelled() {
            std::thread::sleep(NOTICE);
        }
        !self.app.stop.is_cancelled()
    }

    /// Record the failure and give it back; what went wrong matters more than a ledger that cannot take it.
    fn fail(self, error: Error, point: Option<RecoveryPointId>) -> Error {
        let outcome = match error.kind() {
            Kind::Cancelled => Outcome::Interrupted,
            Kind::Inconclusive => Outcome::Inconclusive,
            Kind::Failed | Kind::Configuration | Kind::Busy => Outcome::Failed,
        };
        let mut result = RunResult::new(outcome, self.seconds());
        result.reason = error.to_string();
        result.hint = error.hint_text().map(str::to_owned);
        result.recovery_point = point;
        if let Err(also) = self.finish(&result) {
            tracing::error!(error = %also, "record failed run");
        }
        error
    }
}

impl Drop for Recorded<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let result = if std::thread::panicking() {
                let doing = match self.operation {
                    Operation::Backup => "backing up",
                    Operation::Drill => "drilling",
                    Operation::Restore => "restoring",
                    Operation::Verify => "verifying",
                };
                RunResult {
                    reason: format!("the program panicked while {doing} (a bug)"),
                    hint: Some("report it with what the log says at this time".to_owned()),
                    ..RunResult::new(Outcome::Failed, self.seconds())
                }
            } else {
                let reason = "the operation ended without a result".to_owned();
                RunResult { reason, ..RunResult::new(Outcome::Interrupted, self.seconds()) }
            };
            if let Err(error) = self.app.block_on(self.app.ledger.finish(&self.id, &result)) {
                tracing::error!(%error, "record interrupted run");
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod trust_tests;
