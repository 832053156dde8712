//! Days on which rows are somewhere else, or were never meant to stay.

use super::tests::{Table, backup, is, judge};
use super::*;
use crate::domain::words::Words;

/// Rows from one number up to another, the same in every table whose name ends alike.
fn rows(from: u64, to: u64) -> Table {
    Table { rows: from..to, ..Table::of(0) }
}

fn day(day: i64, tables: &[(&str, Table)]) -> Manifest {
    backup(day, tables, Some((3_000, 0.3)))
}

fn days(tables: &[(&str, Table)]) -> Vec<Manifest> {
    (0..5).map(|at| day(at, tables)).collect()
}

#[test]
fn rows_that_were_moved_into_an_archive_are_not_gone() {
    let past =
        days(&[("d.orders", rows(10_000, 30_000)), ("d.archived_orders", rows(0, 10_000)), ("d.a", Table::of(1_700))]);
    let moved = |orders, archive| [("d.orders", orders), ("d.archived_orders", archive), ("d.a", Table::of(1_700))];
    is(&judge(&past, &day(5, &moved(rows(29_000, 30_000), rows(0, 29_000)))), State::Quiet, &[]);
    is(&judge(&past, &day(5, &moved(rows(0, 0), rows(0, 30_000)))), State::Quiet, &[]);
    let into_two = [
        ("d.orders", rows(29_000, 30_000)),
        ("d.1_orders", rows(10_000, 20_000)),
        ("d.2_orders", rows(20_000, 29_000)),
        ("d.archived_orders", rows(0, 10_000)),
        ("d.a", Table::of(1_700)),
    ];
    is(&judge(&past, &day(5, &into_two)), State::Quiet, &[]);
}

#[test]
fn rows_that_others_took_the_place_of_are_gone_and_the_numbers_say_so() {
    let past =
        days(&[("d.orders", rows(10_000, 30_000)), ("d.archived_orders", rows(0, 10_000)), ("d.a", Table::of(1_700))]);
    let now =
        |orders, archive| day(5, &[("d.orders", orders), ("d.archived_orders", archive), ("d.a", Table::of(1_700))]);
    // As many rows as before, but others.
    let found = judge(&past, &now(rows(29_000, 30_000), rows(70_000, 99_000)));
    let said = "60 % of the rows are gone: 19 000 of 31 700; with those that are new, 31 700 now";
    assert_eq!((found.state, found.reasons[0].as_str()), (State::Critical, said));
    // The archive had them all along and got nothing.
    let copies = days(&[("d.orders", rows(0, 20_000)), ("d.archived_orders", rows(0, 20_000))]);
    let emptied = day(5, &[("d.orders", rows(0, 0)), ("d.archived_orders", rows(0, 20_000))]);
    assert_eq!(judge(&copies, &emptied).state, State::Critical);
}

#[test]
fn a_log_that_is_rotated_by_renaming_is_not_gone() {
    let past = days(&[("d.log", rows(0, 15_000)), ("d.a", Table::of(3_000))]);
    let rotated = |log| [("d.log", log), ("d.old_log", rows(0, 15_000)), ("d.a", Table::of(3_000))];
    is(&judge(&past, &day(5, &rotated(rows(0, 0)))), State::Quiet, &[]);
    is(&judge(&past, &day(5, &rotated(rows(15_000, 15_040)))), State::Quiet, &[]);
    let into_nothing = day(5, &[("d.log", rows(0, 0)), ("d.old_log", rows(50_000, 65_000)), ("d.a", Table::of(3_000))]);
    assert_eq!(judge(&past, &into_nothing).state, State::Warning);
    // By another name it is no log.
    let rename = |it: &Manifest| {
        let mut it = it.clone();
        it.inventory_mut().tables.iter_mut().for_each(|table| table.name = table.name.replace("log", "dialog"));
        it.evidence.samples =
            it.evidence.samples.iter().map(|(a, b)| (a.replace("log", "dialog"), b.clone())).collect();
        it
    };
    let past: Vec<Manifest> = past.iter().map(rename).collect();
    assert_eq!(judge(&past, &rename(&into_nothing)).state, State::Critical);
}

#[test]
fn queues_that_are_empty_for_once_are_no_tables_that_are_gone() {
    let names = ["q.jobs", "q.locks", "q.carts"];
    let with = |rows: u64, all: u64| {
        let queues = names.map(|name| (name, Table::of(rows)));
        queues.into_iter().chain([("d.a", Table::of(all))]).collect::<Vec<_>>()
    };
    let judged = |had, all| judge(&days(&with(had, all)), &day(5, &with(0, all)));
    is(&judged(2, 200), State::Quiet, &[]);
    let said = "3 of 4 tables with rows are empty or gone";
    let all_of_it = "every table of q that had rows is empty or gone";
    is(&judged(20, 100_000), State::Warning, &[all_of_it]);
    is(&judged(200, 100_000), State::Warning, &[said, all_of_it]);
    is(&judged(500, 100_000), State::Critical, &[said, all_of_it]);
}

/// A log that grows by a thousand rows a day, with so many on this one; the rest stays.
fn with_log(at: i64, log: u64) -> Manifest {
    day(at, &[("d.calls", Table::of(log)), ("d.a", Table::of(500))])
}

#[test]
fn what_was_accepted_once_is_expected_when_it_happens_again() {
    let mut all: Vec<Manifest> = (1..=7).map(|at| with_log(at, 1_000 * at.unsigned_abs())).collect();
    let emptied = with_log(8, 0);
    assert_eq!(judge(&all, &emptied).state, State::Critical, "nobody said yet that it is meant");
    all.push(emptied);
    let assess_after = |grown: &[Manifest], now: &Manifest| {
        let known: Vec<&Manifest> = all.iter().chain(grown).collect();
        let trusted = known[all.len() - 1..].to_vec();
        assess(&Past { trusted, earlier: known, is_accepted: true, ..Past::default() }, now, &Watch::default())
    };
    let grown = |days: u64| (1..=days).map(|at| with_log(8 + at.cast_signed(), 1_000 * at)).collect::<Vec<_>>();
    is(&assess_after(&grown(7), &with_log(16, 0)), State::Quiet, &[]);
    // Something else is lost, or the log is not the large table it was.
    let lost = day(16, &[("d.calls", Table::of(8_000)), ("d.a", Table::of(0))]);
    assert_eq!(assess_after(&grown(7), &lost).state, State::Warning);
    assert_eq!(assess_after(&grown(3), &with_log(12, 0)).state, State::Critical);
    // Half of the height is grown again.
    is(&assess_after(&[with_log(9, 3_500)], &with_log(10, 0)), State::Quiet, &[]);
    assert_eq!(assess_after(&[with_log(9, 3_499)], &with_log(10, 0)).state, State::Critical);
    // It was accepted too long ago.
    let late: Vec<Manifest> = (1..=40).map(|at| with_log(8 + at, 7_000)).collect();
    assert_eq!(assess_after(&late, &with_log(49, 0)).state, State::Critical);
}

#[test]
fn a_table_that_is_emptied_once_a_month_is_expected() {
    // Small beside the others, so that nothing stays suspect.
    let at = |at: i64| {
        let log = if at % 30 == 4 { 0 } else { 1_000 };
        day(at, &[("d.log", Table::of(log)), ("d.a", Table::of(4_500))])
    };
    let all: Vec<Manifest> = (0..34).map(at).collect();
    is(&judge(&all, &at(34)), State::Quiet, &[]);
}

#[test]
fn what_is_gone_is_named_in_the_words_of_the_source() {
    let in_words = |words: Words| {
        let past = days(&[("d.b", Table::of(900)), ("d.c", Table::of(100))]);
        let now = day(5, &[("d.b", Table::of(0)), ("d.c", Table::of(100))]);
        let past = Past { trusted: past.iter().collect(), earlier: past.iter().collect(), words, ..Past::default() };
        assess(&past, &now, &Watch::default()).reasons[..2].join("; ")
    };
    assert_eq!(
        in_words(Words::default()),
        "90 % of the rows are gone: 1 000 before, 100 now; table d.b had 900 rows and has 0"
    );
    let of_influx = "90 % of the values are gone: 1 000 before, 100 now; measurement d.b had 900 values and has 0";
    assert_eq!(in_words(Words { table: "measurement", tables: "measurements", rows: "values" }), of_influx);
    assert_eq!(
        in_words(Words { table: "tree", tables: "trees", rows: "entries" }),
        "90 % of the entries are gone: 1 000 before, 100 now; tree d.b had 900 entries and has 0"
    );
}

#[test]
fn a_log_that_is_emptied_is_a_warning_and_what_else_is_gone_is_judged_without_it() {
    let day_with = |at: i64, log: u64, orders: u64| {
        let mut it =
            day(at, &[("d.access_log", Table::of(log)), ("d.orders", Table::of(orders)), ("d.a", Table::of(300))]);
        it.evidence.textures = it
            .inventory()
            .tables
            .iter()
            .map(|table| (table.name.clone(), super::texture::Texture::of(table.rows * 900, false)))
            .collect();
        it
    };
    let past: Vec<Manifest> = (0..5).map(|at| day_with(at, 20_000, 1_000)).collect();
    let log = judge(&past, &day_with(5, 0, 1_000));
    assert_eq!((log.state, log.reasons.len(), log.rows_lost > 0.9), (State::Warning, 3, true), "{log:#?}");
    // Once it is known to be emptied, nothing is said.
    let known: Vec<Manifest> = past.iter().cloned().chain([day_with(5, 0, 1_000), day_with(6, 9_000, 1_000)]).collect();
    is(&judge(&known, &day_with(7, 0, 1_000)), State::Quiet, &[]);
    // Orders are few beside the log, and most of what matters.
    for left in [20_000, 0] {
        let orders = judge(&past, &day_with(5, left, 0));
        assert_eq!(orders.state, State::Critical, "{orders:#?}");
        assert!(orders.tables.iter().any(|table| table.name == "d.orders"), "{orders:#?}");
    }
    assert_eq!(judge(&past, &day_with(5, 20_000, 600)).state, State::Warning);
    // Without samples of the days before, it is the log all the same.
    let bare = |mut it: Manifest| {
        it.evidence = evidence::Evidence::default();
        it
    };
    let old: Vec<Manifest> = past.iter().cloned().map(bare).collect();
    assert_eq!(judge(&old, &bare(day_with(5, 0, 1_000))).state, State::Warning);
    // Where there is nothing else, the log is what the source is for.
    let only = |at: i64, log: u64| day(at, &[("d.syslog", Table::of(log)), ("d.a", Table::of(9))]);
    let past: Vec<Manifest> = (0..5).map(|at| only(at, 20_000)).collect();
    assert_eq!(judge(&past, &only(5, 0)).state, State::Critical);
}

#[test]
fn a_table_that_was_emptied_is_not_back_because_other_rows_came_since() {
    let past = days(&[("d.orders", rows(0, 20_000)), ("d.a", Table::of(9_000))]);
    let emptied = day(5, &[("d.orders", rows(0, 0)), ("d.a", Table::of(9_000))]);
    let then = |past: &[Manifest], now: &[(&str, Table)]| {
        let known: Vec<&Manifest> = past.iter().collect();
        let past = Past { trusted: known.clone(), suspect: vec![&emptied], earlier: known, ..Past::default() };
        assess(&past, &day(6, now), &Watch::default()).state
    };
    assert_eq!(then(&past, &[("d.orders", rows(50_000, 90_000)), ("d.a", Table::of(9_000))]), State::Critical);
    assert_eq!(then(&past, &[("d.orders", rows(0, 21_000)), ("d.a", Table::of(9_000))]), State::Quiet);
    // Of what is loaded anew every night nobody can tell: as many rows are as good.
    let night = |at: i64| {
        day(at, &[("d.orders", Table::updated(20_000, 20_000, at.unsigned_abs())), ("d.a", Table::of(9_000))])
    };
    let nights: Vec<Manifest> = (0..5).map(night).collect();
    assert_eq!(
        then(&nights, &[("d.orders", Table::updated(20_000, 20_000, 6)), ("d.a", Table::of(9_000))]),
        State::Quiet
    );
}

/// A cache with rows of 1 MB and orders with rows of so many bytes, of which 64 KiB at most are looked into. Where there are documents,
/// they are few and large.
fn with_cache(at: i64, cache: u64, order: u64, documents: u64) -> Manifest {
    let tables =
        [("d.cache_form", cache, 1_000_000), ("d.orders", 2_000, order), ("d.documents", documents, 100_000_000)];
    let tables = tables.into_iter().filter(|(_, rows, _)| *rows > 0);
    let mut it = day(at, &tables.clone().map(|(name, rows, _)| (name, Table::of(rows))).collect::<Vec<_>>());
    it.files[0].bytes = tables.clone().map(|(_, rows, bytes)| rows * bytes).sum();
    let texture = |rows: u64, bytes: u64| super::texture::Texture::of(rows * bytes.min(65_536), false);
    it.evidence.textures = tables.map(|(name, rows, bytes)| (name.to_owned(), texture(rows, bytes))).collect();
    it
}

#[test]
fn a_cache_of_large_rows_that_is_emptied_takes_nothing_from_the_other_tables() {
    let past: Vec<Manifest> = (0..5).map(|at| with_cache(at, 1_000, 50_000, 0)).collect();
    let found = judge(&past, &with_cache(5, 0, 50_000, 0));
    assert_eq!(found.state, State::Warning, "{found:#?}");
    assert_eq!(found.reasons.last().unwrap(), "91 % of the bytes are gone: 1.0 GiB before, 95.4 MiB now");
    // What the others lost is told in the same bytes.
    let said = "90 % of the bytes of tables that are no logs are gone: 95.4 MiB before, 9.5 MiB now";
    is(&judge(&past, &with_cache(5, 1_000, 5_000, 0)), State::Critical, &[said]);
    // A few documents are most of the bytes, and the cache has all that it had.
    let past: Vec<Manifest> = (0..5).map(|at| with_cache(at, 1_000, 50_000, 20)).collect();
    let said = "65 % of the bytes are gone: 2.9 GiB before, 1.0 GiB now";
    is(&judge(&past, &with_cache(5, 1_000, 50_000, 0)), State::Critical, &[said]);
}
