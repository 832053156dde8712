//! Increments that go on while a full is read: both chains hold what came meanwhile.

use proptest::prelude::*;

use super::model::{Fate, Step, World, manifest, moment};
use super::*;
use crate::domain::manifest::{BackupKind, LogIdentity, Manifest, Position, RecoveryPointId};

fn position(offset: u64) -> Position {
    let log = LogIdentity { server: "1".to_owned(), begun: 1, last: None, settled: None, outside: Vec::new() };
    Position { binlog_file: Some("bin.000001".to_owned()), binlog_offset: Some(offset), gtid: None, log: Some(log) }
}

/// A full and increments; at 250 and second 15 the next full is opened, which is published after the third increment, and continued.
fn shop() -> Vec<Manifest> {
    let full = manifest("f1", moment(0), position(100), None);
    let first = manifest("i1", moment(20), position(200), Some(&full));
    let second = manifest("i2", moment(40), position(300), Some(&first));
    let third = manifest("i3", moment(60), position(400), Some(&second));
    let mut next = manifest("f2", moment(30), position(250), None);
    next.finished = moment(65);
    let new = manifest("j1", moment(80), position(500), Some(&next));
    vec![full, first, second, third, next, new]
}

fn end(points: &[Manifest]) -> &str {
    &Chains::of(points, |_| false).end().unwrap().id.0
}

fn planned(points: &[Manifest], target: &Target) -> (Vec<String>, Until) {
    let chains = Chains::of(points, |_| false);
    let plan = chains.plan(target).unwrap();
    ([plan.full].iter().chain(&plan.increments).map(|it| it.id.0.clone()).collect(), plan.until)
}

#[test]
fn increments_go_on_in_the_chain_before_until_the_full_is_published_and_then_continue_it() {
    let points = shop();
    assert_eq!(end(&points[..4]), "i3");
    assert_eq!(end(&points[..5]), "f2", "although i3 is newer");
    assert_eq!(end(&points), "j1");
    assert_eq!(planned(&points[..5], &Target::Newest).0, ["f1", "i1", "i2", "i3"], "it is the newest state there is");
    assert_eq!(planned(&points, &Target::Newest).0, ["f2", "j1"]);
}

#[test]
fn what_was_joined_since_stands_in_its_place() {
    let mut points = shop();
    let joined = manifest("k", moment(60), position(400), Some(&points[1]));
    let of = vec![points[2].id.clone(), points[3].id.clone()];
    points.push(Manifest { joins: Some(crate::domain::manifest::Joins { tier: 1, of }), ..joined });
    points.retain(|point| !["i2", "i3"].contains(&point.id.0.as_str()));
    assert_eq!(end(&points), "j1");
    points.retain(|point| point.id.0 != "j1");
    assert_eq!(end(&points), "f2");
    let chains = Chains::of(&points, |_| false);
    let Closing::Proof { plan, next } = &chains.closings()[0].1 else { panic!("it is closed") };
    assert_eq!((plan.newest().id.0.as_str(), next.id.0.as_str()), ("k", "f2"));
    assert_eq!(plan.until, Until::Before { file: "bin.000001".to_owned(), offset: 250 });
}

#[test]
fn an_increment_whose_line_is_lost_ends_the_chain_of_the_full_that_was_published_before_it() {
    let points = shop();
    let without = |gone: &str| points.iter().filter(|point| point.id.0 != gone).cloned().collect::<Vec<_>>();
    assert_eq!(end(&without("i1")), "j1");
    let orphan = manifest("j2", moment(90), position(600), Some(&points[5]));
    let mut lost = without("j1");
    lost.push(orphan);
    assert_eq!(end(&lost), "j2", "it was taken after f2 was published");
    let chains = Chains::of(&lost, |_| false);
    assert!(chains.line(&RecoveryPointId("j2".to_owned())).unwrap().is_err());
    // Of the chain before: it was taken while f2 was read.
    let before = without("i2");
    assert_eq!(end(&before[..4]), "f2");
}

#[test]
fn what_cannot_be_replayed_belongs_to_its_chain_all_the_same() {
    use crate::domain::promise::{Changes, Promise};
    let unreplayable =
        || Promise::Changes(Changes { unreplayable: Some("LOAD DATA".to_owned()), ..Changes::default() });
    let mut points = shop();
    points[5].promise = unreplayable();
    assert_eq!(end(&points), "j1");
    let mut points = shop();
    points[3].promise = unreplayable();
    assert_eq!((end(&points[..4]), end(&points[..5])), ("i3", "f2"));
}

#[test]
fn a_full_that_does_not_say_in_which_log_it_stands_is_continued_by_nothing_and_the_chain_before_it_goes_on() {
    let mut points = shop()[..5].to_vec();
    points[4].position.as_mut().unwrap().log = None;
    assert_eq!(end(&points), "i3");
    points.push(manifest("i4", moment(90), position(700), Some(&points[3])));
    points.push(manifest("f3", moment(95), position(650), None));
    let chains = Chains::of(&points[..6], |_| false);
    assert_eq!(
        (chains.end().unwrap().id.0.as_str(), chains.futile(moment(0)), chains.futile(moment(31))),
        ("i4", 1, 0)
    );
    let chains = Chains::of(&points, |_| false);
    assert_eq!((chains.end().unwrap().id.0.as_str(), chains.futile(moment(0))), ("f3", 0));
    let Closing::Proof { next, .. } = &chains.closings()[0].1 else { panic!("f3 proves it") };
    assert_eq!(next.id.0, "f3");
    // Where there is no other it is what there is.
    assert_eq!(end(&points[4..5]), "f2");
}

#[test]
fn the_chain_before_is_proved_by_a_replay_that_stops_at_the_place_of_the_full() {
    let points = shop();
    let chains = Chains::of(&points, |_| false);
    let closings = chains.closings();
    let Closing::Proof { plan, next } = &closings[0].1 else { panic!("{closings:?}") };
    assert_eq!((plan.newest().id.0.as_str(), next.id.0.as_str()), ("i2", "f2"));
    assert_eq!(plan.until, Until::Before { file: "bin.000001".to_owned(), offset: 250 });
    assert_eq!(closings[1].1, Closing::Open);
}

#[test]
fn a_moment_that_both_chains_have_is_restored_with_the_newer_full_and_the_least_to_replay() {
    let points = shop();
    assert_eq!(planned(&points, &Target::At(moment(45))).0, ["f2", "j1"]);
    assert_eq!(planned(&points[..5], &Target::At(moment(45))).0, ["f1", "i1", "i2", "i3"], "nothing else has it yet");
    assert_eq!(planned(&points, &Target::At(moment(25))).0, ["f1", "i1", "i2"]);
    assert_eq!(Chains::of(&points, |_| false).windows(), [Window { from: moment(0), to: moment(80) }]);
    let both = Chains::of(&points, |_| false);
    let increments: Vec<&Manifest> = points.iter().filter(|point| point.kind == BackupKind::Incremental).collect();
    let names: Vec<&str> = both.overlapping(&increments).into_iter().map(|id| id.0.as_str()).collect();
    assert_eq!(names, ["i2", "i3", "j1"], "they hold some of the same");
}

#[test]
fn an_increment_that_is_dated_before_the_full_and_reaches_beyond_its_place_leaves_no_moment_between_them() {
    let mut points = shop()[..3].to_vec();
    points.push(manifest("f2", moment(41), position(250), None));
    assert_eq!(Chains::of(&points, |_| false).windows(), [Window { from: moment(0), to: moment(41) }]);
    let mut other = position(250);
    other.log.as_mut().unwrap().begun = 2;
    points[3].position = Some(other);
    assert_eq!(Chains::of(&points, |_| false).windows().len(), 2, "the place of another log says nothing");
}

/// A service that is never interrupted: what it does next.
fn service() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Commit),
        1 => Just(Step::Rotate),
        1 => Just(Step::Read),
        2 => Just(Step::Publish),
        6 => Just(Step::Increment(0)),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn a_service_that_takes_increments_beside_fulls_loses_no_moment_goes_never_back_and_every_chain_can_be_proved(
        steps in service(),
    ) {
        let mut world = World::new();
        world.step(&Step::Full, Fate::Sound);
        let (mut newest, mut fulls) = (moment(0), 1);
        for step in steps {
            match step {
                Step::Increment(_) => {
                    let end = Chains::of(world.listed(), |_| false).end().unwrap().id.clone();
                    world.continue_from(&end);
                }
                // A chain without increments is not closed.
                Step::Read => {
                    let end = Chains::of(world.listed(), |_| false).end().unwrap().clone();
                    if end.kind == BackupKind::Full {
                        world.continue_from(&end.id);
                    }
                    world.step(&Step::Read, Fate::Sound);
                }
                // As `close_chain`: what lies between the last increment and the full is stored before it.
                Step::Publish => world.close_and_publish(),
                step => world.step(&step, Fate::Sound),
            }
            let chains = Chains::of(world.listed(), |_| false);
            let made = world.listed().filter(|made| made.kind == BackupKind::Full).count();
            if made > fulls {
                fulls = made;
                prop_assert_eq!(chains.end(), world.listed().last(), "the next increment continues what was published");
            }
            let restored = chains.plan(&Target::Newest).unwrap();
            prop_assert!(restored.as_of() >= newest, "the newest recovery point went back");
            newest = restored.as_of();
            prop_assert_eq!(chains.windows().len(), 1, "{:?}", chains.windows());
        }
        let chains = Chains::of(world.listed(), |_| false);
        for halves in 2..world.end() {
            if moment(halves) <= newest {
                let plan = chains.plan(&Target::At(moment(halves))).unwrap();
                prop_assert_eq!(world.restore(&plan), world.at(halves), "{}", halves);
            }
        }
        for (full, closing) in chains.closings() {
            match closing {
                Closing::Proof { plan, next } => prop_assert_eq!(world.restore(&plan), world.sees(&next.id)),
                Closing::Unreached { .. } => prop_assert!(false, "{} is not closed", full.id),
                Closing::Open | Closing::Alone => {}
            }
        }
    }
}
