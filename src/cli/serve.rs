//! `backup-sla serve`: scheduler, exporter and status page.

use std::path::PathBuf;

use clap::Args;

use super::output;
use super::session::Session;
use crate::config;
use crate::error::Result;
use crate::exporter::web::WebOptions;
use crate::service::{ConfigurationFile, ServiceOptions, serve};
use crate::systemd;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Address to listen on; may be repeated [default: from the configuration, else port 10909]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics")]
    telemetry_path: String,
    /// Web configuration file with TLS and users
    #[arg(long = "web.config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let file = ConfigurationFile::at(config::find(session.config.as_deref()));
    let app = session.app()?;
    let sockets = systemd::sockets()?;
    let listen = match (arguments.listen.is_empty(), sockets.is_empty()) {
        (false, _) => arguments.listen.clone(),
        (true, true) => app.config.web.listen_addresses.clone(),
        // The service manager listens for us.
        (true, false) => Vec::new(),
    };
    let web = WebOptions {
        telemetry_path: arguments.telemetry_path.clone(),
        config_file: arguments.config_file.clone().or_else(|| app.config.web.config_file.clone()),
        sockets,
        ..WebOptions::on(&listen)
    };
    let options = ServiceOptions { file, web };
    serve(app, options, &session.context.cancel, |urls| {
        urls.iter().try_for_each(|url| output::line(&format!("listening on {url}")))
    })?;
    Ok(0)
}
