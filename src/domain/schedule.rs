//! What is done to a source by the clock.

use std::fmt;

use serde::Serialize;

use super::manifest::BackupKind;

/// Work that a schedule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// An increment on top of the newest backup.
    IncrementalBackup,
    /// A full backup.
    FullBackup,
    /// A test restore.
    Drill,
}

impl Work {
    /// All of it, most urgent first.
    pub const ALL: [Self; 3] = [Self::IncrementalBackup, Self::FullBackup, Self::Drill];

    /// Name for logs and people.
    pub fn name(self) -> &'static str {
        match self {
            Self::IncrementalBackup => "incremental backup",
            Self::FullBackup => "full backup",
            Self::Drill => "drill",
        }
    }

    /// The kind of backup it makes, if it makes one.
    pub fn backup_kind(self) -> Option<BackupKind> {
        match self {
            Self::IncrementalBackup => Some(BackupKind::Incremental),
            Self::FullBackup => Some(BackupKind::Full),
            Self::Drill => None,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
