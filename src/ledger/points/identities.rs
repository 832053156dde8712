//! Which repository is meant by a name of the configuration: the id that was found there first, or that was accepted since.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::gone::GoneMark;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::{Connection, ledger_error, stored};
use crate::ledger::evidence::{Sealable, seal_repository, sealed_repository};
use crate::ledger::runs::next_revision;

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
    /// The repository that `name` means. Where none is known yet it is the one that was found: `identity`. What was sealed
    /// counts, whatever somebody wrote beside it.
    pub async fn adopt(&self, name: &str, identity: &str) -> Result<Adopted> {
        if let Some((identity, since)) = sealed_repository(&mut *self.read().await?, name).await? {
            return Ok(Adopted { identity, since: stored::time(since)?, is_new: false });
        }
        let mut tx = self.write().await?;
        // Another process may have been first.
        if let Some((identity, since)) = sealed_repository(&mut tx, name).await? {
            return Ok(Adopted { identity, since: stored::time(since)?, is_new: false });
        }
        let since = self.clock.wall();
        replace_identity(&mut tx, name, identity, since).await?;
        tx.commit().await.map_err(failed)?;
        Ok(Adopted { identity: identity.to_owned(), since, is_new: true })
    }

    /// The repository that `name` means, if one is known. Nothing is written.
    pub async fn meant_repository(&self, name: &str) -> Result<Option<Adopted>> {
        let Some((identity, since)) = sealed_repository(&mut *self.read().await?, name).await? else { return Ok(None) };
        Ok(Some(Adopted { identity, since: stored::time(since)?, is_new: false }))
    }

    /// From now on `name` means the repository `identity`. What is remembered of the one before is gone on purpose; the id of
    /// that one is given back.
    pub async fn accept(&self, name: &str, identity: &str) -> Result<Option<String>> {
        let sources = self.sources_in(name).await?;
        let mut tx = self.write().await?;
        let before = sealed_repository(&mut tx, name).await?.map(|(identity, _)| identity);
        // Together: an end between the two would have the next look find all of them vanished.
        if before.as_deref().is_some_and(|before| before != identity) {
            for source in sources {
                self.forget_points(&mut tx, &source).await?;
            }
        }
        replace_identity(&mut tx, name, identity, self.clock.wall()).await?;
        tx.commit().await.map_err(failed)?;
        Ok(before)
    }

    /// Points of all sources of the repository `name` that are gone before their retention are gone on purpose: they have not
    /// vanished. By source: how many.
    pub async fn accept_gone_points(&self, name: &str) -> Result<BTreeMap<String, u64>> {
        let mut accepted = BTreeMap::new();
        let sources = self.sources_in(name).await?;
        let mut tx = self.write().await?;
        for source in sources {
            let sealable = Sealable::of(&mut tx, &source).await?;
            let accept = "UPDATE point_lifetimes SET gone_early = ? WHERE source = ? AND gone_early = ?";
            let accept =
                sqlx::query(accept).bind(GoneMark::Accepted.stored()).bind(&source).bind(GoneMark::Early.stored());
            let points = accept.execute(&mut *tx).await.map_err(failed)?.rows_affected();
            if points > 0 {
                let revision = next_revision(&mut tx).await?;
                let note = sqlx::query("UPDATE sources SET facts_revision = ? WHERE name = ?").bind(revision);
                note.bind(&source).execute(&mut *tx).await.map_err(failed)?;
                sealable.seal_changes(&mut tx, &source, self.clock.wall()).await?;
                accepted.insert(source, points);
            }
        }
        tx.commit().await.map_err(failed)?;
        Ok(accepted)
    }

    /// Sources that have their backups in the repository `name`, retired ones, too.
    async fn sources_in(&self, name: &str) -> Result<Vec<String>> {
        let sources = sqlx::query_scalar("SELECT name FROM sources WHERE repository = ?").bind(name);
        sources.fetch_all(&self.pool).await.map_err(failed)
    }
}

async fn replace_identity(tx: &mut Connection, name: &str, identity: &str, since: DateTime<Utc>) -> Result<()> {
    sqlx::query("DELETE FROM repositories WHERE name = ?").bind(name).execute(&mut *tx).await.map_err(failed)?;
    sqlx::query("INSERT INTO repositories (name, identity, adopted_at) VALUES (?, ?, ?)")
        .bind(name)
        .bind(identity)
        .bind(stored::micros(since))
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    seal_repository(tx, name, since).await
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot record the identity of a repository", error)
}
