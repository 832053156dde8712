//! What the destination must have before the load: directories that definitions name, tablespaces that tables share, storage
//! engines, keys, time zones.

use std::collections::BTreeSet;

use super::connection::Session;
use super::elsewhere;
use super::keyring;
use super::names;
use super::probe::Probe;
use super::shipped;
use crate::domain::manifest::ServerIdentity;
use crate::domain::needs::Needs;
use crate::error::{Error, Result};

/// Make what is missing and can be made; says what was done. An error says what the operator has to provide.
pub fn prepare(session: &mut Session, server: &ServerIdentity, needs: &Needs, apart: bool) -> Result<Vec<String>> {
    engines_are_there(session, server, needs, apart)?;
    keys_are_there(session, server, needs, apart)?;
    let mut warnings = zones_are_there(session, server, needs, apart)?;
    try_directories(session, server, needs)?;
    warnings.extend(make_tablespaces(session, server, needs)?);
    Ok(warnings)
}

/// A server without a table's engine refuses the table, or, worse, makes it with another.
fn engines_are_there(session: &mut Session, server: &ServerIdentity, needs: &Needs, apart: bool) -> Result<()> {
    let is_needed = |engine: &&str| !(apart && elsewhere::is_stood_in(server, engine));
    let needed: Vec<&str> = needs.engines.keys().map(String::as_str).filter(is_needed).collect();
    if needed.is_empty() {
        return Ok(());
    }
    let there = "SELECT UPPER(ENGINE) FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')";
    let there: BTreeSet<String> = session.column(there)?.into_iter().collect();
    let missing: Vec<&str> = needed.into_iter().filter(|engine| !there.contains(*engine)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    Err(Error::inconclusive(format!(
        "cannot restore tables of storage engine {}: the destination lacks it",
        missing.join(", ")
    ))
    .hint(shipped::how_to_get(first, needs, &server.product)))
}

/// Whether tables can be encrypted as the source's are: with other keys, for a dump holds none.
fn keys_are_there(session: &mut Session, server: &ServerIdentity, needs: &Needs, apart: bool) -> Result<()> {
    if needs.encryption_keys.is_empty() {
        return Ok(());
    }
    let (sql, how) = if server.product == "MySQL" {
        (
            "SELECT COUNT(*) FROM performance_schema.keyring_component_status WHERE STATUS_KEY = 'Component_status' AND STATUS_VALUE = 'Active'",
            "set up a keyring component for that server (component_keyring_file, in the mysqld.my beside its program)",
        )
    } else {
        (
            "SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'ENCRYPTION' AND PLUGIN_STATUS = 'ACTIVE'",
            "load an encryption plugin there (file_key_management) with keys of these numbers",
        )
    };
    // A server that does not know the question has no keyring.
    let there = session.value(sql).ok().flatten().is_some_and(|count| count != "0");
    if there {
        return Ok(());
    }
    let how = if apart { without_keys(server) } else { how.to_owned() };
    let lacks = if server.product == "MySQL" {
        "keyring".to_owned()
    } else {
        let numbers: Vec<String> = needs.encryption_keys.iter().map(u32::to_string).collect();
        format!("keys (the source uses number {})", numbers.join(", "))
    };
    Err(Error::inconclusive(format!("cannot restore encrypted tables: the destination has no {lacks}")).hint(how))
}

/// A sandbox gets keys of its own wherever the drill host's server can use some.
fn without_keys(server: &ServerIdentity) -> String {
    let (what, package) = if server.product == "MySQL" {
        (keyring::COMPONENT, "mysql-server-core")
    } else {
        ("file_key_management", "mariadb-server")
    };
    format!(
        "the server on the drill host lacks {what}.so, with which the sandbox uses throwaway keys: install \
         {package}, or set `programs` in the source's [sandbox] table to a server that has it"
    )
}

/// Events and expressions may name time zones. A real destination may go without, if nothing does.
fn zones_are_there(session: &mut Session, server: &ServerIdentity, needs: &Needs, apart: bool) -> Result<Vec<String>> {
    const ZONES: &str = "SELECT CONVERT_TZ('2001-01-01 00:00:00', 'UTC', 'UTC') IS NOT NULL";
    if !needs.named_time_zones || session.value(ZONES)?.as_deref() == Some("1") {
        return Ok(Vec::new());
    }
    let tool = if server.product == "MySQL" { "mysql_tzinfo_to_sql" } else { "mariadb-tzinfo-to-sql" };
    if apart {
        return Err(Error::inconclusive("cannot restore as on the source: the sandbox knows no time zones by name")
            .hint(format!(
                "install tzdata and {tool} (it comes with the server) on the drill host, or set `programs` in [sandbox]"
            )));
    }
    Ok(vec![format!(
        "the source knows time zones by name, the destination does not: load them with `{tool} /usr/share/zoneinfo | mysql mysql`"
    )])
}

/// A table in each directory: only the server itself can say whether it may write there.
fn try_directories(session: &mut Session, server: &ServerIdentity, needs: &Needs) -> Result<()> {
    if needs.directories.is_empty() {
        return Ok(());
    }
    let mut probe = Probe::make(session)?;
    for (number, directory) in needs.directories.iter().enumerate() {
        let place = names::quote_text(directory);
        // The key is for servers that take no table without one.
        let table =
            format!("CREATE TABLE {}.t{number} (a INT PRIMARY KEY) ENGINE=InnoDB DATA DIRECTORY={place}", probe.name());
        if let Err(refusal) = probe.ask(&table)? {
            let known = if server.product == "MySQL" { ", name it in the server's innodb_directories," } else { "" };
            return Err(Error::failed(format!(
                "cannot restore tables that keep their files in {directory}: {refusal}"
            ))
            .hint(format!(
                "make that directory on the destination's host, owned by the server's account{known} and try again"
            )));
        }
    }
    Ok(())
}

/// MySQL only: MariaDB has none.
fn make_tablespaces(session: &mut Session, server: &ServerIdentity, needs: &Needs) -> Result<Vec<String>> {
    if needs.tablespaces.is_empty() || server.product != "MySQL" {
        return Ok(Vec::new());
    }
    let present: BTreeSet<String> = session
        .column("SELECT NAME FROM information_schema.INNODB_TABLESPACES WHERE SPACE_TYPE = 'General'")?
        .into_iter()
        .collect();
    let mut made = Vec::new();
    for (number, (name, block_size)) in needs.tablespaces.iter().enumerate() {
        if present.contains(name) {
            continue;
        }
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let file = if plain { format!("{name}.ibd") } else { format!("tablespace_{number}.ibd") };
        let block_size = block_size.map(|bytes| format!(" FILE_BLOCK_SIZE = {bytes}")).unwrap_or_default();
        let encryption = if needs.encrypted_tablespaces.contains(name) { " ENCRYPTION = 'Y'" } else { "" };
        let sql = format!(
            "CREATE TABLESPACE {} ADD DATAFILE {}{block_size}{encryption} ENGINE = InnoDB",
            names::quote(name),
            names::quote_text(&file)
        );
        session.rows(&sql).map_err(|error| {
            error
                .context(format!("cannot make tablespace {name}, which restored tables are in"))
                .hint("make it at the destination with CREATE TABLESPACE and try again")
        })?;
        made.push(format!(
            "tablespace {name} was made at the destination, in {file} of its data directory; the source may keep it elsewhere"
        ));
    }
    Ok(made)
}
