//! The service: scheduler, exporter and status page in one process that stays, from start to drain.
//!
//! Start: the only one on its state directory → leftovers of killed runs are reaped → sockets → the ledger is read and the
//! repositories are looked at → ready. Then the scheduler works until the end is asked for: nothing new begins, what runs
//! may end within the drain, then is cancelled and cleans up; the web server answers until the last operation has ended.

mod reload;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use self::reload::Configuration;
use crate::app::App;
use crate::error::{Error, Result};
use crate::exporter::refresh::Exporter;
use crate::exporter::web::{Site, WebOptions, WebServer};
use crate::operations::observe::{count_sandboxes, observe_all};
use crate::run_context::Cancel;
use crate::scheduler::{AppWork, CLEAN_UP, Job, Scheduler};
use crate::systemd::Notifier;

/// How often the ledger is looked at for changes that other processes made.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// How long the first look at the repositories may keep the service from being ready.
const FIRST_LOOK: Duration = Duration::from_secs(30);
/// A look at the ledger that takes longer hangs.
const LONGEST_REFRESH: Duration = Duration::from_mins(2);
/// What the web server may take to end, after everything else.
const MARGIN: Duration = Duration::from_secs(15);
/// How often the sandboxes are counted.
const CENSUS_INTERVAL: Duration = Duration::from_secs(2);
/// How soon a thread that waits notices that the end was asked for.
const NOTICE: Duration = Duration::from_millis(100);

/// What a service is started with.
#[derive(Debug)]
pub struct ServiceOptions {
    /// The configuration file, read again when it changes.
    pub file: PathBuf,
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
    for missing in &app.config.not_built {
        tracing::warn!("{}", missing.sentence);
    }
    reap(&app);
    let exporter = Exporter::new(Arc::new(app.config.clone()), app.clock.clone());
    let server = app.block_on(WebServer::bind(options.web))?;
    let urls = server.metrics_urls();
    app.block_on(exporter.refresh(&app.ledger))?;
    let app = Arc::new(app);
    let site = Arc::new(Site { exporter: exporter.clone(), ledger: app.ledger.clone() });
    let work = Arc::new(AppWork::new(app.clone(), exporter.clone()));
    let scheduler = Scheduler::new(work.clone(), app.clock.clone())?;
    let notifier = Notifier::from_environment();
    let configuration = Configuration {
        file: options.file,
        work: work.clone(),
        exporter: exporter.clone(),
        bell: scheduler.bell(),
        notifier: notifier.clone(),
    };

    let closed = Cancel::default();
    let (looked, first_look) = channel();
    let left = std::thread::scope(|scope| {
        let (observed, shown) = (work.clone(), exporter.clone());
        scope.spawn(move || {
            look_at_everything(&observed, &shown);
            let _ = looked.send(());
            keep_looking(&observed, &shown, stop);
        });
        let web = scope.spawn(|| {
            app.block_on(async {
                tokio::select! {
                    () = server.run(site, asked(&closed)) => {}
                    () = exporter.keep_fresh(&app.ledger, REFRESH_INTERVAL) => {}
                }
                Ok(())
            })
        });
        scope.spawn(|| configuration.keep_current(stop));
        if first_look.recv_timeout(FIRST_LOOK) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the repositories are slow: until they answer, the last known recovery points are shown");
        }
        let left = app.block_on(exporter.refresh(&app.ledger)).and_then(|()| ready(&urls)).map(|()| {
            let drain = || work.app().config.scheduler.drain;
            let (mut heartbeat, mut is_ending) = (notifier.heartbeat(), false);
            notifier.ready();
            scheduler.run(stop, drain, || {
                // Both loops have to go round: a scheduler whose results nobody reads is not alive.
                if exporter.idle() < LONGEST_REFRESH {
                    heartbeat.beat(&app.clock);
                }
                if stop.is_cancelled() && !std::mem::replace(&mut is_ending, true) {
                    notifier.stopping(drain() + CLEAN_UP + MARGIN);
                }
            })
        });
        // Whatever ended the scheduler ends everything.
        stop.cancel();
        closed.cancel();
        let _ = web.join();
        left
    })?;
    left.first().map_or(Ok(()), |job| Err(did_not_end(job)))
}

fn did_not_end(job: &Job) -> Error {
    Error::failed(format!("stop: {job} did not end, though it was cancelled"))
        .hint("the next start records it as interrupted and removes its sandbox")
}

async fn asked(stop: &Cancel) {
    while !stop.is_cancelled() {
        tokio::time::sleep(NOTICE).await;
    }
}

/// Sandboxes that a killed process left behind hold production data.
fn reap(app: &App) {
    for name in app.config.sources.keys() {
        let reaped = app.source(name).and_then(|source| source.sandbox.reap());
        match reaped {
            Ok(reaped) => reaped.iter().for_each(|left| {
                tracing::warn!(directory = %left.directory.display(), pid = left.pid, "removed leftover sandbox");
            }),
            Err(error) => tracing::error!(%error, "remove leftover sandboxes"),
        }
    }
}

/// Ask the repositories of all sources what they list: recovery points are never remembered from a success.
fn look_at_everything(work: &AppWork, exporter: &Exporter) {
    let seen = observe_all(&work.app());
    exporter.update_service(|service| seen.show(service));
    exporter.changed();
}

/// The same every now and then, and the sandboxes more often: what runs makes and destroys them.
fn keep_looking(work: &AppWork, exporter: &Exporter, stop: &Cancel) {
    let (mut since_listing, mut since_census) = (Duration::ZERO, Duration::ZERO);
    while !stop.is_cancelled() {
        std::thread::sleep(NOTICE);
        since_listing += NOTICE;
        since_census += NOTICE;
        if since_listing >= work.app().config.scheduler.listing_interval {
            since_listing = Duration::ZERO;
            look_at_everything(work, exporter);
        } else if since_census >= CENSUS_INTERVAL {
            since_census = Duration::ZERO;
            // Trouble is said with every listing.
            if let Ok(sandboxes) = count_sandboxes(&work.app()) {
                exporter.update_service(|service| sandboxes.show(service));
            }
        }
    }
}
