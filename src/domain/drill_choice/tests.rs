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
    let mut past = Past {
        proved: [points[0].id.clone()].into(),
        last_proof: day(1),
        random: day(1),
        oldest: day(1),
        ..Past::default()
    };
    assert_eq!(chosen(&points, &past, 7), std::slice::from_ref(&newest));
    assert_eq!(chosen(&points, &past, 8), [newest.clone(), random.clone()]);
    assert_eq!(chosen(&points, &past, 31), [newest.clone(), random.clone(), oldest]);
    past.random = day(40);
    past.oldest = day(5);
    assert_eq!(chosen(&points, &past, 8), [newest, random], "a clock was wrong once");
    assert_eq!(chosen(&[], &past, 8), []);
    let unconfirmed = chosen(&points[..4], &Past::default(), 1);
    assert!(
        unconfirmed.iter().all(|it| it.0 != DrillKind::ClosedChain),
        "no increment continues the second full backup"
    );
}

#[test]
fn all_chains_that_closed_since_the_last_proof_are_proved_and_one_older_one() {
    let mut points = Vec::new();
    for number in 0..6_i64 {
        let at = |more: i64| moment(100 * number + more);
        let offset = 1000 * u64::try_from(number).unwrap();
        let full = manifest(&format!("f{number}"), at(0), position(100 + offset), None);
        points.push(manifest(&format!("i{number}"), at(99), position(1100 + offset), Some(&full)));
        points.push(full);
    }
    let closed = |last_proof, proved: &[&str]| {
        let proved = proved.iter().map(|full| RecoveryPointId((*full).to_owned())).collect();
        let past = Past { proved, last_proof, ..Past::default() };
        let chosen = chosen(&points, &past, 1).into_iter();
        chosen.filter(|it| it.0 == DrillKind::ClosedChain).map(|it| it.1).collect::<Vec<_>>()
    };
    assert_eq!(closed(None, &[]), ["i4"], "the newest that is closed");
    assert_eq!(closed(Some(moment(250)), &["f4"]), ["i3", "i2", "i1"], "f3 and f4 came after that, and one older");
    assert_eq!(closed(Some(moment(550)), &["f4", "f3"]), ["i2"]);
    let fourth = points.iter().find(|point| point.id.0 == "f4").unwrap().finished;
    assert_eq!(closed(Some(fourth), &["f4"]), ["i3"], "what closed at the last proof is no newer than that");
    // One that was wrong comes behind the others.
    let wrong = [(RecoveryPointId("f4".to_owned()), moment(0) - TimeDelta::days(8))].into();
    let proved = ["f0", "f1", "f2"].map(|full| RecoveryPointId(full.to_owned())).into();
    let past = Past { proved, wrong, last_proof: Some(moment(250)), ..Past::default() };
    let both: Vec<String> =
        chosen(&points, &past, 1).into_iter().filter(|it| it.0 == DrillKind::ClosedChain).map(|it| it.1).collect();
    assert_eq!(both, ["i3", "i4"]);
    assert_eq!(closed(Some(moment(550)), &["f0", "f1", "f2", "f3", "f4"]), [""; 0]);
}

#[test]
fn a_chain_that_was_wrong_is_tried_again_after_a_week_and_one_that_may_differ_is_not() {
    let points = two_chains(0);
    let full = points[0].id.clone();
    let is_proved = |past: &Past, day| chosen(&points, past, day).iter().any(|it| it.0 == DrillKind::ClosedChain);
    let wrong = Past { wrong: [(full.clone(), moment(0) + TimeDelta::days(1))].into(), ..Past::default() };
    assert_eq!([2, 7, 8, 30].map(|day| is_proved(&wrong, day)), [false, false, true, true]);
    let passed = Past { proved: [full.clone()].into(), ..wrong };
    let not_whole = Past { not_whole: [full].into(), ..Past::default() };
    assert!(!is_proved(&passed, 30) && !is_proved(&not_whole, 30));
}

#[test]
fn a_moment_that_failed_is_tried_again_until_it_passes_or_is_gone_and_no_other_in_its_place() {
    let points = two_chains(0);
    let failed = |point: &str, at: Option<DateTime<Utc>>| FailedDrill {
        kind: DrillKind::Random,
        point: RecoveryPointId(point.to_owned()),
        moment: at,
        chain: None,
        ended: moment(0),
        reason: "rows differ".to_owned(),
    };
    let random = |points: &[Manifest], failed: &[FailedDrill]| {
        let past = Past { random: Some(moment(0)), failed: failed.to_vec(), ..Past::default() };
        let chains = Chains::of(points, |_| false);
        let choices = choose(&chains, &past, &Policy::default(), (moment(0), 7_000_000));
        let found = choices.into_iter().find(|it| it.kind == DrillKind::Random);
        found.map(|it| (it.plan.newest().id.0.clone(), it.plan.until))
    };
    assert_eq!(random(&points, &[]), None, "one passed just now");
    let exact = moment(12) + TimeDelta::microseconds(3);
    let (within, again) = (Some(exact), Some(("i1".to_owned(), Until::Time(exact))));
    assert_eq!(random(&points, &[failed("i1", within)]), again);
    // All of a recovery point, of a ledger that may know no time.
    let whole = Some(("i1".to_owned(), Until::End));
    let fine = Some(moment(20));
    assert_eq!(random(&points, &[failed("i1", fine)]), whole);
    assert_eq!(random(&points, &[failed("i1", None)]), whole);
    assert_eq!(random(&points, &[failed("f1", Some(moment(0)))]), Some(("f1".to_owned(), Until::End)));
    // The newest first, and what is gone not at all.
    assert_eq!(random(&points, &[failed("x", within), failed("i1", within), failed("i2", None)]), again);
    assert_eq!(random(&points[2..], &[failed("i1", within)]), None);
    assert_eq!(random(&points, &[failed("i2", within)]), None, "that moment is of another recovery point now");
    let oldest = FailedDrill { kind: DrillKind::Oldest, ..failed("i1", within) };
    assert_eq!(random(&points, &[oldest]), None);
    let never = Policy { random: None, ..Policy::default() };
    let past = Past { failed: vec![failed("i1", within)], ..Past::default() };
    let choices = choose(&Chains::of(&points, |_| false), &past, &never, (moment(0), 1));
    assert!(choices.iter().all(|it| it.kind != DrillKind::Random));
}

#[test]
fn what_failed_concerns_the_point_and_what_is_built_on_it_and_a_proof_its_whole_chain() {
    let id = |name: &str| RecoveryPointId(name.to_owned());
    let failed = |point: &str, chain: Option<&str>, kind| FailedDrill {
        kind,
        point: id(point),
        moment: None,
        chain: chain.map(id),
        ended: moment(0),
        reason: "rows differ".to_owned(),
    };
    let proof = failed("i2", Some("f1"), DrillKind::ClosedChain);
    let (full, increment) = (failed("f1", None, DrillKind::Newest), failed("i1", None, DrillKind::Random));
    for (point, of, want) in [
        ("f1", "f1", [true, true, false]),
        ("i1", "f1", [true, true, true]),
        ("i3", "f1", [true, true, false]),
        ("f2", "f2", [false; 3]),
        ("i2", "f2", [false; 3]),
    ] {
        assert_eq!([&proof, &full, &increment].map(|it| it.concerns(&id(point), &id(of))), want, "{point}");
    }
    let (f1, i1, i2, i3) = (id("f1"), id("i1"), id("i2"), id("i3"));
    let line = [&f1, &i1, &i2, &i3];
    let passed = |which: &'static str, when: i64| move |id: &RecoveryPointId| (id.0 == which).then(|| moment(when));
    assert!(increment.concerns_line(&line, passed("none", 1)) && full.concerns_line(&line, passed("none", 1)));
    assert!(!increment.concerns_line(&line[..1], passed("none", 1)), "it is behind that");
    assert!(!increment.concerns_line(&line, passed("i3", 1)), "a later one of the same passed since");
    assert!(increment.concerns_line(&line, passed("i3", -1)) && increment.concerns_line(&line, passed("f1", 1)));
    assert!(proof.concerns_line(&line, passed("i3", 1)) && !proof.concerns_line(&[&i1], passed("i3", 1)));
    let at = "failed at 2026-05-28T20:26:40Z: rows differ";
    assert_eq!(proof.sentence(), format!("the closing proof of the chain that begins with f1 {at}"));
    assert_eq!(full.sentence(), format!("a drill of f1 {at}"));
    assert_eq!(increment.sentence(), format!("a drill of i1 (random moment) {at}"));
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
