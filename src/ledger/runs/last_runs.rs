//! What the scheduler has to know when it starts: how the last runs of each scheduled work went.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::run::{Operation, Outcome};
use crate::domain::manifest::BackupKind;
use crate::domain::schedule::Work;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Builder, Row, ledger_error};
use crate::ledger::snapshot::{VALUES_PER_QUERY, push_list};

/// The newest runs of one work on one source.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LastRuns {
    /// When the last one began.
    pub started: Option<DateTime<Utc>>,
    /// How the last one ended; none while it is running.
    pub outcome: Option<Outcome>,
    /// When the last one ended.
    pub ended: Option<DateTime<Utc>>,
    /// How many of the newest that have ended did not do what they were for, in a row.
    pub failures_in_a_row: u64,
    /// How long the last good one took.
    pub last_good_seconds: Option<f64>,
    /// Up to when what did not begin is written down.
    pub missed_until: Option<DateTime<Utc>>,
}

// Of drills only those of the newest recovery point are due at the times of a schedule.
const NEWEST: &str = "SELECT r.source AS source, r.operation AS operation, r.kind AS kind, \
     MAX(r.begun_revision) AS last_begun, \
     MAX(CASE WHEN r.outcome IN ('succeeded', 'passed') THEN r.begun_revision END) AS last_good \
     FROM runs r WHERE r.operation = 'backup' OR (r.operation = 'drill' AND r.kind = '') \
     GROUP BY r.source, r.operation, r.kind";

const FAILURES: &str = "SELECT r.source AS source, r.operation AS operation, r.kind AS kind, COUNT(*) AS failures \
     FROM runs r LEFT JOIN (SELECT g.source AS source, g.operation AS operation, g.kind AS kind, \
       MAX(g.begun_revision) AS last_good FROM runs g WHERE g.outcome IN ('succeeded', 'passed') \
       GROUP BY g.source, g.operation, g.kind) good \
     ON good.source = r.source AND good.operation = r.operation AND good.kind = r.kind \
     WHERE (r.operation = 'backup' OR (r.operation = 'drill' AND r.kind = '')) AND r.outcome IN ('failed', 'inconclusive', 'interrupted') \
       AND (good.last_good IS NULL OR r.begun_revision > good.last_good) GROUP BY r.source, r.operation, r.kind";

impl Ledger {
    /// By source and work; what never ran is missing. Reads all runs once: for the start of a service, not for a loop.
    pub async fn last_runs_by_work(&self) -> Result<BTreeMap<(String, Work), LastRuns>> {
        let mut tx = self.read().await?;
        let mut out: BTreeMap<(String, Work), LastRuns> = BTreeMap::new();
        let mut revisions = Vec::new();
        for row in sqlx::query(NEWEST).fetch_all(&mut *tx).await.map_err(failed)? {
            out.insert(key(&row)?, LastRuns::default());
            revisions.push(column::<i64>(&row, "last_begun")?);
            revisions.extend(column::<Option<i64>>(&row, "last_good")?);
        }
        for row in sqlx::query(FAILURES).fetch_all(&mut *tx).await.map_err(failed)? {
            out.entry(key(&row)?).or_default().failures_in_a_row = stored::count(column(&row, "failures")?);
        }
        let missed =
            "SELECT source, operation, kind, MAX(last_at) AS last_at FROM missed_runs GROUP BY source, operation, kind";
        for row in sqlx::query(missed).fetch_all(&mut *tx).await.map_err(failed)? {
            let until = stored::optional_time(column(&row, "last_at")?)?;
            out.entry(key(&row)?).or_default().missed_until = until;
        }
        revisions.sort_unstable();
        revisions.dedup();
        for chunk in revisions.chunks(VALUES_PER_QUERY) {
            let mut query = Builder::new("SELECT * FROM runs WHERE begun_revision IN ");
            push_list(&mut query, chunk);
            query.push(" ORDER BY begun_revision");
            // The last one of a work comes after its last good one, or is it.
            for row in query.build().fetch_all(&mut *tx).await.map_err(failed)? {
                let (run, runs) = (stored::run(&row)?, out.entry(key(&row)?).or_default());
                (runs.started, runs.outcome, runs.ended) = (Some(run.started), run.outcome, run.ended);
                if run.outcome.is_some_and(Outcome::is_good) {
                    runs.last_good_seconds = run.duration_seconds;
                }
            }
        }
        Ok(out)
    }
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot read the last runs", error)
}

fn key(row: &Row) -> Result<(String, Work)> {
    let work = match (stored::operation(column(row, "operation")?)?, stored::kind(column(row, "kind")?)?) {
        (Operation::Backup, Some(BackupKind::Incremental)) => Work::IncrementalBackup,
        (Operation::Backup, _) => Work::FullBackup,
        _ => Work::Drill,
    };
    Ok((column(row, "source")?, work))
}
