//! Comments, quotes and white space by the rules of the servers, which are not quite those of their clients ([`lexer`]). Comments
//! with a version (`/*!50003 … */`, `/*M!100600 … */`) are text to some servers and comments to others.
//!
//! [`lexer`]: super::lexer

/// Every server that is supported reads comments up to this version as text. MariaDB skips those from 50700 to 99999.
pub const READ_BY_ALL: u32 = 50_505;

/// White space to a server. Beyond ASCII there is none: what looks like it is part of a name.
pub fn is_space(c: char) -> bool {
    matches!(c, '\t'..='\r' | ' ')
}

/// Length of the comment that `text` begins with; none if it begins with something else. One with a version is a comment here.
pub fn length(text: &str) -> Option<usize> {
    if text.starts_with('#') || begins_dashes(text) {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    // The asterisk that opens it does not close it: `/*/` is only a beginning.
    let body = text.strip_prefix("/*")?;
    Some(body.find("*/").map_or(text.len(), |end| end + 4))
}

fn begins_dashes(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(|c| is_space(c) || c.is_ascii_control()))
}

/// The beginning of a comment with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versioned {
    /// Its bytes, the version's digits among them.
    pub length: usize,
    /// Not every server reads what follows as text.
    pub depends: bool,
    /// Servers of this version and later do; 0 where none is said.
    pub version: u32,
    /// Of MariaDB only.
    pub is_of_mariadb: bool,
}

impl Versioned {
    /// What `text` begins with.
    pub fn at(text: &str) -> Option<Self> {
        let is_of_mariadb = text.starts_with("/*M!");
        let length = if is_of_mariadb { 4 } else { 3 };
        let body = text.strip_prefix("/*!").or_else(|| text.strip_prefix("/*M!"))?;
        // Five or six digits are a version. Fewer are text, and so is what follows.
        let digits = body.bytes().take(6).take_while(u8::is_ascii_digit).count();
        let digits = if digits < 5 { 0 } else { digits };
        let version = body[..digits].parse().unwrap_or(0);
        let depends = is_of_mariadb || version > READ_BY_ALL;
        Some(Self { length: length + digits, depends, version, is_of_mariadb })
    }
}

/// Whether every server reads `sql` as one statement, and as the same one up to the words of comments with a version: such a
/// comment ends where it ends for a server that skips it, and closes the parentheses that it opens.
pub fn is_one_for_all(sql: &str) -> bool {
    let mut at = 0;
    let mut skipped: Option<Skipped> = None;
    while at < sql.len() {
        let rest = &sql[at..];
        if skipped.as_ref().is_some_and(|comment| at > comment.end) {
            return false;
        }
        at += if let Some(begun) = Versioned::at(rest) {
            if begun.depends {
                let Some(comment) = Skipped::at(sql, at + begun.length).filter(|_| skipped.is_none()) else {
                    return false;
                };
                skipped = Some(comment);
            }
            begun.length
        } else if rest.starts_with("*/") {
            if skipped.take().is_some_and(|comment| comment.end != at || comment.depth != 0) {
                return false;
            }
            2
        } else if let Some(length) = length(rest) {
            if rest[..length].contains('\0') {
                return false;
            }
            length
        } else {
            let Some(length) = piece(rest, &mut skipped) else { return false };
            length
        };
    }
    skipped.is_none()
}

/// `sql` (tables and the like, read under the usual `sql_mode`) as every server reads it alike: where a text inside of a comment with
/// a version has the beginning or the end of a comment in it, a server that skips the comment would go on in the middle of the
/// text. With a backslash it is the same text, and neither. None where nothing is to be changed.
pub fn readable_by_all(sql: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // The quote that is open, and whether a comment is, which some servers skip.
    let (mut quote, mut is_skipped, mut at) = (0, false, 0);
    while let Some(byte) = sql.get(at).copied() {
        let mut length = 1;
        if quote != 0 {
            let is_mark = |before: Option<&u8>| matches!((before, byte), (Some(b'/'), b'*') | (Some(b'*'), b'/'));
            if is_skipped && quote != b'`' && is_mark(at.checked_sub(1).and_then(|before| sql.get(before))) {
                out.push(b'\\');
            }
            if byte == b'\\' && quote != b'`' {
                length = 2;
            } else if byte == quote {
                // A doubled quote ends the text and begins it again.
                quote = 0;
            }
        } else if matches!(byte, b'`' | b'"' | b'\'') {
            quote = byte;
        } else if sql[at..].starts_with(b"*/") {
            (is_skipped, length) = (false, 2);
        } else if let Some(begun) = Versioned::at(ascii(&sql[at..])) {
            (is_skipped, length) = (is_skipped || begun.depends, begun.length);
        } else if let Some(comment) = plain(&sql[at..]) {
            length = comment;
        }
        out.extend_from_slice(&sql[at..sql.len().min(at + length)]);
        at += length;
    }
    (out.len() > sql.len()).then_some(out)
}

/// The letters that `text` begins with, as far as the beginning of a comment goes.
fn ascii(text: &[u8]) -> &str {
    let end = text.iter().take(10).position(|byte| !byte.is_ascii()).unwrap_or(text.len().min(10));
    std::str::from_utf8(&text[..end]).unwrap_or_default()
}

/// Length of the comment without a version that `text` begins with.
fn plain(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"/*") {
        return Some(memchr::memmem::find(&text[2..], b"*/").map_or(text.len(), |end| end + 4));
    }
    let begins = begins_dashes(ascii(text)) || text.starts_with(b"#");
    begins.then(|| memchr::memchr(b'\n', text).unwrap_or(text.len()))
}

/// A comment that some servers skip.
struct Skipped {
    /// Where it ends for them.
    end: usize,
    /// Parentheses that are open in it.
    depth: u32,
}

impl Skipped {
    fn at(sql: &str, start: usize) -> Option<Self> {
        let end = start + sql[start..].find("*/")?;
        // Comments inside of comments are read in more than one way.
        (!sql[start..end].contains("/*")).then_some(Self { end, depth: 0 })
    }
}

/// Length of the quoted text or the character that `text` begins with; none for what ends a statement.
fn piece(text: &str, skipped: &mut Option<Skipped>) -> Option<usize> {
    let first = text.chars().next()?;
    match first {
        '`' | '"' | '\'' => return quoted(text, first).map(|(_, after)| text.len() - after.len()),
        ';' | '\0' => return None,
        '(' => skipped.iter_mut().for_each(|comment| comment.depth += 1),
        ')' => {
            if let Some(comment) = skipped {
                comment.depth = comment.depth.checked_sub(1)?;
            }
        }
        _ => {}
    }
    Some(first.len_utf8())
}

/// The text in quotes that `text` begins with, and what follows it; none if it does not end.
pub fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
                out.push(quote);
            } else {
                return Some((out, &text[at + quote.len_utf8()..]));
            }
        } else if c == '\\' && quote != '`' {
            if let Some((_, escaped)) = chars.next() {
                out.push(escaped);
            }
        } else {
            out.push(c);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_ends_where_it_ends_for_a_server() {
        for (text, comment) in [
            ("/**/x", "/**/"),
            ("/*/ ' */x", "/*/ ' */"),
            ("/* /* */x", "/* /* */"),
            ("/* x", "/* x"),
            ("--\t'\nx", "--\t'"),
            ("--\u{1}'\nx", "--\u{1}'"),
            ("--", "--"),
            ("--\nx", "--"),
            ("#'\nx", "#'"),
        ] {
            assert_eq!(length(text), Some(comment.len()), "{text:?}");
        }
        for text in ["--1", "-- x".strip_prefix('-').unwrap(), "--\u{a0}x", "/ *", "x"] {
            assert_eq!(length(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_text_in_a_comment_that_some_servers_skip_neither_ends_it_nor_begins_another() {
        let mended = |sql: &str| readable_by_all(sql.as_bytes()).map(|sql| String::from_utf8(sql).unwrap());
        for (sql, expected) in [
            ("/*!80021 ENGINE_ATTRIBUTE '{\"a\": \"*/\"}' */", "/*!80021 ENGINE_ATTRIBUTE '{\"a\": \"*\\/\"}' */"),
            ("/*!80021 X='/*/' */ Y='*/'", "/*!80021 X='/\\*\\/' */ Y='*/'"),
            ("/*M!100301 X='it''s \\'*/' */", "/*M!100301 X='it''s \\'*\\/' */"),
            ("/*!80021 X='\\\\*/' */", "/*!80021 X='\\\\*\\/' */"),
            ("`é` /*!80021 X='é*/' */", "`é` /*!80021 X='é*\\/' */"),
        ] {
            assert_eq!(mended(sql).as_deref(), Some(expected), "{sql}");
            assert!(!is_one_for_all(sql) && is_one_for_all(expected), "{sql}");
            assert_eq!(mended(expected), None, "{expected}");
        }
        for sql in [
            "/*!50100 PARTITION p COMMENT = '*/' */",
            "`a` int COMMENT '/*!80021 */'",
            "/*!80021 X='*\\/ \\/ * a*b/c' */",
            "/* /*!80021 '*/ X='*/'",
            "-- /*!80021\n X='*/'",
            "/*!80021 ON `a*/b` */",
        ] {
            assert_eq!(mended(sql), None, "{sql}");
        }
        // A name cannot be written otherwise.
        assert!(!is_one_for_all("/*!80021 ON `a*/b` */"));
    }

    #[test]
    fn a_version_has_five_or_six_digits() {
        for (text, length, depends) in [
            ("/*!50003 x", 8, false),
            ("/*!50003", 8, false),
            ("/*!500031 x", 9, true),
            ("/*!1234567", 9, true),
            ("/*!1234 x", 3, false),
            ("/*! x", 3, false),
            ("/*!80016 x", 8, true),
            ("/*M!100600 x", 10, true),
            ("/*M! x", 4, true),
        ] {
            let begun = Versioned::at(text).map(|begun| (begun.length, begun.depends));
            assert_eq!(begun, Some((length, depends)), "{text}");
        }
        assert_eq!(Versioned::at("/* !50003"), None);
    }
}
