//! Makes the archive and its index: walks the configured paths, reads every file once, and says what could not be kept.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

use rustix::fs::{Stat, fstat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::entry::{DigestTree, Entry, Kind};
use super::evidence::Gathered;
use super::exclude::Excludes;
use super::holes::Reader;
use super::notes::{Notes, Replaced};
use super::tape::{self, Accounts, BLOCK};
use super::text::Name;
use super::walk::{Found, Step, Walk};
use crate::domain::change::evidence::Evidence;
use crate::domain::digest::Digest;
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::TableFacts;
use crate::engine::stream::{Part, Sink};
use crate::error::{Error, OrFailed, Result};
use crate::run_context::RunContext;

/// Largest file that is read whole before its header is written, in bytes.
const SMALL: u64 = 1024 * 1024;
/// How often a small file that changes while it is read is read again.
const ATTEMPTS: usize = 3;
/// In place of what a file lost while it was read.
const ZEROS: [u8; 4096] = [0; 4096];
/// Most unreadable files that the error names.
const NAMED: usize = 10;

/// What a complete archive holds.
#[derive(Debug)]
pub struct Packed {
    /// The archive.
    pub archive: Part,
    /// The index.
    pub index: Part,
    /// One row per configured path.
    pub roots: Vec<TableFacts>,
    /// Entries by kind, and bytes of files.
    pub counts: Counts,
    /// Roots below which something is not in the archive, although it is in the tree.
    pub incomplete: Vec<PathBuf>,
    /// What a reader of the manifest must know.
    pub warnings: Vec<String>,
    /// What is in the tree and not in the archive, although it should be.
    pub left_out: Vec<LeftOut>,
    /// What a later backup is compared with.
    pub evidence: Evidence,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub directories: u64,
    pub files: u64,
    pub links: u64,
    pub others: u64,
    pub hard_links: u64,
    /// Of files, each counted once.
    pub bytes: u64,
    /// Left out because `exclude` says so.
    pub excluded: u64,
}

/// Called with the path of each file between its first bytes and its last; a seam for tests.
pub type Meanwhile = Box<dyn FnMut(&Name) + Send>;

/// Makes one archive.
pub struct Packer<'s> {
    sink: &'s mut Sink,
    index: Index,
    users: Accounts,
    groups: Accounts,
    linked: HashMap<(u64, u64), (Entry, u64)>,
    counts: Counts,
    changed: Notes,
    vanished: Notes,
    left_out: Notes,
    replaced: Replaced,
    evidence: Evidence,
    /// Of the tree at hand.
    gathered: Gathered,
    unreadable: Vec<String>,
    context: RunContext,
    meanwhile: Meanwhile,
}

impl<'s> Packer<'s> {
    /// Write to `sink`; the index goes to a file without a name.
    pub fn new(sink: &'s mut Sink, context: &RunContext, meanwhile: Meanwhile) -> Result<Self> {
        Ok(Self {
            sink,
            index: Index::new()?,
            users: Accounts::read("/etc/passwd"),
            groups: Accounts::read("/etc/group"),
            linked: HashMap::new(),
            counts: Counts::default(),
            changed: Notes::default(),
            vanished: Notes::default(),
            left_out: Notes::default(),
            replaced: Replaced::default(),
            evidence: Evidence::default(),
            gathered: Gathered::default(),
            unreadable: Vec::new(),
            context: context.clone(),
            meanwhile,
        })
    }

    /// Pack `paths`, which are in the order of the walk. The index is given back, to be handed on after the archive.
    pub fn pack(mut self, paths: &[PathBuf], excludes: &Excludes) -> Result<(Packed, File)> {
        let (mut roots, mut incomplete) = (Vec::new(), Vec::new());
        for path in paths {
            let before = self.missing();
            roots.push(self.root(path, excludes)?);
            if self.missing() > before {
                incomplete.push(path.clone());
            }
        }
        self.refuse_unreadable()?;
        self.sink.write(&[0; 2 * BLOCK])?;
        let archive = self.sink.end()?;
        let (index, file) = self.index.finish()?;
        let warnings = [
            self.changed.finish("files changed while they were read"),
            self.vanished.finish("files vanished while they were read"),
            self.left_out.finish("files were left out"),
        ];
        let warnings = warnings.concat();
        let left_out = self.replaced.finish();
        let (counts, evidence) = (self.counts, self.evidence);
        Ok((Packed { archive, index, roots, counts, incomplete, warnings, left_out, evidence }, file))
    }

    fn missing(&self) -> u64 {
        self.counts.excluded
            + self.changed.count()
            + self.vanished.count()
            + self.left_out.count()
            + self.replaced.count()
    }

    fn root(&mut self, path: &std::path::Path, excludes: &Excludes) -> Result<TableFacts> {
        let name = path.display().to_string();
        let walk = Walk::of_source(path, excludes.clone()).map_err(|error| missing_path(&name, error))?;
        let mut tree = DigestTree::new(&super::walk::archive_path(path));
        for step in walk {
            self.context.cancel.check()?;
            match step {
                Step::Found(found) => self.found(found, &mut tree)?,
                Step::Vanished(path) => self.vanished.add(|| format!("`/{path}` vanished while it was read")),
                Step::Unreadable(path, error) => self.unreadable(&path, &error.into())?,
                Step::Excluded => self.counts.excluded += 1,
                Step::Replaced(path) => self.replaced.add(&path),
                Step::LeftOut(path, why) => self.left_out.add(|| format!("`/{path}` is left out: it {why}")),
            }
        }
        if !self.unreadable.is_empty() {
            self.refuse_unreadable()?;
        }
        std::mem::take(&mut self.gathered).finish(&name, &mut self.evidence);
        let (rows, digest, definition) =
            tree.finish().ok_or_else(|| Error::failed(format!("cannot read {name}: it vanished, or is a socket")))?;
        Ok(TableFacts { name, rows, digest, definition, newest: std::collections::BTreeMap::default(), next_id: None })
    }

    fn found(&mut self, found: Found, tree: &mut DigestTree) -> Result<()> {
        if !self.unreadable.is_empty() {
            // There will be no backup: only what else is in its way is still of interest.
            return match found.entry.kind {
                Kind::File => found.open().map(drop).or_else(|error| self.failed(&found, &error.into())),
                _ => Ok(()),
            };
        }
        let begin = self.sink.written();
        let entry = match found.entry.kind {
            Kind::File => self.file(found)?,
            _ => Some(self.plain(found.entry)?),
        };
        if let Some(entry) = entry {
            let line = self.index.add(&entry)?;
            self.gathered.add(&entry, self.sink.written() - begin + line);
            tree.add(&entry);
        }
        Ok(())
    }

    fn plain(&mut self, entry: Entry) -> Result<Entry> {
        match entry.kind {
            Kind::Directory => self.counts.directories += 1,
            Kind::Symlink => self.counts.links += 1,
            _ => self.counts.others += 1,
        }
        self.header(&entry)?;
        Ok(entry)
    }

    fn header(&mut self, entry: &Entry) -> Result<()> {
        let header = tape::header(entry, &self.users, &self.groups);
        self.sink.write(&header.or_failed(format!("cannot write header of {}", entry.path))?)
    }

    fn file(&mut self, found: Found) -> Result<Option<Entry>> {
        let (identity, names) = (found.identity, found.names);
        // The number of a file that is gone is soon that of another one.
        let alike = |first: &Entry| {
            let about = |entry: &Entry| (entry.size, entry.mtime, entry.mode, entry.uid, entry.gid);
            names > 1 && about(first) == about(&found.entry)
        };
        if let Some((first, left)) = self.linked.get_mut(&identity).filter(|(first, _)| alike(first)) {
            let mut entry = Entry { path: found.entry.path, ..first.clone() };
            entry.hard_link = Some(first.path.clone());
            *left -= 1;
            if *left == 0 {
                self.linked.remove(&identity);
            }
            self.counts.hard_links += 1;
            self.header(&entry)?;
            return Ok(Some(entry));
        }
        let stored = if found.entry.size <= SMALL { self.small(found) } else { self.large(&found) }?;
        if let Some(entry) = &stored {
            self.counts.files += 1;
            self.counts.bytes += entry.size;
            if names > 1 {
                self.linked.insert(identity, (entry.clone(), names - 1));
            }
        }
        Ok(stored)
    }

    /// Read whole, again if it changed meanwhile; then its header and its bytes are of the same moment.
    fn small(&mut self, mut found: Found) -> Result<Option<Entry>> {
        let mut attempt = 1;
        loop {
            let read = read_whole(&found, &mut self.meanwhile);
            let unsteady = matches!(read, Ok((_, false)) | Err(ReadError::Swapped));
            if unsteady && attempt < ATTEMPTS {
                attempt += 1;
                match found.again() {
                    Ok(again) if again.entry.kind == Kind::File && again.entry.size <= SMALL => found = again,
                    Ok(_) | Err(Errno::STALE) => {}
                    Err(error) => return self.failed(&found, &error.into()).map(|()| None),
                }
                continue;
            }
            let (bytes, steady) = match read {
                Ok(read) => read,
                Err(ReadError::Swapped) => {
                    self.replaced.add(&found.entry.path);
                    return Ok(None);
                }
                Err(ReadError::Failed(error)) => return self.failed(&found, &error).map(|()| None),
            };
            if !steady {
                self.changed.add(|| format!("`/{}` changed while it was read", found.entry.path));
            }
            let mut entry = found.entry;
            entry.size = bytes.len() as u64;
            entry.sha256 = Some(Digest(Sha256::digest(&bytes).into()));
            self.header(&entry)?;
            self.gathered.read(&bytes);
            self.sink.write(&bytes)?;
            self.pad(entry.size)?;
            return Ok(Some(entry));
        }
    }

    /// Stream it with the length it has at the start: cut what grows, pad what shrinks.
    fn large(&mut self, found: &Found) -> Result<Option<Entry>> {
        let file = match found.open() {
            Ok(file) => file,
            Err(error) => return self.failed(found, &error.into()).map(|()| None),
        };
        let before = fstat(&file).or_failed(format!("cannot look at {}", found.entry.path))?;
        let mut entry = found.entry.clone();
        self.header(&entry)?;
        let (mut hasher, mut reader, mut at) = (Sha256::new(), Reader::new(&file, entry.size), 0);
        while at < entry.size {
            let mut piece = match reader.next(entry.size) {
                Ok(piece) => piece,
                Err(error) => return self.unreadable(&entry.path, &error).map(|()| None),
            };
            if piece.is_empty() {
                // Shorter than it was: the change is noticed below.
                let wanted = usize::try_from(entry.size - at).unwrap_or(usize::MAX);
                piece = &ZEROS[..wanted.min(ZEROS.len())];
            }
            (self.meanwhile)(&entry.path);
            hasher.update(piece);
            self.gathered.read(piece);
            self.sink.write(piece)?;
            at += piece.len() as u64;
        }
        self.pad(entry.size)?;
        if fstat(&file).map_or(true, |after| moment(&before) != moment(&after))
            || before.st_size.cast_unsigned() != entry.size
        {
            self.changed.add(|| format!("`/{}` changed while it was read", entry.path));
        }
        entry.sha256 = Some(Digest(hasher.finalize().into()));
        Ok(Some(entry))
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let used = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if used == 0 { Ok(()) } else { self.sink.write(&[0; BLOCK][used..]) }
    }

    /// A file could not be opened or read.
    fn failed(&mut self, found: &Found, error: &io::Error) -> Result<()> {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => {
                self.vanished.add(|| format!("`/{}` vanished while it was read", found.entry.path));
                Ok(())
            }
            Some(Errno::STALE | Errno::LOOP) => {
                self.replaced.add(&found.entry.path);
                Ok(())
            }
            _ => self.unreadable(&found.entry.path, error),
        }
    }

    fn unreadable(&mut self, path: &Name, error: &io::Error) -> Result<()> {
        self.unreadable.push(format!("`/{path}` ({error})"));
        if self.unreadable.len() < NAMED { Ok(()) } else { self.refuse_unreadable() }
    }

    /// A backup that lacks what it was asked for is none.
    fn refuse_unreadable(&self) -> Result<()> {
        if self.unreadable.is_empty() {
            return Ok(());
        }
        Err(Error::failed(format!("cannot read files: {}", self.unreadable.join(", ")))
            .hint("run as a user who may read them, or `exclude` them"))
    }
}

/// The error about a configured path that cannot be opened.
pub fn missing_path(name: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound if name.contains(['*', '?', '[']) => {
            "`paths` takes no patterns: name directories and files, and leave out what you do not want with `exclude`"
        }
        _ => "is it mounted? `paths` must name what is there and readable",
    };
    Error::failed(format!("cannot open {name}")).because(error).hint(hint)
}

enum ReadError {
    /// Another file has its name now.
    Swapped,
    Failed(io::Error),
}

/// All bytes of a small file, and whether it stayed as it was meanwhile.
fn read_whole(found: &Found, meanwhile: &mut Meanwhile) -> Result<(Vec<u8>, bool), ReadError> {
    let file = found.open().map_err(|error| match error {
        Errno::STALE | Errno::LOOP => ReadError::Swapped,
        error => ReadError::Failed(error.into()),
    })?;
    let failed = |error: Errno| ReadError::Failed(error.into());
    let before = fstat(&file).map_err(failed)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.entry.size).unwrap_or(0) + 1);
    // What grows beyond all bounds is cut: it changed in any case.
    (&file).take(2 * SMALL).read_to_end(&mut bytes).map_err(ReadError::Failed)?;
    meanwhile(&found.entry.path);
    let after = fstat(&file).map_err(failed)?;
    let described = (found.entry.size, found.entry.mtime.0) == (before.st_size.cast_unsigned(), mtime(&before));
    let steady = moment(&before) == moment(&after) && described && bytes.len() as u64 == found.entry.size;
    Ok((bytes, steady))
}

#[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)] // the type differs between architectures
fn mtime(stat: &Stat) -> i64 {
    stat.st_mtime as i64
}

/// Differs as soon as a file was written to or its metadata changed.
fn moment(stat: &Stat) -> impl PartialEq + use<> {
    (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec)
}

const WRITE_INDEX: &str = "cannot write the index to its temporary file";

/// The index while it is made.
struct Index {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Index {
    fn new() -> Result<Self> {
        // /tmp may be memory, and the index of millions of files is large.
        let place = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let file = tempfile::tempfile_in(&place).map_err(|error| {
            Error::failed(format!("cannot make a temporary file for the index in {}", place.display()))
                .because(error)
                .hint("set TMPDIR to a directory on a disk with room")
        })?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), hasher: blake3::Hasher::new(), bytes: 0 })
    }

    /// The length of its line.
    fn add(&mut self, entry: &Entry) -> Result<u64> {
        let mut line = serde_json::to_vec(entry).or_failed(WRITE_INDEX)?;
        line.push(b'\n');
        self.hasher.update(&line);
        self.bytes += line.len() as u64;
        self.file.write_all(&line).or_failed(WRITE_INDEX)?;
        Ok(line.len() as u64)
    }

    fn finish(self) -> Result<(Part, File)> {
        let digest = Digest(*self.hasher.finalize().as_bytes());
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let mut file = file.or_failed(WRITE_INDEX)?;
        file.rewind().or_failed("cannot read the index back")?;
        Ok((Part { bytes: self.bytes, digest }, file))
    }
}
