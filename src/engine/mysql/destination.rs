//! What the account at a destination must be allowed to do. Looked for before anything is loaded: a load that ends in the
//! middle for want of a privilege leaves half a server behind.

use std::collections::BTreeSet;

use super::account::Account;
use super::connection::Session;
use super::names;
use super::privileges::Grants;
use crate::domain::manifest::{Manifest, ObjectKind};
use crate::engine::LoadOptions;
use crate::error::{Error, Result};

/// Privileges that tables need, and those that a kind of object needs beside them.
const TABLES: [&str; 6] = ["SELECT", "INSERT", "CREATE", "DROP", "ALTER", "INDEX"];
const OBJECTS: [(ObjectKind, &str); 8] = [
    (ObjectKind::View, "CREATE VIEW"),
    (ObjectKind::View, "SHOW VIEW"),
    (ObjectKind::Procedure, "CREATE ROUTINE"),
    (ObjectKind::Function, "CREATE ROUTINE"),
    (ObjectKind::Package, "CREATE ROUTINE"),
    (ObjectKind::Library, "CREATE ROUTINE"),
    (ObjectKind::Trigger, "TRIGGER"),
    (ObjectKind::Event, "EVENT"),
];

/// Refuse a destination whose account cannot take what `options` ask for.
pub fn check(session: &mut Session, to: &Account, manifest: &Manifest, options: &LoadOptions) -> Result<()> {
    let grants = Grants::read(&session.column("SHOW GRANTS")?);
    let own = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
    let missing = missing(&grants, manifest, options, &own);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!("cannot restore to {}: {own} lacks {}", to.describe(), missing.join(", "))).hint(
        "give it ALL PRIVILEGES ON *.* WITH GRANT OPTION for the time of the restore, or use another account with --user and \
         --password-file: /usr/share/doc/backup-sla/docs/mysql-privileges.md (\"The account at the destination\")",
    ))
}

fn missing(grants: &Grants, manifest: &Manifest, options: &LoadOptions, own: &str) -> Vec<String> {
    let inventory = manifest.inventory();
    let objects = || inventory.objects.iter().filter(|_| options.tables.is_empty());
    let mut wanted: BTreeSet<(&str, String)> = BTreeSet::new();
    let database = |name: &str| names::split_qualified(name).map(|(database, _)| database);
    let named = |name: &String| options.tables.is_empty() || options.tables.contains(name);
    for table in inventory.tables.iter().filter(|table| named(&table.name)) {
        let database = database(&table.name).unwrap_or_default();
        wanted.extend(TABLES.map(|privilege| (privilege, database.clone())));
    }
    for object in objects() {
        let needs = OBJECTS.iter().filter(|(kind, _)| *kind == object.kind);
        wanted.extend(needs.filter_map(|(_, privilege)| Some((*privilege, database(&object.name)?))));
    }
    let missing = wanted.into_iter().filter(|(privilege, database)| !grants.allows(privilege, database));
    let mut out: Vec<String> =
        missing.map(|(privilege, database)| format!("{privilege} on {}.*", names::quote(&database))).collect();
    let in_other_names = objects()
        .any(|object| object.kind != ObjectKind::Account && object.definer.as_deref().is_some_and(|name| name != own));
    let definers: &[&str] = match manifest.server.product.as_str() {
        "MySQL" => &["SET_ANY_DEFINER", "SET_USER_ID", "SUPER"],
        _ => &["SET USER", "SUPER"],
    };
    if in_other_names && !definers.iter().any(|privilege| grants.may(privilege)) {
        out.push(format!("{} on *.* (objects of other definers)", definers[0]));
    }
    if options.accounts && options.tables.is_empty() && inventory.objects.iter().any(|o| o.kind == ObjectKind::Account)
    {
        if !grants.may("CREATE USER") {
            out.push("CREATE USER on *.* (accounts; --no-accounts leaves them out)".to_owned());
        } else if !grants.may_give() {
            out.push("GRANT OPTION on *.* (accounts; --no-accounts leaves them out)".to_owned());
        }
    }
    out
}
