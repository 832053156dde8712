use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::{Stopwatch, SystemClock};

const MB: u64 = 1_000_000;

/// So many days after an arbitrary beginning.
fn day(days: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + days * 86_400, 0).unwrap()
}

fn full(logical_bytes: u64) -> Size {
    Size { logical_bytes, chain_length: 0, replay_bytes: 0 }
}

/// A host and a kind of data: 6 s whatever is restored, and 2 s per MB; all of it `slowness` times.
fn takes(size: Size, slowness: f64) -> BTreeMap<Stage, f64> {
    let mb = size.logical_bytes as f64 / MB as f64;
    let seconds = [
        (Stage::Select, 1.0),
        (Stage::Provision, 4.0),
        (Stage::Load, 0.5 + 1.5 * mb),
        (Stage::Verify, 0.5 + 0.5 * mb),
        (Stage::Replay, f64::from(size.chain_length)),
    ];
    seconds.into_iter().filter(|(_, seconds)| *seconds > 0.0).map(|(stage, it)| (stage, it * slowness)).collect()
}

fn restore_time(size: Size, slowness: f64) -> f64 {
    takes(size, slowness).values().sum()
}

fn drill(on: i64, size: Size, slowness: f64) -> PassedDrill {
    let stages = takes(size, slowness);
    PassedDrill { ended: day(on), size, rto_seconds: stages.values().sum(), stages }
}

/// A drill a day, the last one today; size and slowness by day.
fn daily(days: i64, size: impl Fn(i64) -> u64, mut slowness: impl FnMut(i64) -> f64) -> Vec<PassedDrill> {
    (0..days).map(|on| drill(on, full(size(on)), slowness(on))).collect()
}

/// The forecast on the evening of the last drill.
fn after(drills: &[PassedDrill], size: Size) -> Forecast {
    forecast(drills, size, drills.last().unwrap().ended + TimeDelta::hours(12)).unwrap()
}

fn off(found: f64, expected: f64) -> f64 {
    (found / expected - 1.0).abs()
}

/// splitmix64: the same seed, the same history.
struct Chance(u64);

impl Chance {
    /// Between 0 and 1, neither included.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON / 4.0
    }

    /// Around 1, log-normal: times vary by factors (Box and Muller).
    fn factor(&mut self, sigma: f64) -> f64 {
        let (radius, angle) = ((-2.0 * self.uniform().ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        (sigma * radius * angle.cos()).exp()
    }
}

#[test]
fn what_always_took_as_long_will_take_as_long_again_and_that_is_certain_after_twenty_drills() {
    let size = full(100 * MB);
    let found = after(&daily(20, |_| 100 * MB, |_| 1.0), size);
    let seconds = restore_time(size, 1.0);
    assert!(off(found.rto_seconds, seconds) < 1e-12);
    assert!(off(found.rto_low_seconds, seconds) < 1e-9 && off(found.rto_high_seconds, seconds) < 1e-9);
    assert!(found.error_ratio.unwrap() < 1e-12);
    assert_eq!((found.drills, found.size), (20, size));
}

#[test]
fn the_example_of_the_documentation_is_what_is_computed() {
    let drill = |on: i64, provision: f64, load: f64, verify: f64| PassedDrill {
        ended: day(on),
        size: full(100 * MB * on.unsigned_abs()),
        rto_seconds: provision + load + verify,
        stages: BTreeMap::from([(Stage::Provision, provision), (Stage::Load, load), (Stage::Verify, verify)]),
    };
    let drills = [drill(1, 4.0, 20.0, 10.0), drill(2, 5.0, 36.0, 20.0), drill(3, 4.0, 50.0, 31.0)];
    let found = after(&drills, full(400 * MB));
    assert!(off(found.rto_seconds, 109.0) < 1e-9, "{found:?}");
    assert!(off(found.rto_low_seconds, 57.3) < 1e-3 && off(found.rto_high_seconds, 206.2) < 1e-3, "{found:?}");
    assert!(off(found.error_ratio.unwrap(), 2.0 / 85.0) < 1e-9, "{found:?}");
}

#[test]
fn fewer_than_three_drills_make_no_forecast_and_three_a_wide_one() {
    let size = full(100 * MB);
    assert_eq!(forecast(&[], size, day(0)), None);
    for days in [1, 2] {
        assert_eq!(forecast(&daily(days, |_| 100 * MB, |_| 1.0), size, day(days)), None);
    }
    let three = after(&daily(3, |_| 100 * MB, |_| 1.0), size);
    let (seconds, stretch) = (restore_time(size, 1.0), 2.0_f64.powf(17.0 / 19.0));
    assert!(off(three.rto_seconds, seconds) < 1e-12 && three.drills == 3, "{three:?}");
    assert!(off(three.rto_low_seconds, seconds / stretch) < 1e-9, "{three:?}");
    assert!(off(three.rto_high_seconds, seconds * stretch) < 1e-9, "{three:?}");
    // Every further drill that goes as forecast makes it narrower.
    let widths = (3..=20).map(|days| {
        let found = after(&daily(days, |_| 100 * MB, |_| 1.0), size);
        found.rto_high_seconds / found.rto_low_seconds
    });
    let widths: Vec<f64> = widths.collect();
    assert!(widths.windows(2).all(|pair| pair[1] < pair[0]), "{widths:?}");
}

/// A tree of a few kilobytes, whose restore is nothing but programs that start, and that grew by forty times.
#[test]
fn what_takes_long_before_the_first_byte_does_not_grow_with_the_bytes() {
    let stages = BTreeMap::from([(Stage::Provision, 0.1), (Stage::Load, 0.5), (Stage::Verify, 0.9)]);
    let small = |on| PassedDrill { ended: day(on), size: full(30_000), rto_seconds: 1.5, stages: stages.clone() };
    let found = after(&[small(0), small(1), small(2)], full(1_200_000));
    assert!(off(found.rto_seconds, 1.5) < 1e-9, "{found:?}");
}

#[test]
fn a_growing_database_is_forecast_at_its_size_of_today() {
    for per_mille in [5, 20, 50] {
        let size = |on: i64| MB / 10 * (1000 + per_mille * on.unsigned_abs());
        let drills = daily(45, size, |_| 1.0);
        let (yesterday, today) = (restore_time(full(size(44)), 1.0), restore_time(full(size(46)), 1.0));
        let found = after(&drills, full(size(46)));
        assert!(off(found.rto_seconds, today) < 0.005, "{per_mille} ‰ a day: {} for {today}", found.rto_seconds);
        assert!(found.rto_seconds > yesterday, "{per_mille} ‰ a day: {} after {yesterday}", found.rto_seconds);
    }
}

#[test]
fn a_jump_in_size_is_forecast_exactly_where_sizes_varied_before_and_nearly_where_they_did_not() {
    let tripled = full(300 * MB);
    let seconds = restore_time(tripled, 1.0);
    let varied = after(&daily(20, |on| (50 + 5 * on.unsigned_abs()) * MB, |_| 1.0), tripled);
    assert!(off(varied.rto_seconds, seconds) < 1e-9, "{}", varied.rto_seconds);
    let level = after(&daily(20, |_| 100 * MB, |_| 1.0), tripled);
    // Of each of two parts 2 s are taken for fixed, where it is half a second.
    assert!(off(level.rto_seconds + 2.0 * 2.0 * 1.5, seconds) < 1e-9, "{} for {seconds}", level.rto_seconds);
}

#[test]
fn a_change_of_hardware_is_followed_within_six_drills() {
    let size = |on: i64| (100 + on.unsigned_abs()) * MB;
    for slowness in [2.0, 0.5] {
        let mut chance = Chance(7);
        let mut drills = daily(40, size, |_| chance.factor(0.05));
        for on in 40..46 {
            drills.push(drill(on, full(size(on)), slowness * chance.factor(0.05)));
            let today = full(size(on + 1));
            let (found, seconds) = (after(&drills, today), restore_time(today, slowness));
            // The interval tells of the change before the forecast follows it.
            let is_within = (found.rto_low_seconds..=found.rto_high_seconds).contains(&seconds);
            assert!(on < 43 || is_within, "{slowness}, drill {on}: {found:?} for {seconds}");
            assert!(on < 45 || off(found.rto_seconds, seconds) < 0.1, "{slowness}: {found:?} for {seconds}");
        }
    }
}

#[test]
fn one_drill_that_took_ten_times_as_long_moves_the_forecast_by_little_wherever_it_is() {
    for size in [|_| 100 * MB, |on: i64| (100 + 3 * on.unsigned_abs()) * MB] {
        let mut chance = Chance(3);
        let calm = daily(40, size, |_| chance.factor(0.05));
        let today = full(size(41));
        let expected = after(&calm, today).rto_seconds;
        for disturbed in 0..40 {
            let mut drills = calm.clone();
            drills[disturbed] = drill(day_of(&drills[disturbed]), drills[disturbed].size, 10.0);
            let found = after(&drills, today).rto_seconds;
            assert!(off(found, expected) < 0.04, "drill {disturbed}: {found} instead of {expected}");
        }
    }
}

fn day_of(drill: &PassedDrill) -> i64 {
    (drill.ended - day(0)).num_days()
}

/// Share of random histories whose next drill is within the interval that was forecast.
fn coverage(days: i64, growth: u64, sigma: f64) -> f64 {
    let histories = 500_u32;
    let within = (0..histories).filter(|seed| {
        let mut chance = Chance(u64::from(*seed) * 1000 + days.unsigned_abs());
        let size = |on: i64| (100 + growth * on.unsigned_abs()) * MB;
        let drills = daily(days, size, |_| chance.factor(sigma));
        let today = full(size(days));
        let found = after(&drills, today);
        (found.rto_low_seconds..=found.rto_high_seconds).contains(&restore_time(today, chance.factor(sigma)))
    });
    within.count() as f64 / f64::from(histories)
}

#[test]
fn nine_of_ten_drills_are_within_the_interval_once_there_are_enough() {
    for (days, growth, sigma) in [(20, 0, 0.1), (30, 1, 0.3), (45, 0, 0.05), (70, 0, 0.3), (70, 1, 0.1), (90, 3, 0.2)] {
        let share = coverage(days, growth, sigma);
        println!("{days} days, {growth} % a day, σ {sigma}: {share}");
        assert!((0.85..=0.95).contains(&share), "{days} days, {growth} % a day, σ {sigma}: {share}");
    }
}

#[test]
fn with_few_drills_the_interval_errs_on_the_wide_side() {
    for (days, sigma) in [(3, 0.05), (3, 0.3), (5, 0.1), (8, 0.3), (12, 0.2)] {
        let share = coverage(days, 0, sigma);
        println!("{days} days, σ {sigma}: {share}");
        assert!(share >= 0.9, "{days} days, σ {sigma}: {share}");
    }
}

#[test]
fn the_error_is_that_of_the_forecast_which_was_made_before_the_last_drill() {
    let mut chance = Chance(11);
    let drills = daily(50, |on| (100 + 2 * on.unsigned_abs()) * MB, |_| chance.factor(0.2));
    for count in 4..50 {
        let (last, before) = drills[..count].split_last().unwrap();
        let then = forecast(before, last.size, last.ended).unwrap();
        let error = (last.rto_seconds - then.rto_seconds).abs() / last.rto_seconds;
        assert_eq!(after(&drills[..count], full(MB)).error_ratio, Some(error), "{count} drills");
    }
}

#[test]
fn only_the_newest_thirty_drills_of_ninety_days_count() {
    let size = full(100 * MB);
    let (slow, quick) = (restore_time(size, 9.0), restore_time(size, 1.0));
    let mut drills = daily(40, |_| 100 * MB, |on| if on < 10 { 9.0 } else { 1.0 });
    let found = after(&drills, size);
    assert_eq!(found.drills, 30);
    assert!(off(found.rto_seconds, quick) < 1e-12);
    let mut chance = Chance(5);
    let long = daily(200, |on| (100 + on.unsigned_abs()) * MB, |_| chance.factor(0.2));
    assert_eq!(after(&long, size), after(&long[200 - HISTORY..], size));

    // Three slow drills a quarter of a year later, and then none.
    drills.extend((0..3).map(|more| drill(39 + 90 + more, size, 9.0)));
    let found = after(&drills, size);
    assert_eq!(found.drills, 3);
    assert!(off(found.rto_seconds, slow) < 1e-12);
    let (first, last) = (drills[40].ended, drills[42].ended);
    assert_eq!(next_change(&drills, last), Some(first + MAX_AGE));
    assert!(forecast(&drills, size, first + MAX_AGE - TimeDelta::seconds(1)).is_some());
    assert_eq!(forecast(&drills, size, first + MAX_AGE), None, "two are left");
    assert_eq!(next_change(&drills, last + MAX_AGE), None);
}

#[test]
fn sizes_of_zero_are_sizes() {
    let seconds = restore_time(full(0), 1.0);
    // Nothing but empty databases: what takes time is fixed, as far as anybody knows.
    let empty = daily(5, |_| 0, |_| 1.0);
    assert!(off(after(&empty, full(0)).rto_seconds, seconds) < 1e-12);
    assert!(off(after(&empty, full(MB)).rto_seconds, seconds) < 1e-12);
    // One that was empty at first tells exactly what is fixed.
    let filled = daily(10, |on| if on < 4 { 0 } else { 10 * MB }, |_| 1.0);
    assert!(off(after(&filled, full(0)).rto_seconds, seconds) < 1e-9);
    assert!(off(after(&filled, full(50 * MB)).rto_seconds, restore_time(full(50 * MB), 1.0)) < 1e-9);
    // One that was never empty cannot tell, and says what is known of the other stages, and 2 s for each to begin.
    let level = after(&daily(5, |_| 10 * MB, |_| 1.0), full(0));
    assert!(off(level.rto_seconds, 5.0 + 2.0 + 2.0) < 1e-12);
}

#[test]
fn increments_are_replayed_at_their_pace_and_a_chain_that_nobody_ever_replayed_is_not_forecast() {
    let chain = |chain_length| Size { logical_bytes: 100 * MB, chain_length, replay_bytes: 0 };
    let never = daily(10, |_| 100 * MB, |_| 1.0);
    assert_eq!(forecast(&never, chain(3), day(10)), None);
    assert!(forecast(&never, chain(0), day(10)).is_some());
    // Of ten increments that took 10 s the first 2 s are fixed.
    let at_length = |drills: &[PassedDrill], length| forecast(drills, chain(length), day(10)).unwrap().rto_seconds;
    let drills: Vec<PassedDrill> = (0..10).map(|on| drill(on, chain(10), 1.0)).collect();
    let base = restore_time(chain(0), 1.0);
    assert!(off(at_length(&drills, 0), base) < 1e-9, "nothing is replayed");
    assert!(off(at_length(&drills, 10), base + 10.0) < 1e-9);
    assert!(off(at_length(&drills, 40), base + 2.0 + 0.8 * 40.0) < 1e-9);
    // Chains of two lengths tell the pace of any.
    let varied: Vec<PassedDrill> = (0..10).map(|on| drill(on, chain(if on < 5 { 5 } else { 10 }), 1.0)).collect();
    assert!(off(at_length(&varied, 40), base + 40.0) < 1e-9);
}

#[test]
fn increments_are_weighed_once_every_drill_says_how_many_bytes_it_replayed() {
    let size = |replay_bytes| Size { logical_bytes: 100 * MB + replay_bytes, chain_length: 4, replay_bytes };
    // 1 s per MB, and 3 s for whatever else.
    let drilled = |on, replay_bytes| {
        let stages = [(Stage::Provision, 3.0), (Stage::Replay, replay_bytes as f64 / MB as f64)];
        let rto_seconds = stages.iter().map(|(_, seconds)| seconds).sum();
        PassedDrill { ended: day(on), size: size(replay_bytes), rto_seconds, stages: stages.into() }
    };
    let mut drills: Vec<PassedDrill> = (0..6).map(|on| drilled(on, (10 + 10 * on.unsigned_abs()) * MB)).collect();
    let found = forecast(&drills, size(200 * MB), day(6)).unwrap();
    assert!(off(found.replay_seconds, 200.0) < 1e-9 && off(found.rto_seconds, 203.0) < 1e-9, "{found:?}");
    let nothing = Size { logical_bytes: 100 * MB, chain_length: 0, replay_bytes: 0 };
    assert!(forecast(&drills, nothing, day(6)).unwrap().replay_seconds < f64::MIN_POSITIVE);
    // One that only counted them: then they are counted, and all chains were of the same length.
    drills[0].size.replay_bytes = 0;
    let counted = forecast(&drills, size(200 * MB), day(6)).unwrap();
    assert!(counted.replay_seconds <= 60.0, "{counted:?}");
}

#[test]
fn what_no_clock_can_have_measured_counts_for_nothing() {
    let size = full(100 * MB);
    let mut drills = daily(10, |_| 100 * MB, |_| 1.0);
    let calm = after(&drills, size);
    for rto_seconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e12, 1e-300] {
        drills.push(PassedDrill { rto_seconds, ..drill(9, size, 1.0) });
    }
    assert_eq!(after(&drills, size), calm);
}

/// One source of a thousand: the service makes all of them at its start, and later those whose drills changed.
#[test]
fn a_long_history_is_forecast_in_milliseconds() {
    let mut chance = Chance(13);
    let drills = daily(70, |on| (100 + 5 * on.unsigned_abs()) * MB, |_| chance.factor(0.1));
    let watch = Stopwatch::start(&SystemClock::shared());
    for on in 0..20 {
        assert!(forecast(&drills, full(MB), day(70) + TimeDelta::seconds(on)).is_some());
    }
    let each = watch.elapsed() / 20;
    println!("70 drills: {each:?}");
    assert!(each < Duration::from_millis(100), "{each:?}");
}

#[test]
fn time_between_the_stages_is_part_of_the_forecast() {
    let with_pause = PassedDrill { rto_seconds: 300.0, ..drill(0, full(100 * MB), 1.0) };
    assert!(off(after(&vec![with_pause; 3], full(100 * MB)).rto_seconds, 300.0) < 1e-12);
}

fn any_seconds() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 0.0..1e5_f64, 1 => any::<f64>()]
}

fn any_bytes() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..1_000_000_000_u64, 1 => any::<u64>(), 1 => Just(0)]
}

prop_compose! {
    fn any_drill()(
        on in 0..200_i64, bytes in any_bytes(), chain_length in 0..3_u32, rto_seconds in any_seconds(),
        stages in proptest::collection::vec(any_seconds(), 6),
    ) -> PassedDrill {
        let stages = Stage::ALL.into_iter().zip(stages).collect();
        PassedDrill { ended: day(on), size: Size { logical_bytes: bytes, chain_length, replay_bytes: 0 }, rto_seconds, stages }
    }
}

fn seconds(it: &Forecast) -> [f64; 3] {
    [it.rto_low_seconds, it.rto_seconds, it.rto_high_seconds]
}

proptest! {
    #[test]
    fn a_forecast_is_finite_ordered_the_same_again_and_never_shorter_for_more(
        drills in proptest::collection::vec(any_drill(), 0..60), a in any_bytes(), b in any_bytes(), on in 100..250_i64,
    ) {
        let [small, large] = [a.min(b), a.max(b)].map(|bytes| forecast(&drills, full(bytes), day(on)));
        prop_assert_eq!(small, forecast(&drills, full(a.min(b)), day(on)));
        prop_assert_eq!(small.is_some(), large.is_some());
        if let (Some(small), Some(large)) = (small, large) {
            for found in [small, large] {
                let [low, expected, high] = seconds(&found);
                prop_assert!(0.0 <= low && low <= expected && expected <= high && high.is_finite(), "{found:?}");
                prop_assert!(found.error_ratio.is_none_or(|ratio| ratio.is_finite() && ratio >= 0.0), "{found:?}");
                prop_assert!((FEWEST..=WINDOW).contains(&found.drills));
            }
            prop_assert!(seconds(&small).iter().zip(seconds(&large)).all(|(small, large)| *small <= large));
        }
    }

    #[test]
    fn for_sizes_that_drills_restored_the_forecast_lies_within_what_they_measured(
        drills in proptest::collection::vec(any_drill(), 3..30), which in any::<proptest::sample::Index>(), same in any::<bool>(),
    ) {
        let possible = |it: &PassedDrill| POSSIBLE.contains(&it.rto_seconds);
        let mut drills: Vec<PassedDrill> = drills.into_iter().filter(possible).collect();
        prop_assume!(drills.len() >= FEWEST);
        let size = which.get(&drills).size;
        for drill in &mut drills {
            drill.ended = day(0);
            if same {
                drill.size = size;
            }
        }
        if let Some(found) = forecast(&drills, size, day(1)) {
            let measured = drills.iter().map(|drill| drill.rto_seconds);
            let (least, most) = (measured.clone().fold(f64::INFINITY, f64::min), measured.fold(0.0, f64::max));
            prop_assert!((least..=most).contains(&found.rto_seconds), "{found:?} of {least} to {most}");
        }
    }
}
