//! What was drilled before beside the newest recovery point.

use super::run::{NOT_PROVED, Outcome, PROVED_CHAIN};
use crate::domain::drill_choice::Past;
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Row, ledger_error};

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

impl Ledger {
    /// What of `source` was drilled before.
    pub async fn past_drills(&self, source: &str) -> Result<Past> {
        let mut tx = self.read().await?;
        let mut past = Past::default();
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
