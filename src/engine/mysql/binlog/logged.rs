//! A statement as a log has it, in its own bytes, and the settings of the session that ran it.

use std::fmt::Write as _;

use crate::engine::mysql::names;
use crate::error::{Error, Result};

/// Bits of the session's options, by the variable that sets them; of some the bit means OFF.
const OPTIONS: [(u32, &str, bool); 4] = [
    (1 << 14, "sql_auto_is_null", true),
    (1 << 19, "autocommit", false),
    (1 << 26, "foreign_key_checks", false),
    (1 << 27, "unique_checks", false),
];
/// The same of MariaDB alone.
const MARIADB_OPTIONS: [(u32, &str, bool); 4] = [
    (1 << 23, "check_constraint_checks", false),
    (1 << 24, "explicit_defaults_for_timestamp", true),
    (1 << 28, "sql_if_exists", true),
    (1 << 30, "system_versioning_insert_history", true),
];

/// A statement as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged<'e> {
    /// Database in use; empty where there was none.
    pub database: &'e [u8],
    pub text: &'e [u8],
    /// Number of the session that ran it: temporary tables are its own.
    pub thread: u32,
    /// How it ended at the source; 0 where it succeeded.
    pub error: u16,
    variables: &'e [u8],
}

impl<'e> Logged<'e> {
    /// Read the body of its event.
    pub fn read(body: &'e [u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(*body.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_le_bytes(*body.get(at..)?.first_chunk()?));
        let (thread, database, error, variables) =
            (word(0)?, usize::from(*body.get(8)?), half(9)?, usize::from(half(11)?));
        let rest = body.get(13..)?;
        let (variables, rest) = rest.split_at_checked(variables)?;
        let (database, rest) = rest.split_at_checked(database)?;
        Some(Self { database, text: rest.get(1..)?, thread, error, variables })
    }

    /// The session's `sql_mode`, where it is said.
    pub fn mode(&self) -> Option<u64> {
        self.modes().0
    }

    /// The number of a collation of the character set in which the statement is written, where it is said.
    pub fn client(&self) -> Option<u16> {
        self.modes().1
    }

    /// Both stand at the beginning.
    fn modes(&self) -> (Option<u64>, Option<u16>) {
        let (mut rest, mut mode) = (Rest(self.variables), None);
        while let Some(code) = rest.byte() {
            let passed = match code {
                0 | 3 => rest.word().map(drop),
                1 => rest.long().map(|said| mode = Some(said)),
                4 => return (mode, rest.half()),
                6 => rest.text().map(drop),
                _ => None,
            };
            if passed.is_none() {
                break;
            }
        }
        (mode, None)
    }

    /// Statements that make a session what the statement's was. `micros`: when it ran, in microseconds since 1970.
    pub fn settings(&self, maria: bool, timestamp: u32) -> Result<String> {
        let unknown = |code: u8| Error::failed(format!("a statement has a setting of the unknown kind {code}"));
        let mut rest = Rest(self.variables);
        let mut set = format!("SET SESSION pseudo_thread_id = {}", self.thread);
        let mut micros = 0;
        // What is not said is as it is by default.
        let (mut zone, mut increment) = ("SYSTEM".to_owned(), (1, 1));
        while let Some(code) = rest.byte() {
            let known = match code {
                0 => rest.word().map(|flags| options(&mut set, flags, maria)),
                1 => rest.long().map(|mode| add(&mut set, "sql_mode", mode)),
                3 => rest.pair().map(|pair| increment = pair),
                4 => rest.pair().zip(rest.half()).map(|((client, connection), server)| {
                    add(&mut set, "character_set_client", client);
                    add(&mut set, "collation_connection", connection);
                    add(&mut set, "collation_server", server);
                }),
                5 => rest.text().map(|text| zone = String::from_utf8_lossy(text).into_owned()),
                6 => rest.text().map(drop),
                7 => rest.half().map(|locale| add(&mut set, "lc_time_names", locale)),
                // The database's own, which USE has set already.
                8 => rest.half().map(drop),
                9 | 17 | 129 => rest.long().map(drop),
                10 => rest.word().map(drop),
                11 => rest.text().and_then(|_| rest.text()).map(drop),
                12 => rest.names(),
                13 | 128 => rest.bytes(3).map(|bytes| {
                    micros = u32::from(bytes[0]) | u32::from(bytes[1]) << 8 | u32::from(bytes[2]) << 16;
                }),
                16 => rest.byte().map(|value| add(&mut set, "explicit_defaults_for_timestamp", value)),
                18 => rest.half().map(|collation| add(&mut set, "default_collation_for_utf8mb4", collation)),
                19 => rest.byte().map(|value| add(&mut set, "sql_require_primary_key", value)),
                20 => rest.byte().map(|value| add(&mut set, "default_table_encryption", value)),
                // MySQL from 9.6 on: who looks after foreign keys there. Whoever does it here does the same.
                21 => rest.byte().map(drop),
                // The phase of an ALTER TABLE of MariaDB; the later ones name the first.
                130 => rest.byte().and_then(|phase| if phase & 0x0c == 0 { Some(()) } else { rest.long().map(drop) }),
                code => return Err(unknown(code)),
            };
            known.ok_or_else(|| Error::failed("the settings of a statement are cut off"))?;
        }
        add(&mut set, "auto_increment_increment", increment.0);
        add(&mut set, "auto_increment_offset", increment.1);
        let _ = write!(set, ", timestamp = {timestamp}.{micros:06}, time_zone = {}", names::quote_text(&zone));
        Ok(set)
    }
}

fn add(set: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = write!(set, ", {name} = {value}");
}

fn options(set: &mut String, flags: u32, maria: bool) {
    let of_maria = if maria { &MARIADB_OPTIONS[..] } else { &[] };
    for (bit, name, means_on) in OPTIONS.iter().chain(of_maria) {
        add(set, name, u8::from((flags & bit != 0) == *means_on));
    }
}

/// What is left to read.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn bytes(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn half(&mut self) -> Option<u16> {
        self.bytes(2)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn pair(&mut self) -> Option<(u16, u16)> {
        Some((self.half()?, self.half()?))
    }

    fn word(&mut self) -> Option<u32> {
        self.bytes(4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn long(&mut self) -> Option<u64> {
        self.bytes(8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// With its length in front.
    fn text(&mut self) -> Option<&'b [u8]> {
        let length = self.byte()?;
        self.bytes(usize::from(length))
    }

    /// A count and as many names, each with a zero behind; 254 where there were too many to name.
    fn names(&mut self) -> Option<()> {
        let count = self.byte()?;
        for _ in 0..if count == 254 { 0 } else { count } {
            while self.byte()? != 0 {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    fn body(variables: &str, database: &str, text: &str) -> Vec<u8> {
        let variables = bytes(variables);
        let mut body = vec![7, 0, 0, 0, 0, 0, 0, 0, u8::try_from(database.len()).unwrap(), 0x1b, 4];
        body.extend(u16::try_from(variables.len()).unwrap().to_le_bytes());
        body.extend(variables);
        body.extend(database.as_bytes());
        body.push(0);
        body.extend(text.as_bytes());
        body
    }

    #[test]
    fn a_statement_of_mariadb_is_read_with_the_settings_of_its_session() {
        let session = "000000000d010000205400000000060373746404210021000800";
        let body = body(&format!("{session}05062b30323a303080baa003"), "d", "insert");
        let query = Logged::read(&body).unwrap();
        assert_eq!((query.database, query.text, query.thread, query.error), (&b"d"[..], &b"insert"[..], 7, 1051));
        assert_eq!((query.mode(), query.client()), (Some(1_411_383_296), Some(33)));
        let want = "SET SESSION pseudo_thread_id = 7, sql_auto_is_null = 0, autocommit = 1, foreign_key_checks = 0, \
                    unique_checks = 0, check_constraint_checks = 1, explicit_defaults_for_timestamp = 1, sql_if_exists = 0, \
                    system_versioning_insert_history = 0, sql_mode = 1411383296, character_set_client = 33, \
                    collation_connection = 33, collation_server = 8, auto_increment_increment = 1, auto_increment_offset = 1, \
                    timestamp = 1795757951.237754, time_zone = '+02:00'";
        assert_eq!(query.settings(true, 1_795_757_951).unwrap(), want);
    }

    #[test]
    fn a_statement_of_mysql_is_read_and_what_is_not_known_is_refused() {
        let known = "0000000000012000a04500000000060373746404ff00ff00ff000c01640011170000000000000012ff001300";
        let body_of = |variables: &str| body(variables, "d", "create");
        let settings = |body: &[u8]| Logged::read(body).unwrap().settings(false, 5);
        let set = settings(&body_of(known)).unwrap();
        assert!(set.contains("collation_server = 255") && set.contains("default_collation_for_utf8mb4 = 255"), "{set}");
        assert!(set.contains("sql_require_primary_key = 0") && set.contains("timestamp = 5.000000"), "{set}");
        assert!(!set.contains("check_constraint_checks"), "{set}");
        // MySQL 9.7, of an INSERT.
        let rows = "0000000004012000a04500000000060373746404ff00ff00ff000c01640012ff001500";
        assert!(settings(&body_of(rows)).unwrap().contains("foreign_key_checks = 0"));
        let modes = |variables: &str| {
            let body = body_of(variables);
            let query = Logged::read(&body).unwrap();
            (query.mode(), query.client())
        };
        assert_eq!(modes(known), (Some(1_168_113_696), Some(255)));
        assert_eq!(modes("0000000000"), (None, None));
        assert_eq!(modes("010100000000000000"), (Some(1), None));
        assert_eq!(modes("0403000800080001"), (None, Some(3)));
        assert_eq!((modes("0000"), modes("09"), modes("0104")), ((None, None), (None, None), (None, None)));
        assert!(settings(&body_of(&format!("{known}40"))).unwrap_err().to_string().contains("unknown kind 64"));
        for cut in (2..known.len()).step_by(2) {
            // Never read beyond what is there: cut between two of them is whole.
            let _ = settings(&body_of(&known[..cut]));
        }
        assert!(settings(&body_of(&known[..known.len() - 2])).is_err());
        let whole = body_of(known);
        for cut in 0..whole.len() - "create".len() {
            assert_eq!(Logged::read(&whole[..cut]), None, "{cut}");
        }
    }
}
