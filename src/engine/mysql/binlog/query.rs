//! Statements of a binary log: what the event says around them, and how they are shown.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::logged::Logged;
use crate::engine::mysql::sql::{Kind, Piece, Quoting, pieces};

/// As much of a statement is looked at.
pub const KEPT: usize = 256 * 1024;
/// As much of it is shown.
const SHOWN: usize = 1000;
/// Bits of `sql_mode`, the same for both products.
const ANSI_QUOTES: u64 = 0x4;
const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

/// Collations of latin1 by their numbers; those of MariaDB that do not pad are 1024 more.
const LATIN1: [u16; 10] = [5, 8, 15, 31, 47, 48, 49, 94, 1032, 1071];
const CODE_PAGE_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The database in use.
    pub database: String,
    /// The statement; none where it is in no character set that can be read.
    pub text: Option<String>,
    /// It goes on.
    pub is_cut: bool,
    /// It failed with this error, and what it had done stays.
    pub error: u16,
    pub quoting: Quoting,
    /// The server keeps names of tables in small letters, however they are written.
    pub folds_names: bool,
}

impl Query {
    /// The body of an event, or its beginning; none where it is none.
    pub fn read(body: &[u8], compressed: bool, mut is_cut: bool) -> Option<Self> {
        let logged = Logged::read(body)?;
        let quoting = quoting(logged.mode().unwrap_or_default());
        let (database, error) = (String::from_utf8_lossy(logged.database).into_owned(), logged.error);
        let mut text = logged.text.to_vec();
        if compressed {
            let (plain, goes_on) = inflate(logged.text)?;
            (text, is_cut) = (plain, goes_on);
        }
        let is_latin = logged.client().is_some_and(|client| LATIN1.contains(&client));
        // A letter may be cut.
        let text = match if is_latin { Ok(latin1(&text)) } else { String::from_utf8(text) } {
            Ok(text) => Some(text),
            Err(error) if is_cut && error.utf8_error().error_len().is_none() => {
                let end = error.utf8_error().valid_up_to();
                String::from_utf8(error.into_bytes()[..end].to_vec()).ok()
            }
            Err(_) => None,
        };
        Some(Self { database, text, is_cut, error, quoting, folds_names: false })
    }

    /// The statement for people: on one line, no longer than a person reads, without passwords.
    pub fn shown(&self) -> String {
        self.text
            .as_deref()
            .map_or_else(|| "a statement in another character set".to_owned(), |text| shown(text, self.quoting))
    }
}

/// The beginning of a statement that MariaDB compressed, and whether it goes on.
fn inflate(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    // How many bytes say how long it is.
    let length = usize::from(bytes.first()? & 7);
    let mut text = Vec::new();
    let packed = bytes.get(1 + length..)?;
    // What is cut off here ends in an error behind what can be read.
    let ended = ZlibDecoder::new(packed).take(KEPT as u64 + 1).read_to_end(&mut text);
    let is_cut = ended.is_err() || text.len() > KEPT;
    text.truncate(KEPT);
    Some((text, is_cut))
}

/// How the session quoted.
fn quoting(mode: u64) -> Quoting {
    Quoting { ansi: mode & ANSI_QUOTES != 0, plain_backslash: mode & NO_BACKSLASH_ESCAPES != 0 }
}

/// What the servers call latin1 is the code page 1252, with control characters where that has nothing.
fn latin1(bytes: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        0x80..=0x9f => CODE_PAGE_1252[usize::from(byte - 0x80)],
        byte => char::from(*byte),
    };
    bytes.iter().map(letter).collect()
}

/// Statements with one of these may have a secret in any of their texts: accounts and replicas, servers and tables elsewhere (FEDERATED,
/// CONNECT, SPIDER, of which the last has it in a comment), keys.
const OF_SECRETS: [&str; 13] = [
    "identified",
    "passw",
    "pwd",
    "secret",
    "connect",
    "://",
    "option_list",
    "wrapper",
    "federated",
    "spider",
    "srv",
    "crypt",
    "options",
];

fn shown(text: &str, quoting: Quoting) -> String {
    let beginning = &text[..text.floor_char_boundary(SHOWN)];
    let mut out = String::new();
    let mut end = 0;
    let lower = text.to_ascii_lowercase();
    let has_secret = OF_SECRETS.iter().any(|word| lower.contains(word));
    // Names in double quotes are texts here, too: rather one too many is hidden.
    let all = pieces(text, Quoting { ansi: false, ..quoting });
    for (at, piece) in all.iter().enumerate() {
        if out.len() >= SHOWN {
            break;
        }
        if piece.start > end && !out.is_empty() {
            out.push(' ');
        }
        end = piece.end();
        let is_of_account = |other: Option<&Piece<'_>>| other.is_some_and(|other| other.is_mark("@"));
        let is_secret = match piece.kind {
            Kind::Text => {
                !is_of_account(all.get(at + 1)) && !is_of_account(at.checked_sub(1).and_then(|before| all.get(before)))
            }
            Kind::Comment | Kind::Open => true,
            Kind::Word => piece.text.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("0x")),
            Kind::Name | Kind::Mark => false,
        };
        match piece.kind {
            Kind::Comment if has_secret => out.push_str("/* … */"),
            _ if has_secret && is_secret => out.push_str("'***'"),
            _ => out.extend(piece.text.chars().map(|c| if c.is_control() { ' ' } else { c })),
        }
    }
    if out.len() > SHOWN || beginning.len() < text.len() {
        out.truncate(out.floor_char_boundary(SHOWN));
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn body(mode: u64, database: &str, text: &[u8]) -> Vec<u8> {
        let mut status = vec![0, 0, 0, 0, 0, 1];
        status.extend(mode.to_le_bytes());
        status.extend([6, 3, b's', b't', b'd']);
        let mut out = vec![1, 0, 0, 0, 2, 0, 0, 0, u8::try_from(database.len()).unwrap(), 7, 0];
        out.extend(u16::try_from(status.len()).unwrap().to_le_bytes());
        out.extend(status);
        out.extend(database.as_bytes());
        out.push(0);
        out.extend(text);
        out
    }

    #[test]
    fn a_statement_is_read_with_its_database_mode_and_error() {
        let query = Query::read(&body(0, "app", b"DROP TABLE t"), false, false).unwrap();
        assert_eq!((query.database.as_str(), query.text.as_deref(), query.error), ("app", Some("DROP TABLE t"), 7));
        assert_eq!((query.quoting, query.is_cut), (Quoting::default(), false));
        let modes = Query::read(&body(ANSI_QUOTES | NO_BACKSLASH_ESCAPES, "", b"x"), false, false).unwrap();
        assert_eq!(modes.quoting, Quoting { ansi: true, plain_backslash: true });
        let head = body(0, "app", b"");
        for end in 0..head.len() {
            assert_eq!(Query::read(&head[..end], false, false), None, "{end}");
        }
        assert_eq!(quoting(0), Quoting::default());
    }

    #[test]
    fn a_statement_in_latin1_is_read_in_its_letters() {
        let mut latin = body(0, "", b"DROP TABLE gr\xf6\xdfe\x80");
        let status = [4, 8, 0, 8, 0, 8, 0];
        latin[11] += u8::try_from(status.len()).unwrap();
        let at = latin.len() - b"\0DROP TABLE gr\xf6\xdfe\x80".len();
        latin.splice(at..at, status);
        let query = Query::read(&latin, false, false).unwrap();
        assert_eq!(query.text.as_deref(), Some("DROP TABLE größe€"));
        // Bytes that would be a letter of UTF-8 are two of latin1.
        latin.extend(b" \xc3\xa4");
        assert_eq!(Query::read(&latin, false, false).unwrap().text.as_deref(), Some("DROP TABLE größe€ Ã¤"));
        for other in [7, 9, 33, 1033] {
            let mut other_set = latin.clone();
            other_set[at + 1..at + 3].copy_from_slice(&u16::to_le_bytes(other));
            assert_eq!(Query::read(&other_set, false, false).unwrap().text, None, "{other}");
        }
    }

    #[test]
    fn a_statement_in_another_character_set_is_none_and_a_cut_letter_is_left_out() {
        let latin = Query::read(&body(0, "", b"DROP TABLE \xe4"), false, false).unwrap();
        assert_eq!(latin.text, None);
        assert_eq!(latin.shown(), "a statement in another character set");
        let cut = Query::read(&body(0, "", b"DROP TABLE \xc3"), false, true).unwrap();
        assert_eq!((cut.text.as_deref(), cut.is_cut), (Some("DROP TABLE "), true));
        assert_eq!(Query::read(&body(0, "", b"\xc3"), false, false).unwrap().text, None);
        assert_eq!(Query::read(&body(0, "", b"\xe4 x"), false, true).unwrap().text, None);
    }

    #[test]
    fn a_compressed_statement_is_unpacked_and_never_more_of_it_than_is_looked_at() {
        let packed = |text: &[u8]| {
            let mut encoder = flate2::write::ZlibEncoder::new(vec![0x82, 0, 0], flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let query = Query::read(&body(0, "", &packed(b"TRUNCATE t")), true, false).unwrap();
        assert_eq!((query.text.as_deref(), query.is_cut), (Some("TRUNCATE t"), false));
        let long = vec![b'x'; KEPT + 1];
        let query = Query::read(&body(0, "", &packed(&long)), true, false).unwrap();
        assert_eq!((query.text.unwrap().len(), query.is_cut), (KEPT, true));
        let query = Query::read(&body(0, "", &packed(&long[..KEPT])), true, false).unwrap();
        assert_eq!((query.text.unwrap().len(), query.is_cut), (KEPT, false));
        let cut = packed(b"TRUNCATE t");
        assert!(Query::read(&body(0, "", &cut[..cut.len() - 6]), true, true).unwrap().is_cut);
    }

    #[test]
    fn passwords_are_not_shown() {
        let plain = Quoting::default();
        for (sql, want) in [
            ("CREATE USER 'u'@'%' IDENTIFIED BY 'x\\'y'", "CREATE USER 'u'@'%' IDENTIFIED BY '***'"),
            ("create user u identified with p as 0xABCD", "create user u identified with p as '***'"),
            ("ALTER USER a@b IDENTIFIED WITH p USING \"x\"", "ALTER USER a@b IDENTIFIED WITH p USING '***'"),
            ("SET PASSWORD FOR 'u'@'h' = PASSWORD('x')", "SET PASSWORD FOR 'u'@'h' = PASSWORD('***')"),
            ("SET PASSWORD='x'", "SET PASSWORD='***'"),
            (
                "CHANGE MASTER TO MASTER_PASSWORD = 'x', MASTER_HOST='h'",
                "CHANGE MASTER TO MASTER_PASSWORD = '***', MASTER_HOST='***'",
            ),
            (
                "CREATE SERVER s OPTIONS (USER 'u', PASSWORD 'p')",
                "CREATE SERVER s OPTIONS (USER '***', PASSWORD '***')",
            ),
            (
                "CREATE TABLE f (a INT) ENGINE=FEDERATED connection='mysql://remote:hunter2@h/d/t'",
                "CREATE TABLE f (a INT) ENGINE=FEDERATED connection='***'",
            ),
            ("ALTER TABLE f COMMENT 'see mysql://u:hunter2@h/d'", "ALTER TABLE f COMMENT '***'"),
            ("ALTER TABLE f CONNECTION = \"s hunter2\"", "ALTER TABLE f CONNECTION = '***'"),
            (
                "CREATE TABLE c ENGINE=CONNECT table_type=MYSQL option_list='user=u,host=hunter2'",
                "CREATE TABLE c ENGINE=CONNECT table_type=MYSQL option_list='***'",
            ),
            ("ALTER TABLE s ENGINE=SPIDER COMMENT='user \"u\", hunter2'", "ALTER TABLE s ENGINE=SPIDER COMMENT='***'"),
            ("ALTER TABLE s COMMENT 'srv \"a\", pwd \"hunter2\"'", "ALTER TABLE s COMMENT '***'"),
            (
                "ALTER TABLE s ADD PARTITION (PARTITION p COMMENT = 'pwd \"hunter2\"')",
                "ALTER TABLE s ADD PARTITION (PARTITION p COMMENT = '***')",
            ),
            (
                "create server s foreign data wrapper mysql options (host 'h', owner 'hunter2')",
                "create server s foreign data wrapper mysql options (host '***', owner '***')",
            ),
            ("ALTER SERVER s OPTIONS (USER 'hunter2')", "ALTER SERVER s OPTIONS (USER '***')"),
            (
                "CREATE VIEW v AS SELECT AES_DECRYPT(a, 'hunter2') FROM t",
                "CREATE VIEW v AS SELECT AES_DECRYPT(a, '***') FROM t",
            ),
            ("CREATE USER u /*!50000 IDENTIFIED BY 'x' */", "CREATE USER u /* … */"),
            ("CREATE USER u IDENTIFIED BY 'x", "CREATE USER u IDENTIFIED BY '***'"),
            ("ALTER TABLE t\n  COMMENT 'c'  /* x */", "ALTER TABLE t COMMENT 'c' /* x */"),
            ("CREATE VIEW v AS SELECT 'a\nb'", "CREATE VIEW v AS SELECT 'a b'"),
        ] {
            assert_eq!(shown(sql, plain), want, "{sql}");
        }
        let sql = "ALTER USER u IDENTIFIED BY 'a\\' COMMENT 'b'";
        assert_eq!(
            shown(sql, Quoting { plain_backslash: true, ansi: true }),
            "ALTER USER u IDENTIFIED BY '***' COMMENT '***'"
        );
    }

    #[test]
    fn no_more_of_a_statement_is_shown_than_a_person_reads() {
        let long = format!("SELECT {}", "é".repeat(2000));
        let found = shown(&long, Quoting::default());
        assert!(found.ends_with("é…") && found.len() <= SHOWN + 3 && found.len() > SHOWN - 3, "{}", found.len());
        // The password stands behind what is shown of the rest.
        let late = format!("SELECT '{}', PASSWORD('x')", "y".repeat(2000));
        assert!(!shown(&late, Quoting::default()).contains('y'));
        assert_eq!(shown("SELECT 1", Quoting::default()), "SELECT 1");
    }
}
