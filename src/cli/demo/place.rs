//! What every demo writes: lines for people, its key and its configuration.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::output;
use crate::cli::session::Session;
use crate::error::{OrFailed, Result};

/// A line for people.
pub(super) fn say(session: &Session<'_>, text: &str) -> Result<()> {
    if session.json { Ok(()) } else { output::line(text) }
}

/// A new key, and the configuration.
pub(super) fn write_configuration(directory: &Path, text: &str) -> Result<PathBuf> {
    let key = directory.join("repository.key");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&key)
        .or_failed("cannot write the repository key")?;
    writeln!(file, "{}", ulid::Ulid::generate()).or_failed("cannot write the repository key")?;
    let path = directory.join("config.toml");
    fs::write(&path, text).or_failed("cannot write the demo's configuration")?;
    Ok(path)
}
