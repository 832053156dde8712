//! The lock under which the ledger's file is made, brought up to date or put beside, and who else is at work beside it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::error::{Error, Kind, OrFailed, Result, Side};
use crate::run_context::Cancel;

/// How often a lock that is held is tried again, and how long is waited in between: half a minute in all.
const ATTEMPTS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// Nobody else opens the ledger while this is held. Waits for at most 30 s, and no longer than until `stop`.
///
/// Errors: [`Kind::Cancelled`] once `stop` was asked for, [`Kind::Busy`] where somebody holds it for longer.
pub(super) fn lock(state_dir: &Path, stop: &Cancel) -> Result<File> {
    lock_within(state_dir, stop, ATTEMPTS)
}

fn lock_within(state_dir: &Path, stop: &Cancel, attempts: u32) -> Result<File> {
    let path = state_dir.join("ledger.lock");
    let what = || format!("cannot lock `{}`", path.display());
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(&path).map_err(|error| {
        Error::failed(what())
            .because(error)
            .hint("set `state_dir` to a directory that the user who runs backup-sla may write")
            .on(Side::State)
    })?;
    for _ in 0..attempts {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(error) => return Err(Error::failed(what()).because(error).on(Side::State)),
        }
        stop.check().map_err(|error| error.context(what()))?;
        std::thread::sleep(PAUSE);
    }
    let holder = holder(&file).map_or("another process".to_owned(), |pid| format!("process {pid}"));
    let waited = (PAUSE * attempts).as_secs();
    Err(Error::new(Kind::Busy, format!("{}: {holder} has held it for more than {waited} s", what()))
        .hint("see what that process waits for; often a disk hangs")
        .on(Side::State))
}

/// The process that holds the lock, as far as the kernel tells.
fn holder(file: &File) -> Option<u32> {
    let number = file.metadata().ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END
        let fields: Vec<&str> = line.split_whitespace().collect();
        let place = fields.get(5).filter(|_| fields.get(1) == Some(&"FLOCK"))?;
        (place.rsplit(':').next() == Some(&number)).then(|| fields[4].parse().ok().filter(|pid| *pid > 0))?
    })
}

/// Whether the service or an operation of any process is at work on this state directory.
pub fn is_in_use(state_dir: &Path) -> Result<bool> {
    let what = || format!("cannot look at the locks in {}", state_dir.display());
    for path in lock_files(state_dir).or_failed(what())? {
        let Ok(lock) = File::open(&path) else { continue };
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(true),
            Err(error) => return Err(Error::failed(what()).because(error)),
        }
    }
    Ok(false)
}

/// Whether a service or an operation ever was at work here. Their locks are taken once the ledger is open, so there was one.
pub(super) fn was_in_use(state_dir: &Path) -> Result<bool> {
    let found = lock_files(state_dir).or_failed(format!("cannot look at the locks in {}", state_dir.display()))?;
    Ok(!found.is_empty())
}

fn lock_files(state_dir: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    let entries = match fs::read_dir(state_dir.join("locks")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "lock") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Device and number of a file; none if it is not there.
pub(super) fn identity(file: &Path) -> Option<(u64, u64)> {
    fs::metadata(file).ok().map(|facts| (facts.dev(), facts.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_names_its_holder_and_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path(), &Cancel::default()).unwrap();
        let error = lock_within(dir.path(), &Cancel::default(), 2).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        assert!(error.to_string().contains(&format!("process {} has held it", std::process::id())), "{error}");
        drop(held);
        // A child that another test starts at this moment has the lock, too, until it becomes its program.
        lock_within(dir.path(), &Cancel::default(), 100).unwrap();
    }

    #[test]
    fn waiting_for_a_lock_ends_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let _held = lock(dir.path(), &Cancel::default()).unwrap();
        let stop = Cancel::default();
        stop.cancel();
        assert_eq!(lock(dir.path(), &stop).unwrap_err().kind(), Kind::Cancelled);
    }
}
