//! `backup-sla check-config [--connect]`

use clap::Args;

use super::output;
use super::{Session, for_each};
use crate::app::App;
use crate::clock::SystemClock;
use crate::config;
use crate::error::{Error, Result};
use crate::exporter::web::check_web_config_file;
use crate::operations::look_at_repository;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Also reach every server and repository and check privileges
    #[arg(long)]
    connect: bool,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let file = config::find(session.config.as_deref());
    let config = config::load(&file)?;
    for warning in config.warnings() {
        output::line(&format!("warning: {warning}"))?;
    }
    for sentence in config.not_enforced() {
        output::line(&format!("note: {sentence}"))?;
    }
    if !config.not_built.is_empty() {
        let sentences: Vec<&str> = config.not_built.iter().map(|missing| missing.sentence.as_str()).collect();
        return Err(
            Error::configuration(sentences.join("\n")).hint("take these out, or wait for the version that has them")
        );
    }
    if let Some(web) = &config.web.config_file {
        check_web_config_file(web)?;
    }
    let (sources, repositories) = (config.sources.len(), config.repositories.len());
    let mut code = 0;
    if arguments.connect {
        let app = App::open(config, SystemClock::shared(), session.runtime.clone())?;
        let names: Vec<String> = app.config.sources.keys().cloned().collect();
        code = for_each(session, &names, |name| connect(&app, name));
    }
    output::line(&format!("{}: {sources} source(s), {repositories} repository(ies)", file.display()))?;
    Ok(code)
}

fn connect(app: &App, name: &str) -> Result<u8> {
    let source = app.source(name)?;
    let preflight = source.engine.preflight().map_err(|error| error.context(format!("source {name}")))?;
    output::line(&format!("source {name}: {}", preflight.summary))?;
    for warning in preflight.warnings {
        output::line(&format!("  note: {warning}"))?;
    }
    let listing = look_at_repository(app, &source).map_err(|error| error.context(format!("source {name}")))?;
    let state = match &listing {
        Some(listing) => format!("is open, {} recovery point(s)", listing.points.len()),
        None => "will be made by the first backup".to_owned(),
    };
    output::line(&format!("source {name}: repository {} {state}", source.repository.location()))?;
    Ok(0)
}
