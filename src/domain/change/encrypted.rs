//! Sources that were still, small or partly encrypted before: what is unusual is known all the same.

use super::tests::{NOISE, TEXT, Table, backup, judge};
use super::*;

/// 300 files that nobody touches: only the first backup has new data, which compresses so.
fn still(compression: f64) -> Vec<Manifest> {
    let day = |day: i64| {
        let new = if day == 0 { 300 } else { 0 };
        backup(day, &[("/srv/d", Table::of(300))], Some((new, compression)))
    };
    (0..16).map(day).collect()
}

fn replaced(day: i64, rows: u64, changed: u64, compression: f64) -> Manifest {
    backup(day, &[("/srv/d", Table::updated(rows, changed, 1))], Some((changed, compression)))
}

#[test]
fn a_still_source_that_is_encrypted_is_critical_although_nothing_was_new_for_two_weeks() {
    let mut days = still(TEXT);
    days.extend((16..40).map(|day| backup(day, &[("/srv/d", Table::of(300))], Some((0, TEXT)))));
    for past in [&days[..16], &days] {
        let found = judge(past, &replaced(40, 300, 300, NOISE));
        assert_eq!((found.state, found.compression), (State::Critical, [Some(TEXT), Some(NOISE)]));
    }
}

#[test]
fn a_source_that_is_encrypted_after_a_change_was_accepted_is_critical() {
    let days = still(TEXT);
    let past = Past {
        trusted: days[10..].iter().collect(),
        earlier: days.iter().collect(),
        is_accepted: true,
        ..Past::default()
    };
    assert_eq!(assess(&past, &replaced(16, 300, 300, NOISE), &Watch::default()).state, State::Critical);
    // Encryption that was accepted is how things are.
    let meant = replaced(16, 300, 300, NOISE);
    let all: Vec<&Manifest> = days.iter().chain([&meant]).collect();
    let past = Past { trusted: vec![&meant], earlier: all, is_accepted: true, ..Past::default() };
    let mut anew = backup(17, &[("/srv/d", Table::updated(300, 300, 2))], Some((300, NOISE)));
    assert_eq!(assess(&past, &anew, &Watch::default()).state, State::Quiet);
    anew.evidence.new_data = None;
    assert_eq!(assess(&past, &anew, &Watch::default()).state, State::Quiet);
}

#[test]
fn a_small_source_that_is_encrypted_is_critical() {
    let day = |day: i64| backup(day, &[("d.a", Table::of(20))], Some((if day == 0 { 20 } else { 0 }, TEXT)));
    let days: Vec<Manifest> = (0..5).map(day).collect();
    let noise = |rows, changed| backup(5, &[("d.a", Table::updated(rows, changed, 1))], Some((changed, NOISE)));
    assert_eq!(judge(&days, &noise(20, 20)).state, State::Critical);
    assert_eq!(judge(&days, &noise(20, 5)).state, State::Quiet);
}

#[test]
fn a_tree_of_pictures_that_never_compressed_is_not_critical() {
    let days = still(0.97);
    assert_eq!(judge(&days, &replaced(16, 300, 30, NOISE)).state, State::Quiet);
    assert_ne!(judge(&days, &replaced(16, 300, 300, NOISE)).state, State::Critical);
    // Nor is a tenth of a tree of texts that is replaced by pictures.
    assert_eq!(judge(&still(TEXT), &replaced(16, 300, 30, NOISE)).state, State::Quiet);
}

#[test]
fn few_rows_that_are_most_of_the_bytes_are_critical_when_they_are_encrypted() {
    let day = |day: i64, shop: &Table, new: (u64, f64)| {
        let tables = [("d.customers", shop.clone()), ("d.invoicez", shop.clone()), ("d.log", Table::of(5_800))];
        let mut it = backup(day, &tables, Some(new));
        // A row of the log is short.
        it.files[0].bytes = 4_500_000;
        it
    };
    let shop = Table::of(2_100);
    let days: Vec<Manifest> =
        (0..5).map(|at| day(at, &shop, if at == 0 { (4_500, TEXT) } else { (0, TEXT) })).collect();
    let found = judge(&days, &day(5, &Table::updated(2_100, 2_100, 1), (4_200, NOISE)));
    assert_eq!((found.state, found.replaced.map(|share| share > 0.9)), (State::Critical, Some(true)), "{found:?}");
    // A repository stores what lies around an edited row, too.
    let edits = judge(&days, &day(5, &Table::updated(2_100, 100, 1), (4_500, NOISE)));
    assert_eq!(edits.state, State::Quiet, "{edits:?}");
}

#[test]
fn content_that_was_replaced_as_a_whole_is_marked_as_what_does_not_end_by_itself() {
    let days = still(TEXT);
    let found = judge(&days, &replaced(16, 300, 300, TEXT));
    assert_eq!((found.state, found.stays), (State::Warning, true));
    let lost = judge(&days, &backup(16, &[("/srv/d", Table::of(200))], Some((0, TEXT))));
    assert_eq!((lost.state, lost.stays), (State::Warning, false));
    let json = serde_json::to_value([&found, &lost]).unwrap();
    assert_eq!((&json[0]["stays"], json[1].get("stays")), (&true.into(), None));
}

#[test]
fn data_that_is_as_it_was_before_a_warning_is_quiet_and_no_warning_is_named_as_the_last_one_before() {
    let days = still(TEXT);
    // A third is ciphertext, which is longer.
    let mut warned = replaced(16, 300, 100, NOISE);
    warned.files[0].bytes = 450_000;
    warned.evidence.new_data = Some(super::evidence::NewData { bytes: 250_000, stored_bytes: 250_000 });
    let found = judge(&days, &warned);
    assert_eq!((found.state, found.before.unwrap().id.0.as_str()), (State::Warning, "015"));
    let trusted: Vec<&Manifest> = days.iter().chain([&warned]).collect();
    let past = Past { trusted, doubted: 1, earlier: days.iter().collect(), ..Past::default() };
    let back = backup(17, &[("/srv/d", Table::of(300))], Some((0, TEXT)));
    let found = assess(&past, &back, &Watch::default());
    assert_eq!((found.state, found.before.unwrap().id.0.as_str()), (State::Quiet, "015"), "{:?}", found.reasons);
    let worse = assess(&past, &replaced(17, 300, 300, NOISE), &Watch::default());
    assert_eq!((worse.state, worse.before.unwrap().id.0.as_str()), (State::Critical, "015"));
}
