//! Which increment continues what, and which recovery points can be restored at all.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::place::{are_one_log, do_overlap};
use super::refusal::Unrestorable;
use crate::domain::manifest::{BackupKind, FileRole, Manifest, RecoveryPointId};
use crate::domain::promise::{Changes, Promise};

/// The recovery points of one source, linked.
pub struct Chains<'m> {
    /// Oldest as-of time first, by id where that is the same.
    pub(super) points: Vec<Member<'m>>,
    by_id: BTreeMap<&'m RecoveryPointId, usize>,
}

/// One recovery point in its chain. Others are named by their places in [`Chains::points`].
pub(super) struct Member<'m> {
    pub manifest: &'m Manifest,
    /// Its date cannot be right: it bounds no window and is chosen by no time.
    pub is_suspect: bool,
    /// What it continues, where that is there and ends where this begins.
    pub parent: Option<usize>,
    /// The full that its line begins with, or why it cannot be restored.
    pub full: Result<usize, Unrestorable>,
    /// Increments between that full and this one, this one included.
    pub depth: usize,
}

impl Member<'_> {
    pub fn as_of(&self) -> DateTime<Utc> {
        self.manifest.as_of
    }
}

/// What is restored for one recovery point: a full, and what is replayed on top of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'m> {
    /// The full.
    pub full: &'m Manifest,
    /// The increments, in order; none for the full itself.
    pub increments: Vec<&'m Manifest>,
}

impl<'m> Chains<'m> {
    /// Link `manifests`: all that count and can be read of one source, in any order. Those that `is_suspect` are dated by a wrong clock.
    pub fn of(manifests: impl IntoIterator<Item = &'m Manifest>, is_suspect: impl Fn(&Manifest) -> bool) -> Self {
        let mut manifests: Vec<&Manifest> = manifests.into_iter().collect();
        manifests.sort_by(|a, b| (a.as_of, &a.id).cmp(&(b.as_of, &b.id)));
        let by_id: BTreeMap<_, _> = manifests.iter().enumerate().map(|(at, manifest)| (&manifest.id, at)).collect();
        let known = Known { by_id: &by_id, joined: joined(&manifests) };
        let mut steps: Vec<Step> = manifests.iter().map(|manifest| step(manifest, &manifests, &known)).collect();
        let mut fulls = resolve(&steps, &manifests);
        if !known.joined.is_empty() {
            shorten(&mut steps, &fulls, &known, |at| (!is_suspect(manifests[at])).then_some(manifests[at]));
            fulls = resolve(&steps, &manifests);
        }
        let member = |((manifest, step), (full, depth)): ((&'m Manifest, &Step), _)| Member {
            manifest,
            is_suspect: is_suspect(manifest),
            parent: if let Step::Continues(parent) = step { Some(*parent) } else { None },
            full,
            depth,
        };
        let points = manifests.into_iter().zip(&steps).zip(fulls).map(member).collect();
        Self { points, by_id }
    }

    /// The line back to the full of the recovery point `id`, or why it cannot be restored. None: there is no such one.
    pub fn line(&self, id: &RecoveryPointId) -> Option<Result<Line<'m>, &Unrestorable>> {
        self.by_id.get(id).map(|at| self.line_of(*at))
    }

    pub(super) fn line_of(&self, at: usize) -> Result<Line<'m>, &Unrestorable> {
        let full = *self.points[at].full.as_ref()?;
        let parents = std::iter::successors(Some(at), |at| self.points[*at].parent);
        let mut increments: Vec<&Manifest> = parents.map(|at| self.points[at].manifest).collect();
        increments.pop();
        increments.reverse();
        Ok(Line { full: self.points[full].manifest, increments })
    }

    /// The full that the line of the recovery point `id` begins with; none where it cannot be restored.
    pub fn full_of(&self, id: &RecoveryPointId) -> Option<&'m Manifest> {
        let full = *self.points[*self.by_id.get(id)?].full.as_ref().ok()?;
        Some(self.points[full].manifest)
    }

    /// Whether an increment continues the recovery point `id`.
    pub fn is_continued(&self, id: &RecoveryPointId) -> bool {
        self.points.iter().any(|point| point.manifest.parent.as_ref() == Some(id))
    }

    /// The recovery point that the increment `id` continues, or what took its place.
    pub fn parent_of(&self, id: &RecoveryPointId) -> Option<&'m Manifest> {
        let parent = self.points[*self.by_id.get(id)?].parent?;
        Some(self.points[parent].manifest)
    }

    /// Increments with changes that a restore of the recovery point `id` replays; none where it cannot be restored.
    pub fn replayed(&self, id: &RecoveryPointId) -> Option<u32> {
        let line = self.line(id)?.ok()?;
        let has_changes = |increment: &&&Manifest| increment.file(FileRole::Log).is_some();
        u32::try_from(line.increments.iter().filter(has_changes).count()).ok()
    }

    /// The same as it is shown: what was joined counts once, whatever was counted when a later one was made.
    pub fn length_of(&self, manifest: &Manifest) -> u32 {
        let has_joined = self.points.iter().any(|point| point.manifest.joins.is_some());
        let replayed = if has_joined { self.replayed(&manifest.id) } else { None };
        replayed.unwrap_or(manifest.chain_length)
    }

    /// The recovery point of this name.
    pub fn point(&self, id: &RecoveryPointId) -> Option<&'m Manifest> {
        self.by_id.get(id).map(|at| self.points[*at].manifest)
    }

    pub(super) fn place_of(&self, id: &RecoveryPointId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// All, oldest first.
    pub fn points(&self) -> impl Iterator<Item = &'m Manifest> + '_ {
        self.points.iter().map(|point| point.manifest)
    }

    /// Everything that is dated right, oldest first.
    pub fn dated(&self) -> impl DoubleEndedIterator<Item = &'m Manifest> + '_ {
        self.points.iter().filter(|point| !point.is_suspect).map(|point| point.manifest)
    }

    /// What can be restored and is dated right, oldest first.
    pub fn restorable(&self) -> impl DoubleEndedIterator<Item = &'m Manifest> + '_ {
        self.sound().map(|at| self.points[at].manifest)
    }

    /// Recovery points that cannot be restored, oldest first, with why.
    pub fn unrestorable(&self) -> impl Iterator<Item = (&'m Manifest, &Unrestorable)> {
        self.points.iter().filter_map(|point| Some((point.manifest, point.full.as_ref().err()?)))
    }

    /// Whether places and GTIDs may occur more than once, because the server's log was begun anew or is not known.
    pub fn are_places_ambiguous(&self) -> bool {
        !are_one_log(self.points())
    }

    /// Those of `increments` that hold a part of the log which another of them holds, too: of two chains, while a full was read.
    pub fn overlapping(&self, increments: &[&'m Manifest]) -> BTreeSet<&'m RecoveryPointId> {
        let overlap = |one: &&&Manifest| {
            let is_other = |other: &&&Manifest| self.full_id(&other.id) != self.full_id(&one.id);
            increments.iter().filter(is_other).any(|other| do_overlap(one, other))
        };
        increments.iter().filter(overlap).map(|one| &one.id).collect()
    }

    fn full_id(&self, id: &RecoveryPointId) -> Option<&RecoveryPointId> {
        self.full_of(id).map(|full| &full.id)
    }

    /// Whether any of them is an increment.
    pub fn has_increments(&self) -> bool {
        self.points.iter().any(|point| point.manifest.kind == BackupKind::Incremental)
    }

    /// What can be restored and is dated right, oldest first.
    pub(super) fn sound(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..self.points.len()).filter(|at| !self.points[*at].is_suspect && self.points[*at].full.is_ok())
    }
}

/// The next step from a recovery point back to its full.
enum Step {
    /// It is one.
    Full,
    /// It continues this one.
    Continues(usize),
    /// There is no way back.
    Lost(Unrestorable),
}

/// Where the recovery point of a name is.
struct Known<'k, 'm> {
    by_id: &'k BTreeMap<&'m RecoveryPointId, usize>,
    /// By name of one that was joined: what took its place.
    joined: BTreeMap<&'m RecoveryPointId, Vec<usize>>,
}

/// By name of each increment that was joined: those that took its place, one after the other.
pub(super) fn joined<'m>(all: &[&'m Manifest]) -> BTreeMap<&'m RecoveryPointId, Vec<usize>> {
    let mut joined: BTreeMap<&RecoveryPointId, Vec<usize>> = BTreeMap::new();
    for (at, manifest) in all.iter().enumerate() {
        for id in manifest.joins.iter().flat_map(|joins| &joins.of) {
            joined.entry(id).or_default().push(at);
        }
    }
    joined
}

fn step(manifest: &Manifest, all: &[&Manifest], known: &Known<'_, '_>) -> Step {
    let id = || manifest.id.clone();
    if manifest.kind == BackupKind::Full {
        let is_exact = matches!(manifest.promise, Promise::Exact(_));
        return if is_exact { Step::Full } else { Step::Lost(Unrestorable::Physical { full: id() }) };
    }
    let Some(parent) = &manifest.parent else { return Step::Lost(Unrestorable::NoParent { increment: id() }) };
    // What was joined is gone. Of those that took its place one ends where it ended, the shortest way to it is that of the largest.
    let tier = |at: &usize| all[*at].joins.as_ref().map(|joins| joins.tier);
    let ends_there = |at: &&usize| manifest.from == all[**at].position;
    let joined = || {
        let joined = known.joined.get(parent)?;
        joined.iter().filter(ends_there).max_by_key(|at| tier(at)).or(joined.first())
    };
    let Some(at) = known.by_id.get(parent).or_else(joined) else {
        return Step::Lost(Unrestorable::ParentMissing { increment: id(), parent: parent.clone() });
    };
    if manifest.from.is_none() || manifest.from != all[*at].position {
        return Step::Lost(Unrestorable::Hole { increment: id(), parent: parent.clone() });
    }
    if let Promise::Changes(Changes { unreplayable: Some(why), .. }) = &manifest.promise {
        return Step::Lost(Unrestorable::Unreplayable { increment: id(), why: why.clone() });
    }
    Step::Continues(*at)
}

/// The way through what was joined, also while what it took the place of is still listed. `dated` is what is dated right.
fn shorten<'m>(
    steps: &mut [Step],
    fulls: &[(Result<usize, Unrestorable>, usize)],
    known: &Known<'_, 'm>,
    dated: impl Fn(usize) -> Option<&'m Manifest>,
) {
    for step in steps {
        let Step::Continues(parent) = step else { continue };
        let (Some(original), (Ok(full), depth)) = (dated(*parent), &fulls[*parent]) else { continue };
        let joined = known.joined.get(&original.id).into_iter().flatten().copied();
        // It restores the same, at the same moment, and is not further from the full: so no way leads in a circle.
        let is_same = |at: &usize| {
            let ends = |manifest: &Manifest| (manifest.as_of, manifest.position.clone());
            let is_near = fulls[*at].0.as_ref() == Ok(full) && fulls[*at].1 <= *depth;
            is_near && dated(*at).is_some_and(|joined| ends(joined) == ends(original))
        };
        let tier = |at: &usize| dated(*at).and_then(|joined| joined.joins.as_ref()).map(|joins| joins.tier);
        if let Some(joined) = joined.filter(is_same).max_by_key(tier) {
            *parent = joined;
        }
    }
}

/// For each point the full of its line, or why there is none, and how many increments lie on the way.
fn resolve(steps: &[Step], all: &[&Manifest]) -> Vec<(Result<usize, Unrestorable>, usize)> {
    let mut found: Vec<Option<(Result<usize, Unrestorable>, usize)>> = vec![None; steps.len()];
    let mut walked = vec![false; steps.len()];
    for start in 0..steps.len() {
        let (mut way, mut at) = (Vec::new(), start);
        let (end, mut depth) = loop {
            if let Some(known) = &found[at] {
                break known.clone();
            }
            if std::mem::replace(&mut walked[at], true) {
                break (Err(Unrestorable::Circle { increment: all[at].id.clone() }), 0);
            }
            match &steps[at] {
                Step::Full => {
                    found[at] = Some((Ok(at), 0));
                    break (Ok(at), 0);
                }
                Step::Lost(why) => {
                    found[at] = Some((Err(why.clone()), 0));
                    break (Err(why.clone()), 0);
                }
                Step::Continues(parent) => {
                    way.push(at);
                    at = *parent;
                }
            }
        };
        for at in way.into_iter().rev() {
            depth += 1;
            found[at] = Some((end.clone(), depth));
        }
    }
    found.into_iter().flatten().collect()
}
