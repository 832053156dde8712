//! Chains at the command line: what `list` shows of them, and which targets are refused with which words.
//!
//! The increments are published through the library: a tree of files makes none.

use std::io::Cursor;
use std::path::Path;

use backup_sla::app::{App, KINDS};
use backup_sla::clock::SystemClock;
use backup_sla::config;
use backup_sla::domain::manifest::{Manifest, RecoveryPointId};
use backup_sla::repository::{NewCandidate, Stream, in_order};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::service::world;
use crate::support::World;

/// A world, and the way to publish into its repository.
struct Chain {
    world: World,
    app: App,
    /// As-of time of the first point.
    begin: DateTime<Utc>,
    _runtime: Runtime,
}

impl Chain {
    /// A full at minute 0, increments until minutes 10 and 20.
    fn new() -> Self {
        let (world, runtime) = (world("{ full = \"0 0 29 2 *\" }"), Runtime::new().unwrap());
        let config = config::load(Path::new(&world.path("config.toml")), KINDS).unwrap();
        let app = App::open(config, SystemClock::shared(), runtime.handle().clone()).unwrap();
        app.source("tree").unwrap().repository.storing().unwrap().prepare().unwrap();
        let begin = Utc::now().trunc_subsecs(0) - TimeDelta::hours(2);
        let chain = Self { world, app, begin, _runtime: runtime };
        chain.publish("01full", 0, 100, None);
        chain.publish("02one", 10, 200, Some(("01full", 100, 1)));
        chain.publish("03two", 20, 300, Some(("02one", 200, 2)));
        chain
    }

    fn time(&self, minutes: i64) -> String {
        (self.begin + TimeDelta::minutes(minutes)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    fn publish(&self, id: &str, minutes: i64, end: u64, continues: Option<(&str, u64, u32)>) {
        let repository = self.app.source("tree").unwrap().repository;
        let as_of = self.begin + TimeDelta::minutes(minutes);
        let stream = Stream { path: "log".to_owned(), reader: Box::new(Cursor::new(b"events".to_vec())) };
        let new = NewCandidate {
            source: "tree".to_owned(),
            id: RecoveryPointId(id.to_owned()),
            as_of,
            streams: in_order(vec![stream]),
        };
        let stored = repository.storing().unwrap().store(new).unwrap();
        let position = |offset: u64| json!({"binlog_file": "bin.000001", "binlog_offset": offset, "gtid": null, "log": {"server": "1", "begun": 1}});
        let digest = json!("0".repeat(64));
        let file = json!({"path": "log", "role": "log", "bytes": 6, "digest": digest});
        let mut manifest = json!({
            "format": 2, "id": id, "source": "tree", "engine": "files", "kind": "full", "as_of": as_of, "finished": as_of,
            "created_by": "backup-sla test", "server": {"product": "", "version": "", "series": ""}, "tool": "",
            "position": position(end), "files": [file], "promise": "exact", "inventory": {"tables": [], "objects": []},
        });
        if let Some((parent, from, length)) = continues {
            let more = json!({
                "kind": "incremental", "parent": parent, "from": position(from), "chain_length": length,
                "promise": "changes", "changes": {"transactions": 7, "row_events": 9, "bytes": 6},
            });
            manifest.as_object_mut().unwrap().remove("inventory");
            manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
        let manifest: Manifest = serde_json::from_value(manifest).unwrap();
        repository.storing().unwrap().publish(stored, &manifest).unwrap();
    }

    fn forget(&self, id: &str) {
        let repository = self.app.source("tree").unwrap().repository;
        repository.storing().unwrap().forget("tree", &[RecoveryPointId(id.to_owned())]).unwrap();
    }

    fn listed(&self) -> Vec<Value> {
        let ran = self.world.run(&["--json", "list"]);
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn window(&self, from: i64, to: i64) -> Value {
        json!({"from": self.time(from), "to": self.time(to)})
    }
}

#[test]
fn a_list_shows_increments_under_their_full_and_the_windows() {
    let chain = Chain::new();
    chain.publish("04full", 15, 250, None);
    let text = chain.world.run(&["list"]).stdout;
    let column = |id: &str| text.lines().find_map(|line| line.find(id)).unwrap();
    assert_eq!((column("02one"), column("04full")), (column("01full") + 2, column("01full")), "{text}");
    let row = |id: &str| text.lines().position(|line| line.contains(id)).unwrap();
    assert!(row("01full") < row("02one") && row("02one") < row("03two") && row("03two") < row("04full"), "{text}");
    assert!(text.contains("TRANSACTIONS") && text.contains("CHAIN"), "{text}");
    let window = format!("tree: restore window: any moment from {} to {}", chain.time(0), chain.time(20));
    assert!(text.contains(&window), "{text}");

    let listed = chain.listed();
    let ids: Vec<&Value> = listed.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, ["01full", "02one", "04full", "03two"], "programs get them by their times, as before");
    let two = &listed[3];
    assert_eq!(
        (&two["kind"], &two["parent"], &two["chain_length"]),
        (&json!("incremental"), &json!("02one"), &json!(2))
    );
    assert_eq!((&two["from"], &two["to"]), (&json!("bin.000001:200"), &json!("bin.000001:300")));
    assert_eq!((&two["window"], &two["transactions"]), (&chain.window(0, 20), &json!(7)));
    assert!(listed[0].get("parent").is_none() && listed[0].get("unrestorable").is_none(), "{listed:?}");

    chain.forget("02one");
    let text = chain.world.run(&["list"]).stdout;
    assert!(
        text.contains("tree 03two: cannot be restored: increment 03two continues 02one, which is missing"),
        "{text}"
    );
    let listed = chain.listed();
    assert_eq!((&listed[0]["window"], &listed[2]["window"]), (&chain.window(0, 0), &Value::Null));
    assert!(listed[2]["unrestorable"].as_str().unwrap().contains("02one"));
}

#[test]
fn a_target_outside_of_every_window_is_refused_with_the_windows_on_standard_error() {
    let chain = Chain::new();
    let to = chain.world.path("restored");
    let restore =
        |more: [&str; 2]| chain.world.run(&["restore", "tree", "--to", to.to_str().unwrap(), more[0], more[1]]);
    let window = format!("restore windows: {} to {}", chain.time(0), chain.time(20));
    for target in [
        ["--at", &chain.time(21)],
        ["--at", &chain.time(-1)],
        ["--before-position", "bin.000001:301"],
        ["--before-position", "bin.000002:4"],
        ["--before-gtid", "0-1-57"],
    ] {
        let ran = restore(target);
        assert!(ran.status == 2 && ran.stdout.is_empty() && ran.stderr.contains(&window), "{target:?} {ran:?}");
        assert!(chain.world.run(&["drill", "tree", target[0], target[1]]).stderr.contains(&window), "{target:?}");
    }
    assert!(!to.exists(), "nothing was written");
    // A kind of source that has no increments replays none.
    for target in [["--at", &chain.time(5)], ["--before-position", "bin.000001:150"]] {
        let ran = restore(target);
        assert!(ran.stderr.contains("02one") && ran.stderr.contains("an incremental backup"), "{ran:?}");
    }
}

#[test]
fn a_position_or_gtid_that_is_none_and_two_targets_at_once_are_wrong_usage() {
    let chain = Chain::new();
    for target in [
        &["--before-position", "bin.000001"][..],
        &["--before-position", "150"],
        &["--before-gtid", "57"],
        &["--before-gtid", "0-1-1,1-1-1"],
        &["--before-gtid", "0-1-1", "--before-position", "bin.000001:150"],
        &["--before-position", "bin.000001:150", "--at", "2026-11-26"],
    ] {
        let ran = chain.world.run(&[&["drill", "tree"], target].concat());
        assert_eq!(ran.status, 2, "{target:?} {ran:?}");
        assert!(!ran.stderr.contains("restore windows"), "{target:?} {ran:?}");
    }
}
