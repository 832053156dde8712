//! Snapshots that others remove while somebody lists them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustic_core::FileType;

use super::damage::files_below;
use super::places::{files, password, place};
use super::standin::{Hands, StandIn};
use crate::repository::contract::{back_up, candidate, moment};
use crate::repository::restic::ResticRepository;
use crate::repository::restic::secret::Secret;
use crate::repository::{Listing, Repository, Storing};

/// Where a file goes to.
type Move = (PathBuf, PathBuf);

/// Moves files after each listing of the snapshots, before anybody can read what was listed: after the next one, after the one that
/// follows, and so on.
#[derive(Debug)]
struct Moving(Mutex<Vec<Vec<Move>>>);

impl Hands for Moving {
    fn listed(&self, kind: FileType) {
        let mut moves = self.0.lock().unwrap();
        if kind == FileType::Snapshot && !moves.is_empty() {
            for (from, to) in moves.remove(0) {
                fs::rename(from, to).unwrap();
            }
        }
    }
}

/// A repository, and the snapshot file of each of its points.
fn stored(root: &Path, names: &[&str]) -> Vec<PathBuf> {
    let repository = ResticRepository::new(root.to_owned(), password());
    repository.prepare().unwrap();
    let mut snapshots: Vec<PathBuf> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let content: &[u8] = name.as_bytes();
        back_up(&repository, candidate("shop", name, moment(i64::try_from(at).unwrap()), &[("dump.sql", content)]));
        let new = files_below(&root.join("snapshots")).into_iter().find(|file| !snapshots.contains(file));
        snapshots.push(new.unwrap());
    }
    snapshots
}

fn list(root: &Path, moves: Vec<Vec<Move>>) -> Listing {
    let files = Arc::new(files(root.to_owned()));
    let moving = Arc::new(StandIn { inner: files.clone(), hands: Moving(Mutex::new(moves)) });
    ResticRepository::through(files, moving, Secret::Fixed(password())).listing(None).unwrap()
}

fn ids(listing: &Listing) -> Vec<&str> {
    listing.points.iter().map(|point| point.manifest.id.0.as_str()).collect()
}

#[test]
fn what_is_removed_between_listing_and_reading_is_no_damage() {
    let place = place();
    let root = place.path().join("repository");
    let snapshots = stored(&root, &["A", "B", "C", "D", "E"]);
    let away = |at: usize| vec![(snapshots[at].clone(), place.path().join(format!("gone-{at}")))];
    let listing = list(&root, vec![away(0)]);
    assert!(listing.damaged.is_empty() && listing.unnamed == 0, "{:?}", listing.damaged);
    assert_eq!(ids(&listing), ["B", "C", "D", "E"]);
    // One after the other, each in the listing that was made because of the one before, however often is looked.
    let (fourth, fifth) = (place.path().join("fourth"), place.path().join("fifth"));
    fs::rename(&snapshots[3], &fourth).unwrap();
    fs::rename(&snapshots[4], &fifth).unwrap();
    let first = [away(1), vec![(fourth, snapshots[3].clone())]].concat();
    let second = [away(3), vec![(fifth, snapshots[4].clone())]].concat();
    let listing = list(&root, vec![first, second, away(4)]);
    assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    assert_eq!(ids(&listing), ["C"]);
}

#[test]
fn what_took_the_place_of_one_that_was_removed_is_listed() {
    let place = place();
    let root = place.path().join("repository");
    let snapshots = stored(&root, &["A", "B"]);
    let kept = place.path().join("kept");
    fs::rename(&snapshots[1], &kept).unwrap();
    let replace = vec![(kept, snapshots[1].clone()), (snapshots[0].clone(), place.path().join("gone"))];
    let listing = list(&root, vec![replace]);
    assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    assert_eq!(ids(&listing), ["B"]);
}

#[test]
fn what_is_there_and_cannot_be_read_is_damage_whatever_is_removed_beside_it() {
    let place = place();
    let root = place.path().join("repository");
    let snapshots = stored(&root, &["A", "B", "C"]);
    fs::write(&snapshots[1], b"no snapshot").unwrap();
    let gone = vec![(snapshots[0].clone(), place.path().join("gone"))];
    for moves in [Vec::new(), vec![gone]] {
        let left: &[&str] = if moves.is_empty() { &["A", "C"] } else { &["C"] };
        let listing = list(&root, moves);
        assert_eq!((listing.damaged.len(), listing.unnamed), (1, 1), "{:?}", listing.damaged);
        let name = snapshots[1].file_name().unwrap().to_str().unwrap();
        assert!(listing.damaged[0].to_string().contains(&name[..8]), "{}", listing.damaged[0]);
        assert_eq!(ids(&listing), left);
    }
}
