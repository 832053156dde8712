//! How long the packs of a repository are, asked every few minutes.
//!
//! A pack appears by a rename and goes by a removal, and both change the stamp of its directory; what is cut off or written
//! over in place does not. So a repository of few packs is looked at whole each time. Of one with many, where a look at
//! each costs seconds on a network file system, directories that changed are read again, and of the others a part each
//! time: a pack that was cut in place is found with the [`PARTS`]th look at the latest.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use rustic_core::Id;

use super::backend::{DATA, ids};
use crate::repository::place::{Item, ItemKind, Place, Stamp};

/// Up to this many packs are all looked at each time.
const FEW: usize = 5_000;
/// In how many looks each directory is read once, whether it changed or not.
const PARTS: usize = 16;

/// Name and length of each pack of a directory.
type Packs = Vec<(Id, u32)>;

/// What was seen before.
#[derive(Debug, Default)]
pub(super) struct SeenPacks(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    looks: usize,
    packs: usize,
    /// By name below `data`, where there are many packs.
    directories: HashMap<String, (Option<Stamp>, Packs)>,
}

impl SeenPacks {
    /// Name and length of each pack.
    pub(super) fn lengths(&self, place: &dyn Place) -> io::Result<HashMap<Id, u32>> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = std::mem::take(&mut seen.directories);
        let lengths: HashMap<Id, u32> = if seen.packs <= FEW {
            ids(&place.list_deep(DATA)?).into_iter().collect()
        } else {
            // What is no directory is told by `PlaceBackend::refuse_links`.
            let mut directories = place.list(DATA)?;
            directories.retain(|item| item.kind == ItemKind::Directory);
            directories.sort_by(|a, b| a.name.cmp(&b.name));
            for (at, Item { name, stamp, .. }) in directories.into_iter().enumerate() {
                let is_due = at % PARTS == seen.looks % PARTS;
                let before = known.remove(&name).filter(|(then, _)| stamp.is_some() && *then == stamp && !is_due);
                let packs = match before {
                    Some((_, packs)) => packs,
                    None => ids(&place.list(&format!("{DATA}/{name}"))?),
                };
                seen.directories.insert(name, (stamp, packs));
            }
            seen.directories.values().flat_map(|(_, packs)| packs.iter().copied()).collect()
        };
        (seen.looks, seen.packs) = (seen.looks.wrapping_add(1), lengths.len());
        Ok(lengths)
    }

    /// Read everything with the next look.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).directories.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::repository::place::local::LocalPlace;

    #[test]
    fn of_many_packs_a_new_one_and_a_missing_one_are_seen_at_once_and_a_cut_one_in_time() {
        let root = tempfile::tempdir().unwrap();
        let (files, seen) = (LocalPlace::new(root.path().to_owned()), SeenPacks::default());
        let place_of = |number: usize| {
            let name = blake3::hash(&number.to_le_bytes()).to_hex().to_string();
            (root.path().join("data").join(&name[..1]).join(&name), name.parse::<Id>().unwrap())
        };
        for prefix in "0123456789abcdef".chars() {
            fs::create_dir_all(root.path().join("data").join(prefix.to_string())).unwrap();
        }
        for number in 0..=FEW {
            fs::write(place_of(number).0, [0; 10]).unwrap();
        }
        let lengths = || seen.lengths(&files).unwrap();
        assert_eq!(lengths().len(), FEW + 1);
        let (new, id) = place_of(FEW + 1);
        fs::write(&new, [0; 20]).unwrap();
        assert_eq!(lengths().get(&id), Some(&20));
        fs::remove_file(&new).unwrap();
        assert_eq!(lengths().get(&id), None);
        let (cut, id) = place_of(3);
        fs::write(&cut, [0; 5]).unwrap();
        let found = (1..=PARTS).find(|_| lengths().get(&id) == Some(&5));
        assert!(found.is_some(), "not within {PARTS} looks");
        fs::write(&cut, [0; 4]).unwrap();
        seen.forget();
        assert_eq!(lengths().get(&id), Some(&4));
        // Few are all looked at each time.
        for number in 4..=FEW {
            fs::remove_file(place_of(number).0).unwrap();
        }
        lengths();
        fs::write(&cut, [0; 3]).unwrap();
        assert_eq!(lengths().get(&id), Some(&3));
        fs::remove_dir_all(root.path().join("data")).unwrap();
        assert!(lengths().is_empty());
    }
}
