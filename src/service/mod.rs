//! The service: scheduler, exporter and status page in one process that stays, from start to drain.
//!
//! Start: the only one on its state directory → leftovers of killed runs are reaped → sockets → the ledger is read and the
//! repositories are looked at → ready. Then the scheduler works until the end is asked for: nothing new begins, what runs
//! may end within the drain, then is cancelled and cleans up; the web server answers until the last operation has ended.

mod damage;
mod events;
mod looking;
mod reload;
mod sealing;
mod upkeep;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use self::damage::DamageWatch;
use self::events::Looking;
use self::looking::Nudge;
use self::reload::Configuration;
pub use self::reload::ConfigurationFile;
use crate::app::App;
use crate::clock::Stopwatch;
use crate::error::{Error, Result};
use crate::exporter::events::Desk;
use crate::exporter::scrape::Exporter;
use crate::exporter::web::{Site, WebOptions, WebServer};
use crate::run_context::Cancel;
use crate::scheduler::{AppWork, Following, Job, Scheduler, take_over};
use crate::state::State;
use crate::strict::trust;
use crate::systemd::Notifier;

/// How often the ledger is looked at for changes that other processes made.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// How long the first look at the repositories may keep the service from being ready.
const FIRST_LOOK: Duration = Duration::from_secs(30);
/// A look at the ledger that takes longer hangs.
const LONGEST_REFRESH: Duration = Duration::from_mins(2);
/// How soon a thread that waits notices that the end was asked for.
const NOTICE: Duration = Duration::from_millis(100);

/// What a service is started with.
#[derive(Debug)]
pub struct ServiceOptions {
    /// The configuration file, read again when it changes.
    pub file: ConfigurationFile,
    /// Where and how exporter and pages are served.
    pub web: WebOptions,
}

/// Serve until `stop`; `ready` is told where the metrics are when everything can be answered.
pub fn serve(
    app: App,
    options: ServiceOptions,
    stop: &Cancel,
    ready: impl FnOnce(&[String]) -> Result<()>,
) -> Result<()> {
    let _only_one = app.lock_service()?;
    let names: Vec<&str> = app.config.sources.keys().map(String::as_str).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        file = %options.file.path().display(),
        sources = names.join(" "),
        "backup-sla starts"
    );
    let hang_up = app.block_on(async { Configuration::expect_hang_up() })?;
    for missing in &app.config.not_built {
        tracing::warn!("{}", missing.sentence);
    }
    trust::warn_of_others("the configuration", options.file.path());
    trust::warn_of_others("state_dir", &app.config.state_dir);
    let keys = app.config.repositories.values().filter_map(|repository| repository.password_file.as_ref());
    keys.for_each(|file| trust::warn_of_others("password_file", file));
    reap(&app);
    let state = State::new(Arc::new(app.config.clone()), app.clock.clone());
    let shown = std::path::absolute(options.file.path()).unwrap_or_else(|_| options.file.path().to_owned());
    state.update_service(|service| service.config_file = Some(shown));
    let server = app.block_on(WebServer::bind(options.web))?;
    let urls = server.metrics_urls();
    take_over(&app)?;
    app.block_on(state.refresh(&app.ledger))?;
    let app = Arc::new(app);
    let work = Arc::new(AppWork::new(app.clone(), state.clone()));
    let events = Some(Desk::new(Arc::new(Looking(work.clone())), stop.clone(), app.clock.clone()));
    let site = Arc::new(Site { exporter: Exporter::new(state.clone()), ledger: app.ledger.clone(), events });
    let notifier = Notifier::from_environment();
    let closed = Cancel::default();
    let nudge = Nudge::default();
    let damage = DamageWatch::new(stop);
    let first_look = looking::begin(&work, &state, &damage, &nudge, stop);
    sealing::begin(&work, &state, &damage, stop);
    let left = std::thread::scope(|scope| {
        let web = scope.spawn(|| {
            app.block_on(async {
                tokio::select! {
                    () = server.run(site, closed.asked()) => {}
                    () = state.keep_fresh(&app.ledger, REFRESH_INTERVAL) => {}
                }
                Ok(())
            })
        });
        if !wait_for_first_look(&first_look, stop) {
            tracing::warn!("the repositories are slow: until they answer, the last known recovery points are shown");
        }
        // After the first look: a ledger that was lost knows from the recovery points when the last backups began.
        let scheduler = app.block_on(state.refresh(&app.ledger)).and_then(|()| {
            let scheduler = Scheduler::new(work.clone(), app.clock.clone())?;
            ready(&urls).map(|()| scheduler)
        });
        upkeep::begin(&work, &state, stop);
        let left = scheduler.map(|scheduler| {
            let configuration = Configuration {
                file: options.file,
                work: work.clone(),
                state: state.clone(),
                bell: scheduler.bell(),
                nudge,
                notifier: notifier.clone(),
            };
            scope.spawn(move || configuration.keep_current(hang_up, stop));
            let following = Following::begin(&work, &scheduler.bell(), stop);
            let left = run(scheduler, &work, &notifier, stop);
            // They end with `stop` and need no drain: what is not published yet is fetched by the next start.
            stop.cancel();
            following.end();
            left
        });
        // Whatever ended the scheduler ends everything.
        stop.cancel();
        closed.cancel();
        let _ = web.join();
        left
    });
    if let Some(error) = damage.found() {
        return Err(error);
    }
    left?.first().map_or(Ok(()), |job| Err(did_not_end(job)))
}

/// Let the scheduler work, and the service manager know how it goes.
fn run(scheduler: Scheduler, work: &AppWork, notifier: &Notifier, stop: &Cancel) -> Vec<Job> {
    let clock = work.app().clock.clone();
    let mut heartbeat = notifier.heartbeat();
    let mut said: Option<Stopwatch> = None;
    notifier.ready();
    let drain = || work.app().config.scheduler.drain;
    scheduler.run(stop, drain, || {
        // Both loops have to go round: a scheduler whose results nobody reads is not alive.
        if work.state().idle() < LONGEST_REFRESH {
            heartbeat.beat(&clock);
        }
        let is_due = said.as_ref().is_none_or(|said| said.elapsed() > Notifier::EXTENSION / 4);
        if stop.is_cancelled() && is_due {
            notifier.stopping();
            said = Some(Stopwatch::start(&clock));
        }
    })
}

fn did_not_end(job: &Job) -> Error {
    Error::failed(format!("cannot stop {job}: it was cancelled and did not end"))
        .hint("the next start records it as interrupted and removes its sandbox")
}

/// Sandboxes that a killed process left behind hold production data.
fn reap(app: &App) {
    for name in app.config.sources.keys() {
        let reaped = app.source(name).and_then(|source| source.sandbox.reap());
        match reaped {
            Ok(reaped) => reaped.iter().for_each(|left| {
                tracing::warn!(directory = %left.directory.display(), pid = left.pid, "removed leftover sandbox");
            }),
            Err(error) => tracing::error!(%error, "cannot remove leftover sandboxes"),
        }
    }
}

/// Whether everything was looked at once; not waited for longer than is sensible.
fn wait_for_first_look(first_look: &Receiver<()>, stop: &Cancel) -> bool {
    let mut waited = Duration::ZERO;
    while waited < FIRST_LOOK && !stop.is_cancelled() {
        match first_look.recv_timeout(NOTICE) {
            // The last look has ended.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => waited += NOTICE,
        }
    }
    false
}
