//! Accounts and grants as SQL: no schema dump contains them. Read from a server (`read`), kept in a file beside the dump
//! (`file`), and brought to a destination in an order that works (`restore`).

mod columns;
mod file;
mod read;
mod restore;
mod statement;
mod suits;

use std::collections::BTreeMap;

pub use self::file::write;
pub use self::read::{Accounts, is_the_servers, prepare, read};
pub use self::restore::{Outcome, Restoring};
use self::statement::Object;
pub use self::suits::check as suits;
use super::connection::Session;
use super::names;
use super::sql::Quoting;
use crate::domain::digest::Digest;
use crate::domain::manifest::{Inventory, Manifest, ObjectFacts, ObjectKind};
use crate::error::Result;

/// The drill's own account in a sandbox.
pub const DRILL_ACCOUNT: &str = "backup_sla_drill";
/// The role that everybody has (MariaDB): it is never made, only given something.
const EVERYBODY: &str = "PUBLIC";

/// One account: its name as people write it, and the statements that make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSql {
    /// `user@host`; roles of MariaDB have no host.
    pub name: String,
    /// As the server says them.
    pub statements: Vec<String>,
}

/// Which grants a backup promises. What is promised must be computed again as the version did that promised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Routines are found whatever the case of their names: servers list grants on them in small letters.
    Current,
    /// Until 0.3: grants on routines with capitals in their names were taken for grants on something else.
    ExactCase,
}

impl AccountSql {
    /// What the manifest promises of it. Grants are compared as a set: servers list them in no fixed order. Grants on
    /// single objects that are not in the backup (other databases, tables long dropped) cannot come back.
    pub fn facts(&self, inventory: &Inventory) -> ObjectFacts {
        self.facts_under(Rule::Current, inventory)
    }

    /// The same, by the rule under which `promised` was made, if it is as promised under any.
    fn facts_like(&self, promised: &ObjectFacts, inventory: &Inventory) -> ObjectFacts {
        let before = self.facts_under(Rule::ExactCase, inventory);
        if before.definition == promised.definition { before } else { self.facts(inventory) }
    }

    fn facts_under(&self, rule: Rule, inventory: &Inventory) -> ObjectFacts {
        let mut sorted = self.statements.clone();
        sorted.retain(|statement| is_restorable(statement, inventory, rule));
        sorted.sort();
        sorted.dedup();
        ObjectFacts {
            kind: ObjectKind::Account,
            name: self.name.clone(),
            definition: Digest::of(sorted.join("\n").as_bytes()),
            shown: None,
            definer: None,
            ends: None,
        }
    }

    /// Grants on objects that the backup does not contain.
    pub fn not_restorable(&self, inventory: &Inventory) -> Vec<&String> {
        self.statements.iter().filter(|statement| !is_restorable(statement, inventory, Rule::Current)).collect()
    }
}

/// What is at a destination of the accounts that `inventory` promises, by name.
fn promised_there(accounts: &[AccountSql], inventory: &Inventory) -> BTreeMap<String, ObjectFacts> {
    let there: BTreeMap<&str, &AccountSql> = accounts.iter().map(|one| (one.name.as_str(), one)).collect();
    let promised = inventory.objects.iter().filter(|object| object.kind == ObjectKind::Account);
    promised
        .filter_map(|object| {
            Some((object.name.clone(), there.get(object.name.as_str())?.facts_like(object, inventory)))
        })
        .collect()
}

/// Accounts at a destination, and which of those that `manifest` promises are there as they should be.
pub fn read_promised(
    session: &mut Session,
    manifest: &Manifest,
) -> Result<(Vec<AccountSql>, BTreeMap<String, ObjectFacts>)> {
    let product = &manifest.server.product;
    prepare(session, product, "")?;
    let all = read(session, product)?.all;
    let mut there = promised_there(&all, manifest.inventory());
    let promised = manifest.inventory().objects.iter().filter(|object| object.kind == ObjectKind::Account);
    let holds = promised.clone().all(|object| there.get(&object.name) == Some(object));
    if let (Some(mode), false) = (manifest.settings.get("sql_mode").filter(|mode| !mode.is_empty()), holds) {
        // Earlier versions read accounts under the server's own mode, which decides how names are quoted.
        prepare(session, product, mode)?;
        let before = promised_there(&read(session, product)?.all, manifest.inventory());
        there.extend(before.into_iter().filter(|(_, found)| manifest.inventory().objects.contains(found)));
        prepare(session, product, "")?;
    }
    Ok((all, there))
}

/// Whether what the statement grants on is there after a restore of `inventory`.
fn is_restorable(sql: &str, inventory: &Inventory, rule: Rule) -> bool {
    let Some((_, Some(object))) = statement::read(sql, Quoting::default()) else { return true };
    object.database == "mysql" || is_in(&object, inventory, rule)
}

fn is_in(object: &Object, inventory: &Inventory, rule: Rule) -> bool {
    let name = names::qualified(&object.database, &object.name);
    let same = |other: &String| {
        *other == name || rule == Rule::Current && object.is_routine && other.to_lowercase() == name.to_lowercase()
    };
    inventory.tables.iter().any(|table| table.name == name) || inventory.objects.iter().any(|object| same(&object.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routine(name: &str) -> Inventory {
        let digest = Digest::of(b"");
        let kind = ObjectKind::Procedure;
        let object =
            ObjectFacts { kind, name: name.to_owned(), definition: digest, shown: None, definer: None, ends: None };
        Inventory { objects: vec![object], ..Inventory::default() }
    }

    fn account(grant: &str) -> AccountSql {
        AccountSql { name: "u@%".to_owned(), statements: vec!["CREATE USER `u`@`%`".to_owned(), grant.to_owned()] }
    }

    #[test]
    fn a_grant_on_a_routine_with_capitals_is_promised_and_missed() {
        let inventory = routine("app.Proc1");
        let with = account("GRANT EXECUTE ON PROCEDURE `app`.`proc1` TO `u`@`%`");
        let without = AccountSql { statements: with.statements[..1].to_vec(), ..with.clone() };
        let promised = with.facts(&inventory);
        assert_eq!(with.facts_like(&promised, &inventory), promised);
        assert_ne!(without.facts_like(&promised, &inventory), promised);
        // An earlier version promised less; its backups are as good as they were.
        let earlier = with.facts_under(Rule::ExactCase, &inventory);
        assert_eq!(with.facts_like(&earlier, &inventory), earlier);
    }

    #[test]
    fn an_account_is_the_same_in_whatever_order_a_server_lists_its_grants() {
        let inventory = routine("app.p");
        let grants =
            ["GRANT `a` TO `u`@`%`", "GRANT `b` TO `u`@`%`", "GRANT EXECUTE ON PROCEDURE `app`.`p` TO `u`@`%`"];
        let of = |order: &[usize]| {
            let statements = order.iter().map(|at| grants[*at].to_owned()).collect();
            AccountSql { name: "u@%".to_owned(), statements }.facts(&inventory)
        };
        assert_eq!(of(&[0, 1, 2]), of(&[2, 1, 0, 1]));
        assert_ne!(of(&[0, 1, 2]), of(&[0, 1]));
    }

    #[test]
    fn only_routines_are_found_whatever_the_case_of_their_names() {
        let inventory = routine("app.Proc1");
        assert!(account("GRANT EXECUTE ON PROCEDURE `app`.`proc1` TO `u`@`%`").not_restorable(&inventory).is_empty());
        assert_eq!(account("GRANT SELECT ON `app`.`proc1` TO `u`@`%`").not_restorable(&inventory).len(), 1);
    }

    #[test]
    fn grants_on_what_is_not_backed_up_are_not_promised() {
        let inventory = routine("app.p");
        let with = account("GRANT SELECT ON `other`.`t` TO `u`@`%`");
        let without = AccountSql { statements: with.statements[..1].to_vec(), ..with.clone() };
        assert_eq!(with.facts(&inventory), without.facts(&inventory));
        // Every server has these.
        assert!(account("GRANT SELECT ON `mysql`.`proc` TO `u`@`%`").not_restorable(&inventory).is_empty());
        assert!(account("GRANT SELECT ON `other`.`t` TO `u`@`%`").not_restorable(&inventory).len() == 1);
        assert!(account("GRANT SELECT ON `other`.* TO `u`@`%`").not_restorable(&inventory).is_empty());
    }
}
