//! What is covered in the places that a jail shows: our own directories and files, and what not everybody may read. A command
//! in a jail reads whatever is there, so modes keep nothing from it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Directories of `/usr/local` that no program of a jail needs, and that configurations, keys and data are kept in.
const EMPTY: [&str; 2] = ["etc", "var"];

/// Covers of one jail. All paths are real ones.
pub struct Covers {
    hidden: BTreeSet<PathBuf>,
    private: BTreeSet<PathBuf>,
    tree: PathBuf,
    /// Empty directories that are in the jail now. Something may still be mounted in them.
    made: Vec<PathBuf>,
}

impl Covers {
    /// Covers for `hidden` in a jail around `tree`.
    pub fn new(hidden: &[PathBuf], tree: &Path) -> Self {
        let hidden = hidden.iter().filter_map(|place| place.canonicalize().ok());
        // The tree itself is what was asked for.
        let hidden = hidden.filter(|place| place != tree).collect();
        Self { hidden, private: BTreeSet::new(), tree: tree.to_owned(), made: Vec::new() }
    }

    /// Cover what not everybody may read at and below `place`.
    pub fn add_private(&mut self, place: &Path) {
        let Ok(place) = place.canonicalize() else { return };
        let mut found = Vec::new();
        let passed_over = |at: &Path| self.hidden.contains(at) || self.private.contains(at) || at == self.tree;
        private(&place, &passed_over, &mut found);
        self.private.extend(found);
    }

    /// Cover what is private in the directory where a site keeps its own programs, and configurations and data beside them.
    pub fn add_local(&mut self, local: &Path) {
        let empty = EMPTY.iter().filter_map(|name| local.join(name).canonicalize().ok());
        self.private.extend(empty.filter(|place| *place != self.tree));
        // Whether others may list the directory itself says nothing about the programs in it.
        let entries = fs::read_dir(local).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink())) {
            self.add_private(&entry.path());
        }
    }

    /// What follows covers only what is hidden.
    pub fn forget_private(&mut self) {
        self.private.clear();
    }

    /// Arguments of bubblewrap that cover what lies at or below `place`, which has just been mounted.
    pub fn over(&mut self, place: &Path) -> Vec<OsString> {
        let Ok(real) = place.canonicalize() else { return Vec::new() };
        let mut arguments = Vec::new();
        let mut last: Option<&Path> = None;
        // A directory comes before what is in it.
        for own in self.hidden.union(&self.private) {
            let Ok(rest) = own.strip_prefix(&real) else { continue };
            if last.is_some_and(|last| own.starts_with(last)) {
                continue;
            }
            last = Some(own);
            // The host may know it by another path than the jail.
            let at = if rest.as_os_str().is_empty() { place.to_owned() } else { place.join(rest) };
            if own.is_dir() {
                arguments.extend(["--size", "1048576", "--tmpfs"].map(OsString::from));
                arguments.push(at.clone().into());
                self.made.push(at);
            } else {
                arguments.extend(["--ro-bind".into(), "/dev/null".into(), at.into()]);
            }
        }
        arguments
    }

    /// Arguments that leave nothing to write in the directories, after everything was mounted.
    pub fn close(&self) -> Vec<OsString> {
        self.made.iter().flat_map(|place| ["--remount-ro".into(), place.into()]).collect()
    }
}

/// Files and directories at and below `place` that not everybody may read, links not followed.
fn private(place: &Path, passed_over: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    if passed_over(place) {
        return;
    }
    let Ok(meta) = place.symlink_metadata() else { return };
    let open = if meta.is_dir() { 0o005 } else { 0o004 };
    let is_open = meta.permissions().mode() & open == open;
    match (meta.is_dir(), is_open) {
        (true, true) => {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                private(&entry.path(), passed_over, found);
            }
        }
        // What is in a closed directory is closed, whatever its own mode.
        (true, false) => found.push(place.to_owned()),
        (false, _) if meta.is_file() && !is_open => found.push(place.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(arguments: &[OsString]) -> String {
        arguments.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_not_everybody_may_read_is_found_below_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["closed", "passed"] {
            fs::create_dir(at(name)).unwrap();
        }
        for (name, mode) in [("open", 0o644), ("key", 0o640), ("closed/open", 0o644), ("passed/key", 0o600)] {
            fs::write(at(name), "").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        let mut found = Vec::new();
        private(directory.path(), &|place| place == at("passed"), &mut found);
        found.sort();
        assert_eq!(found, [at("closed"), at("key")]);
    }

    #[test]
    fn a_place_is_covered_by_the_path_that_the_jail_knows_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("real/state/tree")).unwrap();
        fs::write(at("real/state/key"), "").unwrap();
        fs::write(at("real/state.toml"), "").unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        let hidden = [at("link/state"), at("real/state/key"), at("real/state.toml"), at("real/gone")];
        let mut covers = Covers::new(&hidden, &at("real/state/tree"));
        let (link, real) = (at("link").display().to_string(), at("real").display().to_string());
        let want = format!("--size 1048576 --tmpfs {link}/state --ro-bind /dev/null {link}/state.toml");
        assert_eq!(words(&covers.over(&at("link"))), want);
        assert_eq!(words(&covers.over(&at("real/state/tree"))), "", "it is in what was covered");
        assert_eq!(words(&covers.close()), format!("--remount-ro {link}/state"));
        let mut covers = Covers::new(&hidden, &at("real/state"));
        assert_eq!(words(&covers.over(&at("real/state"))), format!("--ro-bind /dev/null {real}/state/key"));
    }
}
