//! Which repository is meant by a name of the configuration: the id that was found there first, or that was accepted since.

use chrono::{DateTime, Utc};

use super::Ledger;
use super::open::ledger_error;
use super::stored;
use crate::error::Result;

/// A repository that was found under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Its own id.
    pub identity: String,
    /// Since when it is the one.
    pub since: DateTime<Utc>,
    /// Whether nothing was known before.
    pub is_new: bool,
}

impl Ledger {
    /// The repository that `name` means. Where none is known yet it is the one that was found: `identity`.
    pub async fn adopt(&self, name: &str, identity: &str) -> Result<Adopted> {
        let known = "SELECT identity, adopted_at FROM repositories WHERE name = ?";
        let read: Option<(String, i64)> =
            sqlx::query_as(known).bind(name).fetch_optional(&self.pool).await.map_err(failed)?;
        if let Some((identity, since)) = read {
            return Ok(Adopted { identity, since: stored::time(since)?, is_new: false });
        }
        let mut tx = self.write().await?;
        // Another process may have been first.
        let read: Option<(String, i64)> =
            sqlx::query_as(known).bind(name).fetch_optional(&mut *tx).await.map_err(failed)?;
        if let Some((identity, since)) = read {
            return Ok(Adopted { identity, since: stored::time(since)?, is_new: false });
        }
        let since = self.clock.wall();
        sqlx::query("INSERT INTO repositories (name, identity, adopted_at) VALUES (?, ?, ?)")
            .bind(name)
            .bind(identity)
            .bind(stored::micros(since))
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Adopted { identity: identity.to_owned(), since, is_new: true })
    }

    /// From now on `name` means the repository `identity`. What is remembered of the one before is gone on purpose; the id of
    /// that one is given back.
    pub async fn accept(&self, name: &str, identity: &str) -> Result<Option<String>> {
        let mut tx = self.write().await?;
        let before: Option<String> = sqlx::query_scalar("SELECT identity FROM repositories WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
        sqlx::query("DELETE FROM repositories WHERE name = ?").bind(name).execute(&mut *tx).await.map_err(failed)?;
        sqlx::query("INSERT INTO repositories (name, identity, adopted_at) VALUES (?, ?, ?)")
            .bind(name)
            .bind(identity)
            .bind(stored::micros(self.clock.wall()))
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        let sources: Vec<String> = sqlx::query_scalar("SELECT name FROM sources WHERE repository = ?")
            .bind(name)
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        if before.as_deref().is_some_and(|before| before != identity) {
            for source in sources {
                self.forget_points(&source).await?;
            }
        }
        Ok(before)
    }
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("record the identity of a repository", error)
}
