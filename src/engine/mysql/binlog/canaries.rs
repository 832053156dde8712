//! Canaries in a log: the rows of their table, and the statements that write them where the log has statements.
//!
//! What is not exactly how a canary is written makes all of them unknown, never another one.

use std::collections::BTreeSet;

use super::event::Change;
use super::query::Query;
use super::rows::RowsHead;
use super::table_map::{Size, TableMap, take};
use crate::domain::canary::{Canary, CanaryChanges, DATABASE, TABLE};
use crate::engine::mysql::canary_sql::{delete_of, insert_of};

/// Columns of their table: owner, time, value.
const COLUMNS: usize = 3;

/// Whether its rows are canaries.
pub fn are_rows_of(map: &TableMap) -> bool {
    map.database == DATABASE && map.table == TABLE
}

/// What a transaction does to canaries.
#[derive(Debug, Default)]
pub struct Canaried {
    changes: CanaryChanges,
    /// Owners whose canary was taken away. Before the end each has another one.
    deleted: BTreeSet<String>,
}

impl Canaried {
    /// What it did in the end.
    pub fn changes(mut self) -> CanaryChanges {
        if self.deleted.iter().any(|owner| !self.changes.newest.contains_key(owner)) {
            let newest = std::mem::take(&mut self.changes.newest);
            self.changes = CanaryChanges { forgotten: true, newest };
        }
        self.changes
    }

    /// What it did may not have happened.
    pub fn doubt(&mut self) {
        if !self.changes.is_nothing() || !self.deleted.is_empty() {
            self.changes.forget();
        }
    }

    /// A row event on their table.
    pub fn rows(&mut self, map: &TableMap, head: &RowsHead, change: Change, rows: Option<&[u8]>) {
        let is_theirs = map.columns.as_deref() == Some(&[Size::Prefixed(1); COLUMNS]);
        let rows = rows.filter(|_| is_theirs).and_then(|rows| texts(rows, head.images().first()?));
        match (rows, change) {
            (Some(rows), Change::Insert) => rows.into_iter().for_each(|row| self.insert(&row)),
            (Some(rows), Change::Delete) => rows.into_iter().for_each(|row| self.delete(row.first())),
            _ => self.changes.forget(),
        }
    }

    /// A statement that changes something.
    pub fn statement(&mut self, query: &Query) {
        let text = query.text.as_deref().unwrap_or(DATABASE);
        let is_about_them = query.database == DATABASE || names(text);
        if !is_about_them {
            return;
        }
        let is_good = query.error == 0 && !query.is_cut;
        match (insert_of(text).filter(|_| is_good), delete_of(text).filter(|_| is_good)) {
            (Some(row), _) => self.insert(&row),
            (None, Some(owner)) => self.delete(Some(&owner)),
            (None, None) => self.changes.forget(),
        }
    }

    fn insert(&mut self, row: &[String]) {
        let canary = |row: &[String]| {
            let [owner, time, value] = row else { return None };
            Some((owner.clone(), Canary::read(time, value)?))
        };
        match canary(row) {
            Some((owner, canary)) => self.changes.write(owner, canary),
            None => self.changes.forget(),
        }
    }

    fn delete(&mut self, owner: Option<&String>) {
        let Some(owner) = owner else { return self.changes.forget() };
        self.changes.newest.remove(owner);
        self.deleted.insert(owner.clone());
    }
}

/// Whether a statement names their database, in letters of any size.
fn names(text: &str) -> bool {
    text.as_bytes().windows(DATABASE.len()).any(|part| part.eq_ignore_ascii_case(DATABASE.as_bytes()))
}

/// The values of rows whose columns are all short texts; none where there is anything else.
fn texts(mut rows: &[u8], image: &[bool]) -> Option<Vec<Vec<String>>> {
    let columns = image.iter().filter(|is_there| **is_there).count();
    // The first one is the owner.
    image.first().filter(|is_there| **is_there)?;
    let mut all = Vec::new();
    while !rows.is_empty() {
        // Which are NULL: none is. Bits that stand for no column are set by some servers.
        let nulls = take(&mut rows, columns.div_ceil(8))?[0];
        if nulls & ((1 << columns) - 1) != 0 {
            return None;
        }
        let mut row = Vec::new();
        for _ in 0..columns {
            let length = usize::from(*take(&mut rows, 1)?.first()?);
            row.push(String::from_utf8(take(&mut rows, length)?.to_vec()).ok()?);
        }
        all.push(row);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mysql::canary_sql::statements;
    use crate::engine::mysql::sql::Quoting;

    const TIME: &str = "2027-01-15T08:00:00.000005Z";

    fn row(values: &[&str]) -> Vec<u8> {
        let mut bytes = vec![0xf8];
        for value in values {
            bytes.push(u8::try_from(value.len()).unwrap());
            bytes.extend(value.as_bytes());
        }
        bytes
    }

    fn query(database: &str, text: &str) -> Query {
        let quoting = Quoting { ansi: false, plain_backslash: false };
        let (database, text) = (database.to_owned(), Some(text.to_owned()));
        Query { database, text, is_cut: false, error: 0, quoting, folds_names: false }
    }

    fn shown(changes: &CanaryChanges) -> String {
        let newest: Vec<String> = changes.newest.iter().map(|(owner, it)| format!("{owner}={}", it.value)).collect();
        format!("{}{}", if changes.forgotten { "forgotten " } else { "" }, newest.join(" "))
    }

    #[test]
    fn rows_of_canaries_are_read_and_anything_else_is_no_canary() {
        let all = [true, true, true];
        let two = [row(&["a@1", TIME, "v1"]), row(&["b@1", TIME, "v2"])].concat();
        assert_eq!(texts(&two, &all).unwrap()[1], ["b@1", TIME, "v2"]);
        for end in 1..two.len() {
            let is_whole = end == two.len() / 2;
            assert_eq!(texts(&two[..end], &all).is_some(), is_whole, "{end}");
        }
        assert_eq!(texts(&row(&["a@1"]), &[true, false, false]).unwrap(), [["a@1"]]);
        assert_eq!(texts(&row(&["a@1"]), &[false, true, false]), None, "whose it is, is not there");
        let mut null = row(&["a@1", TIME, "v1"]);
        null[0] |= 2;
        assert_eq!(texts(&null, &all), None);
        let mut latin = row(&["a@1", TIME, "v1"]);
        latin[2] = 0xe4;
        assert_eq!(texts(&latin, &all), None);
    }

    #[test]
    fn statements_that_write_canaries_are_read_and_others_on_their_database_make_all_unknown() {
        let canary = Canary::read(TIME, "v1").unwrap();
        let own = statements("shop@1", &canary);
        let after = |queries: &[Query]| {
            let mut canaried = Canaried::default();
            for query in queries {
                canaried.statement(query);
            }
            shown(&canaried.changes())
        };
        let written: Vec<Query> = own.iter().map(|text| query("", text)).collect();
        assert_eq!(after(&written), "shop@1=v1");
        assert_eq!(after(&written[..1]), "forgotten ", "taken away, and no other");
        assert_eq!(after(&[query("shop", "UPDATE t SET a = 1")]), "");
        for (database, text) in [
            ("", "DROP DATABASE backup_sla_canary"),
            ("", "delete from Backup_SLA_Canary.canary"),
            ("backup_sla_canary", "TRUNCATE canary"),
            ("shop", "UPDATE t, `backup_sla_canary`.canary SET a = 1"),
        ] {
            let also = [written.clone(), vec![query(database, text)]].concat();
            assert_eq!(after(&also), "forgotten ", "{text}");
        }
        let failed = Query { error: 1213, ..written[1].clone() };
        assert_eq!(after(&[failed]), "forgotten ");
        let unreadable = Query { text: None, ..query("shop", "") };
        assert_eq!(after(&[unreadable]), "forgotten ");
    }
}
