//! The files of a restic repository in a local directory: our own backend for `rustic_core`.
//!
//! A file appears under its name only when it is whole and on the disk: temporary file, write, fsync, rename without
//! overwriting, fsync of the directory. After that it is read again and held against its name, which is the SHA-256 of its
//! content. Temporary files live in `tmp/`, which restic ignores; a writer holds a shared lock on that directory, so
//! whoever gets the exclusive lock knows that what lies there was left behind by a killed one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};
use rustix::fs::{FlockOperation, flock};

use super::failure::{DAMAGE_HINT, io_failure, passed_on};
use crate::error::{Error, Result};

const STAGING: &str = "tmp";

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

    /// Remove what killed writers left behind; does nothing while a writer is at work.
    pub fn remove_stale_files(&self) -> Result<()> {
        let staging = self.root.join(STAGING);
        let remove = || -> io::Result<()> {
            let directory = File::open(&staging)?;
            if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(());
            }
            for entry in fs::read_dir(&staging)? {
                fs::remove_file(entry?.path())?;
            }
            Ok(())
        };
        match remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_failure(format!("remove stale files in {}", staging.display()), error))
            }
            _ => Ok(()),
        }
    }

    /// Prove that files can be created here.
    pub fn create_staging(&self) -> io::Result<()> {
        fs::create_dir_all(self.root.join(STAGING))?;
        let _writers = self.join_writers()?;
        tempfile::tempfile_in(self.root.join(STAGING)).map(|_| ())
    }

    /// As long as the returned file lives, nobody takes temporary files for left behind.
    fn join_writers(&self) -> io::Result<File> {
        let writers = File::open(self.root.join(STAGING))?;
        flock(&writers, FlockOperation::LockShared)?;
        Ok(writers)
    }

    /// Create the directories of the layout.
    pub fn create_layout(&self) -> Result<()> {
        let create = || -> io::Result<()> {
            for name in ["keys", "snapshots", "index", "data", STAGING] {
                fs::create_dir_all(self.root.join(name))?;
            }
            let data = self.root.join("data");
            for prefix in 0..=255_u8 {
                fs::create_dir_all(data.join(format!("{prefix:02x}")))?;
            }
            sync_directory(&data)?;
            sync_directory(&self.root)
        };
        create().map_err(|e| io_failure(format!("create repository in {}", self.root.display()), e))
    }

    /// Whether there is nothing here but, at most, a layout whose creation was interrupted before anything was stored.
    pub fn is_begun_layout(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            if !["keys", "snapshots", "index", "data", "locks", STAGING, "lost+found"]
                .iter()
                .any(|known| name == *known)
            {
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

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, kind: FileType, id: &Id) -> PathBuf {
        let name = id.to_hex();
        match kind {
            FileType::Config => self.root.join("config"),
            FileType::Pack => self.root.join("data").join(&name.as_str()[..2]).join(name.as_str()),
            other => self.root.join(other.dirname()).join(name.as_str()),
        }
    }

    fn files(&self, kind: FileType) -> io::Result<Vec<(Id, u32)>> {
        let mut out = Vec::new();
        match kind {
            FileType::Config => {
                if self.root.join("config").try_exists()? {
                    out.push((Id::default(), 0));
                }
            }
            FileType::Pack => {
                for prefix in entries(&self.root.join("data"))? {
                    if prefix.file_type()?.is_dir() {
                        list_files(&prefix.path(), &mut out)?;
                    }
                }
            }
            other => list_files(&self.root.join(other.dirname()), &mut out)?,
        }
        Ok(out)
    }

    fn write_file(&self, path: &Path, content: &BytesList) -> io::Result<()> {
        let staging = self.root.join(STAGING);
        if !staging.try_exists()? {
            fs::create_dir_all(&staging)?;
        }
        let _writers = self.join_writers()?;
        let mut temporary = tempfile::Builder::new().prefix("").tempfile_in(&staging)?;
        for part in content.slice() {
            temporary.write_all(part)?;
        }
        temporary.as_file().sync_all()?;
        let directory = path.parent().unwrap_or(&self.root);
        if !directory.try_exists()? {
            fs::create_dir_all(directory)?;
            sync_directory(directory.parent().unwrap_or(&self.root))?;
        }
        match temporary.persist_noclobber(path) {
            Ok(_) => {}
            // The name is the hash of the content: the reading back that follows says whether it is the same.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error.error),
        }
        sync_directory(directory)
    }

    fn write_and_read_back(&self, kind: FileType, id: &Id, content: &BytesList) -> Result<()> {
        let path = self.path(kind, id);
        let outcome = self
            .write_file(&path, content)
            .map_err(|e| io_failure(format!("write {}", path.display()), e))
            .and_then(|()| Self::read_back(kind, id, &path, content.size()));
        if outcome.is_err() && kind == FileType::Snapshot {
            // Renamed but not known to be safe on the disk: a snapshot that was reported as failed must not be listed.
            let _ = fs::remove_file(&path);
        }
        outcome
    }

    fn read_back(kind: FileType, id: &Id, path: &Path, length: usize) -> Result<()> {
        let what = || format!("read back {}", path.display());
        let mut file = File::open(path).map_err(|e| io_failure(what(), e))?;
        let stored = file.metadata().map_err(|e| io_failure(what(), e))?.len();
        // The config's name is fixed; every other file is named by the hash of its content.
        let same = stored == length as u64 && (kind == FileType::Config || id.blob_matches_reader(stored, &mut file));
        if same { Ok(()) } else { Err(damaged(path)) }
    }

    fn read_whole(&self, kind: FileType, id: &Id) -> Result<Bytes> {
        let path = self.path(kind, id);
        let content = fs::read(&path).map_err(|e| io_failure(format!("read {}", path.display()), e))?;
        if kind != FileType::Config && !id.blob_matches_reader(content.len() as u64, &mut content.as_slice()) {
            return Err(damaged(&path));
        }
        Ok(content.into())
    }

    fn read_part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes> {
        let path = self.path(kind, id);
        let mut part = vec![0; length as usize];
        File::open(&path).and_then(|file| file.read_exact_at(&mut part, u64::from(offset))).map_err(|e| {
            io_failure(format!("read {length} bytes at {offset} of {}", path.display()), e).hint(DAMAGE_HINT)
        })?;
        Ok(part.into())
    }

    fn remove_file(&self, kind: FileType, id: &Id) -> Result<()> {
        let path = self.path(kind, id);
        fs::remove_file(&path).map_err(|e| io_failure(format!("remove {}", path.display()), e))
    }
}

fn damaged(path: &Path) -> Error {
    Error::failed(format!("{} is damaged: its content does not match its name", path.display())).hint(DAMAGE_HINT)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn entries(directory: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn list_files(directory: &Path, out: &mut Vec<(Id, u32)>) -> io::Result<()> {
    for entry in entries(directory)? {
        // Anything whose name is no hash is none of ours (restic's own temporary files, an editor's backup …).
        let name = entry.file_name();
        let Some(id) = name.to_str().filter(|name| name.len() == 64).and_then(|name| name.parse().ok()) else {
            continue;
        };
        match entry.metadata() {
            Ok(facts) if facts.is_file() => out.push((id, u32::try_from(facts.len()).unwrap_or(u32::MAX))),
            Ok(_) => {}
            // Removed by somebody else since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
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
