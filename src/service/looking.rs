//! Looking at repositories and sandboxes, on threads that nobody waits for: a file system that hangs must not keep the service
//! from ending, or from saying that it hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::exporter::refresh::Exporter;
use crate::operations::observe::{count_sandboxes, observe_all};
use crate::run_context::Cancel;
use crate::scheduler::AppWork;

/// How often the sandboxes are counted: what runs makes and destroys them.
const CENSUS_INTERVAL: Duration = Duration::from_secs(2);
/// A look at the repositories that takes longer hangs: they cannot be read.
const LONGEST_LOOK: Duration = Duration::from_mins(5);
/// How soon a thread notices that the end was asked for.
const NOTICE: Duration = Duration::from_millis(100);

/// Since when the repositories are being looked at, if they are.
type Since = Arc<Mutex<Option<Stopwatch>>>;

/// Asks for a look at the repositories before its time.
#[derive(Debug, Clone, Default)]
pub(super) struct Nudge(Arc<AtomicBool>);

impl Nudge {
    /// The next look is due.
    pub(super) fn look_soon(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_given(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// Look now, again and again, and whenever there is a nudge, until `stop`. What comes back says when everything was looked at
/// once.
pub(super) fn begin(work: &Arc<AppWork>, exporter: &Arc<Exporter>, nudge: &Nudge, stop: &Cancel) -> Receiver<()> {
    let (looked, first_look) = channel();
    let nudge = nudge.clone();
    let since = Since::default();
    let (its_work, its_exporter, its_stop, its_since) = (work.clone(), exporter.clone(), stop.clone(), since.clone());
    std::thread::spawn(move || {
        look(&its_work, &its_exporter, &its_since);
        // The service may have ended meanwhile.
        let _ = looked.send(());
        let interval = || its_work.app().config.scheduler.listing_interval;
        repeat(interval, &nudge, &its_stop, || look(&its_work, &its_exporter, &its_since));
    });
    let (its_work, its_exporter, its_stop) = (work.clone(), exporter.clone(), stop.clone());
    std::thread::spawn(move || {
        let mut has_said = false;
        repeat(
            || CENSUS_INTERVAL,
            &Nudge::default(),
            &its_stop,
            || {
                census(&its_work, &its_exporter);
                let hangs = locked(&since).as_ref().is_some_and(|since| since.elapsed() > LONGEST_LOOK);
                if hangs && !std::mem::replace(&mut has_said, true) {
                    tracing::error!(
                        "look at repositories: it takes longer than {LONGEST_LOOK:?}; is a file system gone?"
                    );
                    its_exporter.update_service(|service| {
                        service.repositories.values_mut().for_each(|state| state.up = Some(false));
                    });
                }
                has_said &= hangs;
            },
        );
    });
    first_look
}

/// Recovery points are never remembered from a success: the repositories are asked what they list.
fn look(work: &AppWork, exporter: &Exporter, since: &Since) {
    let app = work.app();
    *locked(since) = Some(Stopwatch::start(&app.clock));
    if let Ok(seen) = catch_unwind(AssertUnwindSafe(|| observe_all(&app))) {
        exporter.update_service(|service| seen.show(service));
    } else {
        tracing::error!("look at repositories: it panicked, this is a bug in backup-sla");
    }
    *locked(since) = None;
    exporter.changed();
}

fn census(work: &AppWork, exporter: &Exporter) {
    // Trouble is said with every look at the repositories.
    if let Ok(sandboxes) = count_sandboxes(&work.app()) {
        exporter.update_service(|service| sandboxes.show(service));
    }
}

fn repeat(interval: impl Fn() -> Duration, nudge: &Nudge, stop: &Cancel, mut work: impl FnMut()) {
    let mut waited = Duration::ZERO;
    while !stop.is_cancelled() {
        std::thread::sleep(NOTICE);
        waited += NOTICE;
        if nudge.is_given() || waited >= interval() {
            waited = Duration::ZERO;
            work();
        }
    }
}

fn locked(since: &Since) -> std::sync::MutexGuard<'_, Option<Stopwatch>> {
    since.lock().unwrap_or_else(PoisonError::into_inner)
}
