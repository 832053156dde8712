//! Evidence: every record of the ledger that a report speaks of is sealed when it is written, and each seal binds the
//! one before it. Whoever changes, removes or inserts a record of the past leaves a chain that does not fit the records
//! any more; whoever makes the whole chain anew leaves one that does not contain the seals that signed reports name.
//!
//! A record has a part that never changes, of which the digest is kept, and a state: a run is running and then has a result,
//! a recovery point is there and then gone. A change of state is sealed again, and [`transition`] says which changes there can
//! be: one that cannot is found for ever, whoever sealed it. This module knows nothing of reports.

mod chain;
mod later;
mod print;
mod records;
mod state;
mod transition;
mod verify;
mod watch;

use chrono::{DateTime, Utc};

use self::chain::{FORGOTTEN, append, failed, head};
use crate::error::Result;
use crate::ledger::database::Connection;
use crate::ledger::{Ledger, RunId};

pub use self::chain::ChainHead;
pub(in crate::ledger) use self::chain::Subject;
pub(in crate::ledger) use later::{Sealable, seal_repository, sealed_repository};
pub use verify::{SealFault, Sealed};
pub use watch::SealWatch;

/// Seal runs that begin or have ended.
pub(in crate::ledger) async fn seal_runs(tx: &mut Connection, runs: &[RunId], now: DateTime<Utc>) -> Result<()> {
    let entries = records::runs(tx, runs).await?;
    append(tx, &entries, now).await
}

/// Seal a source.
pub(in crate::ledger) async fn seal_source(tx: &mut Connection, source: &str, now: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("SELECT * FROM sources WHERE name = ?").bind(source);
    let entries = records::fetch(tx, Subject::Source, query).await?;
    append(tx, &entries, now).await
}

/// Seal from when until when `source`, or a work of it, was configured: the period that began with `revision`.
pub(in crate::ledger) async fn seal_configured(
    tx: &mut Connection,
    source: &str,
    revision: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let query = sqlx::query("SELECT * FROM configured WHERE source = ? AND revision = ?").bind(source).bind(revision);
    let entries = records::fetch(tx, Subject::Configured, query).await?;
    append(tx, &entries, now).await
}

/// Seal the objectives that came into force for `source` with `revision`.
pub(in crate::ledger) async fn seal_promise(
    tx: &mut Connection,
    source: &str,
    revision: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let query = sqlx::query("SELECT * FROM promises WHERE source = ? AND revision = ?").bind(source).bind(revision);
    let entries = records::fetch(tx, Subject::Promise, query).await?;
    append(tx, &entries, now).await
}

/// Seal missed runs of `source`: those of this operation and kind whose first one was due at `first`.
pub(in crate::ledger) async fn seal_missed(
    tx: &mut Connection,
    source: &str,
    (operation, kind, first): (&str, &str, i64),
    now: DateTime<Utc>,
) -> Result<()> {
    let known = "SELECT * FROM missed_runs WHERE source = ? AND operation = ? AND kind = ? AND first_at = ?";
    let query = sqlx::query(known).bind(source).bind(operation).bind(kind).bind(first);
    let entries = records::fetch(tx, Subject::Missed, query).await?;
    append(tx, &entries, now).await
}

/// Seal the recovery points of `source` that appeared or went away with `revision`.
pub(in crate::ledger) async fn seal_points(
    tx: &mut Connection,
    source: &str,
    revision: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let changed = "SELECT * FROM point_lifetimes WHERE source = ? AND seen_revision = ? \
         UNION ALL SELECT * FROM point_lifetimes WHERE source = ? AND gone_revision = ? AND seen_revision <> ?";
    let query = sqlx::query(changed).bind(source).bind(revision).bind(source).bind(revision).bind(revision);
    let entries = records::fetch(tx, Subject::Point, query).await?;
    append(tx, &entries, now).await
}

/// Seal a test page.
pub(in crate::ledger) async fn seal_test_page(tx: &mut Connection, revision: i64, now: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("SELECT * FROM test_pages WHERE revision = ?").bind(revision);
    let entries = records::fetch(tx, Subject::TestPage, query).await?;
    append(tx, &entries, now).await
}

/// Seal what was found in backups of `source`, or that it was accepted.
pub(in crate::ledger) async fn seal_changes(
    tx: &mut Connection,
    source: &str,
    points: &[&str],
    now: DateTime<Utc>,
) -> Result<()> {
    let mut entries = Vec::new();
    for point in points {
        let query =
            sqlx::query("SELECT * FROM changes WHERE source = ? AND recovery_point = ?").bind(source).bind(*point);
        entries.extend(records::fetch(tx, Subject::Change, query).await?);
    }
    append(tx, &entries, now).await
}

/// Note that recovery points of `source` that went away before `before` are about to be forgotten.
pub(in crate::ledger) async fn forget_points(
    tx: &mut Connection,
    source: &str,
    before: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let old = "SELECT * FROM point_lifetimes WHERE source = ? AND gone_at < ?";
    let mut entries = records::fetch(tx, Subject::Point, sqlx::query(old).bind(source).bind(before)).await?;
    for entry in &mut entries {
        FORGOTTEN.clone_into(&mut entry.state);
    }
    append(tx, &entries, now).await
}

/// Seal the break of a chain that was recorded with `revision`.
pub(in crate::ledger) async fn seal_break(tx: &mut Connection, revision: i64, now: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("SELECT * FROM chain_breaks WHERE revision = ?").bind(revision);
    let entries = records::fetch(tx, Subject::Break, query).await?;
    append(tx, &entries, now).await
}

/// Seal gaps of `source` that opened or closed: begin, end, and the revision at which each was first seen.
pub(in crate::ledger) async fn seal_gaps(
    tx: &mut Connection,
    source: &str,
    gaps: &[(i64, i64, i64)],
    now: DateTime<Utc>,
) -> Result<()> {
    let mut entries = Vec::new();
    for (begins, ends, seen) in gaps {
        let known = "SELECT * FROM gaps WHERE source = ? AND begins = ? AND ends = ? AND seen_revision = ?";
        let query = sqlx::query(known).bind(source).bind(begins).bind(ends).bind(seen);
        entries.extend(records::fetch(tx, Subject::Gap, query).await?);
    }
    append(tx, &entries, now).await
}

/// Note that gaps of `source` that went away before `before` are about to be forgotten.
pub(in crate::ledger) async fn forget_gaps(
    tx: &mut Connection,
    source: &str,
    before: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let old = sqlx::query("SELECT * FROM gaps WHERE source = ? AND gone_at < ?").bind(source).bind(before);
    let mut entries = records::fetch(tx, Subject::Gap, old).await?;
    for entry in &mut entries {
        FORGOTTEN.clone_into(&mut entry.state);
    }
    append(tx, &entries, now).await
}

impl Ledger {
    /// Seal what an older version of this program wrote, once. A ledger that was sealed before is not sealed again: what is
    /// missing there was removed.
    pub(in crate::ledger) async fn seal_what_is_there(&self) -> Result<()> {
        const DONE: &str = "SELECT COUNT(*) FROM seal_origin";
        let done: i64 = sqlx::query_scalar(DONE).fetch_one(&self.pool).await.map_err(failed)?;
        if done > 0 {
            return self.seal_later_kinds().await;
        }
        let mut tx = self.write().await?;
        let done: i64 = sqlx::query_scalar(DONE).fetch_one(&mut *tx).await.map_err(failed)?;
        if done > 0 {
            drop(tx);
            return self.seal_later_kinds().await;
        }
        let now = self.clock.wall();
        for subject in Subject::ALL.into_iter().filter(|it| !Subject::LATER.contains(it)) {
            let mut pages = records::Pages::of(subject);
            loop {
                let entries = pages.next(&mut tx).await?;
                if entries.is_empty() {
                    break;
                }
                append(&mut tx, &entries, now).await?;
            }
        }
        let (adopted, _) = head(&mut tx).await?;
        let note = sqlx::query("INSERT INTO seal_origin (adopted) VALUES (?)").bind(adopted);
        note.execute(&mut *tx).await.map_err(failed)?;
        later::adopt(&mut tx, now).await?;
        tx.commit().await.map_err(failed)
    }
}
