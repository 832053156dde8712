//! The restic repository against its contract, the real restic program, damage, full disks and failures at every write.

#![allow(clippy::cloned_ref_to_slice_refs)] // `[first.clone()]` reads as what it is: the expected list

mod damage;
mod faults;
mod freeing;
mod hostile;
mod new_data;
mod opening;
mod places;
mod program;
mod removed_meanwhile;
mod standin;
mod writing;

use std::fs;
use std::sync::Arc;

use super::ResticRepository;
use super::secret::Secret;
use crate::repository::place::Place;
use crate::repository::place::memory::MemoryPlace;
use crate::repository::{Repository, Storing, contract};
use places::{password, place};

#[test]
fn restic_keeps_the_contract() {
    contract::run(&|| {
        let place = place();
        Box::new(move || {
            Box::new(ResticRepository::new(place.path().join("repository"), password())) as Box<dyn Storing>
        })
    });
}

#[test]
fn restic_keeps_the_contract_in_a_place_of_another_kind() {
    contract::run(&|| {
        let place = MemoryPlace::default();
        Box::new(move || {
            let secret = Secret::Fixed(password());
            Box::new(ResticRepository::at(Arc::new(place.clone()), secret)) as Box<dyn Storing>
        })
    });
}

#[test]
fn a_pack_that_a_place_of_another_kind_lost_is_noticed_without_reading_it() {
    let place = MemoryPlace::default();
    let repository = ResticRepository::at(Arc::new(place.clone()), Secret::Fixed(password()));
    repository.prepare().unwrap();
    let content = contract::noise_bytes(5, 100_000);
    contract::back_up(&repository, contract::candidate("shop", "A", contract::moment(0), &[("dump.sql", &content)]));
    assert!(repository.incomplete().unwrap().is_none());
    assert!(repository.space().unwrap().occupied.unwrap() > 100_000);
    let pack = place
        .files()
        .iter()
        .find(|(path, content)| path.starts_with("data/") && content.len() > 100_000)
        .unwrap()
        .0
        .clone();
    place.remove(&pack).unwrap();
    assert!(repository.incomplete().unwrap().unwrap().to_string().contains("which is missing"));
}

#[test]
fn nothing_but_the_location_is_written() {
    let place = place();
    let repository = ResticRepository::new(place.path().join("repository"), password());
    repository.prepare().unwrap();
    let names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["repository"]);
}
