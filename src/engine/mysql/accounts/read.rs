//! Reading accounts from a server, each for itself: one that cannot be read is named and takes no other with it.

use super::super::readers;
use super::columns::Columns;
use super::statement::{self, is_granted_to, with_empty_password, without_default_role, without_password};
use super::{AccountSql, EVERYBODY};
use crate::domain::manifest::Inventory;
use crate::engine::mysql::connection::{Session, code};
use crate::engine::mysql::names;
use crate::engine::mysql::sql::Quoting;
use crate::error::{Error, Result};

/// Accounts the server makes for itself.
const SYSTEM: [&str; 4] = ["mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema"];

/// Whether an account is one that the server makes for itself: it is on every server, and in no backup.
pub fn is_the_servers(name: &str) -> bool {
    name.strip_suffix("@localhost").is_some_and(|user| SYSTEM.contains(&user))
}

/// What was read.
#[derive(Debug, Default)]
pub struct Accounts {
    /// Every account but the server's own.
    pub all: Vec<AccountSql>,
    /// Those that are left out, one sentence each.
    pub left_out: Vec<String>,
}

impl Accounts {
    /// What a reader of the backup must know of them.
    pub fn warnings(&self, inventory: &Inventory) -> Vec<String> {
        let lost = self.all.iter().flat_map(|account| {
            account.not_restorable(inventory).into_iter().map(move |grant| {
                format!("account {} has a grant on something that is not in this backup: {grant}", account.name)
            })
        });
        self.left_out.iter().cloned().chain(lost).collect()
    }
}

/// Settings of a session that reads or makes accounts: names are printed in backticks, whatever the server's default.
pub fn prepare(session: &mut Session, product: &str, sql_mode: &str) -> Result<()> {
    session.rows(&format!("SET SESSION sql_mode = {}, sql_quote_show_create = 1", names::quote_text(sql_mode)))?;
    if product == "MySQL" {
        // Hashes of newer authentication methods are binary.
        session.rows("SET SESSION print_identified_with_as_hex = ON")?;
    }
    Ok(())
}

/// Read every account but the server's own. The session must be [`prepare`]d.
pub fn read(session: &mut Session, product: &str) -> Result<Accounts> {
    let mut out = Accounts::default();
    let mut columns = Columns::default();
    for (user, host, is_role) in list(session, product)? {
        let name = if is_role { user.clone() } else { format!("{user}@{host}") };
        if SYSTEM.contains(&user.as_str()) && host == "localhost" {
            continue;
        }
        if readers::OWN.contains(&user.as_str()) {
            out.left_out.push(format!("account {name} is left out: drills use an account of this name"));
            continue;
        }
        match one(session, &user, &host, is_role) {
            Ok(Ok(statements)) => {
                let statements = columns.keep(session, &name, statements, &mut out.left_out)?;
                out.all.push(AccountSql { name, statements });
            }
            Ok(Err(statement)) => out.left_out.push(format!(
                "account {name} is left out: the server prints a statement that cannot be run again ({statement})"
            )),
            // 1141, 1133: in the table, but the running server does not know it.
            Err(error) if matches!(code(&error), Some(1141 | 1133)) => out.left_out.push(format!(
                "account {name} is left out: the server ignores it (a host name while skip_name_resolve is on, or \
                 privilege tables changed without FLUSH PRIVILEGES): {error}"
            )),
            Err(error) if code(&error).is_some() => {
                out.left_out.push(format!("account {name} is left out: cannot read it: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

/// User, host, and whether it is a role without a host.
fn list(session: &mut Session, product: &str) -> Result<Vec<(String, String, bool)>> {
    // MariaDB's `mysql.user` is a view of mariadb.sys@localhost, which may be gone; older servers have only that.
    let queries: &[&str] = if product == "MariaDB" {
        &[
            "SELECT User, Host, IF(COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) IN ('1', 'true'), 'Y', 'N') r \
             FROM mysql.global_priv ORDER BY r DESC, User, Host",
            "SELECT User, Host, is_role FROM mysql.user ORDER BY is_role DESC, User, Host",
        ]
    } else {
        &["SELECT User, Host, 'N' FROM mysql.user ORDER BY User, Host"]
    };
    let mut answer = Err(Error::failed("cannot list accounts: no query"));
    for query in queries {
        answer = session.rows(query);
        if answer.is_ok() {
            break;
        }
    }
    let rows = answer.map_err(|error| error.context("cannot list accounts"))?;
    let text = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    Ok(rows.iter().map(|row| (text(row, 0), text(row, 1), text(row, 2) == "Y")).collect())
}

/// The statements of one account, or the one that would not be read as it was meant.
fn one(session: &mut Session, user: &str, host: &str, is_role: bool) -> Result<Result<Vec<String>, String>> {
    let is_everybody = is_role && user.eq_ignore_ascii_case(EVERYBODY);
    let quoted = match (is_role, is_everybody) {
        (_, true) => EVERYBODY.to_owned(),
        (true, _) => names::quote(user),
        _ => format!("{}@{}", names::quote(user), names::quote(host)),
    };
    let mut statements = Vec::new();
    if is_role && !is_everybody {
        statements.push(format!("CREATE ROLE IF NOT EXISTS {quoted}"));
    } else if !is_role {
        for create in session.column(&format!("SHOW CREATE USER {quoted}"))? {
            let definition = with_empty_password(create.strip_prefix("CREATE USER ").unwrap_or(&create));
            statements.push(format!("CREATE USER IF NOT EXISTS {definition}"));
            statements.push(format!("ALTER USER {}", without_default_role(&definition).0));
        }
    }
    let grants = session.column(&format!("SHOW GRANTS FOR {quoted}"))?;
    statements.extend(
        grants.into_iter().filter(|grant| !is_role || is_granted_to(grant, &quoted)).map(|g| without_password(&g)),
    );
    // A text that the server did not quote could end one statement and begin another.
    match statements.iter().find(|sql| statement::read(sql, Quoting::default()).is_none()) {
        Some(odd) => Ok(Err(odd.split_whitespace().next().unwrap_or_default().to_owned())),
        None => Ok(Ok(statements)),
    }
}
