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

/// Those of a source of `kind`.
pub fn words(kind: &str) -> Words {
    let (table, tables, rows) = match kind {
        "influxdb" => ("measurement", "measurements", "values"),
        "files" => ("tree", "trees", "entries"),
        _ => ("table", "tables", "rows"),
    };
    Words { table, tables, rows }
}
