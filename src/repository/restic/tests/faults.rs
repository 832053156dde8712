//! A backend that dies, lies or loses things at a chosen write: what a kill, a full disk or a bad mount does.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rustic_core::RusticResult;
use tempfile::TempDir;

use super::places::{files, password, place};
use super::program::restic_ok;
use super::standin::{Hands, StandIn};
use crate::error::{Error, Result};
use crate::repository::contract::{back_up, candidate, manifest, moment, noise, noise_bytes};
use crate::repository::restic::ResticRepository;
use crate::repository::restic::failure::passed_on;
use crate::repository::restic::gate::{Gate, GatedReader};
use crate::repository::restic::secret::Secret;
use crate::repository::{NewCandidate, Repository, Storing, Stream, in_order};

/// What happens at the chosen write.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// It and everything after it fails, nothing of it is there: killed before.
    Before,
    /// It is done, then everything fails: killed after.
    After,
    /// It says that it is done and did nothing.
    Lost,
}

/// Fails at a write.
#[derive(Debug)]
struct Faulty {
    fault: Fault,
    left: AtomicI64,
}

impl Hands for Faulty {
    fn writing(&self, write: &dyn Fn() -> RusticResult<()>) -> RusticResult<()> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        match self.fault {
            Fault::Lost if left == 0 => return Ok(()),
            Fault::Before | Fault::After if left < 0 => {}
            Fault::Before if left == 0 => {}
            Fault::After if left == 0 => write()?,
            _ => return write(),
        }
        Err(passed_on(Error::failed("the machine is gone")))
    }
}

struct World {
    place: TempDir,
    observer: ResticRepository,
}

impl World {
    fn new() -> Self {
        let place = place();
        let observer = ResticRepository::new(place.path().join("repository"), password());
        observer.prepare().unwrap();
        Self { place, observer }
    }

    /// A second process whose write number `at` (from 0) meets the fault.
    fn faulty(&self, fault: Fault, at: i64) -> (ResticRepository, Arc<StandIn<Faulty>>) {
        let files = Arc::new(files(self.place.path().join("repository")));
        let faulty = Arc::new(StandIn { inner: files.clone(), hands: Faulty { fault, left: AtomicI64::new(at) } });
        (ResticRepository::through(files, faulty.clone(), Secret::Fixed(password())), faulty)
    }
}

fn backup(seed: u64) -> NewCandidate {
    let id = format!("P{seed:03}");
    candidate(
        "shop",
        &id,
        moment(i64::try_from(seed).unwrap()),
        &[("accounts.sql", format!("CREATE USER {id}").as_bytes()), ("dump.sql", &noise_bytes(seed, 2_000_000))],
    )
}

fn run(repository: &dyn Storing, new: NewCandidate) -> Result<u64> {
    let candidate = repository.store(new)?;
    let promise = manifest(&candidate);
    repository.publish(candidate, &promise)
}

fn ids(repository: &dyn Repository) -> Vec<String> {
    repository.list(None).unwrap().into_iter().map(|point| point.manifest.id.0).collect()
}

#[test]
fn a_death_at_any_write_leaves_a_point_whole_or_unlisted_and_the_next_run_works() {
    for fault in [Fault::Before, Fault::After] {
        let world = World::new();
        let mut listed = Vec::new();
        let mut at = 0;
        loop {
            let seed = u64::try_from(at).unwrap();
            let (repository, _) = world.faulty(fault, at);
            let outcome = run(&repository, backup(seed));
            let now = ids(&world.observer);
            if now.len() > listed.len() {
                // What is listed is whole, whatever its writer was told.
                let point = world.observer.list(None).unwrap().pop().unwrap().manifest.id;
                let file = world.observer.open("shop", &point, "dump.sql").unwrap();
                assert!(file.read_at(0, usize::MAX).unwrap() == noise_bytes(seed, 2_000_000));
                listed = now;
            } else {
                assert_eq!(now, listed);
                let error = outcome.as_ref().expect_err("what is not listed was not published").to_string();
                assert!(error.contains("the machine is gone"), "write {at}: {error}");
            }
            if outcome.is_ok() {
                break;
            }
            at += 1;
        }
        // Data, directory and index of the candidate; manifest, directory and index of the point; the snapshot.
        assert!(at >= 7, "only {at} writes were tried");
        assert_eq!(listed.len(), if fault == Fault::Before { 1 } else { 2 });
        back_up(&world.observer, backup(500));
        restic_ok(&world.place.path().join("repository"), &["check", "--read-data"]);
    }
}

#[test]
fn a_file_that_the_place_lost_is_noticed_before_anything_is_published() {
    let world = World::new();
    let mut at = 0;
    loop {
        let (repository, faulty) = world.faulty(Fault::Lost, at);
        let outcome = run(&repository, backup(u64::try_from(at).unwrap()));
        if faulty.hands.left.load(Ordering::SeqCst) >= 0 {
            outcome.unwrap();
            break;
        }
        if outcome.is_ok() {
            // The snapshot itself is the last write: losing it is losing the listing, not data.
            assert_eq!(faulty.hands.left.load(Ordering::SeqCst), -1, "write {at} was lost unnoticed");
        }
        assert_eq!(ids(&world.observer), [""; 0], "write {at}");
        at += 1;
    }
    assert!(at >= 7, "only {at} writes were tried");
}

#[test]
fn a_lost_pack_fails_every_backup_that_needs_it_until_the_index_is_repaired() {
    let world = World::new();
    assert!(world.faulty(Fault::Lost, 0).0.store(backup(3)).is_err());
    let error = world.observer.store(backup(3)).err().unwrap();
    assert!(error.to_string().contains("is missing"), "{error}");
    assert!(error.hint_text().unwrap().contains("restic rebuild-index"), "{error}");
    restic_ok(&world.place.path().join("repository"), &["rebuild-index"]);
    back_up(&world.observer, backup(3));
    restic_ok(&world.place.path().join("repository"), &["check", "--read-data"]);
}

#[test]
fn after_a_failed_write_the_source_is_not_read_to_its_end() {
    struct Counted(Box<dyn Read + Send>, Arc<AtomicU64>);
    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1.fetch_add(read as u64, Ordering::SeqCst);
            Ok(read)
        }
    }
    let world = World::new();
    let (repository, _) = world.faulty(Fault::Before, 0);
    let read = Arc::new(AtomicU64::new(0));
    let mut new = backup(0);
    let endless = Counted(Box::new(noise(1, u64::MAX)), read.clone());
    new.streams = in_order(vec![Stream { path: "dump.sql".to_owned(), reader: Box::new(endless) }]);
    let error = repository.store(new).err().unwrap().to_string();
    assert!(error.contains("the machine is gone"), "{error}");
    let read = read.load(Ordering::SeqCst);
    assert!(read < 200 << 20, "{read} bytes were read");
    assert_eq!(ids(&world.observer), [""; 0]);
}

/// At most one byte per call.
struct Trickle(Box<dyn Read + Send>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

#[test]
fn short_reads_reach_the_chunker_as_full_buffers() {
    let world = World::new();
    let gate = Gate::new(Arc::new(files(world.place.path().join("repository"))));
    let delivered = Arc::new(AtomicU64::new(0));
    let trickle = Box::new(Trickle(Box::new(noise(1, 10_000))));
    let mut reader = GatedReader::new(trickle, "dump.sql".to_owned(), gate, delivered.clone());
    let mut sizes = Vec::new();
    loop {
        sizes.push(reader.read(&mut [0; 4096]).unwrap());
        if sizes.last() == Some(&0) {
            break;
        }
    }
    assert_eq!(sizes, [4096, 4096, 1808, 0]);
    assert_eq!(delivered.load(Ordering::SeqCst), 10_000);

    // The same content arriving byte by byte is cut at the same places: nothing of it is stored twice.
    let whole = back_up(&world.observer, backup(7)).stored_bytes;
    let mut again = backup(8);
    let trickle = Trickle(Box::new(noise(7, 2_000_000)));
    again.streams = in_order(vec![Stream { path: "dump.sql".to_owned(), reader: Box::new(trickle) }]);
    let added = back_up(&world.observer, again).stored_bytes;
    assert!(whole > 2_000_000 && added < 10_000, "{whole} then {added}");
}

#[test]
fn a_cancelled_stream_stays_cancelled() {
    struct Stops;
    impl Read for Stops {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other(Error::cancelled()))
        }
    }
    let world = World::new();
    let mut new = backup(0);
    let late = Stream { path: "late.sql".to_owned(), reader: Box::new(Stops) };
    new.streams = Box::new(new.streams.chain(std::iter::once(Ok(late))));
    let error = world.observer.store(new).err().unwrap();
    assert_eq!(error.kind(), crate::error::Kind::Cancelled, "{error}");
}

#[test]
fn two_processes_can_back_up_at_the_same_time() {
    let world = World::new();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let place = world.place.path().join("repository");
            scope.spawn(move || {
                let repository = ResticRepository::new(place, password());
                repository.prepare().unwrap();
                for n in 0..5 {
                    back_up(&repository, backup(writer * 100 + n));
                }
            });
        }
    });
    assert_eq!(ids(&world.observer).len(), 10);
    restic_ok(&world.place.path().join("repository"), &["check", "--read-data"]);
}
