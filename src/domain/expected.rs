//! What must be true after increments were replayed on a full backup. Pure.
//!
//! A table that no increment touches must be exactly as the full promises it. Of one whose rows were counted the number is
//! known, and nothing else. What cannot be known is named, and never passes for proved.

mod reach;

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{Comparison, compare};
use super::digest::Digest;
use super::manifest::{Inventory, ObjectFacts, ObjectKind, Reach, TableFacts};
use super::promise::{Changes, Origin, TableChanges};

/// Names that a note lists.
const LISTED: usize = 10;

/// What is known of a table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// As in the full backup, every one.
    Untouched(Box<TableFacts>),
    /// So many.
    Counted(u64),
    /// Nothing, for this reason.
    Uncounted(String),
}

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTable {
    /// Its rows.
    pub rows: Rows,
    /// Its definition; none where a statement may have changed it.
    pub definition: Option<Digest>,
    /// It may not be there at all, or be no table.
    pub may_be_missing: bool,
}

impl ExpectedTable {
    fn empty() -> Self {
        Self { rows: Rows::Counted(0), definition: None, may_be_missing: false }
    }

    fn unknown(why: &str) -> Self {
        Self { rows: Rows::Uncounted(why.to_owned()), definition: None, may_be_missing: true }
    }

    fn count(&self) -> Result<u64, &str> {
        match &self.rows {
            Rows::Untouched(facts) => Ok(facts.rows),
            Rows::Counted(rows) => Ok(*rows),
            Rows::Uncounted(why) => Err(why),
        }
    }

    /// The same table after these changes.
    fn after(&self, changes: &TableChanges) -> Self {
        let rows = match (&changes.uncounted, self.count()) {
            (Some(why), _) => Rows::Uncounted(why.clone()),
            (None, Err(why)) => Rows::Uncounted(why.to_owned()),
            (None, Ok(before)) => {
                let after = before.checked_add(changes.inserted).and_then(|all| all.checked_sub(changes.deleted));
                let odd = || Rows::Uncounted("more rows of it were deleted than there were".to_owned());
                after.map_or_else(odd, Rows::Counted)
            }
        };
        let definition = self.definition.filter(|_| !changes.redefined);
        Self { rows, definition, may_be_missing: self.may_be_missing }
    }
}

/// What must be there after a replay.
pub struct Expected {
    tables: BTreeMap<String, ExpectedTable>,
    objects: BTreeMap<(ObjectKind, String), ObjectFacts>,
    /// What may be defined otherwise, in small letters: names of programs have none of their own.
    loose: BTreeSet<String>,
    /// Databases that were dropped on the way.
    dropped: BTreeSet<String>,
    /// Databases of the full backup: a log has those of the whole server.
    databases: BTreeSet<String>,
    /// Others, of which the log has something.
    strange: BTreeSet<String>,
    /// What a statement on one table changes in others.
    reach: Option<Reach>,
    /// Tables that were made, redefined or dropped on the way: what they refer to, and what they are, nobody knows.
    redefined: BTreeSet<String>,
}

impl Expected {
    /// What is there after these increments, in order, on top of `base`. Databases that it does not have are not part of it.
    pub fn after<'c>(base: &Inventory, increments: impl IntoIterator<Item = &'c Changes>) -> Self {
        let named = base.objects.iter().filter(|object| object.kind == ObjectKind::Database);
        let mut databases: BTreeSet<String> = named.map(|object| object.name.clone()).collect();
        databases.extend(base.tables.iter().map(|table| database_of(&table.name).to_owned()));
        Self::in_databases(databases, base, increments)
    }

    fn in_databases<'c>(
        databases: BTreeSet<String>,
        base: &Inventory,
        increments: impl IntoIterator<Item = &'c Changes>,
    ) -> Self {
        let table = |facts: &TableFacts| ExpectedTable {
            rows: Rows::Untouched(Box::new(facts.clone())),
            definition: Some(facts.definition),
            may_be_missing: false,
        };
        let mut expected = Self {
            tables: base.tables.iter().map(|facts| (facts.name.clone(), table(facts))).collect(),
            objects: base.objects.iter().map(|facts| ((facts.kind, facts.name.clone()), facts.clone())).collect(),
            loose: BTreeSet::new(),
            dropped: BTreeSet::new(),
            databases,
            strange: BTreeSet::new(),
            reach: base.reach.clone(),
            redefined: BTreeSet::new(),
        };
        for changes in increments {
            expected.apply(changes);
        }
        expected
    }

    /// Tables by qualified name.
    pub fn tables(&self) -> &BTreeMap<String, ExpectedTable> {
        &self.tables
    }

    /// The rows of this table are not to be compared, for a reason that no log knows: it was outside of the snapshot, or its
    /// storage engine keeps none.
    pub fn doubt(&mut self, table: &str, why: &str) {
        if let Some(table) = self.tables.get_mut(table) {
            table.rows = Rows::Uncounted(why.to_owned());
        }
    }

    fn apply(&mut self, changes: &Changes) {
        self.loose.extend(changes.definitions.iter().map(|name| name.to_lowercase()));
        self.dropped.extend(changes.dropped.iter().cloned());
        let redefined = changes.tables.iter().filter(|(_, table)| table.redefined || table.origin == Origin::Gone);
        self.redefined.extend(redefined.map(|(name, _)| name.clone()));
        let reached = self.reached(changes);
        let before = std::mem::take(&mut self.tables);
        for (name, table) in before.iter().filter(|(name, _)| !changes.tables.contains_key(*name)) {
            if !lies_in(name, &changes.dropped) {
                let mut table = table.clone();
                if let Some(why) = &changes.uncounted {
                    table.rows = Rows::Uncounted(why.clone());
                }
                self.tables.insert(name.clone(), table);
            }
        }
        for (name, one) in &changes.tables {
            if !self.is_in_scope(name) {
                self.strange.insert(database_of(name).to_owned());
            } else if let Some(table) = self.table(&before, name, one) {
                self.tables.insert(name.clone(), table);
            }
        }
        for (name, table) in &mut self.tables {
            if let Some(why) = reached.why(name) {
                table.rows = Rows::Uncounted(why.to_owned());
            }
        }
        self.count(changes);
        if self.loose.contains("table *") || self.loose.contains("*") {
            self.tables.values_mut().for_each(|table| table.definition = None);
        }
    }

    /// What was counted at the end of an increment is so, whatever its log says.
    fn count(&mut self, changes: &Changes) {
        for (name, rows) in &changes.counted {
            let known = self.tables.get_mut(name).filter(|table| !table.may_be_missing && table.count() != Ok(*rows));
            if let Some(table) = known {
                table.rows = Rows::Counted(*rows);
            }
        }
    }

    /// What an increment made of a table; none where it is gone, or none.
    fn table(
        &mut self,
        before: &BTreeMap<String, ExpectedTable>,
        name: &str,
        changes: &TableChanges,
    ) -> Option<ExpectedTable> {
        let empty = ExpectedTable::empty();
        // Where it was only emptied, it is still the same table.
        let emptied =
            ExpectedTable { definition: before.get(name).and_then(|table| table.definition), ..empty.clone() };
        let of = match &changes.origin {
            Origin::Gone => return None,
            Origin::Nothing => Some(&emptied),
            Origin::Before => before.get(name),
            Origin::BeforeOrNothing => before.get(name).or(Some(&empty)),
            Origin::Renamed(from) => before.get(from),
            Origin::RenamedOrNothing(from) => before.get(from).or(Some(&empty)),
        };
        if of.is_none() && self.objects.contains_key(&(ObjectKind::Sequence, name.to_owned())) {
            // What a sequence gives out is written like a row.
            self.loose.insert(format!("{} {name}", ObjectKind::Sequence).to_lowercase());
            return None;
        }
        let unknown = || ExpectedTable::unknown("the full backup does not have it");
        Some(of.map_or_else(unknown, |of| of.after(changes)))
    }

    fn is_in_scope(&self, name: &str) -> bool {
        self.databases.contains(database_of(name))
    }

    /// Whether it may be another one, or be there or not.
    fn is_loose(&self, kind: ObjectKind, name: &str) -> bool {
        let named = format!("{kind} {name}").to_lowercase();
        let begins = |pattern: &String| pattern.strip_suffix('*').is_some_and(|beginning| named.starts_with(beginning));
        self.loose.contains(&named) || self.loose.iter().any(begins) || lies_in(name, &self.dropped)
    }

    /// Hold what was found against it. The notes say what was not compared, and why.
    pub fn compare(&self, found: &Inventory) -> (Comparison, Vec<String>) {
        let mut found = found.clone();
        let is_unknown = self.loose.contains("*");
        found
            .tables
            .retain(|table| self.is_in_scope(&table.name) && (!is_unknown || self.tables.contains_key(&table.name)));
        found.objects.retain(|object| object.kind == ObjectKind::Account || self.is_in_scope(&object.name));
        let mut loose = BTreeSet::new();
        found.objects.retain(|object| {
            let is_loose = self.is_loose(object.kind, &object.name);
            is_loose.then(|| loose.insert(format!("{} {}", object.kind, object.name)));
            !is_loose
        });
        let (expected, unproved) = self.inventory(&found, &mut loose);
        let mut comparison = compare(&expected, &found);
        comparison.checks.retain(|check| !unproved.contains(&check.name));
        let is_whole = |name: &str| matches!(self.tables.get(name).map(|table| &table.rows), Some(Rows::Untouched(_)));
        let is_counted = |name: &str| matches!(self.tables.get(name).map(|table| &table.rows), Some(Rows::Counted(_)));
        for table in comparison.tables.iter().filter(|table| is_counted(&table.name)) {
            comparison.counted.tables += 1;
            comparison.counted.rows += table.rows_restored;
        }
        comparison.tables.retain(|table| is_whole(&table.name));
        (comparison, self.notes(&found, &loose))
    }

    /// The same as an inventory: what is not known is taken from what was found, and named.
    fn inventory(&self, found: &Inventory, loose: &mut BTreeSet<String>) -> (Inventory, BTreeSet<String>) {
        let there: BTreeMap<&str, &TableFacts> =
            found.tables.iter().map(|table| (table.name.as_str(), table)).collect();
        let (mut inventory, mut unproved) = (Inventory::default(), BTreeSet::new());
        for (name, table) in &self.tables {
            let restored = there.get(name.as_str()).copied();
            if restored.is_none() && (table.may_be_missing || self.loose.contains("*")) {
                continue;
            }
            let mut facts = restored.cloned().unwrap_or_else(|| TableFacts {
                name: name.clone(),
                rows: table.count().unwrap_or(0),
                digest: Digest::default(),
                definition: Digest::default(),
                newest: BTreeMap::new(),
                next_id: None,
            });
            match &table.rows {
                Rows::Untouched(promised) => {
                    facts = TableFacts { definition: facts.definition, ..(**promised).clone() }
                }
                Rows::Counted(rows) => facts.rows = *rows,
                Rows::Uncounted(_) => drop(unproved.insert(format!("rows {name}"))),
            }
            if !matches!(table.rows, Rows::Untouched(_)) {
                (facts.newest, facts.next_id) = (BTreeMap::new(), None);
                unproved.insert(format!("content {name}"));
            }
            match table.definition {
                Some(definition) => facts.definition = definition,
                None => drop(unproved.insert(format!("definition {name}"))),
            }
            inventory.tables.push(facts);
        }
        for ((kind, name), object) in &self.objects {
            if self.is_loose(*kind, name) {
                loose.insert(format!("{kind} {name}"));
            } else {
                inventory.objects.push(object.clone());
            }
        }
        (inventory, unproved)
    }

    fn notes(&self, found: &Inventory, loose: &BTreeSet<String>) -> Vec<String> {
        let is_there = |name: &str| found.tables.iter().any(|table| table.name == name);
        let tables = || self.tables.iter().filter(|(name, table)| !table.may_be_missing || is_there(name));
        let mut notes = Vec::new();
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, table) in tables() {
            if let Rows::Uncounted(why) = &table.rows {
                reasons.entry(why).or_default().push(name);
            }
        }
        for (why, names) in reasons {
            notes.push(format!("rows of {} were not compared: {why}", list("table", &names)));
        }
        let counted: Vec<&str> = tables()
            .filter(|(_, table)| matches!(table.rows, Rows::Counted(_)))
            .map(|(name, _)| name.as_str())
            .collect();
        if !counted.is_empty() {
            notes.push(format!(
                "of {} the number of rows was compared, not their content: increments changed it",
                list("table", &counted)
            ));
        }
        let redefined: Vec<&str> =
            tables().filter(|(_, table)| table.definition.is_none()).map(|(name, _)| name.as_str()).collect();
        if !redefined.is_empty() {
            notes.push(format!(
                "definitions of {} were not compared: statements of the increments may have changed them",
                list("table", &redefined)
            ));
        }
        if !loose.is_empty() {
            let names: Vec<&str> = loose.iter().map(String::as_str).collect();
            notes.push(format!(
                "{} not compared: statements of the increments may have changed them",
                match names.len() {
                    1 => format!("{} was", names[0]),
                    _ => format!("{} were", listed(&names)),
                }
            ));
        }
        if !self.strange.is_empty() {
            let names: Vec<&str> = self.strange.iter().map(String::as_str).collect();
            notes.push(format!(
                "{} not compared: the full backup does not have {}",
                counted_databases(&names),
                if names.len() == 1 { "it" } else { "them" }
            ));
        }
        if self.loose.contains("*") {
            notes.push(
                "it was not compared whether everything is there: a statement of the increments is not understood"
                    .to_owned(),
            );
        }
        notes
    }
}

/// `database e was`, `2 databases (e, f) were`.
fn counted_databases(names: &[&str]) -> String {
    format!("{} {}", list("database", names), if names.len() == 1 { "was" } else { "were" })
}

/// The database of a name as people write it: `database.table`, either part in backticks where it has to be.
pub(super) fn database_of(name: &str) -> &str {
    let mut in_quotes = false;
    let end = name.find(|c: char| {
        in_quotes ^= c == '`';
        c == '.' && !in_quotes
    });
    &name[..end.unwrap_or(name.len())]
}

/// Whether a qualified name is in one of these databases, or is one.
pub(super) fn lies_in(name: &str, databases: &BTreeSet<String>) -> bool {
    databases.iter().any(|database| {
        name.strip_prefix(database.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// `table d.a`, `3 tables (d.a, d.b, …)`.
pub(super) fn list(what: &str, names: &[&str]) -> String {
    match names {
        [one] => format!("{what} {one}"),
        _ => format!("{} {what}s ({})", names.len(), listed(names)),
    }
}

pub(super) fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let first = names[..names.len().min(LISTED)].join(", ");
    if more > 0 { format!("{first}, and {more} more") } else { first }
}

#[cfg(test)]
mod tests;
