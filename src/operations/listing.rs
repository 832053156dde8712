//! What the repository lists, brought into the ledger: truth is in the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::identity::check_identity;
use super::ownership::{Listed, tell_of_others};
use super::suspects::Suspects;
use crate::app::{App, Source};
use crate::domain::chain::Chains;
use crate::domain::left_out::LeftOutCounts;
use crate::domain::manifest::{BackupKind, Manifest};
use crate::error::Result;
use crate::ledger::{Gone, KnownSource, LineBytes, PointRow};
use crate::repository::{Listing, Published};

/// How often the ledger hears of increments that are taken all the time: often enough to judge the RPO.
pub(super) fn told_every(source: &Source) -> Duration {
    (source.objectives.rpo / 4).clamp(Duration::from_secs(10), Duration::from_mins(5))
}

/// Read what the repository lists for a source and let the ledger know: truth is in the repository. What cannot be read
/// there is no recovery point. Nor is what another host made.
pub fn refresh_points(app: &App, source: &Source) -> Result<Listed> {
    // How old it is follows from its points only where the ledger knows of it.
    know(app, &[source])?;
    check_identity(app, source)?;
    let begun = app.block_on(app.ledger.revision())?;
    let listed = Listed::of(app, source.repository.listing(Some(&source.name))?);
    let mut unlisted = Unlisted::of(app, &listed.own, &listed.foreign);
    let rows = point_rows(app, source, &listed.own.points.iter().collect::<Vec<_>>(), &mut unlisted)?;
    reconcile(app, source, &rows, (begun, &unlisted))?;
    Ok(listed)
}

/// Whether a full backup of `source` was published since `asked`.
pub fn is_there_since(app: &App, source: &Source, asked: DateTime<Utc>) -> Result<bool> {
    if !source.repository.exists()? {
        return Ok(false);
    }
    source.repository.open_existing()?;
    let listed = refresh_points(app, source)?;
    let is_since = |manifest: &Manifest| manifest.kind == BackupKind::Full && manifest.finished >= asked;
    Ok(listed.own.points.iter().any(|point| is_since(&point.manifest)))
}

/// The same for all sources of one repository, which is asked once.
pub(super) fn refresh_points_of(app: &App, sources: &[&Source]) -> Result<Listing> {
    let Some(first) = sources.first() else { return Ok(Listing::default()) };
    check_identity(app, first)?;
    let begun = app.block_on(app.ledger.revision())?;
    let Listed { own: mut listing, foreign } = Listed::of(app, first.repository.listing(None)?);
    listing.damaged.extend(first.repository.incomplete()?);
    let mut unlisted = Unlisted::of(app, &listing, &foreign);
    tell_of_others(app, sources, foreign);
    let mut points: BTreeMap<&str, Vec<&Published>> = BTreeMap::new();
    for published in &listing.points {
        points.entry(&published.manifest.source).or_default().push(published);
    }
    for source in sources {
        let points = points.remove(source.name.as_str()).unwrap_or_default();
        let rows = point_rows(app, source, &points, &mut unlisted)?;
        reconcile(app, source, &rows, (begun, &unlisted))?;
    }
    Ok(listing)
}

/// What is in the repository and counts as no recovery point of this host.
struct Unlisted {
    /// What another host made, what was joined into something that is there, and what is [dense](Chains::dense).
    others: BTreeSet<String>,
    /// What cannot be read, by source and id.
    unreadable: BTreeSet<(String, String)>,
    /// What cannot be read so much that nobody knows what it is.
    unnamed: u64,
    /// Sources that are looked at.
    configured: BTreeSet<String>,
}

impl Unlisted {
    fn of(app: &App, listing: &Listing, foreign: &[Published]) -> Self {
        let named = listing.unreadable.iter();
        Self {
            others: foreign.iter().map(|point| point.manifest.id.0.clone()).chain(joined(&listing.points)).collect(),
            unreadable: named.map(|(source, id)| (source.clone(), id.0.clone())).collect(),
            unnamed: listing.unnamed,
            configured: app.config.sources.keys().cloned().collect(),
        }
    }
}

/// Increments whose place another one has taken, which is there.
fn joined(points: &[Published]) -> impl Iterator<Item = String> + '_ {
    let joins = points.iter().filter_map(|point| point.manifest.joins.as_ref());
    joins.flat_map(|joins| joins.of.iter().map(|id| id.0.clone()))
}

fn reconcile(app: &App, source: &Source, rows: &[PointRow], (begun, unlisted): (i64, &Unlisted)) -> Result<()> {
    let Unlisted { others, unreadable, unnamed, configured } = unlisted;
    let meaning = Gone::Unless { others, unreadable, unnamed: *unnamed, configured };
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
    let expired = changed.gone.saturating_sub(changed.gone_early + changed.unreadable + changed.elsewhere);
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

/// The points of one source as the ledger remembers them. Of increments every few seconds it remembers some: each one would be in it
/// for more than a year, and sealed several times.
fn point_rows(app: &App, source: &Source, points: &[&Published], unlisted: &mut Unlisted) -> Result<Vec<PointRow>> {
    let suspects = Suspects::of(app, source)?;
    let chains = Chains::of(points.iter().map(|point| &point.manifest), |manifest| suspects.contains(manifest));
    let windows = chains.in_windows();
    let drilled = app.block_on(app.ledger.drilled_points(&source.name))?;
    let every = TimeDelta::from_std(told_every(source)).unwrap_or(TimeDelta::MAX);
    let dense = chains.dense(every, |manifest| drilled.contains(&manifest.id, manifest.as_of));
    unlisted.others.extend(dense.iter().map(|id| id.0.clone()));
    let row = |published: &&Published| {
        let manifest = &published.manifest;
        PointRow {
            id: manifest.id.clone(),
            kind: manifest.kind,
            as_of: manifest.as_of,
            finished: manifest.finished,
            chain_length: chains.length_of(manifest),
            logical_bytes: manifest.logical_bytes(),
            stored_bytes: published.stored_bytes,
            rows: manifest.rows(),
            left_out: LeftOutCounts::of(&manifest.left_out),
            window_from: windows.get(&manifest.id).map(|window| window.from),
            line: line_bytes(&chains, manifest),
            canary: canary(&chains, manifest),
        }
    };
    Ok(points.iter().filter(|point| !dense.contains(&point.manifest.id)).map(row).collect())
}

/// What a restore of an increment works through.
fn line_bytes(chains: &Chains<'_>, manifest: &Manifest) -> Option<LineBytes> {
    let line = chains.line(&manifest.id)?.ok().filter(|_| manifest.kind == BackupKind::Incremental)?;
    let replayed = line.increments.iter().map(|it| it.logical_bytes()).sum();
    Some(LineBytes { all: line.full.logical_bytes().saturating_add(replayed), replayed })
}

/// When the newest canary was written that a restore of it brings back: one of an increment that is not remembered counts by the next.
fn canary(chains: &Chains<'_>, manifest: &Manifest) -> Option<DateTime<Utc>> {
    let line = chains.line(&manifest.id)?.ok()?;
    let all = line.increments.iter().copied().chain([line.full]);
    all.filter_map(Manifest::canary).map(|canary| canary.written).max()
}
