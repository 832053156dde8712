//! What the service knows beside the ledger: what runs now, what comes next, what the repositories said.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::process_facts::ProcessFacts;
use crate::domain::manifest::BackupKind;
use crate::domain::schedule::Work;
use crate::ledger::Operation;

/// Everything that is not in the ledger. Cheap to clone: a scrape takes a copy.
#[derive(Debug, Clone, Default)]
pub struct ServiceState {
    /// Version of the program.
    pub version: String,
    /// Revision of its source code.
    pub revision: String,
    /// The configuration file in use, where this process was told; pages put it into the commands they show.
    pub config_file: Option<PathBuf>,
    /// By name; only what was tried.
    pub repositories: BTreeMap<String, RepositoryState>,
    /// By source: what other hosts have of it in its repository, which counts for nothing here; only where there is something.
    pub other_hosts: BTreeMap<String, String>,
    /// Why nothing could be written to the state directory when that was last tried, if so.
    pub state_trouble: Option<String>,
    /// Ledgers that were damaged, removed or emptied and lie, or are stood for, beside the one in use.
    pub ledgers_set_aside: u64,
    /// What the last look at all seals of the ledger found; none before the first.
    pub seals: Option<SealCheck>,
    /// Sandboxes that exist now.
    pub sandboxes: u64,
    /// When the oldest of them was made.
    pub oldest_sandbox: Option<DateTime<Utc>>,
    /// The scheduler; none where this process has none (`backup-sla metrics`).
    pub scheduler: Option<SchedulerState>,
    /// By name: the sources whose logs are followed, as far as is known where they are.
    pub followed: BTreeMap<String, Followed>,
    /// Operations of this process that run now, oldest first.
    pub running: Vec<Progress>,
    /// Of the configuration file; none before the first reload was asked for.
    pub last_reload: Option<Reload>,
    /// This process.
    pub process: ProcessFacts,
}

/// A source whose log is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Up to this moment everything is published.
    pub caught_up: DateTime<Utc>,
    /// Something came since, or nobody knows.
    pub is_behind: bool,
}

impl Followed {
    /// How old the oldest change is that is not published, at most; 0 where there is none. What was seen long ago is not known now.
    pub fn lag_seconds(&self, now: DateTime<Utc>) -> f64 {
        /// It is looked every second.
        const LOOKED_WITHIN: f64 = 10.0;
        let since = (now - self.caught_up).as_seconds_f64().max(0.0);
        if self.is_behind || since > LOOKED_WITHIN { since } else { 0.0 }
    }
}

/// The scheduler at its last tick.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchedulerState {
    /// When it last looked for work.
    pub last_tick: Option<DateTime<Utc>>,
    /// When each scheduled work is due next, by source; in the past where it waits for something.
    pub next_runs: BTreeMap<(String, Work), DateTime<Utc>>,
}

/// An operation of this process that runs now.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Name of the source.
    pub source: String,
    /// What is done.
    pub operation: Operation,
    /// The kind of backup that it makes, if it makes one: an increment may be taken beside a full one.
    pub kind: Option<BackupKind>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// Phase it is in: `backup`, `load`, `verify`, …; empty before the first.
    pub phase: String,
    /// Bytes done in this phase.
    pub done_bytes: u64,
    /// Bytes expected in this phase; an estimate, none where there is none.
    pub total_bytes: Option<u64>,
}

impl Progress {
    /// Share of the phase that is done, 0–1, where that is known. An estimate that was too small stays at 1.
    pub fn ratio(&self) -> Option<f64> {
        let total = self.total_bytes.filter(|total| *total > 0)?;
        Some((self.done_bytes as f64 / total as f64).min(1.0))
    }
}

/// A comparison of all records of the ledger with their seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealCheck {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// How much does not fit.
    pub faults: u64,
    /// The first of it.
    pub first: Option<String>,
}

/// The last time that the configuration was read anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// When.
    pub at: DateTime<Utc>,
    /// Why the old configuration is still in use, if it is.
    pub error: Option<String>,
}

/// What is known of a repository; what is not known is not exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepositoryState {
    /// When a look at it last ended, however; what follows is from then. None before the first, and while that hangs.
    pub last_look: Option<DateTime<Utc>>,
    /// Since when a first look was waited for: the start of the service, or the reload that brought the repository.
    pub awaited_since: Option<DateTime<Utc>>,
    /// Whether it could be read when it was last tried.
    pub up: Option<bool>,
    /// Whether the configured key opened it.
    pub key_available: Option<bool>,
    /// Bytes it occupies.
    pub size_bytes: Option<u64>,
    /// Bytes free where it is.
    pub available_bytes: Option<u64>,
}

impl RepositoryState {
    /// One that is to be looked at from `since` on.
    pub fn awaited(since: DateTime<Utc>) -> Self {
        Self { awaited_since: Some(since), ..Self::default() }
    }

    /// Since when the first look at it is waited for; none once one ended.
    pub fn unseen_since(&self) -> Option<DateTime<Utc>> {
        self.awaited_since.filter(|_| self.last_look.is_none())
    }

    /// A look at it has not ended in time: it cannot be read now, and what was known of it is known no more.
    pub fn hangs(&mut self) {
        let Self { last_look, awaited_since, .. } = *self;
        *self = Self { up: Some(false), last_look, awaited_since, ..Self::default() };
    }
}

impl ServiceState {
    /// The state of this program before anything was tried.
    pub fn of_this_program() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: option_env!("BACKUP_SLA_REVISION").unwrap_or("unknown").to_owned(),
            process: ProcessFacts::read(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_source_that_nobody_looks_at_lags_like_one_that_is_behind() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let lag = |is_behind, now| format!("{}", Followed { caught_up: at(100), is_behind }.lag_seconds(at(now)));
        assert_eq!((lag(false, 105), lag(true, 105)), ("0".to_owned(), "5".to_owned()));
        assert_eq!((lag(false, 160), lag(true, 160)), ("60".to_owned(), "60".to_owned()));
        assert_eq!(lag(true, 40), "0", "a clock that was put back");
    }
}
