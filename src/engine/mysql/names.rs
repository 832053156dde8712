//! Identifiers: reading them from SQL text and writing them for people and for SQL.

use super::comments::{self, Versioned, quoted};

/// `name` quoted for SQL.
pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Text literal quoted for SQL under any `sql_mode` that this crate sets.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// `database.name` as people write it: parts that could be misread are quoted with backticks.
pub fn qualified(database: &str, name: &str) -> String {
    format!("{}.{}", display(database), display(name))
}

/// A database's name as people write it.
pub fn database(name: &str) -> String {
    display(name)
}

/// The name that [`database`] wrote.
pub fn unquoted(text: &str) -> String {
    one_part(text).map_or_else(|| text.to_owned(), |(name, _)| name)
}

fn display(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == '-';
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { quote(name) }
}

/// Split a qualified name as [`qualified`] writes it, or as a person types it.
pub fn split_qualified(text: &str) -> Option<(String, String)> {
    let (database, rest) = one_part(text)?;
    let (name, rest) = one_part(rest.strip_prefix('.')?)?;
    rest.is_empty().then_some((database, name))
}

fn one_part(text: &str) -> Option<(String, &str)> {
    if !text.starts_with('`') {
        let end = text.find('.').unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    }
    let mut end = 1;
    loop {
        end += text[end..].find('`')?;
        if text[end + 1..].starts_with('`') {
            end += 2;
        } else {
            return Some((text[1..end].replace("``", "`"), &text[end + 1..]));
        }
    }
}

/// A lexical element of a definition's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Bare word, as written.
    Word(String),
    /// Quoted identifier or string, without its quotes.
    Quoted(String),
    /// Any other character.
    Mark(char),
}

impl Token {
    /// Whether it is this word, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }
}

/// The first `limit` tokens of a statement. Version comments (`/*!50003 … */`, `/*M!100600 … */`) are read as the server
/// reads them: their text counts. A quote that is not closed is the last one.
pub fn tokens(statement: &str, limit: usize) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = statement;
    while out.len() < limit {
        rest = rest.trim_start_matches(comments::is_space);
        let Some(first) = rest.chars().next() else { break };
        if let Some(begun) = Versioned::at(rest) {
            rest = &rest[begun.length..];
        } else if let Some(body) = rest.strip_prefix("*/") {
            rest = body;
        } else if let Some(length) = comments::length(rest) {
            rest = &rest[length..];
        } else if matches!(first, '`' | '"' | '\'') {
            let Some((text, after)) = quoted(rest, first) else {
                // Whoever looks at all of it sees that something is left.
                out.push(Token::Mark(first));
                break;
            };
            out.push(Token::Quoted(text));
            rest = after;
        } else if first.is_alphanumeric() || matches!(first, '_' | '$') || !first.is_ascii() {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()))
                .unwrap_or(rest.len());
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            out.push(Token::Mark(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// What a `CREATE` statement creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// `TABLE`, `VIEW`, `TRIGGER` … in capitals; `PACKAGE BODY` for a package's body.
    pub kind: String,
    /// Name without quotes; the database part, if any, is dropped.
    pub name: String,
    /// `user@host` of the definer, where one is given.
    pub definer: Option<String>,
}

/// What a dump client creates.
pub const KINDS: [&str; 10] =
    ["DATABASE", "TABLE", "VIEW", "TRIGGER", "EVENT", "PROCEDURE", "FUNCTION", "PACKAGE", "SEQUENCE", "LIBRARY"];

/// Read the head of a `CREATE` statement; none if the statement is not one. A kind that nobody knows is given as it is
/// written.
pub fn created(statement: &str) -> Option<Created> {
    let tokens = tokens(statement, 48);
    if !tokens.first()?.is_word("CREATE") {
        return None;
    }
    let at = kind_at(&tokens)?;
    let Token::Word(kind) = &tokens[at] else { return None };
    let mut kind = kind.to_ascii_uppercase();
    let mut next = at + 1;
    if kind == "PACKAGE" && tokens.get(next)?.is_word("BODY") {
        "PACKAGE BODY".clone_into(&mut kind);
        next += 1;
    }
    if tokens.get(next)?.is_word("IF")
        && tokens.get(next + 1)?.is_word("NOT")
        && tokens.get(next + 2)?.is_word("EXISTS")
    {
        next += 3;
    }
    if tokens.get(next + 1) == Some(&Token::Mark('.')) {
        next += 2;
    }
    let name = match tokens.get(next)? {
        Token::Word(text) | Token::Quoted(text) => text.clone(),
        Token::Mark(_) => return None,
    };
    Some(Created { kind, name, definer: definer(&tokens[..at]) })
}

/// Where the head of a `CREATE` says what it creates: behind words and `WORD = VALUE`. What follows is no part of the head,
/// whatever words it contains.
fn kind_at(tokens: &[Token]) -> Option<usize> {
    let mut at = 1;
    loop {
        let Token::Word(_) = tokens.get(at)? else { return Some(at - 1).filter(|at| *at > 0) };
        if tokens.get(at + 1) == Some(&Token::Mark('=')) {
            let has_host = tokens.get(at + 3) == Some(&Token::Mark('@'));
            at += if has_host { 5 } else { 3 };
        } else if KINDS.iter().any(|kind| tokens[at].is_word(kind)) {
            return Some(at);
        } else {
            at += 1;
        }
    }
}

fn definer(head: &[Token]) -> Option<String> {
    let at = head.iter().position(|token| token.is_word("DEFINER"))?;
    let text = |token: Option<&Token>| match token {
        Some(Token::Word(text) | Token::Quoted(text)) => Some(text.clone()),
        _ => None,
    };
    let user = text(head.get(at + 2))?;
    match head.get(at + 3) {
        Some(Token::Mark('@')) => Some(format!("{user}@{}", text(head.get(at + 4))?)),
        _ => Some(user),
    }
}

/// The definition of a program without quotes around its definer. The server keeps a trigger's definer as it was written
/// for the session that created it (`sql_quote_show_create`, `ANSI_QUOTES`): that is no difference.
pub fn with_bare_definer(body: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"DEFINER=";
    let Some(at) = memchr::memmem::find(body, KEY).map(|at| at + KEY.len()) else { return body.to_vec() };
    let mut out = body[..at].to_vec();
    let mut rest = &body[at..];
    loop {
        let quote = rest.first().copied().filter(|first| matches!(first, b'`' | b'"'));
        if let Some(quote) = quote {
            rest = &rest[1..];
            while let Some(end) = memchr::memchr(quote, rest) {
                let doubled = rest.get(end + 1) == Some(&quote);
                out.extend_from_slice(&rest[..end + usize::from(doubled)]);
                rest = &rest[end + 1 + usize::from(doubled)..];
                if !doubled {
                    break;
                }
            }
        } else {
            let end = rest.iter().position(|byte| matches!(byte, b'@' | b' ' | b'*')).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        match rest.split_first() {
            Some((b'@', host)) => {
                out.push(b'@');
                rest = host;
            }
            _ => break,
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Name and value of a statement that sets one session variable to a literal or a word; user variables are not settings.
pub fn setting(statement: &str) -> Option<(String, String)> {
    match tokens(statement, 5).as_slice() {
        [Token::Word(set), Token::Word(name), Token::Mark('='), Token::Word(value) | Token::Quoted(value), ..]
            if set.eq_ignore_ascii_case("SET") =>
        {
            Some((name.to_ascii_lowercase(), value.clone()))
        }
        _ => None,
    }
}

/// The first quoted identifier of a statement: the table of an `INSERT`, the database of a `USE`.
pub fn first_identifier(statement: &str) -> Option<String> {
    tokens(statement, 12).into_iter().find_map(|token| match token {
        Token::Quoted(text) => Some(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_quotes_spaces_and_unicode_survive_the_round_trip() {
        for (database, name) in [("shop", "orders"), ("a b", "x`y"), ("日本", "t.t"), ("q'\"", "`")] {
            let text = qualified(database, name);
            assert_eq!(split_qualified(&text), Some((database.to_owned(), name.to_owned())), "{text}");
        }
        assert_eq!(qualified("shop", "orders"), "shop.orders");
        assert_eq!(split_qualified("orders"), None);
    }

    #[test]
    fn quotes_around_a_definer_are_no_difference_and_other_names_are() {
        let bare = |sql: &str| String::from_utf8(with_bare_definer(sql.as_bytes())).unwrap();
        let trigger =
            |definer: &str| bare(&format!("/*!50003 CREATE*/ /*!50017 DEFINER={definer}*/ /*!50003 trigger `t` x"));
        let want = "/*!50003 CREATE*/ /*!50017 DEFINER=ro`ot@local.host*/ /*!50003 trigger `t` x";
        assert_eq!(trigger("`ro``ot`@`local.host`"), want);
        assert_eq!(trigger("\"ro`ot\"@\"local.host\""), want);
        assert_eq!(trigger("ro`ot@local.host"), want);
        assert_ne!(trigger("`root`@`local.host`"), want);
        assert_eq!(bare("CREATE PROCEDURE `p`() x"), "CREATE PROCEDURE `p`() x");
        assert_eq!(bare("CREATE DEFINER=`r` PROCEDURE `p`() x"), "CREATE DEFINER=r PROCEDURE `p`() x");
    }

    #[test]
    fn the_head_of_a_create_statement_is_read_through_version_comments() {
        let cases = [
            ("CREATE TABLE `a ``b` (\n  `id` int\n)", "TABLE", "a `b", None),
            (
                "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 trigger tr before insert on t */",
                "TRIGGER",
                "tr",
                Some("root@localhost"),
            ),
            (
                "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`u`@`%` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 */",
                "VIEW",
                "v",
                Some("u@%"),
            ),
            ("CREATE DEFINER=`a`@`b` FUNCTION `shop`.`ff`() RETURNS int", "FUNCTION", "ff", Some("a@b")),
            (
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `we``ird db` /*!40100 DEFAULT */",
                "DATABASE",
                "we`ird db",
                None,
            ),
            ("CREATE DEFINER=`r`@`h` PACKAGE BODY `p` AS x", "PACKAGE BODY", "p", Some("r@h")),
            ("CREATE DEFINER=`role` PROCEDURE IF NOT EXISTS p()", "PROCEDURE", "p", Some("role")),
            ("CREATE DEFINER=event@view PROCEDURE p()", "PROCEDURE", "p", Some("event@view")),
            ("CREATE LIBRARY `lib`\n    LANGUAGE JAVASCRIPT\nAS $$ function table() {} $$", "LIBRARY", "lib", None),
            ("CREATE WONDER `w` AS function f", "WONDER", "w", None),
            (
                "CREATE OR REPLACE ALGORITHM=MERGE DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW `table` AS x",
                "VIEW",
                "table",
                Some("a@b"),
            ),
        ];
        for (sql, kind, name, definer) in cases {
            let want = Created { kind: kind.into(), name: name.into(), definer: definer.map(Into::into) };
            assert_eq!(created(sql), Some(want), "{sql}");
        }
        assert_eq!(created("INSERT INTO `t` VALUES"), None);
    }
}
