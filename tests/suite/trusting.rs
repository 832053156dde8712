//! A running service whose repository is changed under it: what it saw before proves nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::service::world;
use crate::serving::Service;
use crate::support::{World, entries};

const PASSED: &str = "drill_last_outcome{source=\"tree\",outcome=\"passed\"}";
const FAILED: &str = "drill_last_outcome{source=\"tree\",outcome=\"failed\"}";
const INCONCLUSIVE: &str = "drill_last_outcome{source=\"tree\",outcome=\"inconclusive\"}";
const RPO_MET: &str = "objective_met{source=\"tree\",objective=\"rpo\"}";
const UP: &str = "repository_up{repository=\"local\"}";
const KEY: &str = "encryption_key_available{repository=\"local\"}";
const VANISHED: &str = "recovery_points_vanished{source=\"tree\"}";

/// A service that has made a backup, drills it all the time and looks at the repository all the time.
fn busy() -> World {
    let world = world("{ full = \"0 0 29 2 *\", drill = \"@every 1s\" }");
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), format!("{text}\n[scheduler]\nlisting_interval = \"1s\"\n")).unwrap();
    world
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for path in entries(directory) {
        if path.is_dir() { out.extend(files_below(&path)) } else { out.push(path) }
    }
    out
}

/// Take the files of `name` out of the repository.
fn take_away(world: &World, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let path = world.path("repo").join(name);
    let files = if path.is_dir() { files_below(&path) } else { vec![path] };
    files
        .into_iter()
        .map(|path| {
            let content = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            (path, content)
        })
        .collect()
}

#[test]
fn whatever_is_taken_from_the_repository_under_a_running_service_turns_it_red_and_back() {
    let world = busy();
    let service = Service::start(&world);
    service.wait(PASSED, |value| value == 1.0);
    service.wait(UP, |value| value == 1.0);
    for name in ["keys", "config", "index", "data"] {
        let taken = take_away(&world, name);
        assert!(!taken.is_empty(), "{name}");
        service.wait(UP, |value| value == 0.0);
        service.wait(FAILED, |value| value == 1.0);
        if name == "keys" {
            service.wait(KEY, |value| value == 0.0);
        }
        for (path, content) in taken {
            fs::write(path, content).unwrap();
        }
        service.wait(UP, |value| value == 1.0);
        service.wait(PASSED, |value| value == 1.0);
    }
    // Others of the same length under their names: only who reads them can tell.
    let mut good = Vec::new();
    for path in files_below(&world.path("repo/data")) {
        let content = fs::read(&path).unwrap();
        fs::write(&path, vec![7; content.len()]).unwrap();
        good.push((path, content));
    }
    service.wait(FAILED, |value| value == 1.0);
    for (path, content) in good {
        fs::write(path, content).unwrap();
    }
    service.wait(PASSED, |value| value == 1.0);
    // 40 bytes of one pack.
    let pack = files_below(&world.path("repo/data")).remove(0);
    let content = fs::read(&pack).unwrap();
    fs::write(&pack, &content[..content.len() - 40]).unwrap();
    service.wait(UP, |value| value == 0.0);
    assert!(service.said().contains("should have"), "{}", service.said());
    fs::write(&pack, content).unwrap();
    service.wait(UP, |value| value == 1.0);
    service.stop();
}

#[test]
fn recovery_points_that_somebody_deletes_have_vanished_until_they_are_back() {
    let world = busy();
    let service = Service::start(&world);
    service.wait(PASSED, |value| value == 1.0);
    assert_eq!(service.value(VANISHED), 0.0);
    let taken = take_away(&world, "snapshots");
    service.wait(VANISHED, |value| value == 1.0);
    assert!(service.said().contains("had to be kept longer"), "{}", service.said());
    let status = world.run(&["status"]);
    assert_eq!(status.status, 1, "{status:?}");
    assert!(status.stdout.contains("1 recovery point is gone from the repository before"), "{status:?}");
    assert!(service.get("/").contains("1 recovery point is gone"), "{}", service.get("/"));
    for (path, content) in taken {
        fs::write(path, content).unwrap();
    }
    service.wait(VANISHED, |value| value == 0.0);
    service.stop();
}

#[test]
fn another_repository_in_its_place_is_refused_until_it_is_accepted_and_nothing_is_said_to_have_vanished() {
    let world = busy();
    let service = Service::start(&world);
    service.wait(PASSED, |value| value == 1.0);
    // Somebody else's, made with the same password.
    let other = self::world("{ full = \"0 0 29 2 *\" }");
    assert_eq!(other.run(&["backup"]).status, 0);
    fs::rename(world.path("repo"), world.path("mine")).unwrap();
    fs::rename(other.path("repo"), world.path("repo")).unwrap();
    service.wait(UP, |value| value == 0.0);
    // What the key opens now is not what holds the backups, and nobody knows whether those are still there.
    service.wait_without(KEY);
    service.wait_without(RPO_MET);
    assert!(service.get("/sources/tree").contains("not known"), "{}", service.get("/sources/tree"));
    let status = world.json(&["status"], 1);
    assert_eq!(
        (&status["met"]["rpo"], &status["problem_side"]),
        (&serde_json::Value::Null, &"repository".into()),
        "{status:#}"
    );
    service.wait(INCONCLUSIVE, |value| value == 1.0);
    let refused = world.run(&["backup"]);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("another repository is there"), "{refused:?}");
    assert!(refused.stderr.contains("backup-sla accept-repository local"), "{refused:?}");
    service.stop();
    let restarted = Service::start(&world);
    restarted.wait(UP, |value| value == 0.0);
    let accepted = world.json(&["accept-repository", "local"], 0);
    assert_eq!(accepted["repository"], "local", "{accepted}");
    assert_ne!(accepted["identity"], accepted["before"], "{accepted}");
    restarted.wait(UP, |value| value == 1.0);
    assert_eq!(restarted.value(VANISHED), 0.0);
    restarted.stop();
}
