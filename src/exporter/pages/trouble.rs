//! What is wrong now, since when, why, and what to type.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::objectives;
use super::restore::{program, restore};
use super::words::{Moment, source_address, time};
use crate::domain::sla::Objective;
use crate::error::Error;
use crate::ledger::{Operation, Outcome, Run, SourceFigures, Upkeep, UpkeepOutcome};
use crate::state::View;
use crate::status::SourceStatus;

/// A scheduler that was not heard of for longer has stalled: the age the alert uses.
const STALLED: TimeDelta = TimeDelta::seconds(300);
/// A ledger that was not read for longer makes every figure old.
const UNREAD: TimeDelta = TimeDelta::seconds(60);
/// Most sources whose troubles are written out.
pub(super) const SOURCES: usize = 20;

/// Something that is wrong.
pub(super) struct Trouble {
    /// One sentence.
    pub what: String,
    /// Since when, where that is known.
    pub since: Option<DateTime<Utc>>,
    /// What the failed run or the service said; empty where there is nothing to add.
    pub reason: String,
    /// What to try.
    pub hint: Option<String>,
    /// What to type.
    pub command: Option<String>,
    /// What else may be done, after that.
    pub after: Option<String>,
}

impl Trouble {
    fn new(what: impl Into<String>, since: Option<DateTime<Utc>>) -> Self {
        Self { what: what.into(), since, reason: String::new(), hint: None, command: None, after: None }
    }

    /// A ledger that cannot be read.
    pub(super) fn of_ledger(error: &Error) -> Self {
        let hint = error.hint_text().map(str::to_owned);
        Self {
            reason: error.to_string(),
            hint,
            ..Self::new("The ledger cannot be read: this page shows what was last read from it", None)
        }
    }
}

/// What is wrong with the service itself and with its repositories.
pub(super) fn of_service(view: &View) -> Vec<Trouble> {
    let mut all = Vec::new();
    if let Some(reason) = view.service.state_trouble.clone() {
        let what = "The state directory cannot be written: nothing is recorded, and no backup or drill can begin";
        all.push(Trouble { reason, ..Trouble::new(what, None) });
    }
    if let Some((seals, first)) = view.service.seals.as_ref().and_then(|it| Some((it, it.first.clone()?))) {
        let what = "Records of the ledger were changed: this page and the metrics may be wrong";
        let mut trouble = Trouble::new(what, Some(seals.at));
        (trouble.reason, trouble.command) = (first, Some(program(view, &["report", "--json"])));
        all.push(trouble);
    }
    if view.service.ledgers_set_aside > 0 {
        let hint = "move the file to another place and check the disk. A file of 0 bytes means that the ledger was removed or \
                    emptied: find out who did it"
            .to_owned();
        let what = "A damaged ledger was set aside (ledger.sqlite.damaged-…): reports lack what it recorded";
        all.push(Trouble { hint: Some(hint), ..Trouble::new(what, None) });
    }
    let known = view.config.repositories.keys();
    for (name, state) in known.filter_map(|name| Some((name, view.service.repositories.get(name)?))) {
        if state.key_available == Some(false) {
            let hint = "check its password_file, or put back the key from your other copy".to_owned();
            let what = format!("The configured key does not open repository {name}");
            all.push(Trouble { hint: Some(hint), ..Trouble::new(what, None) });
        } else if state.up == Some(false) {
            let hint = "the service's log says why; backups, drills and restores of its sources fail until it is back";
            let what = format!("Repository {name} could not be read when it was last tried");
            all.push(Trouble { hint: Some(hint.to_owned()), ..Trouble::new(what, state.last_look) });
        }
    }
    all.extend(view.config.repositories.keys().flat_map(|name| of_upkeep(view, name)));
    if let Some(scheduler) = &view.service.scheduler
        && scheduler.last_tick.is_none_or(|tick| view.now - tick > STALLED)
    {
        let hint = "no backup and no drill starts by itself: check the service's log and restart it".to_owned();
        all.push(Trouble { hint: Some(hint), ..Trouble::new("The scheduler has stalled", scheduler.last_tick) });
    }
    if let Some((reload, error)) = view.service.last_reload.as_ref().and_then(|it| Some((it, it.error.clone()?))) {
        let mut trouble =
            Trouble::new("The changed configuration was refused; the old one is still in use", Some(reload.at));
        (trouble.reason, trouble.command) = (error, Some(program(view, &["check-config"])));
        all.push(trouble);
    }
    if view.now - view.snapshot.taken > UNREAD {
        all.push(Trouble::new("The ledger has not been read for a minute: figures are old", Some(view.snapshot.taken)));
    }
    all
}

/// What the last check of a repository found, and why its last maintenance failed.
fn of_upkeep(view: &View, name: &str) -> Vec<Trouble> {
    let Some(known) = view.snapshot.upkeep.get(name) else { return Vec::new() };
    let words = [
        (Upkeep::Check, format!("Repository {name} is damaged"), vec!["check", "--read-data", name]),
        (Upkeep::Maintain, format!("The last maintenance of repository {name} failed"), vec!["maintain", name]),
    ];
    let told = words.into_iter().filter_map(|(operation, what, command)| {
        let run = known.last_result.get(&operation)?;
        let UpkeepOutcome::Failed(reason, hint) = run.outcome.clone() else { return None };
        let command = Some(program(view, &command));
        Some(Trouble { reason, hint, command, ..Trouble::new(what, Some(run.ended)) })
    });
    told.collect()
}

/// What is wrong with a source: promises that are not kept, then last runs that did not end well, then what the newest
/// backup has not.
pub(super) fn of_source(view: &View, status: &SourceStatus) -> Vec<Trouble> {
    let nothing = SourceFigures::default();
    let figures = view.snapshot.sources.get(&status.source).unwrap_or(&nothing);
    let mut all: Vec<Trouble> =
        status.broken().into_iter().filter_map(|objective| broken(view, status, figures, objective)).collect();
    let name = status.source.as_str();
    for (run, again) in [(figures.last_backup.as_ref(), "backup"), (figures.drills.last.as_ref(), "drill")] {
        let Some(run) = run.filter(|run| run.outcome.is_some_and(|outcome| !outcome.is_good())) else { continue };
        let beside = run.drill.and_then(|kind| Some((kind.shown(), kind.switch()?)));
        let of_kind = beside.map_or_else(String::new, |(kind, _)| format!(" ({kind})"));
        let what = format!("The last {}{of_kind} {}", run.operation, ended_how(run));
        let command: Vec<&str> = [again, name].into_iter().chain(beside.map(|(_, switch)| switch)).collect();
        let command = Some(program(view, &command));
        let (reason, hint) = (run.reason.clone(), run.hint.clone());
        all.push(Trouble { reason, hint, command, ..Trouble::new(what, run.ended) });
    }
    all.extend(vanished(view, status));
    all.extend(suspect(status));
    all.extend(changed(view, status));
    all.extend(incomplete(view, status));
    say_commands_once(&mut all);
    all
}

/// Recovery points that somebody removed.
fn vanished(view: &View, status: &SourceStatus) -> Option<Trouble> {
    let hint =
        "check who can write to the repository, and put them back from a copy of it; to list what is left:".to_owned();
    let command = Some(program(view, &["list", &status.source]));
    Some(Trouble { hint: Some(hint), command, ..Trouble::new(capital(&status.vanished_in_words()?), None) })
}

/// Recovery points that were dated by a wrong clock.
fn suspect(status: &SourceStatus) -> Option<Trouble> {
    let count = status.measured.suspect;
    let points = if count == 1 { "1 recovery point has".to_owned() } else { format!("{count} recovery points have") };
    let what = format!("{points} a date that cannot be right: a clock was wrong");
    let hint = format!(
        "they do not count, and nothing chooses them by itself; `backup-sla list {}` shows them",
        status.source
    );
    (count > 0).then(|| Trouble { hint: Some(hint), ..Trouble::new(what, None) })
}

/// Data that is no longer what it was.
fn changed(view: &View, status: &SourceStatus) -> Option<Trouble> {
    let change = status.change.as_ref()?;
    let what = capital(&change.in_words()?);
    let before = change.before_in_words();
    let before = before.map_or_else(String::new, |said| format!("; {said}; restore it, first into another place:"));
    let hint = Some(format!("look at the source before anything else{before}"));
    let config = view.config.sources.get(&status.source);
    let before = change.found.before.as_ref();
    let command = before.zip(config).map(|(before, config)| restore(view, config, &before.id));
    let accept = program(view, &["accept-change", &status.source]);
    let after = Some(format!("Only if the change was meant: {accept}"));
    let since = change.since.as_ref().map(|since| since.as_of);
    Some(Trouble { hint, command, after, ..Trouble::new(what, since) })
}

pub(super) fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What could not be read when the newest backup was made.
fn incomplete(view: &View, status: &SourceStatus) -> Option<Trouble> {
    let said = status.measured.left_out.of_the_backup()?;
    let hint = "repair or drop them on the source, then take a backup; this names them and says why:".to_owned();
    let command = Some(program(view, &["status", &status.source]));
    let what = format!("The newest backup {said}");
    Some(Trouble { hint: Some(hint), command, ..Trouble::new(what, status.measured.recovery_point_time) })
}

/// What mends several troubles is typed once, after the last of them.
fn say_commands_once(troubles: &mut [Trouble]) {
    for at in 1..troubles.len() {
        let (before, rest) = troubles.split_at_mut(at);
        before.iter_mut().filter(|it| it.command == rest[0].command).for_each(|it| it.command = None);
    }
}

/// `failed`, `was inconclusive`, `was interrupted`.
pub(super) fn ended_how(run: &Run) -> &'static str {
    match (run.outcome, run.operation) {
        (Some(Outcome::Failed), Operation::Drill) => "failed: the backup does not restore as promised",
        (Some(Outcome::Failed), _) => "failed",
        (Some(Outcome::Inconclusive), _) => "was inconclusive: it could not be carried out",
        (Some(Outcome::Interrupted), _) => "was interrupted",
        (Some(Outcome::Succeeded | Outcome::Passed), _) => "ended well",
        (None, _) => "is running",
    }
}

fn broken(view: &View, status: &SourceStatus, figures: &SourceFigures, objective: Objective) -> Option<Trouble> {
    let (measured, promised) = (&status.measured, &status.objectives);
    let after = |time: Option<DateTime<Utc>>, seconds: f64| {
        let late = std::time::Duration::try_from_secs_f64(seconds).ok().and_then(|it| TimeDelta::from_std(it).ok());
        time.zip(late).and_then(|(time, late)| time.checked_add_signed(late))
    };
    let fact = objectives::fact(status, objective, view.now);
    let name = status.source.as_str();
    let never = measured.recovery_points == 0;
    Some(match objective {
        Objective::Rpo if never => {
            let command = Some(program(view, &["backup", name]));
            Trouble { command, ..Trouble::new("There is no recovery point: nothing can be restored", figures.created) }
        }
        // Said once.
        Objective::Retention | Objective::ChainLength if never => return None,
        Objective::Rpo => {
            let what =
                format!("RPO: the newest recovery point is {} old, promised is {}", fact.measured, fact.promised);
            let since = after(measured.recovery_point_time, promised.rpo_seconds);
            Trouble { command: Some(program(view, &["backup", name])), ..Trouble::new(what, since) }
        }
        Objective::Rto if measured.rto_seconds.is_none() => {
            let (yet, since) = if status.history_is_partial {
                ("since the ledger began", Some(status.history_since))
            } else {
                ("yet", figures.created)
            };
            Trouble::new(format!("RTO: no drill has measured a recovery time {yet}"), since)
        }
        Objective::Rto => {
            let what = format!("RTO: the last drill took {} to restore, promised is {}", fact.measured, fact.promised);
            Trouble::new(what, figures.drills.last_measured.as_ref().and_then(|run| run.ended))
        }
        Objective::DrillInterval => {
            let what = match measured.last_passed_drill_time {
                Some(_) => {
                    format!("Drill: none has passed for {}, promised is one every {}", fact.measured, fact.promised)
                }
                None if status.history_is_partial => {
                    format!("Drill: none has passed since the ledger began, promised is one every {}", fact.promised)
                }
                None => format!("Drill: none has ever passed, promised is one every {}", fact.promised),
            };
            let known = if status.history_is_partial { Some(status.history_since) } else { figures.created };
            let since = after(measured.last_passed_drill_time, promised.drill_interval_seconds).or(known);
            Trouble { command: Some(program(view, &["drill", name])), ..Trouble::new(what, since) }
        }
        Objective::Retention if !status.gaps.is_empty() => {
            let moment = Moment::of(view);
            let shown = |time| {
                moment.local(time).map_or_else(
                    || crate::display::rfc3339(time),
                    |local| format!("{} ({local})", crate::display::rfc3339(time)),
                )
            };
            let gaps = status.gaps_in_words(shown, crate::display::duration);
            Trouble::new(format!("Retention: {}", gaps.join("; ")), status.gaps.last().map(|gap| gap.to))
        }
        Objective::Retention => {
            let (have, promised) = (&fact.measured, &fact.promised);
            Trouble::new(format!("Retention: recovery points reach back {have}, promised is {promised}"), None)
        }
        Objective::ChainLength => {
            let (have, promised) = (&fact.measured, &fact.promised);
            Trouble::new(format!("Chain: a restore replays {have} increments, promised are at most {promised}"), None)
        }
    })
}

/// Troubles as a list.
pub(super) fn list(troubles: &[Trouble], moment: Moment) -> Markup {
    html! {
        ul.troubles {
            @for trouble in troubles {
                li {
                    p.what-is-wrong {
                        (trouble.what)
                        @if let Some(since) = trouble.since { " " span.since { "since " (time(since, moment)) } }
                    }
                    @if !trouble.reason.is_empty() { p.reason { (trouble.reason) } }
                    @if let Some(hint) = &trouble.hint { p.hint { span.label { "Hint " } (hint) } }
                    @if let Some(command) = &trouble.command { (super::restore::block(command)) }
                    @if let Some(after) = &trouble.after { p.hint { (after) } }
                }
            }
        }
    }
}

/// Troubles of one source under its name.
pub(super) fn entry(status: &SourceStatus, troubles: &[Trouble], moment: Moment) -> Markup {
    html! {
        article.trouble {
            h3 { a href=(source_address("", &status.source)) { (status.source) } }
            (list(troubles, moment))
        }
    }
}
