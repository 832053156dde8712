//! What did not happen, and what nobody knows any more.

use super::*;
use crate::ledger::MissedRuns;

/// A ledger that began now, beside a repository with backups of `agama` that are older; `new` never had any.
async fn after_loss() -> Place {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
    for source in ["agama", "new", "gone"] {
        ledger.ensure_source(source, "mysql", "offsite").await.unwrap();
    }
    let points = [point("old", clock.wall() - TimeDelta::days(29)), point("young", clock.wall() - TimeDelta::hours(2))];
    for source in ["agama", "gone"] {
        ledger.reconcile_points(source, &points).await.unwrap();
    }
    clock.advance(3 * 3600);
    Place::of(dir, ledger, &clock, &["agama", "new"]).await
}

fn missed(operation: Operation, kind: Option<BackupKind>, (first, last): (i64, i64), count: u32) -> MissedRuns {
    let at = |minute| SetClock::new().wall() - TimeDelta::days(60) + TimeDelta::minutes(minute);
    let (source, reason) = ("agama".to_owned(), format!("<reason {first}>"));
    MissedRuns { source, operation, kind, first: at(first), last: at(last), count, reason }
}

#[tokio::test]
async fn a_source_page_lists_the_newest_missed_runs_and_says_how_many_more_there_were() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
    ledger.ensure_source("agama", "mysql", "offsite").await.unwrap();
    let record = async |missed| ledger.record_missed(&missed).await.unwrap();
    record(missed(Operation::Drill, None, (0, 2880), 3)).await;
    for n in 1..=9 {
        record(missed(Operation::Backup, Some(BackupKind::Incremental), (n * 10, n * 10 + 5), 2)).await;
    }
    let incremental = ledger.source_history("agama", clock.wall(), None).await.unwrap().missed;
    assert_eq!((incremental.len(), incremental[0].operation), (10, Operation::Drill), "the end counts");
    record(missed(Operation::Backup, Some(BackupKind::Full), (5000, 5000), 1)).await;
    record(missed(Operation::Drill, None, (6000, 6000), 1)).await;
    let place = Place::of(dir, ledger, &clock, &["agama"]).await;
    let text = place.text("/sources/agama").await;
    assert_says(
        &text,
        &[
            "Did not begin at their time: 19 backups and 4 drills.",
            "<span>incremental backup</span>",
            "<span>full backup</span>",
            "2026-07-23T14:13:20Z</time> to <time datetime=\"2026-07-25T14:13:20Z\"",
            "&lt;reason 6000&gt;",
            "And 4 runs before these; <code>backup-sla report agama --month YYYY-MM</code> lists those of a month.",
        ],
    );
    let order: Vec<usize> =
        [6000, 5000, 0, 90, 30].map(|n| text.find(&format!("&lt;reason {n}&gt;")).unwrap()).to_vec();
    assert!(order.is_sorted(), "newest first: {order:?}");
    assert!(!text.contains("&lt;reason 20&gt;"), "ten at most");
    let few = Place::seeded().await;
    let text = few.text("/sources/agama").await;
    assert_says(&text, &["Did not begin at their time since the ledger began: 3 drills.", "the service was down"]);
    assert!(!text.contains("before these"), "{text}");
    assert_says(&few.text("/sources/new").await, &["Missed runs</h2><p class=\"muted\">None is known.</p>"]);
}

#[tokio::test]
async fn what_a_lost_ledger_knew_is_unknown_and_not_never() {
    let place = after_loss().await;
    let said = "The ledger began <time datetime=\"2026-09-21T14:13:20Z\">";
    let text = place.text("/sources/agama").await;
    assert_says(
        &text,
        &[
            "Earlier history is lost",
            said,
            "the history before that is lost",
            "Drill: none has passed since the ledger began, promised is",
            "RTO: no drill has measured a recovery time since the ledger began",
            "0 since the ledger began, 0 failed",
            "No drill is known to have passed on any of the recovery points: none of them is proved.",
            "none known",
            "None is known since the ledger began.",
        ],
    );
    for wrong in ["has ever passed", ">never<", "0 ever", "measured a recovery time yet"] {
        assert!(!text.contains(wrong), "{wrong}: {text}");
    }
    // What nobody knows is not kept either.
    assert_says(&text, &["Breaks 2 of 5 promises."]);
    let fleet = place.text("/").await;
    assert_says(&fleet, &["Earlier history is lost", said, "is lost: <a href=\"sources/agama\">agama</a>."]);
    assert_says(&place.text("/sources/gone").await, &["Earlier history is lost"]);

    let new = place.text("/sources/new").await;
    assert_says(&new, &["pending: first backup expected by", "New: what is not judged yet is pending."]);
    let mut later = place.view.clone();
    later.now += TimeDelta::hours(22);
    let place = Place { view: later, ..place };
    let new = place.text("/sources/new").await;
    assert!(!new.contains("Earlier history is lost") && new.contains("Drill: none has ever passed"), "{new}");
    let status = place.json("/api/v1/status").await;
    assert_eq!(status["sources"][0]["history_is_partial"], true);
    assert_eq!(status["sources"][1]["history_is_partial"], false);
}

#[tokio::test]
async fn the_note_on_lost_history_names_twenty_sources_at_most() {
    let mut place = after_loss().await;
    let figures = place.view.snapshot.sources["agama"].clone();
    let names: Vec<String> = (0..25).map(|n| format!("source-{n:02}")).collect();
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut snapshot = (*place.view.snapshot).clone();
    snapshot.sources.extend(names.iter().map(|name| (name.clone(), figures.clone())));
    place.view = View::new(config, snapshot, service(), place.view.now);
    let text = place.text("/").await;
    assert_says(&text, &["<a href=\"sources/source-19\">source-19</a> and 5 more sources."]);
}
