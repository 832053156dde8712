//! How much of the time a promise was kept.
//!
//! The rule is the one that holds for a single moment, [`Objectives::judge`]; here it is asked at every moment of the past.
//! Between two moments at which something changes its answer cannot change, so it is asked once per such segment. The
//! state of the service plays no part: while nobody looked the data was as safe as its recovery points were young, so
//! downtime counts as met until a promise ran out and as not met from then on. Time in which a promise was pending is no part
//! of the share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::chain::{Gap, PromisedTime, newest_break};
use super::drill::Verdict as DrillVerdict;
use super::sla::{CLOCK_SKEW, Judgement, Measured, Objective, Objectives, is_older_than_ledger};

mod achieved;
mod share;

pub use achieved::{Achieved, Standing};
pub use share::{JUDGED_FROM_DAYS, Share, Verdict, WINDOW_DAYS};

/// For how much of the window each objective was met. An objective of which nothing is known is missing.
pub type MetRatios = BTreeMap<Objective, Share>;

/// Objectives as they were in force from some time on.
#[derive(Debug, Clone, PartialEq)]
pub struct Promise {
    /// When they were first seen to be in force.
    pub since: DateTime<Utc>,
    /// What was promised.
    pub objectives: Objectives,
}

/// A recovery point for as long as it could be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifetime {
    /// As-of time of its data.
    pub as_of: DateTime<Utc>,
    /// Increments on top of the full.
    pub chain_length: u32,
    /// From when on it could be restored.
    pub available: DateTime<Utc>,
    /// When it was found to be gone, if it was.
    pub gone: Option<DateTime<Utc>>,
}

/// A gap between restorable moments for as long as it was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapLifetime {
    /// The gap.
    pub gap: Gap,
    /// Since when it was there.
    pub since: DateTime<Utc>,
    /// When it was found to be gone, if it was.
    pub gone: Option<DateTime<Utc>>,
}

/// The result of a drill, as far as a promise is about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drilled {
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// What it said of the backup.
    pub verdict: DrillVerdict,
    /// The recovery time it measured, if it measured one.
    pub rto_seconds: Option<f64>,
}

/// What happened to one source, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// When the source was first seen.
    pub created: DateTime<Utc>,
    /// When the ledger began: of a source that is older, what was known of its drills is lost.
    pub ledger_began: DateTime<Utc>,
    /// Whether there were recovery points that are not among `points`, because they had gone long before.
    pub had_points: bool,
    /// In the order in which they came into force; the first one counts for the time before it too.
    pub promises: Vec<Promise>,
    /// In any order.
    pub points: Vec<Lifetime>,
    /// In any order.
    pub gaps: Vec<GapLifetime>,
    /// When any moment was promised, oldest first.
    pub moments: Vec<PromisedTime>,
    /// In the order in which their results were written, the last ones before the time in question included.
    pub drills: Vec<Drilled>,
}

/// A time in which an objective was not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    /// Its first moment.
    pub start: DateTime<Utc>,
    /// The first moment at which it was met again; none if it was not.
    pub end: Option<DateTime<Utc>>,
}

/// When which promises were, and, if nothing else happens, will be kept. Far smaller than the facts it is made from: only
/// changes of an answer are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    spans: Vec<Span>,
}

/// Answers that hold from `start` until the start of the next span; the last ones hold for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// Microseconds since 1970 UTC.
    start: i64,
    answers: Answers,
}

/// One bit per objective, in the order of [`Objective::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Answers {
    met: u8,
    pending: u8,
}

impl Answers {
    fn of(self, objective: Objective) -> Judgement {
        match bit(objective) {
            bit if self.met & bit != 0 => Judgement::Met,
            bit if self.pending & bit != 0 => Judgement::Pending,
            _ => Judgement::NotMet,
        }
    }
}

impl Timeline {
    /// The answers from `from` on, as the facts known at `now` have it. Empty where nothing was ever promised.
    pub fn of(facts: &Facts, from: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let Some(first) = facts.promises.first() else { return Self::default() };
        let mut state = State {
            promised: &first.objectives,
            measured: Measured {
                created: Some(facts.created),
                is_history_partial: is_older_than_ledger(facts.created, facts.ledger_began),
                ever_had_point: facts.had_points,
                ..Measured::default()
            },
            points: BTreeSet::new(),
            gaps: BTreeSet::new(),
        };
        let from = from.timestamp_micros();
        let mut spans: Vec<Span> = Vec::new();
        let changes = changes(facts, from, now.timestamp_micros());
        let mut rest = changes.as_slice();
        while let Some(change) = rest.first() {
            let at = change.at;
            let together = rest.partition_point(|change| change.at == at);
            rest[..together].iter().for_each(|change| state.apply(facts, change.what));
            rest = &rest[together..];
            if at >= from {
                let answers = state.answers(facts, at);
                if spans.last().is_none_or(|span| span.answers != answers) {
                    spans.push(Span { start: at, answers });
                }
            }
        }
        spans.shrink_to_fit();
        Self { spans }
    }

    /// What could be said of `objective` at a moment; none before the timeline begins.
    pub fn judged(&self, objective: Objective, at: DateTime<Utc>) -> Option<Judgement> {
        let after = self.spans.partition_point(|span| span.start <= at.timestamp_micros());
        after.checked_sub(1).map(|last| self.spans[last].answers.of(objective))
    }

    /// For how much of the time from `from` to `to` each objective was met; nothing where the timeline does not reach back so
    /// far.
    pub fn ratios(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> MetRatios {
        let (from, to) = (from.timestamp_micros(), to.timestamp_micros());
        if self.spans.first().is_none_or(|first| first.start > from) {
            return MetRatios::new();
        }
        let mut shares: MetRatios = Objective::ALL.into_iter().map(|it| (it, Share::default())).collect();
        for (at, span) in self.spans.iter().enumerate() {
            let end = self.spans.get(at + 1).map_or(to, |next| next.start.min(to));
            let length = TimeDelta::microseconds((end - span.start.max(from)).max(0));
            for (objective, share) in &mut shares {
                share.add(span.answers.of(*objective), length);
            }
        }
        shares
    }

    /// When `objective` was not met between `from` and `to`, in order: beginning and end, and no end where it was still not
    /// met at `to`. Nothing where the timeline does not reach back so far.
    pub fn breaches(&self, objective: Objective, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Breach> {
        let mut out: Vec<Breach> = Vec::new();
        for (at, span) in
            self.spans.iter().enumerate().filter(|(_, span)| span.answers.of(objective) == Judgement::NotMet)
        {
            let end = self.spans.get(at + 1).map_or(i64::MAX, |next| next.start);
            let (start, end) = (span.start.max(from.timestamp_micros()), (end < to.timestamp_micros()).then_some(end));
            if start >= end.unwrap_or(to.timestamp_micros()) {
                continue;
            }
            let time = DateTime::from_timestamp_micros;
            let (Some(start), end) = (time(start), end.and_then(time)) else { continue };
            match out.last_mut() {
                // Another objective changed in between.
                Some(last) if last.end == Some(start) => last.end = end,
                _ => out.push(Breach { start, end }),
            }
        }
        out
    }

    /// The same over the last [`WINDOW_DAYS`] days before `now`, or since the source was `created`.
    pub fn recent_ratios(&self, created: DateTime<Utc>, now: DateTime<Utc>) -> MetRatios {
        self.ratios(window_start(now).max(created), now)
    }
}

/// When the window that ends at `now` begins.
pub fn window_start(now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::days(WINDOW_DAYS)
}

fn bit(objective: Objective) -> u8 {
    1 << objective as u8
}

/// A moment at which an answer may change.
#[derive(Clone, Copy)]
struct Change {
    at: i64,
    what: What,
}

/// What changes; the number is a place in the facts. In the order in which changes of one moment are applied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Promised(usize),
    Appears(usize),
    Goes(usize),
    GapOpens(usize),
    GapCloses(usize),
    Drilled(usize),
    /// Something has become too old, or is no longer in the future.
    Ages,
}

struct State<'f> {
    promised: &'f Objectives,
    measured: Measured,
    /// As-of time, chain length and place of the points that can be restored. Of two newest points with one time the one
    /// that is worse to restore comes last, and that is the one that counts.
    points: BTreeSet<(i64, u32, usize)>,
    /// Gaps between moments that can be restored, with their places.
    gaps: BTreeSet<(Gap, usize)>,
}

impl<'f> State<'f> {
    fn apply(&mut self, facts: &'f Facts, what: What) {
        let entry = |at: usize| {
            let point = &facts.points[at];
            (point.as_of.timestamp_micros(), point.chain_length, at)
        };
        match what {
            What::Promised(at) => self.promised = &facts.promises[at].objectives,
            What::Appears(at) => {
                self.measured.ever_had_point = true;
                self.points.insert(entry(at));
            }
            What::Goes(at) => {
                self.points.remove(&entry(at));
            }
            What::GapOpens(at) => {
                self.gaps.insert((facts.gaps[at].gap, at));
            }
            What::GapCloses(at) => {
                self.gaps.remove(&(facts.gaps[at].gap, at));
            }
            What::Drilled(at) => {
                let drill = &facts.drills[at];
                match drill.verdict {
                    DrillVerdict::Passed => self.measured.last_passed_drill = Some(drill.ended),
                    DrillVerdict::Failed => self.measured.ever_failed_drill = true,
                    DrillVerdict::Inconclusive => {}
                }
                self.measured.rto_seconds = drill.rto_seconds.or(self.measured.rto_seconds);
            }
            What::Ages => {}
        }
        let time = |place: Option<&(i64, u32, usize)>| place.map(|(_, _, at)| facts.points[*at].as_of);
        let newest = self.points.last();
        self.measured.newest = time(newest);
        self.measured.chain_length = newest.map_or(0, |(_, length, _)| *length);
        self.measured.oldest = time(self.points.first());
    }

    /// What is known at a moment, with what was promised by then.
    fn measured(&self, facts: &Facts, now: DateTime<Utc>) -> Measured {
        let asked = facts.moments.iter().filter(|time| time.from <= now);
        let promised: Vec<PromisedTime> =
            asked.map(|time| PromisedTime { to: time.to.filter(|to| *to <= now), ..*time }).collect();
        let is_asked = promised.iter().any(|time| time.to.is_none());
        let loss = TimeDelta::from_std(self.promised.rpo).unwrap_or(TimeDelta::MAX);
        let newest = || newest_break(self.gaps.iter().map(|(gap, _)| gap), loss, &promised);
        Measured { newest_gap: is_asked.then(newest).flatten(), ..self.measured }
    }

    fn answers(&self, facts: &Facts, at: i64) -> Answers {
        let mut answers = Answers::default();
        let Some(now) = DateTime::from_timestamp_micros(at) else { return answers };
        let measured = self.measured(facts, now);
        for objective in Objective::ALL {
            match self.promised.judge(objective, &measured, now) {
                Judgement::Met => answers.met |= bit(objective),
                Judgement::Pending => answers.pending |= bit(objective),
                Judgement::NotMet => {}
            }
        }
        answers
    }
}

/// Every moment at which an answer may change, in order. `from` is one of them.
fn changes(facts: &Facts, from: i64, now: i64) -> Vec<Change> {
    let mut out = vec![Change { at: from, what: What::Ages }];
    let promised = known_from(facts.promises.iter().map(|promise| promise.since), now);
    for (at, since) in promised.iter().enumerate() {
        out.push(Change { at: *since, what: What::Promised(at) });
    }
    let drilled = known_from(facts.drills.iter().map(|drill| drill.ended), now);
    for (at, known) in drilled.iter().enumerate() {
        out.push(Change { at: *known, what: What::Drilled(at) });
    }
    for (at, point) in facts.points.iter().enumerate() {
        // What is known now has happened, whatever a clock said then.
        let available = point.available.timestamp_micros().min(now);
        let gone = point.gone.map(|gone| gone.timestamp_micros().min(now));
        if gone.is_some_and(|gone| gone <= available) {
            continue;
        }
        out.push(Change { at: available, what: What::Appears(at) });
        out.extend(gone.map(|at_end| Change { at: at_end, what: What::Goes(at) }));
    }
    for (at, known) in facts.gaps.iter().enumerate() {
        let since = known.since.timestamp_micros().min(now);
        let gone = known.gone.map(|gone| gone.timestamp_micros().min(now));
        if gone.is_none_or(|gone| gone > since) {
            out.push(Change { at: since, what: What::GapOpens(at) });
            out.extend(gone.map(|at_end| Change { at: at_end, what: What::GapCloses(at) }));
        }
    }
    let asked = facts.moments.iter().flat_map(|time| [Some(time.from), time.to]).flatten();
    out.extend(asked.map(|time| Change { at: time.timestamp_micros(), what: What::Ages }));
    for (at, promise) in facts.promises.iter().enumerate() {
        let begins = if at == 0 { i64::MIN } else { promised[at] };
        let ends = promised.get(at + 1).copied().unwrap_or(i64::MAX);
        let ages = ages(facts, &promise.objectives);
        out.extend(
            ages.filter(|at| *at > from && (begins..ends).contains(at)).map(|at| Change { at, what: What::Ages }),
        );
    }
    // Of one moment, results and promises keep the order in which they were written.
    out.sort_by_key(|change| (change.at, change.what));
    out
}

/// When something becomes too old under these objectives, or old enough. A limit is still within the promise, so it is
/// broken a microsecond later: that is the grain of all times here.
fn ages(facts: &Facts, objectives: &Objectives) -> impl Iterator<Item = i64> {
    let limits = |time: DateTime<Utc>, limit: Duration| {
        let time = time.timestamp_micros();
        [time.saturating_sub(SKEW_MICROS), time.saturating_add(micros(limit)).saturating_add(1)]
    };
    let (rpo, retention, interval) = (objectives.rpo, objectives.retention, objectives.drill_interval);
    let of_points = facts.points.iter().flat_map(move |point| {
        let reaches_back = point.as_of.timestamp_micros().saturating_add(micros(retention));
        limits(point.as_of, rpo).into_iter().chain([reaches_back])
    });
    let of_gaps = facts.gaps.iter().map(move |it| it.gap.to.timestamp_micros().saturating_add(micros(retention)));
    let of_drills = facts
        .drills
        .iter()
        .filter(|drill| drill.verdict == DrillVerdict::Passed)
        .flat_map(move |drill| limits(drill.ended, interval));
    let of_creation = [retention.saturating_add(rpo), rpo, interval].map(|limit| limits(facts.created, limit));
    of_points.chain(of_gaps).chain(of_drills).chain(of_creation.into_iter().flatten())
}

#[allow(clippy::cast_possible_truncation)] // a small constant
const SKEW_MICROS: i64 = (CLOCK_SKEW * 1e6) as i64;

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// From when on each of these was known: at its own time, or earlier where something that was written after it, or `now`,
/// is dated earlier; then a clock had run ahead.
fn known_from(recorded: impl DoubleEndedIterator<Item = DateTime<Utc>>, now: i64) -> Vec<i64> {
    let mut latest = now;
    let mut known: Vec<i64> = recorded
        .rev()
        .map(|time| {
            latest = latest.min(time.timestamp_micros());
            latest
        })
        .collect();
    known.reverse();
    known
}

#[cfg(test)]
mod tests;
