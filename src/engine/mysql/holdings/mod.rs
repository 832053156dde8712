//! What a server holds beside databases and accounts: each kind is looked for, and named if it is there, since no backup
//! contains it. docs/what-is-backed-up.md is the whole list, with what needs no look.

use super::connection::{Session, code};
use super::names::quote_text;
use crate::error::Result;

/// Tables that servers make in `mysql`.
const TABLES: &str = include_str!("mysql.txt");
/// Views, routines and triggers that servers make in `sys` and `mysql`.
const OBJECTS: &str = include_str!("sys.txt");
/// So many names are told; the rest is counted.
const SHOWN: usize = 5;

/// A kind of thing that is not backed up.
struct Holding {
    /// What it is, in the plural.
    what: &'static str,
    /// Lists names in its first column; a server that does not know the table has none of them.
    query: &'static str,
    /// What a restore needs instead.
    instead: &'static str,
}

const fn holding(what: &'static str, query: &'static str, instead: &'static str) -> Holding {
    Holding { what, query, instead }
}

const BOTH: [Holding; 6] = [
    holding(
        "loadable functions (UDF)",
        "SELECT name FROM mysql.func ORDER BY 1",
        "make them at the destination before a restore (CREATE FUNCTION … SONAME)",
    ),
    holding(
        "installed plugins",
        "SELECT name FROM mysql.plugin ORDER BY 1",
        "install them at the destination before a restore (INSTALL PLUGIN, INSTALL SONAME)",
    ),
    holding(
        "server definitions (CREATE SERVER)",
        "SELECT Server_name FROM mysql.servers ORDER BY 1",
        "make them again at the destination, passwords included",
    ),
    holding(
        "loaded time zones",
        "SELECT CONCAT(COUNT(*), ' names') FROM mysql.time_zone_name HAVING COUNT(*) > 0",
        "load them at the destination before a restore (mariadb-tzinfo-to-sql, mysql_tzinfo_to_sql)",
    ),
    holding(
        "tables that are encrypted at rest",
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES WHERE \
         REPLACE(REPLACE(UPPER(CREATE_OPTIONS), '`', ''), '''', '\"') REGEXP 'ENCRYPT(ION|ED)=\"?Y' ORDER BY 1",
        "their rows are in the backup, the server's keys are not: the destination needs keys of its own",
    ),
    holding(
        "events of the operator's own in mysql or sys",
        "SELECT CONCAT(EVENT_SCHEMA, '.', EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA IN ('mysql', 'sys') \
         ORDER BY 1",
        "keep them in a database of your own",
    ),
];

const MARIADB: [Holding; 3] = [
    holding(
        "engine-independent statistics",
        "SELECT DISTINCT CONCAT(db_name, '.', table_name) FROM mysql.column_stats ORDER BY 1",
        "collect them again after a restore (ANALYZE TABLE … PERSISTENT FOR ALL)",
    ),
    holding(
        "times of transactions (system versioning by transaction)",
        "SELECT CONCAT(COUNT(*), ' transactions') FROM mysql.transaction_registry HAVING COUNT(*) > 0",
        "history by transaction cannot be queried after a restore",
    ),
    holding(
        "a replica's position (gtid_slave_pos)",
        "SELECT @@GLOBAL.gtid_slave_pos FROM DUAL WHERE @@GLOBAL.gtid_slave_pos <> ''",
        "set up replication again after a restore (SET GLOBAL gtid_slave_pos, CHANGE MASTER TO)",
    ),
];

const MYSQL: [Holding; 9] = [
    holding(
        "installed components",
        "SELECT component_urn FROM mysql.component ORDER BY 1",
        "install them at the destination before a restore (INSTALL COMPONENT)",
    ),
    holding(
        "settings kept by SET PERSIST",
        "SELECT VARIABLE_NAME FROM performance_schema.persisted_variables ORDER BY 1",
        "set them at the destination, or keep them in its option file",
    ),
    holding(
        "resource groups",
        "SELECT RESOURCE_GROUP_NAME FROM information_schema.RESOURCE_GROUPS WHERE RESOURCE_GROUP_NAME NOT IN \
         ('SYS_default', 'USR_default') ORDER BY 1",
        "make them again at the destination (CREATE RESOURCE GROUP)",
    ),
    holding(
        "spatial reference systems of the operator's own",
        "SELECT CONCAT(SRS_ID) FROM information_schema.ST_SPATIAL_REFERENCE_SYSTEMS WHERE NOT (SRS_ID BETWEEN 0 AND 32767 \
         OR SRS_ID BETWEEN 60000000 AND 69999999 OR SRS_ID >= 2000000000) ORDER BY SRS_ID",
        "make them at the destination before a restore (CREATE SPATIAL REFERENCE SYSTEM)",
    ),
    holding(
        "general tablespaces",
        "SELECT NAME FROM information_schema.INNODB_TABLESPACES WHERE SPACE_TYPE = 'General' AND NAME <> 'mysql' ORDER BY 1",
        "a restore makes those that its tables are in, in the data directory; to keep them elsewhere, make them before it (CREATE TABLESPACE)",
    ),
    holding(
        "costs of the optimizer",
        "SELECT cost_name FROM mysql.server_cost WHERE cost_value IS NOT NULL UNION SELECT cost_name FROM mysql.engine_cost \
         WHERE cost_value IS NOT NULL ORDER BY 1",
        "set them again after a restore",
    ),
    holding(
        "histograms",
        "SELECT CONCAT(SCHEMA_NAME, '.', TABLE_NAME, '.', COLUMN_NAME) FROM information_schema.COLUMN_STATISTICS \
         WHERE SCHEMA_NAME NOT IN ('mysql', 'sys') ORDER BY 1",
        "collect them again after a restore (ANALYZE TABLE … UPDATE HISTOGRAM)",
    ),
    holding(
        "replication sources",
        "SELECT Channel_name FROM mysql.slave_master_info WHERE Host <> '' UNION SELECT Channel_name FROM \
         mysql.replication_asynchronous_connection_failover ORDER BY 1",
        "set up replication again after a restore (CHANGE REPLICATION SOURCE TO)",
    ),
    holding(
        "passwords that may not be used again (PASSWORD HISTORY)",
        "SELECT DISTINCT CONCAT(User, '@', Host) FROM mysql.password_history ORDER BY 1",
        "their history begins anew after a restore",
    ),
];

/// What is there and not backed up, one sentence per kind.
pub fn warnings(session: &mut Session, product: &str) -> Result<Vec<String>> {
    let own: &[Holding] = if product == "MySQL" { &MYSQL } else { &MARIADB };
    let mut out = Vec::new();
    for holding in BOTH.iter().chain(own) {
        out.extend(look(session, holding.what, holding.query, holding.instead)?);
    }
    let known =
        |list: &str| list.lines().filter(|line| !line.starts_with('#')).map(quote_text).collect::<Vec<_>>().join(", ");
    let tables = format!(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES WHERE (TABLE_SCHEMA = 'mysql' AND \
         TABLE_NAME NOT IN ({})) OR (TABLE_SCHEMA = 'sys' AND TABLE_NAME NOT IN ({})) ORDER BY 1",
        known(TABLES),
        known(OBJECTS)
    );
    let routines = format!(
        "SELECT CONCAT(ROUTINE_SCHEMA, '.', ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN \
         ('mysql', 'sys') AND ROUTINE_NAME NOT IN ({0}) UNION SELECT CONCAT(TRIGGER_SCHEMA, '.', TRIGGER_NAME) FROM \
         information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN ('mysql', 'sys') AND TRIGGER_NAME NOT IN ({0}) ORDER BY 1",
        known(OBJECTS)
    );
    for (what, query) in [
        ("tables and views of the operator's own in mysql or sys", tables),
        ("routines and triggers of the operator's own in mysql or sys", routines),
    ] {
        out.extend(look(session, what, &query, "keep them in a database of your own")?);
    }
    Ok(out)
}

/// The names that a query lists, as a sentence.
fn look(session: &mut Session, what: &str, query: &str, instead: &str) -> Result<Option<String>> {
    let mut names = match session.column(query) {
        Ok(names) => names,
        // The table or column is of other versions.
        Err(error) if matches!(code(&error), Some(1146 | 1109 | 1054 | 1193)) => return Ok(None),
        // The account of the documentation may not see this: docs/what-is-backed-up.md says so.
        Err(error) if code(&error) == Some(1227) => return Ok(None),
        Err(error) if code(&error).is_some() => {
            return Ok(Some(format!("cannot look for {what}, which are not backed up: {error}")));
        }
        Err(error) => return Err(error),
    };
    if names.is_empty() {
        return Ok(None);
    }
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok(Some(format!("not backed up: {what}: {}{more}; {instead}", names.join(", "))))
}
