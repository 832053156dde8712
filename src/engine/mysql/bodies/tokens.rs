//! The text of a program as one server reads it.

use super::reader::Reader;
use crate::engine::mysql::comments::{self, Versioned};
use crate::engine::mysql::sql::Quoting;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'t> {
    Word(&'t str),
    /// A name in quotes.
    Name,
    /// A text in quotes.
    Text,
    Mark(char),
    /// A quote or a comment that does not end.
    Open,
    /// What servers read in more than one way.
    Odd,
}

/// The tokens of `sql` as `reader` reads it.
pub fn read(sql: &str, quoting: Quoting, reader: Reader) -> Vec<Token<'_>> {
    let (mut out, mut rest) = (Vec::new(), sql);
    // In a comment whose text is text here. Servers do not count them: the first end is the end of all.
    let mut is_open = false;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        if comments::is_space(first) {
        } else if let Some(begun) = Versioned::at(rest) {
            if reader.reads(&begun) {
                is_open = true;
                length = begun.length;
            } else {
                let Some(end) = rest.find("*/") else {
                    out.push(Token::Open);
                    break;
                };
                if rest[2..end].contains("/*") {
                    out.push(Token::Odd);
                }
                length = end + 2;
            }
        } else if is_open && rest.starts_with("*/") {
            is_open = false;
            length = 2;
        } else if let Some(comment) = comments::length(rest) {
            if rest[..comment].contains('\0') {
                out.push(Token::Odd);
            }
            length = comment;
        } else if matches!(first, '`' | '"' | '\'') {
            let is_name = first == '`' || first == '"' && quoting.ansi;
            let Some(end) = quoted(rest, first, !is_name && !quoting.plain_backslash) else {
                out.push(Token::Open);
                break;
            };
            out.push(if is_name { Token::Name } else { Token::Text });
            length = end;
        } else if first == '$' && !reader.is_mariadb && dollars(rest).is_some() {
            let tag = dollars(rest).unwrap_or_default();
            let Some(end) = rest[tag..].find(&rest[..tag]) else {
                out.push(Token::Open);
                break;
            };
            out.push(Token::Text);
            length = tag + end + tag;
        } else if is_word(first) {
            length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            out.push(Token::Word(&rest[..length]));
        } else {
            out.push(if first == '\0' { Token::Odd } else { Token::Mark(first) });
        }
        rest = &rest[length..];
    }
    if is_open && out.last() != Some(&Token::Open) {
        out.push(Token::Open);
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// Length of the quoted piece that `text` begins with.
fn quoted(text: &str, quote: char, has_escapes: bool) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && has_escapes {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// Length of the `$$` or `$tag$` that `text` begins with.
fn dollars(text: &str) -> Option<usize> {
    let end = text[1..].find(|c: char| c == '$' || !is_word(c))? + 1;
    text[end..].starts_with('$').then_some(end + 1)
}
