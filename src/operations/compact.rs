//! Compaction: many small increments become a few larger ones, so that a restore replays few and the repository lists few.
//!
//! The larger one is published, and read back, before those that it takes the place of are forgotten: killed anywhere, the next
//! compaction goes on where this one ended. Whoever reads one of them now keeps it until he is done.

use std::collections::BTreeSet;

use super::before_change::must_be_kept;
use super::increment::idle;
use super::listing::refresh_points;
use super::ownership::Listed;
use super::recording::new_id;
use super::stored::{made, publish_unlisted, store};
use super::suspects::Suspects;
use crate::app::{App, Source, SourceLock};
use crate::domain::chain::{Chains, Compaction, Join};
use crate::domain::manifest::{FileRole, Joins, Manifest, RecoveryPointId};
use crate::domain::promise::Promise;
use crate::engine::{Opener, StoredIncrement};
use crate::error::{Error, Kind, Result};
use crate::repository::Published;
use crate::run_context::RunContext;

/// What joins increments of a source takes this lock of it.
pub(super) const COMPACTION: &str = "compaction";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Larger increments that were published.
    pub joined: u64,
    /// Increments that one took the place of.
    pub removed: u64,
}

/// Join what can be joined of `source`, and forget what something took the place of. Nothing where somebody else is at it.
pub fn compact(app: &App, source: &Source, context: &RunContext) -> Result<Compacted> {
    let _lock = match app.lock(&source.name, COMPACTION) {
        Err(error) if error.kind() == Kind::Busy => return Ok(Compacted::default()),
        locked => locked?,
    };
    compact_locked(app, source, context)
}

/// The same for somebody who holds the lock.
fn compact_locked(app: &App, source: &Source, context: &RunContext) -> Result<Compacted> {
    // What is joined, and what goes, is decided by what is there now.
    let source = &source.afresh();
    let joined = join_all(app, source, context)?;
    let removed = forget_superseded(app, source)?;
    Ok(Compacted { joined, removed })
}

/// Sources whose increments nobody else joins while this is held.
pub(super) struct CompactionHeld(#[allow(dead_code)] Vec<SourceLock>);

/// Keep everybody else of this host from joining increments of `sources`, all of which may be followed; waits for those who do.
pub(super) fn hold_compaction(app: &App, sources: &[Source], context: &RunContext) -> Result<CompactionHeld> {
    let lock = |source: &Source| app.lock_when_free(&source.name, COMPACTION, &context.cancel);
    sources.iter().map(lock).collect::<Result<_>>().map(CompactionHeld)
}

/// [`compact`] those of `sources` whose increments are taken all the time, for who holds it; what was in the way.
pub(super) fn compact_followed(
    app: &App,
    sources: &[Source],
    _held: &CompactionHeld,
    context: &RunContext,
) -> Vec<String> {
    let is_followed = |source: &&Source| {
        app.config.sources.get(&source.name).is_some_and(|config| config.schedule.continuous.is_some())
    };
    let joined =
        |source: &Source| compact_locked(app, source, context).err().map(|error| format!("{}: {error}", source.name));
    sources.iter().filter(is_followed).filter_map(joined).collect()
}

/// What is there of this host; an error where something cannot be read: it may be what something else needs.
fn listed(app: &App, source: &Source) -> Result<Vec<Published>> {
    let Listed { mut own, .. } = Listed::of(app, source.repository.listing(Some(&source.name))?);
    match own.damaged.pop() {
        None => Ok(own.points),
        Some(error) => Err(error.context(format!("cannot join increments of {}", source.name))),
    }
}

fn plan<T>(
    app: &App,
    source: &Source,
    points: &[Published],
    of: impl FnOnce(&Chains<'_>, Compaction<'_>) -> T,
) -> Result<T> {
    let suspects = Suspects::of(app, source)?;
    // What passed is proved as it is; what failed stays, so that everybody sees that it is bad.
    let drilled = app.block_on(app.ledger.drilled_points(&source.name))?;
    let before = must_be_kept(points, &app.block_on(app.ledger.compared(&source.name))?);
    let is_pinned =
        |manifest: &Manifest| drilled.contains(&manifest.id, manifest.as_of) || before.contains(&manifest.id);
    let chains = Chains::of(points.iter().map(|point| &point.manifest), |manifest| suspects.contains(manifest));
    let compaction = chains.compaction(is_pinned);
    Ok(of(&chains, compaction))
}

fn join_all(app: &App, source: &Source, context: &RunContext) -> Result<u64> {
    // Nobody may take away what is being read, nor the room for what is written.
    let _reading = app.reading_from(&source.name, &context.cancel)?;
    let _storing = app.storing_in(&source.repository_name, &context.cancel)?;
    let points = listed(app, source)?;
    plan(app, source, &points, |chains, Compaction { joins, .. }| {
        for join in &joins {
            context.cancel.check()?;
            join_one(app, source, (chains, join), context)
                .map_err(|error| error.context(format!("cannot join increments of {}", source.name)))?;
        }
        Ok(joins.len() as u64)
    })?
}

fn join_one(app: &App, source: &Source, (chains, join): (&Chains<'_>, &Join<'_>), context: &RunContext) -> Result<()> {
    let (Some(first), Some(last)) = (join.increments.first(), join.increments.last()) else { return Ok(()) };
    let parent = chains.parent_of(&first.id).ok_or_else(|| Error::failed("what they continue is not there"))?;
    let has_changes = |manifest: &&&Manifest| manifest.file(FileRole::Log).is_some();
    let dump = if join.increments.iter().any(|it| has_changes(&it)) {
        let stored: Vec<StoredIncrement> = join.increments.iter().map(|manifest| opened(source, manifest)).collect();
        source.engine.join(&stored, context)?
    } else {
        idle(parent, last.as_of)
    };
    let mut made = made(app, source, RecoveryPointId(new_id()), last.as_of);
    // The state that it restores could be restored since then.
    made.finished = last.finished;
    let (candidate, captured) = store(source, &made, dump, context)?;
    let mut manifest = captured.increment(made, parent);
    manifest.chain_length = chains.length_of(parent) + (manifest.chain_length - parent.chain_length);
    manifest.joins = Some(Joins { tier: join.tier, of: join.of() });
    same_as(&manifest, join)?;
    publish_unlisted(source, candidate, &manifest)?;
    tracing::debug!(source = %source.name, increments = join.increments.len(), point = %manifest.id, "joined increments");
    Ok(())
}

fn opened(source: &Source, manifest: &Manifest) -> StoredIncrement {
    let (repository, name, id) = (source.repository.clone(), source.name.clone(), manifest.id.clone());
    let open: Opener = std::sync::Arc::new(move |path| repository.open(&name, &id, path));
    StoredIncrement { manifest: manifest.clone(), open }
}

/// It brings what they brought, from where the first began to where the last ended.
fn same_as(joined: &Manifest, join: &Join<'_>) -> Result<()> {
    let sum = |manifests: &[&Manifest]| {
        let changes = manifests.iter().filter_map(|manifest| match &manifest.promise {
            Promise::Changes(changes) => Some((changes.transactions, changes.row_events)),
            Promise::Exact(_) | Promise::Pending => None,
        });
        changes.fold((0, 0), |(all, events), (more, others)| (all + more, events + others))
    };
    let ends = |manifest: &Manifest| (manifest.from.clone(), manifest.position.clone());
    let (from, position) =
        (join.increments[0].from.clone(), join.increments[join.increments.len() - 1].position.clone());
    let is_same = sum(&[joined]) == sum(&join.increments) && ends(joined) == (from, position);
    if is_same && joined.contradiction().is_none() {
        return Ok(());
    }
    let ((transactions, events), (wanted, wanted_events)) = (sum(&[joined]), sum(&join.increments));
    Err(Error::failed(format!(
        "together they have {transactions} transactions and {events} row events, or other ends; one by one {wanted} and {wanted_events}"
    )))
}

/// Take what something took the place of out of the listing.
fn forget_superseded(app: &App, source: &Source) -> Result<u64> {
    // What a drill or a restore reads stays until it has ended.
    let Some(_removing) = app.removing_from(&source.name)? else { return Ok(0) };
    let points = listed(app, source)?;
    let superseded = plan(app, source, &points, |_, Compaction { superseded, .. }| superseded)?;
    if superseded.is_empty() {
        return Ok(0);
    }
    source.repository.storing()?.forget(&source.name, &superseded)?;
    let left = refresh_points(app, source)?;
    let superseded: BTreeSet<&RecoveryPointId> = superseded.iter().collect();
    if let Some(point) = left.own.points.iter().find(|point| superseded.contains(&point.manifest.id)) {
        let what = format!("recovery point {} of {} was removed and is still listed", point.manifest.id, source.name);
        return Err(Error::failed(what)
            .hint("does the place of the repository allow to remove files? append-only storage does not"));
    }
    Ok(superseded.len() as u64)
}
