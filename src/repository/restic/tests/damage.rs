//! A flipped byte, a missing file, a cut-off file: always an error that names it, never short or wrong data.

use std::fs;
use std::path::{Path, PathBuf};

use super::places::{password, place};
use crate::domain::manifest::RecoveryPointId;
use crate::error::Result;
use crate::repository::contract::{back_up, candidate, moment, noise_bytes};
use crate::repository::restic::ResticRepository;
use crate::repository::{Repository, Storing};

/// List everything and read everything, as a new process would.
fn read_everything(root: &Path) -> Result<Vec<Vec<u8>>> {
    let repository = ResticRepository::new(root.to_owned(), password());
    let mut out = Vec::new();
    for point in repository.list(None)? {
        for file in &point.manifest.files {
            let open = repository.open(&point.manifest.source, &point.manifest.id, &file.path)?;
            out.push(open.read_at(0, usize::MAX)?.to_vec());
        }
    }
    Ok(out)
}

pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(files_below(&path)) } else { out.push(path) }
    }
    out
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().chars().take(8).collect()
}

#[test]
fn a_flipped_byte_anywhere_is_an_error_that_names_the_file() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    let dump = noise_bytes(5, 3_000_000);
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", &dump)]));
    assert!(read_everything(&root).unwrap() == vec![dump]);

    let mut unnoticed = Vec::new();
    for path in files_below(&root) {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        // Behind the nonce of the first blob, or in the middle of the only one.
        let position = if good.len() > 10_000 { 5_000 } else { 40 };
        bad[position] ^= 1;
        fs::write(&path, &bad).unwrap();
        match read_everything(&root) {
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(&name(&path)) || path.ends_with("config"), "{}: {text}", path.display());
                assert!(error.hint_text().is_some(), "{text}");
            }
            Ok(_) => unnoticed.push(path.clone()),
        }
        fs::write(&path, &good).unwrap();
    }
    // The candidate's own directory serves nobody once the point is published.
    assert_eq!(unnoticed.len(), 1, "{unnoticed:?}");
    assert!(unnoticed[0].starts_with(root.join("data")));
}

#[test]
fn a_missing_or_cut_off_file_is_an_error_that_names_it() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", &noise_bytes(5, 3_000_000))]));
    let packs = files_below(&root.join("data"));
    let largest = packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let good = fs::read(largest).unwrap();
    fs::write(largest, &good[..good.len() / 2]).unwrap();
    let text = read_everything(&root).unwrap_err().to_string();
    assert!(text.contains(&name(largest)) && text.contains("dump.sql"), "{text}");
    fs::remove_file(largest).unwrap();
    let error = read_everything(&root).unwrap_err();
    assert!(error.to_string().contains(&name(largest)), "{error}");
    assert!(error.hint_text().unwrap().contains("restic check"), "{error}");
    fs::write(largest, &good).unwrap();
    read_everything(&root).unwrap();

    for index in files_below(&root.join("index")) {
        let good = fs::read(&index).unwrap();
        fs::remove_file(&index).unwrap();
        let text = read_everything(&root).unwrap_err().to_string();
        assert!(text.contains("shop") && text.contains("index"), "{text}");
        fs::write(&index, good).unwrap();
    }
}

#[test]
fn one_unreadable_snapshot_is_named_and_hides_no_other_point() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", b"first")]));
    let snapshot = files_below(&root.join("snapshots")).pop().unwrap();
    back_up(&repository, candidate("shop", "B", moment(1), &[("dump.sql", b"second")]));
    fs::write(&snapshot, b"no snapshot").unwrap();
    let listing = repository.listing(None).unwrap();
    let text = listing.damaged.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains(&name(&snapshot)), "{text}");
    assert_eq!(listing.points.iter().map(|point| point.manifest.id.0.as_str()).collect::<Vec<_>>(), ["B"]);
    assert_eq!(repository.list(None).unwrap_err().to_string(), text);
    back_up(&repository, candidate("shop", "C", moment(2), &[("dump.sql", b"third")]));
    let open = |id: &str| repository.open("shop", &RecoveryPointId(id.to_owned()), "dump.sql");
    assert_eq!(open("B").unwrap().read_at(0, 10).unwrap(), "second");
    let text = open("A").err().unwrap().to_string();
    assert!(text.contains(&name(&snapshot)), "{text}");
}

#[test]
fn a_pack_that_is_cut_off_grown_or_gone_is_noticed_without_reading_it() {
    let place = place();
    let root = place.path().join("repository");
    let repository = ResticRepository::new(root.clone(), password());
    repository.prepare().unwrap();
    back_up(&repository, candidate("shop", "A", moment(0), &[("dump.sql", &noise_bytes(5, 3_000_000))]));
    assert!(repository.incomplete().unwrap().is_none());
    for pack in files_below(&root.join("data")) {
        let good = fs::read(&pack).unwrap();
        let lost = || repository.incomplete().unwrap().map(|error| (error.to_string(), error.hint_text().is_some()));
        fs::write(&pack, &good[..good.len() - 40]).unwrap();
        let (text, has_hint) = lost().unwrap();
        assert!(
            has_hint && text.contains(&name(&pack)) && text.contains(&format!("should have {}", good.len())),
            "{text}"
        );
        fs::write(&pack, [&good[..], b"x"].concat()).unwrap();
        assert!(lost().is_some());
        fs::remove_file(&pack).unwrap();
        assert!(lost().unwrap().0.contains("which is missing"), "{:?}", lost());
        fs::write(&pack, &good).unwrap();
        assert!(lost().is_none());
    }
    // What the index does not know is nobody's loss.
    fs::write(root.join("data/00").join("0".repeat(64)), "left behind").unwrap();
    assert!(repository.incomplete().unwrap().is_none());
}
