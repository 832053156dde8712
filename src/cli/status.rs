//! `backup-sla status [SOURCE…]`: promised against measured.

use std::sync::Arc;

use super::output;
use super::{Session, Sources};
use crate::app::App;
use crate::error::{Result, Side};
use crate::exporter::refresh::{Exporter, View};
use crate::operations::{know, refresh_points};
use crate::repository::Listing;
use crate::status::{self, SourceStatus};

pub fn run(session: &Session<'_>, arguments: &Sources) -> Result<u8> {
    let app = session.app()?;
    let names = app.names(&arguments.sources)?;
    show(&app, &names, session.json)
}

/// Ask the repositories and print promised against measured.
pub fn show(app: &App, names: &[String], json: bool) -> Result<u8> {
    let ask = |name: &String| -> Result<Listing> {
        let source = app.source(name)?;
        know(app, &[&source])?;
        Ok(refresh_points(app, &source)?.own)
    };
    let mut problems = Vec::new();
    for name in names {
        problems.push(match ask(name) {
            Ok(listing) => listing.damaged.first().map(|error| (error.to_string(), Side::Repository)),
            // Most of what can be wrong with a look at a repository is wrong with that.
            Err(error) => Some((error.to_string(), error.side().unwrap_or(Side::Repository))),
        });
    }
    // The same way as the metrics, so that both say the same.
    let exporter = Exporter::new(Arc::new(app.config.clone()), app.clock.clone());
    app.block_on(exporter.refresh(&app.ledger))?;
    let view = exporter.view()?;
    let lines: Vec<SourceStatus> =
        names.iter().zip(problems).map(|(name, problem)| line(&view, name, problem)).collect();
    if json {
        lines.iter().try_for_each(output::json)?;
    } else {
        print(&lines)?;
    }
    Ok(u8::from(lines.iter().any(|line| line.problem.is_some())))
}

fn line(view: &View, name: &str, problem: Option<(String, Side)>) -> SourceStatus {
    status::of(view, &view.config.sources[name]).with_problem(problem)
}

fn print(lines: &[SourceStatus]) -> Result<()> {
    let mut table = output::table(&["SOURCE", "OBJECTIVE", "PROMISED", "MEASURED", ""]);
    let shown = |seconds: Option<f64>| seconds.map_or("never".to_owned(), output::duration);
    for line in lines {
        let (promised, measured, met) = (&line.objectives, &line.measured, &line.met);
        let drilled =
            measured.last_passed_drill_time.map_or("never".to_owned(), |t| format!("last passed {}", output::time(t)));
        let oldest = measured
            .oldest_recovery_point_time
            .map_or("nothing".to_owned(), |t| format!("back to {}", output::time(t)));
        let rows = [
            (
                "recovery point (RPO)",
                output::duration(promised.rpo_seconds),
                format!("{} old", shown(measured.rpo_seconds)),
                met.rpo,
            ),
            ("recovery time (RTO)", output::duration(promised.rto_seconds), shown(measured.rto_seconds), met.rto),
            (
                "test restore",
                format!("every {}", output::duration(promised.drill_interval_seconds)),
                drilled,
                met.drill_interval,
            ),
            ("retention", output::duration(promised.retention_seconds), oldest, met.retention),
            (
                "chain length",
                promised.max_chain_length.to_string(),
                measured.chain_length.to_string(),
                met.max_chain_length,
            ),
        ];
        for (at, (objective, promised, measured, met)) in rows.into_iter().enumerate() {
            let source = if at == 0 { line.source.clone() } else { String::new() };
            let met = if met { "met" } else { "NOT MET" };
            table.add_row([source, objective.to_owned(), promised, measured, met.to_owned()]);
        }
    }
    output::line(&table.to_string())?;
    for line in lines {
        if let Some(forecast) = line.forecast_in_words(output::duration) {
            output::line(&format!("{}: a restore would take {forecast}", line.source))?;
        }
        let ends = [("backup", &line.last_backup), ("drill", &line.last_drill)];
        for (what, ended) in ends.iter().filter_map(|(what, ended)| Some((what, ended.as_ref()?))) {
            if !ended.reason.is_empty() {
                output::line(&format!("{}: last {what} {}: {}", line.source, ended.outcome, ended.reason))?;
            }
        }
        if line.history_is_partial {
            let (name, since) = (&line.source, output::time(line.history_since));
            output::line(&format!("{name}: the ledger began {since}; what was known of earlier runs is lost"))?;
        }
        if let Some(problem) = &line.problem {
            let side = line.problem_side.unwrap_or(Side::Repository.name());
            output::line(&format!("{}: the {side} is in trouble: {problem}", line.source))?;
        }
        for operation in &line.running {
            output::line(&format!("{}: a {operation} is running", line.source))?;
        }
    }
    Ok(())
}
