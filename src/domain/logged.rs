//! What a log of changes holds, for people who look for the moment at which something went wrong.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// Rows of one table that a transaction changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LoggedRows {
    /// Inserted ones.
    pub inserted: u64,
    /// Updated ones.
    pub updated: u64,
    /// Deleted ones.
    pub deleted: u64,
}

/// A transaction, or a statement of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedTransaction {
    /// When it was committed, by the server's clock.
    pub time: DateTime<Utc>,
    /// Where it begins in the server's log: `FILE:POS`.
    pub position: String,
    /// None where the server gives none.
    pub gtid: Option<String>,
    /// Rows by qualified name of their table.
    pub tables: BTreeMap<String, LoggedRows>,
    /// Statements that are not rows, without passwords; the first few.
    pub statements: Vec<String>,
    /// Rows are changed by statements, which are not shown.
    pub statement_format: bool,
}

/// What kind of change is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Rows that are inserted.
    Insert,
    /// Rows that are updated.
    Update,
    /// Rows that are deleted.
    Delete,
    /// Statements that are not rows.
    Ddl,
}

impl LoggedTransaction {
    /// Whether it does one of these, to this table where one is named. No kinds are all kinds. A statement may be about any table:
    /// it is looked for by the table's own name in its text.
    pub fn does(&self, kinds: &[ChangeKind], table: Option<&str>) -> bool {
        let is_wanted = |kind| kinds.is_empty() || kinds.contains(&kind);
        let rows = self.tables.iter().filter(|(name, _)| table.is_none_or(|table| table == name.as_str()));
        let has_rows = rows.into_iter().any(|(_, rows)| {
            rows.inserted > 0 && is_wanted(ChangeKind::Insert)
                || rows.updated > 0 && is_wanted(ChangeKind::Update)
                || rows.deleted > 0 && is_wanted(ChangeKind::Delete)
        });
        let own_name = table.map(|table| table.rsplit('.').next().unwrap_or(table).trim_matches('`').to_lowercase());
        let names = |text: &String| own_name.as_ref().is_none_or(|name| text.to_lowercase().contains(name));
        has_rows
            || is_wanted(ChangeKind::Ddl) && self.statements.iter().any(names)
            || self.statement_format && (kinds.is_empty() || kinds.iter().any(|kind| *kind != ChangeKind::Ddl))
    }

    /// In a few words: `shop.orders +3 ~1 -20; DROP TABLE x`.
    pub fn summary(&self) -> String {
        let rows = |(name, rows): (&String, &LoggedRows)| {
            let counts = [('+', rows.inserted), ('~', rows.updated), ('-', rows.deleted)];
            let counts =
                counts.into_iter().filter(|(_, count)| *count > 0).map(|(sign, count)| format!(" {sign}{count}"));
            format!("{name}{}", counts.collect::<String>())
        };
        let format = self.statement_format.then(|| "rows in statement format".to_owned());
        let parts = self.tables.iter().map(rows).chain(format).chain(self.statements.iter().cloned());
        let summary = parts.collect::<Vec<String>>().join("; ");
        if summary.is_empty() { "nothing".to_owned() } else { summary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(tables: &[(&str, [u64; 3])], statements: &[&str]) -> LoggedTransaction {
        let rows = |[inserted, updated, deleted]: [u64; 3]| LoggedRows { inserted, updated, deleted };
        LoggedTransaction {
            time: DateTime::UNIX_EPOCH,
            position: "log.1:4".to_owned(),
            gtid: None,
            tables: tables.iter().map(|(name, counts)| ((*name).to_owned(), rows(*counts))).collect(),
            statements: statements.iter().map(|text| (*text).to_owned()).collect(),
            statement_format: false,
        }
    }

    #[test]
    fn a_transaction_is_found_by_what_it_does_and_to_which_table() {
        let rows = transaction(&[("d.a", [3, 0, 0]), ("d.b", [0, 1, 2])], &[]);
        let ddl = transaction(&[], &["DROP TABLE `Orders`"]);
        for (one, kinds, table, want) in [
            (&rows, &[][..], None, true),
            (&rows, &[ChangeKind::Insert], None, true),
            (&rows, &[ChangeKind::Insert], Some("d.b"), false),
            (&rows, &[ChangeKind::Update], Some("d.b"), true),
            (&rows, &[ChangeKind::Delete], Some("d.b"), true),
            (&rows, &[ChangeKind::Delete], Some("d.a"), false),
            (&rows, &[ChangeKind::Ddl], None, false),
            (&rows, &[], Some("d.c"), false),
            (&ddl, &[ChangeKind::Ddl], None, true),
            (&ddl, &[], Some("d.orders"), true),
            (&ddl, &[], Some("d.`orders`"), true),
            (&ddl, &[], Some("d.items"), false),
            (&ddl, &[ChangeKind::Delete], None, false),
        ] {
            assert_eq!(one.does(kinds, table), want, "{one:?} {kinds:?} {table:?}");
        }
        let statement = LoggedTransaction { statement_format: true, ..transaction(&[], &[]) };
        assert!(statement.does(&[], Some("d.a")) && statement.does(&[ChangeKind::Delete], None));
        assert!(!statement.does(&[ChangeKind::Ddl], None));
    }

    #[test]
    fn a_summary_says_how_many_rows_of_what_and_the_statements() {
        let all = transaction(&[("d.a", [3, 0, 20]), ("d.b", [0, 1, 0])], &["DROP TABLE x"]);
        assert_eq!(all.summary(), "d.a +3 -20; d.b ~1; DROP TABLE x");
        let statement = LoggedTransaction { statement_format: true, ..transaction(&[], &[]) };
        assert_eq!(
            (statement.summary(), transaction(&[], &[]).summary()),
            ("rows in statement format".into(), "nothing".into())
        );
    }
}
