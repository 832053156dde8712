//! `backup-sla check-config [--connect]`

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::output;
use super::session::{Session, for_each};
use crate::app::{App, KINDS, Source};
use crate::clock::SystemClock;
use crate::config;
use crate::error::{Error, Result};
use crate::exporter::web::check_web_config_file;
use crate::operations::expectations::look_at_repository;
use crate::run_context::RunContext;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Also reach every server and repository and check privileges
    #[arg(long)]
    connect: bool,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let file = config::find(session.config.as_deref());
    let config = config::load(&file, KINDS)?;
    let warnings = config.warnings();
    if !session.json {
        warnings.iter().try_for_each(|warning| output::line(&format!("warning: {warning}")))?;
    }
    let notes = config.not_enforced();
    if !session.json && !session.quiet {
        notes.iter().try_for_each(|note| output::line(&format!("note: {note}")))?;
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
    let names: Vec<String> = config.sources.keys().cloned().collect();
    let repositories: Vec<String> = config.repositories.keys().cloned().collect();
    if session.json {
        let file = file.display().to_string();
        output::json(
            &json!({"file": file, "sources": names, "repositories": repositories, "warnings": warnings, "notes": notes}),
        )?;
    }
    let mut code = 0;
    if arguments.connect {
        let app = App::open_until(config, SystemClock::shared(), session.runtime.clone(), &session.context.cancel)?;
        code = for_each(session, &names, |name| connect(&app, name, session));
    }
    if !session.json && !session.quiet {
        let (sources, repositories) = (names.len(), repositories.len());
        output::line(&format!("{}: {sources} source(s), {repositories} repository(ies)", file.display()))?;
    }
    Ok(code)
}

/// What was found of a source that was reached.
#[derive(Debug, Serialize)]
struct Reached {
    source: String,
    kind: &'static str,
    /// Whether server and repository are as they should be.
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    summary: String,
    notes: Vec<String>,
    repository: String,
    /// Null before the first backup makes the repository.
    recovery_points: Option<usize>,
}

fn connect(app: &App, name: &str, session: &Session<'_>) -> Result<u8> {
    let source = app.source(name)?;
    let mut reached = Reached {
        source: name.to_owned(),
        kind: source.engine_name,
        ok: true,
        error: None,
        hint: None,
        summary: String::new(),
        notes: Vec::new(),
        repository: source.repository.location(),
        recovery_points: None,
    };
    let result = reach(app, &source, &mut reached).map_err(|error| error.context(format!("source {name}")));
    if !session.json {
        print(&reached, result.is_ok(), session.quiet)?;
        return result.map(|()| 0);
    }
    let code = result.as_ref().err().map_or(0, Error::exit_code);
    if let Err(error) = &result {
        (reached.ok, reached.error) = (false, Some(error.to_string()));
        reached.hint = error.hint_text().map(str::to_owned);
    }
    output::json(&reached)?;
    Ok(code)
}

fn reach(app: &App, source: &Source, reached: &mut Reached) -> Result<()> {
    let preflight = source.engine.preflight(&RunContext::silent())?.describe()?;
    (reached.summary, reached.notes) = (preflight.summary, preflight.warnings);
    // Told last: what is wrong with the repository is wrong with full backups, too.
    let impossible = preflight
        .impossible
        .map(|(why, hint)| Error::failed(format!("cannot take the scheduled incremental backups: {why}")).hint(hint));
    let listed = look_at_repository(app, source)?;
    reached.notes.extend(listed.as_ref().and_then(|listed| listed.warning(source)));
    reached.recovery_points = listed.as_ref().map(|listed| listed.own.points.len());
    // What is damaged there is no worse than what cannot be opened.
    listed.and_then(|mut listed| listed.own.damaged.pop()).or(impossible).map_or(Ok(()), Err)
}

/// What was found before anything went wrong.
fn print(reached: &Reached, is_whole: bool, quiet: bool) -> Result<()> {
    let source = &reached.source;
    if quiet || reached.summary.is_empty() {
        return Ok(());
    }
    output::line(&format!("source {source}: {}", reached.summary))?;
    reached.notes.iter().try_for_each(|note| output::line(&format!("  note: {note}")))?;
    if !is_whole {
        return Ok(());
    }
    let state = match reached.recovery_points {
        Some(points) => format!("is open, {points} recovery point(s)"),
        None => "will be made by the first backup".to_owned(),
    };
    output::line(&format!("source {source}: repository {} {state}", reached.repository))
}
