//! How much room a repository takes and has.
//!
//! A file of a repository never changes and appears by a rename, so a directory with the same stamp as before has the same
//! files: only directories that changed are read again. A change within the grain of a stamp is noticed with the next one in
//! the same directory.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::backend::DATA;
use super::failure::io_failure;
use crate::error::Result;
use crate::repository::Space;
use crate::repository::place::{Item, ItemKind, Place, Room, Stamp};

/// Directories of the layout that hold files. `data` holds directories, one level deep.
const DIRECTORIES: [&str; 5] = ["keys", "snapshots", "index", "locks", DATA];

/// What was measured before, by path.
#[derive(Debug, Default)]
pub(super) struct Measured(Mutex<HashMap<String, Measure>>);

#[derive(Debug, Clone)]
struct Measure {
    stamp: Option<Stamp>,
    bytes: u64,
    below: Vec<String>,
}

impl Measured {
    /// Bytes of all files of the repository in `place`, and free bytes where it is.
    pub(super) fn space(&self, place: &dyn Place) -> Result<Space> {
        let failed = |error| io_failure(format!("cannot measure {}", place.location()), error);
        let room = place.room().map_err(failed)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashMap::new();
        for name in DIRECTORIES {
            let Some(measure) = read(place, name, known.remove(name)).map_err(failed)? else { continue };
            for below in measure.below.iter().filter(|_| name == DATA) {
                let path = format!("{name}/{below}");
                if let Some(measure) = read(place, &path, known.remove(&path)).map_err(failed)? {
                    seen.insert(path, measure);
                }
            }
            seen.insert(name.to_owned(), measure);
        }
        let occupied = seen.values().map(|measure| measure.bytes).sum();
        *known = seen;
        let Room { available, usable } = room;
        Ok(Space { occupied: Some(occupied), available, usable })
    }
}

/// None for a directory that is not there (any more). A place without stamps is asked for everything below at once.
fn read(place: &dyn Place, directory: &str, known: Option<Measure>) -> io::Result<Option<Measure>> {
    let stamp = match place.stamp(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if let Some(known) = known.filter(|known| stamp.is_some() && known.stamp == stamp) {
        return Ok(Some(known));
    }
    let items = if stamp.is_some() { place.list(directory)? } else { place.list_deep(directory)? };
    let is_directory = |item: &&Item| item.kind == ItemKind::Directory;
    let below = items.iter().filter(is_directory).map(|item| item.name.clone()).collect();
    let bytes = items.iter().filter(|item| !is_directory(item)).map(|item| item.length).sum();
    Ok(Some(Measure { stamp, bytes, below }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::repository::place::local::LocalPlace;
    use crate::repository::place::memory::MemoryPlace;

    #[test]
    fn what_is_added_and_removed_between_two_looks_is_counted() {
        let root = tempfile::tempdir().unwrap();
        let (measured, place) = (Measured::default(), LocalPlace::new(root.path().to_owned()));
        let occupied = || measured.space(&place).unwrap().occupied.unwrap();
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
        assert!(measured.space(&LocalPlace::new(root.path().join("gone"))).is_err());
        assert!(measured.space(&place).unwrap().available.unwrap() > 0);
    }

    #[test]
    fn a_place_without_stamps_is_measured_as_well() {
        let (measured, place) = (Measured::default(), MemoryPlace::default());
        for (path, length) in [("config", 9), ("keys/a", 10), ("data/ab/1", 1000), ("data/cd/2", 500)] {
            place.write(path, &[Bytes::from(vec![0; length])]).unwrap();
        }
        assert_eq!(measured.space(&place).unwrap(), Space { occupied: Some(1510), ..Space::default() });
        place.remove("data/ab/1").unwrap();
        assert_eq!(measured.space(&place).unwrap().occupied, Some(510));
    }
}
