//! Small texts that engines remember of a source between backups. What is lost only costs time.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::ledger_error;

impl Ledger {
    /// What was kept of `source` under `name`.
    pub async fn recall(&self, source: &str, name: &str) -> Result<Option<String>> {
        sqlx::query_scalar("SELECT content FROM engine_memory WHERE source = ? AND name = ?")
            .bind(source)
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| ledger_error("cannot recall what an engine remembers", e))
    }

    /// Keep `content` of `source` under `name`.
    pub async fn remember(&self, source: &str, name: &str, content: &str) -> Result<()> {
        let what = "cannot remember something for an engine";
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM engine_memory WHERE source = ? AND name = ?")
            .bind(source)
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(|e| ledger_error(what, e))?;
        sqlx::query("INSERT INTO engine_memory (source, name, content) VALUES (?, ?, ?)")
            .bind(source)
            .bind(name)
            .bind(content)
            .execute(&mut *tx)
            .await
            .map_err(|e| ledger_error(what, e))?;
        tx.commit().await.map_err(|e| ledger_error(what, e))
    }

    /// Forget everything of `source` that is not among `names`.
    pub async fn forget_others(&self, source: &str, names: &BTreeSet<String>) -> Result<()> {
        let what = "cannot forget what an engine remembers";
        let mut tx = self.write().await?;
        let kept: Vec<String> = sqlx::query_scalar("SELECT name FROM engine_memory WHERE source = ?")
            .bind(source)
            .fetch_all(&mut *tx)
            .await
            .map_err(|e| ledger_error(what, e))?;
        for name in kept.iter().filter(|name| !names.contains(*name)) {
            sqlx::query("DELETE FROM engine_memory WHERE source = ? AND name = ?")
                .bind(source)
                .bind(name)
                .execute(&mut *tx)
                .await
                .map_err(|e| ledger_error(what, e))?;
        }
        tx.commit().await.map_err(|e| ledger_error(what, e))
    }
}
