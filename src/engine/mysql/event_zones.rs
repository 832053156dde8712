//! Events whose time zone the server no longer knows: it can neither show nor run them, and calls its own table corrupted.

use super::connection::{Refusal, Session};
use super::names;
use crate::error::Result;

/// What servers say of an event that they cannot read.
const CANNOT_LOAD: u16 = 1728;

/// Why `event` cannot be shown: the server's words, and the time zone if that is the cause.
pub fn reason(session: &mut Session, database: &str, event: &str, refusal: &Refusal) -> Result<String> {
    let unknown = if refusal.number == CANNOT_LOAD { unknown(session, database, event)? } else { None };
    Ok(unknown.map_or_else(
        || refusal.to_string(),
        |zone| {
            format!(
                "{refusal}; the server does not know its time zone {zone}: load it (mysql_tzinfo_to_sql, mariadb-tzinfo-to-sql) \
                 or drop the event"
            )
        },
    ))
}

/// The time zone of `event`, if the server does not know it.
fn unknown(session: &mut Session, database: &str, event: &str) -> Result<Option<String>> {
    let (schema, name) = (names::quote_text(database), names::quote_text(event));
    // MariaDB shows no event where one cannot be read; MySQL lets nobody read its own table.
    let questions = [
        format!("SELECT time_zone FROM mysql.event WHERE db = {schema} AND name = {name}"),
        format!(
            "SELECT TIME_ZONE FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema} AND EVENT_NAME = {name}"
        ),
    ];
    for question in questions {
        let rows = session.ask(&question)?.unwrap_or_default();
        let Some(zone) = rows.into_iter().next().and_then(|row| row.into_iter().next()?) else { continue };
        let known = format!("SELECT CONVERT_TZ('2001-01-01 00:00:00', '+00:00', {})", names::quote_text(&zone));
        return Ok(session.value(&known)?.is_none().then_some(zone));
    }
    Ok(None)
}
