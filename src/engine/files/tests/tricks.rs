//! What the owner of a repository can have git do, and what healthy repositories of every kind are found to be.

use std::fs;
use std::path::{Path, PathBuf};

use super::repositories::{git, repository, setting};
use super::{Bench, mode};
use crate::clock::{Clock, SystemClock};
use crate::engine::files::git::{Git, State};
use crate::engine::files::jail::{Jail, Rules};
use crate::engine::files::shown::Tree;
use crate::run_context::RunContext;
use std::sync::Arc;
use std::time::Duration;

/// What is said of `repo`, where whatever runs could write to it.
fn look(repo: &Path) -> (State, String) {
    let clock: Arc<dyn Clock> = SystemClock::shared();
    let rules = Rules { limit: Duration::from_mins(1), hidden: &[], seen: &[] };
    let jail = Jail::new(repo, Tree::Writable, &rules, &clock, &RunContext::silent()).unwrap();
    let git = Git::new(&jail, repo);
    (git.state().unwrap(), git.fsck().unwrap())
}

/// A program in the repository that leaves `ran-NAME` there.
fn program(repo: &Path, name: &str) -> String {
    let file = repo.join(format!("evil-{name}"));
    fs::write(&file, format!("#!/bin/sh\ntouch '{}'\nexec cat\n", repo.join(format!("ran-{name}")).display())).unwrap();
    mode(&file, 0o755);
    file.display().to_string()
}

/// A repository whose file git has to read to know whether it changed.
fn tricked() -> (Bench, PathBuf) {
    let bench = repository();
    let repo = bench.live().join("repo");
    bench.write("repo/site.yml", "- hosts: ALL\n");
    (bench, repo)
}

fn attributes(repo: &Path, text: &str) {
    fs::write(repo.join(".gitattributes"), text).unwrap();
    fs::create_dir_all(repo.join(".git/info")).unwrap();
    fs::write(repo.join(".git/info/attributes"), text).unwrap();
}

fn ran(repo: &Path) -> Vec<String> {
    let names = fs::read_dir(repo).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("ran-")).collect()
}

#[test]
fn settings_of_a_repository_run_nothing() {
    let (_bench, repo) = tricked();
    attributes(&repo, "* filter=evil diff=evil merge=evil\nnew.yml filter=pro=cess\n");
    for key in [
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.pro=cess.process",
        "core.fsmonitor",
        "core.alternateRefsCommand",
        "core.askPass",
        "core.editor",
        "core.pager",
        "core.sshCommand",
        "core.gitProxy",
        "credential.helper",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "merge.evil.driver",
        "gpg.program",
        "gpg.ssh.program",
        "trailer.x.command",
        "uploadpack.packObjectsHook",
        "pager.status",
        "pager.fsck",
    ] {
        git(&repo, &["config", key, &program(&repo, key)]);
    }
    git(&repo, &["config", "filter.evil.required", "true"]);
    let (state, fsck) = look(&repo);
    assert_eq!(ran(&repo), [""; 0]);
    assert!(state.head.starts_with("refs/heads/main "), "{state:?}");
    assert!(state.status.contains("changed"), "{state:?}");
    assert_eq!((state.branches.len(), fsck.as_str()), (2, "clean"));
}

/// A name, and what it does to a repository.
type Trick<'t> = (&'t str, &'t dyn Fn(&Path));

#[test]
fn settings_that_are_somewhere_else_run_nothing() {
    let evil = |repo: &Path, name: &str| format!("[filter \"evil\"]\n\tclean = {}\n", program(repo, name));
    let tricks: [Trick<'_>; 4] = [
        ("include", &|repo| {
            fs::write(repo.join(".git/more"), evil(repo, "include")).unwrap();
            git(repo, &["config", "include.path", "more"]);
        }),
        ("conditional", &|repo| {
            fs::write(repo.join(".git/more"), evil(repo, "conditional")).unwrap();
            git(repo, &["config", "includeIf.gitdir:/**.path", repo.join(".git/more").to_str().unwrap()]);
        }),
        ("worktree", &|repo| {
            git(repo, &["config", "extensions.worktreeConfig", "true"]);
            fs::write(repo.join(".git/config.worktree"), evil(repo, "worktree")).unwrap();
        }),
        ("commondir", &|repo| {
            fs::create_dir(repo.join("other")).unwrap();
            for name in ["objects", "refs"] {
                std::os::unix::fs::symlink(repo.join(".git").join(name), repo.join("other").join(name)).unwrap();
            }
            fs::write(repo.join("other/config"), evil(repo, "commondir")).unwrap();
            fs::write(repo.join(".git/commondir"), "../other\n").unwrap();
        }),
    ];
    for (name, trick) in tricks {
        let (_bench, repo) = tricked();
        attributes(&repo, "* filter=evil\n");
        trick(&repo);
        let (state, fsck) = look(&repo);
        assert_eq!(ran(&repo), [""; 0], "{name}");
        assert!(state.head.starts_with("refs/heads/main "), "{name}: {state:?}");
        assert_eq!(fsck, "clean", "{name}");
    }
}

#[test]
fn hooks_run_nothing() {
    let (_bench, repo) = tricked();
    for hook in ["post-index-change", "fsmonitor-watchman", "reference-transaction", "pre-auto-gc", "post-checkout"] {
        fs::create_dir_all(repo.join(".git/hooks")).unwrap();
        fs::copy(program(&repo, hook), repo.join(".git/hooks").join(hook)).unwrap();
    }
    // Git wants to write the index anew.
    git(&repo, &["config", "core.hooksPath", ".git/hooks"]);
    git(&repo, &["update-index", "--force-untracked-cache"]);
    fs::remove_file(repo.join("ran-post-index-change")).unwrap();
    look(&repo);
    assert_eq!(ran(&repo), [""; 0]);
}

#[test]
fn a_repository_that_lacks_objects_fetches_none() {
    for url in ["evil.example.org:x", "ext::sh -c touch% ran-ext", "."] {
        let (_bench, repo) = tricked();
        let blob = git(&repo, &["rev-parse", "HEAD:site.yml"]);
        let tree = git(&repo, &["rev-parse", "HEAD^{tree}"]);
        for object in [&blob, &tree] {
            fs::remove_file(repo.join(".git/objects").join(&object[..2]).join(&object[2..])).unwrap();
        }
        for (key, value) in [
            ("core.repositoryFormatVersion", "1"),
            ("extensions.partialClone", "origin"),
            ("remote.origin.promisor", "true"),
            ("remote.origin.url", url),
            ("remote.origin.uploadpack", &program(&repo, "uploadpack")),
            ("core.sshCommand", &program(&repo, "ssh")),
            ("protocol.allow", "always"),
            ("protocol.ext.allow", "always"),
        ] {
            git(&repo, &["config", key, value]);
        }
        look(&repo);
        assert_eq!(ran(&repo), [""; 0], "{url}");
    }
}

#[test]
fn settings_of_a_submodule_run_nothing() {
    let (bench, repo) = tricked();
    let sub = bench.live().join("sub");
    fs::create_dir(&sub).unwrap();
    git(&sub, &["init", "--quiet"]);
    fs::write(sub.join("file"), "one").unwrap();
    git(&sub, &["add", "."]);
    git(&sub, &["commit", "--quiet", "-m", "first"]);
    git(&repo, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../sub", "below"]);
    git(&repo, &["commit", "--quiet", "-m", "with a submodule"]);
    let below = repo.join("below");
    git(&below, &["config", "filter.evil.clean", &program(&repo, "submodule")]);
    fs::write(below.join(".gitattributes"), "* filter=evil\n").unwrap();
    fs::write(below.join("file"), "two").unwrap();
    let (state, fsck) = look(&repo);
    assert_eq!(ran(&repo), [""; 0]);
    assert!(state.head.starts_with("refs/heads/main "), "{state:?}");
    assert_eq!(fsck, "clean");
}

/// A backup of it promises HEAD and a clean fsck, and the restored one keeps both.
fn is_healthy(bench: &Bench, what: &str) {
    let point = bench.back_up();
    assert!(!point.manifest.inventory().objects.is_empty(), "{what}: {:?}", point.manifest.warnings);
    assert_eq!(setting(&point, "fsck"), "clean", "{what}: {:?}", point.manifest.warnings);
    bench.restore(&point);
    let checks = bench.compare(&point, &bench.restored()).checks;
    assert!(checks.iter().all(|check| check.ok), "{what}: {checks:?}");
    assert!(checks.iter().any(|check| check.name.starts_with("git fsck ")), "{what}: {checks:?}");
}

#[test]
fn healthy_repositories_of_every_format_are_found_healthy() {
    let formats: [&[&str]; 4] = [
        &["--object-format=sha256"],
        &["--ref-format=reftable"],
        &["--shared=group"],
        &["--object-format=sha256", "--ref-format=reftable"],
    ];
    for format in formats {
        let bench = Bench::new();
        let repo = bench.live().join("repo");
        bench.write("repo/site.yml", "- hosts: all\n");
        git(&repo, &[&["init", "--quiet"], format].concat());
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "--quiet", "-m", "first"]);
        git(&repo, &["worktree", "add", "--quiet", "../second"]);
        git(&repo, &["stash", "list"]);
        git(&repo, &["sparse-checkout", "set", "roles"]);
        is_healthy(&bench, &format.join(" "));
    }
}

#[test]
fn a_partial_a_shallow_and_a_packed_clone_are_found_healthy() {
    for how in [&["--filter=blob:none"][..], &["--depth=1"], &["--filter=tree:0", "--no-checkout"], &["--bare"]] {
        let bench = repository();
        let outside = bench.directory.path().join("outside");
        fs::rename(bench.live().join("repo"), &outside).unwrap();
        git(&outside, &["config", "uploadpack.allowFilter", "true"]);
        git(&outside, &["commit", "--quiet", "--allow-empty", "-m", "second"]);
        let (from, to) = (format!("file://{}", outside.display()), bench.live().join("clone"));
        let place = if how == ["--bare"] { to.join(".git") } else { to.clone() };
        git(&bench.live(), &[&["clone", "--quiet"], how, &[&from, place.to_str().unwrap()]].concat());
        git(&to, &["--git-dir=.git", "pack-refs", "--all"]);
        is_healthy(&bench, &how.join(" "));
    }
}

#[test]
fn settings_that_cannot_be_read_are_said_and_nothing_is_promised() {
    let (bench, repo) = tricked();
    fs::write(repo.join(".git/config"), "[core\n").unwrap();
    let (state, _) = look(&repo);
    assert!(state.head.contains("unreadable") && state.head.contains("bad config"), "{state:?}");
    let point = bench.back_up();
    assert_eq!(point.manifest.inventory().objects, []);
    assert!(point.manifest.warnings.iter().any(|said| said.contains("bad config")), "{:?}", point.manifest.warnings);
}

#[test]
fn a_head_that_leads_to_another_file_shows_nothing_of_it() {
    let (bench, repo) = tricked();
    let secret = bench.directory.path().join("secret");
    fs::write(&secret, "ref: refs/heads/secret\n").unwrap();
    fs::remove_file(repo.join(".git/HEAD")).unwrap();
    std::os::unix::fs::symlink(&secret, repo.join(".git/HEAD")).unwrap();
    let (state, _) = look(&repo);
    assert!(state.head.starts_with("unreadable") && !state.head.contains("secret"), "{state:?}");
}

#[test]
fn pipes_and_links_in_a_repository_hang_nobody_and_are_named() {
    for name in ["packed-refs", "info/grafts", "objects/info/commit-graph", "shallow", "refs/heads/wait"] {
        let (_bench, repo) = tricked();
        let pipe = repo.join(".git").join(name);
        fs::create_dir_all(pipe.parent().unwrap()).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        let (state, fsck) = look(&repo);
        let why = format!("git was not asked: .git/{name} is neither a file nor a directory");
        assert_eq!((state.head, fsck), (format!("unreadable: {why}"), why));
    }
    let (_bench, repo) = tricked();
    let _socket = std::os::unix::net::UnixListener::bind(repo.join(".git/fsmonitor--daemon.ipc")).unwrap();
    assert_eq!(look(&repo).1, "clean");
    std::os::unix::fs::symlink("/dev/zero", repo.join(".git/packed-refs")).unwrap();
    assert!(look(&repo).1.contains(".git/packed-refs is neither a file nor a directory"));
}

#[test]
fn a_pipe_in_place_of_the_borrowed_objects_ends_no_backup() {
    let (bench, repo) = tricked();
    let pipe = repo.join(".git/objects/info/alternates");
    fs::create_dir_all(pipe.parent().unwrap()).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    assert_eq!(crate::engine::files::borrowed::lenders(&repo, None), []);
    drop(bench);
}
