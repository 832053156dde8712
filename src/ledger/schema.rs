//! What SQLite says of its own schema. Another product has a catalogue of another name.

use sqlx::SqliteConnection;

use super::open::ledger_error;
use crate::error::Result;

/// Triggers and views: no migration makes any.
pub(super) async fn foreign_objects(tx: &mut SqliteConnection) -> Result<Vec<String>> {
    let objects = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name";
    let rows: Vec<(String, String)> =
        sqlx::query_as(objects).fetch_all(tx).await.map_err(|e| ledger_error("read schema", e))?;
    Ok(rows.into_iter().map(|(kind, name)| format!("{kind} {name}")).collect())
}
