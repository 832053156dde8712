//! How data was read: what a later comparison has to do in the same way.

use serde::{Deserialize, Serialize};

/// Which columns a table's content digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestRule {
    /// Every column that the dump prints: manifests of versions before the other rule.
    #[default]
    AllColumns,
    /// Without virtual generated columns: they are computed when they are read, so they are no data.
    StoredColumns,
}

/// How data was read, where that is not what the first version did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capture {
    /// Rule of the content digests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub digest_rule: DigestRule,
    /// Events could not be read, so there are none in the backup.
    #[serde(default, skip_serializing_if = "is_default")]
    pub without_events: bool,
    /// Versioned tables have only their current rows in the backup.
    #[serde(default, skip_serializing_if = "is_default")]
    pub without_history: bool,
}

/// Whether a field says nothing new.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
