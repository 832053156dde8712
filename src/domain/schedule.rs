//! When things are due: cron expressions and intervals, pure.
//!
//! Times of a cron expression are wall clock times of a zone. Where its clock is put forward, a time that does not exist
//! that day is due at the first moment after the gap; where it is put back, a time of day that comes twice is due once,
//! while whatever repeats within a day (`*/15 * * * *`) goes on at its pace.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::Serialize;

use super::manifest::BackupKind;

/// Work that a schedule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// An increment on top of the newest backup.
    IncrementalBackup,
    /// A full backup.
    FullBackup,
    /// A test restore.
    Drill,
}

impl Work {
    /// All of it, most urgent first.
    pub const ALL: [Self; 3] = [Self::IncrementalBackup, Self::FullBackup, Self::Drill];

    /// Name for logs and people.
    pub fn name(self) -> &'static str {
        match self {
            Self::IncrementalBackup => "incremental backup",
            Self::FullBackup => "full backup",
            Self::Drill => "drill",
        }
    }

    /// The kind of backup it makes, if it makes one.
    pub fn backup_kind(self) -> Option<BackupKind> {
        match self {
            Self::IncrementalBackup => Some(BackupKind::Incremental),
            Self::FullBackup => Some(BackupKind::Full),
            Self::Drill => None,
        }
    }

    /// Whether it makes a backup.
    pub fn is_backup(self) -> bool {
        self.backup_kind().is_some()
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Longest accepted interval.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);
/// How an error says what a schedule looks like.
pub const EXPECTED: &str = "five cron fields such as \"0 2 * * *\" (minute hour day month weekday), or \"@every 15m\"";

/// When something is due.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    /// At the minutes of a cron expression, in a time zone that the caller knows.
    Cron(Box<Cron>),
    /// Again and again after this time.
    Every(Duration),
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(cron) => f.write_str(cron.as_str()),
            Self::Every(every) => write!(f, "@every {}", humantime::format_duration(*every)),
        }
    }
}

/// Following a source's log all the time: while something comes, increments are published at most so far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Continuous {
    /// The longest time between what comes and its increment.
    pub interval: Duration,
    /// So many bytes are published earlier.
    pub size: u64,
}

/// How the ledger calls it where a schedule is written down.
pub const CONTINUOUS: &str = "continuous";

impl Default for Continuous {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), size: 16 << 20 }
    }
}

impl Timing {
    /// `text` as a timing: exactly five cron fields, or `@every DURATION`. The error reads "is not …: …; write …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("is not a schedule: {text:?} ({why}); write {EXPECTED}");
        if let Some(rest) = text.strip_prefix("@every ") {
            let every = humantime::parse_duration(rest.trim()).map_err(|cause| wrong(&cause.to_string()))?;
            return match every {
                every if every < Duration::from_secs(1) => Err(wrong("shorter than a second")),
                every if every > LONGEST => Err(wrong("longer than a century")),
                every => Ok(Self::Every(every)),
            };
        }
        if text.contains('@') {
            return Err(wrong("only `@every` is known"));
        }
        match text.split_whitespace().count() {
            5 => {}
            1 => return Err(wrong("it has 1 field")),
            fields => return Err(wrong(&format!("it has {fields} fields"))),
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|cause| {
            let cause = cause.to_string();
            wrong(cause.trim_start_matches("Component error: ").trim_end_matches('.'))
        })?;
        let timing = Self::Cron(Box::new(cron));
        // Any moment will do: 30 February never comes, 29 February comes within eight years.
        if timing.next_after(DateTime::UNIX_EPOCH, Tz::UTC).is_none() {
            return Err(wrong("there is no such day"));
        }
        Ok(timing)
    }

    /// The shortest time between two of its occurrences, as far as the first few of them tell; none if there is only one.
    pub fn shortest_gap(&self) -> Option<Duration> {
        self.gaps().min()
    }

    /// The longest time between two of its occurrences, as far as the first few of them tell; none if there is only one.
    pub fn longest_gap(&self) -> Option<Duration> {
        self.gaps().max()
    }

    fn gaps(&self) -> impl Iterator<Item = Duration> {
        let next = |at: &DateTime<Utc>| self.next_after(*at, Tz::UTC);
        let dues: Vec<DateTime<Utc>> = std::iter::successors(next(&DateTime::UNIX_EPOCH), next).take(100).collect();
        let gaps: Vec<Duration> = dues.windows(2).filter_map(|pair| (pair[1] - pair[0]).to_std().ok()).collect();
        gaps.into_iter()
    }

    /// The first time after `after` at which it is due; none if the calendar ends before.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => {
                let next = cron.find_next_occurrence(&after.with_timezone(&zone), false).ok()?;
                Some(next.with_timezone(&Utc))
            }
            Self::Every(every) => after.checked_add_signed(TimeDelta::from_std(*every).ok()?),
        }
    }

    /// The last time at or before `now` at which it was due, counted from `after`; none if there was none after it.
    pub fn last_due(&self, after: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let last = match self {
            Self::Cron(cron) => {
                let last = cron.find_previous_occurrence(&now.with_timezone(&zone), true).ok()?;
                last.with_timezone(&Utc)
            }
            Self::Every(every) => {
                let every = TimeDelta::from_std(*every).ok()?.num_milliseconds().max(1);
                let times = (now - after).num_milliseconds().div_euclid(every);
                after.checked_add_signed(TimeDelta::try_milliseconds(times.checked_mul(every)?)?)?
            }
        };
        (last > after).then_some(last)
    }

    /// How often it was due after `after` up to and including `until`; counting ends at `most`.
    pub fn count_due(&self, after: DateTime<Utc>, until: DateTime<Utc>, zone: Tz, most: u32) -> u32 {
        let mut at = after;
        let mut count = 0;
        while count < most {
            match self.next_after(at, zone) {
                Some(next) if next <= until => at = next,
                _ => break,
            }
            count += 1;
        }
        count
    }
}

/// How long after its time the occurrence `due` of `subject` begins: always the same for the same occurrence, spread
/// evenly over `[0, jitter)`, so that a hundred sources with one schedule do not begin in one second.
pub fn delay_within(jitter: Duration, subject: &str, due: DateTime<Utc>) -> Duration {
    let mut hasher = blake3::Hasher::new();
    hasher.update(subject.as_bytes()).update(&due.timestamp_micros().to_le_bytes());
    let mut first = [0; 4];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    jitter.mul_f64(f64::from(u32::from_le_bytes(first)) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
