//! What all operations have in common, over a real ledger and a real repository.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tokio::runtime::Runtime;

use super::drill::{DrillRequest, drill};
use super::listing::refresh_points;
use super::observe::{Sandboxes, observe, observe_all};
use super::ownership::Whose;
use super::recording::Recorded;
use super::select::{Selection, select};
use crate::app::{App, KINDS};
use crate::clock::SystemClock;
use crate::config::parse;
use crate::domain::drill::Verdict;
use crate::domain::host::HostIdentity;
use crate::domain::manifest::{BackupKind, Manifest, Position, RecoveryPointId};
use crate::domain::promise::{Changes, Promise};
use crate::error::Kind;
use crate::ledger::{Operation, Outcome};
use crate::repository::Published;
use crate::repository::contract::{candidate, manifest, moment};
use crate::run_context::RunContext;

const CONFIG: &str = include_str!("../../tests/fixtures/one-tree.toml");

pub(crate) fn app(dir: &Path, key: &str, runtime: &Runtime) -> App {
    fs::write(dir.join("key"), key).unwrap();
    fs::set_permissions(dir.join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    let config = parse(CONFIG, &dir.join("config.toml"), KINDS).unwrap();
    App::open(config, SystemClock::shared(), runtime.handle().clone()).unwrap()
}

#[test]
fn a_run_that_panics_is_recorded_as_failed_and_one_that_is_dropped_as_interrupted() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let source = app.source("ansible").unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _run = Recorded::begin(&app, &source, Operation::Drill, None).unwrap();
        panic!("a bug of this test");
    }));
    assert!(panicked.is_err());
    drop(Recorded::begin(&app, &source, Operation::Backup, Some(BackupKind::Full)).unwrap());
    let last = |operation| app.block_on(app.ledger.last_runs("ansible", operation, 1)).unwrap().remove(0);
    let drill = last(Operation::Drill);
    assert_eq!(drill.outcome, Some(Outcome::Failed));
    assert_eq!(drill.reason, "the program panicked while drilling (a bug)");
    assert!(drill.hint.is_some() && drill.duration_seconds.is_some());
    assert_eq!(last(Operation::Backup).outcome, Some(Outcome::Interrupted));
}

#[test]
fn what_is_seen_of_a_repository_is_whether_it_can_be_read_and_what_room_it_has() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let first = app(dir.path(), "correct horse", &runtime);
    let seen = observe_all(&first);
    let state = seen.repositories["local"];
    assert!(state.last_look.is_some(), "it was looked at");
    assert_eq!(state.up, None, "before the first backup there is nothing to be up or down: {seen:?}");
    let source = first.source("ansible").unwrap();
    source.repository.storing().unwrap().prepare().unwrap();
    let state = observe_all(&first).repositories["local"];
    assert_eq!((state.up, state.key_available), (Some(true), Some(true)));
    assert!(state.size_bytes.unwrap() > 0 && state.available_bytes.unwrap() > 0, "{state:?}");
    let one = observe(&first, &source);
    assert_eq!((one.state.up, one.state.size_bytes), (state.up, state.size_bytes));
    assert_eq!(one.listing.unwrap().points.len(), 0);

    // What is tried is the secret as it is now, in a process that opened the repository long ago too.
    fs::write(dir.path().join("key"), "another key").unwrap();
    let state = observe_all(&first).repositories["local"];
    assert_eq!((state.up, state.key_available), (Some(false), Some(false)));
    fs::write(dir.path().join("key"), "correct horse").unwrap();
    assert_eq!(observe_all(&first).repositories["local"].key_available, Some(true));

    let other = app(dir.path(), "another key", &runtime);
    let seen = observe(&other, &other.source("ansible").unwrap());
    assert_eq!((seen.state.up, seen.state.key_available), (Some(false), Some(false)));
    assert!(seen.trouble.is_some() && seen.listing.is_none());
}

#[test]
fn every_sandbox_that_exists_is_counted_whoever_left_it() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    assert_eq!(observe_all(&app).sandboxes, Some(Sandboxes::default()));
    let area = dir.path().join("state/sandboxes");
    fs::create_dir_all(area.join("without-record")).unwrap();
    fs::create_dir(area.join("old")).unwrap();
    let record = r#"{"created": "2020-01-02T03:04:05Z", "owner": {"pid": 1, "started": null}, "server": null, "socket_directory": null}"#;
    fs::write(area.join("old.json"), record).unwrap();
    let seen = observe_all(&app).sandboxes.unwrap();
    assert_eq!((seen.count, seen.oldest.unwrap().timestamp()), (2, 1_577_934_245));
}

#[test]
fn recovery_points_of_before_hosts_were_recorded_are_ours_and_another_hosts_are_in_no_figure() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let source = app.source("ansible").unwrap();
    source.repository.storing().unwrap().prepare().unwrap();
    let other = HostIdentity { id: "0f".to_owned(), name: app.host.identity.name.clone() };
    for (hours, host) in [(1, None), (2, Some(app.host.identity.clone())), (3, Some(other))] {
        let new = candidate("ansible", &format!("01point{hours}"), moment(hours), &[("data", b"x")]);
        let stored = source.repository.storing().unwrap().store(new).unwrap();
        let manifest = Manifest { host, ..manifest(&stored) };
        assert_eq!(serde_json::to_string(&manifest).unwrap().contains("\"host\""), manifest.host.is_some());
        source.repository.storing().unwrap().publish(stored, &manifest).unwrap();
    }
    let listed = refresh_points(&app, &source).unwrap();
    let hours = |points: &[Published]| points.iter().map(|point| point.manifest.as_of).collect::<Vec<_>>();
    assert_eq!(hours(&listed.own.points), [moment(1), moment(2)]);
    assert_eq!(hours(&listed.foreign), [moment(3)]);
    observe_all(&app);
    let known = app.block_on(app.ledger.points("ansible")).unwrap();
    assert_eq!(known.iter().map(|point| point.as_of).max(), Some(moment(2)), "{known:?}");

    let chosen = |selection: &Selection, whose| select(&app, &source, selection, whose);
    let newest = |whose| chosen(&Selection::Newest, whose);
    assert_eq!(newest(Whose::Own).unwrap().published.manifest.as_of, moment(2));
    let refused = newest(Whose::Unsaid).err().unwrap();
    let hint = refused.hint_text().unwrap();
    assert_eq!(refused.kind(), Kind::Configuration);
    assert!(hint.contains("--host 0f") && hint.contains("--recovery-point 01point2"), "{refused}: {hint}");
    let theirs = newest(Whose::Host("0f")).unwrap();
    assert_eq!(theirs.published.manifest.as_of, moment(3));
    assert!(theirs.warnings().join("\n").contains("1 recovery points of ansible have no recorded host"));
    // At that time the other had none yet; and who names one means it.
    for selection in [Selection::At(moment(2)), Selection::Id(RecoveryPointId("01point2".to_owned()))] {
        assert_eq!(chosen(&selection, Whose::Unsaid).unwrap().published.manifest.as_of, moment(2));
    }
    assert_eq!(chosen(&Selection::At(moment(0)), Whose::Unsaid).err().unwrap().kind(), Kind::Configuration);
}

#[test]
fn what_a_newer_version_made_is_listed_and_neither_restored_nor_called_damaged() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let app = app(dir.path(), "correct horse", &runtime);
    let source = app.source("ansible").unwrap();
    source.repository.storing().unwrap().prepare().unwrap();
    let publish = |id: &str, hours, change: &dyn Fn(&mut Manifest)| {
        let stored = source
            .repository
            .storing()
            .unwrap()
            .store(candidate("ansible", id, moment(hours), &[("data", b"x")]))
            .unwrap();
        let mut manifest = Manifest { created_by: "backup-sla 9.9".to_owned(), ..manifest(&stored) };
        change(&mut manifest);
        source.repository.storing().unwrap().publish(stored, &manifest).unwrap();
    };
    publish("01full", 1, &|_| {});
    publish("02increment", 2, &|manifest| {
        (manifest.kind, manifest.chain_length) = (BackupKind::Incremental, 1);
        manifest.parent = Some(RecoveryPointId("01full".to_owned()));
        (manifest.from, manifest.position) = (Some(Position::default()), Some(Position::default()));
        manifest.promise = Promise::Changes(Changes::default());
    });
    publish("03physical", 3, &|manifest| manifest.promise = Promise::Pending);

    let listed = refresh_points(&app, &source).unwrap();
    assert_eq!((listed.own.points.len(), listed.own.damaged.len()), (3, 0));
    for (selection, what) in [
        (Selection::Newest, "a physical copy"),
        (Selection::Id(RecoveryPointId("02".to_owned())), "an incremental backup"),
    ] {
        let error = select(&app, &source, &selection, Whose::Own).err().unwrap();
        assert_eq!(error.kind(), Kind::Inconclusive, "{error}");
        assert!(error.to_string().contains(what) && error.to_string().contains("newer version"), "{error}");
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("backup-sla 9.9") && hint.contains("--recovery-point 01full"), "{hint}");
    }
    let request = DrillRequest::default();
    let report = drill(&app, &source, &request, &RunContext::silent()).unwrap();
    assert_eq!((report.verdict, report.checks.len()), (Verdict::Inconclusive, 0), "{report:?}");
    let full = Selection::Id(RecoveryPointId("01full".to_owned()));
    assert_eq!(select(&app, &source, &full, Whose::Own).unwrap().published.manifest.as_of, moment(1));
}
