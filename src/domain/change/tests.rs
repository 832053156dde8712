//! Days in the life of a source, each with what is to be said of it.

use std::collections::BTreeMap;

use super::evidence::{Evidence, NewData};
use super::*;
use crate::domain::capture::Capture;
use crate::domain::digest::{Digest, RowSetDigest};
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::{
    BackupKind, FileRole, Inventory, RecoveryPointId, ServerIdentity, StoredFileFacts, TableFacts,
};
use crate::domain::promise::Promise;

/// Rows of a table: their numbers, and how often each of them was written anew.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) rows: std::ops::Range<u64>,
    /// Rows up to this one have other values than before.
    pub(super) changed: u64,
    /// What they have.
    pub(super) version: u64,
}

impl Table {
    pub(super) fn of(rows: u64) -> Self {
        Self { rows: 0..rows, changed: 0, version: 0 }
    }

    pub(super) fn updated(rows: u64, changed: u64, version: u64) -> Self {
        Self { changed, version, ..Self::of(rows) }
    }

    fn digests(&self, seed: u64) -> impl Iterator<Item = Digest> {
        let version = move |row| if row < self.changed { self.version } else { 0 };
        self.rows.clone().map(move |row| Digest::of(format!("{seed} {row} {}", version(row)).as_bytes()))
    }
}

/// Bytes per row, and how well new data compresses.
const ROW: u64 = 1000;
pub(super) const TEXT: f64 = 0.3;
pub(super) const NOISE: f64 = 1.0;

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small numbers of a test
pub(super) fn backup(day: i64, tables: &[(&str, Table)], new: Option<(u64, f64)>) -> Manifest {
    let facts = |(name, table): &(&str, Table)| {
        let mut sum = RowSetDigest::default();
        table.digests(seed(name)).for_each(|row| sum.add(&row.0));
        TableFacts {
            name: (*name).to_owned(),
            rows: table.rows.end - table.rows.start,
            digest: sum.finish(),
            definition: Digest::default(),
            newest: BTreeMap::new(),
            next_id: None,
        }
    };
    let inventory = Inventory { tables: tables.iter().map(facts).collect(), ..Inventory::default() };
    let samples = tables.iter().map(|(name, table)| ((*name).to_owned(), table.digests(seed(name)).collect()));
    let bytes = ROW * inventory.tables.iter().map(|table| table.rows).sum::<u64>();
    let new_data = new.map(|(rows, compression)| NewData {
        bytes: rows * ROW,
        stored_bytes: (rows as f64 * ROW as f64 * compression) as u64,
    });
    let as_of = DateTime::UNIX_EPOCH + TimeDelta::days(day);
    Manifest {
        format: 1,
        id: RecoveryPointId(format!("{day:03}")),
        source: "shop".to_owned(),
        host: None,
        engine: "kind".to_owned(),
        kind: BackupKind::Full,
        chain_length: 0,
        parent: None,
        from: None,
        joins: None,
        as_of,
        finished: as_of,
        created_by: String::new(),
        server: ServerIdentity { product: String::new(), version: String::new(), series: String::new() },
        tool: String::new(),
        settings: BTreeMap::new(),
        position: None,
        files: vec![StoredFileFacts { path: "d".to_owned(), role: FileRole::Stream, bytes, digest: Digest::default() }],
        promise: Promise::Exact(inventory),
        segments: Vec::new(),
        needs: None,
        warnings: Vec::new(),
        left_out: Vec::new(),
        cannot_return: Vec::new(),
        canaries: BTreeMap::new(),
        capture: Capture::default(),
        evidence: Evidence { samples: samples.collect(), new_data, ..Evidence::default() },
    }
}

/// The same rows under any name that ends alike.
fn seed(name: &str) -> u64 {
    name.bytes().last().map_or(0, u64::from)
}

/// Ten ordinary days: orders grow, a tenth of the customers changes.
fn ordinary() -> Vec<Manifest> {
    let day = |day: i64| {
        let n = day.unsigned_abs();
        let new = if day == 0 { 31_000 } else { 3_000 };
        backup(
            day,
            &[("d.a", Table::of(20_000 + 500 * n)), ("d.b", Table::updated(10_000, 1_000, n)), ("d.c", Table::of(50))],
            Some((new, TEXT)),
        )
    };
    (0..10).map(day).collect()
}

pub(super) fn judge(past: &[Manifest], now: &Manifest) -> Assessment {
    judge_watching(past, now, &Watch::default())
}

fn judge_watching(past: &[Manifest], now: &Manifest, watch: &Watch) -> Assessment {
    assess(&Past { trusted: past.iter().collect(), earlier: past.iter().collect(), ..Past::default() }, now, watch)
}

#[track_caller]
pub(super) fn is(found: &Assessment, state: State, reasons: &[&str]) {
    assert_eq!((found.state, found.reasons.iter().map(String::as_str).collect::<Vec<_>>()), (state, reasons.to_vec()));
}

#[test]
fn ordinary_days_are_quiet_and_the_first_ones_pending() {
    let days = ordinary();
    for (at, day) in days.iter().enumerate() {
        let expected = if at < ENOUGH_HISTORY { State::Pending } else { State::Quiet };
        is(&judge(&days[..at], day), expected, &[]);
    }
    let last = judge(&days[..9], &days[9]);
    assert_eq!((last.before.unwrap().id.0.as_str(), last.rows), ("008", [34_050, 34_550]));
    assert_eq!((last.tables_emptied, last.tables), ([0, 3], vec![]));
    assert!(last.replaced.unwrap() < 0.15, "{:?}", last.replaced);
    assert_eq!(last.compression, [Some(TEXT), Some(TEXT)]);
}

#[test]
fn a_table_that_is_added_truncated_while_small_or_renamed_is_quiet() {
    let (days, a, b) = (ordinary(), Table::of(24_500), Table::updated(10_000, 1_000, 10));
    let quiet =
        |tables: &[(&str, Table)]| is(&judge(&days, &backup(10, tables, Some((3_000, TEXT)))), State::Quiet, &[]);
    quiet(&[("d.a", a.clone()), ("d.b", b.clone()), ("d.c", Table::of(0))]);
    quiet(&[("d.a", a.clone()), ("d.b", b.clone())]);
    quiet(&[("d.a", a.clone()), ("d.b", b.clone()), ("d.c", Table::of(50)), ("d.n", Table::of(90_000))]);
    quiet(&[("d.old_a", a.clone()), ("d.b", b.clone()), ("d.c", Table::of(50))]);
    // With some rows more than before, so that its digest is another one.
    quiet(&[("d.new_a", Table::of(25_000)), ("d.b", b), ("d.c", Table::of(50))]);
}

#[test]
fn rows_that_are_gone_are_critical_and_stay_so_until_they_are_back() {
    let mut days = ordinary();
    let empty = backup(10, &[("d.a", Table::of(0)), ("d.b", Table::of(0)), ("d.c", Table::of(0))], Some((0, TEXT)));
    let found = judge(&days, &empty);
    let reasons = [
        "100 % of the rows are gone: 34 550 before, 0 now",
        "3 of 3 tables with rows are empty or gone",
        "every table of d that had rows is empty or gone",
        "100 % of the bytes are gone: 32.9 MiB before, 0 B now",
    ];
    is(&found, State::Critical, &reasons);
    assert_eq!(found.tables[0], TableChange { name: "d.a".to_owned(), before: 24_500, now: Some(0) });
    let next = backup(11, &[("d.a", Table::of(40)), ("d.b", Table::of(0)), ("d.c", Table::of(0))], Some((1, TEXT)));
    let past = Past { trusted: days.iter().collect(), suspect: vec![&empty], ..Past::default() };
    assert_eq!(assess(&past, &next, &Watch::default()).state, State::Critical);
    let back = backup(
        12,
        &[("d.a", Table::of(24_500)), ("d.b", Table::updated(10_000, 1_000, 9)), ("d.c", Table::of(50))],
        Some((0, TEXT)),
    );
    is(&assess(&past, &back, &Watch::default()), State::Quiet, &[]);
    // Accepted, the empty state is the one that others are held against.
    days = vec![empty];
    let past = Past { trusted: days.iter().collect(), is_accepted: true, ..Past::default() };
    is(&assess(&past, &next, &Watch::default()), State::Quiet, &[]);
}

#[test]
fn a_table_that_is_gone_is_told_of_by_its_size() {
    let days = ordinary();
    let (a, b, c) = (Table::of(24_500), Table::updated(10_000, 1_000, 10), Table::of(50));
    let without = |tables: &[(&str, Table)]| judge(&days, &backup(10, tables, Some((3_000, TEXT))));
    let found = without(&[("d.a", a), ("d.c", c.clone())]);
    is(
        &found,
        State::Warning,
        &[
            "29 % of the rows are gone: 34 550 before, 24 550 now",
            "table d.b had 10 000 rows and is gone",
            "29 % of the bytes are gone: 32.9 MiB before, 23.4 MiB now",
        ],
    );
    assert_eq!(found.tables, [TableChange { name: "d.b".to_owned(), before: 10_000, now: None }]);
    assert_eq!(without(&[("d.b", b), ("d.c", c)]).state, State::Critical);
}

#[test]
fn what_is_emptied_again_and_again_or_ignored_or_left_out_is_not_told_of() {
    let log = |day: i64| 1_000 + 4_000 * (day.unsigned_abs() % 4);
    let day =
        |day: i64| backup(day, &[("d.a", Table::of(10_000)), ("d.calls", Table::of(log(day)))], Some((4_000, TEXT)));
    let days: Vec<Manifest> = (0..8).map(day).collect();
    is(&judge(&days, &day(8)), State::Quiet, &[]);
    let empty = |at| backup(at, &[("d.a", Table::of(10_000)), ("d.calls", Table::of(0))], Some((1, TEXT)));
    // Before it fell for the first time it is worth a word.
    assert_eq!(judge(&days[..4], &empty(4)).state, State::Critical);
    let ignoring = Watch { ignore: vec!["*.calls".to_owned()], ..Watch::default() };
    is(&judge_watching(&days[..4], &empty(4), &ignoring), State::Quiet, &[]);
    let mut unread = backup(4, &[("d.a", Table::of(10_000))], Some((1, TEXT)));
    let left_out = LeftOut {
        kind: "table".to_owned(),
        name: "d.calls".to_owned(),
        reason: "crashed".to_owned(),
        definition: None,
    };
    unread.left_out = vec![left_out];
    is(&judge(&days[..4], &unread), State::Quiet, &[]);
}

#[test]
fn values_that_are_replaced_by_noise_are_critical_although_no_row_is_gone() {
    let days = ordinary();
    let noise = [
        ("d.a", Table::updated(24_500, 24_500, 9)),
        ("d.b", Table::updated(10_000, 10_000, 99)),
        ("d.c", Table::of(50)),
    ];
    let bad = backup(10, &noise, Some((34_500, NOISE)));
    let said = "100 % of the content was replaced by data that does not compress: 100 bytes of it take 100, usually 30";
    is(&judge(&days, &bad), State::Critical, &[said]);
    // The next backup has hardly anything new.
    let next = backup(11, &noise, Some((10, NOISE)));
    let past = Past { trusted: days.iter().collect(), suspect: vec![&bad], ..Past::default() };
    assert_eq!(assess(&past, &next, &Watch::default()).state, State::Critical);
    // A third of it is a warning, and so is text that is no longer the same.
    let third =
        [("d.a", Table::updated(24_500, 12_000, 9)), ("d.b", Table::updated(10_000, 1_000, 9)), ("d.c", Table::of(50))];
    assert_eq!(judge(&days, &backup(10, &third, Some((12_500, NOISE)))).state, State::Warning);
    let other = backup(10, &noise, Some((34_500, TEXT)));
    is(&judge(&days, &other), State::Warning, &["100 % of the content was replaced, far more than usual"]);
}

#[test]
fn what_is_loaded_anew_every_night_or_was_given_a_column_or_never_compressed_is_quiet() {
    let anew = |day: i64, compression| {
        let table = Table::updated(10_000, 10_000, day.unsigned_abs());
        backup(day, &[("d.a", table)], Some((10_000, compression)))
    };
    let nights: Vec<Manifest> = (0..5).map(|day| anew(day, TEXT)).collect();
    is(&judge(&nights, &anew(5, TEXT)), State::Quiet, &[]);
    let pictures: Vec<Manifest> = (0..5).map(|day| anew(day, 0.97)).collect();
    is(&judge(&pictures, &anew(5, 1.0)), State::Quiet, &[]);
    let days = ordinary();
    let table = |rows| Table::updated(rows, rows, 7);
    let mut altered =
        backup(10, &[("d.a", table(24_500)), ("d.b", table(10_000)), ("d.c", table(50))], Some((34_550, TEXT)));
    for table in &mut altered.inventory_mut().tables {
        table.definition = Digest::of(b"with one column more");
    }
    is(&judge(&days, &altered), State::Quiet, &[]);
}

#[test]
fn many_small_tables_count_beside_a_large_one_that_nobody_touches() {
    let names = ["d.a", "d.b", "d.c", "d.d"];
    let day = |day: i64, small: &Table, new: (u64, f64)| {
        let mut tables = vec![("d.z", Table::of(100_000))];
        tables.extend(names.map(|name| (name, small.clone())));
        backup(day, &tables, Some(new))
    };
    let days: Vec<Manifest> = (0..5).map(|at| day(at, &Table::of(500), (1_000, TEXT))).collect();
    let noise = judge(&days, &day(5, &Table::updated(500, 500, 1), (2_000, NOISE)));
    assert_eq!((noise.state, noise.replaced.map(|share| share > 0.7)), (State::Critical, Some(true)));
    let empty = judge(&days, &day(5, &Table::of(0), (0, TEXT)));
    is(&empty, State::Critical, &["4 of 5 tables with rows are empty or gone"]);
}

#[test]
fn a_source_without_samples_is_judged_by_what_was_written_anew() {
    let bare = |day: i64, rows: u64, new: (u64, f64)| {
        let mut bare = backup(day, &[("d.a", Table::of(rows))], Some(new));
        bare.evidence.samples.clear();
        bare
    };
    let days: Vec<Manifest> = (0..5).map(|day| bare(day, 10_000, (5_000, TEXT))).collect();
    is(&judge(&days, &bare(5, 10_000, (10_000, TEXT))), State::Quiet, &[]);
    assert_eq!(judge(&days, &bare(5, 10_000, (10_000, NOISE))).state, State::Critical);
    is(&judge(&days, &bare(5, 30_000, (20_000, NOISE))), State::Quiet, &[]);
    let mut swollen = bare(5, 10_000, (25_000, TEXT));
    swollen.files[0].bytes *= 2;
    is(
        &judge(&days, &swollen),
        State::Warning,
        &["100 % of the content was replaced, and a row takes more than twice the bytes"],
    );
    let mut hex = bare(5, 10_000, (50_000, 0.5));
    hex.files[0].bytes *= 5;
    is(
        &judge(&days, &hex),
        State::Critical,
        &["100 % of the content was replaced by data that takes 8 times the space"],
    );
    // Compaction halves the files of a server and means nothing.
    let mut compacted = bare(5, 10_000, (10_000, TEXT));
    compacted.files[0].bytes /= 4;
    is(&judge(&days, &compacted), State::Quiet, &[]);
}

#[test]
fn manifests_of_before_are_judged_by_their_rows_and_not_by_what_they_do_not_have() {
    let old = |day: i64, rows| {
        let mut old = backup(day, &[("d.a", Table::of(rows))], None);
        old.evidence = Evidence::default();
        old
    };
    let days: Vec<Manifest> = (0..5).map(|day| old(day, 10_000)).collect();
    let first = backup(5, &[("d.a", Table::updated(10_000, 10_000, 1))], Some((10_000, NOISE)));
    let found = judge(&days, &first);
    assert_eq!((found.state, found.replaced, found.compression), (State::Quiet, None, [None, Some(NOISE)]));
    assert_eq!(judge(&days, &old(5, 0)).state, State::Critical);
}

#[test]
fn a_window_reaches_two_weeks_back_or_fourteen_backups() {
    let days: Vec<Manifest> = (0..40).map(|day| backup(day, &[], None)).collect();
    let all: Vec<&Manifest> = days.iter().collect();
    assert_eq!(window(&all, days[39].as_of).len(), 15);
    assert_eq!(window(&all[..5], days[39].as_of).len(), 5);
    assert_eq!(window(&all, days[39].as_of + TimeDelta::days(100)).len(), WINDOW_LEAST);
    let often: Vec<Manifest> = (0..500).map(|_| backup(0, &[], None)).collect();
    assert_eq!(window(&often.iter().collect::<Vec<_>>(), often[0].as_of).len(), WINDOW_MOST);
}

#[test]
fn numbers_of_a_mangled_manifest_are_counted_as_far_as_they_go() {
    let endless = |day: i64, rows: u64| {
        let tables = ["d.a", "d.a", "d.b", "d.log"].map(|name| (name, Table::of(9)));
        let mut it = backup(day, &tables, None);
        it.files[0].bytes = rows;
        it.inventory_mut().tables.iter_mut().for_each(|table| table.rows = rows);
        for table in &it.inventory().tables.clone() {
            let texture = super::texture::Texture { bytes: [rows; 2], files: [rows; 2] };
            it.evidence.textures.insert(table.name.clone(), texture);
        }
        it
    };
    let days: Vec<Manifest> = (0..5).map(|day| endless(day, u64::MAX)).collect();
    is(&judge(&days, &endless(5, u64::MAX)), State::Quiet, &[]);
    assert_eq!(judge(&days, &endless(5, 0)).state, State::Critical);
}
