//! What the operator wants left out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{OrFailed, Result};

/// Compiled `exclude` patterns.
#[derive(Debug, Clone)]
pub struct Excludes {
    names: GlobSet,
    paths: GlobSet,
}

impl Excludes {
    /// Nothing is left out.
    pub fn none() -> Self {
        Self { names: GlobSet::empty(), paths: GlobSet::empty() }
    }

    /// Of `patterns`: one without a slash is held against names, one with against the path below the root.
    pub fn new(patterns: &[String]) -> Result<Self> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            // A trailing slash is how many tools write "directory".
            let bare = pattern.trim_end_matches('/');
            let (set, bare) =
                if bare.contains('/') { (&mut paths, bare.trim_start_matches('/')) } else { (&mut names, bare) };
            let glob = GlobBuilder::new(bare).literal_separator(true).build();
            set.add(glob.or_failed(format!("read `exclude` pattern {pattern:?}"))?);
        }
        let what = "compile `exclude`";
        Ok(Self { names: names.build().or_failed(what)?, paths: paths.build().or_failed(what)? })
    }

    /// Whether the entry `name`, whose path below the root is `relative`, is left out.
    pub fn matches(&self, name: &[u8], relative: &[u8]) -> bool {
        // What git keeps is one thing: a branch may be called `build`, and nobody means that.
        let in_git = relative.split(|byte| *byte == b'/').rev().skip(1).any(|part| part == b".git");
        (!in_git && self.names.is_match(OsStr::from_bytes(name))) || self.paths.is_match(OsStr::from_bytes(relative))
    }

    /// Whether `relative`, a path below the root, or a directory it is in, is left out.
    pub fn covers(&self, relative: &Path) -> bool {
        let above = relative.ancestors().filter(|path| !path.as_os_str().is_empty());
        above.into_iter().any(|path| {
            let name = path.file_name().unwrap_or_default();
            self.matches(name.as_bytes(), path.as_os_str().as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_slash_is_for_names_and_one_with_for_paths_below_the_root() {
        let patterns = ["*.retry", "cache/", "/build/*.o", "**/x/y"].map(str::to_owned);
        let excludes = Excludes::new(&patterns).unwrap();
        let matches = |path: &str| excludes.matches(path.rsplit('/').next().unwrap().as_bytes(), path.as_bytes());
        for left_out in ["a.retry", "deep/er/b.retry", "a/cache", "build/a.o", "x/y", "a/b/x/y"] {
            assert!(matches(left_out), "{left_out}");
        }
        for kept in ["retry", "a.retry.txt", "build/deep/a.o", "a/build/a.o", "y", "xx/y"] {
            assert!(!matches(kept), "{kept}");
        }
        assert!(excludes.matches(b"\xff.retry", b"\xff.retry"));
        assert!(!Excludes::none().matches(b"a", b"a"));
    }
}
