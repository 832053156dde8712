//! Documentation leads somewhere: every link, in the repository and as the package installs it, and every path that a hint, an
//! alert, a unit or a page names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::packaging::build_package;
use crate::support::{Ran, entries};

/// Where the package installs the tree of the repository's documentation.
const INSTALLED: &str = "usr/share/doc/backup-sla";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `place`.
fn files(place: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![place.to_owned()]);
    while let Some(path) = open.pop() {
        if path.is_dir() && !path.is_symlink() {
            open.extend(entries(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "md")
}

/// Pages of the repository that users read.
fn pages() -> Vec<PathBuf> {
    let mut pages =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "alerts/README.md"].map(PathBuf::from).to_vec();
    let of_docs = files(&repository().join("docs")).into_iter().filter(|path| is_page(path));
    pages.extend(of_docs.map(|path| path.strip_prefix(repository()).unwrap().to_owned()));
    assert!(pages.len() > 40, "{pages:?}");
    pages
}

/// Targets of links and pictures.
fn links(page: &str) -> Vec<String> {
    let text: String = page.split("```").step_by(2).collect();
    text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
}

/// The anchor that a heading gets.
fn slug(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
    heading.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// `path` without `..`: what a reader of links makes of it, whatever is a symbolic link.
fn resolved(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// Links of `page`, a path below `root`, that lead nowhere.
fn dead_links(root: &Path, page: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join(page)).unwrap();
    let is_dead = |target: &String| {
        if target.starts_with("https://") {
            return false;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let to =
            if file.is_empty() { root.join(page) } else { resolved(&root.join(page).parent().unwrap().join(file)) };
        if !to.starts_with(root) || !to.exists() {
            return true;
        }
        let has_anchor = || {
            let text = fs::read_to_string(&to).unwrap();
            text.lines().any(|line| line.starts_with('#') && slug(line) == anchor)
        };
        !anchor.is_empty() && !has_anchor()
    };
    links(&text).into_iter().filter(is_dead).map(|target| format!("{}: {target}", page.display())).collect()
}

#[test]
fn every_link_of_the_documentation_leads_somewhere_in_the_repository() {
    let pages = pages();
    let all: usize = pages.iter().map(|page| links(&fs::read_to_string(repository().join(page)).unwrap()).len()).sum();
    assert!(all > 100, "only {all} links were found");
    let dead: Vec<String> = pages.iter().flat_map(|page| dead_links(repository(), page)).collect();
    assert_eq!(dead, Vec::<String>::new());
}

/// Paths of the package that `text` names, without what ends a sentence.
fn named_paths(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["/usr/share/doc/backup-sla", "/usr/share/backup-sla"] {
        for (at, _) in text.match_indices(root) {
            let path: String =
                text[at..].chars().take_while(|letter| letter.is_alphanumeric() || "/-_.".contains(*letter)).collect();
            found.insert(path.trim_end_matches(['.', '/']).to_owned());
        }
    }
    found
}

#[test]
fn every_link_and_every_path_that_is_named_is_there_once_the_package_is_installed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let package = build_package(directory.path());
    let unpacked = Command::new("dpkg-deb").arg("--extract").args([&package, &root]).output().unwrap();
    assert_eq!(Ran::of(unpacked).status, 0);

    let installed = root.join(INSTALLED);
    for page in pages() {
        assert!(installed.join(&page).exists(), "{} is not installed", page.display());
    }
    let is_linked = |page: &Path| dead_links(&installed, page.strip_prefix(&installed).unwrap());
    let dead: Vec<String> = files(&installed).iter().filter(|it| is_page(it)).flat_map(|it| is_linked(it)).collect();
    assert_eq!(dead, Vec::<String>::new());

    // Hints and messages in the program's own sources, and whatever the package installs that is text.
    let sources = files(&repository().join("src")).into_iter().filter(|path| !path.to_string_lossy().contains("test"));
    let mut named = BTreeSet::new();
    for file in sources.chain(files(&root)).filter(|file| !file.ends_with("usr/bin/backup-sla")) {
        if let Ok(text) = fs::read_to_string(&file) {
            named.extend(named_paths(&text));
        }
    }
    assert!(named.len() > 10, "{named:?}");
    let missing: Vec<&String> = named.iter().filter(|path| !root.join(path.trim_start_matches('/')).exists()).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

/// Somebody with the package has no directory `docs`: a message names the installed page by its whole path.
#[test]
fn messages_of_the_program_name_pages_by_the_path_where_the_package_has_them() {
    let mut bare = Vec::new();
    for file in files(&repository().join("src")) {
        let path = file.to_string_lossy();
        if !path.ends_with(".rs") || path.contains("/tests/") || path.ends_with("tests.rs") {
            continue;
        }
        for line in fs::read_to_string(&file).unwrap().lines().filter(|line| !line.trim_start().starts_with("//")) {
            let rest = line.replace("/usr/share/doc/backup-sla/docs/", "");
            if rest.contains("docs/") && rest.contains(".md") && !rest.contains("include_str!") {
                bare.push(format!("{path}: {}", line.trim()));
            }
        }
    }
    assert_eq!(bare, Vec::<String>::new());
}
