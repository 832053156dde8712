//! How much room a repository in a local directory takes and has.
//!
//! A file of a repository never changes and appears by a rename, so a directory whose own time of change is the same as
//! before has the same files: only directories that changed are read again. A change within the grain of that time after
//! the last look is noticed with the next one in the same directory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::failure::io_failure;
use crate::error::Result;
use crate::repository::Space;

/// Directories of the layout that hold files. `data` holds directories, one level deep.
const PLACES: [&str; 5] = ["keys", "snapshots", "index", "locks", "data"];

/// What was measured before, by directory.
#[derive(Debug, Default)]
pub(super) struct Measured(Mutex<HashMap<PathBuf, Directory>>);

#[derive(Debug, Clone)]
struct Directory {
    changed: SystemTime,
    bytes: u64,
    below: Vec<PathBuf>,
}

impl Measured {
    /// Bytes of all files of the repository in `root`, and free bytes where it is.
    pub(super) fn space(&self, root: &Path) -> Result<Space> {
        let failed = |error| io_failure(format!("measure {}", root.display()), error);
        let free = rustix::fs::statvfs(root).map_err(|error| failed(error.into()))?;
        let mut open: Vec<PathBuf> = PLACES.iter().map(|name| root.join(name)).collect();
        let mut seen = HashMap::new();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(path) = open.pop() {
            if let Some(directory) = read(&path, known.remove(&path)).map_err(failed)? {
                open.extend(directory.below.iter().cloned());
                seen.insert(path, directory);
            }
        }
        let occupied = seen.values().map(|directory| directory.bytes).sum();
        *known = seen;
        Ok(Space { occupied: Some(occupied), available: free.f_bavail.checked_mul(free.f_frsize) })
    }
}

/// None for a directory that is not there (any more).
fn read(path: &Path, known: Option<Directory>) -> io::Result<Option<Directory>> {
    let changed = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?.modified()?,
    };
    if let Some(known) = known.filter(|known| known.changed == changed) {
        return Ok(Some(known));
    }
    let mut directory = Directory { changed, bytes: 0, below: Vec::new() };
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(facts) if facts.is_dir() => directory.below.push(entry.path()),
            Ok(facts) => directory.bytes += facts.len(),
            // Removed in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_and_removed_between_two_looks_is_counted() {
        let root = tempfile::tempdir().unwrap();
        let measured = Measured::default();
        let occupied = || measured.space(root.path()).unwrap().occupied.unwrap();
        assert_eq!(occupied(), 0);
        let pack = root.path().join("data/ab");
        fs::create_dir_all(&pack).unwrap();
        fs::write(pack.join("1"), [0; 1000]).unwrap();
        fs::write(root.path().join("config"), [0; 10]).unwrap();
        assert_eq!(occupied(), 1000);
        // Another time of the directory than before, whatever the grain of the file system's clock.
        let later = |path: &Path, seconds| {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::open(path).unwrap().set_modified(time).unwrap();
        };
        fs::write(pack.join("2"), [0; 500]).unwrap();
        later(&pack, 1);
        assert_eq!(occupied(), 1500);
        fs::remove_file(pack.join("1")).unwrap();
        later(&pack, 2);
        assert_eq!(occupied(), 500);
        assert_eq!(occupied(), 500, "nothing changed");
        fs::remove_dir_all(&pack).unwrap();
        later(&root.path().join("data"), 3);
        assert_eq!(occupied(), 0);
        assert!(measured.space(&root.path().join("gone")).is_err());
        assert!(measured.space(root.path()).unwrap().available.unwrap() > 0);
    }
}
