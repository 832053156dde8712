//! The statements that a dump client writes. A stream with any other is not stored: somebody made the server print what its
//! client reads otherwise than it was meant, and a restore would run that with every right. This holds whatever the trick
//! is.

use super::comments;
use super::names::{self, Token};
use super::sql::{self, Kind, Quoting};

/// Statements that are the same in every dump.
const FIXED: [&str; 2] = ["UNLOCK TABLES", "COMMIT"];
/// What Percona's client writes for RocksDB, whole. Some of it runs what a variable holds, so each of these lines counts only
/// right behind the one before it ([`follows`]): nobody else has set the variable in between.
const ROCKSDB: [&[&str]; 6] = [
    &[
        "/*!50717 SELECT COUNT(*) INTO @rocksdb_has_p_s_session_variables FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = 'session_variables' */",
        r"/*!50717 SET @rocksdb_get_is_supported = IF (@rocksdb_has_p_s_session_variables, 'SELECT COUNT(*) INTO @rocksdb_is_supported FROM performance_schema.session_variables WHERE VARIABLE_NAME=\'rocksdb_bulk_load\'', 'SELECT 0') */",
        "/*!50717 PREPARE s FROM @rocksdb_get_is_supported */",
        "/*!50717 EXECUTE s */",
        "/*!50717 DEALLOCATE PREPARE s */",
    ],
    &[
        "/*!50717 SELECT COUNT(*) INTO @rocksdb_has_p_s_session_variables FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = 'session_variables' */",
        "/*!50717 SET @rocksdb_get_is_supported = IF (@rocksdb_has_p_s_session_variables, 'SELECT COUNT(*) INTO @rocksdb_is_supported FROM performance_schema.session_variables WHERE VARIABLE_NAME=?', 'SELECT 0') */",
        "/*!50717 PREPARE s FROM @rocksdb_get_is_supported */",
        "/*!50717 EXECUTE s USING @rocksdb_bulk_load_var_name */",
        "/*!50717 DEALLOCATE PREPARE s */",
    ],
    &[
        "/*!50717 SET @rocksdb_enable_bulk_load = IF (@rocksdb_is_supported, 'SET SESSION rocksdb_bulk_load = 1', 'SET @rocksdb_dummy_bulk_load = 0') */",
        "/*!50717 PREPARE s FROM @rocksdb_enable_bulk_load */",
        "/*!50717 EXECUTE s */",
        "/*!50717 DEALLOCATE PREPARE s */",
    ],
    &[
        "/*!50112 SELECT COUNT(*) INTO @is_rocksdb_supported FROM INFORMATION_SCHEMA.SESSION_VARIABLES WHERE VARIABLE_NAME='rocksdb_bulk_load' */",
        "/*!50112 SET @save_old_rocksdb_bulk_load = IF (@is_rocksdb_supported, 'SET @old_rocksdb_bulk_load = @@rocksdb_bulk_load', 'SET @dummy_old_rocksdb_bulk_load = 0') */",
        "/*!50112 PREPARE s FROM @save_old_rocksdb_bulk_load */",
        "/*!50112 EXECUTE s */",
    ],
    &[
        "/*!50112 SET @enable_bulk_load = IF (@is_rocksdb_supported, 'SET SESSION rocksdb_bulk_load = 1', 'SET @dummy_rocksdb_bulk_load = 0') */",
        "/*!50112 PREPARE s FROM @enable_bulk_load */",
        "/*!50112 EXECUTE s */",
        "/*!50112 DEALLOCATE PREPARE s */",
    ],
    &[
        "/*!50112 SET @disable_bulk_load = IF (@is_rocksdb_supported, 'SET SESSION rocksdb_bulk_load = @old_rocksdb_bulk_load', 'SET @dummy_rocksdb_bulk_load = 0') */",
        "/*!50112 PREPARE s FROM @disable_bulk_load */",
        "/*!50112 EXECUTE s */",
        "/*!50112 DEALLOCATE PREPARE s */",
    ],
];
/// What is dropped before it is made.
const DROPPED: [&str; 10] =
    ["DATABASE", "TABLE", "VIEW", "TRIGGER", "EVENT", "PROCEDURE", "FUNCTION", "PACKAGE", "SEQUENCE", "LIBRARY"];

/// What does something when it is called, or by itself.
const PROGRAMS: [&str; 7] = ["TRIGGER", "EVENT", "PROCEDURE", "FUNCTION", "PACKAGE", "PACKAGE BODY", "LIBRARY"];

/// The kind of program that `sql` creates, in capitals; none if it creates something else, or nothing.
pub fn program(sql: &str) -> Option<String> {
    names::created(sql).map(|created| created.kind).filter(|kind| PROGRAMS.contains(&kind.as_str()))
}

/// Whether `sql` only has the server look at the values of columns again, so that it plans queries well.
pub fn is_histogram(sql: &str) -> bool {
    let head = names::tokens(sql, 5);
    let words = [(0, "ANALYZE"), (1, "TABLE"), (3, "UPDATE"), (4, "HISTOGRAM")];
    words.iter().all(|(at, word)| head.get(*at).is_some_and(|token| token.is_word(word)))
}

/// The place in [`ROCKSDB`] of the statement that was seen last.
#[derive(Debug, Default, Clone)]
pub struct Before(Vec<(usize, usize)>);

/// Whether a dump client writes such a statement behind what it wrote before.
pub fn follows(before: &mut Before, sql: &str) -> bool {
    let last = std::mem::take(&mut before.0);
    let places = ROCKSDB.iter().enumerate().flat_map(|(group, lines)| (0..lines.len()).map(move |at| (group, at)));
    let is_next = |(group, at): &(usize, usize)| *at == 0 || last.contains(&(*group, at - 1));
    before.0 = places.filter(|(group, at)| ROCKSDB[*group][*at] == sql.trim()).filter(is_next).collect();
    !before.0.is_empty() || knows(sql)
}

/// Whether a dump client writes such a statement anywhere.
fn knows(sql: &str) -> bool {
    let head = names::tokens(sql, 24);
    let word = |at: usize, wanted: &str| head.get(at).is_some_and(|token| token.is_word(wanted));
    // MariaDB's clients write the second in small letters, too.
    if head.is_empty() || FIXED.iter().any(|fixed| sql.trim().eq_ignore_ascii_case(fixed)) {
        return true;
    }
    let created = names::created(sql).map(|created| created.kind);
    // What a program does is its own affair: it is text of its creator's, with comments and statements of any kind.
    let is_program = created.as_ref().is_some_and(|kind| PROGRAMS.contains(&kind.as_str()));
    if !(if is_program { has_one_head_for_all(sql) } else { comments::is_one_for_all(sql) }) {
        return false;
    }
    // Names never say a database: the stream is in one.
    let single = |at: usize| {
        matches!(head.get(at), Some(Token::Quoted(_) | Token::Word(_))) && head.get(at + 1) != Some(&Token::Mark('.'))
    };
    let last = |at: usize| single(at) && head.len() == at + 1;
    if word(0, "SET") {
        // All of it: what it sets last counts as much as what it sets first.
        // No client writes a backslash there, and servers differ in what it means.
        return !sql.contains('\\') && is_session_setting(&names::tokens(sql, usize::MAX));
    }
    match () {
        () if word(0, "USE") => last(1),
        () if word(0, "CREATE") && word(1, "TABLE") => single(2 + if_not_exists(&head)) && !fills_its_table(sql),
        () if word(0, "CREATE") => created.is_some_and(|kind| kind != "TABLE") && begins_as_printed(&head),
        () if word(0, "DROP") && word(2, "IF") && word(3, "EXISTS") => {
            DROPPED.iter().any(|kind| word(1, kind)) && last(4)
        }
        () if word(0, "DROP") && word(1, "PACKAGE") && word(2, "BODY") => word(3, "IF") && last(5),
        () if word(0, "ALTER") && word(1, "DATABASE") => {
            single(2) && names::tokens(sql, usize::MAX)[3..].iter().all(is_word)
        }
        () if word(0, "ALTER") && word(1, "TABLE") && (word(3, "DISABLE") || word(3, "ENABLE")) => {
            single(2) && word(4, "KEYS") && head.len() == 5
        }
        () if word(0, "ANALYZE") && word(1, "TABLE") => single(2) && word(3, "UPDATE") && word(4, "HISTOGRAM"),
        () if word(0, "LOCK") && word(1, "TABLES") => single(2) && word(3, "WRITE") && head.len() == 4,
        () if word(0, "DO") || word(0, "SELECT") => sets_a_sequence(&names::tokens(sql, usize::MAX)),
        () => false,
    }
}

/// Whether a `CREATE` says what it creates where servers print that: a user may be called `view`. What is in a library of the
/// server's is no function of the dump's.
fn begins_as_printed(head: &[Token]) -> bool {
    const BEFORE: [&str; 10] =
        ["OR", "REPLACE", "SQL", "SECURITY", "DEFINER", "INVOKER", "AGGREGATE", "JSON", "RELATIONAL", "DUALITY"];
    let is_one_of = |token: &Token, words: &[&str]| words.iter().any(|word| token.is_word(word));
    let mut at = 1;
    let kind = loop {
        let Some(token) = head.get(at) else { return false };
        if is_one_of(token, &names::KINDS) && head.get(at + 1) != Some(&Token::Mark('=')) {
            break token;
        }
        at += match head.get(at + 1) {
            Some(Token::Mark('=')) if is_one_of(token, &["ALGORITHM", "DEFINER"]) => {
                if head.get(at + 3) == Some(&Token::Mark('@')) { 5 } else { 3 }
            }
            _ if is_one_of(token, &BEFORE) => 1,
            _ => return false,
        };
    };
    let is_loaded = |words: &[Token]| words[0].is_word("RETURNS") && words[2].is_word("SONAME");
    !kind.is_word("FUNCTION") || !head.windows(3).any(is_loaded)
}

/// Whether every server reads the same up to what a program does: no comment there that only some of them skip.
fn has_one_head_for_all(sql: &str) -> bool {
    /// What follows the name of a program.
    const BODY: [&str; 9] = ["AFTER", "AS", "BEFORE", "BEGIN", "IS", "LANGUAGE", "ON", "RETURN", "RETURNS"];
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let word = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        let length = if let Some(begun) = comments::Versioned::at(rest) {
            if begun.depends {
                return false;
            }
            begun.length
        } else if let Some(length) = comments::length(rest) {
            length
        } else if matches!(first, '`' | '"' | '\'') {
            let Some((_, after)) = comments::quoted(rest, first) else { return false };
            rest.len() - after.len()
        } else if first == '(' || BODY.iter().any(|begin| word.eq_ignore_ascii_case(begin)) {
            return true;
        } else {
            word.len().max(first.len_utf8())
        };
        rest = &rest[length..];
    }
    true
}

fn is_word(token: &Token) -> bool {
    matches!(token, Token::Word(_))
}

/// How many tokens of a `CREATE TABLE` stand between those words and the name.
fn if_not_exists(head: &[Token]) -> usize {
    if head.get(2).is_some_and(|token| token.is_word("IF")) { 3 } else { 0 }
}

/// Whether it is `DO SETVAL(name, number, number)`.
fn sets_a_sequence(all: &[Token]) -> bool {
    let is_number = |token: &Token| match token {
        Token::Word(word) => word.bytes().all(|byte| byte.is_ascii_digit()),
        Token::Mark(mark) => matches!(mark, ',' | '-'),
        Token::Quoted(_) => false,
    };
    match all {
        [_, set, Token::Mark('('), Token::Quoted(_), Token::Mark(','), numbers @ .., Token::Mark(')')] => {
            set.is_word("SETVAL") && numbers.iter().all(is_number)
        }
        _ => false,
    }
}

/// Whether `header`, an `INSERT` up to its `VALUES`, is one of a dump client's: a table of the database in use, and names of
/// its columns at most.
pub fn begins_rows(header: &str) -> bool {
    let all = sql::pieces(header, Quoting::default());
    let words = all.iter().take_while(|piece| piece.kind == Kind::Word).count();
    let is_insert = match &all[..words] {
        [insert, into] => insert.is_word("INSERT") && into.is_word("INTO"),
        [insert, ignore, into] => insert.is_word("INSERT") && ignore.is_word("IGNORE") && into.is_word("INTO"),
        _ => false,
    };
    let [name, columns @ .., values] = &all[words..] else { return false };
    let is_listed = match columns {
        [] => true,
        [open, names @ .., close] => {
            // MariaDB's client quotes all of them but the two that say when a row was current.
            let is_name = |at: usize| matches!(names[at].kind, Kind::Name | Kind::Word);
            let is_comma = |at: usize| names[at].is_mark(",");
            let in_turn = |at: usize| if at.is_multiple_of(2) { is_name(at) } else { is_comma(at) };
            // A table may have no column that rows say anything of.
            let is_whole = names.is_empty() || names.len() % 2 == 1;
            open.is_mark("(") && close.is_mark(")") && is_whole && (0..names.len()).all(in_turn)
        }
        [_] => false,
    };
    is_insert && name.kind == Kind::Name && is_listed && values.is_word("VALUES")
}

/// Whether it counts under which `sql_mode` this is read: texts in it can hide what they like. Programs have modes of their
/// own.
pub fn needs_the_usual_mode(sql: &str) -> bool {
    names::created(sql).is_some_and(|created| !PROGRAMS.contains(&created.kind.as_str()))
}

/// The same of the session's character set. Views are printed in theirs, too.
pub fn needs_plain_letters(sql: &str) -> bool {
    names::created(sql).is_some_and(|created| created.kind != "VIEW" && !PROGRAMS.contains(&created.kind.as_str()))
}

/// Whether a `CREATE TABLE` is made from a query, which may call what it likes. Definitions as servers print them have none:
/// names and texts are quoted, and what is computed is in parentheses and may have no subquery.
fn fills_its_table(sql: &str) -> bool {
    let all = names::tokens(sql, usize::MAX);
    let is_table = all.iter().take(4).any(|token| token.is_word("TABLE"));
    let mut depth = 0_u32;
    is_table
        && all.iter().skip_while(|token| !token.is_word("TABLE")).skip(1).any(|token| {
            match token {
                Token::Mark('(') => depth += 1,
                Token::Mark(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            let is_outside = depth == 0 && ["AS", "VALUES", "TABLE"].iter().any(|word| token.is_word(word));
            is_outside || token.is_word("SELECT")
        })
}

/// Settings of the session and variables of the user, given literals or each other: nothing that lasts, no call.
fn is_session_setting(head: &[Token]) -> bool {
    // The last three lead to another statement (`SET STATEMENT … FOR DROP …`), or to resource groups.
    const NOT: [&str; 8] = ["GLOBAL", "PERSIST", "PERSIST_ONLY", "PASSWORD", "ROLE", "STATEMENT", "FOR", "RESOURCE"];
    let harmless = |token: &Token| match token {
        Token::Word(word) => !NOT.iter().any(|not| word.eq_ignore_ascii_case(not)),
        Token::Quoted(_) => true,
        Token::Mark(mark) => matches!(mark, '@' | '=' | ',' | '.' | '+' | '-' | ':'),
    };
    head.len() > 2 && head.iter().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dump_clients_write_is_known() {
        for sql in [
            "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */",
            "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */",
            "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */",
            "/*!50503 SET NAMES utf8mb4 */",
            "/*!40103 SET TIME_ZONE='+00:00' */",
            "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN",
            "SET @@SESSION.SQL_LOG_BIN= 0",
            "SET @@SESSION.system_versioning_insert_history=1",
            "/*!50003 SET sql_mode              = @saved_sql_mode */ ",
            "USE `a b`",
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `ro` /*!40100 DEFAULT CHARACTER SET utf8mb4 */",
            "DROP TABLE IF EXISTS `t;`",
            "/*!50001 DROP VIEW IF EXISTS `v`*/",
            "/*!50106 DROP EVENT IF EXISTS `e` */",
            "/*!50003 DROP PROCEDURE IF EXISTS `p` */",
            "/*!50003 DROP PACKAGE BODY IF EXISTS `p` */",
            "DROP LIBRARY IF EXISTS `l`",
            "/*!40000 ALTER TABLE `t` DISABLE KEYS */",
            "ALTER DATABASE `d` CHARACTER SET latin1 COLLATE latin1_bin",
            "/*!80002 ANALYZE TABLE `t` UPDATE HISTOGRAM ON `a` WITH 100 BUCKETS */",
            "DO SETVAL(`s`, 1001, 0)",
            "SELECT SETVAL(`s`, 1001, 0)",
            "CREATE TABLE `t` (\n  `select` int DEFAULT (1 + 2),\n  `b` int GENERATED ALWAYS AS (`select` + 1) STORED COMMENT 'AS SELECT'\n) \
             ENGINE=InnoDB WITH SYSTEM VERSIONING\n/*!50100 PARTITION BY RANGE (`b`)\n(PARTITION p VALUES LESS THAN (9)) */",
            "CREATE TABLE `f` (`a` int) ENGINE=MRG_MyISAM UNION=(`t`,`u`)",
            "CREATE VIEW `v` AS SELECT 1",
            "CREATE DEFINER=`u`@`h` AGGREGATE FUNCTION `f`(`x` int) RETURNS int(11) RETURN 1",
            "CREATE DEFINER=`view`@`table` FUNCTION `f`() RETURNS int(11) RETURN 'RETURNS x SONAME'",
            "CREATE DEFINER=`role` PROCEDURE `p`() SELECT 1",
            "CREATE DEFINER=`u`@`h` PACKAGE BODY `p` AS x",
            "CREATE SEQUENCE `s` start with 1 minvalue 1",
            "CREATE LIBRARY `lib`\n    LANGUAGE JAVASCRIPT\nAS $$ x $$",
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`u`@`%` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select '*/;'  AS `/*` */",
            "CREATE TABLE `*/` (\n  `/*` int COMMENT '*/ AS SELECT',\n  `b` int /*!80023 INVISIBLE */\n) /*!50100 TABLESPACE `x` */ ENGINE=InnoDB",
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `*/` /*!40100 DEFAULT CHARACTER SET latin1 */ /*!80016 DEFAULT ENCRYPTION='N' */",
            "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `d`.`tr` BEFORE INSERT ON `t` FOR EACH ROW\nBEGIN /*!99999 ' */ SET NEW.id = 1; END */",
            "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */",
            "DROP PACKAGE BODY IF EXISTS `p` ",
            "DO SETVAL(`s`, -1001, 0)",
            "LOCK TABLES `t` WRITE",
            "ALTER DATABASE `d` COLLATE utf8mb4_bin ",
            "UNLOCK TABLES",
            // MariaDB 11.8 around the rows of each table.
            "set autocommit=0",
            "commit",
            "SET @OLD_AUTOCOMMIT=@@AUTOCOMMIT, @@AUTOCOMMIT=0",
            "SET AUTOCOMMIT=@OLD_AUTOCOMMIT",
            "/*M!101100 SET @old_system_versioning_insert_history=@@session.system_versioning_insert_history, @@session.system_versioning_insert_history=1 */",
            "",
            "/* SET @@GLOBAL.GTID_PURGED='x' */",
        ] {
            assert!(knows(sql), "{sql}");
        }
    }

    #[test]
    fn what_none_writes_is_not() {
        for sql in [
            "GRANT ALL ON *.* TO u@localhost",
            "\\! touch /tmp/x\nSET NAMES utf8mb4",
            "source /etc/passwd",
            "delimiter ",
            "SET GLOBAL general_log = 1",
            "SET @@GLOBAL.general_log_file = '/tmp/x'",
            "/*!50003 SET @@PERSIST.x = 1 */",
            "SET @a = (SELECT evil())",
            "SET PASSWORD = 'x'",
            "CALL p()",
            "DROP TABLE t",
            "DROP TABLE IF EXISTS `other`.`t`",
            "DROP USER IF EXISTS root",
            "INSERT INTO `mysql`.`user` VALUES (1)",
            "ALTER USER root@localhost IDENTIFIED BY 'x'",
            "ALTER TABLE `t` ADD x INT",
            "SELECT 1 INTO OUTFILE '/tmp/x'",
            "LOAD DATA INFILE 'x' INTO TABLE t",
            "PREPARE s FROM @x",
            "INSERT INTO `t` SELECT f()",
            "INSERT INTO `t` (`a`) SELECT f()",
            "INSERT INTO `t` (SELECT f())",
            "INSERT INTO `t` SET a = f()",
            "INSERT INTO `t` TABLE u",
            "INSERT INTO `t` WITH x AS (SELECT f()) SELECT * FROM x",
            "CREATE TABLE `t` SELECT f()",
            "CREATE TABLE `t` (`a` int) AS SELECT f()",
            "CREATE TABLE IF NOT EXISTS `t` (`a` int) IGNORE (SELECT f())",
            "CREATE TEMPORARY TABLE `t` (SELECT f())",
            "CREATE TABLE `t` /*!50003 SELECT f() */",
            "CREATE TABLE `t` VALUES ROW(f())",
            "CREATE TABLE `t` (`a` int) TABLE u",
            "SHUTDOWN",
            &format!("SET {} GLOBAL general_log_file='/tmp/x'", "@a=1,".repeat(100)),
            &format!("SET {} @b=(SELECT evil())", "@a=1,".repeat(100)),
            "SET @a='x",
            r"SET @a='\', GLOBAL general_log='ON'",
            "SET STATEMENT max_statement_time=1 FOR DROP DATABASE d",
            "UNLOCK TABLES AND MORE",
            "COMMIT RELEASE",
            "/*!50112 SET @enable_bulk_load = IF (@is_rocksdb_supported, 'GRANT ALL ON *.* TO u', 'DO 0') */",
            "/*!50112 PREPARE s FROM @evil */",
            "/*!50112 PREPARE s FROM @enable_bulk_load */",
            "/*!50112 EXECUTE s */",
            "/*!50717 SELECT COUNT(*) INTO @rocksdb_has_p_s_session_variables FROM INFORMATION_SCHEMA.TABLES INTO OUTFILE '/tmp/x' */",
            "DROP TABLE IF EXISTS `t`, `other`.`t`",
            "DROP TABLE IF EXISTS `t`; CALL evil()",
            "DROP PACKAGE BODY IF EXISTS `t`, `u`",
            "ALTER TABLE `t` DISABLE KEYS, ADD x INT",
            "ALTER DATABASE `d` COLLATE x; CALL evil()",
            "ANALYZE TABLE `t`, `other`.`u`",
            "LOCK TABLES `t` WRITE, `other`.`u` WRITE",
            "DO SETVAL(`s`, f(), 0)",
            "DO SETVAL(`s`, 1, 0), f()",
            "SELECT SETVAL(`s`, 1, 0) INTO OUTFILE '/tmp/x'",
            "CREATE TABLE `other`.`t` (`a` int)",
            "CREATE TABLE `t` (`a` int); CALL evil()",
            "CREATE VIEW `v` AS SELECT 1; CALL evil()",
            // Rows are read elsewhere, and whatever is written so that it is not is none of a client's.
            "INSERT INTO `t` VALUES (1)",
            "insert into `t` values (f())",
            "INSERT INTO `t`VALUES (f())",
            "/*!50003 INSERT INTO `t` VALUES (f()) */",
            "CREATE USER view IDENTIFIED BY 'x'",
            "CREATE USER event",
            "CREATE SERVER view FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
            "CREATE TABLESPACE event ADD DATAFILE '/tmp/x.ibd'",
            "CREATE UNIQUE INDEX view ON t (a)",
            "CREATE OR REPLACE TABLE `mysql`.`user` (`a` int)",
            "CREATE TEMPORARY TABLE `t` (`a` int)",
            "CREATE FUNCTION `f` RETURNS INTEGER SONAME 'x.so'",
            "CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'x.so'",
            "CREATE /*!99999 PROCEDURE p */ USER evil IDENTIFIED BY 'x'",
            "CREATE /*M!999999 PROCEDURE p AS */ TABLE `t` AS SELECT f()",
            &format!("CREATE FUNCTION `f` /*!99999 {} */ RETURNS INTEGER SONAME 'x.so'", "x ".repeat(25)),
        ] {
            assert!(!follows(&mut Before::default(), sql), "{sql}");
        }
    }

    #[test]
    fn a_comment_that_servers_read_otherwise_hides_nothing() {
        for sql in [
            // The comment is longer than it looks.
            "CREATE TABLE `t` (`a` int) /*/ ' */ AS SELECT f() -- '",
            // It goes to the line's end.
            "CREATE TABLE `t` (`a` int) --\t'\n AS SELECT f() -- '",
            "CREATE TABLE `t` (`a` int) --\u{1}'\n AS SELECT f() -- '",
            // A server of another version or product skips it.
            "CREATE TABLE `t` (`a` int) /*!99999 ' */ AS SELECT f() -- '",
            "CREATE TABLE `t` (`a` int) /*M!999999 ' */ AS SELECT f() -- '",
            "CREATE TABLE `t` (`a` int) /*!80016 \" */ AS SELECT f() -- \"",
            "CREATE TABLE `t` /*!99999 ( */ TABLE u",
            "CREATE TABLE `t` (`a` int) /*!80016 # */ AS VALUES (1)\n*/",
            "SET @a='x' /*!99999 ' */, GLOBAL general_log=1 -- '",
            "SET @a=1 --\t'\n, GLOBAL general_log=1 -- '",
        ] {
            assert!(!follows(&mut Before::default(), sql), "{sql}");
        }
    }

    #[test]
    fn what_runs_a_variable_counts_only_behind_the_line_that_sets_it() {
        for lines in ROCKSDB {
            let mut before = Before::default();
            assert!(lines.iter().all(|line| follows(&mut before, line)), "{lines:?}");
        }
        let [_, _, _, _, enable, _] = ROCKSDB;
        let mut before = Before::default();
        assert!(follows(&mut before, enable[0]));
        assert!(follows(&mut before, "SET @enable_bulk_load = 'GRANT ALL ON *.* TO u'"));
        assert!(!follows(&mut before, enable[1]), "the variable is another one now");
        assert!(!follows(&mut before, enable[2]));
        // As a whole dump has them.
        let mut before = Before::default();
        for group in [&ROCKSDB[0], &ROCKSDB[2], &ROCKSDB[3], &ROCKSDB[4]] {
            assert!(group.iter().all(|line| follows(&mut before, line)), "{group:?}");
        }
    }
}
