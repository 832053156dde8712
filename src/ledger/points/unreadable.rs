//! Recovery points that are still in the repository and cannot be read: nobody removed them, and they have vanished only once
//! they are not there any more.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::gone::{Gone, GoneMark};
use crate::error::Result;
use crate::ledger::database::{Connection, ledger_error, stored};
use crate::ledger::promises::read_retention;

/// Points that are gone and have not come back, which is what these marks say of them.
const WAITING: &str = "SELECT l.id, l.as_of FROM point_lifetimes l WHERE l.source = ? AND l.gone_early = 3 AND l.gone_revision <= ? \
     AND NOT EXISTS (SELECT 1 FROM point_lifetimes n WHERE n.source = l.source AND n.id = l.id \
       AND n.seen_revision > l.seen_revision)";

/// Points of other sources of the same repository that are still there and cannot be read.
const OF_OTHERS: &str = "SELECT l.source, l.id FROM point_lifetimes l JOIN sources o ON o.name = l.source \
     WHERE l.source <> ? AND l.gone_early = 3 \
     AND o.repository = (SELECT repository FROM sources WHERE name = ?) \
     AND NOT EXISTS (SELECT 1 FROM point_lifetimes n WHERE n.source = l.source AND n.id = l.id \
       AND n.seen_revision > l.seen_revision)";

/// Of the points that are missing before their time, those whose mark has to be another one, and which. `early` is what went
/// away just now and is marked as vanished; what could not be read before is looked for too. A listing that was begun at
/// [`crate::ledger::Ledger::revision`] `begun` says nothing of what others found out later.
pub(super) async fn changed_marks(
    tx: &mut Connection,
    source: &str,
    early: &[&str],
    meaning: Gone<'_>,
    (begun, now): (i64, DateTime<Utc>),
) -> Result<Vec<(String, GoneMark)>> {
    // What is not looked for any more stays what it was.
    let Gone::Unless { others, unreadable, unnamed } = meaning else { return Ok(Vec::new()) };
    let named: BTreeSet<&str> = unreadable.iter().filter(|(of, _)| of == source).map(|(_, id)| id.as_str()).collect();
    let waiting: Vec<(String, i64)> =
        sqlx::query_as(WAITING).bind(source).bind(begun).fetch_all(&mut *tx).await.map_err(failed)?;
    // One damaged file is one point of one source, and excuses no other source's. What has a name is none of these files.
    let of_others: Vec<(String, String)> =
        sqlx::query_as(OF_OTHERS).bind(source).bind(source).fetch_all(&mut *tx).await.map_err(failed)?;
    let taken = of_others.iter().filter(|other| !unreadable.contains(*other)).count() as u64;
    let unnamed = unnamed.saturating_sub(taken);
    let is_unnamed = |id: &&str| !named.contains(*id) && !others.contains(*id);
    let ids = || waiting.iter().map(|(id, _)| id.as_str());
    let missing = ids().chain(early.iter().copied()).filter(is_unnamed).count() as u64;
    // Where more are missing than are there, some are gone.
    let may_be_there = |id: &str| named.contains(id) || (missing <= unnamed && is_unnamed(&id));
    let found = early.iter().filter(|id| may_be_there(id)).map(|id| ((*id).to_owned(), GoneMark::Unreadable));
    let lost = waiting.iter().filter(|(id, _)| !may_be_there(id) && !others.contains(id));
    // What went after the end of its retention went rightly, though it could not be read before.
    let kept_from = stored::micros(now - read_retention(tx, source).await?);
    let lost =
        lost.map(|(id, as_of)| (id.clone(), if *as_of > kept_from { GoneMark::Early } else { GoneMark::InTime }));
    Ok(found.chain(lost).collect())
}

/// Write down which points of `early`, which went away just now, are still there and cannot be read, and which of those that
/// could not be read before are gone now. How many of `early` are still there.
pub(super) async fn mark_unreadable(
    tx: &mut Connection,
    source: &str,
    early: &BTreeSet<&str>,
    meaning: Gone<'_>,
    at: (i64, DateTime<Utc>),
) -> Result<u64> {
    let early: Vec<&str> = early.iter().copied().collect();
    let mut unreadable = 0;
    for (id, mark) in changed_marks(tx, source, &early, meaning, at).await? {
        unreadable += u64::from(mark == GoneMark::Unreadable);
        // One that came back and is gone again has older lifetimes with marks of their own.
        let newest = "SELECT MAX(seen_revision) FROM point_lifetimes WHERE source = ? AND id = ?";
        let newest: Option<i64> =
            sqlx::query_scalar(newest).bind(source).bind(&id).fetch_one(&mut *tx).await.map_err(failed)?;
        let mark =
            sqlx::query("UPDATE point_lifetimes SET gone_early = ? WHERE source = ? AND id = ? AND seen_revision = ?")
                .bind(mark.stored())
                .bind(source)
                .bind(id)
                .bind(newest);
        mark.execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(unreadable)
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot record which recovery points are unreadable", error)
}
