//! What is known of the source's data compared with what it was: `change` of the status.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::domain::change::{Assessment, Point, State};
use crate::ledger::ChangeFigures;

/// The newest backup, compared with those before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// `pending`, `quiet`, `warning`, `critical`; quiet too once the operator said that it was meant.
    pub state: State,
    /// The backup.
    pub recovery_point: Point,
    /// The first that is suspect without a break since; null where nothing is.
    pub since: Option<Point>,
    /// When the operator said that it was meant.
    pub accepted: Option<DateTime<Utc>>,
    /// Whether it could be told if content was encrypted.
    pub content_judged: bool,
    /// The figures.
    pub found: Assessment,
}

impl Change {
    /// Of what the ledger knows.
    pub fn of(figures: &ChangeFigures) -> Self {
        Self {
            state: figures.state(),
            recovery_point: figures.point.clone(),
            since: figures.since.clone(),
            accepted: figures.accepted,
            content_judged: figures.found.is_content_judged(),
            found: figures.found.clone(),
        }
    }

    /// One sentence on what is suspect; none where nothing is.
    pub fn in_words(&self) -> Option<String> {
        if !self.state.is_suspect() {
            return None;
        }
        let how = self.state.of_the_data();
        let since = self.since.as_ref().unwrap_or(&self.recovery_point);
        Some(format!("the data {how} since the backup of {}: {}", shown(since), self.found.reasons.join("; ")))
    }

    /// That nobody could tell whether content was encrypted; none where that was told, or where nothing was compared yet.
    pub fn not_judged_in_words(&self) -> Option<&'static str> {
        let is_compared = self.found.state != State::Pending && self.found.rows[1] > 0;
        (is_compared && !self.content_judged)
            .then_some("encryption would not be noticed in this source: too little of its content is recorded")
    }

    /// The last recovery point before it, in words; none where none is known.
    pub fn before_in_words(&self) -> Option<String> {
        let before = self.found.before.as_ref().filter(|_| self.state.is_suspect())?;
        Some(format!("the last recovery point before the change is {} of {}", before.id, shown(before)))
    }

    /// What to type about it; none where nothing is suspect.
    pub fn what_to_type(&self, source: &str) -> Option<String> {
        let accept = format!("if the change was meant: `backup-sla accept-change {source}`");
        let restore = |before: &Point| {
            format!(
                "to look at that state: `backup-sla restore {source} --to ELSEWHERE --recovery-point {}`; ",
                before.id
            )
        };
        let restore = self.found.before.as_ref().map(restore).unwrap_or_default();
        self.state.is_suspect().then(|| format!("{restore}{accept}"))
    }
}

fn shown(point: &Point) -> String {
    point.as_of.to_rfc3339_opts(SecondsFormat::Secs, true)
}
