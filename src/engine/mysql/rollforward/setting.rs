//! What holds for a whole replay, and whether a destination takes one.

use std::fmt::Write as _;

use super::single::Only;
use super::wanted::Wanted;
use crate::domain::manifest::Manifest;
use crate::engine::LoadOptions;
use crate::engine::mysql::connection::Session;
use crate::engine::mysql::names;
use crate::error::{Error, Result};

/// A privilege is missing.
const DENIED: u16 = 1227;

/// What holds for a whole replay.
#[derive(Debug, Clone)]
pub struct Setting {
    pub wanted: Wanted,
    /// The tables that are replayed; none where all of those databases are.
    pub only: Option<Only>,
    /// Accounts are part of it.
    pub accounts: bool,
    /// The destination is a sandbox, in which no event runs.
    pub throwaway: bool,
    /// What the source had, where statements rely on it: names and values.
    recorded: Vec<(&'static str, String)>,
}

impl Setting {
    /// Of a replay on top of this full backup.
    pub fn of(manifest: &Manifest, options: &LoadOptions) -> Self {
        let recorded = ["default_storage_engine", "innodb_strict_mode"]
            .into_iter()
            .filter_map(|name| Some((name, manifest.settings.get(name)?.clone())));
        Self {
            wanted: Wanted::of(manifest),
            only: Only::of(manifest, &options.tables),
            accounts: options.accounts && options.tables.is_empty(),
            throwaway: options.throwaway,
            recorded: recorded.collect(),
        }
    }
}

/// Nothing of what the account or the server sets by default gets into what the log says.
pub fn ready(session: &mut Session, maria: bool, setting: &Setting) -> Result<()> {
    let hint = "replay needs an account with all privileges: see /usr/share/doc/backup-sla/docs/restore.md";
    let mut set = "SET SESSION pseudo_slave_mode = 1, autocommit = 1".to_owned();
    for (name, value) in &setting.recorded {
        // Writing into a text cannot fail.
        let _ = write!(set, ", {name} = {}", names::quote_text(value));
    }
    if maria {
        set += ", max_statement_time = 0, system_versioning_alter_history = 'KEEP'";
    }
    session
        .one(&set)?
        .map_err(|refusal| Error::failed(format!("cannot replay at the destination: {refusal}")).hint(hint))?;
    if setting.throwaway {
        return Ok(());
    }
    // Whoever may not send rows of a log is refused before the text is looked at.
    if let Err(refusal) = session.ask("BINLOG ''")?
        && refusal.number == DENIED
    {
        return Err(Error::failed(format!("cannot replay at the destination: {refusal}")).hint(hint));
    }
    // An event that runs meanwhile changes rows that the log is about.
    let runs = session.value("SELECT @@GLOBAL.event_scheduler = 'ON' AND EXISTS (SELECT 1 FROM information_schema.EVENTS WHERE STATUS = 'ENABLED')")?;
    if runs.as_deref() == Some("1") {
        let what = "cannot replay at the destination: its events run meanwhile";
        return Err(
            Error::failed(what).hint("SET GLOBAL event_scheduler = OFF there, restore again, then switch it on")
        );
    }
    Ok(())
}
