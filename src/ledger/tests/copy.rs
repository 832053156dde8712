//! Copies of ledgers: verified as they are, refused where that cannot be, and never changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use sqlx::Connection as _;

use super::*;
use crate::error::{Error, Kind};
use crate::ledger::tests::seals::busy;
use crate::ledger::{ChainHead, FILE_NAME, LedgerCopy, Sealed};

/// A closed ledger in which something of every kind was written, and the end of its chain.
async fn closed(dir: &Path, clock: &Arc<SetClock>) -> (PathBuf, ChainHead) {
    let ledger = busy(dir, clock).await;
    let head = ledger.seal_head().await.unwrap();
    ledger.close().await;
    (dir.join(FILE_NAME), head)
}

/// Change a closed ledger by hand.
async fn change(file: &Path, statements: &[&'static str]) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    for statement in statements {
        sqlx::query(*statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

type Files = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

fn files(dir: &Path) -> Files {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let state = |path: &Path| {
        let changed = std::fs::metadata(path).unwrap().modified().unwrap();
        (std::fs::read(path).unwrap(), changed)
    };
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), state(&path))).collect()
}

async fn verified(file: &Path, known: &[ChainHead]) -> Sealed {
    let copy = LedgerCopy::open(file, SetClock::new()).await.unwrap();
    copy.verify_seals(known).await.unwrap()
}

async fn refused(file: &Path) -> Error {
    let error = match LedgerCopy::open(file, SetClock::new()).await {
        Ok(copy) => copy.verify_seals(&[]).await.err().unwrap(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), Kind::Configuration, "{error}");
    assert!(error.to_string().starts_with(&format!("cannot read ledger copy `{}`: ", file.display())), "{error}");
    error
}

#[tokio::test]
async fn a_copy_is_verified_and_stays_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (file, head) = closed(dir.path(), &SetClock::new()).await;
    let before = files(dir.path());
    let found = verified(&file, std::slice::from_ref(&head)).await;
    assert!(found.is_whole() && found.head == head, "{found:?}");
    let unknown = ChainHead { position: head.position + 1, seal: head.seal.clone() };
    assert!(verified(&file, &[unknown]).await.faults[0].what.contains("was there once"));
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn a_changed_cell_of_a_copy_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (file, head) = closed(dir.path(), &SetClock::new()).await;
    change(&file, &["UPDATE run_stages SET seconds = seconds / 2 WHERE name = 'load'"]).await;
    let found = verified(&file, &[head]).await;
    assert!(found.fault_count == 1 && found.faults[0].what.contains("was changed after it was written"), "{found:?}");
}

#[tokio::test]
async fn a_copy_whose_pages_do_not_agree_is_not_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (file, head) = closed(dir.path(), &SetClock::new()).await;
    let whole = std::fs::read(&file).unwrap();
    let cell = b"drillpassed";
    let cells: Vec<usize> = (0..whole.len() - cell.len()).filter(|at| whole[*at..].starts_with(cell)).collect();
    // As in a copy that was made while pages were being written: what an index says is not what its table says.
    let mut damaged = 0;
    for at in cells {
        let mut bytes = whole.clone();
        bytes[at + cell.len() - 2] = b'E';
        std::fs::write(&file, bytes).unwrap();
        let found = verified(&file, std::slice::from_ref(&head)).await;
        // What SQLite left behind when it moved a cell is read by nobody.
        if let Some(first) = found.faults.first() {
            assert!(first.what.starts_with("the file is damaged (row "), "{found:?}");
            damaged += 1;
        }
    }
    assert!(damaged > 3, "{damaged} cells");
    // And one that was cut.
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let is_noticed = match LedgerCopy::open(&file, SetClock::new()).await {
        Ok(copy) => copy.verify_seals(&[head]).await.map_or(true, |found| !found.is_whole()),
        Err(_) => true,
    };
    assert!(is_noticed);
}

#[tokio::test]
async fn what_is_no_ledger_is_refused_and_nothing_is_made_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("directory")).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("text"), "# All promises kept\n").unwrap();
    std::fs::write(path("head only"), b"SQLite format 3\0").unwrap();
    std::fs::write(path("other?mode=rwc&x#.sqlite"), "").unwrap();
    change(&path("other?mode=rwc&x#.sqlite"), &["CREATE TABLE runs (id TEXT)"]).await;
    let before = files(dir.path());
    let cases = [
        ("nothing", "No such file"),
        ("directory", "no regular file"),
        ("empty", "no SQLite database"),
        ("text", "no SQLite database"),
        ("head only", "no ledger"),
        ("other?mode=rwc&x#.sqlite", "no ledger of backup-sla"),
    ];
    for (name, said) in cases {
        let error = refused(&path(name)).await;
        assert!(error.to_string().contains(said), "{name}: {error}");
        assert!(error.hint_text().unwrap().contains(".backup copy.sqlite"), "{name}: {:?}", error.hint_text());
    }
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn a_copy_of_another_version_is_refused_and_not_brought_up_to_date() {
    let newest = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', 1, x'00', 0)";
    let cases = [
        (newest, "older version", "copied again"),
        (later, "newer version", "a newer one"),
        ("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1", "schema version 1", "development build"),
        ("UPDATE _sqlx_migrations SET success = 0 WHERE version = 2", "not finished", "start the service"),
        ("DELETE FROM _sqlx_migrations", "no ledger of backup-sla", "ledger.sqlite"),
    ];
    for (statement, said, hint) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (file, _) = closed(dir.path(), &SetClock::new()).await;
        change(&file, &[statement]).await;
        let before = files(dir.path());
        let error = refused(&file).await;
        assert!(error.to_string().contains(said) && error.hint_text().unwrap().contains(hint), "{error}: {error:?}");
        assert_eq!(files(dir.path()), before, "{statement}");
    }
}

#[tokio::test]
async fn a_copy_that_is_not_complete_without_its_log_is_refused_with_how_to_make_one_that_is() {
    let (live, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = busy(live.path(), &SetClock::new()).await;
    let log = format!("{FILE_NAME}-wal");
    for name in [FILE_NAME, &log] {
        std::fs::copy(live.path().join(name), copied.path().join(name)).unwrap();
    }
    // A link to the file does not hide the log beside its target.
    std::os::unix::fs::symlink(copied.path().join(FILE_NAME), copied.path().join("link")).unwrap();
    let before = files(copied.path());
    for name in [FILE_NAME, "link"] {
        let error = refused(&copied.path().join(name)).await;
        assert!(error.to_string().contains(&log), "{error}");
        assert!(error.hint_text().unwrap().contains("VACUUM INTO"), "{:?}", error.hint_text());
    }
    assert_eq!(files(copied.path()), before);
    // A log without content takes nothing away.
    let head = ledger.seal_head().await.unwrap();
    ledger.close().await;
    std::fs::copy(live.path().join(FILE_NAME), copied.path().join(FILE_NAME)).unwrap();
    std::fs::write(copied.path().join(&log), "").unwrap();
    assert!(verified(&copied.path().join(FILE_NAME), &[head]).await.is_whole());
}
