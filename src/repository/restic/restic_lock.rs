//! The lock files of the restic program: while room is freed nobody who honours them works on the repository, and nobody who has
//! set one is disturbed.
//!
//! A lock is a small encrypted file in `locks/`. restic sets one for all it does and renews it every five minutes; one that is
//! older than half an hour was left by a process that is gone. Our backups and drills need none: they stand beside everything
//! that honours the two steps of freeing.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use rustic_core::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backend::PlaceBackend;
use super::cipher::{Cipher, hash};
use super::failure::io_failure;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::repository::place::ItemKind;

const LOCKS: &str = "locks";
/// Who has a lock of ours.
const OURS: &str = "backup-sla";
/// After this time without being renewed a lock holds nobody up.
const STALE: Duration = Duration::from_mins(30);
/// A lock is a few hundred bytes.
const LONGEST: u64 = 64 << 10;

/// What a lock file says.
#[derive(Debug, Serialize, Deserialize)]
struct Lock {
    time: Timestamp,
    exclusive: bool,
    hostname: String,
    username: String,
    pid: u32,
}

/// An exclusive lock, for as long as it lives.
pub(super) struct ExclusiveLock<'a> {
    files: &'a PlaceBackend,
    name: String,
}

impl Drop for ExclusiveLock<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.files.place().remove(&self.name) {
            // It is stale in half an hour.
            tracing::warn!("cannot remove lock {}: {error}", self.files.place().name_of(&self.name));
        }
    }
}

impl<'a> ExclusiveLock<'a> {
    /// Lock the repository for `host`. Errors, of [`Kind::Busy`]: somebody else has locked it.
    pub(super) fn take(files: &'a PlaceBackend, cipher: &Cipher, host: &str) -> Result<Self> {
        remove_own(files, cipher, host);
        refuse_others(files, cipher, "")?;
        let lock = Lock {
            time: Timestamp::now(),
            exclusive: true,
            hostname: host.to_owned(),
            username: OURS.to_owned(),
            pid: std::process::id(),
        };
        let content = cipher.encrypt(&serde_json::to_vec(&lock).or_failed("cannot write a lock")?)?;
        let name = format!("{LOCKS}/{}", hash(&content).to_hex().as_str());
        let written = files.place().write(&name, &[Bytes::from(content)]);
        written.map_err(|e| io_failure(format!("cannot lock repository {}", files.place().location()), e))?;
        let taken = Self { files, name };
        // Somebody may have come in between: then both give way.
        refuse_others(files, cipher, &taken.name).map(|()| taken)
    }
}

/// Remove what killed processes of ours left on this host. What cannot be removed is told by who finds it in the way.
fn remove_own(files: &PlaceBackend, cipher: &Cipher, host: &str) {
    for item in files.place().list(LOCKS).unwrap_or_default() {
        let name = format!("{LOCKS}/{}", item.name);
        let content = files.place().read(&name, 0, usize::try_from(item.length.min(LONGEST)).unwrap_or(0));
        let Some(lock) = content.ok().and_then(|content| read(cipher, &content)) else { continue };
        let is_ours = lock.username == OURS && lock.hostname == host;
        if is_ours && !std::path::Path::new(&format!("/proc/{}", lock.pid)).exists() {
            let _ = files.place().remove(&name);
        }
    }
}

/// An error if anybody but the owner of `own` has locked the repository.
fn refuse_others(files: &PlaceBackend, cipher: &Cipher, own: &str) -> Result<()> {
    let failed = |e| io_failure(format!("cannot look for locks of repository {}", files.place().location()), e);
    for item in files.place().list(LOCKS).map_err(failed)? {
        let name = format!("{LOCKS}/{}", item.name);
        if name == own || item.kind != ItemKind::File {
            continue;
        }
        let content = match files.place().read(&name, 0, usize::try_from(item.length.min(LONGEST)).unwrap_or(0)) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        let by = match read(cipher, &content) {
            Some(lock) if is_stale(&lock) => continue,
            Some(lock) => format!("{} (process {}) on {}", lock.username, lock.pid, lock.hostname),
            None => "a program whose lock cannot be read".to_owned(),
        };
        let what = format!("repository {} is locked by {by}", files.place().location());
        return Err(Error::new(Kind::Busy, what).hint(
            "wait for it to end; if it is gone, run `restic unlock` (`--remove-all` for a lock that cannot be read)",
        ));
    }
    Ok(())
}

fn is_stale(lock: &Lock) -> bool {
    Duration::try_from(Timestamp::now().duration_since(lock.time)).is_ok_and(|age| age > STALE)
}

/// restic packs what it writes into a repository of version 2.
fn read(cipher: &Cipher, content: &[u8]) -> Option<Lock> {
    const PACKED: u8 = 2;
    let plain = cipher.decrypt(content)?;
    match plain.split_first()? {
        (&PACKED, packed) => {
            let mut bounded = std::io::Read::take(zstd::Decoder::new(packed).ok()?, LONGEST);
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut bounded, &mut text).ok()?;
            serde_json::from_slice(&text).ok()
        }
        _ => serde_json::from_slice(&plain).ok(),
    }
}
