use super::*;
use crate::domain::promise::{Changes, TableChanges};

fn table(name: &str, rows: u64) -> TableFacts {
    TableFacts {
        name: name.to_owned(),
        rows,
        digest: Digest::default(),
        definition: Digest::default(),
        newest: BTreeMap::new(),
        next_id: None,
    }
}

fn object(kind: ObjectKind, name: &str) -> ObjectFacts {
    ObjectFacts { kind, name: name.to_owned(), definition: Digest::default(), shown: None, definer: None, ends: None }
}

fn left_out(name: &str) -> LeftOut {
    LeftOut { kind: "view".to_owned(), name: name.to_owned(), reason: "it is broken".to_owned(), definition: None }
}

fn file(path: &str, role: FileRole, bytes: u64) -> StoredFileFacts {
    StoredFileFacts { path: path.to_owned(), role, bytes, digest: Digest::default() }
}

fn manifest() -> Manifest {
    let server = ServerIdentity { product: "MySQL".to_owned(), version: "9.7.0".to_owned(), series: "9.7".to_owned() };
    Manifest {
        format: MANIFEST_FORMAT,
        id: RecoveryPointId("01abc".to_owned()),
        source: "shop".to_owned(),
        host: None,
        engine: "kind".to_owned(),
        kind: BackupKind::Full,
        chain_length: 0,
        parent: None,
        from: None,
        joins: None,
        as_of: DateTime::UNIX_EPOCH,
        finished: DateTime::UNIX_EPOCH,
        created_by: String::new(),
        server,
        tool: String::new(),
        settings: BTreeMap::new(),
        position: None,
        files: vec![file("dump.sql", FileRole::Stream, 90), file("accounts.sql", FileRole::Accounts, 7)],
        promise: Promise::Exact(Inventory { tables: vec![table("d.a", 3), table("d.b", 4)], ..Inventory::default() }),
        segments: Vec::new(),
        needs: None,
        warnings: Vec::new(),
        left_out: vec![left_out("d.v")],
        cannot_return: vec![left_out("d.w")],
        canaries: BTreeMap::new(),
        capture: Capture::default(),
        evidence: Evidence::default(),
    }
}

#[test]
fn sums_are_over_all_files_and_tables_and_a_file_is_found_by_its_role() {
    let manifest = manifest();
    assert_eq!((manifest.logical_bytes(), manifest.rows()), (97, 7));
    let mut endless = manifest.clone();
    endless.files[0].bytes = u64::MAX;
    endless.inventory_mut().tables[0].rows = u64::MAX;
    assert_eq!(
        (endless.logical_bytes(), endless.rows()),
        (u64::MAX, u64::MAX),
        "it may be damaged, and says nothing less"
    );
    let path = |role| manifest.file(role).map(|file| file.path.as_str());
    assert_eq!(path(FileRole::Stream), Some("dump.sql"));
    assert_eq!(path(FileRole::Accounts), Some("accounts.sql"));
    assert_eq!(path(FileRole::Facts), None);
}

#[test]
fn what_cannot_come_back_is_a_loss_and_is_in_the_backup_all_the_same() {
    let missing = "view d.v is NOT in the backup: it is broken";
    assert_eq!(manifest().not_in_it().collect::<Vec<_>>(), [missing]);
    assert_eq!(manifest().losses(), [missing, "view d.w will not come back: it is broken"]);
}

#[test]
fn a_manifest_comes_back_as_it_was_written_and_an_old_one_needs_no_newer_field() {
    let written = serde_json::to_value(manifest()).unwrap();
    assert_eq!(written["format"], 2, "a program that knows only 2 refuses everything else");
    assert_eq!(written["promise"], "exact");
    assert_eq!(written["inventory"]["tables"][1]["rows"], 4, "where version 1 had it");
    assert_eq!(serde_json::from_value::<Manifest>(written.clone()).unwrap(), manifest());
    let mut old = written;
    let newer =
        ["left_out", "cannot_return", "warnings", "segments", "position", "settings", "chain_length", "promise"];
    for field in newer {
        assert!(old.as_object_mut().unwrap().remove(field).is_some(), "{field}");
    }
    let read = serde_json::from_value::<Manifest>(old).unwrap();
    assert_eq!(read, Manifest { left_out: Vec::new(), cannot_return: Vec::new(), ..manifest() });
}

#[test]
fn what_another_inventory_has_not_is_taken_out_and_named() {
    let mut ours = Inventory {
        tables: vec![table("d.a", 1), table("d.b", 1)],
        objects: vec![object(ObjectKind::View, "d.v"), object(ObjectKind::Event, "d.v")],
        reach: None,
    };
    let theirs = Inventory {
        tables: vec![table("d.b", 9), table("d.c", 1)],
        objects: vec![object(ObjectKind::View, "d.v")],
        reach: None,
    };
    assert_eq!(ours.take_what_is_not_in(&theirs), ["table d.a", "event d.v"]);
    assert_eq!(
        ours,
        Inventory { tables: vec![table("d.b", 1)], objects: vec![object(ObjectKind::View, "d.v")], reach: None }
    );
    assert_eq!(ours.take_what_is_not_in(&theirs), [""; 0]);
}

/// An increment as the next version makes them.
fn increment() -> Manifest {
    let at = |offset| {
        Some(Position {
            binlog_file: Some("binlog.000007".to_owned()),
            binlog_offset: Some(offset),
            gtid: None,
            log: None,
        })
    };
    let touched = TableChanges { inserted: 3, updated: 1, ..TableChanges::default() };
    let changes = Changes {
        transactions: 2,
        row_events: 4,
        bytes: 900,
        tables: [("d.a".to_owned(), touched)].into(),
        ..Changes::default()
    };
    Manifest {
        kind: BackupKind::Incremental,
        chain_length: 1,
        parent: Some(RecoveryPointId("01abb".to_owned())),
        from: at(4),
        position: at(904),
        promise: Promise::Changes(changes),
        ..manifest()
    }
}

#[test]
fn every_promise_comes_back_as_it_was_written_and_only_an_exact_one_has_an_inventory() {
    let pending = Manifest { promise: Promise::Pending, ..manifest() };
    for (manifest, tag, rows) in [(manifest(), "exact", 7), (increment(), "changes", 0), (pending, "pending", 0)] {
        let written = serde_json::to_vec_pretty(&manifest).unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!((&shown["promise"], shown.get("inventory").is_some()), (&tag.into(), tag == "exact"));
        assert_eq!(serde_json::from_slice::<Manifest>(&written).unwrap(), manifest);
        assert_eq!((manifest.rows(), manifest.contradiction()), (rows, None));
    }
    let shown = serde_json::to_value(increment()).unwrap();
    assert_eq!(shown["changes"]["tables"]["d.a"], serde_json::json!({"inserted": 3, "updated": 1, "deleted": 0}));
    assert_eq!((&shown["parent"], &shown["from"]["binlog_offset"]), (&"01abb".into(), &4.into()));
}

#[test]
fn a_promise_that_is_unclear_is_no_promise() {
    let spoil = |manifest: &Manifest, name: &str, value: serde_json::Value| {
        let mut written = serde_json::to_value(manifest).unwrap();
        let fields = written.as_object_mut().unwrap();
        if value.is_null() {
            fields.remove(name)
        } else {
            fields.insert(name.to_owned(), value)
        };
        serde_json::from_value::<Manifest>(written).map_err(|error| error.to_string())
    };
    let both = serde_json::to_value(increment()).unwrap()["changes"].clone();
    for (what, said) in [
        (spoil(&manifest(), "inventory", serde_json::Value::Null), "missing field `inventory`"),
        (spoil(&increment(), "changes", serde_json::Value::Null), "missing field `changes`"),
        (spoil(&manifest(), "changes", both), "more than one promise"),
        (spoil(&manifest(), "promise", "later".into()), "unknown variant `later`"),
        // What is no longer said to be changes is not taken for an empty inventory.
        (spoil(&increment(), "promise", serde_json::Value::Null), "missing field `inventory`"),
    ] {
        let error = what.unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let [orphan, endless] = [Manifest { parent: None, ..increment() }, Manifest { position: None, ..increment() }];
    let [continuing, changing] = [
        Manifest { parent: increment().parent, ..manifest() },
        Manifest { promise: increment().promise, ..manifest() },
    ];
    for (manifest, said) in [
        (orphan, "does not say what it continues"),
        (endless, "does not say where it ends"),
        (continuing, "continues another"),
        (changing, "only changes"),
    ] {
        assert!(manifest.contradiction().unwrap().contains(said), "{said}");
    }
}

/// As backup-sla 0.x wrote it, in format 1: a small shop on MariaDB.
const VERSION_1: &str = include_str!("../../../tests/fixtures/manifest-1.json");

#[test]
fn a_manifest_of_version_1_opens_and_promises_the_same() {
    let read: Manifest = serde_json::from_str(VERSION_1).unwrap();
    assert_eq!((read.format, read.kind, read.contradiction()), (1, BackupKind::Full, None));
    let as_it_was: serde_json::Value = serde_json::from_str(VERSION_1).unwrap();
    let Promise::Exact(inventory) = &read.promise else { panic!("version 1 promised exactly") };
    assert_eq!(serde_json::to_value(inventory).unwrap(), as_it_was["inventory"]);
    assert!(inventory.tables.len() > 1 && inventory.objects.len() > 1 && read.rows() > 0);
    // Nothing but what is new is written otherwise.
    let mut written = serde_json::to_value(&read).unwrap();
    assert_eq!(written.as_object_mut().unwrap().remove("promise"), Some("exact".into()));
    assert_eq!(written, as_it_was);
}
