//! `/sources/NAME`: everything about one source, in the order in which it is needed at night.

use chrono::TimeDelta;
use chrono_tz::Tz;
use maud::{Markup, html};

use super::layout::{self, Frame};
use super::page::Page;
use super::plots::{self, Scene};
use super::query::Query;
use super::trouble::{self, Trouble, capital};
use super::words::{Moment, state, time, time_below, unsure};
use super::{drills, fleet, lost_history, missed, objectives, pending, restore, running, windows};
use crate::config::SourceConfig;
use crate::display::{age, count, counted, duration, rfc3339, size};
use crate::domain::sla::Objective;
use crate::error::{Error, Result};
use crate::ledger::history::{PointState, SourceHistory, Verification};
use crate::ledger::{Ledger, Run, SourceFigures};
use crate::state::View;
use crate::status::{self, SourceStatus};

/// The page of the source `name`.
pub(super) async fn page(view: &View, ledger: &Ledger, name: &str, query: &Query) -> Page {
    let is_known = view.config.sources.contains_key(name) || view.snapshot.sources.contains_key(name);
    if !is_known {
        return unknown(view, name);
    }
    let read = read(view, ledger, name, query.days).await;
    let code = if read.is_ok() { 200 } else { 503 };
    let running = status::running(view, name);
    let is_running = !running.is_empty();
    let main = match view.config.sources.get(name) {
        None => retired(view, name, &read),
        Some(config) => {
            let runs: Vec<_> = running.into_iter().map(|run| (name, run)).collect();
            html! {
                (head(view, config, read.as_ref().err()))
                @if is_running { (running::section(&runs, "../", Moment::of(view))) }
                (promises(view, config))
                @if let Ok((history, verification)) = &read {
                    (restore::section(view, config, history))
                    (windows::section(&status::of(view, config), &history.breaks, Moment::of(view)))
                    (over_time(view, config, history, query.days))
                    (of_drills(view, name, history))
                    (drills::verification(conclusive(view, name).zip(verification.as_ref()), Moment::of(view)))
                    (failures(&history.failures, Moment::of(view)))
                    (missed::section(view, name, &history.missed))
                    (points(view, name, history))
                }
            }
        }
    };
    let frame = Frame { title: name, base: "../", source: Some(name), is_running };
    Page::html(code, layout::page(view, &frame, &main))
}

/// What the ledger remembers of a source, and what its last conclusive drill compared.
pub(super) async fn read(
    view: &View,
    ledger: &Ledger,
    name: &str,
    days: i64,
) -> Result<(SourceHistory, Option<Verification>)> {
    let verified = view.snapshot.sources.get(name).and_then(|figures| figures.points.newest_verified);
    let history = ledger.source_history(name, view.now - TimeDelta::days(days), verified).await?;
    let verification = match conclusive(view, name) {
        Some(run) => Some(ledger.verification(run).await?),
        None => None,
    };
    Ok((history, verification))
}

fn conclusive<'v>(view: &'v View, name: &str) -> Option<&'v Run> {
    view.snapshot.sources.get(name)?.drills.last_conclusive.as_ref()
}

fn unknown(view: &View, name: &str) -> Page {
    let main = html! {
        h1 { "There is no source of this name" }
        p { "Neither the configuration nor the ledger has " span.id { (name.chars().take(200).collect::<String>()) } "." }
        p { a href="../" { "All sources" } }
    };
    let frame = Frame { title: "Not found", base: "../", source: None, is_running: false };
    Page::html(404, layout::page(view, &frame, &main))
}

fn sentence(status: &SourceStatus, troubles: usize) -> String {
    match (status.broken().len(), troubles) {
        (0, _) if status.is_unknown() => "It cannot be judged: its repository cannot be read.".to_owned(),
        (0, 0) if status.is_pending() => "New: what is not judged yet is pending.".to_owned(),
        (0, _) if status.is_pending() => "New: what is not judged yet is pending, but it needs attention.".to_owned(),
        (0, 0) => "Keeps all its promises.".to_owned(),
        (0, _) => "Keeps all its promises, but needs attention.".to_owned(),
        (1, _) => format!("Breaks 1 of {} promises.", Objective::ALL.len()),
        (broken, _) => format!("Breaks {broken} of {} promises.", Objective::ALL.len()),
    }
}

fn head(view: &View, config: &SourceConfig, ledger: Option<&Error>) -> Markup {
    let status = status::of(view, config);
    let of_source = trouble::of_source(view, &status);
    let lead = sentence(&status, of_source.len());
    let of_service = ledger.map(Trouble::of_ledger).into_iter().chain(trouble::of_service(view));
    let all: Vec<Trouble> = of_service.chain(of_source).collect();
    let next: Vec<_> = status::next_runs(view, &config.name).into_iter().collect();
    html! {
        h1 { (config.name) }
        p.lead {
            (pending::badge(view, &status)) " " (lead) " " (config.kind.name()) " in repository " (config.repository) ", "
            (counted(usize::try_from(status.measured.recovery_points).unwrap_or(usize::MAX), "recovery point")) "."
        }
        (lost_history::of_source(view, &config.name))
        @if let Some(others) = &status.other_hosts { p.lead { (capital(others)) "." } }
        @if !all.is_empty() {
            section.alarm aria-labelledby="wrong" { h2 id="wrong" { "Wrong now" } (trouble::list(&all, Moment::of(view))) }
        }
        section aria-label="Last and next" {
            dl.facts {
                (ended(&status, "Last backup", status.last_backup.as_ref(), Moment::of(view)))
                (ended(&status, "Last drill", status.last_drill.as_ref(), Moment::of(view)))
                div { dt { "Next" } dd { (fleet::next_runs(&next, view)) } }
                div { dt { "Newest proved recovery point" } dd {
                    @match status.measured.verified_recovery_point_time {
                        Some(at) => (time(at, Moment::of(view))),
                        None => (unsure(if status.history_is_partial { "none known" } else { "none" })),
                    }
                } }
                @if let Some(at) = status.measured.canary_time {
                    div { dt { "Newest canary in the repository" } dd { "written " (time(at, Moment::of(view))) } }
                }
                @if let Some(at) = status.measured.closing_proof_time {
                    div { dt { "Newest chain proved whole" } dd { "up to " (time(at, Moment::of(view))) } }
                }
            }
        }
    }
}

fn ended(status: &SourceStatus, title: &str, ended: Option<&status::Ended>, moment: Moment) -> Markup {
    html! {
        div { dt { (title) } dd {
            @match ended {
                None => (lost_history::never(status.history_is_partial)),
                Some(ended) => { (fleet::outcome(&ended.outcome)) " " @if let Some(at) = ended.time { (time(at, moment)) } }
            }
        } }
    }
}

fn promises(view: &View, config: &SourceConfig) -> Markup {
    let status = status::of(view, config);
    html! {
        section aria-labelledby="promises" {
            h2 id="promises" { "Promised and measured" }
            (objectives::table(&status, view.met_ratios.get(&config.name), view.now))
            @if let Some(forecast) = status.forecast_in_words(duration) {
                p { "Recovery time: " (forecast) "." }
            }
        }
    }
}

fn over_time(view: &View, config: &SourceConfig, history: &SourceHistory, days: i64) -> Markup {
    let newest = view.snapshot.sources.get(&config.name).and_then(|figures| figures.points.newest);
    let asked = view.now - TimeDelta::days(days);
    let from = plots::begin(history, asked, view.now);
    let zone = view.config.timezone;
    let scene = Scene { history, objectives: &config.objectives, from, now: view.now, zone, newest };
    let span = |n: i64| {
        html! {
            @if n == days { strong aria-current="true" { (n) " days" } } @else { a href={ "?days=" (n) "#over-time" } { (n) " days" } }
        }
    };
    html! {
        section aria-labelledby="over-time" {
            h2 id="over-time" { "Over time" }
            p {
                "Last " (span(7)) " · " (span(30))
                @if zone != Tz::UTC { span.muted { "; plots in " (zone.name()) } }
                @if from > asked { span.muted { "; the data begins " (time(from, Moment::of(view))) } }
            }
            div.plots { (plots::rpo(&scene)) (plots::sizes(&scene)) }
        }
    }
}

fn of_drills(view: &View, name: &str, history: &SourceHistory) -> Markup {
    let figures = view.snapshot.sources.get(name);
    let objectives = view.config.sources.get(name).map(|config| &config.objectives);
    html! {
        section aria-labelledby="drills" {
            h2 id="drills" { "Drills" }
            @if let Some(figures) = figures {
                p.muted {
                    (count(figures.drills.attempts)) " " (lost_history::ever(view, name)) ", " (count(figures.drills.failures)) " failed, "
                    (count(figures.drills.over_rto)) " took longer than promised."
                }
            }
            @if let Some(objectives) = objectives {
                div.plots {
                    (plots::rto(&Scene { history, objectives, from: view.now, now: view.now, zone: view.config.timezone, newest: None }))
                    (plots::stages(&history.drills, view.config.timezone))
                }
            }
            h3 { "The last drills" }
            (drills::table(&history.drills, Moment::of(view)))
        }
    }
}

fn points(view: &View, name: &str, history: &SourceHistory) -> Markup {
    let points = &history.points;
    let total: u64 = view.snapshot.sources.get(name).map_or(0, |it| it.points.by_kind.values().sum());
    html! {
        section aria-labelledby="points" {
            h2 id="points" { "Recovery points" }
            @if points.is_empty() { p.muted { "The repository lists none." } }
            @else {
                @for failed in &history.failed_drills { p.reason { (failed.sentence()) } }
                table.cards role="table" {
                    caption.hidden { "Recovery points, newest first" }
                    thead role="rowgroup" { tr role="row" {
                        th scope="col" role="columnheader" { "As of" }
                        th scope="col" role="columnheader" { "Kind" }
                        th.number scope="col" role="columnheader" { "Size" }
                        th.number scope="col" role="columnheader" { "Stored" }
                        th scope="col" role="columnheader" { "Drill on it" }
                        th scope="col" role="columnheader" { "Name" }
                    } }
                    tbody role="rowgroup" { @for state in points { (point(state, history, Moment::of(view))) } }
                }
                @if total > points.len() as u64 {
                    p.muted { "The newest " (points.len()) " of " (count(total)) "; " code { (restore::program(view, &["list", name])) } " shows all." }
                }
            }
        }
    }
}

fn point(it: &PointState, history: &SourceHistory, moment: Moment) -> Markup {
    let point = &it.point;
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { (time_below(point.as_of, moment)) }
            td role="cell" data-label="Kind" {
                span { (point.kind) @if point.chain_length > 0 { ", replays " (counted(usize::try_from(point.chain_length).unwrap_or(0), "increment")) } }
            }
            td.number role="cell" data-label="Size" { (size(point.logical_bytes)) }
            td.number role="cell" data-label="Stored" { (size(point.stored_bytes)) }
            td role="cell" data-label="Drill on it" {
                @match it.verdict {
                    None => span.muted { "none known" },
                    Some((passed, at)) => {
                        (state(passed, "passed", "failed")) " "
                        time.muted datetime=(rfc3339(at)) title=(rfc3339(at)) { (age(at, moment.now)) }
                    }
                }
            }
            td role="cell" data-label="Name" { span.id { (point.id) } (restore::mark(history, &point.id)) }
        }
    }
}

fn failures(failures: &[Run], moment: Moment) -> Markup {
    html! {
        section aria-labelledby="failures" {
            h2 id="failures" { "Last failures" }
            @if failures.is_empty() { p.muted { "None is known." } }
            @else {
                ul.troubles {
                    @for run in failures {
                        li {
                            p { strong { (run.operation) } " " (trouble::ended_how(run)) ", " (time(run.ended.unwrap_or(run.started), moment)) }
                            @if !run.reason.is_empty() { p.reason { (run.reason) } }
                            @if let Some(hint) = &run.hint { p.hint { span.label { "Hint " } (hint) } }
                        }
                    }
                }
            }
        }
    }
}

/// A source that is not configured any more.
fn retired(view: &View, name: &str, read: &Result<(SourceHistory, Option<Verification>)>) -> Markup {
    let nothing = SourceFigures::default();
    let figures = view.snapshot.sources.get(name).unwrap_or(&nothing);
    html! {
        h1 { (name) }
        p.lead { "Retired: no longer configured. " (figures.kind) " in repository " (figures.repository) "." }
        section aria-label="What can be done" {
            p { "Nothing is promised, backed up or drilled. To restore it, put its [source] table back into the configuration and run backup-sla list." }
        }
        (lost_history::of_source(view, name))
        @match read {
            Err(error) => section.alarm aria-label="Wrong now" { (trouble::list(&[Trouble::of_ledger(error)], Moment::of(view))) },
            Ok((history, verification)) => {
                (of_drills(view, name, history))
                (drills::verification(conclusive(view, name).zip(verification.as_ref()), Moment::of(view)))
                (failures(&history.failures, Moment::of(view)))
                (missed::section(view, name, &history.missed))
                (points(view, name, history))
            }
        }
    }
}
