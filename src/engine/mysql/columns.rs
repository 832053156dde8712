//! What a table's definition says of its columns and of its next id, as far as comparisons need it.

use super::names::{self, Token};
use crate::domain::capture::{Capture, DigestRule};

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Unquoted.
    pub name: String,
    /// Whether it holds a date with a time.
    pub is_time: bool,
    /// Where its values come from, if not from whoever writes rows.
    pub computed: Option<Computed>,
}

/// Who computes a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computed {
    /// An expression, when a row is written. What was written is data.
    Stored,
    /// An expression, whenever a row is read: depends on the reader's settings, even on the time or on chance.
    Virtual,
    /// The server: from when until when a row of a versioned table was current.
    RowTime,
}

impl Column {
    /// Whether a content digest of this capture covers the column.
    pub fn is_data(&self, capture: Capture) -> bool {
        match (capture.digest_rule, self.computed) {
            (DigestRule::AllColumns, _) | (_, None | Some(Computed::Stored)) => true,
            (DigestRule::StoredColumns, Some(Computed::Virtual)) => false,
            // Without history these are made anew by whoever loads the rows.
            (DigestRule::StoredColumns, Some(Computed::RowTime)) => !capture.without_history,
        }
    }
}

/// The columns of a `CREATE TABLE`, in order.
pub fn columns(sql: &str) -> Vec<Column> {
    let tokens = names::tokens(sql, usize::MAX);
    let Some(open) = tokens.iter().position(|token| *token == Token::Mark('(')) else { return Vec::new() };
    let mut out = Vec::new();
    let (mut depth, mut item) = (1, Vec::new());
    for token in &tokens[open + 1..] {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth -= 1,
            _ => {}
        }
        // What stands in parentheses inside a column's definition says nothing here.
        match token {
            _ if depth == 0 => break,
            Token::Mark(',') if depth == 1 => out.extend(column(&std::mem::take(&mut item))),
            _ if depth == 1 => item.push(token.clone()),
            _ => {}
        }
    }
    out.extend(column(&item));
    out
}

/// Keys and constraints begin with a word; columns with their quoted name.
fn column(item: &[Token]) -> Option<Column> {
    let [Token::Quoted(name), rest @ ..] = item else { return None };
    let is_time = rest.first().is_some_and(|kind| kind.is_word("datetime") || kind.is_word("timestamp"));
    let generated = rest
        .windows(3)
        .position(|words| words[0].is_word("GENERATED") && words[1].is_word("ALWAYS") && words[2].is_word("AS"));
    let computed = generated.map(|at| {
        let rest = &rest[at + 3..];
        if rest.first().is_some_and(|word| word.is_word("ROW")) {
            Computed::RowTime
        } else if rest.iter().any(|word| word.is_word("STORED") || word.is_word("PERSISTENT")) {
            Computed::Stored
        } else {
            Computed::Virtual
        }
    });
    Some(Column { name: name.clone(), is_time, computed })
}

/// Index in the row, and name, of those columns of an `INSERT` that `wanted` accepts.
pub fn indexes(header: &str, columns: &[Column], wanted: impl Fn(&Column) -> bool) -> Vec<(usize, String)> {
    let tokens = names::tokens(header, usize::MAX);
    let listed = tokens.iter().position(|token| *token == Token::Mark('('));
    let order: Vec<String> = match listed {
        Some(open) => tokens[open..]
            .iter()
            .filter_map(|token| match token {
                Token::Quoted(text) | Token::Word(text) => Some(text.clone()),
                Token::Mark(_) => None,
            })
            .collect(),
        None => columns.iter().map(|column| column.name.clone()).collect(),
    };
    let is_wanted = |name: &String| columns.iter().any(|column| column.name == *name && wanted(column));
    order.into_iter().enumerate().filter(|(_, name)| is_wanted(name)).collect()
}

/// Where a table's options begin. MySQL names a shared tablespace in front of the engine.
pub fn options_at(sql: &str) -> Option<usize> {
    ["\n) ENGINE=", "\n) /*!50100 TABLESPACE "].iter().filter_map(|start| sql.rfind(start)).max()
}

/// Definition without its next AUTO_INCREMENT value, and that value. It is no part of a definition: it is read after the
/// snapshot was opened and moves on. A restore must not fall behind it.
pub fn split_next_id(sql: &str) -> (String, Option<u64>) {
    const KEY: &str = " AUTO_INCREMENT=";
    let Some(options) = options_at(sql) else { return (sql.to_owned(), None) };
    let (body, options) = sql.split_at(options);
    // A comment may say anything.
    let said = &options[..options.find('\'').unwrap_or(options.len())];
    let Some(at) = said.find(KEY) else { return (sql.to_owned(), None) };
    let rest = options[at + KEY.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &options[at + KEY.len()..options.len() - rest.len()];
    (format!("{body}{}{rest}", &options[..at]), digits.parse().ok())
}

/// FLOAT columns: the server prints six digits of them, whoever asks.
pub fn lossy_columns(table: &str, sql: &str) -> Option<String> {
    let is_float = |line: &&str| {
        let name = line.strip_prefix("  ").and_then(names::first_identifier);
        name.is_some_and(|name| line[2 + names::quote(&name).len()..].starts_with(" float"))
    };
    let columns: Vec<String> = sql
        .lines()
        .filter(|line| line.starts_with("  `"))
        .filter(is_float)
        .filter_map(names::first_identifier)
        .collect();
    (!columns.is_empty()).then(|| {
        format!(
            "table {table}: FLOAT column(s) {} are backed up with six significant digits: the server prints no more",
            columns.join(", ")
        )
    })
}

/// MySQL prints the character set of a column beside its collation or not, depending on how the table came to be; the
/// collation implies it.
pub fn without_implied_charset(sql: &str, says_default: bool) -> String {
    const KEY: &str = " CHARACTER SET ";
    // MySQL prints the collation of a column in this character set from the day on which a dump of it was loaded.
    const UNSAID: &str = "utf8mb3";
    let mut out = String::with_capacity(sql.len());
    let mut quote = None;
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match quote {
            // Expressions are printed with a backslash before a quote.
            Some('\'') if first == '\\' => length += rest[1..].chars().next().map_or(0, char::len_utf8),
            // A doubled quote ends the text and begins it again.
            Some(open) if open == first => quote = None,
            None if matches!(first, '\'' | '`') => quote = Some(first),
            None if rest.starts_with(KEY) => {
                let after = &rest[KEY.len()..];
                let charset = after.split(' ').next().unwrap_or_default();
                let implying = format!(" COLLATE {charset}_");
                if after[charset.len()..].starts_with(&implying) {
                    rest = &after[charset.len()..];
                } else if says_default
                    && let Some(behind) = after.strip_prefix(UNSAID)
                    && !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                {
                    out.push_str(" COLLATE utf8mb3_general_ci");
                    rest = behind;
                    continue;
                }
            }
            _ => {}
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "CREATE TABLE `GENERATED` (\n  `id` bigint(20) NOT NULL AUTO_INCREMENT,\n  `v` int(11) GENERATED ALWAYS AS (`a` * (2 + 1)) VIRTUAL COMMENT 'STORED',\n  `s` int(11) GENERATED ALWAYS AS (concat('x, VIRTUAL',`b`)) STORED,\n  `at` datetime(6) DEFAULT NULL COMMENT 'GENERATED ALWAYS AS (1) VIRTUAL',\n  `STORED` timestamp(6) GENERATED ALWAYS AS ROW START,\n  `col\numn` enum('a,b','it''s (') DEFAULT 'a,b',\n  PRIMARY KEY (`id`),\n  PERIOD FOR SYSTEM_TIME (`STORED`, `e`),\n  CONSTRAINT `c` CHECK (`v` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=77 DEFAULT CHARSET=utf8mb4 COMMENT=' AUTO_INCREMENT=5'";

    #[test]
    fn columns_and_who_computes_them_are_read_whatever_names_and_texts_say() {
        let read: Vec<_> = columns(SQL).into_iter().map(|c| (c.name, c.is_time, c.computed)).collect();
        let want = [
            ("id", false, None),
            ("v", false, Some(Computed::Virtual)),
            ("s", false, Some(Computed::Stored)),
            ("at", true, None),
            ("STORED", true, Some(Computed::RowTime)),
            ("col\numn", false, None),
        ];
        assert_eq!(read, want.map(|(name, is_time, computed)| (name.to_owned(), is_time, computed)));
    }

    #[test]
    fn only_computed_columns_leave_a_digest_and_only_under_its_rule() {
        let names = |capture: Capture| -> Vec<String> {
            let skipped = indexes("INSERT INTO `t` VALUES", &columns(SQL), |column| !column.is_data(capture));
            skipped.into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(names(Capture::default()), [""; 0]);
        let stored = Capture { digest_rule: DigestRule::StoredColumns, ..Capture::default() };
        assert_eq!(names(stored), ["v"]);
        assert_eq!(names(Capture { without_history: true, ..stored }), ["v", "STORED"]);
        let listed = indexes("INSERT INTO `t` (`s`, `v`) VALUES", &columns(SQL), |column| !column.is_data(stored));
        assert_eq!(listed, [(1, "v".to_owned())]);
    }

    #[test]
    fn the_next_id_is_split_off() {
        let (definition, next) = split_next_id(SQL);
        assert_eq!(next, Some(77));
        assert!(definition.contains("ENGINE=InnoDB DEFAULT CHARSET") && definition.contains("' AUTO_INCREMENT=5'"));
        assert_eq!(split_next_id(&definition).1, None);
    }

    #[test]
    fn only_a_character_set_that_the_collation_implies_is_left_out_and_never_in_a_text() {
        let same = |sql: &str| assert_eq!(without_implied_charset(sql, true), sql);
        assert_eq!(
            without_implied_charset("  `a` enum('x','it''s') CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL", true),
            "  `a` enum('x','it''s') COLLATE utf8mb4_bin NOT NULL"
        );
        same("  `it's CHARACTER SET utf8mb4 COLLATE utf8mb4_bin` int,");
        same("  `a` text COLLATE utf8mb4_bin,\n  `b` text CHARACTER SET latin1,");
        same("  `a` text DEFAULT (concat(_utf8mb4'it\\'s CHARACTER SET utf8mb4 COLLATE utf8mb4_bin')),");
        for (one, behind) in [("utf8mb3", " DEFAULT NULL"), ("utf8mb3", ","), ("utf8mb3", "")] {
            let (unsaid, said) = (
                format!("  `a` text CHARACTER SET {one}{behind}"),
                format!("  `a` text CHARACTER SET {one} COLLATE utf8mb3_general_ci{behind}"),
            );
            assert_eq!(without_implied_charset(&unsaid, true), without_implied_charset(&said, true));
            assert_eq!(without_implied_charset(&unsaid, false), unsaid, "manifests of the rule before");
        }
        same("  `a` text CHARACTER SET utf8mb3x DEFAULT NULL");
        same("  `a` text COMMENT 'CHARACTER SET utf8mb3 x',");
        same("  `a` text COMMENT 'it''s CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',");
    }
}
