//! Private directories for what the tool reads and writes, under `state_dir`: what a killed run left goes with the next one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{OrFailed, Result, Side};

/// Where the directories of one source are.
#[derive(Debug, Clone)]
pub struct Staging(PathBuf);

/// A directory (0700), gone when dropped. Its owner holds a lock on it, which the kernel drops with the process.
#[derive(Debug)]
pub struct Staged {
    directory: tempfile::TempDir,
    _lock: File,
}

impl Staged {
    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Staging {
    /// Directories below `root`, which is this source's own and need not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    /// A new directory; those that nobody owns any more are removed first.
    pub fn make(&self) -> Result<Staged> {
        self.try_make().map_err(|error| error.on(Side::State))
    }

    fn try_make(&self) -> Result<Staged> {
        let what = || format!("cannot prepare {}", self.0.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).or_failed(what())?;
        self.sweep().or_failed(what())?;
        let directory = tempfile::Builder::new().prefix("run-").tempdir_in(&self.0).or_failed(what())?;
        let lock = File::open(directory.path()).or_failed(what())?;
        lock.lock().or_failed(what())?;
        Ok(Staged { directory, _lock: lock })
    }

    /// A directory that was just made may not be locked yet: only what is not empty is a leftover.
    fn sweep(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.0)? {
            let path = entry?.path();
            let Ok(directory) = File::open(&path) else { continue };
            let used = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
            if used && directory.try_lock().is_ok() {
                std::fs::remove_dir_all(&path)?;
            }
        }
        Ok(())
    }
}

/// Write a file that only we can read.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).or_inconclusive(what())?;
    file.write_all(bytes).or_inconclusive(what())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_go_and_what_is_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let staging = Staging::new(root.path().join("source"));
        let ours = staging.make().unwrap();
        write_private(&ours.path().join("data"), b"x").unwrap();
        let left = root.path().join("source/run-left");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("data"), "x").unwrap();
        let other = staging.make().unwrap();
        assert!(!left.exists() && ours.path().join("data").exists() && other.path().is_dir());
        drop(other);
        drop(ours);
        assert_eq!(std::fs::read_dir(root.path().join("source")).unwrap().count(), 0);
    }
}
