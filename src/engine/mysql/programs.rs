//! Events, triggers and routines: what the server does not show, and what its own dump cannot carry.

use super::connection::Session;
use super::examine::Examined;
use super::names;
use crate::domain::left_out::LeftOut;
use crate::error::{Error, Result};

/// The event scheduler was turned off at the start: the server answers no question about events.
const SCHEDULER_DISABLED: u16 = 1577;

/// Whether the server shows its events; where it does not, they are left out by name.
pub fn events(session: &mut Session, databases: &[String], out: &mut Examined) -> Result<()> {
    let refusal = match session.ask("SELECT COUNT(*) FROM information_schema.EVENTS")? {
        Err(refusal) if refusal.number == SCHEDULER_DISABLED => refusal,
        _ => return Ok(()),
    };
    out.without_events = true;
    let reason = format!("{refusal}; start the server with event_scheduler=OFF, which runs none and shows all");
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

/// Every program must be printable: the client stops at one that is not, and can leave no single one out.
pub fn printable(session: &mut Session, databases: &[String], out: &Examined) -> Result<()> {
    /// Dropped since it was listed.
    const GONE: [u16; 3] = [1305, 1360, 1539];
    for database in databases {
        let schema = names::quote_text(database);
        let mut questions = vec![
            format!(
                "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema}"
            ),
            format!(
                "SELECT 'TRIGGER', TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {schema}"
            ),
        ];
        if !out.without_events {
            questions.push(format!(
                "SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema}"
            ));
        }
        for question in questions {
            for row in session.rows(&question)? {
                let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
                let (kind, name) = (text(0), text(1));
                let table = names::qualified(database, &text(2));
                if kind == "TRIGGER" && out.left_out.iter().any(|one| one.kind == "table" && one.name == table) {
                    continue;
                }
                let show = format!("SHOW CREATE {kind} {}.{}", names::quote(database), names::quote(&name));
                let Err(refusal) = session.ask(&show)? else { continue };
                if GONE.contains(&refusal.number) {
                    continue;
                }
                let (kind, name) = (kind.to_lowercase(), names::qualified(database, &name));
                return Err(Error::failed(format!("cannot back up {kind} {name}: {refusal}")).hint(
                    "the dump client stops at it and can leave no single program out: drop it, or create it anew",
                ));
            }
        }
    }
    Ok(())
}

/// Programs whose names do not survive the dump: it prints them in UTF-8 and says to read them in the character set of
/// whoever created them. MariaDB does so with events, MySQL with triggers and routines too.
pub fn names(session: &mut Session, databases: &[String], maria: bool, out: &mut Examined) -> Result<()> {
    let mut questions =
        vec![("event", "SELECT EVENT_NAME, CHARACTER_SET_CLIENT FROM information_schema.EVENTS WHERE EVENT_SCHEMA")];
    if out.without_events {
        questions.clear();
    }
    if !maria {
        let more = [
            (
                "trigger",
                "SELECT TRIGGER_NAME, CHARACTER_SET_CLIENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA",
            ),
            (
                "routine",
                "SELECT ROUTINE_NAME, CHARACTER_SET_CLIENT, LOWER(ROUTINE_TYPE) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA",
            ),
        ];
        questions.extend(more);
    }
    for database in databases {
        for (kind, question) in &questions {
            for row in session.rows(&format!("{question} = {}", names::quote_text(database)))? {
                let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
                let (name, charset) = (text(0), text(1));
                if name.is_ascii() || charset.starts_with("utf8") {
                    continue;
                }
                let kind = row.get(2).cloned().flatten().unwrap_or_else(|| (*kind).to_owned());
                let reason = format!(
                    "the server's own dump cannot carry its name, because it was created by a client of character set {charset}: \
                     create it anew after SET NAMES utf8mb4"
                );
                out.cannot_return.push(LeftOut {
                    kind,
                    name: names::qualified(database, &name),
                    reason,
                    definition: None,
                });
            }
        }
    }
    Ok(())
}
