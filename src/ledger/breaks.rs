//! Breaks of chains: when a source did not continue its newest backup. Nothing removes them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Ledger;
use super::database::stored::{self, column};
use super::database::{Connection, Row, ledger_error};
use super::evidence::seal_break;
use super::runs::next_revision;
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};

/// One break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainBreak {
    /// Name of the source.
    pub source: String,
    /// What kind of break it is.
    pub kind: String,
    /// What was expected and what was found.
    pub detail: String,
    /// The backup that was not continued.
    pub parent: RecoveryPointId,
    /// The last moment that could be restored: none after it can be, up to the next full backup. The as-of time of that backup, or of a newer
    /// one of the chain before.
    pub lost_since: DateTime<Utc>,
    /// When it was found.
    pub found: DateTime<Utc>,
}

/// What is known of one source's breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakFigures {
    /// How many there were, since the ledger exists.
    pub count: u64,
    /// The newest.
    pub last: ChainBreak,
}

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot record a break of a chain", error)
}

impl Ledger {
    /// Write a break down.
    pub async fn record_break(&self, found: &ChainBreak) -> Result<()> {
        let mut tx = self.write().await?;
        let revision = next_revision(&mut tx).await?;
        let insert = "INSERT INTO chain_breaks (id, source, kind, detail, parent, lost_since, found_at, revision) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(insert)
            .bind(format!("{revision:026}"))
            .bind(&found.source)
            .bind(&found.kind)
            .bind(&found.detail)
            .bind(&found.parent.0)
            .bind(stored::micros(found.lost_since))
            .bind(stored::micros(found.found))
            .bind(revision)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        seal_break(&mut tx, revision, self.clock.wall()).await?;
        tx.commit().await.map_err(failed)
    }
}

impl Ledger {
    /// The breaks of `source`, oldest first.
    pub async fn breaks(&self, source: &str) -> Result<Vec<ChainBreak>> {
        let mut newest = newest_breaks(&mut *self.read().await?, source, i64::MAX).await?;
        newest.reverse();
        Ok(newest)
    }
}

/// The newest breaks of `source`, newest first, in a transaction of the caller's.
pub(super) async fn newest_breaks(tx: &mut Connection, source: &str, most: i64) -> Result<Vec<ChainBreak>> {
    let known = "SELECT * FROM chain_breaks WHERE source = ? ORDER BY revision DESC LIMIT ?";
    let rows = sqlx::query(known).bind(source).bind(most).fetch_all(tx).await;
    let rows = rows.map_err(|error| ledger_error("cannot read the breaks of chains", error))?;
    rows.iter().map(one).collect()
}

/// What is known of the breaks of each source, in a transaction of the caller's.
pub(super) async fn read_breaks(tx: &mut Connection) -> Result<BTreeMap<String, BreakFigures>> {
    let newest = "SELECT b.*, n.breaks FROM chain_breaks b JOIN (SELECT source, MAX(revision) AS newest, COUNT(*) AS breaks \
         FROM chain_breaks GROUP BY source) n ON n.newest = b.revision";
    let rows = sqlx::query(newest).fetch_all(tx).await;
    let rows = rows.map_err(|error| ledger_error("cannot read the breaks of chains", error))?;
    rows.iter().map(figures).collect()
}

fn one(row: &Row) -> Result<ChainBreak> {
    Ok(ChainBreak {
        source: column(row, "source")?,
        kind: column(row, "kind")?,
        detail: column(row, "detail")?,
        parent: RecoveryPointId(column(row, "parent")?),
        lost_since: stored::time(column(row, "lost_since")?)?,
        found: stored::time(column(row, "found_at")?)?,
    })
}

fn figures(row: &Row) -> Result<(String, BreakFigures)> {
    let last = one(row)?;
    Ok((last.source.clone(), BreakFigures { count: stored::count(column(row, "breaks")?), last }))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::ledger::tests::{SetClock, open};

    #[tokio::test]
    async fn breaks_are_counted_for_ever_and_the_newest_is_known() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = open(dir.path(), &clock).await;
        let now = ledger.clock.wall();
        let at = |minutes| now + TimeDelta::minutes(minutes);
        for (source, kind, minutes) in [("shop", "purged", 0), ("shop", "behind", 5), ("other", "no_log", 1)] {
            let found = ChainBreak {
                source: source.to_owned(),
                kind: kind.to_owned(),
                detail: "why".to_owned(),
                parent: RecoveryPointId("p".to_owned()),
                lost_since: at(minutes - 60),
                found: at(minutes),
            };
            ledger.record_break(&found).await.unwrap();
        }
        let snapshot = ledger.snapshot().await.unwrap();
        let shop = &snapshot.breaks["shop"];
        assert_eq!((shop.count, shop.last.kind.as_str()), (2, "behind"));
        assert_eq!(snapshot.breaks["other"].count, 1);
        let kinds: Vec<String> = ledger.breaks("shop").await.unwrap().into_iter().map(|it| it.kind).collect();
        assert_eq!(kinds, ["purged", "behind"]);
        assert_eq!(shop.last.lost_since.timestamp_micros(), at(-55).timestamp_micros());
    }
}
