//! How much room a repository in a local directory takes and has.
//!
//! A file of a repository never changes and appears by a rename, so a directory whose own time of change is the same as
//! before has the same files: only directories that changed are read again. A change within the grain of that time after
//! the last look is noticed with the next one in the same directory.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::failure::io_failure;
use super::handles::Directory;
use crate::error::Result;
use crate::repository::Space;

/// Directories of the layout that hold files. `data` holds directories, one level deep.
const PLACES: [&str; 5] = ["keys", "snapshots", "index", "locks", DATA];
const DATA: &str = "data";

/// What was measured before, by path below the root.
#[derive(Debug, Default)]
pub(super) struct Measured(Mutex<HashMap<String, Measure>>);

#[derive(Debug, Clone)]
struct Measure {
    changed: Changed,
    bytes: u64,
    below: Vec<String>,
}

/// When a directory was changed, in seconds and nanoseconds.
pub(super) type Changed = (i64, u64);

impl Measured {
    /// Bytes of all files of the repository in `root`, and free bytes where it is.
    pub(super) fn space(&self, root: &Path) -> Result<Space> {
        let failed = |error| io_failure(format!("measure {}", root.display()), error);
        let root = Directory::root(root).map_err(failed)?;
        let free = rustix::fs::fstatvfs(&root).map_err(|error| failed(error.into()))?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashMap::new();
        for name in PLACES {
            let Some((directory, measure)) = read(&root, name, known.remove(name)).map_err(failed)? else { continue };
            for below in measure.below.iter().filter(|_| name == DATA) {
                let path = format!("{name}/{below}");
                if let Some((_, measure)) = read(&directory, below, known.remove(&path)).map_err(failed)? {
                    seen.insert(path, measure);
                }
            }
            seen.insert(name.to_owned(), measure);
        }
        let occupied = seen.values().map(|measure| measure.bytes).sum();
        *known = seen;
        let left = if rustix::process::geteuid().is_root() { free.f_bfree } else { free.f_bavail };
        // File systems that do not count say 0 of everything.
        let usable = left.checked_mul(free.f_frsize).filter(|_| free.f_blocks > 0);
        Ok(Space { occupied: Some(occupied), available: free.f_bavail.checked_mul(free.f_frsize), usable })
    }
}

/// None for a directory that is not there (any more).
fn read(above: &Directory, name: &str, known: Option<Measure>) -> io::Result<Option<(Directory, Measure)>> {
    let directory = match above.enter(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let changed = changed(&directory)?;
    if let Some(known) = known.filter(|known| known.changed == changed) {
        return Ok(Some((directory, known)));
    }
    let mut measure = Measure { changed, bytes: 0, below: Vec::new() };
    for item in directory.items()? {
        match item.name.to_str() {
            Ok(name) if item.is_directory() => measure.below.push(name.to_owned()),
            _ => measure.bytes += item.length(),
        }
    }
    Ok(Some((directory, measure)))
}

#[allow(clippy::useless_conversion, clippy::unnecessary_cast, clippy::cast_sign_loss)] // the types differ between architectures
pub(super) fn changed(directory: &Directory) -> io::Result<Changed> {
    let facts = directory.facts()?;
    Ok((facts.st_mtime as i64, facts.st_mtime_nsec as u64))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

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
