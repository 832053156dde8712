//! What every repository keeps to, whoever made the backups in it.

use super::fixtures::{Kept, Reader, ids, noise_bytes};
use crate::domain::manifest::RecoveryPointId;
use crate::repository::{Repository, Unsupported};

/// Run the suite of the reading half. `make` makes a place that has these backups and no others, and returns what opens it.
pub fn run(make: &dyn Fn(&[Kept]) -> Reader) {
    for test in [
        files_come_back_from_any_offset,
        empty_files_and_many_files_are_kept,
        backups_are_listed_oldest_first_and_by_source,
        what_is_not_there_is_an_error_that_names_it,
        looking_changes_nothing_and_another_look_sees_the_same,
        a_kind_that_is_only_read_says_so_by_a_type,
    ] {
        test(make);
    }
}

fn id(name: &str) -> RecoveryPointId {
    RecoveryPointId(name.to_owned())
}

fn one(content: &[u8]) -> Kept {
    Kept::new("shop", "A", 0, &[("dump.sql", content)])
}

fn files_come_back_from_any_offset(make: &dyn Fn(&[Kept]) -> Reader) {
    let content = noise_bytes(7, 5_000_003);
    let open = make(&[one(&content)]);
    let repository = open();
    let file = repository.open("shop", &id("A"), "dump.sql").unwrap();
    assert_eq!((file.len(), file.is_empty()), (5_000_003, false));
    let mut offset = 1_u64;
    for length in [0, 1, 2, 4095, 70_000, 1_000_000, 6_000_000] {
        for _ in 0..4 {
            offset = offset.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let start = offset % 5_000_003;
            let end = (start + length).min(5_000_003);
            let expected = &content[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
            assert!(file.read_at(start, usize::try_from(length).unwrap()).unwrap() == expected, "{start}+{length}");
        }
    }
    assert!(file.read_at(0, usize::MAX).unwrap() == content);
    assert!(file.read_at(5_000_003, 10).unwrap().is_empty());
    assert!(file.read_at(u64::MAX, 10).unwrap().is_empty());
    std::thread::scope(|scope| {
        for worker in 0..4_usize {
            let (file, content) = (&file, &content);
            scope.spawn(move || {
                for start in (worker * 1000..content.len()).step_by(400_000) {
                    let end = (start + 300_000).min(content.len());
                    assert!(file.read_at(start as u64, 300_000).unwrap() == content[start..end]);
                }
            });
        }
    });
}

fn empty_files_and_many_files_are_kept(make: &dyn Fn(&[Kept]) -> Reader) {
    let files: Vec<(String, Vec<u8>)> =
        (0..40_u64).map(|n| (format!("{} part {n}.sql", (n * 7) % 40), noise_bytes(n, n * 1000))).collect();
    let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let open = make(&[Kept::new("shop", "A", 0, &borrowed)]);
    let repository = open();
    for (path, bytes) in &files {
        let file = repository.open("shop", &id("A"), path).unwrap();
        assert_eq!(file.len(), bytes.len() as u64, "{path}");
        assert!(file.read_at(0, usize::MAX).unwrap() == *bytes, "{path}");
    }
}

fn backups_are_listed_oldest_first_and_by_source(make: &dyn Fn(&[Kept]) -> Reader) {
    let backups = [("shop", "C", 2), ("wiki", "B", 1), ("shop", "A", 3), ("shop", "D", 1)];
    let kept: Vec<Kept> = backups
        .iter()
        .map(|(source, id, hours)| Kept::new(source, id, *hours, &[("dump.sql", id.as_bytes())]))
        .collect();
    let open = make(&kept);
    let repository = open();
    assert_eq!(ids(&*repository, None), ["B", "D", "C", "A"]);
    assert_eq!(ids(&*repository, Some("shop")), ["D", "C", "A"]);
    assert_eq!(ids(&*repository, Some("wiki")), ["B"]);
    assert_eq!(ids(&*repository, Some("sho")), [""; 0]);
}

fn what_is_not_there_is_an_error_that_names_it(make: &dyn Fn(&[Kept]) -> Reader) {
    let open = make(&[one(b"rows")]);
    let repository = open();
    let failure = |source: &str, point: &str, path: &str| {
        repository.open(source, &id(point), path).err().expect("must not open").to_string()
    };
    assert!(failure("wiki", "A", "dump.sql").contains("wiki"));
    assert!(failure("shop", "B", "dump.sql").contains('B'));
    assert!(failure("shop", "A", "other.sql").contains("other.sql"));
}

fn looking_changes_nothing_and_another_look_sees_the_same(make: &dyn Fn(&[Kept]) -> Reader) {
    let open = make(&[one(b"rows"), Kept::new("wiki", "B", 1, &[("dump.sql", b"pages")])]);
    let repository = open();
    assert!(repository.exists().unwrap());
    repository.open_existing().unwrap();
    assert!(!repository.location().is_empty());
    assert!(repository.incomplete().unwrap().is_none());
    let looks = |repository: &dyn Repository| {
        let file = repository.open("shop", &id("A"), "dump.sql").unwrap().read_at(0, 9).unwrap();
        (ids(repository, None), file, repository.identity().unwrap())
    };
    let first = looks(&*repository);
    repository.space().unwrap();
    assert_eq!(looks(&*repository), first);
    assert_eq!(looks(&*open()), first);
    if let Some(afresh) = repository.afresh() {
        assert_eq!(looks(&*afresh), first);
    }
}

fn a_kind_that_is_only_read_says_so_by_a_type(make: &dyn Fn(&[Kept]) -> Reader) {
    let open = make(&[one(b"rows")]);
    let repository = open();
    match repository.storing() {
        Ok(storing) => assert_eq!(storing.location(), repository.location()),
        Err(error) => {
            assert_eq!(Unsupported::why(&error), Some(Unsupported::Storing), "{error}");
            assert!(error.to_string().contains(&repository.location()) && error.hint_text().is_some(), "{error}");
        }
    }
}
