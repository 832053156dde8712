//! What somebody who can write to the repository's directory, and does not know the password, may put into it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use rustic_core::Id;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::damage::files_below;
use super::places::{password, place};
use crate::error::Error;
use crate::repository::contract::{back_up, candidate, manifest, moment, noise_bytes};
use crate::repository::restic::ResticRepository;
use crate::repository::{NewCandidate, Repository, Storing};

/// A repository with one backup, and a directory of somebody else beside it.
struct World {
    place: TempDir,
    root: PathBuf,
    repository: ResticRepository,
}

impl World {
    fn new() -> Self {
        let place = place();
        let root = place.path().join("repository");
        let repository = ResticRepository::new(root.clone(), password());
        repository.prepare().unwrap();
        back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", b"first")]));
        fs::create_dir(place.path().join("elsewhere")).unwrap();
        for name in ["abcdef", "write-0123456789abcdef0123456789abcdef", "letter"] {
            fs::write(place.path().join("elsewhere").join(name), "precious").unwrap();
        }
        Self { place, root, repository }
    }

    /// The same once more in a place of its own: making a repository takes most of a test's time.
    fn copy(&self) -> Self {
        let place = place();
        let copied = Command::new("cp").arg("-a").arg(self.place.path().join(".")).arg(place.path()).status().unwrap();
        assert!(copied.success());
        let root = place.path().join("repository");
        let repository = ResticRepository::new(root.clone(), password());
        Self { place, root, repository }
    }

    fn elsewhere(&self) -> PathBuf {
        self.place.path().join("elsewhere")
    }

    /// Replace the directory `name` by a link to one elsewhere that holds the same.
    fn lead_elsewhere(&self, name: &str) {
        let there = self.elsewhere().join("moved");
        fs::rename(self.root.join(name), &there).unwrap();
        symlink(&there, self.root.join(name)).unwrap();
    }

    fn fresh(&self) -> ResticRepository {
        ResticRepository::new(self.root.clone(), password())
    }
}

fn new_backup() -> NewCandidate {
    candidate("shop", "B", moment(1), &[("dump.sql", &noise_bytes(9, 200_000))])
}

fn run(repository: &dyn Storing, new: NewCandidate) -> Result<u64, Error> {
    repository.prepare()?;
    let candidate = repository.store(new)?;
    let promise = manifest(&candidate);
    repository.publish(candidate, &promise)
}

fn names(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut names: Vec<_> =
        files_below(directory).into_iter().map(|path| (path.clone(), path.metadata().unwrap().len())).collect();
    names.sort();
    names
}

#[test]
fn a_link_in_place_of_a_directory_is_refused_by_name_and_nothing_is_touched_where_it_leads() {
    for name in ["tmp", "index", "snapshots", "data", "keys"] {
        let world = World::new();
        world.lead_elsewhere(name);
        let before = names(&world.elsewhere());
        for repository in [&world.repository, &world.fresh()] {
            let error = run(repository, new_backup()).unwrap_err();
            let text = error.to_string();
            let named = format!("{} is a symbolic link", world.root.join(name).display());
            assert!(text.contains(&named), "{name}: {text}");
            assert!(error.hint_text().unwrap().contains("link"), "{name}: {:?}", error.hint_text());
        }
        assert_eq!(names(&world.elsewhere()), before, "{name}");
    }
    // Packs spread over 256 directories: all of them are links.
    let world = World::new();
    for prefix in 0..=255_u8 {
        let name = format!("data/{prefix:02x}");
        let there = world.elsewhere().join(format!("{prefix:02x}"));
        fs::rename(world.root.join(&name), &there).unwrap();
        symlink(&there, world.root.join(&name)).unwrap();
    }
    let before = names(&world.elsewhere());
    let text = run(&world.fresh(), new_backup()).unwrap_err().to_string();
    assert!(text.contains("is a symbolic link and not a directory"), "{text}");
    assert_eq!(names(&world.elsewhere()), before);
}

#[test]
fn only_temporary_files_of_our_own_making_are_removed() {
    let world = World::new();
    let staging = world.root.join("tmp");
    let ours = ["write-0123456789abcdef0123456789abcdef", "aB3xYz"];
    for name in ours.iter().chain(&["letters", "write-1", "pack.part", "0123456"]) {
        fs::write(staging.join(name), "half a pack").unwrap();
    }
    symlink(world.elsewhere().join("letter"), staging.join("abcdef")).unwrap();
    fs::create_dir(staging.join("direct")).unwrap();
    world.fresh().prepare().unwrap();
    let mut left: Vec<_> = fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["0123456", "abcdef", "direct", "letters", "pack.part", "write-1"]);
    assert!(world.elsewhere().join("letter").exists());
}

#[test]
fn what_is_no_file_is_named_and_never_waited_for() {
    let whole = World::new();
    let kinds = [("config", "config"), ("keys", ""), ("index", ""), ("snapshots", ""), ("data", "")];
    for (directory, _) in kinds {
        for found in ["a named pipe", "a symbolic link", "a directory"] {
            let world = whole.copy();
            let top = world.root.join(directory);
            let files = if directory == "config" { vec![top] } else { files_below(&top) };
            let elsewhere = world.elsewhere().join("whole");
            for file in &files {
                fs::rename(file, &elsewhere).unwrap();
                match found {
                    "a named pipe" => {
                        mknodat(CWD, file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
                    }
                    "a symbolic link" => symlink(&elsewhere, file).unwrap(),
                    _ => fs::create_dir(file).unwrap(),
                }
            }
            let (sender, receiver) = std::sync::mpsc::channel();
            let repository = world.fresh();
            std::thread::spawn(move || {
                let outcome = repository.open_existing().and_then(|()| repository.list(None).map(drop));
                let _ = sender.send(outcome.unwrap_err().to_string());
            });
            let text = receiver.recv_timeout(Duration::from_mins(1)).expect("it waits for a pipe");
            assert!(text.contains(found), "{directory}: {text}");
        }
    }
}

#[test]
fn directories_and_files_are_for_their_owner_alone() {
    let world = World::new();
    let mut seen = 0;
    let mut open = vec![world.root.clone()];
    while let Some(path) = open.pop() {
        let facts = path.symlink_metadata().unwrap();
        assert_eq!(facts.permissions().mode() & 0o077, 0, "{}", path.display());
        seen += 1;
        if facts.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 256);
}

/// Add a key file; its name is the hash of its content, as it has to be.
fn add_key(root: &Path, content: &[u8]) -> String {
    let name = Id::new(Sha256::digest(content).into()).to_hex().as_str().to_owned();
    fs::write(root.join("keys").join(&name), content).unwrap();
    name
}

fn key(n: u64, r: u64, p: u64) -> Vec<u8> {
    let text = json!({ "kdf": "scrypt", "N": n, "r": r, "p": p, "data": "AAAA", "salt": "AAAA" });
    text.to_string().into_bytes()
}

#[test]
fn a_key_file_that_asks_for_too_much_is_refused_by_name_before_the_work() {
    let world = World::new();
    let good = files_below(&world.root.join("keys")).pop().unwrap();
    let whole = fs::read(&good).unwrap();
    fs::remove_file(&good).unwrap();
    let deep = [b"[".repeat(30_000), b"]".repeat(30_000)].concat();
    let cases: [(&str, Vec<u8>); 8] = [
        ("N = 1073741824", key(1 << 30, 8, 1)),
        ("N = 0", key(0, 8, 1)),
        ("N = 1000", key(1000, 8, 1)),
        ("p = 1000", key(1 << 15, 8, 1000)),
        ("r = 536870912", key(1 << 15, 1 << 29, 1)),
        ("invalid type", deep),
        ("at most 65536 are read", vec![b' '; 70_000]),
        ("EOF", Vec::new()),
    ];
    for (said, content) in cases {
        let name = add_key(&world.root, &content);
        for repository in [&world.repository, &world.fresh()] {
            let error = repository.open_existing().unwrap_err();
            let text = error.to_string();
            assert!(text.contains(said) && text.contains(&name), "{said}: {text}");
            assert!(error.hint_text().is_some(), "{text}");
        }
        fs::remove_file(world.root.join("keys").join(name)).unwrap();
    }
    // Each of them alone would be fine.
    let mut added = Vec::new();
    for r in 1..=100 {
        added.push(add_key(&world.root, &key(2, r, 1)));
    }
    let text = world.fresh().open_existing().unwrap_err().to_string();
    assert!(text.contains("100 key files") && text.contains("at most 64"), "{text}");
    for name in added.drain(..) {
        fs::remove_file(world.root.join("keys").join(name)).unwrap();
    }
    // The file system cannot hold it in memory, and neither do we.
    let hole = world.root.join("keys").join("0".repeat(64));
    File::create(&hole).unwrap().set_len(1 << 40).unwrap();
    let text = world.fresh().open_existing().unwrap_err().to_string();
    assert!(text.contains("0000") && text.contains("at most"), "{text}");
    fs::remove_file(hole).unwrap();
    fs::write(&good, &whole).unwrap();
    world.repository.open_existing().unwrap();
}

#[test]
fn a_hole_in_place_of_a_file_is_refused_by_name_and_not_read_into_memory() {
    for directory in ["config", "index", "snapshots"] {
        let world = World::new();
        let top = world.root.join(directory);
        for file in if directory == "config" { vec![top] } else { files_below(&top) } {
            // 1 TiB: whoever tries to hold it dies.
            File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        }
        let repository = world.fresh();
        let error = repository.open_existing().and_then(|()| repository.list(None).map(drop)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(directory) && text.contains("1099511627776 bytes, at most"), "{directory}: {text}");
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(usize, u8),
    Cut(usize),
    Grow(u64),
    Zero(usize, usize),
    Text(String),
    Remove,
    Swap(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<usize>(), 1..=255_u8).prop_map(|(at, with)| Mutation::Flip(at, with)),
        any::<usize>().prop_map(Mutation::Cut),
        (1..1_u64 << 42).prop_map(Mutation::Grow),
        (any::<usize>(), 1..10_000_usize).prop_map(|(at, length)| Mutation::Zero(at, length)),
        "[\\[{\"N:0-9}\\]r,pdatkfsl ]{0,80}".prop_map(Mutation::Text),
        Just(Mutation::Remove),
        any::<usize>().prop_map(Mutation::Swap),
    ]
}

fn mutate(path: &Path, mutation: &Mutation, others: &[PathBuf]) {
    let is_small = |path: &Path| path.metadata().is_ok_and(|facts| facts.len() < 1 << 24);
    if !is_small(path) {
        return;
    }
    let mut content = fs::read(path).unwrap();
    let length = content.len().max(1);
    match mutation {
        Mutation::Flip(at, with) => {
            if let Some(byte) = content.get_mut(at % length) {
                *byte ^= with;
            }
        }
        Mutation::Cut(at) => content.truncate(at % length),
        Mutation::Grow(to) => {
            File::options().write(true).open(path).unwrap().set_len(*to).unwrap();
            return;
        }
        Mutation::Zero(at, count) => content.iter_mut().skip(at % length).take(*count).for_each(|byte| *byte = 0),
        Mutation::Text(text) => content = text.clone().into_bytes(),
        Mutation::Remove => return fs::remove_file(path).unwrap(),
        Mutation::Swap(other) => {
            let other = &others[other % others.len()];
            content = if is_small(other) { fs::read(other).unwrap() } else { Vec::new() };
        }
    }
    fs::write(path, content).unwrap();
    // What lies under the hash of its content passes the first look.
    if path.parent().is_some_and(|directory| directory.ends_with("keys")) {
        let renamed = add_key(path.parent().unwrap().parent().unwrap(), &fs::read(path).unwrap());
        if !path.ends_with(renamed) {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn mutated_files_are_errors_and_never_a_panic_or_other_data() {
    let whole = World::new();
    let config = ProptestConfig { cases: 48, ..ProptestConfig::default() };
    proptest!(config, |(changes in prop::collection::vec((any::<usize>(), mutation()), 1..4))| {
        let world = whole.copy();
        let files = files_below(&world.root);
        for (at, change) in &changes {
            let path = &files[at % files.len()];
            if path.exists() {
                mutate(path, change, &files);
            }
        }
        let before = peak_memory();
        if world.repository.open_existing().is_ok()
            && let Ok(listing) = world.repository.listing(None)
        {
            for point in listing.points {
                for file in &point.manifest.files {
                    if let Ok(stored) = world.repository.open("shop", &point.manifest.id, &file.path)
                        && let Ok(bytes) = stored.read_at(0, 100)
                    {
                        prop_assert_eq!(&bytes[..], b"first");
                    }
                }
            }
        }
        let _ = world.repository.space();
        // Other tests of this process are in it, too.
        prop_assert!(peak_memory() - before < 1 << 30, "{changes:?}");
    });
}

/// Most bytes that this process ever had in memory.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_hard_link_to_a_file_elsewhere_is_never_written_through() {
    let world = World::new();
    let letter = world.elsewhere().join("letter");
    fs::hard_link(&letter, world.root.join("tmp").join("write-0123456789abcdef0123456789abcdef")).unwrap();
    run(&world.fresh(), new_backup()).unwrap();
    assert_eq!(fs::read(&letter).unwrap(), b"precious");
    assert_eq!(letter.metadata().unwrap().nlink(), 1, "the name in tmp/ was ours to remove");
}
