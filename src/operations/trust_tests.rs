//! What operations do about a repository that others can change, and about dates that cannot be right.

use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Runtime;

use super::identity::accept;
use super::observe::observe_all;
use super::ownership::Whose;
use super::select::{Selection, select};
use super::tests::app;
use super::*;
use crate::domain::manifest::Manifest;
use crate::repository::contract::{candidate, manifest};

fn publish(app: &App, source: &Source, id: &str, as_of: DateTime<Utc>) {
    let stored = source.repository.store(candidate("ansible", id, as_of, &[("data", b"x")])).unwrap();
    let manifest = Manifest { host: Some(app.host.identity.clone()), ..manifest(&stored) };
    source.repository.publish(stored, &manifest).unwrap();
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
    source.repository.prepare().unwrap();
    publish(&app, &source, "01theirs", long_ago + TimeDelta::hours(1));
    // A restart changes nothing.
    let restarted = self::app(dir.path(), "correct horse", &runtime);
    for app in [&app, &restarted] {
        let source = app.source("ansible").unwrap();
        let state = observe_all(app).repositories["local"];
        assert_eq!((state.up, state.key_available), (Some(false), Some(true)), "the key is not what is wrong");
        let refusals = [
            look_at_repository(app, &source).map(drop).unwrap_err(),
            prepare_repository(app, &source).unwrap_err(),
            select(app, &source, &Selection::Newest, Whose::Own).map(drop).unwrap_err(),
        ];
        for refusal in refusals {
            let text = refusal.to_string();
            assert!(text.contains("cannot use repository local") && text.contains("it is another one"), "{text}");
            assert!(refusal.hint_text().unwrap().contains("backup-sla accept-repository local"));
        }
    }
    let known = app.block_on(app.ledger.points("ansible")).unwrap();
    assert_eq!(known.len(), 1, "what was known stays: {known:?}");

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
    source.repository.prepare().unwrap();
    let now = app.clock.wall();
    let chosen = |selection: &Selection| select(&app, &source, selection, Whose::Unsaid);
    publish(&app, &source, "01ahead", now + TimeDelta::days(60));
    let refusal = chosen(&Selection::Newest).err().unwrap();
    assert!(
        refusal.to_string().contains("01ahead is dated") && refusal.to_string().contains("still to come"),
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
