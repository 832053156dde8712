//! Days on which rows are somewhere else, or were never meant to stay.

use super::tests::{Table, backup, is, judge};
use super::*;

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
    let said = "60 % of the rows are gone: 19000 of 31700; with those that are new, 31700 now";
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
    assert_eq!(judge(&past, &into_nothing).state, State::Critical);
}

#[test]
fn queues_that_are_empty_for_once_are_no_tables_that_are_gone() {
    let names = ["q.jobs", "q.locks", "q.sessions"];
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
