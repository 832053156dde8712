//! What the first words of a logged statement say of it.

use crate::engine::mysql::binlog::statement::bare_tokens;
use crate::engine::mysql::names::Token;

/// Whether a statement may make a table for which it matters which rows are committed together: of MariaDB one whose versions are
/// numbers of transactions, of MySQL any that knows none.
pub fn may_tell_transactions_apart(text: &str, maria: bool) -> bool {
    if !matches!(first_word(text).as_str(), "CREATE" | "ALTER") {
        return false;
    }
    let tokens = bare_tokens(text, usize::MAX);
    if maria {
        tokens.windows(2).any(|pair| pair[0].is_word("ROW") && pair[1].is_word("START"))
    } else {
        tokens.iter().any(|token| token.is_word("TABLE"))
    }
}

/// The first one, in capitals, behind comments and `SET STATEMENT … FOR`.
pub fn first_word(text: &str) -> String {
    match bare_tokens(text, 1).pop() {
        Some(Token::Word(word)) => word.to_ascii_uppercase(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mysql::binlog::statement::is_about_accounts;

    #[test]
    fn statements_on_accounts_are_known_by_their_first_words() {
        for (text, is) in [
            ("GRANT SELECT ON *.* TO a", true),
            ("revoke all on *.* from a", true),
            ("CREATE USER a", true),
            ("CREATE OR REPLACE USER a", true),
            ("CREATE OR REPLACE ROLE a", true),
            ("ALTER USER a", true),
            ("DROP ROLE a", true),
            ("RENAME USER a TO b", true),
            ("SET PASSWORD FOR a = 'x'", true),
            ("SET DEFAULT ROLE a FOR b", true),
            ("/* app */ CREATE USER a", true),
            ("-- app\nCREATE\n/* x */ USER a", true),
            ("# app\ngrant all on *.* to a", true),
            ("SET STATEMENT max_statement_time=0 FOR GRANT ALL ON *.* TO a", true),
            ("/* x */ SET STATEMENT a = 'FOR', b = 1 FOR /* y */ DROP USER a", true),
            ("/*!50000 CREATE USER a */", true),
            ("/*M!100100 CREATE ROLE a */", true),
            ("CREATE /*!50708 USER */ a", true),
            ("/* CREATE USER a */ CREATE TABLE t (a INT)", false),
            ("SET STATEMENT max_statement_time=0 FOR CREATE TABLE user (a INT)", false),
            ("CREATE USERS a", false),
            ("", false),
            ("SET DEFAULT x", false),
            ("SET x = 1", false),
            ("CREATE TABLE user (a INT)", false),
            ("CREATE OR REPLACE VIEW user AS SELECT 1", false),
            ("DROP TABLE role", false),
            ("INSERT INTO user VALUES (1)", false),
        ] {
            assert_eq!(is_about_accounts(text), is, "{text}");
        }
    }

    #[test]
    fn tables_with_versions_by_transaction_are_foreseen() {
        for (text, may) in [
            ("CREATE TABLE t (a INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT …)", true),
            ("alter table t add column s bigint unsigned generated always as row  start", true),
            ("CREATE TABLE t (a INT)", false),
            ("CREATE TABLE start (a INT)", false),
            ("CREATE TABLE t (a INT) ROW_FORMAT=DYNAMIC", false),
            ("INSERT INTO t VALUES ('ROW START')", false),
            ("/* app */ CREATE TABLE t (s BIGINT UNSIGNED GENERATED ALWAYS AS ROW /* x */ START)", true),
            (
                "SET STATEMENT a = 1 FOR ALTER TABLE t ADD s BIGINT UNSIGNED /*!100300 GENERATED ALWAYS AS ROW START */",
                true,
            ),
            ("CREATE TABLE t (a INT) COMMENT 'ROW START'", false),
        ] {
            assert_eq!(may_tell_transactions_apart(text, true), may, "{text}");
        }
        for (text, may) in [
            ("create table t (a int)", true),
            ("ALTER TABLE t ENGINE=MyISAM", true),
            ("CREATE USER a", false),
            ("DROP TABLE t", false),
            ("/* app */ create table t (a int)", true),
            ("CREATE USER a /* no TABLE */", false),
        ] {
            assert_eq!(may_tell_transactions_apart(text, false), may, "{text}");
        }
        assert_eq!(
            (first_word("  drop table t"), first_word("x"), first_word("")),
            ("DROP".into(), "X".into(), String::new())
        );
        for text in [
            "/* app */ drop table t",
            "-- a\ndrop table t",
            "SET STATEMENT a = 1 FOR DROP TABLE t",
            "/*!40005 DROP TABLE t */",
        ] {
            assert_eq!(first_word(text), "DROP", "{text}");
        }
    }
}
