//! The demo is what a newcomer sees first: it must work from nothing.

use std::process::Command;

use crate::support::{PROGRAM, finish};

#[test]
fn one_round_of_the_demo_passes_and_says_promised_and_measured() {
    let directory = tempfile::tempdir().unwrap();
    let demo = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        command
    };
    let place = directory.path().to_str().unwrap();
    let ran = finish(demo(&["demo", "--once", "--dir", place]));
    assert_eq!(ran.status, 0, "{ran:?}");
    for part in ["PASSED", "recovery time: measured", "promised", "RPO"] {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
    let ran = finish(demo(&["--json", "demo", "--once"]));
    assert_eq!(ran.status, 0, "{ran:?}");
    let mut kinds = Vec::new();
    for line in ran.stdout.lines() {
        let drill: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(drill["verdict"], "passed", "{drill:#}");
        assert!(
            drill["checks"].as_array().unwrap().iter().any(|c| c["name"].as_str().unwrap().starts_with("assertion "))
        );
        kinds.push((drill["source"].as_str().unwrap().to_owned(), drill["tables"].as_array().unwrap().len()));
    }
    let expected = [("ansible", 1), ("shop", 16), ("telegraf", 3)];
    assert_eq!(kinds, expected.map(|(source, tables)| (source.to_owned(), tables)));
}

#[test]
fn accident() {
    let ran = finish({
        let mut command = Command::new(PROGRAM);
        command.args(["demo", "--accident"]);
        command
    });
    assert_eq!(ran.status, 0, "{ran:?}");
    let had: Vec<&str> = ran.stdout.lines().filter_map(|line| line.trim().strip_prefix("it had ")).collect();
    let has: Vec<&str> = ran.stdout.lines().filter_map(|line| line.trim().strip_prefix("it has ")).collect();
    let before = had[0].split(';').next().unwrap();
    assert_eq!(has, [before], "{ran:?}");
    assert!(!before.starts_with("0 rows"), "{before}");
    for part in ["$ backup-sla", " events shop ", " --before-", "is back"] {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
}
