//! `backup-sla drill [SOURCE…]`

use chrono_tz::Tz;
use clap::Args;

use super::arguments::{BeforeArguments, PointArguments, Sources};
use super::session::{Session, for_each};
use super::{notes, output};
use crate::display::duration;
use crate::domain::drill::{DrillReport, Stage, Verdict};
use crate::domain::drill_choice::DrillKind;
use crate::domain::words::Words;
use crate::error::Result;
use crate::operations::drill::{DrillRequest, drill};
use crate::operations::select::Selection;

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // switches of a command line
pub struct Arguments {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    point: PointArguments,
    #[command(flatten)]
    before: BeforeArguments,
    /// The oldest recovery point that is kept
    #[arg(long, groups = ["named", "point"])]
    oldest: bool,
    /// A random recovery point
    #[arg(long, groups = ["named", "point"])]
    random: bool,
    /// The newest closed chain: its full backup and all increments must come to exactly what the next full backup has
    #[arg(long, groups = ["named", "point"])]
    closed_chain: bool,
    /// Leave the sandbox running if the verdict is not `passed`
    #[arg(long)]
    keep_on_failure: bool,
    /// Show all notes, not only those that are new since the last drill
    #[arg(long)]
    notes: bool,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    let names = app.names(&arguments.sources.sources)?;
    let selection = match (arguments.oldest, arguments.random, arguments.closed_chain) {
        (true, ..) => Selection::Oldest,
        (_, true, _) => Selection::Random,
        (_, _, true) => Selection::ClosedChain(None),
        _ => match arguments.before.selection(&arguments.point)? {
            Some(before) => before,
            None => arguments.point.selection(app.config.timezone)?,
        },
    };
    let kind = match selection {
        Selection::Newest => DrillKind::Newest,
        Selection::Oldest => DrillKind::Oldest,
        Selection::Random => DrillKind::Random,
        Selection::ClosedChain(_) => DrillKind::ClosedChain,
        _ => DrillKind::Named,
    };
    let request = DrillRequest { selection, kind, keep_on_failure: arguments.keep_on_failure };
    Ok(for_each(session, &names, |name| {
        let source = app.source(name)?;
        let report = drill(&app, &source, &request, &session.context)?;
        if session.json {
            output::json(&report)?;
        } else if !session.quiet || report.verdict != Verdict::Passed {
            let notes = notes::news(&app, (name, "drill"), &report.warnings, &report.losses, arguments.notes);
            let promised = Some(source.objectives.rto.as_secs_f64());
            print(&report, source.kind.words(), promised, &notes, app.config.timezone)?;
        }
        Ok(report.verdict.exit_code())
    }))
}

/// One drill or verification for people.
pub fn print(report: &DrillReport, words: Words, promised: Option<f64>, notes: &[String], zone: Tz) -> Result<()> {
    let point = report.recovery_point.as_ref().map_or("no recovery point".to_owned(), ToString::to_string);
    let of = report.recovery_point_time.map_or(String::new(), |time| format!(" of {}", output::time_in(time, zone)));
    let special = report.drill_kind.filter(|kind| !matches!(kind, DrillKind::Newest | DrillKind::Named));
    let kind = special.map_or(String::new(), |kind| format!(" ({})", kind.shown()));
    let is_whole = report.verdict != Verdict::Passed || report.differs.is_empty();
    let but = if is_whole { "" } else { ", not proved whole" };
    output::line(&format!("{}: {}{but}{kind} — {point}{of}", report.source, report.verdict.name().to_uppercase()))?;
    report.differs.iter().try_for_each(|what| output::line(&format!("  not proved: {what}")))?;
    if report.verdict != Verdict::Passed {
        output::line(&format!("  reason: {}", report.reason))?;
        if let Some(hint) = &report.hint {
            output::line(&format!("  hint: {hint}"))?;
        }
        for check in report.checks.iter().filter(|check| !check.ok).take(20) {
            output::line(&format!("  wrong: {}: expected {}, found {}", check.name, check.expected, check.actual))?;
        }
    }
    // Of what was never restored nothing holds or does not.
    if !report.checks.is_empty() {
        let good = report.checks.iter().filter(|check| check.ok).count();
        output::line(&format!(
            "  {}, {good} of {} checks hold",
            output::contents(words, report.tables.len() + report.counted.tables, report.verified_rows()),
            report.checks.len()
        ))?;
    }
    let promised = promised.filter(|_| report.drill_kind.is_none_or(DrillKind::counts_for_promises));
    if let (Some(rto), Some(promised)) = (report.rto_seconds, promised) {
        let kept = if rto <= promised { "kept" } else { "BROKEN" };
        let (rto, promised) = (duration(rto), duration(promised));
        output::line(&format!("  recovery time: measured {rto}, promised {promised}: {kept}"))?;
    }
    if report.replayed_transactions > 0 {
        let (transactions, took) = (report.replayed_transactions, report.stages.get(&Stage::Replay).copied());
        output::line(&format!("  replayed: {transactions} transactions in {}", duration(took.unwrap_or(0.0))))?;
    }
    let stages = Stage::ALL.iter().filter_map(|stage| Some((stage, report.stages.get(stage)?)));
    let stages: Vec<String> = stages.map(|(stage, s)| format!("{stage} {}", duration(*s))).collect();
    output::line(&format!("  stages: {}", stages.join(", ")))?;
    if let Some(isolation) = report.sandbox.get("isolation") {
        output::line(&format!("  sandbox: {isolation}"))?;
    }
    notes.iter().try_for_each(|note| output::line(&format!("  note: {note}")))
}
