//! Sixty days of shops as there are many, and of attacks on them. No ordinary day may call anybody, and every attack must.

use super::shops::{Shop, Table};
use super::*;
use crate::domain::change::evidence::Apart;

const DAYS: usize = 60;
/// The day before which an attack begins.
const ATTACKED: usize = 30;
const SEEDS: [u64; 2] = [1, 2];

/// What is done on a day before its backup.
type Day = fn(&mut Shop, usize);
/// What there is on the first day.
type Begin = fn(&mut Shop);

/// What is found in the backups of `days`, oldest first.
fn live(seed: u64, begin: Begin, until: usize, days: &[(usize, Day)]) -> Vec<Assessment> {
    let mut shop = Shop::new(seed);
    begin(&mut shop);
    let (mut manifests, mut found, mut compared) = (Vec::new(), Vec::new(), BTreeMap::new());
    for at in 0..until {
        days.iter().filter(|(from, _)| at >= *from).for_each(|(_, day)| day(&mut shop, at));
        manifests.push(shop.backup());
        let points: Vec<&Manifest> = manifests.iter().collect();
        let newest = judge(&points, BTreeMap::clone(&compared), &Watch::default(), Words::default()).pop().unwrap().1;
        compared.insert(points[at].id.clone(), Compared::of(&newest));
        found.push(newest);
    }
    found
}

fn begin_shop(shop: &mut Shop) {
    shop.grow("d.customers", 200, [120, 0]);
    shop.grow("d.orders", 400, [90, 32]);
    shop.grow("d.products", 150, [400, 0]);
    shop.grow("d.documents", 40, [2_000, 6_000]);
    shop.grow("d.settings", 30, [40, 0]);
    shop.table("d.settings").times = 1;
    shop.grow("d.carts", 30, [60, 40]);
}

/// Orders grow, customers are updated, carts come and go.
fn work(shop: &mut Shop, _: usize) {
    shop.grow("d.orders", 4, [90, 32]);
    shop.update("d.orders", 1);
    shop.update("d.customers", 5);
    let carts = 10 + shop.chance.below(30);
    shop.table("d.carts").rows.clear();
    shop.grow("d.carts", carts, [60, 40]);
    if shop.chance.percent(30) {
        shop.grow("d.documents", 1, [2_000, 6_000]);
    }
}

fn weekly_log(shop: &mut Shop, day: usize) {
    shop.grow("d.access_log", 150, [150, 0]);
    if day % 7 == 6 {
        shop.table("d.access_log").rows.truncate(3);
    }
}

fn monthly_log_and_queue(shop: &mut Shop, day: usize) {
    shop.grow("d.visitor_log", 60, [150, 16]);
    shop.grow("d.mail_queue", 20, [300, 0]);
    if day % 30 == 25 {
        shop.table("d.visitor_log").rows.clear();
        shop.table("d.mail_queue").rows.clear();
    }
}

/// Products are loaded anew every night; twice there are pictures beside, and once there are twice as many.
fn nightly_reload(shop: &mut Shop, day: usize) {
    shop.update("d.products", 100);
    if day == 20 || day == 40 {
        shop.grow("d.pictures", 50, [100, 30_000]);
        shop.grow("d.products", 100, [40, 9_000]);
    }
    if day == 30 {
        shop.grow("d.products", 250, [400, 0]);
    }
}

/// Columns of tokens and hashes, which are longer than all the rest, are added one day and filled on another.
fn new_columns(shop: &mut Shop, day: usize) {
    if day == 25 || day == 45 {
        for table in shop.tables.values_mut() {
            table.definition += 1;
        }
    }
    if day == 26 || day == 45 {
        let mut chance = shop.chance.clone();
        for row in shop.tables.values_mut().flat_map(|table| &mut table.rows) {
            row.noise += 300;
            (row.content, row.is_stored) = (chance.next(), false);
        }
        shop.chance = chance;
    }
}

fn archiving(shop: &mut Shop, day: usize) {
    if day % 30 == 20 {
        let old: Vec<_> = shop.table("d.orders").rows.drain(..300).collect();
        shop.table("d.orders_archive").rows.extend(old);
    }
}

/// A table of texts and of pictures, few and large, which is written anew every week.
fn mixed_documents(shop: &mut Shop, day: usize) {
    if day % 7 == 3 {
        shop.update("d.mixed", 100);
        let at = usize::try_from(shop.chance.below(40)).unwrap();
        shop.table("d.mixed").rows.rotate_left(at);
    }
    if day == 0 {
        shop.grow("d.mixed", 400, [3_000, 0]);
        shop.grow("d.mixed", 40, [0, 60_000]);
    }
}

fn begin_tree(shop: &mut Shop) {
    for (name, files, bytes) in
        [("/srv/tree", 300, [8_000, 0]), ("/srv/tree/pictures", 60, [500, 90_000]), ("/srv/small", 12, [900, 0])]
    {
        *shop.table(name) = Table { times: 1, is_tree: true, ..Table::default() };
        shop.grow(name, files, bytes);
    }
    shop.table("/srv/tree").apart = Apart { entries: 9_000, bytes: 40_000_000 };
}

fn work_in_tree(shop: &mut Shop, _: usize) {
    shop.update("/srv/tree", 3);
    shop.grow("/srv/tree", 1, [8_000, 0]);
    shop.grow("/srv/tree/pictures", 1, [500, 90_000]);
    shop.table("/srv/tree").apart.entries += 40;
}

fn git_gc(shop: &mut Shop, day: usize) {
    if day % 7 == 5 {
        shop.table("/srv/tree").apart = Apart { entries: 30, bytes: 9_000_000 + 100_000 * day as u64 };
    }
}

fn archives(shop: &mut Shop, day: usize) {
    if day == 20 {
        shop.grow("/srv/small", 1, [0, 5_000_000]);
    }
    // Logs are compressed to a tenth.
    shop.grow("/srv/tree", 10, [4_000, 0]);
    if day % 7 == 2 {
        let tree = shop.table("/srv/tree");
        for file in tree.rows.iter_mut().rev().take(60).filter(|file| file.plain > 0) {
            (file.noise, file.plain, file.begins_with_noise) = (file.plain / 10, 0, true);
            (file.content, file.is_stored) = (file.content ^ 1, false);
        }
    }
}

#[test]
fn sixty_days_of_many_shops_call_nobody() {
    let shops: [(&str, Begin, Vec<Day>); 11] = [
        ("ordinary", begin_shop, vec![work]),
        ("weekly log", begin_shop, vec![work, weekly_log]),
        ("monthly log and queue", begin_shop, vec![work, monthly_log_and_queue]),
        ("nightly reload", begin_shop, vec![work, nightly_reload]),
        ("new columns", begin_shop, vec![work, new_columns]),
        ("archiving", begin_shop, vec![work, archiving]),
        ("mixed documents", begin_shop, vec![work, mixed_documents]),
        ("everything", begin_shop, vec![work, weekly_log, nightly_reload, new_columns, archiving, mixed_documents]),
        ("tree", begin_tree, vec![work_in_tree]),
        ("git gc", begin_tree, vec![work_in_tree, git_gc]),
        ("archives", begin_tree, vec![work_in_tree, git_gc, archives]),
    ];
    for (name, begin, days) in shops {
        let days: Vec<(usize, Day)> = days.into_iter().map(|day| (0, day)).collect();
        for seed in SEEDS {
            let found = live(seed, begin, DAYS, &days);
            let critical = found.iter().enumerate().find(|(_, found)| found.state == State::Critical);
            assert_eq!(critical, None, "{name}, seed {seed}");
            let warnings = found.iter().filter(|found| found.state == State::Warning).count();
            println!("{name}, seed {seed}: {warnings} warnings in {DAYS} days");
            assert!(warnings < DAYS / 2, "{name}, seed {seed}: {warnings} warnings");
        }
    }
}

const SHOP: [&str; 4] = ["d.customers", "d.orders", "d.products", "d.documents"];

fn once(day: usize, attack: impl FnOnce()) {
    if day == ATTACKED {
        attack();
    }
}

fn encrypt_all(shop: &mut Shop, day: usize) {
    once(day, || SHOP.into_iter().for_each(|name| shop.encrypt(name, 100, 4)));
}

/// As hex, which takes twice the bytes and compresses by half.
fn encrypt_as_hex(shop: &mut Shop, day: usize) {
    once(day, || SHOP.into_iter().for_each(|name| shop.encrypt(name, 100, 8)));
}

fn a_fifth_each_day(shop: &mut Shop, day: usize) {
    // Of what is left, so that it is a fifth of the whole on each of five days.
    let percent = [20, 25, 33, 50, 100].get(day - ATTACKED).copied().unwrap_or(0);
    for name in SHOP {
        shop.encrypt(name, percent, 4);
    }
}

fn a_twentieth_each_day(shop: &mut Shop, day: usize) {
    // As many twentieths as are left.
    let Some(percent) = 100_u64.checked_div(20_u64.saturating_sub((day - ATTACKED) as u64)) else { return };
    for name in SHOP {
        shop.encrypt(name, percent, 4);
    }
}

fn encrypt_and_dilute(shop: &mut Shop, day: usize) {
    encrypt_all(shop, day);
    if day > ATTACKED {
        for name in SHOP {
            shop.grow(name, 100, [200, 0]);
        }
    }
}

fn truncate_the_largest(shop: &mut Shop, day: usize) {
    once(day, || shop.table("d.orders").rows.clear());
}

fn truncate_the_largest_beside_a_log(shop: &mut Shop, day: usize) {
    shop.grow("d.access_log", 20, [150, 0]);
    truncate_the_largest(shop, day);
}

fn truncate_and_fill_up(shop: &mut Shop, day: usize) {
    truncate_the_largest(shop, day);
    if day > ATTACKED {
        shop.grow("d.orders", 60, [90, 32]);
    }
}

fn drop_half(shop: &mut Shop, day: usize) {
    once(day, || {
        for name in ["d.customers", "d.products", "d.settings"] {
            shop.tables.remove(name);
        }
    });
}

fn encrypt_the_large_files(shop: &mut Shop, day: usize) {
    once(day, || {
        // Each is as large as some hundred others.
        let rows = &mut shop.table("/srv/tree").rows;
        for row in rows.iter_mut().filter(|row| row.plain > 100_000) {
            (row.noise, row.plain, row.content, row.begins_with_noise) = (row.plain, 0, row.content ^ 1, true);
            row.is_stored = false;
        }
    });
}

fn begin_tree_with_large_files(shop: &mut Shop) {
    begin_tree(shop);
    shop.grow("/srv/tree", 4, [3_000_000, 0]);
}

/// Only the beginning of each file, which makes all of it useless.
fn encrypt_beginnings(shop: &mut Shop, day: usize) {
    once(day, || {
        for row in &mut shop.table("/srv/tree").rows {
            let begin = row.plain.min(4_000);
            (row.noise, row.plain, row.content) = (begin, row.plain - begin, row.content ^ 1);
            (row.begins_with_noise, row.is_stored) = (true, false);
        }
    });
}

#[test]
fn every_attack_is_found_in_time_and_stays_found() {
    let (shop, tree): (Begin, Begin) = (begin_shop, begin_tree);
    let attacks: [(&str, Begin, Day, Day, usize); 12] = [
        ("encrypt all", shop, work, encrypt_all, 1),
        ("encrypt as hex", shop, work, encrypt_as_hex, 1),
        ("a fifth each day", shop, work, a_fifth_each_day, 3),
        ("a twentieth each day", shop, work, a_twentieth_each_day, 14),
        ("encrypt and dilute", shop, work, encrypt_and_dilute, 1),
        ("truncate the largest", shop, work, truncate_the_largest, 1),
        ("truncate the largest beside a log", shop, work, truncate_the_largest_beside_a_log, 1),
        ("truncate and fill up", shop, work, truncate_and_fill_up, 1),
        ("drop half", shop, work, drop_half, 1),
        ("encrypt large files", begin_tree_with_large_files, work_in_tree, encrypt_the_large_files, 1),
        ("encrypt beginnings", tree, work_in_tree, encrypt_beginnings, 1),
        ("nightly reload, encrypted", shop, nightly_reload, encrypt_all, 1),
    ];
    for (name, begin, day, attack, most) in attacks {
        for seed in SEEDS {
            let found = live(seed, begin, ATTACKED + 16, &[(0, day), (ATTACKED, attack)]);
            let (before, after) = found.split_at(ATTACKED);
            assert!(before.iter().all(|it| it.state < State::Critical), "{name}, seed {seed}: nobody did anything yet");
            let first = after.iter().position(|it| it.state == State::Critical);
            let first = first.unwrap_or_else(|| panic!("{name}, seed {seed}: {:#?}", after.last()));
            println!("{name}, seed {seed}: found in backup {}", first + 1);
            assert!(first < most, "{name}, seed {seed}: {} backups later, {:#?}", first + 1, after[first]);
            let quiet = after[first..].iter().enumerate().find(|(_, it)| it.state != State::Critical);
            assert_eq!(quiet, None, "{name}, seed {seed}: it is still so");
            let named = after[first].before.as_ref().unwrap();
            assert!(named.id.0 <= format!("{:03}", ATTACKED + 1), "{name}, seed {seed}: {named:?} is no good state");
        }
    }
}

#[test]
fn data_that_was_put_back_is_quiet_although_life_went_on() {
    fn attack_and_mend(shop: &mut Shop, day: usize) {
        thread_local!(static KEPT: std::cell::RefCell<Option<Shop>> = const { std::cell::RefCell::new(None) });
        if day == ATTACKED {
            KEPT.set(Some(shop.clone()));
            encrypt_all(shop, day);
        } else if day == ATTACKED + 4 {
            let kept = KEPT.take().unwrap();
            shop.tables.clone_from(&kept.tables);
            shop.grow("d.pictures", 100, [10, 500]);
        }
    }
    for seed in SEEDS {
        let found = live(seed, begin_shop, ATTACKED + 12, &[(0, work), (ATTACKED, attack_and_mend)]);
        let critical: Vec<usize> = (0..found.len()).filter(|at| found[*at].state == State::Critical).collect();
        assert_eq!(critical, [ATTACKED, ATTACKED + 1, ATTACKED + 2, ATTACKED + 3], "seed {seed}");
    }
}
