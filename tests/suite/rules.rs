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

/// Lines of code that are not comments and that name one of `words`.
fn naming(files: &[PathBuf], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
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
fn operations_know_no_kinds() {
    let words = ["mysql", "Mysql", "MariaDB", "restic", "Restic", "LocalSandbox", "influx"];
    assert_eq!(naming(&sources("operations"), &words), Vec::<String>::new());
}

/// What is known of a product comes from its engine: a sandbox for the next one is no other sandbox. Its tests run real products.
#[test]
fn sandboxes_know_no_products() {
    let is_for_tests = |file: &PathBuf| file.iter().any(|part| part == "tests" || part == "tests.rs");
    let files: Vec<PathBuf> = sources("sandbox").into_iter().filter(|file| !is_for_tests(file)).collect();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split_once("#[cfg(test)]\nmod tests {").map_or(text.as_str(), |(code, _)| code);
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let lower = line.to_lowercase();
            if ["mysql", "maria", "influx", "innodb"].iter().any(|name| lower.contains(name)) {
                found.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
