//! The real restic program reads, checks, restores and writes beside us.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::places::{PASSWORD, password, place};
use crate::repository::contract::{back_up, candidate, moment, noise_bytes};
use crate::repository::restic::ResticRepository;
use crate::repository::{Repository, Storing};

/// restic on `repository`; its cache stays in the test's own place.
pub fn command(repository: &Path, arguments: &[&str]) -> Command {
    let mut cache = repository.as_os_str().to_owned();
    cache.push("-cache");
    let mut command = Command::new("restic");
    command.arg("--repo").arg(repository).arg("--cache-dir").arg(cache).args(arguments).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("RESTIC_PASSWORD", PASSWORD);
    command
}

/// Run it.
pub fn restic(repository: &Path, arguments: &[&str]) -> Output {
    command(repository, arguments).output().expect("restic must be installed (scripts/setup)")
}

/// Run restic and demand success; returns its standard output.
pub fn restic_ok(repository: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = restic(repository, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {arguments:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
    output.stdout
}

#[test]
fn restic_lists_checks_dumps_and_restores_what_we_stored() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    let dump = noise_bytes(3, 9_000_000);
    let files: [(&str, &[u8]); 3] = [("accounts.sql", b"CREATE USER"), ("dump.sql", &dump), ("empty.sql", b"")];
    let published = back_up(&repository, candidate("shop", "A", moment(0), &files));

    let snapshots: serde_json::Value = serde_json::from_slice(&restic_ok(&root, &["snapshots", "--json"])).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 1, "the candidate must have left no snapshot");
    assert_eq!(snapshots[0]["paths"], serde_json::json!(["/shop"]));
    assert_eq!(snapshots[0]["time"], "2026-05-28T20:26:40.123456Z");
    let tags = format!("[\"backup-sla\",\"point=A\",\"source=shop\",\"stored={}\"]", published.stored_bytes);
    assert_eq!(snapshots[0]["tags"].to_string(), tags);
    let filtered = restic_ok(&root, &["snapshots", "--json", "--tag", "source=shop,point=A"]);
    assert!(filtered.starts_with(b"[{"), "{}", String::from_utf8_lossy(&filtered));

    restic_ok(&root, &["check", "--read-data"]);
    assert!(restic_ok(&root, &["dump", "latest", "/shop/dump.sql"]) == dump);
    let manifest = restic_ok(&root, &["dump", "latest", "/shop/manifest.json"]);
    assert_eq!(serde_json::from_slice::<crate::domain::manifest::Manifest>(&manifest).unwrap(), published.manifest);

    // `restore` goes by the size that the directory notes: a stream that notes 0 comes back empty.
    let target = place.path().join("restored");
    restic_ok(&root, &["restore", "latest", "--verify", "--target", target.to_str().unwrap()]);
    for (path, content) in files {
        assert!(fs::read(target.join("shop").join(path)).unwrap() == content, "{path}");
    }
}

#[test]
fn what_the_restic_program_stores_beside_us_does_not_disturb() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    let first = back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", b"first")]));
    let strange = place.path().join("strange");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("dump.sql"), noise_bytes(9, 3_000_000)).unwrap();
    let strange = strange.to_str().unwrap();
    restic_ok(&root, &["backup", strange]);
    // Somebody may use our tag for something of their own.
    restic_ok(&root, &["backup", strange, "--tag", "backup-sla"]);
    assert_eq!(repository.list(None).unwrap(), [first.clone()]);
    let second = back_up(&repository, candidate("shop", "B", moment(1), &[("dump.sql", b"second")]));
    assert_eq!(repository.list(None).unwrap(), [first.clone(), second.clone()]);
    // Tags that people add, and new snapshot files that restic writes for that, keep the point what it is.
    restic_ok(&root, &["tag", "--add", "keep", "--tag", "point=A"]);
    assert_eq!(repository.list(None).unwrap(), [first, second]);
    let content = repository.open("shop", &repository.list(None).unwrap()[0].manifest.id, "dump.sql").unwrap();
    assert_eq!(content.read_at(0, 100).unwrap(), "first");
    restic_ok(&root, &["check", "--read-data"]);
}

#[test]
fn a_repository_that_the_restic_program_created_serves_us() {
    for version in ["1", "2"] {
        let place = place();
        let root = place.path().join("repository");
        restic_ok(&root, &["init", "--repository-version", version]);
        let repository = ResticRepository::new(root.clone(), password());
        repository.prepare().unwrap();
        let dump = noise_bytes(4, 3_000_000);
        let published = back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", &dump)]));
        assert_eq!(repository.list(None).unwrap(), [published]);
        restic_ok(&root, &["check", "--read-data"]);
        assert!(restic_ok(&root, &["dump", "latest", "/shop/dump.sql"]) == dump);
    }
}

#[test]
fn restic_prunes_what_an_abandoned_candidate_left() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    let kept = back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", &noise_bytes(1, 2_000_000))]));
    drop(repository.store(candidate("shop", "B", moment(1), &[("dump.sql", &noise_bytes(2, 2_000_000))])).unwrap());
    restic_ok(&root, &["prune", "--max-unused", "0"]);
    restic_ok(&root, &["check", "--read-data"]);
    let size = du(&root.join("data"));
    assert!(size < 2_500_000, "{size} bytes are left");
    // The same instance must see that packs and index are new.
    assert_eq!(repository.list(None).unwrap(), [kept.clone()]);
    let file = repository.open("shop", &kept.manifest.id, "dump.sql").unwrap();
    assert!(file.read_at(0, usize::MAX).unwrap() == noise_bytes(1, 2_000_000));
}

pub fn du(directory: &Path) -> u64 {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            if entry.path().is_dir() { du(&entry.path()) } else { entry.metadata().unwrap().len() }
        })
        .sum()
}
