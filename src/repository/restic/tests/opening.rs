//! Places that can and cannot be a repository, and what is said about the others.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustic_core::FileType;

use rustix::fs::{FlockOperation, flock};
use secrecy::SecretString;

use super::damage::files_below;
use super::places::{files, password, place};
use super::standin::{Hands, StandIn};
use crate::error::{Error, Kind};
use crate::repository::contract::{back_up, candidate, moment, noise_bytes};
use crate::repository::restic::secret::Secret;
use crate::repository::restic::{ResticOptions, ResticRepository};
use crate::repository::{Repository, Storing};

fn prepare(location: &Path) -> Result<(), Error> {
    ResticRepository::new(location.to_owned(), password()).prepare()
}

fn refusal(location: &Path) -> (String, String) {
    let error = prepare(location).unwrap_err();
    (error.to_string(), error.hint_text().unwrap_or_default().to_owned())
}

#[test]
fn a_wrong_password_says_so() {
    let place = place();
    let root = place.path().join("repository");
    prepare(&root).unwrap();
    let stranger = ResticRepository::new(root.clone(), SecretString::from("wrong"));
    for error in [stranger.prepare().unwrap_err(), stranger.list(None).unwrap_err()] {
        assert_eq!(error.to_string(), format!("cannot open repository {}: the password is wrong", root.display()));
        assert_eq!(error.exit_code(), 1);
        assert!(error.hint_text().unwrap().contains("password_file"));
    }
}

fn write_secret(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_secret_as_it_is_now_is_tried_and_not_what_was_opened_before() {
    let place = place();
    let (root, file) = (place.path().join("repository"), place.path().join("key"));
    write_secret(&file, "correct horse\n");
    let repository = ResticRepository::with_password_file(root.clone(), file.clone());
    repository.prepare().unwrap();
    repository.open_existing().unwrap();
    let refused = |reason: &str| {
        for error in [repository.open_existing().unwrap_err(), repository.prepare().unwrap_err()] {
            assert!(error.to_string().contains(reason) && error.hint_text().is_some(), "{reason}: {error}");
        }
    };
    write_secret(&file, "another\n");
    refused("the password is wrong");
    write_secret(&file, "correct horse");
    repository.open_existing().unwrap();
    fs::remove_file(&file).unwrap();
    refused("does not exist");
    write_secret(&file, "correct horse\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    refused("is open to group or others");
    write_secret(&file, "correct horse\n");

    // The keys are gone, damaged, back.
    let key = fs::read_dir(root.join("keys")).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    refused("its directory `keys` is empty");
    fs::write(&key, [&good[..], b" "].concat()).unwrap();
    refused(&key.file_name().unwrap().to_string_lossy()[..8]);
    fs::write(&key, &good).unwrap();
    repository.open_existing().unwrap();

    // Rotated with the restic program, the file with it: no restart is needed.
    write_secret(&place.path().join("new"), "new horse");
    let restic = Command::new("restic")
        .arg("--no-cache")
        .arg("--repo")
        .arg(&root)
        .arg("--password-file")
        .arg(&file)
        .args(["key", "passwd", "--new-password-file"])
        .arg(place.path().join("new"))
        .output()
        .unwrap();
    assert!(restic.status.success(), "{restic:?}");
    refused("the password is wrong");
    write_secret(&file, "new horse\n");
    repository.open_existing().unwrap();
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", b"x")]));
}

/// How often a password was tried: each try reads the config once more than a look that tries none.
fn config_reads(
    look: impl Fn(&ResticRepository) -> Result<(), Error>,
    repository: &ResticRepository,
    log: &StandIn<Reads>,
) -> usize {
    let before = log.hands.configs.load(Ordering::SeqCst);
    look(repository).unwrap();
    log.hands.configs.load(Ordering::SeqCst) - before
}

#[test]
fn trying_again_what_did_not_change_costs_nothing() {
    let place = place();
    let (root, file) = (place.path().join("repository"), place.path().join("key"));
    write_secret(&file, "correct horse\n");
    let files = Arc::new(files(root.clone()));
    let log = Arc::new(StandIn { inner: files.clone(), hands: Reads::default() });
    let repository = ResticRepository::through(files, log.clone(), Secret::File(file.clone()));
    repository.prepare().unwrap();
    let look = || config_reads(ResticRepository::open_existing, &repository, &log);
    assert_eq!(look(), 1);
    // The same password, in another file.
    write_secret(&file, "correct horse");
    assert_eq!(look(), 1);
    write_secret(&file, "another\n");
    repository.open_existing().unwrap_err();
    write_secret(&file, "correct horse\n");
    assert_eq!(look(), 2, "after a failure it is tried");
    assert_eq!(look(), 1);
}

#[test]
fn a_config_that_is_lost_or_replaced_is_noticed_by_who_opened_the_repository_before() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    let identity = repository.identity().unwrap();
    let good = fs::read(root.join("config")).unwrap();
    fs::write(root.join("config"), "no config").unwrap();
    repository.open_existing().unwrap_err();
    fs::remove_file(root.join("config")).unwrap();
    let error = repository.open_existing().unwrap_err();
    assert!(error.to_string().contains("there is no repository"), "{error}");
    fs::write(root.join("config"), good).unwrap();
    repository.open_existing().unwrap();
    assert_eq!(repository.identity().unwrap(), identity);
}

#[test]
fn another_repository_in_the_place_has_its_own_identity_and_points() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", b"mine")]));
    let identity = repository.identity().unwrap();
    assert!(identity.is_some());
    fs::rename(&root, place.path().join("mine")).unwrap();
    let other = ResticRepository::new(root.clone(), password());
    other.prepare().unwrap();
    back_up(&other, candidate("shop", "B", moment(0), &[("dump.sql", b"theirs")]));
    assert_ne!(repository.identity().unwrap(), identity);
    let ids: Vec<String> = repository.list(None).unwrap().into_iter().map(|point| point.manifest.id.0).collect();
    assert_eq!(ids, ["B"]);
}

#[test]
fn what_is_opened_afresh_is_read_from_the_place_whatever_was_read_before() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    let point = back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", b"small enough to be kept")]));
    let read = |repository: &dyn Repository| -> Result<usize, Error> {
        repository.open_existing()?;
        let points = repository.list(None)?;
        let file = repository.open("shop", &point.manifest.id, "dump.sql")?;
        Ok(points.len() + file.read_at(0, 100)?.len())
    };
    read(&repository).unwrap();
    for directory in ["data", "index", "snapshots", "keys"] {
        for file in files_below(&root.join(directory)) {
            let kept = place.path().join("kept");
            fs::rename(&file, &kept).unwrap();
            let outcome = read(&*repository.afresh().unwrap());
            // Packs that only a candidate needed serve nobody.
            assert!(outcome.is_err() || outcome.unwrap() == 24 && directory == "data", "{}", file.display());
            // Something else of the same length under its name.
            let length = fs::metadata(&kept).unwrap().len();
            fs::write(&file, vec![7; usize::try_from(length).unwrap()]).unwrap();
            let outcome = read(&*repository.afresh().unwrap());
            assert!(outcome.is_err() || outcome.unwrap() == 24 && directory == "data", "{}", file.display());
            fs::rename(&kept, &file).unwrap();
        }
    }
    read(&repository).unwrap();
    let packs = files_below(&root.join("data"));
    for pack in &packs {
        fs::remove_file(pack).unwrap();
    }
    read(&*repository.afresh().unwrap()).unwrap_err();
}

/// Counts what is read.
#[derive(Debug, Default)]
struct Reads {
    configs: AtomicUsize,
}

impl Hands for Reads {
    fn reading(&self, kind: FileType) {
        if kind == FileType::Config {
            self.configs.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_repository_that_an_earlier_version_made_with_a_byte_order_mark_still_opens() {
    let place = place();
    let (root, file) = (place.path().join("repository"), place.path().join("key"));
    ResticRepository::new(root.clone(), SecretString::from("\u{feff}correct horse")).prepare().unwrap();
    write_secret(&file, "\u{feff}correct horse\r\n");
    ResticRepository::with_password_file(root.clone(), file).open_existing().unwrap();
    let wrong = ResticRepository::new(root, SecretString::from("another")).open_existing().unwrap_err();
    assert!(wrong.to_string().contains("the password is wrong"), "{wrong}");
}

#[test]
fn a_place_without_a_repository_is_named_and_not_created_by_reading() {
    let place = place();
    let root = place.path().join("repository");
    let error = ResticRepository::new(root.clone(), password()).list(None).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open repository {}: there is no repository", root.display()));
    assert!(error.hint_text().unwrap().contains("mounted"));
    assert!(!root.exists());
}

#[test]
fn places_that_cannot_be_a_repository_are_refused_untouched() {
    let place = place();
    let (text, hint) = refusal(&place.path().join("missing").join("repository"));
    assert!(text.contains("missing/repository") && hint.contains("directory above it"), "{text}: {hint}");
    let file = place.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(refusal(&file).0.contains("not a directory"));
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("letter"), "dear").unwrap();
    let (text, hint) = refusal(&home);
    assert!(text.contains("holds other files") && hint.contains("empty"), "{text}: {hint}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
}

#[test]
fn an_empty_directory_and_a_creation_that_was_interrupted_become_repositories() {
    let place = place();
    prepare(place.path()).unwrap();
    // Killed after the key was written and before the config was.
    fs::remove_file(place.path().join("config")).unwrap();
    prepare(place.path()).unwrap();
    assert_eq!(fs::read_dir(place.path().join("keys")).unwrap().count(), 1, "the old key would open nothing");
    let repository = ResticRepository::new(place.path().to_owned(), password());
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", b"x")]));
    // With data in it, a lost config is damage and no reason to begin anew.
    fs::remove_file(place.path().join("config")).unwrap();
    assert!(refusal(place.path()).0.contains("not a restic repository"));
}

#[test]
fn what_a_killed_writer_left_is_removed_unless_a_writer_is_at_work() {
    let place = place();
    prepare(place.path()).unwrap();
    let left = place.path().join("tmp").join("aB3xYz");
    fs::write(&left, "half a pack").unwrap();
    let writer = File::open(place.path().join("tmp")).unwrap();
    flock(&writer, FlockOperation::LockShared).unwrap();
    prepare(place.path()).unwrap();
    assert!(left.exists());
    drop(writer);
    prepare(place.path()).unwrap();
    assert!(!left.exists());
}

#[test]
fn services_that_start_together_create_one_repository() {
    let place = place();
    let root = place.path().join("repository");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| prepare(&root).unwrap());
        }
    });
    assert_eq!(fs::read_dir(root.join("keys")).unwrap().count(), 1);
}

#[test]
fn chunks_that_the_chunker_cannot_cut_are_refused() {
    let place = place();
    for average_chunk_bytes in [0, 4096, 100_000] {
        let options = ResticOptions { average_chunk_bytes, ..ResticOptions::default() };
        let root = place.path().join("repository");
        let error = ResticRepository::new(root, password()).with_options(options).prepare().unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration, "{error}");
    }
}

/// A small file system of its own, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: u32) -> Self {
        fs::create_dir(at).unwrap();
        let size = format!("size={megabytes}m");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status().unwrap();
        assert!(status.success(), "this test mounts a small file system and must run as root");
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_named_publishes_nothing_and_leaves_room_for_the_next_try() {
    let place = place();
    let disk = SmallDisk::mount(&place.path().join("disk"), 8);
    let repository = ResticRepository::new(disk.0.join("repository"), password());
    repository.prepare().unwrap();
    let large = noise_bytes(1, 20_000_000);
    let error = repository.store(candidate("shop", "A", moment(0), &[("dump.sql", &large)])).err().unwrap();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert!(error.hint_text().unwrap().contains("free space"), "{error}");
    assert_eq!(repository.list(None).unwrap(), []);
    assert_eq!(fs::read_dir(disk.0.join("repository/tmp")).unwrap().count(), 0);
    let small = back_up(&repository, candidate("shop", "B", moment(0), &[("dump.sql", b"small")]));
    assert_eq!(repository.list(None).unwrap(), [small]);

    // Full at the moment of publishing.
    let ready = repository.store(candidate("shop", "C", moment(1), &[("dump.sql", b"more")])).unwrap();
    let promise = crate::repository::contract::manifest(&ready);
    let filler = disk.0.join("filler");
    let _ = fs::write(&filler, vec![0; 8 << 20]);
    let error = repository.publish(ready, &promise).unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    fs::remove_file(filler).unwrap();
    assert_eq!(repository.list(None).unwrap().len(), 1);
}
