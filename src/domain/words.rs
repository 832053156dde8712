//! What people call the things of a source.

/// The words of one kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// One of what has rows.
    pub table: &'static str,
    /// Several.
    pub tables: &'static str,
    /// What is in them.
    pub rows: &'static str,
}

impl Default for Words {
    fn default() -> Self {
        Self { table: "table", tables: "tables", rows: "rows" }
    }
}
