//! Accounts and grants as SQL: no schema dump contains them.

use std::collections::BTreeMap;

use super::connection::Session;
use super::names;
use crate::domain::digest::Digest;
use crate::domain::manifest::{Inventory, ObjectFacts, ObjectKind};
use crate::error::Result;

/// Accounts the server makes for itself.
const SYSTEM: [&str; 5] = ["mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "PUBLIC"];
/// The drill's own account in a sandbox.
pub const DRILL_ACCOUNT: &str = "backup_sla_drill";

/// One account: its name as people write it, and the statements that make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSql {
    /// `user@host`; roles have no host.
    pub name: String,
    /// In the order in which they must run.
    pub statements: Vec<String>,
}

impl AccountSql {
    /// What the manifest promises of it. Grants are compared as a set: servers list them in no fixed order. Grants on
    /// single objects that are not in the backup (other databases, tables long dropped) cannot come back.
    pub fn facts(&self, inventory: &Inventory) -> ObjectFacts {
        let mut sorted = self.statements.clone();
        sorted.retain(|statement| is_restorable(statement, inventory));
        sorted.sort();
        sorted.dedup();
        ObjectFacts {
            kind: ObjectKind::Account,
            name: self.name.clone(),
            definition: Digest::of(sorted.join("\n").as_bytes()),
            shown: None,
            definer: None,
        }
    }
}

/// Read every account but the server's own.
pub fn read(session: &mut Session, product: &str) -> Result<Vec<AccountSql>> {
    let maria = product == "MariaDB";
    if !maria {
        // Hashes of newer authentication methods are binary.
        session.rows("SET SESSION print_identified_with_as_hex = ON")?;
    }
    let query = if maria {
        "SELECT User, Host, is_role FROM mysql.user ORDER BY is_role DESC, User, Host"
    } else {
        "SELECT User, Host, 'N' FROM mysql.user ORDER BY User, Host"
    };
    let mut out = Vec::new();
    for row in session.rows(query)? {
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let (user, host, is_role) = (text(0), text(1), text(2) == "Y");
        if SYSTEM.contains(&user.as_str()) || user == DRILL_ACCOUNT {
            continue;
        }
        let quoted =
            if is_role { names::quote(&user) } else { format!("{}@{}", names::quote(&user), names::quote(&host)) };
        let mut statements = Vec::new();
        if is_role {
            statements.push(format!("CREATE ROLE IF NOT EXISTS {quoted}"));
        } else {
            for create in session.column(&format!("SHOW CREATE USER {quoted}"))? {
                let rest = with_empty_password(create.strip_prefix("CREATE USER ").unwrap_or(&create));
                statements.push(format!("CREATE USER IF NOT EXISTS {rest}"));
                statements.push(format!("ALTER USER {}", without_default_role(&rest)));
            }
        }
        let grants = session.column(&format!("SHOW GRANTS FOR {quoted}"))?;
        statements.extend(
            grants.into_iter().filter(|grant| !is_role || grant_is_for(grant, &quoted)).map(|g| without_password(&g)),
        );
        out.push(AccountSql { name: if is_role { user } else { format!("{user}@{host}") }, statements });
    }
    Ok(out)
}

/// A role's listing contains the grants of the roles it holds, too; those are listed with their own role.
fn grant_is_for(grant: &str, quoted: &str) -> bool {
    grant.contains(&format!(" TO {quoted}"))
}

/// MariaDB repeats the password in the first grant; it is already in `CREATE USER`.
fn without_password(grant: &str) -> String {
    let Some(at) = grant.find(" IDENTIFIED ") else { return grant.to_owned() };
    let rest = &grant[at..];
    let tail = [" REQUIRE ", " WITH "].iter().filter_map(|word| rest.find(word)).min();
    format!("{}{}", &grant[..at], tail.map_or("", |at| &rest[at..]))
}

/// `ALTER USER` of MySQL does not take `DEFAULT ROLE` together with the rest.
fn without_default_role(create: &str) -> String {
    let Some(at) = create.find(" DEFAULT ROLE ") else { return create.to_owned() };
    let rest = &create[at + 1..];
    let end = rest.find(" REQUIRE ").map_or("", |end| &rest[end..]);
    format!("{}{end}", &create[..at])
}

/// The stored file: plain SQL with a comment line per account.
pub fn file(accounts: &[AccountSql]) -> String {
    let mut out = String::from("-- Accounts and grants. Load as an administrator, after the data.\n");
    for account in accounts {
        out.push_str("\n-- ");
        out.push_str(&account.name.replace('\n', " "));
        out.push('\n');
        for statement in &account.statements {
            out.push_str(statement);
            out.push_str(";\n");
        }
    }
    out.push_str("\n-- Accounts completed\n");
    out
}

/// Accounts at a destination by name, with what a backup of `inventory` promises of them.
pub fn facts_by_name(accounts: &[AccountSql], inventory: &Inventory) -> BTreeMap<String, ObjectFacts> {
    accounts.iter().map(|account| (account.name.clone(), account.facts(inventory))).collect()
}

/// Whether what the statement grants on is there after a restore of `inventory`.
fn is_restorable(statement: &str, inventory: &Inventory) -> bool {
    let place = statement.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON ")?.1.split_once(" TO "));
    let Some((place, _)) = place else { return true };
    let routine =
        ["PROCEDURE ", "FUNCTION ", "PACKAGE BODY ", "PACKAGE "].iter().find_map(|kind| place.strip_prefix(kind));
    let Some((database, name)) = names::split_qualified(routine.unwrap_or(place)) else { return true };
    if name == "*" || database == "*" || database == "mysql" {
        return true;
    }
    let name = names::qualified(&database, &name);
    inventory.tables.iter().any(|table| table.name == name)
        || inventory.objects.iter().any(|object| object.name == name)
}

/// MySQL says nothing of an empty password; created from that, the account would be locked as expired.
fn with_empty_password(create: &str) -> String {
    for plugin in ["caching_sha2_password", "mysql_native_password", "sha256_password"] {
        let method = format!("IDENTIFIED WITH '{plugin}'");
        if create.contains(&method) && !create.contains(&format!("{method} AS ")) {
            return create.replacen(&method, &format!("{method} BY ''"), 1);
        }
    }
    create.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_lose_only_the_password_they_repeat() {
        let grant = "GRANT RELOAD ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD '*0' REQUIRE SSL WITH GRANT OPTION";
        assert_eq!(without_password(grant), "GRANT RELOAD ON *.* TO `b`@`%` REQUIRE SSL WITH GRANT OPTION");
        assert_eq!(without_password("GRANT `role` TO `b`@`%`"), "GRANT `role` TO `b`@`%`");
    }
}
