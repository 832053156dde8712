//! Retention as a user has it: what is beyond it goes, what was promised stays, whoever kills, damages or works beside it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::files::{fill, world};
use crate::serving::Service;
use crate::support::{Running, World, entries, wait_for};

/// A world whose one source, `ansible`, is kept for a second; `more` is a table of the configuration.
fn short_world(more: &str) -> World {
    let world = world("", more);
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("retention = \"30d\"", "retention = \"1s\"")).unwrap();
    fill(&world.path("tree"));
    world
}

/// A backup of other data than the one before, more than a second after it.
fn backup(world: &World, round: u64) -> String {
    let noise = (0..60_000_u64).flat_map(|at| (at ^ round << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    fs::write(world.path("tree/blob"), noise.collect::<Vec<u8>>()).unwrap();
    let made = world.json(&["backup"], 0);
    std::thread::sleep(Duration::from_millis(1100));
    made["recovery_point"].as_str().unwrap().to_owned()
}

fn listed(world: &World) -> BTreeSet<String> {
    let ran = world.run(&["--json", "list"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.stdout.lines().map(|line| id(&serde_json::from_str(line).unwrap())).collect()
}

fn id(point: &Value) -> String {
    point["id"].as_str().unwrap().to_owned()
}

fn ids(points: &Value) -> Vec<String> {
    points.as_array().unwrap().iter().map(id).collect()
}

fn set<const N: usize>(ids: [&String; N]) -> BTreeSet<String> {
    ids.into_iter().cloned().collect()
}

/// The restic program finds nothing wrong, having read everything.
fn assert_sound(world: &World) {
    let check = world.restic(&["check", "--read-data"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
}

#[test]
fn what_is_beyond_its_retention_goes_once_a_drill_has_passed_and_the_rest_restores() {
    let world = short_world("");
    // A gap between two of them counts at most half of the retention: the third is as old as that.
    let made = [1, 2, 3, 4, 5].map(|round| backup(&world, round));

    // Nothing is proved yet.
    let plan = world.json(&["maintain", "--dry-run"], 0);
    assert_eq!(ids(&plan["sources"][0]["removed"]), made[..2], "{plan:#}");
    assert!(plan["sources"][0]["held_back"].as_str().unwrap().contains("no drill has passed"), "{plan:#}");
    let done = world.json(&["maintain"], 0);
    assert_eq!(done["removed_points"], 0, "{done:#}");
    assert!(done["warnings"][0].as_str().unwrap().contains("backup-sla drill ansible"), "{done:#}");
    assert_eq!(listed(&world).len(), 5);
    let metrics = world.run(&["metrics"]).stdout;
    assert!(!metrics.contains("backup_sla_maintenance_last_run_success{"), "nothing was done: {metrics}");

    assert_eq!(world.json(&["drill", "--oldest"], 0)["verdict"], "passed");
    let said = world.run(&["maintain", "--dry-run"]);
    assert!(said.stdout.contains("newest that a drill passed on"), "{said:?}");
    assert!(said.stdout.contains("covers the start of retention"), "{said:?}");
    assert!(said.stdout.contains("1 recovery points would be removed; nothing was changed"), "{said:?}");
    assert_eq!(listed(&world).len(), 5, "a dry run changes nothing");
    // The one that is proved stays, however old, and of the others the one that covers the start.
    let done = world.json(&["maintain"], 0);
    assert_eq!(done["removed_points"], 1, "{done:#}");
    assert_eq!(listed(&world), set([&made[0], &made[2], &made[3], &made[4]]));

    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    assert_eq!(world.json(&["maintain"], 0)["removed_points"], 1);
    assert_eq!(listed(&world), set([&made[2], &made[3], &made[4]]));
    assert_eq!(world.json(&["maintain"], 0)["removed_points"], 0, "there is no more to do");
    // Removed on purpose: nobody is told that they vanished.
    let status = world.status();
    assert_eq!(status["measured"]["vanished"], 0, "{status:#}");
    let metrics = world.run(&["metrics"]).stdout;
    for series in [
        "backup_sla_maintenance_removed_points_total{repository=\"local\"} 2",
        "backup_sla_maintenance_last_run_success{repository=\"local\"} 1",
        "backup_sla_recovery_points_vanished{source=\"ansible\"} 0",
    ] {
        assert!(metrics.lines().any(|line| line == series), "{series}: {metrics}");
    }
    assert_sound(&world);
    assert_eq!(world.json(&["drill", "--oldest"], 0)["verdict"], "passed");
    assert_eq!(world.json(&["check", "--read-data"], 0)["ok"], true);
}

#[test]
fn nothing_goes_while_anything_that_is_listed_cannot_be_read() {
    let world = short_world("");
    let made = [1, 2, 3, 4].map(|round| backup(&world, round));
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    let snapshots = entries(&world.path("repo/snapshots"));
    let mut bytes = fs::read(&snapshots[0]).unwrap();
    let whole = bytes.clone();
    bytes[40] ^= 1;
    let write = |bytes: &[u8]| {
        let _ = fs::remove_file(&snapshots[0]);
        fs::write(&snapshots[0], bytes).unwrap();
    };
    write(&bytes);
    let ran = world.run(&["maintain"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("cannot maintain repository local") && ran.stderr.contains("nothing is removed"),
        "{ran:?}"
    );
    assert_eq!(entries(&world.path("repo/snapshots")).len(), 4);
    let metrics = world.run(&["metrics"]).stdout;
    assert!(metrics.contains("backup_sla_maintenance_last_run_success{repository=\"local\"} 0"), "{metrics}");
    write(&whole);
    assert_eq!(world.json(&["maintain"], 0)["removed_points"], 1);
    assert_eq!(listed(&world), set([&made[1], &made[2], &made[3]]));
}

#[test]
fn a_flipped_byte_is_found_by_reading_and_named_with_the_points_that_it_costs() {
    let world = short_world("");
    let made = [1, 2].map(|round| backup(&world, round));
    assert_eq!(world.json(&["check", "--read-data"], 0)["ok"], true);
    let packs: Vec<_> = entries(&world.path("repo/data")).iter().flat_map(|directory| entries(directory)).collect();
    let largest = packs.iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    let whole = fs::read(largest).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::remove_file(largest).unwrap();
    fs::write(largest, bytes).unwrap();

    let structure = world.json(&["check"], 0);
    assert_eq!((&structure["ok"], &structure["read_bytes"]), (&Value::Bool(true), &0.into()), "{structure:#}");
    let found = world.json(&["check", "--read-data"], 1);
    let name = largest.file_name().unwrap().to_str().unwrap();
    assert_eq!(found["problems"].as_array().unwrap().len(), 1, "{found:#}");
    assert!(found["problems"][0].as_str().unwrap().contains(name), "{found:#}");
    let damaged = found["damaged_points"]["ansible"].as_array().unwrap();
    assert!(
        !damaged.is_empty() && damaged.iter().all(|id| made.contains(&id.as_str().unwrap().to_owned())),
        "{found:#}"
    );
    let metrics = world.run(&["metrics"]).stdout;
    assert!(metrics.contains("backup_sla_repository_check_success{repository=\"local\"} 0"), "{metrics}");
    let status = world.json(&["status"], 1);
    assert!(status["repository_damage"].as_str().unwrap().contains(name), "{status:#}");
    let said = world.run(&["check", "--read-data"]);
    assert!(said.status == 1 && said.stdout.contains("DAMAGED") && said.stderr.contains(name), "{said:?}");

    // What was damaged is read again by every check, and by no other way does it count as sound.
    assert_eq!(world.json(&["check"], 1)["ok"], false);
    fs::remove_file(largest).unwrap();
    fs::write(largest, &whole).unwrap();
    let mended = world.json(&["check"], 0);
    assert!(mended["ok"] == true && mended["read_bytes"].as_u64().unwrap() >= whole.len() as u64, "{mended:#}");
    let metrics = world.run(&["metrics"]).stdout;
    assert!(metrics.contains("backup_sla_repository_check_success{repository=\"local\"} 1"), "{metrics}");

    // What is not there at all is found without reading.
    fs::remove_file(largest).unwrap();
    let found = world.json(&["check"], 1);
    assert!(found["problems"][0].as_str().unwrap().contains("is missing"), "{found:#}");
    assert_eq!(found["damaged_points"]["ansible"].as_array().unwrap(), damaged, "{found:#}");
}

#[test]
fn a_repository_that_cannot_be_reached_was_not_checked() {
    let world = short_world("");
    backup(&world, 1);
    assert_eq!(world.json(&["check"], 0)["ok"], true);
    fs::rename(world.path("repo"), world.path("away")).unwrap();
    let ran = world.run(&["check"]);
    assert!(ran.status == 1 && ran.stderr.contains("cannot check repository local"), "{ran:?}");
    let metrics = world.run(&["metrics"]).stdout;
    assert!(metrics.contains("backup_sla_repository_check_success{repository=\"local\"} 1"), "{metrics}");
    let ran = world.run(&["maintain", "elsewhere"]);
    assert!(ran.status == 2 && ran.stderr.contains("the configuration has local"), "{ran:?}");
}

#[test]
fn a_maintenance_that_is_killed_anywhere_leaves_a_repository_that_is_whole() {
    let world = short_world("");
    backup(&world, 0);
    for round in 1..7_u64 {
        let newest = backup(&world, round);
        assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
        let mut run =
            Running(world.command(&["maintain"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        std::thread::sleep(Duration::from_millis(40 * round * round));
        let _ = kill_process(Pid::from_raw(i32::try_from(run.0.id()).unwrap()).unwrap(), Signal::KILL);
        run.0.wait().unwrap();
        let left = listed(&world);
        assert!(left.len() >= 2 && left.contains(&newest), "{round}: {left:?}");
        assert_eq!(world.json(&["check", "--read-data"], 0)["ok"], true, "{round}");
    }
    assert_eq!(world.run(&["maintain"]).status, 0);
    assert_eq!(listed(&world).len(), 3);
    assert_sound(&world);
    assert_eq!(world.json(&["drill", "--oldest"], 0)["verdict"], "passed");
}

#[test]
fn backups_and_drills_beside_maintenance_all_succeed() {
    let world = short_world("");
    backup(&world, 0);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    let begin = |arguments: &[&str]| Running(world.command(arguments).stdout(Stdio::null()).spawn().unwrap());
    for round in 1..5_u64 {
        backup(&world, round);
        let mut all = [begin(&["maintain"]), begin(&["drill", "--oldest"]), begin(&["backup"]), begin(&["check"])];
        let ended = all.each_mut().map(|run| run.0.wait().unwrap().code());
        assert_eq!(ended, [Some(0); 4], "{round}");
    }
    assert_eq!(world.json(&["maintain"], 0)["warnings"].as_array().unwrap().len(), 0);
    assert_eq!(world.json(&["check", "--read-data"], 0)["ok"], true);
    assert_sound(&world);
}

#[test]
fn the_service_maintains_and_checks_at_its_times() {
    let world = short_world("[maintenance]\nschedule = \"@every 2s\"\ncheck = { read_all_within = \"1h\" }\n");
    let made = [1, 2, 3, 4].map(|round| backup(&world, round));
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    assert_eq!(world.run(&["check-config"]).stdout.matches("retention").count(), 0);
    let service = Service::start(&world);
    service.wait("maintenance_removed_points_total{repository=\"local\"}", |removed| removed >= 1.0);
    service.wait("repository_check_success{repository=\"local\"}", |is_good| is_good == 1.0);
    service.wait("repository_check_progress_ratio{repository=\"local\"}", |share| share > 1.0 / 64.0);
    assert_eq!(service.value("maintenance_interval_seconds{repository=\"local\"}"), 2.0);
    assert_eq!(service.value("recovery_points_vanished{source=\"ansible\"}"), 0.0);
    service.stop();
    let left = wait_for("the last listing", || Some(listed(&world)));
    assert!(!left.contains(&made[0]) && left.contains(&made[3]), "{left:?}");
}
