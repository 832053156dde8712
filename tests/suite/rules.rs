//! Rules of the code that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(under: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(under)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            out.push(path);
        }
    }
    assert!(!out.is_empty(), "src/{under} has no sources");
    out
}

/// Whether it is compiled for tests and fuzzers only.
fn is_of_tests(file: &Path) -> bool {
    let is = |part: &str| part == "soak" || ["tests", "fuzzing"].iter().any(|ending| part.ends_with(ending));
    file.with_extension("").iter().any(|part| is(&part.to_string_lossy()))
}

/// Lines of code that are not comments and that name one of `words`.
fn naming(files: &[PathBuf], words: &[&str]) -> Vec<String> {
    naming_in(files, words, |text| text)
}

/// The same of what `part` leaves of each file.
fn naming_in(files: &[PathBuf], words: &[&str], part: impl Fn(&str) -> &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for line in part(&text).lines().filter(|line| !line.trim_start().starts_with("//")) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    found
}

#[test]
fn domain_knows_no_io() {
    let words = ["tokio", "hyper", "rustic", "mysql", "prometheus", "sqlx", "std::fs", "std::process", "std::net"];
    assert_eq!(naming(&sources("domain"), &words), Vec::<String>::new());
}

#[test]
fn rustic_core_is_named_in_one_folder_only() {
    let elsewhere: Vec<PathBuf> =
        sources("").into_iter().filter(|file| !file.to_string_lossy().contains("repository/restic")).collect();
    assert_eq!(naming(&elsewhere, &["rustic_core"]), Vec::<String>::new());
}

#[test]
fn the_ledgers_database_is_named_in_one_folder_only() {
    let without = |folders: &[&str]| -> Vec<PathBuf> {
        let is_there = |file: &PathBuf| folders.iter().any(|folder| file.to_string_lossy().contains(folder));
        sources("").into_iter().filter(|file| !is_there(file)).collect()
    };
    // The engine asks its servers through the same crate.
    let others = without(&["src/ledger/", "engine/mysql/", "sandbox/local/tests"]);
    assert_eq!(naming(&others, &["sqlx"]), Vec::<String>::new());
    let others = without(&["src/ledger/database/", "src/ledger/tests/"]);
    assert_eq!(naming(&others, &["Sqlite"]), Vec::<String>::new());
}

#[test]
fn operations_scheduler_and_state_know_no_kinds() {
    let words = ["mysql", "Mysql", "MariaDB", "restic", "Restic", "LocalSandbox", "influx"];
    for folder in ["operations", "scheduler", "state"] {
        let is_soak = |file: &PathBuf| file.iter().any(|part| part == "soak");
        let files: Vec<PathBuf> = sources(folder).into_iter().filter(|file| !is_soak(file)).collect();
        assert_eq!(naming(&files, &words), Vec::<String>::new());
    }
}

/// A new kind of source is a folder and a line: nothing else may have to be looked through for it.
#[test]
fn kinds_of_sources_are_named_in_their_folders_and_in_one_line() {
    let is_apart = |file: &Path| {
        let path = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
        let own = [
            "app.rs",
            "engine/mysql",
            "engine/influxdb",
            "engine/files",
            "demo",
            "repository/contract",
            "repository/contract.rs",
        ];
        own.iter().any(|own| path.starts_with(own)) || is_of_tests(path)
    };
    let files: Vec<PathBuf> = sources("").into_iter().filter(|file| !is_apart(file)).collect();
    assert!(files.len() > 200, "{} files", files.len());
    let words = [
        "\"mysql\"",
        "\"influxdb\"",
        "\"files\"",
        "Mysql",
        "Influxdb",
        "FilesEngine",
        "FilesConfig",
        "engine::mysql",
        "engine::influxdb",
        "engine::files",
    ];
    let without_tests = |text: &str| text.split("#[cfg(test)]\nmod tests {").next().unwrap().len();
    let found = naming_in(&files, &words, |text| &text[..without_tests(text)]);
    assert_eq!(found, Vec::<String>::new());
    // The line itself would be found.
    let line = [Path::new(env!("CARGO_MANIFEST_DIR")).join("src/app.rs")];
    assert!(naming(&line, &words).iter().any(|line| line.ends_with("= &[&Mysql, &Influxdb, &Files];")));
}

/// What is known of a product comes from its engine: a sandbox for the next one is no other sandbox. Its tests run real products.
#[test]
fn sandboxes_know_no_products() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let is_for_tests = |file: &PathBuf| is_of_tests(file.strip_prefix(&root).unwrap());
    let files: Vec<PathBuf> = sources("sandbox").into_iter().filter(|file| !is_for_tests(file)).collect();
    assert!(files.len() > 20, "{} files", files.len());
    let words = ["mysql", "Mysql", "MySQL", "maria", "Maria", "influx", "Influx", "innodb", "InnoDB"];
    let without_tests = |text: &str| text.split("#[cfg(test)]\nmod tests {").next().unwrap().len();
    assert_eq!(naming_in(&files, &words, |text| &text[..without_tests(text)]), Vec::<String>::new());
}
