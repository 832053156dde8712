//! The options of a table, as definitions print them.

use super::columns::options_at;
use super::names::Token;

/// Storage engines whose tables are part of a consistent snapshot.
pub const TRANSACTIONAL: [&str; 4] = ["innodb", "rocksdb", "tokudb", "ndbcluster"];

/// Storage engines whose rows are not dumped: they belong to another table or server.
pub const ROWS_ELSEWHERE: [&str; 6] = ["mrg_myisam", "federated", "connect", "oqgraph", "spider", "vp"];

/// What stands behind the keyword at `at`, with or without `=`.
pub fn text_after(tokens: &[Token], at: usize) -> Option<String> {
    let next = if tokens.get(at + 1) == Some(&Token::Mark('=')) { at + 2 } else { at + 1 };
    match tokens.get(next)? {
        Token::Word(text) | Token::Quoted(text) => Some(text.clone()),
        Token::Mark(_) => None,
    }
}

/// The value of an option that is printed as a bare word.
pub fn value(tokens: &[Token], name: &str) -> Option<String> {
    let at = tokens.iter().position(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(name)))?;
    text_after(tokens, at)
}

/// The value of an option that is printed in backticks: a column of that name is not followed by `=`.
pub fn option(tokens: &[Token], name: &str) -> Option<String> {
    let named = |token: &Token| matches!(token, Token::Quoted(word) if word.eq_ignore_ascii_case(name));
    let at = (0..tokens.len()).find(|at| named(&tokens[*at]) && tokens.get(at + 1) == Some(&Token::Mark('=')))?;
    text_after(tokens, at)
}

/// Storage engine named in a table's options.
pub fn storage_engine(sql: &str) -> Option<&str> {
    let options = &sql[options_at(sql)?..];
    let rest = &options[options.find("ENGINE=")? + "ENGINE=".len()..];
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::super::columns::split_next_id;
    use super::*;

    #[test]
    fn options_are_found_behind_a_tablespace_too() {
        let sql = "CREATE TABLE `t` (\n  `a` int\n) /*!50100 TABLESPACE `ts` */ ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4";
        assert_eq!(storage_engine(sql), Some("InnoDB"));
        assert_eq!(split_next_id(sql), (sql.replace(" AUTO_INCREMENT=7", ""), Some(7)));
    }
}
