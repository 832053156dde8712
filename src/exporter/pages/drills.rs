//! What drills said: the last of them, and what the last conclusive one compared.

use maud::{Markup, html};

use super::fleet::outcome;
use super::words::{Moment, state, time, time_below};
use crate::display::{count, duration};
use crate::domain::drill_choice::DrillKind;
use crate::ledger::history::{DrillSample, Verification};
use crate::ledger::{Outcome, Run};

/// Drills in the table.
const SHOWN: usize = 12;

/// The last drills, newest first.
pub(super) fn table(drills: &[DrillSample], moment: Moment) -> Markup {
    html! {
        @if drills.is_empty() { p.muted { "No drill is known to have ended." } }
        @else {
            table.cards role="table" {
                caption.hidden { "The last drills, newest first" }
                thead role="rowgroup" { tr role="row" {
                    @for heading in ["Ended", "Verdict", "RTO", "Checks", "Recovery point", "Reason"] { th scope="col" role="columnheader" { (heading) } }
                } }
                tbody role="rowgroup" { @for drill in drills.iter().take(SHOWN) { (row(&drill.run, moment)) } }
            }
        }
    }
}

fn row(run: &Run, moment: Moment) -> Markup {
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { @if let Some(ended) = run.ended { (time_below(ended, moment)) } }
            td role="cell" data-label="Verdict" {
                (outcome(run.outcome.map_or("running", Outcome::name)))
                @if let Some(kind) = run.drill.filter(|kind| *kind != DrillKind::Newest) { " " span.muted { (kind.shown()) } }
            }
            td role="cell" data-label="RTO" {
                span { (run.rto_seconds.map_or("none".to_owned(), duration)) }
                @if run.over_rto { " " (state(false, "", "over the promise")) }
            }
            td role="cell" data-label="Checks" {
                span { (count(run.checks)) @if run.mismatches > 0 { ", " span.bad-text { (count(run.mismatches)) " disagree" } } }
            }
            td role="cell" data-label="Recovery point" {
                @match &run.recovery_point { Some(id) => span.id { (short(&id.0)) }, None => span.muted { "none" } }
                @if let Some(as_of) = run.recovery_point_time { " " span { (time_below(as_of, moment)) } }
            }
            td.empty[run.reason.is_empty()] role="cell" data-label="Reason" { span.reason { (run.reason) } }
        }
    }
}

/// The beginning of a name: enough for a person, and for the program.
pub(super) fn short(id: &str) -> String {
    id.chars().take(16).collect()
}

/// What the last drill with a verdict about the data compared.
pub(super) fn verification(conclusive: Option<(&Run, &Verification)>, moment: Moment) -> Markup {
    html! {
        section aria-labelledby="verification" {
            h2 id="verification" { "Verification" }
            @match conclusive {
                None => p.muted { "No drill is known to have compared anything." },
                Some((run, found)) => {
                    p {
                        (outcome(run.outcome.map_or("running", Outcome::name))) " "
                        (count(run.checks)) " checks, "
                        @if run.mismatches == 0 { "all agree" } @else { span.bad-text { (count(run.mismatches)) " disagree" } }
                        "; " (count(run.verified_rows)) " rows"
                        @if let Some(ended) = run.ended { ", " (time(ended, moment)) }
                    }
                    (disagreements(found, run.mismatches))
                    (tables(found))
                }
            }
        }
    }
}

fn disagreements(found: &Verification, mismatches: u64) -> Markup {
    let wrong: Vec<_> = found.checks.iter().filter(|check| !check.ok).collect();
    html! {
        @if !wrong.is_empty() {
            h3 { "What disagrees" }
            table.cards role="table" {
                caption.hidden { "Checks that do not agree" }
                thead role="rowgroup" { tr role="row" {
                    @for heading in ["Check", "Expected", "Found"] { th scope="col" role="columnheader" { (heading) } }
                } }
                tbody role="rowgroup" { @for check in &wrong {
                    tr role="row" {
                        th scope="row" role="rowheader" { (state(false, "", "disagrees")) " " (check.name) }
                        td role="cell" data-label="Expected" { span.id { (check.expected) } }
                        td role="cell" data-label="Found" { span.id { (check.actual) } }
                    }
                } }
            }
            @if mismatches > wrong.len() as u64 { p.muted { "and " (count(mismatches - wrong.len() as u64)) " more" } }
        }
    }
}

fn tables(found: &Verification) -> Markup {
    html! {
        @if !found.tables.is_empty() {
            h3 { "By table" }
            div.scroll tabindex="0" role="region" aria-label="Verification by table" {
                table {
                    caption.hidden { "Verification by table" }
                    thead { tr {
                        th scope="col" { "Table" } th.number scope="col" { "Rows expected" }
                        th.number scope="col" { "Rows restored" } th scope="col" { "Content digest" }
                    } }
                    tbody { @for table in &found.tables {
                        tr {
                            th scope="row" { span.id { (table.name) } }
                            td.number { (count(table.rows_expected)) }
                            td.number {
                                @if table.rows_expected == table.rows_restored { (count(table.rows_restored)) }
                                @else { span.bad-text { "✗ " (count(table.rows_restored)) } }
                            }
                            td { (state(table.digest_ok, "agrees", "differs")) }
                        }
                    } }
                }
            }
            @if found.tables_total > found.tables.len() as u64 {
                p.muted { (count(found.tables.len() as u64)) " of " (count(found.tables_total)) " tables, those that disagree first" }
            }
        }
    }
}
