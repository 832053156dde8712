//! SEAM: where backups are kept, encrypted, in two halves.
//!
//! [`Repository`] is the reading half: what is there, and its bytes. Every kind of repository has it.
//! [`Storing`] is the other half, for kinds that we make backups in. A kind that only shows what somebody else's job stored
//! leaves it out: [`Repository::storing`] then answers [`Unsupported`]. Which functions are required and which are
//! optional is said at each trait; an optional one that is left out answers with its default or with [`Unsupported`].
//!
//! Contract of every implementation ([`contract::reading`] runs over all of them, [`contract::run`] over those that store):
//! - Nothing is listed before [`Storing::publish`] returned `Ok`; a process killed anywhere before leaves only
//!   leftovers that no listing shows.
//! - A stream whose reader ends with an error fails the whole `store`; nothing of it can be published.
//! - `store` returns only after everything it wrote has been read back from the repository and found whole.
//! - A wrong password, a flipped byte or a missing piece is an error that names it, never short or wrong data.
//! - A backup without a manifest of ours is [`Unattested`] and never among the published ones.
//! - Implementations block; callers put them on blocking threads. They know nothing of engines.

use std::any::Any;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::domain::change::evidence::NewData;
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::error::{Error, Result};
use crate::run_context::RunContext;

pub mod admission;
#[cfg(any(test, doc))]
pub mod contract;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
pub mod memory;
pub mod place;
pub mod restic;
#[cfg(test)]
mod tests;
mod unsupported;

pub use self::unsupported::Unsupported;

/// A stream to be stored under `path`; ends with `Ok(0)` only if everything before was complete.
pub struct Stream {
    /// File name inside the backup: one component, no slash.
    pub path: String,
    /// The bytes.
    pub reader: Box<dyn Read + Send>,
}

/// The streams of a backup in ascending order of their paths, each made when it is asked for. An error in their place fails
/// the whole `store`.
///
/// A repository may ask for the next stream before it has begun to read the one at hand, so an iterator must be able to
/// give a stream while the one before it is unread; for the ones before that it may wait.
pub type Streams = Box<dyn Iterator<Item = Result<Stream>> + Send>;

/// Streams that are all there, in the order that a repository wants.
pub fn in_order(mut streams: Vec<Stream>) -> Streams {
    streams.sort_by(|a, b| a.path.cmp(&b.path));
    Box::new(streams.into_iter().map(Ok))
}

/// A backup that is to be stored.
pub struct NewCandidate {
    /// Name of the source.
    pub source: String,
    /// Name of the recovery point it may become.
    pub id: RecoveryPointId,
    /// As-of time, for the repository's own listing.
    pub as_of: DateTime<Utc>,
    /// The files; all are stored or none.
    pub streams: Streams,
}

/// Stored and read back, but listed nowhere.
pub struct Candidate {
    /// Name of the source.
    pub source: String,
    /// Name of the recovery point it may become.
    pub id: RecoveryPointId,
    /// As-of time.
    pub as_of: DateTime<Utc>,
    /// Path and length in bytes of each file, as the repository reports them on read-back.
    pub files: Vec<(String, u64)>,
    /// Bytes that the repository grew by.
    pub added_bytes: u64,
    /// What of its files was not in the repository yet; none where the implementation does not tell new data from known.
    pub new_data: Option<NewData>,
    /// What the implementation needs to publish or discard it.
    pub handle: Box<dyn Any + Send>,
}

/// A published backup as the repository lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// What it promises.
    pub manifest: Manifest,
    /// Bytes that storing it added to the repository.
    pub stored_bytes: u64,
}

/// A backup that somebody else made. No manifest says what must come back: a drill of it can prove that it restores and is
/// plausible, never that it is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unattested {
    /// The source that it belongs to; none where the repository does not tell, and it is of whoever asks.
    pub source: Option<String>,
    /// Its name in the repository, as [`Repository::open`] takes it.
    pub id: RecoveryPointId,
    /// When it was made, as its maker noted it. The data is as old as that or older.
    pub made: DateTime<Utc>,
    /// Names of its files.
    pub files: Vec<String>,
    /// Bytes that it takes; none where that is not known.
    pub stored_bytes: Option<u64>,
}

/// What a repository has.
#[derive(Debug, Default)]
pub struct Listing {
    /// Every published backup that can be read, oldest as-of time first, by id where that is the same.
    pub points: Vec<Published>,
    /// Every backup that somebody else made, in the same order. Apart from `points`, so that nobody takes one for a promise.
    pub unattested: Vec<Unattested>,
    /// What is there and cannot be read, by name. It hides nothing else.
    pub damaged: Vec<Error>,
    /// Source and id of published backups that are there and cannot be read.
    pub unreadable: Vec<(String, RecoveryPointId)>,
    /// How many more are there of which nobody can tell which they are.
    pub unnamed: u64,
}

/// Room for backups, in bytes; none where that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// What the repository takes.
    pub occupied: Option<u64>,
    /// What is free where it is, for any account.
    pub available: Option<u64>,
    /// What this process could still write there: root may have more than others.
    pub usable: Option<u64>,
}

/// Random access to one stored file. Safe to share between threads.
pub trait StoredFile: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;
    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Up to `length` bytes from `offset`; shorter only at the end of the file. Decrypted and authenticated.
    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes>;
}

/// Where backups are kept: the reading half.
///
/// Required: `location`, `exists`, `open_existing`, `listing`, `open`. Optional: `identity`, `incomplete`, `space`, `afresh`,
/// `storing`. `list` follows from the others.
pub trait Repository: Send + Sync {
    /// Where it is, for people and logs: no secrets.
    fn location(&self) -> String;
    /// Whether there is one. A place that cannot be looked at is an error.
    fn exists(&self) -> Result<bool>;
    /// Open it to read; an error where there is none.
    fn open_existing(&self) -> Result<()>;
    /// Every backup (of one source), and what cannot be read; asked of the repository each time.
    fn listing(&self, source: Option<&str>) -> Result<Listing>;
    /// Open a stored file of a listed backup.
    fn open(&self, source: &str, point: &RecoveryPointId, path: &str) -> Result<Arc<dyn StoredFile>>;

    /// What tells this repository from any other, for its whole life; none where its kind has no such thing.
    fn identity(&self) -> Result<Option<String>> {
        Ok(None)
    }
    /// What is not there whole, found without reading what is stored; cheap enough to be asked every few minutes.
    fn incomplete(&self) -> Result<Option<Error>> {
        Ok(None)
    }
    /// How much room it takes and has; cheap enough to be asked every few minutes.
    fn space(&self) -> Result<Space> {
        Ok(Space::default())
    }
    /// The same repository with nothing remembered: what it says was read from the place. None where nothing is
    /// remembered anyway.
    fn afresh(&self) -> Option<Arc<dyn Repository>> {
        None
    }
    /// The half that stores; [`Unsupported::Storing`] where this kind is only read.
    fn storing(&self) -> Result<&dyn Storing> {
        Err(Unsupported::Storing.by(&self.location()))
    }

    /// The published backups of [`Self::listing`]; anything unreadable is an error.
    fn list(&self, source: Option<&str>) -> Result<Vec<Published>> {
        let mut listing = self.listing(source)?;
        if listing.damaged.is_empty() { Ok(listing.points) } else { Err(listing.damaged.swap_remove(0)) }
    }
}

/// Where backups are kept: the storing half.
///
/// Required: `prepare`, `store`, `publish`. Optional: `forget`, `free`, `check`.
pub trait Storing: Repository {
    /// Create it if there is none, and open it; clear errors for a wrong password or a place that cannot be used.
    fn prepare(&self) -> Result<()>;
    /// Store and read back all streams; see the contract above.
    fn store(&self, candidate: NewCandidate) -> Result<Candidate>;
    /// Add the manifest, last. From then on the backup is listed. Bytes added by the whole backup are returned.
    fn publish(&self, candidate: Candidate, manifest: &Manifest) -> Result<u64>;

    /// Take these backups of `source` out of the listing, all or none. What they alone needed is freed later.
    /// [`Unsupported::Forgetting`] where this kind cannot.
    fn forget(&self, _source: &str, _points: &[RecoveryPointId]) -> Result<()> {
        Err(Unsupported::Forgetting.by(&self.location()))
    }
    /// Give back the room that nothing needs any more, in two steps that lie at least [`FreeRequest::grace`] apart, so that
    /// nobody who reads or stores meanwhile loses what he relies on. [`Unsupported::Forgetting`] where this kind cannot.
    fn free(&self, _request: &FreeRequest<'_>) -> Result<Freed> {
        Err(Unsupported::Forgetting.by(&self.location()))
    }
    /// Everything that is wrong with what is stored. An error: it could not be looked at. [`Unsupported::Checking`] where this
    /// kind cannot tell.
    fn check(&self, _depth: CheckDepth<'_>, _context: &RunContext) -> Result<Checked> {
        Err(Unsupported::Checking.by(&self.location()))
    }
}

/// What [`Storing::free`] is asked for.
pub struct FreeRequest<'a> {
    /// Name of this host, for others who look who works on the repository.
    pub host: &'a str,
    /// The least time between the moment from which on something is known not to be needed and the moment it is removed.
    pub grace: Duration,
    /// Cancel and progress.
    pub context: &'a RunContext,
}

/// What [`Storing::free`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// Bytes that were given back.
    pub freed_bytes: u64,
    /// Bytes that nothing needs and that a later run gives back.
    pub marked_bytes: u64,
}

/// How much [`Storing::check`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth<'a> {
    /// Lists and directories: everything that is listed has all its pieces.
    Structure,
    /// The same, and every byte of some of `of` about equal parts.
    Parts {
        /// Which parts.
        parts: &'a [u32],
        /// How many there are.
        of: u32,
    },
    /// Every byte: every piece is what it was.
    Content,
}

impl CheckDepth<'_> {
    /// Whether what has this place in a random order is read.
    pub fn reads(&self, place: u32) -> bool {
        match self {
            Self::Structure => false,
            Self::Parts { parts, of } => parts.contains(&(place % of)),
            Self::Content => true,
        }
    }
}

/// What [`Storing::check`] found.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is wrong, by name.
    pub wrong: Vec<Error>,
    /// Where in a random order what is wrong with the data has its place: see [`CheckDepth::reads`].
    pub wrong_places: Vec<u32>,
    /// Source and id of the published backups that cannot be restored whole because of it.
    pub damaged_points: Vec<(String, RecoveryPointId)>,
    /// Bytes that were read and are what they were.
    pub read_bytes: u64,
    /// Bytes that are stored.
    pub stored_bytes: u64,
}

impl Checked {
    /// Whether something is wrong with this one of `of` parts.
    pub fn is_in_part(&self, part: u32, of: u32) -> bool {
        self.wrong_places.iter().any(|place| place % of == part)
    }
}
