//! Restores of parts, and destinations that are not empty.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::super::Files;
use super::super::target::Target;
use super::Bench;
use crate::engine::destination::Credentials;
use crate::engine::kind::Kind;
use crate::engine::{Destination, Engine, InspectOptions, LoadOptions, StoredPoint};
use crate::run_context::RunContext;

fn tree() -> Bench {
    let bench = Bench::new();
    for name in ["a/one", "b/keep", "b/deep/file", "bb/not", "z"] {
        bench.write(name, name);
    }
    for name in ["b/two", "b/three"] {
        fs::hard_link(bench.live().join("a/one"), bench.live().join(name)).unwrap();
    }
    bench
}

fn only(bench: &Bench, names: &[&str]) -> LoadOptions {
    let tables = names.iter().map(|name| bench.live().join(name).display().to_string()).collect();
    LoadOptions { tables, ..LoadOptions::default() }
}

fn checks(bench: &Bench, point: &StoredPoint, options: &LoadOptions) -> Vec<(String, bool)> {
    let at = Destination::new(Target::Named(bench.restored()));
    let asked = InspectOptions { only: options.tables.clone(), may_have_more: false, apart: false };
    let found = bench.engine().inspect(&at, point, &asked, &RunContext::silent()).unwrap();
    assert_eq!((found.problems, found.inventory.tables), (Vec::new(), Vec::new()));
    let of_files = found.checks.into_iter().filter(|check| check.name.contains('/'));
    of_files.map(|check| (check.name.rsplit('/').next().unwrap().to_owned(), check.ok)).collect()
}

#[test]
fn a_sub_path_comes_back_alone_with_links_to_files_outside_of_it() {
    let bench = tree();
    let point = bench.back_up();
    let options = only(&bench, &["b"]);
    bench.load(&point, &options).unwrap();
    let copy = bench.copy();
    assert!(copy.join("b/deep/file").exists() && !copy.join("a").exists() && !copy.join("bb").exists());
    assert_eq!(fs::read_to_string(copy.join("b/two")).unwrap(), "a/one");
    assert_eq!(copy.join("b/two").metadata().unwrap().ino(), copy.join("b/three").metadata().unwrap().ino());
    assert_eq!(checks(&bench, &point, &options), [("b".to_owned(), true)]);
    fs::write(copy.join("b/keep"), "changed").unwrap();
    let found = checks(&bench, &point, &options);
    assert_eq!(found, [("keep".to_owned(), false), ("b".to_owned(), false)]);
}

#[test]
fn a_single_file_comes_back_and_a_path_that_is_not_in_the_backup_is_an_error() {
    let bench = tree();
    let point = bench.back_up();
    bench.load(&point, &only(&bench, &["z"])).unwrap();
    assert_eq!(fs::read_to_string(bench.copy().join("z")).unwrap(), "z");
    assert_eq!(fs::read_dir(bench.copy()).unwrap().count(), 1);
    let overwrite = |names: &[&str]| LoadOptions { overwrite: true, ..only(&bench, names) };
    let error = bench.load(&point, &overwrite(&["nowhere"])).unwrap_err();
    assert!(error.to_string().contains("the backup has no such path"), "{error}");
    let error = bench.load(&point, &overwrite(&["/etc"])).unwrap_err();
    assert!(error.to_string().contains("not below a path of this backup"), "{error}");
}

#[test]
fn a_name_that_is_no_text_is_asked_for_as_reports_write_it() {
    let bench = tree();
    let odd = OsStr::from_bytes(b"odd\xff\n");
    fs::write(bench.live().join(odd), "odd").unwrap();
    let point = bench.back_up();
    let options = only(&bench, &["odd\\xff\\x0a"]);
    bench.load(&point, &options).unwrap();
    assert_eq!(fs::read_to_string(bench.copy().join(odd)).unwrap(), "odd");
    assert_eq!(checks(&bench, &point, &options), [("odd\\xff\\x0a".to_owned(), true)]);
    let hidden = only(&bench, &["\\x2e\\x2e/x"]);
    let error = bench.load(&point, &LoadOptions { overwrite: true, ..hidden }).unwrap_err();
    assert!(error.to_string().contains("not a plain path"), "{error}");
}

#[test]
fn a_path_is_taken_however_it_was_typed_unless_it_has_dots() {
    let engine = tree().engine();
    assert_eq!(engine.table_name("/srv//ansible/").unwrap(), "/srv/ansible");
    for typed in ["srv/ansible", "/srv/../etc", ""] {
        assert!(engine.table_name(typed).unwrap_err().hint_text().is_some(), "{typed}");
    }
}

#[test]
fn a_destination_that_is_not_empty_or_is_the_source_is_refused_without_overwrite() {
    let bench = tree();
    let point = bench.back_up();
    let load = |to: &std::path::Path| {
        let to = Destination::new(Target::Named(to.to_owned()));
        bench.engine().load(&point, &to, &LoadOptions::default(), &RunContext::silent()).unwrap_err().to_string()
    };
    fs::create_dir(bench.live().join("empty")).unwrap();
    assert!(load(&bench.live().join("empty")).contains("is backed up from there"));
    assert!(load(bench.directory.path()).contains("is backed up from there"));
    assert!(load(&bench.live().join("z")).contains("is backed up from there"));
    assert!(load(&bench.restored().join("nowhere")).contains("No such file"));
    fs::write(bench.restored().join("something"), "").unwrap();
    assert!(load(&bench.restored()).contains("it is not empty"));
    for server in ["unix:/x", "mysql://h"] {
        let error = Files.destination(server, &Credentials::default()).unwrap_err();
        assert!(error.to_string().contains("not a directory"));
    }
}

#[test]
fn overwrite_replaces_what_is_there_and_leaves_alone_what_is_not_in_the_backup() {
    let bench = tree();
    let point = bench.back_up();
    bench.restore(&point);
    fs::write(bench.copy().join("z"), "changed").unwrap();
    fs::remove_file(bench.copy().join("b/keep")).unwrap();
    fs::create_dir(bench.copy().join("b/keep")).unwrap();
    let overwrite = LoadOptions { overwrite: true, ..LoadOptions::default() };
    bench.load(&point, &overwrite).unwrap();
    assert_eq!(bench.differences(&point), "");
    fs::write(bench.copy().join("mine"), "").unwrap();
    bench.load(&point, &overwrite).unwrap();
    assert!(bench.copy().join("mine").exists());
    assert!(bench.differences(&point).contains("mine: expected absent, found file"));
}
