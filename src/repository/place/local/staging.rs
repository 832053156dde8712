//! Files that are being written.

use std::fs::File;
use std::io;

use super::handles::Directory;

/// How the names of temporary files begin; 32 hexadecimal digits follow.
const PREFIX: &str = "write-";

/// A temporary file that is removed again unless it got its name.
pub(super) struct Temporary<'a> {
    staging: &'a Directory,
    name: String,
    pub(super) file: File,
    is_kept: bool,
}

impl<'a> Temporary<'a> {
    pub(super) fn create(staging: &'a Directory) -> io::Result<Self> {
        let name = format!("{PREFIX}{:032x}", rand::random::<u128>());
        let file = staging.create_new(&name)?;
        Ok(Self { staging, name, file, is_kept: false })
    }

    pub(super) fn persist(mut self, directory: &Directory, name: &str) -> io::Result<()> {
        directory.take(self.staging, &self.name, name)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = self.staging.remove(&self.name);
        }
    }
}

/// Names of temporary files as this version makes them, and as earlier ones did.
pub(super) fn is_temporary(name: &str) -> bool {
    match name.strip_prefix(PREFIX) {
        Some(rest) => rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    }
}
