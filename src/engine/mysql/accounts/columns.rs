//! Grants on columns that are gone. A server keeps them when the column is dropped, prints them, and refuses to make them
//! again: what they gave on other columns is kept, the rest is named.

use std::collections::{BTreeMap, BTreeSet};

use super::statement::{at_top, read};
use crate::engine::mysql::connection::Session;
use crate::engine::mysql::names;
use crate::engine::mysql::sql::{Kind, Piece, Quoting, pieces};
use crate::error::Result;

/// Columns of the tables that grants on columns are about, in small letters, as far as they were asked for.
#[derive(Debug, Default)]
pub struct Columns(BTreeMap<(String, String), BTreeSet<String>>);

impl Columns {
    /// The statements of account `name` without what is given on columns that are gone, which `lost` is told of.
    pub fn keep(
        &mut self,
        session: &mut Session,
        name: &str,
        statements: Vec<String>,
        lost: &mut Vec<String>,
    ) -> Result<Vec<String>> {
        let mut out = Vec::new();
        for statement in statements {
            let Some((_, Some(object))) = read(&statement, Quoting::default()).filter(|_| statement.contains('('))
            else {
                out.push(statement);
                continue;
            };
            let there = self.of(session, &object.database, &object.name)?;
            // Of a table that is gone or cannot be seen nothing is known.
            let pruned = prune(&statement, |column| there.is_empty() || there.contains(&column.to_lowercase()));
            let place = names::qualified(&object.database, &object.name);
            lost.extend(pruned.lost.into_iter().map(|what| {
                format!("account {name} has {what} on {place}, which has no such column any more: this grant is NOT in the backup")
            }));
            out.extend(pruned.grant);
        }
        Ok(out)
    }

    fn of(&mut self, session: &mut Session, database: &str, table: &str) -> Result<&BTreeSet<String>> {
        let key = (database.to_owned(), table.to_owned());
        if !self.0.contains_key(&key) {
            let question = format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                names::quote_text(database),
                names::quote_text(table)
            );
            // A view that is broken may refuse the question.
            let rows = session.ask(&question)?.unwrap_or_default();
            let found = rows.into_iter().filter_map(|row| Some(row.into_iter().next()??.to_lowercase()));
            self.0.insert(key.clone(), found.collect());
        }
        Ok(self.0.entry(key).or_default())
    }
}

/// What is left of a grant.
#[derive(Debug, PartialEq, Eq)]
struct Pruned {
    /// The statement; none where it gives nothing any more.
    grant: Option<String>,
    /// What it gave beyond, as `SELECT (a, b)`.
    lost: Vec<String>,
}

fn prune(grant: &str, exists: impl Fn(&str) -> bool) -> Pruned {
    let all = pieces(grant, Quoting::default());
    let whole = || Pruned { grant: Some(grant.to_owned()), lost: Vec::new() };
    let Some(on) = at_top(&all, |piece| piece.is_word("ON")).filter(|_| all[0].is_word("GRANT")) else {
        return whole();
    };
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for privilege in privileges(&all[1..on]) {
        let (words, columns): (Vec<&Piece<'_>>, Vec<&Piece<'_>>) =
            privilege.iter().filter(|piece| piece.kind != Kind::Mark).partition(|piece| piece.kind == Kind::Word);
        let words: Vec<&str> = words.iter().map(|piece| piece.text).collect();
        let words = words.join(" ");
        let (there, gone): (Vec<&Piece<'_>>, Vec<&Piece<'_>>) =
            columns.iter().partition(|column| exists(&column.value()));
        let texts = |columns: &[&Piece<'_>]| columns.iter().map(|column| column.text).collect::<Vec<_>>().join(", ");
        if !gone.is_empty() {
            lost.push(format!("{words} ({})", texts(&gone)));
        }
        if columns.is_empty() {
            kept.push(words);
        } else if !there.is_empty() {
            kept.push(format!("{words} ({})", texts(&there)));
        }
    }
    if lost.is_empty() {
        return whole();
    }
    let rest = &grant[all[on].start..];
    let may_give = all.windows(2).any(|pair| pair[0].is_word("GRANT") && pair[1].is_word("OPTION"));
    let given = match (kept.is_empty(), may_give) {
        (false, _) => kept.join(", "),
        (true, true) => "USAGE".to_owned(),
        (true, false) => return Pruned { grant: None, lost },
    };
    Pruned { grant: Some(format!("GRANT {given} {rest}")), lost }
}

/// The pieces of each privilege of a list.
fn privileges<'p, 'a>(list: &'p [Piece<'a>]) -> Vec<&'p [Piece<'a>]> {
    let mut depth = 0;
    list.split(|piece| {
        depth += i32::from(piece.is_mark("(")) - i32::from(piece.is_mark(")"));
        depth == 0 && piece.is_mark(",")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pruned(grant: &str) -> (Option<String>, Vec<String>) {
        let Pruned { grant, lost } = prune(grant, |column| !column.starts_with("gone"));
        (grant, lost)
    }

    #[test]
    fn a_grant_keeps_what_it_gives_on_columns_that_exist() {
        let to = "ON `d`.`t` TO `u`@`%`";
        for (before, after, lost) in [
            ("SELECT (`a`, `gone`), INSERT (`gone`)", Some("SELECT (`a`)"), vec!["SELECT (`gone`)", "INSERT (`gone`)"]),
            ("SELECT (`gone`), DELETE", Some("DELETE"), vec!["SELECT (`gone`)"]),
            ("SELECT (`gone`, `gone ``, (2`)", None, vec!["SELECT (`gone`, `gone ``, (2`)"]),
            ("CREATE VIEW, SELECT (`a, ``) ON b`)", Some("CREATE VIEW, SELECT (`a, ``) ON b`)"), vec![]),
        ] {
            let after = after.map(|given| format!("GRANT {given} {to}"));
            assert_eq!(pruned(&format!("GRANT {before} {to}")), (after, lost.into_iter().map(str::to_owned).collect()));
        }
    }

    #[test]
    fn the_right_to_give_is_of_the_table_and_stays() {
        let (grant, lost) = pruned("GRANT REFERENCES (`gone`) ON `d`.`t` TO `u`@`%` WITH GRANT OPTION");
        assert_eq!(grant.as_deref(), Some("GRANT USAGE ON `d`.`t` TO `u`@`%` WITH GRANT OPTION"));
        assert_eq!(lost, ["REFERENCES (`gone`)"]);
    }

    #[test]
    fn what_is_no_grant_on_columns_is_left_as_it_is() {
        for sql in [
            "REVOKE SELECT (`gone`) ON `d`.`t` FROM `u`@`%`",
            "GRANT SELECT ON `d`.`gone(` TO `u`@`%`",
            "GRANT `gone(` TO `u`@`%`",
            "CREATE USER `gone(`@`%`",
        ] {
            assert_eq!(pruned(sql), (Some(sql.to_owned()), vec![]));
        }
    }
}
