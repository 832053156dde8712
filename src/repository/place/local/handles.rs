//! Files and directories below a root that others can write, reached by handles and never through a link.
//!
//! Whoever can write to a place's directory could put a link, a named pipe or a device where a file or directory
//! should be. Followed by a service that runs as root, it would read, write, delete or wait elsewhere. So each step goes
//! from a handle to one name in it, and what is there must be of the kind that it should be. The root itself is the
//! operator's: links that lead to it are followed.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, flock, fstat, fsync, linkat, mkdirat,
    openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::super::{Item, ItemKind, Stamp, Unexpected};

/// Mode of new directories: their names alone say when and how much is backed up.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// How long a lock may be held by somebody else, and how often it is tried: whoever can open a directory can lock it.
const LOCK_PATIENCE: Duration = Duration::from_mins(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    handle: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Open the root. The operator may have put a link on the way to it.
    pub fn root(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { handle: openat(CWD, path, flags, Mode::empty())?, path: path.to_owned() })
    }

    /// Make the root, for this user alone.
    pub fn make_root(path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(DIRECTORY_MODE).create(path)
    }

    /// Open the directory `name` in this one.
    pub fn enter(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Self { handle, path: self.path.join(name) }),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(self.unexpected(name, "a directory")),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, and make it if it is missing. Whether it was made is told.
    pub fn enter_or_make(&self, name: &str) -> io::Result<(Self, bool)> {
        match self.enter(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other.map(|directory| (directory, false)),
        }
        let made = match mkdirat(&self.handle, name, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        self.enter(name).map(|directory| (directory, made))
    }

    /// Open the regular file `name` to read it.
    pub fn open(&self, name: &str) -> io::Result<File> {
        // Opening a device or a pipe may already do something: look first, and again at what was opened.
        if !matches!(self.kind_of(name)?, FileType::RegularFile) {
            return Err(self.unexpected(name, "a file"));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.handle, name, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NXIO) => return Err(self.unexpected(name, "a file")),
            other => other?,
        };
        if kind(&fstat(&file)?) == FileType::RegularFile {
            Ok(file.into())
        } else {
            Err(self.unexpected(name, "a file"))
        }
    }

    /// Make the file `name`, which must not be there.
    pub fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::from_raw_mode(FILE_MODE))?.into())
    }

    /// Move the file `name` of `from` here under the name `new`, which must be free.
    pub fn take(&self, from: &Self, name: &str, new: &str) -> io::Result<()> {
        match renameat_with(&from.handle, name, &self.handle, new, RenameFlags::NOREPLACE) {
            // Some network file systems cannot do it in one step.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                linkat(&from.handle, name, &self.handle, new, AtFlags::empty())?;
                Ok(unlinkat(&from.handle, name, AtFlags::empty())?)
            }
            other => Ok(other?),
        }
    }

    /// Remove the name of a file or of a link; never what a link leads to.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// What is in it; nothing in it is followed.
    pub fn items(&self) -> io::Result<Vec<Item>> {
        let mut items = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let name = entry?.file_name().to_owned();
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            match statat(&self.handle, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(facts) => items.push(item(name.to_string_lossy().into_owned(), &facts)),
                // Removed by somebody else since the directory was read.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(items)
    }

    /// What `name` is, not followed.
    pub fn item(&self, name: &str) -> io::Result<Item> {
        Ok(item(name.to_owned(), &statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Bring its names to the disk.
    pub fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.handle)?)
    }

    /// Lock it, `shared` or alone, until it is dropped. Whoever else can open it can lock it, too: the wait has an end.
    pub fn lock(&self, shared: bool) -> io::Result<()> {
        let mut waited = Duration::ZERO;
        while !self.try_lock(shared)? {
            if waited >= LOCK_PATIENCE {
                let text = format!("another process has held a lock on {} for {LOCK_PATIENCE:?}", self.path.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(LOCK_PAUSE);
            waited += LOCK_PAUSE;
        }
        Ok(())
    }

    /// The same without waiting: whether it was locked.
    pub fn try_lock(&self, shared: bool) -> io::Result<bool> {
        let how = if shared { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
        match flock(&self.handle, how) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn kind_of(&self, name: &str) -> io::Result<FileType> {
        Ok(kind(&statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn unexpected(&self, name: &str, wanted: &'static str) -> io::Error {
        let found = match self.kind_of(name) {
            Ok(FileType::Symlink) => "a symbolic link",
            Ok(FileType::RegularFile) => "a file",
            Ok(FileType::Directory) => "a directory",
            Ok(FileType::Fifo) => "a named pipe",
            Ok(FileType::Socket) => "a socket",
            Ok(FileType::BlockDevice | FileType::CharacterDevice) => "a device",
            _ => "something else",
        };
        io::Error::other(Unexpected { path: self.path.join(name).display().to_string(), found, wanted })
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

fn kind(facts: &Stat) -> FileType {
    FileType::from_raw_mode(facts.st_mode)
}

#[allow(clippy::useless_conversion, clippy::unnecessary_cast, clippy::cast_sign_loss)] // the types differ between architectures
fn item(name: String, facts: &Stat) -> Item {
    let kind = match kind(facts) {
        FileType::RegularFile => ItemKind::File,
        FileType::Directory => ItemKind::Directory,
        FileType::Symlink => ItemKind::Link,
        _ => ItemKind::Other,
    };
    let changed = Stamp(facts.st_mtime as i64, facts.st_mtime_nsec as u64);
    let stamp = (kind == ItemKind::Directory).then_some(changed);
    Item { name, kind, length: u64::try_from(facts.st_size).unwrap_or(0), stamp }
}
