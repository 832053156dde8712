//! Events, triggers and routines: what the server has of them, what it does not show, and what its own dump cannot carry.

use std::collections::BTreeMap;

use super::connection::{Refusal, Session};
use super::event_zones;
use super::examined::Examined;
use super::names;
use super::triggers;
use crate::domain::left_out::LeftOut;
use crate::error::{Error, Result};

/// The event scheduler was turned off at the start: the server answers no question about events.
const SCHEDULER_DISABLED: u16 = 1577;
/// Dropped since it was listed.
pub const GONE: [u16; 3] = [1305, 1360, 1539];
/// The account may not see it.
const DENIED: [u16; 6] = [1044, 1045, 1142, 1143, 1227, 1370];
/// The session, the host or the server is in trouble, not the program.
const TROUBLE: [u16; 18] =
    [1021, 1037, 1038, 1040, 1041, 1053, 1135, 1158, 1159, 1160, 1161, 1205, 1213, 1317, 1548, 1927, 1969, 3024];

/// A routine, trigger or event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// `procedure`, `function`, `package`, `package body`, `trigger`, `event`.
    pub kind: String,
    /// Unquoted.
    pub name: String,
    /// Table of a trigger, unquoted; empty for others.
    pub table: String,
}

/// Whether the server shows its events; where it does not, they are left out by name.
pub fn events(session: &mut Session, databases: &[String], out: &mut Examined) -> Result<()> {
    let refusal = match session.ask("SELECT COUNT(*) FROM information_schema.EVENTS")? {
        Err(refusal) if refusal.number == SCHEDULER_DISABLED => refusal,
        _ => return Ok(()),
    };
    out.without_events = true;
    let reason =
        format!("{refusal}; start the server with event_scheduler=OFF, which runs no event and shows all of them");
    let listed = databases.iter().map(|name| names::quote_text(name)).collect::<Vec<_>>().join(", ");
    let stored = format!("SELECT db, name, body FROM mysql.event WHERE db IN ({listed}) ORDER BY db, name");
    match session.ask(&stored)? {
        Ok(rows) => out.left_out.extend(rows.into_iter().map(|row| {
            let text = |at: usize| row.get(at).cloned().flatten();
            let name = names::qualified(&text(0).unwrap_or_default(), &text(1).unwrap_or_default());
            LeftOut { kind: "event".to_owned(), name, reason: reason.clone(), definition: text(2) }
        })),
        // Nobody can tell whether there are any: that is no reason to call the backup complete.
        Err(refusal) => out.left_out.push(LeftOut {
            kind: "event".to_owned(),
            name: names::qualified("*", "*"),
            reason: format!("{reason}; or let the backup's account read `mysql.event` ({refusal})"),
            definition: None,
        }),
    }
    Ok(())
}

/// Name and character set of every event of `database`. MariaDB answers nothing about any of them if a single one is
/// damaged: then its table is asked.
pub fn events_of(session: &mut Session, database: &str) -> Result<Vec<(String, String)>> {
    let schema = names::quote_text(database);
    let shown = format!(
        "SELECT EVENT_NAME, CHARACTER_SET_CLIENT FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema} ORDER BY 1"
    );
    let rows = match session.ask(&shown)? {
        Ok(rows) => rows,
        Err(refusal) if refusal.number == SCHEDULER_DISABLED => Vec::new(),
        Err(refusal) => {
            let stored = format!("SELECT name, character_set_client FROM mysql.event WHERE db = {schema} ORDER BY 1");
            session
                .ask(&stored)?
                .map_err(|_| Error::failed(format!("cannot list events of database {database}: {refusal}")))?
        }
    };
    let pair = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        (row.next().unwrap_or_default(), row.next().unwrap_or_default())
    };
    Ok(rows.into_iter().map(pair).collect())
}

/// Every program of `database`: packages before their bodies, triggers in the order in which they run.
pub fn of(session: &mut Session, database: &str, events: bool) -> Result<Vec<Program>> {
    let schema = names::quote_text(database);
    let questions = [
        format!(
            "SELECT LOWER(ROUTINE_TYPE), ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} \
             ORDER BY 1, 2"
        ),
        format!(
            "SELECT 'trigger', TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {schema} \
             ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER"
        ),
    ];
    let mut out = Vec::new();
    for question in questions {
        for row in session.rows(&question)? {
            let mut row = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || row.next().unwrap_or_default();
            out.push(Program { kind: next(), name: next(), table: next() });
        }
    }
    if events {
        let event = |(name, _)| Program { kind: "event".to_owned(), name, table: String::new() };
        out.extend(events_of(session, database)?.into_iter().map(event));
    }
    Ok(out)
}

/// Libraries of MySQL 9, which no other list has and the client prints beside routines.
pub fn libraries(session: &mut Session, database: &str) -> Result<Vec<Program>> {
    let schema = names::quote_text(database);
    let question =
        format!("SELECT LIBRARY_NAME FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = {schema} ORDER BY 1");
    let rows = session.ask(&question)?.unwrap_or_default();
    let library = |name| Program { kind: "library".to_owned(), name, table: String::new() };
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?.map(library)).collect())
}

/// The question that the dump client asks about a program.
pub fn show_create(database: &str, program: &Program) -> String {
    let kind = program.kind.to_uppercase();
    format!("SHOW CREATE {kind} {}.{}", names::quote(database), names::quote(&program.name))
}

/// Column of the answer that holds the statement.
pub fn statement_at(kind: &str) -> usize {
    if kind == "event" { 3 } else { 2 }
}

/// What it means that a program cannot be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Gone,
    Denied,
    Trouble,
    Damaged,
}

fn meaning(refusal: &Refusal) -> Meaning {
    let is_in = |list: &[u16]| list.contains(&refusal.number);
    if is_in(&GONE) {
        Meaning::Gone
    } else if is_in(&DENIED) {
        Meaning::Denied
    } else if is_in(&TROUBLE) {
        Meaning::Trouble
    } else {
        Meaning::Damaged
    }
}

/// How many of one kind can be printed, and which not.
#[derive(Debug, Default)]
struct Shown {
    readable: usize,
    denied: Vec<(Program, Refusal)>,
    damaged: Vec<(Program, Refusal)>,
}

impl Shown {
    /// An error if what cannot be printed says something about the account or the server, and not about single programs.
    fn check(&self, kind: &str, database: &str) -> Result<()> {
        let count = self.denied.len();
        if let (Some((first, refusal)), 0) = (self.denied.first(), self.readable) {
            let name = names::qualified(database, &first.name);
            return Err(Error::failed(format!(
                "cannot read any {kind} of database {database}: {refusal} (all {count} are refused, the first is {name})"
            ))
            .hint("give the backup account the privileges of /usr/share/doc/backup-sla/docs/mysql-privileges.md"));
        }
        Ok(())
    }
}

/// Every program must be printable: the client stops at one that is not. Such a one is left out by name, and those of its
/// kind are printed without the client ([`super::supplement`]).
pub fn look(session: &mut Session, databases: &[String], out: &mut Examined) -> Result<()> {
    for database in databases {
        let mut kinds: BTreeMap<String, Shown> = BTreeMap::new();
        let unparsable = triggers::unparsable(session, database)?;
        for program in of(session, database, !out.without_events)? {
            let table = names::qualified(database, &program.table);
            if program.kind == "trigger" && out.left_out.iter().any(|one| one.kind == "table" && one.name == table) {
                continue;
            }
            let shown = kinds.entry(program.kind.clone()).or_default();
            let is_unparsable = program.kind == "trigger" && unparsable.contains(&program.name);
            let Err(refusal) = printed(session, database, &program)? else {
                shown.readable += 1;
                if is_unparsable {
                    shown.damaged.push((program, triggers::refusal()));
                }
                continue;
            };
            match meaning(&refusal) {
                Meaning::Gone => {}
                Meaning::Denied => shown.denied.push((program, refusal)),
                Meaning::Damaged => shown.damaged.push((program, refusal)),
                Meaning::Trouble => {
                    let (kind, name) = (&program.kind, names::qualified(database, &program.name));
                    return Err(Error::failed(format!("cannot look at {kind} {name}: {refusal}"))
                        .hint("the dump would stop here: see the server's log and SHOW FULL PROCESSLIST"));
                }
            }
        }
        for (kind, shown) in kinds {
            shown.check(&kind, database)?;
            for (program, refusal) in shown.denied.into_iter().chain(shown.damaged) {
                let reason = match program.kind.as_str() {
                    "event" => event_zones::reason(session, database, &program.name, &refusal)?,
                    _ => refusal.to_string(),
                };
                leave_out(session, database, &program, &reason, out)?;
            }
        }
    }
    Ok(())
}

fn printed(session: &mut Session, database: &str, program: &Program) -> Result<std::result::Result<(), Refusal>> {
    let rows = match session.ask(&show_create(database, program))? {
        Ok(rows) => rows,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let at = statement_at(&program.kind);
    let is_there = rows.first().is_some_and(|row| row.get(at).is_some_and(Option::is_some));
    // Without the privilege the answer has a hole where the statement should be.
    let hidden = || Refusal { number: 1142, message: "the account may not see its statement".to_owned() };
    Ok(if is_there { Ok(()) } else { Err(hidden()) })
}

fn leave_out(session: &mut Session, database: &str, program: &Program, reason: &str, out: &mut Examined) -> Result<()> {
    let definition = body(session, database, program)?;
    name_as_left_out(database, program, (reason, definition), out);
    Ok(())
}

/// Leave `program` out for this reason, with as much as is known of its definition.
pub fn name_as_left_out(database: &str, program: &Program, why: (&str, Option<String>), out: &mut Examined) {
    let name = names::qualified(database, &program.name);
    let mut add = |kind: &str, reason: &str, definition| {
        out.left_out.retain(|one| one.kind != kind || one.name != name);
        let (kind, name, reason) = (kind.to_owned(), name.clone(), reason.to_owned());
        out.left_out.push(LeftOut { kind, name, reason, definition });
    };
    if program.kind == "package" {
        add("package body", "its package is left out", None);
    }
    add(&program.kind, why.0, why.1);
}

/// As much of the program's text as the server still has.
fn body(session: &mut Session, database: &str, program: &Program) -> Result<Option<String>> {
    let (schema, name) = (names::quote_text(database), names::quote_text(&program.name));
    let questions = match program.kind.as_str() {
        "event" => vec![
            format!("SELECT body FROM mysql.event WHERE db = {schema} AND name = {name}"),
            format!(
                "SELECT EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema} AND EVENT_NAME = {name}"
            ),
        ],
        "trigger" => vec![format!(
            "SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {schema} AND TRIGGER_NAME = {name}"
        )],
        kind => vec![
            format!(
                "SELECT CONCAT(type, ' ', name, '(', param_list, ')', IF(returns = '', '', CONCAT(' RETURNS ', returns)), '\\n', \
                 body_utf8) FROM mysql.proc WHERE db = {schema} AND name = {name} AND type = {}",
                names::quote_text(&kind.to_uppercase())
            ),
            format!(
                "SELECT ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} AND \
                 ROUTINE_NAME = {name} AND ROUTINE_TYPE = {}",
                names::quote_text(&kind.to_uppercase())
            ),
        ],
    };
    for question in questions {
        let rows = session.ask(&question)?.unwrap_or_default();
        if let Some(text) = rows.into_iter().next().and_then(|row| row.into_iter().next()?) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Programs whose names do not survive the dump: it prints them in UTF-8 and says to read them in the character set of
/// whoever created them. MariaDB does so with events, MySQL with triggers and routines too.
pub fn names(session: &mut Session, databases: &[String], maria: bool, out: &mut Examined) -> Result<()> {
    const MORE: [(&str, &str); 2] = [
        ("trigger", "SELECT TRIGGER_NAME, CHARACTER_SET_CLIENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA"),
        (
            "routine",
            "SELECT ROUTINE_NAME, CHARACTER_SET_CLIENT, LOWER(ROUTINE_TYPE) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA",
        ),
    ];
    for database in databases {
        let mut found: Vec<(String, String, String)> = Vec::new();
        if !out.without_events {
            let events = events_of(session, database)?.into_iter();
            found.extend(events.map(|(name, charset)| ("event".to_owned(), name, charset)));
        }
        for (kind, question) in MORE.iter().filter(|_| !maria) {
            for row in session.rows(&format!("{question} = {}", names::quote_text(database)))? {
                let text = |at: usize| row.get(at).cloned().flatten();
                let kind = text(2).unwrap_or_else(|| (*kind).to_owned());
                found.push((kind, text(0).unwrap_or_default(), text(1).unwrap_or_default()));
            }
        }
        for (kind, name, charset) in found {
            if name.is_ascii() || charset.starts_with("utf8") {
                continue;
            }
            let reason = format!(
                "the server's own dump cannot carry its name, because it was created by a client of character set {charset}: \
                 create it again after SET NAMES utf8mb4"
            );
            let name = names::qualified(database, &name);
            out.cannot_return.push(LeftOut { kind, name, reason, definition: None });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(number: u16) -> Refusal {
        Refusal { number, message: "x".to_owned() }
    }

    fn one() -> Program {
        Program { kind: "procedure".to_owned(), name: "p".to_owned(), table: String::new() }
    }

    #[test]
    fn only_what_is_wrong_with_the_program_itself_leaves_it_out() {
        for (number, expected) in [
            (1457, Meaning::Damaged),
            (1064, Meaning::Damaged),
            (1728, Meaning::Damaged),
            (1602, Meaning::Damaged),
            (1305, Meaning::Gone),
            (1539, Meaning::Gone),
            (1142, Meaning::Denied),
            (1227, Meaning::Denied),
            (1205, Meaning::Trouble),
            (1317, Meaning::Trouble),
            (1548, Meaning::Trouble),
        ] {
            assert_eq!(meaning(&refusal(number)), expected, "{number}");
        }
    }

    #[test]
    fn an_account_that_may_see_none_of_a_kind_is_refused() {
        let denied = || vec![(one(), refusal(1142))];
        let error = Shown { denied: denied(), ..Shown::default() }.check("procedure", "d").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("cannot read any procedure of database d: x (1142) (all 1 are refused, the first is d.p)"),
            "{error}"
        );
        assert!(error.hint_text().unwrap().contains("mysql-privileges.md"));
        Shown { denied: denied(), readable: 1, ..Shown::default() }.check("procedure", "d").unwrap();
        Shown { damaged: denied(), ..Shown::default() }.check("procedure", "d").unwrap();
    }
}
