use super::*;

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
    ObjectFacts { kind, name: name.to_owned(), definition: Digest::default(), shown: None, definer: None }
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
        as_of: DateTime::UNIX_EPOCH,
        finished: DateTime::UNIX_EPOCH,
        created_by: String::new(),
        server,
        tool: String::new(),
        settings: BTreeMap::new(),
        position: None,
        files: vec![file("dump.sql", FileRole::Stream, 90), file("accounts.sql", FileRole::Accounts, 7)],
        inventory: Inventory { tables: vec![table("d.a", 3), table("d.b", 4)], objects: Vec::new() },
        segments: Vec::new(),
        needs: None,
        warnings: Vec::new(),
        left_out: vec![left_out("d.v")],
        cannot_return: vec![left_out("d.w")],
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
    endless.inventory.tables[0].rows = u64::MAX;
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
    assert_eq!(written["format"], 1, "a program that knows only 1 refuses everything else");
    assert_eq!(serde_json::from_value::<Manifest>(written.clone()).unwrap(), manifest());
    let mut old = written;
    let newer = ["left_out", "cannot_return", "warnings", "segments", "position", "settings", "chain_length"];
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
    };
    let theirs =
        Inventory { tables: vec![table("d.b", 9), table("d.c", 1)], objects: vec![object(ObjectKind::View, "d.v")] };
    assert_eq!(ours.take_what_is_not_in(&theirs), ["table d.a", "event d.v"]);
    assert_eq!(ours, Inventory { tables: vec![table("d.b", 1)], objects: vec![object(ObjectKind::View, "d.v")] });
    assert_eq!(ours.take_what_is_not_in(&theirs), [""; 0]);
}
