//! What is a group, and what groups add up to.

use super::*;
use crate::domain::promise::{Origin, TableChanges};

fn table(inserted: u64, updated: u64, deleted: u64) -> TableChanges {
    TableChanges { inserted, updated, deleted, ..TableChanges::default() }
}

#[test]
fn a_group_has_a_beginning_and_an_end() {
    let check = |make: &dyn Fn(&mut Log), want: &str| {
        let mut log = Log::mariadb();
        make(&mut log);
        let found = log.scan().err().map(|error| damage(&error)).unwrap_or_default();
        assert!(found.ends_with(want), "{found} is not {want}");
        if want.is_empty() {
            assert_eq!(found, "");
        }
    };
    check(&|log| log.commit(), "an event of kind 16 is part of no transaction");
    check(&|log| log.query("COMMIT"), "an event of kind 2 is part of no transaction");
    check(&|log| log.map(1, "t", 0), "an event of kind 19 is part of no transaction");
    check(
        &|log| {
            log.begin(1, false);
            log.begin(2, true);
        },
        "has no end",
    );
    check(
        &|log| {
            log.begin(1, false);
            log.event(4, b"\x04\0\0\0\0\0\0\0log.000002");
        },
        "is interrupted",
    );
    check(
        &|log| {
            log.begin(1, true);
            log.commit();
        },
        "a commit stands where no transaction is open",
    );
    check(
        &|log| {
            log.begin(1, false);
            log.rows(23, 1, 1, 1);
        },
        "rows belong to a table 1 that nothing names",
    );
    // An old server names no transactions.
    let mut old = Log::of("5.6.51");
    old.query("BEGIN");
    old.map(1, "t", 0);
    old.rows(30, 1, 2, 1);
    old.commit();
    old.query("TRUNCATE d.u");
    let scanned = old.scan().unwrap();
    assert_eq!((scanned.changes().transactions, scanned.gtids().is_empty()), (2, true));
    // A group that is not whole is no part of anything.
    let mut open = Log::mariadb();
    open.begin(1, true);
    open.query("TRUNCATE a");
    let end = open.offset;
    open.begin(2, false);
    open.map(1, "t", 0);
    open.rows(23, 1, 1, 1);
    let scanned = open.scan().unwrap();
    assert_eq!((scanned.group_end, scanned.offset, scanned.changes().tables.len()), (end, open.offset, 1));
    assert_eq!(scanned.gtids().to_string(), "0-7-1");
}

#[test]
fn rows_add_up_by_table() {
    let mut log = Log::mysql();
    log.begin_mysql(1, 1_234_567);
    log.query("BEGIN");
    log.map(1, "t", 0);
    log.map(2, "u", 0);
    log.rows(30, 1, 3, 0);
    log.rows(31, 2, 2, 0);
    log.rows(32, 1, 1, 1);
    log.map(1, "other", 0);
    log.rows(30, 1, 5, 1);
    log.commit();
    let changes = log.changes();
    assert_eq!((changes.transactions, changes.row_events), (1, 4));
    let want = [("d.other", table(5, 0, 0)), ("d.t", table(3, 0, 1)), ("d.u", table(0, 1, 0))];
    assert_eq!(changes.tables.into_iter().collect::<Vec<_>>(), want.map(|(name, table)| (name.to_owned(), table)));
    let group = groups(&log.bytes).remove(0);
    assert_eq!((group.committed, group.end, group.offset), (1_234_567, log.offset, 125));
    assert_eq!(group.gtid.unwrap().to_string(), "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1");
    assert_eq!((group.tables["d.t"].deleted, group.has_statement_format, group.statements.len()), (1, false, 0));
}

#[test]
fn what_a_cascade_may_have_done_is_not_counted() {
    let statement = |version: &str, code: u8, flags: u8, map_flags: u8| {
        let mut log = Log::of(version);
        if version.contains("MariaDB") {
            log.begin(1, false);
        } else {
            log.begin_mysql(1, 0);
            log.query("BEGIN");
        }
        log.map(1, "parent", map_flags);
        log.map(2, "child", 0);
        // An update is two images.
        let images = if code == 24 { 2 } else { 1 };
        log.rows(code, 1, images, flags);
        log.map(2, "child", 0);
        log.rows(code, 2, images, 1);
        log.commit();
        log.changes()
    };
    let doubts = |changes: &Changes| {
        let doubted = |table: &(&String, &TableChanges)| table.1.uncounted.is_some();
        changes.tables.iter().filter(doubted).map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(doubts(&statement("10.11-MariaDB", 25, 1, 0)), ["d.child"]);
    assert!(doubts(&statement("10.11-MariaDB", 25, 3, 0)).is_empty(), "without foreign keys");
    assert!(doubts(&statement("10.11-MariaDB", 23, 1, 0)).is_empty(), "only deleting deletes");
    let update = statement("10.11-MariaDB", 24, 1, 0);
    assert!(doubts(&update).is_empty() && update.tables.contains_key("d.child"), "its contents may be others");
    for (flags, map_flags, is_doubted) in [(1, 2, true), (1, 0, false), (0x11, 2, false), (3, 2, false)] {
        assert_eq!(statement("9.5.0", 32, flags, map_flags).uncounted.is_some(), is_doubted, "{flags} {map_flags}");
    }
    assert_eq!(doubts(&statement("10.11-MariaDB", 25, 0x11, 0)), ["d.child"], "a flag of MySQL");
    assert_eq!(statement("8.0.36", 30, 1, 2).uncounted, None);
    // A table that refers to itself is opened twice.
    for (twice, code, want) in [(true, 25, true), (true, 23, false), (false, 25, false)] {
        let mut log = Log::mariadb();
        log.begin(1, false);
        log.map(1, "t", 0);
        if twice {
            log.map(1, "t", 0);
        }
        log.rows(code, 1, 1, 1);
        log.map(1, "t", 0);
        log.rows(25, 1, 1, 1);
        log.commit();
        assert_eq!(log.changes().tables["d.t"].uncounted.is_some(), want, "{twice} {code}");
    }
}

#[test]
fn transactions_of_xa_count_once_they_are_committed() {
    let prepared = |log: &mut Log, number: u64, name: &str| {
        log.begin_mysql(number, 0);
        log.query(&format!("XA START {name}"));
        log.map(1, "t", 0);
        log.rows(30, 1, 3, 1);
        log.query(&format!("XA END {name}"));
        log.event(38, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'x']);
    };
    let mut log = Log::mysql();
    prepared(&mut log, 1, "X'61',X'',1");
    let waiting = log.changes();
    assert!(waiting.tables["d.t"].uncounted.is_some() && waiting.tables["d.t"].inserted == 0);
    let end = log.bytes.len();
    log.begin_mysql(2, 0);
    log.query("XA COMMIT X'61',X'',1");
    assert_eq!(log.changes().tables["d.t"], table(3, 0, 0));
    // In the next file.
    let before = scan(&log.bytes[..end], 4).unwrap();
    let mut next = Log::mysql();
    next.begin_mysql(2, 0);
    next.query("XA COMMIT X'61',X'',1");
    let mut scanner = LogScanner::new("log.000002", 4).after(before);
    scanner.push(&next.bytes).unwrap();
    assert_eq!(scanner.finish().unwrap().changes().tables["d.t"], table(3, 0, 0));
    let mut log = Log::mysql();
    prepared(&mut log, 1, "X'61',X'',1");
    prepared(&mut log, 2, "X'62',X'',1");
    log.begin_mysql(3, 0);
    log.query("XA ROLLBACK X'61',X'',1");
    log.begin_mysql(4, 0);
    log.query("XA COMMIT X'62',X'',1");
    assert_eq!(log.changes().tables["d.t"], table(3, 0, 0));
    let mut once = Log::mysql();
    once.begin_mysql(1, 0);
    once.query("XA START X'61',X'',1");
    once.map(1, "t", 0);
    once.rows(30, 1, 3, 1);
    once.query("XA END X'61',X'',1");
    once.event(38, &[1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'x']);
    assert_eq!(once.changes().tables["d.t"], table(3, 0, 0));
}

#[test]
fn what_was_rolled_back_is_not_counted() {
    for end in ["ROLLBACK", "ROLLBACK TO `s`"] {
        let mut log = Log::mysql();
        log.begin_mysql(1, 0);
        log.query("BEGIN");
        log.query("SAVEPOINT `s`");
        log.map(1, "t", 0);
        log.rows(30, 1, 3, 1);
        log.query(end);
        if end.contains("TO") {
            log.commit();
        }
        assert!(log.changes().tables["d.t"].uncounted.is_some(), "{end}");
    }
}

#[test]
fn a_table_that_is_filled_while_it_is_created_is_one_group() {
    let mut log = Log::mysql();
    log.begin_mysql(1, 0);
    log.query("CREATE TABLE `t` (\n `a` int\n) START TRANSACTION");
    log.map(1, "t", 0);
    log.rows(30, 1, 3, 1);
    log.commit();
    let want = TableChanges { origin: Origin::Nothing, redefined: true, ..table(3, 0, 0) };
    assert_eq!(log.changes().tables["d.t"], want);
    let group = groups(&log.bytes).remove(0);
    assert_eq!(group.statements, ["CREATE TABLE `t` ( `a` int ) START TRANSACTION"]);
}

#[test]
fn a_compressed_transaction_is_counted_and_must_be_whole() {
    let whole = scan(PAYLOAD, 4).unwrap();
    let rows: u64 = whole.changes().tables["app.plain"].inserted;
    assert_eq!((whole.changes().transactions, rows), (2, 16), "{:?}", whole.changes());
    let plain = |inner: &[u8]| {
        let mut log = Log::mysql();
        log.begin_mysql(1, 0);
        let mut body = vec![2, 3, 252, 255, 0, 0];
        body.extend(inner);
        log.event(40, &body);
        log
    };
    let mut inner = Log { bytes: Vec::new(), offset: 0, has_checksums: false };
    inner.query("BEGIN");
    inner.map(1, "t", 0);
    inner.rows(30, 1, 3, 1);
    let cut = plain(&inner.bytes);
    assert!(cut.damage().ends_with("a compressed transaction has no end"));
    inner.commit();
    assert_eq!(plain(&inner.bytes).changes().tables["d.t"], table(3, 0, 0));
    assert!(plain(&inner.bytes[..inner.bytes.len() - 1]).scan().is_err());
    let mut nested = inner.bytes.clone();
    nested[4] = 33;
    assert!(plain(&nested).damage().ends_with("has an event of kind 33 in it"));
    nested[4] = 2;
    nested[9] = 18;
    assert!(plain(&nested).damage().ends_with("nonsense length"));
    inner.commit();
    assert!(plain(&inner.bytes).damage().contains("goes on behind its end"));
}

#[test]
fn what_is_announced_is_not_done_yet() {
    let mut log = Log::mariadb();
    for (number, phase) in [(1, 2), (2, 2), (3, 4), (4, 8)] {
        log.begin_with(number, true, phase);
        log.query("ALTER TABLE t RENAME TO u");
    }
    let changes = log.changes();
    assert_eq!(changes.transactions, 4);
    assert_eq!(changes.tables["d.u"].origin, Origin::Renamed("d.t".to_owned()));
    assert_eq!(changes.tables["d.t"].origin, Origin::Gone);
}

#[test]
fn a_statement_leaves_the_table_uncounted_that_it_names() {
    let mut log = Log::mariadb();
    log.begin(1, false);
    log.map(1, "t", 0);
    log.rows(23, 1, 3, 1);
    log.commit();
    log.begin(2, false);
    log.query("INSERT INTO u VALUES ('secret')");
    log.query("COMMIT");
    log.begin(3, true);
    log.query("TRUNCATE TABLE t");
    log.begin(4, false);
    log.map(1, "v", 0);
    log.rows(23, 1, 3, 1);
    log.commit();
    let changes = log.changes();
    let why = "INSERT in statement format";
    assert_eq!(changes.uncounted, None);
    assert_eq!(changes.tables["d.t"], TableChanges { origin: Origin::Nothing, ..TableChanges::default() });
    assert_eq!(changes.tables["d.v"], table(3, 0, 0));
    assert_eq!(changes.tables["d.u"], TableChanges { uncounted: Some(why.to_owned()), ..TableChanges::default() });
    assert_eq!((changes.by_statements, changes.stated), (true, ["d.u".to_owned()].into()));
    log.begin(5, true);
    log.query("RENAME TABLE u TO w");
    let changes = log.changes();
    assert_eq!((changes.stated, changes.tables["d.w"].uncounted.as_deref()), (["d.w".to_owned()].into(), Some(why)));
    log.begin(6, true);
    log.query("TRUNCATE TABLE w");
    let changes = log.changes();
    assert_eq!((changes.by_statements, changes.stated.len()), (false, 0), "nothing of it is left");
    assert_eq!((&changes.tables["d.w"].origin, &changes.tables["d.w"].uncounted), (&Origin::Nothing, &None));
    // What hangs on the table that it was about may have changed all the same.
    assert_eq!(changes.wrote, [("d.u".to_owned(), why.to_owned())].into());
    log.begin(7, false);
    log.query("UPDATE v, x SET v.a = 1");
    log.query("COMMIT");
    let changes = log.changes();
    assert_eq!((changes.wrote.len(), &changes.uncounted, &changes.tables["d.v"].uncounted), (3, &None, &None));
    log.begin(8, false);
    log.query("UPDATE /*!199999 t SET a = 1 -- */ v SET a = 1");
    log.query("COMMIT");
    let changes = log.changes();
    assert!(changes.uncounted.is_some() && changes.tables["d.v"].uncounted.is_some(), "any may be meant");
    let groups = groups(&log.bytes);
    assert!(groups[1].has_statement_format && groups[1].statements.is_empty());
    assert_eq!(groups[2].statements, ["TRUNCATE TABLE t"]);
}
