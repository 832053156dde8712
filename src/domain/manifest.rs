//! The manifest: what a backup promises. Its presence in the repository is what publishes the backup.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::canary::{Canaries, Canary, owner};
use super::capture::{Capture, is_default};
use super::change::evidence::Evidence;
use super::digest::Digest;
use super::host::HostIdentity;
pub use super::inventory::{Inventory, ObjectFacts, ObjectKind, Reach, TableFacts};
use super::left_out::LeftOut;
use super::needs::Needs;
pub use super::position::{LastGroup, LogIdentity, Place, Position};
use super::promise::Promise;
pub use super::recovery_point_id::RecoveryPointId;

/// Version of the manifest's own format; a reader refuses a newer one instead of guessing. Version 1 had no increments: what it
/// promises is exact.
pub const MANIFEST_FORMAT: u32 = 2;

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
    /// The recovery point that an increment continues; none for a full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RecoveryPointId>,
    /// Where in the server's change stream an increment begins: where its parent ends. None for a full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Position>,
    /// Of an increment that took the place of several: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joins: Option<Joins>,
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
    /// How far the backup reaches in the server's change stream: where the snapshot of a full stands, where an increment ends.
    /// None where the server keeps no binary log.
    #[serde(default)]
    pub position: Option<Position>,
    /// Every stored file.
    pub files: Vec<StoredFileFacts>,
    /// What must be true after a restore.
    #[serde(flatten)]
    pub promise: Promise,
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
    /// Canaries that a full backup has.
    #[serde(default, skip_serializing_if = "Canaries::is_empty")]
    pub canaries: Canaries,
    /// How the data was read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capture: Capture,
    /// What a later backup is compared with; nothing where the backup is of a version that did not record it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evidence: Evidence,
}

/// Increments that one took the place of: it brings what they brought, and ends where the last of them ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joins {
    /// How many times what it holds was joined.
    pub tier: u32,
    /// Every one of them, those included that they had taken the place of.
    pub of: Vec<RecoveryPointId>,
}

impl Manifest {
    /// Everything that must exist after a restore, where that is promised exactly; nothing where it is not.
    pub fn inventory(&self) -> &Inventory {
        const NOTHING: &Inventory = &Inventory { tables: Vec::new(), objects: Vec::new(), reach: None };
        match &self.promise {
            Promise::Exact(inventory) => inventory,
            Promise::Changes(_) | Promise::Pending => NOTHING,
        }
    }

    /// The inventory of an exact promise.
    #[cfg(test)]
    pub(crate) fn inventory_mut(&mut self) -> &mut Inventory {
        match &mut self.promise {
            Promise::Exact(inventory) => inventory,
            other => panic!("{other:?} is not exact"),
        }
    }

    /// What it says that cannot be true together; none for every manifest that a backup wrote.
    pub fn contradiction(&self) -> Option<&'static str> {
        let is_increment = self.kind == BackupKind::Incremental;
        let continues = self.parent.is_some() && self.from.is_some();
        let has_changes = matches!(self.promise, Promise::Changes(_));
        match (is_increment, continues, has_changes) {
            (true, false, _) => Some("an increment that does not say what it continues"),
            (true, true, _) if self.position.is_none() => Some("an increment that does not say where it ends"),
            (false, ..) if self.parent.is_some() || self.from.is_some() => Some("a full backup that continues another"),
            (false, _, true) => Some("a full backup that promises only changes"),
            _ => None,
        }
    }

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

    /// Transactions of an increment; none of a full backup.
    pub fn transactions(&self) -> Option<u64> {
        if let Promise::Changes(changes) = &self.promise { Some(changes.transactions) } else { None }
    }

    /// Whose canary this backup is about; none where it does not say which host made it.
    pub fn canary_owner(&self) -> Option<String> {
        self.host.as_ref().map(|host| owner(&self.source, host))
    }

    /// The newest canary of its own that the backup itself has. One that is newer than the data is somebody else's work.
    pub fn canary(&self) -> Option<&Canary> {
        let canaries = match &self.promise {
            Promise::Changes(changes) => &changes.canaries.newest,
            Promise::Exact(_) | Promise::Pending => &self.canaries,
        };
        canaries.get(&self.canary_owner()?).filter(|canary| canary.written <= self.as_of)
    }

    /// Sum of the rows of all tables.
    pub fn rows(&self) -> u64 {
        self.inventory().tables.iter().fold(0, |sum, table| sum.saturating_add(table.rows))
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
    /// Changes of an increment: a part of one file of the server's log. Several are replayed in the manifest's order.
    Log,
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
