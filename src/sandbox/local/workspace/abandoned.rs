//! Directories of sandboxes whose owners are gone: what still runs in them is ended, and they are wiped.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Record, lock_area, record_path, wipe};
use crate::clock::Clock;
use crate::error::{OrFailed, Result};
use crate::sandbox::local::processes::end_processes;

/// A directory whose owner is gone.
pub(in crate::sandbox::local) struct Abandoned {
    directory: PathBuf,
    /// Held so that nobody else takes care of it at the same time.
    _lock: File,
}

impl Abandoned {
    pub(in crate::sandbox::local) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kill what still runs in it and wipe it. Gives the process that was still running.
    pub(in crate::sandbox::local) fn remove(self, clock: &Arc<dyn Clock>) -> Result<Option<u32>> {
        let server = end_processes(&self.directory, clock)?;
        let record = fs::read(record_path(&self.directory)).ok();
        let record: Option<Record> = record.and_then(|text| serde_json::from_slice(&text).ok());
        wipe(&self.directory, record.and_then(|record| record.socket_directory).as_deref())?;
        Ok(server)
    }
}

/// Directories in `area` that nobody owns. Records without a directory are removed on the way.
pub(in crate::sandbox::local) fn abandoned(area: &Path) -> Result<Vec<Abandoned>> {
    let what = || format!("cannot look for leftover sandboxes in {}", area.display());
    let area_lock = match lock_area(area) {
        // It went with its last instance.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.or_inconclusive(what())?,
    };
    let mut found = Vec::new();
    let entries = match fs::read_dir(area) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.or_inconclusive(what())?,
    };
    for entry in entries {
        let path = entry.or_inconclusive(what())?.path();
        if !path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            sweep_record(&path);
            continue;
        }
        let lock = File::open(&path).or_inconclusive(what())?;
        match lock.try_lock() {
            Ok(()) => found.push(Abandoned { directory: path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => Err(error).or_inconclusive(what())?,
        }
    }
    drop(area_lock);
    Ok(found)
}

/// When each instance in `area` was made: by its record, or by its directory where that has none (any more).
pub(in crate::sandbox::local) fn existing(area: &Path) -> Result<Vec<DateTime<Utc>>> {
    let what = || format!("cannot count the sandboxes in {}", area.display());
    let entries = match fs::read_dir(area) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.or_failed(what())?,
    };
    let mut made = Vec::new();
    for entry in entries {
        let path = entry.or_failed(what())?.path();
        // What is not there any more was removed in between.
        let Ok(facts) = path.symlink_metadata() else { continue };
        if facts.is_dir() {
            let record = fs::read(record_path(&path)).ok();
            let record = record.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
            made.push(match record {
                Some(record) => record.created,
                None => facts.modified().or_failed(what())?.into(),
            });
        }
    }
    Ok(made)
}

/// A record can outlive its directory if its process is killed between the two removals.
fn sweep_record(path: &Path) {
    let name = path.to_string_lossy();
    let described = name.strip_suffix(".json").or_else(|| name.strip_suffix(".json.new"));
    if described.is_some_and(|directory| !Path::new(directory).exists()) {
        // Tried again next time.
        let _ = fs::remove_file(path);
    }
}
