//! Which recovery point the next increment continues.
//!
//! While a full is read, increments go on in the chain before it. Once it is published the next one continues it, although increments
//! of the chain before are newer: they end nothing. A full that does not say in which log it stands is continued by nothing, and the chain
//! before it goes on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::chains::{Chains, joined};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};

/// Which full an increment leads back to.
enum Begin {
    /// The one at this place.
    Full(usize),
    /// What lies between is not there, so nobody knows.
    Unknown,
}

impl<'m> Chains<'m> {
    /// The end of the chain of the newest full that can be continued, whether or not it can be restored; of the newest full where none can
    /// be, and the newest of all where there is no full. What is dated wrongly is not considered.
    pub fn end(&self) -> Option<&'m Manifest> {
        let dated = || (0..self.points.len()).rev().filter(|at| !self.points[*at].is_suspect);
        let newest = |at: usize| self.points[at].manifest;
        let fulls = || dated().filter(|at| newest(*at).kind == BackupKind::Full);
        let Some(full) = fulls().find(|at| !is_futile(newest(*at))).or_else(|| fulls().next()) else {
            return dated().next().map(newest);
        };
        let joined = joined(&self.points().collect::<Vec<_>>());
        let is_of_chain = |at: &usize| match self.begin(*at, &joined) {
            Begin::Full(begin) => begin == full,
            // Until it was published, whatever was taken belongs to the chain before.
            Begin::Unknown => newest(*at).as_of > newest(full).finished,
        };
        dated().find(is_of_chain).map(newest)
    }

    /// How many of the newest fulls, one after the other and not older than `since`, stand somewhere in a log and do not say in which.
    pub fn futile(&self, since: DateTime<Utc>) -> usize {
        let fulls = self.dated().rev().filter(|point| point.kind == BackupKind::Full && point.as_of >= since);
        fulls.take_while(|full| is_futile(full)).count()
    }

    /// Where the line of a recovery point begins, also where what is on the way cannot be replayed.
    fn begin(&self, at: usize, joined: &BTreeMap<&RecoveryPointId, Vec<usize>>) -> Begin {
        let mut at = at;
        // A circle is left after as many steps as there are points.
        for _ in 0..self.points.len() {
            if let Ok(full) = self.points[at].full {
                return Begin::Full(full);
            }
            let manifest = self.points[at].manifest;
            if manifest.kind == BackupKind::Full {
                return Begin::Full(at);
            }
            let place = |parent| self.place_of(parent).or_else(|| joined.get(parent)?.first().copied());
            match manifest.parent.as_ref().and_then(place) {
                Some(parent) => at = parent,
                None => return Begin::Unknown,
            }
        }
        Begin::Unknown
    }
}

/// Whether it stands somewhere in a log and does not say in which: nobody can tell what continues it.
pub(super) fn is_futile(full: &Manifest) -> bool {
    full.position.as_ref().is_some_and(|position| position.log.is_none())
}
