//! The Ansible repository, and trees of files, from end to end: real git, real Ansible, the real jail.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{World, wrong};

/// A world whose one source, `ansible`, is a tree in it; `more` goes into its files table, `tail` behind it.
pub fn world(more: &str, tail: &str) -> World {
    let directory = tempfile::Builder::new().prefix("bsla-").tempdir().unwrap();
    let world = World { directory };
    world.secret("key", "correct horse");
    configure(&world, more, tail);
    world
}

fn configure(world: &World, more: &str, tail: &str) {
    let table = format!("[source.ansible.files]\npaths = [\"tree\"]\n{more}{tail}");
    world.configure_source("ansible", "files", &table);
}

/// Run git in `tree`.
pub fn git(tree: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        // Whoever runs the tests may be in the middle of something in a repository of their own.
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(tree)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A small Ansible repository with two commits and a branch.
pub fn fill(tree: &Path) {
    fs::create_dir_all(tree.join("roles/web/tasks")).unwrap();
    let play = "---\n- name: All\n  hosts: all\n  gather_facts: false\n  roles: [web]\n";
    fs::write(tree.join("site.yml"), play).unwrap();
    let task = "---\n- name: Say\n  ansible.builtin.debug:\n    msg: hello\n";
    fs::write(tree.join("roles/web/tasks/main.yml"), task).unwrap();
    fs::write(tree.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("site.yml", tree.join("main.yml")).unwrap();
    // Something that does not compress.
    let noise = (0..400_000_u64).flat_map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).to_le_bytes());
    fs::write(tree.join("blob"), noise.collect::<Vec<u8>>()).unwrap();
    git(tree, &["init", "--quiet", "--initial-branch=main"]);
    git(tree, &["add", "--all"]);
    git(tree, &["commit", "--quiet", "-m", "one"]);
    git(tree, &["branch", "stable"]);
    fs::write(tree.join("hosts"), "web1\n").unwrap();
    git(tree, &["add", "--all"]);
    git(tree, &["commit", "--quiet", "-m", "two"]);
}

fn assertion(command: &str) -> String {
    format!("[[source.ansible.verify.assertions]]\nname = \"a\"\ncommand = {command}\n")
}

#[test]
fn an_ansible_repository_is_restored_every_day_and_ansible_still_understands_it() {
    assert!(Path::new("/usr/bin/ansible-playbook").exists(), "ansible is missing: run scripts/setup --for test");
    let syntax = assertion(r#"["ansible-playbook", "-i", "localhost,", "--syntax-check", "site.yml"]"#);
    let world = world("exclude = [\"*.retry\"]\n", &syntax);
    let tree = world.path("tree");
    fill(&tree);
    fs::write(tree.join("site.retry"), "host\n").unwrap();
    let first = world.json(&["backup"], 0);
    let drill = world.json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
    let head = git(&tree, &["rev-parse", "HEAD"]);
    let checks = drill["checks"].as_array().unwrap();
    let check = |name: &str| {
        let named = |check: &&serde_json::Value| check["name"].as_str().unwrap().starts_with(name);
        checks.iter().find(named).unwrap_or_else(|| panic!("no check {name}: {drill:#}"))
    };
    assert!(check("git head")["actual"].as_str().unwrap().contains(&head), "{drill:#}");
    check("git branch");
    assert_eq!(check("git fsck")["ok"], true);
    assert_eq!(check("assertion a")["ok"], true);
    world.assert_no_sandbox_left();

    // Only what changed is stored again.
    fs::write(tree.join("hosts"), "web1\nweb2\n").unwrap();
    git(&tree, &["commit", "--quiet", "-am", "three"]);
    let second = world.json(&["backup"], 0);
    let stored = |report: &serde_json::Value| report["stored_bytes"].as_u64().unwrap();
    assert!(stored(&second) * 2 < stored(&first), "{first:#} {second:#}");
    fs::write(tree.join("site.yml"), "---\n- hosts: [\n").unwrap();
    world.json(&["backup"], 0);
    let drill = world.json(&["drill"], 3);
    assert_eq!(wrong(&drill), ["assertion a"]);
}

/// Breaks something.
type Break = fn(&Path);

#[test]
fn every_difference_in_a_restored_tree_is_named() {
    let world = world("", "");
    let tree = world.path("tree");
    fill(&tree);
    world.json(&["backup"], 0);
    let to = world.path("restored");
    fs::create_dir(&to).unwrap();
    let there = to.join(tree.strip_prefix("/").unwrap());
    let cases: [(Break, &str); 8] = [
        (|t| fs::write(t.join("hosts"), "web2\n").unwrap(), "hosts"),
        (|t| fs::remove_file(t.join("run.sh")).unwrap(), "run.sh"),
        (|t| fs::set_permissions(t.join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap(), "run.sh"),
        (|t| fs::write(t.join("stranger"), "").unwrap(), "stranger"),
        (
            |t| {
                fs::remove_file(t.join("main.yml")).unwrap();
                symlink("hosts", t.join("main.yml")).unwrap();
            },
            "main.yml",
        ),
        (|t| drop(git(t, &["commit", "--quiet", "--allow-empty", "-m", "x"])), "git head"),
        (|t| drop(git(t, &["branch", "--quiet", "-f", "stable", "main"])), "git branch"),
        (
            |t| {
                let object =
                    Command::new("sh").arg("-c").arg("ls -S .git/objects/*/* | head -1").current_dir(t).output();
                let name = String::from_utf8(object.unwrap().stdout).unwrap();
                let path = t.join(name.trim());
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                fs::write(path, "garbage").unwrap();
            },
            "git fsck",
        ),
    ];
    for (spoil, name) in cases {
        let to = to.to_str().unwrap();
        let report = world.json(&["restore", "ansible", "--to", to, "--overwrite"], 0);
        assert_eq!(report["verified"], true, "{report:#}");
        assert_eq!(world.json(&["verify", "ansible", "--against", to], 0)["verdict"], "passed");
        spoil(&there);
        let report = world.json(&["verify", "ansible", "--against", to], 3);
        assert!(wrong(&report).iter().any(|found| found.contains(name)), "{name} in {report:#}");
        fs::remove_dir_all(to).unwrap();
        fs::create_dir(to).unwrap();
    }
}

#[test]
fn a_restore_goes_where_it_was_sent_and_nowhere_else() {
    let world = world("", "");
    let tree = world.path("tree");
    fill(&tree);
    world.json(&["backup"], 0);
    let full = world.path("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "").unwrap();
    for (to, reason) in [(&tree, "hint: "), (&full, "not empty"), (&world.path("full/mine"), "hint: ")] {
        let ran = world.run(&["restore", "ansible", "--to", to.to_str().unwrap()]);
        assert!(ran.status == 1 && ran.stderr.contains(reason), "{}: {ran:?}", to.display());
    }
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    assert_eq!(world.run(&["restore", "ansible", "--to", "unix:/nowhere"]).status, 2);

    let some = world.path("some");
    fs::create_dir(&some).unwrap();
    let one = tree.join("roles/web");
    let arguments = ["restore", "ansible", "--to", some.to_str().unwrap(), "--path", one.to_str().unwrap()];
    let report = world.json(&arguments, 0);
    assert_eq!(report["verified"], true, "{report:#}");
    let inner = |root: &Path, path: &Path| -> PathBuf { root.join(path.strip_prefix("/").unwrap()) };
    assert!(inner(&some, &one).join("tasks/main.yml").is_file());
    assert!(!inner(&some, &tree).join("site.yml").exists());
}

#[test]
fn an_assertion_can_neither_write_elsewhere_nor_speak_to_anybody_nor_run_for_ever() {
    let world = world("", "");
    let tree = world.path("tree");
    fill(&tree);
    world.json(&["backup"], 0);
    // The jail has a /tmp of its own: writing there is no harm.
    let outside = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("outside-{}", std::process::id()));
    let touch = format!("[\"touch\", \"{}\"]", outside.display());
    for command in [
        touch.as_str(),
        r#"["sh", "-c", "echo x > /etc/backup-sla-was-here"]"#,
        r#"["sh", "-c", "test -n \"$SECRET_OF_THE_SERVICE\""]"#,
        r#"["sh", "-c", "grep -v lo: /proc/net/dev | grep -q :"]"#,
        r#"["no-such-program"]"#,
        r#"["false"]"#,
    ] {
        configure(&world, "", &assertion(command));
        let mut run = world.command(&["--json", "drill"]);
        run.env("SECRET_OF_THE_SERVICE", "x");
        let ran = crate::support::finish(run);
        assert_eq!(ran.status, 3, "{command}: {ran:?}");
        let report: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(wrong(&report), ["assertion a"], "{command}");
    }
    assert!(!outside.exists() && !Path::new("/etc/backup-sla-was-here").exists());
    configure(&world, "assertion_timeout = \"1s\"\n", &assertion(r#"["sleep", "1000"]"#));
    assert_eq!(wrong(&world.json(&["drill"], 3)), ["assertion a"]);
    configure(&world, "", &assertion(r#"["sh", "-c", "test $(pwd -P) = $PWD && touch here && test -x run.sh"]"#));
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
}

#[test]
fn what_cannot_be_read_fails_the_backup_by_name() {
    let world = world("", "");
    assert!(world.run(&["backup"]).stderr.contains("tree"), "a path that is not there");
    assert_eq!(world.run(&["backup"]).status, 1);
    fill(&world.path("tree"));
    world.json(&["backup"], 0);
    fs::rename(world.path("tree"), world.path("gone")).unwrap();
    let ran = world.run(&["backup"]);
    assert!(ran.status == 1 && ran.stderr.contains("hint: "), "{ran:?}");
    assert_eq!(world.listed(), 1);
}
