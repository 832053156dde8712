//! What the source had and recovery points of the time of a report have not.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::display::counted;
use crate::domain::left_out::LeftOutCounts;
use crate::ledger::PointRow;

/// Recovery points that lack something, of those that are still listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Incomplete {
    /// How many were published in this time.
    pub recovery_points: usize,
    /// As-of time of the newest of them.
    pub newest: DateTime<Utc>,
    /// What that one lacks, by kind.
    pub left_out: LeftOutCounts,
}

impl Incomplete {
    /// Of the points that were published from `from` on and before `until`; none where all are complete.
    pub(super) fn of(points: &[PointRow], (from, until): (DateTime<Utc>, DateTime<Utc>)) -> Option<Self> {
        let lacks =
            |point: &&PointRow| (from..until).contains(&point.finished) && point.left_out != LeftOutCounts::default();
        let newest = points.iter().filter(lacks).max_by_key(|point| point.as_of)?;
        let recovery_points = points.iter().filter(lacks).count();
        Some(Self { recovery_points, newest: newest.as_of, left_out: newest.left_out })
    }

    /// One sentence.
    pub(super) fn in_words(&self) -> String {
        let verb = if self.recovery_points == 1 { "lacks" } else { "lack" };
        format!(
            "{} {verb} something that the source had and that could not be backed up; the newest of them {}. \
             `backup-sla list --json` names what is missing",
            counted(self.recovery_points, "recovery point"),
            self.left_out.of_the_backup().unwrap_or_default()
        )
    }
}
