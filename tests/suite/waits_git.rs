//! The same as [`crate::waits`] of git, which is asked about the repositories in a tree: one that gives no answer keeps no
//! backup and no drill longer than allowed, and what it was to say is missing by name.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::files;
use crate::support::{World, entries, wait_for};
use crate::waits::{begin, ended, ends_when_asked, signal};

/// No question to git may take longer.
const LIMIT: &str = "assertion_timeout = \"20s\"\n";
/// What may pass from the stop until the end: the limit, once, and whatever a busy machine needs for the rest.
const SOON: Duration = Duration::from_secs(75);

/// A tree with a repository whose `git status` has half a gigabyte of nothing to read.
fn world() -> World {
    let world = files::world(LIMIT, "");
    let tree = world.path("tree");
    files::fill(&tree);
    File::create(tree.join("big")).unwrap().set_len(512 << 20).unwrap();
    let indexed = Command::new("sh")
        .arg("-c")
        .arg("git update-index --add --cacheinfo 100644,$(git rev-parse HEAD:hosts),big")
        .current_dir(&tree)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status();
    assert!(indexed.unwrap().success());
    world
}

/// Process of a git at work in a tree somewhere below `place`.
fn git_below(place: &Path) -> u32 {
    wait_for("git to read the tree", || {
        entries(Path::new("/proc")).into_iter().find_map(|process| {
            let command = std::fs::read(process.join("cmdline")).ok()?;
            let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            let tree = words.iter().find_map(|word| word.strip_prefix("--work-tree="))?;
            let is_it = words[0] == "git" && words.iter().any(|word| word == "status");
            (is_it && Path::new(tree).starts_with(place)).then(|| process.file_name()?.to_str()?.parse().ok())?
        })
    })
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_backup_whose_git_is_stopped_has_all_files_and_says_what_git_did_not() {
    let world = world();
    let tree = world.path("tree").canonicalize().unwrap();
    let backup = begin(&world, &["--json", "backup"]);
    signal(git_below(&tree), Signal::STOP);
    let stopped = Instant::now();
    let ran = ended(backup);
    assert!(ran.status == 0 && stopped.elapsed() < SOON, "{:?}: {ran:?}", stopped.elapsed());
    let begins = format!("git HEAD {} is NOT in the backup: cannot ask git: no end within 20s", tree.display());
    let is_told = |said: &Value| {
        assert!(texts(said).iter().any(|text| text.starts_with(&begins)), "{begins}: {said:#}");
    };
    is_told(&serde_json::from_str::<Value>(&ran.stdout).unwrap()["warnings"]);
    is_told(&world.json(&["list"], 0)["left_out"]);
    let drill = world.json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
    is_told(&drill["warnings"]);
    let status = world.json(&["status"], 0);
    is_told(&status["left_out"]);
    assert_eq!(status["measured"]["left_out"], serde_json::json!({"table": 0, "view": 0, "other": 1}));
    let metrics = world.run(&["metrics"]).stdout;
    let sample = "backup_sla_left_out_objects{source=\"ansible\",kind=\"other\"} 1\n";
    assert!(metrics.contains(sample), "{metrics}");
    // The next one whose git answers has it again.
    world.json(&["backup"], 0);
    assert_eq!(world.status()["measured"]["left_out"]["other"], 0);
}

#[test]
fn a_backup_whose_git_is_stopped_ends_when_asked() {
    let world = world();
    let tree = world.path("tree").canonicalize().unwrap();
    let backup = begin(&world, &["backup"]);
    let git = git_below(&tree);
    signal(git, Signal::STOP);
    let ran = ends_when_asked(&world, backup, "a backup of a tree whose git is stopped");
    assert!(ran.status == 1 && ran.stderr.contains("cancelled"), "{ran:?}");
    wait_for("the end of git", || (!Path::new(&format!("/proc/{git}")).exists()).then_some(()));
}

#[test]
fn a_drill_whose_git_is_stopped_is_inconclusive_in_its_time_and_ends_when_asked() {
    let world = world();
    world.json(&["backup"], 0);
    let state = world.path("state").canonicalize().unwrap();
    let drill = begin(&world, &["drill"]);
    signal(git_below(&state), Signal::STOP);
    ends_when_asked(&world, drill, "a drill whose git is stopped");

    let drill = begin(&world, &["--json", "drill"]);
    signal(git_below(&state), Signal::STOP);
    let stopped = Instant::now();
    let ran = ended(drill);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(ran.status == 4 && report["verdict"] == "inconclusive", "{ran:?}");
    assert!(report["reason"].as_str().unwrap().contains("cannot ask git: no end within 20s"), "{report:#}");
    assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
    world.assert_no_sandbox_left();
    // It said nothing about the backup.
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
}
