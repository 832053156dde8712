//! Noticing that the wall clock of the host jumped: it is held against the monotonic one, which never does.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;

/// The wall clock may drift this far from the monotonic one between two looks before we call it a jump.
const DRIFT: TimeDelta = TimeDelta::seconds(2);

/// Both clocks at the last look.
#[derive(Debug, Default)]
pub(super) struct Jumps(Option<(DateTime<Utc>, Duration)>);

impl Jumps {
    /// By how much the wall clock was put forward, or back if that is negative, since the last look. A host that was suspended
    /// looks like a clock that was put forward.
    pub(super) fn look(&mut self, clock: &dyn Clock) -> Option<TimeDelta> {
        let (wall, monotonic) = (clock.wall(), clock.monotonic());
        let (wall_before, monotonic_before) = self.0.replace((wall, monotonic))?;
        let passed = TimeDelta::from_std(monotonic.saturating_sub(monotonic_before)).unwrap_or_default();
        let jump = (wall - wall_before) - passed;
        (jump.abs() > DRIFT).then_some(jump)
    }
}
