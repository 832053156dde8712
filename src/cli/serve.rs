//! `backup-sla serve`: the exporter. The scheduler joins it later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Session, output};
use crate::app::App;
use crate::error::Result;
use crate::exporter::refresh::Exporter;
use crate::exporter::service_state::RepositoryState;
use crate::exporter::web::{Site, WebOptions, WebServer};
use crate::operations::look_at_repository;
use crate::run_context::Cancel;

/// How often the repositories are asked what they list.
const LISTING_INTERVAL: Duration = Duration::from_mins(5);
/// How often the ledger is looked at for changes.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Address to listen on; may be repeated [default: from the configuration, else port 10909]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Where the metrics are
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics")]
    telemetry_path: String,
    /// TLS and users
    #[arg(long = "web.config.file", value_name = "FILE")]
    config_file: Option<std::path::PathBuf>,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    for warning in app.config.not_built.iter().map(|missing| &missing.sentence) {
        tracing::warn!("{warning}");
    }
    let listen =
        if arguments.listen.is_empty() { app.config.web.listen_addresses.clone() } else { arguments.listen.clone() };
    let options = WebOptions {
        telemetry_path: arguments.telemetry_path.clone(),
        config_file: arguments.config_file.clone().or_else(|| app.config.web.config_file.clone()),
        ..WebOptions::on(&listen)
    };
    serve(&app, options, &session.context.cancel, |urls| {
        urls.iter().try_for_each(|url| output::line(&format!("listening on {url}")))
    })?;
    Ok(0)
}

/// Serve metrics until `stop`; `ready` is told where they are.
pub(super) fn serve(
    app: &App,
    options: WebOptions,
    stop: &Cancel,
    ready: impl FnOnce(&[String]) -> Result<()>,
) -> Result<()> {
    reap(app);
    let exporter = Exporter::new(Arc::new(app.config.clone()), app.clock.clone());
    let server = app.block_on(WebServer::bind(options))?;
    look_at_repositories(app, &exporter);
    app.block_on(exporter.refresh(&app.ledger))?;
    ready(&server.metrics_urls())?;
    let site = Arc::new(Site { exporter: exporter.clone(), ledger: app.ledger.clone() });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut waited = Duration::ZERO;
            let tick = Duration::from_millis(200);
            while !stop.is_cancelled() {
                std::thread::sleep(tick);
                waited += tick;
                if waited >= LISTING_INTERVAL {
                    waited = Duration::ZERO;
                    look_at_repositories(app, &exporter);
                    exporter.changed();
                }
            }
        });
        app.block_on(async {
            tokio::select! {
                () = server.run(site, stopped(stop)) => {}
                () = exporter.keep_fresh(&app.ledger, REFRESH_INTERVAL) => {}
            }
            Ok(())
        })
    })
}

async fn stopped(stop: &Cancel) {
    while !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(100)).await;
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

/// Ask every repository what it lists: recovery points are never remembered from a success, they are read.
pub(super) fn look_at_repositories(app: &App, exporter: &Exporter) {
    let mut states: BTreeMap<String, RepositoryState> = BTreeMap::new();
    for name in app.config.sources.keys() {
        let Ok(source) = app.source(name) else { continue };
        let seen = app.block_on(app.ledger.ensure_source(name, source.engine_name, &source.repository_name));
        if let Err(error) = seen {
            tracing::error!(source = %name, "record source: {error}");
        }
        let opened = match look_at_repository(app, &source) {
            // Before the first backup there is nothing to be up or down.
            Ok(None) => continue,
            Ok(Some(mut listing)) => listing.damaged.pop().map_or(Ok(()), Err),
            Err(error) => Err(error),
        };
        if let Err(error) = &opened {
            tracing::error!(source = %name, hint = error.hint_text(), "look at repository: {error}");
        }
        let state = states
            .entry(source.repository_name.clone())
            .or_insert(RepositoryState { up: Some(true), ..RepositoryState::default() });
        state.up = state.up.map(|up| up && opened.is_ok());
        state.key_available = Some(opened.is_ok() || state.key_available == Some(true));
    }
    exporter.update_service(|service| service.repositories = states);
}
