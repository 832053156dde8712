//! `backup-sla status [SOURCE…]`: promised against measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::output;
use super::{Session, Sources};
use crate::app::App;
use crate::domain::history::MetRatios;
use crate::domain::sla::Objective;
use crate::error::Result;
use crate::exporter::refresh::{Exporter, View};
use crate::operations::{know, refresh_points};
use crate::status::{self, SourceStatus};

/// One source, with what the ledger says of the past.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    now: SourceStatus,
    /// Share of the last 30 days, or of the time since the source was first seen, in which each objective was met.
    met_ratio_30d: BTreeMap<&'static str, f64>,
    /// When the ledger began: nothing is known of drills and runs before.
    history_since: DateTime<Utc>,
    /// Whether there are recovery points from before: the history that belonged to them was lost.
    history_is_partial: bool,
}

pub fn run(session: &Session<'_>, arguments: &Sources) -> Result<u8> {
    let app = session.app()?;
    let names = app.names(&arguments.sources)?;
    show(&app, &names, session.json)
}

/// Ask the repositories and print promised against measured.
pub fn show(app: &App, names: &[String], json: bool) -> Result<u8> {
    let ask = |name: &String| {
        let source = app.source(name)?;
        know(app, &source)?;
        refresh_points(app, &source)
    };
    let mut problems = Vec::new();
    for name in names {
        problems.push(match ask(name) {
            Ok(listing) => listing.damaged.first().map(ToString::to_string),
            Err(error) => Some(error.to_string()),
        });
    }
    // The same way as the metrics, so that both say the same.
    let exporter = Exporter::new(Arc::new(app.config.clone()), app.clock.clone());
    app.block_on(exporter.refresh(&app.ledger))?;
    let view = exporter.view()?;
    let lines: Vec<Line> = names.iter().zip(problems).map(|(name, problem)| line(&view, name, problem)).collect();
    if json {
        lines.iter().try_for_each(output::json)?;
    } else {
        print(&lines)?;
    }
    Ok(u8::from(lines.iter().any(|line| line.now.problem.is_some())))
}

fn line(view: &View, name: &str, problem: Option<String>) -> Line {
    Line {
        now: status::of(view, &view.config.sources[name]).with_problem(problem),
        met_ratio_30d: ratios(view.met_ratios.get(name)),
        history_since: view.snapshot.created,
        history_is_partial: view.snapshot.is_history_partial(name),
    }
}

/// What is not known counts as not met.
fn ratios(known: Option<&MetRatios>) -> BTreeMap<&'static str, f64> {
    let ratio = |objective| known.and_then(|known| known.get(&objective)).copied().unwrap_or(0.0);
    Objective::ALL.into_iter().map(|objective| (objective.name(), ratio(objective))).collect()
}

fn print(lines: &[Line]) -> Result<()> {
    let mut table = output::table(&["SOURCE", "OBJECTIVE", "PROMISED", "MEASURED", ""]);
    let shown = |seconds: Option<f64>| seconds.map_or("never".to_owned(), output::duration);
    for Line { now: line, .. } in lines {
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
    for Line { now: line, history_since, history_is_partial, .. } in lines {
        let ends = [("backup", &line.last_backup), ("drill", &line.last_drill)];
        for (what, ended) in ends.iter().filter_map(|(what, ended)| Some((what, ended.as_ref()?))) {
            if !ended.reason.is_empty() {
                output::line(&format!("{}: last {what} {}: {}", line.source, ended.outcome, ended.reason))?;
            }
        }
        if *history_is_partial {
            let (name, since) = (&line.source, output::time(*history_since));
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
