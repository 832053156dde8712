//! `/`: all sources. First one sentence, then what is no longer known and what is wrong, then what runs, then everything in a table.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::layout::{self, Frame};
use super::query::Query;
use super::trouble::{self, Trouble};
use super::words::{Moment, source_address, state, time, time_below, unsure};
use super::{lost_history, objectives, pending, repositories, running};
use crate::display::{age, counted, rfc3339};
use crate::domain::change::State;
use crate::domain::schedule::Work;
use crate::domain::sla::Objective;
use crate::error::Error;
use crate::state::View;
use crate::status::{self, Ended, RunningNow, SourceStatus};

/// Rows of the table on one page.
pub(super) const PER_PAGE: usize = 100;

/// A source with what is wrong with it.
struct Judged {
    status: SourceStatus,
    troubles: Vec<Trouble>,
}

impl Judged {
    fn is_destroyed(&self) -> bool {
        self.status.change.as_ref().is_some_and(|change| change.state == State::Critical)
    }
}

/// The page; `ledger` is why the ledger cannot be read, if it cannot.
pub(super) fn page(view: &View, ledger: Option<&Error>, query: &Query) -> Markup {
    let mut sources: Vec<Judged> = status::all(view)
        .into_iter()
        .map(|status| Judged { troubles: trouble::of_source(view, &status), status })
        .collect();
    sources.sort_by_cached_key(|it| {
        (
            !it.is_destroyed(),
            Reverse(it.status.broken().len()),
            Reverse(it.troubles.len()),
            !it.status.is_pending(),
            it.status.source.clone(),
        )
    });
    let service: Vec<Trouble> = ledger.map(Trouble::of_ledger).into_iter().chain(trouble::of_service(view)).collect();
    let running = all_running(view);
    let sentence = sentence(&sources, service.len());
    let main = html! {
        h1 { (sentence) }
        p.lead { (subtitle(view)) }
        (lost_history::of_fleet(view, sources.iter().map(|it| &it.status)))
        (wrong(view, &sources, &service))
        (running::section(&running, "", Moment::of(view)))
        (table(view, &sources, query))
        (repositories::table(view))
        (service_facts(view))
        (retired(view))
    };
    let frame = Frame { title: &sentence, base: "", source: None, is_running: !running.is_empty() };
    layout::page(view, &frame, &main)
}

fn all_running(view: &View) -> Vec<(&str, RunningNow)> {
    let names = view.config.sources.keys();
    let mut all: Vec<(&str, RunningNow)> =
        names.flat_map(|name| status::running(view, name).into_iter().map(move |run| (name.as_str(), run))).collect();
    all.sort_by_key(|(_, run)| run.started);
    all
}

/// What a manager wants to know.
fn sentence(sources: &[Judged], of_service: usize) -> String {
    let total = sources.len();
    let is_broken = |it: &&Judged| !it.status.broken().is_empty();
    let broken = sources.iter().filter(is_broken).count();
    let is_unknown = |it: &&Judged| !is_broken(it) && it.status.is_unknown();
    let unknown = sources.iter().filter(is_unknown).count();
    let pending = sources.iter().filter(|it| !is_broken(it) && !is_unknown(it) && it.status.is_pending()).count();
    let attention = sources.iter().filter(|it| !is_broken(it) && !it.troubles.is_empty()).count();
    let destroyed = sources.iter().filter(|it| it.is_destroyed()).count();
    let promises = promises(total, broken, unknown, pending);
    let mut parts = match destroyed {
        0 => vec![promises],
        _ if total == 1 => vec!["The data of the one source looks DESTROYED".to_owned(), uncapitalized(&promises)],
        _ => vec![format!("The data of {} looks DESTROYED", counted(destroyed, "source")), uncapitalized(&promises)],
    };
    if broken > 0 && unknown > 0 {
        parts.push(format!("{unknown} cannot be judged"));
    }
    if (broken > 0 || unknown > 0) && pending > 0 {
        parts.push(are_pending(pending));
    }
    // Those that break no promise: where none does, they are among those that keep theirs.
    match (attention, broken) {
        (0, _) => {}
        (_, 0) if total == 1 => parts.push("it needs attention".to_owned()),
        (1, 0) => parts.push("1 of them needs attention".to_owned()),
        (many, 0) => parts.push(format!("{many} of them need attention")),
        (1, _) => parts.push("1 more needs attention".to_owned()),
        (many, _) => parts.push(format!("{many} more need attention")),
    }
    if of_service > 0 {
        parts.push("the service itself is in trouble".to_owned());
    }
    format!("{}.", parts.join("; "))
}

/// How many sources keep what was promised.
fn promises(total: usize, broken: usize, unknown: usize, pending: usize) -> String {
    let of_all = counted(total, "source");
    match (total, broken, pending) {
        (0, ..) => "No source is configured".to_owned(),
        (1, 0, _) if unknown > 0 => "The one source cannot be judged".to_owned(),
        (_, 0, _) if unknown > 0 => {
            let keep = if unknown == 1 { "keeps its promises" } else { "keep their promises" };
            format!("It is not known whether {unknown} of {of_all} {keep}")
        }
        (1, 0, 0) => "The one source keeps all its promises".to_owned(),
        (1, 0, _) => "The one source is new and pending".to_owned(),
        (1, ..) => "The one source breaks a promise".to_owned(),
        (_, 0, 0) => format!("All {of_all} keep their promises"),
        (_, 0, new) if new == total => format!("All {of_all} are new and pending"),
        (_, 0, new) => {
            let keep = if total - new == 1 { "keeps its promises" } else { "keep their promises" };
            format!("{} of {of_all} {keep}, {}", total - new, are_pending(new))
        }
        (_, 1, _) => format!("1 of {of_all} breaks a promise"),
        _ => format!("{broken} of {of_all} break a promise"),
    }
}

fn are_pending(number: usize) -> String {
    if number == 1 { "1 is pending".to_owned() } else { format!("{number} are pending") }
}

/// As the second part of a sentence.
fn uncapitalized(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn subtitle(view: &View) -> Markup {
    let points: u64 = view.snapshot.sources.values().flat_map(|it| it.points.by_kind.values()).sum();
    let repositories = counted(view.config.repositories.len(), "repository").replace("repositorys", "repositories");
    html! {
        (counted(usize::try_from(points).unwrap_or(usize::MAX), "recovery point")) " in " (repositories)
        ", as of " time datetime=(rfc3339(view.snapshot.taken)) { (rfc3339(view.snapshot.taken)) } "."
    }
}

fn wrong(view: &View, sources: &[Judged], service: &[Trouble]) -> Markup {
    let troubled: Vec<&Judged> = sources.iter().filter(|it| !it.troubles.is_empty()).collect();
    if troubled.is_empty() && service.is_empty() {
        return html! {};
    }
    html! {
        section.alarm aria-labelledby="wrong" {
            h2 id="wrong" { "Wrong now" }
            @if !service.is_empty() {
                article.trouble { h3 { "The service" } (trouble::list(service, Moment::of(view))) }
            }
            @for it in troubled.iter().take(trouble::SOURCES) {
                (trouble::entry(&it.status, &it.troubles, Moment::of(view)))
            }
            @if troubled.len() > trouble::SOURCES {
                p.muted { "and " (counted(troubled.len() - trouble::SOURCES, "more source")) ", first in the table below" }
            }
        }
    }
}

fn table(view: &View, sources: &[Judged], query: &Query) -> Markup {
    let matching: Vec<&Judged> = sources
        .iter()
        .filter(|it| query.matches(&[&it.status.source, &it.status.kind, &it.status.repository]))
        .collect();
    let pages = matching.len().div_ceil(PER_PAGE).max(1);
    let page = query.page.min(pages);
    let is_filtered = !query.filter.is_empty();
    html! {
        section aria-labelledby="sources" {
            h2 id="sources" { "Sources" }
            @if sources.len() > 10 || is_filtered {
                form.filter method="get" action="./" role="search" {
                    label for="q" { "Filter" }
                    input id="q" type="search" name="q" value=(query.filter) maxlength="200" placeholder="name, kind or repository";
                    button type="submit" { "Show" }
                    @if is_filtered { a href="./" { "all" } }
                    span.muted { (matching.len()) " of " (counted(sources.len(), "source")) ", worst first" }
                }
            }
            @if matching.is_empty() { p.muted { @if is_filtered { "No source matches." } @else { "No source is configured." } } }
            @else {
                table.cards.fleet role="table" {
                    caption.hidden { "Promised against measured per source, worst first" }
                    thead role="rowgroup" { tr role="row" {
                        @for heading in ["Source", "RPO", "RTO", "Since drill", "Retention", "Chain", "Kept, 30 days", "Last backup", "Last drill", "Next"] {
                            th scope="col" role="columnheader" { (heading) }
                        }
                    } }
                    tbody role="rowgroup" {
                        @for it in matching.iter().skip((page - 1) * PER_PAGE).take(PER_PAGE) { (row(view, &it.status)) }
                    }
                }
            }
            @if pages > 1 { (page_links(query, page, pages)) }
        }
    }
}

fn page_links(query: &Query, page: usize, pages: usize) -> Markup {
    let address = |page: usize| format!("./?q={}&page={page}", utf8_percent_encode(&query.filter, NON_ALPHANUMERIC));
    html! {
        nav.pages aria-label="Pages of the table" {
            @if page > 1 { a href=(address(page - 1)) rel="prev" { "← worse" } }
            span.muted { "page " (page) " of " (pages) }
            @if page < pages { a href=(address(page + 1)) rel="next" { "better →" } }
        }
    }
}

/// What its data looks like, where that is suspect.
fn changed(status: &SourceStatus) -> Markup {
    match status.change.as_ref().map(|change| change.state) {
        Some(State::Critical) => state(false, "", "data looks DESTROYED"),
        Some(State::Warning) => unsure("data changed in an unusual way"),
        _ => html! {},
    }
}

const ORDER: [Objective; 5] =
    [Objective::Rpo, Objective::Rto, Objective::DrillInterval, Objective::Retention, Objective::ChainLength];

fn row(view: &View, status: &SourceStatus) -> Markup {
    let ended = |label: &str, ended: Option<&Ended>| {
        html! {
            td role="cell" data-label=(label) {
                @match ended {
                    None => (lost_history::never(status.history_is_partial)),
                    Some(ended) => {
                        (outcome(&ended.outcome))
                        @if let Some(at) = ended.time { span { (time_below(at, Moment::of(view))) } }
                    }
                }
            }
        }
    };
    let next = status::next_runs(view, &status.source);
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                a href=(source_address("", &status.source)) { (status.source) }
                span.below { (status.kind) " in " (status.repository) }
                (pending::badge(view, status))
                (changed(status))
            }
            @for objective in ORDER { (objectives::cell(&objectives::fact(status, objective, view.now))) }
            td role="cell" data-label="Kept, 30 days" {
                (objectives::share(status, view.met_ratios.get(&status.source)))
            }
            (ended("Last backup", status.last_backup.as_ref()))
            (ended("Last drill", status.last_drill.as_ref()))
            td role="cell" data-label="Next" { (next_runs(&next.into_iter().collect::<Vec<_>>(), view)) }
        }
    }
}

/// When scheduled work is due.
pub(super) fn next_runs(next: &[(Work, DateTime<Utc>)], view: &View) -> Markup {
    let name = |work: Work| match work {
        Work::IncrementalBackup => "incremental",
        Work::FullBackup => "full",
        Work::Drill => "drill",
    };
    html! {
        @if view.service.scheduler.is_none() { span.muted { "no scheduler" } }
        @else if next.is_empty() { span.muted { "nothing scheduled" } }
        @for (work, due) in next {
            div {
                (name(*work)) " "
                time datetime=(rfc3339(*due)) title=(rfc3339(*due)) {
                    @if *due < view.now { "due " } (age(*due, view.now))
                }
                @if let Some(local) = Moment::of(view).local(*due) { " " span.muted { (local) } }
            }
        }
    }
}

/// How a run ended, in a word.
pub(super) fn outcome(name: &str) -> Markup {
    match name {
        "succeeded" | "passed" => state(true, name, ""),
        "failed" => state(false, "", name),
        other => unsure(other),
    }
}

fn service_facts(view: &View) -> Markup {
    let tick = view.service.scheduler.as_ref().map(|scheduler| scheduler.last_tick);
    html! {
        section aria-labelledby="service" {
            h2 id="service" { "Service" }
            dl.facts {
                div { dt { "Scheduler" } dd {
                    @match tick {
                        None => "none in this process",
                        Some(None) => "has not ticked yet",
                        Some(Some(at)) => { "last tick " (time(at, Moment::of(view))) }
                    }
                } }
                div { dt { "Configuration" } dd {
                    @match &view.service.last_reload {
                        None => "as at the start",
                        Some(reload) if reload.error.is_some() => { "reload failed " (time(reload.at, Moment::of(view))) }
                        Some(reload) => { "reloaded " (time(reload.at, Moment::of(view))) }
                    }
                } }
                div { dt { "Ledger" } dd { "read " (time(view.snapshot.taken, Moment::of(view))) } }
                div { dt { "Sandboxes" } dd {
                    (view.service.sandboxes)
                    @if let Some(oldest) = view.service.oldest_sandbox { ", the oldest made " (time(oldest, Moment::of(view))) }
                } }
            }
        }
    }
}

/// Most sources that are not configured any more.
const RETIRED: usize = 50;

fn retired(view: &View) -> Markup {
    let gone: Vec<_> =
        view.snapshot.sources.iter().filter(|(name, _)| !view.config.sources.contains_key(*name)).collect();
    html! {
        @if !gone.is_empty() {
            section aria-labelledby="retired" {
                h2 id="retired" { "Retired sources" }
                p.muted { "No longer configured: nothing is promised, backed up or drilled. Their backups are listed as they were last seen." }
                ul {
                    @for (name, figures) in gone.iter().take(RETIRED) {
                        li {
                            a href=(source_address("", name)) { (name) } " "
                            span.muted {
                                (figures.kind) ", "
                                (counted(usize::try_from(figures.points.by_kind.values().sum::<u64>()).unwrap_or(usize::MAX), "recovery point"))
                                @if let Some(newest) = figures.points.newest { ", the newest " (age(newest, view.now)) }
                            }
                        }
                    }
                }
                @if gone.len() > RETIRED { p.muted { "and " (gone.len() - RETIRED) " more" } }
            }
        }
    }
}
