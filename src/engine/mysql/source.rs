//! The source as it is now: reach, databases, privileges, settings.

use std::collections::BTreeMap;

use super::connection::Session;
use super::privileges::Grants;
use crate::domain::manifest::ServerIdentity;
use crate::error::{Error, Result};

/// Schemas that belong to the server.
const SYSTEM_DATABASES: [&str; 5] = ["information_schema", "performance_schema", "mysql", "sys", "ndbinfo"];
/// Settings recorded with a backup; a name that a server does not know is left out.
const SETTINGS: [&str; 14] = [
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
];

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
    /// Rough size of the data in bytes, for a progress bar.
    pub estimated_bytes: u64,
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
    let user = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
    let present = session.column("SHOW DATABASES")?;
    let databases = choose(wanted, &present)?;
    let settings = settings(session)?;
    let mut survey = Survey { server, user, databases, settings, estimated_bytes: 0 };
    let grants = Grants::read(&session.column("SHOW GRANTS")?);
    let mut missing = grants.missing(&survey.server.product, &survey.databases, survey.binlog());
    if wanted.is_empty() && !grants.sees_all_databases() {
        missing.push(
            "SELECT on *.* (no `databases` are configured, and this account does not see all of them)".to_owned(),
        );
    }
    if !missing.is_empty() {
        return Err(Error::failed(format!("check privileges of {}: missing {}", survey.user, missing.join(", ")))
            .hint(
                "grant what /usr/share/doc/backup-sla/docs/mysql-privileges.md lists; without it parts of the backup would be \
                 missing in silence",
            ));
    }
    let sizes = "SELECT CAST(COALESCE(SUM(DATA_LENGTH), 0) AS CHAR) FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')";
    survey.estimated_bytes = session.value(sizes)?.and_then(|size| size.parse().ok()).unwrap_or(0);
    Ok(survey)
}

/// Values of [`SETTINGS`].
pub fn settings(session: &mut Session) -> Result<BTreeMap<String, String>> {
    let list = SETTINGS.map(|name| format!("'{name}'")).join(", ");
    let rows = session.rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({list})"))?;
    // Without them the server of a drill knows no account that uses them.
    let libraries = "SELECT DISTINCT PLUGIN_LIBRARY FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'AUTHENTICATION' \
                     AND PLUGIN_STATUS = 'ACTIVE' AND PLUGIN_LIBRARY IS NOT NULL ORDER BY 1";
    let libraries = session.column(libraries)?.join(";");
    let pair = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        Some((row.next()?, row.next()?))
    };
    let mut settings: BTreeMap<String, String> = rows.into_iter().filter_map(pair).collect();
    if !libraries.is_empty() {
        settings.insert(AUTHENTICATION_LIBRARIES.to_owned(), libraries);
    }
    Ok(settings)
}

fn choose(wanted: &[String], present: &[String]) -> Result<Vec<String>> {
    // A directory that is not a database (`lost+found`) is listed with this mark.
    let system = |name: &str| {
        name.starts_with("#mysql50#") || SYSTEM_DATABASES.iter().any(|system| name.eq_ignore_ascii_case(system))
    };
    if wanted.is_empty() {
        let all: Vec<String> = present.iter().filter(|name| !system(name)).cloned().collect();
        if all.is_empty() {
            return Err(Error::failed("choose databases: the server has none that this account can see")
                .hint("grant SELECT on the databases to be backed up, or name them in `databases`"));
        }
        return Ok(all);
    }
    let missing: Vec<_> = wanted.iter().filter(|name| !present.contains(name)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(wanted.to_vec());
    }
    Err(Error::failed(format!("choose databases: the server has no database {}", missing.join(", ")))
        .hint("it was dropped or renamed, or this account may not see it (SELECT on it)"))
}
