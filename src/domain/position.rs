//! A place in a server's change stream, and what tells one stream from another.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// Position of a consistent snapshot, or of the end of an increment, in the server's change stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Binary log file name, where known.
    pub binlog_file: Option<String>,
    /// Offset in that file, in bytes.
    pub binlog_offset: Option<u64>,
    /// GTID state of the snapshot (MariaDB: position; MySQL: executed set).
    pub gtid: Option<String>,
    /// Which log it is: the same file and offset may exist in another. None where a version before recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogIdentity>,
}

/// What tells a server's log from every other log in which there is the same file and offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIdentity {
    /// The server's own mark: `server_uuid` of MySQL, `server_id` of MariaDB.
    pub server: String,
    /// When the server began the file, by its own clock, in seconds since 1970.
    pub begun: u32,
    /// The last event group that ends at the position; none where the file has none before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastGroup>,
    /// Of a full backup: where the log was when everything had been read. Definitions that change before are in the backup already,
    /// or half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Place>,
    /// Of a full backup: tables that were read outside of its snapshot, so that rows of them may be in it and in the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<String>,
}

/// A place in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Name of the file.
    pub file: String,
    /// Offset in it, in bytes.
    pub offset: u64,
}

/// The bytes of one event group (a transaction, or a statement of its own) in a log file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGroup {
    /// Its first byte in the file.
    pub offset: u64,
    /// Of all its bytes.
    pub digest: Digest,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.binlog_file, self.binlog_offset) {
            (Some(file), Some(offset)) => write!(f, "{file}:{offset}"),
            _ => f.write_str(self.gtid.as_deref().unwrap_or("no position")),
        }
    }
}
