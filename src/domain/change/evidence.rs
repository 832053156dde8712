//! What a manifest records so that a later backup can be compared with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sample::Sample;
use super::texture::Texture;
use crate::domain::recovery_point_id::RecoveryPointId;

/// What was recorded when the backup was made; nothing in manifests of versions before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Rows of tables by the tables' names, or contents of files by the paths they are below.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub samples: BTreeMap<String, Sample>,
    /// How much of each table, or below each path, is plain and how much is noise, by the same names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub textures: BTreeMap<String, Texture>,
    /// What programs rewrite as they like below each path: it is neither sampled nor judged.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apart: BTreeMap<String, Apart>,
    /// What was not in the repository yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_data: Option<NewData>,
    /// The newest recovery point that the operator had accepted by then: a ledger that is lost must not forget it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<RecoveryPointId>,
}

impl Evidence {
    /// Whether the backup is of a version that recorded nothing.
    pub fn is_missing(&self) -> bool {
        *self == Self::default()
    }
}

/// Entries of a tree that are not judged: the objects of git repositories, which `git gc` packs and unpacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Apart {
    /// Directories and files.
    pub entries: u64,
    /// What they take in the archive and in its index.
    pub bytes: u64,
}

/// Data of a backup that the repository did not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NewData {
    /// Bytes as they came from the source.
    pub bytes: u64,
    /// Bytes that they take in the repository: compressed and encrypted.
    pub stored_bytes: u64,
}

/// Less new data than this says nothing about how well it compresses,
const ENOUGH_BYTES: u64 = 64 * 1024;
/// unless it is half of all the data: a small source has no more. Of less than this nothing can be told.
const LEAST_BYTES: u64 = 4 * 1024;

impl NewData {
    /// Of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            stored_bytes: self.stored_bytes.saturating_add(other.stored_bytes),
        }
    }

    /// Without so many bytes, which take as much in the repository as incompressible ones.
    #[must_use]
    pub fn without(self, bytes: u64) -> Self {
        Self { bytes: self.bytes.saturating_sub(bytes), stored_bytes: self.stored_bytes.saturating_sub(bytes) }
    }

    /// Stored bytes per byte, in a backup of so many bytes: near 1 for what does not compress, as encrypted data. None where there is
    /// too little.
    pub fn compression(self, logical_bytes: u64) -> Option<f64> {
        let is_enough = self.bytes >= ENOUGH_BYTES || self.bytes >= LEAST_BYTES.max(logical_bytes.div_ceil(2));
        is_enough.then(|| self.stored_bytes as f64 / self.bytes as f64)
    }
}
