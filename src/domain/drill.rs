//! What a drill found: stages, checks, verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::drill_choice::DrillKind;
use super::manifest::RecoveryPointId;

/// Stages of a restore, in order. The sum of all is the measured RTO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Stage {
    Select,
    Provision,
    Load,
    Replay,
    Start,
    Verify,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] = [Self::Select, Self::Provision, Self::Load, Self::Replay, Self::Start, Self::Verify];

    /// Name in metrics, JSON and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Provision => "provision",
            Self::Load => "load",
            Self::Replay => "replay",
            Self::Start => "start",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a drill says about the backup. Only `Passed` counts for the SLA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Restored, and everything is as promised.
    Passed,
    /// The data or the promise is wrong.
    Failed,
    /// The drill itself could not run: says nothing about the backup.
    Inconclusive,
}

impl Verdict {
    /// Name in metrics, JSON and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// Exit status of `drill` and `verify` (INTERFACE).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 3,
            Self::Inconclusive => 4,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `rows shop.orders`, `view shop.v`, `assertion orders are fresh` …
    pub name: String,
    /// What the manifest or the assertion promises.
    pub expected: String,
    /// What the restored instance has.
    pub actual: String,
    /// Whether they agree.
    pub ok: bool,
}

/// One table of the drill's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableResult {
    /// Qualified name.
    pub name: String,
    /// Rows the manifest promises.
    pub rows_expected: u64,
    /// Rows found; 0 where the table is missing.
    pub rows_restored: u64,
    /// Whether the content digest is the promised one.
    pub digest_ok: bool,
}

/// Tables that increments changed: their content is not known, only the number of their rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many tables.
    pub tables: usize,
    /// Rows found in them.
    pub rows: u64,
}

impl Counted {
    fn is_nothing(&self) -> bool {
        self.tables == 0
    }
}

/// Result of a drill or of `verify --against`: the JSON of INTERFACE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// Source name.
    pub source: String,
    /// Recovery point that was restored; none where there was nothing to choose.
    pub recovery_point: Option<RecoveryPointId>,
    /// As-of time of that point.
    pub recovery_point_time: Option<DateTime<Utc>>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is not `passed`; empty where it is.
    pub reason: String,
    /// What to try, where we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Decision to first correct answer; none where there was no correct answer, and for `verify`.
    pub rto_seconds: Option<f64>,
    /// Seconds per stage that was entered.
    pub stages: BTreeMap<Stage, f64>,
    /// Increments replayed.
    pub chain_length: u32,
    /// Why this was drilled; none for `verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_kind: Option<DrillKind>,
    /// Transactions replayed.
    #[serde(default)]
    pub replayed_transactions: u64,
    /// What was proven: kinds of checks that hold, with how many there are of each.
    #[serde(default)]
    pub proven: Vec<String>,
    /// What was not proven and why, one sentence each.
    #[serde(default)]
    pub not_proven: Vec<String>,
    /// Of a closing proof: those of them that are about something that differs, and may. Then the chain is not proved whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// Every comparison.
    pub checks: Vec<Check>,
    /// Every table whose content was compared.
    pub tables: Vec<TableResult>,
    /// The tables of which only the number of rows was compared.
    #[serde(default, skip_serializing_if = "Counted::is_nothing")]
    pub counted: Counted,
    /// Settings and versions of the instance that was restored into.
    #[serde(default)]
    pub sandbox: BTreeMap<String, String>,
    /// What a reader should know but what is not wrong (missing definers, …).
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the recovery point has not or cannot give back, in the words of its manifest; among the warnings too.
    #[serde(skip)]
    pub losses: Vec<String>,
}

impl DrillReport {
    /// Rows found in all tables.
    pub fn verified_rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows_restored).sum::<u64>() + self.counted.rows
    }
}

/// Seconds as the reports carry them.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_passed_drill_exits_with_zero_and_each_verdict_has_its_name() {
        let verdicts = [Verdict::Passed, Verdict::Failed, Verdict::Inconclusive];
        assert_eq!(verdicts.map(Verdict::exit_code), [0, 3, 4]);
        assert_eq!(verdicts.map(Verdict::name), ["passed", "failed", "inconclusive"]);
        // The same word in JSON.
        let in_json = verdicts.map(|verdict| serde_json::to_value(verdict).unwrap());
        assert_eq!(in_json, verdicts.map(Verdict::name));
        assert_eq!(Stage::ALL.map(|stage| serde_json::to_value(stage).unwrap()), Stage::ALL.map(Stage::name));
    }
}
