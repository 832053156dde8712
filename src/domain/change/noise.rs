//! Plain content that becomes noise, and what only looks like it.

use std::collections::BTreeMap;

use super::evidence::{Apart, NewData};
use super::tests::{NOISE, TEXT, Table, backup, judge};
use super::texture::Texture;
use super::*;

/// A backup of tables of 1000 rows with so many kilobytes of plain data and of noise. `other` of them have other rows.
fn day(day: i64, tables: &[(&str, [u64; 2], u64)]) -> Manifest {
    let rows: Vec<(&str, Table)> =
        tables.iter().map(|(name, _, other)| (*name, Table::updated(1_000, *other, day.unsigned_abs()))).collect();
    let mut it = backup(day, &rows, Some((100, TEXT)));
    for (name, kilobytes, _) in tables {
        let texture = Texture { bytes: kilobytes.map(|it| it * 1000), files: [0, 0] };
        it.evidence.textures.insert((*name).to_owned(), texture);
    }
    it.files[0].bytes = tables.iter().map(|(_, kilobytes, _)| (kilobytes[0] + kilobytes[1]) * 1000).sum();
    it
}

fn days(tables: &[(&str, [u64; 2])]) -> Vec<Manifest> {
    let tables: Vec<(&str, [u64; 2], u64)> = tables.iter().map(|(name, kilobytes)| (*name, *kilobytes, 0)).collect();
    (0..5).map(|at| day(at, &tables)).collect()
}

const SHOP: [(&str, [u64; 2]); 2] = [("d.a", [600, 0]), ("d.b", [400, 100])];

#[track_caller]
fn is(found: &Assessment, state: State, became_noise: f64) {
    let share = found.became_noise.unwrap();
    assert!(found.state == state && (share - became_noise).abs() < 0.005, "{found:#?}");
}

#[test]
fn plain_data_that_became_noise_is_critical_however_it_is_written() {
    let past = days(&SHOP);
    // As it is, as base64 and as hex.
    for times in [100, 133, 200] {
        let noise = |kilobytes: u64| kilobytes * times / 100;
        let now = [("d.a", [0, noise(600)], 1_000), ("d.b", [0, 100 + noise(400)], 1_000)];
        let found = judge(&past, &day(5, &now));
        is(&found, State::Critical, 1.0);
        assert_eq!(found.reasons, ["100 % of the plain content became data that looks encrypted"]);
    }
    is(&judge(&past, &day(5, &[("d.a", [400, 200], 400), ("d.b", [300, 200], 300)])), State::Warning, 0.3);
    is(&judge(&past, &day(5, &[("d.a", [500, 100], 200), ("d.b", [300, 200], 200)])), State::Quiet, 0.2);
}

#[test]
fn noise_that_comes_and_plain_data_that_goes_by_themselves_are_no_encryption() {
    let past = days(&SHOP);
    let quiet = |tables: &[(&str, [u64; 2], u64)]| is(&judge(&past, &day(5, tables)), State::Quiet, 0.0);
    // A column of tokens that is longer than all the rest, an import beside a reload, and a purge of long texts.
    quiet(&[("d.a", [600, 900], 500), ("d.b", [400, 700], 500)]);
    quiet(&[("d.a", [650, 5_000], 500), ("d.b", [400, 100], 0)]);
    // A table of noise only, and a table that is new, say nothing of the others.
    quiet(&[("d.a", [600, 0], 0), ("d.b", [400, 100], 0), ("d.c", [0, 800], 0)]);
    let purged = judge(&past, &day(5, &[("d.a", [200, 0], 300), ("d.b", [400, 100], 0)]));
    assert_eq!((purged.became_noise, purged.compression), (Some(0.0), [Some(TEXT), Some(TEXT)]));
}

#[test]
fn new_data_that_does_not_compress_is_nothing_where_plain_data_is_still_there() {
    // A nightly reload, with a large column of hashes from today on: as the repository sees it, all is new and incompressible.
    let reload = |at: i64, noise: u64, new: (u64, f64)| {
        let mut it = day(at, &[("d.a", [600, noise], 1_000)]);
        it.evidence.new_data = backup(at, &[], Some(new)).evidence.new_data;
        it
    };
    let past: Vec<Manifest> = (0..5).map(|at| reload(at, 0, (600, TEXT))).collect();
    let mut now = reload(5, 2_000, (2_600, 0.9));
    is(&judge(&past, &now), State::Quiet, 0.0);
    // Where nothing recorded what is plain, what came in addition is not held against what was replaced.
    let without = |it: &Manifest| {
        let mut it = it.clone();
        it.evidence.textures.clear();
        it
    };
    let past: Vec<Manifest> = past.iter().map(without).collect();
    now = without(&now);
    let found = judge(&past, &now);
    assert!(found.became_noise.is_none() && found.state < State::Critical && found.is_content_judged(), "{found:#?}");
    now.inventory_mut().tables[0].rows = 1_050;
    assert!(judge(&past, &now).state < State::Critical);
    now.files[0].bytes = 600_000;
    now.evidence.new_data = backup(5, &[], Some((600, NOISE))).evidence.new_data;
    assert_eq!(judge(&past, &now).state, State::Critical);
}

#[test]
fn one_tenth_after_the_other_is_found_and_the_point_before_the_first_is_named() {
    let at = |at: i64, noise: u64| day(at, &[("d.a", [600 - noise, noise], noise), ("d.b", [400, 100], 0)]);
    let mut all: Vec<Manifest> = (0..6).map(|it| at(it, 0)).collect();
    all.extend([at(6, 120), at(7, 240)]);
    let found = judge(&all, &at(8, 360));
    is(&found, State::Warning, 0.36);
    assert_eq!(found.before.unwrap().id.0, "005");
    assert_eq!(
        found.reasons,
        ["36 % of the plain content became data that looks encrypted, little by little since 1970-01-01"]
    );
    is(&judge(&all, &at(8, 560)), State::Critical, 0.56);
    let quarter = judge(&all, &at(8, 250));
    is(&quarter, State::Warning, 0.25);
    assert_eq!(quarter.before.unwrap().id.0, "005");
    // What was encrypted all along is how things are.
    let same: Vec<Manifest> = (0..8).map(|it| at(it, 300)).collect();
    is(&judge(&same, &at(8, 300)), State::Quiet, 0.0);
}

#[test]
fn encryption_is_not_over_because_plain_data_came_since() {
    let past = days(&SHOP);
    let bad = day(5, &[("d.a", [0, 600], 1_000), ("d.b", [0, 500], 1_000)]);
    let with = |suspect: Vec<&Manifest>, now: &Manifest| {
        let past = Past { trusted: past.iter().collect(), suspect, earlier: past.iter().collect(), ..Past::default() };
        assess(&past, now, &Watch::default())
    };
    let diluted = day(6, &[("d.a", [900, 600], 1_000), ("d.b", [900, 500], 1_000)]);
    is(&with(vec![&bad], &diluted), State::Critical, 1.0);
    is(
        &with(vec![&bad, &diluted], &day(7, &[("d.a", [900, 600], 1_000), ("d.b", [900, 500], 1_000)])),
        State::Critical,
        1.0,
    );
    // The rows are back, or the noise is gone, whatever came beside it.
    is(&with(vec![&bad], &day(6, &[("d.a", [700, 700], 10), ("d.b", [400, 900], 10)])), State::Quiet, 0.0);
    is(&with(vec![&bad], &day(6, &[("d.a", [700, 0], 1_000), ("d.b", [400, 100], 1_000)])), State::Warning, 0.0);
}

#[test]
fn few_large_files_and_the_beginnings_of_many_count_as_much() {
    let tree = |at: i64, bytes: [u64; 2], files: [u64; 2]| {
        let mut it = day(at, &[("/srv/d", bytes, 0)]);
        it.evidence.textures.get_mut("/srv/d").unwrap().files = files;
        it
    };
    let past: Vec<Manifest> = (0..5).map(|at| tree(at, [10_000, 0], [100, 0])).collect();
    is(&judge(&past, &tree(5, [2_000, 8_000], [98, 2])), State::Critical, 0.8);
    is(&judge(&past, &tree(5, [9_600, 400], [20, 80])), State::Critical, 0.8);
    // They were compressed, which makes them shorter.
    is(&judge(&past, &tree(5, [8_000, 200], [20, 80])), State::Quiet, 0.02);
    // A handful of texts among pictures comes and goes.
    let pictures: Vec<Manifest> = (0..5).map(|at| tree(at, [200, 20_000], [5, 100])).collect();
    is(&judge(&pictures, &tree(5, [0, 21_000], [0, 110])), State::Quiet, 200.0 / 2_020.0);
}

#[test]
fn many_tables_that_became_noise_are_not_hidden_by_a_large_one() {
    let names = ["d.a", "d.b", "d.c", "d.d"];
    let at = |at: i64, small: [u64; 2], how_many: usize| {
        let tables = names.iter().enumerate().map(|(it, name)| {
            (*name, if it < how_many { small } else { [50, 0] }, if it < how_many { 1_000 } else { 0 })
        });
        day(at, &tables.chain([("d.z", [90_000, 0], 0)]).collect::<Vec<_>>())
    };
    let past: Vec<Manifest> = (0..5).map(|it| at(it, [50, 0], 0)).collect();
    is(&judge(&past, &at(5, [0, 50], 4)), State::Critical, 0.8);
    is(&judge(&past, &at(5, [0, 50], 3)), State::Critical, 0.6);
    is(&judge(&past, &at(5, [0, 50], 2)), State::Quiet, 100.0 / 90_200.0);
    is(&judge(&past, &at(5, [30, 20], 4)), State::Quiet, 80.0 / 90_200.0);
    let ignoring = Watch { ignore: vec!["d.a".to_owned()], ..Watch::default() };
    let past = Past { trusted: past.iter().collect(), ..Past::default() };
    is(&assess(&past, &at(5, [0, 50], 4), &ignoring), State::Critical, 0.75);
}

#[test]
fn what_is_less_than_some_kilobytes_is_no_content() {
    let past = days(&[("d.a", [3, 0])]);
    is(&judge(&past, &day(5, &[("d.a", [0, 3], 1_000)])), State::Warning, 0.0);
    let past = days(&[("d.a", [5, 0])]);
    is(&judge(&past, &day(5, &[("d.a", [0, 5], 1_000)])), State::Critical, 1.0);
}

/// A tree whose git objects are so many; everything else stays.
fn with_objects(at: i64, entries: u64) -> Manifest {
    let mut it = day(at, &[("/srv/d", [500, 0], 0)]);
    it.inventory_mut().tables[0].rows += entries;
    it.files[0].bytes += entries * 2_000;
    it.evidence.apart.insert("/srv/d".to_owned(), Apart { entries, bytes: entries * 2_000 });
    it
}

#[test]
fn objects_of_git_excuse_no_loss_however_seldom_a_tree_is_backed_up() {
    let weekly: Vec<Manifest> = (0..14).map(|week| with_objects(week * 7, 9_000)).collect();
    let after = |files: u64, objects: u64| {
        let mut it = with_objects(14 * 7, objects);
        it.inventory_mut().tables[0].rows = objects + files;
        it
    };
    assert_eq!(judge(&weekly, &after(1_000, 9_000)).state, State::Quiet);
    assert_eq!(judge(&weekly, &after(100, 9_000)).state, State::Critical);
    // The repository moved elsewhere, and the objects are no files that were lost.
    assert_eq!(judge(&weekly, &after(1_000, 0)).state, State::Quiet);
    // Of the oldest ones only the next one tells how many objects they had, which were packed since.
    let mut upgraded = weekly;
    for old in &mut upgraded[..2] {
        (old.evidence.apart, old.evidence.textures) = (BTreeMap::new(), BTreeMap::new());
    }
    upgraded[3..].iter_mut().for_each(|it| *it = with_objects(it.as_of.timestamp() / 86_400, 20));
    assert_eq!(judge(&upgraded, &after(100, 20)).state, State::Critical);
}

#[test]
fn samples_of_a_version_that_sampled_the_objects_of_git_are_not_compared_with_those_that_do_not() {
    let sampled = backup(0, &[("/srv/d", Table::of(50_000))], None).evidence.samples;
    let old = |at: i64| {
        let mut it = with_objects(at, 49_000);
        it.evidence.samples.clone_from(&sampled);
        (it.evidence.apart, it.evidence.textures) = (BTreeMap::new(), BTreeMap::new());
        it
    };
    let mut all: Vec<Manifest> = (0..5).map(old).collect();
    for at in 5..8 {
        let new = with_objects(at, 49_000);
        let found = judge(&all, &new);
        assert_eq!((found.state, found.reasons.len(), found.stays), (State::Quiet, 0, false), "{at}: {found:#?}");
        assert_eq!(found.replaced, (at > 5).then_some(0.0));
        all.push(new);
    }
}

#[test]
fn objects_of_git_that_are_packed_are_no_loss_and_the_rest_is_judged() {
    let past: Vec<Manifest> = (0..5).map(|at| with_objects(at, 9_000)).collect();
    let mut packed = with_objects(5, 20);
    let found = judge(&past, &packed);
    is(&found, State::Quiet, 0.0);
    assert_eq!((found.rows, found.bytes, found.rows_lost), ([1_000, 1_000], [500_000, 500_000], 0.0));
    // The first backup that tells of them apart says how many there were before.
    let old = |it: &Manifest| {
        let mut it = it.clone();
        (it.evidence.apart, it.evidence.textures) = (BTreeMap::new(), BTreeMap::new());
        it
    };
    let before: Vec<Manifest> = past[..4].iter().map(old).collect();
    assert_eq!(judge(&before, &past[4]).state, State::Quiet);
    let both: Vec<Manifest> = before.iter().chain([&past[4]]).cloned().collect();
    assert_eq!(judge(&both, &packed).state, State::Quiet);
    packed.inventory_mut().tables[0].rows = 420;
    assert_eq!(judge(&past, &packed).state, State::Critical);
    let suspect = Past {
        trusted: past.iter().collect(),
        suspect: vec![&packed],
        earlier: past.iter().collect(),
        ..Past::default()
    };
    assert_eq!(assess(&suspect, &with_objects(6, 30), &Watch::default()).state, State::Quiet);
    assert_eq!(
        judge(&past, &{
            let mut it = with_objects(5, 9_000);
            it.inventory_mut().tables[0].rows = 9_400;
            it
        })
        .state,
        State::Critical
    );
}

#[test]
fn which_share_was_replaced_is_told_only_where_most_rows_can_be_compared() {
    let replaced = |unknown: &[&str]| {
        let past: Vec<Manifest> =
            (0..5).map(|at| day(at, &[("d.a", [600, 0], 0), ("d.b", [600, 0], 0), ("d.c", [9, 0], 0)])).collect();
        let mut now = day(5, &[("d.a", [600, 0], 1_000), ("d.b", [600, 0], 1_000), ("d.c", [9, 0], 1_000)]);
        now.evidence.samples.retain(|name, _| !unknown.contains(&name.as_str()));
        judge(&past, &now).replaced
    };
    assert_eq!(replaced(&["d.c"]), Some(1.0));
    assert_eq!(replaced(&["d.b", "d.c"]), None);
}

#[test]
fn it_is_said_whether_anybody_could_tell_if_content_was_encrypted() {
    let judged = |change: fn(&mut Manifest)| {
        let mut all: Vec<Manifest> = (0..6).map(|at| day(at, &[("d.a", [600, 0], 0)])).collect();
        all.iter_mut().for_each(change);
        judge(&all[..5], &all[5]).is_content_judged()
    };
    assert!(judged(|_| ()));
    assert!(judged(|it| it.evidence.new_data = None));
    assert!(judged(|it| it.evidence.textures.clear()));
    // The repository compresses nothing, or does not tell.
    assert!(!judged(|it| {
        it.evidence.textures.clear();
        it.evidence.new_data = it.evidence.new_data.map(|new| NewData { stored_bytes: new.bytes, ..new });
    }));
    assert!(!judged(|it| {
        it.evidence.textures.clear();
        it.evidence.new_data = None;
    }));
}
