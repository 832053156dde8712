//! How far a running operation is, for metrics and pages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::run_context::Observer;

/// Receives progress from the operation's threads, is read by the scheduler.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    phase: Mutex<Phase>,
    done: AtomicU64,
}

#[derive(Debug, Default, Clone)]
struct Phase {
    name: String,
    total: Option<u64>,
}

impl Tracker {
    /// Name of the phase, bytes done, bytes expected.
    pub(super) fn read(&self) -> (String, u64, Option<u64>) {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (phase.name, self.done.load(Ordering::Relaxed), phase.total)
    }
}

impl Observer for Tracker {
    fn phase(&self, name: &str, total: Option<u64>) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        *phase = Phase { name: name.to_owned(), total };
        self.done.store(0, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn finish(&self) {}
}
