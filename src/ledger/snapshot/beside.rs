//! Drills beside that of the newest recovery point that did not pass, and stand.

use std::collections::BTreeMap;

use super::figures::SourceFigures;
use crate::domain::drill_choice::DrillKind;
use crate::error::Result;
use crate::ledger::database::{Connection, ledger_error, stored};
use crate::ledger::runs::{Outcome, read_wrong_moments};

/// Chains that were proved wrong, while their full backup is listed and until they are proved right: newest first. What proves another
/// chain says nothing of them.
const WRONG_CHAINS: &str = "SELECT r.* FROM runs r JOIN run_details d ON d.run_id = r.id AND d.name = 'proved_chain' \
     JOIN points p ON p.source = r.source AND p.id = d.content \
     WHERE r.operation = 'drill' AND r.kind = 'closed_chain' AND r.outcome = 'failed' AND NOT EXISTS \
     (SELECT 1 FROM runs s JOIN run_details e ON e.run_id = s.id AND e.name = 'proved_chain' \
      WHERE s.operation = 'drill' AND s.kind = 'closed_chain' AND s.outcome = 'passed' AND s.source = r.source \
      AND e.content = d.content AND s.ended_revision > r.ended_revision) \
     ORDER BY r.ended_revision DESC";

/// What did not pass beside the newest recovery point stands as long as the point is there; without a point, and an inconclusive one,
/// until the next drill of its kind.
pub(super) async fn read_beside(tx: &mut Connection, sources: &mut BTreeMap<String, SourceFigures>) -> Result<()> {
    let wrong = sqlx::query(WRONG_CHAINS).fetch_all(&mut *tx).await;
    for row in wrong.map_err(|e| ledger_error("cannot read the ledger", e))? {
        let run = stored::run(&row)?;
        sources.entry(run.source.clone()).or_default().drills.stands(run);
    }
    // Likewise, until the same moment passes.
    for run in read_wrong_moments(tx).await? {
        sources.entry(run.source.clone()).or_default().drills.stands(run);
    }
    for (source, figures) in sources.iter_mut() {
        for run in figures.drills.bad_beside() {
            let Some(point) = run.recovery_point.as_ref().filter(|_| run.outcome == Some(Outcome::Failed)) else {
                figures.drills.stands(run);
                continue;
            };
            if run.drill == Some(DrillKind::Random) {
                // It is among those above, or the same has passed as a drill of another kind.
                continue;
            }
            let listed = sqlx::query_scalar("SELECT COUNT(*) FROM points WHERE source = ? AND id = ?");
            let listed: i64 = listed
                .bind(source)
                .bind(&point.0)
                .fetch_one(&mut *tx)
                .await
                .map_err(|e| ledger_error("cannot read the ledger", e))?;
            if listed > 0 {
                figures.drills.stands(run);
            }
        }
    }
    Ok(())
}
