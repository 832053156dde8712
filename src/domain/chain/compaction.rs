//! Which small increments become one larger one, and which may go because one took their place.
//!
//! Of increments that follow each other, so many of a size are joined into one of the next size. Nothing is changed in place: the joined one
//! is published first, and only then go those that it took the place of. While both are there, either way leads to the same state.

use std::collections::{BTreeMap, BTreeSet};

use super::chains::Chains;
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};

/// So many are joined: small ones, and those that were joined once. What was joined twice stays.
const FAN: [usize; 2] = [30, 12];
/// More bytes are not joined: they would be written again for little.
const MOST_BYTES: u64 = 1 << 30;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compaction<'m> {
    /// Increments that become one.
    pub joins: Vec<Join<'m>>,
    /// Those whose place another has taken, and that nothing needs.
    pub superseded: Vec<RecoveryPointId>,
}

/// Increments that become one, in order; two at least.
#[derive(Debug, Clone, PartialEq)]
pub struct Join<'m> {
    /// They.
    pub increments: Vec<&'m Manifest>,
    /// How many times what the new one holds was joined.
    pub tier: u32,
}

impl Join<'_> {
    /// Every increment that the new one takes the place of, those included that they took the place of.
    pub fn of(&self) -> Vec<RecoveryPointId> {
        let of = |increment: &&Manifest| {
            let before = increment.joins.iter().flat_map(|joins| joins.of.iter().cloned());
            before.chain(std::iter::once(increment.id.clone())).collect::<Vec<_>>()
        };
        self.increments.iter().flat_map(of).collect()
    }
}

impl<'m> Chains<'m> {
    /// What is to be joined and what may go. Those that are `pinned` stay as they are: somebody means them by name.
    pub fn compaction(&self, pinned: impl Fn(&Manifest) -> bool) -> Compaction<'m> {
        self.compaction_of(FAN, pinned)
    }

    fn compaction_of(&self, fan: [usize; 2], pinned: impl Fn(&Manifest) -> bool) -> Compaction<'m> {
        let shadowed = self.shadowed();
        let superseded = self.superseded(&shadowed, &pinned);
        let runs = self.without(&shadowed).runs(&pinned);
        Compaction { joins: runs.iter().flat_map(|run| run.joins(fan)).collect(), superseded }
    }

    /// Increments that are listed beside one that took their place.
    fn shadowed(&self) -> BTreeSet<&'m RecoveryPointId> {
        let sound = self.sound().map(|at| self.points[at].manifest);
        let joined: BTreeSet<&RecoveryPointId> =
            sound.filter_map(|manifest| manifest.joins.as_ref()).flat_map(|joins| &joins.of).collect();
        self.points().map(|manifest| &manifest.id).filter(|id| joined.contains(id)).collect()
    }

    /// The same without some.
    fn without(&self, left_out: &BTreeSet<&RecoveryPointId>) -> Self {
        let misdated: BTreeSet<&RecoveryPointId> =
            self.points.iter().filter(|point| point.is_suspect).map(|point| &point.manifest.id).collect();
        let rest = self.points().filter(|manifest| !left_out.contains(&manifest.id));
        Chains::of(rest, |manifest| misdated.contains(&manifest.id))
    }

    /// Of those that are shadowed: the ones without which everything else is restored as well, and every moment too.
    fn superseded(
        &self,
        shadowed: &BTreeSet<&'m RecoveryPointId>,
        pinned: impl Fn(&Manifest) -> bool,
    ) -> Vec<RecoveryPointId> {
        // What is pinned is restored from what it was made on.
        let stays = self.points().filter(|manifest| shadowed.contains(&manifest.id) && pinned(manifest));
        let lines = stays.filter_map(|manifest| self.line(&manifest.id)?.ok());
        let needed: BTreeSet<&RecoveryPointId> =
            lines.flat_map(|line| line.increments).map(|increment| &increment.id).collect();
        let gone: BTreeSet<&RecoveryPointId> = shadowed.difference(&needed).copied().collect();
        let rest = self.without(&gone);
        let full_of = |chains: &Self, id| chains.full_of(id).map(|full: &Manifest| &full.id);
        let is_as_before = rest.points().all(|it| full_of(&rest, &it.id) == full_of(self, &it.id));
        if is_as_before && rest.windows() == self.windows() { gone.into_iter().cloned().collect() } else { Vec::new() }
    }

    /// Increments of one size that follow each other, and that nobody means by name.
    fn runs(&self, pinned: impl Fn(&Manifest) -> bool) -> Vec<Run<'m>> {
        let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in self.sound() {
            if let Some(parent) = self.points[at].parent {
                children.entry(parent).or_default().push(at);
            }
        }
        // Where several continue one, nobody knows which of them stays: such a chain is left as it is from there on.
        let only_child = |at: &usize| match children.get(at).map(Vec::as_slice) {
            Some([child]) => Some(*child),
            _ => None,
        };
        let fulls: Vec<usize> = self.sound().filter(|at| self.points[*at].manifest.kind == BackupKind::Full).collect();
        // Increments are taken in this one, or what it is has to be found out.
        let open = self.end().and_then(|end| self.full_of(&end.id));
        let open = open.or_else(|| fulls.last().map(|full| self.points[*full].manifest)).map(|full| &full.id);
        let mut runs = Vec::new();
        for full in &fulls {
            let line = std::iter::successors(only_child(full), only_child);
            let line: Vec<&Manifest> = line.map(|at| self.points[at].manifest).collect();
            runs.extend(cut(&line, Some(&self.points[*full].manifest.id) == open, &pinned));
        }
        runs
    }
}

/// Increments of one size that follow each other.
struct Run<'m> {
    increments: Vec<&'m Manifest>,
    tier: u32,
    /// More of the size may follow.
    may_grow: bool,
}

fn tier(manifest: &Manifest) -> u32 {
    manifest.joins.as_ref().map_or(0, |joins| joins.tier)
}

/// A line of increments in runs. The newest of an open chain stays: it is what the next one continues.
fn cut<'m>(line: &[&'m Manifest], is_open: bool, is_pinned: impl Fn(&Manifest) -> bool) -> Vec<Run<'m>> {
    let end = line.len() - usize::from(is_open && !line.is_empty());
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut is_begun = false;
    for manifest in &line[..end] {
        if is_pinned(manifest) {
            // Nothing of what comes after it is joined with what was before.
            for run in &mut runs {
                run.may_grow = false;
            }
            is_begun = false;
            continue;
        }
        let tier = tier(manifest);
        if let Some(run) = runs.last_mut().filter(|run| is_begun && run.tier == tier) {
            run.increments.push(manifest);
        } else {
            // What is followed by something of its size or larger is complete.
            for run in runs.iter_mut().filter(|run| run.tier <= tier) {
                run.may_grow = false;
            }
            runs.push(Run { increments: vec![manifest], tier, may_grow: is_open });
        }
        is_begun = true;
    }
    runs
}

impl<'m> Run<'m> {
    fn joins(&self, fan: [usize; 2]) -> Vec<Join<'m>> {
        let Some(fan) = usize::try_from(self.tier).ok().and_then(|tier| fan.get(tier)) else { return Vec::new() };
        let (mut joins, mut rest) = (Vec::new(), self.increments.as_slice());
        while !rest.is_empty() {
            let fits = |count: &usize| rest[..*count].iter().map(|it| it.logical_bytes()).sum::<u64>() <= MOST_BYTES;
            let most = rest.len().min(*fan);
            let count = (1..=most).rev().find(fits).unwrap_or(1);
            let (some, others) = rest.split_at(count);
            let is_full = count == *fan || count < most;
            if count > 1 && (is_full || !self.may_grow) {
                joins.push(Join { increments: some.to_vec(), tier: self.tier + 1 });
            }
            rest = others;
        }
        joins
    }
}

#[cfg(test)]
#[path = "compaction_tests.rs"]
mod tests;
