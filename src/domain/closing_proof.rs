//! Holds a chain that was replayed to the place of the next full backup against what that full backup promises. Pure.
//!
//! Everything must be there with the same rows, contents and definitions. What may rightly differ is named, and never passes for
//! proved; anything else that differs means that a restore from this chain brings back something wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{Comparison, compare};
use super::drill::Check;
use super::expected::{database_of, lies_in, list, listed};
use super::manifest::{Inventory, ObjectKind, TableFacts};
use super::promise::{Changes, Origin, TableChanges};

/// A chain whose end is held against the next full backup.
#[derive(Debug, Clone, Copy)]
pub struct Closed<'a> {
    /// What its own full backup promises.
    pub base: &'a Inventory,
    /// What was replayed on top of it, in order.
    pub replayed: &'a [Changes],
    /// Tables that the next full backup read outside of its snapshot: before or after its place in the log.
    pub outside: &'a [String],
    /// What one of the two full backups left out, as checks name it: `table shop.t`.
    pub left_out: &'a BTreeSet<String>,
    /// Nobody knows yet whether definitions changed while the next full backup was read: then it may have what came after its place.
    pub may_be_half: bool,
}

/// What an unproved check is about, and why it proves nothing.
type Excuse = (String, &'static str);

/// What a chain came to, beside the next full backup.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// What was compared and is proof.
    pub comparison: Comparison,
    /// What was not proved, and why: one sentence for each reason.
    pub notes: Vec<String>,
    /// Those of them that are about something that differs, and may: the chain is not proved whole.
    pub differs: Vec<String>,
}

/// A transaction that was rolled back has used them up.
const USED_UP: &str = "numbers are used up without a trace in the log";
const BY_STATEMENTS: &str = "rows were changed by statements, which may give other values when they are run again";

/// Hold `found` against what the next full backup promises.
pub fn compare_closed(promised: &Inventory, found: &Inventory, chain: &Closed<'_>) -> Judged {
    let (mut promised, mut found) = (promised.clone(), found.clone());
    let mut beyond = Beyond::default();
    for inventory in [&mut promised, &mut found] {
        beyond.take_out(inventory, chain);
    }
    let mut comparison = compare(&promised, &found);
    let (never, may) = (outside(&promised, chain), may_differ(&promised, chain));
    let ended = ended(&promised, &found);
    let (mut used, mut differing): (BTreeSet<Excuse>, BTreeSet<Excuse>) = (BTreeSet::new(), BTreeSet::new());
    comparison.checks.retain(|check| {
        let excused = || [&may, &ended].iter().find_map(|excuses| excuses.get(&check.name).cloned());
        let excuse = match never.get(&check.name) {
            Some(never) => Some(never.clone()),
            None if check.ok => None,
            None => excused().or_else(|| is_half(check, chain)).inspect(|excuse| {
                // Numbers that nobody got lose nothing, and nearly every chain has some.
                if excuse.1 != USED_UP {
                    differing.insert(excuse.clone());
                }
            }),
        };
        let is_proof = excuse.is_none();
        used.extend(excuse);
        is_proof
    });
    comparison.tables.retain(|table| !used.iter().any(|(about, _)| *about == about_rows(&table.name)));
    let mut notes = beyond.notes();
    notes.extend(sentences(&used));
    Judged { comparison, notes, differs: sentences(&differing) }
}

/// One sentence for each reason.
fn sentences(excuses: &BTreeSet<Excuse>) -> Vec<String> {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (about, why) in excuses {
        reasons.entry(why).or_default().push(about);
    }
    reasons.into_iter().map(|(why, abouts)| format!("{} not proved: {why}", listed(&abouts))).collect()
}

fn about_rows(table: &str) -> String {
    format!("rows of table {table}")
}

/// What the chain cannot have.
#[derive(Default)]
struct Beyond {
    /// Databases that its full backup does not have and no statement creates.
    databases: BTreeSet<String>,
    /// What was left out of one of the two full backups.
    left_out: BTreeSet<String>,
}

impl Beyond {
    fn take_out(&mut self, inventory: &mut Inventory, chain: &Closed<'_>) {
        let named = chain.base.objects.iter().filter(|object| object.kind == ObjectKind::Database);
        let mut known: BTreeSet<&str> = named.map(|object| object.name.as_str()).collect();
        known.extend(chain.base.tables.iter().map(|table| database_of(&table.name)));
        let made = || chain.replayed.iter().flat_map(|changes| &changes.definitions);
        let mut is_in_chain = |name: &str| {
            let database = format!("{} {name}", ObjectKind::Database).to_lowercase();
            let is_known = known.contains(name) || made().any(|it| *it == "*" || it.to_lowercase() == database);
            if !is_known {
                self.databases.insert(name.to_owned());
            }
            is_known
        };
        inventory.tables.retain(|table| is_in_chain(database_of(&table.name)));
        inventory.objects.retain(|it| it.kind == ObjectKind::Account || is_in_chain(database_of(&it.name)));
        let mut is_in_both = |what: String| {
            let is_missing = chain.left_out.contains(&what);
            if is_missing {
                self.left_out.insert(what);
            }
            !is_missing
        };
        inventory.tables.retain(|table| is_in_both(format!("table {}", table.name)));
        inventory.objects.retain(|object| is_in_both(format!("{} {}", object.kind, object.name)));
    }

    fn notes(&self) -> Vec<String> {
        let names = |set: &'_ BTreeSet<String>| set.iter().cloned().collect::<Vec<String>>();
        let (databases, left_out) = (names(&self.databases), names(&self.left_out));
        let mut notes = Vec::new();
        if !databases.is_empty() {
            let all: Vec<&str> = databases.iter().map(String::as_str).collect();
            notes
                .push(format!("{} not proved: the full backup of the chain has nothing of it", list("database", &all)));
        }
        if !left_out.is_empty() {
            let all: Vec<&str> = left_out.iter().map(String::as_str).collect();
            notes.push(format!("{} not proved: a full backup left it out", listed(&all)));
        }
        notes
    }
}

/// The checks of a table's rows.
fn of_rows(table: &TableFacts) -> impl Iterator<Item = String> {
    let newest = table.newest.keys().map(|column| format!("newest {}.{column}", table.name));
    ["rows", "content"].into_iter().map(|what| format!("{what} {}", table.name)).chain(newest)
}

/// Checks of tables that were not part of the next full backup's snapshot: their rows are those of another moment, and that they
/// agree is chance.
fn outside(promised: &Inventory, chain: &Closed<'_>) -> BTreeMap<String, Excuse> {
    let why = "the next full backup read it outside of its snapshot";
    let tables = promised.tables.iter().filter(|table| chain.outside.contains(&table.name));
    tables.flat_map(|table| of_rows(table).map(|check| (check, (about_rows(&table.name), why)))).collect()
}

/// Checks that may differ although nothing is wrong. Where they agree they are proof all the same.
fn may_differ(promised: &Inventory, chain: &Closed<'_>) -> BTreeMap<String, Excuse> {
    let mut may = BTreeMap::new();
    let (varied, stated) = (varied(chain.replayed), Stated::of(promised, chain));
    let by_rows = |name: &String| chain.replayed.iter().any(|changes| changes.tables.get(name).is_some_and(has_rows));
    for table in &promised.tables {
        let about = about_rows(&table.name);
        if varied.contains(&table.name) {
            let why = "a statement on it gives other values when it is run again";
            may.extend(of_rows(table).map(|check| (check, (about.clone(), why))));
        } else if stated.names(&table.name) {
            may.extend(of_rows(table).map(|check| (check, (about.clone(), BY_STATEMENTS))));
        } else if stated.may_touch(&table.name) {
            // Row events say how many rows there are.
            let count = format!("rows {}", table.name);
            let is_excused = |check: &String| *check != count || !by_rows(&table.name);
            may.extend(of_rows(table).filter(is_excused).map(|check| (check, (about.clone(), BY_STATEMENTS))));
        }
        may.insert(format!("next id {}", table.name), (format!("the next number of table {}", table.name), USED_UP));
    }
    may
}

fn has_rows(changes: &TableChanges) -> bool {
    changes.inserted + changes.updated + changes.deleted > 0
}

/// What statements in statement format changed.
struct Stated {
    /// Tables, by the names that they have at the end.
    tables: BTreeSet<String>,
    /// Databases of which they may have changed any table.
    databases: BTreeSet<String>,
    /// They may have changed any table there is.
    anything: bool,
}

impl Stated {
    fn of(promised: &Inventory, chain: &Closed<'_>) -> Self {
        let mut stated = Self { tables: BTreeSet::new(), databases: BTreeSet::new(), anything: false };
        stated.tables = followed(chain.replayed, |changes| changes.stated.clone());
        for changes in chain.replayed.iter().filter(|changes| changes.by_statements) {
            stated.anything |= changes.stated.is_empty() || changes.stated.contains("*");
            for name in &changes.stated {
                let database = database_of(name);
                if name.ends_with(".*") || reaches_further(name, promised, chain) {
                    stated.databases.insert(database.to_owned());
                }
            }
        }
        stated
    }

    fn names(&self, table: &str) -> bool {
        self.anything || self.tables.contains(table)
    }

    fn may_touch(&self, table: &str) -> bool {
        self.databases.contains(database_of(table))
    }
}

/// Whether a statement on `name` may change other tables of its database: it is a view, or there are programs that may run with it.
fn reaches_further(name: &str, promised: &Inventory, chain: &Closed<'_>) -> bool {
    let database = database_of(name);
    let runs = |kind: ObjectKind| matches!(kind, ObjectKind::Trigger | ObjectKind::Function | ObjectKind::Package);
    chain.base.objects.iter().chain(&promised.objects).any(|object| {
        let is_view = object.kind == ObjectKind::View && object.name == name;
        is_view || runs(object.kind) && database_of(&object.name) == database
    })
}

/// An event whose time is over is switched off or dropped by the server, and the log does not say so: where one has an end, and is
/// missing on one side or differs in nothing but whether it is switched on.
fn ended(promised: &Inventory, found: &Inventory) -> BTreeMap<String, Excuse> {
    let events = |inventory: &Inventory| {
        let all = inventory.objects.iter().filter(|object| object.kind == ObjectKind::Event);
        all.map(|event| (event.name.clone(), event.ends)).collect::<BTreeMap<_, _>>()
    };
    let (promised, found) = (events(promised), events(found));
    let has_ended = |name: &&String| match (promised.get(*name), found.get(*name)) {
        (Some(one), Some(other)) => one.is_some() && one == other,
        (one, other) => one.or(other).is_some_and(Option::is_some),
    };
    let names: BTreeSet<&String> = promised.keys().chain(found.keys()).collect();
    let check = |name: &String| format!("{} {name}", ObjectKind::Event);
    let why = "an event ends by itself, and the log does not say when";
    names.into_iter().filter(has_ended).map(|name| (check(name), (check(name), why))).collect()
}

/// A definition that changed while the next full backup was read is in it, or half.
fn is_half(check: &Check, chain: &Closed<'_>) -> Option<Excuse> {
    let is_of_rows = ["rows ", "content ", "newest "].iter().any(|of_rows| check.name.starts_with(of_rows));
    let why = "it may have changed while the next full backup was read, which the next increment will tell";
    (chain.may_be_half && !is_of_rows).then(|| (check.name.clone(), why))
}

/// Tables that have, at the end, contents which a statement made and which it would make otherwise again.
fn varied(replayed: &[Changes]) -> BTreeSet<String> {
    followed(replayed, |changes| {
        let varies = changes.tables.iter().filter(|(_, table)| table.varies.is_some());
        varies.map(|(name, _)| name.clone()).collect()
    })
}

/// The tables that `of` names in any of the changes, by the names that they have at the end, unless they were emptied or dropped.
fn followed(replayed: &[Changes], of: impl Fn(&Changes) -> BTreeSet<String>) -> BTreeSet<String> {
    let mut named: BTreeSet<String> = BTreeSet::new();
    for changes in replayed {
        let touched = |name: &String| changes.tables.contains_key(name) || lies_in(name, &changes.dropped);
        let mut after: BTreeSet<String> = named.iter().filter(|name| !touched(name)).cloned().collect();
        for (name, table) in &changes.tables {
            let was = match &table.origin {
                Origin::Before | Origin::BeforeOrNothing => named.contains(name),
                Origin::Renamed(from) | Origin::RenamedOrNothing(from) => named.contains(from),
                Origin::Nothing | Origin::Gone => false,
            };
            if was {
                after.insert(name.clone());
            }
        }
        after.extend(of(changes));
        named = after;
    }
    named
}

#[cfg(test)]
mod tests;
