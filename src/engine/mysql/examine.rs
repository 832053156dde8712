//! Looks at every table and view before the dump client does. The client stops at the first one that it cannot read, and
//! with it the backup of everything else: such a one is left out by name instead, with its definition where the server
//! still has it. Only what the server says of the object itself counts; a lock, a missing privilege or a lost connection
//! would make a backup smaller that could have been whole.

use super::columns::{Column, Computed, columns};
use super::connection::{Refusal, Session};
use super::elsewhere;
use super::examined::Examined;
use super::invoker;
use super::lexer::Client;
use super::names;
use super::programs;
use super::relations::{Relation, relations};
use super::stream;
use super::table_options::{ROWS_ELSEWHERE, storage_engine};
use super::trouble::Tally;
use super::views;
use crate::domain::left_out::LeftOut;
use crate::error::{Error, Result};

/// Why a table is left out whose definition would stop the backup of everything else.
const UNCARRIED: &str = "its definition cannot be stored safely: a server that loads the dump could read a part of it as another \
                         statement; create the table again without comment marks (`/*`, `*/`) in names and attributes";

/// Seconds that a look at one table waits for its lock.
const LONGEST_WAIT: u32 = 600;

/// The server's errors that are about one object, whatever else is asked of it.
const OF_THE_OBJECT: [u16; 36] = [
    126, 127, 130, 134, 144, 145,  // handler errors that MySQL and MariaDB pass on: crashed, wrong format
    1016, // cannot open file
    1017, // cannot find file
    1033, // incorrect information in file
    1034, // incorrect key file
    1035, // old key file
    1064, 4161, // the text that is kept of it is damaged: the question itself is well-formed
    1146, // an underlying table does not exist
    1168, // MERGE over tables that differ
    1194, 1195, // crashed
    1286, // unknown storage engine
    1296, // error from the storage engine: a key is missing, …
    1341, 1342, 1343, 1344, 1602, // a file beside the table, such as that of its triggers, is damaged
    1356, // view references invalid table, column, function or account
    1449, // the definer does not exist
    1457, // a routine that it uses cannot be loaded
    1459, 1707, // the table must be rebuilt
    1548, 1728, 1805, // incorrect table definition
    1812, 1814, // the tablespace is missing or was discarded
    1877, // corrupt
    1932, // the storage engine does not know the table
];
/// Error numbers of the operating system and the storage engine that say the same behind 1030 (`Got error N`).
const OF_THE_ENGINE: [u16; 10] = [126, 127, 130, 134, 144, 145, 155, 168, 192, 194];
/// What a storage engine says when the host is in trouble, not the table: no space, too many open files, no memory.
const OF_THE_HOST: [&str; 5] = ["Errcode: 28", "Errcode: 24", "Errcode: 23", "Errcode: 12", "Errcode: 13"];

/// Look at everything in `databases`.
pub fn examine(session: &mut Session, databases: &[String], maria: bool) -> Result<Examined> {
    session.rows(&format!("SET SESSION lock_wait_timeout = {LONGEST_WAIT}"))?;
    let mut out = Examined::default();
    let client = if maria { Client::MariaDb } else { Client::MySql };
    let mut seen = Seen { client, versions: Versions::default(), tally: Tally::default() };
    for database in databases {
        for relation in relations(session, database)? {
            match relation.kind {
                "view" => view(session, relation, databases, &mut out)?,
                "table" => out.left_out.extend(table(session, relation, &mut seen)?),
                _ => {}
            }
        }
    }
    let Seen { versions, tally, .. } = seen;
    tally.check()?;
    invoker::leave_out_what_uses_the_missing(session, &mut out)?;
    if let Some(first) = versions.by_transaction.first() {
        out.without_history = true;
        out.notes.extend(versions.all.iter().map(|table| {
            format!(
                "table {table}: only its current rows are in the backup, not its history: the dump client cannot \
                 dump any history because table {first} is versioned by transaction (ALTER it to TIMESTAMP columns to have history backed up)"
            )
        }));
    }
    programs::events(session, databases, &mut out)?;
    programs::look(session, databases, &mut out)?;
    programs::names(session, databases, maria, &mut out)?;
    Ok(out)
}

/// What the look at each table adds to, and for whom its definition is printed.
struct Seen {
    client: Client,
    versions: Versions,
    tally: Tally,
}

/// Tables that keep their history.
#[derive(Debug, Default)]
struct Versions {
    all: Vec<String>,
    /// Those whose history says which transaction, not which time.
    by_transaction: Vec<String>,
}

fn view(session: &mut Session, view: Relation, databases: &[String], out: &mut Examined) -> Result<()> {
    let name = path(&view);
    // The two questions that the dump client asks.
    for question in [format!("SHOW CREATE TABLE {name}"), format!("SHOW FIELDS FROM {name}")] {
        let Err(mut refusal) = session.ask(&question)? else { continue };
        let rows = session.ask(&format!("SHOW CREATE VIEW {name}"))?;
        let definition = rows.ok().and_then(|rows| rows.into_iter().next()?.into_iter().nth(1)?);
        if let (views::MAY_NOT_RUN, Some(definition)) = (refusal.number, &definition) {
            // Whether it is whole can be told by asking it, where it reads with the rights of its definer.
            let asked = session.ask(&format!("SELECT 1 FROM {name} LIMIT 0"))?;
            match asked {
                Err(more) if definition.contains(" SQL SECURITY DEFINER VIEW ") && is_of_the_object(&more) => {
                    refusal = more;
                }
                _ => {
                    match invoker::broken(session, &view.database, definition, databases)? {
                        Some(gone) => out.left_out.push(invoker::left_out(&view, &gone.to_string(), definition)),
                        None => out.undescribed.push(view),
                    }
                    return Ok(());
                }
            }
        }
        out.left_out.extend(left_out(view, &refusal, definition)?);
        return Ok(());
    }
    Ok(())
}

fn table(session: &mut Session, table: Relation, seen: &mut Seen) -> Result<Option<LeftOut>> {
    let name = path(&table);
    let definition = match session.ask(&format!("SHOW CREATE TABLE {name}"))? {
        Ok(rows) => rows.into_iter().next().and_then(|row| row.into_iter().nth(1)?).unwrap_or_default(),
        // Dropped since it was listed.
        Err(Refusal { number: 1146, .. }) if !relations(session, &table.database)?.contains(&table) => return Ok(None),
        Err(refusal) => {
            seen.tally.left_out(&name, &refusal);
            return left_out(table, &refusal, None);
        }
    };
    let engine = storage_engine(&definition).unwrap_or_default().to_ascii_lowercase();
    let reason = match engine.as_str() {
        "s3" => Some("the dump client leaves out tables of the storage engine S3"),
        _ => (!stream::can_carry(seen.client, &definition)).then_some(UNCARRIED),
    };
    if let Some(reason) = reason {
        let name = names::qualified(&table.database, &table.name);
        let (kind, reason) = (table.kind.to_owned(), reason.to_owned());
        return Ok(Some(LeftOut { kind, name, reason, definition: Some(definition) }));
    }
    if ROWS_ELSEWHERE.contains(&engine.as_str()) {
        let name = names::qualified(&table.database, &table.name);
        return Ok(elsewhere::lost_rows(&name, &definition).filter(|_| engine == "connect"));
    }
    match session.ask(&format!("SELECT 1 FROM {name} LIMIT 1"))? {
        Ok(_) => {
            seen.tally.readable(&engine, &definition);
            if definition.contains(" WITH SYSTEM VERSIONING") {
                let name = names::qualified(&table.database, &table.name);
                let by_number = |column: &Column| column.computed == Some(Computed::RowTime) && !column.is_time;
                if columns(&definition).iter().any(by_number) {
                    seen.versions.by_transaction.push(name.clone());
                }
                seen.versions.all.push(name);
            }
            Ok(None)
        }
        Err(refusal) => {
            seen.tally.left_out(&name, &refusal);
            left_out(table, &refusal, Some(definition))
        }
    }
}

fn path(relation: &Relation) -> String {
    format!("{}.{}", names::quote(&relation.database), names::quote(&relation.name))
}

/// Leave the object out if that is what the refusal is about.
fn left_out(relation: Relation, refusal: &Refusal, definition: Option<String>) -> Result<Option<LeftOut>> {
    let Relation { kind, database, name } = relation;
    let name = names::qualified(&database, &name);
    if !is_of_the_object(refusal) {
        return Err(Error::failed(format!("cannot look at {kind} {name}: {refusal}")).hint(
            "the dump would stop here: see the server's log, SHOW FULL PROCESSLIST, and /usr/share/doc/backup-sla/docs/mysql-privileges.md",
        ));
    }
    Ok(Some(LeftOut { kind: kind.to_owned(), name, reason: refusal.to_string(), definition }))
}

fn is_of_the_object(refusal: &Refusal) -> bool {
    if OF_THE_HOST.iter().any(|text| refusal.message.contains(text)) {
        return false;
    }
    if refusal.number == 1030 {
        let number = refusal.message.split_once("Got error ").map(|(_, rest)| rest);
        let number = number.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        return number.is_some_and(|number| OF_THE_ENGINE.contains(&number));
    }
    OF_THE_OBJECT.contains(&refusal.number) || elsewhere::is_about_the_other_side(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_the_object_itself_leaves_it_out() {
        let said = |number, message: &str| is_of_the_object(&Refusal { number, message: message.to_owned() });
        assert!(said(1877, "Table d.t is corrupted. Please drop the table and recreate."));
        assert!(said(1477, "The foreign server name you are trying to reference does not exist"));
        assert!(said(1341, "Malformed file type header in file './d/t.TRG'"));
        assert!(said(1356, "View 'd.v' references invalid table(s)"));
        assert!(said(1030, "Got error 194 \"Tablespace is missing for a table\" from storage engine InnoDB"));
        assert!(!said(1030, "Got error 28 \"No space left on device\" from storage engine Aria"));
        assert!(!said(1016, "Can't open file: './d/t.MYI' (Errcode: 24 \"Too many open files\")"));
        assert!(!said(1142, "SELECT command denied to user"));
        assert!(!said(1205, "Lock wait timeout exceeded; try restarting transaction"));
        assert!(!said(1317, "Query execution was interrupted"));
    }
}
