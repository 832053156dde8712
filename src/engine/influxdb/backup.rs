//! Runs `influxd backup -portable` for one database after the other and hands its archives on under stable names.
//!
//! The tool writes to a private directory; the next database is not begun before everything of the one before was handed on
//! and its directory removed. The names of the streams are known before the tool runs (from the list of shards), so a
//! repository can look one stream ahead; a shard that came to be in between follows at the end of its database.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::archive::{ArchiveFacts, ArchiveReader, ToolManifest, read_manifest};
use super::staging::{Staged, Staging};
use super::tool;
use super::truth::ShardKey;
use crate::domain::manifest::{FileRole, StoredFileFacts};
use crate::engine::stream::{Readers, Sink, Unread};
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

impl Plan {
    /// Names of what is known of it beforehand, in order.
    fn known(&self) -> impl Iterator<Item = String> {
        let head = [manifest_name(&self.database), meta_name(&self.database)];
        head.into_iter().chain(self.shards.iter().map(|id| shard_name(&self.database, *id)))
    }
}

/// The plans in the order in which their streams go out: that of the names.
pub fn in_order(mut plans: Vec<Plan>) -> Vec<Plan> {
    plans.sort_by_key(|plan| prefix(&plan.database));
    plans
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

/// What the tool wrote of one database.
struct Written {
    directory: Staged,
    manifest: ToolManifest,
    manifest_text: Vec<u8>,
}

impl Written {
    /// Shards that came to be after the list of `plan` was made, in order.
    fn late(&self, plan: &Plan) -> Vec<u64> {
        let all = self.manifest.files.iter().flatten().map(|file| file.shard_id);
        let mut late: Vec<u64> = all.filter(|id| !plan.shards.contains(id)).collect();
        late.sort_unstable();
        late.dedup();
        late
    }
}

/// What was handed on.
#[derive(Debug, Default)]
pub struct HandedOn {
    /// Every file.
    pub files: Vec<StoredFileFacts>,
    /// What the archives of the shards were; none of a shard without points, or one that was dropped meanwhile.
    pub archives: BTreeMap<ShardKey, ArchiveFacts>,
}

/// Back up `plans`, one after the other, into `sink`. `late` is told the shards of each that nobody knew before.
pub fn run(plans: &[Plan], tool: &Tool, late: &Sender<Vec<u64>>, sink: &mut Sink) -> Result<HandedOn> {
    let mut done = HandedOn::default();
    for plan in plans {
        let written = tool.run(&plan.database, sink)?;
        let more = written.late(plan);
        // Whoever asks for streams may be gone: then the sink says so.
        let _ = late.send(more.clone());
        Handing { plan, tool, written: &written, sink, done: &mut done }.all(&more)?;
        // With it goes its directory: the state directory needs room for one database only.
        drop(written);
    }
    Ok(done)
}

impl Tool {
    /// Run the tool to its good end, as long as somebody wants what it writes.
    fn run(&self, database: &str, sink: &Sink) -> Result<Written> {
        let what = || format!("cannot back up database {database}");
        sink.check()?;
        let directory = self.staging.make()?;
        let words = ["backup", "-portable", "-database", database, "-host", &self.rpc_address];
        let mut words: Vec<OsString> = words.map(OsString::from).to_vec();
        words.insert(0, self.program.clone().into_os_string());
        words.push(directory.path().as_os_str().to_owned());
        let mut child = tool::start(NAME, &[], &words, &self.context.cancel)?;
        let written = || tool::bytes_in(directory.path());
        tool::wait(&mut child, NAME, written, || sink.check()).map_err(|error| {
            if self.context.cancel.is_cancelled() {
                return Error::cancelled();
            }
            if error.cause::<Unread>().is_some() {
                return error;
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
}

/// One database on its way.
struct Handing<'a> {
    plan: &'a Plan,
    tool: &'a Tool,
    written: &'a Written,
    sink: &'a mut Sink,
    done: &'a mut HandedOn,
}

impl Handing<'_> {
    fn all(mut self, late: &[u64]) -> Result<()> {
        let (database, written) = (&self.plan.database, self.written);
        self.sink.write(&written.manifest_text)?;
        self.end(manifest_name(database), FileRole::Description)?;
        let name = &written.manifest.meta.file_name;
        if name.contains('/') {
            return Err(Error::failed(format!("cannot read the tool's catalogue: `{name}` is not a file name")));
        }
        let meta = std::fs::read(written.directory.path().join(name)).or_failed("cannot read the tool's catalogue")?;
        self.sink.write(&meta)?;
        self.end(meta_name(database), FileRole::Description)?;
        self.plan.shards.iter().chain(late).try_for_each(|id| self.shard(*id))
    }

    fn shard(&mut self, id: u64) -> Result<()> {
        let database = &self.plan.database;
        let mut found = self.written.manifest.files.iter().flatten().filter(|file| file.shard_id == id);
        match (found.next(), found.next()) {
            (Some(shard), None) => {
                let mut archive = ArchiveReader::open(self.written.directory.path(), shard)?;
                self.sink.copy(&mut archive, &format!("archive of shard {id} of {database}"))?;
                // It is at its good end now, else reading it had failed.
                let facts = archive.facts().cloned().unwrap_or_default();
                self.done.archives.insert((database.clone(), id), facts);
            }
            (None, _) if (self.tool.missed)(database, id)? => {
                let what = format!("shard {id} of {database} is missing in what influxd backup wrote");
                let hint = "the server lists it: look at its log for errors of this shard, and back up again";
                return Err(Error::failed(what).hint(hint));
            }
            // A shard without points, or one that was dropped meanwhile.
            (None, _) => {}
            _ => return Err(Error::failed(format!("cannot read shard {id} of {database}: the tool wrote it twice"))),
        }
        self.end(shard_name(database, id), FileRole::Stream)
    }

    fn end(&mut self, path: String, role: FileRole) -> Result<()> {
        let part = self.sink.end()?;
        self.done.files.push(StoredFileFacts { path, role, bytes: part.bytes, digest: part.digest });
        Ok(())
    }
}

/// The streams of all databases and the one after them, each made when it is asked for.
pub struct Streams {
    plans: VecDeque<Plan>,
    /// The database whose known names were given, or wait among `names`.
    at: Option<String>,
    names: VecDeque<String>,
    late: Receiver<Vec<u64>>,
    last: &'static str,
    readers: Option<Readers>,
}

impl Streams {
    /// The streams that [`run`] makes of `plans`, and `last`, which follows them.
    pub fn new(plans: &[Plan], late: Receiver<Vec<u64>>, last: &'static str, readers: Readers) -> Self {
        let (plans, names) = (plans.iter().cloned().collect(), VecDeque::new());
        Self { plans, at: None, names, late, last, readers: Some(readers) }
    }
}

impl Iterator for Streams {
    type Item = Result<Stream>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(path) = self.names.pop_front() {
                return Some(Ok(Stream { path, reader: self.readers.as_mut()?.reader() }));
            }
            if let Some(database) = self.at.take() {
                // Asked for once the known ones were given: all but the last of them can be read meanwhile. What ended
                // without telling them is told by the streams.
                let late = self.late.recv().unwrap_or_default();
                self.names.extend(late.into_iter().map(|id| shard_name(&database, id)));
            } else if let Some(plan) = self.plans.pop_front() {
                self.names.extend(plan.known());
                self.at = Some(plan.database);
            } else {
                let reader = self.readers.take()?.last();
                return Some(Ok(Stream { path: self.last.to_owned(), reader }));
            }
        }
    }
}
