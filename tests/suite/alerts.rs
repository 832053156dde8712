//! `alerts/` and its runbooks: rules under both promtools, what they may be made of, their texts, and what a real
//! Alertmanager does with them.

mod cases;
mod promql;
pub mod routing;
mod rule_files;
mod runbooks;
mod structure;
mod texts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use self::rule_files::{ALERTS, RECORDINGS, document};
use crate::support::{Ran, entries};

/// A path of this repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Run a program on files; it has to be content.
fn content(program: &Path, arguments: &[&str], files: &[PathBuf]) -> Ran {
    assert!(program.exists(), "{} is missing: run scripts/setup --for test", program.display());
    let ran = Ran::of(Command::new(program).args(arguments).args(files).output().unwrap());
    assert_eq!(ran.status, 0, "{} {arguments:?}: {}{}", program.display(), ran.stdout, ran.stderr);
    ran
}

/// Of Prometheus 2.42 and of Prometheus 3.
fn promtools() -> [PathBuf; 2] {
    ["/usr/bin/promtool".into(), path(".cache/prometheus-root/promtool")]
}

fn unit_tests() -> Vec<PathBuf> {
    let mut files = entries(&path("alerts/tests"));
    files.sort();
    assert!(!files.is_empty(), "there are no unit tests");
    files
}

/// Every file on its own thread: they do not know of each other.
fn unit_tests_pass(promtool: &Path) {
    std::thread::scope(|scope| {
        for file in unit_tests() {
            scope.spawn(move || content(promtool, &["test", "rules"], &[file]));
        }
    });
}

#[test]
fn the_unit_tests_of_the_rules_pass_on_prometheus_2() {
    unit_tests_pass(&promtools()[0]);
}

#[test]
fn the_unit_tests_of_the_rules_pass_on_prometheus_3() {
    unit_tests_pass(&promtools()[1]);
}

#[test]
fn both_promtools_are_the_versions_they_stand_for_and_accept_the_rules() {
    for (promtool, version) in promtools().iter().zip(["version 2.", "version 3."]) {
        let said = content(promtool, &["--version"], &[]);
        assert!(format!("{}{}", said.stdout, said.stderr).contains(version), "{said:?}");
        content(promtool, &["check", "rules", "--lint=all", "--lint-fatal"], &[path(ALERTS), path(RECORDINGS)]);
    }
}

fn jsonnet(field: &str) -> Ran {
    let program = Path::new("/usr/bin/jsonnet");
    assert!(program.exists(), "jsonnet is missing: run scripts/setup --for test");
    let expression = format!("(import '{}').{field}", path("alerts/mixin.libsonnet").display());
    Ran::of(Command::new(program).args(["--exec", &expression]).output().unwrap())
}

#[test]
fn the_mixin_is_the_rule_files() {
    for (field, file) in [("prometheusAlerts", ALERTS), ("prometheusRules", RECORDINGS)] {
        let ran = jsonnet(field);
        assert_eq!(ran.status, 0, "{field}: {ran:?}");
        let evaluated: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(evaluated, document(file), "{field}");
    }
}

#[test]
fn the_mixin_has_the_dashboards_that_there_are() {
    let ran = jsonnet("grafanaDashboards");
    // It imports them by name: without the files, or with another name, jsonnet refuses.
    let are_there = ["fleet", "source"].iter().all(|name| path(&format!("dashboards/{name}.json")).exists());
    assert_eq!(ran.status == 0, are_there, "{ran:?}");
}
