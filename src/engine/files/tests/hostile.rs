//! An archive that was made to get out of its destination does not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::super::entry::{Entry, Kind};
use super::super::tape::{self, Accounts, BLOCK};
use super::super::text::Name;
use super::Bench;
use crate::engine::{LoadOptions, StoredPoint};
use crate::error::Result;
use crate::repository::StoredFile;

struct Forged(Bytes);

impl StoredFile for Forged {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        let start = usize::try_from(offset).unwrap();
        Ok(self.0.slice(start..self.0.len().min(start + length)))
    }
}

fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: Name(path.into()),
        kind,
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: (0, 0),
        size: if kind == Kind::File { 4 } else { 0 },
        sha256: None,
        target: None,
        hard_link: None,
        xattrs: BTreeMap::new(),
        device: None,
    }
}

fn link(path: &str, target: &str) -> Entry {
    Entry { target: Some(Name(target.into())), ..entry(path, Kind::Symlink) }
}

fn hard_link(path: &str, first: &str) -> Entry {
    Entry { hard_link: Some(Name(first.into())), ..entry(path, Kind::File) }
}

/// A backup that promises `/r` and whose archive has these entries.
fn forge(bench: &Bench, entries: &[Entry]) -> StoredPoint {
    let mut archive = Vec::new();
    for entry in entries {
        archive.extend(tape::header(entry, &Accounts::default(), &Accounts::default()).unwrap());
        if entry.kind == Kind::File && entry.hard_link.is_none() {
            archive.extend(b"evil");
            archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        }
    }
    archive.extend([0; 2 * BLOCK]);
    let mut point = bench.back_up();
    point.manifest.inventory_mut().tables[0].name = "/r".to_owned();
    let archive = Bytes::from(archive);
    point.open = Arc::new(move |_| Ok(Arc::new(Forged(archive.clone()))));
    point
}

/// Everything below `path`, but not what is in `but`.
fn everything(path: &Path, but: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path == but {
            continue;
        }
        let meta = path.symlink_metadata().unwrap();
        found.push(format!("{} {:?} {:?}", path.display(), meta.modified().unwrap(), meta.permissions()));
        if meta.is_dir() {
            found.extend(everything(&path, but));
        }
    }
    found.sort();
    found
}

#[test]
fn whatever_leads_outside_is_refused_and_nothing_outside_is_touched() {
    let bench = Bench::new();
    bench.write("secret", "mine");
    let outside = bench.live().display().to_string();
    let inside = &outside[1..];
    let directory = |path: &str| entry(path, Kind::Directory);
    let file = |path: &str| entry(path, Kind::File);
    let cases: Vec<(Vec<Entry>, &str)> = vec![
        (vec![file("r/../../live/x")], "`..`"),
        (vec![directory("r"), file("r/..")], "`..`"),
        (vec![file(&format!("{outside}/x"))], "absolute"),
        (vec![file("r//x")], "absolute or has `..`"),
        (vec![file("other/x")], "not below a path that the backup promises"),
        (vec![file(&format!("{inside}/x"))], "not below a path"),
        (vec![directory("r"), link("r/a", &outside), file("r/a/x")], "through links"),
        (vec![directory("r"), link("r/a", &outside), directory("r/a/d")], "through links"),
        (vec![link("r", &outside), file("r/x")], "through links"),
        (vec![directory("r"), link("r/a", &outside), directory("r/a")], "out of order"),
        (vec![directory("r"), directory("r/b"), file("r/a")], "out of order"),
        (vec![directory("r"), hard_link("r/x", &format!("{outside}/secret"))], "absolute path"),
        (vec![directory("r"), hard_link("r/x", "r/../../live/secret")], "`..`"),
        (vec![directory("r"), hard_link("r/x", "other/secret")], "does not promise"),
        (vec![directory("r"), link("r/a", &outside), hard_link("r/x", "r/a/secret")], "through links"),
        (
            vec![directory("r"), link("r/a", &format!("{outside}/secret")), hard_link("r/x", "r/a")],
            "not a regular file",
        ),
    ];
    let before = everything(bench.directory.path(), &bench.restored());
    for (entries, said) in cases {
        let point = forge(&bench, &entries);
        let error = bench.load(&point, &LoadOptions::default()).unwrap_err();
        let text = format!("{error} ({})", error.hint_text().unwrap_or_default());
        assert!(text.contains(said), "{entries:?}: {text}");
        assert_eq!(everything(bench.directory.path(), &bench.restored()), before, "{entries:?}");
        fs::remove_dir_all(bench.restored()).unwrap();
        fs::create_dir(bench.restored()).unwrap();
    }
}

#[test]
fn links_that_are_there_already_are_replaced_and_never_written_through() {
    let bench = Bench::new();
    bench.write("secret", "mine");
    let options = LoadOptions { overwrite: true, ..LoadOptions::default() };
    fs::create_dir(bench.restored().join("r")).unwrap();
    symlink(bench.live().join("secret"), bench.restored().join("r/file")).unwrap();
    bench.load(&forge(&bench, &[entry("r", Kind::Directory), entry("r/file", Kind::File)]), &options).unwrap();
    assert_eq!(fs::read_to_string(bench.live().join("secret")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(bench.restored().join("r/file")).unwrap(), "evil");

    // Where a directory belongs a link is somebody's way of having the files elsewhere.
    symlink(bench.live(), bench.restored().join("r/tree")).unwrap();
    let entries = [entry("r", Kind::Directory), entry("r/tree", Kind::Directory), entry("r/tree/secret", Kind::File)];
    let error = bench.load(&forge(&bench, &entries), &options).unwrap_err();
    assert!(error.to_string().contains("a link stands where a directory belongs"), "{error}");
    assert_eq!(fs::read_to_string(bench.live().join("secret")).unwrap(), "mine");
    assert!(bench.restored().join("r/tree").is_symlink());

    // On the way to a promised path, too.
    symlink(bench.live(), bench.restored().join("way")).unwrap();
    let mut point = forge(&bench, &[entry("way/r", Kind::Directory), entry("way/r/x", Kind::File)]);
    point.manifest.inventory_mut().tables[0].name = "/way/r".to_owned();
    bench.load(&point, &options).unwrap_err();
    assert!(!bench.live().join("r").exists());
    point.manifest.inventory_mut().tables[0].name = "/way/../r".to_owned();
    assert!(bench.load(&point, &options).unwrap_err().to_string().contains("not an absolute path"));
}

#[test]
fn a_file_that_cannot_be_read_from_the_repository_leaves_the_one_that_is_there() {
    let bench = Bench::new();
    bench.write("something", "");
    let options = LoadOptions { overwrite: true, ..LoadOptions::default() };
    let good = [entry("r", Kind::Directory), entry("r/a", Kind::File)];
    let mut point = forge(&bench, &good);
    let archive = (point.open)("files.tar").unwrap().read_at(0, 1 << 20).unwrap();
    fs::create_dir(bench.restored().join("r")).unwrap();
    fs::write(bench.restored().join("r/a"), "live").unwrap();
    let short = archive.slice(..=2 * BLOCK);
    point.open = Arc::new(move |_| Ok(Arc::new(Forged(short.clone()))));
    bench.load(&point, &options).unwrap_err();
    assert_eq!(fs::read_to_string(bench.restored().join("r/a")).unwrap(), "live");
    assert_eq!(fs::read_dir(bench.restored().join("r")).unwrap().count(), 1);
}

#[test]
fn a_damaged_archive_is_an_error_that_says_where() {
    let bench = Bench::new();
    bench.write("something", "");
    let good = [entry("r", Kind::Directory), entry("r/a", Kind::File), entry("r/b", Kind::File)];
    let archive = (forge(&bench, &good).open)("files.tar").unwrap();
    let archive = archive.read_at(0, 1 << 20).unwrap();
    for (cut, said) in [(3 * BLOCK + 10, "after r/a"), (2 * BLOCK, "r/a"), (100, "at its start")] {
        let mut point = forge(&bench, &good);
        let short = archive.slice(..cut);
        point.open = Arc::new(move |_| Ok(Arc::new(Forged(short.clone()))));
        let options = LoadOptions { overwrite: true, ..LoadOptions::default() };
        let error = bench.load(&point, &options).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let mut flipped = archive.to_vec();
    flipped[BLOCK + 3] ^= 1;
    let mut point = forge(&bench, &good);
    point.open = Arc::new(move |_| Ok(Arc::new(Forged(Bytes::from(flipped.clone())))));
    fs::remove_dir_all(bench.restored().join("r")).unwrap();
    let error = bench.load(&point, &LoadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("a header is damaged"), "{error}");
}
