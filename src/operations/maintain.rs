//! Maintenance: remove the recovery points that nothing keeps any more, and give back the room that they alone took.
//!
//! What goes is decided by a pure plan (`domain/retention`) from what the repository lists now. Where anything is in doubt
//! (something listed cannot be read, a clock is wrong, no drill has passed) nothing of that source goes. Room is given back in two
//! steps that lie a day or more apart, so that whoever reads or stores meanwhile keeps what he relies on; a process that is
//! killed anywhere leaves a repository that is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::before_change::must_be_kept;
use super::compact::{compact_followed, hold_compaction};
use super::listing::refresh_points_of;
use super::observe::by_repository;
use super::ownership::last_said_of_others;
use super::select::split_suspects;
use super::upkeep::{Recording, said};
use crate::app::{App, Source};
use crate::domain::chain::{Chains, Unrestorable};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::domain::order::is_to_come;
use crate::domain::retention::{Candidate, Plan, Policy, Reason, plan};
use crate::domain::schedule::Work;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Upkeep, UpkeepOutcome};
use crate::repository::{FreeRequest, Freed, Listing, Published};
use crate::run_context::RunContext;

/// How long running backups are waited for before room is given back another time.
const PATIENCE: Duration = Duration::from_mins(10);
/// The least time between the two steps in which room is given back, and how much longer than anybody may take it is.
const LEAST_GRACE: Duration = Duration::from_hours(24);

/// What was done, or would be done, to one repository.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaintainReport {
    /// Name of the repository.
    pub repository: String,
    /// Nothing was changed: this is what would be done.
    pub dry_run: bool,
    /// Each of its sources.
    pub sources: Vec<SourceReport>,
    /// Recovery points that were removed.
    pub removed_points: u64,
    /// Bytes that were given back.
    pub freed_bytes: u64,
    /// Bytes that nothing needs any more and that go with a later run.
    pub marked_bytes: u64,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

/// What becomes of the recovery points of one source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceReport {
    /// Name of the source.
    pub source: String,
    /// Those that stay, oldest first.
    pub kept: Vec<KeptPoint>,
    /// Those that go, oldest first.
    pub removed: Vec<RemovedPoint>,
    /// Why none goes although it could; none where nothing is in the way.
    pub held_back: Option<String>,
}

/// A recovery point that stays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptPoint {
    /// Its id.
    pub id: RecoveryPointId,
    /// Its as-of time.
    pub time: DateTime<Utc>,
    /// Full or incremental.
    pub kind: BackupKind,
    /// The full that its chain begins with; itself where it is one, or where its chain is broken.
    pub chain: RecoveryPointId,
    /// Why.
    pub reasons: BTreeSet<Reason>,
}

/// A recovery point that goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemovedPoint {
    /// Its id.
    pub id: RecoveryPointId,
    /// Its as-of time.
    pub time: DateTime<Utc>,
    /// Full or incremental.
    pub kind: BackupKind,
    /// The full that its chain begins with; itself where it is one, or where its chain is broken.
    pub chain: RecoveryPointId,
}

/// Remove what is beyond its retention from the repository `name`; with `dry_run` only say what that is.
pub fn maintain(app: &App, name: &str, dry_run: bool, context: &RunContext) -> Result<MaintainReport> {
    let sources = sources_of(app, name)?;
    // Two at a time would each count on what the other removes.
    let _lock = app.lock(name, "repository.maintain")?;
    if dry_run {
        return look_and_plan(app, &sources).map(|planned| report(name, &planned, true));
    }
    let recording = Recording::begin(app, name, Upkeep::Maintain);
    let mut removed = 0;
    let done = carry_out(app, name, &sources, &mut removed, context);
    let done = done.map_err(|error| error.context(format!("cannot maintain repository {name}")));
    let outcome = match &done {
        // What should have gone and did not is no success: the last one becomes old, and somebody is told.
        Ok(report) => report
            .warnings
            .first()
            .map_or(UpkeepOutcome::Succeeded, |first| UpkeepOutcome::Inconclusive(first.clone(), None)),
        Err(error) => {
            let (reason, hint) = said(error);
            match error.kind() {
                Kind::Busy | Kind::Cancelled | Kind::Inconclusive => UpkeepOutcome::Inconclusive(reason, hint),
                Kind::Failed | Kind::Configuration => UpkeepOutcome::Failed(reason, hint),
            }
        }
    };
    let recorded = recording.finish(outcome, &[], |run| {
        run.removed_points = removed;
        run.freed_bytes = done.as_ref().map_or(0, |report| report.freed_bytes);
    });
    // What went wrong first is told.
    done.and_then(|report| recorded.map(|()| report))
}

/// The sources of the repository `name`, with nothing remembered of it: what goes is decided by what is there now.
fn sources_of(app: &App, name: &str) -> Result<Vec<Source>> {
    let sources = by_repository(app).remove(name).unwrap_or_default();
    let Some(first) = sources.first() else {
        let what = format!("cannot maintain repository {name}: no source of the configuration uses it");
        let known: Vec<String> = by_repository(app).into_keys().collect();
        return Err(Error::configuration(what).hint(format!("the configuration has {}", known.join(", "))));
    };
    let afresh = first.afresh().repository;
    Ok(sources.into_iter().map(|source| Source { repository: afresh.clone(), ..source }).collect())
}

/// One source with what becomes of its points.
struct Planned<'s> {
    source: &'s Source,
    points: Vec<Published>,
    /// By id: the full that its chain begins with.
    chains: BTreeMap<RecoveryPointId, RecoveryPointId>,
    plan: Plan,
    held_back: Option<String>,
}

impl Planned<'_> {
    fn removed(&self) -> &[RecoveryPointId] {
        if self.held_back.is_some() { &[] } else { &self.plan.removed }
    }
}

fn look_and_plan<'s>(app: &App, sources: &'s [Source]) -> Result<Vec<Planned<'s>>> {
    let repository = &sources[0].repository;
    if !repository.exists()? {
        return Ok(Vec::new());
    }
    repository.open_existing()?;
    let listing = refresh_points_of(app, &sources.iter().collect::<Vec<_>>())?;
    refuse_doubt(&listing)?;
    let mut points: BTreeMap<String, Vec<Published>> = BTreeMap::new();
    for point in listing.points {
        points.entry(point.manifest.source.clone()).or_default().push(point);
    }
    sources.iter().map(|source| planned(app, source, points.remove(&source.name).unwrap_or_default())).collect()
}

/// What cannot be read may be what something else needs, or the only good one.
fn refuse_doubt(listing: &Listing) -> Result<()> {
    let Some(first) = listing.damaged.first() else { return Ok(()) };
    let what = format!("nothing is removed, because something in it cannot be read: {first}");
    Err(Error::failed(what).hint(first.hint_text().unwrap_or("see `backup-sla check`").to_owned()))
}

fn planned<'s>(app: &App, source: &'s Source, points: Vec<Published>) -> Result<Planned<'s>> {
    let (suspect, _) = split_suspects(app, source, points.clone())?;
    let suspect: BTreeSet<&RecoveryPointId> = suspect.iter().map(|point| &point.manifest.id).collect();
    let proved = app.block_on(app.ledger.verified_at(&source.name))?;
    let compared = app.block_on(app.ledger.compared(&source.name))?;
    let before = must_be_kept(&points, &compared);
    let Linked { broken, chains, parents } = chains(&points, &suspect);
    let is_shared = last_said_of_others(app, &source.name).is_some();
    let candidates: Vec<Candidate> = points
        .iter()
        .map(|point| Candidate {
            id: point.manifest.id.clone(),
            as_of: point.manifest.as_of,
            needs: parents.get(&point.manifest.id).or(point.manifest.parent.as_ref()).cloned(),
            stands_for: point
                .manifest
                .joins
                .as_ref()
                .map_or(1, |joins| u32::try_from(joins.of.len()).unwrap_or(u32::MAX)),
            is_broken: broken.contains(&point.manifest.id),
            // Of several hosts that share the source's name, nobody knows whose it is.
            is_of_nobody: is_shared && point.manifest.host.is_none(),
            is_misdated: suspect.contains(&point.manifest.id),
            is_proved: proved.contains_key(&point.manifest.id),
            is_before_change: before.contains(&point.manifest.id),
        })
        .collect();
    let policy = Policy {
        within: source.objectives.retention,
        longest_gap: (source.objectives.rpo * 2).min(source.objectives.retention / 2),
        counts: app.config.maintenance.keep,
        zone: app.config.timezone,
    };
    let plan = plan(&candidates, &policy);
    let now = app.clock.wall();
    let held_back = if plan.removed.is_empty() {
        None
    } else if let Some(to_come) = points.iter().find(|point| is_to_come(point.manifest.as_of, now)) {
        let (id, time) = (&to_come.manifest.id, to_come.manifest.as_of.format("%F %T UTC"));
        Some(format!("recovery point {id} is dated {time}, which is still to come: look at the clock of this host"))
    } else if !candidates.iter().any(|point| point.is_proved) {
        let name = &source.name;
        Some(format!("no drill has passed on any of its recovery points: run `backup-sla drill {name}` first"))
    } else {
        None
    };
    Ok(Planned { source, points, chains, plan, held_back })
}

/// How points hang together.
struct Linked {
    /// Points whose chain is broken.
    broken: BTreeSet<RecoveryPointId>,
    /// The full that each of the others begins with.
    chains: BTreeMap<RecoveryPointId, RecoveryPointId>,
    /// What each increment is replayed on top of: the one it continues, or what took its place.
    parents: BTreeMap<RecoveryPointId, RecoveryPointId>,
}

fn chains(points: &[Published], suspect: &BTreeSet<&RecoveryPointId>) -> Linked {
    let chains = Chains::of(points.iter().map(|point| &point.manifest), |manifest| suspect.contains(&manifest.id));
    // What a newer version can restore is not broken, nor what was known when it was made.
    let is_broken =
        |why: &Unrestorable| !matches!(why, Unrestorable::Physical { .. } | Unrestorable::Unreplayable { .. });
    let broken = chains.unrestorable().filter(|(_, why)| is_broken(why)).map(|(point, _)| point.id.clone());
    let of_full = |point: &Manifest| Some((point.id.clone(), chains.full_of(&point.id)?.id.clone()));
    let parent = |point: &Manifest| Some((point.id.clone(), chains.parent_of(&point.id)?.id.clone()));
    Linked {
        broken: broken.collect(),
        chains: chains.points().filter_map(of_full).collect(),
        parents: chains.points().filter_map(parent).collect(),
    }
}

fn carry_out(
    app: &App,
    name: &str,
    sources: &[Source],
    removed: &mut u64,
    context: &RunContext,
) -> Result<MaintainReport> {
    if !sources[0].repository.exists()? {
        return Ok(report(name, &[], false));
    }
    // What is planned to stay must not be joined, and forgotten, before it is looked for.
    let joining = hold_compaction(app, sources, context)?;
    let kept_small = compact_followed(app, sources, &joining, context);
    let mut planned = look_and_plan(app, sources)?;
    context.cancel.check()?;
    for one in planned.iter_mut().filter(|one| !one.removed().is_empty()) {
        // What a drill or a restore reads must stay until it has ended.
        if let Some(_lock) = app.removing_from(&one.source.name)? {
            forget(app, one)?;
            *removed += one.removed().len() as u64;
        } else {
            one.held_back = Some("a drill or restore of it is running: the next run removes them".to_owned());
        }
        context.cancel.check()?;
    }
    let mut report = report(name, &planned, false);
    report.warnings.extend(kept_small);
    match free(app, name, &planned, context)? {
        Freeing::Done(freed) => (report.freed_bytes, report.marked_bytes) = (freed.freed_bytes, freed.marked_bytes),
        Freeing::Later(why) => report.warnings.push(format!("no room was freed: {why}; the next run tries again")),
    }
    // Only now is it known that everything that was to stay is there.
    let left = refresh_points_of(app, &sources.iter().collect::<Vec<_>>())?;
    refuse_doubt(&left)?;
    still_there(&planned, &left)?;
    Ok(report)
}

/// Take what goes out of the listing, and see that it went.
fn forget(app: &App, planned: &Planned<'_>) -> Result<()> {
    let (source, removed) = (planned.source, planned.removed());
    if removed.is_empty() {
        return Ok(());
    }
    source.repository.storing()?.forget(&source.name, removed)?;
    let listed = super::listing::refresh_points(app, source)?;
    let removed: BTreeSet<&RecoveryPointId> = removed.iter().collect();
    if let Some(point) = listed.own.points.iter().find(|point| removed.contains(&point.manifest.id)) {
        return Err(Error::failed(format!(
            "recovery point {} of {} was removed and is still listed",
            point.manifest.id, source.name
        ))
        .hint("does the place of the repository allow to remove files? append-only storage does not"));
    }
    tracing::info!(source = %source.name, points = removed.len(), "removed recovery points beyond their retention");
    Ok(())
}

/// What came of freeing room.
enum Freeing {
    Done(Freed),
    /// Somebody is at work there: who.
    Later(String),
}

/// Give back the room that nothing needs any more.
fn free(app: &App, name: &str, planned: &[Planned<'_>], context: &RunContext) -> Result<Freeing> {
    let Some(first) = planned.first() else { return Ok(Freeing::Done(Freed::default())) };
    // What was marked is removed by its age.
    if planned.iter().any(|one| one.points.iter().any(|point| is_to_come(point.manifest.as_of, app.clock.wall()))) {
        return Ok(Freeing::Later(
            "a recovery point is dated in the future: look at the clock of this host".to_owned(),
        ));
    }
    // Who reads with an index of before finds packs that are packed anew under their old names only.
    let mut readers = Vec::new();
    for one in planned {
        let Some(lock) = app.removing_from(&one.source.name)? else {
            return Ok(Freeing::Later(format!("a drill or restore of {} is running", one.source.name)));
        };
        readers.push(lock);
    }
    let Some(_lock) = app.freeing_in(name, PATIENCE, &context.cancel)? else {
        return Ok(Freeing::Later(format!("backups were running for {} minutes on end", PATIENCE.as_secs() / 60)));
    };
    let limits = app.config.sources.values().flat_map(|source| Work::ALL.map(|work| source.time_limit(work)));
    // Hosts differ in their limits, and a command has none.
    let grace = limits.max().unwrap_or_default().max(LEAST_GRACE) + LEAST_GRACE;
    let request = FreeRequest { host: &app.host.identity.name, grace, context };
    match first.source.repository.storing()?.free(&request) {
        Ok(freed) => Ok(Freeing::Done(freed)),
        Err(error) if error.kind() == Kind::Busy => Ok(Freeing::Later(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Everything that was to stay is listed, or what it was joined to is.
fn still_there(planned: &[Planned<'_>], left: &Listing) -> Result<()> {
    let mut there: BTreeSet<(&str, &RecoveryPointId)> = BTreeSet::new();
    for Published { manifest, .. } in &left.points {
        let joined = manifest.joins.iter().flat_map(|joins| &joins.of);
        there.extend(joined.chain([&manifest.id]).map(|id| (manifest.source.as_str(), id)));
    }
    for one in planned {
        let source = one.source.name.as_str();
        if let Some((id, _)) = one.plan.kept.iter().find(|(id, _)| !there.contains(&(source, id))) {
            let what = format!("recovery point {id} of {source} was to stay and is no longer listed");
            return Err(
                Error::failed(what).hint("somebody else removes recovery points: see who can write to the repository")
            );
        }
    }
    Ok(())
}

fn report(name: &str, planned: &[Planned<'_>], dry_run: bool) -> MaintainReport {
    let sources = planned.iter().map(|one| {
        let points: BTreeMap<&RecoveryPointId, &Manifest> =
            one.points.iter().map(|point| (&point.manifest.id, &point.manifest)).collect();
        let chain = |id: &RecoveryPointId| one.chains.get(id).unwrap_or(id).clone();
        let kept = one.plan.kept.iter().filter_map(|(id, reasons)| {
            let point = points.get(id)?;
            let (id, reasons) = (id.clone(), reasons.clone());
            Some(KeptPoint { chain: chain(&id), id, time: point.as_of, kind: point.kind, reasons })
        });
        let removed = one.plan.removed.iter().filter_map(|id| {
            let point = points.get(id)?;
            Some(RemovedPoint { id: id.clone(), time: point.as_of, kind: point.kind, chain: chain(id) })
        });
        SourceReport {
            source: one.source.name.clone(),
            kept: kept.collect(),
            removed: removed.collect(),
            held_back: one.held_back.clone(),
        }
    });
    let removed_points = if dry_run { 0 } else { planned.iter().map(|one| one.removed().len() as u64).sum() };
    MaintainReport {
        repository: name.to_owned(),
        dry_run,
        sources: sources.collect(),
        removed_points,
        freed_bytes: 0,
        marked_bytes: 0,
        warnings: planned
            .iter()
            .filter_map(|one| Some(format!("{}: {}", one.source.name, one.held_back.as_ref()?)))
            .collect(),
    }
}

#[cfg(test)]
#[path = "maintain_tests.rs"]
mod tests;
