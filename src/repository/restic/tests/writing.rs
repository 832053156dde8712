//! What a single write leaves under a file's name, and what it says of it.

use std::fs;

use rustic_core::{BytesList, FileType, Id, ReadBackend, WriteBackend};
use tempfile::TempDir;

use super::places::files;
use crate::repository::restic::backend::PlaceBackend;
use crate::repository::restic::cipher::hash;

struct World {
    root: TempDir,
    files: PlaceBackend,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let files = files(root.path().to_owned());
        files.create_layout().unwrap();
        Self { root, files }
    }

    fn write(&self, kind: FileType, id: &Id, content: &[u8]) -> Result<(), String> {
        let content = BytesList::from(content.to_vec());
        self.files.write_bytes(kind, id, false, content).map_err(|error| format!("{error:?}"))
    }

    fn listed(&self, kind: FileType) -> Vec<Id> {
        self.files.list(kind).unwrap()
    }

    fn nothing_is_staged(&self) {
        assert_eq!(fs::read_dir(self.root.path().join("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn a_snapshot_that_is_not_what_its_name_says_is_an_error_and_not_listed() {
    let world = World::new();
    let said = world.write(FileType::Snapshot, &hash(b"one"), b"another").unwrap_err();
    assert!(said.contains("does not match its name"), "{said}");
    assert!(world.listed(FileType::Snapshot).is_empty());
    world.nothing_is_staged();
}

#[test]
fn a_file_that_is_there_already_is_kept_and_taken_only_if_it_is_the_same() {
    let world = World::new();
    for kind in [FileType::Pack, FileType::Index, FileType::Key] {
        let id = hash(b"content");
        world.write(kind, &id, b"content").unwrap();
        world.write(kind, &id, b"content").unwrap();
        assert_eq!(world.listed(kind), [id]);
        let path = world.files.warmup_path(kind, &id);
        // Of the same length, and of another.
        for other in ["CONTENT", "cont"] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, other).unwrap();
            let said = world.write(kind, &id, b"content").unwrap_err();
            assert!(said.contains("does not match its name"), "{said}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
    }
    world.nothing_is_staged();
}

#[test]
fn a_config_of_another_length_is_not_taken_for_the_one_that_was_written() {
    let world = World::new();
    world.write(FileType::Config, &Id::default(), b"content").unwrap();
    assert!(world.write(FileType::Config, &Id::default(), b"longer content").is_err());
    assert_eq!(fs::read(world.root.path().join("config")).unwrap(), b"content");
    world.nothing_is_staged();
}
