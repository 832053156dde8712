//! Rows, tables and bytes that are gone, beyond what comes and goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::content::Successors;
use super::watch::Watch;
use super::{Assessment, ENOUGH_HISTORY, NAMED, State, TableChange, count, percent, size};
use crate::domain::manifest::Manifest;

/// Fewer lost rows than this are no loss of data.
const FEW_ROWS: f64 = 10.0;
/// Less data than this is not judged by its bytes.
const FEW_BYTES: f64 = 64.0 * 1024.0;
/// A table is emptied when no more than this share is left of what was to be expected.
const EMPTY: f64 = 0.1;
/// A table of this share of all rows is told of when it is emptied, even if it is alone.
const LARGE_TABLE: f64 = 0.05;
/// Fewer tables than this are no share of tables.
const FEW_TABLES: u64 = 3;

/// How a number went in the window.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    last: u64,
    highest: u64,
    /// The deepest fall below what was before it, as a share.
    fall: f64,
    /// Backups that have it, and the place of the last of them.
    seen: usize,
    at: usize,
}

impl Course {
    fn add(&mut self, at: usize, number: u64) {
        if self.seen > 0 && self.at + 1 != at {
            // It was gone in between.
            self.fall = 1.0;
        }
        self.highest = self.highest.max(number);
        if self.highest > 0 {
            self.fall = self.fall.max(1.0 - number as f64 / self.highest as f64);
        }
        (self.last, self.at, self.seen) = (number, at, self.seen + 1);
    }

    /// What it falls to when it falls as deep as ever before.
    fn low(&self) -> f64 {
        self.last as f64 * (1.0 - self.fall)
    }
}

/// Note what `now` has no longer of what the backups before it, oldest first, had.
pub(super) fn weigh(
    found: &mut Assessment,
    trusted: &[&Manifest],
    now: &Manifest,
    (successors, watch): (&Successors<'_>, &Watch),
) {
    let courses = courses(trusted, watch);
    let losses = Losses::of(&courses, now, successors, trusted.len());
    losses.note(found, watch);
    weigh_bytes(found, trusted, now, watch);
}

/// Tables that the last backup has, by name.
fn courses<'m>(trusted: &[&'m Manifest], watch: &Watch) -> BTreeMap<&'m str, Course> {
    let mut courses: HashMap<&str, Course> = HashMap::new();
    for (at, manifest) in trusted.iter().enumerate() {
        for table in &manifest.inventory.tables {
            courses.entry(&table.name).or_default().add(at, table.rows);
        }
    }
    let is_there = |(name, course): &(&str, Course)| course.at + 1 == trusted.len() && !watch.ignores(name);
    courses.into_iter().filter(is_there).collect()
}

/// What is gone.
#[derive(Default)]
struct Losses {
    /// Rows of all tables in the last backup.
    rows: f64,
    lost: f64,
    /// Tables that had rows, and those that have nearly none.
    tables: u64,
    emptied: u64,
    /// The emptied table with the most rows.
    largest: Option<TableChange>,
    /// Databases of which every table that had rows is emptied, of two tables at least.
    databases: Vec<String>,
    named: Vec<TableChange>,
}

impl Losses {
    fn of(courses: &BTreeMap<&str, Course>, now: &Manifest, successors: &Successors<'_>, backups: usize) -> Self {
        let left_out: BTreeSet<&str> = now.left_out.iter().map(|it| it.name.as_str()).collect();
        let mut losses = Self::default();
        let mut databases: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        for (name, course) in courses {
            losses.rows += course.last as f64;
            let low = course.low();
            // A table that came a moment ago may go again. What could not be read is told of as incomplete.
            if low < 1.0 || course.seen < ENOUGH_HISTORY.min(backups) || left_out.contains(name) {
                continue;
            }
            losses.tables += 1;
            let counts = database(name).map(|database| databases.entry(database).or_default());
            let rows = successors.of_table(name).map(|table| table.rows);
            let is_emptied = rows.unwrap_or(0) as f64 <= low * EMPTY;
            if let Some([with_rows, emptied]) = counts {
                *with_rows += 1;
                *emptied += u64::from(is_emptied);
            }
            let lost = low - rows.unwrap_or(0) as f64;
            if lost > 0.0 {
                let change = TableChange { name: (*name).to_owned(), before: course.last, now: rows };
                losses.lost += lost;
                if is_emptied {
                    losses.emptied += 1;
                    if losses.largest.as_ref().is_none_or(|largest| largest.before < change.before) {
                        losses.largest = Some(change.clone());
                    }
                }
                losses.named.push(change);
            }
        }
        let gone = databases.into_iter().filter(|(_, [with_rows, emptied])| *with_rows > 1 && with_rows == emptied);
        losses.databases = gone.map(|(name, _)| name.to_owned()).collect();
        losses.named.sort_by_key(|it| std::cmp::Reverse(it.before - it.now.unwrap_or(0).min(it.before)));
        losses.named.truncate(NAMED);
        losses
    }

    fn note(self, found: &mut Assessment, watch: &Watch) {
        found.rows_lost = if self.rows > 0.0 { self.lost / self.rows } else { 0.0 };
        found.tables_emptied = [self.emptied, self.tables];
        let [before, now] = found.rows;
        if self.lost >= FEW_ROWS {
            let share = found.rows_lost;
            found.weigh(share, watch.lost, || {
                format!("{} of the rows are gone: {} before, {} now", percent(share), count(before), count(now))
            });
        }
        let share = if self.tables > 0 { self.emptied as f64 / self.tables as f64 } else { 0.0 };
        let said = format!("{} of {} tables with rows are empty or gone", self.emptied, self.tables);
        if self.emptied >= FEW_TABLES && share >= watch.lost / 2.0 {
            found.weigh(share, watch.lost, || said);
        } else if let Some(largest) = &self.largest
            && largest.before as f64 >= (self.rows * LARGE_TABLE).max(FEW_ROWS)
        {
            let TableChange { name, before, now } = largest;
            let is = now.map_or("is gone".to_owned(), |rows| format!("has {}", count(rows)));
            let before = count(*before);
            found.suspect(State::Warning, format!("table {name} had {before} rows and {is}"));
        }
        for database in self.databases {
            found.suspect(State::Warning, format!("every table of {database} that had rows is empty or gone"));
        }
        found.tables = self.named;
    }
}

/// The first part of a qualified name; none where it has only one, and of a path.
fn database(name: &str) -> Option<&str> {
    let mut quoted = false;
    let dot = name.find(|c| {
        quoted ^= c == '`';
        c == '.' && !quoted
    })?;
    Some(&name[..dot]).filter(|_| !name.starts_with('/'))
}

/// Bytes say something of the content where rows were sampled: then they are the rows themselves and not a server's own files.
fn weigh_bytes(found: &mut Assessment, trusted: &[&Manifest], now: &Manifest, watch: &Watch) {
    let sampled = |it: &Manifest| !it.evidence.samples.is_empty();
    let ignored = |it: &Manifest| it.inventory.tables.iter().any(|table| watch.ignores(&table.name));
    if !sampled(now) || trusted.last().is_none_or(|before| ignored(before)) || !now.left_out.is_empty() {
        return;
    }
    let mut course = Course::default();
    for (at, manifest) in trusted.iter().enumerate() {
        course.add(at, manifest.logical_bytes());
    }
    if course.low() < FEW_BYTES {
        return;
    }
    let [before, bytes] = found.bytes;
    let share = (course.low() - bytes as f64).max(0.0) / course.last as f64;
    found.bytes_lost = Some(share);
    found.weigh(share, watch.lost, || {
        format!("{} of the bytes are gone: {} before, {} now", percent(share), size(before), size(bytes))
    });
}

#[cfg(test)]
mod tests {
    use super::database;

    #[test]
    fn the_database_of_a_name_is_what_stands_before_its_first_dot_outside_of_quotes() {
        assert_eq!(database("shop.orders"), Some("shop"));
        assert_eq!(database("`a.b`.c"), Some("`a.b`"));
        assert_eq!(database("telegraf.autogen.cpu"), Some("telegraf"));
        assert_eq!((database("plain"), database("/srv/a.b")), (None, None));
    }
}
