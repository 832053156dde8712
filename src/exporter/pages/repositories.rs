//! The table of repositories.

use maud::{Markup, html};

use super::words::{Moment, state, time, unsure};
use crate::display::size;
use crate::ledger::{Upkeep, UpkeepOutcome};
use crate::state::View;

/// Each repository: whether it can be read, how big it is, what its last check and maintenance came to.
pub(super) fn table(view: &View) -> Markup {
    html! {
        section aria-labelledby="repositories" {
            h2 id="repositories" { "Repositories" }
            table.cards role="table" {
                caption.hidden { "Repositories" }
                thead role="rowgroup" { tr role="row" {
                    @for heading in ["Repository", "Readable", "Key", "Size", "Free", "Last check", "Maintenance"] { th scope="col" role="columnheader" { (heading) } }
                } }
                tbody role="rowgroup" {
                    @for name in view.config.repositories.keys() {
                        (repository(view, name))
                    }
                }
            }
        }
    }
}

fn repository(view: &View, name: &str) -> Markup {
    let it = view.service.repositories.get(name).copied().unwrap_or_default();
    let last = |operation| view.snapshot.upkeep.get(name).and_then(|known| known.last_result.get(&operation));
    let done = |operation, good: &str, bad: &str, never: &str| match last(operation) {
        None => html! { span.muted { (never) } },
        Some(run) => html! {
            (state(run.outcome == UpkeepOutcome::Succeeded, good, bad)) " " (time(run.ended, Moment::of(view)))
        },
    };
    let said = |known: Option<bool>, good: &str, bad: &str| match known {
        Some(is_good) => state(is_good, good, bad),
        None => unsure("not tried yet"),
    };
    let bytes = |known: Option<u64>| known.map_or("unknown".to_owned(), size);
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { (name) }
            td role="cell" data-label="Readable" { (said(it.up, "yes", "no")) }
            td role="cell" data-label="Key" { (said(it.key_available, "opens it", "does not open it")) }
            td role="cell" data-label="Size" { (bytes(it.size_bytes)) }
            td role="cell" data-label="Free" { (bytes(it.available_bytes)) }
            td role="cell" data-label="Last check" { (done(Upkeep::Check, "sound", "damaged", "never checked")) }
            td role="cell" data-label="Maintenance" { (done(Upkeep::Maintain, "done", "failed", "never")) }
        }
    }
}
