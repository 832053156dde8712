//! The only wiring place: configuration in, sources with their engine, repository and sandbox out.

mod locks;
mod private;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::runtime::Handle;

pub use self::locks::{BACKUP, INCREMENT, RepositoryLock, ServiceLock, SourceLock};
use self::private::private_directory;
use crate::clock::Clock;
use crate::config::{Config, RepositoryConfig, RepositoryKind, SourceConfig};
use crate::domain::change::watch::Watch;
use crate::domain::drill_choice::Policy;
use crate::domain::host::ThisHost;
use crate::domain::sla::Objectives;
use crate::engine::Engine;
use crate::engine::assertion::Assertion;
use crate::engine::files::Files;
use crate::engine::influxdb::Influxdb;
use crate::engine::kind::{Kind, Kinds, Memory, Wiring};
use crate::engine::mysql::Mysql;
use crate::error::{Error, OrFailed, Result};
use crate::host::this_host;
use crate::ledger::{Ledger, is_in_use};
use crate::repository::Repository;
use crate::repository::restic::ResticRepository;
use crate::run_context::Cancel;
use crate::sandbox::Sandbox;
use crate::sandbox::local::LocalSandbox;

/// Every kind of source that there is.
pub const KINDS: Kinds = &[&Mysql, &Influxdb, &Files];

/// What was last said of other hosts' recovery points of a source.
#[derive(Debug, Clone, Default)]
pub struct SaidOfOthers {
    /// Their ids.
    pub names: String,
    /// What was said; none where there are none.
    pub warning: Option<String>,
}

/// Everything a command needs.
pub struct App {
    /// Resolved configuration.
    pub config: Config,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// History.
    pub ledger: Ledger,
    /// Whose recovery points count.
    pub host: ThisHost,
    /// What was last said of other hosts' recovery points, by source: it is said again when it changes.
    pub said_of_others: Mutex<BTreeMap<String, SaidOfOthers>>,
    /// The process was asked to end: nothing is tried again that can wait for the next start.
    pub stop: Cancel,
    runtime: Handle,
    repositories: BTreeMap<String, Arc<dyn Repository>>,
    /// Where the ledger is, if that is thrown away.
    throwaway: Option<Arc<TempDir>>,
}

/// One thing protected under one SLA, ready to be worked on.
#[derive(Clone)]
pub struct Source {
    /// Name in the configuration.
    pub name: String,
    /// What it is.
    pub kind: &'static dyn Kind,
    /// Name of its kind.
    pub engine_name: &'static str,
    /// Knows the kind.
    pub engine: Arc<dyn Engine>,
    /// Name of the repository in the configuration.
    pub repository_name: String,
    /// Where its backups are.
    pub repository: Arc<dyn Repository>,
    /// Where its drills run.
    pub sandbox: Arc<dyn Sandbox>,
    /// What was promised.
    pub objectives: Objectives,
    /// The operator's own questions.
    pub assertions: Vec<Assertion>,
    /// From when on a change of its data is suspect.
    pub watch: Watch,
    /// What its scheduled drills try beside the newest recovery point.
    pub drills: Policy,
    /// How long the replay of its increments may be expected to take.
    pub max_replay: Option<Duration>,
}

impl Source {
    /// The same with a repository of which nothing is remembered: what is proved with it was read from the place.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let repository = self.repository.afresh().unwrap_or_else(|| self.repository.clone());
        Self { repository, ..self.clone() }
    }
}

impl App {
    /// Open the state directory and the ledger. `runtime` runs the ledger's queries; call from outside of it.
    pub fn open(config: Config, clock: Arc<dyn Clock>, runtime: Handle) -> Result<Self> {
        Self::open_until(config, clock, runtime, &Cancel::default())
    }

    /// The same for a process that `stop` ends.
    pub fn open_until(config: Config, clock: Arc<dyn Clock>, runtime: Handle, stop: &Cancel) -> Result<Self> {
        let host = state_directory(&config)?;
        let ledger = runtime.block_on(open_ledger(&config.state_dir, &clock, stop))?;
        runtime.block_on(ledger.recover())?;
        Ok(Self::on(config, clock, runtime, (host, ledger)).ending_with(stop))
    }

    /// The same for a restore, which must not fail because of a ledger: where that cannot be used, whatever the reason, one
    /// that is thrown away takes its place.
    pub fn open_for_restore(config: Config, clock: Arc<dyn Clock>, runtime: Handle, stop: &Cancel) -> Result<Self> {
        let host = state_directory(&config)?;
        let opened = runtime.block_on(async {
            let ledger = open_ledger(&config.state_dir, &clock, stop).await?;
            ledger.look_for_damage().await?;
            ledger.recover().await.map(|_| ledger)
        });
        match opened {
            Ok(ledger) => Ok(Self::on(config, clock, runtime, (host, ledger)).ending_with(stop)),
            Err(error) => {
                stop.check()?;
                let (ledger, place) = runtime.block_on(throwaway_ledger(&clock, &error))?;
                let app = Self::on(config, clock, runtime, (host, ledger)).ending_with(stop);
                Ok(Self { throwaway: Some(Arc::new(place)), ..app })
            }
        }
    }

    /// The same with a ledger that is thrown away, because the real one failed with `error`.
    pub fn with_throwaway_ledger(&self, error: &Error) -> Result<Self> {
        let (ledger, place) = self.runtime.block_on(throwaway_ledger(&self.clock, error))?;
        let app = self.reconfigured(self.config.clone())?;
        Ok(Self { ledger, throwaway: Some(Arc::new(place)), ..app })
    }

    fn on(config: Config, clock: Arc<dyn Clock>, runtime: Handle, (host, ledger): (ThisHost, Ledger)) -> Self {
        let repositories =
            config.repositories.values().filter_map(|r| Some((r.name.clone(), repository(r)?))).collect();
        let (said_of_others, stop) = (Mutex::default(), Cancel::default());
        Self { config, clock, ledger, host, said_of_others, stop, runtime, repositories, throwaway: None }
    }

    fn ending_with(mut self, stop: &Cancel) -> Self {
        self.stop = stop.clone();
        self
    }

    /// The same state directory, ledger and clock with another configuration. A repository that did not change stays the
    /// one it is: operations that run hold its locks.
    ///
    /// Errors: something changed that takes a restart.
    pub fn reconfigured(&self, config: Config) -> Result<Self> {
        if config.state_dir != self.config.state_dir {
            return Err(
                Error::configuration("cannot change `state_dir` while the service runs").hint("restart the service")
            );
        }
        let same = |new: &RepositoryConfig| {
            let old = self.config.repositories.get(&new.name)?;
            let secret = |of: &RepositoryConfig| of.password.as_ref().map(|it| it.expose_secret().to_owned());
            let is_same = (old.kind, &old.url, &old.password_file) == (new.kind, &new.url, &new.password_file)
                && secret(old) == secret(new);
            if is_same { self.repositories.get(&new.name).cloned() } else { None }
        };
        let wire = |new: &RepositoryConfig| Some((new.name.clone(), same(new).or_else(|| repository(new))?));
        let repositories = config.repositories.values().filter_map(wire).collect();
        let host = this_host(&config.state_dir, config.host.as_deref())?;
        let (clock, ledger, runtime) = (self.clock.clone(), self.ledger.clone(), self.runtime.clone());
        let (said_of_others, stop) = (Mutex::default(), self.stop.clone());
        let throwaway = self.throwaway.clone();
        Ok(Self { config, clock, ledger, host, said_of_others, stop, runtime, repositories, throwaway })
    }

    /// Run a ledger query to its end.
    pub fn block_on<T>(&self, query: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(query)
    }

    /// Names of the sources that a command is to work on: all, or those named.
    pub fn names(&self, wanted: &[String]) -> Result<Vec<String>> {
        if wanted.is_empty() {
            if self.config.sources.is_empty() {
                return Err(Error::configuration("the configuration has no source").hint("add a [source.NAME] table"));
            }
            return Ok(self.config.sources.keys().cloned().collect());
        }
        for name in wanted {
            if !self.config.sources.contains_key(name) {
                return Err(unknown_source(name, self.config.sources.keys()));
            }
        }
        Ok(wanted.to_vec())
    }

    /// A configured source, wired up.
    pub fn source(&self, name: &str) -> Result<Source> {
        self.names(&[name.to_owned()])?;
        let config = &self.config.sources[name];
        if let Some(missing) = self.config.not_built_of(name).next() {
            return Err(Error::configuration(missing.sentence.clone()).hint("see `backup-sla check-config`"));
        }
        let repository = self.repositories.get(&config.repository).cloned().ok_or_else(|| {
            Error::configuration(format!("repository {} of source {name} is not built yet", config.repository))
        })?;
        Ok(Source {
            name: name.to_owned(),
            kind: config.kind,
            engine_name: config.kind.name(),
            engine: self.engine(config),
            repository_name: config.repository.clone(),
            repository,
            sandbox: Arc::new(LocalSandbox::new(&self.config.state_dir, self.clock.clone())),
            objectives: config.objectives.clone(),
            assertions: config.assertions.clone(),
            watch: config.watch.clone(),
            drills: config.drills,
            max_replay: config.max_replay,
        })
    }

    /// The driver of a configured repository; none if there is no such one, or none that is built.
    pub fn repository(&self, name: &str) -> Option<Arc<dyn Repository>> {
        self.repositories.get(name).cloned()
    }

    /// Whether the repository of `source`, which may be of an earlier configuration, is in use under its name.
    pub fn uses_repository_of(&self, source: &Source) -> bool {
        self.repositories.get(&source.repository_name).is_some_and(|it| Arc::ptr_eq(it, &source.repository))
    }

    /// All sources of the configuration that this version can work with.
    pub fn built_sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.config.sources.keys().filter_map(|name| self.source(name).ok())
    }

    fn engine(&self, config: &SourceConfig) -> Arc<dyn Engine> {
        let memory =
            LedgerMemory { source: config.name.clone(), ledger: self.ledger.clone(), runtime: self.runtime.clone() };
        config.settings.engine(Wiring {
            clock: self.clock.clone(),
            sandbox: config.sandbox.clone(),
            increments: config.schedule.longest_gap_of_increments(),
            memory: Arc::new(memory),
            staging: self.config.state_dir.join("staging").join(&config.name),
            own_places: self.own_places(),
            own_files: self.config.own_files(),
        })
    }

    /// The state directory and local repositories.
    fn own_places(&self) -> Vec<PathBuf> {
        let local = self.config.repositories.values().map(|repository| PathBuf::from(&repository.url));
        std::iter::once(self.config.state_dir.clone()).chain(local.filter(|place| place.is_absolute())).collect()
    }
}

/// A name that looks like that of a source is asked about; for any other, all of them are told.
pub fn unknown_source<'s>(name: &str, known: impl Iterator<Item = &'s String> + Clone) -> Error {
    /// How many of a hundred letters may be others.
    const ALIKE: usize = 40;
    /// Names that a line has room for.
    const TOLD: usize = 20;
    let distance = |known: &String| strsim::damerau_levenshtein(known, name);
    let near = known.clone().min_by_key(|known| distance(known)).filter(|it| distance(it) * 100 <= it.len() * ALIKE);
    let names: Vec<&str> = known.clone().take(TOLD).map(String::as_str).collect();
    let more = if known.count() > TOLD { ", …" } else { "" };
    let hint = match near {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => "the configuration has no source: add a [source.NAME] table".to_owned(),
        None => format!("the configuration has {}{more}", names.join(", ")),
    };
    Error::configuration(format!("unknown source {name}")).hint(hint)
}

/// What an engine remembers of one source, in the ledger. A ledger that fails forgets.
struct LedgerMemory {
    source: String,
    ledger: Ledger,
    runtime: Handle,
}

impl Memory for LedgerMemory {
    fn recall(&self, name: &str) -> Option<String> {
        let recalled = self.runtime.block_on(self.ledger.recall(&self.source, name));
        recalled.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was counted before is counted again");
            None
        })
    }

    fn keep(&self, name: &str, text: &str) {
        if let Err(error) = self.runtime.block_on(self.ledger.remember(&self.source, name, text)) {
            tracing::warn!(%error, "what was counted will be counted again");
        }
    }

    fn retain(&self, names: &BTreeSet<String>) {
        if let Err(error) = self.runtime.block_on(self.ledger.forget_others(&self.source, names)) {
            tracing::warn!(%error, "old counts stay in the ledger");
        }
    }
}

/// The driver of a configured repository; none for a kind that is not built yet.
fn repository(config: &RepositoryConfig) -> Option<Arc<dyn Repository>> {
    match (config.kind, &config.password) {
        (RepositoryKind::Restic, Some(password)) if Path::new(&config.url).is_absolute() => {
            let place = PathBuf::from(&config.url);
            Some(Arc::new(match &config.password_file {
                Some(file) => ResticRepository::with_password_file(place, file.clone()),
                None => ResticRepository::new(place, password.clone()),
            }))
        }
        _ => None,
    }
}

/// Make the state directory; which host this is.
fn state_directory(config: &Config) -> Result<ThisHost> {
    private_directory(&config.state_dir)?;
    private_directory(&config.state_dir.join("locks"))?;
    this_host(&config.state_dir, config.host.as_deref())
}

/// The ledger; one that is damaged is put beside, and a new one is begun.
async fn open_ledger(state_dir: &Path, clock: &Arc<dyn Clock>, stop: &Cancel) -> Result<Ledger> {
    if is_in_use(state_dir)? {
        // Whoever has the damaged file open would, at its end, take the new one's log away.
        Ledger::open_until(state_dir, clock.clone(), stop).await
    } else {
        Ledger::open_or_begin_anew(state_dir, clock.clone(), stop).await
    }
}

/// A ledger that knows nothing and is thrown away, in the place of one that failed with `error`.
async fn throwaway_ledger(clock: &Arc<dyn Clock>, error: &Error) -> Result<(Ledger, TempDir)> {
    let place = crate::temporary::directory("ledger");
    let place = place.or_failed("cannot make a directory for a ledger that is thrown away")?;
    let ledger = Ledger::open(place.path(), clock.clone()).await?;
    tracing::warn!(
        hint = error.hint_text(),
        "the ledger cannot be used: this restore is not recorded, and nobody remembers which repository was meant: {error}"
    );
    Ok((ledger, place))
}
