//! Replay for single tables: what of a log is theirs. Where that cannot be told from what happens to other tables, nothing is
//! restored at all.

use std::collections::BTreeSet;

use crate::domain::manifest::Manifest;
use crate::domain::promise::Changes;
use crate::engine::mysql::binlog::query::Query;
use crate::engine::mysql::binlog::statement::{Effect, Order, effects, order};
use crate::engine::mysql::names;
use crate::error::{Error, Result};

/// The tables that are replayed, by qualified name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    tables: BTreeSet<String>,
    /// The source keeps names of tables in small letters.
    folds: bool,
}

impl Only {
    /// Of a restore of these tables; none where it is of everything.
    pub fn of(manifest: &Manifest, tables: &[String]) -> Option<Self> {
        let folds = manifest.settings.get("lower_case_table_names").is_some_and(|mode| mode != "0");
        (!tables.is_empty()).then(|| Self { tables: tables.iter().cloned().collect(), folds })
    }

    /// Whether this table is replayed, named without quotes.
    pub fn has(&self, database: &str, table: &str) -> bool {
        self.tables.contains(&names::qualified(database, table))
    }

    /// Whether one of them is in this database. No other need be there.
    pub fn has_database(&self, database: &str) -> bool {
        let database = if self.folds { database.to_lowercase() } else { database.to_owned() };
        self.tables.iter().any(|table| is_in(table, &names::database(&database)))
    }

    /// Whether a statement is replayed: it is about these tables and no others. An error where it cannot be left out and cannot be
    /// replayed either. Programs, views, triggers and accounts are no part of a table.
    pub fn takes(&self, body: &[u8], is_thread_specific: bool) -> Result<bool> {
        let Some(mut query) = Query::read(body, false, false) else {
            return Err(self.refused("a statement of the log cannot be read"));
        };
        query.folds_names = self.folds;
        if query.text.as_deref().is_some_and(|text| order(text) != Order::Statement) {
            return Ok(true);
        }
        let understood = effects(&query, is_thread_specific);
        let mut takes = false;
        for effect in &understood.effects {
            match effect {
                Effect::Uncounted(why) | Effect::Stated(_, why) => return Err(self.refused(why)),
                Effect::DroppedDatabase(name) if self.tables.iter().any(|table| is_in(table, name)) => {
                    return Err(self.refused(&format!("its database is dropped by `{}`", query.shown())));
                }
                Effect::Redefined(name) | Effect::Varies(name, _) | Effect::Emptied(name) => {
                    takes |= self.tables.contains(name);
                }
                Effect::Made(name, _) | Effect::Dropped(name) | Effect::Doubted(name, _) => {
                    self.not_by(&[name], &query)?;
                }
                Effect::Renamed(from, to) => self.not_by(&[from, to], &query)?,
                Effect::Definition(_) | Effect::DroppedDatabase(_) => {}
            }
        }
        Ok(takes)
    }

    /// An error where a statement makes, drops, renames or mixes one of them.
    fn not_by(&self, names: &[&String], query: &Query) -> Result<()> {
        match names.iter().find(|name| self.tables.contains(**name)) {
            Some(name) => Err(self.refused(&format!("{name} is not the same table after `{}`", query.shown()))),
            None => Ok(()),
        }
    }

    /// An error where increments do something to one of them that only a replay of everything does.
    pub fn allow(&self, changes: &Changes) -> Result<()> {
        let doubted = self.tables.iter().find_map(|name| {
            let why = changes.tables.get(name)?.uncounted.as_ref()?;
            Some(format!("{name}: {why}"))
        });
        match doubted.or_else(|| changes.uncounted.clone()) {
            Some(why) => Err(self.refused(&why)),
            None => Ok(()),
        }
    }

    /// Of what increments change, what is replayed.
    pub fn keep(&self, changes: &mut Changes) {
        changes.tables.retain(|name, _| self.tables.contains(name));
        changes.definitions.clear();
        changes.dropped.clear();
    }

    /// They cannot be restored without the others, for this reason.
    pub fn refused(&self, why: &str) -> Error {
        let names: Vec<&str> = self.tables.iter().map(String::as_str).collect();
        Error::failed(format!("cannot replay increments for {} alone: {why}", names.join(", "))).hint(
            "restore everything into an empty server and copy the table from there, stop before that with --before-position, or \
             take the table from the full backup with --recovery-point",
        )
    }
}

fn is_in(table: &str, database: &str) -> bool {
    names::split_qualified(table).is_some_and(|(of, _)| names::database(&of) == database)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::promise::TableChanges;

    fn only() -> Only {
        Only { tables: ["shop.t".to_owned(), "shop.u".to_owned()].into(), folds: false }
    }

    fn takes(text: &str) -> Result<bool> {
        let mut body = vec![0; 8];
        body.extend([4, 0, 0, 0, 0]);
        body.extend(b"shop\0");
        body.extend(text.as_bytes());
        only().takes(&body, false)
    }

    #[test]
    fn statements_on_these_tables_are_replayed_and_those_on_others_are_not() {
        for (text, is_taken) in [
            ("ALTER TABLE t ADD COLUMN a INT", true),
            ("ALTER TABLE other.t ADD COLUMN a INT", false),
            ("TRUNCATE TABLE shop.u", true),
            ("CREATE INDEX i ON t (a)", true),
            ("CREATE TABLE v (a INT)", false),
            ("DROP TABLE v, w", false),
            ("RENAME TABLE v TO w", false),
            ("DROP DATABASE other", false),
            ("CREATE VIEW x AS SELECT * FROM t", false),
            ("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a = 1", false),
            ("CREATE USER a", false),
            ("OPTIMIZE TABLE t", false),
            ("SAVEPOINT s", true),
            ("ROLLBACK TO s", true),
        ] {
            assert_eq!(takes(text).unwrap(), is_taken, "{text}");
        }
    }

    #[test]
    fn only_databases_of_these_tables_need_be_there() {
        assert!(only().has_database("shop") && !only().has_database("other") && !only().has_database("Shop"));
        assert!(Only { folds: true, ..only() }.has_database("SHOP"));
        let odd = Only { tables: ["`a.b`.t".to_owned()].into(), folds: false };
        assert!(odd.has_database("a.b") && !odd.has_database("a"));
    }

    #[test]
    fn what_cannot_be_told_from_other_tables_is_refused_by_name() {
        for (text, said) in [
            ("DROP TABLE v, t", "shop.t is not the same table after `DROP TABLE v, t`"),
            ("CREATE TABLE t LIKE v", "not the same table"),
            ("RENAME TABLE v TO t", "not the same table"),
            ("RENAME TABLE u TO v", "shop.u is not the same table"),
            ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE v", "not the same table"),
            ("DROP DATABASE shop", "its database is dropped"),
            ("INSERT INTO v VALUES (1)", "INSERT in statement format"),
            ("SOMETHING NEW", "not known"),
        ] {
            let error = takes(text).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("shop.t, shop.u alone"), "{text}: {error}");
        }
        assert!(only().takes(&[0; 5], false).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn rows_that_the_log_does_not_have_are_refused() {
        let doubted = TableChanges { uncounted: Some("a foreign key".to_owned()), ..TableChanges::default() };
        let mut changes = Changes::default();
        changes.tables.insert("shop.v".to_owned(), doubted.clone());
        changes.tables.insert("shop.t".to_owned(), TableChanges::default());
        changes.definitions.insert("*".to_owned());
        changes.dropped.insert("other".to_owned());
        only().allow(&changes).unwrap();
        let mut kept = changes.clone();
        only().keep(&mut kept);
        assert_eq!(kept.tables.keys().collect::<Vec<_>>(), ["shop.t"]);
        assert!(kept.definitions.is_empty() && kept.dropped.is_empty());
        changes.tables.insert("shop.t".to_owned(), doubted);
        assert!(only().allow(&changes).unwrap_err().to_string().contains("shop.t: a foreign key"));
        let everything = Changes { uncounted: Some("a statement".to_owned()), ..Changes::default() };
        assert!(only().allow(&everything).unwrap_err().to_string().contains("a statement"));
    }
}
