//! `/sources/NAME/events`: what happened near a time, with the command that restores to just before it.

use std::time::Duration;

use chrono::SubsecRound;
use maud::{Markup, html};
use percent_encoding::percent_decode_str;

use super::layout::{self, Frame};
use super::page::Page;
use super::restore::{block, program};
use super::words::source_address;
use crate::config::SourceConfig;
use crate::display::rfc3339;
use crate::domain::local_time;
use crate::domain::logged::ChangeKind;
use crate::error::{Error, Kind, Result};
use crate::exporter::events::{Asked, Desk, Found, FoundTransaction, MOST};
use crate::state::View;

/// How far from the time may be looked.
const WITHIN: [(&str, Duration); 5] = [
    ("1m", Duration::from_mins(1)),
    ("5m", Duration::from_mins(5)),
    ("15m", Duration::from_mins(15)),
    ("30m", Duration::from_mins(30)),
    ("1h", Duration::from_hours(1)),
];
const KINDS: [(&str, ChangeKind); 4] = [
    ("insert", ChangeKind::Insert),
    ("update", ChangeKind::Update),
    ("delete", ChangeKind::Delete),
    ("ddl", ChangeKind::Ddl),
];
/// Longest value of a parameter, in characters.
const CHARACTERS: usize = 200;
/// Characters of a statement that are shown, and statements of a transaction.
const STATEMENT: usize = 600;
const STATEMENTS: usize = 20;
/// Tables of a transaction that are shown.
const TABLES: usize = 50;

/// What was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Form {
    around: String,
    within: String,
    table: String,
    kinds: Vec<String>,
}

impl Form {
    fn parse(query: &str) -> Self {
        let mut form = Self::default();
        for pair in query.split('&').take(20) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy();
            let value: String = value.trim().chars().take(CHARACTERS).collect();
            match key {
                "around" => form.around = value,
                "within" => form.within = value,
                "table" => form.table = value,
                // `kind=delete&kind=ddl` of a form, or `kind=delete,ddl` as it is typed.
                "kind" => form.kinds.extend(value.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned)),
                _ => {}
            }
        }
        form
    }

    /// What is looked for; an error says what cannot be read.
    fn asked(&self, view: &View, source: &str) -> Result<Asked> {
        let around = local_time::parse(&self.around, view.config.timezone)
            .map_err(|fault| Error::configuration(fault.to_string()).hint(fault.hint()))?;
        let within = if self.within.is_empty() { WITHIN[1].0 } else { self.within.as_str() };
        let within = WITHIN.iter().find(|(name, _)| *name == within).map(|(_, within)| *within).ok_or_else(|| {
            let known = WITHIN.map(|(name, _)| name).join(", ");
            Error::configuration(format!("cannot look within {within:?}")).hint(format!("choose one of {known}"))
        })?;
        let kind = |typed: &String| {
            KINDS.iter().find(|(name, _)| name == typed).map(|(_, kind)| *kind).ok_or_else(|| {
                let known = KINDS.map(|(name, _)| name).join(", ");
                Error::configuration(format!("cannot look for {typed:?}")).hint(format!("choose of {known}"))
            })
        };
        Ok(Asked {
            source: source.to_owned(),
            around,
            within,
            table: Some(self.table.clone()).filter(|table| !table.is_empty()),
            kinds: self.kinds.iter().map(kind).collect::<Result<_>>()?,
        })
    }
}

/// The page; `desk` is where looks are asked for.
pub(super) async fn page(view: &View, desk: Option<&Desk>, config: &SourceConfig, query: &str) -> Page {
    let form = Form::parse(query);
    let found = match (form.around.is_empty(), desk) {
        (true, _) => None,
        (false, None) => Some(Err(Error::failed("cannot look for transactions here"))),
        (false, Some(desk)) => Some(match form.asked(view, &config.name) {
            Ok(asked) => desk.look(asked).await,
            Err(error) => Err(error),
        }),
    };
    let status = match &found {
        Some(Err(error)) if error.kind() == Kind::Busy => 503,
        Some(Err(error)) if error.kind() == Kind::Configuration => 400,
        _ => 200,
    };
    let main = html! {
        h1 { "Events of " a href=(source_address("../../", &config.name)) { (config.name) } }
        p.lead { "What is in the stored increments near a time, and the command that restores the state just before it." }
        (typed(view, config, &form))
        @match &found {
            None => {},
            Some(Err(error)) => (refused(error)),
            Some(Ok(found)) => (list(view, config, found)),
        }
        p.muted { "The same without limits:" }
        (block(&command(view, config, &form)))
    };
    let frame = Frame {
        title: &format!("Events of {}", config.name),
        base: "../../",
        source: Some(&config.name),
        is_running: false,
    };
    Page::html(status, layout::page(view, &frame, &main))
}

/// The time that is looked at first: that of the newest recovery point.
fn newest(view: &View, config: &SourceConfig) -> String {
    let newest = view.snapshot.sources.get(&config.name).and_then(|figures| figures.points.newest);
    rfc3339(newest.unwrap_or(view.now).trunc_subsecs(0))
}

fn typed(view: &View, config: &SourceConfig, form: &Form) -> Markup {
    let around = if form.around.is_empty() { newest(view, config) } else { form.around.clone() };
    let within = if form.within.is_empty() { WITHIN[1].0 } else { &form.within };
    html! {
        form.events action="events" method="get" {
            label { "Around " input type="search" name="around" value=(around) maxlength="40" required; }
            label { "within " select name="within" {
                @for (name, _) in WITHIN { option value=(name) selected[name == within] { (name) } }
            } }
            label { "table " input type="search" name="table" value=(form.table) placeholder="database.table" maxlength="200"; }
            fieldset {
                legend.hidden { "Kinds of changes" }
                @for (name, _) in KINDS {
                    label { input type="checkbox" name="kind" value=(name) checked[form.kinds.iter().any(|kind| kind == name)]; " " (name) }
                }
            }
            button { "Look" }
        }
    }
}

fn refused(error: &Error) -> Markup {
    html! {
        section.alarm aria-label="Not looked" {
            ul.troubles { li {
                p.reason { (error.to_string()) }
                @if let Some(hint) = error.hint_text() { p.hint { span.label { "Hint " } (hint) } }
            } }
        }
    }
}

fn list(view: &View, config: &SourceConfig, found: &Found) -> Markup {
    html! {
        section aria-labelledby="found" {
            h2 id="found" { "Transactions" }
            @if let Some(uncovered) = &found.uncovered { p.muted { "Of this time " (uncovered) "." } }
            @if found.transactions.is_empty() { p { "No such transaction is known." } }
            @if found.is_cut_before || found.is_cut_after {
                p.bad-text { "Only the " (MOST) " nearest to that time are shown: look at less time, at one table or at one kind." }
            }
            @if found.is_cut_before { p.muted { "… some before" } }
            @for transaction in &found.transactions { (one(view, config, transaction)) }
            @if found.is_cut_after { p.muted { "… some after" } }
        }
    }
}

fn one(view: &View, config: &SourceConfig, (it, before): &FoundTransaction) -> Markup {
    let fraction = if it.time.timestamp_subsec_micros() == 0 { "" } else { "%.6f" };
    let time =
        it.time.with_timezone(&view.config.timezone).format(&format!("%Y-%m-%d %H:%M:%S{fraction} %Z")).to_string();
    let mut words: Vec<&str> = vec!["restore", &config.name];
    words.extend(before.iter().map(String::as_str));
    words.push("--to");
    words.extend(config.kind.restore_to().arguments);
    let shortened = |text: &str| -> String {
        let end = if text.chars().nth(STATEMENT).is_some() { "…" } else { "" };
        text.chars().take(STATEMENT).chain(end.chars()).collect()
    };
    html! {
        article.event {
            h3 { time datetime=(rfc3339(it.time)) { (time) } }
            p.muted { span.id { (it.position) } @if let Some(gtid) = &it.gtid { " " span.id { (gtid) } } }
            @if !it.tables.is_empty() {
                ul.rows {
                    @for (name, rows) in it.tables.iter().take(TABLES) {
                        li {
                            span.id { (name) }
                            @if rows.inserted > 0 { " " (rows.inserted) " inserted" }
                            @if rows.updated > 0 { " " (rows.updated) " updated" }
                            @if rows.deleted > 0 { strong { " " (rows.deleted) " deleted" } }
                        }
                    }
                    @if it.tables.len() > TABLES { li.muted { "and " (it.tables.len() - TABLES) " tables more" } }
                }
            }
            @if it.statement_format { p { "Rows are changed by statements, which are not shown." } }
            @for statement in it.statements.iter().take(STATEMENTS) { pre.statement { code { (shortened(statement)) } } }
            @if it.statements.len() > STATEMENTS { p.muted { "and " (it.statements.len() - STATEMENTS) " statements more" } }
            (block(&program(view, &words)))
        }
    }
}

fn command(view: &View, config: &SourceConfig, form: &Form) -> String {
    let around = if form.around.is_empty() { newest(view, config) } else { form.around.clone() };
    let kinds = form.kinds.join(",");
    let mut words = vec!["events", &config.name, "--around", &around];
    let optional = [("--within", form.within.as_str()), ("--table", form.table.as_str()), ("--kind", kinds.as_str())];
    for (name, value) in optional.iter().filter(|(_, value)| !value.is_empty()) {
        words.extend([*name, *value]);
    }
    program(view, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_within_bounds() {
        let form = Form::parse("around=2026-11-26+11%3A29&within=1h&table=shop.orders&kind=delete&kind=ddl,insert&x=1");
        assert_eq!((form.around.as_str(), form.within.as_str()), ("2026-11-26 11:29", "1h"));
        assert_eq!((form.table.as_str(), form.kinds.join(" ")), ("shop.orders", "delete ddl insert".to_owned()));
        let long = Form::parse(&format!("table={}&{}", "x".repeat(10_000), "kind=ddl&".repeat(10_000)));
        assert!(long.table.len() == CHARACTERS && long.kinds.len() < 20);
    }
}
