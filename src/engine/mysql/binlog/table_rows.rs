//! How a group changes the rows of a table.

/// Rows of one table that a group changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct TableRows {
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
}
