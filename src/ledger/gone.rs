//! What it means that a recovery point is not listed any more.

use std::collections::BTreeSet;

/// In the column `gone_early`: the point went away before the end of its retention, and nobody said why.
pub(super) const GONE_EARLY: i64 = 1;
/// In the same column: it did, and somebody said since that it was on purpose.
pub(super) const GONE_ACCEPTED: i64 = 2;
/// In the same column: it is still in the repository and cannot be read. Whether it vanishes is seen when it is not there any more.
pub(super) const GONE_UNREADABLE: i64 = 3;

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
        /// Sources that are looked at. What was found of others is never put right again.
        configured: &'a BTreeSet<String>,
    },
}
