//! What SQLite says of its own schema and file. Another product has a catalogue of another name.

use super::failure::ledger_error;
use super::{Connection, Pool};
use crate::error::Result;

/// Triggers and views: no migration makes any.
pub(in crate::ledger) async fn foreign_objects(tx: &mut Connection) -> Result<Vec<String>> {
    let objects = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name";
    let rows: Vec<(String, String)> = sqlx::query_as(objects)
        .fetch_all(tx)
        .await
        .map_err(|e| ledger_error("cannot read the schema of the ledger", e))?;
    Ok(rows.into_iter().map(|(kind, name)| format!("{kind} {name}")).collect())
}

/// What is wrong with the file itself, the first of it: pages, indexes and rows that do not agree.
pub(super) async fn damage(tx: &mut Connection) -> Result<Option<String>> {
    let said: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(tx)
        .await
        .map_err(|e| ledger_error("cannot check the ledger", e))?;
    Ok(Some(said).filter(|said| said != "ok"))
}

/// The same without comparing indexes with their tables, which takes several times as long.
pub(super) async fn damaged_page(pool: &Pool) -> sqlx::Result<Option<String>> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_all(pool).await?;
    Ok(found.into_iter().find(|said| said != "ok"))
}

/// What is wrong with a ledger that [`is_bare`].
pub(super) const NO_TABLES: &str = "it has no tables any more: somebody emptied it";

/// Whether there is no table at all.
pub(super) async fn is_bare(pool: &Pool) -> sqlx::Result<bool> {
    let tables: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'").fetch_one(pool).await?;
    Ok(tables == 0)
}
