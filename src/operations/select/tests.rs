use std::path::Path;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::app::tests::toy_app;
use crate::domain::chain::Place;
use crate::domain::manifest::{BackupKind, LogIdentity, Position, RecoveryPointId};
use crate::domain::promise::{Changes, Promise};
use crate::engine::LoadOptions;
use crate::engine::destination::Credentials;
use crate::error::Kind;
use crate::operations::restore::{RestoreRequest, restore};
use crate::repository::contract::{candidate, manifest, moment};
use crate::run_context::RunContext;

/// A source whose kind has increments, and what its repository has of it.
struct Shop {
    app: App,
    source: Source,
    dir: TempDir,
    _runtime: Runtime,
}

impl Shop {
    fn open() -> Self {
        let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let app = toy_app(dir.path(), &runtime);
        let source = app.source("shopping").unwrap();
        source.repository.storing().unwrap().prepare().unwrap();
        Self { app, source, dir, _runtime: runtime }
    }

    fn publish(&self, id: &str, hour: i64, (offset, begun): (u64, u32), parent: Option<&Manifest>) -> Manifest {
        let repository = self.source.repository.storing().unwrap();
        let files: &[(&str, &[u8])] = &[("note.txt", b"milk\n")];
        let stored = repository.store(candidate("shopping", id, moment(hour), files)).unwrap();
        let log = LogIdentity { server: "1".to_owned(), begun, last: None, settled: None, outside: Vec::new() };
        let gtid = Some(format!("0-1-{offset}"));
        let position =
            Position { binlog_file: Some("bin.000001".to_owned()), binlog_offset: Some(offset), gtid, log: Some(log) };
        let mut made = Manifest { position: Some(position), ..manifest(&stored) };
        if let Some(parent) = parent {
            made.kind = BackupKind::Incremental;
            (made.parent, made.from) = (Some(parent.id.clone()), parent.position.clone());
            made.chain_length = parent.chain_length + 1;
            made.promise = Promise::Changes(Changes::default());
        }
        repository.publish(stored, &made).unwrap();
        made
    }

    /// A full at hour 0 and increments until hours 1 and 2.
    fn chain(&self) {
        let full = self.publish("01full", 0, (100, 1), None);
        let first = self.publish("02one", 1, (200, 1), Some(&full));
        self.publish("03two", 2, (300, 1), Some(&first));
    }

    fn select(&self, selection: &Selection) -> Result<Selected> {
        select(&self.app, &self.source, selection, Whose::Unsaid)
    }

    fn refused(&self, selection: &Selection) -> (Kind, String) {
        let error = self.select(selection).err().unwrap();
        (error.kind(), format!("{error}; {}", error.hint_text().unwrap()))
    }

    fn opened(&self, selection: &Selection) -> StoredPoint {
        open(&self.source, &self.select(selection).unwrap())
    }

    fn to(&self, place: &Path) -> crate::engine::Destination {
        self.source.kind.destination(&format!("toy:{}", place.display()), &Credentials::default()).unwrap()
    }
}

fn before(offset: u64) -> Selection {
    Selection::BeforePosition(Place { file: "bin.000001".to_owned(), offset })
}

#[test]
fn a_recovery_point_is_its_full_with_everything_that_is_replayed_and_is_named_after_the_newest() {
    let shop = Shop::open();
    shop.chain();
    let point = shop.opened(&Selection::Newest);
    let ids: Vec<&str> = point.increments.iter().map(|increment| increment.manifest.id.0.as_str()).collect();
    assert_eq!((point.manifest.id.0.as_str(), ids), ("01full", vec!["02one", "03two"]));
    let shown = point.shown();
    assert_eq!((shown.id.0.as_str(), shown.as_of, shown.chain_length), ("03two", moment(2), 2));
    assert_eq!((shown.logical_bytes(), shown.kind), (15, BackupKind::Incremental));
    // Each opens its own files.
    let read = |open: &Opener| open("note.txt").unwrap().read_at(0, 9).unwrap();
    assert_eq!(read(&point.increments[1].open).as_ref(), b"milk\n");
}

#[test]
fn what_stops_within_an_increment_is_never_said_to_be_newer_than_it_is() {
    let shop = Shop::open();
    shop.chain();
    let time = moment(1) + chrono::TimeDelta::minutes(10);
    let at = shop.opened(&Selection::At(time));
    assert_eq!((at.shown().id.0.as_str(), at.as_of(), &at.until), ("03two", time, &Until::Time(time)));
    let place = shop.opened(&before(250));
    assert_eq!((place.shown().id.0.as_str(), place.as_of(), place.increments.len()), ("03two", moment(1), 2));
    let gtid = shop.opened(&Selection::BeforeGtid("0-1-150".to_owned()));
    assert_eq!((gtid.shown().id.0.as_str(), gtid.as_of(), gtid.increments.len()), ("02one", moment(0), 1));
    assert_eq!(shop.opened(&before(200)).as_of(), moment(1), "the end of an increment is all of it");
}

#[test]
fn what_no_window_covers_is_refused_with_the_windows() {
    let shop = Shop::open();
    shop.chain();
    let window = "restore windows: 2026-05-28T20:26:40Z to 2026-05-28T22:26:40Z;";
    let outside = [Selection::At(moment(3)), Selection::At(moment(-1)), before(301), before(99)];
    for selection in outside.into_iter().chain([Selection::BeforeGtid("0-1-301".to_owned())]) {
        let (kind, said) = shop.refused(&selection);
        assert_eq!(kind, Kind::Configuration, "{said}");
        assert!(said.contains("cannot choose a recovery point of shopping") && said.contains(window), "{said}");
    }
}

#[test]
fn a_place_of_two_logs_is_refused_with_the_chains_that_have_it() {
    let shop = Shop::open();
    shop.chain();
    let full = shop.publish("04full", 3, (120, 9), None);
    shop.publish("05one", 4, (260, 9), Some(&full));
    let (kind, said) = shop.refused(&before(250));
    assert!(said.contains("04full of") && said.contains("01full of") && said.contains("began its log anew"), "{said}");
    assert_eq!(kind, Kind::Configuration);
    assert_eq!(shop.opened(&before(110)).manifest.id.0, "01full");
}

#[test]
fn an_increment_without_its_parent_is_refused_and_the_newest_that_is_whole_is_named() {
    let shop = Shop::open();
    shop.chain();
    shop.source.repository.storing().unwrap().forget("shopping", &[RecoveryPointId("02one".to_owned())]).unwrap();
    let (kind, said) = shop.refused(&Selection::Newest);
    assert_eq!(kind, Kind::Failed);
    assert!(said.contains("03two") && said.contains("continues 02one, which is missing"), "{said}");
    assert!(said.contains("--recovery-point 01full"), "{said}");
}

#[test]
fn single_tables_are_not_restored_from_what_is_replayed() {
    let shop = Shop::open();
    shop.chain();
    let place = shop.dir.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let request = RestoreRequest {
        selection: Selection::Newest,
        host: None,
        to: shop.to(&place),
        options: LoadOptions { tables: vec!["note".to_owned()], ..LoadOptions::default() },
        verify: true,
    };
    let error = restore(&shop.app, &shop.source, &request, &RunContext::silent()).unwrap_err();
    assert_eq!(error.kind(), Kind::Configuration, "{error}");
    assert!(error.to_string().contains("2 increments are replayed"), "{error}");
    assert!(error.hint_text().unwrap().ends_with("--recovery-point 01full"), "{error}");
    assert!(std::fs::read_dir(&place).unwrap().next().is_none(), "nothing was written");
}
