//! Everything the exporter and `status` need, read at once: a scrape never asks the ledger itself.
//!
//! Counters are counted from the runs, so they survive restarts. "Last" means the result written last, not the one
//! with the latest time: a clock that once ran ahead must not hide what came after.

mod beside;
mod figures;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use self::beside::read_beside;
pub use self::figures::{
    BackupFigures, DrillFigures, KindFigures, LedgerSnapshot, PointFigures, RtoSummary, RunningOperation, SourceFigures,
};
use crate::domain::chain::Window;
use crate::domain::manifest::BackupKind;
use crate::domain::order::latest;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::breaks::read_breaks;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Builder, Connection, Product, Row, ledger_error};
use crate::ledger::evidence::{read_changes, read_test_pages};
use crate::ledger::promises::{open_periods, read_promised_moments};
use crate::ledger::runs::{Operation, Outcome, REPLAYED_TRANSACTIONS, Run, RunId};
use crate::ledger::upkeep::read_upkeep;

/// Days over which the RTO percentiles are taken.
pub const RTO_WINDOW_DAYS: i64 = 30;

/// Values in one `IN` list, far below every product's limit.
pub(super) const VALUES_PER_QUERY: usize = 1000;

type Sources = BTreeMap<String, SourceFigures>;

/// Drills say something about the points that are listed. One that stopped within an increment proves no point; one that failed there
/// says that it is bad.
pub(super) const VERIFIED: &str = "SELECT p.source AS source, MAX(p.as_of) AS newest FROM points p JOIN runs r ON r.ended_revision = \
       (SELECT MAX(d.ended_revision) FROM runs d WHERE d.source = p.source AND d.recovery_point = p.id \
        AND d.operation = 'drill' AND d.outcome IN ('passed', 'failed') AND (d.outcome = 'failed' \
        OR d.recovery_point_time IS NULL OR d.recovery_point_time = p.as_of)) \
     WHERE r.outcome = 'passed' AND p.suspect = 0 AND p.as_of <= ? GROUP BY p.source";
/// Runs, counted.
pub(super) const COUNTERS: &str = "SELECT source, operation, kind, outcome, COUNT(*) AS runs, MAX(started_at) AS last_start, \
     MAX(ended_revision) AS last, COUNT(CASE WHEN over_rto = 1 THEN 1 END) AS over_rto, \
     COUNT(rto_seconds) AS measured, SUM(rto_seconds) AS rto_sum, \
     MAX(CASE WHEN rto_seconds IS NOT NULL THEN ended_revision END) AS last_measured \
     FROM runs GROUP BY source, operation, kind, outcome";
/// As a floating point number, which a counter is in the end: what a sum of integers is differs from product to product.
pub(super) const ADDED_BYTES: &str =
    "SELECT source, kind, SUM(added_bytes + 0e0) AS added FROM runs WHERE operation = 'backup' GROUP BY source, kind";
/// Sources that have or had a recovery point.
pub(super) const EVER_HAD_POINTS: &str =
    "SELECT name FROM sources s WHERE EXISTS (SELECT 1 FROM point_lifetimes l WHERE l.source = s.name)";

impl Ledger {
    /// Read everything, in one consistent state.
    pub async fn snapshot(&self) -> Result<LedgerSnapshot> {
        let taken = self.clock.wall();
        let mut tx = self.read().await?;
        let failed = |e| ledger_error("cannot read the ledger", e);
        let revision =
            sqlx::query_scalar("SELECT revision FROM ledger_revision").fetch_one(&mut *tx).await.map_err(failed)?;
        let created = sqlx::query_scalar("SELECT created_at FROM ledger_origin").fetch_one(&mut *tx).await;
        let created = stored::time(created.map_err(failed)?)?;
        let mut sources = Sources::new();
        read_sources(&mut tx, &mut sources).await?;
        read_points(&mut tx, &mut sources, taken).await?;
        read_vanished(&mut tx, &mut sources).await?;
        read_verified(&mut tx, &mut sources, taken).await?;
        let last = read_counters(&mut tx, &mut sources).await?;
        read_added_bytes(&mut tx, &mut sources).await?;
        read_last_runs(&mut tx, &mut sources, &last).await?;
        read_beside(&mut tx, &mut sources).await?;
        read_closing_proofs(&mut tx, &mut sources).await?;
        read_rto_window(&mut tx, &mut sources, taken).await?;
        read_running(&mut tx, &mut sources).await?;
        read_missed(&mut tx, &mut sources).await?;
        for (source, change) in read_changes(&mut tx).await? {
            sources.entry(source).or_default().change = Some(change);
        }
        let test_pages = read_test_pages(&mut tx).await?;
        let upkeep = read_upkeep(&mut tx).await?;
        let breaks = read_breaks(&mut tx).await?;
        tx.commit().await.map_err(failed)?;
        Ok(LedgerSnapshot { taken, created, revision, test_pages, upkeep, breaks, sources })
    }
}

async fn rows(tx: &mut Connection, sql: &'static str) -> Result<Vec<Row>> {
    sqlx::query(sql).fetch_all(tx).await.map_err(|e| ledger_error("cannot read the ledger", e))
}

async fn fetch(tx: &mut Connection, mut query: Builder) -> Result<Vec<Row>> {
    query.build().fetch_all(tx).await.map_err(|e| ledger_error("cannot read the ledger", e))
}

/// `(?, ?, …)` with these values.
pub(super) fn push_list<T>(query: &mut Builder, values: &[T])
where
    T: Clone + for<'q> sqlx::Encode<'q, Product> + sqlx::Type<Product>,
{
    query.push("(");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value.clone());
    }
    query.push(")");
}

async fn read_sources(tx: &mut Connection, sources: &mut Sources) -> Result<()> {
    for row in rows(tx, "SELECT name, kind, repository, created_at, facts_revision FROM sources").await? {
        let figures = sources.entry(column(&row, "name")?).or_default();
        figures.kind = column(&row, "kind")?;
        figures.repository = column(&row, "repository")?;
        figures.created = Some(stored::time(column(&row, "created_at")?)?);
        figures.facts_revision = column(&row, "facts_revision")?;
    }
    for (configured, began, _) in open_periods(tx).await? {
        if let Some(asked) = configured.asked {
            sources.entry(configured.source).or_default().asked_since.insert(asked.work, began);
        }
    }
    for (source, times) in read_promised_moments(tx).await? {
        sources.entry(source).or_default().moments_promised = times;
    }
    Ok(())
}

async fn rows_until(tx: &mut Connection, sql: &'static str, until: DateTime<Utc>) -> Result<Vec<Row>> {
    let query = sqlx::query(sql).bind(stored::micros(until));
    query.fetch_all(tx).await.map_err(|e| ledger_error("cannot read the ledger", e))
}

async fn read_points(tx: &mut Connection, sources: &mut Sources, taken: DateTime<Utc>) -> Result<()> {
    let until = latest(taken);
    let suspect = "SELECT source, COUNT(*) AS suspect, MAX(as_of) AS newest FROM points \
         WHERE suspect = 1 OR as_of > ? GROUP BY source";
    for row in rows_until(tx, suspect, until).await? {
        let points = &mut sources.entry(column(&row, "source")?).or_default().points;
        points.suspect = stored::count(column(&row, "suspect")?);
        points.newest_suspect = Some(stored::time(column(&row, "newest")?)?);
    }
    let canaries = "SELECT source, MAX(canary_at) AS newest FROM points WHERE canary_at IS NOT NULL AND suspect = 0 AND as_of <= ? \
         AND (kind = 'full' OR window_from IS NOT NULL) GROUP BY source";
    for row in rows_until(tx, canaries, until).await? {
        let points = &mut sources.entry(column(&row, "source")?).or_default().points;
        points.canary = stored::optional_time(column(&row, "newest")?)?;
    }
    // An increment that no restore can replay, because its full backup is gone or what is between them, is as good as none.
    let by_kind = "SELECT source, kind, COUNT(*) AS listed, MIN(sound) AS oldest, MIN(finished) AS finished, MAX(sound) AS newest, \
         MAX(CASE WHEN sound IS NOT NULL THEN finished END) AS last_finished \
         FROM (SELECT source, kind, finished, CASE WHEN suspect = 0 AND as_of <= ? \
         AND (kind = 'full' OR window_from IS NOT NULL) THEN as_of END AS sound FROM points) p \
         GROUP BY source, kind";
    for row in rows_until(tx, by_kind, until).await? {
        let points = &mut sources.entry(column(&row, "source")?).or_default().points;
        if let Some(kind) = stored::kind(column(&row, "kind")?)? {
            points.by_kind.insert(kind, stored::count(column(&row, "listed")?));
            if let Some(newest) = stored::optional_time(column(&row, "newest")?)? {
                points.newest_of.insert(kind, newest);
            }
            if kind == BackupKind::Full {
                points.newest_full_finished = stored::optional_time(column(&row, "last_finished")?)?;
            }
        }
        let oldest = stored::optional_time(column(&row, "oldest")?)?;
        points.oldest = points.oldest.into_iter().chain(oldest).min();
        let finished = stored::time(column(&row, "finished")?)?;
        points.first_finished = Some(points.first_finished.map_or(finished, |known| known.min(finished)));
        points.newest = points.newest.max(stored::optional_time(column(&row, "newest")?)?);
    }
    let windows = "SELECT source, window_from, MAX(as_of) AS window_to FROM points \
         WHERE window_from IS NOT NULL AND suspect = 0 AND as_of <= ? GROUP BY source, window_from ORDER BY source, window_from";
    for row in rows_until(tx, windows, until).await? {
        let points = &mut sources.entry(column(&row, "source")?).or_default().points;
        let (from, to) = (stored::time(column(&row, "window_from")?)?, stored::time(column(&row, "window_to")?)?);
        points.windows.push(Window { from, to });
    }
    for row in rows(tx, EVER_HAD_POINTS).await? {
        sources.entry(column(&row, "name")?).or_default().points.ever = true;
    }
    let newest = "SELECT p.source AS source, p.chain_length AS chain_length, \
         p.left_out_tables AS left_out_tables, p.left_out_views AS left_out_views, \
         p.left_out_others AS left_out_others FROM points p \
         JOIN (SELECT source, MAX(as_of) AS newest FROM points WHERE suspect = 0 AND as_of <= ? \
         AND (kind = 'full' OR window_from IS NOT NULL) GROUP BY source) n \
         ON n.source = p.source AND n.newest = p.as_of AND p.suspect = 0";
    for row in rows_until(tx, newest, until).await? {
        let points = &mut sources.entry(column(&row, "source")?).or_default().points;
        // Of two points with one time, the one that is worse to restore.
        points.chain_length = points.chain_length.max(stored::chain_length(column(&row, "chain_length")?));
        points.left_out = points.left_out.max(stored::left_out(&row)?);
    }
    Ok(())
}

/// One point may have gone and come back several times.
async fn read_vanished(tx: &mut Connection, sources: &mut Sources) -> Result<()> {
    let vanished = "SELECT l.source AS source, l.id AS id, MAX(l.as_of) AS as_of FROM point_lifetimes l \
         WHERE l.gone_early = 1 AND NOT EXISTS \
         (SELECT 1 FROM point_lifetimes n WHERE n.source = l.source AND n.id = l.id AND n.seen_revision > l.seen_revision) \
         GROUP BY l.source, l.id";
    for row in rows(tx, vanished).await? {
        let points = &mut sources.entry(column(&row, "source")?).or_default().points;
        points.vanished.push(stored::time(column(&row, "as_of")?)?);
    }
    Ok(())
}

async fn read_verified(tx: &mut Connection, sources: &mut Sources, taken: DateTime<Utc>) -> Result<()> {
    for row in rows_until(tx, VERIFIED, latest(taken)).await? {
        let newest = stored::time(column(&row, "newest")?)?;
        sources.entry(column(&row, "source")?).or_default().points.newest_verified = Some(newest);
    }
    Ok(())
}

/// Count runs, in one pass over one index; returns the revisions of the results that are the last of their sort.
async fn read_counters(tx: &mut Connection, sources: &mut Sources) -> Result<BTreeSet<i64>> {
    let mut last = BTreeSet::new();
    for row in rows(tx, COUNTERS).await? {
        let figures = sources.entry(column(&row, "source")?).or_default();
        let outcome = stored::outcome(column(&row, "outcome")?)?;
        let runs = stored::count(column(&row, "runs")?);
        match stored::operation(column(&row, "operation")?)? {
            Operation::Backup => {
                let kind = stored::kind(column(&row, "kind")?)?.unwrap_or(BackupKind::Full);
                let backups = figures.backups.entry(kind).or_default();
                backups.attempts += runs;
                if outcome.is_some_and(|outcome| !outcome.is_good()) {
                    backups.failures += runs;
                }
                backups.last_start = backups.last_start.max(stored::optional_time(column(&row, "last_start")?)?);
                last.extend(column::<Option<i64>>(&row, "last")?);
            }
            Operation::Drill => {
                let drills = &mut figures.drills;
                drills.attempts += runs;
                drills.over_rto += stored::count(column(&row, "over_rto")?);
                match outcome {
                    Some(Outcome::Failed) => drills.failures += runs,
                    Some(Outcome::Passed) => {
                        drills.rto.sum += column::<Option<f64>>(&row, "rto_sum")?.unwrap_or(0.0);
                        drills.rto.count += stored::count(column(&row, "measured")?);
                    }
                    _ => {}
                }
                last.extend(column::<Option<i64>>(&row, "last")?);
                last.extend(column::<Option<i64>>(&row, "last_measured")?);
            }
            Operation::Restore | Operation::Verify => {}
        }
    }
    Ok(last)
}

async fn read_added_bytes(tx: &mut Connection, sources: &mut Sources) -> Result<()> {
    for row in rows(tx, ADDED_BYTES).await? {
        let kind = stored::kind(column(&row, "kind")?)?.unwrap_or(BackupKind::Full);
        let backups = sources.entry(column(&row, "source")?).or_default().backups.entry(kind).or_default();
        backups.added_bytes += column::<f64>(&row, "added")?;
    }
    Ok(())
}

/// Read those runs. What is "last" in any sense is among them: in the order in which their results were written, a later
/// one replaces an earlier one.
async fn read_last_runs(tx: &mut Connection, sources: &mut Sources, revisions: &BTreeSet<i64>) -> Result<()> {
    let revisions: Vec<i64> = revisions.iter().copied().collect();
    for chunk in revisions.chunks(VALUES_PER_QUERY) {
        let mut query = Builder::new("SELECT * FROM runs WHERE ended_revision IN ");
        push_list(&mut query, chunk);
        query.push(" ORDER BY ended_revision");
        for row in fetch(tx, query).await? {
            let run = stored::run(&row)?;
            sources.entry(run.source.clone()).or_default().remember(run);
        }
    }
    let measured: BTreeMap<String, String> = sources
        .iter()
        .filter_map(|(source, figures)| Some((figures.drills.last_measured.as_ref()?.id.0.clone(), source.clone())))
        .collect();
    let ids: Vec<String> = measured.keys().cloned().collect();
    for chunk in ids.chunks(VALUES_PER_QUERY) {
        let mut query = Builder::new("SELECT run_id, name, seconds FROM run_stages WHERE run_id IN ");
        push_list(&mut query, chunk);
        query.push(" ORDER BY run_id, position");
        for row in fetch(tx, query).await? {
            let source = &measured[column::<&str>(&row, "run_id")?];
            let drills = &mut sources.entry(source.clone()).or_default().drills;
            drills.stages.push((column(&row, "name")?, column(&row, "seconds")?));
        }
    }
    Ok(())
}

/// The newest full backup of a source that proved the chain before it whole.
pub(super) const CLOSING_PROOF: &str = "SELECT r.recovery_point_time FROM runs r \
     WHERE r.operation = 'drill' AND r.kind = 'closed_chain' AND r.outcome = 'passed' AND r.source = ? \
     AND r.recovery_point_time IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM run_details d WHERE d.run_id = r.id AND d.name = 'not_proved') \
     ORDER BY r.recovery_point_time DESC LIMIT 1";

async fn read_closing_proofs(tx: &mut Connection, sources: &mut Sources) -> Result<()> {
    for (source, figures) in sources.iter_mut() {
        let proved = sqlx::query_scalar(CLOSING_PROOF).bind(source).fetch_optional(&mut *tx).await;
        let proved: Option<i64> = proved.map_err(|e| ledger_error("cannot read the ledger", e))?;
        figures.drills.closing_proof = stored::optional_time(proved)?;
    }
    let measured: Vec<(String, String)> = sources
        .iter()
        .filter_map(|(source, it)| Some((source.clone(), it.drills.last_measured.as_ref()?.id.0.clone())))
        .collect();
    for (source, run) in measured {
        let replayed = sqlx::query_scalar("SELECT content FROM run_details WHERE run_id = ? AND name = ?");
        let replayed: Option<String> = replayed
            .bind(run)
            .bind(REPLAYED_TRANSACTIONS)
            .fetch_optional(&mut *tx)
            .await
            .map_err(|e| ledger_error("cannot read the ledger", e))?;
        let replayed = replayed.and_then(|count| count.parse().ok()).unwrap_or(0);
        sources.entry(source).or_default().drills.replayed_transactions = replayed;
    }
    Ok(())
}

impl SourceFigures {
    /// Take note of a run that ended after all that were remembered before.
    fn remember(&mut self, run: Run) {
        match run.operation {
            Operation::Backup => {
                if run.outcome == Some(Outcome::Succeeded) {
                    let kind = run.kind.unwrap_or(BackupKind::Full);
                    self.backups.entry(kind).or_default().last_success = Some(run.clone());
                }
                self.last_backup = Some(run);
            }
            Operation::Drill => self.drills.remember(run),
            Operation::Restore | Operation::Verify => {}
        }
    }
}

async fn read_rto_window(tx: &mut Connection, sources: &mut Sources, now: DateTime<Utc>) -> Result<()> {
    let window: Vec<(String, f64)> = sqlx::query_as(
        "SELECT source, rto_seconds FROM runs WHERE operation = 'drill' AND outcome = 'passed' AND ended_at > ? \
         AND rto_seconds IS NOT NULL",
    )
    .bind(stored::micros(now - TimeDelta::days(RTO_WINDOW_DAYS)))
    .fetch_all(tx)
    .await
    .map_err(|e| ledger_error("cannot read the ledger", e))?;
    let mut by_source: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (source, seconds) in window {
        by_source.entry(source).or_default().push(seconds);
    }
    for (source, seconds) in by_source {
        sources.entry(source).or_default().drills.rto.set_window(seconds);
    }
    Ok(())
}

async fn read_running(tx: &mut Connection, sources: &mut Sources) -> Result<()> {
    let running =
        "SELECT id, source, operation, kind, started_at FROM runs WHERE outcome = 'running' ORDER BY begun_revision";
    for row in rows(tx, running).await? {
        sources.entry(column(&row, "source")?).or_default().running.push(RunningOperation {
            run: RunId(column(&row, "id")?),
            operation: stored::operation(column(&row, "operation")?)?,
            kind: stored::kind(column(&row, "kind")?)?,
            started: stored::time(column(&row, "started_at")?)?,
        });
    }
    Ok(())
}

async fn read_missed(tx: &mut Connection, sources: &mut Sources) -> Result<()> {
    // Rows and not a sum: what a sum is made of differs from product to product.
    for row in rows(tx, "SELECT source, operation, missed FROM missed_runs").await? {
        let figures = sources.entry(column(&row, "source")?).or_default();
        let missed = figures.missed.entry(stored::operation(column(&row, "operation")?)?).or_default();
        *missed += stored::count(column(&row, "missed")?);
    }
    Ok(())
}
