//! What runs now. The script of the page keeps these rows moving; without it they are true when the page was made.

use maud::{Markup, html};

use super::words::{Moment, source_address, time};
use crate::display::{duration, elapsed, percent, size};
use crate::status::RunningNow;

/// Most operations that are shown.
pub(super) const SHOWN: usize = 50;

/// Operations that run now, each with the name of its source.
pub(super) fn section(running: &[(&str, RunningNow)], base: &str, moment: Moment) -> Markup {
    html! {
        section aria-labelledby="running" {
            h2 id="running" { "Running now" }
            @if running.is_empty() { p.muted { "Nothing is running." } }
            @else {
                ul.runs data-most=(SHOWN) {
                    @for (source, run) in running.iter().take(SHOWN) { (row(source, run, base, moment)) }
                }
                @if running.len() > SHOWN { p.muted { "and " (running.len() - SHOWN) " more" } }
            }
        }
    }
}

fn row(source: &str, run: &RunningNow, base: &str, moment: Moment) -> Markup {
    let what = run.name();
    let name = format!("{what} of {source}");
    html! {
        li.run data-run={ (source) " " (what) } {
            div.what {
                strong { (what) } " of " a href=(source_address(base, source)) { (source) }
                span.phase data-field="phase" { @if let Some(phase) = &run.phase { (phase) } }
            }
            @if let Some(ratio) = run.ratio {
                progress max="1" value=(format!("{ratio:.3}")) aria-label=(name) { (percent(ratio)) }
            } @else {
                // Without a value: something moves, nobody knows how far.
                progress max="1" aria-label=(name) {}
            }
            div.numbers {
                span data-field="ratio" { @if let Some(ratio) = run.ratio { (percent(ratio)) } }
                span data-field="bytes" { (bytes(run)) }
                span { "for " span data-field="elapsed" { (elapsed(run.elapsed_seconds)) } }
                span data-field="estimate" { (estimate(run)) }
                span.muted { "since " (time(run.started, moment)) }
            }
        }
    }
}

fn bytes(run: &RunningNow) -> String {
    match (run.done_bytes, run.total_bytes) {
        (Some(done), Some(total)) => format!("{} of about {}", size(done), size(total)),
        (Some(done), None) if done > 0 => size(done),
        _ => String::new(),
    }
}

/// Honest about what it rests on: how long the last good run took.
fn estimate(run: &RunningNow) -> String {
    match run.last_duration_seconds {
        None => String::new(),
        Some(last) if last >= run.elapsed_seconds => {
            format!(
                "about {} left (the last one took {})",
                elapsed((last - run.elapsed_seconds).ceil()),
                duration(last)
            )
        }
        Some(last) => format!("longer than the last one, which took {}", duration(last)),
    }
}
