//! Session settings that change what a dump prints. A session takes them from the server's own defaults, which differ from
//! server to server; source and sandbox must print the same for the same data. Which settings these are was not collected
//! by accident: a test gives every session variable of the server another value and compares dumps.
//!
//! `mysqldump` of newer series takes a statement to begin with: it pins them. `mariadb-dump` sets what it needs itself, but
//! not all; what is left either does not reach what is compared, or the backup is refused.

use super::connection::Session;
use super::names;
use crate::error::{Error, Result};

/// Settings and the values under which everything is printed, and printed whole.
const PINNED: [(&str, &str); 15] = [
    ("default_week_format", "0"),
    ("div_precision_increment", "4"),
    ("group_concat_max_len", "1048576"),
    ("lc_time_names", "'en_US'"),
    ("max_execution_time", "0"),
    ("max_join_size", "18446744073709551615"),
    ("max_statement_time", "0"),
    ("show_create_table_skip_secondary_engine", "0"),
    ("show_create_table_verbosity", "0"),
    ("show_gipk_in_create_table_and_information_schema", "1"),
    ("sql_big_selects", "1"),
    ("sql_buffer_result", "0"),
    ("sql_mode", "''"),
    ("sql_quote_show_create", "1"),
    ("sql_select_limit", "18446744073709551615"),
];

/// Settings that make a dump smaller in silence, and the value that does not.
const SMALLER: [(&str, &str, &str); 2] =
    [("sql_select_limit", "18446744073709551615", "DEFAULT"), ("max_execution_time", "0", "0")];

/// Settings that the server computes values with: recorded with a backup, and given to the sandbox of a drill.
pub const RECORDED: [&str; 5] =
    ["default_week_format", "div_precision_increment", "group_concat_max_len", "lc_time_names", "old_mode"];

/// The statement that pins what this server knows.
pub fn statement(session: &mut Session) -> Result<String> {
    // Even the question below may be cut short; a server that does not know a setting refuses it and cuts nothing.
    for (name, harmless, _) in SMALLER {
        let _ = session.ask(&format!("SET SESSION {name} = {harmless}"))?;
    }
    let names = PINNED.map(|(name, _)| names::quote_text(name)).join(", ");
    let known = session.column(&format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({names})"))?;
    let known = PINNED.iter().filter(|(name, _)| known.iter().any(|known| known == name));
    let pins: Vec<String> = known.map(|(name, value)| format!("{name} = {value}")).collect();
    Ok(format!("SET SESSION {}", pins.join(", ")))
}

/// What would make a dump smaller in silence if the client did not pin it: a sentence each.
pub fn smaller(session: &mut Session) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for (name, harmless, mend) in SMALLER {
        // A server that does not know the setting refuses the question.
        let rows = session.ask(&format!("SELECT CAST(@@SESSION.{name} AS CHAR)"))?.unwrap_or_default();
        let value = rows.into_iter().next().and_then(|row| row.into_iter().next()?);
        if let Some(value) = value.filter(|value| value != harmless) {
            out.push(format!("{name} is {value} (SET GLOBAL {name} = {mend})"));
        }
    }
    Ok(out)
}

/// Refuse a source whose own settings would make the dump smaller.
pub fn refuse(smaller: &[String]) -> Result<()> {
    if smaller.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!("cannot back up with this server's settings: {}", smaller.join(", ")))
        .hint("with these settings the dump would silently miss rows: run the statements above, and change the server's option file too"))
}
