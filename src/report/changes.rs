//! Backups of the month whose data looked destroyed, and what was said of it.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Serialize;

use super::harmless::text;
use crate::display::{counted, rfc3339};
use crate::domain::change::State;
use crate::domain::manifest::RecoveryPointId;
use crate::ledger::ChangeFigures;

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeReport {
    /// The backup.
    pub recovery_point: RecoveryPointId,
    /// Its as-of time.
    pub recovery_point_time: DateTime<Utc>,
    /// `warning` or `critical`.
    pub state: State,
    /// What was suspect in it.
    pub reasons: Vec<String>,
    /// When the operator said that it was meant; null if nobody did.
    pub accepted: Option<DateTime<Utc>>,
}

impl ChangeReport {
    /// Of what the ledger knows.
    pub fn of(change: &ChangeFigures) -> Self {
        Self {
            recovery_point: change.point.id.clone(),
            recovery_point_time: change.point.as_of,
            state: change.found.state,
            reasons: change.found.reasons.clone(),
            accepted: change.accepted,
        }
    }

    fn accepted_in_words(&self) -> String {
        self.accepted.map_or("no".to_owned(), rfc3339)
    }
}

/// One sentence for the head of a source; none where there is nothing to tell.
pub(super) fn in_words(changes: &[ChangeReport]) -> Option<String> {
    let of = |state: State| {
        let backups = || changes.iter().filter(move |it| it.state == state);
        (backups().count(), backups().filter(|it| it.accepted.is_some()).count())
    };
    let told = |state: State| {
        let (count, accepted) = of(state);
        let how =
            if state == State::Critical { "data that looked destroyed" } else { "data that changed in an unusual way" };
        (count > 0).then(|| format!("{} of {how}, {accepted} accepted as meant", counted(count, "backup")))
    };
    let told: Vec<String> = [State::Critical, State::Warning].into_iter().filter_map(told).collect();
    (!told.is_empty()).then(|| format!("{}.", told.join("; ")))
}

/// As Markdown; nothing where there is none.
pub(super) fn markdown(out: &mut String, changes: &[ChangeReport]) -> std::fmt::Result {
    use std::fmt::Write as _;
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "### Backups of data that looked destroyed or unusual\n")?;
    writeln!(out, "| Recovery point | As of | State | Why | Accepted |\n|---|---|---|---|---|")?;
    for change in changes {
        let ChangeReport { recovery_point, recovery_point_time, state, reasons, .. } = change;
        let (as_of, accepted) = (rfc3339(*recovery_point_time), change.accepted_in_words());
        writeln!(
            out,
            "| {recovery_point} | {as_of} | {} | {} | {accepted} |",
            state.name(),
            text(&reasons.join("; "))
        )?;
    }
    writeln!(out)
}

/// The same as HTML.
pub(super) fn page(changes: &[ChangeReport]) -> Markup {
    html! {
        @if !changes.is_empty() {
            h3 { "Backups of data that looked destroyed or unusual" }
            table {
                thead { tr { th { "Recovery point" } th { "As of" } th { "State" } th { "Why" } th { "Accepted" } } }
                tbody {
                    @for change in changes {
                        tr {
                            td { (change.recovery_point) } td.time { (rfc3339(change.recovery_point_time)) }
                            td { (change.state.name()) } td { (change.reasons.join("; ")) }
                            td { (change.accepted_in_words()) }
                        }
                    }
                }
            }
        }
    }
}
