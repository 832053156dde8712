//! The backup that the next one continues, and what is said where the source does not continue it.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::listing::refresh_points;
use super::select::split_suspects;
use crate::app::{App, Source};
use crate::domain::chain::{Break, BreakKind, Chains, Unrestorable};
use crate::domain::forecast::Size;
use crate::domain::manifest::{FileRole, Manifest, RecoveryPointId};
use crate::domain::promise::{Changes, Promise};
use crate::error::Result;
use crate::ledger::{BreakFigures, ChainBreak};

/// So many full backups that nothing can continue are taken within a day because increments ask for them.
const MOST_FUTILE: usize = 2;

/// What an increment continues.
pub(super) struct Continued {
    /// The end of the chain of this host's newest full backup.
    pub(super) manifest: Manifest,
    /// That full backup; none where the way back to it is not there.
    pub(super) full: Option<RecoveryPointId>,
    /// Up to when moments can be restored: the chain before may reach further while a new one has only its full backup.
    pub(super) restorable_until: DateTime<Utc>,
    /// Increments with changes that a restore of it replays.
    pub(super) replayed: u32,
    /// What a restore of it works through.
    pub(super) size: Size,
    /// How many of the newest full backups in a row, within a day, cannot be continued.
    pub(super) futile: usize,
    /// Why no restore can bring it back; what continues it could not come back either.
    pub(super) unrestorable: Option<Unreachable>,
}

/// A backup that no restore can bring back.
pub(super) struct Unreachable {
    /// Why.
    pub(super) why: String,
    /// Where it is because something is no longer in the repository: the newest backup that can be restored, and the break.
    pub(super) gone: Option<(Manifest, Break)>,
}

/// What an increment says of itself.
fn cannot_be_replayed(newest: &Manifest) -> Option<Unreachable> {
    let Promise::Changes(Changes { unreplayable: Some(why), .. }) = &newest.promise else { return None };
    let increment = newest.id.clone();
    Some(Unreachable { why: Unrestorable::Unreplayable { increment, why: why.clone() }.to_string(), gone: None })
}

/// What the next increment continues; none before the first backup of this host.
pub(super) fn to_continue(app: &App, source: &Source) -> Result<Option<Continued>> {
    if !source.repository.exists()? {
        return Ok(None);
    }
    source.repository.open_existing()?;
    let listed = refresh_points(app, source)?;
    let ids: BTreeSet<RecoveryPointId> = listed.own.points.iter().map(|point| point.manifest.id.clone()).collect();
    // What is there and cannot be read may be read again.
    let is_whole = listed.own.damaged.is_empty();
    let (_, sound) = split_suspects(app, source, listed.own.points)?;
    let chains = Chains::of(sound.iter().map(|point| &point.manifest), |_| false);
    let Some(end) = chains.end().cloned() else { return Ok(None) };
    let last = chains.restorable().next_back();
    let restorable_until = last.map_or(end.as_of, |last| last.as_of);
    let unrestorable = chains.line(&end.id).and_then(Result::err).map(|why| {
        let is_gone = matches!(why, Unrestorable::ParentMissing { parent, .. } if is_whole && !ids.contains(parent));
        let last = last.unwrap_or(&end).clone();
        let gone = is_gone.then(|| (last, Break::new(BreakKind::Missing, why.to_string())));
        Unreachable { why: why.to_string(), gone }
    });
    let full = chains.full_of(&end.id).map(|full| full.id.clone());
    let (size, replayed) = (size_of(&chains, &end), chains.length_of(&end));
    let futile = chains.futile(app.clock.wall() - TimeDelta::hours(24));
    Ok(Some(Continued { replayed, size, full, restorable_until, futile, unrestorable, manifest: end }))
}

/// What a restore of a recovery point works through; of one that cannot be restored, itself.
fn size_of(chains: &Chains<'_>, manifest: &Manifest) -> Size {
    let Some(Ok(line)) = chains.line(&manifest.id) else { return Size::of_full(manifest.logical_bytes()) };
    let full = Size::of_full(line.full.logical_bytes());
    let has_changes = |increment: &Manifest| increment.file(FileRole::Log).is_some();
    line.increments.iter().fold(full, |size, one| size.with(one.logical_bytes(), has_changes(one)))
}

impl Continued {
    /// Whether another full backup would only burden the server: the last two could not be continued either.
    pub(super) fn is_enough(&self) -> bool {
        self.futile >= MOST_FUTILE
    }

    /// Go on from `next`, which continues it and was published.
    pub(super) fn advance(&mut self, next: Manifest) {
        let has_changes = next.file(FileRole::Log).is_some();
        self.replayed += u32::from(has_changes);
        self.size = self.size.with(next.logical_bytes(), has_changes);
        self.restorable_until = self.restorable_until.max(next.as_of);
        self.unrestorable = self.unrestorable.take().or_else(|| cannot_be_replayed(&next));
        self.manifest = next;
    }

    /// Where moments end if nothing continues it.
    pub(super) fn loss(&self) -> Loss<'_> {
        Loss { parent: &self.manifest, since: self.manifest.as_of.max(self.restorable_until) }
    }
}

/// What a break loses.
#[derive(Clone, Copy)]
pub(super) struct Loss<'m> {
    /// The backup that cannot be continued.
    pub(super) parent: &'m Manifest,
    /// The last moment before it that can be restored.
    pub(super) since: DateTime<Utc>,
}

impl<'m> Loss<'m> {
    /// Everything after this one.
    pub(super) fn after(parent: &'m Manifest) -> Self {
        Self { parent, since: parent.as_of }
    }
}

/// Whether it was told before that this backup cannot be continued. What was found while a full backup was read, and lies behind the place
/// of that one too, breaks two chains: each is told, or the second would look whole.
pub(super) fn is_told(app: &App, source: &Source, parent: &Manifest) -> Result<bool> {
    let known = app.block_on(app.ledger.snapshot())?.breaks.remove(&source.name);
    Ok(known.is_some_and(|BreakFigures { last, .. }| last.parent == parent.id))
}

/// Write a break down, once, and say it. It was found now, or before a full backup of this time that began a new chain.
pub(super) fn tell(
    app: &App,
    source: &Source,
    loss: Loss<'_>,
    (broken, next): (&Break, Option<DateTime<Utc>>),
) -> Result<String> {
    let (kind, parent) = (broken.kind.name(), loss.parent);
    let record = ChainBreak {
        source: source.name.clone(),
        kind: kind.to_owned(),
        detail: broken.detail.clone(),
        parent: parent.id.clone(),
        lost_since: loss.since,
        found: next.map_or(app.clock.wall(), |next| (next - TimeDelta::microseconds(1)).min(app.clock.wall())),
    };
    // The full backup that begins the next chain may fail, or be waited for: it is the same break each time.
    let known = app.block_on(app.ledger.snapshot())?.breaks.remove(&source.name);
    let is_same = known.is_some_and(|known| known.last.kind == record.kind);
    if !(is_same && is_told(app, source, parent)?) {
        // What is not written down could be forgotten once a new chain has begun.
        let written = app.block_on(app.ledger.record_break(&record));
        written.map_err(|error| error.context(format!("cannot record that the chain is broken ({kind}): {broken}")))?;
    }
    let said = told(loss, broken);
    tracing::error!(source = %source.name, "{said}");
    Ok(said)
}

/// What is said of a break.
pub(super) fn told(loss: Loss<'_>, broken: &Break) -> String {
    let (kind, since) = (broken.kind.name(), loss.since.format("%F %T UTC"));
    format!(
        "the chain is broken ({kind}): {broken}; moments between {since} and the full backup that follows cannot be restored"
    )
}
