//! How long a restore of the newest recovery point would take now, from what the drills measured.
//!
//! A pure function of the passed drills of one source and of the size of what would be restored. Everything is robust: one
//! drill that was disturbed moves a median by little. The exact definition, with its reasons and limits, is
//! docs/forecast.md; the names here are the names there. Knows nothing of promises: whether a forecast is within an
//! objective is asked elsewhere.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::drill::Stage;

/// Drills that a forecast rests on, at most: the newest.
pub const WINDOW: usize = 30;
/// Drills that are forecast from the ones before them, at most: the newest. What they were off by makes the interval.
pub const TESTED: usize = 40;
/// Passed drills that can matter: those tested, and the window of the first of them.
pub const HISTORY: usize = WINDOW + TESTED;
/// Drills that a forecast needs, at least. Fewer are quoted as what they measured.
pub const FEWEST: usize = 3;
/// A drill counts for so many days.
pub const MAX_AGE: TimeDelta = TimeDelta::days(90);
/// A drill weighs half as much as the one that came so many after it: a change of hardware is followed within as many.
const HALF_LIFE: f64 = 5.0;
/// Two drills tell what depends on size if the larger restored so many times as much as the smaller.
const APART: f64 = 1.5;
/// Seconds of a part that are taken to be fixed where sizes did not vary enough to tell: clients and servers that start, the
/// first question and its answer. A measured second is mostly that, and does not grow with the bytes.
const BEGINNING: f64 = 2.0;
/// Share of drills on each side that the interval leaves out.
const TAIL: f64 = 0.05;
/// As many tested drills are needed for the interval to be theirs alone: 1 / TAIL − 1.
const ENOUGH: usize = 19;
/// Without any tested drill the interval is from a `1 / DEFAULT_SPREAD` of the forecast to as many times.
const DEFAULT_SPREAD: f64 = 2.0;
/// No drill is taken for more wrong than by this factor: a forecast of nothing cannot be compared.
const WORST_RATIO: f64 = 1000.0;
/// Seconds that a restore may have taken: a microsecond to thirty years. Anything else was measured by a broken clock.
const POSSIBLE: RangeInclusive<f64> = 1e-6..=1e9;

/// What a restore of one recovery point has to work through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Bytes before deduplication and compression.
    pub logical_bytes: u64,
    /// Increments that are replayed on top of the full backup.
    pub chain_length: u32,
    /// Bytes of theirs, which are among `logical_bytes`; 0 where nothing is replayed, and of drills of earlier versions.
    #[serde(skip_serializing_if = "is_nothing")]
    pub replay_bytes: u64,
}

impl Size {
    /// Of a full backup alone.
    pub fn of_full(logical_bytes: u64) -> Self {
        Self { logical_bytes, chain_length: 0, replay_bytes: 0 }
    }

    /// With one increment more.
    #[must_use]
    pub fn with(self, bytes: u64, has_changes: bool) -> Self {
        Self {
            logical_bytes: self.logical_bytes.saturating_add(bytes),
            chain_length: self.chain_length.saturating_add(u32::from(has_changes)),
            replay_bytes: self.replay_bytes.saturating_add(if has_changes { bytes } else { 0 }),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_nothing(bytes: &u64) -> bool {
    *bytes == 0
}

/// A drill that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct PassedDrill {
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// What it restored.
    pub size: Size,
    /// The recovery time that it measured.
    pub rto_seconds: f64,
    /// Seconds of the stages that it entered.
    pub stages: BTreeMap<Stage, f64>,
}

/// Recovery time that is to be expected now. Seconds are finite and not negative, and low ≤ expected ≤ high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Forecast {
    /// What is expected.
    pub rto_seconds: f64,
    /// Lower end of the interval that nine of ten drills fall into.
    pub rto_low_seconds: f64,
    /// Its upper end.
    pub rto_high_seconds: f64,
    /// By how much the last drill was off what was forecast before it, as a share of what it measured; none where it was
    /// the first.
    pub error_ratio: Option<f64>,
    /// Drills that this rests on; at least [`FEWEST`].
    pub drills: usize,
    /// How much of what is expected is the replay of increments.
    pub replay_seconds: f64,
    /// What would be restored.
    #[serde(flatten)]
    pub size: Size,
}

/// What to expect of a restore of something of this `size` at `now`. `drills` are the passed ones, in the order in which
/// their results were written; of more than [`HISTORY`] the older ones change nothing.
///
/// None where fewer than [`FEWEST`] drills count, or where increments would have to be replayed and no drill that counts
/// replayed any.
pub fn forecast(drills: &[PassedDrill], size: Size, now: DateTime<Utc>) -> Option<Forecast> {
    let drills: Vec<Measured> = drills.iter().filter_map(Measured::of).collect();
    let basis = basis(&drills, now);
    if basis.len() < FEWEST {
        return None;
    }
    let (rto_seconds, replay_seconds) = expected(&basis, size)?;
    let tests = back_tests(&drills, now);
    let (low, high) = spread(tests.iter().filter_map(|test| test.as_ref().map(BackTest::ratio)).collect());
    Some(Forecast {
        rto_seconds,
        rto_low_seconds: rto_seconds * low,
        rto_high_seconds: rto_seconds * high,
        error_ratio: tests.last().and_then(|test| test.as_ref().map(BackTest::error_ratio)),
        drills: basis.len(),
        replay_seconds,
        size,
    })
}

/// The next moment at which a drill becomes too old to count, and a forecast changes although nothing happens.
pub fn next_change(drills: &[PassedDrill], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    drills.iter().map(|drill| drill.ended + MAX_AGE).filter(|too_old| *too_old > now).min()
}

/// What the time of a drill is divided into: its stages, and what lies between them.
const PARTS: [Option<Stage>; 7] = [
    Some(Stage::Select),
    Some(Stage::Provision),
    Some(Stage::Load),
    Some(Stage::Replay),
    Some(Stage::Start),
    Some(Stage::Verify),
    None,
];

/// What the time of a part grows with; 0 for what takes as long whatever is restored.
fn amount(part: Option<Stage>, size: Size, weighs_increments: bool) -> f64 {
    match part {
        Some(Stage::Load) => size.logical_bytes.saturating_sub(size.replay_bytes) as f64,
        Some(Stage::Verify) => size.logical_bytes as f64,
        Some(Stage::Replay) if weighs_increments => size.replay_bytes as f64,
        Some(Stage::Replay) => f64::from(size.chain_length),
        Some(Stage::Select | Stage::Provision | Stage::Start) | None => 0.0,
    }
}

/// A drill whose figures make sense.
struct Measured {
    ended: DateTime<Utc>,
    size: Size,
    rto: f64,
    /// Seconds, in the order of [`PARTS`].
    parts: [f64; PARTS.len()],
}

impl Measured {
    fn of(drill: &PassedDrill) -> Option<Self> {
        let rto = drill.rto_seconds;
        if !POSSIBLE.contains(&rto) {
            return None;
        }
        let seconds = |stage| drill.stages.get(&stage).copied().filter(|it| it.is_finite()).unwrap_or(0.0);
        let mut parts = PARTS.map(|part| part.map_or(0.0, seconds).clamp(0.0, rto));
        let of_stages: f64 = parts.iter().sum();
        parts[PARTS.len() - 1] = (rto - of_stages).max(0.0);
        Some(Self { ended: drill.ended, size: drill.size, rto, parts })
    }
}

/// The drills that a forecast made at `now` rests on, newest first.
fn basis(drills: &[Measured], now: DateTime<Utc>) -> Vec<&Measured> {
    drills.iter().rev().filter(|drill| counts(drill, now)).take(WINDOW).collect()
}

fn counts(drill: &Measured, now: DateTime<Utc>) -> bool {
    drill.ended + MAX_AGE > now
}

/// Seconds that a restore of this `size` takes, if it goes as the drills of `basis` did, and how much of them is replay.
fn expected(basis: &[&Measured], size: Size) -> Option<(f64, f64)> {
    let has_replayed = basis.iter().any(|drill| drill.size.chain_length > 0);
    if basis.is_empty() || (size.chain_length > 0 && !has_replayed) {
        return None;
    }
    // Drills of earlier versions only counted them.
    let is_weighed = |size: Size| size.chain_length == 0 || size.replay_bytes > 0;
    let by_bytes = is_weighed(size) && basis.iter().all(|drill| is_weighed(drill.size));
    let of_part = |(at, part): (usize, &Option<Stage>)| {
        let sample = |(newer, drill): (usize, &&Measured)| Sample {
            amount: amount(*part, drill.size, by_bytes),
            seconds: drill.parts[at],
            weight: 0.5_f64.powf(newer as f64 / HALF_LIFE),
        };
        let samples: Vec<Sample> = basis.iter().enumerate().map(sample).collect();
        let seconds = Line::through(&samples).at(amount(*part, size, by_bytes));
        // Without increments there is no replay, and nothing of it that takes a fixed time.
        if *part == Some(Stage::Replay) && size.chain_length == 0 { 0.0 } else { seconds }
    };
    let parts: Vec<f64> = PARTS.iter().enumerate().map(of_part).collect();
    let seconds = within_measured(basis, size, parts.iter().sum());
    let replay = PARTS.iter().zip(&parts).find(|(part, _)| **part == Some(Stage::Replay)).map_or(0.0, |(_, it)| *it);
    Some((seconds, replay.min(seconds)))
}

/// What was measured bounds what is expected: nothing that is as large as the smallest drill is expected to take less than
/// the quickest, nothing that is as small as the largest more than the slowest. Medians of parts may add up to either.
fn within_measured(basis: &[&Measured], size: Size, seconds: f64) -> f64 {
    let fold = |of: fn(f64, f64) -> f64, from: f64| basis.iter().map(|drill| drill.rto).fold(from, of);
    let bytes = || basis.iter().map(|drill| drill.size.logical_bytes);
    let chains = || basis.iter().map(|drill| drill.size.chain_length);
    let is_from_smallest = bytes().min() <= Some(size.logical_bytes) && chains().min() <= Some(size.chain_length);
    let is_to_largest = Some(size.logical_bytes) <= bytes().max() && Some(size.chain_length) <= chains().max();
    let seconds = if is_from_smallest { seconds.max(fold(f64::min, f64::INFINITY)) } else { seconds };
    if is_to_largest { seconds.min(fold(f64::max, 0.0)) } else { seconds }
}

/// One part of one drill.
struct Sample {
    amount: f64,
    seconds: f64,
    weight: f64,
}

/// Seconds by amount. Neither number is negative, so more never takes less.
struct Line {
    fixed: f64,
    per_unit: f64,
}

impl Line {
    fn at(&self, amount: f64) -> f64 {
        self.fixed + self.per_unit * amount
    }

    /// Where amounts vary, the slope of Theil and Sen, the median of those of all pairs; where they do not, they cannot
    /// tell what is fixed, and all but the beginning is taken to grow with the amount: the larger forecast for a source
    /// that grows.
    fn through(samples: &[Sample]) -> Self {
        match median(slopes(samples)) {
            None => Self::proportional(samples, BEGINNING),
            Some(slope) if slope <= 0.0 => Self::constant(samples),
            Some(slope) => {
                let rest = samples.iter().map(|it| (it.seconds - slope * it.amount, it.weight));
                match median(rest) {
                    Some(fixed) if fixed >= 0.0 => Self { fixed, per_unit: slope },
                    _ => Self::proportional(samples, 0.0),
                }
            }
        }
    }

    fn constant(samples: &[Sample]) -> Self {
        let fixed = median(samples.iter().map(|it| (it.seconds, it.weight))).unwrap_or(0.0);
        Self { fixed, per_unit: 0.0 }
    }

    /// The median of seconds per unit, after so many seconds that are fixed at most; of samples without an amount, of
    /// seconds.
    fn proportional(samples: &[Sample], beginning: f64) -> Self {
        let with_amount = || samples.iter().filter(|it| it.amount > 0.0);
        let fixed = median(with_amount().map(|it| (it.seconds.min(beginning), it.weight)));
        let per_unit = median(with_amount().map(|it| ((it.seconds - beginning).max(0.0) / it.amount, it.weight)));
        match fixed.zip(per_unit) {
            Some((fixed, per_unit)) => Self { fixed, per_unit },
            None => Self::constant(samples),
        }
    }
}

/// Slope and weight of every pair whose amounts are far enough apart.
fn slopes(samples: &[Sample]) -> impl Iterator<Item = (f64, f64)> {
    let pairs = samples.iter().enumerate().flat_map(|(at, a)| samples[at + 1..].iter().map(move |b| (a, b)));
    pairs.filter_map(|(a, b)| {
        let (small, large) = if a.amount < b.amount { (a, b) } else { (b, a) };
        let tells = large.amount > 0.0 && large.amount >= APART * small.amount;
        tells.then(|| ((large.seconds - small.seconds) / (large.amount - small.amount), a.weight * b.weight))
    })
}

/// Weighted median of pairs of value and weight: the smallest value that, together with all that are smaller, has half of
/// the weight. None of nothing.
fn median(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let mut values: Vec<(f64, f64)> = values.collect();
    values.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let half = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut so_far = 0.0;
    let reaches_half = |(_, weight): &&(f64, f64)| {
        so_far += weight;
        so_far >= half
    };
    values.iter().find(reaches_half).map(|(value, _)| *value)
}

/// A drill against what was forecast of it.
struct BackTest {
    forecast: f64,
    measured: f64,
}

impl BackTest {
    fn ratio(&self) -> f64 {
        (self.measured / self.forecast).clamp(1.0 / WORST_RATIO, WORST_RATIO)
    }

    fn error_ratio(&self) -> f64 {
        (self.measured - self.forecast).abs() / self.measured
    }
}

/// Each of the newest drills that count at `now` against the forecast for its size from the drills before it. None where
/// there was no forecast.
fn back_tests(drills: &[Measured], now: DateTime<Utc>) -> Vec<Option<BackTest>> {
    let newest = drills.iter().enumerate().rev().filter(|(_, drill)| counts(drill, now)).take(TESTED);
    let mut tests: Vec<Option<BackTest>> = newest
        .map(|(at, drill)| {
            let (forecast, _) = expected(&basis(&drills[..at], drill.ended), drill.size)?;
            Some(BackTest { forecast, measured: drill.rto })
        })
        .collect();
    tests.reverse();
    tests
}

/// Ends of the interval, as factors of the forecast. `ratios` are those of measured to forecast.
fn spread(mut ratios: Vec<f64>) -> (f64, f64) {
    ratios.sort_by(f64::total_cmp);
    let (low, high) = if ratios.len() < ENOUGH {
        let stretch = DEFAULT_SPREAD.powf(1.0 - ratios.len() as f64 / ENOUGH as f64);
        let (least, most) = (ratios.first().unwrap_or(&1.0), ratios.last().unwrap_or(&1.0));
        (least.min(1.0) / stretch, most.max(1.0) * stretch)
    } else {
        (quantile(&ratios, TAIL), quantile(&ratios, 1.0 - TAIL))
    };
    (low.min(1.0), high.max(1.0))
}

/// The value of rank `share` · (n + 1); between two ranks, what lies as far between the logarithms of their values. A new
/// value of the same kind is below it with the probability `share`. Of at least [`ENOUGH`] sorted positive values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * (sorted.len() + 1) as f64).clamp(1.0, sorted.len() as f64);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 1 to the length
    let below = rank.floor() as usize;
    let above = (below + 1).min(sorted.len());
    let part = rank - rank.floor();
    sorted[below - 1].powf(1.0 - part) * sorted[above - 1].powf(part)
}

#[cfg(test)]
mod part_tests;
#[cfg(test)]
mod tests;
