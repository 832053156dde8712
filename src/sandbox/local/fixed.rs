//! What a server finds in directories of its instance that it cannot change itself.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::error::{OrFailed, Result};
use crate::sandbox::Text;

/// Links and files. Names are paths below the instance's directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fixed {
    /// Symbolic links: name and where each leads.
    pub(super) links: Vec<(String, PathBuf)>,
    /// Small files: name and text.
    pub(super) files: Vec<(String, Text)>,
    /// The link to the program that it is called by, if it looks for something beside itself.
    pub(super) called_by: Option<String>,
}

impl Fixed {
    /// Make them in `directory`, after everything else in it was given to the server: what they are in is ours.
    pub(super) fn make(&self, directory: &Path, written: impl Fn(&Text) -> String) -> Result<()> {
        for (name, target) in &self.links {
            let path = directory.join(name);
            let what = || format!("cannot link {} to {}", path.display(), target.display());
            make_parent(&path).or_inconclusive(what())?;
            symlink(target, &path).or_inconclusive(what())?;
        }
        for (name, text) in &self.files {
            let path = directory.join(name);
            let what = || format!("cannot write {}", path.display());
            make_parent(&path).or_inconclusive(what())?;
            fs::write(&path, written(text)).or_inconclusive(what())?;
            fs::set_permissions(&path, Permissions::from_mode(0o644)).or_inconclusive(what())?;
        }
        Ok(())
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    let Some(place) = path.parent() else { return Ok(()) };
    DirBuilder::new().recursive(true).create(place)?;
    // A mode given when it is made is cut by the umask.
    fs::set_permissions(place, Permissions::from_mode(0o755))
}
