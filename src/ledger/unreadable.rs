//! Recovery points that are still in the repository and cannot be read: nobody removed them, and they have vanished only once
//! they are not there any more.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::failure::ledger_error;
use super::gone::{GONE_EARLY, GONE_UNREADABLE, Gone};
use crate::error::Result;

/// Points that are gone and have not come back, which is what these marks say of them.
const WAITING: &str = "SELECT l.id FROM point_lifetimes l WHERE l.source = ? AND l.gone_early = 3 AND l.gone_revision <= ? \
     AND NOT EXISTS (SELECT 1 FROM point_lifetimes n WHERE n.source = l.source AND n.id = l.id \
       AND n.seen_revision > l.seen_revision)";

/// How many points of other sources of the same repository are taken for files that nobody can name.
const OF_OTHERS: &str = "SELECT COUNT(*) FROM point_lifetimes l JOIN sources o ON o.name = l.source \
     WHERE l.source <> ? AND l.gone_early = 3 \
     AND o.repository = (SELECT repository FROM sources WHERE name = ?) \
     AND NOT EXISTS (SELECT 1 FROM point_lifetimes n WHERE n.source = l.source AND n.id = l.id \
       AND n.seen_revision > l.seen_revision)";

/// Of the points that are missing before their time, those whose mark has to be another one, and which. `early` is what went
/// away just now and is marked as vanished; what could not be read before is looked for too. A listing that was begun at
/// [`super::Ledger::revision`] `begun` says nothing of what others found out later.
pub(super) async fn changed_marks(
    tx: &mut SqliteConnection,
    source: &str,
    early: &[&str],
    meaning: Gone<'_>,
    begun: i64,
) -> Result<Vec<(String, i64)>> {
    // What is not looked for any more stays what it was.
    let Gone::Unless { others, unreadable, unnamed } = meaning else { return Ok(Vec::new()) };
    let waiting: Vec<String> =
        sqlx::query_scalar(WAITING).bind(source).bind(begun).fetch_all(&mut *tx).await.map_err(failed)?;
    // One damaged file is one point of one source, and excuses no other source's.
    let taken: i64 =
        sqlx::query_scalar(OF_OTHERS).bind(source).bind(source).fetch_one(&mut *tx).await.map_err(failed)?;
    let unnamed = unnamed.saturating_sub(taken.unsigned_abs());
    let is_unnamed = |id: &&str| !unreadable.contains(*id) && !others.contains(*id);
    let missing = waiting.iter().map(String::as_str).chain(early.iter().copied()).filter(is_unnamed).count() as u64;
    // Where more are missing than are there, some are gone.
    let may_be_there = |id: &str| unreadable.contains(id) || (missing <= unnamed && is_unnamed(&id));
    let found = early.iter().filter(|id| may_be_there(id)).map(|id| ((*id).to_owned(), GONE_UNREADABLE));
    let lost = waiting.iter().filter(|id| !may_be_there(id) && !others.contains(*id));
    Ok(found.chain(lost.map(|id| (id.clone(), GONE_EARLY))).collect())
}

/// Write down which points of `early`, which went away just now, are still there and cannot be read, and which of those that
/// could not be read before are gone now. How many of `early` are still there.
pub(super) async fn mark_unreadable(
    tx: &mut SqliteConnection,
    source: &str,
    early: &BTreeSet<&str>,
    meaning: Gone<'_>,
    begun: i64,
) -> Result<u64> {
    let early: Vec<&str> = early.iter().copied().collect();
    let mut unreadable = 0;
    for (id, mark) in changed_marks(tx, source, &early, meaning, begun).await? {
        unreadable += u64::from(mark == GONE_UNREADABLE);
        // One that came back and is gone again has older lifetimes with marks of their own.
        let newest = "SELECT MAX(seen_revision) FROM point_lifetimes WHERE source = ? AND id = ?";
        let newest: Option<i64> =
            sqlx::query_scalar(newest).bind(source).bind(&id).fetch_one(&mut *tx).await.map_err(failed)?;
        let mark =
            sqlx::query("UPDATE point_lifetimes SET gone_early = ? WHERE source = ? AND id = ? AND seen_revision = ?")
                .bind(mark)
                .bind(source)
                .bind(id)
                .bind(newest);
        mark.execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(unreadable)
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("record recovery points that cannot be read", error)
}
