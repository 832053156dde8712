//! Gaps: stretches of which no moment can be restored, between two that can be. A retention that promises any moment is held against
//! them, so it is remembered when each was there.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::domain::chain::{Gap, Window, gaps};
use crate::domain::schedule::Work;
use crate::error::Result;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, ledger_error};
use crate::ledger::evidence::{forget_gaps, seal_gaps};
use crate::ledger::runs::PointRow;

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot record gaps between recovery points", error)
}

/// Bring what is remembered of the gaps of `source` up to what `points` has now, if any moment of it was ever promised. One that is seen with the point that ends it has been
/// there since that point was published. What was gone before `forgotten` is forgotten.
pub(super) async fn note_gaps(
    tx: &mut Connection,
    source: &str,
    appeared: &[&PointRow],
    (now, revision, forgotten): (DateTime<Utc>, i64, DateTime<Utc>),
) -> Result<()> {
    let asked = sqlx::query_scalar("SELECT COUNT(*) FROM configured WHERE source = ? AND work = ?");
    let asked: i64 =
        asked.bind(source).bind(Work::IncrementalBackup.name()).fetch_one(&mut *tx).await.map_err(failed)?;
    if asked == 0 {
        return Ok(());
    }
    let there: BTreeSet<(i64, i64)> = read_current(tx, source).await?;
    let known = sqlx::query("SELECT begins, ends, seen_revision FROM gaps WHERE source = ? AND gone_at IS NULL");
    let rows = known.bind(source).fetch_all(&mut *tx).await.map_err(failed)?;
    let ends = |row: &Row| Ok(((column(row, "begins")?, column(row, "ends")?), column::<i64>(row, "seen_revision")?));
    let known: BTreeMap<(i64, i64), i64> = rows.iter().map(ends).collect::<Result<_>>()?;
    let mut changed = Vec::new();
    for (gap, seen) in known.iter().filter(|(gap, _)| !there.contains(gap)) {
        let end = "UPDATE gaps SET gone_at = ? WHERE source = ? AND begins = ? AND ends = ? AND seen_revision = ?";
        let end = sqlx::query(end).bind(stored::micros(now)).bind(source).bind(gap.0).bind(gap.1).bind(seen);
        end.execute(&mut *tx).await.map_err(failed)?;
        changed.push((gap.0, gap.1, *seen));
    }
    for gap in there.iter().filter(|gap| !known.contains_key(gap)) {
        let published =
            appeared.iter().filter(|point| stored::micros(point.as_of) == gap.1).map(|point| point.finished);
        let since = published.min().unwrap_or(now).min(now);
        let begin = "INSERT INTO gaps (source, begins, ends, seen_revision, since_at) VALUES (?, ?, ?, ?, ?)";
        let begin = sqlx::query(begin).bind(source).bind(gap.0).bind(gap.1).bind(revision).bind(stored::micros(since));
        begin.execute(&mut *tx).await.map_err(failed)?;
        changed.push((gap.0, gap.1, revision));
    }
    seal_gaps(tx, source, &changed, now).await?;
    let before = stored::micros(forgotten);
    forget_gaps(tx, source, before, now).await?;
    let forget = sqlx::query("DELETE FROM gaps WHERE source = ? AND gone_at < ?").bind(source).bind(before);
    forget.execute(tx).await.map_err(failed)?;
    Ok(())
}

/// The gaps between the points that are listed now, in microseconds.
async fn read_current(tx: &mut Connection, source: &str) -> Result<BTreeSet<(i64, i64)>> {
    let windows = "SELECT window_from, MAX(as_of) AS window_to FROM points \
         WHERE source = ? AND window_from IS NOT NULL AND suspect = 0 GROUP BY window_from ORDER BY window_from";
    let rows = sqlx::query(windows).bind(source).fetch_all(&mut *tx).await.map_err(failed)?;
    let windows: Vec<Window> = rows.iter().map(window).collect::<Result<_>>()?;
    let oldest = sqlx::query_scalar("SELECT MIN(as_of) FROM points WHERE source = ? AND suspect = 0").bind(source);
    let oldest: Option<i64> = oldest.fetch_one(tx).await.map_err(failed)?;
    let oldest = oldest.map(stored::time).transpose()?;
    let form = |gap: &Gap| (stored::micros(gap.from), stored::micros(gap.to));
    Ok(gaps(&windows, oldest).iter().map(form).collect())
}

fn window(row: &Row) -> Result<Window> {
    Ok(Window { from: stored::time(column(row, "window_from")?)?, to: stored::time(column(row, "window_to")?)? })
}
