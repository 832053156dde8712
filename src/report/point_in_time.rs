//! Of a source with incremental backups: which moments could be restored, which could not be and why, and the longest chain.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Serialize;

use super::harmless::text;
use crate::display::{counted, duration, rfc3339};
use crate::domain::chain::{PromisedTime, Window};
use crate::domain::manifest::BackupKind;
use crate::ledger::{ChainBreak, Operation, Outcome, PointRow, Run};

const TITLE: &str = "Restore to any moment";

/// What a report says of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointInTime {
    /// Between which times any moment of the month could be restored, as the repository listed it when the report was made.
    pub windows: Vec<Window>,
    /// Breaks that were found in the month.
    pub breaks: Vec<BrokenReport>,
    /// The most increments that a restore of a backup of the month replays.
    pub longest_chain: u32,
}

/// A break of the chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BrokenReport {
    /// What kind of break it was.
    pub kind: String,
    /// What was expected and what was found.
    pub detail: String,
    /// When it was found.
    pub found: DateTime<Utc>,
    /// The last moment before it that can be restored.
    pub lost_since: DateTime<Utc>,
    /// The first moment after it: that of the next full backup; null where there was none yet.
    pub lost_until: Option<DateTime<Utc>>,
}

/// What it is made from.
pub(super) struct Known<'r> {
    pub runs: &'r [Run],
    pub points: &'r [PointRow],
    pub breaks: &'r [ChainBreak],
    /// When any moment was promised.
    pub moments: &'r [PromisedTime],
}

impl PointInTime {
    /// Of what the ledger knows; none where there were no incremental backups, and none were asked for.
    pub(super) fn of(records: &Known<'_>, (from, until): (DateTime<Utc>, DateTime<Utc>)) -> Option<Self> {
        let in_time = |time: DateTime<Utc>| (from..until).contains(&time);
        let breaks: Vec<BrokenReport> =
            records.breaks.iter().filter(|broken| in_time(broken.found)).map(|it| broken(it, records)).collect();
        let backups = records.runs.iter().filter(|run| run.kind.is_some() && run.outcome == Some(Outcome::Succeeded));
        let of_month = backups.filter(|run| in_time(run.ended.unwrap_or(run.started)));
        let longest_chain = of_month.map(|run| run.chain_length).max().unwrap_or(0);
        let windows = windows(records.points, (from, until));
        let is_asked = records.moments.iter().any(|it| it.from < until && it.to.is_none_or(|to| to > from));
        let is_any = is_asked || !breaks.is_empty() || longest_chain > 0 || !windows.is_empty();
        is_any.then_some(Self { windows, breaks, longest_chain })
    }

    fn sentence(&self) -> String {
        format!("The longest chain had {}.", counted(self.longest_chain as usize, "increment"))
    }
}

/// What is more than a single moment, as far as it lies within the time.
fn windows(points: &[PointRow], (begin, end): (DateTime<Utc>, DateTime<Utc>)) -> Vec<Window> {
    let mut windows: std::collections::BTreeMap<DateTime<Utc>, DateTime<Utc>> = std::collections::BTreeMap::new();
    for (from, point) in points.iter().filter_map(|point| Some((point.window_from?, point))) {
        let to = windows.entry(from).or_insert(point.as_of);
        *to = point.as_of.max(*to);
    }
    let within = |(from, to): (DateTime<Utc>, DateTime<Utc>)| Window { from: from.max(begin), to: to.min(end) };
    windows.into_iter().map(within).filter(|window| window.from < window.to).collect()
}

fn broken(it: &ChainBreak, records: &Known<'_>) -> BrokenReport {
    let fulls = records.runs.iter().filter(|run| {
        run.operation == Operation::Backup
            && run.kind == Some(BackupKind::Full)
            && run.outcome == Some(Outcome::Succeeded)
    });
    let followed = fulls.filter(|run| run.ended.is_some_and(|ended| ended >= it.found));
    BrokenReport {
        kind: it.kind.clone(),
        detail: it.detail.clone(),
        found: it.found,
        lost_since: it.lost_since,
        lost_until: followed.filter_map(|run| run.recovery_point_time).find(|time| *time > it.lost_since),
    }
}

impl BrokenReport {
    fn lost(&self) -> String {
        match self.lost_until {
            Some(until) => {
                let length = duration((until - self.lost_since).as_seconds_f64());
                format!("{} to {} ({length})", rfc3339(self.lost_since), rfc3339(until))
            }
            None => format!("from {} on: no full backup followed", rfc3339(self.lost_since)),
        }
    }
}

/// As Markdown; nothing where there is none.
pub(super) fn markdown(out: &mut String, found: Option<&PointInTime>) -> std::fmt::Result {
    use std::fmt::Write as _;
    let Some(found) = found else { return Ok(()) };
    writeln!(out, "### {TITLE}\n\n{}\n", found.sentence())?;
    if found.windows.is_empty() {
        writeln!(out, "No window of more than a moment is listed.\n")?;
    } else {
        writeln!(out, "| Any moment from | To | Length |\n|---|---|---:|")?;
        for window in &found.windows {
            let length = duration((window.to - window.from).as_seconds_f64());
            writeln!(out, "| {} | {} | {length} |", rfc3339(window.from), rfc3339(window.to))?;
        }
        writeln!(out)?;
    }
    if found.breaks.is_empty() {
        return writeln!(out, "No chain broke.\n");
    }
    writeln!(out, "| Chain broke, found | Cause | Lost |\n|---|---|---|")?;
    for broken in &found.breaks {
        let (kind, detail) = (text(&broken.kind), text(&broken.detail));
        writeln!(out, "| {} | {kind}: {detail} | {} |", rfc3339(broken.found), broken.lost())?;
    }
    writeln!(out)
}

/// The same as HTML.
pub(super) fn page(found: Option<&PointInTime>) -> Markup {
    let Some(found) = found else { return html! {} };
    html! {
        h3 { (TITLE) }
        p { (found.sentence()) }
        @if found.windows.is_empty() { p { "No window of more than a moment is listed." } } @else {
            table {
                thead { tr { th { "Any moment from" } th { "To" } th.number { "Length" } } }
                tbody {
                    @for window in &found.windows {
                        tr {
                            td.time { (rfc3339(window.from)) } td.time { (rfc3339(window.to)) }
                            td.number { (duration((window.to - window.from).as_seconds_f64())) }
                        }
                    }
                }
            }
        }
        @if found.breaks.is_empty() { p { "No chain broke." } } @else {
            table {
                thead { tr { th { "Chain broke, found" } th { "Cause" } th { "Lost" } } }
                tbody {
                    @for broken in &found.breaks {
                        tr { td.time { (rfc3339(broken.found)) } td { (broken.kind) ": " (broken.detail) } td { (broken.lost()) } }
                    }
                }
            }
        }
    }
}
