//! Tables, views and sequences, as a server lists them.

use super::connection::Session;
use super::names;
use crate::error::Result;

/// A table-like thing of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// `table`, `view`, `sequence`.
    pub kind: &'static str,
    /// Unquoted.
    pub database: String,
    /// Unquoted.
    pub name: String,
}

/// Tables, views and sequences of `database`.
pub fn relations(session: &mut Session, database: &str) -> Result<Vec<Relation>> {
    let rows = session.rows(&format!("SHOW FULL TABLES FROM {}", names::quote(database)))?;
    let relation = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        let (name, kind) = (row.next()?, row.next()?);
        let kind = match kind.as_str() {
            "VIEW" | "SYSTEM VIEW" => "view",
            "SEQUENCE" => "sequence",
            _ => "table",
        };
        Some(Relation { kind, database: database.to_owned(), name })
    };
    Ok(rows.into_iter().filter_map(relation).collect())
}
