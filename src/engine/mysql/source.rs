//! The source as it is now: reach, databases, privileges, settings.

use std::collections::{BTreeMap, BTreeSet};

use super::carried;
use super::connection::Session;
use super::examine;
use super::examined::Examined;
use super::lexer::Client;
use super::pinned::{self, RECORDED};
use super::privileges::Grants;
use crate::domain::capture::{Capture, DefinitionRule, DigestRule};
use crate::domain::manifest::ServerIdentity;
use crate::error::{Error, Result};

/// Schemas that belong to the server.
pub const SYSTEM_DATABASES: [&str; 5] = ["information_schema", "performance_schema", "mysql", "sys", "ndbinfo"];
/// Settings recorded with a backup; a name that a server does not know is left out.
const SETTINGS: [&str; 18] = [
    "activate_all_roles_on_login",
    "mandatory_roles",
    "partial_revokes",
    "innodb_strict_mode",
    "innodb_default_row_format",
    "sql_mode",
    "character_set_server",
    "collation_server",
    "time_zone",
    "system_time_zone",
    "lower_case_table_names",
    "innodb_page_size",
    "binlog_format",
    "log_bin",
    "gtid_mode",
    "innodb_version",
    "explicit_defaults_for_timestamp",
    "default_storage_engine",
];

/// Name under which it is recorded whether a backup is of all databases, those to come among them.
pub const DATABASES: &str = "databases";
/// It is.
pub const ALL_DATABASES: &str = "all";

/// Name under which the libraries of authentication plugins are recorded, beside the server's own settings.
pub const AUTHENTICATION_LIBRARIES: &str = "authentication_libraries";

/// What a look at the source tells.
#[derive(Debug)]
pub struct Survey {
    /// Product, version, series.
    pub server: ServerIdentity,
    /// Whom the server takes us for.
    pub user: String,
    /// Databases to back up.
    pub databases: Vec<String>,
    /// Server settings by name.
    pub settings: BTreeMap<String, String>,
    /// Plugin libraries of storage engines, by the engine's name in capitals.
    pub engine_libraries: BTreeMap<String, String>,
    /// Whether the server knows time zones by name.
    pub named_time_zones: bool,
    /// Rough size of the data in bytes, for a progress bar.
    pub estimated_bytes: u64,
    /// How the dump is to be read.
    pub capture: Capture,
    /// What was found out about single objects.
    pub examined: Examined,
    /// Statement that pins the settings of a dump's session, for clients that take one.
    pub pins: String,
    /// Settings that make a dump smaller where they are not pinned.
    pub smaller: Vec<String>,
}

impl Survey {
    /// Whether the server keeps a binary log.
    pub fn binlog(&self) -> bool {
        matches!(self.settings.get("log_bin").map(String::as_str), Some("ON" | "1"))
    }

    /// Whether MySQL's GTIDs are in use.
    pub fn gtid(&self) -> bool {
        self.settings.get("gtid_mode").is_some_and(|mode| mode == "ON")
    }
}

/// Look at the source; every missing privilege is named.
pub fn survey(session: &mut Session, wanted: &[String]) -> Result<Survey> {
    let server = session.identity()?;
    let (smaller, pins) = (pinned::smaller(session)?, pinned::statement(session)?);
    // What is asked here must not be cut short either.
    session.rows(&pins)?;
    let user = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
    let present = session.column("SHOW DATABASES")?;
    let folds = session.value("SELECT @@lower_case_table_names")?.is_some_and(|mode| mode != "0");
    let databases = choose(wanted, &present, folds)?;
    let mut settings = settings(session)?;
    if wanted.is_empty() {
        settings.insert(DATABASES.to_owned(), ALL_DATABASES.to_owned());
    }
    let libraries = "SELECT UPPER(PLUGIN_NAME), PLUGIN_LIBRARY FROM information_schema.PLUGINS WHERE \
                     PLUGIN_TYPE = 'STORAGE ENGINE' AND PLUGIN_STATUS = 'ACTIVE' AND PLUGIN_LIBRARY IS NOT NULL";
    let engine_libraries = session.rows(libraries)?.into_iter().filter_map(pair).collect();
    let zones = session.value("SELECT CONVERT_TZ('2001-01-01 00:00:00', 'UTC', 'UTC') IS NOT NULL")?;
    let named_time_zones = zones.as_deref() == Some("1");
    let capture = Capture {
        digest_rule: DigestRule::StoredColumns,
        definition_rule: DefinitionRule::DefaultCollation,
        ..Capture::default()
    };
    let mut survey = Survey {
        server,
        user,
        databases,
        settings,
        engine_libraries,
        named_time_zones,
        estimated_bytes: 0,
        capture,
        examined: Examined::default(),
        pins,
        smaller,
    };
    let grants = Grants::read(&session.column("SHOW GRANTS")?);
    let mut missing = grants.missing(&survey.server.product, &survey.databases, survey.binlog());
    if wanted.is_empty() && !grants.sees_all_databases() {
        missing.push(
            "SELECT on *.* (no `databases` are configured, and this account does not see all of them)".to_owned(),
        );
    }
    if !missing.is_empty() {
        return Err(Error::failed(format!("cannot back up as {}: the account lacks {}", survey.user, missing.join(", ")))
            .hint(
                "grant what /usr/share/doc/backup-sla/docs/mysql-privileges.md lists; without it, parts of the backup would be \
                 missing, and nobody would know",
            ));
    }
    let sizes = "SELECT CAST(COALESCE(SUM(DATA_LENGTH), 0) AS CHAR) FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')";
    survey.estimated_bytes = session.value(sizes)?.and_then(|size| size.parse().ok()).unwrap_or(0);
    survey.examined = examine::examine(session, &survey.databases, survey.server.product == "MariaDB")?;
    let client = Client::of(&survey.server.product);
    carried::look(session, &survey.databases, client, &mut survey.examined)?;
    survey.capture.without_events = survey.examined.without_events;
    survey.capture.without_history = survey.examined.without_history;
    survey.capture.events_apart = survey.examined.events_apart;
    Ok(survey)
}

/// Values of [`SETTINGS`].
pub fn settings(session: &mut Session) -> Result<BTreeMap<String, String>> {
    let names = SETTINGS.iter().chain(&RECORDED).map(|name| format!("'{name}'"));
    let list = names.collect::<Vec<_>>().join(", ");
    let rows = session.rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({list})"))?;
    // Without them the server of a drill knows no account that uses them.
    let libraries = "SELECT DISTINCT PLUGIN_LIBRARY FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'AUTHENTICATION' \
                     AND PLUGIN_STATUS = 'ACTIVE' AND PLUGIN_LIBRARY IS NOT NULL ORDER BY 1";
    let libraries = session.column(libraries)?.join(";");
    let mut settings: BTreeMap<String, String> = rows.into_iter().filter_map(pair).collect();
    if !libraries.is_empty() {
        settings.insert(AUTHENTICATION_LIBRARIES.to_owned(), libraries);
    }
    Ok(settings)
}

fn pair(row: Vec<Option<String>>) -> Option<(String, String)> {
    let mut row = row.into_iter().map(Option::unwrap_or_default);
    Some((row.next()?, row.next()?))
}

/// The databases to back up, as the server spells them; it may not tell capitals from small letters.
fn choose(wanted: &[String], present: &[String], folds: bool) -> Result<Vec<String>> {
    // A directory that is not a database (`lost+found`) is listed with this mark.
    let system = |name: &str| {
        name.starts_with("#mysql50#") || SYSTEM_DATABASES.iter().any(|system| name.eq_ignore_ascii_case(system))
    };
    if wanted.is_empty() {
        let all: Vec<String> = present.iter().filter(|name| !system(name)).cloned().collect();
        if all.is_empty() {
            return Err(Error::failed("cannot choose databases to back up: this account sees none on the server")
                .hint("grant SELECT on the databases to be backed up, or name them in `databases`"));
        }
        return Ok(all);
    }
    let own: Vec<_> = wanted.iter().filter(|name| system(name)).map(String::as_str).collect();
    if !own.is_empty() {
        return Err(Error::failed(format!("cannot back up database {}: it is a system database", own.join(", ")))
            .hint("remove it from `databases`: accounts and grants are backed up anyway"));
    }
    let spelt = |name: &String| {
        present.iter().find(|present| *present == name || (folds && present.to_lowercase() == name.to_lowercase()))
    };
    let missing: Vec<_> = wanted.iter().filter(|name| spelt(name).is_none()).map(String::as_str).collect();
    if missing.is_empty() {
        let mut chosen: Vec<String> = wanted.iter().filter_map(spelt).cloned().collect();
        let mut seen = BTreeSet::new();
        chosen.retain(|name| seen.insert(name.clone()));
        return Ok(chosen);
    }
    Err(Error::failed(format!("cannot back up: the server has no database {}", missing.join(", ")))
        .hint("it was dropped or renamed, or this account may not see it (SELECT on it)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_chosen_as_the_server_spells_them_and_never_its_own() {
        let present = ["Shop".to_owned(), "mysql".to_owned(), "other".to_owned(), "#mysql50#lost+found".to_owned()];
        let choose = |wanted: &[&str], folds| {
            choose(&wanted.iter().map(ToString::to_string).collect::<Vec<_>>(), &present, folds)
                .map_err(|e| e.to_string())
        };
        assert_eq!(choose(&[], false).unwrap(), ["Shop", "other"]);
        assert_eq!(choose(&["shop", "SHOP"], true).unwrap(), ["Shop"]);
        assert!(choose(&["shop"], false).unwrap_err().contains("no database shop"));
        assert!(choose(&["other", "MySQL"], false).unwrap_err().contains("cannot back up database MySQL"));
    }
}
