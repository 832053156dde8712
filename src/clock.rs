//! Time. Nobody else in the crate calls `now()`: tests and the later scheduler put a clock of their own here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// Where wall time and monotonic time come from.
pub trait Clock: Send + Sync {
    /// Wall time, for timestamps that people and Prometheus read.
    fn wall(&self) -> DateTime<Utc>;
    /// Monotonic time since an arbitrary start, for every duration we promise something about.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The machine's clock, shared.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self::default())
    }
}

impl Default for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Measures one duration on the monotonic clock.
pub struct Stopwatch {
    clock: Arc<dyn Clock>,
    start: Duration,
}

impl Stopwatch {
    /// Start measuring now.
    pub fn start(clock: &Arc<dyn Clock>) -> Self {
        Self { start: clock.monotonic(), clock: clock.clone() }
    }
    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.start)
    }
}
