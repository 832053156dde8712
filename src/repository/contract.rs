//! The contract of [`super::Repository`] and [`super::Storing`], as tests that every implementation passes. It panics where
//! the contract is broken. One that only reads runs [`reading::run`], one that stores runs [`run`], which has both halves.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::cloned_ref_to_slice_refs, clippy::assigning_clones)]

mod fixtures;
pub mod reading;
mod storing;

use super::Repository;
pub use fixtures::{Kept, Opener, Reader, back_up, broken_after, candidate, ids, manifest, moment, noise, noise_bytes};

/// Run both halves of the suite. `make` makes a new empty place and returns what opens it.
pub fn run(make: &dyn Fn() -> Opener) {
    storing::run(make);
    reading::run(&|kept| {
        let open = make();
        let repository = open();
        repository.prepare().unwrap();
        for backup in kept {
            let files: Vec<(&str, &[u8])> =
                backup.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
            back_up(&*repository, candidate(&backup.source, &backup.id, moment(backup.hours), &files));
        }
        Box::new(move || open() as Box<dyn Repository>)
    });
}
