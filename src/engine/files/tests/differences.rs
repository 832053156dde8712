//! Whatever differs from the promise is named.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

use super::{Bench, is_root, mode};

fn tree() -> Bench {
    let bench = Bench::new();
    for name in ["a", "b", "deep/c", "deep/d"] {
        bench.write(name, "content");
    }
    symlink("a", bench.live().join("link")).unwrap();
    fs::hard_link(bench.live().join("a"), bench.live().join("z")).unwrap();
    rustix::fs::setxattr(bench.live().join("b"), "user.of", b"b", XattrFlags::empty()).unwrap();
    bench
}

/// Change a file without its time giving it away.
fn quietly(path: &Path, change: impl FnOnce(&Path)) {
    let keep = |path: &Path| {
        let stat = rustix::fs::lstat(path).unwrap();
        let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap() };
        (path.to_owned(), Timestamps { last_access: time, last_modification: time })
    };
    let kept = [keep(path.parent().unwrap()), keep(path)];
    change(path);
    for (path, times) in kept {
        let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
    }
}

#[test]
fn every_kind_of_difference_is_named_with_what_was_promised_and_what_is_there() {
    type Change = (&'static str, fn(&Path), &'static str);
    let mut changes: Vec<Change> = vec![
        ("a", |path| fs::write(path, "cOntent").unwrap(), "sha256 ed7002b439e9…, found "),
        (
            "b",
            |path| fs::write(path, "content and more").unwrap(),
            "expected 7 bytes, sha256 ed7002b439e9…, found 16 bytes",
        ),
        ("b", |path| mode(path, 0o600), "expected mode 0644, found mode 0600"),
        ("deep", |path| mode(path, 0o700), "expected mode 0755, found mode 0700"),
        ("deep/c", |path| fs::remove_file(path).unwrap(), "expected file, found missing"),
        ("deep/new", |path| fs::write(path, "x").unwrap(), "expected absent, found file"),
        (
            "link",
            |path| fs::remove_file(path).and_then(|()| symlink("b", path)).unwrap(),
            "expected link to a, found link to b",
        ),
        (
            "deep/d",
            |path| fs::remove_file(path).and_then(|()| fs::create_dir(path)).unwrap(),
            "expected file, found directory",
        ),
        ("b", |path| rustix::fs::removexattr(path, "user.of").unwrap(), "expected user.of=b, found no user.of"),
        (
            "z",
            |path| fs::remove_file(path).and_then(|()| fs::write(path, "content")).unwrap(),
            "found a file of its own",
        ),
    ];
    if is_root() {
        changes.push((
            "b",
            |path| std::os::unix::fs::chown(path, Some(9), None).unwrap(),
            "expected uid 0, found uid 9",
        ));
    }
    let bench = tree();
    for name in ["a", "b", "deep/c", "deep/d"] {
        mode(&bench.live().join(name), 0o644);
    }
    mode(&bench.live().join("deep"), 0o755);
    let point = bench.back_up();
    for (name, change, said) in changes {
        let _ = fs::remove_dir_all(bench.restored());
        fs::create_dir(bench.restored()).unwrap();
        bench.restore(&point);
        assert_eq!(bench.differences(&point), "");
        let path = bench.copy().join(name);
        if path.symlink_metadata().is_ok() {
            quietly(&path, change);
        } else {
            change(&path);
        }
        let comparison = bench.compare(&point, &bench.restored());
        let named = format!("{}/{name}", bench.live().display());
        let check = comparison.checks.iter().find(|check| check.name == format!("file {}", &named[1..]));
        let check = check.unwrap_or_else(|| panic!("{name} is not named: {}", comparison.reason()));
        let sentence = format!("expected {}, found {}", check.expected, check.actual);
        assert!(!check.ok && sentence.contains(said), "{name}: {sentence}");
        // A hard link that was broken apart holds the same content.
        let content = comparison.checks.iter().find(|check| check.name.starts_with("content ")).unwrap();
        assert_eq!(content.ok, name == "z", "{name}");
    }
}

#[test]
fn a_time_that_is_a_nanosecond_off_is_a_difference() {
    let bench = tree();
    let point = bench.back_up();
    bench.restore(&point);
    let stat = rustix::fs::stat(bench.copy().join("b")).unwrap();
    let nanoseconds = if stat.st_mtime_nsec == 0 { 1 } else { stat.st_mtime_nsec - 1 };
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(nanoseconds).unwrap() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, bench.copy().join("b"), &times, AtFlags::empty()).unwrap();
    assert!(bench.differences(&point).contains("/b: expected mtime "), "{}", bench.differences(&point));
}

#[test]
fn of_many_differences_the_first_are_named_and_the_rest_counted() {
    let bench = Bench::new();
    for number in 0..60 {
        bench.write(&format!("f{number:02}"), "x");
    }
    let point = bench.back_up();
    bench.restore(&point);
    for number in 0..60 {
        mode(&bench.copy().join(format!("f{number:02}")), 0o4700);
    }
    let checks = bench.compare(&point, &bench.restored()).checks;
    let bad: Vec<_> = checks.iter().filter(|check| !check.ok).collect();
    assert_eq!(bad.len(), 52, "50 files, the rest, and the content of the root");
    assert!(bad.iter().any(|check| check.actual == "10 more entries differ"));
}

#[test]
fn a_root_that_is_not_there_is_missing_and_not_an_error() {
    let bench = tree();
    let point = bench.back_up();
    let reason = bench.differences(&point);
    assert!(reason.contains("expected directory, found missing"), "{reason}");
    let checks = bench.compare(&point, &bench.restored()).checks;
    assert!(checks.iter().any(|check| check.name.starts_with("table /") && check.actual == "missing"));
}
