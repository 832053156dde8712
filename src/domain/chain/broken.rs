//! Why a server's log does not continue a backup. Never skipped over in silence: what lies between is lost.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of break it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakKind {
    /// The server keeps no binary log any more.
    NoLog,
    /// The server removed log files that were not archived yet.
    Purged,
    /// It is another server.
    OtherServer,
    /// The same file name and offset, with another history: the log was begun anew, or the server was restored.
    OtherHistory,
    /// The server's log ends before the archived position: it was reset, restored, or lost its end in a crash.
    Behind,
    /// The log itself is damaged: an event is cut, or its checksum is wrong.
    Damaged,
    /// What the newest backup relies on is no longer in the repository.
    Missing,
    /// A definition or an account changed while the full backup was read: nothing can be replayed on it.
    ChangedMeanwhile,
    /// What the backup recorded does not tell whether the log continues it.
    Unknown,
}

/// A log that does not continue a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// What kind of break it is.
    pub kind: BreakKind,
    /// What was expected and what was found, for people.
    pub detail: String,
}

impl BreakKind {
    /// Its name in metrics, JSON and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoLog => "no_log",
            Self::Purged => "purged",
            Self::OtherServer => "other_server",
            Self::OtherHistory => "other_history",
            Self::Behind => "behind",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::ChangedMeanwhile => "changed_meanwhile",
            Self::Unknown => "unknown",
        }
    }
}

impl Break {
    /// A break of this kind.
    pub fn new(kind: BreakKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Break {}
