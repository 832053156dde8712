//! Configuration: the strict file model, and the resolved values that the rest of the crate sees.
//!
//! Raw values never leave this folder: everything below is validated. All errors are found at once, each with file,
//! line, column and what to write instead. The kinds of sources are given to it, and each reads its own table.

mod labels;
mod load;
mod maintenance;
mod resolve;
mod source;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::change::watch::Watch;
use crate::domain::drill_choice::Policy;
use crate::domain::retention::Counts;
use crate::domain::schedule::{Continuous, Timing, Work};
use crate::domain::sla::Objectives;
use crate::engine::assertion::Assertion;
use crate::engine::kind::{Kind, Kinds, Settings};
use crate::sandbox::settings::SandboxConfig;

pub use crate::strict::NotBuilt;
pub use load::{find, load, parse};

/// Resolved configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// The kinds of sources that it may have.
    pub kinds: Kinds,
    /// Ledger, locks, caches.
    pub state_dir: PathBuf,
    /// Name of this host in backups; recovery points of that name are its own. None: the system's host name.
    pub host: Option<String>,
    /// Time zone of the schedules.
    pub timezone: chrono_tz::Tz,
    /// Exporter and pages.
    pub web: Web,
    /// Limits of the service.
    pub scheduler: SchedulerConfig,
    /// What is done to repositories beside backups.
    pub maintenance: MaintenanceConfig,
    /// By name.
    pub repositories: BTreeMap<String, RepositoryConfig>,
    /// By name.
    pub sources: BTreeMap<String, SourceConfig>,
    /// Password files that were read.
    pub password_files: Vec<PathBuf>,
    /// Valid keys whose feature this version does not have yet, each as one sentence. `check-config` ends with status 2
    /// if there are any; an operation refuses to run on a source or repository it concerns.
    pub not_built: Vec<NotBuilt>,
}

impl Config {
    /// Files that only this program reads: the configuration, what it is spread over, and passwords.
    pub fn own_files(&self) -> Vec<PathBuf> {
        // Told to a sandbox, which has a working directory of its own.
        let file = std::path::absolute(&self.file).unwrap_or_else(|_| self.file.clone());
        [file].into_iter().chain(self.web.config_file.clone()).chain(self.password_files.clone()).collect()
    }

    /// Features that are not built and concern the source `name`, its repository, or both.
    pub fn not_built_of<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c NotBuilt> {
        let repository = self.sources.get(name).map(|source| source.repository.as_str());
        self.not_built.iter().filter(move |feature| {
            feature.source.as_deref() == Some(name)
                || (feature.repository.is_some() && feature.repository.as_deref() == repository)
        })
    }

    /// What is promised and not enforced, each as one sentence.
    pub fn not_enforced(&self) -> Vec<String> {
        if self.maintenance.schedule.is_some() {
            return Vec::new();
        }
        let repositories: Vec<String> = self.repositories.keys().map(|name| format!("`{name}`")).collect();
        vec![format!(
            "nothing removes recovery points that are older than `retention`, so {} {} growing: add a table [maintenance] with \
             schedule = \"0 6 * * *\", or run `backup-sla maintain`",
            repositories.join(", "),
            if repositories.len() == 1 { "keeps" } else { "keep" },
        )]
    }

    /// What is allowed but unwise, each as one sentence.
    pub fn warnings(&self) -> Vec<String> {
        let plain = self.repositories.values().filter(|repository| repository.password.is_none());
        let unwatched = self.sources.values().filter(|source| !source.watch.enabled);
        plain
            .map(|repository| format!("repository `{}` is not encrypted (`encryption = \"none\"`)", repository.name))
            .chain(unwatched.map(|source| {
                let name = &source.name;
                format!("source `{name}` is not watched: data that is emptied or encrypted raises no alert (`watch.enabled`)")
            }))
            .collect()
    }
}

/// `[web]`.
#[derive(Debug, Clone)]
pub struct Web {
    /// `host:port` to listen on; default `[::]:10909`.
    pub listen_addresses: Vec<String>,
    /// Exporter-toolkit file, where given.
    pub config_file: Option<PathBuf>,
}

/// `[repository.NAME]`.
#[derive(Debug, Clone)]
pub struct RepositoryConfig {
    /// Name in the file.
    pub name: String,
    /// Which driver.
    pub kind: RepositoryKind,
    /// Local path or URL as written (a relative path is already absolute).
    pub url: String,
    /// Encryption password; `None` only with `encryption = "none"`.
    pub password: Option<SecretString>,
    /// The file that the password was read from; it may hold another one by now.
    pub password_file: Option<PathBuf>,
}

/// Which driver keeps a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RepositoryKind {
    Restic,
    Duplicity,
}

/// `[source.NAME]`.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Name in the file.
    pub name: String,
    /// Name of the repository.
    pub repository: String,
    /// Name of its SLA.
    pub sla: String,
    /// What was promised.
    pub objectives: Objectives,
    /// The operator's own labels for its metrics.
    pub labels: BTreeMap<String, String>,
    /// When things run.
    pub schedule: Schedule,
    /// What it is.
    pub kind: &'static dyn Kind,
    /// The table of its kind: how to reach it.
    pub settings: Arc<dyn Settings>,
    /// What drills restore into.
    pub sandbox: SandboxConfig,
    /// The operator's own questions.
    pub assertions: Vec<Assertion>,
    /// From when on a change of the data is suspect.
    pub watch: Watch,
    /// What scheduled drills try beside the newest recovery point.
    pub drills: Policy,
    /// How long the replay of increments may be expected to take; then a full backup is taken.
    pub max_replay: Option<Duration>,
}

/// `schedule = { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Full backups.
    pub full: Option<Timing>,
    /// Incremental backups at their times.
    pub incremental: Option<Timing>,
    /// Incremental backups all the time.
    pub continuous: Option<Continuous>,
    /// Test restores.
    pub drill: Option<Timing>,
    /// Each run begins up to this much later, always by the same amount for the same occurrence; default 0.
    pub jitter: Duration,
    /// A backup that takes longer is ended and has failed; default 24 hours.
    pub backup_timeout: Duration,
    /// A drill that takes longer is ended; default twice the promised recovery time, at least one hour.
    pub drill_timeout: Option<Duration>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            full: None,
            incremental: None,
            continuous: None,
            drill: None,
            jitter: Duration::ZERO,
            backup_timeout: Duration::from_hours(24),
            drill_timeout: None,
        }
    }
}

impl Schedule {
    /// Whether increments are taken by themselves.
    pub fn has_increments(&self) -> bool {
        self.incremental.is_some() || self.continuous.is_some()
    }

    /// How far increments are apart; none where none are scheduled.
    pub fn longest_gap_of_increments(&self) -> Option<Duration> {
        let interval = self.continuous.map(|continuous| continuous.interval);
        interval.or_else(|| self.incremental.as_ref().and_then(Timing::longest_gap))
    }
}

impl SourceConfig {
    /// When `work` is due, if it is ever.
    pub fn timing(&self, work: Work) -> Option<&Timing> {
        match work {
            Work::IncrementalBackup => self.schedule.incremental.as_ref(),
            Work::FullBackup => self.schedule.full.as_ref(),
            Work::Drill => self.schedule.drill.as_ref(),
        }
    }

    /// How old the newest closing proof may become: the next full backup may be late once, and the drill that proves is due after it. None
    /// where no chain is to be proved.
    pub fn closing_proof_age(&self) -> Option<Duration> {
        let Schedule { full, drill, .. } = &self.schedule;
        let full = full.as_ref()?.longest_gap()?;
        let is_due = self.schedule.has_increments() && drill.is_some() && self.drills.closed_chains;
        is_due.then(|| full * 2 + self.objectives.drill_interval)
    }

    /// How long `work` may take.
    pub fn time_limit(&self, work: Work) -> Duration {
        match work {
            Work::IncrementalBackup | Work::FullBackup => self.schedule.backup_timeout,
            Work::Drill => {
                self.schedule.drill_timeout.unwrap_or((self.objectives.rto * 2).max(Duration::from_hours(1)))
            }
        }
    }
}

/// `[scheduler]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Backups at once, of all sources; default 2.
    pub backups: u32,
    /// Drills at once, of all sources; default 1.
    pub drills: u32,
    /// How often the repositories are asked what they list, beside every run; default 5 minutes.
    pub listing_interval: Duration,
    /// How long one repository may take to answer, before it counts as one that cannot be read; default 5 minutes.
    pub listing_timeout: Duration,
    /// How long running operations may go on when the service is asked to end, before they are cancelled; default 30 s.
    pub drain: Duration,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        let minutes = Duration::from_mins(5);
        let (listing_interval, listing_timeout) = (minutes, minutes);
        Self { backups: 2, drills: 1, listing_interval, listing_timeout, drain: Duration::from_secs(30) }
    }
}

/// `[maintenance]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MaintenanceConfig {
    /// When each repository has its turn; none: only `backup-sla maintain` and `backup-sla check` by hand.
    pub schedule: Option<Timing>,
    /// What is kept beside each source's `retention`; default nothing.
    pub keep: Counts,
    /// Within how long all stored data is read again; default 30 days.
    pub read_all_within: Duration,
    /// How long one repository's turn may take; default 12 hours.
    pub timeout: Duration,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        let read_all_within = Duration::from_hours(30 * 24);
        Self { schedule: None, keep: Counts::default(), read_all_within, timeout: Duration::from_hours(12) }
    }
}
