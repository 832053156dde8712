//! Forgetting recovery points, and giving back the room that nothing needs any more.
//!
//! Forgetting removes snapshot files and nothing else. Room is given back by `rustic_core` in two steps: packs that nothing needs
//! are marked in the index, and a run that comes a grace later removes those that are still not needed. Who began to read or
//! to store before the first step has ended before the second, if the grace is longer than anybody takes; what he used in
//! between is taken out of the marked again.

use std::collections::BTreeSet;
use std::time::Duration;

use rustic_core::jiff::Span;
use rustic_core::repofile::SnapshotId;
use rustic_core::{LimitOption, PruneOptions};

use super::backend::PlaceBackend;
use super::catalogue::entries;
use super::cipher::Cipher;
use super::failure::OrRefused;
use super::restic_lock::ExclusiveLock;
use super::session::Session;
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::repository::{FreeRequest, Freed};

/// The most that is packed anew in one run: backups wait for that long.
const MOST_REPACKED: bytesize::ByteSize = bytesize::ByteSize::gib(2);
/// The share of the repository that may lie unused in packs that are needed for something else, in percent.
const MOST_UNUSED: u64 = 5;

/// Remove the snapshots of `points`, copies of them included.
pub(super) fn forget(session: &Session, source: &str, points: &[RecoveryPointId]) -> Result<()> {
    let (entries, unreadable) = entries(session)?;
    if let Some(error) = unreadable.into_iter().next() {
        return Err(error.context(format!("cannot forget recovery points of {source}")));
    }
    let wanted: BTreeSet<&RecoveryPointId> = points.iter().collect();
    let known: BTreeSet<&RecoveryPointId> =
        entries.iter().filter(|entry| entry.tags.source == source).map(|entry| &entry.tags.point).collect();
    if let Some(missing) = wanted.difference(&known).next() {
        return Err(Error::failed(format!("cannot forget recovery point {missing} of {source}: it is not listed")));
    }
    let ids: Vec<SnapshotId> = entries
        .iter()
        .filter(|entry| entry.tags.source == source && wanted.contains(&entry.tags.point))
        .map(|entry| entry.snapshot)
        .collect();
    let repository = session.open_through(session.backend().clone())?;
    repository.delete_snapshots(&ids).or_refused(format!("cannot forget recovery points of {source}"))
}

/// Mark what nothing needs any more, and remove what was marked a grace ago.
pub(super) fn free(session: &Session, files: &PlaceBackend, request: &FreeRequest<'_>) -> Result<Freed> {
    let cipher = Cipher::new(&session.master_key()?, false)?;
    let _lock = ExclusiveLock::take(files, &cipher, request.host)?;
    let mut options = PruneOptions::default();
    // On a disk that is nearly full, first remove what can go without writing anything but an index.
    let room = files.place().room().ok().and_then(|room| room.usable);
    let is_scarce = room.is_some_and(|room| room < MOST_REPACKED.as_u64() * 2);
    options.max_repack = LimitOption::Size(if is_scarce { bytesize::ByteSize(0) } else { MOST_REPACKED });
    options.max_unused = LimitOption::Percentage(MOST_UNUSED);
    // Small packs do no harm, and packing them anew each day would cost reading and writing for nothing.
    options.no_resize = true;
    options.keep_delete = span(request.grace);
    // What is as young as this may belong to a backup of another host that is not published yet.
    options.keep_pack = span(request.grace);
    let repository = session.open_through(session.backend().clone())?;
    // A backup that another host published meanwhile is not in the index that was read before.
    let plan = repository.prune_plan(&options).or_else(|_| repository.prune_plan(&options));
    let plan = plan.or_refused("cannot find out what is not needed any more")?;
    request.context.cancel.check()?;
    let stats = &plan.stats;
    let sizes = stats.size_sum();
    let freed = Freed {
        freed_bytes: stats.size_to_delete.remove,
        marked_bytes: stats.size_to_delete.keep + sizes.remove + sizes.repackrm + stats.size_unref,
    };
    repository.prune(&options, plan).or_refused("cannot give back room")?;
    Ok(freed)
}

fn span(time: Duration) -> Span {
    Span::new().seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).min(631_107_417_600))
}
