//! `backup-sla status [SOURCE…]`: promised against measured.

use std::sync::Arc;

use super::output;
use super::{Session, Sources};
use crate::app::App;
use crate::domain::sla::{Judgement, Objective};
use crate::error::Result;
use crate::exporter::pages::words::beside;
use crate::exporter::refresh::{Exporter, View};
use crate::operations::{know, look_at_repository};
use crate::status::{self, SourceStatus};

pub fn run(session: &Session<'_>, arguments: &Sources) -> Result<u8> {
    let app = session.app()?;
    let names = app.names(&arguments.sources)?;
    show(&app, &names, session.json)
}

/// Ask the repositories and print promised against measured.
pub fn show(app: &App, names: &[String], json: bool) -> Result<u8> {
    let ask = |name: &String| {
        let source = app.source(name)?;
        know(app, &[&source])?;
        look_at_repository(app, &source)
    };
    let mut problems = Vec::new();
    for name in names {
        problems.push(match ask(name) {
            Ok(Some(listing)) => listing.damaged.first().map(ToString::to_string),
            // Before the very first backup there is nothing to be in trouble.
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
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
    // 0: everything is met or pending.
    Ok(u8::from(lines.iter().any(SourceStatus::is_bad)))
}

fn line(view: &View, name: &str, problem: Option<String>) -> SourceStatus {
    status::of(view, &view.config.sources[name]).with_problem(problem)
}

/// Objective, promised, measured, of each promise.
fn rows(line: &SourceStatus) -> [(&'static str, String, String, Objective); 5] {
    let (promised, measured) = (&line.objectives, &line.measured);
    let never = |of: Objective| if line.judged(of) == Judgement::Pending { "not yet" } else { "never" };
    let shown = |of: Objective, seconds: Option<f64>, promised: f64| match seconds {
        None => never(of).to_owned(),
        // A promise must not look kept where it is not.
        Some(seconds) if line.judged(of) == Judgement::NotMet => beside(seconds, promised, output::duration),
        Some(seconds) => output::duration(seconds),
    };
    let age = match shown(Objective::Rpo, measured.rpo_seconds, promised.rpo_seconds) {
        age if measured.rpo_seconds.is_some() => format!("{age} old"),
        _ => "no backup yet".to_owned(),
    };
    let drilled = measured
        .last_passed_drill_time
        .map_or_else(|| never(Objective::DrillInterval).to_owned(), |t| format!("last passed {}", output::time(t)));
    let oldest =
        measured.oldest_recovery_point_time.map_or("nothing".to_owned(), |t| format!("back to {}", output::time(t)));
    [
        ("recovery point (RPO)", output::duration(promised.rpo_seconds), age, Objective::Rpo),
        (
            "recovery time (RTO)",
            output::duration(promised.rto_seconds),
            shown(Objective::Rto, measured.rto_seconds, promised.rto_seconds),
            Objective::Rto,
        ),
        (
            "test restore",
            format!("every {}", output::duration(promised.drill_interval_seconds)),
            drilled,
            Objective::DrillInterval,
        ),
        ("retention", output::duration(promised.retention_seconds), oldest, Objective::Retention),
        (
            "chain length",
            promised.max_chain_length.to_string(),
            measured.chain_length.to_string(),
            Objective::ChainLength,
        ),
    ]
}

/// What a new source waits for, and until when that is no fault.
fn pending_in_words(line: &SourceStatus) -> Option<String> {
    let until = output::time(*line.pending.values().min()?);
    let what = if line.measured.recovery_points == 0 { "no backup yet" } else { "no passed drill yet" };
    Some(format!("{}: {what}: pending, expected by {until}", line.source))
}

fn print(lines: &[SourceStatus]) -> Result<()> {
    let mut table = output::table(&["SOURCE", "OBJECTIVE", "PROMISED", "MEASURED", ""]);
    for line in lines {
        for (at, (objective, promised, measured, of)) in rows(line).into_iter().enumerate() {
            let source = if at == 0 { line.source.clone() } else { String::new() };
            let judged = match line.judged(of) {
                Judgement::NotMet => "NOT MET",
                judged => judged.name(),
            };
            table.add_row([source, objective.to_owned(), promised, measured, judged.to_owned()]);
        }
    }
    output::line(&table.to_string())?;
    for line in lines {
        if let Some(pending) = pending_in_words(line) {
            output::line(&pending)?;
        }
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
            output::line(&format!("{}: the repository is in trouble: {problem}", line.source))?;
        }
        for operation in &line.running {
            output::line(&format!("{}: a {operation} is running", line.source))?;
        }
    }
    Ok(())
}
