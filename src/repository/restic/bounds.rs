//! How much a repository's own files may ask for. Key files are plain text, and every file's length is what the file system
//! says: whoever can write to the directory chooses both, without any password. So limits come before the work, and what
//! is over one is refused by name. The limits are far above what restic, rustic and we write.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustic_core::repofile::{IndexFile, MasterKey};
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};
use serde::Deserialize;

use super::cipher::Cipher;
use super::failure::passed_on;
use crate::error::{Error, Result, Side};

/// Each try of a password costs up to a second per key file.
const MOST_KEYS: usize = 64;
/// Memory that one key may ask for. restic writes up to 60 MiB, rustic 128 MiB.
pub(super) const MOST_KEY_MEMORY: u64 = 256 << 20;
/// Sum of N × r × p over all key files that are tried: about half a minute. One of rustic's is 2²⁰, restic's are about that.
pub(super) const MOST_KEY_WORK: u64 = 1 << 26;
/// What one index or snapshot may unpack to. restic fills an index up to 8 MiB.
const MOST_UNPACKED: u64 = 256 << 20;
/// A manifest names every table with its digest: a million tables fit.
const MOST_MANIFEST: u64 = 512 << 20;

/// Bytes that a file of the repository may have to be read as a whole.
pub fn longest(kind: FileType) -> u64 {
    match kind {
        FileType::Config | FileType::Key => 64 << 10,
        FileType::Snapshot => 16 << 20,
        FileType::Index => 64 << 20,
        FileType::Pack => 512 << 20,
    }
}

/// The error for a file that is longer.
pub fn too_long(name: &str, length: u64, longest: u64) -> Error {
    over(format!("cannot read {name}: it has {length} bytes, at most {longest} are read"))
}

fn over(what: String) -> Error {
    Error::failed(what).on(Side::Repository).hint(
        "no backup program writes such a file: move it away, see who can write to the repository, and run `restic check`",
    )
}

/// What is read of a manifest, which may be shorter than what its directory promises, or longer.
#[derive(Debug, Default)]
pub struct Manifest(pub Vec<u8>);

impl io::Write for Manifest {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if (self.0.len() + part.len()) as u64 > MOST_MANIFEST {
            return Err(io::Error::other(over(format!(
                "cannot read manifest: it has more than {MOST_MANIFEST} bytes"
            ))));
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a key file asks for before its password can be tried.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    kdf: String,
    #[serde(rename = "N")]
    pub(super) n: u64,
    pub(super) r: u64,
    p: u64,
}

impl Asked {
    /// N × r × p, if that is something that a key can be derived with.
    pub(super) fn work(&self) -> Result<u64, String> {
        if self.kdf != "scrypt" {
            return Err(format!("its key derivation is {:?}, known is \"scrypt\"", self.kdf));
        }
        if self.n < 2 || !self.n.is_power_of_two() || self.r == 0 || self.p == 0 {
            return Err(format!("N = {}, r = {} and p = {} are no parameters of scrypt", self.n, self.r, self.p));
        }
        let memory = self.n.checked_mul(self.r).and_then(|work| work.checked_mul(128));
        if memory.is_none_or(|memory| memory > MOST_KEY_MEMORY) {
            return Err(format!("N = {} and r = {} ask for more than {MOST_KEY_MEMORY} bytes", self.n, self.r));
        }
        let work = self.n.checked_mul(self.r).and_then(|work| work.checked_mul(self.p));
        work.filter(|work| *work <= MOST_KEY_WORK)
            .ok_or_else(|| format!("N = {}, r = {} and p = {} ask for too much time", self.n, self.r, self.p))
    }
}

/// What a limit is applied to.
#[derive(Debug)]
enum Limit {
    /// Key files that a password is tried on; what they asked for so far.
    Keys(AtomicU64),
    /// Files that are unpacked with the master key; where wanted, the packs that the index files among them promise.
    Unpacking(Cipher, Option<Mutex<PackLengths>>),
}

/// Length of each pack.
pub type PackLengths = BTreeMap<Id, u32>;

/// A backend whose files ask for no more than is allowed.
#[derive(Debug)]
pub struct Bounded {
    inner: Arc<dyn WriteBackend>,
    limit: Limit,
}

impl Bounded {
    /// To try a password on key files.
    pub fn keys(inner: Arc<dyn WriteBackend>) -> Arc<Self> {
        Arc::new(Self { inner, limit: Limit::Keys(AtomicU64::new(0)) })
    }

    /// To read what the master key opens.
    pub fn unpacking(inner: Arc<dyn WriteBackend>, key: &MasterKey) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { inner, limit: Limit::Unpacking(Cipher::new(key, false)?, None) }))
    }

    /// The same, and remember which packs the index files promise: [`Self::promised_packs`].
    pub fn indexing(inner: Arc<dyn WriteBackend>, key: &MasterKey) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { inner, limit: Limit::Unpacking(Cipher::new(key, false)?, Some(Mutex::default())) }))
    }

    /// The packs that the index files promise that were read through this.
    pub fn promised_packs(&self) -> PackLengths {
        match &self.limit {
            Limit::Unpacking(_, Some(packs)) => {
                std::mem::take(&mut *packs.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Limit::Unpacking(_, None) | Limit::Keys(_) => PackLengths::new(),
        }
    }

    fn check(&self, kind: FileType, id: &Id, content: &[u8]) -> Result<()> {
        match &self.limit {
            Limit::Keys(spent) if kind == FileType::Key => self.check_key(id, content, spent),
            Limit::Unpacking(cipher, packs)
                if matches!(kind, FileType::Index | FileType::Snapshot | FileType::Config) =>
            {
                // What does not decrypt is told by the one who wants to read it.
                let Some(plain) = cipher.decrypt(content) else { return Ok(()) };
                check_unpacked(&plain).map_err(|why| over(format!("{}: {why}", named(kind, id))))?;
                if let Some(packs) = packs.as_ref().filter(|_| kind == FileType::Index) {
                    let promised = lengths(&plain);
                    packs.lock().unwrap_or_else(PoisonError::into_inner).extend(promised);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_key(&self, id: &Id, content: &[u8], spent: &AtomicU64) -> Result<()> {
        let refused = |why: String| over(format!("{} of {}: {why}", named(FileType::Key, id), self.inner.location()));
        let asked: Asked = serde_json::from_slice(content).map_err(|error| refused(error.to_string()))?;
        let work = asked.work().map_err(refused)?;
        if spent.fetch_add(work, Ordering::SeqCst).saturating_add(work) > MOST_KEY_WORK {
            return Err(refused("it and the key files before it ask for too much time".to_owned()));
        }
        Ok(())
    }
}

fn named(kind: FileType, id: &Id) -> String {
    format!("cannot use file {} in {}", id.to_hex().as_str(), kind.dirname())
}

/// The packs that an index file promises. One that is no index is told by the one who wants to read it.
pub(super) fn lengths(plain: &[u8]) -> Vec<(Id, u32)> {
    let index = match plain.split_first() {
        Some((2, packed)) => zstd::Decoder::new(packed)
            .ok()
            .and_then(|reader| serde_json::from_reader::<_, IndexFile>(io::BufReader::new(reader)).ok()),
        _ => serde_json::from_slice::<IndexFile>(plain).ok(),
    };
    index.into_iter().flat_map(|index| index.packs).map(|pack| (*pack.id, pack.pack_size())).collect()
}

/// Errors: what is packed in there is larger than allowed.
pub(super) fn check_unpacked(plain: &[u8]) -> Result<(), String> {
    // 2 in front of it says that it is compressed.
    let Some((2, packed)) = plain.split_first() else { return Ok(()) };
    let Ok(reader) = zstd::Decoder::new(packed) else { return Ok(()) };
    // One that breaks off is told by the one who wants to read it.
    let unpacked = io::copy(&mut reader.take(MOST_UNPACKED + 1), &mut io::sink()).unwrap_or(0);
    if unpacked > MOST_UNPACKED {
        return Err(format!("it unpacks to more than {MOST_UNPACKED} bytes"));
    }
    Ok(())
}

impl ReadBackend for Bounded {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let list = self.inner.list_with_size(kind)?;
        if kind == FileType::Key && list.len() > MOST_KEYS {
            let what = format!(
                "cannot use the {} key files of {}: at most {MOST_KEYS} are tried",
                list.len(),
                self.location()
            );
            return Err(passed_on(over(what)));
        }
        Ok(list)
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        let content = self.inner.read_full(kind, id)?;
        self.check(kind, id, &content).map_err(passed_on)?;
        Ok(content)
    }

    fn read_partial(&self, kind: FileType, id: &Id, cache: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.inner.read_partial(kind, id, cache, offset, length)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.inner.warmup_path(kind, id)
    }
}

impl WriteBackend for Bounded {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(&self, kind: FileType, id: &Id, cache: bool, content: BytesList) -> RusticResult<()> {
        self.inner.write_bytes(kind, id, cache, content)
    }

    fn remove(&self, kind: FileType, id: &Id, cache: bool) -> RusticResult<()> {
        self.inner.remove(kind, id, cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(n: u64, r: u64, p: u64) -> Result<u64, String> {
        Asked { kdf: "scrypt".to_owned(), n, r, p }.work()
    }

    #[test]
    fn parameters_that_backup_programs_write_are_taken_and_others_refused() {
        for (n, r, p) in [(1 << 15, 8, 1), (1 << 15, 8, 16), (1 << 17, 8, 1), (1 << 18, 8, 2), (1 << 16, 8, 32)] {
            assert_eq!(asked(n, r, p), Ok(n * r * p));
        }
        for (n, r, p) in [
            (0, 8, 1),
            (1, 8, 1),
            (1000, 8, 1),
            (1 << 30, 8, 1),
            (1 << 15, 8, 1000),
            (1 << 15, 0, 1),
            (1 << 15, 8, 0),
            (1 << 15, 1 << 29, 1),
            (2, u64::MAX, 1),
            (1 << 15, 8, u64::MAX),
            (1 << 63, u64::MAX, u64::MAX),
        ] {
            assert!(asked(n, r, p).is_err(), "{n} {r} {p}");
        }
        assert!(Asked { kdf: "argon2".to_owned(), n: 2, r: 1, p: 1 }.work().is_err());
    }

    #[test]
    fn what_unpacks_to_more_than_allowed_is_refused_without_unpacking_it_into_memory() {
        let packed = |length: u64| {
            let mut packed = vec![2];
            zstd::stream::copy_encode(io::repeat(b' ').take(length), &mut packed, 1).unwrap();
            packed
        };
        assert!(packed(MOST_UNPACKED + 1).len() < 1 << 20);
        assert!(check_unpacked(&packed(MOST_UNPACKED + 1)).is_err());
        assert!(check_unpacked(&packed(1 << 20)).is_ok());
        // Several frames behind each other are unpacked one after the other.
        let half = &packed(MOST_UNPACKED / 2 + 1)[1..];
        assert!(check_unpacked(&[&[2], half, half].concat()).is_err());
        assert!(check_unpacked(b"{}").is_ok());
    }
}
