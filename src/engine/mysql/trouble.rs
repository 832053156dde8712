//! One table that cannot be read is left out of a backup. If none of its kind can be read, the server is in trouble, and a
//! backup without all of them would be called good.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::Refusal;
use crate::error::{Error, Result};

/// Tables whose key the server does not have, of whatever engine.
const ENCRYPTED: &str = "encrypted";
const INNODB: &str = "innodb";

/// Which kinds of tables can be read, and which tables cannot.
#[derive(Debug, Default)]
pub struct Tally {
    readable: BTreeSet<String>,
    /// Name and reason of each, by kind.
    unreadable: BTreeMap<String, Vec<String>>,
}

impl Tally {
    /// A table that can be read; `engine` in small letters.
    pub fn readable(&mut self, engine: &str, definition: &str) {
        self.readable.insert(engine.to_owned());
        if definition.contains("`ENCRYPTED`=YES") || definition.contains("ENCRYPTION='Y'") {
            self.readable.insert(ENCRYPTED.to_owned());
        }
    }

    /// A table that will be left out.
    pub fn left_out(&mut self, name: &str, refusal: &Refusal) {
        if let Some(kind) = kind(refusal) {
            self.unreadable.entry(kind).or_default().push(format!("{name}: {refusal}"));
        }
    }

    /// An error if all tables of a kind would be left out. A single one of a rare kind may well be a leftover.
    pub fn check(&self) -> Result<()> {
        for (kind, tables) in &self.unreadable {
            let is_trouble = tables.len() > 1 || kind == INNODB;
            if let (true, false, Some(first)) = (is_trouble, self.readable.contains(kind), tables.first()) {
                return Err(Error::failed(format!(
                    "cannot read any of the {} {kind} table(s) of this server: {first}",
                    tables.len()
                ))
                .hint("see the server's log: a storage engine or an encryption key may not be loaded; if the tables are really lost, drop them"));
            }
        }
        Ok(())
    }
}

/// The kind of table that a refusal may be about as a whole.
fn kind(refusal: &Refusal) -> Option<String> {
    let message = &refusal.message;
    match refusal.number {
        // Unknown storage engine 'X'
        1286 => message.split('\'').nth(1).map(str::to_lowercase),
        1030 | 1296 if message.contains("ncrypt") => Some(ENCRYPTED.to_owned()),
        // Got error N '…' from X
        1296 => message.rsplit_once(" from ").map(|(_, engine)| engine.trim_matches('`').to_lowercase()),
        // The table is corrupt; its tablespace is missing; InnoDB does not know it.
        1812 | 1877 | 1932 => Some(INNODB.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(refusals: &[(u16, &str)]) -> Tally {
        let mut tally = Tally::default();
        for (number, message) in refusals {
            tally.left_out("d.t", &Refusal { number: *number, message: (*message).to_owned() });
        }
        tally
    }

    #[test]
    fn a_backup_without_any_table_of_an_engine_is_refused() {
        let corrupt = (1877, "Table d.t is corrupted. Please drop the table and recreate.");
        let mut all = tally(&[corrupt]);
        assert!(all.check().unwrap_err().to_string().contains("cannot read any of the 1 innodb table(s)"));
        all.readable(INNODB, "");
        all.check().unwrap();
        let lost = (1286, "Unknown storage engine 'ROCKSDB'");
        tally(&[lost]).check().unwrap();
        tally(&[lost, lost]).check().unwrap_err();
        tally(&[(1296, "Got error 155 'x' from ROCKSDB"), lost]).check().unwrap_err();
    }

    #[test]
    fn a_lost_key_is_told_from_one_table_that_is_damaged() {
        let keyless = (
            1296,
            "Got error 192 'Table encrypted but decryption failed. This could be because correct encryption management plugin is not loaded, used encryption key is not available or encryption method does not match.' from InnoDB",
        );
        let mut all = tally(&[keyless, keyless]);
        all.readable(INNODB, "CREATE TABLE `plain` (a int) ENGINE=InnoDB");
        all.check().unwrap_err();
        all.readable(INNODB, "CREATE TABLE `other` (a int) ENGINE=InnoDB `ENCRYPTED`=YES");
        all.check().unwrap();
        tally(&[(1356, "View 'd.v' references invalid table(s)")]).check().unwrap();
    }
}
