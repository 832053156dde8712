//! Files of the state directory that nobody else reads, and what is said where they cannot be written.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::error::{Error, Result, Side};

/// A failed system call in the state directory, with what the person on call can do about it.
pub(super) fn state_failure(what: String, error: io::Error) -> Error {
    let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    let hint = match error.kind() {
        _ if is_link => "there is a link where a file of ours must be: find out who made it, and remove it",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the file system of `state_dir` is full: free space there or make it larger; the repositories are elsewhere"
        }
        io::ErrorKind::ReadOnlyFilesystem => "the file system of `state_dir` is mounted read-only",
        io::ErrorKind::PermissionDenied => {
            "the user that runs backup-sla must own `state_dir`, or set it to a place that this user may write"
        }
        _ => "look at the file system of `state_dir`",
    };
    Error::failed(what).because(error).hint(hint).on(Side::State)
}

pub(super) fn private_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| state_failure(format!("cannot create directory {}", path.display()), error))
}
