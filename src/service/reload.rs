//! Following the configuration file: on SIGHUP, and when it changes. All of it is taken over, or nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::looking::Nudge;
use crate::app::{App, Source};
use crate::config;
use crate::error::{OrFailed, Result};
use crate::operations::expectations::look_at_repository;
use crate::operations::listing::know;
use crate::run_context::Cancel;
use crate::scheduler::{AppWork, Bell, take_over};
use crate::state::State;
use crate::state::service::Reload;
use crate::systemd::Notifier;

/// How often the file is looked at. It is read when it looks the same twice: an editor may still be writing it.
const LOOK: Duration = Duration::from_secs(1);

/// How long a reload waits for what repositories have of new sources.
const LONGEST_FIRST_LOOK: Duration = Duration::from_secs(10);

/// A configuration file, and what it looked like before it was read: what changes from then on is noticed.
#[derive(Debug)]
pub struct ConfigurationFile {
    path: PathBuf,
    looks: Option<Looks>,
}

impl ConfigurationFile {
    /// The file that is going to be read.
    pub fn at(path: PathBuf) -> Self {
        let looks = Looks::of(&path);
        Self { path, looks }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The configuration of a running service.
pub(super) struct Configuration {
    pub(super) file: ConfigurationFile,
    pub(super) work: Arc<AppWork>,
    pub(super) state: Arc<State>,
    pub(super) bell: Bell,
    pub(super) nudge: Nudge,
    pub(super) notifier: Notifier,
}

/// What changes when somebody writes to a file or puts another in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Looks {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Looks {
    /// None for a file that is not there: between the two steps of a replacement, say.
    fn of(file: &Path) -> Option<Self> {
        let facts = std::fs::metadata(file).ok()?;
        let changed = (facts.ctime(), facts.ctime_nsec());
        Some(Self { device: facts.dev(), inode: facts.ino(), size: facts.size(), changed })
    }
}

impl Configuration {
    /// From now on SIGHUP ends nobody; it is for [`Configuration::keep_current`]. To be called within the runtime.
    pub(super) fn expect_hang_up() -> Result<Signal> {
        signal(SignalKind::hangup()).or_failed("cannot wait for SIGHUP")
    }

    /// Follow the file until `stop`.
    pub(super) fn keep_current(&self, hang_up: Signal, stop: &Cancel) {
        // It ends with `stop`, well.
        let _ = self.work.app().block_on(async {
            self.follow(hang_up, stop).await;
            Ok(())
        });
    }

    async fn follow(&self, mut hang_up: Signal, stop: &Cancel) {
        let mut ticks = tokio::time::interval(LOOK);
        let mut in_use = self.file.looks;
        let mut seen = in_use;
        while !stop.is_cancelled() {
            let is_asked = tokio::select! {
                _ = hang_up.recv() => true,
                _ = ticks.tick() => false,
            };
            let looks = Looks::of(&self.file.path);
            let has_settled = looks.is_some() && looks != in_use && looks == seen;
            seen = looks;
            if is_asked || has_settled {
                in_use = looks;
                tokio::task::block_in_place(|| self.reload());
            }
        }
    }

    /// Take over what the file says now; a file with a mistake changes nothing.
    fn reload(&self) {
        self.notifier.reloading();
        let before = self.work.app();
        let loaded = config::load(&self.file.path, before.config.kinds)
            .and_then(|config| before.reconfigured(config))
            .and_then(recorded);
        let error = match loaded {
            Ok(app) => {
                for missing in &app.config.not_built {
                    tracing::warn!("{}", missing.sentence);
                }
                if app.config.web.listen_addresses != before.config.web.listen_addresses {
                    tracing::warn!("`web.listen_addresses` changed: restart the service to use it");
                }
                let app = Arc::new(app);
                look_at_new(&app, &before);
                self.state.set_config(Arc::new(app.config.clone()));
                self.work.replace(app);
                self.bell.reconfigured();
                // A source that is new here may have recovery points, and one that moved has others.
                self.nudge.look_soon();
                tracing::info!(file = %self.file.path.display(), "configuration reloaded");
                None
            }
            Err(error) => {
                tracing::error!(
                    hint = error.hint_text(),
                    "cannot reload the configuration; the old one stays in use: {error}"
                );
                Some(error.to_string())
            }
        };
        let at = before.clock.wall();
        self.state.update_service(|service| service.last_reload = Some(Reload { at, error }));
        self.notifier.ready();
    }
}

/// A source that is new here may have recovery points, and then its first backup was long ago: the plan must know that. A
/// repository that does not answer in time is looked at later.
fn look_at_new(app: &Arc<App>, before: &App) {
    let is_new = |name: &&String| {
        let old = before.config.sources.get(*name);
        old.is_none_or(|old| old.repository != app.config.sources[*name].repository)
    };
    let new: Vec<String> = app.config.sources.keys().filter(is_new).cloned().collect();
    if new.is_empty() {
        return;
    }
    let (looked, first_look) = channel();
    let app = app.clone();
    std::thread::spawn(move || {
        for name in new {
            // What is wrong with the repository is said by the look that follows.
            let _ = app.source(&name).and_then(|source| look_at_repository(&app, &source));
        }
        let _ = looked.send(());
    });
    let _ = first_look.recv_timeout(LONGEST_FIRST_LOOK);
}

/// What is asked for and promised from now on is in the ledger before anything is done by it: the past is judged by what was
/// promised then, and what cannot be written down is not taken over.
fn recorded(app: App) -> Result<App> {
    let sources: Vec<Source> = app.built_sources().collect();
    know(&app, &sources.iter().collect::<Vec<_>>())?;
    drop(sources);
    take_over(&app)?;
    Ok(app)
}
