//! Git repositories among the files.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Bench;
use crate::domain::manifest::ObjectKind;
use crate::engine::{Ready, StoredPoint};
use crate::run_context::RunContext;

pub(super) fn git(at: &Path, arguments: &[&str]) -> String {
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
pub(super) fn repository() -> Bench {
    repository_in(Bench::new())
}

fn repository_in(bench: Bench) -> Bench {
    bench.write("repo/site.yml", "- hosts: all\n");
    let repo = bench.live().join("repo");
    git(&repo, &["init", "--quiet"]);
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "--quiet", "-m", "first"]);
    git(&repo, &["branch", "old"]);
    bench.write("repo/new.yml", "not committed");
    bench
}

pub(super) fn setting(point: &StoredPoint, what: &str) -> String {
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
        point.manifest.inventory().objects.iter().map(|o| (o.kind, o.name.clone(), o.shown.clone())).collect();
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
    let dump = bench.engine().found().unwrap().with(meanwhile).dump(&RunContext::silent()).unwrap();
    let point = super::store(dump).unwrap();
    assert_eq!(point.manifest.inventory().objects, []);
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
    assert_eq!(bench.back_up().manifest.inventory().objects, []);
    bench.describe();
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
    let shown: Vec<_> = point.manifest.inventory().objects.iter().map(|object| object.shown.clone().unwrap()).collect();
    assert_eq!(shown[0], "refs/heads/main without a commit");
    assert!(shown[1].starts_with("detached "), "{shown:?}");
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
}

/// `live/repo`, and `live/borrower`, which has no objects of its own.
fn borrowing() -> Bench {
    borrowing_in(Bench::new())
}

fn borrowing_in(bench: Bench) -> Bench {
    let bench = repository_in(bench);
    let (repo, borrower) = (bench.live().join("repo"), bench.live().join("borrower"));
    git(&bench.live(), &["clone", "--quiet", "--shared", repo.to_str().unwrap(), borrower.to_str().unwrap()]);
    let alternates = fs::read_to_string(borrower.join(".git/objects/info/alternates")).unwrap();
    assert!(alternates.starts_with('/'), "git writes absolute paths: {alternates}");
    bench
}

fn heads(point: &StoredPoint) -> Vec<String> {
    let objects = point.manifest.inventory().objects.iter();
    objects.filter(|object| object.kind == ObjectKind::GitHead).map(|object| object.name.clone()).collect()
}

#[test]
fn a_repository_that_borrows_within_the_backup_is_whole_and_proved_by_what_was_restored() {
    // Below /tmp, which a jail hides.
    proved_by_what_was_restored(&borrowing());
}

#[test]
fn the_original_of_what_a_restored_repository_borrows_does_not_stand_in_for_it_among_programs() {
    if super::is_root() {
        proved_by_what_was_restored(&borrowing_in(Bench::among_programs()));
    }
}

fn proved_by_what_was_restored(bench: &Bench) {
    let point = bench.back_up();
    assert_eq!(heads(&point).len(), 2, "{:?}", point.manifest.warnings);
    assert!(!point.manifest.warnings.iter().any(|w| w.contains("borrows")), "{:?}", point.manifest.warnings);
    bench.restore(&point);
    let checks = bench.compare(&point, &bench.restored()).checks;
    assert!(checks.iter().all(|check| check.ok), "{checks:?}");
    assert_eq!(checks.iter().filter(|check| check.name.starts_with("git fsck ")).count(), 2);
    // The original has the object still; the restored one, which lost it, is what counts.
    let lender = bench.copy().join("repo");
    let tree = git(&lender, &["-c", "safe.directory=*", "rev-parse", "HEAD^{tree}"]);
    fs::remove_file(lender.join(".git/objects").join(&tree[..2]).join(&tree[2..])).unwrap();
    let bad: Vec<_> = bench.compare(&point, &bench.restored()).checks.into_iter().filter(|check| !check.ok).collect();
    assert!(
        bad.iter().any(|check| check.name.starts_with("git fsck ") && check.name.ends_with("/borrower")),
        "{bad:?}"
    );
}

#[test]
fn a_repository_that_borrows_of_one_outside_of_the_backup_is_warned_about_and_not_promised() {
    let mut bench = borrowing();
    bench.exclude = vec!["/repo".to_owned()];
    let point = bench.back_up();
    assert_eq!(heads(&point), [""; 0]);
    let warnings = &point.manifest.warnings;
    let place = bench.live().join("repo/.git/objects").display().to_string();
    assert!(warnings.iter().any(|w| w.contains(&place) && w.contains("is not in this backup")), "{warnings:?}");
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
}

#[test]
fn a_worktree_or_submodule_whose_repository_is_elsewhere_is_warned_about() {
    let bench = repository();
    let outside = bench.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    git(&outside, &["init", "--quiet"]);
    git(&outside, &["commit", "--quiet", "--allow-empty", "-m", "first"]);
    let tree = bench.live().join("tree");
    git(&outside, &["worktree", "add", "--quiet", tree.to_str().unwrap()]);
    git(&bench.live().join("repo"), &["worktree", "add", "--quiet", "../own"]);
    let said = |warnings: &[String]| {
        let found: Vec<_> = warnings.iter().filter(|warning| warning.contains("leads to")).collect();
        assert_eq!(found.len(), 1, "{warnings:?}");
        assert!(found[0].contains("/live/tree ") && found[0].contains("/outside/.git/worktrees/tree"), "{found:?}");
    };
    said(&bench.describe().warnings);
    said(&bench.back_up().manifest.warnings);
}
