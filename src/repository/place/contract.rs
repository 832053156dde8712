//! The contract of [`super::Place`], as tests that every implementation passes. It panics where the contract is broken.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::{Item, ItemKind, Place, STAGING};

/// Opens one place; opening twice is what two processes do.
pub type Opener = Box<dyn Fn() -> Box<dyn Place>>;

/// Run the whole suite. `make` names a new place, which is not made yet, and returns what opens it.
pub fn run(make: &dyn Fn() -> Opener) {
    for test in [
        a_place_is_made_once_and_begins_empty,
        what_is_written_is_listed_and_comes_back_whole_and_in_parts,
        a_name_that_is_taken_stays_what_it_is,
        of_many_writers_of_one_name_one_succeeds,
        a_reader_never_sees_a_part_of_a_file,
        a_file_is_renamed_and_removed,
        what_is_not_there_is_told_by_its_kind,
        directories_are_listed_one_by_one_and_all_at_once,
        the_stamp_of_a_directory_stays_as_long_as_nothing_changes,
    ] {
        test(&make());
    }
}

fn made(open: &Opener) -> Box<dyn Place> {
    let place = open();
    place.make().unwrap();
    place
}

fn write(place: &dyn Place, file: &str, content: &[u8]) -> io::Result<()> {
    place.write(file, &[Bytes::copy_from_slice(content)])
}

fn whole(place: &dyn Place, file: &str) -> Vec<u8> {
    let mut opened = place.open(file).unwrap();
    let mut content = Vec::new();
    opened.bytes.read_to_end(&mut content).unwrap();
    assert_eq!(opened.length, content.len() as u64, "{file}");
    content
}

/// Files by name, with their lengths; what the place keeps for itself is not told.
fn files(items: Vec<Item>) -> Vec<(String, u64)> {
    let own = |name: &str| name == STAGING || name.starts_with(&format!("{STAGING}/"));
    let files = items.into_iter().filter(|item| item.kind == ItemKind::File && !own(&item.name));
    let mut files: Vec<_> = files.map(|item| (item.name, item.length)).collect();
    files.sort();
    files
}

fn kind_of<T>(outcome: io::Result<T>) -> io::ErrorKind {
    outcome.err().expect("must fail").kind()
}

fn a_place_is_made_once_and_begins_empty(open: &Opener) {
    let place = made(open);
    place.make().unwrap();
    place.prove_writable().unwrap();
    place.remove_leftovers().unwrap();
    drop(place.lock().unwrap());
    drop(place.lock().unwrap());
    place.room().unwrap();
    assert_eq!(files(place.list("").unwrap()), []);
    assert!(!place.location().is_empty());
    assert!(place.name_of("data/a").contains(&place.location()) && place.name_of("data/a").ends_with("data/a"));
}

fn what_is_written_is_listed_and_comes_back_whole_and_in_parts(open: &Opener) {
    let place = made(open);
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    place.write("data/ab/one", &[Bytes::copy_from_slice(&content[..1000]), content[1000..].to_vec().into()]).unwrap();
    write(&*place, "data/empty", b"").unwrap();
    place.write("config", &[]).unwrap();
    for place in [&place, &open()] {
        assert_eq!(files(place.list("data/ab").unwrap()), [("one".to_owned(), 300_000)]);
        assert!(whole(&**place, "data/ab/one") == content);
        assert_eq!((whole(&**place, "data/empty"), whole(&**place, "config")), (vec![], vec![]));
        for (offset, length) in [(0_usize, 0_usize), (0, 1), (999, 2), (299_999, 1), (0, 300_000), (300_000, 0)] {
            let part = place.read("data/ab/one", offset as u64, length).unwrap();
            assert!(part == content[offset..offset + length], "{offset}+{length}");
        }
        // More than any machine has, so asking for memory first would end the test.
        for (offset, length) in [(300_000, 1), (299_999, 2), (u64::MAX, 1), (0, usize::MAX), (1, usize::MAX >> 1)] {
            let kind = kind_of(place.read("data/ab/one", offset, length));
            assert_eq!(kind, io::ErrorKind::UnexpectedEof, "{offset}+{length}");
        }
    }
    assert_eq!(files(place.list(STAGING).unwrap()), [], "something was left behind");
}

fn a_name_that_is_taken_stays_what_it_is(open: &Opener) {
    let place = made(open);
    write(&*place, "keys/a", b"first").unwrap();
    for other in [&b"first"[..], b"again", b""] {
        assert_eq!(kind_of(write(&*place, "keys/a", other)), io::ErrorKind::AlreadyExists);
    }
    write(&*place, "keys/b", b"second").unwrap();
    assert_eq!(kind_of(place.rename("keys/b", "keys/a")), io::ErrorKind::AlreadyExists);
    assert_eq!((whole(&*place, "keys/a"), whole(&*place, "keys/b")), (b"first".to_vec(), b"second".to_vec()));
    assert_eq!(files(place.list(STAGING).unwrap()), [], "something was left behind");
}

fn of_many_writers_of_one_name_one_succeeds(open: &Opener) {
    let place = made(open);
    let succeeded = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..8_u8 {
            let (place, succeeded) = (&place, &succeeded);
            scope.spawn(move || match write(&**place, "index/one", &vec![writer; 50_000]) {
                Ok(()) => assert_eq!(succeeded.fetch_add(1, Ordering::SeqCst), 0),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}"),
            });
        }
    });
    let content = whole(&*place, "index/one");
    assert_eq!((succeeded.into_inner(), content.len()), (1, 50_000));
    assert!(content.iter().all(|byte| *byte == content[0]), "two writers wrote into one file");
}

fn a_reader_never_sees_a_part_of_a_file(open: &Opener) {
    const FILES: usize = 30;
    let (place, reader) = (made(open), open());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let parts = vec![Bytes::from(vec![1; 10_000]); 20];
            for number in 0..FILES {
                place.write(&format!("data/{number}"), &parts).unwrap();
            }
        });
        // The writer ends, so this does.
        loop {
            let seen = files(reader.list("data").unwrap());
            for (name, length) in &seen {
                assert_eq!(*length, 200_000, "{name}");
                assert_eq!(whole(&*reader, &format!("data/{name}")).len(), 200_000, "{name}");
            }
            if seen.len() == FILES {
                break;
            }
        }
    });
}

fn a_file_is_renamed_and_removed(open: &Opener) {
    let place = made(open);
    write(&*place, "snapshots/a", b"content").unwrap();
    place.rename("snapshots/a", "aside/b").unwrap();
    assert_eq!(files(place.list("snapshots").unwrap()), []);
    assert_eq!(whole(&*place, "aside/b"), b"content");
    place.remove("aside/b").unwrap();
    assert_eq!(files(place.list("aside").unwrap()), []);
    assert_eq!(place.look_at("aside/b").unwrap(), None);
    write(&*place, "aside/b", b"other").unwrap();
    assert_eq!(whole(&*open(), "aside/b"), b"other");
}

fn what_is_not_there_is_told_by_its_kind(open: &Opener) {
    let place = open();
    // Not even the place itself.
    assert_eq!((place.list("").unwrap(), place.look_at("config").unwrap()), (vec![], None));
    place.make().unwrap();
    write(&*place, "data/a", b"content").unwrap();
    for file in ["config", "data/b", "none/a", "data/none/a"] {
        assert_eq!(kind_of(place.open(file)), io::ErrorKind::NotFound, "{file}");
        assert_eq!(kind_of(place.read(file, 0, 0)), io::ErrorKind::NotFound, "{file}");
        assert_eq!(kind_of(place.rename(file, "data/c")), io::ErrorKind::NotFound, "{file}");
        assert_eq!(place.look_at(file).unwrap(), None, "{file}");
        if let Err(error) = place.remove(file) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{file}");
        }
    }
    assert_eq!(place.list("none").unwrap(), []);
    let found = place.look_at("data/a").unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.kind, found.length), ("a", ItemKind::File, 7));
}

fn directories_are_listed_one_by_one_and_all_at_once(open: &Opener) {
    let place = made(open);
    place
        .make_directories(&["data".to_owned(), "data/aa".to_owned(), "data/ab".to_owned(), "keys".to_owned()])
        .unwrap();
    place.make_directories(&["data".to_owned(), "data/aa".to_owned()]).unwrap();
    for (file, length) in [("data/aa/1", 1), ("data/aa/2", 2), ("data/ac/3", 3), ("data/4", 4)] {
        write(&*place, file, &vec![0; length]).unwrap();
    }
    let named = |files: &[(&str, u64)]| files.iter().map(|(name, l)| ((*name).to_owned(), *l)).collect::<Vec<_>>();
    assert_eq!(files(place.list("data").unwrap()), named(&[("4", 4)]));
    assert_eq!(files(place.list("data/aa").unwrap()), named(&[("1", 1), ("2", 2)]));
    let all = named(&[("4", 4), ("aa/1", 1), ("aa/2", 2), ("ac/3", 3)]);
    assert_eq!(files(place.list_deep("data").unwrap()), all);
    assert_eq!(place.list_deep("none").unwrap(), []);
    let directories = place.list("data").unwrap().into_iter().filter(|item| item.kind == ItemKind::Directory);
    let directories: Vec<String> = directories.map(|item| item.name).collect();
    assert!(directories.contains(&"aa".to_owned()) && directories.contains(&"ac".to_owned()), "{directories:?}");
}

fn the_stamp_of_a_directory_stays_as_long_as_nothing_changes(open: &Opener) {
    let place = made(open);
    write(&*place, "data/ab/1", b"content").unwrap();
    let stamps = |place: &dyn Place, above: &str| -> Vec<_> {
        let directories = place.list(above).unwrap().into_iter().filter(|item| item.kind == ItemKind::Directory);
        directories.filter(|item| item.name != STAGING).map(|item| (item.name, item.stamp)).collect()
    };
    let before = (stamps(&*place, ""), stamps(&*place, "data"));
    assert_eq!((before.0.len(), before.1.len()), (1, 1));
    whole(&*place, "data/ab/1");
    place.list_deep("data").unwrap();
    assert_eq!((stamps(&*place, ""), stamps(&*place, "data")), before);
    assert_eq!((stamps(&*open(), ""), stamps(&*open(), "data")), before);
}
