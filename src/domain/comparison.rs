//! Holds a restored inventory against the promised one. Pure: the same for a drill, `restore` and `verify --against`.

use std::collections::{BTreeMap, BTreeSet};

use super::drill::{Check, Counted, TableResult};
use super::manifest::{Inventory, ObjectFacts, ObjectKind};

/// Every comparison, in a stable order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// All checks; one or more per table and one per object.
    pub checks: Vec<Check>,
    /// One line per promised table.
    pub tables: Vec<TableResult>,
    /// Tables of which only the number of rows is known.
    pub counted: Counted,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::manifest::TableFacts;

    fn table(name: &str) -> TableFacts {
        TableFacts {
            name: name.to_owned(),
            rows: 7,
            digest: Digest::of(b"rows"),
            definition: Digest::of(b"definition"),
            newest: BTreeMap::new(),
            next_id: None,
        }
    }

    fn object(name: &str, definition: &str) -> ObjectFacts {
        let (kind, definition) = (ObjectKind::View, Digest::of(definition.as_bytes()));
        ObjectFacts { kind, name: name.to_owned(), definition, shown: None, definer: None, ends: None }
    }

    fn tables(tables: &[TableFacts]) -> Inventory {
        Inventory { tables: tables.to_vec(), ..Inventory::default() }
    }

    fn objects(objects: &[ObjectFacts]) -> Inventory {
        Inventory { objects: objects.to_vec(), ..Inventory::default() }
    }

    /// The checks that did not agree: name, expected, found.
    fn bad(comparison: &Comparison) -> Vec<[&str; 3]> {
        let wrong = comparison.checks.iter().filter(|check| !check.ok);
        wrong.map(|check| [check.name.as_str(), check.expected.as_str(), check.actual.as_str()]).collect()
    }

    #[test]
    fn what_is_as_promised_passes_every_check() {
        let full = TableFacts {
            newest: BTreeMap::from([("at".to_owned(), "2026-11-26".to_owned())]),
            next_id: Some(8),
            ..table("d.t")
        };
        let same = Inventory { tables: vec![full], objects: vec![object("d.v", "select 1")], reach: None };
        let found = compare(&same, &same);
        let names: Vec<&str> = found.checks.iter().map(|check| check.name.as_str()).collect();
        let all = ["definition d.t", "rows d.t", "content d.t", "newest d.t.at", "next id d.t", "view d.v"];
        assert_eq!((names, bad(&found)), (all.to_vec(), Vec::new()));
        assert_eq!(found.reason(), "");
        let result = TableResult { name: "d.t".to_owned(), rows_expected: 7, rows_restored: 7, digest_ok: true };
        assert_eq!(found.tables, [result]);
    }

    #[test]
    fn each_fact_of_a_table_is_a_difference_by_itself() {
        let promised = TableFacts { newest: BTreeMap::from([("at".to_owned(), "5".to_owned())]), ..table("d.t") };
        let check = |restored: TableFacts| compare(&tables(std::slice::from_ref(&promised)), &tables(&[restored]));
        let definition = check(TableFacts { definition: Digest::of(b"other"), ..promised.clone() });
        assert_eq!(bad(&definition), [["definition d.t", "as backed up", "different"]]);
        let rows = check(TableFacts { rows: 8, ..promised.clone() });
        assert_eq!(bad(&rows), [["rows d.t", "7", "8"]]);
        assert_eq!((rows.tables[0].rows_expected, rows.tables[0].rows_restored), (7, 8));
        let content = check(TableFacts { digest: Digest::of(b"other"), ..promised.clone() });
        assert_eq!(bad(&content), [["content d.t", "as backed up", "different"]]);
        assert!(rows.tables[0].digest_ok && !content.tables[0].digest_ok);
        let newest = BTreeMap::from([("at".to_owned(), "4".to_owned())]);
        assert_eq!(bad(&check(TableFacts { newest, ..promised.clone() })), [["newest d.t.at", "5", "4"]]);
        let none = BTreeMap::new();
        assert_eq!(bad(&check(TableFacts { newest: none, ..promised.clone() })), [["newest d.t.at", "5", "nothing"]]);
    }

    #[test]
    fn the_next_id_may_be_ahead_and_never_behind() {
        let next = |next_id| tables(&[TableFacts { next_id, ..table("d.t") }]);
        for (promised, restored) in [(5, Some(5)), (5, Some(6)), (1, None)] {
            assert_eq!(bad(&compare(&next(Some(promised)), &next(restored))), [[""; 3]; 0], "{promised}, {restored:?}");
        }
        assert_eq!(bad(&compare(&next(Some(5)), &next(Some(4)))), [["next id d.t", "at least 5", "4"]]);
        assert_eq!(bad(&compare(&next(Some(2)), &next(None))), [["next id d.t", "at least 2", "1"]]);
        assert_eq!(compare(&next(None), &next(Some(4))).checks.len(), 3, "nothing was promised");
    }

    #[test]
    fn a_table_that_is_missing_or_too_many_is_a_difference() {
        let (both, one) = (tables(&[table("d.a"), table("d.b")]), tables(&[table("d.b")]));
        let missing = compare(&both, &one);
        assert_eq!(bad(&missing), [["table d.a", "present", "missing"]]);
        let lost = TableResult { name: "d.a".to_owned(), rows_expected: 7, rows_restored: 0, digest_ok: false };
        assert_eq!((missing.tables.len(), &missing.tables[0]), (2, &lost));
        assert_eq!(missing.checks.len(), 4, "the other one is compared all the same");
        let more = compare(&one, &both);
        assert_eq!(bad(&more), [["table d.a", "absent", "present"]]);
        assert_eq!((more.tables.len(), more.checks.len()), (1, 4));
    }

    #[test]
    fn an_object_that_is_missing_too_many_or_different_is_a_difference() {
        let (both, one) = (objects(&[object("d.u", "1"), object("d.v", "2")]), objects(&[object("d.v", "2")]));
        assert_eq!(bad(&compare(&both, &one)), [["view d.u", "present", "missing"]]);
        assert_eq!(bad(&compare(&one, &both)), [["view d.u", "absent", "present"]]);
        assert_eq!(compare(&both, &one).checks.len(), 2, "the other one is compared all the same");
        let other = objects(&[object("d.v", "3")]);
        assert_eq!(bad(&compare(&one, &other)), [["view d.v", "as backed up", "different"]]);
        // The same name of another kind is another object.
        let event = objects(&[ObjectFacts { kind: ObjectKind::Event, ..object("d.v", "2") }]);
        let kinds = [["view d.v", "present", "missing"], ["event d.v", "absent", "present"]];
        assert_eq!(bad(&compare(&one, &event)), kinds);
    }

    #[test]
    fn definitions_are_shown_where_both_are_known_and_judged_by_their_digests() {
        let shown = |definition: &str, shown: Option<&str>| {
            objects(&[ObjectFacts { shown: shown.map(str::to_owned), ..object("d.v", definition) }])
        };
        let different = compare(&shown("1", Some("select 1")), &shown("2", Some("select 2")));
        assert_eq!(bad(&different), [["view d.v", "select 1", "select 2"]]);
        let unshown = compare(&shown("1", Some("select 1")), &shown("2", None));
        assert_eq!(bad(&unshown), [["view d.v", "as backed up", "different"]]);
        assert_eq!(bad(&compare(&shown("1", Some("a")), &shown("1", Some("b")))), [[""; 3]; 0]);
    }

    #[test]
    fn a_reason_names_the_first_three_differences_and_counts_the_others() {
        let promised: Vec<TableFacts> = ["a", "b", "c", "d", "e"].map(table).to_vec();
        let missing = |count: usize| compare(&tables(&promised[..count]), &tables(&[])).reason();
        let three = "table a: expected present, found missing; table b: expected present, found missing; \
                     table c: expected present, found missing";
        assert_eq!(missing(1), "table a: expected present, found missing");
        assert_eq!(missing(3), three);
        assert_eq!(missing(4), format!("{three}; and 1 more"));
        assert_eq!(missing(5), format!("{three}; and 2 more"));
    }
}
