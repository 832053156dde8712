//! Rows that go away little by little: with each backup fewer than are told of at once, and most of them in the end.
//!
//! The number of all rows is followed from one backup to the next. A step that is told of by itself is left out of it, so what is left
//! is what nobody was told of. Growth, and a fall that was made up for before, take away from it.

use super::assessment::{Assessment, Past, count, percent};
use super::logs;
use super::volume;
use super::watch::Watch;
use crate::domain::manifest::Manifest;

/// Fewer lost rows than this are no loss of data.
const FEW_ROWS: f64 = 10.0;
/// A fall was made up for when this share of it has grown again.
const GROWN_AGAIN: f64 = 0.5;

/// How the rows went, relative to those of the first backup.
struct Course<'m> {
    now: f64,
    highest: f64,
    /// Since it was at its highest.
    lowest: f64,
    /// The deepest fall that was made up for, as a share.
    excused: f64,
    /// The backup that had most.
    full: &'m Manifest,
}

impl<'m> Course<'m> {
    fn of(backups: &[&'m Manifest], watch: &Watch) -> Option<Self> {
        let mut course = Self { now: 1.0, highest: 1.0, lowest: 1.0, excused: 0.0, full: backups.first()? };
        for pair in backups.windows(2) {
            let [before, after] = [pair[0], pair[1]].map(|it| rows(it, pair, watch));
            if before > 0.0 && after > before * (1.0 - watch.lost / 2.0) {
                course.step(after / before, pair[1]);
            }
        }
        Some(course)
    }

    fn step(&mut self, by: f64, backup: &'m Manifest) {
        self.now *= by;
        self.lowest = self.lowest.min(self.now);
        let fall = self.highest - self.lowest;
        if fall > 0.0 && self.now - self.lowest >= fall * GROWN_AGAIN {
            self.excused = self.excused.max(fall / self.highest);
        }
        if self.now >= self.highest {
            (self.highest, self.lowest, self.full) = (self.now, self.now, backup);
        }
    }

    /// The share of the rows that is gone, beyond what came back before.
    fn lost(&self) -> f64 {
        (1.0 - self.excused - self.now / self.highest).max(0.0)
    }
}

/// Rows of `backup` in tables that may be compared in both of `pair`.
fn rows(backup: &Manifest, pair: &[&Manifest], watch: &Watch) -> f64 {
    let is_left_out = |name: &str| pair.iter().any(|it| it.left_out.iter().any(|one| one.name == name));
    let counts = |name: &str| !watch.ignores(name) && !logs::is_log(name) && !is_left_out(name);
    let tables = backup.inventory().tables.iter().filter(|table| counts(&table.name));
    tables.fold(0.0, |sum, table| sum + table.rows as f64)
}

/// The backups that are followed, oldest first: those in which something was found are part of it.
fn followed<'m>(past: &Past<'m>, now: &'m Manifest) -> Vec<&'m Manifest> {
    volume::recent(past, now.as_of).iter().chain(&past.suspect).copied().chain([now]).collect()
}

/// Note what went away little by little until `now`.
pub(super) fn weigh(found: &mut Assessment, past: &Past<'_>, now: &Manifest, watch: &Watch) {
    let backups = followed(past, now);
    let Some(course) = Course::of(&backups, watch) else { return };
    let (share, had) = (course.lost(), rows(course.full, &[course.full], watch));
    if share * had < FEW_ROWS {
        return;
    }
    found.weigh(share, watch.lost, || {
        format!(
            "{} of the {} went away little by little since {}: {} then, {} now",
            percent(share),
            past.words.rows,
            course.full.as_of.format("%Y-%m-%d"),
            whole(had),
            whole(rows(now, &[now], watch))
        )
    });
}

/// The last of `good` before the rows began to go away; none where they did not.
pub(super) fn last_full<'m>(
    past: &Past<'m>,
    good: &[&'m Manifest],
    now: &'m Manifest,
    watch: &Watch,
) -> Option<&'m Manifest> {
    let backups = followed(past, now);
    let course = Course::of(&backups, watch).filter(|course| course.lost() >= watch.lost / 2.0)?;
    good.iter().find(|it| it.id == course.full.id).copied()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a sum of counted rows
fn whole(rows: f64) -> String {
    count(rows as u64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Table, backup};
    use super::super::{State, assess};
    use super::*;

    /// A backup a day of so many rows.
    fn days(rows: &[u64]) -> Vec<Manifest> {
        let day = |(at, rows): (usize, &u64)| {
            backup(i64::try_from(at).unwrap(), &[("d.orders", Table::of(*rows)), ("d.a", Table::of(100))], None)
        };
        rows.iter().enumerate().map(day).collect()
    }

    /// What is said of the last of them, where nothing was suspect before it.
    fn last(rows: &[u64]) -> Assessment {
        let all = days(rows);
        let (now, before) = all.split_last().unwrap();
        let before: Vec<&Manifest> = before.iter().collect();
        assess(&Past { trusted: before.clone(), earlier: before, ..Past::default() }, now, &Watch::default())
    }

    #[test]
    fn a_fifth_each_night_is_told_of_in_the_second_and_is_critical_in_the_fourth() {
        let nights = [10_000, 10_000, 10_000, 10_000, 8_000, 6_400, 5_120, 4_096];
        let states: Vec<State> = (5..=8).map(|until| last(&nights[..until]).state).collect();
        assert_eq!(states, [State::Quiet, State::Warning, State::Warning, State::Critical]);
        let found = last(&nights[..6]);
        assert_eq!(
            found.reasons,
            ["36 % of the rows went away little by little since 1970-01-04: 10 100 then, 6 500 now"]
        );
        assert_eq!(found.before.unwrap().id.0, "003", "the last before the first of them");
    }

    #[test]
    fn what_comes_and_goes_is_quiet() {
        let slowly = [9_000, 10_000, 10_000, 8_500, 7_200, 6_500, 8_500, 10_000];
        let again = |more: &[u64]| last(&[&slowly, more].concat()).state;
        assert_eq!(again(&[8_500, 7_200, 6_500]), State::Quiet, "as deep as before");
        assert_eq!(again(&[8_500, 7_200, 6_500, 5_500, 4_700, 3_700]), State::Warning);
        // A purge at once is told of at once, and the nights after it are quiet.
        let purge = [10_000, 10_000, 10_000, 10_000, 4_900];
        assert_eq!(last(&purge).state, State::Critical);
        assert_eq!(last(&[10_000, 10_000, 10_000, 10_000, 6_900, 6_900]).state, State::Quiet);
        // Growth after a fall is growth.
        assert_eq!(last(&[10_000, 10_000, 10_000, 8_200, 9_900, 8_200, 9_900, 8_200]).state, State::Quiet);
    }

    #[test]
    fn rows_of_logs_and_of_tables_that_moved_are_not_missed() {
        let day = |at: i64, orders: u64, archive: u64, log: u64| {
            let tables = [("d.orders", orders), ("d.orders_archive", archive), ("d.access_log", log)];
            backup(at, &tables.map(|(name, rows)| (name, Table::of(rows))), None)
        };
        let all: Vec<Manifest> =
            (0..8_u64).map(|at| day(at.cast_signed(), 10_000 - at * 1_200, at * 1_200, 20_000 - at * 2_000)).collect();
        let (now, before) = all.split_last().unwrap();
        let trusted: Vec<&Manifest> = before.iter().collect();
        let found =
            assess(&Past { trusted: trusted.clone(), earlier: trusted, ..Past::default() }, now, &Watch::default());
        assert!(!found.reasons.iter().any(|reason| reason.contains("little by little")), "{found:#?}");
    }
}
