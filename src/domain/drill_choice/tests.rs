use proptest::prelude::*;

use super::*;
use crate::domain::chain::Until;
use crate::domain::chain::model::{World, manifest, moment, steps};
use crate::domain::manifest::{LogIdentity, Position};

fn position(offset: u64) -> Position {
    let log = LogIdentity { server: "1".to_owned(), begun: 1, last: None, settled: None, outside: Vec::new() };
    Position { binlog_file: Some("bin.000001".to_owned()), binlog_offset: Some(offset), gtid: None, log: Some(log) }
}

/// Two chains of which the first ends at the place of the second's full, or `beyond` it.
fn two_chains(beyond: u64) -> Vec<Manifest> {
    let full = manifest("f1", moment(0), position(100), None);
    let first = manifest("i1", moment(20), position(200), Some(&full));
    let last = manifest("i2", moment(42), position(300 + beyond), Some(&first));
    let next = manifest("f2", moment(40), position(300), None);
    let newest = manifest("j1", moment(60), position(400), Some(&next));
    vec![full, first, last, next, newest]
}

fn chosen(points: &[Manifest], past: &Past, day: i64) -> Vec<(DrillKind, String, Option<String>)> {
    let chains = Chains::of(points, |_| false);
    let choices = choose(&chains, past, &Policy::default(), (moment(0) + TimeDelta::days(day), 7_000_000));
    let named = |it: Choice<'_>| (it.kind, it.plan.newest().id.0.clone(), it.proof.map(|proof| proof.id.0.clone()));
    choices.into_iter().map(named).collect()
}

#[test]
fn a_drill_takes_the_newest_each_closed_chain_once_a_random_moment_weekly_and_the_oldest_monthly() {
    let points = two_chains(0);
    let named = |kind, newest: &str, proof: Option<&str>| (kind, newest.to_owned(), proof.map(str::to_owned));
    let newest = named(DrillKind::Newest, "j1", None);
    let closed = named(DrillKind::ClosedChain, "i2", Some("f2"));
    let random = named(DrillKind::Random, "i1", None);
    let oldest = named(DrillKind::Oldest, "f1", None);
    assert_eq!(chosen(&points, &Past::default(), 1), [newest.clone(), closed, random.clone(), oldest.clone()]);
    let day = |day| Some(moment(0) + TimeDelta::days(day));
    let mut past = Past { proved: [points[0].id.clone()].into(), random: day(1), oldest: day(1) };
    assert_eq!(chosen(&points, &past, 7), std::slice::from_ref(&newest));
    assert_eq!(chosen(&points, &past, 8), [newest.clone(), random.clone()]);
    assert_eq!(chosen(&points, &past, 31), [newest.clone(), random.clone(), oldest]);
    past.random = day(40);
    past.oldest = day(5);
    assert_eq!(chosen(&points, &past, 8), [newest, random], "a clock was wrong once");
    assert_eq!(chosen(&[], &past, 8), []);
}

#[test]
fn a_chain_that_goes_on_beyond_the_next_full_is_proved_to_exactly_its_place() {
    for (beyond, until) in [(0, Until::End), (50, Until::Before { file: "bin.000001".to_owned(), offset: 300 })] {
        let points = two_chains(beyond);
        let closings = Chains::of(&points, |_| false).closings();
        let Closing::Proof { plan, next } = &closings[0].1 else { panic!("{:?}", closings[0]) };
        assert_eq!((plan.increments.len(), &plan.until, next.id.0.as_str()), (2, &until, "f2"));
        assert_eq!(closings[1].1, Closing::Open);
    }
}

#[test]
fn a_chain_that_does_not_reach_the_next_full_or_is_of_another_log_is_not_proved() {
    let mut points = two_chains(0);
    points[2].position = Some(position(290));
    let closing = |points: &[Manifest]| match Chains::of(points, |_| false).closings().remove(0).1 {
        Closing::Unreached { next } => next.id.0.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(closing(&points), "f2");
    for beyond in [0, 50] {
        let mut points = two_chains(beyond);
        points[3].position.as_mut().unwrap().log.as_mut().unwrap().begun = 2;
        assert_eq!(closing(&points), "f2", "the same place of another log");
    }
    let alone = [points[0].clone(), points[3].clone()];
    assert_eq!(Chains::of(&alone, |_| false).closings()[0].1, Closing::Alone);
}

#[test]
fn each_moment_of_the_windows_is_as_likely_as_any_other() {
    let window = |from, to| Window { from: moment(from), to: moment(to) };
    let windows = [window(0, 2), window(5, 5), window(10, 12)];
    let at = |micros| any_moment(&windows, micros).unwrap();
    assert_eq!((at(0), at(999_999)), (moment(0), moment(2) - TimeDelta::microseconds(1)));
    assert_eq!((at(1_000_000), at(2_000_000)), (moment(10), moment(0)));
    let instants = [window(0, 0), window(5, 5)];
    assert_eq!([0, 1, 2].map(|random| any_moment(&instants, random)), [moment(0), moment(5), moment(0)].map(Some));
    assert_eq!(any_moment(&[], 3), None);
}

proptest! {
    #[test]
    fn a_closing_proof_restores_exactly_what_the_next_full_saw(steps in steps(), random in any::<u64>()) {
        let world = World::of(steps);
        let chains = Chains::of(world.listed(), |point| world.is_misdated(point));
        for (full, closing) in chains.closings() {
            match closing {
                Closing::Proof { plan, next } => {
                    prop_assert_eq!(&plan.full.id, &full.id);
                    prop_assert_eq!(world.restore(&plan), world.sees(&next.id));
                }
                Closing::Unreached { next } => prop_assert!(!world.reaches(&full.id, &next.id), "{} {}", full.id, next.id),
                Closing::Open | Closing::Alone => {}
            }
        }
        let choices = choose(&chains, &Past::default(), &Policy::default(), (moment(world.end()), random));
        for choice in &choices {
            let restored = world.restore(&choice.plan);
            if choice.kind == DrillKind::Random {
                prop_assert!(world.is_state_of(restored, choice.plan.as_of()));
            }
        }
        if chains.plan(&Target::Newest).is_ok() {
            prop_assert_eq!(choices[0].kind, DrillKind::Newest);
        }
    }
}
