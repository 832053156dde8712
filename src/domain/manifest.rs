//! The manifest: what a backup promises. Its presence in the repository is what publishes the backup.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::capture::{Capture, is_default};
use super::change::evidence::Evidence;
use super::digest::Digest;
use super::host::HostIdentity;
use super::left_out::LeftOut;
use super::needs::Needs;
pub use super::recovery_point_id::RecoveryPointId;

/// Version of the manifest's own format; a reader refuses a newer one instead of guessing.
pub const MANIFEST_FORMAT: u32 = 1;

/// Kind of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// Restores by itself.
    Full,
    /// Replayed on top of the chain that starts with a full.
    Incremental,
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        })
    }
}

/// What a backup promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`] of the writer.
    pub format: u32,
    /// The recovery point this publishes.
    pub id: RecoveryPointId,
    /// Name of the source.
    pub source: String,
    /// The host that made it; none where it was made before hosts were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostIdentity>,
    /// Kind of the source, which is the engine's name.
    pub engine: String,
    /// Full or incremental.
    pub kind: BackupKind,
    /// Number of increments replayed on top of the full; 0 for a full.
    #[serde(default)]
    pub chain_length: u32,
    /// As-of time of the data: a moment not later than the consistent snapshot. Never when the backup finished.
    pub as_of: DateTime<Utc>,
    /// When the last byte was stored.
    pub finished: DateTime<Utc>,
    /// Program and version that made this.
    pub created_by: String,
    /// The server the data came from.
    pub server: ServerIdentity,
    /// Version line of the tool that read the data.
    pub tool: String,
    /// Server settings that matter for a restore (`sql_mode`, character sets, …).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Where in the server's change stream the snapshot stands; none where the server keeps no binary log.
    #[serde(default)]
    pub position: Option<Position>,
    /// Every stored file.
    pub files: Vec<StoredFileFacts>,
    /// Everything that must exist after a restore.
    pub inventory: Inventory,
    /// Where the parts of the main stream are, in stream order.
    #[serde(default)]
    pub segments: Vec<Segment>,
    /// What a restore needs at its destination; none where the backup is of a version that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Needs>,
    /// What a reader must know: tables outside the snapshot, what was left out, lines taken out of the stream.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the source had and this backup has not. Each has a sentence among the warnings too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What is in it and cannot come back, because the source's own tools do not carry it; only the source can be mended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cannot_return: Vec<LeftOut>,
    /// How the data was read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capture: Capture,
    /// What a later backup is compared with; nothing where the backup is of a version that did not record it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evidence: Evidence,
}

impl Manifest {
    /// One sentence per thing that was left out.
    pub fn not_in_it(&self) -> impl Iterator<Item = String> {
        self.left_out.iter().map(LeftOut::sentence)
    }

    /// One sentence per thing that was left out or cannot come back.
    pub fn losses(&self) -> Vec<String> {
        self.not_in_it().chain(self.cannot_return.iter().map(LeftOut::will_not_return)).collect()
    }

    /// Bytes of all stored files before deduplication and compression.
    pub fn logical_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// The stored file with this role.
    pub fn file(&self, role: FileRole) -> Option<&StoredFileFacts> {
        self.files.iter().find(|file| file.role == role)
    }

    /// Sum of the rows of all tables.
    pub fn rows(&self) -> u64 {
        self.inventory.tables.iter().fold(0, |sum, table| sum.saturating_add(table.rows))
    }
}

/// Product and version of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// `MariaDB` or `MySQL` …
    pub product: String,
    /// As the server says it, for example `10.11.19-MariaDB-deb12`.
    pub version: String,
    /// What must match between source and sandbox, for example `10.11` or `9.7`.
    pub series: String,
}

/// Position of a consistent snapshot in the server's change stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Binary log file name, where known.
    pub binlog_file: Option<String>,
    /// Offset in that file, in bytes.
    pub binlog_offset: Option<u64>,
    /// GTID state of the snapshot (MariaDB: position; MySQL: executed set).
    pub gtid: Option<String>,
}

/// What a stored file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileRole {
    /// The data itself.
    Stream,
    /// Accounts and grants, as SQL.
    Accounts,
    /// What the dump tool says about the data beside it.
    Description,
    /// What the backup promises in detail, beyond the inventory.
    Facts,
}

/// One stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFileFacts {
    /// Path inside the backup, for example `dump.sql`.
    pub path: String,
    /// What it is for.
    pub role: FileRole,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of the whole file.
    pub digest: Digest,
}

/// Everything that must exist after a restore. Both lists are sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Everything that has rows.
    pub tables: Vec<TableFacts>,
    /// Everything else that has a definition.
    pub objects: Vec<ObjectFacts>,
}

impl Inventory {
    /// Take out tables and objects that `other` does not have; their names.
    pub fn take_what_is_not_in(&mut self, other: &Self) -> Vec<String> {
        let tables: BTreeSet<&String> = other.tables.iter().map(|table| &table.name).collect();
        let objects: BTreeSet<_> = other.objects.iter().map(|object| (object.kind, &object.name)).collect();
        let more = self.tables.extract_if(.., |table| !tables.contains(&table.name));
        let mut taken: Vec<String> = more.map(|table| format!("table {}", table.name)).collect();
        let more = self.objects.extract_if(.., |object| !objects.contains(&(object.kind, &object.name)));
        taken.extend(more.map(|object| format!("{} {}", object.kind, object.name)));
        taken
    }
}

/// One table (or measurement, or directory): its rows and its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// Qualified name as people write it, `database.table`; quoted with backticks where it has to be.
    pub name: String,
    /// Exact number of rows.
    pub rows: u64,
    /// Order-independent digest of all rows.
    pub digest: Digest,
    /// Digest of the definition (`CREATE TABLE`, without the next AUTO_INCREMENT value).
    pub definition: Digest,
    /// Newest value per time column, as the server prints it in UTC; at most a few columns. Other engines put further
    /// small facts here that people read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub newest: BTreeMap<String, String>,
    /// The next id that would be given (`AUTO_INCREMENT`), as the dump says it. A restore may be ahead of it, never behind:
    /// ids would be given twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_id: Option<u64>,
}

/// What an object of the inventory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ObjectKind {
    Database,
    View,
    Procedure,
    Function,
    Package,
    Library,
    Trigger,
    Event,
    Sequence,
    Account,
    #[serde(rename = "retention policy")]
    RetentionPolicy,
    #[serde(rename = "continuous query")]
    ContinuousQuery,
    #[serde(rename = "git head")]
    GitHead,
    #[serde(rename = "git branch")]
    GitBranch,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "database",
            Self::View => "view",
            Self::Procedure => "procedure",
            Self::Function => "function",
            Self::Package => "package",
            Self::Library => "library",
            Self::Trigger => "trigger",
            Self::Event => "event",
            Self::Sequence => "sequence",
            Self::Account => "account",
            Self::RetentionPolicy => "retention policy",
            Self::ContinuousQuery => "continuous query",
            Self::GitHead => "git head",
            Self::GitBranch => "git branch",
        })
    }
}

/// An object without rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFacts {
    /// What it is.
    pub kind: ObjectKind,
    /// Qualified name, as in [`TableFacts::name`].
    pub name: String,
    /// Digest of its definition.
    pub definition: Digest,
    /// The definition itself, where it is short enough for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// `user@host` in whose name it runs; a restore without that account is warned about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definer: Option<String>,
}

/// How a part of the stream may be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentKind {
    /// Session settings: goes in front of everything that is replayed in a session of its own.
    Preamble,
    /// One table: definition, rows, triggers. May be replayed beside other tables of the same run.
    Table,
    /// Anything else: replayed alone, after everything before it.
    Barrier,
}

/// A contiguous part of the main stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// How it may be replayed.
    pub kind: SegmentKind,
    /// Database in use, unquoted; empty before the first.
    pub database: String,
    /// Table name, unquoted; empty for other kinds.
    pub table: String,
    /// First byte in the stream.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// First byte of the rows, relative to `offset`; equals `rows_end` where there are none.
    #[serde(default)]
    pub rows_start: u64,
    /// First byte after the rows, relative to `offset`.
    #[serde(default)]
    pub rows_end: u64,
}

#[cfg(test)]
mod tests;
