//! What a forecast of the recovery time is made from, read for one source at a time.

use std::collections::BTreeMap;

use crate::domain::drill::Stage;
use crate::domain::forecast::{HISTORY, PassedDrill, Size};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Row, ledger_error};

/// What is known of a source for a forecast.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ForecastBasis {
    /// Size of the newest recovery point that the repository lists; of several with one time, of the one that is worse to
    /// restore. None if there is none.
    pub newest: Option<Size>,
    /// The newest passed drills that measured a recovery time, [`HISTORY`] at most, in the order of their results.
    pub drills: Vec<PassedDrill>,
}

// One operation at a time on a source: drills end in the order in which they began. Time of a stage that this program does
// not know counts as time between the stages.
const DRILLS: &str = "SELECT d.ended_at AS ended_at, d.rto_seconds AS rto_seconds, d.logical_bytes AS logical_bytes, \
       d.chain_length AS chain_length, \
       SUM(CASE WHEN s.name = 'select' THEN s.seconds END) AS select_seconds, \
       SUM(CASE WHEN s.name = 'provision' THEN s.seconds END) AS provision_seconds, \
       SUM(CASE WHEN s.name = 'load' THEN s.seconds END) AS load_seconds, \
       SUM(CASE WHEN s.name = 'replay' THEN s.seconds END) AS replay_seconds, \
       SUM(CASE WHEN s.name = 'start' THEN s.seconds END) AS start_seconds, \
       SUM(CASE WHEN s.name = 'verify' THEN s.seconds END) AS verify_seconds, \
       (SELECT b.content FROM run_details b WHERE b.run_id = d.id AND b.name = 'replayed_bytes') AS replayed_bytes \
     FROM (SELECT id, begun_revision, ended_at, rto_seconds, logical_bytes, chain_length FROM runs \
       WHERE source = ? AND operation = 'drill' AND outcome = 'passed' AND rto_seconds IS NOT NULL \
       AND ended_at IS NOT NULL ORDER BY begun_revision DESC LIMIT ?) d \
     LEFT JOIN run_stages s ON s.run_id = d.id \
     GROUP BY d.id, d.begun_revision, d.ended_at, d.rto_seconds, d.logical_bytes, d.chain_length ORDER BY d.begun_revision";
const NEWEST: &str = "SELECT logical_bytes, chain_length, line_bytes, replay_bytes FROM points WHERE source = ? \
     AND suspect = 0 ORDER BY as_of DESC, chain_length DESC, logical_bytes DESC LIMIT 1";

impl Ledger {
    /// What a forecast of the recovery time of `source` is made from.
    pub async fn forecast_basis(&self, source: &str) -> Result<ForecastBasis> {
        let mut tx = self.read().await?;
        let newest = sqlx::query(NEWEST).bind(source).fetch_optional(&mut *tx).await.map_err(failed)?;
        let drills = sqlx::query(DRILLS)
            .bind(source)
            .bind(i64::try_from(HISTORY).unwrap_or(i64::MAX))
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
        let newest = newest.as_ref().map(newest_size).transpose()?;
        tx.commit().await.map_err(failed)?;
        let drills = drills.iter().map(drill).collect::<Result<_>>()?;
        Ok(ForecastBasis { newest, drills })
    }
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot read drills for a forecast", error)
}

fn drill(row: &Row) -> Result<PassedDrill> {
    let mut stages = BTreeMap::new();
    for stage in Stage::ALL {
        let seconds: Option<f64> = column(row, &format!("{stage}_seconds"))?;
        stages.extend(seconds.map(|seconds| (stage, seconds)));
    }
    let replayed: Option<String> = column(row, "replayed_bytes")?;
    Ok(PassedDrill {
        ended: stored::time(column(row, "ended_at")?)?,
        size: Size { replay_bytes: replayed.and_then(|it| it.parse().ok()).unwrap_or(0), ..size(row)? },
        rto_seconds: column(row, "rto_seconds")?,
        stages,
    })
}

fn size(row: &Row) -> Result<Size> {
    Ok(Size {
        logical_bytes: stored::count(column(row, "logical_bytes")?),
        chain_length: stored::chain_length(column(row, "chain_length")?),
        replay_bytes: 0,
    })
}

/// What a restore of the newest point works through: of an increment also everything that it goes back to.
fn newest_size(row: &Row) -> Result<Size> {
    let own = size(row)?;
    Ok(stored::line_bytes(row)?.map_or(own, |line| {
        let replay_bytes = if own.chain_length > 0 { line.replayed } else { 0 };
        Size { logical_bytes: line.all, replay_bytes, ..own }
    }))
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::*;
    use crate::clock::SystemClock;
    use crate::domain::manifest::BackupKind;
    use crate::ledger::tests::{SetClock, drill, open, passed, point, ran};
    use crate::ledger::{LineBytes, PointRow, REPLAYED_BYTES, RunResult};

    #[tokio::test]
    async fn an_increment_is_as_large_as_what_its_restore_works_through_and_drills_say_what_they_replayed() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = open(dir.path(), &clock).await;
        let full = |id: &str, ago, logical_bytes| PointRow { logical_bytes, ..point(id, &clock, ago) };
        let increment = |id: &str, ago, (chain_length, all, replayed)| {
            let (kind, line) = (BackupKind::Incremental, Some(LineBytes { all, replayed }));
            PointRow { kind, chain_length, line, ..point(id, &clock, ago) }
        };
        let listed = [full("f1", 300, 1000), increment("i1", 200, (1, 1010, 10)), full("f2", 100, 2000)];
        let newest = async |more: &[PointRow]| {
            ledger.reconcile_points("agama", &[&listed[..], more].concat()).await.unwrap();
            let size = ledger.forecast_basis("agama").await.unwrap().newest.unwrap();
            (size.logical_bytes, size.chain_length, size.replay_bytes)
        };
        assert_eq!(newest(&[]).await, (2000, 0, 0));
        let (first, second) = (increment("j1", 50, (1, 2020, 20)), increment("j2", 10, (2, 2050, 50)));
        assert_eq!(newest(&[first.clone(), second.clone()]).await, (2050, 2, 50));
        let unrestorable = PointRow { line: None, ..second };
        assert_eq!(newest(&[first, unrestorable]).await, (1000, 2, 0), "nothing is known of what it would take");
        let replayed = RunResult {
            details: [(REPLAYED_BYTES.to_owned(), "50".to_owned())].into(),
            logical_bytes: 2050,
            chain_length: 2,
            ..passed("j2", 5.0)
        };
        ran(&ledger, drill("agama"), replayed).await;
        ran(&ledger, drill("agama"), passed("f2", 4.0)).await;
        let drills = ledger.forecast_basis("agama").await.unwrap().drills;
        let bytes: Vec<u64> = drills.iter().map(|drill| drill.size.replay_bytes).collect();
        assert_eq!(bytes, [50, 0]);
    }

    #[tokio::test]
    async fn drills_are_read_along_an_index_newest_first_and_no_further_than_needed() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path(), SystemClock::shared()).await.unwrap();
        // What is sorted after that are the drills that were found, and points of one time.
        for (statement, index) in
            [(DRILLS, "runs_by_begin (source=? AND operation=?)"), (NEWEST, "points_as_of (source=?)")]
        {
            let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let plan = sqlx::query(explained).fetch_all(&ledger.pool).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get::<String, _>("detail")).collect();
            assert!(plan.iter().any(|step| step.ends_with(index)), "{statement}: {plan:?}");
            assert!(!plan.iter().any(|step| step.starts_with("SCAN ") && step != "SCAN d"), "{statement}: {plan:?}");
        }
    }
}
