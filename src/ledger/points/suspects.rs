//! Recovery points that were dated by a wrong clock: what the order in which they were published says of them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::domain::manifest::BackupKind;
use crate::domain::order::{Dated, contradicted, in_order, latest};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, ledger_error};
use crate::ledger::evidence::Sealable;
use crate::ledger::runs::next_revision;

/// Points that this ledger saw published, in that order. Of others no order is known.
const IN_ORDER: &str = "SELECT p.id AS id, p.as_of AS as_of, p.finished AS finished, p.kind AS kind, p.suspect AS suspect, MIN(r.ended_revision) AS published \
     FROM points p JOIN runs r ON r.source = p.source AND r.recovery_point = p.id \
     WHERE p.source = ? AND r.operation = 'backup' AND r.outcome = 'succeeded' \
     GROUP BY p.id, p.as_of, p.finished, p.kind, p.suspect ORDER BY published";

struct Known {
    id: String,
    dated: Dated,
    is_marked: bool,
}

impl Ledger {
    /// Ids of the listed points of a source that are dated after now, or against the order in which they were published.
    pub async fn suspect_points(&self, source: &str) -> Result<BTreeSet<String>> {
        let ids: Vec<String> =
            sqlx::query_scalar("SELECT id FROM points WHERE source = ? AND (suspect = 1 OR as_of > ?)")
                .bind(source)
                .bind(stored::micros(latest(self.clock.wall())))
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
        Ok(ids.into_iter().collect())
    }

    /// Those of them that are marked, whatever the time is.
    #[cfg(test)]
    pub(crate) async fn marked_points(&self, source: &str) -> Result<BTreeSet<String>> {
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM points WHERE source = ? AND suspect = 1")
            .bind(source)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        Ok(ids.into_iter().collect())
    }

    /// Bring the marks of a source up to date. Nothing is written where they are.
    pub(super) async fn mark_suspects(&self, source: &str) -> Result<()> {
        let mut tx = self.read().await?;
        let changed = changed_marks(&mut tx, source, self.clock.wall()).await?;
        drop(tx);
        if changed.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        let now = self.clock.wall();
        let sealable = Sealable::of(&mut tx, source).await?;
        if mark_in(&mut tx, source, now).await? {
            // What was promised is judged without them, in the past too.
            let revision = next_revision(&mut tx).await?;
            let note = sqlx::query("UPDATE sources SET facts_revision = ? WHERE name = ?").bind(revision).bind(source);
            note.execute(&mut *tx).await.map_err(failed)?;
        }
        sealable.seal_changes(&mut tx, source, now).await?;
        tx.commit().await.map_err(failed)
    }
}

/// Bring the marks up to date in the transaction that changed the points; whether one had to be changed.
pub(super) async fn mark_in(tx: &mut Connection, source: &str, now: DateTime<Utc>) -> Result<bool> {
    let changed = changed_marks(tx, source, now).await?;
    for (id, is_suspect) in &changed {
        sqlx::query("UPDATE points SET suspect = ? WHERE source = ? AND id = ?")
            .bind(i64::from(*is_suspect))
            .bind(source)
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
    }
    Ok(!changed.is_empty())
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot look for recovery points with a wrong date", error)
}

/// Points whose mark is not what it should be, and what it should be.
async fn changed_marks(tx: &mut Connection, source: &str, now: DateTime<Utc>) -> Result<Vec<(String, bool)>> {
    let rows = sqlx::query(IN_ORDER).bind(source).fetch_all(tx).await.map_err(failed)?;
    let known = |row| {
        let is_marked = column::<i64>(row, "suspect")? != 0;
        let (as_of, finished) = (stored::time(column(row, "as_of")?)?, stored::time(column(row, "finished")?)?);
        let is_full = stored::kind(column(row, "kind")?)? == Some(BackupKind::Full);
        Ok(Known { id: column(row, "id")?, dated: Dated { as_of, finished, is_full }, is_marked })
    };
    let known: Vec<Known> = rows.iter().map(known).collect::<Result<_>>()?;
    let dated: Vec<Dated> = known.iter().map(|point| point.dated).collect();
    let found = contradicted(&in_order(&dated), now);
    let differs =
        |(point, is_suspect): (Known, bool)| (point.is_marked != is_suspect).then_some((point.id, is_suspect));
    Ok(known.into_iter().zip(found).filter_map(differs).collect())
}
