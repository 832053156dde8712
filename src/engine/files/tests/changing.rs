//! Files that change or vanish while they are read, and those that cannot be read.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use super::super::text::Name;
use super::{Bench, is_root, mode, store, stored};
use crate::engine::files::FilesEngine;
use crate::engine::files::stored::ARCHIVE;
use crate::engine::{Engine, Ready, StoredPoint};
use crate::run_context::RunContext;

/// Back up while `meanwhile` happens to the files that are read.
fn back_up_while(engine: &FilesEngine, mut meanwhile: impl FnMut(&str) + Send + 'static) -> StoredPoint {
    let meanwhile = Box::new(move |name: &Name| meanwhile(&name.to_string()));
    store(engine.found().unwrap().with(meanwhile).dump(&RunContext::silent()).unwrap()).unwrap()
}

#[test]
fn a_small_file_that_changes_once_is_read_again_and_whole() {
    let bench = Bench::new();
    bench.write("file", "before");
    let (path, mut changed) = (bench.live().join("file"), false);
    let point = back_up_while(&bench.engine(), move |_| {
        if !std::mem::replace(&mut changed, true) {
            fs::write(&path, "after it was changed").unwrap();
        }
    });
    assert_eq!(point.manifest.warnings, [""; 0]);
    bench.restore(&point);
    assert_eq!(fs::read_to_string(bench.copy().join("file")).unwrap(), "after it was changed");
    assert_eq!(bench.differences(&point), "");
}

#[test]
fn files_that_keep_changing_are_reported_and_the_backup_still_proves() {
    let bench = Bench::new();
    bench.write("small", "s");
    for name in ["growing", "shrinking", "written"] {
        bench.write(name, &"x".repeat(3 << 20));
    }
    let live = bench.live();
    let point = back_up_while(&bench.engine(), move |name| {
        let open = || OpenOptions::new().append(true).open(live.join(name.rsplit('/').next().unwrap())).unwrap();
        match name.rsplit('/').next().unwrap() {
            "small" | "growing" => open().write_all(b"more").unwrap(),
            "shrinking" => open().set_len(1_500_000).unwrap(),
            _ => OpenOptions::new().write(true).open(live.join("written")).unwrap().write_all_at(b"new", 0).unwrap(),
        }
    });
    let mut warnings = point.manifest.warnings.clone();
    warnings.sort();
    let names: Vec<&str> = warnings.iter().map(|said| said.rsplit('/').next().unwrap()).collect();
    let said = ["growing", "shrinking", "small", "written"].map(|name| format!("{name}` changed while it was read"));
    assert_eq!(names, said);
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
    assert_eq!(bench.copy().join("growing").metadata().unwrap().len(), 3 << 20);
    let shrunk = fs::read(bench.copy().join("shrinking")).unwrap();
    assert!(shrunk.len() == 3 << 20 && shrunk.ends_with(&[0; 1000]));
}

#[test]
fn a_file_that_vanishes_before_it_is_opened_is_left_out_and_reported() {
    let bench = Bench::new();
    bench.write("a", "first");
    bench.write("b", "goes");
    bench.write("c/d", "goes with its directory");
    let live = bench.live();
    let point = back_up_while(&bench.engine(), move |name| {
        if name.ends_with("/a") {
            fs::remove_file(live.join("b")).unwrap();
            fs::remove_dir_all(live.join("c")).unwrap();
        }
    });
    let warnings = &point.manifest.warnings;
    assert!(warnings.len() == 2 && warnings[0].ends_with("/b` vanished while it was read"), "{warnings:?}");
    assert_eq!(point.manifest.rows(), 2);
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
}

#[test]
fn of_many_changing_files_some_are_named_and_the_rest_counted() {
    let bench = Bench::new();
    for number in 0..25 {
        bench.write(&format!("f{number:02}"), "x");
    }
    let live = bench.live();
    let point = back_up_while(&bench.engine(), move |name| {
        fs::write(live.join(name.rsplit('/').next().unwrap()), name).unwrap();
        OpenOptions::new()
            .append(true)
            .open(live.join(name.rsplit('/').next().unwrap()))
            .unwrap()
            .write_all(b"y")
            .unwrap();
    });
    assert_eq!(point.manifest.warnings.len(), 21);
    assert_eq!(point.manifest.warnings[20], "and 5 more files changed while they were read");
}

#[test]
fn a_path_that_does_not_exist_fails_before_and_at_the_dump() {
    let bench = Bench::new();
    let engine = bench.engine_of(vec![bench.live().join("nowhere")], std::time::Duration::from_mins(1));
    let before = engine.preflight(&RunContext::silent()).err().unwrap();
    assert!(before.to_string().contains("live/nowhere: No such file"), "{before}");
    // One that went in between.
    let engine = bench.engine_of(vec![bench.live().join("here")], std::time::Duration::from_mins(1));
    fs::create_dir(bench.live().join("here")).unwrap();
    let ready = engine.preflight(&RunContext::silent()).unwrap();
    fs::remove_dir(bench.live().join("here")).unwrap();
    let dump = store(ready.dump(&RunContext::silent()).unwrap()).err().unwrap();
    assert!(dump.to_string().contains("live/here: No such file"), "{dump}");
}

#[test]
fn preflight_counts_repositories_and_warns_of_an_empty_path() {
    let bench = Bench::new();
    let engine = bench.engine();
    let preflight = || engine.preflight(&RunContext::silent()).unwrap().describe().unwrap();
    let empty = preflight();
    assert!(empty.warnings[0].ends_with("live is empty"), "{empty:?}");
    fs::create_dir_all(bench.live().join("a/b/.git")).unwrap();
    let preflight = preflight();
    assert_eq!((preflight.summary.as_str(), preflight.warnings.len()), ("1 path(s) with 1 git repositories", 0));
}

#[test]
fn files_that_may_not_be_read_fail_the_backup_and_are_named() {
    let bench = Bench::new();
    // Root reads what it may not: only what no user can read is left, a file of an account that is not ours.
    if is_root() {
        return in_the_name_of_nobody(&bench);
    }
    for name in ["a", "b"] {
        bench.write(name, "x");
        mode(&bench.live().join(name), 0o000);
    }
    let error = store(bench.dump(&RunContext::silent()).unwrap()).err().unwrap();
    assert!(error.to_string().contains("/a` (Permission denied") && error.to_string().contains("/b` ("), "{error}");
    assert!(error.hint_text().unwrap().contains("`exclude` them"));
}

/// As root: run this very test as another user.
fn in_the_name_of_nobody(bench: &Bench) {
    let program = bench.directory.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(bench.directory.path(), 0o755);
    mode(&program, 0o755);
    let test = "engine::files::tests::changing::files_that_may_not_be_read_fail_the_backup_and_are_named";
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"])
        .arg(&program)
        .args([test, "--exact"])
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_cancelled_dump_ends_its_stream_with_an_error() {
    let bench = Bench::new();
    bench.write("a", "x");
    let context = RunContext::silent();
    let dump = bench.dump(&context).unwrap();
    context.cancel.cancel();
    // The walk of one small file may have ended before: then there is nothing left to stop.
    if let Ok(point) = store(dump) {
        assert!(!stored(&point, ARCHIVE).is_empty());
    }
    let error = store(bench.dump(&context).unwrap()).err().unwrap();
    assert!(error.to_string().contains("cancelled"), "{error}");
}
