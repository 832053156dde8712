//! Rows that a table lost and another one got: an archive, or the new name of a log that was rotated. They are not gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::content::Successors;
use super::sample::Sample;
use crate::domain::manifest::{Manifest, TableFacts};

/// Tables that are new or have grown, by what is in them.
pub(super) struct Moved<'m> {
    before: &'m BTreeMap<String, Sample>,
    now: &'m BTreeMap<String, Sample>,
    /// How many rows each got that nobody claimed yet: one row does not stand for two.
    got: BTreeMap<&'m str, f64>,
    by_row: HashMap<u64, Vec<&'m str>>,
}

impl<'m> Moved<'m> {
    /// Between these two.
    pub(super) fn of(before: &'m Manifest, now: &'m Manifest, successors: &Successors<'m>) -> Self {
        let mut had: HashMap<&str, u64> = HashMap::new();
        let mut add = |name: &'m str, rows: u64| {
            let had = had.entry(name).or_default();
            *had = had.saturating_add(rows);
        };
        for table in &before.inventory().tables {
            add(&table.name, table.rows);
            // What continues another table has the rows of that one.
            if let Some(renamed) = successors.of_table(&table.name).filter(|it| it.name != table.name) {
                add(&renamed.name, table.rows);
            }
        }
        let (before, now, tables) = (&before.evidence.samples, &now.evidence.samples, &now.inventory().tables);
        let mut moved = Self { before, now, got: BTreeMap::new(), by_row: HashMap::new() };
        for TableFacts { name, rows, .. } in tables {
            let got = rows.saturating_sub(had.get(name.as_str()).copied().unwrap_or(0));
            if got > 0 {
                moved.got.insert(name, got as f64);
                for row in now.get(name).map_or(&[][..], Sample::rows) {
                    moved.by_row.entry(*row).or_default().push(name);
                }
            }
        }
        moved
    }

    /// How many of the rows that the table `name` lost are in others now. `later` is the table that continues it.
    pub(super) fn claim(&mut self, name: &str, later: Option<&TableFacts>, lost: f64) -> f64 {
        let Some(sample) = self.before.get(name) else { return 0.0 };
        let same = later.and_then(|later| self.now.get(&later.name));
        if same.is_none() && later.is_some_and(|later| later.rows > 0) {
            return 0.0;
        }
        let others: BTreeSet<&str> =
            sample.rows().iter().filter_map(|row| self.by_row.get(row)).flatten().copied().collect();
        let mut found = 0.0;
        for other in others.into_iter().filter(|other| later.is_none_or(|later| later.name != **other)) {
            let share = self.now.get(other).and_then(|other| sample.moved_to(same, other)).unwrap_or(0.0);
            if let Some(got) = self.got.get_mut(other) {
                let claimed = (lost * share).min(*got).min(lost - found);
                *got -= claimed;
                found += claimed;
            }
        }
        found
    }
}
