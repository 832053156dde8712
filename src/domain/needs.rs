//! What a destination must have beyond the backup itself: the directories, programs and settings that restored definitions
//! rely on. Read from the stored definitions and from the source's server; pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a restore needs at its destination. Everything is empty for most sources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// Absolute paths that tables keep their files in (`DATA DIRECTORY`, `INDEX DIRECTORY`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub directories: BTreeSet<String>,
    /// Tablespaces that several tables share, with their block size in bytes where it is not the server's page size.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tablespaces: BTreeMap<String, Option<u64>>,
    /// Those of them that are encrypted.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub encrypted_tablespaces: BTreeSet<String>,
    /// Storage engines of the tables, in capitals, and the plugin library that the source loads each from; empty where it
    /// is part of the server.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub engines: BTreeMap<String, String>,
    /// Tables that are a connection to another server, with their engine.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub connected: BTreeMap<String, String>,
    /// Whether the source knows time zones by name.
    #[serde(skip_serializing_if = "is_false")]
    pub named_time_zones: bool,
    /// Keys that tables are encrypted with, by number; MySQL has only one, 1.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub encryption_keys: BTreeSet<u32>,
    /// Length of the longest statement of the stream, in bytes: `max_allowed_packet` must hold it.
    #[serde(skip_serializing_if = "is_zero")]
    pub longest_statement: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's shape
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's shape
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_written_and_its_absence_is_not() {
        assert_eq!(serde_json::to_string(&Needs::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Needs>("{}").unwrap(), Needs::default());
        let word = |text: &str| text.to_owned();
        let needs = Needs {
            directories: BTreeSet::from([word("/data")]),
            tablespaces: BTreeMap::from([(word("ts"), Some(8192)), (word("plain"), None)]),
            encrypted_tablespaces: BTreeSet::from([word("ts")]),
            engines: BTreeMap::from([(word("ROCKSDB"), word("ha_rocksdb"))]),
            connected: BTreeMap::from([(word("d.t"), word("FEDERATED"))]),
            named_time_zones: true,
            encryption_keys: BTreeSet::from([1]),
            longest_statement: 1,
        };
        let json = serde_json::to_value(&needs).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 8, "{json}");
        assert_eq!(serde_json::from_value::<Needs>(json).unwrap(), needs);
    }
}
