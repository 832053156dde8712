//! Where a replay stops.

use chrono::{DateTime, Utc};

/// Where a replay stops: always at the end of a transaction, and before the one that is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Until {
    /// At the end of the last increment.
    #[default]
    End,
    /// Before the transaction that begins at this place or contains it.
    Before {
        /// Name of the log file.
        file: String,
        /// Offset in it, in bytes.
        offset: u64,
    },
    /// Before the transaction with this GTID.
    BeforeGtid(String),
    /// Before the first transaction that was committed later.
    Time(DateTime<Utc>),
}

impl Until {
    /// As-of time of a full and `increments` of it, which have these as-of times, when replay of the last stops here: never later than
    /// what is in it.
    pub fn as_of(
        &self,
        full: DateTime<Utc>,
        increments: impl DoubleEndedIterator<Item = DateTime<Utc>>,
    ) -> DateTime<Utc> {
        let mut back = increments.rev().chain([full]);
        match self {
            Self::Time(time) => *time,
            Self::End => back.next().unwrap_or(full),
            Self::Before { .. } | Self::BeforeGtid(_) => back.nth(1).unwrap_or(full),
        }
    }
}
