//! A ledger that is younger than the recovery points: what was known of earlier runs is lost, and what nobody knows must
//! not look as if it had never happened.

use maud::{Markup, html};

use super::words::{Moment, source_address, time, unsure};
use crate::display::counted;
use crate::state::View;
use crate::status::SourceStatus;

/// Most sources that are named on the fleet's page.
const NAMED: usize = 20;

/// Since when things are counted.
pub(super) fn ever(view: &View, name: &str) -> &'static str {
    if view.snapshot.is_history_partial(name) { "since the ledger began" } else { "ever" }
}

/// What stands where the ledger knows of no such run.
pub(super) fn never(is_partial: bool) -> Markup {
    if is_partial {
        unsure("unknown")
    } else {
        html! { span.muted { "never" } }
    }
}

/// Says on the page of the source `name` that its history is lost, if it is.
pub(super) fn of_source(view: &View, name: &str) -> Markup {
    html! {
        @if view.snapshot.is_history_partial(name) {
            section.notice aria-labelledby="lost" {
                h2 id="lost" { "Earlier history is lost" }
                p { "The ledger began " (time(view.snapshot.created, Moment::of(view))) "; the history before that is lost." }
                p.muted {
                    "Recovery points are older and still there. But drills, failures and missed runs are only known since then: "
                    "none means none since then, and a recovery point counts as proved when the next drill passes on it."
                }
            }
        }
    }
}

/// Says on the fleet's page of which sources the history is lost, if there are any.
pub(super) fn of_fleet<'a>(view: &View, sources: impl Iterator<Item = &'a SourceStatus>) -> Markup {
    let mut names: Vec<&str> = sources.filter(|it| it.history_is_partial).map(|it| it.source.as_str()).collect();
    names.sort_unstable();
    html! {
        @if !names.is_empty() {
            section.notice aria-labelledby="lost" {
                h2 id="lost" { "Earlier history is lost" }
                p {
                    "The ledger began " (time(view.snapshot.created, Moment::of(view))) "; the history before that is lost: "
                    @for (at, name) in names.iter().take(NAMED).enumerate() {
                        @if at > 0 { ", " }
                        a href=(source_address("", name)) { (name) }
                    }
                    @if names.len() > NAMED { " and " (counted(names.len() - NAMED, "more source")) }
                    "."
                }
                p.muted { "Their recovery points are older and still there; their drills, failures and missed runs are only known since then." }
            }
        }
    }
}
