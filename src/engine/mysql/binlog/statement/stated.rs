//! Which tables a statement in statement format changes. Where that is not certain, all tables of the databases that it may mean.

use std::collections::BTreeSet;

use super::words::{self, Words};
use crate::engine::mysql::binlog::query::Query;
use crate::engine::mysql::comments::Versioned;
use crate::engine::mysql::names::{self, Token};

/// Words between the verb and the table.
const MODIFIERS: [&str; 6] = ["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "INTO"];
/// What stands behind the only table of a statement.
const AFTER: [&str; 10] = ["SET", "VALUES", "VALUE", "SELECT", "TABLE", "WITH", "WHERE", "ORDER", "LIMIT", "RETURNING"];
/// It may change any table.
pub const ANY: &str = "*";

/// `d.t`, or `d.*`, or `*`. `first` is its verb, in capitals. What triggers and functions do is not in its text.
pub fn by(first: &str, query: &Query, text: &str) -> BTreeSet<String> {
    if text.match_indices("/*").any(|(at, _)| Versioned::at(&text[at..]).is_some_and(|version| version.depends)) {
        // Which words the server read is not known.
        return [ANY.to_owned()].into();
    }
    let tokens = names::tokens(text, usize::MAX);
    if let Some(table) = target(first, query, &tokens) {
        return [table].into();
    }
    let fold = |name: &str| if query.folds_names { name.to_lowercase() } else { name.to_owned() };
    let mut databases: BTreeSet<String> = BTreeSet::new();
    for pair in tokens.windows(2) {
        if pair[1] == Token::Mark('.') && !words::text(&pair[0]).is_empty() {
            databases.insert(fold(words::text(&pair[0])));
        }
    }
    if !query.database.is_empty() {
        databases.insert(fold(&query.database));
    }
    if query.is_cut || databases.is_empty() {
        return [ANY.to_owned()].into();
    }
    databases.iter().map(|name| format!("{}.*", names::database(name))).collect()
}

/// The one table that it is about.
fn target(first: &str, query: &Query, tokens: &[Token]) -> Option<String> {
    let mut words = Words::new(tokens, &query.database).folding(query.folds_names);
    words.skip()?;
    while words.eats_any(&MODIFIERS) {}
    match first {
        "DELETE" if !words.eats("FROM") => return None,
        "DELETE" | "INSERT" | "REPLACE" | "UPDATE" => {}
        _ => return None,
    }
    let table = words.table()?;
    let is_alone = words.is_at_end()
        || AFTER.iter().any(|word| words.is_next(word))
        || matches!(first, "INSERT" | "REPLACE") && (words.is_next("PARTITION") || words.eats_mark('('));
    is_alone.then_some(table)
}
