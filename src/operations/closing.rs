//! The end of a chain: what lies between its last increment and the place of the next full backup is stored too, before that full
//! backup is published. So the full backup proves the chain before it, and any moment between them can be restored.

use chrono::{DateTime, TimeDelta, Utc};

use super::breaks::{Continued, Loss, is_told, tell, to_continue};
use super::recording::{Recorded, new_id};
use super::stored::{Taken, made, record, store, whole};
use crate::app::{App, Source};
use crate::domain::chain::{Break, BreakKind, Place};
use crate::domain::manifest::{BackupKind, Manifest, Position, RecoveryPointId};
use crate::engine::Since;
use crate::error::{Error, Result};
use crate::ledger::Operation;
use crate::run_context::RunContext;

/// Close the chain before the full backup `next`, which is stored and not published yet. The full backup is good whatever comes of
/// it: what did not work is said.
pub(super) fn close_chain(app: &App, source: &Source, next: &Manifest, context: &RunContext) -> Option<String> {
    match close(app, source, next, context) {
        Ok(said) => said,
        Err(error) => {
            tracing::warn!(source = %source.name, hint = error.hint_text(), "cannot close the chain before the full backup: {error}");
            Some(format!("the chain before this full backup is not closed, and it proves nothing of it: {error}"))
        }
    }
}

fn close(app: &App, source: &Source, next: &Manifest, context: &RunContext) -> Result<Option<String>> {
    if !source.engine.has_increments() {
        return Ok(None);
    }
    // The full backup is not listed yet: this is the end of the chain before it.
    let end = to_continue(app, source)?.filter(|end| end.manifest.kind == BackupKind::Incremental);
    let Some(Continued { manifest: last, replayed, unrestorable, .. }) = end else { return Ok(None) };
    if let Some(unreachable) = unrestorable {
        // Nothing that is put on top of it could be replayed.
        let gone = unreachable.gone.map(|(last, broken)| broken_before(app, source, (&last, next), &broken));
        return gone.unwrap_or(Ok(None));
    }
    let Some(end) = next.position.as_ref().filter(|end| end.log.is_some()) else { return Ok(None) };
    // Increments went on while the full backup was read: one of them holds its place, and a replay may stop there.
    if last.position.as_ref().is_some_and(|position| reaches(position, end)) {
        return Ok(None);
    }
    let as_of = time_between(&last, next);
    let mut dump = match source.engine.changes_until(&last, end, context)? {
        Since::Nothing(_) => return Ok(None),
        Since::Broken(broken) => return broken_before(app, source, (&last, next), &broken),
        Since::Changes(dump) => dump,
    };
    dump.as_of = as_of;
    let run = Recorded::begin(app, source, Operation::Backup, Some(BackupKind::Incremental))?;
    let taken = (|| {
        let mut made = made(app, source, RecoveryPointId(new_id()), as_of);
        // Both are published in one moment.
        made.finished = next.finished;
        let (candidate, captured) = store(source, &made, dump, context)?;
        let mut manifest = captured.increment(made, &last);
        // Since the last one was made, increments before it may have been joined.
        manifest.chain_length = replayed + (manifest.chain_length - last.chain_length);
        if let Some(wrong) = manifest.contradiction() {
            return Err(Error::failed(format!("cannot publish an increment: it would be {wrong}")));
        }
        whole(&candidate, &manifest)?;
        // The full backup is listed together with it.
        let stored_bytes = source.repository.storing()?.publish(candidate, &manifest)?;
        Ok(Taken { manifest, stored_bytes, change: None })
    })();
    let closed = record(source, run, taken, context);
    match closed.as_ref().err().and_then(|error| error.cause::<Break>()) {
        Some(broken) => broken_before(app, source, (&last, next), broken),
        None => closed.map(|_| None),
    }
}

/// As-of time of what ends at the place of `next`: a time of its own, before that of the full backup. The last increment may be dated after
/// the full backup, whose snapshot was opened later than its time says; then right after that.
fn time_between(last: &Manifest, next: &Manifest) -> DateTime<Utc> {
    let tick = TimeDelta::microseconds(1);
    let as_of = (next.as_of - tick).max(last.as_of + tick);
    if as_of == next.as_of { as_of + tick } else { as_of }
}

/// Whether the log at `position` is as far as `end`, and the same: one that was begun anew has the same places again.
fn reaches(position: &Position, end: &Position) -> bool {
    let order = Place::of(position).zip(Place::of(end)).and_then(|(one, other)| one.order(&other));
    let begun = |position: &Position| position.log.as_ref().map(|log| (log.server.clone(), log.begun));
    let is_same = begun(position).zip(begun(end)).is_some_and(|(one, other)| one.0 == other.0 && one.1 >= other.1);
    is_same && order.is_some_and(std::cmp::Ordering::is_ge)
}

/// Moments between the last increment and the full backup are lost: that is said for ever, and once.
fn broken_before(
    app: &App,
    source: &Source,
    (last, next): (&Manifest, &Manifest),
    broken: &Break,
) -> Result<Option<String>> {
    if broken.kind == BreakKind::Unknown {
        return Ok(None);
    }
    if is_told(app, source, last)? {
        return Ok(None);
    }
    tell(app, source, Loss::after(last), (broken, Some(next.as_of))).map(Some)
}
