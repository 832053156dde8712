//! A year of a source with increments: schedules that change, breaks, outages, damaged listings, another retention, and maintenance every
//! day. Beside it a model that knows of every half hour whether it can be restored, by marking it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::chain::model::manifest;
use crate::domain::chain::{Chains, PromisedTime, gaps, newest_break};
use crate::domain::manifest::{LogIdentity, Manifest, Position};

const HOURS: i64 = 365 * 24;

fn at(hour: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000 + 3600 * hour, 0).unwrap()
}

struct Made {
    manifest: Manifest,
    hour: i64,
    parent: Option<usize>,
    /// The repository has it.
    is_there: bool,
    /// Until then the listing cannot read it.
    hidden_until: i64,
}

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.below((most - least + 1).unsigned_abs())).unwrap()
    }
    fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }
}

struct World {
    made: Vec<Made>,
    now: i64,
    chance: Chance,
    full_every: i64,
    increment_every: i64,
    next_full: i64,
    next_increment: i64,
    is_broken: bool,
    within: i64,
    rpo: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let rpo = chance.between(4, 40);
        Self {
            made: Vec::new(),
            now: 0,
            full_every: 24,
            increment_every: 3,
            next_full: 0,
            next_increment: 1,
            is_broken: false,
            within: 240,
            rpo,
            chance,
        }
    }

    fn back_up(&mut self, parent: Option<usize>) {
        let log = LogIdentity { server: "1".to_owned(), begun: 1, last: None, settled: None, outside: Vec::new() };
        // No two backups end at one place: nothing joins chains but increments.
        let offset = Some(4 + self.made.len() as u64);
        let position =
            Position { binlog_file: Some("log.000001".into()), binlog_offset: offset, gtid: None, log: Some(log) };
        let continues = parent.map(|at| self.made[at].manifest.clone());
        let id = format!("p{:06}", self.made.len());
        let manifest = manifest(&id, at(self.now), position, continues.as_ref());
        self.made.push(Made { manifest, hour: self.now, parent, is_there: true, hidden_until: 0 });
    }

    /// An hour passes.
    fn step(&mut self) {
        self.now += 1;
        if self.chance.one_in(500) {
            (self.full_every, self.increment_every) = (self.chance.between(12, 60), self.chance.between(2, 6));
        }
        if self.chance.one_in(900) {
            self.within = 24 * self.chance.between(3, 30);
        }
        if self.chance.one_in(300) {
            self.is_broken = true;
        }
        if self.chance.one_in(300) {
            let outage = self.now + self.chance.between(1, 70);
            (self.next_full, self.next_increment) = (self.next_full.max(outage), self.next_increment.max(outage));
        }
        if self.chance.one_in(400) && !self.made.is_empty() {
            let victim = usize::try_from(self.chance.below(self.made.len() as u64)).unwrap();
            if self.chance.one_in(3) {
                self.made[victim].is_there = false;
            } else {
                self.made[victim].hidden_until = self.now + self.chance.between(1, 60);
            }
        }
        // What an increment continues is the newest backup, if it can be read; after a break a full one takes its place.
        let newest = self.made.len().checked_sub(1).filter(|at| self.is_seen(*at));
        if self.now >= self.next_full {
            self.back_up(None);
            (self.next_full, self.is_broken) = (self.now + self.full_every, false);
        } else if self.now >= self.next_increment {
            self.back_up(newest.filter(|_| !self.is_broken));
            (self.next_increment, self.is_broken) = (self.now + self.increment_every, false);
        }
    }

    fn is_seen(&self, at: usize) -> bool {
        self.made[at].is_there && self.made[at].hidden_until <= self.now
    }

    fn seen(&self) -> Vec<usize> {
        (0..self.made.len()).filter(|at| self.is_seen(*at)).collect()
    }

    fn is_restorable(&self, at: usize) -> bool {
        let mut here = Some(at);
        while let Some(at) = here {
            if !self.is_seen(at) {
                return false;
            }
            here = self.made[at].parent;
        }
        true
    }

    /// Of every half hour whether it can be restored: each point, and all between it and what it continues.
    fn marked(&self) -> Vec<bool> {
        let mut marks = vec![false; usize::try_from(2 * self.now + 1).unwrap()];
        for at in self.seen().into_iter().filter(|at| self.is_restorable(*at)) {
            let from = self.made[at].parent.map_or(self.made[at].hour, |parent| self.made[parent].hour);
            for half in 2 * from..=2 * self.made[at].hour {
                marks[usize::try_from(half).unwrap()] = true;
            }
        }
        marks
    }

    /// The hour at which the newest stretch of more than the RPO without a mark ends, of those after the oldest point that is listed.
    fn newest_hole(&self) -> Option<i64> {
        let marks = self.marked();
        let oldest = self.seen().first().map(|at| 2 * self.made[*at].hour)?;
        // Before the first mark lies a point that restores nothing, if any does.
        let (mut last, mut found) = (oldest, None);
        for half in (oldest..=2 * self.now).filter(|half| marks[usize::try_from(*half).unwrap()]) {
            if half - last > 2 * self.rpo {
                found = Some(half / 2);
            }
            last = half;
        }
        found
    }

    fn check_report(&self) {
        let seen = self.seen();
        let chains = Chains::of(seen.iter().map(|at| &self.made[*at].manifest), |_| false);
        let oldest = seen.first().map(|at| at_hour(&self.made[*at]));
        let found = gaps(&chains.windows(), oldest);
        let promised = [PromisedTime { from: at(-1000), to: None }];
        let found = newest_break(found.iter(), TimeDelta::hours(self.rpo), &promised);
        assert_eq!(found, self.newest_hole().map(at), "hour {}", self.now);
    }

    /// How old each point counts as, newest first: the time to the newest one, in which no gap counts more than so many hours.
    fn ages(&self, sound: &[usize], longest: i64) -> Vec<(usize, i64)> {
        let mut ages: Vec<(usize, i64)> = Vec::new();
        for at in sound.iter().rev() {
            let age =
                ages.last().map_or(0, |(later, age)| age + (self.made[*later].hour - self.made[*at].hour).min(longest));
            ages.push((*at, age));
        }
        ages
    }

    /// Maintenance: nothing goes while something listed cannot be read.
    fn maintain(&mut self) {
        if (0..self.made.len()).any(|at| self.made[at].is_there && !self.is_seen(at)) {
            return;
        }
        let seen = self.seen();
        let sound: Vec<usize> = seen.iter().copied().filter(|at| self.is_restorable(*at)).collect();
        let candidate = |at: &usize| Candidate {
            id: self.made[*at].manifest.id.clone(),
            as_of: at_hour(&self.made[*at]),
            needs: self.made[*at].manifest.parent.clone(),
            is_broken: !self.is_restorable(*at),
            is_misdated: false,
            is_of_nobody: false,
            is_proved: false,
            is_before_change: false,
            stands_for: 1,
        };
        let hours = |hours: i64| Duration::from_hours(hours.unsigned_abs());
        let longest = (2 * self.rpo).min(self.within / 2);
        let policy = Policy {
            within: hours(self.within),
            longest_gap: hours(longest),
            counts: Counts::default(),
            zone: chrono_tz::UTC,
        };
        let candidates: Vec<Candidate> = seen.iter().map(candidate).collect();
        let plan = plan(&candidates, &policy);
        let removed: BTreeSet<&RecoveryPointId> = plan.removed.iter().collect();
        let before = self.marked();
        let gone: BTreeSet<usize> =
            seen.iter().copied().filter(|at| removed.contains(&self.made[*at].manifest.id)).collect();
        // Whoever stays, stays for a reason that this model knows, too.
        let needed = self.needed(&seen, &sound, longest);
        for at in seen.iter().filter(|at| !gone.contains(*at)) {
            assert!(needed.contains(at), "hour {}: {} is kept for nothing", self.now, self.made[*at].manifest.id);
        }
        for at in gone {
            self.made[at].is_there = false;
        }
        let Some(newest) = sound.last().map(|at| self.made[*at].hour) else { return };
        let start = usize::try_from(2 * (newest - self.within).max(0)).unwrap();
        assert_eq!(self.marked()[start..], before[start..], "hour {}: a promised moment is lost", self.now);
    }

    /// What may be kept: the promised time, the point before it, the newest chain, and what any of them is replayed on.
    fn needed(&self, seen: &[usize], sound: &[usize], longest: i64) -> BTreeSet<usize> {
        let mut all: BTreeSet<usize> = seen.last().copied().into_iter().collect();
        let ages = self.ages(sound, longest);
        all.extend(ages.iter().filter(|(_, age)| *age <= self.within).map(|(at, _)| *at));
        all.extend(ages.iter().find(|(_, age)| *age >= self.within).map(|(at, _)| *at));
        let newest = sound.last().map_or(0, |at| self.made[*at].hour);
        all.extend(
            seen.iter().filter(|at| sound.binary_search(at).is_err() && newest - self.made[**at].hour <= self.within),
        );
        if let Some(full) = sound.iter().rev().find(|at| self.made[**at].parent.is_none()) {
            all.extend(
                sound
                    .iter()
                    .filter(|at| std::iter::successors(Some(**at), |at| self.made[*at].parent).any(|at| at == *full)),
            );
        }
        let ancestors: Vec<usize> =
            all.iter().flat_map(|at| std::iter::successors(Some(*at), |at| self.made[*at].parent)).collect();
        all.extend(ancestors);
        all
    }
}

fn at_hour(made: &Made) -> DateTime<Utc> {
    at(made.hour)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_year_loses_no_promised_moment_keeps_nothing_for_nothing_and_reports_every_hole(seed in any::<u64>()) {
        let mut world = World::new(seed);
        let mut holes = 0;
        while world.now < HOURS {
            world.step();
            if world.now % 24 == 6 {
                world.maintain();
            }
            if world.now % 24 == 18 {
                world.check_report();
                holes += usize::from(world.newest_hole().is_some());
            }
        }
        // A year in which nothing ever breaks would prove nothing.
        prop_assert!(holes > 0 && world.seen().len() < world.made.len() / 2);
    }
}
