use chrono::TimeDelta;
use proptest::prelude::*;

use super::model::{Fate, World, manifest, moment, steps};
use super::*;
use crate::domain::manifest::{LogIdentity, Manifest, Position, RecoveryPointId};
use crate::domain::promise::{Changes, Promise};

fn position(file: &str, offset: u64, begun: u32) -> Position {
    let log = LogIdentity { server: "1".to_owned(), begun, last: None, settled: None, outside: Vec::new() };
    Position { binlog_file: Some(file.to_owned()), binlog_offset: Some(offset), gtid: None, log: Some(log) }
}

fn id(name: &str) -> RecoveryPointId {
    RecoveryPointId(name.to_owned())
}

/// A full and two increments: 04–100–200–300 in one file, at seconds 0, 10 and 20.
fn shop() -> Vec<Manifest> {
    let full = manifest("f1", moment(0), position("bin.000001", 100, 1), None);
    let first = manifest("i1", moment(20), position("bin.000001", 200, 1), Some(&full));
    let second = manifest("i2", moment(40), position("bin.000001", 300, 1), Some(&first));
    vec![full, first, second]
}

fn chains(points: &[Manifest]) -> Chains<'_> {
    Chains::of(points, |_| false)
}

fn names(plan: &Plan<'_>) -> Vec<String> {
    [plan.full].iter().chain(&plan.increments).map(|it| it.id.0.clone()).collect()
}

fn planned(points: &[Manifest], target: &Target) -> Result<(Vec<String>, Until), NoPlan> {
    chains(points).plan(target).map(|plan| (names(&plan), plan.until))
}

fn place(text: &str) -> Target {
    Target::BeforePosition(Place::parse(text).unwrap())
}

#[test]
fn a_time_takes_the_increments_up_to_the_first_that_reaches_it_and_stops_there() {
    let points = shop();
    let (plan, until) = planned(&points, &Target::At(moment(21))).unwrap();
    assert_eq!((plan, until), (vec!["f1".into(), "i1".into(), "i2".into()], Until::Time(moment(21))));
    let (plan, until) = planned(&points, &Target::At(moment(20))).unwrap();
    assert_eq!((plan, until), (vec!["f1".into(), "i1".into()], Until::End), "the time of a point is that point");
    for outside in [-1, 41] {
        assert_eq!(planned(&points, &Target::At(moment(outside))), Err(NoPlan::Outside));
    }
    assert_eq!(chains(&points).windows(), [Window { from: moment(0), to: moment(40) }]);
}

#[test]
fn an_increment_that_can_never_be_replayed_ends_the_window_before_it() {
    let mut points = shop();
    points[1].promise = Promise::Changes(Changes { unreplayable: Some("LOAD DATA".to_owned()), ..Changes::default() });
    let chains = chains(&points);
    assert_eq!(chains.windows(), [Window { from: moment(0), to: moment(0) }]);
    assert_eq!(chains.restorable().map(|point| point.id.0.as_str()).collect::<Vec<_>>(), ["f1"]);
    let why = Unrestorable::Unreplayable { increment: id("i1"), why: "LOAD DATA".to_owned() };
    for point in ["i1", "i2"] {
        assert_eq!(chains.line(&id(point)), Some(Err(&why)), "{point}");
    }
}

#[test]
fn the_second_that_is_shown_of_a_point_names_it() {
    let mut points = shop();
    points[2].as_of += TimeDelta::milliseconds(300);
    assert_eq!(planned(&points, &Target::At(moment(40))).unwrap().1, Until::End);
    assert_eq!(planned(&points, &Target::At(moment(39))).unwrap().1, Until::Time(moment(39)));
}

#[test]
fn among_fulls_alone_a_time_means_the_newest_that_is_not_newer() {
    let points =
        [manifest("f1", moment(0), None::<Position>, None), manifest("f2", moment(20), None::<Position>, None)];
    assert_eq!(planned(&points, &Target::At(moment(19))).unwrap().0, ["f1"]);
    assert_eq!(planned(&points, &Target::At(moment(90))).unwrap().0, ["f2"]);
    assert_eq!(planned(&points, &Target::At(moment(-1))), Err(NoPlan::Outside));
    assert!(chains(&points).windows().iter().all(Window::is_instant));
}

#[test]
fn a_place_is_stopped_at_before_its_transaction_and_the_end_of_a_point_is_that_point() {
    let points = shop();
    let before = |offset| Until::Before { file: "bin.000001".into(), offset };
    assert_eq!(planned(&points, &place("bin.000001:150")).unwrap(), (vec!["f1".into(), "i1".into()], before(150)));
    assert_eq!(planned(&points, &place("bin.000001:200")).unwrap(), (vec!["f1".into(), "i1".into()], Until::End));
    assert_eq!(planned(&points, &place("bin.000001:100")).unwrap(), (vec!["f1".into()], Until::End));
    for outside in ["bin.000001:99", "bin.000001:301", "bin.000002:4", "other.000001:150"] {
        assert_eq!(planned(&points, &place(outside)), Err(NoPlan::Outside), "{outside}");
    }
    assert_eq!(
        chains(&points).plan(&place("bin.000001:250")).unwrap().as_of(),
        moment(20),
        "never later than what is in it"
    );
}

#[test]
fn a_place_that_two_logs_have_is_ambiguous_and_one_that_two_chains_of_one_log_have_is_not() {
    let mut points = shop();
    points.push(manifest("f2", moment(30), position("bin.000001", 250, 1), None));
    points.push(manifest("j1", moment(50), position("bin.000001", 400, 1), points.last()));
    assert_eq!(planned(&points, &place("bin.000001:270")).unwrap().0, ["f2", "j1"], "least to replay");
    for at in [3, 4] {
        points[at].position = Some(position("bin.000001", if at == 3 { 250 } else { 400 }, 2));
    }
    points[4].from = points[3].position.clone();
    assert_eq!(planned(&points, &place("bin.000001:270")), Err(NoPlan::Ambiguous(vec![id("f1"), id("f2")])));
    assert_eq!(planned(&points, &place("bin.000001:150")).unwrap().0, ["f1", "i1"]);
    assert!(chains(&points).are_places_ambiguous());
    let within = |id: &str, at: &str| {
        let named = Target::Within(super::super::manifest::RecoveryPointId(id.to_owned()), Box::new(place(at)));
        planned(&points, &named).map(|planned| planned.0)
    };
    assert_eq!(within("j1", "bin.000001:270").unwrap(), ["f2", "j1"], "the increment says which log is meant");
    assert_eq!(within("i2", "bin.000001:270").unwrap(), ["f1", "i1", "i2"]);
    assert_eq!(within("i2", "bin.000001:200").unwrap(), ["f1", "i1"], "its first transaction");
    assert_eq!(within("i1", "bin.000001:270"), Err(NoPlan::Outside));
    assert_eq!(within("x", "bin.000001:270"), Err(NoPlan::NoSuchPoint));
}

#[test]
fn places_are_unambiguous_as_long_as_one_log_goes_on() {
    let mut points = shop();
    assert!(!chains(&points).are_places_ambiguous());
    points[2].position = Some(position("bin.000002", 4, 2));
    assert!(!chains(&points).are_places_ambiguous(), "the next file was begun later");
    points[2].position = Some(position("bin.000002", 4, 0));
    assert!(chains(&points).are_places_ambiguous(), "the log was begun anew in between");
    for point in &mut points {
        (point.from, point.position.as_mut().unwrap().log) = (None, None);
    }
    assert!(chains(&points).are_places_ambiguous(), "what is not known may be any log");
}

#[test]
fn files_of_a_log_are_ordered_by_their_numbers() {
    let order = |a: &str, b: &str| Place::parse(a).unwrap().order(&Place::parse(b).unwrap());
    assert!(order("bin.999999:4", "bin.1000000:4").unwrap().is_lt());
    assert!(order("bin.000009:900", "bin.000010:4").unwrap().is_lt());
    assert_eq!(order("bin.000001:4", "log.000002:4"), None);
    for text in ["", "bin.000001", "bin.000001:", "bin.000001:-1", ":4", "/var/lib/bin.000001:4"] {
        assert_eq!(Place::parse(text), None, "{text}");
    }
}

#[test]
fn a_gtid_is_stopped_at_in_the_increment_that_brings_it() {
    let mut points = shop();
    let gtids = ["0-1-5", "0-1-9", "0-1-12,1-1-3"];
    for (point, gtid) in points.iter_mut().zip(gtids) {
        point.position.as_mut().unwrap().gtid = Some(gtid.to_owned());
    }
    (points[1].from, points[2].from) = (points[0].position.clone(), points[1].position.clone());
    let before = |gtid: &str| planned(&points, &Target::BeforeGtid(gtid.to_owned()));
    assert_eq!(before("0-1-9").unwrap(), (vec!["f1".into(), "i1".into()], Until::BeforeGtid("0-1-9".into())));
    assert_eq!(before("1-1-1").unwrap().0.len(), 3);
    for outside in ["0-1-5", "0-1-13", "2-1-1", "no gtid"] {
        assert_eq!(before(outside), Err(NoPlan::Outside), "{outside}");
    }
}

#[test]
fn a_line_with_a_hole_or_without_its_parent_cannot_be_restored_and_says_why() {
    let points = shop();
    let why = |points: &[Manifest]| match planned(points, &Target::Newest) {
        Err(NoPlan::Unrestorable(point, why)) => format!("{point}: {why}"),
        other => panic!("{other:?}"),
    };
    let lost = [points[0].clone(), points[2].clone()];
    assert_eq!(why(&lost), "i2: increment i2 continues i1, which is missing or cannot be read");
    assert_eq!(chains(&lost).windows(), [Window { from: moment(0), to: moment(0) }]);
    let mut holed = points.clone();
    holed[1].from.as_mut().unwrap().log.as_mut().unwrap().begun = 9;
    assert_eq!(why(&holed), "i2: increment i1 does not begin where f1 ends");
    let mut circle = points.clone();
    circle[1].parent = Some(id("i2"));
    circle[1].from = circle[2].position.clone();
    assert!(why(&circle).contains("leads back to itself"), "{}", why(&circle));
    let mut physical = points.clone();
    physical[0].promise = Promise::Pending;
    assert_eq!(why(&physical), "i2: f1 is a physical copy");
    assert_eq!(chains(&physical).unrestorable().count(), 3);
    assert_eq!(planned(&[], &Target::Newest), Err(NoPlan::Empty));
    assert_eq!(planned(&points, &Target::Id(id("i"))), Err(NoPlan::SeveralPoints));
    assert_eq!(planned(&points, &Target::Id(id("x"))), Err(NoPlan::NoSuchPoint));
}

#[test]
fn a_chain_that_ends_where_the_next_full_stands_leaves_no_moment_between_them() {
    let mut points = shop();
    points.push(manifest("f2", moment(50), position("bin.000001", 300, 1), None));
    assert_eq!(chains(&points).windows(), [Window { from: moment(0), to: moment(50) }]);
    let plan = chains(&points).plan(&Target::At(moment(45))).map(|plan| (names(&plan), plan.as_of()));
    assert_eq!(plan.unwrap(), (vec!["f1".into(), "i1".into(), "i2".into()], moment(45)));
    points[3].position = Some(position("bin.000001", 301, 1));
    assert_eq!(chains(&points).windows().len(), 2, "something happened between them");
}

#[test]
fn moments_are_kept_back_to_the_first_gap_that_loses_more_than_is_allowed_since_they_were_promised() {
    let window = |from, to| Window { from: moment(from), to: moment(to) };
    let windows = [window(0, 0), window(50, 50), window(100, 200), window(210, 300), window(340, 400)];
    let since = |loss: i64, promised| {
        let promised = PromisedTime { from: moment(promised), to: None };
        kept_since(&windows, TimeDelta::milliseconds(500 * loss), &[promised])
    };
    assert_eq!(since(40, 0), Some(moment(100)), "50 to 100 is too much");
    assert_eq!(since(39, 0), Some(moment(340)));
    assert_eq!(since(10, 330), Some(moment(0)), "the first increment may come so late");
    assert_eq!(since(10, 329), Some(moment(340)));
    assert_eq!(since(40, 60), Some(moment(0)));
    assert_eq!(since(40, 59), Some(moment(100)));
    assert_eq!(kept_since(&[], TimeDelta::days(1), &[]), None);
    let between = |from, to| {
        let promised = [PromisedTime { from: moment(from), to: Some(moment(to)) }];
        kept_since(&windows, TimeDelta::milliseconds(500 * 30), &promised)
    };
    assert_eq!(between(0, 81), Some(moment(100)), "a gap of the time in which moments were promised counts for ever");
    assert_eq!(
        between(0, 80),
        Some(moment(50)),
        "who asked for a moment within that time lost no more than is allowed"
    );
}

#[test]
fn what_cannot_be_restored_before_the_first_window_is_a_gap_too() {
    let windows = [Window { from: moment(50), to: moment(60) }, Window { from: moment(70), to: moment(70) }];
    let found: Vec<_> = gaps(&windows, Some(moment(40))).iter().map(|gap| (gap.from, gap.to)).collect();
    assert_eq!(found, [(moment(40), moment(50)), (moment(60), moment(70))]);
    assert_eq!(gaps(&windows, Some(moment(50))).len(), 1);
    assert!(gaps(&[], Some(moment(0))).is_empty());
}

#[test]
fn a_wrong_date_in_a_chain_bounds_no_window_and_breaks_no_line() {
    let points = shop();
    let chains = Chains::of(&points, |point| point.id == id("i1"));
    assert_eq!(chains.windows().len(), 2);
    assert_eq!(chains.plan(&Target::At(moment(30))), Err(NoPlan::Outside));
    assert_eq!(names(&chains.plan(&Target::Newest).unwrap()), ["f1", "i1", "i2"]);
    assert_eq!(chains.plan(&Target::Id(id("i1"))).unwrap().increments.len(), 1, "who names it means it");
}

#[test]
fn a_chain_of_many_thousand_increments_is_linked_without_a_deep_stack() {
    let mut points = vec![manifest("f", moment(0), position("bin.000001", 4, 1), None)];
    for number in 1..20_000_u32 {
        let end = position("bin.000001", 4 + u64::from(number), 1);
        let parent = &points[points.len() - 1];
        points.push(manifest(&format!("i{number:06}"), moment(i64::from(number)), end, Some(parent)));
    }
    let chains = chains(&points);
    assert_eq!(chains.windows(), [Window { from: moment(0), to: moment(19_999) }]);
    assert_eq!(chains.plan(&place("bin.000001:10000")).unwrap().increments.len(), 9996);
}

proptest! {
    #[test]
    fn every_moment_of_a_window_brings_back_what_was_committed_until_then_and_no_other_moment_is_promised(steps in steps()) {
        let world = World::of(steps);
        let chains = Chains::of(world.listed(), |point| world.is_misdated(point));
        let windows = chains.windows();
        prop_assert!(windows.windows(2).all(|pair| pair[0].to < pair[1].from), "{windows:?}");
        for halves in 0..world.end() + 3 {
            let (time, can) = (moment(halves), world.has_moment(halves));
            prop_assert_eq!(windows.iter().any(|it| it.from <= time && time <= it.to), can, "{} {:?}", halves, windows);
            let plan = chains.plan(&Target::At(time));
            if let Ok(plan) = &plan && (can || chains.has_increments()) {
                prop_assert!(can, "{halves}");
                prop_assert_eq!(world.restore(plan), world.at(halves), "{}", halves);
                prop_assert_eq!(plan.as_of(), time);
            }
            prop_assert!(plan.is_ok() || !can, "{halves} {plan:?}");
        }
    }

    #[test]
    fn a_recovery_point_is_restored_whole_or_refused(steps in steps()) {
        let world = World::of(steps);
        let chains = Chains::of(world.listed(), |point| world.is_misdated(point));
        for made in world.made.iter().filter(|made| made.fate != Fate::Lost) {
            let (manifest, can) = (&made.manifest, world.can_be_restored(made));
            let plan = chains.plan(&Target::Id(manifest.id.clone()));
            prop_assert_eq!(plan.is_ok(), can);
            if let Ok(plan) = plan {
                prop_assert_eq!(plan.newest(), manifest);
                prop_assert_eq!(world.restore(&plan), world.sees(&made.manifest.id));
                prop_assert_eq!(chains.full_of(&manifest.id), Some(plan.full));
            }
        }
        let newest = world.listed().filter(|it| !world.is_misdated(it)).max_by_key(|it| (it.as_of, &it.id));
        match (chains.plan(&Target::Newest), newest) {
            (Ok(plan), Some(newest)) => prop_assert_eq!(plan.newest(), newest),
            (Err(NoPlan::Unrestorable(id, _)), Some(newest)) => prop_assert_eq!(&id, &newest.id),
            (Err(NoPlan::Empty), None) => {}
            (other, newest) => prop_assert!(false, "{other:?} {newest:?}"),
        }
    }

    #[test]
    fn a_place_or_gtid_brings_back_what_was_before_it_and_is_refused_where_several_logs_have_it(steps in steps()) {
        let world = World::of(steps);
        let chains = Chains::of(world.listed(), |point| world.is_misdated(point));
        let places = world.places().into_iter().map(|(place, states)| (Target::BeforePosition(place), states));
        let gtids = world.gtids().into_iter().map(|(gtid, states)| (Target::BeforeGtid(gtid), states));
        for (target, states) in places.chain(gtids) {
            match chains.plan(&target) {
                Ok(plan) => {
                    prop_assert_eq!(states.len(), 1, "{:?}", target);
                    let restored = world.restore(&plan);
                    prop_assert!(states.iter().any(|(_, state)| *state == restored), "{target:?} {plan:?} {states:?}");
                }
                Err(NoPlan::Ambiguous(_)) => prop_assert!(states.len() > 1, "{target:?} {states:?}"),
                Err(_) => prop_assert!(states.is_empty(), "{target:?} {states:?}"),
            }
        }
    }
}
