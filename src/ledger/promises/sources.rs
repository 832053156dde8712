//! Sources: what the configuration names, and since when the ledger has heard of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::promise_from_now;
use crate::domain::sla::Objectives;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::database::{Connection, ledger_error, stored};
use crate::ledger::evidence::seal_source;
use crate::ledger::points::{Gone, reconcile_in};
use crate::ledger::runs::next_revision;

/// A source as the configuration has it now.
#[derive(Debug, Clone, Copy)]
pub struct KnownSource<'a> {
    /// Its name.
    pub name: &'a str,
    /// Name of its kind.
    pub kind: &'a str,
    /// Name of the repository that its backups go to.
    pub repository: &'a str,
    /// What is promised of it from now on.
    pub objectives: &'a Objectives,
}

impl Ledger {
    /// Remember sources and what is promised of them, all or none of it. What is known already writes nothing, and a
    /// thousand new ones are one transaction: a disk that takes its time to confirm is waited for once.
    pub async fn know(&self, sources: &[KnownSource<'_>]) -> Result<()> {
        let mut tx = self.write().await?;
        let now = self.clock.wall();
        let mut wrote = false;
        for source in sources {
            wrote |= self.ensure(&mut tx, (source.name, source.kind, source.repository), now).await?;
            wrote |= promise_from_now(&mut tx, source.name, source.objectives, now).await?;
        }
        if wrote { tx.commit().await.map_err(failed) } else { Ok(()) }
    }

    /// Remember a source; the time of the first call stays. A changed kind or repository replaces the old one.
    pub async fn ensure_source(&self, source: &str, kind: &str, repository: &str) -> Result<()> {
        let mut tx = self.write().await?;
        let wrote = self.ensure(&mut tx, (source, kind, repository), self.clock.wall()).await?;
        if wrote { tx.commit().await.map_err(failed) } else { Ok(()) }
    }

    /// Whether anything had to be written. Its points are forgotten together with a move: had it ended between the two, what is
    /// in the repository of before would be taken for removed.
    async fn ensure(&self, tx: &mut Connection, source: (&str, &str, &str), now: DateTime<Utc>) -> Result<bool> {
        let change = ensure(tx, source, now).await?;
        if change == Change::Moved {
            self.forget_points(tx, source.0).await?;
        }
        Ok(change != Change::None)
    }

    /// What a source has elsewhere is no longer what its repository lists.
    pub(in crate::ledger) async fn forget_points(&self, tx: &mut Connection, source: &str) -> Result<()> {
        let begun = sqlx::query_scalar("SELECT revision FROM ledger_revision").fetch_one(&mut *tx).await;
        let (begun, now) = (begun.map_err(failed)?, self.clock.wall());
        reconcile_in(tx, (source, BTreeMap::new()), begun, Gone::OnPurpose, now).await.map(|_| ())
    }
}

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot record sources", error)
}

/// What was new about a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Written,
    /// Its backups go to another repository now.
    Moved,
}

async fn ensure(
    tx: &mut Connection,
    (source, kind, repository): (&str, &str, &str),
    now: DateTime<Utc>,
) -> Result<Change> {
    let known: Option<(String, String)> = sqlx::query_as("SELECT kind, repository FROM sources WHERE name = ?")
        .bind(source)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
    let (statement, change) = match &known {
        Some((old_kind, old_repository)) if old_kind == kind && old_repository == repository => {
            return Ok(Change::None);
        }
        Some((_, old_repository)) => (
            sqlx::query("UPDATE sources SET kind = ?, repository = ? WHERE name = ?")
                .bind(kind)
                .bind(repository)
                .bind(source),
            if old_repository == repository { Change::Written } else { Change::Moved },
        ),
        None => (
            sqlx::query("INSERT INTO sources (name, kind, repository, created_at) VALUES (?, ?, ?, ?)")
                .bind(source)
                .bind(kind)
                .bind(repository)
                .bind(stored::micros(now)),
            Change::Written,
        ),
    };
    statement.execute(&mut *tx).await.map_err(failed)?;
    next_revision(tx).await?;
    seal_source(tx, source, now).await?;
    Ok(change)
}
