//! Which databases of a log are replayed: those of the backup. A log has all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::manifest::{Manifest, ObjectKind};
use crate::engine::mysql::binlog::query::Query;
use crate::engine::mysql::binlog::statement::{Effect, effects};
use crate::engine::mysql::names::{self, Token};
use crate::engine::mysql::source::{ALL_DATABASES, DATABASES, SYSTEM_DATABASES};

/// The databases that are replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// None: every one but the server's own.
    only: Option<Arc<BTreeSet<String>>>,
    /// The server takes names in any case for the same.
    folds: bool,
}

impl Wanted {
    /// Those that a full backup has, or has and would have.
    pub fn of(manifest: &Manifest) -> Self {
        let folds = manifest.settings.get("lower_case_table_names").is_some_and(|mode| mode != "0");
        if manifest.settings.get(DATABASES).is_some_and(|what| what == ALL_DATABASES) {
            return Self { only: None, folds };
        }
        let objects = manifest.inventory().objects.iter().filter(|object| object.kind == ObjectKind::Database);
        let fold = |name: String| if folds { name.to_lowercase() } else { name };
        Self { only: Some(Arc::new(objects.map(|object| fold(unquoted(&object.name))).collect())), folds }
    }

    /// Whether there are databases that are not.
    pub fn is_restricted(&self) -> bool {
        self.only.is_some()
    }

    /// Whether this one is, named without quotes.
    pub fn has(&self, database: &str) -> bool {
        match &self.only {
            Some(only) if self.folds => only.contains(&database.to_lowercase()),
            Some(only) => only.contains(database),
            None => !SYSTEM_DATABASES.contains(&database.to_lowercase().as_str()),
        }
    }

    /// Whether a statement is replayed: anything that it does concerns one of them, or no database at all. What is not understood
    /// is replayed, so that nothing is lost in silence.
    pub fn takes(&self, body: &[u8], in_use: &[u8], is_thread_specific: bool) -> bool {
        let in_use = String::from_utf8_lossy(in_use);
        let Some(mut query) = Query::read(body, false, false) else { return true };
        query.folds_names = self.folds;
        let understood = effects(&query, is_thread_specific);
        if understood.is_rows {
            let is_meant = in_use.is_empty() && understood.effects.iter().any(|effect| self.may_be_written(effect));
            return is_meant || self.has(&in_use) || self.is_named(query.text.as_deref().unwrap_or_default());
        }
        let concerned: Vec<Option<String>> = understood.effects.iter().map(database).collect();
        if concerned.is_empty() {
            return in_use.is_empty() || self.has(&in_use);
        }
        concerned.iter().any(|database| database.as_deref().is_none_or(|database| self.has(database)))
    }
}

impl Wanted {
    fn may_be_written(&self, effect: &Effect) -> bool {
        let Effect::Stated(name, _) = effect else { return false };
        let one = name.strip_suffix(".*").map_or_else(|| name.clone(), |database| format!("{database}.x"));
        // Where no database is in its name, it may be any.
        names::split_qualified(&one).is_none_or(|(database, _)| self.has(&database))
    }

    /// Whether a statement names one of them in front of a dot.
    fn is_named(&self, text: &str) -> bool {
        names::tokens(text, usize::MAX).windows(2).any(|pair| match pair {
            [Token::Word(name) | Token::Quoted(name), Token::Mark('.')] => self.has(name),
            _ => false,
        })
    }
}

/// The database that an effect concerns, without quotes; none where it is not one.
fn database(effect: &Effect) -> Option<String> {
    let of_table = |name: &str| names::split_qualified(name).map(|(database, _)| database);
    match effect {
        Effect::Made(name, _)
        | Effect::Emptied(name)
        | Effect::Dropped(name)
        | Effect::Redefined(name)
        | Effect::Doubted(name, _)
        | Effect::Varies(name, _)
        | Effect::Renamed(_, name) => of_table(name),
        Effect::DroppedDatabase(name) => Some(unquoted(name)),
        Effect::Definition(what) => {
            let (kind, name) = what.rsplit_once(' ').unwrap_or(("", what));
            match kind {
                "database" => Some(unquoted(name)),
                _ => {
                    of_table(name.strip_suffix(".*").map(|database| format!("{database}.x")).as_deref().unwrap_or(name))
                }
            }
        }
        Effect::Uncounted(_) | Effect::Stated(..) => None,
    }
}

fn unquoted(name: &str) -> String {
    names::split_qualified(&format!("{name}.x")).map_or_else(|| name.to_owned(), |(database, _)| database)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(wanted: &Wanted, in_use: &str, text: &str) -> bool {
        let mut body = vec![0; 8];
        body.extend([u8::try_from(in_use.len()).unwrap(), 0, 0, 0, 0]);
        body.extend(in_use.as_bytes());
        body.push(0);
        body.extend(text.as_bytes());
        wanted.takes(&body, in_use.as_bytes(), false)
    }

    #[test]
    fn a_statement_is_replayed_where_it_concerns_a_database_of_the_backup() {
        let shop = Wanted { only: Some(Arc::new(["shop".to_owned(), "a.b".to_owned()].into())), folds: false };
        for (in_use, text, is_taken) in [
            ("shop", "CREATE TABLE t (a INT)", true),
            ("other", "CREATE TABLE t (a INT)", false),
            ("other", "CREATE TABLE shop.t (a INT)", true),
            ("shop", "CREATE TABLE other.t (a INT)", false),
            ("other", "DROP TABLE shop.a, b", true),
            ("", "CREATE DATABASE other", false),
            ("", "DROP DATABASE shop", true),
            ("", "DROP DATABASE other", false),
            ("other", "CREATE VIEW v AS SELECT 1", false),
            ("other", "CREATE VIEW `a.b`.v AS SELECT 1", true),
            ("other", "CREATE PROCEDURE p() SELECT 1", false),
            ("other", "CREATE USER a@b", true),
            ("other", "GRANT SELECT ON shop.* TO a@b", true),
            ("other", "ANALYZE TABLE t", false),
            ("shop", "INSERT INTO t VALUES (1)", true),
            ("other", "INSERT INTO t VALUES (1)", false),
            ("other", "INSERT INTO `shop`.t VALUES (1)", true),
            ("other", "UPDATE x, shop.t SET a = 1", true),
            ("other", "SOMETHING NEW", true),
            ("", "INSERT INTO shop.t VALUES (1)", true),
            ("", "INSERT INTO `a.b`.t VALUES (1)", true),
            ("", "INSERT INTO other.t VALUES (1)", false),
            ("", "UPDATE other.t, shop.u SET a = 1", true),
            ("", "DO 1", true),
        ] {
            assert_eq!(takes(&shop, in_use, text), is_taken, "{in_use}: {text}");
        }
        let all = Wanted { only: None, folds: false };
        assert!(takes(&all, "", "CREATE DATABASE other") && all.has("other") && !all.has("mysql") && !all.has("SYS"));
        assert!(shop.has("shop") && !shop.has("Shop") && !shop.has("other"));
    }
}
