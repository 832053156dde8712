//! The model itself: what would be wrong with the program must be seen by it.

use std::fs;
use std::time::{Duration, Instant};

use super::command::Done;
use super::content::Servers;
use super::judge::{Judged, Rule, nothing_runs, sound};
use super::parties::below;
use super::plan::{Fault, Lie, Operation, Party, Place, SOURCES, Signalled, Source, Step};
use super::steps::begin_round;
use super::world::World;
use crate::support::{Product, Running};

fn step(operation: Operation, fault: Fault) -> Step {
    Step { number: 1, source: Source::Tree, operation, fault, then: None, changes: false, proves: true, pick: 1 }
}

fn done(status: Option<i32>, stdout: &str, stderr: &str) -> Done {
    let (stdout, stderr) = (stdout.to_owned(), stderr.to_owned());
    let (what, took) = ("a run".to_owned(), Duration::ZERO);
    Done { what, status, signal: None, stdout, stderr, took, was_asked: false, was_stuck: false, seen: Vec::new() }
}

fn rule<T>(judged: Judged<T>) -> Option<Rule> {
    judged.err().map(|broken| broken.rule)
}

#[test]
fn an_exit_status_that_the_fault_does_not_explain_breaks_a_rule() {
    let full = Fault::Disk(Place::Sandboxes, super::plan::Disk::Full(0));
    let killed = Fault::Signal(Party::SandboxServer, Signalled::Kill, 10);
    let cases = [
        (Operation::Drill, full, done(Some(3), r#"{"verdict":"failed","reason":"x"}"#, ""), Some(Rule::NoFalseRed)),
        (Operation::Drill, killed, done(Some(4), r#"{"verdict":"inconclusive","reason":"x"}"#, ""), None),
        (Operation::Drill, killed, done(Some(4), r#"{"verdict":"passed","reason":"x"}"#, ""), Some(Rule::Agreement)),
        (Operation::Drill, Fault::None, done(Some(1), "", "error: x"), Some(Rule::NoFalseRed)),
        (Operation::Backup, Fault::Lie(Lie::Part(50)), done(Some(0), "{}", ""), Some(Rule::NoFalseGreen)),
        (Operation::Backup, Fault::LinkedDirectory("data"), done(Some(0), "{}", ""), Some(Rule::NoFalseGreen)),
        (Operation::Look, Fault::LinkedDirectory("keys"), done(Some(0), "", ""), Some(Rule::NoFalseGreen)),
        (Operation::Drill, Fault::LinkedDirectory("index"), done(Some(1), "", "error: x"), None),
        (Operation::Drill, Fault::LinkedDirectory("tmp"), done(Some(3), "", "error: x"), Some(Rule::NoFalseRed)),
        (Operation::Backup, full, done(Some(1), "", ""), Some(Rule::Agreement)),
        (Operation::Backup, full, done(Some(1), "", "error: x"), None),
        (Operation::Backup, full, done(None, "", ""), Some(Rule::Agreement)),
        (Operation::Backup, full, done(Some(0), "{}", "thread panicked at"), Some(Rule::Agreement)),
        (Operation::Look, Fault::None, Done { was_asked: true, ..done(Some(1), "", "error") }, Some(Rule::Limits)),
    ];
    for (operation, fault, done, expected) in cases {
        assert_eq!(rule(sound(&done, &step(operation, fault), operation, false)), expected, "{operation:?} {done:?}");
    }
}

#[test]
fn the_model_sees_a_lost_point_another_content_and_what_is_left() {
    let mut servers = Servers::start(Product::MariaDb);
    let mut world = World::new(&mut servers, 1);
    begin_round(&mut world).unwrap();
    let quiet = step(Operation::Backup, Fault::None);
    assert_eq!(world.points.len(), SOURCES.len());
    for (id, source) in world.points.iter().map(|(id, point)| (id.clone(), point.source)).collect::<Vec<_>>() {
        world.prove(&id).unwrap();
        let right = world.points[&id].content.clone();
        let wrong = right.replacen(|letter: char| letter.is_ascii_digit(), "x", 1);
        world.points.get_mut(&id).unwrap().content = wrong;
        assert_eq!(rule(world.prove(&id)), Some(Rule::NothingLost), "{source:?}");
        world.points.get_mut(&id).unwrap().content = right;
    }

    fs::write(world.path("state/sandboxes/left"), "").unwrap();
    assert_eq!(rule(world.is_clean(&quiet)), Some(Rule::NothingLeft));
    fs::remove_file(world.path("state/sandboxes/left")).unwrap();
    world.is_clean(&quiet).unwrap();
    fs::write(world.path("outside/strange"), "").unwrap();
    assert_eq!(rule(world.outside_is_untouched()), Some(Rule::NothingOutside));

    let sleeper = Running(std::process::Command::new("sleep").arg("600").spawn().unwrap());
    let seen = below(std::process::id()).into_iter().filter(|process| process.pid == sleeper.0.id()).collect();
    assert_eq!(rule(nothing_runs(&Done { seen, ..done(Some(0), "", "") })), Some(Rule::NothingLeft));

    // A point that is there and unknown, and one that is known and not there.
    let (id, point) = world.points.pop_last().unwrap();
    assert_eq!(rule(world.reconcile(&quiet, &[])), Some(Rule::Agreement));
    world.points.insert(id, point);
    world.learn_snapshots(Source::Tree);
    world.agrees(&quiet, None).unwrap();
    let tree = world.points.values().find(|point| point.source == Source::Tree).unwrap();
    let snapshot = world.repository(Source::Tree).join("snapshots").join(tree.snapshot.as_ref().unwrap());
    fs::remove_file(snapshot).unwrap();
    assert_eq!(rule(world.reconcile(&quiet, &[])), Some(Rule::NothingLost));
    assert_eq!(rule(world.agrees(&quiet, None)), Some(Rule::Agreement));
}

#[test]
fn nothing_that_was_started_outlives_its_world() {
    let mut servers = Servers::start(Product::MariaDb);
    let mut world = World::new(&mut servers, 1);
    let root = world.path("state");
    let mut begun = world.begin(&["serve", "--web.listen-address", "127.0.0.1:0"], 0);
    let until = Instant::now() + Duration::from_secs(60);
    while !begun.stdout().contains("listening") {
        assert!(begun.run_for(Duration::from_millis(20)) && Instant::now() < until, "{}", begun.stderr());
    }
    begun.signal(rustix::process::Signal::STOP);
    drop(world);
    let done = begun.end(Duration::from_secs(10));
    assert_eq!((done.signal, done.was_asked), (Some(9), false));
    assert!(!root.exists());
}
