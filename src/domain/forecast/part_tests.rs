//! The parts of a forecast by themselves: each number below can be computed by hand.

use super::*;

fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs()
}

fn at(day: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(day)
}

fn empty() -> Size {
    Size { logical_bytes: 0, chain_length: 0, replay_bytes: 0 }
}

/// A drill that took `seconds`, all of them for getting a server.
fn drill(day: i64, seconds: f64) -> PassedDrill {
    let stages = BTreeMap::from([(Stage::Provision, seconds)]);
    PassedDrill { ended: at(day), size: empty(), rto_seconds: seconds, stages }
}

fn measured(drills: &[PassedDrill]) -> Vec<Measured> {
    drills.iter().filter_map(Measured::of).collect()
}

fn samples(pairs: &[(f64, f64)]) -> Vec<Sample> {
    pairs.iter().map(|&(amount, seconds)| Sample { amount, seconds, weight: 1.0 }).collect()
}

#[test]
fn a_median_has_half_of_the_weight_at_or_below_it() {
    let of = |values: &[(f64, f64)]| median(values.iter().copied());
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)]), Some(2.0));
    assert_eq!(of(&[(3.0, 1.0), (1.0, 1.0)]), Some(1.0), "the smaller of two that weigh the same");
    assert_eq!(of(&[(1.0, 1.0), (2.0, 3.0)]), Some(2.0));
    assert_eq!(of(&[(5.0, 1.0), (4.0, 1.0), (1.0, 3.0)]), Some(1.0));
}

#[test]
fn two_samples_tell_a_slope_if_the_larger_is_half_as_large_again() {
    let of = |pairs: &[(f64, f64)]| slopes(&samples(pairs)).collect::<Vec<_>>();
    assert_eq!(of(&[(2.0, 10.0), (3.0, 14.0)]), [(4.0, 1.0)]);
    assert_eq!(of(&[(3.0, 14.0), (2.0, 10.0)]), [(4.0, 1.0)], "in any order");
    assert_eq!(of(&[(2.0, 10.0), (2.999, 14.0)]), []);
    assert_eq!(of(&[(0.0, 1.0), (0.5, 2.0)]), [(2.0, 1.0)]);
    assert_eq!(of(&[(0.0, 1.0), (0.0, 2.0)]), []);
    assert_eq!(of(&[(1.0, 0.0), (2.0, 1.0), (4.0, 5.0)]), [(1.0, 1.0), (5.0 / 3.0, 1.0), (2.0, 1.0)]);
    let weights = [(1.0, 0.5), (2.0, 0.25)].map(|(amount, weight)| Sample { amount, seconds: amount, weight });
    assert_eq!(slopes(&weights).collect::<Vec<_>>(), [(1.0, 0.125)]);
}

#[test]
fn a_line_has_a_fixed_part_where_amounts_vary_and_grows_with_the_amount_where_they_do_not() {
    let of = |pairs: &[(f64, f64)]| {
        let line = Line::through(&samples(pairs));
        (line.fixed, line.per_unit)
    };
    assert_eq!(of(&[(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)]), (3.0, 2.0));
    assert_eq!(of(&[(2.0, 6.0), (2.0, 6.0)]), (2.0, 2.0), "the first two seconds are fixed");
    assert_eq!(of(&[(2.0, 1.5), (2.0, 1.5)]), (1.5, 0.0));
    assert_eq!(of(&[(0.0, 6.0), (0.0, 6.0)]), (6.0, 0.0), "there is no amount");
    assert_eq!(of(&[(1.0, 10.0), (2.0, 8.0)]), (8.0, 0.0), "more does not take less");
    assert_eq!(of(&[(1.0, 1.0), (2.0, 4.0)]), (0.0, 1.0), "nothing takes less than no time");
    assert_eq!(of(&[]), (0.0, 0.0));
    assert!(is_near(Line::through(&samples(&[(1.0, 5.0), (2.0, 7.0)])).at(10.0), 23.0));
}

#[test]
fn a_drill_is_divided_into_its_stages_and_the_rest() {
    let of = |rto_seconds, stages: &[(Stage, f64)]| {
        Measured::of(&PassedDrill { rto_seconds, stages: stages.iter().copied().collect(), ..drill(0, 1.0) })
    };
    let parts = of(10.0, &[(Stage::Load, 4.0), (Stage::Verify, 3.0)]).unwrap().parts.to_vec();
    assert_eq!(parts, [0.0, 0.0, 4.0, 0.0, 0.0, 3.0, 3.0]);
    let broken =
        [(Stage::Select, f64::NAN), (Stage::Provision, -1.0), (Stage::Load, 99.0), (Stage::Start, f64::INFINITY)];
    assert_eq!(of(10.0, &broken).unwrap().parts.to_vec(), [0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0]);
    for (seconds, is_possible) in [(1e-6, true), (9e-7, false), (1e9, true), (1.000_001e9, false)] {
        assert_eq!(of(seconds, &[]).is_some(), is_possible, "{seconds}");
    }
}

#[test]
fn loading_and_verifying_grow_with_bytes_and_replaying_with_the_chain() {
    let size = Size { logical_bytes: 700, chain_length: 3, replay_bytes: 0 };
    let amounts = |size, by_bytes| PARTS.into_iter().map(|part| amount(part, size, by_bytes)).collect::<Vec<f64>>();
    assert_eq!(amounts(size, false), [0.0, 0.0, 700.0, 3.0, 0.0, 700.0, 0.0]);
    let weighed = Size { replay_bytes: 200, ..size };
    assert_eq!(amounts(weighed, true), [0.0, 0.0, 500.0, 200.0, 0.0, 700.0, 0.0]);
}

#[test]
fn a_drill_weighs_half_as_much_as_the_fifth_after_it() {
    for (slow, expected_seconds) in [(4, 1.0), (5, 2.0)] {
        let drills: Vec<_> = (0..30).map(|day| drill(day, if day < 30 - slow { 1.0 } else { 2.0 })).collect();
        let drills = measured(&drills);
        let (found, replay) = expected(&basis(&drills, at(30)), empty()).unwrap();
        assert!(replay < f64::MIN_POSITIVE);
        assert!(is_near(found, expected_seconds), "{slow} slow ones: {found}");
    }
}

#[test]
fn a_forecast_rests_on_the_newest_drills_and_the_newest_comes_first() {
    let drills: Vec<_> = (0..40).map(|day| drill(day, 1.0)).collect();
    let drills = measured(&drills);
    let ended = |now| basis(&drills, now).iter().map(|drill| drill.ended).collect::<Vec<_>>();
    assert_eq!(ended(at(40)), (10..40).rev().map(at).collect::<Vec<_>>());
    assert_eq!(ended(at(128)), [at(39)], "the one of day 38 is 90 days old");
    assert!(ended(at(129)).is_empty());
}

#[test]
fn the_newest_drills_are_tested_against_those_before_them_oldest_first() {
    let doubling: Vec<_> = (0..3).map(|day| drill(day, f64::from(1 << day))).collect();
    let tests = back_tests(&measured(&doubling), at(3));
    let pairs: Vec<_> = tests.iter().map(|test| test.as_ref().map(|it| (it.forecast, it.measured))).collect();
    assert_eq!(pairs, [None, Some((1.0, 2.0)), Some((2.0, 4.0))]);
    assert!(is_near(tests[2].as_ref().unwrap().ratio(), 2.0) && is_near(tests[2].as_ref().unwrap().error_ratio(), 0.5));
    let long: Vec<_> = (0..60).map(|day| drill(day, 1.0)).collect();
    assert_eq!(back_tests(&measured(&long), at(60)).len(), 40);
    assert_eq!(back_tests(&measured(&long), at(140)).len(), 9, "those of day 51 and later");
}

#[test]
fn no_drill_is_taken_for_more_wrong_than_a_thousand_times() {
    let test = |forecast, measured| BackTest { forecast, measured };
    for (forecast, measured, ratio) in
        [(2.0, 3.0, 1.5), (1.0, 5000.0, 1000.0), (5000.0, 1.0, 0.001), (0.0, 1.0, 1000.0)]
    {
        let found = test(forecast, measured).ratio();
        assert!(is_near(found, ratio), "{measured} for {forecast}: {found}");
    }
    assert!(is_near(test(3.0, 4.0).error_ratio(), 0.25) && is_near(test(5.0, 4.0).error_ratio(), 0.25));
}

#[test]
fn a_quantile_lies_between_two_ranks_by_their_logarithms() {
    let powers = |count: i32| (0..count).map(|power| 2.0_f64.powi(power)).collect::<Vec<_>>();
    for (count, share, power) in [
        (19, 0.05, 0.0),
        (19, 0.95, 18.0),
        (24, 0.05, 0.25),
        (24, 0.95, 22.75),
        (39, 0.05, 1.0),
        (39, 0.95, 37.0),
        (4, 0.5, 1.5),
        (19, 0.01, 0.0),
        (19, 0.99, 18.0),
    ] {
        let found = quantile(&powers(count), share).log2();
        assert!((found - power).abs() < 1e-9, "{share} of {count}: 2^{found}");
    }
}

#[test]
fn an_interval_narrows_from_a_factor_of_two_to_what_nineteen_tests_were_off() {
    let is = |ratios: &[f64], low: f64, high: f64| {
        let found = spread(ratios.to_vec());
        assert!(is_near(found.0, low) && is_near(found.1, high), "{ratios:?}: {found:?}");
    };
    is(&[], 0.5, 2.0);
    let stretch = 2.0_f64.powf(18.0 / 19.0);
    is(&[1.0], 1.0 / stretch, stretch);
    is(&[3.0], 1.0 / stretch, 3.0 * stretch);
    is(&[0.25], 0.25 / stretch, stretch);
    let stretch = 2.0_f64.powf(17.0 / 19.0);
    is(&[3.0, 0.25], 0.25 / stretch, 3.0 * stretch);
    let stretch = 2.0_f64.powf(1.0 / 19.0);
    is(&[1.0; 18], 1.0 / stretch, stretch);
    is(&[2.0; 19], 1.0, 2.0);
    is(&[0.5; 19], 0.5, 1.0);
    let mut ratios = vec![1.0; 19];
    (ratios[3], ratios[11]) = (4.0, 0.125);
    is(&ratios, 0.125, 4.0);
    // Of 39, the second from each end.
    let powers: Vec<f64> = (-19..=19).map(|power| 2.0_f64.powi(power)).collect();
    is(&powers, 2.0_f64.powi(-18), 2.0_f64.powi(18));
}
