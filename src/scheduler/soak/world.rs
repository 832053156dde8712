//! What the soak lives in: a configuration, a clock, and chance.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::scheduler::job::Limits;

/// Two weeks before the clocks of Berlin are put back, 00:00 UTC.
pub(super) const START: &str = "2026-10-11T00:00:00Z";
pub(super) const LIMITS: Limits = Limits { backups: 2, drills: 1 };

pub(super) const CONFIG: &str = r#"
state_dir = "state"
timezone = "Europe/Berlin"
[repository.offsite]
kind = "restic"
url = "repo"
password_file = "key"
[sla.hourly]
rpo = "6h"
rto = "90m"
retention = "20d"
drill_interval = "26h"
[sla.daily]
rpo = "25h"
rto = "5h"
retention = "10d"
drill_interval = "2d"
[source.a]
kind = "files"
repository = "offsite"
sla = "hourly"
schedule = { full = "0 */4 * * *", drill = "30 4 * * *" }
files = { paths = ["a"] }
[source.b]
kind = "files"
repository = "offsite"
sla = "daily"
schedule = { full = "30 2 * * *", drill = "30 2 * * *", jitter = "20m" }
files = { paths = ["b"] }
[source.c]
kind = "files"
repository = "offsite"
sla = "hourly"
schedule = { full = "@every 290m", drill = "@every 13h" }
files = { paths = ["c"] }
[source.d]
kind = "files"
repository = "offsite"
sla = "daily"
schedule = { full = "15 3 * * *", drill = "45 3 * * *" }
files = { paths = ["d"] }
"#;

pub(super) struct SoakClock(pub(super) AtomicI64);

impl SoakClock {
    pub(super) fn set(&self, now: DateTime<Utc>) {
        self.0.store(now.timestamp_micros(), Ordering::SeqCst);
    }
}

impl Clock for SoakClock {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// splitmix64: the same seed, the same life.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
