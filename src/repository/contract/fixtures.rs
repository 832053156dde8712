//! What the suites work with: backups, manifests that fit them, bytes that look random.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::digest::Digest;
use crate::domain::manifest::{
    BackupKind, FileRole, Inventory, MANIFEST_FORMAT, Manifest, RecoveryPointId, ServerIdentity, StoredFileFacts,
};
use crate::domain::promise::Promise;
use crate::repository::{Candidate, NewCandidate, Published, Repository, Storing, Stream, in_order};

/// Opens one place; opening twice is what two processes do.
pub type Opener = Box<dyn Fn() -> Box<dyn Storing>>;
/// The same to read.
pub type Reader = Box<dyn Fn() -> Box<dyn Repository>>;

/// A backup that a place has when it is read.
pub struct Kept {
    /// Name of the source.
    pub source: String,
    /// Its name.
    pub id: String,
    /// When it was made: [`moment`] of so many hours.
    pub hours: i64,
    /// Its files and what is in them.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Kept {
    /// A backup with these files.
    pub fn new(source: &str, id: &str, hours: i64, files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        Self { source: source.to_owned(), id: id.to_owned(), hours, files }
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
        joins: None,
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
        canaries: BTreeMap::new(),
        capture: crate::domain::capture::Capture::default(),
        evidence: crate::domain::change::evidence::Evidence::default(),
    }
}

/// Store and publish.
pub fn back_up(repository: &dyn Storing, new: NewCandidate) -> Published {
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

/// Ids of the published backups, then of those that somebody else made, each as they are listed.
pub fn ids(repository: &dyn Repository, source: Option<&str>) -> Vec<String> {
    let listing = repository.listing(source).unwrap();
    assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    let published = listing.points.into_iter().map(|point| point.manifest.id.0);
    published.chain(listing.unattested.into_iter().map(|backup| backup.id.0)).collect()
}
