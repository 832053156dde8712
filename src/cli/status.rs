//! `backup-sla status [SOURCE…]`: promised against measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::json;

use super::arguments::Sources;
use super::session::Session;
use super::{output, retired};
use crate::app::App;
use crate::config::SourceConfig;
use crate::display::{beside, duration, rfc3339};
use crate::domain::drill_choice::DrillKind;
use crate::domain::schedule::Work;
use crate::domain::sla::{Judgement, Objective};
use crate::error::{Result, Side};
use crate::ledger::SourceFigures;
use crate::operations::expectations::look_at_repository;
use crate::operations::ledger_health::look_at_ledger;
use crate::operations::listing::know;
use crate::operations::select::{split_suspects, suspicion};
use crate::scheduler::next_runs;
use crate::state::State;
use crate::state::View;
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
    let code = if names.configured.is_empty() { 0 } else { show(&app, &names.configured, form)? };
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

/// Ask the repositories and print promised against measured; 1 if a promise is not kept, a repository cannot be asked, or a
/// table or a file was left out of the newest backup.
pub fn show(app: &App, names: &[String], form: Form) -> Result<u8> {
    let ask = |name: &String| -> Result<Option<Looked>> {
        let source = app.source(name)?;
        know(app, &[&source])?;
        let Some(listed) = look_at_repository(app, &source)? else { return Ok(None) };
        let other_hosts = listed.warning(&source);
        let (suspect, sound) = split_suspects(app, &source, listed.own.points)?;
        Ok(Some(Looked {
            damage: listed.own.damaged.first().map(|error| (error.to_string(), Side::Repository)),
            left_out: sound.last().map(|point| point.manifest.not_in_it().collect()).unwrap_or_default(),
            suspicions: suspect.iter().map(|point| suspicion(point, app.clock.wall())).collect(),
            other_hosts,
        }))
    };
    // Before anything is written: what is looked at next may put right what somebody changed.
    let ledger = look_at_ledger(app).inspect_err(|error| {
        tracing::error!(hint = error.hint_text(), "cannot compare the ledger with its seals: {error}");
    });
    let mut problems = Vec::new();
    for name in names {
        problems.push(match ask(name) {
            // Before the very first backup there is nothing to be in trouble.
            Ok(looked) => looked.unwrap_or_default(),
            Err(error) => Looked {
                // Most of what can be wrong with a look at a repository is wrong with that.
                damage: Some((error.to_string(), error.side().unwrap_or(Side::Repository))),
                ..Looked::default()
            },
        });
    }
    // The same way as the metrics, so that both say the same.
    let state = State::new(Arc::new(app.config.clone()), app.clock.clone());
    if let Ok(ledger) = ledger {
        state.update_service(|service| ledger.show(service));
    }
    app.block_on(state.refresh(&app.ledger))?;
    let view = state.view()?;
    let lines: Vec<SourceStatus> = names
        .iter()
        .zip(problems)
        .map(|(name, looked)| {
            let status = line(&view, name, looked.damage).with_left_out(looked.left_out);
            status.with_suspicions(looked.suspicions).with_other_hosts(looked.other_hosts)
        })
        .collect();
    let code = exit_status(&lines);
    let lines = lines.into_iter().filter(|line| !form.quiet || line.is_bad()).collect::<Vec<_>>();
    if form.json {
        lines.iter().try_for_each(output::json)?;
    } else if !lines.is_empty() {
        print(&lines, app.config.timezone)?;
        print_schedule(app, &lines)?;
    }
    Ok(code)
}

/// What a look at the repository says beside what the ledger learns from it.
#[derive(Default)]
struct Looked {
    damage: Option<(String, Side)>,
    /// What the newest recovery point has not.
    left_out: Vec<String>,
    suspicions: Vec<String>,
    other_hosts: Option<String>,
}

/// 0 if every promise is kept or pending and no table is left out, 1 if not or if nobody can tell.
fn exit_status(lines: &[SourceStatus]) -> u8 {
    u8::from(lines.iter().any(SourceStatus::is_bad))
}

/// What begins next, and what did not begin.
fn print_schedule(app: &App, lines: &[SourceStatus]) -> Result<()> {
    let (due, now) = (next_runs(app)?, app.clock.wall());
    for line in lines {
        for (work, at) in Work::ALL.iter().filter_map(|work| Some((*work, *due.get(&(line.source.clone(), *work))?))) {
            output::line(&next_run_in_words(&line.source, work, at, (now, app.config.timezone)))?;
        }
        if let Some(missed) = missed_in_words(&line.missed_runs) {
            output::line(&format!("{}: missed since {}: {missed}", line.source, rfc3339(line.history_since)))?;
        }
    }
    Ok(())
}

fn next_run_in_words(source: &str, work: Work, at: DateTime<Utc>, (now, zone): (DateTime<Utc>, Tz)) -> String {
    let seconds = (at - now).as_seconds_f64();
    let when = output::time_in(at, zone);
    match seconds {
        seconds if seconds >= 1.0 => format!("{source}: next {work} {when}, in {}", duration(seconds)),
        seconds if seconds > -1.0 => format!("{source}: next {work} is due now"),
        seconds => format!("{source}: next {work} was due {when}, {} ago", duration(-seconds)),
    }
}

/// `2 backups, 1 drill`; none if nothing was missed.
fn missed_in_words<K: std::fmt::Display>(missed: &BTreeMap<K, u64>) -> Option<String> {
    let words = missed.iter().filter(|(_, count)| **count > 0);
    let words: Vec<String> =
        words.map(|(what, count)| format!("{count} {what}{}", if *count == 1 { "" } else { "s" })).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn line(view: &View, name: &str, problem: Option<(String, Side)>) -> SourceStatus {
    status::of(view, &view.config.sources[name]).with_problem(problem)
}

/// Objective, promised, measured, of each promise.
fn rows(line: &SourceStatus, zone: Tz) -> [(&'static str, String, String, Objective); 5] {
    let (promised, measured) = (&line.objectives, &line.measured);
    let never = |of: Objective| if line.judged(of) == Some(Judgement::Pending) { "not yet" } else { "never" };
    let shown = |of: Objective, seconds: Option<f64>, promised: f64| match seconds {
        None => never(of).to_owned(),
        // A promise must not look kept where it is not.
        Some(seconds) if line.judged(of) == Some(Judgement::NotMet) => beside(seconds, promised, duration),
        Some(seconds) => duration(seconds),
    };
    let age = match shown(Objective::Rpo, measured.rpo_seconds, promised.rpo_seconds) {
        // Most points are restored by no drill: what is known of the newest is that it is whole and listed.
        age if measured.rpo_seconds.is_some() => match measured.verified_rpo_seconds {
            Some(_) if measured.verified_recovery_point_time == measured.recovery_point_time => {
                format!("{age} old, restored by a drill")
            }
            Some(verified) => {
                format!("{age} old; the newest that a drill restored: {} old", duration(verified))
            }
            None => format!("{age} old; no drill has restored one"),
        },
        _ => "no backup yet".to_owned(),
    };
    let drilled = measured.last_passed_drill_time.map_or_else(
        || never(Objective::DrillInterval).to_owned(),
        |t| format!("last passed {}", output::time_in(t, zone)),
    );
    let mut oldest = measured
        .oldest_recovery_point_time
        .map_or("nothing".to_owned(), |t| format!("back to {}", output::time_in(t, zone)));
    if let Some(since) = measured.any_moment_since {
        let _ = write!(oldest, "; any moment since {}", output::time_in(since, zone));
    }
    [
        ("recovery point (RPO)", duration(promised.rpo_seconds), age, Objective::Rpo),
        (
            "recovery time (RTO)",
            duration(promised.rto_seconds),
            shown(Objective::Rto, measured.rto_seconds, promised.rto_seconds),
            Objective::Rto,
        ),
        (
            "test restore",
            format!("every {}", duration(promised.drill_interval_seconds)),
            drilled,
            Objective::DrillInterval,
        ),
        ("retention", duration(promised.retention_seconds), oldest, Objective::Retention),
        (
            "chain length",
            promised.max_chain_length.to_string(),
            measured.chain_length.to_string(),
            Objective::ChainLength,
        ),
    ]
}

/// What a new source waits for, and until when that is no fault.
fn pending_in_words(line: &SourceStatus, zone: Tz) -> Option<String> {
    let until = output::time_in(*line.pending.values().min()?, zone);
    Some(match (line.awaits_backup(), line.has_first_failed()) {
        (true, true) => {
            format!("{}: no backup yet, and the last attempt FAILED; the first one is due by {until}", line.source)
        }
        (true, false) => format!("{}: no backup yet: pending, expected by {until}", line.source),
        (false, _) => format!("{}: no passed drill yet: pending, expected by {until}", line.source),
    })
}

fn print(lines: &[SourceStatus], zone: Tz) -> Result<()> {
    let mut table = output::table(&["SOURCE", "OBJECTIVE", "PROMISED", "MEASURED", ""]);
    for line in lines {
        for (at, (objective, promised, measured, of)) in rows(line, zone).into_iter().enumerate() {
            let source = if at == 0 { line.source.clone() } else { String::new() };
            let judged = match line.judged(of) {
                Some(Judgement::NotMet) => "NOT MET",
                Some(judged) => judged.name(),
                // The repository could not be asked.
                None => "not known",
            };
            table.add_row([source, objective.to_owned(), promised, measured, judged.to_owned()]);
        }
    }
    output::text(&table.to_string())?;
    if let Some(problem) = lines.iter().find_map(|line| line.ledger_problem.as_ref()) {
        output::line(&format!("records of the ledger were changed, so this status may be wrong: {problem}"))?;
    }
    for line in lines {
        if let Some(pending) = pending_in_words(line, zone) {
            output::line(&pending)?;
        }
        if let Some(forecast) = line.forecast_in_words(duration) {
            output::line(&format!("{}: {forecast}", line.source))?;
        }
        let ends = [("backup", &line.last_backup), ("drill", &line.last_drill)];
        for (what, ended) in ends.iter().filter_map(|(what, ended)| Some((what, ended.as_ref()?))) {
            if !ended.reason.is_empty() {
                let kind = ended.kind.filter(|kind| *kind != DrillKind::Newest);
                let kind = kind.map_or(String::new(), |kind| format!(" ({})", kind.shown()));
                output::line(&format!("{}: last {what}{kind} {}: {}", line.source, ended.outcome, ended.reason))?;
            }
        }
        for gap in line.gaps_in_words(|time| output::time_in(time, zone), duration) {
            output::line(&format!("{}: {gap}", line.source))?;
        }
        if let Some(proved) = line.measured.closing_proof_time {
            let proved = output::time_in(proved, zone);
            output::line(&format!(
                "{}: the full backup of {proved} proved the chain of increments before it",
                line.source
            ))?;
        }
        if let Some(written) = line.measured.canary_time {
            let written = output::time_in(written, zone);
            output::line(&format!("{}: the newest canary in the repository was written {written}", line.source))?;
        }
        if let Some(broken) = &line.last_break {
            let (found, since) = (output::time_in(broken.found, zone), output::time_in(broken.lost_since, zone));
            output::line(&format!(
                "{}: the chain broke ({}), found {found}: {}; moments from {since} to the full backup that followed cannot be restored",
                line.source, broken.kind, broken.detail
            ))?;
        }
        if line.history_is_partial {
            let (name, since) = (&line.source, rfc3339(line.history_since));
            output::line(&format!("{name}: the ledger began {since}; the history before that is lost"))?;
        }
        if let Some(problem) = &line.problem {
            let side = line.problem_side.unwrap_or(Side::Repository.name());
            output::line(&format!("{}: the {side} is in trouble: {problem}", line.source))?;
        }
        if let Some(damage) = &line.repository_damage {
            output::line(&format!("{}: {damage}", line.source))?;
        }
        if let Some(said) = line.measured.left_out.of_the_backup() {
            output::line(&format!("{}: the newest backup {said}", line.source))?;
        }
        if let Some(vanished) = line.vanished_in_words() {
            output::line(&format!("{}: {vanished}", line.source))?;
        }
        if let Some(change) = &line.change {
            let unknown = change.not_judged_in_words().map(str::to_owned);
            let said = [change.in_words(), change.before_in_words(), change.what_to_type(&line.source), unknown];
            for said in said.into_iter().flatten() {
                output::line(&format!("{}: {said}", line.source))?;
            }
        }
        for said in line.suspicions.iter().chain(&line.left_out).chain(&line.other_hosts) {
            output::line(&format!("{}: {said}", line.source))?;
        }
        for operation in &line.running {
            let article = if operation.starts_with('i') { "an" } else { "a" };
            output::line(&format!("{}: {article} {operation} is running", line.source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::domain::manifest::BackupKind;
    use crate::exporter::tests::{SetClock, config, service};
    use crate::ledger::{Ledger, Operation, Outcome, RunResult, RunStart};

    /// The status of `agama` after runs that ended so.
    async fn after(runs: &[(Operation, Outcome)]) -> SourceStatus {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
        ledger.ensure_source("agama", "mysql", "offsite").await.unwrap();
        for (operation, outcome) in runs {
            let kind = (*operation == Operation::Backup).then_some(BackupKind::Full);
            let run = ledger
                .begin(&RunStart { source: "agama".into(), operation: *operation, kind, drill: None })
                .await
                .unwrap();
            clock.advance(60);
            ledger.finish(&run, &RunResult::new(*outcome, 60.0)).await.unwrap();
        }
        let snapshot = ledger.snapshot().await.unwrap();
        let view = View::new(config(dir.path(), &["agama"]), snapshot, service(), clock.wall());
        line(&view, "agama", None)
    }

    #[tokio::test]
    async fn the_age_of_the_newest_point_is_told_with_what_drills_have_restored() {
        let mut status = after(&[]).await;
        let now = SetClock::new().wall();
        let hours = |hours: i64| (Some(now - chrono::TimeDelta::hours(hours)), Some(hours as f64 * 3600.0));
        let measured = |status: &SourceStatus| rows(status, Tz::UTC)[0].2.clone();
        assert_eq!(measured(&status), "no backup yet");
        (status.measured.recovery_point_time, status.measured.rpo_seconds) = hours(2);
        assert_eq!(measured(&status), "2h old; no drill has restored one");
        for (verified, said) in
            [(2, "2h old, restored by a drill"), (26, "2h old; the newest that a drill restored: 26h old")]
        {
            (status.measured.verified_recovery_point_time, status.measured.verified_rpo_seconds) = hours(verified);
            assert_eq!(measured(&status), said);
        }
    }

    #[tokio::test]
    async fn the_status_of_a_new_source_is_bad_once_its_first_backup_or_first_drill_has_failed() {
        use Operation::{Backup, Drill};
        let said =
            |status: &SourceStatus| (exit_status(std::slice::from_ref(status)), pending_in_words(status, Tz::UTC));
        let pending = "agama: no backup yet: pending, expected by 2026-09-22T14:13:20Z";
        assert_eq!(said(&after(&[]).await), (0, Some(pending.to_owned())));
        for outcome in [Outcome::Failed, Outcome::Interrupted] {
            let failed = after(&[(Backup, outcome)]).await;
            let words =
                "agama: no backup yet, and the last attempt FAILED; the first one is due by 2026-09-22T14:13:20Z";
            assert_eq!(said(&failed), (1, Some(words.to_owned())));
            assert_eq!(failed.broken(), [], "it is tried again, and may still come in time");
        }
        for outcome in [Outcome::Inconclusive, Outcome::Interrupted] {
            assert_eq!(said(&after(&[(Drill, outcome)]).await).0, 0, "says nothing of a backup");
        }
        let failed = after(&[(Drill, Outcome::Failed)]).await;
        assert_eq!((said(&failed).0, failed.broken()), (1, vec![Objective::Rto, Objective::DrillInterval]));
        assert!(!failed.pending.contains_key("rto") && failed.pending.contains_key("rpo"));
        let again = after(&[(Drill, Outcome::Failed), (Drill, Outcome::Inconclusive)]).await;
        assert_eq!(said(&again).0, 1, "the failure stands until one passes");
    }

    #[test]
    fn next_runs_and_missed_ones_read_well() {
        let now = DateTime::from_timestamp(1_769_824_800, 0).unwrap();
        let said = |seconds| {
            let at = now + chrono::TimeDelta::seconds(seconds);
            next_run_in_words("shop", Work::FullBackup, at, (now, Tz::Europe__Berlin))
        };
        assert_eq!(said(3_600), "shop: next full backup 2026-01-31T03:00:00Z (2026-01-31 04:00:00 CET), in 1h");
        assert_eq!(said(0), "shop: next full backup is due now");
        assert_eq!(
            said(-600),
            "shop: next full backup was due 2026-01-31T01:50:00Z (2026-01-31 02:50:00 CET), 10m ago"
        );
        assert_eq!(missed_in_words(&BTreeMap::from([("backup", 0), ("drill", 0)])), None);
        assert_eq!(missed_in_words(&BTreeMap::from([("backup", 2), ("drill", 1)])).unwrap(), "2 backups, 1 drill");
    }
}
