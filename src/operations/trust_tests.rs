//! What operations do about a repository that others can change, and about dates that cannot be right.

use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Runtime;

use super::accept_repository::accept;
use super::drill::{DrillRequest, drill};
use super::expectations::{look_at_repository, prepare_repository};
use super::observe::{observe_all, observe_repository};
use super::ownership::Whose;
use super::select::{Selection, select};
use super::tests::app;
use crate::app::{App, Source};
use crate::domain::drill::Verdict;
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::error::Kind;
use crate::repository::contract::{candidate, manifest};
use crate::run_context::RunContext;

fn publish(app: &App, source: &Source, id: &str, as_of: DateTime<Utc>) {
    let stored =
        source.repository.storing().unwrap().store(candidate("ansible", id, as_of, &[("data", b"x")])).unwrap();
    let manifest = Manifest { host: Some(app.host.identity.clone()), ..manifest(&stored) };
    source.repository.storing().unwrap().publish(stored, &manifest).unwrap();
}

fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn replace(dir: &Path, by: &str, kept_as: &str) {
    fs::rename(dir.join("repo"), dir.join(kept_as)).unwrap();
    fs::rename(dir.join(by), dir.join("repo")).unwrap();
}

#[test]
fn another_repository_with_the_same_password_is_refused_by_name_until_it_is_accepted() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let source = app.source("ansible").unwrap();
    let long_ago = app.clock.wall() - TimeDelta::hours(2);
    prepare_repository(&app, &source).unwrap();
    publish(&app, &source, "01mine", long_ago);
    assert_eq!(observe_all(&app).repositories["local"].up, Some(true));

    // Somebody else's, made with the same password, with points of the same name.
    fs::rename(dir.path().join("repo"), dir.path().join("mine")).unwrap();
    source.repository.storing().unwrap().prepare().unwrap();
    publish(&app, &source, "01theirs", long_ago + TimeDelta::hours(1));
    // A restart changes nothing.
    let restarted = self::app(dir.path(), "correct horse", &runtime);
    for app in [&app, &restarted] {
        let source = app.source("ansible").unwrap();
        let state = observe_all(app).repositories["local"];
        assert_eq!((state.up, state.key_available), (Some(false), None), "what the key opens is not ours");
        let refusals = [
            look_at_repository(app, &source).map(drop).unwrap_err(),
            prepare_repository(app, &source).unwrap_err(),
            select(app, &source, &Selection::Newest, Whose::Own).map(drop).unwrap_err(),
        ];
        for refusal in refusals {
            let text = refusal.to_string();
            assert!(
                text.contains("cannot use repository local") && text.contains("another repository is there"),
                "{text}"
            );
            assert!(refusal.hint_text().unwrap().contains("backup-sla accept-repository local"));
        }
    }
    let known = app.block_on(app.ledger.points("ansible")).unwrap();
    assert_eq!(known.len(), 1, "what was known stays: {known:?}");
    // A drill of it says nothing of the backups, and nothing is written to it, whatever is missing there.
    let report = drill(&app, &source, &DrillRequest::default(), &RunContext::silent()).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive, "{report:?}");
    assert!(report.reason.contains("another repository is there"), "{report:?}");
    for name in ["tmp", "locks"] {
        let _ = fs::remove_dir_all(dir.path().join("repo").join(name));
    }
    let before = names(&dir.path().join("repo"));
    prepare_repository(&app, &source).unwrap_err();
    assert_eq!(names(&dir.path().join("repo")), before);

    // Put back, it is the right one again; nothing vanished.
    replace(dir.path(), "mine", "theirs");
    assert_eq!(observe_all(&app).repositories["local"].up, Some(true));
    replace(dir.path(), "theirs", "mine");
    let accepted = accept(&app, "local").unwrap();
    assert_ne!(Some(&accepted.identity), accepted.before.as_ref());
    assert_eq!(observe_all(&app).repositories["local"].up, Some(true));
    let figures = app.block_on(app.ledger.snapshot()).unwrap().sources["ansible"].points.clone();
    assert_eq!((figures.by_kind.values().sum::<u64>(), figures.vanished.len()), (1, 0), "{figures:?}");
    assert!(accept(&app, "nowhere").unwrap_err().hint_text().is_some());
}

#[test]
fn a_lost_ledger_adopts_again() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let first = app(dir.path(), "correct horse", &runtime);
    let source = first.source("ansible").unwrap();
    prepare_repository(&first, &source).unwrap();
    publish(&first, &source, "01mine", first.clock.wall());
    drop((first, source));
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let again = app(dir.path(), "correct horse", &runtime);
    assert_eq!(observe_all(&again).repositories["local"].up, Some(true));
    assert_eq!(again.block_on(again.ledger.points("ansible")).unwrap().len(), 1);
}

#[test]
fn what_is_dated_after_now_is_chosen_by_its_name_alone() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let source = app.source("ansible").unwrap();
    source.repository.storing().unwrap().prepare().unwrap();
    let now = app.clock.wall();
    let chosen = |selection: &Selection| select(&app, &source, selection, Whose::Unsaid);
    publish(&app, &source, "01ahead", now + TimeDelta::days(60));
    let refusal = chosen(&Selection::Newest).err().unwrap();
    assert!(
        refusal.to_string().contains("01ahead is dated") && refusal.to_string().contains("in the future"),
        "{refusal}"
    );
    assert!(refusal.hint_text().unwrap().contains("--recovery-point 01ahead"));
    assert_eq!(refusal.kind(), Kind::Inconclusive, "the clock of this host may be the wrong one");
    publish(&app, &source, "01early", now - TimeDelta::hours(2));
    publish(&app, &source, "01late", now - TimeDelta::hours(1));
    for selection in [Selection::Newest, Selection::At(now + TimeDelta::days(90))] {
        let selected = chosen(&selection).unwrap();
        assert_eq!(selected.published.manifest.id.0, "01late", "{selection:?}");
        let warnings = selected.warnings().join("\n");
        assert!(warnings.contains("01ahead") && warnings.contains("not considered"), "{warnings}");
    }
    for _ in 0..20 {
        assert_ne!(chosen(&Selection::Random).unwrap().published.manifest.id.0, "01ahead");
    }
    let named = chosen(&Selection::Id(RecoveryPointId("01ahead".to_owned()))).unwrap();
    assert!(named.warnings().join("\n").contains("the clock was wrong"), "{:?}", named.warnings());
    let figures = app.block_on(app.ledger.snapshot()).unwrap().sources["ansible"].points.clone();
    assert_eq!(figures.newest.map(|time| time.timestamp()), Some((now - TimeDelta::hours(1)).timestamp()));
    assert_eq!(figures.suspect, 1);
}

#[test]
fn another_repository_is_refused_too_while_nothing_can_be_written_down() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let source = app.source("ansible").unwrap();
    prepare_repository(&app, &source).unwrap();
    publish(&app, &source, "01mine", app.clock.wall());
    assert_eq!(observe_all(&app).repositories["local"].up, Some(true));
    fs::rename(dir.path().join("repo"), dir.path().join("mine")).unwrap();
    source.repository.storing().unwrap().prepare().unwrap();
    publish(&app, &source, "01theirs", app.clock.wall());
    app.block_on(app.ledger.refuse_writes()).unwrap();
    let state = observe_repository(&app, std::slice::from_ref(&source));
    assert_eq!((state.state.up, state.state.key_available), (Some(false), None), "{state:?}");
    replace(dir.path(), "mine", "theirs");
    let state = observe_repository(&app, std::slice::from_ref(&source));
    assert_eq!(state.state.up, Some(true), "{state:?}");
    assert!(state.unrecorded.is_some(), "{state:?}");
}

#[test]
fn what_is_there_and_cannot_be_read_has_not_vanished() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let source = app.source("ansible").unwrap();
    prepare_repository(&app, &source).unwrap();
    for id in ["01a", "01b"] {
        publish(&app, &source, id, app.clock.wall());
    }
    assert_eq!(observe_all(&app).repositories["local"].up, Some(true));
    let figures = || {
        let up = observe_all(&app).repositories["local"].up;
        let points = app.block_on(app.ledger.snapshot()).unwrap().sources["ansible"].points.clone();
        (up, points.by_kind.values().sum::<u64>(), points.vanished.len())
    };
    let place = |name: &str| dir.path().join("repo").join(name);
    fs::rename(place("data"), dir.path().join("data")).unwrap();
    assert_eq!(figures(), (Some(false), 0, 0), "the packs are gone, the backups were not removed");
    std::os::unix::fs::symlink(dir.path().join("data"), place("data")).unwrap();
    let (up, _, vanished) = figures();
    assert_eq!((up, vanished), (Some(false), 0), "a link");
    fs::remove_file(place("data")).unwrap();
    fs::rename(dir.path().join("data"), place("data")).unwrap();
    assert_eq!(figures(), (Some(true), 2, 0));
    for directory in ["index", "snapshots"] {
        let mangled: Vec<_> = fs::read_dir(place(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
        let kept: Vec<Vec<u8>> = mangled.iter().map(|path| fs::read(path).unwrap()).collect();
        for path in &mangled {
            fs::write(path, b"mangled").unwrap();
        }
        let (up, _, vanished) = figures();
        assert_eq!((up, vanished), (Some(false), 0), "{directory}");
        for (path, content) in mangled.iter().zip(kept) {
            fs::write(path, content).unwrap();
        }
        assert_eq!(figures(), (Some(true), 2, 0), "{directory}");
    }
    // Both cannot be read, then one is removed.
    fs::rename(place("data"), dir.path().join("data")).unwrap();
    assert_eq!(figures().2, 0);
    let snapshot = fs::read_dir(place("snapshots")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(snapshot).unwrap();
    assert_eq!(figures(), (Some(false), 0, 1), "and that is told");
}
