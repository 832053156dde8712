//! Which moments can be restored.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::chains::Chains;
use super::place::is_same;
use crate::domain::manifest::RecoveryPointId;

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

/// Since when, back from the newest of `windows` (oldest first), nobody who asks for a moment loses more than `loss` of it. Before
/// `promised` no moments were promised, only recovery points: gaps there do not count. None: nothing can be restored.
pub fn kept_since(windows: &[Window], loss: TimeDelta, promised: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (newest, older) = windows.split_last()?;
    let mut since = newest.from;
    for window in older.iter().rev() {
        let is_promised = since - loss > promised;
        if is_promised && since - window.to > loss {
            break;
        }
        since = window.from;
    }
    Some(since)
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

    /// Between two points at the same place of the same log nothing happened: so a chain can end where a full begins the next.
    fn joints(&self) -> Vec<(usize, Window)> {
        let sound: Vec<usize> = self.sound().collect();
        let position = |at: usize| self.points[at].manifest.position.as_ref();
        let is_joint = |pair: &&[usize]| {
            let ends = position(pair[0]).zip(position(pair[1]));
            ends.is_some_and(|(end, begin)| is_same(end, begin))
        };
        let joint =
            |pair: &[usize]| (pair[0], Window { from: self.points[pair[0]].as_of(), to: self.points[pair[1]].as_of() });
        sound.windows(2).filter(is_joint).map(joint).collect()
    }
}
