//! The contract of [`Repository`], as tests that every implementation passes. It panics where the contract is broken.
//!
//! `make` makes a new empty place and returns what opens it; opening twice is what two processes do.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::cloned_ref_to_slice_refs, clippy::assigning_clones)]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Condvar, Mutex};

use chrono::{DateTime, TimeDelta, Utc};

use super::admission::MANIFEST_FILE;
use super::{Candidate, NewCandidate, Published, Repository, Stream, in_order};
use crate::domain::digest::Digest;
use crate::domain::manifest::{
    BackupKind, FileRole, Inventory, MANIFEST_FORMAT, Manifest, RecoveryPointId, ServerIdentity, StoredFileFacts,
};
use crate::domain::promise::Promise;
use crate::error::Error;

/// Opens one place.
pub type Opener = Box<dyn Fn() -> Box<dyn Repository>>;

/// Run the whole suite.
pub fn run(make: &dyn Fn() -> Opener) {
    for test in [
        nothing_is_listed_before_publish,
        a_failing_reader_stores_nothing_that_can_be_published,
        files_come_back_from_any_offset,
        empty_streams_and_many_streams_are_kept,
        streams_may_be_made_late_and_wait_for_earlier_ones,
        a_stream_that_cannot_be_made_fails_the_backup,
        points_are_listed_oldest_first_and_by_source,
        another_instance_sees_what_was_published,
        a_published_point_is_never_replaced,
        a_manifest_must_fit_what_was_stored,
        names_that_cannot_be_paths_are_refused,
        what_is_not_there_is_an_error_that_names_it,
    ] {
        test(&make());
    }
}

/// A moment, `hours` after a fixed one.
pub fn moment(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 123_456_000).unwrap() + TimeDelta::hours(hours)
}

/// A candidate with streams that hold `files`.
pub fn candidate(source: &str, id: &str, as_of: DateTime<Utc>, files: &[(&str, &[u8])]) -> NewCandidate {
    let streams = files
        .iter()
        .map(|(path, bytes)| Stream { path: (*path).to_owned(), reader: Box::new(Cursor::new(bytes.to_vec())) })
        .collect();
    NewCandidate { source: source.to_owned(), id: RecoveryPointId(id.to_owned()), as_of, streams: in_order(streams) }
}

/// The manifest that fits a candidate.
pub fn manifest(candidate: &Candidate) -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        id: candidate.id.clone(),
        source: candidate.source.clone(),
        host: None,
        engine: "mysql".to_owned(),
        kind: BackupKind::Full,
        chain_length: 0,
        parent: None,
        from: None,
        as_of: candidate.as_of,
        finished: candidate.as_of + TimeDelta::minutes(1),
        created_by: "contract".to_owned(),
        server: ServerIdentity {
            product: "MariaDB".to_owned(),
            version: "10.11.19-MariaDB".to_owned(),
            series: "10.11".to_owned(),
        },
        tool: "none".to_owned(),
        settings: BTreeMap::new(),
        position: None,
        files: candidate
            .files
            .iter()
            .map(|(path, bytes)| StoredFileFacts {
                path: path.clone(),
                role: FileRole::Stream,
                bytes: *bytes,
                digest: Digest::default(),
            })
            .collect(),
        promise: Promise::Exact(Inventory::default()),
        segments: Vec::new(),
        needs: None,
        warnings: Vec::new(),
        left_out: Vec::new(),
        cannot_return: Vec::new(),
        capture: crate::domain::capture::Capture::default(),
        evidence: crate::domain::change::evidence::Evidence::default(),
    }
}

/// Store and publish.
pub fn back_up(repository: &dyn Repository, new: NewCandidate) -> Published {
    let candidate = repository.store(new).unwrap();
    let manifest = manifest(&candidate);
    let stored_bytes = repository.publish(candidate, &manifest).unwrap();
    Published { manifest, stored_bytes }
}

/// `length` bytes that look random and are the same for the same `seed`.
pub fn noise(seed: u64, length: u64) -> impl Read + Send + 'static {
    Noise { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, word: [0; 8], used: 8 }.take(length)
}

/// [`noise`] in memory.
pub fn noise_bytes(seed: u64, length: u64) -> Vec<u8> {
    let mut out = Vec::new();
    noise(seed, length).read_to_end(&mut out).unwrap();
    out
}

struct Noise {
    state: u64,
    word: [u8; 8],
    used: usize,
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            if self.used == 8 {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                self.word = self.state.to_le_bytes();
                self.used = 0;
            }
            *byte = self.word[self.used];
            self.used += 1;
        }
        Ok(buffer.len())
    }
}

/// Fails after `good` bytes.
pub fn broken_after(good: u64) -> impl Read + Send + 'static {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the dump tool exited with status 2"))
        }
    }
    noise(1, good).chain(Broken)
}

fn prepared(open: &Opener) -> Box<dyn Repository> {
    let repository = open();
    repository.prepare().unwrap();
    repository.prepare().unwrap();
    repository
}

fn ids(repository: &dyn Repository, source: Option<&str>) -> Vec<String> {
    repository.list(source).unwrap().into_iter().map(|point| point.manifest.id.0).collect()
}

fn nothing_is_listed_before_publish(open: &Opener) {
    let repository = prepared(open);
    assert_eq!(repository.list(None).unwrap(), []);
    let candidate = repository.store(candidate("shop", "A", moment(0), &[("dump.sql", b"rows")])).unwrap();
    assert_eq!(candidate.files, [("dump.sql".to_owned(), 4)]);
    assert_eq!(repository.list(None).unwrap(), []);
    assert_eq!(open().list(None).unwrap(), []);
    assert!(repository.open("shop", &candidate.id, "dump.sql").is_err(), "a candidate must not open");
    let manifest = manifest(&candidate);
    let stored = candidate.added_bytes;
    let added = repository.publish(candidate, &manifest).unwrap();
    assert!(added >= stored);
    assert_eq!(repository.list(None).unwrap(), [Published { manifest, stored_bytes: added }]);
}

fn a_failing_reader_stores_nothing_that_can_be_published(open: &Opener) {
    let repository = prepared(open);
    for good in [0, 10, 3_000_000] {
        let mut new = candidate("shop", "A", moment(0), &[]);
        let stream = |path: &str, reader| Stream { path: path.to_owned(), reader };
        new.streams = in_order(vec![
            stream("accounts.sql", Box::new(Cursor::new(b"users"))),
            stream("zz.sql", Box::new(Cursor::new(b"more"))),
            stream("dump.sql", Box::new(broken_after(good))),
        ]);
        let error = repository.store(new).err().expect("a failed stream must fail the backup").to_string();
        assert!(error.contains("dump.sql") && error.contains("the dump tool exited with status 2"), "{error}");
        assert_eq!(repository.list(None).unwrap(), []);
    }
    let published = back_up(&*repository, candidate("shop", "A", moment(0), &[("dump.sql", b"rows")]));
    assert_eq!(repository.list(None).unwrap(), [published]);
}

fn files_come_back_from_any_offset(open: &Opener) {
    let repository = prepared(open);
    let content = noise_bytes(7, 5_000_003);
    let point = back_up(&*repository, candidate("shop", "A", moment(0), &[("dump.sql", &content)])).manifest.id;
    let file = repository.open("shop", &point, "dump.sql").unwrap();
    assert_eq!((file.len(), file.is_empty()), (5_000_003, false));
    let mut offset = 1_u64;
    for length in [0, 1, 2, 4095, 70_000, 1_000_000, 6_000_000] {
        for _ in 0..4 {
            offset = offset.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let start = offset % 5_000_003;
            let end = (start + length).min(5_000_003);
            let expected = &content[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
            assert!(file.read_at(start, usize::try_from(length).unwrap()).unwrap() == expected, "{start}+{length}");
        }
    }
    assert!(file.read_at(0, usize::MAX).unwrap() == content);
    assert!(file.read_at(5_000_003, 10).unwrap().is_empty());
    assert!(file.read_at(u64::MAX, 10).unwrap().is_empty());
    std::thread::scope(|scope| {
        for worker in 0..4_usize {
            let (file, content) = (&file, &content);
            scope.spawn(move || {
                for start in (worker * 1000..content.len()).step_by(400_000) {
                    let end = (start + 300_000).min(content.len());
                    assert!(file.read_at(start as u64, 300_000).unwrap() == content[start..end]);
                }
            });
        }
    });
}

fn empty_streams_and_many_streams_are_kept(open: &Opener) {
    let repository = prepared(open);
    let files: Vec<(String, Vec<u8>)> =
        (0..40_u64).map(|n| (format!("{} part {n}.sql", (n * 7) % 40), noise_bytes(n, n * 1000))).collect();
    let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let point = back_up(&*repository, candidate("shop", "A", moment(0), &borrowed)).manifest.id;
    for (path, bytes) in &files {
        let file = repository.open("shop", &point, path).unwrap();
        assert_eq!(file.len(), bytes.len() as u64, "{path}");
        assert!(file.read_at(0, usize::MAX).unwrap() == *bytes, "{path}");
    }
    assert!(repository.store(candidate("shop", "B", moment(1), &[])).is_err(), "a backup of nothing");
}

/// Every stream waits, when it is read, until all before it were read; the iterator waits for all but the last one given.
fn streams_may_be_made_late_and_wait_for_earlier_ones(open: &Opener) {
    struct Late {
        turn: usize,
        read: Arc<(Mutex<usize>, Condvar)>,
        bytes: Cursor<Vec<u8>>,
    }
    fn wait_for(read: &(Mutex<usize>, Condvar), turn: usize) {
        let (count, changed) = read;
        let guard = count.lock().unwrap();
        let patience = std::time::Duration::from_mins(3);
        let (_guard, waited) = changed.wait_timeout_while(guard, patience, |count| *count < turn).unwrap();
        assert!(!waited.timed_out(), "waited in vain for {turn} streams to be read");
    }
    impl Read for Late {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            wait_for(&self.read, self.turn);
            let read = self.bytes.read(buffer)?;
            if read == 0 {
                // The end of a stream may be read again, after the next stream was read.
                let mut count = self.read.0.lock().unwrap();
                *count = (*count).max(self.turn + 1);
                self.read.1.notify_all();
            }
            Ok(read)
        }
    }
    let repository = prepared(open);
    let read = Arc::new((Mutex::new(0), Condvar::new()));
    let streams = (0..9_usize).map(move |turn| {
        wait_for(&read, turn.saturating_sub(1));
        let late = Late { turn, read: read.clone(), bytes: Cursor::new(noise_bytes(turn as u64, 100_000)) };
        Ok(Stream { path: format!("part {turn}"), reader: Box::new(late) })
    });
    let new = NewCandidate { streams: Box::new(streams), ..candidate("shop", "A", moment(0), &[]) };
    assert_eq!(repository.store(new).unwrap().files.len(), 9);
}

fn a_stream_that_cannot_be_made_fails_the_backup(open: &Opener) {
    let repository = prepared(open);
    let good = |path: &str| Ok(Stream { path: path.to_owned(), reader: Box::new(Cursor::new(b"x")) });
    let bad = Err(Error::failed("the tool ended with status 1"));
    for (streams, reason) in [
        (vec![good("a"), bad, good("b")], "the tool ended with status 1"),
        (vec![good("b"), good("a")], "must be in order"),
        (vec![good("a"), good("a")], "two streams"),
        (vec![], "no streams"),
    ] {
        let streams = Box::new(streams.into_iter());
        let error = repository.store(NewCandidate { streams, ..candidate("shop", "A", moment(0), &[]) }).err().unwrap();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(repository.list(None).unwrap(), []);
    }
}

fn points_are_listed_oldest_first_and_by_source(open: &Opener) {
    let repository = prepared(open);
    for (source, id, hours) in [("shop", "C", 2), ("wiki", "B", 1), ("shop", "A", 3), ("shop", "D", 1)] {
        back_up(&*repository, candidate(source, id, moment(hours), &[("dump.sql", id.as_bytes())]));
    }
    assert_eq!(ids(&*repository, None), ["B", "D", "C", "A"]);
    assert_eq!(ids(&*repository, Some("shop")), ["D", "C", "A"]);
    assert_eq!(ids(&*repository, Some("wiki")), ["B"]);
    assert_eq!(ids(&*repository, Some("sho")), [""; 0]);
}

fn another_instance_sees_what_was_published(open: &Opener) {
    let (one, two) = (prepared(open), prepared(open));
    let first = back_up(&*one, candidate("shop", "A", moment(0), &[("dump.sql", b"first")]));
    assert_eq!(two.list(None).unwrap(), [first.clone()]);
    let second = back_up(&*two, candidate("shop", "B", moment(1), &[("dump.sql", b"second")]));
    assert_eq!(one.list(None).unwrap(), [first, second]);
    for repository in [&one, &two, &open()] {
        for (id, content) in [("A", "first"), ("B", "second")] {
            let file = repository.open("shop", &RecoveryPointId(id.to_owned()), "dump.sql").unwrap();
            assert_eq!(file.read_at(0, 100).unwrap(), content);
        }
    }
}

fn a_published_point_is_never_replaced(open: &Opener) {
    let repository = prepared(open);
    let rival = repository.store(candidate("shop", "A", moment(0), &[("dump.sql", b"rival")])).unwrap();
    let published = back_up(&*repository, candidate("shop", "A", moment(0), &[("dump.sql", b"first")]));
    let error = repository.store(candidate("shop", "A", moment(5), &[("dump.sql", b"again")])).err().unwrap();
    assert!(error.to_string().contains("published already"), "{error}");
    let promise = manifest(&rival);
    assert!(repository.publish(rival, &promise).is_err());
    assert_eq!(repository.list(None).unwrap(), [published.clone()]);
    // The same name under another source is another point.
    back_up(&*repository, candidate("wiki", "A", moment(0), &[("dump.sql", b"other")]));
    assert_eq!(repository.list(Some("shop")).unwrap(), [published]);
}

fn a_manifest_must_fit_what_was_stored(open: &Opener) {
    let repository = prepared(open);
    let wrong: [fn(&mut Manifest); 6] = [
        |manifest| manifest.source = "wiki".to_owned(),
        |manifest| manifest.id = RecoveryPointId("B".to_owned()),
        |manifest| manifest.as_of = moment(9),
        |manifest| manifest.files[0].bytes += 1,
        |manifest| manifest.files[0].path = "other.sql".to_owned(),
        |manifest| manifest.files.clear(),
    ];
    for spoil in wrong {
        let candidate = repository.store(candidate("shop", "A", moment(0), &[("dump.sql", b"rows")])).unwrap();
        let mut promise = manifest(&candidate);
        spoil(&mut promise);
        assert!(repository.publish(candidate, &promise).is_err());
        assert_eq!(repository.list(None).unwrap(), []);
    }
}

fn names_that_cannot_be_paths_are_refused(open: &Opener) {
    let repository = prepared(open);
    for path in ["", ".", "..", "a/b", "/etc/passwd", "a\0b", MANIFEST_FILE] {
        assert!(repository.store(candidate("shop", "A", moment(0), &[(path, b"x")])).is_err(), "{path:?}");
    }
    assert!(repository.store(candidate("sh/op", "A", moment(0), &[("dump.sql", b"x")])).is_err());
    assert!(repository.store(candidate("shop", "A,B", moment(0), &[("dump.sql", b"x")])).is_err());
    assert!(repository.store(candidate("shop", "A", moment(0), &[("d", b"x"), ("d", b"y")])).is_err());
    let odd = "größe \"dump\" 'x' `y` $z;\u{1F600}.sql";
    let point = back_up(&*repository, candidate("a=b ü", "x=1", moment(0), &[(odd, b"x")])).manifest.id;
    assert_eq!(repository.open("a=b ü", &point, odd).unwrap().read_at(0, 9).unwrap(), "x");
    assert_eq!(ids(&*repository, Some("a=b ü")), ["x=1"]);
}

fn what_is_not_there_is_an_error_that_names_it(open: &Opener) {
    let repository = prepared(open);
    let point = back_up(&*repository, candidate("shop", "A", moment(0), &[("dump.sql", b"rows")])).manifest.id;
    let failure = |source: &str, point: &RecoveryPointId, path: &str| {
        repository.open(source, point, path).err().expect("must not open").to_string()
    };
    assert!(failure("wiki", &point, "dump.sql").contains("wiki"));
    assert!(failure("shop", &RecoveryPointId("B".to_owned()), "dump.sql").contains('B'));
    assert!(failure("shop", &point, "other.sql").contains("other.sql"));
}
