//! The statements that a dump client writes. A stream with any other is not stored: somebody made the server print what its
//! client reads otherwise than it was meant, and a restore would run that with every right. This holds whatever the trick
//! is.

mod rocksdb;
#[cfg(test)]
mod tests;

use super::comments;
use super::names::{self, Token};
use super::sql::{self, Kind, Quoting};

pub use self::rocksdb::Before;

/// Statements that are the same in every dump.
const FIXED: [&str; 2] = ["UNLOCK TABLES", "COMMIT"];
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

/// Whether a dump client writes such a statement behind what it wrote before.
pub fn follows(before: &mut Before, sql: &str) -> bool {
    before.steps(sql) || knows(sql)
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
