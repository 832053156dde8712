//! How a chain is proved whole: replayed to exactly the place of the full that follows it, it must be what that full promises.

use std::collections::BTreeMap;

use super::chains::Chains;
use super::end::is_futile;
use super::place::{Place, anchors, is_one_log, is_same};
use super::plan::Plan;
use super::until::Until;
use crate::domain::manifest::{BackupKind, Manifest};

/// What can be proved of one chain.
#[derive(Debug, Clone, PartialEq)]
pub enum Closing<'m> {
    /// No full follows it yet.
    Open,
    /// It has no increments up to the full that follows: there is nothing to replay.
    Alone,
    /// Its increments do not reach the full that follows: the chain broke before.
    Unreached {
        /// That full.
        next: &'m Manifest,
    },
    /// It reaches the full that follows.
    Proof {
        /// The full and increments to the place of that full.
        plan: Plan<'m>,
        /// The full, whose manifest says what must be there then.
        next: &'m Manifest,
    },
}

impl<'m> Chains<'m> {
    /// Each chain by the full that it begins with, oldest first, with what can be proved of it.
    pub fn closings(&self) -> Vec<(&'m Manifest, Closing<'m>)> {
        let mut increments: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, point) in self.points.iter().enumerate() {
            if let (Ok(full), BackupKind::Incremental) = (&point.full, point.manifest.kind) {
                increments.entry(*full).or_default().push(at);
            }
        }
        let fulls: Vec<usize> = self.sound().filter(|at| self.points[*at].manifest.kind == BackupKind::Full).collect();
        // One that nothing can continue ends no chain.
        let is_end = |at: &&usize| !is_futile(self.points[**at].manifest);
        let follower = |at: usize| fulls[at + 1..].iter().find(is_end).or(fulls.get(at + 1));
        let followers = (0..fulls.len()).map(follower);
        let closing = |(full, next): (&usize, Option<&usize>)| {
            let of_chain = increments.get(full).map_or(&[][..], Vec::as_slice);
            let full = self.points[*full].manifest;
            (full, self.closing(full, of_chain, next.map(|next| self.points[*next].manifest)))
        };
        fulls.iter().zip(followers).map(closing).collect()
    }

    fn closing(&self, full: &Manifest, increments: &[usize], next: Option<&'m Manifest>) -> Closing<'m> {
        let Some(next) = next else { return Closing::Open };
        if increments.is_empty() {
            return Closing::Alone;
        }
        let Some((position, place)) = next.position.as_ref().and_then(|it| Some((it, Place::of(it)?))) else {
            return Closing::Unreached { next };
        };
        let ends_there = |manifest: &Manifest| manifest.position.as_ref().is_some_and(|end| is_same(end, position));
        let contains =
            |manifest: &Manifest| place.is_inside(manifest) && is_one_log(&anchors(manifest), &anchors(next));
        let nearest = |fits: &dyn Fn(&Manifest) -> bool| {
            let found = increments.iter().filter(|at| fits(self.points[**at].manifest));
            found.min_by_key(|at| self.points[**at].depth).copied()
        };
        let before = Until::Before { file: place.file.clone(), offset: place.offset };
        let found = nearest(&ends_there).map(|at| (at, Until::End)).or_else(|| Some((nearest(&contains)?, before)));
        match found.and_then(|(at, until)| self.stopped(at, until).ok()) {
            Some(plan) => Closing::Proof { plan, next },
            // Nothing came before the next full was opened; what came while it was read continues it as well.
            None if full.position.as_ref().is_some_and(|begin| is_same(begin, position)) => Closing::Alone,
            None => Closing::Unreached { next },
        }
    }
}
