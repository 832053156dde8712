//! Where files are restored to. Every path of an archive is walked from the destination's own handle, part by part, and
//! no link is ever followed: whatever an archive or a neighbour puts there, nothing outside is reached.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fchown,
    flistxattr, fremovexattr, fsetxattr, fstat, ftruncate, futimens, linkat, lsetxattr, makedev, mkdirat, mknodat,
    openat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::entry::{Entry, Kind};
use super::powers::Powers;
use super::text::Name;
use super::walk::{XATTRS, open_directory, path_of};
use crate::error::{Error, OrFailed, Result};

/// Runs of zeros from this length on become holes, in bytes.
const HOLE: usize = 64 * 1024;

/// A directory that is filled, with the one that leads to it.
struct Level {
    name: Vec<u8>,
    directory: Arc<OwnedFd>,
    /// What it becomes when everything below is there.
    becomes: Option<Entry>,
}

/// A destination that is being filled, in the order of the walk.
pub struct Place {
    levels: Vec<Level>,
    overwrite: bool,
    powers: Powers,
    /// Attributes that could not be set, by name.
    pub refused: BTreeSet<String>,
}

impl Place {
    /// Fill the directory at `path`.
    pub fn new(path: &Path, overwrite: bool, powers: Powers) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            Error::failed(format!("cannot open destination {}", path.display()))
                .because(io::Error::from(error))
                .hint("create the directory first")
        })?;
        let top = Level { name: Vec::new(), directory: Arc::new(directory), becomes: None };
        Ok(Self { levels: vec![top], overwrite, powers, refused: BTreeSet::new() })
    }

    /// The destination itself.
    pub fn top(&self) -> &OwnedFd {
        &self.levels[0].directory
    }

    /// Put `entry` in its place; `data` are the bytes of a regular file.
    pub fn put(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        self.try_put(entry, data).map_err(|error| {
            let refused =
                matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::LOOP | Errno::NOTDIR));
            let error = super::stored::from_io(error).context(format!("cannot restore {}", entry.path));
            if refused {
                error.hint("something in its path is no directory: nothing is written through links")
            } else {
                error
            }
        })
    }

    fn try_put(&mut self, entry: &Entry, data: &mut dyn Read) -> io::Result<()> {
        if entry.path.0.is_empty() {
            self.levels[0].becomes = Some(entry.clone());
            return Ok(());
        }
        let directory = self.enter(&entry.path.0)?;
        let name = entry.name().to_vec();
        if entry.kind == Kind::Directory {
            return self.directory(&directory, entry, &name);
        }
        // A file takes the place of what is there when it is whole, and not before.
        if self.overwrite && (entry.kind != Kind::File || entry.hard_link.is_some()) {
            match unlinkat(&*directory, &*name, AtFlags::empty()) {
                Err(Errno::NOENT) | Ok(()) => {}
                // An empty directory may go, a full one is not ours to remove.
                Err(Errno::ISDIR) => unlinkat(&*directory, &*name, AtFlags::REMOVEDIR)?,
                Err(error) => return Err(error.into()),
            }
        }
        match (entry.kind, &entry.hard_link) {
            (_, Some(first)) => return self.link(&first.0, &directory, &name),
            (Kind::File, None) => return self.file(&directory, entry, data),
            (Kind::Symlink, None) => {
                let target = entry.target.as_ref().map_or(&[][..], |target| &target.0);
                symlinkat(target, &*directory, &*name)?;
            }
            (Kind::Fifo, None) => mknodat(&*directory, &*name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?,
            (kind, None) => {
                let kind = if kind == Kind::Block { FileType::BlockDevice } else { FileType::CharacterDevice };
                let (major, minor) = entry.device.unwrap_or_default();
                mknodat(&*directory, &*name, kind, Mode::from_raw_mode(0o600), makedev(major, minor))?;
            }
        }
        self.dress_unopened(&directory, entry, &name)
    }

    /// The handle of the directory that `path` is in; directories that are complete are finished on the way.
    fn enter(&mut self, path: &[u8]) -> io::Result<Arc<OwnedFd>> {
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let parents = &parts[..parts.len() - 1];
        let common = self.levels[1..].iter().zip(parents).take_while(|(level, part)| level.name == **part).count();
        while self.levels.len() > common + 1 {
            self.leave()?;
        }
        for part in &parents[common..] {
            let above = self.levels[self.levels.len() - 1].directory.clone();
            let directory = match open_directory(&*above, part) {
                // On the way to what is restored: nothing is promised of it.
                Err(Errno::NOENT) => {
                    mkdirat(&*above, *part, Mode::from_raw_mode(0o755))?;
                    open_directory(&*above, part)?
                }
                other => other?,
            };
            self.levels.push(Level { name: part.to_vec(), directory: Arc::new(directory), becomes: None });
        }
        Ok(self.levels[self.levels.len() - 1].directory.clone())
    }

    fn directory(&mut self, parent: &Arc<OwnedFd>, entry: &Entry, name: &[u8]) -> io::Result<()> {
        match mkdirat(&**parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) if self.overwrite => {
                let there = statat(&**parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let kind = FileType::from_raw_mode(there.st_mode);
                // Whoever put it there has the files elsewhere: they would stay as they are.
                if kind == FileType::Symlink {
                    return Err(io::Error::other("a link stands where a directory belongs: restore to another place"));
                }
                if kind != FileType::Directory {
                    unlinkat(&**parent, name, AtFlags::empty())?;
                    mkdirat(&**parent, name, Mode::from_raw_mode(0o700))?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        let directory = Arc::new(open_directory(&**parent, name)?);
        self.levels.push(Level { name: name.to_vec(), directory, becomes: Some(entry.clone()) });
        Ok(())
    }

    /// A later name of a file that is there already, found part by part as everything else.
    fn link(&self, first: &[u8], directory: &OwnedFd, name: &[u8]) -> io::Result<()> {
        let mut parts: Vec<&[u8]> = first.split(|byte| *byte == b'/').collect();
        let last = parts.pop().unwrap_or_default();
        let mut at = self.levels[0].directory.clone();
        for part in parts {
            at = Arc::new(open_directory(&*at, part)?);
        }
        if FileType::from_raw_mode(statat(&*at, last, AtFlags::SYMLINK_NOFOLLOW)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("its first name is not a regular file"));
        }
        Ok(linkat(&*at, last, directory, name, AtFlags::empty())?)
    }

    fn file(&mut self, directory: &OwnedFd, entry: &Entry, data: &mut dyn Read) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !self.overwrite {
            let file: File = openat(directory, entry.name(), flags, Mode::from_raw_mode(0o600))?.into();
            return self.fill(&file, entry, data);
        }
        let beside = format!(".backup-sla-{}", ulid::Ulid::generate());
        let file: File = openat(directory, beside.as_str(), flags, Mode::from_raw_mode(0o600))?.into();
        let placed = self.fill(&file, entry, data).and_then(|()| {
            match renameat(directory, beside.as_str(), directory, entry.name()) {
                // An empty directory may go, a full one is not ours to remove.
                Err(Errno::ISDIR) => {
                    unlinkat(directory, entry.name(), AtFlags::REMOVEDIR)?;
                    Ok(renameat(directory, beside.as_str(), directory, entry.name())?)
                }
                other => Ok(other?),
            }
        });
        if placed.is_err() {
            // What matters is why it is not there; the half of it is only in the way.
            let _ = unlinkat(directory, beside.as_str(), AtFlags::empty());
        }
        placed
    }

    fn fill(&mut self, file: &File, entry: &Entry, data: &mut dyn Read) -> io::Result<()> {
        write_sparse(file, entry.size, data)?;
        // Readable by others only when everything else is as it was; a change of owner takes setuid and capabilities away.
        self.own(|| fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))))?;
        self.attributes_of(file.as_fd(), entry);
        fchmod(file, Mode::from_raw_mode(entry.mode))?;
        Ok(futimens(file, &times(entry))?)
    }

    /// The attributes of what is open, and no others: a directory may have given it some of its own.
    fn attributes_of(&mut self, handle: BorrowedFd<'_>, entry: &Entry) {
        for key in inherited(handle).iter().filter(|key| !entry.xattrs.contains_key(*key)) {
            let _ = fremovexattr(handle, &*key.0);
        }
        for (key, value) in &entry.xattrs {
            if self.powers.may_set(&key.0)
                && let Err(error) = fsetxattr(handle, &*key.0, &value.0, XattrFlags::empty())
            {
                self.refuse(key, error);
            }
        }
    }

    /// Owner, mode and times of what is not opened: links, fifos, devices.
    fn dress_unopened(&mut self, directory: &OwnedFd, entry: &Entry, name: &[u8]) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
        self.own(|| chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))?;
        self.attributes(directory, entry, name);
        if entry.kind != Kind::Symlink {
            // A handle that names it without opening it: the mode goes to what was made here and to nothing else.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let node = openat(directory, name, flags, Mode::empty())?;
            let made = FileType::from_raw_mode(fstat(&node)?.st_mode);
            if made == FileType::Symlink {
                return Err(Errno::LOOP.into());
            }
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&node));
            rustix::fs::chmod(path, Mode::from_raw_mode(entry.mode))?;
        }
        Ok(utimensat(directory, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Change the owner, where this process may.
    fn own(&self, change: impl FnOnce() -> Result<(), Errno>) -> io::Result<()> {
        if self.powers.owners { Ok(change()?) } else { Ok(()) }
    }

    /// What cannot be set is remembered: whether it matters is for the comparison to say.
    fn attributes(&mut self, directory: &OwnedFd, entry: &Entry, name: &[u8]) {
        for (key, value) in &entry.xattrs {
            if self.powers.may_set(&key.0)
                && let Err(error) = lsetxattr(&*path_of(directory, name), &*key.0, &value.0, XattrFlags::empty())
            {
                self.refuse(key, error);
            }
        }
    }

    fn refuse(&mut self, key: &Name, error: Errno) {
        if self.refused.len() < 20 {
            self.refused.insert(format!("attribute {key} could not be set: {error}"));
        }
    }

    /// Everything below the innermost directory is there: give it its owner, mode and times.
    fn leave(&mut self) -> io::Result<()> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        self.dress_directory(&level)
    }

    fn dress_directory(&mut self, level: &Level) -> io::Result<()> {
        let Some(entry) = &level.becomes else { return Ok(()) };
        let directory = &level.directory;
        self.own(|| fchown(directory.as_fd(), Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))))?;
        self.attributes_of(directory.as_fd(), entry);
        fchmod(directory.as_fd(), Mode::from_raw_mode(entry.mode))?;
        Ok(futimens(directory.as_fd(), &times(entry))?)
    }

    /// Finish every directory that is still open and get everything to the disk.
    pub fn finish(&mut self) -> Result<()> {
        while self.levels.len() > 1 {
            self.leave().or_failed("cannot set owner, mode and times of a restored directory")?;
        }
        let top = Level {
            name: Vec::new(),
            directory: self.levels[0].directory.clone(),
            becomes: self.levels[0].becomes.take(),
        };
        self.dress_directory(&top).or_failed("cannot set owner, mode and times of the destination")?;
        rustix::fs::syncfs(self.top()).map_err(io::Error::from).or_failed("cannot write restored files to the disk")
    }
}

/// Names of the attributes, of the kinds that are backed up, that something open has.
fn inherited(handle: BorrowedFd<'_>) -> Vec<Name> {
    let mut list = Vec::with_capacity(4096);
    if flistxattr(handle, rustix::buffer::spare_capacity(&mut list)).is_err() {
        return Vec::new();
    }
    let kept = |key: &&[u8]| XATTRS.iter().any(|kept| key.starts_with(kept.as_bytes()));
    list.split(|byte| *byte == 0).filter(kept).map(|key| Name(key.to_vec())).collect()
}

fn times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: entry.mtime.0, tv_nsec: entry.mtime.1.into() },
    }
}

/// Write `size` bytes of `data`; long runs of zeros take no room on the disk.
fn write_sparse(file: &File, size: u64, data: &mut dyn Read) -> io::Result<()> {
    let (mut buffer, mut at) = (vec![0; HOLE.min(usize::try_from(size).unwrap_or(HOLE))], 0);
    let mut hole_at_end = false;
    while at < size {
        let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(buffer.len());
        data.read_exact(&mut buffer[..length])?;
        hole_at_end = length == HOLE && buffer[..length].iter().all(|byte| *byte == 0);
        if !hole_at_end {
            file.write_all_at(&buffer[..length], at)?;
        }
        at += length as u64;
    }
    if hole_at_end { Ok(ftruncate(file, size)?) } else { Ok(()) }
}
