//! What a restore of a target takes.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, Utc};

use super::chains::{Chains, Line};
use super::gtid::Gtid;
use super::place::{Place, anchors, do_overlap, is_one_log};
use super::refusal::NoPlan;
use super::until::Until;
use crate::domain::manifest::{Manifest, Position, RecoveryPointId};

/// What is to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The newest recovery point.
    Newest,
    /// The oldest.
    Oldest,
    /// One of them, by a number that says which.
    Random(u64),
    /// This one; an unambiguous beginning of its name will do.
    Id(RecoveryPointId),
    /// The state at this time.
    At(DateTime<Utc>),
    /// The state before the transaction that begins at this place or contains it.
    BeforePosition(Place),
    /// The state before the transaction of this GTID.
    BeforeGtid(String),
    /// A place or a GTID within this increment: where the server began its log anew, both can occur more than once.
    Within(RecoveryPointId, Box<Target>),
}

/// A full, what is replayed on top of it, and where that stops.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<'m> {
    /// The full.
    pub full: &'m Manifest,
    /// The increments, in order.
    pub increments: Vec<&'m Manifest>,
    /// Where in the last of them replay stops.
    pub until: Until,
}

impl<'m> Plan<'m> {
    fn new(line: Line<'m>, until: Until) -> Self {
        Self { full: line.full, increments: line.increments, until }
    }

    /// The recovery point that it restores, or within which it stops.
    pub fn newest(&self) -> &'m Manifest {
        self.increments.last().unwrap_or(&self.full)
    }

    /// As-of time of what is restored: never later than what is in it.
    pub fn as_of(&self) -> DateTime<Utc> {
        self.until.as_of(self.full.as_of, self.increments.iter().map(|increment| increment.as_of))
    }
}

impl<'m> Chains<'m> {
    /// What a restore of `target` takes, or why there is no way to it.
    pub fn plan(&self, target: &Target) -> Result<Plan<'m>, NoPlan> {
        let dated: Vec<usize> = (0..self.points.len()).filter(|at| !self.points[*at].is_suspect).collect();
        let whole = |at: Option<&usize>| self.whole(*at.ok_or(NoPlan::Empty)?);
        match target {
            Target::Newest => whole(dated.last()),
            Target::Oldest => whole(dated.first()),
            Target::Random(number) => {
                let count = dated.len().max(1) as u64;
                whole(dated.get(usize::try_from(number % count).unwrap_or(0)))
            }
            Target::Id(id) => self.named(id),
            Target::At(time) => self.at_time(*time, &dated),
            Target::BeforePosition(place) => self.before_place(place),
            Target::BeforeGtid(gtid) => self.before_gtid(gtid),
            Target::Within(id, target) => self.within(self.called(id)?, target),
        }
    }

    /// A place or a transaction of the recovery point at this place, and of no other.
    fn within(&self, at: usize, target: &Target) -> Result<Plan<'m>, NoPlan> {
        let point = self.points[at].manifest;
        match target {
            Target::BeforePosition(place) if ends_at(place, point) => self.whole(at),
            // Before its first transaction is what it continues.
            Target::BeforePosition(place) if begins_at(place, point) => {
                self.points[at].parent.map_or(Err(NoPlan::Outside), |parent| self.whole(parent))
            }
            Target::BeforePosition(place) if place.is_inside(point) => {
                self.stopped(at, Until::Before { file: place.file.clone(), offset: place.offset })
            }
            Target::BeforeGtid(text) if text.parse().is_ok_and(|gtid| brings(&gtid, point)) => {
                self.stopped(at, Until::BeforeGtid(text.trim().to_owned()))
            }
            _ => Err(NoPlan::Outside),
        }
    }

    /// Everything of the recovery point at this place.
    fn whole(&self, at: usize) -> Result<Plan<'m>, NoPlan> {
        self.stopped(at, Until::End)
    }

    pub(super) fn stopped(&self, at: usize, until: Until) -> Result<Plan<'m>, NoPlan> {
        let refused =
            |why: &super::Unrestorable| NoPlan::Unrestorable(self.points[at].manifest.id.clone(), why.clone());
        self.line_of(at).map(|line| Plan::new(line, until)).map_err(refused)
    }

    fn named(&self, id: &RecoveryPointId) -> Result<Plan<'m>, NoPlan> {
        self.whole(self.called(id)?)
    }

    /// The recovery point whose name begins so.
    fn called(&self, id: &RecoveryPointId) -> Result<usize, NoPlan> {
        let mut found = (0..self.points.len()).filter(|at| self.points[*at].manifest.id.0.starts_with(&id.0));
        match (found.next(), found.next()) {
            (None, _) => Err(NoPlan::NoSuchPoint),
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => Err(NoPlan::SeveralPoints),
        }
    }

    fn at_time(&self, time: DateTime<Utc>, dated: &[usize]) -> Result<Plan<'m>, NoPlan> {
        // People type the seconds that they were shown.
        let is_named =
            |at: &usize| self.points[*at].as_of() == time || self.points[*at].as_of().trunc_subsecs(0) == time;
        if let Some(at) = self.sound().rfind(is_named) {
            return self.whole(at);
        }
        let rank =
            |at: usize| (self.points[at].full.as_ref().ok(), Reverse(self.points[at].depth), self.points[at].as_of());
        let pieces = self.pieces().into_iter();
        let restoring = pieces.filter(|(_, window)| window.from <= time && time <= window.to).map(|(at, _)| at);
        if let Some(at) = restoring.max_by_key(|at| rank(*at)) {
            return self.stopped(at, Until::Time(time));
        }
        if dated.is_empty() {
            return Err(NoPlan::Empty);
        }
        // Where nothing but fulls is promised, the newest that is not newer is meant.
        let before = dated.iter().rfind(|at| self.points[**at].as_of().trunc_subsecs(0) <= time);
        before.filter(|_| !self.has_increments()).map_or(Err(NoPlan::Outside), |at| self.whole(*at))
    }

    fn before_place(&self, place: &Place) -> Result<Plan<'m>, NoPlan> {
        let (mut exact, mut inside) = (Vec::new(), Vec::new());
        for (at, point) in self.points.iter().enumerate() {
            if ends_at(place, point.manifest) {
                exact.push(at);
            } else if place.is_inside(point.manifest) {
                inside.push(at);
            }
        }
        self.check_one_log(exact.iter().chain(&inside))?;
        let until = Until::Before { file: place.file.clone(), offset: place.offset };
        match (self.shortest(&exact), self.shortest(&inside)) {
            (Some(Ok(at)), _) => self.whole(at),
            (_, Some(Ok(at))) => self.stopped(at, until),
            (Some(Err(at)), _) | (_, Some(Err(at))) => self.whole(at),
            (None, None) => Err(NoPlan::Outside),
        }
    }

    fn before_gtid(&self, text: &str) -> Result<Plan<'m>, NoPlan> {
        let Ok(gtid) = text.parse::<Gtid>() else { return Err(NoPlan::Outside) };
        let inside: Vec<usize> = (0..self.points.len()).filter(|at| brings(&gtid, self.points[*at].manifest)).collect();
        self.check_one_transaction(&inside)?;
        match self.shortest(&inside) {
            Some(Ok(at)) => self.stopped(at, Until::BeforeGtid(text.trim().to_owned())),
            Some(Err(at)) => self.whole(at),
            None => Err(NoPlan::Outside),
        }
    }

    /// Of points that hold the same: the one with the newest full and the least to replay. Where none can be restored, the newest.
    fn shortest(&self, same: &[usize]) -> Option<Result<usize, usize>> {
        let rank = |at: &usize| Some((*self.points[*at].full.as_ref().ok()?, Reverse(self.points[*at].depth), *at));
        let best = same.iter().filter(|at| self.points[**at].full.is_ok()).max_by_key(|at| rank(at));
        best.map(|at| Ok(*at)).or_else(|| same.last().map(|at| Err(*at)))
    }

    /// After a log was begun anew the same places are there again: only one of them may be meant. A chain is of one log.
    fn check_one_log<'a>(&self, found: impl Iterator<Item = &'a usize>) -> Result<(), NoPlan> {
        let of_chain = |at: &usize| Some((*self.points[*at].full.as_ref().ok()?, anchors(self.points[*at].manifest)));
        let (fulls, logs): (BTreeSet<usize>, BTreeSet<_>) = found.filter_map(of_chain).unzip();
        let is_one = logs.iter().all(|one| logs.iter().all(|other| is_one_log(one, other)));
        if is_one || fulls.len() == 1 { Ok(()) } else { Err(self.ambiguous(fulls)) }
    }

    /// Increments that bring one transaction overlap; where they do not, its GTID was given twice.
    fn check_one_transaction(&self, found: &[usize]) -> Result<(), NoPlan> {
        let found: Vec<usize> = found.iter().copied().filter(|at| self.points[*at].full.is_ok()).collect();
        let overlap = |a: usize, b: usize| a == b || do_overlap(self.points[a].manifest, self.points[b].manifest);
        if found.iter().all(|a| found.iter().all(|b| overlap(*a, *b))) {
            return Ok(());
        }
        Err(self.ambiguous(found.into_iter().filter_map(|at| self.points[at].full.clone().ok()).collect()))
    }

    fn ambiguous(&self, fulls: BTreeSet<usize>) -> NoPlan {
        NoPlan::Ambiguous(fulls.into_iter().map(|at| self.points[at].manifest.id.clone()).collect())
    }
}

/// Whether what it holds begins at this place.
fn begins_at(place: &Place, point: &Manifest) -> bool {
    point.from.as_ref().is_some_and(|position| Place::of(position).as_ref() == Some(place))
}

/// Whether what it holds ends at this place.
fn ends_at(place: &Place, point: &Manifest) -> bool {
    point.position.as_ref().is_some_and(|position| Place::of(position).as_ref() == Some(place))
}

/// Whether it is the increment that holds the transaction.
fn brings(gtid: &Gtid, point: &Manifest) -> bool {
    let is_in = |position: &Option<Position>| {
        position.as_ref().and_then(|position| position.gtid.as_deref()).is_some_and(|state| gtid.is_in(state))
    };
    point.from.is_some() && !is_in(&point.from) && is_in(&point.position)
}
