//! Holds a restored inventory against the promised one. Pure: the same for a drill, `restore` and `verify --against`.

use std::collections::{BTreeMap, BTreeSet};

use super::drill::{Check, TableResult};
use super::manifest::{Inventory, ObjectFacts, ObjectKind};

/// Every comparison, in a stable order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// All checks; one or more per table and one per object.
    pub checks: Vec<Check>,
    /// One line per promised table.
    pub tables: Vec<TableResult>,
}

impl Comparison {
    /// Sentence that names the first few objects that differ; empty where nothing does.
    pub fn reason(&self) -> String {
        let bad: Vec<String> = self
            .checks
            .iter()
            .filter(|check| !check.ok)
            .map(|check| format!("{}: expected {}, found {}", check.name, check.expected, check.actual))
            .collect();
        match bad.len() {
            0 => String::new(),
            1..=3 => bad.join("; "),
            more => format!("{}; and {} more", bad[..3].join("; "), more - 3),
        }
    }
}

/// Compare what was promised with what was found. What is there beyond the promise is a difference too: a restore
/// that brings back more than was backed up went somewhere it should not have.
pub fn compare(expected: &Inventory, actual: &Inventory) -> Comparison {
    let mut out = Comparison::default();
    let found: BTreeMap<_, _> = actual.tables.iter().map(|table| (table.name.as_str(), table)).collect();
    for table in &expected.tables {
        let Some(restored) = found.get(table.name.as_str()) else {
            out.check(format!("table {}", table.name), "present", "missing", false);
            out.tables.push(TableResult {
                name: table.name.clone(),
                rows_expected: table.rows,
                rows_restored: 0,
                digest_ok: false,
            });
            continue;
        };
        let name = &table.name;
        let (definition, digest) = (restored.definition == table.definition, restored.digest == table.digest);
        out.check(format!("definition {name}"), "as backed up", same(definition), definition);
        out.check(format!("rows {name}"), table.rows, restored.rows, restored.rows == table.rows);
        out.check(format!("content {name}"), "as backed up", same(digest), digest);
        for (column, newest) in &table.newest {
            let there = restored.newest.get(column);
            let shown = there.map_or("nothing", String::as_str);
            out.check(format!("newest {name}.{column}"), newest, shown, there == Some(newest));
        }
        if let Some(promised) = table.next_id {
            // Where none is printed, it is the first.
            let there = restored.next_id.unwrap_or(1);
            out.check(format!("next id {name}"), format!("at least {promised}"), there, there >= promised);
        }
        out.tables.push(TableResult {
            name: name.clone(),
            rows_expected: table.rows,
            rows_restored: restored.rows,
            digest_ok: digest,
        });
    }
    let promised: BTreeSet<_> = expected.tables.iter().map(|table| table.name.as_str()).collect();
    for table in actual.tables.iter().filter(|table| !promised.contains(table.name.as_str())) {
        out.check(format!("table {}", table.name), "absent", "present", false);
    }
    compare_objects(expected, actual, &mut out);
    out
}

fn compare_objects(expected: &Inventory, actual: &Inventory, out: &mut Comparison) {
    fn by_name(inventory: &Inventory) -> BTreeMap<(ObjectKind, &str), &ObjectFacts> {
        inventory.objects.iter().map(|object| ((object.kind, object.name.as_str()), object)).collect()
    }
    let (promised, found) = (by_name(expected), by_name(actual));
    for ((kind, name), object) in &promised {
        let Some(there) = found.get(&(*kind, *name)) else {
            out.check(format!("{kind} {name}"), "present", "missing", false);
            continue;
        };
        let equal = there.definition == object.definition;
        let (expected, actual) = match (&object.shown, &there.shown) {
            (Some(expected), Some(actual)) => (expected.as_str(), actual.as_str()),
            _ => ("as backed up", same(equal)),
        };
        out.check(format!("{kind} {name}"), expected, actual, equal);
    }
    for (kind, name) in found.keys().filter(|key| !promised.contains_key(*key)) {
        out.check(format!("{kind} {name}"), "absent", "present", false);
    }
}

fn same(equal: bool) -> &'static str {
    if equal { "as backed up" } else { "different" }
}

impl Comparison {
    #[allow(clippy::needless_pass_by_value)] // numbers and texts alike
    fn check(&mut self, name: String, expected: impl ToString, actual: impl ToString, ok: bool) {
        self.checks.push(Check { name, expected: expected.to_string(), actual: actual.to_string(), ok });
    }
}
