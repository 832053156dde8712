//! `rate_limit`: a bucket that holds `burst` requests and gets one more every `interval`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Requests that may come at once.
    pub(super) burst: u32,
    /// Time after which one more may come; not zero.
    pub(super) interval: Duration,
}

/// The bucket.
pub(super) struct Bucket {
    rate: Rate,
    clock: Arc<dyn Clock>,
    /// When the bucket will be full again, on the monotonic clock.
    full: Mutex<Duration>,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        Self { rate, clock, full: Mutex::default() }
    }

    /// May one more request be answered now?
    pub(super) fn admits(&self) -> bool {
        let now = self.clock.monotonic();
        // One number, written in one step: a poisoned lock says nothing about it.
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let then = (*full).max(now) + self.rate.interval;
        let admits = then.saturating_sub(now) <= self.rate.interval.saturating_mul(self.rate.burst);
        if admits {
            *full = then;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::tests::SetClock;

    #[test]
    fn a_burst_is_answered_at_once_and_then_one_request_per_interval() {
        let clock = SetClock::new();
        let bucket = Bucket::new(Rate { burst: 3, interval: Duration::from_secs(10) }, clock.clone());
        let admitted = |seconds| {
            clock.advance(seconds);
            (0..5).filter(|_| bucket.admits()).count()
        };
        assert_eq!([admitted(0), admitted(9), admitted(1), admitted(20), admitted(1000)], [3, 0, 1, 2, 3]);
    }
}
