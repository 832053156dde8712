//! One private directory in an area, what is known about it, and its end.
//!
//! The owner holds a lock on the directory for as long as it lives; the kernel drops the lock with the process, whatever
//! ends it. So "locked" means "in use" without any number that could be reused. The record beside the directory, out of
//! reach of the server's account, says what else belongs to the instance.

mod abandoned;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub(super) use self::abandoned::{abandoned, existing};
use super::account::Account;
use super::processes::end_processes;
use crate::clock::Clock;
use crate::error::{Error, OrFailed, Result};
use crate::process::identity::started;

/// Longest path that a unix socket can have on Linux, without the final zero.
const SOCKET_PATH_BYTES: usize = 107;
/// Names of directories in it: see [`Workspace::mountpoint`] and [`Workspace::nowhere`].
const MOUNTPOINT: &str = "view";
const NOWHERE: &str = "nowhere";
/// Name of the socket.
const SOCKET: &str = "server.sock";

/// What the record of an instance says. Only `socket_directory` is acted upon; the rest is for people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// When it was made.
    pub(super) created: DateTime<Utc>,
    /// The process that made it.
    pub(super) owner: ProcessStamp,
    /// The server, once it runs.
    pub(super) server: Option<ProcessStamp>,
    /// A second directory, only for the socket: the path into the first is too long for one.
    pub(super) socket_directory: Option<PathBuf>,
}

/// A process for as long as the machine is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessStamp {
    /// Its id.
    pub(super) pid: u32,
    /// When it was started, in clock ticks since boot.
    pub(super) started: Option<u64>,
}

impl ProcessStamp {
    fn of(pid: u32) -> Self {
        Self { pid, started: started(pid) }
    }
}

/// A private directory that this process owns until it is removed.
pub(super) struct Workspace {
    directory: PathBuf,
    record: Record,
    account: Option<Account>,
    /// Held, never used: closing it says that nobody owns the directory any more.
    _lock: File,
    clock: Arc<dyn Clock>,
    removed: bool,
}

impl Workspace {
    /// Make `name` in `area`: 0700, not yet of `account`.
    pub(super) fn create(area: &Path, name: &str, account: Option<&Account>, clock: &Arc<dyn Clock>) -> Result<Self> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(Error::inconclusive(format!("cannot make a sandbox directory: `{name}` is not a file name")));
        }
        let directory = area.join(name);
        let what = || format!("cannot make sandbox directory {}", directory.display());
        let lock = make_locked(area, &directory).or_inconclusive(what())?;
        let owner = ProcessStamp::of(std::process::id());
        let record = Record { created: clock.wall(), owner, server: None, socket_directory: None };
        let mut workspace = Self {
            directory: directory.clone(),
            record,
            account: account.cloned(),
            _lock: lock,
            clock: clock.clone(),
            removed: false,
        };
        // From here on a failure removes it again.
        if directory.join(SOCKET).as_os_str().len() > SOCKET_PATH_BYTES {
            let private = Permissions::from_mode(0o700);
            let short = tempfile::Builder::new().prefix("bsla-").permissions(private).tempdir();
            let short = short.or_inconclusive(what())?;
            let path = short.keep();
            workspace.record.socket_directory = Some(path.clone());
            if path.join(SOCKET).as_os_str().len() > SOCKET_PATH_BYTES {
                return Err(Error::inconclusive(format!("{}: {} is too long for a socket", what(), path.display()))
                    .hint("set TMPDIR to a short path"));
            }
            workspace.hand_over_one(&path).or_inconclusive(what())?;
        }
        workspace.write_record()?;
        for (name, mode) in [("tmp", 0o700), (MOUNTPOINT, 0o700), (NOWHERE, 0o500)] {
            DirBuilder::new().mode(mode).create(directory.join(name)).or_inconclusive(what())?;
        }
        Ok(workspace)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Make an empty data directory.
    pub(super) fn make_data(&self) -> Result<()> {
        let data = self.data();
        DirBuilder::new().mode(0o700).create(&data).or_inconclusive(format!("cannot make {}", data.display()))
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.directory.join("tmp")
    }

    /// Where the root of a program's own view of the host is put together.
    pub(super) fn mountpoint(&self) -> PathBuf {
        self.directory.join(MOUNTPOINT)
    }

    /// A directory that holds nothing and takes nothing.
    pub(super) fn nowhere(&self) -> PathBuf {
        self.directory.join(NOWHERE)
    }

    /// Directories to take the place of others in a program's view, one after the other.
    pub(super) fn outside(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let directory = self.directory.join("outside");
        (0..).map(move |number: u32| directory.join(number.to_string()))
    }

    /// Make the first `count` of them.
    pub(super) fn make_outside(&self, count: usize) -> Result<()> {
        self.outside().take(count).try_for_each(|path| {
            let done = DirBuilder::new().mode(0o700).recursive(true).create(&path);
            done.or_inconclusive(format!("cannot make {}", path.display()))
        })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.record.socket_directory.as_ref().unwrap_or(&self.directory).join(SOCKET)
    }

    pub(super) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Give everything in it to the server's account. Before any of its processes runs.
    pub(super) fn hand_over(&self) -> Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        super::copying::change_owner(&self.directory, account.uid, account.gid).or_inconclusive(format!(
            "cannot give {} to user {}",
            self.directory.display(),
            account.name
        ))
    }

    fn hand_over_one(&self, path: &Path) -> io::Result<()> {
        self.account.as_ref().map_or(Ok(()), |account| lchown(path, Some(account.uid), Some(account.gid)))
    }

    /// Note the server's process.
    pub(super) fn record_server(&mut self, pid: u32) -> Result<()> {
        self.record.server = Some(ProcessStamp::of(pid));
        self.write_record()
    }

    fn write_record(&self) -> Result<()> {
        let path = record_path(&self.directory);
        let text = serde_json::to_vec_pretty(&self.record).or_inconclusive("cannot describe the sandbox")?;
        let new = path.with_extension("json.new");
        fs::write(&new, text)
            .and_then(|()| fs::set_permissions(&new, Permissions::from_mode(0o600)))
            .and_then(|()| fs::rename(&new, &path))
            .or_inconclusive(format!("cannot write {}", path.display()))
    }

    /// Kill what still runs in it, also what left the server's process group, and wipe it.
    pub(super) fn remove(&mut self) -> Result<()> {
        self.removed = true;
        end_processes(&self.directory, &self.clock)?;
        wipe(&self.directory, self.record.socket_directory.as_deref())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if !self.removed
            && let Err(error) = self.remove()
        {
            tracing::error!(hint = error.hint_text(), "{error}");
        }
    }
}

/// While this is held no directory in the area is new and not yet locked.
fn lock_area(area: &Path) -> io::Result<File> {
    let file = File::open(area)?;
    file.lock()?;
    Ok(file)
}

fn make_locked(area: &Path, directory: &Path) -> io::Result<File> {
    let area_lock = lock_area(area)?;
    DirBuilder::new().mode(0o700).create(directory)?;
    let lock = File::open(directory)?;
    lock.lock()?;
    drop(area_lock);
    Ok(lock)
}

fn record_path(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

/// The record goes last: while it is there, the rest is found again. Only a socket directory of our own making is
/// believed: the record is ours, but a mistake in it must not cost somebody's files.
fn wipe(directory: &Path, socket_directory: Option<&Path>) -> Result<()> {
    let own = |path: &&Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"bsla-"));
    for path in [Some(directory), socket_directory.filter(own)].into_iter().flatten() {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                make_removable(path).and_then(|()| fs::remove_dir_all(path))
            }
            other => other,
        }
        .or_inconclusive(format!("cannot wipe sandbox {}", path.display()))
        .map_err(|e| e.hint("it holds restored data: remove it by hand"))?;
    }
    match fs::remove_file(record_path(directory)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).or_inconclusive(format!("cannot remove the record of sandbox {}", directory.display()))?;
        }
        _ => {}
    }
    if let Some(area) = directory.parent() {
        super::area::leave(area);
    }
    Ok(())
}

/// A restored tree may have directories that not even their owner may empty.
fn make_removable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_removable(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn create(area: &Path, name: &str) -> Result<Workspace> {
        Workspace::create(area, name, None, &SystemClock::shared())
    }

    #[test]
    fn a_directory_that_its_owner_may_not_write_to_is_removed_all_the_same() {
        let area = tempfile::tempdir().unwrap();
        let workspace = create(area.path(), "run").unwrap();
        let inner = workspace.directory().join("tmp/inner");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("file"), "").unwrap();
        fs::set_permissions(&inner, Permissions::from_mode(0o500)).unwrap();
        make_removable(workspace.directory()).unwrap();
        assert_eq!(inner.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(workspace);
        assert_eq!(fs::read_dir(area.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_owned_directory_is_private_recorded_and_not_abandoned() {
        let area = tempfile::tempdir().unwrap();
        let workspace = create(area.path(), "run").unwrap();
        assert_eq!(workspace.directory().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let record: Record = serde_json::from_slice(&fs::read(area.path().join("run.json")).unwrap()).unwrap();
        assert_eq!(record.owner, ProcessStamp::of(std::process::id()));
        assert!(abandoned(area.path()).unwrap().is_empty());
        drop(workspace);
        assert_eq!(fs::read_dir(area.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_without_owner_is_removed_with_its_record_and_socket_directory() {
        let area = tempfile::tempdir().unwrap();
        let long = area.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        let mut workspace = create(&long, "run").unwrap();
        let socket = workspace.socket();
        assert!(socket.as_os_str().len() < 108 && socket.parent().unwrap().is_dir());
        workspace.removed = true; // as if we were killed
        drop(workspace);
        let found = abandoned(&long).unwrap();
        assert_eq!(found.len(), 1);
        assert!(abandoned(&long).unwrap().is_empty(), "somebody already takes care of it");
        for one in found {
            assert_eq!(one.remove(&SystemClock::shared()).unwrap(), None);
        }
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
        assert!(!socket.parent().unwrap().exists());
    }

    #[test]
    fn a_record_without_directory_is_swept_up() {
        let area = tempfile::tempdir().unwrap();
        fs::write(area.path().join("old.json"), "{}").unwrap();
        fs::write(area.path().join("old.json.new"), "{}").unwrap();
        assert!(abandoned(area.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(area.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_that_leads_elsewhere_or_is_taken_is_refused() {
        let area = tempfile::tempdir().unwrap();
        for name in ["", "..", "a/b", ".hidden"] {
            assert!(create(area.path(), name).err().unwrap().to_string().contains("not a file name"), "{name}");
        }
        let _first = create(area.path(), "run").unwrap();
        assert!(create(area.path(), "run").err().unwrap().to_string().contains("exists"));
        assert!(area.path().join("run").is_dir(), "the first one is left alone");
    }
}
