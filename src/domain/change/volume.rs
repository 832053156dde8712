//! Rows, tables and bytes that are gone, beyond what comes and goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::assessment::{
    Assessment, ENOUGH_HISTORY, NAMED, Past, State, TableChange, WINDOW_LEAST, count, percent, size,
};
use super::content::Successors;
use super::logs;
use super::moved::Moved;
use super::sample::Sample;
use super::watch::Watch;
use crate::domain::manifest::{Manifest, TableFacts};
use crate::domain::words::Words;

/// Fewer lost rows than this are no loss of data.
const FEW_ROWS: f64 = 10.0;
/// Less data than this is not judged by its bytes.
const FEW_BYTES: f64 = 64.0 * 1024.0;
/// A table is emptied when no more than this share is left of what was to be expected.
const EMPTY: f64 = 0.1;
/// A table of this share of all rows is told of when it is emptied, even if it is alone.
const LARGE_TABLE: f64 = 0.05;
/// Fewer tables than this are no share of tables,
const FEW_TABLES: u64 = 3;
/// nor are tables that had less than this share of all rows: queues, locks and sessions are empty at times.
const SMALL_TABLES: f64 = 0.001;
/// Below this share of all rows, whatever tables are empty is no more than a warning.
const MINOR_TABLES: f64 = 0.01;

/// A table has other rows than before when this share of them is gone.
const OTHER_ROWS: f64 = 0.5;

/// How far back a fall excuses another one, so that what is emptied once a month does: and in how many backups at most.
const EXCUSED: TimeDelta = TimeDelta::days(35);
const EXCUSED_MOST: usize = 1000;
/// What was accepted excuses what falls again from this share of the height it fell from.
const GROWN_AGAIN: f64 = 0.5;

/// The backups before that excuse a fall.
struct Excuses<'s, 'm> {
    /// Those that `now` is compared with, oldest first.
    trusted: &'s [&'m Manifest],
    /// The accepted one and the one before it: what a person called meant may happen again. Empty where none was accepted.
    accepted: Vec<&'m Manifest>,
}

impl<'s, 'm> Excuses<'s, 'm> {
    fn of(past: &'s Past<'m>, now: DateTime<Utc>) -> Self {
        let is_recent = |it: &&&Manifest| now - it.as_of <= EXCUSED;
        let recent = past.trusted.iter().rev().take_while(is_recent).count();
        let count = recent.clamp(WINDOW_LEAST, EXCUSED_MOST).min(past.trusted.len());
        let trusted = &past.trusted[past.trusted.len() - count..];
        let begin = trusted.first().filter(|first| past.is_accepted && now - first.as_of <= EXCUSED);
        let accepted = begin.map_or_else(Vec::new, |begin| {
            // The fall that was accepted, and none before: a table that was renamed for a day was never emptied.
            let before = past.earlier.iter().filter(is_recent).rfind(|it| it.as_of < begin.as_of);
            before.into_iter().chain([begin]).copied().collect()
        });
        Self { trusted, accepted }
    }
}

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

    /// Allow for a fall that a person accepted, which ended at the backup `at`, if the number has grown again since.
    fn excuse(&mut self, accepted: &Self, at: usize) {
        if accepted.seen > 0 && self.last as f64 >= accepted.highest as f64 * GROWN_AGAIN {
            let fall = if accepted.at == at { accepted.fall } else { 1.0 };
            self.fall = self.fall.max(fall);
        }
    }

    /// What it falls to when it falls as deep as ever before.
    fn low(&self) -> f64 {
        self.last as f64 * (1.0 - self.fall)
    }
}

/// Note what `now` has no longer of what the backups before it, oldest first, had.
pub(super) fn weigh(
    found: &mut Assessment,
    past: &Past<'_>,
    now: &Manifest,
    (successors, watch): (&Successors<'_>, &Watch),
) {
    let excuses = Excuses::of(past, now.as_of);
    let Some(before) = excuses.trusted.last() else { return };
    let courses = courses(&excuses, watch);
    let gone = StillGone { past, before, now };
    let losses = |of: &BTreeMap<&str, Course>| {
        let mut moved = Moved::of(before, now, successors);
        let mut judged = found.clone();
        let losses = Losses::of(of, (now, &gone), (successors, &mut moved), excuses.trusted.len());
        losses.note(&mut judged, watch, past.words);
        judged
    };
    let (whole, others) = (losses(&courses), without_logs(&courses).map(|courses| losses(&courses)));
    let whole = weigh_bytes(whole, &excuses, now, watch, ("bytes", |it| Some(it.logical_bytes())));
    let Some(others) = others else {
        *found = whole;
        return;
    };
    let others = weigh_bytes(others, &excuses, now, watch, ("bytes of tables that are no logs", logs::bytes_of_others));
    *found = if whole.state < others.state { Assessment { tables: whole.tables, ..others } } else { whole };
    // What only logs lost is no reason to call anybody.
    if !logs::have_all(before, now) {
        found.state = found.state.min(others.state.max(State::Warning));
    }
}

/// The same without logs, queues and sessions; none where there are none of them, or nothing else.
fn without_logs<'m>(courses: &BTreeMap<&'m str, Course>) -> Option<BTreeMap<&'m str, Course>> {
    let others: BTreeMap<&str, Course> =
        courses.iter().filter(|(name, _)| !logs::is_log(name)).map(|(name, course)| (*name, *course)).collect();
    let rows = |of: &BTreeMap<&str, Course>| of.values().map(|course| course.last as f64).sum::<f64>();
    let is_enough = rows(&others) >= (rows(courses) * SMALL_TABLES).max(FEW_ROWS);
    (is_enough && others.len() < courses.len()).then_some(others)
}

/// Tables that the last backup has, by name.
fn courses<'m>(excuses: &Excuses<'_, 'm>, watch: &Watch) -> BTreeMap<&'m str, Course> {
    let accepted = courses_in(&excuses.accepted);
    let mut courses = courses_in(excuses.trusted);
    courses.retain(|name, course| course.at + 1 == excuses.trusted.len() && !watch.ignores(name));
    for (name, course) in &mut courses {
        if let Some(accepted) = accepted.get(name) {
            course.excuse(accepted, excuses.accepted.len() - 1);
        }
    }
    courses.into_iter().collect()
}

fn courses_in<'m>(backups: &[&'m Manifest]) -> HashMap<&'m str, Course> {
    let mut courses: HashMap<&str, Course> = HashMap::new();
    for (at, manifest) in backups.iter().enumerate() {
        for table in &manifest.inventory().tables {
            courses.entry(&table.name).or_default().add(at, table.rows);
        }
    }
    courses
}

/// Rows that were gone in a suspect backup are not back because others came since.
struct StillGone<'p, 'm> {
    past: &'p Past<'m>,
    before: &'p Manifest,
    now: &'p Manifest,
}

impl StillGone<'_, '_> {
    /// How many rows count of the table `name`, which `later` continues; none where all do: it never lost any, its rows are back, or
    /// nobody can tell because it has other rows every night.
    fn left_of(&self, name: &str, later: Option<&TableFacts>) -> Option<u64> {
        let suspects = [self.past.suspect.first()?, self.past.suspect.last()?];
        let sample = self.before.evidence.samples.get(name)?;
        let later = later?;
        let is_gone = |earlier: &Sample, later: &Sample| earlier.gone_in(later).is_some_and(|gone| gone >= OTHER_ROWS);
        let day_before = self.past.trusted.iter().rev().nth(1)?.evidence.samples.get(name)?;
        if is_gone(day_before, sample) || !is_gone(sample, self.now.evidence.samples.get(&later.name)?) {
            return None;
        }
        let rows =
            |it: &Manifest| it.inventory().tables.iter().find(|table| table.name == later.name).map_or(0, |it| it.rows);
        suspects.into_iter().map(|it| rows(it)).min().map(|rows| rows.min(later.rows))
    }
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
    /// Rows that the emptied ones had.
    emptied_rows: f64,
    /// The emptied table with the most rows.
    largest: Option<TableChange>,
    /// Databases of which every table that had rows is emptied, of two tables at least.
    databases: Vec<String>,
    named: Vec<TableChange>,
}

impl Losses {
    fn of(
        courses: &BTreeMap<&str, Course>,
        (now, gone): (&Manifest, &StillGone<'_, '_>),
        (successors, moved): (&Successors<'_>, &mut Moved<'_>),
        backups: usize,
    ) -> Self {
        let left_out: BTreeSet<&str> = now.left_out.iter().map(|it| it.name.as_str()).collect();
        let mut losses = Self::default();
        let mut databases: BTreeMap<&str, Tables> = BTreeMap::new();
        for (name, course) in courses {
            losses.rows += course.last as f64;
            let low = course.low();
            // A table that came a moment ago may go again. What could not be read is told of as incomplete.
            if low < 1.0 || course.seen < ENOUGH_HISTORY.min(backups) || left_out.contains(name) {
                continue;
            }
            losses.tables += 1;
            let later = successors.of_table(name);
            let now = later.map(|table| table.rows);
            let mut left = gone.left_of(name, later).or(now).unwrap_or(0) as f64;
            if left < low {
                left += moved.claim(name, later, low - left);
            }
            let is_emptied = left <= low * EMPTY;
            if let Some(database) = database(name) {
                databases.entry(database).or_default().count(course.last, is_emptied);
            }
            if left < low {
                losses.lost += low - left;
                losses.count(TableChange { name: (*name).to_owned(), before: course.last, now }, is_emptied);
            }
        }
        let gone = databases.into_iter().filter(|(_, tables)| tables.are_emptied());
        losses.databases = gone.map(|(name, _)| name.to_owned()).collect();
        losses.named.sort_by_key(|it| std::cmp::Reverse(it.before - it.now.unwrap_or(0).min(it.before)));
        losses.named.truncate(NAMED);
        losses
    }

    fn count(&mut self, change: TableChange, is_emptied: bool) {
        if is_emptied {
            self.emptied += 1;
            self.emptied_rows += change.before as f64;
            if self.largest.as_ref().is_none_or(|largest| largest.before < change.before) {
                self.largest = Some(change.clone());
            }
        }
        self.named.push(change);
    }

    fn note(self, found: &mut Assessment, watch: &Watch, words: Words) {
        let Words { table, tables, rows } = words;
        found.rows_lost = if self.rows > 0.0 { self.lost / self.rows } else { 0.0 };
        found.tables_emptied = [self.emptied, self.tables];
        if self.lost >= FEW_ROWS {
            let said = self.said_of(rows, found);
            found.weigh(found.rows_lost, watch.lost, || said);
        }
        let share = if self.tables > 0 { self.emptied as f64 / self.tables as f64 } else { 0.0 };
        let said = format!("{} of {} {tables} with {rows} are empty or gone", self.emptied, self.tables);
        let is_many = self.emptied >= FEW_TABLES && share >= watch.lost / 2.0;
        if is_many && self.emptied_rows >= (self.rows * SMALL_TABLES).max(FEW_ROWS) {
            if self.emptied_rows < self.rows * MINOR_TABLES {
                found.suspect(State::Warning, said);
            } else {
                found.weigh(share, watch.lost, || said);
            }
        } else if let Some(largest) = &self.largest
            && largest.before as f64 >= (self.rows * LARGE_TABLE).max(FEW_ROWS)
        {
            let TableChange { name, before, now } = largest;
            let is = now.map_or("is gone".to_owned(), |now| format!("has {}", count(now)));
            let before = count(*before);
            found.suspect(State::Warning, format!("{table} {name} had {before} {rows} and {is}"));
        }
        for database in self.databases {
            found.suspect(State::Warning, format!("every {table} of {database} that had {rows} is empty or gone"));
        }
        found.tables = self.named;
    }

    /// Before and now say how many are gone, unless others came instead.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a sum of counted rows
    fn said_of(&self, rows: &str, found: &Assessment) -> String {
        let (share, [before, now]) = (percent(found.rows_lost), found.rows);
        let came = self.lost - before.saturating_sub(now) as f64;
        if came >= FEW_ROWS.max(self.lost / 10.0) {
            return format!(
                "{share} of the {rows} are gone: {} of {}; with those that are new, {} now",
                count(self.lost as u64),
                count(before),
                count(now)
            );
        }
        format!("{share} of the {rows} are gone: {} before, {} now", count(before), count(now))
    }
}

/// Tables of one database.
#[derive(Default)]
struct Tables {
    with_rows: u64,
    emptied: u64,
    rows: u64,
}

impl Tables {
    fn count(&mut self, rows: u64, is_emptied: bool) {
        self.with_rows += 1;
        self.emptied += u64::from(is_emptied);
        self.rows = self.rows.saturating_add(rows);
    }

    fn are_emptied(&self) -> bool {
        self.with_rows > 1 && self.with_rows == self.emptied && self.rows as f64 >= FEW_ROWS
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
fn weigh_bytes(
    mut found: Assessment,
    excuses: &Excuses<'_, '_>,
    now: &Manifest,
    watch: &Watch,
    (what, bytes): (&str, fn(&Manifest) -> Option<u64>),
) -> Assessment {
    let sampled = |it: &Manifest| !it.evidence.samples.is_empty();
    let ignored = |it: &Manifest| it.inventory().tables.iter().any(|table| watch.ignores(&table.name));
    if !sampled(now) || excuses.trusted.last().is_none_or(|before| ignored(before)) || !now.left_out.is_empty() {
        return found;
    }
    let course_in = |backups: &[&Manifest]| {
        let mut course = Course::default();
        let known = backups.iter().filter_map(|manifest| bytes(manifest));
        known.enumerate().for_each(|(at, bytes)| course.add(at, bytes));
        course
    };
    let mut course = course_in(excuses.trusted);
    course.excuse(&course_in(&excuses.accepted), excuses.accepted.len().saturating_sub(1));
    let Some(left) = bytes(now).filter(|_| course.low() >= FEW_BYTES) else { return found };
    let share = (course.low() - left as f64).max(0.0) / course.last as f64;
    found.bytes_lost = Some(share);
    found.weigh(share, watch.lost, || {
        format!("{} of the {what} are gone: {} before, {} now", percent(share), size(course.last), size(left))
    });
    found
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
