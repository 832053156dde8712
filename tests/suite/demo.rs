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
    let drill: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(drill["verdict"], "passed");
    assert!(drill["tables"].as_array().unwrap().len() > 10, "{drill:#}");
}
