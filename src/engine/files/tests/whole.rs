//! The whole way: configuration, restic repository, sandbox, drill and restore.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::super::target::Target;
use super::{Bench, mode};
use crate::app::{App, KINDS};
use crate::clock::SystemClock;
use crate::config;
use crate::domain::drill::Verdict;
use crate::engine::{Destination, LoadOptions};
use crate::operations::backup::backup;
use crate::operations::drill::{DrillRequest, drill};
use crate::operations::restore::{RestoreRequest, restore};
use crate::operations::select::Selection;
use crate::run_context::RunContext;

fn configuration(bench: &Bench, command: &str) -> String {
    let key = bench.directory.path().join("key");
    fs::write(&key, "secret\n").unwrap();
    mode(&key, 0o600);
    format!(
        r#"state_dir = "state"
[repository.offsite]
kind = "restic"
url = "store"
password_file = "key"
[sla.standard]
rpo = "24h"
rto = "5h"
retention = "30d"
drill_interval = "24h"
[source.tree]
kind = "files"
repository = "offsite"
sla = "standard"
[source.tree.files]
paths = ["live"]
[[source.tree.verify.assertions]]
name = "asked"
command = ["sh", "-c", "{command}"]
"#
    )
}

fn files_below(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).map_or_else(|_| Vec::new(), |entries| entries.flatten().collect());
    entries.iter().map(|entry| 1 + files_below(&entry.path())).sum()
}

#[test]
fn a_backup_of_files_passes_its_drill_and_a_wrong_answer_in_the_restored_tree_fails_it() {
    let bench = Bench::new();
    bench.write("site.yml", "- hosts: all\n");
    bench.write("deep/locked/file", &"x".repeat(3_000_000));
    mode(&bench.live().join("deep/locked"), 0o555);
    let git = |arguments: &[&str]| Command::new("git").args(arguments).current_dir(bench.live()).output().unwrap();
    assert!(git(&["init", "--quiet"]).status.success());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let context = RunContext::silent();
    let open = |command: &str| {
        let file = bench.directory.path().join("config.toml");
        let config = config::parse(&configuration(&bench, command), &file, KINDS).unwrap();
        App::open(config, SystemClock::shared(), runtime.handle().clone()).unwrap()
    };
    let app = open("test -s site.yml && touch written");
    let source = app.source("tree").unwrap();
    let report = backup(&app, &source, &context).unwrap();
    assert!(report.rows > 5 && report.warnings.iter().all(|warning| warning.contains("is dirty")), "{report:?}");

    let report = drill(&app, &source, &DrillRequest::default(), &context).unwrap();
    assert_eq!((report.verdict, report.reason.as_str()), (Verdict::Passed, ""));
    assert!(report.checks.iter().any(|check| check.name == "assertion asked" && check.actual.starts_with("exit 0")));
    assert_eq!(files_below(&bench.directory.path().join("state/sandboxes")), 0, "nothing of the tree is left");

    let app = open("echo no such host >&2; exit 4");
    let source = app.source("tree").unwrap();
    let report = drill(&app, &source, &DrillRequest::default(), &context).unwrap();
    assert_eq!(report.verdict, Verdict::Failed);
    assert!(
        report.reason.contains("assertion asked: expected exit 0, found exit status: 4: no such host"),
        "{report:?}"
    );

    let locked = bench.live().join("deep/locked").display().to_string();
    let request = RestoreRequest {
        selection: Selection::Newest,
        host: None,
        to: Destination::new(Target::Named(bench.restored())),
        options: LoadOptions { tables: vec![format!("{locked}/")], ..LoadOptions::default() },
        verify: true,
    };
    let report = restore(&app, &source, &request, &context).unwrap();
    assert_eq!((report.verified, report.reason.as_str()), (Some(true), ""));
    let restored = bench.copy().join("deep/locked");
    assert_eq!(restored.metadata().unwrap().permissions().mode() & 0o7777, 0o555);
    assert!(restored.join("file").exists() && !bench.copy().join("site.yml").exists());
}
