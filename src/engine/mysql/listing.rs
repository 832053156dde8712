//! What the server says that it has: the other side of what a dump was found to contain. The dump client prints less than
//! that in silence when it may not see something; the scanner may be wrong. Neither would notice alone.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::Session;
use super::names;
use super::programs;
use super::relations::relations;
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::{Inventory, ObjectKind};
use crate::error::{Error, Result};

/// Mark in front of a name that is no valid file name of this server version.
const OLD_NAME: &str = "#mysql50#";

/// Kind and qualified name of everything that a backup should contain, and how many there are of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<(String, String), usize>);

/// Everything in `databases` but what was `left_out`.
pub fn read(session: &mut Session, databases: &[String], events: bool, left_out: &[LeftOut]) -> Result<Listing> {
    let mut out = Listing::default();
    for database in databases {
        out.add("database", &names::database(database));
        let absent = |kind: &str, name: &str| {
            let name = names::qualified(database, name);
            left_out.iter().any(|one| one.kind == kind && one.name == name)
        };
        for relation in relations(session, database)? {
            if !absent(relation.kind, &relation.name) {
                let name = relation.name.strip_prefix(OLD_NAME).unwrap_or(&relation.name);
                out.add(relation.kind, &names::qualified(database, name));
            }
        }
        let libraries = programs::libraries(session, database)?;
        for program in programs::of(session, database, events)?.into_iter().chain(libraries) {
            if absent("table", &program.table) || absent(&program.kind, &program.name) {
                continue;
            }
            let mut name = names::qualified(database, &program.name);
            let is_body = program.kind == "package body";
            name.push_str(if is_body { " body" } else { "" });
            out.add(if is_body { "package" } else { &program.kind }, &name);
        }
    }
    Ok(out)
}

impl Listing {
    /// What a dump was found to contain.
    pub fn of(inventory: &Inventory) -> Self {
        let mut out = Self::default();
        for table in &inventory.tables {
            out.add("table", &table.name);
        }
        let objects = inventory.objects.iter().filter(|object| object.kind != ObjectKind::Account);
        for object in objects {
            out.add(&object.kind.to_string(), &object.name);
        }
        out
    }

    /// A program's name is printed in the character set of whoever created it: beyond ASCII such names are only counted.
    fn add(&mut self, kind: &str, name: &str) {
        let plain = name.strip_suffix(" body").unwrap_or(name);
        let name = match names::split_qualified(plain) {
            Some((database, own)) if !own.is_ascii() && !matches!(kind, "table" | "view" | "sequence") => {
                format!("{}.(a name beyond ASCII)", names::database(&database))
            }
            _ => name.to_owned(),
        };
        *self.0.entry((kind.to_owned(), name)).or_default() += 1;
    }

    fn count(&self, one: &(String, String)) -> usize {
        self.0.get(one).copied().unwrap_or(0)
    }

    /// Hold what the stream contains against what the server had `before` it and what it has `after`. What changed
    /// meanwhile is worth a sentence; what the server names both times and the stream has not makes the dump worthless.
    pub fn check(&self, before: &Self, after: impl FnOnce() -> Result<Self>) -> Result<Vec<String>> {
        if self == before {
            return Ok(Vec::new());
        }
        let after = after()?;
        let named = |list: Vec<&(String, String)>| {
            let more = list.len().saturating_sub(3);
            let shown: Vec<String> = list.iter().take(3).map(|(kind, name)| format!("{kind} {name}")).collect();
            if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
        };
        let all: BTreeSet<_> = self.0.keys().chain(before.0.keys()).chain(after.0.keys()).collect();
        let those = |wanted: &dyn Fn(usize, usize, usize) -> bool| -> Vec<&(String, String)> {
            let wanted = |one: &&&(String, String)| wanted(self.count(one), before.count(one), after.count(one));
            all.iter().filter(wanted).copied().collect()
        };
        let lost = those(&|here, before, after| here < before.min(after));
        if !lost.is_empty() {
            return Err(Error::failed(format!(
                "cannot trust the dump: it lacks {}, which the server has",
                named(lost)
            ))
            .hint(
                "a definition changed while the dump ran, or the account may not see everything: try again, then check \
                     its privileges (/usr/share/doc/backup-sla/docs/mysql-privileges.md)",
            ));
        }
        let invented = those(&|here, before, after| here > before.max(after));
        if !invented.is_empty() {
            return Err(Error::failed(format!(
                "cannot trust the dump: it contains {}, which the server did not list before or after it",
                named(invented)
            ))
            .hint("definitions changed while the dump ran: try again"));
        }
        let dropped = those(&|here, before, _| here < before).into_iter().map(|(kind, name)| {
            format!("{kind} {name} was dropped or renamed while the backup ran: the backup does not have it")
        });
        let made = those(&|here, before, _| here > before);
        let made = made.into_iter().map(|(kind, name)| format!("{kind} {name} was made while the backup ran"));
        Ok(dropped.chain(made).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&str]) -> Listing {
        let mut out = Listing::default();
        for name in names {
            out.add("table", name);
        }
        out
    }

    #[test]
    fn a_table_that_the_server_names_before_and_after_must_be_in_the_stream() {
        let before = listing(&["d.a", "d.b"]);
        let same = listing(&["d.a", "d.b"]).check(&before, || Err(Error::failed("nobody asked"))).unwrap();
        assert_eq!(same, [""; 0]);
        let error = listing(&["d.a"]).check(&before, || Ok(before.clone())).unwrap_err();
        assert!(error.to_string().contains("it lacks table d.b, which the server has"), "{error}");
        let error = listing(&["d.a", "d.b", "d.x"]).check(&before, || Ok(before.clone())).unwrap_err();
        assert!(error.to_string().contains("it contains table d.x, which the server did not list"), "{error}");
    }

    #[test]
    fn an_object_of_any_kind_that_the_stream_lost_or_invented_is_an_error() {
        let of = |kind: ObjectKind| {
            let mut inventory = Inventory::default();
            let (name, definition) = ("d.x".to_owned(), crate::domain::digest::Digest::default());
            inventory.objects.push(crate::domain::manifest::ObjectFacts {
                kind,
                name,
                definition,
                shown: None,
                definer: None,
                ends: None,
            });
            Listing::of(&inventory)
        };
        for kind in [
            ObjectKind::Database,
            ObjectKind::View,
            ObjectKind::Procedure,
            ObjectKind::Function,
            ObjectKind::Package,
            ObjectKind::Library,
            ObjectKind::Trigger,
            ObjectKind::Event,
            ObjectKind::Sequence,
        ] {
            let lost = Listing::default().check(&of(kind), || Ok(of(kind))).unwrap_err().to_string();
            assert!(lost.contains(&format!("it lacks {kind} d.x, which the server has")), "{lost}");
            let invented = of(kind).check(&Listing::default(), || Ok(Listing::default())).unwrap_err().to_string();
            assert!(invented.contains(&format!("it contains {kind} d.x, which the server did not list")), "{invented}");
        }
    }

    #[test]
    fn what_came_or_went_meanwhile_is_a_sentence() {
        let said = listing(&["d.a", "d.new"]).check(&listing(&["d.a", "d.old"]), || Ok(listing(&["d.a", "d.new"])));
        let said = said.unwrap();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("table d.old was dropped or renamed"), "{said:?}");
        assert!(said[1].contains("table d.new was made"), "{said:?}");
    }
}
