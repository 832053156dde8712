//! What the operator wants left out.
//!
//! Patterns are read as in a `.gitignore`, as far as their order and `!` go: the last one that fits an entry decides, and
//! what is in a directory that is left out cannot be taken back.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, OrFailed, Result};

/// Most entries that are looked at to find out whether a pattern fits any.
const MOST_ENTRIES: usize = 500_000;

/// Compiled `exclude` patterns.
#[derive(Debug, Clone)]
pub struct Excludes {
    patterns: Vec<String>,
    names: Set,
    paths: Set,
    whole_paths: Set,
    /// By pattern: whether it takes back what an earlier one leaves out.
    keeps: Vec<bool>,
}

/// Some of the patterns, with their places among all.
#[derive(Debug, Clone)]
struct Set {
    globs: GlobSet,
    places: Vec<usize>,
}

impl Set {
    fn new(globs: &[(usize, &str)]) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for (_, glob) in globs {
            let built = GlobBuilder::new(glob).literal_separator(true).build();
            set.add(built.or_failed(format!("cannot read `exclude` pattern {glob:?}"))?);
        }
        let globs_built = set.build().or_failed("cannot compile `exclude`")?;
        Ok(Self { globs: globs_built, places: globs.iter().map(|(place, _)| *place).collect() })
    }

    /// Places of the patterns that fit.
    fn fitting(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        self.globs.matches(OsStr::from_bytes(text)).into_iter().map(|at| self.places[at])
    }
}

impl Excludes {
    /// Nothing is left out.
    pub fn none() -> Self {
        let empty = || Set { globs: GlobSet::empty(), places: Vec::new() };
        Self { patterns: Vec::new(), names: empty(), paths: empty(), whole_paths: empty(), keeps: Vec::new() }
    }

    /// Of `patterns`: one without a slash is held against names, one with against the path below the root; one that begins
    /// with a slash also against the whole path.
    pub fn new(patterns: &[String]) -> Result<Self> {
        let (mut names, mut paths, mut whole_paths, mut keeps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (place, pattern) in patterns.iter().enumerate() {
            let kept = pattern.strip_prefix('!');
            if kept.is_some() && place == 0 {
                let what = format!("cannot use `exclude` pattern {pattern:?}: nothing before it is left out");
                let hint = "a pattern with `!` takes back what an earlier one leaves out; \"\\\\!name\" is a name that begins so";
                return Err(Error::configuration(what).hint(hint));
            }
            keeps.push(kept.is_some());
            // A trailing slash is how many tools write "directory".
            let bare = kept.unwrap_or(pattern).trim_end_matches('/');
            if bare.contains('/') {
                paths.push((place, bare.trim_start_matches('/')));
                if bare.starts_with('/') {
                    whole_paths.push((place, bare.trim_start_matches('/')));
                }
            } else {
                names.push((place, bare));
            }
        }
        Ok(Self {
            patterns: patterns.to_vec(),
            names: Set::new(&names)?,
            paths: Set::new(&paths)?,
            whole_paths: Set::new(&whole_paths)?,
            keeps,
        })
    }

    /// Whether the entry `name`, whose path below the root is `relative` and from the top of the file system `whole` (without
    /// the slash in front), is left out.
    pub fn matches(&self, name: &[u8], relative: &[u8], whole: &[u8]) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        self.fitting(name, relative, whole).max().is_some_and(|last| !self.keeps[last])
    }

    fn fitting(&self, name: &[u8], relative: &[u8], whole: &[u8]) -> impl Iterator<Item = usize> {
        // What git keeps is one thing: a branch may be called `build`, and nobody means that.
        let in_git = relative.split(|byte| *byte == b'/').rev().skip(1).any(|part| part == b".git");
        let names = (!in_git).then(|| self.names.fitting(name));
        names.into_iter().flatten().chain(self.paths.fitting(relative)).chain(self.whole_paths.fitting(whole))
    }

    /// Whether `path`, which is below `root`, or a directory between the two is left out.
    pub fn covers(&self, root: &Path, path: &Path) -> bool {
        let between = path.ancestors().take_while(|above| *above != root && above.starts_with(root));
        between.into_iter().any(|path| {
            let (name, relative, whole) = parts(root, path);
            self.matches(name, relative, whole)
        })
    }

    /// Patterns that fit nothing below `roots` now; none where that would take too long to say.
    pub fn idle(&self, roots: &[impl AsRef<Path>]) -> Vec<&str> {
        let mut idle: BTreeSet<usize> = (0..self.patterns.len()).collect();
        let mut left = MOST_ENTRIES;
        for root in roots.iter().map(AsRef::as_ref) {
            let mut open = vec![root.to_owned()];
            while let Some(directory) = open.pop() {
                // What cannot be read fails the backup, which says so.
                for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                    if idle.is_empty() || left == 0 {
                        return Vec::new();
                    }
                    left -= 1;
                    let path = entry.path();
                    let (name, relative, whole) = parts(root, &path);
                    let fitting: Vec<usize> = self.fitting(name, relative, whole).collect();
                    idle.retain(|place| !fitting.contains(place));
                    let is_left_out = fitting.iter().max().is_some_and(|last| !self.keeps[*last]);
                    if !is_left_out && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        open.push(path);
                    }
                }
            }
        }
        idle.into_iter().map(|place| self.patterns[place].as_str()).collect()
    }
}

/// What patterns are held against.
fn parts<'p>(root: &Path, path: &'p Path) -> (&'p [u8], &'p [u8], &'p [u8]) {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let relative = path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes();
    let whole = path.as_os_str().as_bytes();
    (name, relative, whole.strip_prefix(b"/").unwrap_or(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes(patterns: &[&str]) -> Excludes {
        Excludes::new(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    /// Whether `path` below `/srv/tree`, or a directory above it, is left out.
    fn leaves_out(excludes: &Excludes, path: &str) -> bool {
        excludes.covers(Path::new("/srv/tree"), &Path::new("/srv/tree").join(path))
    }

    #[test]
    fn a_pattern_without_a_slash_is_for_names_and_one_with_for_paths_below_the_root() {
        let excludes = excludes(&["*.retry", "cache/", "/build/*.o", "**/x/y"]);
        for left_out in ["a.retry", "deep/er/b.retry", "a/cache", "build/a.o", "x/y", "a/b/x/y"] {
            assert!(leaves_out(&excludes, left_out), "{left_out}");
        }
        for kept in ["retry", "a.retry.txt", "build/deep/a.o", "a/build/a.o", "y", "xx/y"] {
            assert!(!leaves_out(&excludes, kept), "{kept}");
        }
        assert!(excludes.matches(b"\xff.retry", b"\xff.retry", b"srv/tree/\xff.retry"));
        assert!(!Excludes::none().matches(b"a", b"a", b"a"));
    }

    #[test]
    fn a_whole_path_is_understood_as_one() {
        let excludes =
            excludes(&["/srv/tree/cache", "/srv/tree/logs/*.log", "/srv/other/a", "!/srv/tree/logs/keep.log"]);
        for left_out in ["cache", "cache/deep", "logs/a.log", "srv/tree/cache"] {
            assert!(leaves_out(&excludes, left_out), "{left_out}");
        }
        for kept in ["a", "logs", "logs/deep/a.log", "logs/keep.log", "deep/cache"] {
            assert!(!leaves_out(&excludes, kept), "{kept}");
        }
    }

    #[test]
    fn the_last_pattern_that_fits_decides_and_an_exclamation_mark_takes_back() {
        let all = excludes(&["*.tmp", "!keep.tmp", "old/*.tmp", "secret", "!secret/file", "\\!odd"]);
        for left_out in ["a.tmp", "b/c.tmp", "old/keep.tmp", "secret", "secret/file", "!odd"] {
            assert!(leaves_out(&all, left_out), "{left_out}");
        }
        for kept in ["keep.tmp", "b/keep.tmp", "odd", "!keep.tmp.x"] {
            assert!(!leaves_out(&all, kept), "{kept}");
        }
        let error = Excludes::new(&["!keep.tmp".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("nothing before it is left out") && error.hint_text().is_some(), "{error}");
    }

    #[test]
    fn patterns_that_fit_nothing_are_named() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["a/b", "left"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for file in ["a/b/x.tmp", "left/only-here.log"] {
            std::fs::write(root.path().join(file), "x").unwrap();
        }
        let whole = root.path().join("a/b").display().to_string();
        let patterns = ["*.tmp", "!keep.tmp", "/left", "*.log", "/srv/elsewhere", whole.as_str()];
        // What is only in a directory that is left out has no effect.
        let found = excludes(&patterns);
        assert_eq!(found.idle(&[root.path()]), ["*.tmp", "!keep.tmp", "*.log", "/srv/elsewhere"]);
    }
}
