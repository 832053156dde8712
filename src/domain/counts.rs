//! Rows that were counted at the end of an increment, in a snapshot of its own: what is known of them later. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::expected::lies_in;
use super::promise::{Changes, Origin, TableChanges};

/// Rows by qualified name of their table, as they were at the end of an increment.
pub type Counts = BTreeMap<String, u64>;

/// Stands for any table there is.
pub const ANY: &str = "*";
/// More names than this are any table.
const MOST_NAMED: usize = 1000;

/// What is known at the end of increments that follow each other, of what was counted at the end of any.
pub fn joined<'c>(increments: impl IntoIterator<Item = &'c Changes>) -> Counts {
    increments.into_iter().fold(Counts::new(), |before, changes| {
        let mut after: Counts =
            before.iter().filter_map(|(name, rows)| Some((name.clone(), still(name, *rows, changes)?))).collect();
        after.extend(changes.counted.clone());
        after
    })
}

/// Rows of a table after changes; none where that cannot be told.
fn still(name: &str, rows: u64, changes: &Changes) -> Option<u64> {
    // What hangs on a table that a statement wrote to is not known here.
    if !changes.wrote.is_empty() {
        return None;
    }
    match changes.tables.get(name) {
        None => (changes.uncounted.is_none() && !lies_in(name, &changes.dropped)).then_some(rows),
        Some(table) => {
            let is_same = matches!(table.origin, Origin::Before | Origin::BeforeOrNothing) && table.uncounted.is_none();
            rows.checked_add(table.inserted)?.checked_sub(table.deleted).filter(|_| is_same)
        }
    }
}

/// Tables whose rows nobody knows at the end of an increment, and that are to be counted: those that were `owed` before it, and those
/// that it made unsure.
pub fn owed(before: &BTreeSet<String>, changes: &Changes) -> BTreeSet<String> {
    let is_settled =
        |table: &TableChanges| matches!(table.origin, Origin::Nothing | Origin::Gone) && table.uncounted.is_none();
    let settled = |name: &str| changes.tables.get(name).is_some_and(is_settled) || changes.counted.contains_key(name);
    let unsure = changes.tables.iter().filter(|(_, table)| table.uncounted.is_some()).map(|(name, _)| name);
    let mut owed: BTreeSet<String> = before.iter().chain(unsure).filter(|name| !settled(name)).cloned().collect();
    if changes.uncounted.is_some() || !changes.wrote.is_empty() || owed.len() > MOST_NAMED {
        owed = BTreeSet::from([ANY.to_owned()]);
    }
    owed
}

/// In which order tables are counted; none where one need not be. First what nobody knows, then what changed; small ones first, so that as
/// many as possible fit in.
pub fn rank(name: &str, estimated: u64, changes: &Changes, owed: &BTreeSet<String>) -> Option<(bool, bool, u64)> {
    let is_changed = changes.tables.contains_key(name);
    let is_unknown = owed.contains(ANY) || owed.contains(name);
    (is_changed || is_unknown).then_some((!is_unknown, !is_changed, estimated))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(tables: &[(&str, TableChanges)]) -> Changes {
        Changes {
            tables: tables.iter().map(|(name, it)| ((*name).to_owned(), it.clone())).collect(),
            ..Changes::default()
        }
    }

    fn rows(inserted: u64, deleted: u64) -> TableChanges {
        TableChanges { inserted, deleted, ..TableChanges::default() }
    }

    fn unsure() -> TableChanges {
        TableChanges { uncounted: Some("why".to_owned()), ..TableChanges::default() }
    }

    fn counted(of: &Changes, counts: &[(&str, u64)]) -> Changes {
        Changes { counted: counts.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect(), ..of.clone() }
    }

    #[test]
    fn what_was_counted_goes_on_with_the_rows_of_the_log_until_they_are_not_known() {
        let first = counted(&Changes::default(), &[("d.a", 10), ("d.b", 20), ("d.c", 30), ("e.x", 1)]);
        let after = |later: Changes| {
            joined([&first, &later])
                .into_iter()
                .map(|(name, rows)| format!("{name}={rows}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(after(Changes::default()), "d.a=10 d.b=20 d.c=30 e.x=1");
        assert_eq!(after(changes(&[("d.a", rows(5, 2)), ("d.b", unsure())])), "d.a=13 d.c=30 e.x=1");
        assert_eq!(after(counted(&changes(&[("d.b", unsure())]), &[("d.b", 7)])), "d.a=10 d.b=7 d.c=30 e.x=1");
        assert_eq!(after(changes(&[("d.c", rows(0, 31))])), "d.a=10 d.b=20 e.x=1", "more than there were");
        let anew = TableChanges { origin: Origin::Nothing, ..rows(3, 0) };
        let renamed = TableChanges { origin: Origin::Renamed("d.b".to_owned()), ..rows(0, 0) };
        assert_eq!(after(changes(&[("d.a", anew), ("d.c", renamed)])), "d.b=20 e.x=1");
        let dropped = Changes { dropped: BTreeSet::from(["e".to_owned()]), ..Changes::default() };
        assert_eq!(after(dropped), "d.a=10 d.b=20 d.c=30");
        let any = Changes { uncounted: Some("why".to_owned()), ..changes(&[("d.a", rows(1, 0))]) };
        assert_eq!(after(any), "d.a=11", "its rows were counted behind the statement");
        let by_statement = |to: &str| Changes {
            wrote: [(to.to_owned(), "an UPDATE".to_owned())].into(),
            ..changes(&[("d.a", rows(1, 0)), (to, unsure())])
        };
        assert_eq!(after(by_statement("d.b")), "", "it may have changed what hangs on that table");
        assert_eq!(after(counted(&by_statement("d.b"), &[("d.c", 4)])), "d.c=4");
        assert_eq!(joined(&[]), Counts::new());
    }

    #[test]
    fn a_table_is_owed_until_it_is_counted_or_gone() {
        let owed = |before: &[&str], changes: &Changes| {
            let before = before.iter().map(|name| (*name).to_owned()).collect();
            super::owed(&before, changes).into_iter().collect::<Vec<_>>().join(" ")
        };
        let first = changes(&[("d.a", unsure()), ("d.b", rows(1, 0))]);
        assert_eq!(owed(&[], &first), "d.a");
        assert_eq!(owed(&["d.c"], &first), "d.a d.c");
        assert_eq!(owed(&["d.c"], &counted(&first, &[("d.a", 1), ("d.c", 2)])), "");
        let gone = TableChanges { origin: Origin::Gone, ..TableChanges::default() };
        assert_eq!(owed(&["d.c"], &changes(&[("d.c", gone)])), "");
        let any = Changes { uncounted: Some("why".to_owned()), ..first };
        assert_eq!(owed(&[], &any), "*");
        let written = Changes { wrote: [("d.a".to_owned(), "an UPDATE".to_owned())].into(), ..changes(&[]) };
        assert_eq!(owed(&[], &written), "*");
        let many: Vec<String> = (0..=MOST_NAMED).map(|number| format!("d.t{number}")).collect();
        assert_eq!(owed(&many.iter().map(String::as_str).collect::<Vec<_>>(), &Changes::default()), "*");
    }

    #[test]
    fn what_nobody_knows_is_counted_first_then_what_changed_small_ones_before_large_ones() {
        let changes = changes(&[("d.changed", rows(1, 0)), ("d.small", rows(1, 0)), ("d.both", unsure())]);
        let owed = BTreeSet::from(["d.both".to_owned(), "d.before".to_owned()]);
        let mut all = [("d.changed", 500), ("d.small", 5), ("d.both", 9000), ("d.before", 7), ("d.neither", 1)]
            .into_iter()
            .filter_map(|(name, rows)| Some((rank(name, rows, &changes, &owed)?, name)))
            .collect::<Vec<_>>();
        all.sort_unstable();
        let names: Vec<&str> = all.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["d.both", "d.before", "d.small", "d.changed"]);
        assert!(rank("d.neither", 1, &changes, &BTreeSet::from([ANY.to_owned()])).is_some());
    }
}
