//! What stands in the way of increments at a source, each with what it means and the statement that mends it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::display;
use crate::engine::mysql::connection::Session;
use crate::engine::mysql::privileges::Grants;
use crate::error::{Error, Result};

/// Settings that matter; a name that a server does not know is left out.
const SETTINGS: [&str; 6] = [
    "log_bin",
    "binlog_format",
    "sync_binlog",
    "innodb_flush_log_at_trx_commit",
    "binlog_expire_logs_seconds",
    "expire_logs_days",
];
/// An outage of as many intervals should cost nothing.
const SURVIVED: u32 = 2;

/// What a server without a log needs.
pub const LOG_BIN: &str = "write `log_bin` into the server's [mysqld] section, restart it, and take a full backup";

/// An error where no increment can be taken, however the backup before it was made.
pub fn possible(session: &mut Session, product: &str, databases: &[String]) -> Result<()> {
    let is_on = session.value("SELECT @@GLOBAL.log_bin")?.is_some_and(|value| value != "0");
    if !is_on {
        return Err(Error::failed("the server keeps no binary log").hint(LOG_BIN));
    }
    allowed(session, product)?;
    logs_everything(session, databases)
}

/// An error that names the privileges for increments which the account lacks.
pub fn allowed(session: &mut Session, product: &str) -> Result<()> {
    let grants = Grants::read(&session.column("SHOW GRANTS")?);
    let user = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
    let missing = of_grants(&grants, product, &user);
    if missing.is_empty() {
        return Ok(());
    }
    let statements: Vec<&str> = missing.iter().filter_map(|said| said.split_once("; ")).map(|(_, sql)| sql).collect();
    Err(Error::failed("cannot read the binary log: the account lacks a privilege").hint(statements.join("; ")))
}

/// An error where changes of what is backed up are not in the server's own log: an increment of it would say that nothing came.
pub fn logs_everything(session: &mut Session, databases: &[String]) -> Result<()> {
    let is = |session: &mut Session, question: &str| -> Result<bool> {
        // A server that does not know a setting has no such thing.
        let answer = session.ask(question)?.unwrap_or_default();
        Ok(answer
            .into_iter()
            .next()
            .and_then(|mut row| row.pop().flatten())
            .is_some_and(|value| value != "0" && !value.is_empty()))
    };
    let repeats =
        is(session, "SELECT @@GLOBAL.log_slave_updates")? || is(session, "SELECT @@GLOBAL.log_replica_updates")?;
    let is_replica = is(session, "SELECT @@GLOBAL.wsrep_on")? || is_replica(session)?;
    if is_replica && !repeats {
        return Err(Error::failed("the server is a replica, and what it replicates is not in its own binary log")
            .hint("write `log_slave_updates` into its [mysqld] section and restart it, or back up the primary"));
    }
    let (only, without) = super::log::filters(session)?;
    let names = |list: &str| -> Vec<String> {
        list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let (only, without) = (names(&only), names(&without));
    let missing: Vec<&str> = databases
        .iter()
        .filter(|name| without.contains(name) || !only.is_empty() && !only.contains(name))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!("the server does not log changes of {}", missing.join(", ")))
        .hint("remove `binlog_do_db` and `binlog_ignore_db` from its [mysqld] section and restart it"))
}

/// Whether changes of a database are kept out of the log; not where the server does not say so.
pub fn is_filtered(session: &mut Session, database: &str) -> bool {
    let (only, without) = super::log::filters(session).unwrap_or_default();
    let has = |list: &str| list.split(',').any(|name| name.trim() == database);
    has(&without) || !only.is_empty() && !has(&only)
}

/// Whether the server takes changes from another one.
pub fn is_replica(session: &mut Session) -> Result<bool> {
    // Which of these there are, and may be asked, differs from product to product.
    let runs = session.ask("SHOW GLOBAL STATUS LIKE 'Slave_running'")?.unwrap_or_default();
    if runs.into_iter().any(|row| row.last().cloned().flatten().is_some_and(|state| state == "ON")) {
        return Ok(true);
    }
    let mut is_told = false;
    // MariaDB's connections have names, and the first of these shows none that has one.
    for question in ["SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS"] {
        match session.ask(question)? {
            Ok(rows) if !rows.is_empty() => return Ok(true),
            Ok(_) => is_told = true,
            Err(_) => {}
        }
    }
    // Whoever may not ask that (MariaDB: REPLICA MONITOR) sees whether it ever took changes by GTID.
    let has_taken = "SELECT @@GLOBAL.gtid_slave_pos <> ''";
    Ok(!is_told
        && session
            .ask(has_taken)?
            .is_ok_and(|rows| rows.first().and_then(|row| row.first()) == Some(&Some("1".to_owned()))))
}

/// Look at the source. `every`: how far apart increments are scheduled. `blocks`: whether definitions are to be blocked while a full backup
/// is read.
pub fn look(session: &mut Session, product: &str, every: Duration, blocks: bool) -> Result<Vec<String>> {
    let mut settings = BTreeMap::new();
    for name in SETTINGS {
        let found = session.rows(&format!("SHOW GLOBAL VARIABLES LIKE '{name}'"))?;
        if let Some(value) = found.into_iter().next().and_then(|mut row| row.pop().flatten()) {
            settings.insert(name.to_owned(), value);
        }
    }
    let grants = Grants::read(&session.column("SHOW GRANTS")?);
    // What may not be asked is among the privileges that are missing.
    let filters = super::log::filters(session).unwrap_or_default();
    let user = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
    let mut found = of_settings(&settings, every);
    found.extend(of_filters(&filters));
    found.extend(of_grants(&grants, product, &user));
    found.extend(of_block(&grants, product, &user).filter(|_| blocks));
    Ok(found)
}

fn of_settings(settings: &BTreeMap<String, String>, every: Duration) -> Vec<String> {
    let is = |name: &str, wanted: &[&str]| settings.get(name).is_some_and(|value| wanted.contains(&value.as_str()));
    if !is("log_bin", &["ON", "1"]) {
        return vec![
            "increments: the server keeps no binary log, so none can be taken; write `log_bin` into its [mysqld] section and restart it"
                .to_owned(),
        ];
    }
    let mut found = Vec::new();
    let mut say = |what: &str, mends: &str| found.push(format!("increments: {what}; {mends}"));
    match settings.get("binlog_format").map(String::as_str) {
        Some("STATEMENT") => say(
            "changes are logged as statements, which may do something else when they are replayed",
            "SET GLOBAL binlog_format = 'ROW'",
        ),
        Some("MIXED") => say(
            "some changes are logged as statements, whose rows cannot be counted",
            "SET GLOBAL binlog_format = 'ROW'",
        ),
        _ => {}
    }
    if settings.contains_key("sync_binlog") && !is("sync_binlog", &["1"]) {
        say(
            "after a crash of its host the log may lack what is stored already, and the chain breaks",
            "SET GLOBAL sync_binlog = 1",
        );
    }
    if settings.contains_key("innodb_flush_log_at_trx_commit") && !is("innodb_flush_log_at_trx_commit", &["1"]) {
        say(
            "after a crash of its host the tables may lack what is stored already",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
        );
    }
    let number = |name: &str, unit: f64| settings.get(name)?.parse::<f64>().ok().map(|value| value * unit);
    let kept = number("binlog_expire_logs_seconds", 1.0)
        .filter(|kept| *kept > 0.0)
        .or_else(|| number("expire_logs_days", 86_400.0));
    let wanted = every * SURVIVED;
    if let Some(kept) = kept.filter(|kept| *kept > 0.0 && *kept < wanted.as_secs_f64()) {
        let (kept, wanted_words) = (display::limit(Duration::from_secs_f64(kept)), display::limit(wanted));
        say(
            &format!("the server removes log files after {kept}, which may be before they are stored"),
            &format!(
                "keep them for {wanted_words} at least: SET GLOBAL binlog_expire_logs_seconds = {}",
                wanted.as_secs()
            ),
        );
    }
    found
}

fn of_filters((only, without): &(String, String)) -> Option<String> {
    let what = match (only.as_str(), without.as_str()) {
        ("", "") => return None,
        (only, "") => format!("only changes of {only} are logged (`binlog_do_db`)"),
        (_, without) => format!("changes of {without} are not logged (`binlog_ignore_db`)"),
    };
    Some(format!("increments: {what}: what is not logged is in no increment; remove the filter and restart the server"))
}

fn of_grants(grants: &Grants, product: &str, user: &str) -> Vec<String> {
    let monitor: &[&str] = if product == "MariaDB" {
        &["BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"]
    } else {
        &["REPLICATION CLIENT", "SUPER"]
    };
    let account = quoted_account(user);
    [monitor, &["REPLICATION SLAVE"]]
        .into_iter()
        .filter(|any| !any.iter().any(|privilege| grants.has(privilege, None, None)))
        .map(|any| format!("increments: the account lacks {0}; GRANT {0} ON *.* TO {account}", any[0]))
        .collect()
}

/// Without a block everything is still right, and costs more.
fn of_block(grants: &Grants, product: &str, user: &str) -> Option<String> {
    let needed: &[&str] = if product == "MariaDB" { &["RELOAD", "PROCESS"] } else { &["BACKUP_ADMIN"] };
    let missing: Vec<&str> = needed.iter().copied().filter(|privilege| !grants.may(privilege)).collect();
    (!missing.is_empty()).then(|| {
        let (lacks, granted, account) = (missing.join(" and "), missing.join(", "), quoted_account(user));
        format!(
            "increments: the account lacks {lacks}, so definitions are not blocked while a full backup is read: where one changes meanwhile, \
              no increment continues that full backup, and another one is taken; GRANT {granted} ON *.* TO {account}, or write \
              `block_ddl = false`"
        )
    })
}

/// `'backup'@'localhost'` of what the server calls it.
pub fn quoted_account(user: &str) -> String {
    user.split_once('@').map_or_else(
        || format!("'{user}'"),
        |(name, host)| format!("'{}'@'{}'", name.replace('\'', "''"), host.replace('\'', "''")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(settings: &[(&str, &str)], minutes: u64) -> String {
        let on = [
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("sync_binlog", "1"),
            ("innodb_flush_log_at_trx_commit", "1"),
        ];
        let all = on.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        of_settings(&all, Duration::from_mins(minutes)).join("\n")
    }

    #[test]
    fn each_setting_is_named_with_what_it_means_and_what_mends_it() {
        assert_eq!(said(&[], 15), "");
        assert!(
            said(&[("log_bin", "OFF"), ("sync_binlog", "0")], 15)
                .starts_with("increments: the server keeps no binary log")
        );
        assert!(said(&[("binlog_format", "STATEMENT")], 15).contains("do something else"));
        assert!(said(&[("binlog_format", "MIXED")], 15).contains("cannot be counted"));
        assert!(said(&[("sync_binlog", "0")], 15).contains("SET GLOBAL sync_binlog = 1"));
        assert!(said(&[("innodb_flush_log_at_trx_commit", "2")], 15).contains("innodb_flush_log_at_trx_commit = 1"));
        for (name, value, minutes, is_said) in [
            ("binlog_expire_logs_seconds", "1800", 15, false),
            ("binlog_expire_logs_seconds", "1799", 15, true),
            ("binlog_expire_logs_seconds", "0", 15, false),
            ("expire_logs_days", "1", 720, false),
            ("expire_logs_days", "1", 721, true),
            ("expire_logs_days", "0", 721, false),
        ] {
            assert_eq!(
                said(&[(name, value)], minutes).contains("removes log files"),
                is_said,
                "{name} {value} {minutes}"
            );
        }
        assert!(said(&[("binlog_expire_logs_seconds", "60"), ("expire_logs_days", "30")], 15).contains("after 1m"));
    }

    #[test]
    fn filters_and_privileges_are_named() {
        let filters = |only: &str, without: &str| of_filters(&(only.to_owned(), without.to_owned()));
        assert_eq!(filters("", ""), None);
        assert!(filters("a,b", "").unwrap().contains("only changes of a,b"));
        assert!(filters("", "c").unwrap().contains("changes of c are not logged"));
        let grants = |line: &str| of_grants(&Grants::read(&[line.to_owned()]), "MariaDB", "backup@localhost");
        assert_eq!(
            grants("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `backup`@`localhost`"),
            Vec::<String>::new()
        );
        assert_eq!(grants("GRANT ALL PRIVILEGES ON *.* TO `backup`@`localhost`"), Vec::<String>::new());
        assert_eq!(
            grants("GRANT SELECT ON *.* TO `backup`@`localhost`"),
            [
                "increments: the account lacks BINLOG MONITOR; GRANT BINLOG MONITOR ON *.* TO 'backup'@'localhost'",
                "increments: the account lacks REPLICATION SLAVE; GRANT REPLICATION SLAVE ON *.* TO 'backup'@'localhost'",
            ]
        );
    }
    #[test]
    fn what_is_lacking_to_block_definitions_is_named_with_what_it_costs() {
        let lacks = |product: &str, granted: &str| {
            let line = format!("GRANT {granted} ON *.* TO `backup`@`%`");
            of_block(&Grants::read(&[line]), product, "backup@%").unwrap_or_default()
        };
        for (product, granted, said) in [
            ("MariaDB", "SELECT", "GRANT RELOAD, PROCESS ON *.* TO 'backup'@'%'"),
            ("MariaDB", "PROCESS", "GRANT RELOAD ON *.* TO"),
            ("MariaDB", "RELOAD", "GRANT PROCESS ON *.* TO"),
            ("MySQL", "RELOAD, PROCESS", "GRANT BACKUP_ADMIN ON *.* TO"),
        ] {
            assert!(lacks(product, granted).contains(said), "{product} {granted}");
        }
        for (product, granted) in
            [("MariaDB", "RELOAD, PROCESS"), ("MySQL", "BACKUP_ADMIN"), ("MySQL", "ALL PRIVILEGES")]
        {
            assert_eq!(lacks(product, granted), "", "{product} {granted}");
        }
        assert!(lacks("MariaDB", "SELECT").contains("lacks RELOAD and PROCESS, so definitions are not blocked"));
    }
}
