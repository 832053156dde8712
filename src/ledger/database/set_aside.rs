//! A ledger that is damaged must not keep backups from being taken: it is put beside, never deleted, and a new one is begun
//! from what the repositories list.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::lock::{identity, is_in_use, lock, was_in_use};
use crate::error::{Error, Result, Side};
use crate::ledger::FILE_NAME;
use crate::run_context::Cancel;

/// What stands between the ledger's name and the time at which it was found to be damaged.
const MARK: &str = ".damaged-";
/// What SQLite keeps beside the file.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// Whether an error says that the ledger's file is damaged, or is no ledger. (SQLite's CORRUPT and NOTADB.)
pub fn is_damage(error: &Error) -> bool {
    let code = error.cause::<sqlx::Error>().and_then(|error| error.as_database_error()?.code()?.parse::<u32>().ok());
    matches!(code.map(|code| code & 0xff), Some(11 | 26))
}

/// Ledgers that were put beside because they were damaged, oldest first.
pub fn set_aside(state_dir: &Path) -> Vec<PathBuf> {
    let begin = format!("{FILE_NAME}{MARK}");
    let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let is_one = |name: &str| name.starts_with(&begin) && !name.ends_with("-wal") && !name.ends_with("-shm");
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(is_one)).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Rename the damaged ledger, unless somebody else has done it. Where it is now.
pub(super) fn put_beside(
    state_dir: &Path,
    damaged: Option<(u64, u64)>,
    now: DateTime<Utc>,
    stop: &Cancel,
) -> Result<PathBuf> {
    let what = || format!("cannot set aside the damaged ledger in {}", state_dir.display());
    let _lock = lock(state_dir, stop).map_err(|error| error.context(what()))?;
    let kept = name_beside(state_dir, now);
    if identity(&state_dir.join(FILE_NAME)) != damaged {
        return Ok(set_aside(state_dir).pop().unwrap_or(kept));
    }
    rename(state_dir, &kept).map_err(|error| Error::failed(what()).because(error).on(Side::State))?;
    Ok(kept)
}

/// A ledger that was here once and is missing or empty counts as a damaged one: with it went the memory of which repositories
/// are meant and of what was in them. An empty file stands for what is missing. The caller holds the lock.
pub(super) fn note_loss(state_dir: &Path, now: DateTime<Utc>) -> Result<()> {
    let file = state_dir.join(FILE_NAME);
    let length = fs::metadata(&file).ok().map(|facts| facts.len());
    if length.is_some_and(|length| length > 0) || !was_in_use(state_dir)? {
        return Ok(());
    }
    let what = || format!("cannot set aside the lost ledger in {}", state_dir.display());
    let failed = |error: io::Error| Error::failed(what()).because(error).on(Side::State);
    let kept = name_beside(state_dir, now);
    if !is_in_use(state_dir)? {
        rename(state_dir, &kept).map_err(failed)?;
    } else if length.is_some() {
        // Whoever has it open would write into the new one as if it were the old one.
        let what =
            format!("cannot use ledger `{}`: it was emptied, and a running backup-sla has it open", file.display());
        return Err(Error::failed(what)
            .hint("the service notices this and restarts with a new ledger: try again then")
            .on(Side::State));
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(&kept).map_err(failed)?;
    tracing::error!(
        hint = "find out who removed or emptied it: what was known of the identity of repositories is lost with it; see the \
                runbook of BackupSlaLedgerDamaged",
        "the ledger was removed or emptied; a new one is started from what the repositories list, and {} stands for the lost one",
        kept.display()
    );
    Ok(())
}

fn name_beside(state_dir: &Path, now: DateTime<Utc>) -> PathBuf {
    state_dir.join(format!("{FILE_NAME}{MARK}{}", now.format("%Y%m%dT%H%M%S%.3fZ")))
}

/// Rename the ledger and what belongs to it, as much of it as there is.
fn rename(state_dir: &Path, kept: &Path) -> io::Result<()> {
    for suffix in BESIDE {
        let name = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        match fs::rename(name(&state_dir.join(FILE_NAME)), name(kept)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Damage that `quick_check` found, told as SQLite's own error.
#[derive(Debug)]
pub(super) struct Found(pub(super) String);

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Found {}

impl sqlx::error::DatabaseError for Found {
    fn message(&self) -> &str {
        &self.0
    }
    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some("11".into())
    }
    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }
    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }
    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }
    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}
