//! Walks a tree in the order of the index, one entry at a time, by handles of directories: a path that is swapped for a
//! link meanwhile leads nowhere.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, fstatfs, openat, readlinkat, statat};
use rustix::io::Errno;

use super::entry::{Entry, Kind, join};
use super::exclude::Excludes;
use super::text::Name;

/// How often an entry that is swapped for another while it is looked at is looked at again.
const ATTEMPTS: usize = 3;
/// Attributes of a file that are promised. Labels of security modules belong to the host, not to the tree.
pub const XATTRS: [&str; 5] =
    ["user.", "trusted.", "security.capability", "system.posix_acl_access", "system.posix_acl_default"];
/// File systems without files of their own: proc, sysfs, devpts, cgroup (2), debugfs, tracefs, securityfs, pstore, bpf.
const OF_THE_KERNEL: [u32; 10] = [
    0x9fa0,
    0x6265_6572,
    0x1cd1,
    0x0027_e0eb,
    0x6367_7270,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6165_676c,
    0xcafe_4a11,
];

/// What the walk came to.
pub enum Step {
    /// An entry; its content is still to be read.
    Found(Found),
    /// Was listed and is gone.
    Vanished(Name),
    /// Is there and cannot be read.
    Unreadable(Name, Errno),
    /// Left out because `exclude` says so.
    Excluded,
    /// Left out for this reason.
    LeftOut(Name, &'static str),
    /// It was another one whenever it was looked at.
    Replaced(Name),
}

/// An entry with a handle to reach it.
pub struct Found {
    /// Everything but the digest of a regular file, and the first name of a hard link.
    pub entry: Entry,
    /// Device and inode number.
    pub identity: (u64, u64),
    /// Number of its names.
    pub names: u64,
    directory: Arc<OwnedFd>,
    name: CString,
}

impl Found {
    /// Open the regular file; `STALE` where it is not the one that was found any more.
    pub fn open(&self) -> Result<File, Errno> {
        // The file is not "read" in the sense that whoever looks at the times of last access means.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = |more| openat(&*self.directory, &*self.name, flags | more, Mode::empty());
        let file = open(OFlags::NOATIME).or_else(|error| match error {
            Errno::PERM => open(OFlags::empty()),
            other => Err(other),
        })?;
        if identity(&fstat(&file)?) == self.identity { Ok(file.into()) } else { Err(Errno::STALE) }
    }

    /// Look at it again.
    pub fn again(&self) -> Result<Self, Errno> {
        look(&self.directory, &self.name, &self.entry.path.0)
    }
}

/// Device and inode number.
pub fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

struct Listing {
    directory: Arc<OwnedFd>,
    path: Vec<u8>,
    names: VecDeque<CString>,
}

/// The walk over one root.
pub struct Walk {
    excludes: Excludes,
    root: Vec<u8>,
    start: Option<(Arc<OwnedFd>, CString)>,
    stack: Vec<Listing>,
}

impl Walk {
    /// Over the entry `name` of `directory`, which is called `root` in the index.
    pub fn new(directory: OwnedFd, name: CString, root: &[u8], excludes: Excludes) -> Self {
        Self { excludes, root: root.to_vec(), start: Some((Arc::new(directory), name)), stack: Vec::new() }
    }

    /// Over the configured path `path` of this host. A link there is followed; links below are not.
    pub fn of_source(path: &Path, excludes: Excludes) -> Result<Self, std::io::Error> {
        let real = path.canonicalize()?;
        let name = real.file_name().map_or(&b"."[..], OsStr::as_bytes);
        let directory = open_directory(rustix::fs::CWD, real.parent().unwrap_or(&real).as_os_str().as_bytes())?;
        Ok(Self::new(directory, CString::new(name)?, &archive_path(path), excludes))
    }

    fn visit(&mut self, directory: &Arc<OwnedFd>, name: &CStr, path: &[u8]) -> Step {
        for _ in 0..ATTEMPTS {
            let found = match look(directory, name, path) {
                Ok(found) => found,
                Err(Errno::NOENT) => return Step::Vanished(Name(path.to_vec())),
                Err(Errno::STALE | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(Errno::OPNOTSUPP) => return Step::LeftOut(Name(path.to_vec()), "is a socket"),
                Err(error) => return Step::Unreadable(Name(path.to_vec()), error),
            };
            if found.entry.kind != Kind::Directory {
                return Step::Found(found);
            }
            match self.enter(directory, name, path) {
                Ok(Some(entered)) => return Step::Found(entered),
                Ok(None) => return Step::LeftOut(Name(path.to_vec()), "is a file system of the kernel's own"),
                Err(Errno::NOENT) => return Step::Vanished(Name(path.to_vec())),
                Err(Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Step::Unreadable(Name(path.to_vec()), error),
            }
        }
        Step::Replaced(Name(path.to_vec()))
    }

    /// Open and list a directory. What is said of it is of the directory that was opened.
    #[allow(clippy::useless_conversion)] // the type differs between architectures
    fn enter(&mut self, parent: &Arc<OwnedFd>, name: &CStr, path: &[u8]) -> Result<Option<Found>, Errno> {
        let directory = Arc::new(open_directory(&**parent, name.to_bytes())?);
        let kind = fstatfs(&*directory)?.f_type;
        if path != self.root && OF_THE_KERNEL.iter().any(|magic| i64::from(*magic) == i64::from(kind)) {
            return Ok(None);
        }
        let here = CString::default();
        let found = Found {
            entry: describe(&directory, c".", path, &fstat(&*directory)?)?,
            identity: identity(&fstat(&*directory)?),
            names: 1,
            directory: directory.clone(),
            name: here,
        };
        let mut names = Vec::new();
        for item in Dir::read_from(&*directory)? {
            let name = item?.file_name().to_owned();
            if name.as_c_str() != c"." && name.as_c_str() != c".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        self.stack.push(Listing { directory, path: path.to_vec(), names: names.into() });
        Ok(Some(found))
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some((directory, name)) = self.start.take() {
            let root = self.root.clone();
            return Some(self.visit(&directory, &name, &root));
        }
        loop {
            let listing = self.stack.last_mut()?;
            let Some(name) = listing.names.pop_front() else {
                self.stack.pop();
                continue;
            };
            let (directory, path) = (listing.directory.clone(), join(&listing.path, name.to_bytes()));
            let relative = path.get(self.root.len()..).unwrap_or_default();
            let relative = relative.strip_prefix(b"/").unwrap_or(relative);
            if self.excludes.matches(name.to_bytes(), relative, &path) {
                return Some(Step::Excluded);
            }
            return Some(self.visit(&directory, &name, &path));
        }
    }
}

/// The name in the archive of the absolute path `path`.
pub fn archive_path(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    bytes.strip_prefix(b"/").unwrap_or(bytes).to_vec()
}

/// Open a directory that is no link.
pub fn open_directory(parent: impl std::os::fd::AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

#[allow(clippy::useless_conversion)] // the type differs between architectures
fn look(directory: &Arc<OwnedFd>, name: &CStr, path: &[u8]) -> Result<Found, Errno> {
    let stat = statat(&**directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Found {
        entry: describe(directory, name, path, &stat)?,
        identity: identity(&stat),
        names: u64::from(stat.st_nlink),
        directory: directory.clone(),
        name: name.to_owned(),
    })
}

/// What the index says of an entry. A socket is not supported, a link that is none any more is stale.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap, clippy::unnecessary_cast)]
fn describe(directory: &OwnedFd, name: &CStr, path: &[u8], stat: &Stat) -> Result<Entry, Errno> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::Character,
        FileType::BlockDevice => Kind::Block,
        _ => return Err(Errno::OPNOTSUPP),
    };
    let target = match kind {
        Kind::Symlink => match readlinkat(directory, name, Vec::new()) {
            Ok(target) => Some(Name(target.into_bytes())),
            Err(Errno::INVAL) => return Err(Errno::STALE),
            Err(error) => return Err(error),
        },
        _ => None,
    };
    let device = kind.is_device().then(|| (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)));
    Ok(Entry {
        path: Name(path.to_vec()),
        kind,
        mode: if kind == Kind::Symlink { 0 } else { stat.st_mode & 0o7777 },
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        size: if kind == Kind::File { stat.st_size as u64 } else { 0 },
        sha256: None,
        target,
        hard_link: None,
        xattrs: xattrs(directory, name)?,
        device,
    })
}

/// A path that leads to `name` in `directory` for the calls that only take paths.
pub fn path_of(directory: &OwnedFd, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat()
}

fn xattrs(directory: &OwnedFd, name: &CStr) -> Result<BTreeMap<Name, Name>, Errno> {
    let path = path_of(directory, name.to_bytes());
    let size = match rustix::fs::llistxattr_query(&*path) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        size => size?,
    };
    let mut list = Vec::with_capacity(size + 256);
    rustix::fs::llistxattr(&*path, rustix::buffer::spare_capacity(&mut list))?;
    let mut found = BTreeMap::new();
    for key in list.split(|byte| *byte == 0).filter(|key| XATTRS.iter().any(|kept| key.starts_with(kept.as_bytes()))) {
        let size = match rustix::fs::lgetxattr_query(&*path, key) {
            Err(Errno::NODATA) => continue,
            size => size?,
        };
        let mut value = Vec::with_capacity(size + 1);
        match rustix::fs::lgetxattr(&*path, key, rustix::buffer::spare_capacity(&mut value)) {
            Ok(_) => drop(found.insert(Name(key.to_vec()), Name(value))),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
