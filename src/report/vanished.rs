//! Recovery points of which it was noticed in the month that they were gone before their retention.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Serialize;

use super::harmless::text;
use crate::display::{counted, rfc3339};
use crate::domain::manifest::RecoveryPointId;
use crate::ledger::VanishedPoint;

const TITLE: &str = "Recovery points gone before their retention";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VanishedReport {
    /// The point.
    pub recovery_point: RecoveryPointId,
    /// Its as-of time.
    pub recovery_point_time: DateTime<Utc>,
    /// When the repository first did not list it.
    pub noticed: DateTime<Utc>,
    /// Whether the operator said that it was on purpose.
    pub is_accepted: bool,
    /// When; null if nobody did, or before that was recorded.
    pub accepted: Option<DateTime<Utc>>,
    /// When it was listed again; null if it was not.
    pub returned: Option<DateTime<Utc>>,
}

impl VanishedReport {
    /// Of what the ledger knows.
    pub(super) fn of(point: &VanishedPoint) -> Self {
        Self {
            recovery_point: point.id.clone(),
            recovery_point_time: point.as_of,
            noticed: point.noticed,
            is_accepted: point.is_accepted,
            accepted: point.accepted,
            returned: point.returned,
        }
    }

    /// Whether it is missing, and nobody said why.
    fn is_open(&self) -> bool {
        !self.is_accepted && self.returned.is_none()
    }

    fn accepted_in_words(&self) -> String {
        let unknown = if self.is_accepted { "yes" } else { "no" };
        self.accepted.map_or(unknown.to_owned(), rfc3339)
    }

    fn returned_in_words(&self) -> String {
        self.returned.map_or("no".to_owned(), rfc3339)
    }
}

/// What stands beside the first sentence of a report, whose promises may be kept all the same; none where nothing is missing.
pub(super) fn sentence<'r>(sources: impl Iterator<Item = (&'r str, &'r [VanishedReport])>) -> Option<String> {
    let open = |vanished: &[VanishedReport]| vanished.iter().filter(|point| point.is_open()).count();
    let of: Vec<(&str, usize)> = sources.map(|(name, vanished)| (name, open(vanished))).filter(|it| it.1 > 0).collect();
    let points: usize = of.iter().map(|it| it.1).sum();
    let names: Vec<&str> = of.iter().map(|it| it.0).collect();
    let verb = if points == 1 { "is" } else { "are" };
    let missing = counted(points, "recovery point");
    (points > 0).then(|| {
        format!("{missing} {verb} gone before the promised retention, and nobody accepted that: {}.", names.join(", "))
    })
}

/// As Markdown; nothing where there is none.
pub(super) fn markdown(out: &mut String, vanished: &[VanishedReport]) -> std::fmt::Result {
    use std::fmt::Write as _;
    if vanished.is_empty() {
        return Ok(());
    }
    writeln!(out, "### {TITLE}\n")?;
    writeln!(out, "| Recovery point | As of | Noticed | Accepted | Back |\n|---|---|---|---|---|")?;
    for point in vanished {
        let (as_of, noticed) = (rfc3339(point.recovery_point_time), rfc3339(point.noticed));
        let (accepted, back) = (point.accepted_in_words(), point.returned_in_words());
        writeln!(out, "| {} | {as_of} | {noticed} | {accepted} | {back} |", text(&point.recovery_point.0))?;
    }
    writeln!(out)
}

/// The same as HTML.
pub(super) fn page(vanished: &[VanishedReport]) -> Markup {
    html! {
        @if !vanished.is_empty() {
            h3 { (TITLE) }
            table {
                thead { tr { th { "Recovery point" } th { "As of" } th { "Noticed" } th { "Accepted" } th { "Back" } } }
                tbody {
                    @for point in vanished {
                        tr {
                            td.id { (point.recovery_point) } td.time { (rfc3339(point.recovery_point_time)) }
                            td.time { (rfc3339(point.noticed)) } td { (point.accepted_in_words()) }
                            td.time { (point.returned_in_words()) }
                        }
                    }
                }
            }
        }
    }
}
