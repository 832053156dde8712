//! Tables that keep their files in a directory of their own: whether the destination can make them there. Another server may
//! keep files of the same names in the same directory, and only the destination's server can tell.

use std::collections::BTreeSet;

use super::connection::{Refusal, Session};
use super::names;
use crate::error::{Error, Result};

/// Make each of `tables` (database, name, definition) as it will be, and drop it again. Those that are there already will be
/// replaced, and their files with them.
pub fn files_are_free(session: &mut Session, tables: &[(String, String, String)]) -> Result<()> {
    let present: BTreeSet<String> = session.column("SHOW DATABASES")?.into_iter().collect();
    let made: BTreeSet<&String> =
        tables.iter().map(|(database, ..)| database).filter(|one| !present.contains(*one)).collect();
    session.rows("SET SESSION foreign_key_checks = 0")?;
    for database in &made {
        session.rows(&format!("CREATE DATABASE {}", names::quote(database)))?;
    }
    let outcome = tables.iter().try_for_each(|table| try_out(session, table));
    for database in &made {
        session.rows(&format!("DROP DATABASE {}", names::quote(database)))?;
    }
    session.rows("SET SESSION foreign_key_checks = DEFAULT")?;
    outcome
}

fn try_out(session: &mut Session, (database, table, definition): &(String, String, String)) -> Result<()> {
    let path = format!("{}.{}", names::quote(database), names::quote(table));
    let exists = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        names::quote_text(database),
        names::quote_text(table)
    );
    if session.value(&exists)?.is_some() {
        return Ok(());
    }
    session.rows(&format!("USE {}", names::quote(database)))?;
    match session.ask(definition)? {
        Ok(_) => session.rows(&format!("DROP TABLE {path}")).map(drop),
        Err(refusal) if is_taken(&refusal) => {
            let shown = names::qualified(database, table);
            Err(Error::failed(format!(
                "cannot restore table {shown}: files of that name are already in its DATA DIRECTORY: {refusal}"
            ))
            .hint(format!(
                "another server keeps its own {shown} there, or left it behind: restore on another host, or move those files \
                 away if no server uses them"
            )))
        }
        // Anything else is for the load to say, which makes the table in the session that the dump asks for.
        Err(_) => Ok(()),
    }
}

/// Whether a table could not be made because its files are there.
fn is_taken(refusal: &Refusal) -> bool {
    const TABLESPACE_EXISTS: u16 = 1813;
    const FILE_EXISTS: u16 = 1086;
    let words = ["errno: 184", "Errcode: 17", "errno: 17 "];
    matches!(refusal.number, TABLESPACE_EXISTS | FILE_EXISTS) || words.iter().any(|word| refusal.message.contains(word))
}
