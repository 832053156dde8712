//! `backup-sla status [SOURCE…]`: promised against measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::json;

use super::next_runs::next_runs;
use super::{Session, Sources, output, retired};
use crate::app::App;
use crate::config::SourceConfig;
use crate::domain::schedule::Work;
use crate::error::Result;
use crate::exporter::refresh::{Exporter, View};
use crate::ledger::SourceFigures;
use crate::operations::{know, refresh_points};
use crate::repository::Listing;
use crate::status::{self, SourceStatus};

/// How it is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Form {
    /// For programs.
    pub json: bool,
    /// Only sources of which something is wrong.
    pub quiet: bool,
}

pub fn run(session: &Session<'_>, arguments: &Sources) -> Result<u8> {
    let app = session.app()?;
    let names = retired::names(&app, &arguments.sources)?;
    let form = Form { json: session.json, quiet: session.quiet };
    let code = if names.configured.is_empty() { 0 } else { show(&app, &names.configured, &form)? };
    if !form.json && !form.quiet && app.config.sources.values().any(is_scheduled) && !app.is_served()? {
        output::line(&format!(
            "no service runs on {}: nothing begins by itself (`systemctl start backup-sla`)",
            app.config.state_dir.display()
        ))?;
    }
    for (name, figures) in &names.retired {
        // Programs that did not ask for it know only what is configured.
        if !form.json && !form.quiet {
            output::line(&in_words(name, figures))?;
        } else if form.json && arguments.sources.contains(name) {
            let points: u64 = figures.points.by_kind.values().sum();
            let (kind, repository) = (&figures.kind, &figures.repository);
            output::json(
                &json!({"source": name, "retired": true, "kind": kind, "repository": repository, "recovery_points": points}),
            )?;
        }
    }
    Ok(code)
}

fn is_scheduled(source: &SourceConfig) -> bool {
    Work::ALL.into_iter().any(|work| source.timing(work).is_some())
}

/// One sentence on a source that is no longer configured.
fn in_words(name: &str, figures: &SourceFigures) -> String {
    let points: u64 = figures.points.by_kind.values().sum();
    format!("{name}: retired; {points} recovery points when it was last looked at (`backup-sla list {name}`)")
}

/// Ask the repositories and print promised against measured; 1 if a promise is not kept or a repository cannot be asked.
pub fn show(app: &App, names: &[String], form: &Form) -> Result<u8> {
    let ask = |name: &String| -> Result<Listing> {
        let source = app.source(name)?;
        know(app, &[&source])?;
        Ok(refresh_points(app, &source)?.own)
    };
    let mut problems = Vec::new();
    for name in names {
        problems.push(match ask(name) {
            Ok(listing) => {
                let newest = listing.points.last().map(|point| point.manifest.not_in_it().collect());
                (listing.damaged.first().map(ToString::to_string), newest.unwrap_or_default())
            }
            Err(error) => (Some(error.to_string()), Vec::new()),
        });
    }
    // The same way as the metrics, so that both say the same.
    let exporter = Exporter::new(Arc::new(app.config.clone()), app.clock.clone());
    app.block_on(exporter.refresh(&app.ledger))?;
    let view = exporter.view()?;
    let lines: Vec<SourceStatus> = names
        .iter()
        .zip(problems)
        .map(|(name, (problem, left_out))| line(&view, name, problem).with_left_out(left_out))
        .collect();
    let code = exit_status(&lines);
    let lines = lines.into_iter().filter(|line| !form.quiet || is_wrong(line)).collect::<Vec<_>>();
    if form.json {
        lines.iter().try_for_each(output::json)?;
    } else if !lines.is_empty() {
        print(&lines, app.config.timezone)?;
        print_schedule(app, &lines)?;
    }
    Ok(code)
}

/// Whether a promise of the source is not kept, or nobody can tell.
fn is_wrong(line: &SourceStatus) -> bool {
    line.problem.is_some() || !line.broken().is_empty()
}

/// 0 if every promise is kept, 1 if one is not or nobody can tell.
fn exit_status(lines: &[SourceStatus]) -> u8 {
    u8::from(lines.iter().any(is_wrong))
}

/// What begins next, and what did not begin.
fn print_schedule(app: &App, lines: &[SourceStatus]) -> Result<()> {
    let names: Vec<String> = lines.iter().map(|line| line.source.clone()).collect();
    let (due, now) = (next_runs(app, &names)?, app.clock.wall());
    for line in lines {
        for (work, at) in Work::ALL.iter().filter_map(|work| Some((*work, *due.get(&(line.source.clone(), *work))?))) {
            output::line(&next_run_in_words(&line.source, work, at, (now, app.config.timezone)))?;
        }
        if let Some(missed) = missed_in_words(&line.missed_runs) {
            output::line(&format!("{}: missed since {}: {missed}", line.source, output::time(line.history_since)))?;
        }
    }
    Ok(())
}

fn next_run_in_words(source: &str, work: Work, at: DateTime<Utc>, (now, zone): (DateTime<Utc>, Tz)) -> String {
    let seconds = (at - now).as_seconds_f64();
    let when = output::time_in(at, zone);
    match seconds {
        seconds if seconds >= 1.0 => format!("{source}: next {work} {when}, in {}", output::duration(seconds)),
        seconds if seconds > -1.0 => format!("{source}: next {work} is due now"),
        seconds => format!("{source}: next {work} was due {when}, {} ago", output::duration(-seconds)),
    }
}

/// `2 backups, 1 drill`; none if nothing was missed.
fn missed_in_words<K: std::fmt::Display>(missed: &BTreeMap<K, u64>) -> Option<String> {
    let words = missed.iter().filter(|(_, count)| **count > 0);
    let words: Vec<String> =
        words.map(|(what, count)| format!("{count} {what}{}", if *count == 1 { "" } else { "s" })).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn line(view: &View, name: &str, problem: Option<String>) -> SourceStatus {
    status::of(view, &view.config.sources[name]).with_problem(problem)
}

fn print(lines: &[SourceStatus], zone: Tz) -> Result<()> {
    let mut table = output::table(&["SOURCE", "OBJECTIVE", "PROMISED", "MEASURED", ""]);
    let shown = |seconds: Option<f64>| seconds.map_or("never".to_owned(), output::duration);
    for line in lines {
        let (promised, measured, met) = (&line.objectives, &line.measured, &line.met);
        let drilled = measured
            .last_passed_drill_time
            .map_or("never".to_owned(), |t| format!("last passed {}", output::time_in(t, zone)));
        let oldest = measured
            .oldest_recovery_point_time
            .map_or("nothing".to_owned(), |t| format!("back to {}", output::time_in(t, zone)));
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
            output::line(&format!("{}: the repository is in trouble: {problem}", line.source))?;
        }
        for said in &line.left_out {
            output::line(&format!("{}: {said}", line.source))?;
        }
        for operation in &line.running {
            output::line(&format!("{}: a {operation} is running", line.source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_runs_and_missed_ones_read_well() {
        let now = DateTime::from_timestamp(1_769_824_800, 0).unwrap();
        let said = |seconds| {
            let at = now + chrono::TimeDelta::seconds(seconds);
            next_run_in_words("shop", Work::FullBackup, at, (now, Tz::Europe__Berlin))
        };
        assert_eq!(said(3_600), "shop: next full backup 2026-01-31T03:00:00Z (2026-01-31 04:00 CET), in 1h");
        assert_eq!(said(0), "shop: next full backup is due now");
        assert_eq!(said(-600), "shop: next full backup was due 2026-01-31T01:50:00Z (2026-01-31 02:50 CET), 10m ago");
        assert_eq!(missed_in_words(&BTreeMap::from([("backup", 0), ("drill", 0)])), None);
        assert_eq!(missed_in_words(&BTreeMap::from([("backup", 2), ("drill", 1)])).unwrap(), "2 backups, 1 drill");
    }
}
