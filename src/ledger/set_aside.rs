//! A ledger that is damaged must not keep backups from being taken: it is put beside, never deleted, and a new one is begun
//! from what the repositories list.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags};

use super::open::identity;
use super::{FILE_NAME, Ledger};
use crate::clock::Clock;
use crate::error::{Error, OrFailed, Result, Side};

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

impl Ledger {
    /// [`Ledger::open`], and where the file is damaged a new one beside it. `thorough`: read the file for damage first.
    ///
    /// Errors: as of [`Ledger::open`], but for damage.
    pub async fn open_or_begin_anew(state_dir: &Path, clock: Arc<dyn Clock>, thorough: bool) -> Result<Self> {
        let file = identity(&state_dir.join(FILE_NAME));
        let damage = match Self::open(state_dir, clock.clone()).await {
            Ok(ledger) if !thorough => return Ok(ledger),
            Ok(ledger) => match ledger.look_for_damage().await {
                Ok(()) => return Ok(ledger),
                Err(error) if is_damage(&error) => {
                    ledger.close().await;
                    error
                }
                Err(error) => return Err(error),
            },
            Err(error) if is_damage(&error) => error,
            Err(error) => return Err(error),
        };
        let kept = put_beside(state_dir, file, &*clock)?;
        tracing::error!(
            hint = "what it knew of earlier runs and drills is lost to reports; keep the file, look at the disk, and see the \
                    runbook of BackupSlaLedgerDamaged",
            "the ledger is damaged and was put beside as {}; a new one is begun from what the repositories list: {damage}",
            kept.display()
        );
        Self::open(state_dir, clock).await
    }

    /// An error where the file is not what SQLite wrote. Reads all of it.
    async fn look_for_damage(&self) -> Result<()> {
        let failed = |error| super::open::ledger_error("look for damage", error);
        let found = super::schema::damaged_page(&self.pool).await.map_err(failed)?;
        found.map_or(Ok(()), |found| Err(failed(sqlx::Error::Database(Box::new(Found(found))))))
    }
}

/// Rename the damaged ledger, unless somebody else has done it. Where it is now.
fn put_beside(state_dir: &Path, damaged: Option<(u64, u64)>, clock: &dyn Clock) -> Result<PathBuf> {
    let what = || format!("cannot put the damaged ledger in {} beside", state_dir.display());
    let _lock = lock(state_dir).or_failed(what())?;
    let file = state_dir.join(FILE_NAME);
    let now = clock.wall().format("%Y%m%dT%H%M%S%.3fZ");
    let kept = state_dir.join(format!("{FILE_NAME}{MARK}{now}"));
    if identity(&file) != damaged {
        return Ok(set_aside(state_dir).pop().unwrap_or(kept));
    }
    for suffix in BESIDE {
        let name = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        match fs::rename(name(&file), name(&kept)) {
            Err(error) if suffix.is_empty() || error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::failed(what()).because(error).on(Side::State));
            }
            _ => {}
        }
    }
    Ok(kept)
}

/// Nobody opens the ledger meanwhile.
fn lock(state_dir: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let lock = options.open(state_dir.join("ledger.lock"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

/// Damage that `quick_check` found, told as SQLite's own error.
#[derive(Debug)]
struct Found(String);

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
