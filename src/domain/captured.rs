//! What an engine knows of a backup that it made, before anybody has given that backup a name.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::canary::Canaries;
use super::capture::Capture;
use super::change::evidence::Evidence;
use super::host::HostIdentity;
use super::left_out::LeftOut;
use super::manifest::{
    BackupKind, FileRole, MANIFEST_FORMAT, Manifest, Position, RecoveryPointId, Segment, ServerIdentity,
    StoredFileFacts,
};
use super::needs::Needs;
use super::promise::{Changes, Promise};

/// The contents of a complete backup. The fields are those of [`Manifest`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Captured {
    pub server: ServerIdentity,
    pub tool: String,
    pub settings: BTreeMap<String, String>,
    pub position: Option<Position>,
    pub files: Vec<StoredFileFacts>,
    pub promise: Promise,
    pub segments: Vec<Segment>,
    pub needs: Option<Needs>,
    pub warnings: Vec<String>,
    pub left_out: Vec<LeftOut>,
    pub cannot_return: Vec<LeftOut>,
    pub canaries: Canaries,
    pub capture: Capture,
    /// What was seen in the data itself; what the repository and the operator know is added later.
    pub evidence: Evidence,
}

/// What only the operation knows that made the backup.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The recovery point.
    pub id: RecoveryPointId,
    /// Name of the source.
    pub source: String,
    /// Kind of the source.
    pub engine: String,
    /// The host that made it.
    pub host: HostIdentity,
    /// As-of time of the data.
    pub as_of: DateTime<Utc>,
    /// When the last byte was stored.
    pub finished: DateTime<Utc>,
    /// Program and version.
    pub created_by: String,
}

impl Captured {
    /// What an increment has where nothing came since `parent`: it ends where that ends. `note` is its only file.
    pub fn nothing_since(parent: &Manifest, note: StoredFileFacts) -> Self {
        let owed = match &parent.promise {
            Promise::Changes(changes) => changes.owed.clone(),
            Promise::Exact(_) | Promise::Pending => BTreeSet::new(),
        };
        Self::up_to(parent, vec![note], Changes { owed, ..Changes::default() })
    }

    /// What an increment has that ends where `end` ends and brings these changes.
    pub fn up_to(end: &Manifest, files: Vec<StoredFileFacts>, changes: Changes) -> Self {
        Self {
            server: end.server.clone(),
            tool: end.tool.clone(),
            settings: end.settings.clone(),
            position: end.position.clone(),
            files,
            promise: Promise::Changes(changes),
            segments: Vec::new(),
            needs: None,
            warnings: Vec::new(),
            left_out: Vec::new(),
            cannot_return: Vec::new(),
            canaries: Canaries::new(),
            capture: Capture::default(),
            evidence: Evidence::default(),
        }
    }

    /// The manifest of an increment that continues `parent`. One without changes is nothing to replay.
    pub fn increment(self, made: Made, parent: &Manifest) -> Manifest {
        let has_changes = self.files.iter().any(|file| file.role == FileRole::Log);
        Manifest {
            kind: BackupKind::Incremental,
            chain_length: parent.chain_length + u32::from(has_changes),
            parent: Some(parent.id.clone()),
            from: parent.position.clone(),
            ..self.full(made)
        }
    }

    /// The manifest of a full backup.
    pub fn full(self, made: Made) -> Manifest {
        Manifest {
            format: MANIFEST_FORMAT,
            id: made.id,
            source: made.source,
            host: Some(made.host),
            engine: made.engine,
            kind: BackupKind::Full,
            chain_length: 0,
            parent: None,
            from: None,
            joins: None,
            as_of: made.as_of,
            finished: made.finished,
            created_by: made.created_by,
            server: self.server,
            tool: self.tool,
            settings: self.settings,
            position: self.position,
            files: self.files,
            promise: self.promise,
            segments: self.segments,
            needs: self.needs,
            warnings: self.warnings,
            left_out: self.left_out,
            cannot_return: self.cannot_return,
            canaries: self.canaries,
            capture: self.capture,
            evidence: self.evidence,
        }
    }
}
