//! Locks of the state directory: one service, and one operation of a kind on a source. And what is said where that directory
//! cannot be written.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::App;
use super::private::state_failure;
use crate::clock::Stopwatch;
use crate::domain::manifest::BackupKind;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::ledger::Operation;
use crate::run_context::Cancel;

/// Bytes that are written to find out whether the state directory takes any: as many as the ledger needs for a record.
const PROBE: usize = 64 * 1024;

/// What takes a full backup of a source holds this lock of it until it is published.
///
/// Whoever takes both locks takes this one first.
pub const BACKUP: &str = "backup";
/// What takes an increment of a source holds this lock of it, and a full backup while it ends the chain before it and is published:
/// so each backup continues the one before, and increments go on while a full backup is read.
pub const INCREMENT: &str = "increment";
/// How long somebody who asks for a backup waits for an increment that is just being taken.
const LONGEST_INCREMENT: Duration = Duration::from_secs(30);
/// A mark is not longer.
const MARK_BYTES: u64 = 64;

/// A child process that this one has just begun has its locks, too, until it is another program: for so long, and so often, whoever finds
/// a lock taken looks again.
const FORKED: Duration = Duration::from_millis(20);
const FORKED_LOOKS: u32 = 5;

/// How soon somebody who waits for a repository looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How long nobody begins to store while somebody waits for a repository to free room there: longer than increments take, and shorter than
/// any RPO. A full backup takes longer, so this comes to an end, and again.
const TURN: Duration = Duration::from_secs(20);
const TURN_EVERY: Duration = Duration::from_mins(2);

/// Held while an operation works on a source; released when dropped or when the process dies.
#[derive(Debug)]
pub struct SourceLock {
    #[allow(dead_code)]
    file: File,
    /// What whoever held it before wrote into it.
    found: String,
    /// What is in it now; nothing where nothing could be written.
    mark: String,
}

impl SourceLock {
    /// What tells this time that it is held from all others.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Whether nobody held it since it had this `mark`.
    pub fn is_next_after(&self, mark: &str) -> bool {
        !mark.is_empty() && self.found == mark
    }
}

/// Held while something is stored in a repository or read from it, or while something is removed there; released when dropped
/// or when the process dies.
#[derive(Debug)]
pub struct RepositoryLock(#[allow(dead_code)] File);

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
            Err(error) => Err(Error::failed("cannot tell whether a service runs").because(error)),
        }
    }

    /// The file by which the service is asked to cancel what it runs on a source. An increment may be taken beside a full backup.
    pub fn cancel_request(&self, source: &str, operation: Operation, kind: Option<BackupKind>) -> PathBuf {
        let what = if kind == Some(BackupKind::Incremental) { INCREMENT } else { operation.name() };
        self.config.state_dir.join("locks").join(format!("{source}.{what}.cancel"))
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
                return Err(Error::failed(what).hint("stop that service first, or give this one another `state_dir`"));
            }
            Err(error) => return Err(Error::failed("cannot lock the service").because(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .or_failed("cannot write the service's lock")?;
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

    /// Keep others of this host from freeing room in the repository `name` while something is stored there; waits for one
    /// that does, or whose turn it is. Before any lock of a source, which would hold others up meanwhile.
    pub fn storing_in(&self, name: &str, cancel: &Cancel) -> Result<RepositoryLock> {
        let mut is_said = false;
        loop {
            let is_free = self.try_lock(&turn(name), FlockOperation::NonBlockingLockShared)?.is_some();
            let lock = if is_free { self.try_repository(name, FlockOperation::NonBlockingLockShared)? } else { None };
            if let Some(lock) = lock {
                return Ok(lock);
            }
            if !std::mem::replace(&mut is_said, true) {
                tracing::info!(repository = %name, "waiting: maintenance frees space in repository {name}");
            }
            cancel.check()?;
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Keep everybody of this host from storing in the repository `name`; none where somebody stores there for longer than
    /// `patience`. Where many sources are followed, somebody stores something at any time: so from time to time nobody begins to for a
    /// while.
    pub fn freeing_in(&self, name: &str, patience: Duration, cancel: &Cancel) -> Result<Option<RepositoryLock>> {
        let waited = Stopwatch::start(&self.clock);
        let mut turn_taken = None;
        loop {
            if let Some(lock) = self.try_repository(name, FlockOperation::NonBlockingLockExclusive)? {
                return Ok(Some(lock));
            }
            cancel.check()?;
            if waited.elapsed() >= patience {
                return Ok(None);
            }
            let is_turn = waited.elapsed().as_secs() % TURN_EVERY.as_secs() < TURN.as_secs();
            turn_taken = match turn_taken {
                None if is_turn => self.try_lock(&turn(name), FlockOperation::NonBlockingLockExclusive)?,
                taken => taken.filter(|_| is_turn),
            };
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Keep the recovery points of `source` from being removed while one of them is read; waits for a removal to end.
    pub fn reading_from(&self, source: &str, cancel: &Cancel) -> Result<RepositoryLock> {
        loop {
            if let Some(lock) = self.try_lock(&format!("{source}.points"), FlockOperation::NonBlockingLockShared)? {
                return Ok(lock);
            }
            cancel.check()?;
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Keep everybody of this host from reading recovery points of `source`; none where somebody does.
    pub fn removing_from(&self, source: &str) -> Result<Option<RepositoryLock>> {
        self.try_lock(&format!("{source}.points"), FlockOperation::NonBlockingLockExclusive)
    }

    fn try_repository(&self, name: &str, how: FlockOperation) -> Result<Option<RepositoryLock>> {
        self.try_lock(&format!("{name}.repository"), how)
    }

    fn try_lock(&self, name: &str, how: FlockOperation) -> Result<Option<RepositoryLock>> {
        let path = self.config.state_dir.join("locks").join(format!("{name}.lock"));
        let file = lock_options().open(&path);
        let file = file.map_err(|error| state_failure(format!("cannot open lock {}", path.display()), error))?;
        match rustix::fs::flock(&file, how) {
            Ok(()) => Ok(Some(RepositoryLock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Error::failed(format!("cannot lock {}", path.display())).because(error)),
        }
    }

    /// [`Self::lock`] for an increment that somebody asked for. Increments that are taken all the time hold it every few seconds: the end
    /// of one is waited for.
    pub fn lock_for_increment(&self, source: &str, cancel: &Cancel) -> Result<SourceLock> {
        let waited = Stopwatch::start(&self.clock);
        let is_followed = self.config.sources.get(source).is_some_and(|source| source.schedule.continuous.is_some());
        loop {
            match self.lock(source, INCREMENT) {
                Err(error) if error.kind() == Kind::Busy && is_followed && waited.elapsed() < LONGEST_INCREMENT => {
                    cancel.check()?;
                    std::thread::sleep(LOOK_AGAIN);
                }
                locked => return locked,
            }
        }
    }

    /// [`Self::lock`] that waits for whoever holds it.
    pub fn lock_when_free(&self, source: &str, operation: &str, cancel: &Cancel) -> Result<SourceLock> {
        loop {
            match self.lock(source, operation) {
                Err(error) if error.kind() == Kind::Busy => {
                    cancel.check()?;
                    std::thread::sleep(LOOK_AGAIN);
                }
                locked => return locked,
            }
        }
    }

    /// Take the lock of a source for `operation`: a drill that takes hours must not keep the backups away. Fails at once if another operation, of any process, holds it.
    pub fn lock(&self, source: &str, operation: &str) -> Result<SourceLock> {
        let path = self.config.state_dir.join("locks").join(format!("{source}.{operation}.lock"));
        let file = lock_options().read(true).open(&path);
        let file = file.map_err(|error| state_failure(format!("cannot open lock {}", path.display()), error))?;
        let mut taken = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        for _ in 0..FORKED_LOOKS {
            if taken != Err(rustix::io::Errno::WOULDBLOCK) {
                break;
            }
            std::thread::sleep(FORKED);
            taken = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        }
        match taken {
            Ok(()) => Ok(marked(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
                Kind::Busy,
                format!("cannot lock source {source}: another {operation} of it is running"),
            )
            .hint("wait for it to end; `backup-sla status` shows what is running")),
            Err(error) => Err(Error::failed(format!("cannot lock source {source}")).because(error)),
        }
    }
}

/// A lock that was taken, with a new mark in it. On a full disk it has none, which only costs whoever asks for it a look.
fn marked(mut file: File) -> SourceLock {
    let mut found = String::new();
    let _ = (&file).take(MARK_BYTES).read_to_string(&mut found);
    let mark = ulid::Ulid::generate().to_string();
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(mark.as_bytes()));
    SourceLock { file, found, mark: if written.is_ok() { mark } else { String::new() } }
}

/// Of the lock that whoever wants to free room in a repository holds for a while.
fn turn(repository: &str) -> String {
    format!("{repository}.turn")
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
        Err(error) => Err(Error::failed(format!("cannot test lock {}", path.display())).because(error)),
    }
}
