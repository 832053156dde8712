//! Locks of the state directory: one service, and one operation of a kind on a source. And what is said where that directory
//! cannot be written.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::App;
use super::private::state_failure;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::ledger::Operation;

/// Bytes that are written to find out whether the state directory takes any: as many as the ledger needs for a record.
const PROBE: usize = 64 * 1024;

/// Held while an operation works on a source; released when dropped or when the process dies.
#[derive(Debug)]
pub struct SourceLock(#[allow(dead_code)] File);

/// Held by the one service on a state directory; released when dropped or when the process dies.
#[derive(Debug)]
pub struct ServiceLock(#[allow(dead_code)] File);

impl App {
    /// Process id of the service on this state directory, if one runs.
    pub fn service_pid(&self) -> Result<Option<u32>> {
        let path = self.config.state_dir.join("locks/service.lock");
        let Ok(mut file) = File::open(&path) else { return Ok(None) };
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).or_failed(format!("cannot read {}", path.display()))?;
                Ok(holder.trim().parse().ok())
            }
            Err(error) => {
                Err(Error::failed(format!("cannot look for a running service by {}", path.display())).because(error))
            }
        }
    }

    /// The file by which the service is asked to cancel what it runs on a source.
    pub fn cancel_request(&self, source: &str, operation: Operation) -> PathBuf {
        self.config.state_dir.join("locks").join(format!("{source}.{operation}.cancel"))
    }

    /// Take the lock of the service: two schedulers on one state directory would do everything twice.
    pub fn lock_service(&self) -> Result<ServiceLock> {
        let path = self.config.state_dir.join("locks/service.lock");
        let file = lock_options().read(true).open(&path);
        let mut file = file.map_err(|error| state_failure(format!("cannot open lock {}", path.display()), error))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let (place, pid) = (self.config.state_dir.display(), holder.trim());
                let what = format!("state_dir {place} is in use by another service (PID {pid})");
                return Err(Error::failed(what).hint("end it first, or give this one a `state_dir` of its own"));
            }
            Err(error) => return Err(Error::failed(format!("cannot lock {}", path.display())).because(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .or_failed(format!("cannot write {}", path.display()))?;
        Ok(ServiceLock(file))
    }

    /// Whether something can be written to the state directory now.
    pub fn check_state(&self) -> Result<()> {
        let path = self.config.state_dir.join(format!(".written-by-{}", std::process::id()));
        let written = lock_options().open(&path).and_then(|mut file| file.write_all(&vec![0; PROBE]));
        let _ = fs::remove_file(&path);
        written.map_err(|error| {
            state_failure(format!("cannot write to the state directory {}", self.config.state_dir.display()), error)
        })
    }

    /// Whether a service runs on this state directory.
    pub fn is_served(&self) -> Result<bool> {
        is_served(&self.config.state_dir)
    }

    /// Take the lock of a source for `operation`: a drill that takes hours must not keep the backups away. Fails at once if another operation, of any process, holds it.
    pub fn lock(&self, source: &str, operation: &str) -> Result<SourceLock> {
        let path = self.config.state_dir.join("locks").join(format!("{source}.{operation}.lock"));
        let file = lock_options().open(&path);
        let file = file.map_err(|error| state_failure(format!("cannot open lock {}", path.display()), error))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(SourceLock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
                Kind::Busy,
                format!("cannot lock source {source}: another {operation} of it is running"),
            )
            .hint("wait for it to end; `backup-sla status` shows what is running")),
            Err(error) => Err(Error::failed(format!("cannot lock source {source}")).because(error)),
        }
    }
}

/// A lock is a file of our own: what somebody put there as a link is not followed.
fn lock_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let no_links = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_links);
    options
}

fn is_served(state_dir: &Path) -> Result<bool> {
    let path = state_dir.join("locks/service.lock");
    let Ok(file) = std::fs::File::open(&path) else { return Ok(false) };
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(Error::failed(format!("cannot look at lock {}", path.display())).because(error)),
    }
}
