//! Which moments of a source can be restored, where that ends and why, and every break of its chain.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::words::{Moment, time, time_below};
use crate::display::{count, duration};
use crate::domain::chain::Window;
use crate::ledger::ChainBreak;
use crate::status::SourceStatus;

/// Most windows that are shown, the newest.
const SHOWN: usize = 40;
/// What the ledger stores loses what is below a microsecond.
const SAME: TimeDelta = TimeDelta::milliseconds(1);

/// Windows and breaks; nothing of a source that has no increments and never had.
pub(super) fn section(status: &SourceStatus, breaks: &[ChainBreak], moment: Moment) -> Markup {
    let has_increments = status.windows.iter().any(|window| !window.is_instant());
    if !has_increments && breaks.is_empty() && status.measured.any_moment_since.is_none() {
        return html! {};
    }
    html! {
        section aria-labelledby="windows" {
            h2 id="windows" { "Restore windows" }
            p.muted { "Any moment of a window can be restored; of what lies between two of them none can." }
            (table(status, breaks, moment))
            (list(status.breaks, breaks, moment))
        }
    }
}

fn table(status: &SourceStatus, breaks: &[ChainBreak], moment: Moment) -> Markup {
    let windows = &status.windows;
    html! {
        @if windows.is_empty() { p.bad-text { "There is none: nothing can be restored." } } @else {
            table.cards role="table" {
                caption.hidden { "Restore windows, newest first" }
                thead role="rowgroup" { tr role="row" {
                    th scope="col" role="columnheader" { "From" }
                    th scope="col" role="columnheader" { "To" }
                    th.number scope="col" role="columnheader" { "Length" }
                    th scope="col" role="columnheader" { "Why it ends there" }
                    th.number scope="col" role="columnheader" { "Lost after it" }
                } }
                tbody role="rowgroup" {
                    @for at in (0..windows.len()).rev().take(SHOWN) { (row(&windows[at], windows.get(at + 1), breaks, moment)) }
                }
            }
            @if windows.len() > SHOWN { p.muted { "The newest " (SHOWN) " of " (count(windows.len() as u64)) "." } }
        }
    }
}

fn row(window: &Window, next: Option<&Window>, breaks: &[ChainBreak], moment: Moment) -> Markup {
    let broken = breaks.iter().find(|it| (it.lost_since - window.to).abs() <= SAME);
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { (time_below(window.from, moment)) }
            td role="cell" data-label="To" {
                @if window.is_instant() { span.muted { "one full backup" } } @else { (time_below(window.to, moment)) }
            }
            td.number role="cell" data-label="Length" { (between(window.from, window.to)) }
            td role="cell" data-label="Why it ends there" {
                @match (broken, next) {
                    (Some(broken), _) => { span.bad-text { "The chain broke" } " (" (broken.kind) "): " (broken.detail) }
                    (None, Some(_)) => "No increment led up to the next full backup.",
                    (None, None) => "The newest backup; the next one extends it.",
                }
            }
            td.number role="cell" data-label="Lost after it" {
                @match next {
                    Some(next) => (between(window.to, next.from)),
                    None if broken.is_some() => span.bad-text { "until the next full backup" },
                    None => span.muted { "nothing" },
                }
            }
        }
    }
}

fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    duration((to - from).as_seconds_f64().max(0.0))
}

fn list(total: u64, breaks: &[ChainBreak], moment: Moment) -> Markup {
    html! {
        h3 { "Breaks of the chain" }
        @if breaks.is_empty() { p.muted { "None is known." } } @else {
            ul.troubles {
                @for broken in breaks {
                    li {
                        p { strong { (broken.kind) } ", found " (time(broken.found, moment)) }
                        p.reason { (broken.detail) }
                        p.muted { "Lost: what came after " (time(broken.lost_since, moment)) ", up to the full backup that followed." }
                    }
                }
            }
            @if total > breaks.len() as u64 { p.muted { "The newest " (breaks.len()) " of " (count(total)) "." } }
        }
    }
}
