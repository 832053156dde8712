//! What was drilled before beside the newest recovery point.

use super::run::{NOT_PROVED, Outcome, PROVED_CHAIN, Run};
use crate::domain::drill_choice::{DrillKind, FailedDrill, Past};
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, ledger_error};

// The last verdict on a chain is the one that counts.
const PROVED: &str = "SELECT d.content AS chain, r.outcome AS outcome, r.started_at AS started_at, n.content AS not_proved FROM runs r \
     JOIN run_details d ON d.run_id = r.id AND d.name = ? LEFT JOIN run_details n ON n.run_id = r.id AND n.name = ? \
     WHERE r.source = ? AND r.operation = 'drill' AND r.kind = 'closed_chain' AND r.outcome IN ('passed', 'failed') \
     ORDER BY r.ended_revision";
const LAST_PROOF: &str = "SELECT MAX(started_at) FROM runs \
     WHERE source = ? AND operation = 'drill' AND kind = 'closed_chain' AND outcome IN ('passed', 'failed')";
// One that failed is tried again at the next drill.
const LAST_PASSED: &str = "SELECT MAX(started_at) FROM runs \
     WHERE source = ? AND operation = 'drill' AND kind = ? AND outcome = 'passed'";

/// Drills of points that are listed, or of chains whose full backup is, that failed, where none of the same has passed since: of a closing proof
/// that failed only another one of the chain is the same, and of others what restored the same moment of the same recovery point. Of one
/// source, or of all.
const FAILED: &str = "SELECT r.*, d.content AS chain FROM runs r \
     LEFT JOIN run_details d ON d.run_id = r.id AND d.name = 'proved_chain' \
     WHERE r.operation = 'drill' AND r.outcome = 'failed' AND r.recovery_point IS NOT NULL AND (? = '' OR r.source = ?) AND EXISTS \
     (SELECT 1 FROM points p WHERE p.source = r.source AND p.id = COALESCE(d.content, r.recovery_point)) AND NOT EXISTS \
     (SELECT 1 FROM runs s LEFT JOIN run_details e ON e.run_id = s.id AND e.name = 'proved_chain' \
      WHERE s.source = r.source AND s.operation = 'drill' AND s.outcome = 'passed' AND s.ended_revision > r.ended_revision \
      AND (e.content = d.content OR d.content IS NULL AND e.content IS NULL AND s.recovery_point = r.recovery_point \
      AND COALESCE(s.recovery_point_time, 0) = COALESCE(r.recovery_point_time, 0))) \
     ORDER BY r.ended_revision DESC";

impl Ledger {
    /// Drills of `source` that failed and stand: none of the same has passed since, and what they restored is listed. The newest first.
    pub async fn failed_drills(&self, source: &str) -> Result<Vec<FailedDrill>> {
        let mut tx = self.read().await?;
        let found = read_failed_drills(&mut tx, source).await?;
        tx.commit().await.map_err(failed)?;
        Ok(found)
    }

    /// What of `source` was drilled before.
    pub async fn past_drills(&self, source: &str) -> Result<Past> {
        let mut tx = self.read().await?;
        let mut past = Past { failed: read_failed_drills(&mut tx, source).await?, ..Past::default() };
        let verdicts = sqlx::query(PROVED).bind(PROVED_CHAIN).bind(NOT_PROVED).bind(source);
        for row in verdicts.fetch_all(&mut *tx).await.map_err(failed)? {
            judged(&mut past, &row)?;
        }
        let last_proof: Option<i64> =
            sqlx::query_scalar(LAST_PROOF).bind(source).fetch_one(&mut *tx).await.map_err(failed)?;
        let mut passed = Vec::new();
        for kind in ["random", "oldest"] {
            let last: Option<i64> =
                sqlx::query_scalar(LAST_PASSED).bind(source).bind(kind).fetch_one(&mut *tx).await.map_err(failed)?;
            passed.push(stored::optional_time(last)?);
        }
        tx.commit().await.map_err(failed)?;
        Ok(Past { last_proof: stored::optional_time(last_proof)?, random: passed[0], oldest: passed[1], ..past })
    }
}

pub(in crate::ledger) async fn read_failed_drills(tx: &mut Connection, source: &str) -> Result<Vec<FailedDrill>> {
    let rows = failed_rows(tx, source).await?;
    rows.iter().filter_map(|row| failed_drill(row).transpose()).collect()
}

/// Runs of random moments that failed and stand, of all sources, the newest first.
pub(in crate::ledger) async fn read_wrong_moments(tx: &mut Connection) -> Result<Vec<Run>> {
    let rows = failed_rows(tx, "").await?;
    let runs = rows.iter().map(stored::run).collect::<Result<Vec<Run>>>()?;
    Ok(runs.into_iter().filter(|run| run.drill == Some(DrillKind::Random)).collect())
}

/// Of this source; of all where it is empty.
async fn failed_rows(tx: &mut Connection, source: &str) -> Result<Vec<Row>> {
    sqlx::query(FAILED).bind(source).bind(source).fetch_all(tx).await.map_err(failed)
}

fn failed_drill(row: &Row) -> Result<Option<FailedDrill>> {
    let run = stored::run(row)?;
    let Some((point, ended)) = run.recovery_point.zip(run.ended) else { return Ok(None) };
    let chain: Option<String> = column(row, "chain")?;
    let (kind, moment, reason) = (run.drill.unwrap_or_default(), run.recovery_point_time, run.reason);
    Ok(Some(FailedDrill { kind, point, moment, chain: chain.map(RecoveryPointId), ended, reason }))
}

fn judged(past: &mut Past, row: &Row) -> Result<()> {
    let chain = RecoveryPointId(column(row, "chain")?);
    past.proved.remove(&chain);
    past.not_whole.remove(&chain);
    past.wrong.remove(&chain);
    if stored::outcome(column(row, "outcome")?)? == Some(Outcome::Failed) {
        past.wrong.insert(chain, stored::time(column(row, "started_at")?)?);
    } else if column::<Option<String>>(row, "not_proved")?.is_some() {
        past.not_whole.insert(chain);
    } else {
        past.proved.insert(chain);
    }
    Ok(())
}

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot read earlier drills", error)
}
