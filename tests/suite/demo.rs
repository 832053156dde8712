//! The demo is what a newcomer sees first: it must work from nothing.

use std::process::Command;

use crate::support::{PROGRAM, Ran};

#[test]
fn one_round_of_the_demo_passes_and_says_promised_and_measured() {
    let directory = tempfile::tempdir().unwrap();
    let ran = Ran::of(Command::new(PROGRAM).args(["demo", "--once", "--dir"]).arg(directory.path()).output().unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    for part in ["PASSED", "recovery time: measured", "promised", "RPO"] {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
    let ran = Ran::of(Command::new(PROGRAM).args(["--json", "demo", "--once"]).output().unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    let drill: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(drill["verdict"], "passed");
    assert!(drill["tables"].as_array().unwrap().len() > 10, "{drill:#}");
}
