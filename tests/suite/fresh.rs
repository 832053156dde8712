//! The first minutes of a new source: pending, begun at once, and red only when the promise says so.

use std::fs;

use serde_json::Value;

use crate::service::{Service, world};
use crate::support::wait_for;

/// A schedule that does not come.
const NEVER: &str = "{ full = \"0 0 29 2 *\", drill = \"0 0 29 2 *\" }";

#[test]
fn before_its_first_backup_a_source_is_pending_and_nothing_is_in_trouble() {
    let world = world(NEVER);
    let ran = world.run(&["status"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("no backup yet") && ran.stdout.contains("pending"), "{ran:?}");
    assert!(!ran.stdout.contains("NOT MET") && !ran.stdout.contains("in trouble"), "{ran:?}");
    let status = world.json(&["status"], 0);
    assert!(status["problem"].is_null() && status["met"]["rpo"].is_null(), "{status:#}");
    assert!(status["pending"]["rpo"].is_string() && status["pending"]["drill_interval"].is_string(), "{status:#}");
    let metrics = world.run(&["metrics"]).stdout;
    assert!(metrics.contains("backup_sla_source_pending{source=\"tree\"} 1"), "{metrics}");
    for absent in ["backup_sla_objective_met{", "backup_sla_recovery_point_age_seconds{", "repository_check_success{"] {
        assert!(!metrics.contains(absent), "{absent}: {metrics}");
    }

    // A repository that is gone is no new one.
    world.json(&["backup"], 0);
    fs::rename(world.path("repo"), world.path("unmounted")).unwrap();
    let ran = world.run(&["status"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("in trouble"), "{ran:?}");
}

#[test]
fn the_service_begins_the_first_backup_and_the_first_drill_of_a_new_source_at_once() {
    let world = world(NEVER);
    let service = Service::start(&world);
    service.wait("drill_last_outcome{source=\"tree\",outcome=\"passed\"}", |value| value == 1.0);
    service.wait("source_pending{source=\"tree\"}", |value| value == 0.0);
    for (series, value) in [
        ("backups_total{source=\"tree\",kind=\"full\"}", 1.0),
        ("drills_total{source=\"tree\"}", 1.0),
        ("objective_met{source=\"tree\",objective=\"rpo\"}", 1.0),
        ("objective_met{source=\"tree\",objective=\"drill_interval\"}", 1.0),
        ("missed_runs_total{source=\"tree\",operation=\"backup\"}", 0.0),
        ("missed_runs_total{source=\"tree\",operation=\"drill\"}", 0.0),
    ] {
        assert_eq!(service.value(series), value, "{series}");
    }
    assert!(service.value("backup_added_bytes_total{source=\"tree\",kind=\"full\"}") > 0.0);
    service.stop();
    // Once: a service that starts again has nothing to begin.
    let service = Service::start(&world);
    service.wait("scheduler_last_tick_timestamp_seconds", |tick| tick > 0.0);
    assert_eq!(service.value("backups_total{source=\"tree\",kind=\"full\"}"), 1.0);
    service.stop();
    assert_eq!(world.run(&["status"]).status, 0);
}

#[test]
fn a_source_whose_first_backup_fails_becomes_red_when_the_promise_says_so() {
    let world = world(NEVER);
    fs::remove_dir_all(world.path("tree")).unwrap();
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("rpo = \"24h\"", "rpo = \"3s\"")).unwrap();
    let service = Service::start(&world);
    service.wait("backup_failures_total{source=\"tree\",kind=\"full\"}", |value| value >= 1.0);
    service.wait("objective_met{source=\"tree\",objective=\"rpo\"}", |value| value == 0.0);
    assert_eq!(service.value("drills_total{source=\"tree\"}"), 0.0, "there is nothing to restore");
    service.stop();
    let status: Value = wait_for("the status", || {
        let ran = world.run(&["status", "--json"]);
        (ran.status == 1).then(|| serde_json::from_str(&ran.stdout).unwrap())
    });
    assert_eq!((&status["met"]["rpo"], &status["met"]["drill_interval"]), (&false.into(), &Value::Null));
}
