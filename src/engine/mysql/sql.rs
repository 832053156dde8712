//! SQL text as the server reads it: where names, texts and comments begin and end. Statements are never taken apart by
//! looking for a character or a word in the raw text: a name may contain any of them.

use super::comments;

/// How quotes are read; depends on the `sql_mode` of the session that wrote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quoting {
    /// `ANSI_QUOTES`: double quotes enclose names.
    pub ansi: bool,
    /// `NO_BACKSLASH_ESCAPES`: a backslash in a text is only itself.
    pub plain_backslash: bool,
}

impl Quoting {
    /// Under this `sql_mode`.
    pub fn of_mode(sql_mode: &str) -> Self {
        let modes = sql_mode.to_ascii_uppercase();
        let has = |wanted: &[&str]| modes.split(',').any(|mode| wanted.contains(&mode));
        Self {
            ansi: has(&["ANSI_QUOTES", "ANSI", "ORACLE", "DB2", "MAXDB", "MSSQL", "POSTGRESQL"]),
            plain_backslash: has(&["NO_BACKSLASH_ESCAPES"]),
        }
    }

    /// The least `sql_mode` under which a server reads text as this does.
    pub fn sql_mode(self) -> &'static str {
        match (self.ansi, self.plain_backslash) {
            (false, false) => "",
            (true, false) => "ANSI_QUOTES",
            (false, true) => "NO_BACKSLASH_ESCAPES",
            (true, true) => "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
        }
    }
}

/// What a piece of SQL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keyword, bare name or number.
    Word,
    /// Name in quotes.
    Name,
    /// Text in quotes.
    Text,
    /// Any other single character.
    Mark,
    /// `-- …`, `# …`, `/* … */`.
    Comment,
    /// A quote that is never closed, with everything after it.
    Open,
}

/// A piece of SQL and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What it is.
    pub kind: Kind,
    /// As written, quotes included.
    pub text: &'a str,
    /// Byte offset of its first character.
    pub start: usize,
}

impl Piece<'_> {
    /// Byte offset after its last character.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this keyword.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this character, outside of quotes.
    pub fn is_mark(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }

    /// The name or text that it stands for.
    pub fn value(&self) -> String {
        let quote = match self.kind {
            Kind::Name | Kind::Text => self.text.chars().next().unwrap_or('`').to_string(),
            _ => return self.text.to_owned(),
        };
        let inner = self.text.get(1..self.text.len() - 1).unwrap_or_default();
        inner.replace(&quote.repeat(2), &quote)
    }
}

/// All pieces of `sql`, white space left out.
pub fn pieces(sql: &str, quoting: Quoting) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        if comments::is_space(first) {
            at += 1;
            continue;
        }
        let comment = comments::length(rest);
        let (kind, length) = match first {
            _ if comment.is_some() => (Kind::Comment, comment.unwrap_or_default()),
            '`' => closed(rest, '`', true, Kind::Name),
            '"' if quoting.ansi => closed(rest, '"', true, Kind::Name),
            '"' | '\'' => closed(rest, first, quoting.plain_backslash, Kind::Text),
            _ if is_word(first) => (Kind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
            _ => (Kind::Mark, first.len_utf8()),
        };
        out.push(Piece { kind, text: &rest[..length], start: at });
        at += length;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// Kind and length of the quoted piece that `text` begins with. A doubled quote is one inside.
fn closed(text: &str, quote: char, plain_backslash: bool, kind: Kind) -> (Kind, usize) {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && !plain_backslash {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return (kind, at + quote.len_utf8());
        }
    }
    (Kind::Open, text.len())
}

/// One statement of a script, and the comments in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Comment lines between the statement before and this one, without their `-- `.
    pub comments: Vec<String>,
    /// The statement without its end; empty where comments end the script.
    pub sql: String,
}

/// The statements of a script. One that ends inside a quote is left out: it was cut off.
pub fn statements(script: &str, quoting: Quoting) -> Vec<Statement> {
    let mut out = Vec::new();
    let (mut comments, mut from) = (Vec::new(), None);
    let mut until = 0;
    for piece in pieces(script, quoting) {
        match piece.kind {
            Kind::Comment if from.is_none() => {
                comments.push(piece.text.trim_start_matches("-- ").trim_end().to_owned());
            }
            Kind::Open => return out,
            Kind::Mark if piece.text == ";" => {
                if let Some(start) = from.take() {
                    let sql = script[start..until].to_owned();
                    out.push(Statement { comments: std::mem::take(&mut comments), sql });
                }
            }
            _ => {
                from.get_or_insert(piece.start);
                until = piece.end();
            }
        }
    }
    if from.is_some() || !comments.is_empty() {
        out.push(Statement { comments, sql: from.map_or_else(String::new, |start| script[start..until].to_owned()) });
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::mysql::names;

    #[test]
    fn a_statement_ends_only_at_a_semicolon_outside_of_quotes_and_comments() {
        let script = "-- first\nGRANT EXECUTE ON PROCEDURE `app`.`A;\ncall app.x;\n#` TO `u`@`%`;\n# note; still a note\n\
                      ALTER USER 'a''b\\';'@\"x;\\\"\" /* c; */ ACCOUNT LOCK;\n-- end\n";
        let found = statements(script, Quoting::default());
        let texts: Vec<&str> = found.iter().map(|statement| statement.sql.as_str()).collect();
        assert_eq!(
            texts,
            [
                "GRANT EXECUTE ON PROCEDURE `app`.`A;\ncall app.x;\n#` TO `u`@`%`",
                "ALTER USER 'a''b\\';'@\"x;\\\"\" /* c; */ ACCOUNT LOCK",
                ""
            ]
        );
        assert_eq!(found[0].comments, ["first"]);
        assert_eq!(found[2].comments, ["end"]);
    }

    #[test]
    fn quotes_are_read_as_the_writing_session_meant_them() {
        let ansi = Quoting::of_mode("STRICT_TRANS_TABLES,ansi_quotes");
        assert_eq!(statements("GRANT a TO \"x\\\";GRANT b TO \"y\"", ansi).len(), 2);
        let plain = Quoting::of_mode("NO_BACKSLASH_ESCAPES");
        assert_eq!(statements("SET a = '\\';SET b = 'x'", plain).len(), 2);
        assert_eq!(statements("SET a = '\\';SET b = 'x'", Quoting::default()).len(), 0);
    }

    #[test]
    fn a_statement_that_was_cut_off_inside_a_quote_is_no_statement() {
        assert_eq!(statements("GRANT x TO y;\nGRANT `z", Quoting::default()).len(), 1);
    }

    proptest! {
        #[test]
        fn any_name_survives_a_script(names in proptest::collection::vec(hostile(), 1..6)) {
            let written: Vec<String> = names.iter().map(|name| format!("GRANT x TO {}", names::quote(name))).collect();
            let script = written.iter().fold(String::new(), |script, sql| script + "-- a; comment\n" + sql + ";\n");
            let read: Vec<String> = statements(&script, Quoting::default()).into_iter().map(|one| one.sql).collect();
            prop_assert_eq!(&read, &written);
            for (sql, name) in read.iter().zip(&names) {
                let pieces = pieces(sql, Quoting::default());
                prop_assert_eq!(pieces.len(), 4);
                prop_assert_eq!(&pieces[3].value(), name);
            }
        }
    }

    /// Names made of what a careless reader would trip over.
    fn hostile() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just(";\n".to_owned()),
            Just("`".to_owned()),
            Just("'".to_owned()),
            Just("\"".to_owned()),
            Just("\\".to_owned()),
            Just("-- ".to_owned()),
            Just("#".to_owned()),
            Just("/*".to_owned()),
            Just("*/".to_owned()),
            Just(" ON ".to_owned()),
            Just(" TO ".to_owned()),
            "[a-zA-Zü日 ]{1,4}",
        ];
        proptest::collection::vec(part, 1..6).prop_map(|parts| parts.concat())
    }
}
