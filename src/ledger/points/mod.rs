//! Recovery points: what the repository lists now, and from when until when each one that it ever listed was there.
//!
//! A point counts as available from the time at which its manifest says that it was published, not from when it was
//! first seen: it could have been restored although nobody looked, and that is what is promised. The manifest is signed
//! into the repository, so after the loss of a ledger the lifetimes of all points that are left are known again. Only
//! where we saw it before its own time (its writer's clock is ahead) or where it had been gone in between does the time
//! count at which it was seen. When a point went away is only known to have been before the listing that missed it, and
//! the listing is what counts: between the two nothing else said that it could not be restored.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use self::gaps::note_gaps;
use self::suspects::mark_in;
use self::unreadable::{changed_marks, mark_unreadable};
use crate::domain::order::is_to_come;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, ROWS_PER_INSERT, column};
use crate::ledger::database::{Builder, Connection, ledger_error};
use crate::ledger::evidence::{Sealable, forget_points, seal_points, seal_source};
use crate::ledger::promises::read_retention;
use crate::ledger::runs::{LineBytes, PointRow, next_revision};

mod gaps;
mod gone;
mod identities;
mod suspects;
mod unreadable;
mod vanished;

pub use gone::Gone;
pub(in crate::ledger) use gone::GoneMark;
pub use identities::Adopted;
pub use vanished::VanishedPoint;

/// Days for which points that are gone are remembered: a year and a month, for reports.
pub const GONE_POINTS_DAYS: i64 = 400;

impl Gone<'_> {
    fn is_elsewhere(self, id: &str) -> bool {
        matches!(self, Self::Unless { others, .. } if others.contains(id))
    }

    fn is_vanished(self, id: &str) -> bool {
        match self {
            Self::OnPurpose => false,
            Self::Unless { others, .. } => !others.contains(id),
        }
    }
}

/// What a listing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Points that were not known before.
    pub appeared: u64,
    /// Points that are gone.
    pub gone: u64,
    /// Of those, the ones that count as something else's now, or need not be remembered.
    pub elsewhere: u64,
    /// Of those, the ones that should have been kept longer.
    pub gone_early: u64,
    /// Of those, the ones that are still there and cannot be read.
    pub unreadable: u64,
    /// Of those that appeared, the ones that were published before this ledger began: there was another one.
    pub older_than_ledger: u64,
}

/// A remembered point of one source that is there, or that went away while the listing was made.
struct Known {
    gone_revision: Option<i64>,
    seen_revision: i64,
}

impl Ledger {
    /// Replace the remembered recovery points of a source by what the repository lists now. The drills that were run on
    /// a point that vanished stay, and so does its lifetime.
    pub async fn reconcile_points(&self, source: &str, points: &[PointRow]) -> Result<Reconciled> {
        let now = self.revision().await?;
        self.reconcile_listing(source, points, now).await
    }

    /// The same with a listing that was begun at [`Ledger::revision`] `begun`. What others found out in the meantime is
    /// newer than this listing and stays.
    pub async fn reconcile_listing(&self, source: &str, points: &[PointRow], begun: i64) -> Result<Reconciled> {
        let (none, unreadable) = (BTreeSet::new(), BTreeSet::new());
        let meaning = Gone::Unless { others: &none, unreadable: &unreadable, unnamed: 0, configured: &none };
        self.reconcile(source, points, begun, meaning).await
    }

    /// The same, and what it means that a point is not listed any more.
    pub async fn reconcile(
        &self,
        source: &str,
        points: &[PointRow],
        begun: i64,
        meaning: Gone<'_>,
    ) -> Result<Reconciled> {
        let listed: BTreeMap<&str, &PointRow> = points.iter().map(|point| (point.id.0.as_str(), point)).collect();
        let remembered = self.points(source).await?;
        let same =
            |point: &PointRow| listed.get(point.id.0.as_str()).is_some_and(|it| stored_form(it) == stored_form(point));
        let is_settled =
            changed_marks(&mut *self.read().await?, source, &[], meaning, (begun, self.clock.wall())).await?.is_empty();
        if is_settled && remembered.len() == listed.len() && remembered.iter().all(same) {
            self.mark_suspects(source).await?;
            return Ok(Reconciled::default());
        }
        let mut tx = self.write().await?;
        let done = reconcile_in(&mut tx, (source, listed), begun, meaning, self.clock.wall()).await?;
        tx.commit().await.map_err(failed)?;
        Ok(done)
    }
}

/// The same in a transaction of the caller's.
pub(in crate::ledger) async fn reconcile_in(
    tx: &mut Connection,
    (source, mut listed): (&str, BTreeMap<&str, &PointRow>),
    begun: i64,
    meaning: Gone<'_>,
    now: DateTime<Utc>,
) -> Result<Reconciled> {
    let sealable = Sealable::of(tx, source).await?;
    let revision = next_revision(tx).await?;
    let remembered = read_points(tx, source).await?;
    let known = read_lifetimes(tx, source, begun).await?;
    listed.retain(|id, _| known.get(*id).is_none_or(|known| known.gone_revision.is_none()));
    for point in &remembered {
        let id = point.id.0.as_str();
        if known.get(id).is_some_and(|known| known.seen_revision > begun && known.gone_revision.is_none()) {
            listed.entry(id).or_insert(point);
        }
    }
    let before: BTreeSet<&str> = remembered.iter().map(|point| point.id.0.as_str()).collect();
    let gone: Vec<&str> = before.iter().copied().filter(|id| !listed.contains_key(id)).collect();
    let appeared: Vec<&PointRow> = listed.values().copied().filter(|it| !before.contains(it.id.0.as_str())).collect();
    let early = gone_early(tx, source, (&remembered, &gone), meaning, now).await?;
    end_lifetimes(tx, source, (&gone, &early), (now, revision)).await?;
    begin_lifetimes(tx, source, &appeared, (now, revision)).await?;
    let unreadable = mark_unreadable(tx, source, &early, meaning, (begun, now)).await?;
    let listed: Vec<&PointRow> = listed.into_values().collect();
    replace_points(tx, source, &listed).await?;
    note_unrestorable(tx, source, now).await?;
    mark_in(tx, source, now).await?;
    note_gaps(tx, source, &appeared, (now, revision, now - TimeDelta::days(GONE_POINTS_DAYS))).await?;
    seal_points(tx, source, revision, now).await?;
    sealable.seal_changes(tx, source, now).await?;
    note_facts(tx, source, &listed, (now, revision)).await?;
    let older = older_than_ledger(tx, &appeared).await?;
    Ok(Reconciled {
        appeared: appeared.len() as u64,
        gone: gone.len() as u64,
        elsewhere: gone.iter().filter(|id| meaning.is_elsewhere(id)).count() as u64,
        gone_early: (early.len() as u64).saturating_sub(unreadable),
        unreadable,
        older_than_ledger: older,
    })
}

/// Of the points that are `gone` those that should have been kept longer.
async fn gone_early<'p>(
    tx: &mut Connection,
    source: &str,
    (remembered, gone): (&'p [PointRow], &[&str]),
    meaning: Gone<'_>,
    now: DateTime<Utc>,
) -> Result<BTreeSet<&'p str>> {
    let kept_from = now - read_retention(tx, source).await?;
    let wrongly_dated = read_suspects(tx, source).await?;
    // What is dated wrongly counts for no promise, and nobody can tell until when it had to be kept.
    let is_asked_for =
        |it: &&PointRow| it.as_of > kept_from && !is_to_come(it.as_of, now) && !wrongly_dated.contains(&it.id.0);
    let early = remembered.iter().filter(|point| is_asked_for(point) && meaning.is_vanished(&point.id.0));
    Ok(early.map(|point| point.id.0.as_str()).filter(|id| gone.contains(id)).collect())
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot record recovery points", error)
}

async fn read_points(tx: &mut Connection, source: &str) -> Result<Vec<PointRow>> {
    let rows = sqlx::query("SELECT * FROM points WHERE source = ?").bind(source).fetch_all(tx).await.map_err(failed)?;
    rows.iter().map(stored::point).collect()
}

async fn read_suspects(tx: &mut Connection, source: &str) -> Result<BTreeSet<String>> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM points WHERE source = ? AND suspect = 1")
        .bind(source)
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    Ok(ids.into_iter().collect())
}

/// By id: the points that are there, and those that went away after `begun`.
async fn read_lifetimes(tx: &mut Connection, source: &str, begun: i64) -> Result<BTreeMap<String, Known>> {
    let rows = sqlx::query(
        "SELECT id, seen_revision, gone_revision FROM point_lifetimes \
         WHERE source = ? AND (gone_at IS NULL OR gone_revision > ?) ORDER BY seen_revision",
    )
    .bind(source)
    .bind(begun)
    .fetch_all(tx)
    .await
    .map_err(failed)?;
    let known = |row| {
        let (seen_revision, gone_revision) = (column(row, "seen_revision")?, column(row, "gone_revision")?);
        Ok((column(row, "id")?, Known { gone_revision, seen_revision }))
    };
    rows.iter().map(known).collect()
}

async fn end_lifetimes(
    tx: &mut Connection,
    source: &str,
    (gone, early): (&[&str], &BTreeSet<&str>),
    (now, revision): (DateTime<Utc>, i64),
) -> Result<()> {
    for id in gone {
        let end = "UPDATE point_lifetimes SET gone_at = ?, gone_revision = ?, gone_early = ? \
             WHERE source = ? AND id = ? AND gone_at IS NULL";
        let mark = if early.contains(id) { GoneMark::Early } else { GoneMark::InTime };
        let end = sqlx::query(end).bind(stored::micros(now)).bind(revision).bind(mark.stored());
        let end = end.bind(source).bind(*id);
        end.execute(&mut *tx).await.map_err(failed)?;
    }
    let before = stored::micros(now - TimeDelta::days(GONE_POINTS_DAYS));
    forget_points(tx, source, before, now).await?;
    let forget = sqlx::query("DELETE FROM point_lifetimes WHERE source = ? AND gone_at < ?").bind(source).bind(before);
    forget.execute(tx).await.map_err(failed)?;
    Ok(())
}

async fn begin_lifetimes(
    tx: &mut Connection,
    source: &str,
    appeared: &[&PointRow],
    (now, revision): (DateTime<Utc>, i64),
) -> Result<()> {
    for chunk in appeared.chunks(ROWS_PER_INSERT) {
        let mut came_back = BTreeSet::new();
        for point in chunk {
            let before = sqlx::query_scalar("SELECT COUNT(*) FROM point_lifetimes WHERE source = ? AND id = ?");
            let before: i64 = before.bind(source).bind(&point.id.0).fetch_one(&mut *tx).await.map_err(failed)?;
            if before > 0 {
                came_back.insert(&point.id);
            }
        }
        let mut insert = Builder::new(
            "INSERT INTO point_lifetimes (source, id, seen_revision, as_of, finished, chain_length, available_at, \
             first_seen) ",
        );
        insert.push_values(chunk, |mut row, point| {
            let available = if came_back.contains(&point.id) { now } else { point.finished.min(now) };
            row.push_bind(source.to_owned()).push_bind(point.id.0.clone()).push_bind(revision);
            row.push_bind(stored::micros(point.as_of)).push_bind(stored::micros(point.finished));
            row.push_bind(i64::from(point.chain_length));
            row.push_bind(stored::micros(available)).push_bind(stored::micros(now));
        });
        insert.build().execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(())
}

async fn replace_points(tx: &mut Connection, source: &str, listed: &[&PointRow]) -> Result<()> {
    sqlx::query("DELETE FROM points WHERE source = ?").bind(source).execute(&mut *tx).await.map_err(failed)?;
    for chunk in listed.chunks(ROWS_PER_INSERT) {
        let mut insert = Builder::new(
            "INSERT INTO points (source, id, kind, as_of, finished, chain_length, logical_bytes, stored_bytes, \
             row_count, left_out_tables, left_out_views, left_out_others, window_from, line_bytes, replay_bytes, canary_at) ",
        );
        insert.push_values(chunk, |mut row, point| {
            let (id, kind, numbers, derived) = stored_form(point);
            row.push_bind(source.to_owned()).push_bind(id.to_owned()).push_bind(kind);
            for number in numbers {
                row.push_bind(number);
            }
            for number in derived {
                row.push_bind(number);
            }
        });
        insert.build().execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(())
}

/// An increment that is listed and cannot be restored any more was available until now; if it can again, it always was.
async fn note_unrestorable(tx: &mut Connection, source: &str, now: DateTime<Utc>) -> Result<()> {
    let lost = "UPDATE point_lifetimes SET unrestorable_at = ? WHERE source = ? AND gone_at IS NULL AND unrestorable_at IS NULL \
         AND id IN (SELECT id FROM points WHERE source = ? AND kind = 'incremental' AND window_from IS NULL)";
    let lost = sqlx::query(lost).bind(stored::micros(now)).bind(source).bind(source);
    lost.execute(&mut *tx).await.map_err(failed)?;
    let back = "UPDATE point_lifetimes SET unrestorable_at = NULL WHERE source = ? AND gone_at IS NULL AND unrestorable_at IS NOT NULL \
         AND id NOT IN (SELECT id FROM points WHERE source = ? AND kind = 'incremental' AND window_from IS NULL)";
    let back = sqlx::query(back).bind(source).bind(source);
    back.execute(&mut *tx).await.map_err(failed)?;
    Ok(())
}

/// The history of promises changed; and a source is at least as old as its data, whatever this ledger remembers: the loss
/// of a ledger must not make it young again, for a young source is excused from keeping old points.
async fn note_facts(
    tx: &mut Connection,
    source: &str,
    listed: &[&PointRow],
    (now, revision): (DateTime<Utc>, i64),
) -> Result<()> {
    let note = sqlx::query("UPDATE sources SET facts_revision = ? WHERE name = ?").bind(revision).bind(source);
    note.execute(&mut *tx).await.map_err(failed)?;
    // Its first own backup may show the data of some seconds before the source was known: that makes it no older.
    let known = sqlx::query_scalar("SELECT created_at FROM sources WHERE name = ?").bind(source);
    let known: Option<i64> = known.fetch_optional(&mut *tx).await.map_err(failed)?;
    let was_there = |point: &&&PointRow| known.is_some_and(|known| stored::micros(point.finished) < known);
    if let Some(oldest) = listed.iter().filter(was_there).map(|point| stored::micros(point.as_of)).min() {
        let older = "UPDATE sources SET created_at = ? WHERE name = ? AND created_at > ?";
        let older = sqlx::query(older).bind(oldest).bind(source).bind(oldest);
        if older.execute(&mut *tx).await.map_err(failed)?.rows_affected() > 0 {
            seal_source(tx, source, now).await?;
        }
    }
    Ok(())
}

async fn older_than_ledger(tx: &mut Connection, appeared: &[&PointRow]) -> Result<u64> {
    let origin: i64 = sqlx::query_scalar("SELECT created_at FROM ledger_origin").fetch_one(tx).await.map_err(failed)?;
    Ok(appeared.iter().filter(|point| stored::micros(point.finished) < origin).count() as u64)
}

/// A point as its columns have it: times lose what is below a microsecond.
fn stored_form(point: &PointRow) -> (&str, &'static str, [i64; 9], [Option<i64>; 4]) {
    let numbers = [
        stored::micros(point.as_of),
        stored::micros(point.finished),
        i64::from(point.chain_length),
        stored::whole(point.logical_bytes),
        stored::whole(point.stored_bytes),
        stored::whole(point.rows),
        i64::from(point.left_out.table),
        i64::from(point.left_out.view),
        i64::from(point.left_out.other),
    ];
    let line = |bytes: fn(LineBytes) -> u64| point.line.map(|line| stored::whole(bytes(line)));
    let times = [point.window_from, point.canary].map(|time| time.map(stored::micros));
    let derived = [times[0], line(|it| it.all), line(|it| it.replayed), times[1]];
    (&point.id.0, stored::kind_name(Some(point.kind)), numbers, derived)
}
