//! Scheduled runs that did not begin: what did not even fail.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::restore::program;
use crate::display::{age, count, counted, rfc3339};
use crate::ledger::{MissedRuns, Operation};
use crate::state::View;

/// The newest missed runs of the source `name`, and how many there ever were.
pub(super) fn section(view: &View, name: &str, missed: &[MissedRuns]) -> Markup {
    let since = if view.snapshot.is_history_partial(name) { " since the ledger began" } else { "" };
    html! {
        section aria-labelledby="missed" {
            h2 id="missed" { "Missed runs" }
            @if missed.is_empty() { p.muted { "None is known" (since) "." } }
            @else {
                @let totals = Totals::of(view, name, missed);
                p.muted { "Did not begin at their time" (since) ": " (totals.in_words()) "." }
                (table(missed, view.now))
                @if totals.older > 0 {
                    p.muted {
                        "And " (counted(usize::try_from(totals.older).unwrap_or(usize::MAX), "run")) " before these; "
                        code { (program(view, &["report", name, "--month", "YYYY-MM"])) } " lists those of a month."
                    }
                }
            }
        }
    }
}

/// How many runs were missed.
struct Totals {
    backups: u64,
    drills: u64,
    /// Those that are in no row.
    older: u64,
}

impl Totals {
    fn of(view: &View, name: &str, rows: &[MissedRuns]) -> Self {
        let known = view.snapshot.sources.get(name).map(|figures| &figures.missed);
        let total = |operation: Operation| {
            let listed = rows.iter().filter(|it| it.operation == operation).map(|it| u64::from(it.count)).sum();
            // The rows may have been read after the totals.
            known.and_then(|known| known.get(&operation)).copied().unwrap_or(0).max(listed)
        };
        let (backups, drills) = (total(Operation::Backup), total(Operation::Drill));
        let listed: u64 = rows.iter().map(|it| u64::from(it.count)).sum();
        Self { backups, drills, older: (backups + drills).saturating_sub(listed) }
    }

    /// `3 backups and 1 drill`.
    fn in_words(&self) -> String {
        let word = |number: u64, noun| counted(usize::try_from(number).unwrap_or(usize::MAX), noun);
        match (self.backups, self.drills) {
            (backups, 0) => word(backups, "backup"),
            (0, drills) => word(drills, "drill"),
            (backups, drills) => format!("{} and {}", word(backups, "backup"), word(drills, "drill")),
        }
    }
}

fn table(missed: &[MissedRuns], now: DateTime<Utc>) -> Markup {
    html! {
        table.cards role="table" {
            caption.hidden { "Scheduled runs that did not begin, newest first" }
            thead role="rowgroup" { tr role="row" {
                th scope="col" role="columnheader" { "Due" }
                th scope="col" role="columnheader" { "What" }
                th.number scope="col" role="columnheader" { "Runs" }
                th scope="col" role="columnheader" { "Why" }
            } }
            tbody role="rowgroup" { @for it in missed { (row(it, now)) } }
        }
    }
}

fn row(it: &MissedRuns, now: DateTime<Utc>) -> Markup {
    let stamp = |time: DateTime<Utc>| html! { time datetime=(rfc3339(time)) { (rfc3339(time)) } };
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                @if it.first == it.last { (age(it.last, now)) span.below { (stamp(it.last)) } }
                @else {
                    (age(it.first, now)) " to " (age(it.last, now))
                    span.below { (stamp(it.first)) " to " (stamp(it.last)) }
                }
            }
            td role="cell" data-label="What" { span { @if let Some(kind) = it.kind { (kind) " " } (it.operation) } }
            td.number role="cell" data-label="Runs" { (count(u64::from(it.count))) }
            td role="cell" data-label="Why" { span.reason { (it.reason) } }
        }
    }
}
