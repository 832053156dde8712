//! `backup-sla status [SOURCE…]`: promised against measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::output;
use super::{Session, Sources};
use crate::app::App;
use crate::domain::history::MetRatios;
use crate::domain::sla::{self, Objective, Objectives};
use crate::error::Result;
use crate::exporter::refresh::{Exporter, View};
use crate::ledger::{Run, SourceFigures};
use crate::operations::{know, refresh_points};

/// Promised and measured figures of one source; seconds throughout. What never happened is null, and not met.
#[derive(Debug, Serialize)]
struct Line {
    source: String,
    kind: String,
    /// What is wrong with the repository; where it could not be asked, the figures are the last known ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    objectives: Promised,
    measured: Measured,
    met: Met,
    /// Share of the last 30 days, or of the time since the source was first seen, in which each objective was met.
    met_ratio_30d: BTreeMap<&'static str, f64>,
    /// When the ledger began: nothing is known of drills and runs before.
    history_since: DateTime<Utc>,
    /// Whether there are recovery points from before: the history that belonged to them was lost.
    history_is_partial: bool,
    running: Vec<String>,
    last_backup: Option<Ended>,
    last_drill: Option<Ended>,
}

#[derive(Debug, Serialize)]
struct Promised {
    rpo_seconds: f64,
    rto_seconds: f64,
    retention_seconds: f64,
    drill_interval_seconds: f64,
    max_chain_length: u32,
}

#[derive(Debug, Serialize)]
struct Measured {
    recovery_points: u64,
    recovery_point_time: Option<DateTime<Utc>>,
    rpo_seconds: Option<f64>,
    verified_recovery_point_time: Option<DateTime<Utc>>,
    verified_rpo_seconds: Option<f64>,
    oldest_recovery_point_time: Option<DateTime<Utc>>,
    rto_seconds: Option<f64>,
    last_passed_drill_time: Option<DateTime<Utc>>,
    chain_length: u32,
}

#[allow(clippy::struct_excessive_bools)] // one per objective
#[derive(Debug, Serialize)]
struct Met {
    rpo: bool,
    rto: bool,
    retention: bool,
    drill_interval: bool,
    max_chain_length: bool,
}

#[derive(Debug, Serialize)]
struct Ended {
    outcome: String,
    time: Option<DateTime<Utc>>,
    reason: String,
}

pub fn run(session: &Session<'_>, arguments: &Sources) -> Result<u8> {
    let app = session.app()?;
    let names = app.names(&arguments.sources)?;
    show(&app, &names, session.json)
}

/// Ask the repositories and print promised against measured.
pub fn show(app: &App, names: &[String], json: bool) -> Result<u8> {
    let mut problems = Vec::new();
    for name in names {
        problems.push(
            match app.source(name).and_then(|source| {
                know(app, &source)?;
                refresh_points(app, &source)
            }) {
                Ok(listing) => listing.damaged.first().map(ToString::to_string),
                Err(error) => Some(error.to_string()),
            },
        );
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
    Ok(u8::from(lines.iter().any(|line| line.problem.is_some())))
}

fn line(view: &View, name: &str, problem: Option<String>) -> Line {
    let View { config, snapshot, met_ratios, now, .. } = view;
    let config = &config.sources[name];
    let nothing = SourceFigures::default();
    let figures = snapshot.sources.get(name).unwrap_or(&nothing);
    let now = *now;
    let age = |time: Option<DateTime<Utc>>| time.map(|time| (now - time).as_seconds_f64());
    let measured = Measured {
        recovery_points: figures.points.by_kind.values().sum(),
        recovery_point_time: figures.points.newest,
        rpo_seconds: age(figures.points.newest),
        verified_recovery_point_time: figures.points.newest_verified,
        verified_rpo_seconds: age(figures.points.newest_verified),
        oldest_recovery_point_time: figures.points.oldest,
        rto_seconds: figures.drills.last_measured.as_ref().and_then(|run| run.rto_seconds),
        last_passed_drill_time: figures.drills.last_passed.as_ref().and_then(|run| run.ended),
        chain_length: figures.points.chain_length,
    };
    let objectives = &config.objectives;
    Line {
        source: name.to_owned(),
        kind: config.kind.name().to_owned(),
        met: met(objectives, &figures.measured(), now),
        objectives: promised(objectives),
        met_ratio_30d: ratios(met_ratios.get(name)),
        history_since: snapshot.created,
        history_is_partial: snapshot.is_history_partial(name),
        measured,
        problem,
        running: figures.running.iter().map(|run| run.operation.name().to_owned()).collect(),
        last_backup: figures.last_backup.as_ref().map(ended),
        last_drill: figures.drills.last.as_ref().map(ended),
    }
}

fn promised(objectives: &Objectives) -> Promised {
    Promised {
        rpo_seconds: objectives.rpo.as_secs_f64(),
        rto_seconds: objectives.rto.as_secs_f64(),
        retention_seconds: objectives.retention.as_secs_f64(),
        drill_interval_seconds: objectives.drill_interval.as_secs_f64(),
        max_chain_length: objectives.max_chain_length,
    }
}

fn met(objectives: &Objectives, measured: &sla::Measured, now: DateTime<Utc>) -> Met {
    let met = |objective| objectives.are_met(objective, measured, now);
    Met {
        rpo: met(Objective::Rpo),
        rto: met(Objective::Rto),
        retention: met(Objective::Retention),
        drill_interval: met(Objective::DrillInterval),
        max_chain_length: met(Objective::ChainLength),
    }
}

/// What is not known counts as not met.
fn ratios(known: Option<&MetRatios>) -> BTreeMap<&'static str, f64> {
    let ratio = |objective| known.and_then(|known| known.get(&objective)).copied().unwrap_or(0.0);
    Objective::ALL.into_iter().map(|objective| (objective.name(), ratio(objective))).collect()
}

fn ended(run: &Run) -> Ended {
    let outcome = run.outcome.map_or("running", crate::ledger::Outcome::name);
    Ended { outcome: outcome.to_owned(), time: run.ended, reason: run.reason.clone() }
}

fn print(lines: &[Line]) -> Result<()> {
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
        let ends = [("backup", &line.last_backup), ("drill", &line.last_drill)];
        for (what, ended) in ends.iter().filter_map(|(what, ended)| Some((what, ended.as_ref()?))) {
            if !ended.reason.is_empty() {
                output::line(&format!("{}: last {what} {}: {}", line.source, ended.outcome, ended.reason))?;
            }
        }
        if line.history_is_partial {
            let since = output::time(line.history_since);
            output::line(&format!(
                "{}: the ledger began {since}; what was known of earlier runs is lost",
                line.source
            ))?;
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
