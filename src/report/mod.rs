//! The SLA report on a month: what was promised, what was reached, every breach with its reason, every drill, and how the
//! reader can tell that nothing of it was changed afterwards.
//!
//! [`build`] is a pure function from the records of the ledger; [`markdown`] and [`html`] only show what it found. A report
//! never says more than the ledger knows: time before a source was first seen is not part of it, and a share of which
//! nothing can be said is missing, not 100 %.

pub mod build;
mod changes;
mod harmless;
pub mod html;
mod incomplete;
pub mod markdown;
mod month;
mod point_in_time;
mod reasons;
pub mod signature;
#[cfg(test)]
mod tests;
mod vanished;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::display::{counted, judged_later};
use crate::domain::drill_choice::DrillKind;
use crate::domain::manifest::BackupKind;
use crate::ledger::{ChainHead, MissedRuns, SealFault, TableTotals, TestPage};

pub use changes::ChangeReport;
pub use incomplete::Incomplete;
pub use month::Month;
pub use point_in_time::{BrokenReport, PointInTime};
pub use vanished::VanishedReport;

/// The report on one month. Times are RFC 3339 UTC, durations seconds, shares 0–1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlaReport {
    /// `2026-10`.
    pub month: String,
    /// In which time zone the month begins and ends.
    pub timezone: String,
    /// Its first moment.
    pub from: DateTime<Utc>,
    /// Its end, or the time of the report if that was earlier.
    pub until: DateTime<Utc>,
    /// Whether the month had ended.
    pub is_complete: bool,
    /// When the report was made.
    pub generated: DateTime<Utc>,
    /// By which version of backup-sla.
    pub version: String,
    /// Whether the records are as they were written.
    pub evidence: Evidence,
    /// Pages that were raised for a test, and when they were proved to have arrived.
    pub test_pages: Vec<TestPage>,
    /// By name.
    pub sources: Vec<SourceReport>,
}

/// What the report rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// When the ledger began; drills, failures and misses before that are unknown.
    pub ledger_began: DateTime<Utc>,
    /// Since when its records are sealed when they are written; none where nothing is sealed.
    pub sealed_since: Option<DateTime<Utc>>,
    /// How many entries are of records that were older than that: they are as they were found then.
    pub adopted: u64,
    /// The end of its chain of seals.
    pub head: ChainHead,
    /// Whether every record is as it was written.
    pub is_whole: bool,
    /// What is not, the first hundred of it.
    pub faults: Vec<SealFault>,
    /// How much is not.
    pub fault_count: u64,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub source: String,
    /// Its kind.
    pub kind: String,
    /// Where its backups were kept last.
    pub repository: String,
    /// Whether the configuration still has it, or no service has found it gone.
    pub is_configured: bool,
    /// From when on it is judged: the month, or since it was first seen by this ledger.
    pub from: DateTime<Utc>,
    /// Until when: the end of the report, or, of a source that is no longer configured, when it was found to be gone.
    pub until: DateTime<Utc>,
    /// When in this time it was not configured, and judged all the same.
    pub not_configured: Vec<Absence>,
    /// What was promised, in the order in which it came into force.
    pub promised: Vec<Promised>,
    /// Each objective.
    pub objectives: Vec<ObjectiveReport>,
    /// What was reached.
    pub achieved: Reached,
    /// On which days a drill passed.
    pub days: DrillDays,
    /// Backups by kind.
    pub backups: Vec<BackupCount>,
    /// Recovery points that lack something; none where all are complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<Incomplete>,
    /// Backups that did not end well.
    pub backup_failures: Vec<Failure>,
    /// Every drill that has ended.
    pub drills: Vec<DrillReport>,
    /// Scheduled runs that did not begin.
    pub missed: Vec<MissedRuns>,
    /// Backups of data that looked destroyed or changed in an unusual way; missing where none was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeReport>,
    /// Recovery points that were found to be gone before their retention; missing where none was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vanished: Vec<VanishedReport>,
    /// Restore to any moment; missing where there were no incremental backups, and none were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point_in_time: Option<PointInTime>,
}

/// A time in which a source was not configured, by what the service found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Absence {
    /// When it was found to be gone.
    pub from: DateTime<Utc>,
    /// When it was there again.
    pub until: DateTime<Utc>,
}

/// Objectives that were in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // the objectives, as everywhere
pub struct Promised {
    /// Since when; the first ones count for the time before it too.
    pub since: DateTime<Utc>,
    pub rpo_seconds: f64,
    pub rto_seconds: f64,
    pub retention_seconds: f64,
    pub drill_interval_seconds: f64,
    pub max_chain_length: u32,
    pub objective_ratio: f64,
}

/// How one objective was kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectiveReport {
    /// Its name in metrics.
    pub objective: &'static str,
    /// Share of the time in which it was met; time in which it was pending does not count. None where nothing can be said.
    pub met_ratio: Option<f64>,
    /// Days that the share rests on; none where nothing is known.
    pub judged_days: Option<f64>,
    /// Whether that is enough to say whether it was kept.
    pub is_judged: bool,
    /// The share that was promised last.
    pub target_ratio: f64,
    /// Whether the share is at least that; none where that is not known or not judged.
    pub is_kept: Option<bool>,
    /// When it was not met.
    pub breaches: Vec<BreachReport>,
}

/// A time in which an objective was not met.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreachReport {
    /// Its first moment, within the time of the report.
    pub start: DateTime<Utc>,
    /// When it was met again; none where it was not by the end.
    pub end: Option<DateTime<Utc>>,
    /// How long it lasted within the time of the report.
    pub seconds: f64,
    /// Why, as far as the records say.
    pub reason: String,
}

/// What was reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reached {
    /// The largest age of the newest recovery point.
    pub rpo_worst_seconds: Option<f64>,
    /// When it was that old.
    pub rpo_worst_at: Option<DateTime<Utc>>,
    /// For how long there was no recovery point at all.
    pub without_recovery_point_seconds: f64,
    /// Drills that measured a recovery time.
    pub rto_drills: usize,
    /// Their median recovery time.
    pub rto_p50_seconds: Option<f64>,
    /// The recovery time that 95 of 100 did not exceed.
    pub rto_p95_seconds: Option<f64>,
    /// The longest.
    pub rto_max_seconds: Option<f64>,
    /// Recovery points at the end.
    pub recovery_points: usize,
    /// As-of time of the oldest of them.
    pub oldest_recovery_point: Option<DateTime<Utc>>,
    /// As-of time of the newest of them.
    pub newest_recovery_point: Option<DateTime<Utc>>,
}

/// On which days, in the time zone of the report, a drill passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillDays {
    /// Days that are over, or on which a drill passed already.
    pub days: usize,
    /// Of those, the ones on which a drill passed.
    pub with_passed_drill: usize,
    /// The others.
    pub without: Vec<NaiveDate>,
}

/// Backups of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupCount {
    /// Full or incremental.
    pub kind: BackupKind,
    /// Published ones.
    pub succeeded: u64,
    /// The others.
    pub failed: u64,
    /// Bytes that the repository grew by.
    pub added_bytes: u64,
}

/// A backup that did not end well.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // as in the ledger
pub struct Failure {
    pub run: String,
    pub kind: Option<BackupKind>,
    pub started: DateTime<Utc>,
    pub ended: Option<DateTime<Utc>>,
    pub outcome: &'static str,
    pub reason: String,
    pub hint: Option<String>,
}

/// A drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillReport {
    /// Name of its run.
    pub run: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When its result was written.
    pub ended: Option<DateTime<Utc>>,
    /// What was restored.
    pub recovery_point: Option<String>,
    /// The as-of time of that.
    pub recovery_point_time: Option<DateTime<Utc>>,
    /// What was drilled; missing for the newest recovery point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill_kind: Option<DrillKind>,
    /// Transactions that were replayed; missing where there were no increments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed_transactions: Option<u64>,
    /// `passed`, `failed`, `inconclusive`, or `interrupted`.
    pub verdict: &'static str,
    /// Why it did not pass.
    pub reason: String,
    /// The measured recovery time.
    pub rto_seconds: Option<f64>,
    /// Whether that was more than was promised then.
    pub is_over_rto: bool,
    /// Comparisons made.
    pub checks: u64,
    /// Comparisons that did not agree.
    pub mismatches: u64,
    /// Tables and rows.
    pub tables: TableTotals,
    /// Versions and settings of the sandbox.
    pub sandbox: std::collections::BTreeMap<String, String>,
}

impl DrillReport {
    /// The verdict, and what was drilled where that was not the newest recovery point.
    fn verdict_of_kind(&self) -> String {
        let kind = self.drill_kind.map_or(String::new(), |kind| format!(" ({})", kind.shown()));
        format!("{}{kind}", self.verdict)
    }
}

impl SlaReport {
    /// By source: recovery points that are gone before their time.
    fn vanished(&self) -> impl Iterator<Item = (&str, &[VanishedReport])> {
        self.sources.iter().map(|it| (it.source.as_str(), it.vanished.as_slice()))
    }

    /// How many sources kept all their promises; one of which something is unknown does not count.
    pub fn kept(&self) -> usize {
        self.sources.iter().filter(|source| source.kept() == Some(true)).count()
    }

    /// The first thing to know: how many sources kept every promise.
    pub fn sentence(&self) -> String {
        let too_early = self.sources.iter().filter(|source| source.too_early().is_some()).count();
        let kept = format!("{} of {} kept every promise", self.kept(), counted(self.sources.len(), "source"));
        match too_early {
            0 => format!("{kept}."),
            1 => format!("{kept}; 1 is not judged yet."),
            many => format!("{kept}; {many} are not judged yet."),
        }
    }

    /// Whether a promise was broken.
    pub fn is_bad(&self) -> bool {
        self.sources.iter().any(|source| source.kept() != Some(true) && source.too_early().is_none())
    }
}

impl SourceReport {
    /// Whether every promise was kept: no if one was not, and unknown if of one nothing can be said.
    pub fn kept(&self) -> Option<bool> {
        let all: Vec<Option<bool>> = self.objectives.iter().map(|objective| objective.is_kept).collect();
        if all.contains(&Some(false)) {
            return Some(false);
        }
        (!all.is_empty() && !all.contains(&None)).then_some(true)
    }

    /// The fewest days that were judged of a promise, where nothing else keeps us from saying whether all were kept.
    pub fn too_early(&self) -> Option<f64> {
        if self.kept().is_some() {
            return None;
        }
        let open = self.objectives.iter().filter(|objective| objective.is_kept.is_none());
        let days: Vec<Option<f64>> = open.map(ObjectiveReport::too_early).collect();
        days.into_iter().collect::<Option<Vec<f64>>>()?.into_iter().min_by(f64::total_cmp)
    }

    /// As [`ObjectiveReport::kept_in_words`], of all its promises.
    pub fn kept_in_words(&self) -> String {
        kept_in_words(self.kept(), self.too_early())
    }
}

impl ObjectiveReport {
    /// Days that were judged, where they are not enough to say whether it was kept.
    pub fn too_early(&self) -> Option<f64> {
        self.judged_days.filter(|_| !self.is_judged)
    }

    /// Whether it was kept: `yes`, `no`, `not judged yet: after 7 days, so far 9 hours`, `unknown`.
    pub fn kept_in_words(&self) -> String {
        kept_in_words(self.is_kept, self.too_early())
    }
}

fn kept_in_words(is_kept: Option<bool>, too_early: Option<f64>) -> String {
    match (is_kept, too_early) {
        (Some(true), _) => "yes".to_owned(),
        (Some(false), _) => "no".to_owned(),
        (None, Some(days)) => format!("not judged yet: {}", judged_later(days)),
        (None, None) => "unknown".to_owned(),
    }
}

/// One line that every form of the report has, for `report verify` to find.
pub fn evidence_line(head: &ChainHead) -> String {
    format!("ledger-seal {} {}", head.position, if head.seal.is_empty() { "-" } else { &head.seal })
}

/// The end of the chain that a report names, in whatever form it is. What others said cannot pass for it: in JSON it is asked for
/// by name, in Markdown and HTML it stands where text never does.
pub fn named_head(report: &str) -> Option<ChainHead> {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(report) {
        let head = &json["evidence"]["head"];
        return checked(head["position"].as_u64()?, head["seal"].as_str()?);
    }
    let in_html = report.split_once("<pre>ledger-seal ").map(|(_, rest)| rest);
    let in_markdown = report.lines().find_map(|line| line.strip_prefix("    ledger-seal "));
    let mut words = in_html.or(in_markdown)?.split(|c: char| !c.is_ascii_alphanumeric());
    checked(words.next()?.parse().ok()?, words.next()?)
}

fn checked(position: u64, seal: &str) -> Option<ChainHead> {
    let is_seal = seal.len() == 64 && seal.bytes().all(|b| b.is_ascii_hexdigit());
    (position > 0 && is_seal).then(|| ChainHead { position, seal: seal.to_owned() })
}
