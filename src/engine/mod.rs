//! SEAM: the code that knows a kind of source: dump, load, inspect. Works the same on a live server and in a sandbox.
//!
//! Contract: a dump gives streams that end with `Ok(0)` only when the tool succeeded and the end marker was seen;
//! `inspect` describes restored data exactly as `dump` described it when it was stored; `load` refuses a destination
//! that is not empty. Engines block and know nothing of repositories' formats or of sandboxes' kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::canary::{Canaries, Canary};
pub use crate::domain::captured::Captured;
use crate::domain::chain::{Break, Place, Until};
use crate::domain::drill::Check;
use crate::domain::logged::LoggedTransaction;
use crate::domain::manifest::{Inventory, Manifest, Position};
use crate::domain::promise::Changes;
use crate::error::{Error, Result};
use crate::repository::{StoredFile, Streams};
use crate::run_context::RunContext;
use crate::sandbox::{Access, SandboxSpec};

pub mod assertion;
pub mod destination;
pub mod files;
pub mod influxdb;
pub mod kind;
pub mod mysql;
mod server_table;
pub mod stream;

pub use self::assertion::Assertion;
pub use self::destination::Destination;

/// A source that was looked at before a dump: it can be reached, and what the dump needs is there. What was learnt goes into
/// the dump, so that nothing is looked at twice.
pub trait Ready {
    /// What was seen, for `check-config --connect`.
    fn describe(&self) -> Result<Preflight>;
    /// Open a consistent snapshot and start to stream it.
    fn dump(self: Box<Self>, context: &RunContext) -> Result<Dump>;
}

/// What preflight learnt, for people.
#[derive(Debug, Clone, Default)]
pub struct Preflight {
    /// `MariaDB 10.11.19 as backup@localhost` …
    pub summary: String,
    /// What is not wrong but should be known.
    pub warnings: Vec<String>,
    /// Why incremental backups that are scheduled cannot be taken, and what mends that; none where they can.
    pub impossible: Option<(String, String)>,
}

/// A dump that has been started.
pub struct Dump {
    /// What is to be stored. Reading drives the dump.
    pub streams: Streams,
    /// As-of time: not later than the consistent snapshot.
    pub as_of: DateTime<Utc>,
    /// Call after all streams were read to their ends, or given up: what they contained. Where it fails only because they
    /// were given up, the cause is [`stream::Unread`].
    pub finish: Box<dyn FnOnce() -> Result<Captured> + Send>,
}

/// What a restore is to bring back.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Only these tables (`database.table`); empty means everything.
    pub tables: Vec<String>,
    /// Load although the destination has objects of the same names.
    pub overwrite: bool,
    /// Accounts and grants too.
    pub accounts: bool,
    /// Parallel sessions; 0 means one per CPU.
    pub sessions: usize,
    /// A sandbox of our own: it can reach no other server, and the accounts that it was made with may be replaced.
    pub throwaway: bool,
}

/// Opens a file of one backup by its path.
pub type Opener = Arc<dyn Fn(&str) -> Result<Arc<dyn StoredFile>> + Send + Sync>;

/// A recovery point, opened for a restore: a full backup, and what is replayed on top of it.
pub struct StoredPoint {
    /// What the full backup promises.
    pub manifest: Manifest,
    /// Opens one of its files by path.
    pub open: Opener,
    /// The increments that continue it, in order; none for the state of the full backup itself.
    pub increments: Vec<StoredIncrement>,
    /// Where in the last of them replay stops.
    pub until: Until,
    /// The full backup that stands at exactly that place, where this is held against it.
    pub proved_by: Option<Box<Proving>>,
}

/// A full backup that says what must be there at the end of the chain before it.
pub struct Proving {
    /// The full backup.
    pub full: StoredPoint,
    /// An increment continues it. So no definition changed while it was read.
    pub is_continued: bool,
}

/// A published increment, opened for a restore.
pub struct StoredIncrement {
    /// What it promises.
    pub manifest: Manifest,
    /// Opens one of its files by path.
    pub open: Opener,
}

impl StoredPoint {
    /// A full backup without increments.
    pub fn full(manifest: Manifest, open: Opener) -> Self {
        Self { manifest, open, increments: Vec::new(), until: Until::End, proved_by: None }
    }

    /// The manifest that names the recovery point: that of the last increment, or of the full backup.
    pub fn newest(&self) -> &Manifest {
        self.increments.last().map_or(&self.manifest, |increment| &increment.manifest)
    }

    /// As-of time of what a restore brings back: never later than what is in it.
    pub fn as_of(&self) -> DateTime<Utc> {
        if let Some(next) = &self.proved_by {
            return next.full.manifest.as_of;
        }
        self.until.as_of(self.manifest.as_of, self.increments.iter().map(|increment| increment.manifest.as_of))
    }

    /// What reports and the ledger say of it: name and time of what is restored, contents and losses of the full backup.
    pub fn shown(&self) -> Manifest {
        let newest = self.newest();
        let mut shown = self.manifest.clone();
        shown.files.extend(self.increments.iter().flat_map(|increment| increment.manifest.files.iter().cloned()));
        Manifest {
            id: newest.id.clone(),
            kind: newest.kind,
            chain_length: newest.chain_length,
            as_of: self.as_of(),
            ..shown
        }
    }

    /// Refuse increments: for an engine that has none.
    pub fn refuse_increments(&self) -> Result<()> {
        if self.increments.is_empty() {
            return Ok(());
        }
        let (id, source) = (&self.newest().id, &self.manifest.source);
        let what = "it is an incremental backup, and sources of this kind have none";
        Err(Error::failed(format!("cannot restore recovery point {id} of {source}: {what}"))
            .hint(format!("restore the full backup that it continues: --recovery-point {}", self.manifest.id)))
    }
}

/// What has come at a source since a position.
pub enum Since {
    /// Nothing: at this moment the source was where the backup ends.
    Nothing(DateTime<Utc>),
    /// Changes, which stream. Where it turns out on the way that they do not continue the backup, the error's cause is a [`Break`].
    Changes(Dump),
    /// The source does not continue the backup.
    Broken(Break),
}

/// Tells how far the change stream of a source is: asked every second, so that it must cost next to nothing.
pub trait Tail: Send {
    /// Where the stream ends now; none where the source keeps none.
    fn end(&mut self) -> Result<Option<Place>>;
}

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// What was in each increment, up to where replay stopped.
    pub changes: Vec<Changes>,
    /// Row events of each increment that the destination took, and that were left out on purpose.
    pub row_events: Vec<u64>,
    /// Where it stopped and why there, one sentence each.
    pub notes: Vec<String>,
}

/// What is asked of an inspection.
#[derive(Debug, Clone, Default)]
pub struct InspectOptions {
    /// Only these tables or paths; an engine may leave out the rest.
    pub only: Vec<String>,
    /// What the destination has beyond the promise was there before: a note, no difference.
    pub may_have_more: bool,
    /// The destination can reach no other server.
    pub apart: bool,
}

/// What was found at a destination.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// Everything that could be read.
    pub inventory: Inventory,
    /// What could not be read, one sentence each. Not empty means: not proved.
    pub problems: Vec<String>,
    /// What the engine itself held against the backup beyond the inventory.
    pub checks: Vec<Check>,
    /// What a reader should know of the comparison: what was not part of it.
    pub notes: Vec<String>,
    /// Tables of the inventory that could not be tried there: no part of the comparison.
    pub untried: Vec<String>,
    /// What is there beyond the promise and not in the inventory, where that was allowed.
    pub more: Vec<String>,
    /// Canaries that are there.
    pub canaries: Canaries,
}

/// What a load did about accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AccountsLoaded {
    /// Whether they were asked for; otherwise none was touched.
    pub asked: bool,
    /// How many are there as the backup promises.
    pub restored: usize,
    /// Those that the destination had before, with another password or other rights, and kept.
    pub kept: Vec<String>,
    /// Those that the destination refused.
    pub refused: Vec<String>,
    /// Those of them that need something which the destination does not have. Not part of the output.
    #[serde(skip)]
    pub lacking: Vec<String>,
}

/// What a load says beyond success.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Missing definers and the like.
    pub warnings: Vec<String>,
    /// Bytes of the stream that were replayed.
    pub bytes: u64,
    /// What the destination lacks, so that something of the backup could not come back: says nothing about the backup.
    pub lacking: Vec<String>,
    /// What was done about accounts; none where nothing was to be done.
    pub accounts: Option<AccountsLoaded>,
    /// What the destination said when it refused something, by the name of the check that will miss it.
    pub refusals: BTreeMap<String, String>,
}

/// The code that knows a kind of source.
pub trait Engine: Send + Sync {
    /// Reach the source, check privileges (missing ones are named) and what must hold before a dump. Changes nothing.
    fn preflight<'e>(&'e self, context: &RunContext) -> Result<Box<dyn Ready + 'e>>;
    /// Whether backups of this kind can be continued by increments.
    fn has_increments(&self) -> bool {
        false
    }
    /// Whether a replay can be limited to single tables; which of them it cannot be limited to, it then says itself.
    fn replays_single_tables(&self) -> bool {
        false
    }
    /// Whether no full backup is taken by itself after a break: increments then wait for one that somebody, or the schedule, takes.
    fn waits_on_break(&self) -> bool {
        false
    }
    /// Write a canary of `owner` into the source, so that the next backup has it; none where none is asked for. It takes some seconds at
    /// most, and one that cannot be written says nothing about a backup.
    fn write_canary(&self, owner: &str, context: &RunContext) -> Result<Option<Canary>> {
        let _ = (owner, context);
        Ok(None)
    }
    /// What has come since `after`, a backup of this source. Only where [`Engine::has_increments`].
    fn changes_since(&self, after: &Manifest, context: &RunContext) -> Result<Since> {
        let _ = (after, context);
        Err(Error::configuration("there are no incremental backups of this kind of source"))
    }
    /// The same, and no further than `end`, a place of its log that lies behind. Only where [`Engine::has_increments`].
    fn changes_until(&self, after: &Manifest, end: &Position, context: &RunContext) -> Result<Since> {
        let _ = (after, end, context);
        Err(Error::configuration("there are no incremental backups of this kind of source"))
    }
    /// Begin to look how far the source is, again and again. Only where [`Engine::has_increments`].
    fn tail(&self, context: &RunContext) -> Result<Box<dyn Tail>> {
        let _ = context;
        Err(Error::configuration("there are no incremental backups of this kind of source"))
    }
    /// Put increments that follow each other together: the contents of one that brings the same, and ends where the last of them
    /// ends. Only where [`Engine::has_increments`].
    fn join(&self, increments: &[StoredIncrement], context: &RunContext) -> Result<Dump> {
        let _ = (increments, context);
        Err(Error::configuration("there are no incremental backups of this kind of source"))
    }
    /// Call `seen` with every transaction that an increment holds, in order. Only where [`Engine::has_increments`].
    fn transactions(
        &self,
        increment: &StoredIncrement,
        seen: &mut dyn FnMut(LoggedTransaction) -> Result<()>,
        context: &RunContext,
    ) -> Result<()> {
        let _ = (increment, seen, context);
        Err(Error::configuration("there are no incremental backups of this kind of source"))
    }
    /// What drills restore into: for a server the same product and series as the manifest says, or `Inconclusive` with
    /// the reason.
    fn sandbox(&self, point: &StoredPoint) -> Result<SandboxSpec>;
    /// The destination that a provided sandbox is.
    fn destination(&self, spec: &SandboxSpec, access: &Access) -> Destination;
    /// A table's name as the manifest writes it, however it was typed; an error where single ones cannot be restored.
    fn table_name(&self, typed: &str) -> Result<String>;
    /// Load a recovery point.
    fn load(
        &self,
        point: &StoredPoint,
        to: &Destination,
        options: &LoadOptions,
        context: &RunContext,
    ) -> Result<LoadReport>;
    /// Replay the increments of a recovery point whose full backup was loaded there just now. Only where [`Engine::has_increments`].
    fn replay(
        &self,
        point: &StoredPoint,
        to: &Destination,
        options: &LoadOptions,
        context: &RunContext,
    ) -> Result<Replayed> {
        let _ = (point, to, options, context);
        Err(Error::configuration("there are no incremental backups of this kind of source"))
    }
    /// What `at` holds of what the backup promises, and what it holds beyond in the same places.
    fn inspect(
        &self,
        at: &Destination,
        point: &StoredPoint,
        options: &InspectOptions,
        context: &RunContext,
    ) -> Result<Inspection>;
    /// What whoever restored should know of the data itself, one sentence each (`tables`: of these only). Asked when the
    /// restore is done and its time was taken; optional.
    fn afterthoughts(&self, at: &Destination, point: &StoredPoint, tables: &[String]) -> Result<Vec<String>> {
        let _ = (at, point, tables);
        Ok(Vec::new())
    }
    /// Ask the operator's own question. An answer that is not "true" is a check that is not ok, not an error.
    fn assert(&self, at: &Destination, assertion: &Assertion, context: &RunContext) -> Result<Check>;
}
