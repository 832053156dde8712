//! What should be exported, from a plain list of everything that happened: written from the documents (docs/metrics.md), by
//! scanning, without any of the code under test.

mod figures;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::schedule::Work;
use crate::ledger::PointRow;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Good,
    Failed,
    Inconclusive,
    Interrupted,
}

#[derive(Debug, Clone)]
pub(super) struct Happened {
    pub work: Work,
    pub begun: DateTime<Utc>,
    /// When, how, and in which order results were written.
    pub end: Option<(DateTime<Utc>, End, usize)>,
    pub seconds: f64,
    pub bytes: u64,
    /// The point a drill restored.
    pub point: Option<String>,
    pub checks: (u64, u64),
    pub rows: u64,
    pub over: bool,
}

/// Promised numbers, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promised {
    pub rpo: f64,
    pub rto: f64,
    pub retention: f64,
    pub chain_length: f64,
    pub ratio: f64,
    pub drill_interval: f64,
}

pub(super) const OBJECTIVES: [&str; 5] = ["rpo", "rto", "retention", "drill_interval", "chain_length"];
/// What is exported of a source that is no longer configured.
pub(super) const OF_RETIRED: [&str; 4] = ["source_info", "source_created", "source_retired", "recovery_points"];
/// A clock of another machine may be ahead by so many seconds.
const AHEAD: f64 = 300.0;
/// Of each promise whether it is met; none while it is pending.
type Said = [Option<bool>; 5];

/// One occurrence of a work on a source.
type Occurrence = (String, Work, DateTime<Utc>);

#[derive(Debug, Default)]
pub(super) struct Model {
    pub ledger_created: DateTime<Utc>,
    /// Every source that the ledger has heard of.
    pub created: BTreeMap<String, DateTime<Utc>>,
    pub retired: BTreeSet<String>,
    pub promised: BTreeMap<String, Promised>,
    /// By source, in the order in which they began.
    pub runs: BTreeMap<String, Vec<Happened>>,
    /// What the repository lists, by source.
    pub repository: BTreeMap<String, Vec<PointRow>>,
    /// By source, work and first occurrence: how many, and the last one.
    pub missed: BTreeMap<Occurrence, (u32, DateTime<Utc>)>,
    /// Points that are dated against their order, by source: what the ledger says (its own tests hold it against the truth).
    pub suspect: BTreeMap<String, BTreeSet<String>>,
    /// Since when increments are asked for, by source, as far as the ledger knows.
    pub moments_since: BTreeMap<String, DateTime<Utc>>,
    /// Sources that had a recovery point, as far as the ledger knows.
    had_point: BTreeSet<String>,
    /// By source and wall clock: for every minute, which promises were kept.
    minutes: BTreeMap<String, BTreeMap<i64, Said>>,
    /// Minutes that came twice.
    pub repeated: i64,
    results: usize,
}

fn minute(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(60)
}

impl Model {
    pub(super) fn next_result(&mut self) -> usize {
        self.results += 1;
        self.results
    }

    fn listed(&self, source: &str) -> &[PointRow] {
        self.repository.get(source).map_or(&[], Vec::as_slice)
    }

    /// What is not dated by a wrong clock, as far as that is known.
    fn sound(&self, source: &str, now: DateTime<Utc>) -> Vec<&PointRow> {
        let suspect = self.suspect.get(source);
        let is_sound = |point: &&PointRow| {
            (point.as_of - now).as_seconds_f64() <= AHEAD && !suspect.is_some_and(|ids| ids.contains(&point.id.0))
        };
        self.listed(source).iter().filter(is_sound).collect()
    }

    fn runs(&self, source: &str) -> &[Happened] {
        self.runs.get(source).map_or(&[], Vec::as_slice)
    }

    /// In the order in which results were written.
    fn ended(&self, source: &str, is_backup: bool) -> Vec<(&Happened, DateTime<Utc>, End)> {
        let of_it = self.runs(source).iter().filter(|run| run.work.is_backup() == is_backup);
        let mut ended: Vec<_> = of_it.filter_map(|run| run.end.map(|(at, end, order)| (order, run, at, end))).collect();
        ended.sort_by_key(|(order, ..)| *order);
        ended.into_iter().map(|(_, run, at, end)| (run, at, end)).collect()
    }

    /// Up to when it is known of each occurrence of a work whether it began.
    pub(super) fn known_until(&self, source: &str, work: Work) -> Option<DateTime<Utc>> {
        let begun = self.runs(source).iter().rfind(|run| run.work == work).map(|run| run.begun);
        let missed = self.missed.iter().filter(|((of, what, _), _)| of == source && *what == work);
        begun.max(missed.map(|(_, (_, last))| *last).max())
    }

    /// When the last run of a work began, and how many of the last ones are to be tried again.
    pub(super) fn last(&self, source: &str, work: Work) -> (Option<DateTime<Utc>>, u32) {
        let runs: Vec<_> = self.runs(source).iter().filter(|run| run.work == work).collect();
        let Some(last) = runs.last() else {
            // Whoever lost the ledger has the recovery points.
            let of_kind = self.listed(source).iter().filter(|point| Some(point.kind) == work.backup_kind());
            return (of_kind.map(|point| point.as_of).max(), 0);
        };
        let end = |run: &Happened| run.end.map(|(_, end, _)| end);
        let again = match end(last) {
            None | Some(End::Good) => false,
            // The data of a drill that failed does not become better.
            Some(End::Failed) => work.is_backup(),
            Some(_) => true,
        };
        let bad = runs.iter().rev().take_while(|run| end(run) != Some(End::Good)).count();
        (Some(last.begun), if again { u32::try_from(bad).unwrap() } else { 0 })
    }

    /// Whether a work begins without waiting for its time, when it can.
    pub(super) fn awaits_first(&self, source: &str, work: Work) -> bool {
        let last = self.runs(source).iter().rfind(|run| run.work == work);
        match work {
            Work::FullBackup => {
                let is_good = |run: &Happened| matches!(run.end, Some((_, End::Good, _)));
                self.listed(source).is_empty() && last.is_none_or(is_good)
            }
            Work::Drill => last.is_none(),
            Work::IncrementalBackup => false,
        }
    }

    /// What is said of each promise at `now`.
    fn met(&self, source: &str, now: DateTime<Utc>) -> Said {
        let drills = self.ended(source, false);
        let passed = drills.iter().rev().find(|(_, _, end)| *end == End::Good);
        let passed = passed.map(|(run, at, _)| (run.seconds, *at));
        let is_drilled = drills.iter().any(|(_, _, end)| matches!(end, End::Good | End::Failed));
        let met = self.met_by(source, self.sound(source, now).into_iter(), passed, now);
        self.or_pending(source, met, (self.had_point.contains(source), is_drilled), now)
    }

    /// What is not met may not be due yet: of a source of which the ledger has known everything.
    fn or_pending(
        &self,
        source: &str,
        met: [bool; 5],
        (had_point, is_drilled): (bool, bool),
        now: DateTime<Utc>,
    ) -> Said {
        let (created, promised) = (self.created[source], self.promised[source]);
        let age = (now - created).as_seconds_f64();
        let is_new = age >= -AHEAD && created >= self.ledger_created;
        let awaits_point = is_new && !had_point && age <= promised.rpo;
        let awaits_drill = is_new && !is_drilled && age <= promised.drill_interval;
        let awaits = [awaits_point, awaits_drill, awaits_point, awaits_drill, awaits_point];
        std::array::from_fn(|at| (met[at] || !awaits[at]).then_some(met[at]))
    }

    fn met_by<'p>(
        &self,
        source: &str,
        points: impl Iterator<Item = &'p PointRow>,
        passed: Option<(f64, DateTime<Utc>)>,
        now: DateTime<Utc>,
    ) -> [bool; 5] {
        let promised = self.promised[source];
        let age = |time: DateTime<Utc>| (now - time).as_seconds_f64();
        let within = |time: DateTime<Utc>, limit: f64| (-AHEAD..=limit).contains(&age(time));
        let (mut newest, mut oldest): (Option<&PointRow>, Option<DateTime<Utc>>) = (None, None);
        let points: Vec<&PointRow> = points.collect();
        for point in &points {
            newest = newest.filter(|newest| by_time(newest) >= by_time(point)).or(Some(point));
            oldest = Some(oldest.map_or(point.as_of, |oldest| oldest.min(point.as_of)));
        }
        let young = within(self.created[source], promised.retention + promised.rpo);
        let whole = self.gaps(source, &points, now) == 0;
        [
            newest.is_some_and(|newest| within(newest.as_of, promised.rpo)),
            passed.is_some_and(|(seconds, _)| seconds <= promised.rto),
            oldest.is_some_and(|oldest| young || age(oldest) >= promised.retention) && whole,
            passed.is_some_and(|(_, at)| within(at, promised.drill_interval)),
            newest.is_some_and(|newest| f64::from(newest.chain_length) <= promised.chain_length),
        ]
    }

    /// How many pairs of neighbours of `points` are further apart than the RPO, where increments were asked for by then and the retention
    /// still asks for that time. Here each point is a moment of its own.
    fn gaps(&self, source: &str, points: &[&PointRow], now: DateTime<Utc>) -> usize {
        let promised = self.promised[source];
        let Some(since) = self.moments_since.get(source).filter(|since| **since <= now) else { return 0 };
        let mut times: Vec<DateTime<Utc>> = points.iter().map(|point| point.as_of).collect();
        times.sort();
        let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).as_seconds_f64();
        let counts = |pair: &&[DateTime<Utc>]| {
            let lost = seconds(pair[0], pair[1]) > promised.rpo && seconds(*since, pair[1]) > promised.rpo;
            lost && seconds(pair[1], now) < promised.retention
        };
        times.windows(2).filter(counts).count()
    }

    /// The minute of `now` has passed.
    pub(super) fn note_minute(&mut self, now: DateTime<Utc>) {
        let created: Vec<String> = self.created.keys().cloned().collect();
        for source in created {
            let met = self.met(&source, now);
            self.minutes.entry(source).or_default().insert(minute(now), met);
        }
    }

    /// A source is at least as old as its recovery points; what is known of the time before is what they say.
    pub(super) fn listed_again(&mut self, source: &str, now: DateTime<Utc>) {
        if !self.listed(source).is_empty() {
            self.had_point.insert(source.to_owned());
        }
        let created = self.created[source];
        // What was finished before the source was known.
        let was_there = self.listed(source).iter().filter(|point| point.finished < created);
        let oldest = was_there.map(|point| point.as_of).min();
        let Some(oldest) = oldest.filter(|oldest| *oldest < created) else { return };
        self.created.insert(source.to_owned(), oldest);
        let mut past = BTreeMap::new();
        for at in minute(oldest)..=minute(now) {
            let time = DateTime::from_timestamp(at * 60, 0).unwrap();
            let there = || self.listed(source).iter().filter(|point| point.finished <= time);
            let met = self.met_by(source, there(), None, time);
            past.insert(at, self.or_pending(source, met, (there().next().is_some(), false), time));
        }
        self.minutes.insert(source.to_owned(), past);
    }

    /// The ledger is gone, with all it knew.
    pub(super) fn lose_ledger(&mut self, now: DateTime<Utc>) {
        self.ledger_created = now;
        self.created.clear();
        self.retired.clear();
        self.runs.clear();
        self.missed.clear();
        self.had_point.clear();
        self.minutes.clear();
        self.moments_since.clear();
    }

    /// Minutes of the last 30 days in which each promise was kept, and those in which it was judged.
    fn kept_minutes(&self, source: &str, now: DateTime<Utc>) -> [(usize, usize); 5] {
        let from = self.created[source].max(now - TimeDelta::days(30));
        let mut kept = [(0, 0); 5];
        let Some(minutes) = self.minutes.get(source) else { return kept };
        for (_, said) in minutes.range(minute(from) + 1..=minute(now)) {
            for ((met, judged), said) in kept.iter_mut().zip(said) {
                *met += usize::from(*said == Some(true));
                *judged += usize::from(said.is_some());
            }
        }
        kept
    }
}

/// Of two points with one time, the one that is worse to restore is the newest.
pub(super) fn by_time(point: &PointRow) -> (DateTime<Utc>, u32, u64) {
    (point.as_of, point.chain_length, point.logical_bytes)
}
