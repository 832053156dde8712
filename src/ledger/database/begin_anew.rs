//! Beginning a new ledger where the one that is there is damaged.

use std::path::Path;
use std::sync::Arc;

use super::failure::ledger_error;
use super::lock::identity;
use super::open::Expected;
use super::schema::{NO_TABLES, damaged_page, is_bare};
use super::set_aside::{Found, is_damage, put_beside};
use crate::clock::Clock;
use crate::error::Result;
use crate::ledger::{FILE_NAME, Ledger};
use crate::run_context::Cancel;

impl Ledger {
    /// [`Ledger::open_until`], and where the file is damaged a new one beside it. All of the file is read for damage first: a
    /// page that nothing has read yet must not end a backup in its middle.
    ///
    /// Errors: as of [`Ledger::open_until`], but for damage.
    pub async fn open_or_begin_anew(state_dir: &Path, clock: Arc<dyn Clock>, stop: &Cancel) -> Result<Self> {
        let file = identity(&state_dir.join(FILE_NAME));
        let damage = match Self::open_until(state_dir, clock.clone(), stop).await {
            Ok(ledger) => match ledger.look_for_damage().await {
                Ok(()) => return Ok(ledger),
                Err(error) if is_damage(&error) => {
                    ledger.close().await;
                    error
                }
                Err(error) => return Err(error),
            },
            Err(error) if is_damage(&error) => error,
            Err(error) => return Err(error),
        };
        let kept = put_beside(state_dir, file, clock.wall(), stop)?;
        tracing::error!(
            hint = "what it knew of earlier runs and drills is lost to reports; keep the file, look at the disk, and see the \
                    runbook of BackupSlaLedgerDamaged",
            "the ledger is damaged and was set aside as {}; a new one is started from what the repositories list: {damage}",
            kept.display()
        );
        Self::open_expecting(state_dir, clock, stop, Expected::Nothing).await
    }

    /// An error where the file is not what SQLite wrote. Reads all of it.
    pub async fn look_for_damage(&self) -> Result<()> {
        let failed = |error| ledger_error("cannot look for damage in the ledger", error);
        let found = damaged_page(&self.pool).await.map_err(failed)?;
        let found = match found {
            None if is_bare(&self.pool).await.map_err(failed)? => Some(NO_TABLES.to_owned()),
            found => found,
        };
        found.map_or(Ok(()), |found| Err(failed(sqlx::Error::Database(Box::new(Found(found))))))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock::SystemClock;
    use crate::ledger::database::set_aside;

    async fn begin(dir: &Path) -> Ledger {
        Ledger::open_or_begin_anew(dir, SystemClock::shared(), &Cancel::default()).await.unwrap()
    }

    #[tokio::test]
    async fn a_ledger_that_is_missing_or_empty_counts_as_damaged_where_there_was_one() {
        let dir = tempfile::tempdir().unwrap();
        // A first start that was killed before the ledger was made.
        fs::create_dir(dir.path().join("locks")).unwrap();
        fs::write(dir.path().join(FILE_NAME), "").unwrap();
        begin(dir.path()).await.close().await;
        assert!(set_aside(dir.path()).is_empty(), "a fresh one has lost nothing");
        fs::write(dir.path().join("locks/ansible.backup.lock"), "").unwrap();
        begin(dir.path()).await.close().await;
        assert!(set_aside(dir.path()).is_empty(), "it is still there");
        fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
        begin(dir.path()).await.close().await;
        assert_eq!(set_aside(dir.path()).len(), 1);
        fs::write(dir.path().join(FILE_NAME), "").unwrap();
        begin(dir.path()).await.close().await;
        begin(dir.path()).await.close().await;
        assert_eq!(set_aside(dir.path()).len(), 2, "each loss is counted once");
    }

    #[tokio::test]
    async fn a_ledger_that_is_emptied_while_it_is_open_is_noticed_and_not_filled_by_another() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = begin(dir.path()).await;
        fs::create_dir(dir.path().join("locks")).unwrap();
        let lock = fs::File::create(dir.path().join("locks/service.lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        assert!(!ledger.is_emptied());
        fs::File::create(dir.path().join(FILE_NAME)).unwrap();
        assert!(ledger.is_emptied());
        let error = Ledger::open(dir.path(), SystemClock::shared()).await.err().unwrap();
        assert!(error.to_string().contains("it was emptied"), "{error}");
        assert!(set_aside(dir.path()).is_empty());
    }

    #[tokio::test]
    async fn a_ledger_that_has_bytes_and_no_tables_counts_as_damaged_where_there_was_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        let empty = async || {
            let _ = fs::remove_file(&file);
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::query("CREATE TABLE brief (a BIGINT)").execute(&pool).await.unwrap();
            sqlx::query("DROP TABLE brief").execute(&pool).await.unwrap();
            pool.close().await;
            assert!(fs::metadata(&file).unwrap().len() > 0);
        };
        empty().await;
        begin(dir.path()).await.close().await;
        assert!(set_aside(dir.path()).is_empty(), "a first start that was killed has lost nothing");
        fs::create_dir(dir.path().join("locks")).unwrap();
        fs::write(dir.path().join("locks/service.lock"), "").unwrap();
        begin(dir.path()).await.close().await;
        assert!(set_aside(dir.path()).is_empty());
        empty().await;
        begin(dir.path()).await.look_for_damage().await.unwrap();
        assert_eq!(set_aside(dir.path()).len(), 1);
    }

    #[tokio::test]
    async fn a_page_that_is_damaged_inside_is_found_before_the_ledger_is_used() {
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path()).await.close().await;
        let file = dir.path().join(FILE_NAME);
        let mut bytes = fs::read(&file).unwrap();
        bytes[3 * 4096..9 * 4096].fill(0xa5);
        fs::write(&file, bytes).unwrap();
        let ledger = begin(dir.path()).await;
        ledger.look_for_damage().await.unwrap();
        assert_eq!(set_aside(dir.path()).len(), 1);
    }
}
