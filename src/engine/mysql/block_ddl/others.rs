//! What other sessions do at the server while definitions are to be blocked.

use crate::engine::mysql::binlog::statement::bare_tokens;
use crate::engine::mysql::connection::Session;
use crate::error::Result;

/// What both products say of a session that waits for the end of the block.
const HELD_UP: &str = "Waiting for backup lock";

/// Statements that change definitions, or make a table anew.
const CHANGES: [&str; 7] = ["ALTER", "CREATE", "DROP", "OPTIMIZE", "RENAME", "REPAIR", "TRUNCATE"];

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    pub id: String,
    state: String,
    /// The number of its statement: MariaDB counts them. None at MySQL.
    number: Option<u64>,
    statement: String,
}

impl Other {
    /// Those that this account may see.
    pub fn all(session: &mut Session, maria: bool) -> Result<Vec<Self>> {
        let number = if maria { "QUERY_ID" } else { "NULL" };
        let rows = session.rows(&format!(
            "SELECT ID, STATE, {number}, INFO FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()"
        ))?;
        let read = |mut row: Vec<Option<String>>| {
            let mut next = |at: usize| row.get_mut(at).and_then(Option::take);
            let (id, state, number, statement) = (next(0), next(1), next(2), next(3));
            Self {
                id: id.unwrap_or_default(),
                state: state.unwrap_or_default(),
                number: number.and_then(|number| number.parse().ok()),
                statement: statement.unwrap_or_default(),
            }
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// The number that a statement has now: whatever begins later has a higher one. MySQL has none, and needs none: its block waits
    /// for all that runs.
    pub fn number_now(session: &mut Session, maria: bool) -> Result<Option<u64>> {
        if !maria {
            return Ok(None);
        }
        let own = "SELECT QUERY_ID FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";
        Ok(session.value(own)?.and_then(|number| number.parse().ok()))
    }

    /// The first word of the statement that changes a definition; none where it does not.
    pub fn change(&self) -> Option<String> {
        let tokens = bare_tokens(&self.statement, 4);
        let first = CHANGES.iter().find(|word| tokens.first().is_some_and(|token| token.is_word(word)))?;
        let is_temporary = tokens.iter().skip(1).any(|token| token.is_word("TEMPORARY"));
        (!is_temporary).then(|| (*first).to_owned())
    }

    /// Whether it waits for the end of a block, and began before this statement of the block: then it may keep a table from everybody.
    pub fn is_held_up_from_before(&self, block: Option<u64>) -> bool {
        self.state == HELD_UP && self.number.zip(block).is_some_and(|(number, block)| number < block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(state: &str, number: u64, statement: &str) -> Other {
        let (state, statement) = (state.to_owned(), statement.to_owned());
        Other { id: "7".to_owned(), state, number: Some(number), statement }
    }

    #[test]
    fn statements_that_change_definitions_are_known_by_their_first_words() {
        for (statement, change) in [
            ("ALTER TABLE t FORCE", Some("ALTER")),
            ("/* app */ optimize table t", Some("OPTIMIZE")),
            ("SET STATEMENT lock_wait_timeout = 5 FOR CREATE INDEX i ON t (a)", Some("CREATE")),
            ("/*!50000 TRUNCATE TABLE t */", Some("TRUNCATE")),
            ("CREATE TEMPORARY TABLE t AS SELECT 1", None),
            ("CREATE OR REPLACE TEMPORARY TABLE t (a INT)", None),
            ("SELECT 'ALTER TABLE'", None),
            ("INSERT INTO t VALUES (1)", None),
            ("", None),
        ] {
            assert_eq!(other("", 0, statement).change().as_deref(), change, "{statement}");
        }
    }

    #[test]
    fn whoever_waits_for_the_block_and_began_before_it_is_told_from_whoever_began_later() {
        for (state, number, is_held_up) in [
            (HELD_UP, 49, true),
            (HELD_UP, 1, true),
            (HELD_UP, 51, false),
            ("copy to tmp table", 1, false),
            ("Waiting for table metadata lock", 1, false),
            ("", 1, false),
        ] {
            let other = other(state, number, "ALTER TABLE t FORCE");
            assert_eq!(other.is_held_up_from_before(Some(50)), is_held_up, "{state} {number}");
            assert!(!other.is_held_up_from_before(None), "{state} {number}");
        }
    }
}
