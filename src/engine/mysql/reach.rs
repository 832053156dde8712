//! What a change of one table does to others, read from the definitions of a dump.

use super::names::{self, Token};
use super::table_options::storage_engine;
use crate::domain::manifest::Reach;

/// Storage engines that keep the rows which are written into them, each by itself.
pub const KEEPS_ROWS: [&str; 9] = ["INNODB", "MYISAM", "ARIA", "MEMORY", "HEAP", "ARCHIVE", "CSV", "ROCKSDB", "TOKUDB"];

impl Reach {
    /// Take in table `name` of `database`, which `sql` (a `CREATE TABLE` as the server prints it) defines.
    pub(super) fn add_table(&mut self, database: &str, name: &str, sql: &str) {
        let keeps = |engine: &str| KEEPS_ROWS.iter().any(|known| known.eq_ignore_ascii_case(engine));
        if !storage_engine(sql).is_some_and(keeps) {
            self.elsewhere.insert(name.to_owned());
        }
        for parent in parents(database, &names::tokens(sql, usize::MAX)) {
            self.children.entry(parent).or_default().insert(name.to_owned());
        }
    }
}

/// The tables whose rows take rows of this one with them, or change them.
fn parents(database: &str, tokens: &[Token]) -> Vec<String> {
    let name = |at: usize| match tokens.get(at) {
        Some(Token::Quoted(name)) => Some(name.as_str()),
        _ => None,
    };
    let parent = |at: usize| {
        let first = name(at + 1)?;
        let (parent, behind) = match (tokens.get(at + 2), name(at + 3)) {
            (Some(Token::Mark('.')), Some(second)) => (names::qualified(first, second), at + 4),
            _ => (names::qualified(database, first), at + 2),
        };
        // Its columns are in parentheses, and what it does is behind them.
        let rest = tokens.get(behind..)?;
        let columns = rest.iter().position(|token| *token == Token::Mark(')'))? + 1;
        let end = rest[columns..].iter().position(|token| matches!(token, Token::Mark(',' | ')')));
        let actions = &rest[columns..end.map_or(rest.len(), |end| columns + end)];
        actions.iter().any(|token| token.is_word("CASCADE") || token.is_word("SET")).then_some(parent)
    };
    (0..tokens.len()).filter(|at| tokens[*at].is_word("REFERENCES")).filter_map(parent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(sql: &str) -> Reach {
        let mut reach = Reach::default();
        reach.add_table("d", "d.t", sql);
        reach
    }

    #[test]
    fn foreign_keys_that_act_are_known_and_others_change_nothing() {
        let table = |keys: &str| {
            format!(
                "CREATE TABLE `t` (\n  `references` int COMMENT 'REFERENCES `x` (`a`) ON DELETE CASCADE',\n  {keys}\n) ENGINE=InnoDB"
            )
        };
        let parents = |keys: &str| reach(&table(keys)).children.into_keys().collect::<Vec<_>>().join(" ");
        for (keys, want) in [
            ("CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`a`)", ""),
            ("CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`a`) ON DELETE RESTRICT ON UPDATE NO ACTION", ""),
            ("CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`a`) ON DELETE CASCADE", "d.p"),
            ("CONSTRAINT `f` FOREIGN KEY (`a`, `b`) REFERENCES `e`.`p` (`a`, `b`) ON UPDATE CASCADE", "e.p"),
            ("FOREIGN KEY (`a`) REFERENCES `p` (`a`) ON DELETE SET NULL", "d.p"),
            (
                "FOREIGN KEY (`a`) REFERENCES `p` (`a`),\n  FOREIGN KEY (`b`) REFERENCES `q` (`a`) ON DELETE CASCADE",
                "d.q",
            ),
            ("FOREIGN KEY (`b`) REFERENCES `q` (`a`) ON DELETE CASCADE,\n  CHECK (`a` in (1))", "d.q"),
        ] {
            assert_eq!(parents(keys), want, "{keys}");
        }
    }

    #[test]
    fn rows_of_some_storage_engines_are_those_of_other_tables() {
        for (engine, is_elsewhere) in [("InnoDB", false), ("Aria", false), ("MRG_MyISAM", true), ("SPIDER", true)] {
            let reach = reach(&format!("CREATE TABLE `t` (\n  `a` int\n) ENGINE={engine} DEFAULT CHARSET=utf8mb4"));
            assert_eq!(reach.elsewhere.contains("d.t"), is_elsewhere, "{engine}");
        }
        assert!(reach("CREATE TABLE `t` (\n  `a` int\n)").elsewhere.contains("d.t"));
    }
}
