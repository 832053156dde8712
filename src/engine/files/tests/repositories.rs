//! Git repositories among the files.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Bench;
use crate::domain::manifest::ObjectKind;
use crate::engine::{Engine, StoredPoint};

fn git(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        // Whoever runs the tests may be in the middle of something in a repository of their own.
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(at)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository in `live/repo` with two branches and one file that is not committed.
fn repository() -> Bench {
    let bench = Bench::new();
    bench.write("repo/site.yml", "- hosts: all\n");
    let repo = bench.live().join("repo");
    git(&repo, &["init", "--quiet"]);
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "--quiet", "-m", "first"]);
    git(&repo, &["branch", "old"]);
    bench.write("repo/new.yml", "not committed");
    bench
}

fn setting(point: &StoredPoint, what: &str) -> String {
    let found = point.manifest.settings.iter().find(|(name, _)| name.starts_with(&format!("git {what} ")));
    found.map_or("nothing".to_owned(), |(_, value)| value.clone())
}

#[test]
fn head_branches_fsck_and_changes_are_promised_and_found_again() {
    let bench = repository();
    let commit = git(&bench.live().join("repo"), &["rev-parse", "HEAD"]);
    let point = bench.back_up();
    assert!(point.manifest.warnings[0].contains("is dirty: 1 changed"), "{:?}", point.manifest.warnings);
    let path = bench.live().join("repo").display().to_string();
    let objects: Vec<_> =
        point.manifest.inventory.objects.iter().map(|o| (o.kind, o.name.clone(), o.shown.clone())).collect();
    let branch = |name: &str| (ObjectKind::GitBranch, format!("{path} refs/heads/{name}"), Some(commit.clone()));
    let head = (ObjectKind::GitHead, path.clone(), Some(format!("refs/heads/main {commit}")));
    assert_eq!(objects, [head, branch("main"), branch("old")]);
    assert_eq!(setting(&point, "fsck"), "clean");
    assert!(setting(&point, "status").starts_with("1 changed, "), "{}", setting(&point, "status"));
    bench.restore(&point);
    let checks = bench.compare(&point, &bench.restored()).checks;
    assert!(checks.iter().all(|check| check.ok), "{checks:?}");
    for what in ["git head ", "git branch ", "git fsck "] {
        assert!(checks.iter().any(|check| check.name.starts_with(what)), "{what}: {checks:?}");
    }
}

#[test]
fn a_moved_branch_and_a_damaged_object_of_the_restored_repository_are_named() {
    let bench = repository();
    let point = bench.back_up();
    bench.restore(&point);
    let copy = bench.copy().join("repo");
    git(&copy, &["-c", "safe.directory=*", "commit", "--quiet", "--allow-empty", "-m", "moved"]);
    let tree = git(&copy, &["rev-parse", "HEAD^{tree}"]);
    let object = copy.join(".git/objects").join(&tree[..2]).join(&tree[2..]);
    fs::remove_file(&object).unwrap();
    fs::write(&object, "broken").unwrap();
    let bad: Vec<_> = bench.compare(&point, &bench.restored()).checks.into_iter().filter(|check| !check.ok).collect();
    let names: Vec<_> = bad.iter().map(|check| check.name.split('/').next().unwrap()).collect();
    for what in ["git head ", "git branch ", "git fsck "] {
        assert!(names.contains(&what), "{what}: {names:?}");
    }
}

#[test]
fn what_is_broken_at_the_source_is_a_warning_and_not_held_against_the_restored_one() {
    let bench = repository();
    let repo = bench.live().join("repo");
    let blob = git(&repo, &["rev-parse", "HEAD:site.yml"]);
    let object = repo.join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    fs::remove_file(&object).unwrap();
    let point = bench.back_up();
    assert!(point.manifest.warnings[0].contains("git fsck says"), "{:?}", point.manifest.warnings);
    assert!(point.manifest.warnings[0].contains("missing blob"), "{:?}", point.manifest.warnings);
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
}

#[test]
fn a_repository_that_moves_while_it_is_backed_up_is_not_promised() {
    let bench = repository();
    let (repo, mut moved) = (bench.live().join("repo"), false);
    let meanwhile = Box::new(move |_: &super::super::text::Name| {
        if !std::mem::replace(&mut moved, true) {
            git(&repo, &["branch", "new"]);
        }
    });
    let dump = bench.engine().start(&crate::run_context::RunContext::silent(), meanwhile).unwrap();
    let point = super::store(dump).unwrap();
    assert_eq!(point.manifest.inventory.objects, []);
    assert!(
        point.manifest.warnings.iter().any(|said| said.contains("HEAD or a branch moved")),
        "{:?}",
        point.manifest.warnings
    );
}

#[test]
fn programs_that_a_repository_names_do_not_get_out() {
    let bench = repository();
    let (repo, mark) = (bench.live().join("repo"), bench.directory.path().join("mark"));
    let script = format!("touch {}; cat", mark.display());
    git(&repo, &["config", "filter.evil.clean", &script]);
    git(&repo, &["config", "core.fsmonitor", &script]);
    bench.write("repo/.gitattributes", "* filter=evil");
    // As long as before: git looks inside, through the filter.
    bench.write("repo/site.yml", "- hosts: ALL\n");
    let point = bench.back_up();
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
    assert!(!mark.exists());
}

#[test]
fn an_excluded_repository_is_none_and_what_is_left_out_beside_one_is_said() {
    let mut bench = repository();
    bench.exclude = vec!["new.yml".to_owned()];
    let point = bench.back_up();
    assert_eq!(setting(&point, "fsck"), "clean");
    assert!(point.manifest.warnings[0].contains("something of it was left out"), "{:?}", point.manifest.warnings);
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
    bench.exclude = vec![".git".to_owned()];
    assert_eq!(bench.back_up().manifest.inventory.objects, []);
    let _ = bench.engine().preflight().unwrap();
}

#[test]
fn a_detached_head_and_one_without_a_commit_are_told_apart() {
    let bench = Bench::new();
    let (unborn, detached) = (bench.live().join("a"), bench.live().join("b"));
    fs::create_dir(&unborn).unwrap();
    fs::create_dir(&detached).unwrap();
    git(&unborn, &["init", "--quiet"]);
    git(&detached, &["init", "--quiet"]);
    git(&detached, &["commit", "--quiet", "--allow-empty", "-m", "first"]);
    git(&detached, &["checkout", "--quiet", "--detach"]);
    let point = bench.back_up();
    let shown: Vec<_> = point.manifest.inventory.objects.iter().map(|object| object.shown.clone().unwrap()).collect();
    assert_eq!(shown[0], "refs/heads/main without a commit");
    assert!(shown[1].starts_with("detached "), "{shown:?}");
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
}
