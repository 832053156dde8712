//! Which moments can be restored.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::chains::Chains;
use super::place::{self, is_same};
use crate::domain::manifest::{BackupKind, RecoveryPointId};

/// From when until when any moment can be restored, both included. A full without increments is one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Window {
    /// As-of time of the full that it begins with.
    pub from: DateTime<Utc>,
    /// As-of time of the last increment, or of the full.
    pub to: DateTime<Utc>,
}

impl Window {
    /// Whether it is a single moment.
    pub fn is_instant(&self) -> bool {
        self.from == self.to
    }
}

/// A stretch between two moments that can be restored, of which no moment can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// The first moment after it: from there on moments can be restored again.
    pub to: DateTime<Utc>,
    /// The last moment before it.
    pub from: DateTime<Utc>,
}

/// A time in which any moment was promised, because incremental backups were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromisedTime {
    /// Its begin.
    pub from: DateTime<Utc>,
    /// Its end; none where it goes on.
    pub to: Option<DateTime<Utc>>,
}

impl Gap {
    /// Whether somebody who asks for a moment in it loses more than `loss`, although moments were promised then. What comes first may come
    /// as late as `loss` after they were promised.
    pub fn breaks(&self, promised: &[PromisedTime], loss: TimeDelta) -> bool {
        let after_begin = |from| self.to.checked_sub_signed(loss).is_some_and(|to| to > from);
        let before_end = |to| self.from.checked_add_signed(loss).is_some_and(|from| from < to);
        self.to - self.from > loss
            && promised.iter().any(|time| after_begin(time.from) && time.to.is_none_or(before_end))
    }
}

/// What lies between `windows` (oldest first), and before the first of them if a recovery point, dated `oldest`, is there that cannot be
/// restored. Oldest first.
pub fn gaps(windows: &[Window], oldest: Option<DateTime<Utc>>) -> Vec<Gap> {
    let lost = windows.first().zip(oldest).filter(|(first, oldest)| *oldest < first.from);
    let lost = lost.map(|(first, oldest)| Gap { from: oldest, to: first.from });
    let between = windows.windows(2).map(|pair| Gap { from: pair[0].to, to: pair[1].from });
    lost.into_iter().chain(between).collect()
}

/// The end of the newest of `gaps` (oldest first) that breaks the promise of any moment.
pub fn newest_break<'g>(
    gaps: impl DoubleEndedIterator<Item = &'g Gap>,
    loss: TimeDelta,
    promised: &[PromisedTime],
) -> Option<DateTime<Utc>> {
    gaps.rev().find(|gap| gap.breaks(promised, loss)).map(|gap| gap.to)
}

/// Since when, back from the newest of `windows` (oldest first), nobody who asks for a moment loses more than `loss` of it. Where no
/// moments were promised, only recovery points were: gaps there do not count. None: nothing can be restored.
pub fn kept_since(windows: &[Window], loss: TimeDelta, promised: &[PromisedTime]) -> Option<DateTime<Utc>> {
    let first = windows.first()?.from;
    Some(newest_break(gaps(windows, None).iter(), loss, promised).unwrap_or(first))
}

impl Chains<'_> {
    /// The windows, oldest first. Chains that follow each other without a moment between them make one.
    pub fn windows(&self) -> Vec<Window> {
        let mut windows: Vec<Window> = Vec::new();
        for (_, piece) in self.pieces() {
            match windows.last_mut() {
                Some(last) if piece.from <= last.to => last.to = last.to.max(piece.to),
                _ => windows.push(piece),
            }
        }
        windows
    }

    /// The window that each recovery point is part of; one that cannot be restored, or is dated wrongly, is part of none.
    pub fn in_windows(&self) -> BTreeMap<&RecoveryPointId, Window> {
        let windows = self.windows();
        // Each is in one: it is a stretch of its own.
        let of = |time| windows[windows.partition_point(|window| window.from <= time) - 1];
        self.sound().map(|at| (&self.points[at].manifest.id, of(self.points[at].as_of()))).collect()
    }

    /// Every stretch whose moments can be restored, with the recovery point that restores them, in the order of their beginnings:
    /// the points themselves, and what lies between each and what it continues.
    pub(super) fn pieces(&self) -> Vec<(usize, Window)> {
        let mut pieces = Vec::new();
        for at in self.sound() {
            let to = self.points[at].as_of();
            // A clock that was put back by seconds makes no window.
            let begin = self.points[at].parent.filter(|parent| !self.points[*parent].is_suspect);
            let from = begin.map_or(to, |parent| self.points[parent].as_of().min(to));
            pieces.push((at, Window { from, to }));
        }
        pieces.extend(self.joints());
        pieces.sort_by_key(|(at, window)| (*window, *at));
        pieces
    }

    /// Between two points at the same place of the same log nothing happened: so a chain can end where a full begins the next. One that
    /// was dated before a full and reaches beyond its place has everything that came until then.
    fn joints(&self) -> Vec<(usize, Window)> {
        let sound: Vec<usize> = self.sound().collect();
        let manifest = |at: usize| self.points[at].manifest;
        let is_joint = |pair: &&[usize]| {
            let (one, next) = (manifest(pair[0]), manifest(pair[1]));
            let ends = one.position.as_ref().zip(next.position.as_ref());
            ends.is_some_and(|(end, begin)| is_same(end, begin))
                || next.kind == BackupKind::Full && place::is_beyond(one, next)
        };
        let joint =
            |pair: &[usize]| (pair[0], Window { from: self.points[pair[0]].as_of(), to: self.points[pair[1]].as_of() });
        sound.windows(2).filter(is_joint).map(joint).collect()
    }
}
