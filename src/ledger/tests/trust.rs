//! What the ledger knows against a repository that others can change, and against a clock that was wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::sla::Objectives;
use crate::ledger::{Gone, KnownSource};

const DAY: i64 = 86_400;

fn kept_for(days: u64) -> Objectives {
    let hours = Duration::from_hours;
    Objectives {
        rpo: hours(24),
        rto: hours(1),
        retention: hours(24 * days),
        drill_interval: hours(24),
        max_chain_length: 2,
        objective_ratio: 0.99,
    }
}

async fn know(ledger: &Ledger, repository: &str, objectives: &Objectives) {
    ledger.know(&[KnownSource { name: "shop", kind: "mysql", repository, objectives }]).await.unwrap();
}

/// A ledger that knows one source whose points are kept for 30 days, and the place of it.
async fn onsite() -> (tempfile::TempDir, Arc<SetClock>, Ledger) {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    know(&ledger, "onsite", &kept_for(30)).await;
    (dir, clock, ledger)
}

/// From now on the ledger refuses this.
async fn refuse(ledger: &Ledger, statement: &'static str) {
    sqlx::query(statement).execute(&ledger.pool).await.unwrap();
}

async fn vanished(ledger: &Ledger, days: u64) -> u64 {
    let (points, now) = (ledger.snapshot().await.unwrap().sources["shop"].points.clone(), ledger.clock.wall());
    points.vanished_of(Duration::from_hours(24 * days), now)
}

#[tokio::test]
async fn a_point_that_goes_before_its_retention_has_vanished_until_it_is_back_or_nobody_asks_for_it() {
    let (_dir, clock, ledger) = onsite().await;
    let [expired, old, new] =
        [("expired", 31 * DAY), ("old", 29 * DAY), ("new", DAY)].map(|(id, ago)| point(id, &clock, ago));
    ledger.reconcile_points("shop", &[expired, old.clone(), new.clone()]).await.unwrap();
    let changed = ledger.reconcile_points("shop", std::slice::from_ref(&new)).await.unwrap();
    assert_eq!((changed.gone, changed.gone_early), (2, 1));
    assert_eq!(vanished(&ledger, 30).await, 1);
    assert_eq!(vanished(&ledger, 7).await, 0, "less is promised now");
    ledger.reconcile_points("shop", &[old.clone(), new.clone()]).await.unwrap();
    assert_eq!(vanished(&ledger, 30).await, 0, "it is back");
    ledger.reconcile_points("shop", &[]).await.unwrap();
    assert_eq!(vanished(&ledger, 30).await, 2, "everything was rolled back");
    clock.advance(2 * DAY);
    assert_eq!(vanished(&ledger, 30).await, 1, "the old one is not asked for any more");

    // What was rightly gone when less was promised stays so.
    know(&ledger, "onsite", &kept_for(7)).await;
    ledger.reconcile_points("shop", &[point("week", &clock, 8 * DAY)]).await.unwrap();
    assert_eq!(ledger.reconcile_points("shop", &[]).await.unwrap().gone_early, 0);
    assert_eq!(vanished(&ledger, 30).await, 1);
}

#[tokio::test]
async fn what_is_not_looked_for_any_more_or_counts_as_another_hosts_has_not_vanished() {
    let (_dir, clock, ledger) = onsite().await;
    let [a, b] = ["a", "b"].map(|id| point(id, &clock, DAY));
    ledger.reconcile_points("shop", &[a.clone(), b.clone()]).await.unwrap();
    let begun = ledger.revision().await.unwrap();
    let others = BTreeSet::from(["a".to_owned()]);
    let meaning =
        Gone::Unless { others: &others, unreadable: &BTreeSet::new(), unnamed: 0, configured: &BTreeSet::new() };
    ledger.reconcile("shop", std::slice::from_ref(&b), begun, meaning).await.unwrap();
    assert_eq!(vanished(&ledger, 30).await, 0, "another host's now");
    know(&ledger, "offsite", &kept_for(30)).await;
    assert_eq!(vanished(&ledger, 30).await, 0, "moved on purpose");

    ledger.adopt("offsite", "first").await.unwrap();
    ledger.reconcile_points("shop", &[a, b]).await.unwrap();
    assert_eq!(ledger.accept("offsite", "second").await.unwrap().as_deref(), Some("first"));
    ledger.reconcile_points("shop", &[]).await.unwrap();
    assert_eq!(vanished(&ledger, 30).await, 0, "the repository was replaced on purpose");
}

#[tokio::test]
async fn a_point_dated_ahead_that_is_removed_has_not_vanished_not_even_when_its_date_has_come() {
    let (_dir, clock, ledger) = onsite().await;
    let (ahead, sound) = (point("ahead", &clock, -60 * DAY), point("sound", &clock, 0));
    ledger.reconcile_points("shop", &[ahead, sound.clone()]).await.unwrap();
    let changed = ledger.reconcile_points("shop", &[sound]).await.unwrap();
    assert_eq!((changed.gone, changed.gone_early), (1, 0));
    assert_eq!(vanished(&ledger, 30).await, 0);
    clock.advance(61 * DAY);
    assert_eq!(vanished(&ledger, 30).await, 0, "its date has come");
}

#[tokio::test]
async fn a_point_whose_date_was_marked_as_wrong_has_not_vanished_when_it_is_removed() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    know(&ledger, "onsite", &kept_for(100)).await;
    let mut listed = Vec::new();
    clock.advance(60 * DAY);
    backed_up(&ledger, &mut listed, point("ahead", &clock, 0)).await;
    clock.advance(-59 * DAY);
    backed_up(&ledger, &mut listed, point("sound", &clock, 0)).await;
    clock.advance(60 * DAY);
    assert!(ledger.suspect_points("shop").await.unwrap().contains("ahead"));
    ledger.reconcile_points("shop", &listed[1..]).await.unwrap();
    assert_eq!(vanished(&ledger, 100).await, 0);
}

#[tokio::test]
async fn what_vanished_and_is_accepted_as_gone_has_not_vanished_and_what_goes_later_has() {
    let (_dir, clock, ledger) = onsite().await;
    let (a, b) = (point("a", &clock, 2), point("b", &clock, 1));
    ledger.reconcile_points("shop", &[a, b.clone()]).await.unwrap();
    ledger.reconcile_points("shop", &[b]).await.unwrap();
    assert_eq!(vanished(&ledger, 30).await, 1);
    assert!(ledger.accept_gone_points("offsite").await.unwrap().is_empty(), "another repository");
    assert_eq!(vanished(&ledger, 30).await, 1);
    let seen = ledger.revision().await.unwrap();
    let accepted = ledger.accept_gone_points("onsite").await.unwrap();
    assert_eq!(accepted, BTreeMap::from([("shop".to_owned(), 1)]));
    assert!(ledger.revision().await.unwrap() > seen, "whoever shows it reads it again");
    assert_eq!(vanished(&ledger, 30).await, 0);
    assert!(ledger.verify_seals(&[]).await.unwrap().is_whole(), "it is no fault of the ledger");
    assert!(ledger.accept_gone_points("onsite").await.unwrap().is_empty(), "nothing is left to accept");
    ledger.reconcile_points("shop", &[]).await.unwrap();
    assert_eq!(vanished(&ledger, 30).await, 1, "the other one went without a word");
}

#[tokio::test]
async fn an_acceptance_that_ends_half_way_has_no_point_vanish() {
    let (_dir, clock, ledger) = onsite().await;
    ledger.adopt("onsite", "first").await.unwrap();
    ledger.reconcile_points("shop", &[point("a", &clock, 2)]).await.unwrap();
    // Whatever is written first, the repository's row is not taken.
    refuse(&ledger, "CREATE TRIGGER refused BEFORE INSERT ON repositories BEGIN SELECT RAISE(ABORT, 'full'); END")
        .await;
    ledger.accept("onsite", "second").await.unwrap_err();
    assert_eq!(ledger.points("shop").await.unwrap().len(), 1, "all of it or nothing");
    assert_eq!(ledger.adopt("onsite", "second").await.unwrap().identity, "first");
    assert_eq!(vanished(&ledger, 30).await, 0);
}

#[tokio::test]
async fn a_move_that_ends_half_way_has_no_point_vanish() {
    let (_dir, clock, ledger) = onsite().await;
    ledger.reconcile_points("shop", &[point("a", &clock, 2)]).await.unwrap();
    // The points cannot be forgotten: then the source has not moved either.
    refuse(&ledger, "CREATE TRIGGER refused BEFORE DELETE ON points BEGIN SELECT RAISE(ABORT, 'full'); END").await;
    ledger.ensure_source("shop", "files", "elsewhere").await.unwrap_err();
    let objectives = kept_for(30);
    let moved = KnownSource { name: "shop", kind: "files", repository: "elsewhere", objectives: &objectives };
    ledger.know(&[moved]).await.unwrap_err();
    sqlx::query("DROP TRIGGER refused").execute(&ledger.pool).await.unwrap();
    assert_eq!(ledger.points("shop").await.unwrap().len(), 1);
    assert_eq!(ledger.snapshot().await.unwrap().sources["shop"].repository, "onsite");
    ledger.know(&[moved]).await.unwrap();
    assert_eq!(ledger.points("shop").await.unwrap(), []);
    assert_eq!(vanished(&ledger, 30).await, 0);
}

#[tokio::test]
async fn the_first_identity_stays_until_another_is_accepted() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    assert!(ledger.adopt("onsite", "one").await.unwrap().is_new);
    clock.advance(10);
    let again = ledger.adopt("onsite", "two").await.unwrap();
    assert_eq!((again.identity.as_str(), again.is_new), ("one", false));
    assert!(ledger.adopt("offsite", "two").await.unwrap().is_new);
    drop(ledger);
    let ledger = open(dir.path(), &clock).await;
    assert_eq!(ledger.accept("onsite", "two").await.unwrap().as_deref(), Some("one"));
    assert_eq!(ledger.adopt("onsite", "one").await.unwrap().identity, "two");
    assert_eq!(ledger.accept("new", "three").await.unwrap(), None);
}

/// A backup that is listed, then recorded as succeeded.
async fn backed_up(ledger: &Ledger, listed: &mut Vec<PointRow>, point: PointRow) {
    let run = ledger.begin(&backup("shop")).await.unwrap();
    listed.push(point.clone());
    ledger.reconcile_points("shop", listed).await.unwrap();
    let result = RunResult { recovery_point: Some(point.id), ..RunResult::new(Outcome::Succeeded, 1.0) };
    ledger.finish(&run, &result).await.unwrap();
    ledger.reconcile_points("shop", listed).await.unwrap();
}

#[tokio::test]
async fn a_backup_of_a_clock_that_was_ahead_is_never_the_newest_not_even_when_its_date_has_come() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    know(&ledger, "onsite", &kept_for(100)).await;
    let mut listed = Vec::new();
    backed_up(&ledger, &mut listed, point("a", &clock, 0)).await;
    clock.advance(60 * DAY);
    backed_up(&ledger, &mut listed, point("ahead", &clock, 0)).await;
    clock.advance(-59 * DAY);
    let sound = clock.wall();
    let newest = async || ledger.snapshot().await.unwrap().sources["shop"].points.clone();
    assert_ne!(newest().await.newest, Some(sound + TimeDelta::days(59)), "before there is another");
    backed_up(&ledger, &mut listed, point("b", &clock, 0)).await;
    for days in [0, 58, 2, 30] {
        clock.advance(days * DAY);
        let points = newest().await;
        assert_eq!(points.newest, Some(sound), "after {days} more days");
        assert_eq!((points.suspect, points.newest_suspect), (1, Some(sound + TimeDelta::days(59))));
        assert_eq!(points.by_kind[&BackupKind::Full], 3, "it is listed all the same");
        assert_eq!(ledger.suspect_points("shop").await.unwrap(), BTreeSet::from(["ahead".to_owned()]));
        ledger.reconcile_points("shop", &listed).await.unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_was_behind_for_a_while_makes_nothing_else_suspect() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    know(&ledger, "onsite", &kept_for(100)).await;
    let mut listed = Vec::new();
    for id in ["a", "b"] {
        backed_up(&ledger, &mut listed, point(id, &clock, 0)).await;
        clock.advance(DAY);
    }
    clock.advance(-50 * DAY);
    backed_up(&ledger, &mut listed, point("behind", &clock, 0)).await;
    clock.advance(50 * DAY);
    ledger.reconcile_points("shop", &listed).await.unwrap();
    assert_eq!(ledger.suspect_points("shop").await.unwrap(), BTreeSet::from(["behind".to_owned()]));
    backed_up(&ledger, &mut listed, point("c", &clock, 0)).await;
    assert_eq!(ledger.suspect_points("shop").await.unwrap(), BTreeSet::from(["behind".to_owned()]));
    let points = &ledger.snapshot().await.unwrap().sources["shop"].points;
    assert_eq!(points.newest, Some(clock.wall()));
    assert_eq!(points.oldest, listed.iter().find(|point| point.id.0 == "a").map(|point| point.as_of));
}

#[tokio::test]
async fn a_point_that_cannot_be_read_has_not_vanished_before_it_is_gone() {
    let (_dir, clock, ledger) = onsite().await;
    let [a, b, c] = ["a", "b", "c"].map(|id| point(id, &clock, DAY));
    let (none, of) =
        (BTreeSet::new(), |ids: &[&str]| ids.iter().map(|id| ("shop".to_owned(), (*id).to_owned())).collect());
    let listing = async |listed: &[PointRow], unreadable: &[&str], unnamed: u64| {
        clock.advance(60);
        let (begun, unreadable) = (ledger.revision().await.unwrap(), of(unreadable));
        let meaning = Gone::Unless { others: &none, unreadable: &unreadable, unnamed, configured: &none };
        let changed = ledger.reconcile("shop", listed, begun, meaning).await.unwrap();
        assert!(ledger.verify_seals(&[]).await.unwrap().is_whole());
        (changed.unreadable, vanished(&ledger, 30).await)
    };
    let all = [a.clone(), b.clone(), c.clone()];
    assert_eq!(listing(&all, &[], 0).await, (0, 0));
    assert_eq!(listing(std::slice::from_ref(&c), &["a", "b"], 0).await, (2, 0));
    assert_eq!(listing(std::slice::from_ref(&c), &["a", "b"], 0).await, (0, 0), "said once");
    assert_eq!(listing(&all, &[], 0).await, (0, 0), "mended");
    assert_eq!(listing(&[], &["a", "b", "c"], 0).await, (3, 0));
    assert_eq!(listing(&[], &["b", "c"], 0).await, (0, 1), "now it is gone");
    assert_eq!(listing(std::slice::from_ref(&b), &["c"], 0).await, (0, 1));
    assert_eq!(listing(&all, &[], 0).await, (0, 0));
    // Files of which nobody can tell which ones they are.
    assert_eq!(listing(std::slice::from_ref(&c), &[], 2).await, (2, 0));
    assert_eq!(
        listing(std::slice::from_ref(&c), &[], 1).await,
        (0, 2),
        "one of the two at least, and nobody knows which"
    );
    assert_eq!(listing(&[], &[], 0).await, (0, 3), "more are missing than cannot be read");
}

#[tokio::test]
async fn one_damaged_file_excuses_the_missing_point_of_one_source_only() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    let promised = kept_for(30);
    let source = |name| KnownSource { name, kind: "mysql", repository: "onsite", objectives: &promised };
    ledger.know(&[source("shop"), source("other")]).await.unwrap();
    let (none, named) = (BTreeSet::new(), std::cell::RefCell::new(BTreeSet::new()));
    let looked_at = std::cell::RefCell::new(BTreeSet::from(["shop", "other"].map(str::to_owned)));
    let listing = async |name: &str, listed: &[PointRow], unnamed: u64| {
        clock.advance(60);
        let (begun, unreadable) = (ledger.revision().await.unwrap(), named.borrow().clone());
        let configured = looked_at.borrow().clone();
        let meaning = Gone::Unless { others: &none, unreadable: &unreadable, unnamed, configured: &configured };
        ledger.reconcile(name, listed, begun, meaning).await.unwrap().unreadable
    };
    listing("other", &[point("x", &clock, DAY)], 0).await;
    listing("shop", &[point("a", &clock, DAY)], 0).await;
    assert_eq!(listing("other", &[], 1).await, 1, "the file that cannot be read may be this one");
    assert_eq!((listing("shop", &[], 1).await, vanished(&ledger, 30).await), (0, 1), "so this one is gone");
    assert_eq!((listing("shop", &[], 2).await, vanished(&ledger, 30).await), (0, 1));

    // What has a name is not the file that has none.
    let b = point("b", &clock, DAY);
    listing("shop", std::slice::from_ref(&b), 1).await;
    listing("other", &[point("x", &clock, DAY)], 0).await;
    named.borrow_mut().insert(("other".to_owned(), "x".to_owned()));
    assert_eq!(listing("other", &[], 1).await, 1);
    assert_eq!((listing("shop", &[], 1).await, vanished(&ledger, 30).await), (1, 1), "the other file may be this one");

    // What could not be read of a source that is retired since is not looked for any more: its file may be gone.
    let c = point("c", &clock, DAY);
    listing("shop", std::slice::from_ref(&c), 0).await;
    named.borrow_mut().clear();
    looked_at.borrow_mut().remove("other");
    let before = vanished(&ledger, 30).await;
    assert_eq!((listing("shop", &[], 1).await, vanished(&ledger, 30).await), (1, before), "the file may be this one");
}

#[tokio::test]
async fn a_point_that_could_not_be_read_until_its_retention_was_over_goes_as_any_other() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    know(&ledger, "onsite", &kept_for(30)).await;
    let (none, point) = (BTreeSet::new(), point("a", &clock, 29 * DAY));
    let unreadable = BTreeSet::from([("shop".to_owned(), "a".to_owned())]);
    ledger.reconcile_points("shop", std::slice::from_ref(&point)).await.unwrap();
    let begun = ledger.revision().await.unwrap();
    let meaning = Gone::Unless { others: &none, unreadable: &unreadable, unnamed: 0, configured: &none };
    assert_eq!(ledger.reconcile("shop", &[], begun, meaning).await.unwrap().unreadable, 1);
    clock.advance(2 * DAY);
    ledger.reconcile_points("shop", &[]).await.unwrap();
    assert_eq!(ledger.vanished_points("shop").await.unwrap(), []);
    assert!(ledger.verify_seals(&[]).await.unwrap().is_whole());
}

#[tokio::test]
async fn each_time_at_which_a_point_vanished_is_remembered_with_whether_it_came_back_or_was_accepted() {
    let (_dir, clock, ledger) = onsite().await;
    let [expired, old, new] =
        [("expired", 31 * DAY), ("old", 29 * DAY), ("new", DAY)].map(|(id, ago)| point(id, &clock, ago));
    ledger.reconcile_points("shop", &[expired, old.clone(), new.clone()]).await.unwrap();
    let begun = ledger.clock.wall();
    ledger.reconcile_points("shop", std::slice::from_ref(&new)).await.unwrap();
    clock.advance(60);
    ledger.reconcile_points("shop", &[old, new]).await.unwrap();
    clock.advance(60);
    ledger.reconcile_points("shop", &[]).await.unwrap();
    let told = ledger.vanished_points("shop").await.unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|it| {
            let after = |time: chrono::DateTime<chrono::Utc>| (time - begun).num_seconds();
            (it.id.0.as_str(), after(it.noticed), it.returned.map(after), it.is_accepted)
        })
        .collect();
    assert_eq!(told, [("old", 0, Some(60), false), ("old", 120, None, false), ("new", 120, None, false)]);
    clock.advance(60);
    ledger.accept_gone_points("onsite").await.unwrap();
    let then = ledger.clock.wall();
    clock.advance(60);
    let accepted = ledger.vanished_points("shop").await.unwrap();
    assert!(accepted.len() == 3 && accepted.iter().all(|it| it.is_accepted), "{accepted:?}");
    assert!(accepted.iter().all(|it| it.accepted == Some(then)), "{accepted:?}");
    // Of what was accepted before it was sealed nobody knows when that was.
    let first = "DELETE FROM seals WHERE subject = 'vanished' AND state = '[1]'";
    sqlx::query(first).execute(&ledger.pool).await.unwrap();
    let accepted = ledger.vanished_points("shop").await.unwrap();
    assert!(accepted.iter().all(|it| it.is_accepted && it.accepted.is_none()), "{accepted:?}");
}

#[tokio::test]
async fn a_full_backup_that_was_read_while_increments_were_published_is_not_dated_by_a_wrong_clock() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    know(&ledger, "onsite", &kept_for(100)).await;
    let mut listed = Vec::new();
    backed_up(&ledger, &mut listed, point("full-1", &clock, 0)).await;
    clock.advance(DAY);
    let begun = point("full-2", &clock, 0);
    for id in ["increment-1", "increment-2"] {
        clock.advance(DAY / 4);
        let increment = PointRow { kind: BackupKind::Incremental, ..point(id, &clock, 0) };
        backed_up(&ledger, &mut listed, increment).await;
    }
    clock.advance(DAY / 4);
    backed_up(&ledger, &mut listed, PointRow { finished: clock.wall(), ..begun }).await;
    clock.advance(DAY);
    assert_eq!(ledger.suspect_points("shop").await.unwrap(), BTreeSet::new());
}
