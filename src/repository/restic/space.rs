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

/// Directories of the layout that hold files. `data` is beside them: it holds directories, one level deep.
const DIRECTORIES: [&str; 4] = ["keys", "snapshots", "index", "locks"];

/// Stamp of each directory and bytes of its files, by path.
type Measures = HashMap<String, (Option<Stamp>, u64)>;

/// What was measured before.
#[derive(Debug, Default)]
pub(super) struct Measured(Mutex<Measures>);

impl Measured {
    /// Bytes of all files of the repository in `place`, and free bytes where it is.
    pub(super) fn space(&self, place: &dyn Place) -> Result<Space> {
        let failed = |error| io_failure(format!("cannot measure {}", place.location()), error);
        let room = place.room().map_err(failed)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, rest) = measure(place, &known).map_err(failed)?;
        let occupied = seen.values().map(|(_, bytes)| bytes).sum::<u64>() + rest;
        *known = seen;
        let Room { available, usable } = room;
        Ok(Space { occupied: Some(occupied), available, usable })
    }
}

/// Bytes by directory, and those of files that are in none of them.
fn measure(place: &dyn Place, known: &Measures) -> io::Result<(Measures, u64)> {
    let (mut seen, mut rest) = (Measures::new(), 0);
    let mut directories: Vec<(String, Option<Stamp>)> = Vec::new();
    for item in place.list("")? {
        if DIRECTORIES.contains(&item.name.as_str()) {
            directories.push((item.name, item.stamp));
        } else if item.name == DATA && item.stamp.is_some() {
            for below in place.list(DATA)? {
                match below.kind {
                    ItemKind::Directory => directories.push((format!("{DATA}/{}", below.name), below.stamp)),
                    _ => rest += below.length,
                }
            }
        } else if item.name == DATA {
            // A place without stamps is asked for everything at once.
            rest += bytes(&place.list_deep(DATA)?);
        }
    }
    for (path, stamp) in directories {
        let before = known.get(&path).filter(|(then, _)| stamp.is_some() && *then == stamp);
        let bytes = match before {
            Some((_, bytes)) => *bytes,
            None => bytes(&place.list(&path)?),
        };
        seen.insert(path, (stamp, bytes));
    }
    Ok((seen, rest))
}

fn bytes(items: &[Item]) -> u64 {
    items.iter().filter(|item| item.kind != ItemKind::Directory).map(|item| item.length).sum()
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
