//! What it means that a recovery point is not listed any more.

use std::collections::BTreeSet;

/// What the column `gone_early` says of a point that went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum GoneMark {
    /// It was not to be kept any longer, or it is not gone.
    InTime,
    /// It went away before the end of its retention, and nobody said why.
    Early,
    /// It did, and somebody said since that it was on purpose.
    Accepted,
    /// It is still in the repository and cannot be read. Whether it vanishes is seen when it is not there any more.
    Unreadable,
}

impl GoneMark {
    const ALL: [Self; 4] = [Self::InTime, Self::Early, Self::Accepted, Self::Unreadable];

    /// As it is stored.
    pub(in crate::ledger) fn stored(self) -> i64 {
        match self {
            Self::InTime => 0,
            Self::Early => 1,
            Self::Accepted => 2,
            Self::Unreadable => 3,
        }
    }

    /// The reverse of [`Self::stored`]; none for what nobody here stores.
    pub(in crate::ledger) fn read(stored: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.stored() == stored)
    }
}

/// What it means that a point is not listed any more.
#[derive(Debug, Clone, Copy)]
pub enum Gone<'a> {
    /// Nothing: it is not looked for any more.
    OnPurpose,
    /// Somebody removed it, unless it is one of these.
    Unless {
        /// Listed, and counting as somebody else's now.
        others: &'a BTreeSet<String>,
        /// There, and not to be read: source and id, of all sources of the repository.
        unreadable: &'a BTreeSet<(String, String)>,
        /// How many more are there of which nobody can tell which they are.
        unnamed: u64,
    },
}
