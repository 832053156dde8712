//! `backup-sla serve`: scheduler, exporter and status page.

use std::path::PathBuf;

use clap::Args;

use super::{Session, output};
use crate::config;
use crate::error::Result;
use crate::exporter::web::WebOptions;
use crate::service::{ServiceOptions, serve};

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
    config_file: Option<PathBuf>,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    let listen =
        if arguments.listen.is_empty() { app.config.web.listen_addresses.clone() } else { arguments.listen.clone() };
    let web = WebOptions {
        telemetry_path: arguments.telemetry_path.clone(),
        config_file: arguments.config_file.clone().or_else(|| app.config.web.config_file.clone()),
        ..WebOptions::on(&listen)
    };
    let options = ServiceOptions { file: config::find(session.config.as_deref()), web };
    serve(app, options, &session.context.cancel, |urls| {
        urls.iter().try_for_each(|url| output::line(&format!("listening on {url}")))
    })?;
    Ok(0)
}
