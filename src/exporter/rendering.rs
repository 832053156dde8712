//! What a scrape is answered with, kept ready: most of it changes a few times an hour, and thousands of sources are
//! asked for every few seconds.
//!
//! Every family of the exposition is a piece of its own. Families that depend on the moment of the scrape
//! ([`is_momentary`]) are written anew for every scrape; the others when what they are made from has changed, in the
//! background, for the forms that were asked for lately. A piece whose text did not change stays compressed.
//! What is served is always made from the newest figures of the ledger: a scrape that comes before the background has
//! followed a change waits for it. What may lag, by [`INTERVAL`], is due times, begin and progress of running operations,
//! and whether promises are met where nothing but time has passed ([`is_timed`]).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::catalogue::{self as m, ALL, Metric};
use super::collector::{collect_lasting, collect_momentary, collect_timed};
use super::exposition::{Exposition, Family, Format};
use super::gzip::{self, Piece};
use crate::domain::schedule::Work;
use crate::state::service::Progress;
use crate::state::{Edition, View};

/// How often due times and progress are followed.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// How long a form is kept ready after it was last asked for: longer than any sensible scrape interval.
const KEPT: Duration = Duration::from_mins(5);
/// Families that are written down at once.
const BATCH: usize = 8;

/// How a client wants the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Form {
    /// Which format.
    pub format: Format,
    /// Compressed?
    pub gzip: bool,
}

/// Does a value of this metric depend on the moment of the scrape, or on more than the ledger, the configuration, what
/// is due and what runs? [`collect_momentary`] writes these and no others.
pub fn is_momentary(metric: &Metric) -> bool {
    [
        &m::RECOVERY_POINT_AGE,
        &m::INCREMENT_LAG,
        &m::REPOSITORY_UP,
        &m::REPOSITORY_LAST_LOOK,
        &m::REPOSITORY_UNSEEN_SINCE,
        &m::REPOSITORY_LOOK_INTERVAL,
        &m::REPOSITORY_CHECK_SUCCESS,
        &m::REPOSITORY_CHECK_TIMESTAMP,
        &m::REPOSITORY_CHECK_PROGRESS,
        &m::MAINTENANCE_LAST_SUCCESS,
        &m::MAINTENANCE_LAST_RUN_SUCCESS,
        &m::MAINTENANCE_REMOVED_POINTS,
        &m::MAINTENANCE_INTERVAL,
        &m::REPOSITORY_SIZE,
        &m::REPOSITORY_AVAILABLE,
        &m::ENCRYPTION_KEY_AVAILABLE,
        &m::SCHEDULER_LAST_TICK,
        &m::STATE_WRITABLE,
        &m::LEDGERS_SET_ASIDE,
        &m::LEDGER_SEALS_VERIFIED,
        &m::LEDGER_SEAL_FAULTS,
        &m::CONFIG_LAST_RELOAD_SUCCESS,
        &m::SANDBOXES,
        &m::OLDEST_SANDBOX,
        &m::LEDGER_LAST_READ,
        &m::TEST_PAGE_CODE,
    ]
    .iter()
    .any(|one| one.place == metric.place)
        || metric.name.starts_with("process_")
}

/// Does a value of this metric change as time passes, and is too much to be written for every scrape? [`collect_timed`]
/// writes these and no others.
pub fn is_timed(metric: &Metric) -> bool {
    [&m::OBJECTIVE_MET, &m::SOURCE_PENDING, &m::RECOVERY_POINTS_VANISHED, &m::RETENTION_GAPS]
        .iter()
        .any(|one| one.place == metric.place)
}

/// The forms that were asked for lately.
#[derive(Default)]
pub(super) struct Renderings {
    kept: Mutex<BTreeMap<Form, std::sync::Arc<Mutex<Kept>>>>,
}

/// One form, as it was last rendered.
#[derive(Default)]
struct Kept {
    /// When it was last asked for, on the monotonic clock.
    asked: Duration,
    edition: Option<Edition>,
    plans: Plans,
    /// When what changes as time passes was last written, on the monotonic clock.
    timed: Duration,
    /// By place in the catalogue.
    pieces: Vec<Option<KeptPiece>>,
}

struct KeptPiece {
    digest: blake3::Hash,
    content: Content,
}

enum Content {
    Plain(Bytes),
    Gzip(Piece),
}

/// What is served of the service itself and may lag.
#[derive(Default, PartialEq)]
struct Plans {
    due: BTreeMap<(String, Work), DateTime<Utc>>,
    running: Vec<Progress>,
}

impl Plans {
    fn of(view: &View) -> Self {
        let due = view.service.scheduler.as_ref().map(|scheduler| scheduler.next_runs.clone());
        Self { due: due.unwrap_or_default(), running: view.service.running.clone() }
    }
}

impl Renderings {
    /// The exposition of `view` in parts. `now` is the time on the monotonic clock.
    pub(super) fn serve(&self, form: Form, view: &View, edition: &Edition, now: Duration) -> Vec<Bytes> {
        let kept = lock(&self.kept).entry(form).or_default().clone();
        let mut kept = lock(&kept);
        kept.asked = now;
        if kept.edition.as_ref() != Some(edition) {
            kept.render(form, view, edition, now);
        } else if now.saturating_sub(kept.timed) > INTERVAL {
            kept.write_timed(form, view, now);
        }
        kept.put(form, collect_momentary(view, Exposition::only(form.format, is_momentary)).into_families());
        kept.assemble(form)
    }

    /// Forget what nobody asked for lately; is anything left?
    pub(super) fn forget_unused(&self, now: Duration) -> bool {
        let mut all = lock(&self.kept);
        all.retain(|_, kept| now.saturating_sub(lock(kept).asked) < KEPT);
        !all.is_empty()
    }

    /// Are there forms made from another edition than `edition`?
    pub(super) fn are_behind(&self, edition: &Edition) -> bool {
        lock(&self.kept).values().any(|kept| lock(kept).edition.as_ref() != Some(edition))
    }

    /// Bring what is kept up to `view`.
    pub(super) fn follow(&self, view: &View, edition: &Edition, now: Duration) {
        let all: Vec<_> = lock(&self.kept).iter().map(|(form, kept)| (*form, kept.clone())).collect();
        for (form, kept) in all {
            let mut kept = lock(&kept);
            if kept.edition.as_ref() != Some(edition) || kept.plans != Plans::of(view) {
                kept.render(form, view, edition, now);
            } else {
                kept.write_timed(form, view, now);
            }
        }
    }
}

impl Kept {
    fn render(&mut self, form: Form, view: &View, edition: &Edition, now: Duration) {
        // A few families at a time: their text is only in memory until it is compressed.
        for batch in 0..ALL.len().div_ceil(BATCH) {
            let lasting = |metric: &Metric| metric.place / BATCH == batch && !is_momentary(metric) && !is_timed(metric);
            self.put(form, collect_lasting(view, Exposition::only(form.format, lasting)).into_families());
        }
        self.write_timed(form, view, now);
        self.edition = Some(edition.clone());
        self.plans = Plans::of(view);
    }

    fn write_timed(&mut self, form: Form, view: &View, now: Duration) {
        self.put(form, collect_timed(view, Exposition::only(form.format, is_timed)).into_families());
        self.timed = now;
    }

    fn put(&mut self, form: Form, families: impl Iterator<Item = Family>) {
        self.pieces.resize_with(ALL.len(), || None);
        for Family { metric, text } in families {
            let place = &mut self.pieces[metric.place];
            let digest = blake3::hash(text.as_bytes());
            if place.as_ref().is_some_and(|old| old.digest == digest) {
                continue;
            }
            let content = if form.gzip {
                Content::Gzip(Piece::new(&text))
            } else {
                // Without the room that was left for more.
                Content::Plain(text.into_boxed_str().into_boxed_bytes().into())
            };
            *place = Some(KeptPiece { digest, content });
        }
    }

    fn assemble(&self, form: Form) -> Vec<Bytes> {
        let contents = || self.pieces.iter().flatten().map(|piece| &piece.content);
        let end = form.format.end();
        if form.gzip {
            let end = Piece::new(end);
            gzip::file(contents().filter_map(Content::gzip).chain([&end]))
        } else {
            contents().filter_map(Content::plain).chain([Bytes::from_static(end.as_bytes())]).collect()
        }
    }
}

impl Content {
    fn gzip(&self) -> Option<&Piece> {
        if let Self::Gzip(piece) = self { Some(piece) } else { None }
    }

    fn plain(&self) -> Option<Bytes> {
        if let Self::Plain(text) = self { Some(text.clone()) } else { None }
    }
}

// A panic while rendering leaves whole pieces behind, and the edition is set last: a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
