//! The restic repository against its contract, the real restic program, damage, full disks and failures at every write.

#![allow(clippy::cloned_ref_to_slice_refs)] // `[first.clone()]` reads as what it is: the expected list

mod damage;
mod faults;
mod hostile;
mod new_data;
mod opening;
mod places;
mod program;
mod writing;

use std::fs;

use super::ResticRepository;
use crate::repository::{Storing, contract};
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
fn nothing_but_the_location_is_written() {
    let place = place();
    let repository = ResticRepository::new(place.path().join("repository"), password());
    repository.prepare().unwrap();
    let names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["repository"]);
}
