//! Waiting that ends: by success, by cancellation, or by the clock.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, Stopwatch};
use crate::error::{Error, Result};
use crate::run_context::Cancel;

/// Pause between two looks; adds at most this to a measured start.
const POLL: Duration = Duration::from_millis(10);

/// How to wait in one run.
pub(super) struct Patience<'a> {
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) cancel: &'a Cancel,
}

impl Patience<'_> {
    /// Look until there is something; inconclusive with `what` in front after `limit`.
    pub(super) fn until<T>(
        &self,
        limit: Duration,
        what: impl Fn() -> String,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let watch = Stopwatch::start(self.clock);
        loop {
            let looked = look();
            // What broke because we ended it is not the reason.
            self.cancel.check()?;
            if let Some(found) = looked? {
                return Ok(found);
            }
            if watch.elapsed() >= limit {
                let limit = humantime::format_duration(limit);
                return Err(Error::inconclusive(format!("{}: it took longer than {limit}", what())));
            }
            thread::sleep(POLL);
        }
    }
}
