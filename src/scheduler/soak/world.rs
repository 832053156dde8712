//! What the soak lives in: a configuration, two clocks, and chance.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::domain::schedule::Work;
use crate::scheduler::job::Limits;

/// Two weeks before the clocks of Berlin are put back, 00:00 UTC.
pub(super) const START: &str = "2026-10-11T00:00:00Z";
pub(super) const LIMITS: Limits = Limits { backups: 2, drills: 1 };
/// What may be taken out of the configuration and put back.
pub(super) const REMOVABLE: &str = "d";
/// What has increments.
pub(super) const CHAINED: &str = "e";

const COMMON: &str = r#"
state_dir = "state"
timezone = "Europe/Berlin"
[repository.offsite]
kind = "restic"
url = "repo"
password_file = "key"
[sla.tight]
rpo = "4h"
rto = "90m"
retention = "3d"
drill_interval = "26h"
max_chain_length = 9
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
[source.e]
kind = "mysql"
repository = "offsite"
sla = "tight"
schedule = { full = "10 1 * * *", incremental = "15 */2 * * *", drill = "20 5 * * *" }
mysql = { socket = "nowhere", user = "nobody" }
"#;

const D: &str = r#"
[source.d]
kind = "files"
repository = "offsite"
sla = "daily"
schedule = { full = "15 3 * * *", drill = "45 3 * * *" }
files = { paths = ["d"] }
"#;

/// The cron schedules, with their jitter in minutes.
pub(super) const CRON: [(&str, Work, &str, i64); 9] = [
    ("a", Work::FullBackup, "0 */4 * * *", 0),
    ("a", Work::Drill, "30 4 * * *", 0),
    ("b", Work::FullBackup, "30 2 * * *", 20),
    ("b", Work::Drill, "30 2 * * *", 20),
    ("d", Work::FullBackup, "15 3 * * *", 0),
    ("d", Work::Drill, "45 3 * * *", 0),
    ("e", Work::FullBackup, "10 1 * * *", 0),
    ("e", Work::IncrementalBackup, "15 */2 * * *", 0),
    ("e", Work::Drill, "20 5 * * *", 0),
];

/// Minutes between the runs of `c`: backups before and after the configuration is tightened, drills.
pub(super) const EVERY: [(Work, i64, i64); 2] = [(Work::FullBackup, 290, 190), (Work::Drill, 780, 780)];

/// The configuration: with a tighter promise and another interval or not, with the source that comes and goes or not.
pub(super) fn configuration(is_tightened: bool, has_removable: bool) -> String {
    let mut text = COMMON.to_owned();
    if has_removable {
        text += D;
    }
    if is_tightened {
        text = text.replace("rpo = \"6h\"", "rpo = \"5h\"").replace("@every 290m", "@every 190m");
    }
    text
}

/// A monotonic clock and a wall clock that can be put wrong. Microseconds.
pub(super) struct SoakClock {
    passed: AtomicI64,
    wall: AtomicI64,
}

impl SoakClock {
    pub(super) fn new() -> Self {
        let start: DateTime<Utc> = START.parse().unwrap();
        Self { passed: AtomicI64::new(0), wall: AtomicI64::new(start.timestamp_micros()) }
    }

    /// Time goes on until so much has passed since the start.
    pub(super) fn pass(&self, passed: TimeDelta) {
        let passed = passed.num_microseconds().unwrap();
        let before = self.passed.swap(passed, Ordering::SeqCst);
        self.wall.fetch_add(passed - before, Ordering::SeqCst);
    }

    /// The wall clock is put forward, or back.
    pub(super) fn jump(&self, by: TimeDelta) {
        self.wall.fetch_add(by.num_microseconds().unwrap(), Ordering::SeqCst);
    }
}

impl Clock for SoakClock {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.wall.load(Ordering::SeqCst)).unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.passed.load(Ordering::SeqCst).unsigned_abs())
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
    /// So many minutes, at most.
    pub(super) fn minutes(&mut self, most: i64) -> TimeDelta {
        TimeDelta::minutes(1 + i64::try_from(self.below(most.unsigned_abs())).unwrap())
    }
}
