//! The backup that the next one continues, and what is said where the source does not continue it.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::listing::refresh_points;
use super::select::split_suspects;
use crate::app::{App, Source};
use crate::domain::chain::{Break, BreakKind, Chains, Unrestorable};
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::domain::promise::{Changes, Promise};
use crate::error::Result;
use crate::ledger::ChainBreak;

/// What an increment continues.
pub(super) struct Continued {
    /// The newest backup of this host.
    pub(super) manifest: Manifest,
    /// Increments with changes that a restore of it replays.
    pub(super) replayed: u32,
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
pub(super) fn cannot_be_replayed(newest: &Manifest) -> Option<Unreachable> {
    let Promise::Changes(Changes { unreplayable: Some(why), .. }) = &newest.promise else { return None };
    let increment = newest.id.clone();
    Some(Unreachable { why: Unrestorable::Unreplayable { increment, why: why.clone() }.to_string(), gone: None })
}

/// The newest backup of this host; none before the first.
pub(super) fn newest(app: &App, source: &Source) -> Result<Option<Continued>> {
    if !source.repository.exists()? {
        return Ok(None);
    }
    source.repository.open_existing()?;
    let listed = refresh_points(app, source)?;
    let ids: BTreeSet<RecoveryPointId> = listed.own.points.iter().map(|point| point.manifest.id.clone()).collect();
    // What is there and cannot be read may be read again.
    let is_whole = listed.own.damaged.is_empty();
    let (_, sound) = split_suspects(app, source, listed.own.points)?;
    let Some(newest) = sound.last().map(|point| point.manifest.clone()) else { return Ok(None) };
    let chains = Chains::of(sound.iter().map(|point| &point.manifest), |_| false);
    let unrestorable = chains.line(&newest.id).and_then(Result::err).map(|why| {
        let is_gone = matches!(why, Unrestorable::ParentMissing { parent, .. } if is_whole && !ids.contains(parent));
        let last = chains.restorable().next_back().unwrap_or(&newest).clone();
        let gone = is_gone.then(|| (last, Break::new(BreakKind::Missing, why.to_string())));
        Unreachable { why: why.to_string(), gone }
    });
    Ok(Some(Continued { replayed: chains.length_of(&newest), unrestorable, manifest: newest }))
}

/// Write a break down, once, and say it. It was found now, or before a full backup of this time that began a new chain.
pub(super) fn tell(
    app: &App,
    source: &Source,
    parent: &Manifest,
    (broken, next): (&Break, Option<DateTime<Utc>>),
) -> Result<String> {
    let kind = broken.kind.name();
    let record = ChainBreak {
        source: source.name.clone(),
        kind: kind.to_owned(),
        detail: broken.detail.clone(),
        parent: parent.id.clone(),
        lost_since: parent.as_of,
        found: next.map_or(app.clock.wall(), |next| (next - TimeDelta::microseconds(1)).min(app.clock.wall())),
    };
    // The full backup that begins the next chain may fail, or be waited for: it is the same break each time.
    let known = app.block_on(app.ledger.snapshot())?.breaks.remove(&source.name);
    let is_known = known.is_some_and(|known| (&known.last.parent, &known.last.kind) == (&record.parent, &record.kind));
    if !is_known {
        // What is not written down could be forgotten once a new chain has begun.
        let written = app.block_on(app.ledger.record_break(&record));
        written.map_err(|error| error.context(format!("cannot record that the chain is broken ({kind}): {broken}")))?;
    }
    let said = told(parent, broken);
    tracing::error!(source = %source.name, "{said}");
    Ok(said)
}

/// What is said of a break.
pub(super) fn told(parent: &Manifest, broken: &Break) -> String {
    let (kind, since) = (broken.kind.name(), parent.as_of.format("%F %T UTC"));
    format!(
        "the chain is broken ({kind}): {broken}; moments between {since} and the full backup that follows cannot be restored"
    )
}
