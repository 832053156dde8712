use std::fs;

use tokio::runtime::Runtime;

use super::*;
use crate::clock::Stopwatch;
use crate::domain::manifest::Joins;
use crate::operations::compact::COMPACTION;
use crate::operations::tests::app;
use crate::repository::contract::{candidate, manifest, moment};

/// Stored as if it was joined from `of`.
fn published(source: &Source, id: &str, of: &[&str]) -> Published {
    let repository = source.repository.storing().unwrap();
    repository.prepare().unwrap();
    let stored = repository.store(candidate(&source.name, id, moment(1), &[("data", b"x")])).unwrap();
    let joins = Joins { tier: 1, of: of.iter().map(|id| RecoveryPointId((*id).to_owned())).collect() };
    let manifest = Manifest { joins: (!of.is_empty()).then_some(joins), ..manifest(&stored) };
    Published { stored_bytes: repository.publish(stored, &manifest).unwrap(), manifest }
}

#[test]
fn while_increments_are_joined_maintenance_looks_at_nothing() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    published(&app.source("ansible").unwrap(), "01point1", &[]);
    fs::write(dir.path().join("repo/snapshots").join("0".repeat(64)), b"no snapshot").unwrap();
    let context = RunContext::silent();
    context.cancel.cancel();
    let joining = app.lock("ansible", COMPACTION).unwrap();
    let waited = maintain(&app, "local", false, &context).unwrap_err();
    assert_eq!(waited.kind(), Kind::Cancelled, "{waited}");
    drop(joining);
    let looked = maintain(&app, "local", false, &context).unwrap_err();
    assert_eq!(looked.kind(), Kind::Failed, "{looked}");
    assert!(looked.to_string().contains("cannot be read"), "{looked}");
}

#[test]
fn nothing_is_joined_from_when_maintenance_plans_until_it_has_seen_what_stayed() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    published(&app.source("ansible").unwrap(), "01point1", &[]);
    let context = RunContext::silent();
    // It waits for this before it gives room back, long after its plan was made.
    let storing = app.storing_in("local", &context.cancel).unwrap();
    std::thread::scope(|scope| {
        let maintaining = scope.spawn(|| maintain(&app, "local", false, &context));
        let waited = Stopwatch::start(&app.clock);
        while app.lock("ansible", COMPACTION).is_ok() {
            let is_over = maintaining.is_finished() || waited.elapsed() > Duration::from_mins(1);
            if is_over {
                context.cancel.cancel();
            }
            assert!(!is_over, "increments can be joined while it runs");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(storing);
        let report = maintaining.join().unwrap().unwrap();
        assert!(report.warnings.is_empty(), "{report:?}");
    });
    app.lock("ansible", COMPACTION).unwrap();
}

#[test]
fn whoever_frees_room_gets_his_turn_although_somebody_stores_at_any_time() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let over = RunContext::silent().cancel;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.is_cancelled() {
                    let Ok(_held) = app.storing_in("local", &over) else { break };
                    // Work, during which the others begin theirs.
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let freeing = app.freeing_in("local", Duration::from_secs(30), &RunContext::silent().cancel);
        over.cancel();
        assert!(freeing.unwrap().is_some());
    });
}

#[test]
fn what_was_joined_to_something_that_is_listed_is_there() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let source = app.source("ansible").unwrap();
    let small = published(&source, "01point1", &[]);
    let joined = published(&source, "01point2", &["01point1"]);
    let planned = [planned(&app, &source, vec![small.clone()]).unwrap()];
    let left = |points: &[&Published]| Listing {
        points: points.iter().map(|point| (*point).clone()).collect(),
        ..Listing::default()
    };
    still_there(&planned, &left(&[&small])).unwrap();
    still_there(&planned, &left(&[&joined])).unwrap();
    let mut of_another = joined.clone();
    of_another.manifest.source = "another".to_owned();
    for gone in [left(&[]), left(&[&of_another])] {
        let error = still_there(&planned, &gone).unwrap_err();
        assert!(error.to_string().contains("01point1 of ansible was to stay"), "{error}");
    }
}
