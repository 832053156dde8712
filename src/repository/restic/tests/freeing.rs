//! Room that nothing needs comes back in two steps, nothing else goes, and the restic program agrees.

use std::fs;
use std::time::Duration;

use super::places::{password, place};
use super::program::{du, restic_ok};
use crate::domain::manifest::RecoveryPointId;
use crate::error::Kind;
use crate::repository::contract::{back_up, candidate, ids, moment, noise_bytes};
use crate::repository::restic::ResticRepository;
use crate::repository::{CheckDepth, FreeRequest, Freed, Repository, Storing};
use crate::run_context::RunContext;

fn free(repository: &dyn Storing, grace: Duration) -> Freed {
    repository.free(&FreeRequest { host: "db1", grace, context: &RunContext::silent() }).unwrap()
}

fn is_sound(repository: &dyn Storing) -> bool {
    let found = repository.check(CheckDepth::Content, &RunContext::silent()).unwrap();
    found.wrong.is_empty() && found.damaged_points.is_empty() && repository.incomplete().unwrap().is_none()
}

fn point(id: &str) -> RecoveryPointId {
    RecoveryPointId(id.to_owned())
}

#[test]
fn what_was_forgotten_is_marked_first_and_goes_with_a_later_run() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    for (hours, id) in ["A", "B"].into_iter().enumerate() {
        let seed = hours as u64;
        let hours = i64::try_from(hours).unwrap();
        back_up(&repository, candidate("shop", id, moment(hours), &[("dump.sql", &noise_bytes(seed, 3_000_000))]));
    }
    // Nothing but the directories of the candidates is unused yet.
    let unused = free(&repository, Duration::ZERO);
    assert!(unused.freed_bytes == 0 && unused.marked_bytes < 10_000, "{unused:?}");
    repository.forget("shop", &[point("A")]).unwrap();
    let before = du(&root.join("data"));
    // What is younger than the grace may belong to a backup that is not published yet.
    free(&repository, Duration::from_hours(24));
    assert_eq!(free(&repository, Duration::from_hours(24)).freed_bytes, 0);
    assert!(du(&root.join("data")) >= before);

    let first = free(&repository, Duration::ZERO);
    assert!(first.freed_bytes < 10_000 && first.marked_bytes > 2_900_000, "{first:?}");
    assert!(du(&root.join("data")) > before - 10_000, "the first step removes none of it");
    assert!(is_sound(&repository));
    let second = free(&repository, Duration::ZERO);
    assert!(second.freed_bytes > 2_900_000, "{second:?}");
    let left = du(&root.join("data"));
    assert!(left < before - 2_900_000, "{left} of {before}");
    assert_eq!(ids(&repository, None), ["B"]);
    assert!(is_sound(&repository));
    restic_ok(&root, &["check", "--read-data"]);
    assert!(restic_ok(&root, &["dump", "latest", "/shop/dump.sql"]) == noise_bytes(1, 3_000_000));
}

#[test]
fn a_backup_that_needs_again_what_was_marked_keeps_it() {
    let place = place();
    let root = place.path().join("repository");
    let open = || ResticRepository::new(root.clone(), password());
    let repository = open();
    repository.prepare().unwrap();
    let content = noise_bytes(7, 3_000_000);
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", &content)]));
    back_up(&repository, candidate("shop", "B", moment(1), &[("dump.sql", b"something else")]));
    // Another process begins a backup of the same content before anything is marked, and publishes it afterwards.
    let other = open();
    let stored = other.store(candidate("shop", "C", moment(2), &[("dump.sql", &content)])).unwrap();
    repository.forget("shop", &[point("A")]).unwrap();
    free(&repository, Duration::ZERO);
    let manifest = crate::repository::contract::manifest(&stored);
    // It finds out, and says so, or it is published and its data stays. It is never published without its data.
    if other.publish(stored, &manifest).is_ok() {
        assert_eq!(ids(&repository, None), ["B", "C"]);
    } else {
        assert_eq!(ids(&repository, None), ["B"]);
        back_up(&open(), candidate("shop", "C", moment(2), &[("dump.sql", &content)]));
    }
    free(&repository, Duration::from_hours(24));
    free(&repository, Duration::ZERO);
    free(&repository, Duration::ZERO);
    assert!(is_sound(&repository));
    let file = repository.open("shop", &point("C"), "dump.sql").unwrap();
    assert!(file.read_at(0, usize::MAX).unwrap() == content);
    restic_ok(&root, &["check", "--read-data"]);
}

#[test]
fn a_check_by_parts_reads_everything_once_all_had_their_turn() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", &noise_bytes(1, 60_000_000))]));
    let silent = RunContext::silent();
    let parts: Vec<u64> = (0..4)
        .map(|part| repository.check(CheckDepth::Parts { parts: &[part], of: 4 }, &silent).unwrap().read_bytes)
        .collect();
    let all = repository.check(CheckDepth::Content, &silent).unwrap();
    assert_eq!(parts.iter().sum::<u64>(), all.stored_bytes, "{parts:?}");
    assert_eq!(all.read_bytes, all.stored_bytes);

    // A byte that is flipped is found by one of the parts and by no other.
    let packs = fs::read_dir(root.join("data")).unwrap().flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
    let pack = packs.map(|entry| entry.unwrap().path()).max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    let mut content = fs::read(&pack).unwrap();
    content[1000] ^= 4;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, content).unwrap();
    let found: Vec<_> = (0..4)
        .map(|part| repository.check(CheckDepth::Parts { parts: &[part], of: 4 }, &silent).unwrap())
        .filter(|found| !found.wrong.is_empty())
        .collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].wrong[0].to_string().contains(pack.file_name().unwrap().to_str().unwrap()), "{found:?}");
    assert_eq!(found[0].damaged_points, [("shop".to_owned(), point("A"))]);
}

#[test]
fn who_has_locked_the_repository_with_restic_is_not_disturbed_and_restic_does_not_disturb_us() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", b"rows")]));
    // A restic backup that waits for its input holds its lock.
    let mut waiting = super::program::command(&root, &["backup", "--stdin", "--stdin-filename", "x"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let started = std::time::Duration::from_millis(20);
    while fs::read_dir(root.join("locks")).map_or(0, Iterator::count) == 0 {
        assert!(waiting.try_wait().unwrap().is_none());
        std::thread::sleep(started);
    }
    let request = FreeRequest { host: "db1", grace: Duration::ZERO, context: &RunContext::silent() };
    let error = repository.free(&request).unwrap_err();
    assert!(error.kind() == Kind::Busy && error.to_string().contains(&waiting.id().to_string()), "{error}");
    std::io::Write::write_all(&mut waiting.stdin.take().unwrap(), b"rows").unwrap();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(fs::read_dir(root.join("locks")).unwrap().count(), 0);

    // Ours holds restic up, and goes.
    let files = super::super::backend::PlaceBackend::new(std::sync::Arc::new(
        crate::repository::place::local::LocalPlace::new(root.clone()),
    ));
    let cipher = super::super::cipher::Cipher::new(&repository.session.master_key().unwrap(), false).unwrap();
    let lock = super::super::restic_lock::ExclusiveLock::take(&files, &cipher, "db1").unwrap();
    let said = super::program::restic(&root, &["prune"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("already locked") && said.contains("db1"), "{said}");
    assert_eq!(repository.free(&request).unwrap_err().kind(), Kind::Busy);
    drop(lock);
    repository.free(&request).unwrap();
    restic_ok(&root, &["prune"]);
}
