//! Runs `influxd backup -portable` for one database after the other and hands its archives on under stable names.
//!
//! The tool writes to a private directory; the next database is not begun before everything of the one before was read
//! and its directory removed. The names of the streams are known before the tool runs (from the list of shards), so a
//! repository can look one stream ahead; a shard that came to be in between follows at the end of its database.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::archive::{ArchiveFacts, ArchiveReader, ToolManifest, read_manifest};
use super::staging::{Staged, Staging};
use super::tool;
use super::truth::ShardKey;
use crate::domain::digest::Digest;
use crate::domain::manifest::{FileRole, StoredFileFacts};
use crate::error::{Error, OrFailed, Result};
use crate::repository::Stream;
use crate::run_context::RunContext;

/// How messages call the tool.
const NAME: &str = "influxd backup";
/// What stays as it is in file names.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// Beginning of the names of all files of `database`. A point ends the name, so no database's begins another's.
pub fn prefix(database: &str) -> String {
    format!("db-{}.", utf8_percent_encode(database, PLAIN))
}

/// Name of the tool's own manifest of `database`.
pub fn manifest_name(database: &str) -> String {
    format!("{}manifest.json", prefix(database))
}

/// Name of the catalogue that the tool wrote with `database`.
pub fn meta_name(database: &str) -> String {
    format!("{}meta", prefix(database))
}

/// Name of the archive of a shard: always the same, so that an unchanged one costs nothing.
pub fn shard_name(database: &str, shard: u64) -> String {
    format!("{}shard-{shard:010}.tar", prefix(database))
}

/// One database to back up.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name.
    pub database: String,
    /// Shards that are known, in order.
    pub shards: Vec<u64>,
}

/// Whether a shard that the tool did not write is missed: asked of the server when it turns out.
pub type Missed = Arc<dyn Fn(&str, u64) -> Result<bool> + Send + Sync>;

/// How the tool is run.
#[derive(Clone)]
pub struct Tool {
    /// `influxd`.
    pub program: PathBuf,
    /// `HOST:PORT` of the server's backup service.
    pub rpc_address: String,
    /// Where it writes.
    pub staging: Staging,
    /// Whether a shard that it did not write is missed.
    pub missed: Missed,
    /// Progress, and the way to be stopped.
    pub context: RunContext,
}

/// What became of one database.
enum Slot {
    Waiting,
    Running,
    Ready(Arc<Written>),
    /// Everything was read and the directory is gone.
    Done,
    Failed(String, Option<String>),
}

/// What the tool wrote of one database.
struct Written {
    directory: Staged,
    manifest: ToolManifest,
    manifest_text: Vec<u8>,
}

struct State {
    slots: Vec<Slot>,
    /// A stream was given up: nothing will ever be complete.
    abandoned: bool,
    files: BTreeMap<String, StoredFileFacts>,
    archives: BTreeMap<ShardKey, ArchiveFacts>,
}

/// A backup of several databases under way.
pub struct Backup {
    plans: Vec<Plan>,
    tool: Tool,
    state: Mutex<State>,
    changed: Condvar,
}

impl Backup {
    /// Nothing runs before the first stream is read.
    pub fn new(mut plans: Vec<Plan>, tool: Tool) -> Arc<Self> {
        // Streams go out in the order of their names.
        plans.sort_by_key(|plan| prefix(&plan.database));
        let slots = plans.iter().map(|_| Slot::Waiting).collect();
        let state = State { slots, abandoned: false, files: BTreeMap::new(), archives: BTreeMap::new() };
        Arc::new(Self { plans, tool, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// The streams of all databases.
    pub fn streams(self: &Arc<Self>) -> impl Iterator<Item = Result<Stream>> + Send + use<> {
        let backup = self.clone();
        (0..self.plans.len()).flat_map(move |at| backup.streams_of(at))
    }

    fn streams_of(self: &Arc<Self>, at: usize) -> impl Iterator<Item = Result<Stream>> + Send + use<> {
        let database = &self.plans[at].database;
        let head = [(manifest_name(database), What::Manifest), (meta_name(database), What::Meta)];
        let shards = self.plans[at].shards.iter();
        let shards = shards.map(|id| (shard_name(database, *id), What::Shard(*id)));
        let known: Vec<(String, What)> = head.into_iter().chain(shards).collect();
        let backup = self.clone();
        let streams = known.into_iter().map(move |(name, what)| Ok(backup.stream(at, name, what)));
        let backup = self.clone();
        // Asked for once the known ones were given: all but the last of them can be read meanwhile.
        let late = std::iter::once_with(move || backup.late(at)).flatten();
        streams.chain(late)
    }

    /// Shards that came to be after the list was made.
    fn late(self: &Arc<Self>, at: usize) -> Vec<Result<Stream>> {
        let written = match self.written(at) {
            Ok(written) => written,
            Err(error) => return vec![Err(error)],
        };
        let database = &self.plans[at].database;
        let known = |id: u64| self.plans[at].shards.contains(&id);
        let mut late: Vec<u64> =
            written.manifest.files.iter().flatten().map(|file| file.shard_id).filter(|id| !known(*id)).collect();
        late.sort_unstable();
        late.into_iter().map(|id| Ok(self.stream(at, shard_name(database, id), What::Shard(id)))).collect()
    }

    fn stream(self: &Arc<Self>, at: usize, path: String, what: What) -> Stream {
        let reader = Part { backup: self.clone(), at, path: path.clone(), what, inner: None, closed: false };
        Stream { path, reader: Box::new(reader) }
    }

    /// What the tool wrote of a database; runs it if nobody has yet.
    fn written(&self, at: usize) -> Result<Arc<Written>> {
        let mut state = self.state();
        loop {
            match &state.slots[at] {
                Slot::Ready(written) => return Ok(written.clone()),
                Slot::Failed(reason, hint) => return Err(again(reason, hint.as_deref())),
                Slot::Done => return Err(Error::failed("read a database's archives: they were read already")),
                Slot::Waiting if at == 0 || (matches!(state.slots[at - 1], Slot::Done)) => break,
                Slot::Waiting | Slot::Running => {}
            }
            if state.abandoned {
                return Err(Error::failed("store backup: the repository stopped reading"));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.slots[at] = Slot::Running;
        drop(state);
        let result = self.run(at).map(Arc::new);
        let mut state = self.state();
        state.slots[at] = match &result {
            Ok(written) => Slot::Ready(written.clone()),
            Err(error) => Slot::Failed(error.to_string(), error.hint_text().map(str::to_owned)),
        };
        self.changed.notify_all();
        drop(state);
        result
    }

    /// Run the tool to its good end.
    fn run(&self, at: usize) -> Result<Written> {
        let database = &self.plans[at].database;
        let what = || format!("back up database {database}");
        self.tool.context.cancel.check()?;
        let directory = self.tool.staging.make()?;
        let words = ["backup", "-portable", "-database", database, "-host", &self.tool.rpc_address];
        let mut words: Vec<OsString> = words.map(OsString::from).to_vec();
        words.insert(0, self.tool.program.clone().into_os_string());
        words.push(directory.path().as_os_str().to_owned());
        let mut child = tool::start(NAME, &[], &words, &self.tool.context.cancel)?;
        tool::wait(&mut child, NAME, || tool::bytes_in(directory.path())).map_err(|error| {
            if self.tool.context.cancel.is_cancelled() {
                return Error::cancelled();
            }
            let error = error.context(what());
            if error.hint_text().is_some() {
                return error;
            }
            error.hint(
                "`rpc_address` must be the server's backup service (`bind-address` in its configuration, usually port \
                 8088), and `state_dir` must have room for one database",
            )
        })?;
        let (path, manifest) = read_manifest(directory.path())?;
        let manifest_text = std::fs::read(&path).or_failed(what())?;
        Ok(Written { directory, manifest, manifest_text })
    }

    /// Every file that was read to its end, and every archive.
    pub fn outcome(&self) -> Result<(Vec<StoredFileFacts>, BTreeMap<ShardKey, ArchiveFacts>)> {
        let mut state = self.state();
        while !state.abandoned && !state.slots.iter().all(|slot| matches!(slot, Slot::Done)) {
            if let Some(Slot::Failed(reason, hint)) = state.slots.iter().find(|slot| matches!(slot, Slot::Failed(..))) {
                return Err(again(reason, hint.as_deref()));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.abandoned {
            return Err(Error::failed("store backup: the repository stopped reading"));
        }
        Ok((state.files.values().cloned().collect(), state.archives.clone()))
    }

    /// A stream ended; with the last of a database its directory goes.
    fn close(&self, at: usize, good: bool) {
        let mut state = self.state();
        state.abandoned |= !good;
        if let Slot::Ready(written) = &state.slots[at] {
            let known = self.plans[at].shards.iter().copied();
            let all: BTreeSet<u64> =
                written.manifest.files.iter().flatten().map(|file| file.shard_id).chain(known).collect();
            let own = prefix(&self.plans[at].database);
            // The manifest and the catalogue are files too.
            if state.files.keys().filter(|path| path.starts_with(&own)).count() == all.len() + 2 {
                state.slots[at] = Slot::Done;
            }
        }
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn again(reason: &str, hint: Option<&str>) -> Error {
    let error = Error::failed(reason);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What a stream is.
#[derive(Debug, Clone, Copy)]
enum What {
    Manifest,
    Meta,
    Shard(u64),
}

/// A stream; opened when it is first read.
struct Part {
    backup: Arc<Backup>,
    at: usize,
    path: String,
    what: What,
    inner: Option<Source>,
    closed: bool,
}

enum Source {
    Text(Cursor<Vec<u8>>, Digest),
    Archive(Box<ArchiveReader>),
    /// A shard without points, or one that was dropped meanwhile.
    Nothing,
}

impl Part {
    fn open(&self) -> Result<Source> {
        let written = self.backup.written(self.at)?;
        let text = |bytes: Vec<u8>| {
            let digest = Digest::of(&bytes);
            Source::Text(Cursor::new(bytes), digest)
        };
        match self.what {
            What::Manifest => Ok(text(written.manifest_text.clone())),
            What::Meta => {
                let name = &written.manifest.meta.file_name;
                if name.contains('/') {
                    return Err(Error::failed(format!("read the tool's catalogue: `{name}` is not a file name")));
                }
                let path = written.directory.path().join(name);
                Ok(text(std::fs::read(&path).or_failed("read the tool's catalogue")?))
            }
            What::Shard(id) => {
                let mut found = written.manifest.files.iter().flatten().filter(|file| file.shard_id == id);
                match (found.next(), found.next()) {
                    (Some(shard), None) => {
                        let reader = ArchiveReader::open(written.directory.path(), shard)?;
                        Ok(Source::Archive(Box::new(reader)))
                    }
                    (None, _) if (self.backup.tool.missed)(&self.backup.plans[self.at].database, id)? => {
                        Err(self.missing(id))
                    }
                    (None, _) => Ok(Source::Nothing),
                    _ => Err(Error::failed(format!("read shard {id}: the tool wrote it twice"))),
                }
            }
        }
    }

    fn missing(&self, id: u64) -> Error {
        let database = &self.backup.plans[self.at].database;
        let what = format!("shard {id} of {database} is missing in what influxd backup wrote");
        Error::failed(what).hint("the server lists it: look at its log for errors of this shard, and back up again")
    }

    /// The good end: what it was is known now.
    fn end(&mut self) {
        let database = self.backup.plans[self.at].database.clone();
        let (bytes, digest, role) = match &self.inner {
            Some(Source::Text(text, digest)) => (text.get_ref().len() as u64, *digest, FileRole::Description),
            Some(Source::Archive(reader)) => {
                let facts = reader.facts().cloned().unwrap_or_default();
                if let What::Shard(id) = self.what {
                    self.backup.state().archives.insert((database, id), facts.clone());
                }
                (facts.bytes, facts.digest, FileRole::Stream)
            }
            Some(Source::Nothing) | None => (0, Digest::of(b""), FileRole::Stream),
        };
        let facts = StoredFileFacts { path: self.path.clone(), role, bytes, digest };
        self.backup.state().files.insert(self.path.clone(), facts);
        self.inner = None;
        self.closed = true;
        self.backup.close(self.at, true);
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.closed || buffer.is_empty() {
            return Ok(0);
        }
        if self.inner.is_none() {
            self.inner = Some(self.open().map_err(io::Error::other)?);
        }
        self.backup.tool.context.cancel.check().map_err(io::Error::other)?;
        let read = match &mut self.inner {
            Some(Source::Text(text, _)) => text.read(buffer)?,
            Some(Source::Archive(reader)) => reader.read(buffer)?,
            Some(Source::Nothing) | None => 0,
        };
        self.backup.tool.context.progress.advance(read as u64);
        if read == 0 {
            self.end();
        }
        Ok(read)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.closed {
            self.inner = None;
            self.backup.close(self.at, false);
        }
    }
}
