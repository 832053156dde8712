//! `backup-sla serve`: the exporter. The scheduler joins it later.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Session, output};
use crate::app::App;
use crate::error::{Error, Result};
use crate::exporter::refresh::Exporter;
use crate::exporter::web::{Site, WebServer};
use crate::operations::observe::observe_all;
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
    if arguments.config_file.is_some() {
        return Err(Error::configuration("--web.config.file is not built yet")
            .hint("listen on a loopback address and put a proxy in front"));
    }
    if arguments.telemetry_path != "/metrics" {
        return Err(Error::configuration("--web.telemetry-path is not built yet").hint("the metrics are at /metrics"));
    }
    let app = session.app()?;
    for warning in app.config.not_built.iter().map(|missing| &missing.sentence) {
        tracing::warn!("{warning}");
    }
    let listen =
        if arguments.listen.is_empty() { app.config.web.listen_addresses.clone() } else { arguments.listen.clone() };
    serve(&app, &listen, &session.context.cancel, |addresses| {
        addresses.iter().try_for_each(|address| output::line(&format!("listening on http://{address}/metrics")))
    })?;
    Ok(0)
}

/// Serve metrics until `stop`; `ready` is told the addresses.
pub(super) fn serve(
    app: &App,
    listen: &[String],
    stop: &Cancel,
    ready: impl FnOnce(&[std::net::SocketAddr]) -> Result<()>,
) -> Result<()> {
    reap(app);
    let exporter = Exporter::new(Arc::new(app.config.clone()), app.clock.clone());
    let server = app.block_on(WebServer::bind(listen))?;
    let seen = observe_all(app);
    exporter.update_service(|service| seen.show(service));
    app.block_on(exporter.refresh(&app.ledger))?;
    ready(server.addresses())?;
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
                    let seen = observe_all(app);
                    exporter.update_service(|service| seen.show(service));
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
