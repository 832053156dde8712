//! Writes canaries: a row of each owner, in a database of our own, replaced before each backup. So it neither grows nor needs care.
//!
//! Nothing is written where that would do harm: on a server that is read-only, or a replica, whose data would no longer be that of its
//! source.

use std::time::Duration;

use super::account::Account;
use super::canary_sql::{definitions, statements};
use super::connection::{Refusal, Session};
use super::increments::hindrances;
use super::privileges::Grants;
use crate::clock::Clock;
use crate::domain::canary::{Canary, DATABASE};
use crate::error::{Error, Result};

/// A server that takes longer for so little is too busy for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds that it waits for somebody's lock.
const LOCK_WAIT: u32 = 5;
/// What is not there yet.
const NO_DATABASE: u16 = 1049;
const NO_TABLE: u16 = 1146;
const DEADLOCK: u16 = 1213;
/// What writing one takes.
const TO_WRITE: [&str; 3] = ["CREATE", "INSERT", "DELETE"];
/// What reading it takes, like any other database.
const TO_READ: [&str; 4] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];

/// Write the canary of `owner`.
pub fn write(account: Account, owner: &str, clock: &dyn Clock) -> Result<Canary> {
    let mut session = Session::open(&account.answers_within(PATIENCE))?;
    if let Some((why, mends)) = harm(&mut session)? {
        return Err(Error::failed(format!("cannot write the canary: {why}")).hint(mends));
    }
    session.rows(&format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}, innodb_lock_wait_timeout = {LOCK_WAIT}"))?;
    // The server keeps microseconds of it, as text.
    let written = chrono::DateTime::from_timestamp_micros(clock.wall().timestamp_micros()).unwrap_or_default();
    let canary = Canary { written, value: format!("{:032x}", rand::random::<u128>()) };
    let refusal = match put(&mut session, owner, &canary)? {
        Ok(()) => return Ok(canary),
        Err(refusal) if matches!(refusal.number, NO_DATABASE | NO_TABLE) => {
            // Where they are there, these would be logged again each time.
            let mut made = Ok(());
            for definition in definitions() {
                made = made.and(session.ask(&definition)?.map(drop));
            }
            match made {
                Ok(()) => put(&mut session, owner, &canary)?.err(),
                Err(refusal) => Some(refusal),
            }
        }
        // Two owners that begin at once stand in each other's way.
        Err(refusal) if refusal.number == DEADLOCK => put(&mut session, owner, &canary)?.err(),
        Err(refusal) => Some(refusal),
    };
    let Some(refusal) = refusal else { return Ok(canary) };
    let user = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
    Err(Error::failed(format!("cannot write the canary: {refusal}"))
        .hint(format!("where the account lacks a privilege: {}", grant(&TO_WRITE, &user))))
}

/// In one transaction: whoever reads sees one or the other.
fn put(session: &mut Session, owner: &str, canary: &Canary) -> Result<std::result::Result<(), Refusal>> {
    let [delete, insert] = statements(owner, canary);
    for statement in ["BEGIN", &delete, &insert, "COMMIT"] {
        if let Err(refusal) = session.ask(statement)? {
            session.ask("ROLLBACK")?.ok();
            return Ok(Err(refusal));
        }
    }
    Ok(Ok(()))
}

/// Why nothing must be written there, and what mends it.
fn harm(session: &mut Session) -> Result<Option<(String, &'static str)>> {
    let is_read_only = session.value("SELECT @@GLOBAL.read_only")?.is_some_and(|mode| mode != "0" && mode != "OFF");
    if is_read_only {
        return Ok(Some(("the server is read-only".to_owned(), "take `canary` out, or back up the primary")));
    }
    if hindrances::is_replica(session)? {
        let why = "the server is a replica, whose data would differ from its source's";
        return Ok(Some((why.to_owned(), "take `canary` out, or back up the primary")));
    }
    let is_unlogged = session.value("SELECT @@SESSION.sql_log_bin")?.is_some_and(|value| value == "0");
    Ok(is_unlogged.then(|| {
        (
            "this session's changes are not logged (`sql_log_bin`)".to_owned(),
            "remove it from the server's `init_connect`",
        )
    }))
}

/// What stands in the way of canaries, each with what mends it.
pub fn hindrances(session: &mut Session, has_log: bool) -> Result<Vec<String>> {
    let mut found: Vec<String> =
        harm(session)?.map(|(why, mends)| format!("canary: {why}; {mends}")).into_iter().collect();
    let grants = Grants::read(&session.column("SHOW GRANTS")?);
    let user = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
    let lacks = |privilege: &&str| !grants.has(privilege, Some(DATABASE), None);
    let missing: Vec<&str> = TO_WRITE.into_iter().chain(TO_READ).filter(lacks).collect();
    if !missing.is_empty() {
        found.push(format!("canary: the account lacks {}; {}", missing.join(", "), grant(&missing, &user)));
    }
    if has_log && hindrances::is_filtered(session, DATABASE) {
        found.push(format!(
            "canary: changes of {DATABASE} are not logged, so increments have none; remove the filter and restart the server"
        ));
    }
    Ok(found)
}

/// Whether the account can read what it wrote, as the backup reads every database.
pub fn can_read(session: &mut Session) -> Result<bool> {
    let grants = Grants::read(&session.column("SHOW GRANTS")?);
    Ok(TO_READ.into_iter().all(|privilege| grants.has(privilege, Some(DATABASE), None)))
}

fn grant(privileges: &[&str], user: &str) -> String {
    format!("GRANT {} ON {DATABASE}.* TO {}", privileges.join(", "), hindrances::quoted_account(user))
}
