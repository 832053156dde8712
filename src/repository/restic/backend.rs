//! The files of a restic repository in a local directory: our own backend for `rustic_core`.
//!
//! A file appears under its name only when it is whole and on the disk: temporary file, write, fsync, rename without
//! overwriting, fsync of the directory. After that it is read again and held against its name, which is the SHA-256 of its
//! content. Temporary files live in `tmp/`, which restic ignores; a writer holds a shared lock on that directory, so
//! whoever gets the exclusive lock knows that what lies there was left behind by a killed one.
//!
//! Others can write to the directory: everything is reached by [`Directory`] handles, and nothing is read further than
//! [`super::bounds`] allows.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use super::bounds;
use super::failure::{DAMAGE_HINT, io_failure, passed_on};
use super::handles::Directory;
use crate::error::{Error, Result, Side};

const STAGING: &str = "tmp";
const CONFIG: &str = "config";
pub(super) const DATA: &str = "data";
/// How the names of temporary files begin; 32 hexadecimal digits follow.
const TEMPORARY: &str = "write-";

/// A restic repository in a local directory. Knows files and their names, nothing of their content.
#[derive(Debug)]
pub struct LocalBackend {
    root: PathBuf,
}

impl LocalBackend {
    /// The repository in `root`; nothing is touched yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Remove what killed writers left behind, by names of our own making; does nothing while a writer is at work.
    pub fn remove_stale_files(&self) -> Result<()> {
        let remove = || -> io::Result<()> {
            let Some(staging) = present(self.open_root()?.enter(STAGING))? else { return Ok(()) };
            if !staging.try_lock(false)? {
                return Ok(());
            }
            for item in staging.items()? {
                if let Ok(name) = item.name.to_str()
                    && item.is_file()
                    && is_temporary(name)
                {
                    staging.remove(name)?;
                }
            }
            Ok(())
        };
        remove()
            .map_err(|error| io_failure(format!("remove stale files in {}", self.root.join(STAGING).display()), error))
    }

    /// Prove that files can be created here.
    pub fn create_staging(&self) -> io::Result<()> {
        let staging = self.join_writers()?;
        Temporary::create(&staging).map(drop)
    }

    /// As long as the returned directory lives, nobody takes temporary files for left behind.
    fn join_writers(&self) -> io::Result<Directory> {
        let (staging, _) = self.open_root()?.enter_or_make(STAGING)?;
        staging.lock(true)?;
        Ok(staging)
    }

    /// Create the directories of the layout.
    pub fn create_layout(&self) -> Result<()> {
        let create = || -> io::Result<()> {
            let root = self.open_root()?;
            for name in ["keys", "snapshots", "index", DATA, STAGING] {
                root.enter_or_make(name)?;
            }
            let data = root.enter(DATA)?;
            for prefix in 0..=255_u8 {
                data.enter_or_make(&format!("{prefix:02x}"))?;
            }
            data.sync()?;
            root.sync()
        };
        create().map_err(|e| io_failure(format!("create repository in {}", self.root.display()), e))
    }

    /// Whether there is nothing here but, at most, a layout whose creation was interrupted before anything was stored.
    pub fn is_begun_layout(&self) -> io::Result<bool> {
        for item in self.open_root()?.items()? {
            let known = ["keys", "snapshots", "index", DATA, "locks", STAGING, "lost+found"];
            if !known.iter().any(|known| item.name.as_bytes() == known.as_bytes()) {
                return Ok(false);
            }
        }
        let kept = [FileType::Snapshot, FileType::Index, FileType::Pack];
        Ok(kept.into_iter().all(|kind| self.files(kind).is_ok_and(|files| files.is_empty())))
    }

    /// Remove the keys of a layout that never got its config: they would open, and decrypt nothing.
    pub fn remove_keys(&self) -> Result<()> {
        for (id, _) in self.files(FileType::Key).map_err(|e| io_failure("list keys", e))? {
            self.remove_file(FileType::Key, &id)?;
        }
        Ok(())
    }

    /// An error that names every symbolic link where a directory should be. They are followed nowhere.
    pub fn refuse_links(&self) -> Result<()> {
        let failed = |e| io_failure(format!("look at the directories of {}", self.root.display()), e);
        let links = |directory: &Directory, is_looked_for: &dyn Fn(&str) -> bool| -> io::Result<Vec<String>> {
            let links = directory.items()?.into_iter().filter(super::handles::Item::is_link);
            let names = links.filter_map(|item| item.name.to_str().ok().map(str::to_owned));
            Ok(names.filter(|name| is_looked_for(name)).collect())
        };
        let Some(root) = present(self.open_root()).map_err(failed)? else { return Ok(()) };
        let ours = ["keys", "snapshots", "index", "locks", DATA, STAGING];
        let mut found = links(&root, &|name| ours.contains(&name)).map_err(failed)?;
        // If it is a link itself it is in the list.
        if let Ok(Some(data)) = present(root.enter(DATA)) {
            let is_prefix = |name: &str| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            found.extend(links(&data, &is_prefix).map_err(failed)?.into_iter().map(|name| format!("{DATA}/{name}")));
        }
        if found.is_empty() {
            return Ok(());
        }
        found.sort();
        let root = self.root.display();
        let shown: Vec<String> = found.iter().map(|name| format!("{root}/{name}")).collect();
        let what = format!("cannot use repository {root}: {} may not be a symbolic link", shown.join(", "));
        Err(Error::failed(what).on(Side::Repository).hint(format!(
            "whoever can change a link decides where backups are written. For a directory on another disk, remove the link, make a \
             directory in its place and mount the other one there: `mount --bind OTHER {}`",
            shown[0]
        )))
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opened each time: the file system that it is on may come and go.
    pub(super) fn open_root(&self) -> io::Result<Directory> {
        Directory::root(&self.root)
    }

    /// The directory that holds a file, and its name there.
    fn directory(&self, kind: FileType, id: &Id) -> io::Result<(Directory, String)> {
        let root = self.open_root()?;
        let name = id.to_hex().as_str().to_owned();
        Ok(match kind {
            FileType::Config => (root, CONFIG.to_owned()),
            FileType::Pack => (root.enter(DATA)?.enter(&name[..2])?, name),
            other => (root.enter(other.dirname())?, name),
        })
    }

    /// The same to write to: what is missing on the way is made.
    fn directory_to_write(&self, kind: FileType, id: &Id) -> io::Result<(Directory, String)> {
        let make = |above: &Directory, name: &str| -> io::Result<Directory> {
            let (directory, made) = above.enter_or_make(name)?;
            if made {
                above.sync()?;
            }
            Ok(directory)
        };
        let root = self.open_root()?;
        let name = id.to_hex().as_str().to_owned();
        Ok(match kind {
            FileType::Config => (root, CONFIG.to_owned()),
            FileType::Pack => (make(&make(&root, DATA)?, &name[..2])?, name),
            other => (make(&root, other.dirname())?, name),
        })
    }

    /// For messages.
    fn path(&self, kind: FileType, id: &Id) -> PathBuf {
        let name = id.to_hex();
        match kind {
            FileType::Config => self.root.join(CONFIG),
            FileType::Pack => self.root.join(DATA).join(&name.as_str()[..2]).join(name.as_str()),
            other => self.root.join(other.dirname()).join(name.as_str()),
        }
    }

    fn files(&self, kind: FileType) -> io::Result<Vec<(Id, u32)>> {
        let mut out = Vec::new();
        let Some(root) = present(self.open_root())? else { return Ok(out) };
        match kind {
            FileType::Config => {
                if root.has(CONFIG)? {
                    out.push((Id::default(), 0));
                }
            }
            FileType::Pack => {
                let Some(data) = present(root.enter(DATA))? else { return Ok(out) };
                for prefix in data.items()?.into_iter().filter(super::handles::Item::is_directory) {
                    if let Ok(name) = prefix.name.to_str()
                        && let Some(directory) = present(data.enter(name))?
                    {
                        list_files(&directory, &mut out)?;
                    }
                }
            }
            other => {
                if let Some(directory) = present(root.enter(other.dirname()))? {
                    list_files(&directory, &mut out)?;
                }
            }
        }
        Ok(out)
    }

    fn write_file(&self, kind: FileType, id: &Id, content: &BytesList) -> io::Result<()> {
        let staging = self.join_writers()?;
        let mut temporary = Temporary::create(&staging)?;
        for part in content.slice() {
            temporary.file.write_all(part)?;
        }
        temporary.file.sync_all()?;
        let (directory, name) = self.directory_to_write(kind, id)?;
        match temporary.persist(&directory, &name) {
            Ok(()) => directory.sync(),
            // The name is the hash of the content: the reading back that follows says whether it is the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write_and_read_back(&self, kind: FileType, id: &Id, content: &BytesList) -> Result<()> {
        let path = self.path(kind, id);
        let outcome = self
            .write_file(kind, id, content)
            .map_err(|e| io_failure(format!("write {}", path.display()), e))
            .and_then(|()| self.read_back(kind, id, content.size()));
        if outcome.is_err() && kind == FileType::Snapshot {
            // Renamed but not known to be safe on the disk: a snapshot that was reported as failed must not be listed.
            let _ = self.remove_file(kind, id);
        }
        outcome
    }

    fn read_back(&self, kind: FileType, id: &Id, length: usize) -> Result<()> {
        let path = self.path(kind, id);
        let what = || format!("read back {}", path.display());
        let mut file = self.open(kind, id).map_err(|e| io_failure(what(), e))?;
        let stored = file.metadata().map_err(|e| io_failure(what(), e))?.len();
        // The config's name is fixed; every other file is named by the hash of its content.
        let same = stored == length as u64 && (kind == FileType::Config || id.blob_matches_reader(stored, &mut file));
        if same { Ok(()) } else { Err(damaged(&path)) }
    }

    fn open(&self, kind: FileType, id: &Id) -> io::Result<File> {
        let (directory, name) = self.directory(kind, id)?;
        directory.open(&name)
    }

    fn read_whole(&self, kind: FileType, id: &Id) -> Result<Bytes> {
        let path = self.path(kind, id);
        let failed = |e| io_failure(format!("read {}", path.display()), e);
        let file = self.open(kind, id).map_err(failed)?;
        let longest = bounds::longest(kind);
        let length = file.metadata().map_err(failed)?.len();
        if length > longest {
            return Err(bounds::too_long(&path, length, longest));
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        // It may grow while it is read.
        file.take(longest).read_to_end(&mut content).map_err(failed)?;
        if kind != FileType::Config && !id.blob_matches_reader(content.len() as u64, &mut content.as_slice()) {
            return Err(damaged(&path));
        }
        Ok(content.into())
    }

    fn read_part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes> {
        let read = || -> io::Result<Vec<u8>> {
            let file = self.open(kind, id)?;
            if u64::from(offset) + u64::from(length) > file.metadata()?.len() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter"));
            }
            let mut part = vec![0; length as usize];
            file.read_exact_at(&mut part, u64::from(offset))?;
            Ok(part)
        };
        read().map(Bytes::from).map_err(|e| {
            let is_damage = matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound);
            let what = format!("read {length} bytes at {offset} of {}", self.path(kind, id).display());
            let error = io_failure(what, e);
            if is_damage { error.hint(DAMAGE_HINT) } else { error }
        })
    }

    fn remove_file(&self, kind: FileType, id: &Id) -> Result<()> {
        let remove = || -> io::Result<()> {
            let (directory, name) = self.directory(kind, id)?;
            directory.remove(&name)
        };
        remove().map_err(|e| io_failure(format!("remove {}", self.path(kind, id).display()), e))
    }
}

/// A file in `tmp/` that is removed again unless it became a file of the repository.
struct Temporary<'a> {
    staging: &'a Directory,
    name: String,
    file: File,
    is_kept: bool,
}

impl<'a> Temporary<'a> {
    fn create(staging: &'a Directory) -> io::Result<Self> {
        let name = format!("{TEMPORARY}{:032x}", rand::random::<u128>());
        let file = staging.create_new(&name)?;
        Ok(Self { staging, name, file, is_kept: false })
    }

    fn persist(mut self, directory: &Directory, name: &str) -> io::Result<()> {
        directory.take(self.staging, &self.name, name)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = self.staging.remove(&self.name);
        }
    }
}

/// Names of temporary files as this version makes them, and as earlier ones did.
fn is_temporary(name: &str) -> bool {
    match name.strip_prefix(TEMPORARY) {
        Some(rest) => rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    }
}

fn damaged(path: &Path) -> Error {
    Error::failed(format!("{} is damaged: its content does not match its name", path.display())).hint(DAMAGE_HINT)
}

/// None where it is not there.
pub(super) fn present(opened: io::Result<Directory>) -> io::Result<Option<Directory>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The id that a file is named by. Written otherwise than ids are, in capitals, it could not be opened by it.
pub(super) fn id_of(name: &[u8]) -> Option<Id> {
    let id: Id = std::str::from_utf8(name).ok().filter(|name| name.len() == 64)?.parse().ok()?;
    (id.to_hex().as_str().as_bytes() == name).then_some(id)
}

pub(super) fn list_files(directory: &Directory, out: &mut Vec<(Id, u32)>) -> io::Result<()> {
    for item in directory.items()? {
        // Anything whose name is no hash is none of ours (restic's own temporary files, an editor's backup …).
        let Some(id) = id_of(item.name.to_bytes()) else { continue };
        // What is no file and has the name of one is refused by name when it is opened.
        out.push((id, u32::try_from(item.length()).unwrap_or(u32::MAX)));
    }
    Ok(())
}

impl ReadBackend for LocalBackend {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.files(kind)
            .map_err(|e| passed_on(io_failure(format!("list {} in {}", kind.dirname(), self.root.display()), e)))
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.read_whole(kind, id).map_err(passed_on)
    }

    fn read_partial(&self, kind: FileType, id: &Id, _: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.read_part(kind, id, offset, length).map_err(passed_on)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.path(kind, id).display().to_string()
    }
}

impl WriteBackend for LocalBackend {
    fn create(&self) -> RusticResult<()> {
        self.create_layout().map_err(passed_on)
    }

    fn write_bytes(&self, kind: FileType, id: &Id, _: bool, content: BytesList) -> RusticResult<()> {
        self.write_and_read_back(kind, id, &content).map_err(passed_on)
    }

    fn remove(&self, kind: FileType, id: &Id, _: bool) -> RusticResult<()> {
        self.remove_file(kind, id).map_err(passed_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_name_is_no_id_as_ids_are_written_is_not_listed() {
        let name = "0123456789abcdef".repeat(4);
        assert_eq!(id_of(name.as_bytes()).map(|id| id.to_hex().as_str().to_owned()), Some(name.clone()));
        for other in [name.to_uppercase(), name.replace('f', "F"), name[1..].to_owned(), name.replace('f', "g")] {
            assert!(id_of(other.as_bytes()).is_none(), "{other}");
        }
    }
}
