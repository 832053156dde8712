//! What a run found that restored or compared something, on its one way into a report and the ledger.

use std::collections::BTreeMap;

use super::prove::Proof;
use super::recording::Recorded;
use super::stages::Stages;
use crate::app::Source;
use crate::domain::drill::{DrillReport, Verdict};
use crate::domain::drill_choice::DrillKind;
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::domain::proven::proven;
use crate::error::{Error, Kind, Result};
use crate::ledger::{NOT_PROVED, Operation, Outcome, PROVED_CHAIN, REPLAYED_BYTES, REPLAYED_TRANSACTIONS, RunResult};

/// What was found, before it becomes a report.
#[derive(Debug)]
pub(super) struct Finding {
    /// What was restored or compared; none where there was nothing to choose.
    pub point: Option<Manifest>,
    /// Inconclusive as long as nothing was found.
    pub verdict: Verdict,
    pub reason: String,
    pub hint: Option<String>,
    pub proof: Proof,
    /// Decision to first correct answer, in seconds; none where there was no such answer, or nothing was restored.
    pub rto: Option<f64>,
    pub sandbox: BTreeMap<String, String>,
    pub warnings: Vec<String>,
    /// Why it was drilled; none where nothing was.
    pub kind: Option<DrillKind>,
    /// Begin of the chain that was proved whole, or was to be.
    pub chain: Option<RecoveryPointId>,
}

impl Default for Finding {
    fn default() -> Self {
        Self {
            point: None,
            verdict: Verdict::Inconclusive,
            reason: String::new(),
            hint: None,
            proof: Proof::default(),
            rto: None,
            sandbox: BTreeMap::new(),
            warnings: Vec::new(),
            kind: None,
            chain: None,
        }
    }
}

impl Finding {
    /// What a proof means: everything is as promised, or something is not.
    pub fn of_proof(proof: Proof) -> Self {
        let verdict = if proof.holds() { Verdict::Passed } else { Verdict::Failed };
        let (reason, warnings) = (proof.comparison.reason(), proof.notes.clone());
        Self { verdict, reason, proof, warnings, ..Self::default() }
    }

    /// The verdict that an error means, where `otherwise` is what it means when it does not say itself.
    pub fn of_error(error: &Error, otherwise: Kind) -> Self {
        let kind = if error.kind() == Kind::Inconclusive { Kind::Inconclusive } else { otherwise };
        Self {
            verdict: if kind == Kind::Inconclusive { Verdict::Inconclusive } else { Verdict::Failed },
            reason: error.to_string(),
            hint: error.hint_text().map(str::to_owned),
            ..Self::default()
        }
    }

    /// Record, report, done: the end of every drill and verification.
    pub fn conclude(self, source: &Source, run: Recorded<'_>, stages: &Stages) -> Result<DrillReport> {
        let outcome = match self.verdict {
            Verdict::Passed => Outcome::Passed,
            Verdict::Failed => Outcome::Failed,
            Verdict::Inconclusive => Outcome::Inconclusive,
        };
        self.record(source, run, outcome, stages)?;
        Ok(self.report(source, stages))
    }

    /// Leave in the ledger what was found.
    pub fn record(&self, source: &Source, run: Recorded<'_>, outcome: Outcome, stages: &Stages) -> Result<()> {
        let (point, comparison) = (self.point.as_ref(), &self.proof.comparison);
        let mut result = RunResult::new(outcome, run.seconds());
        result.reason.clone_from(&self.reason);
        result.hint.clone_from(&self.hint);
        result.recovery_point = point.map(|point| point.id.clone());
        result.recovery_point_time = point.map(|point| point.as_of);
        // The promise is about the newest recovery point: how long another one takes says nothing of it.
        let rto = self.rto.filter(|_| self.kind.is_none_or(DrillKind::counts_for_promises));
        result.rto_seconds = rto;
        result.over_rto = rto.is_some_and(|rto| rto > source.objectives.rto.as_secs_f64());
        result.logical_bytes = point.map_or(0, Manifest::logical_bytes);
        result.rows = comparison.tables.iter().map(|table| table.rows_restored).sum::<u64>() + comparison.counted.rows;
        result.chain_length = point.map_or(0, |point| point.chain_length);
        result.stages = stages.rows();
        result.checks.clone_from(&comparison.checks);
        result.tables.clone_from(&comparison.tables);
        if run.operation() == Operation::Drill {
            result.details = self.details();
        }
        run.finish(&result)
    }

    /// What belongs to a drill alone.
    fn details(&self) -> BTreeMap<String, String> {
        let mut details = self.versions();
        if self.proof.replayed_bytes > 0 {
            details.insert(REPLAYED_TRANSACTIONS.to_owned(), self.proof.replayed_transactions.to_string());
            details.insert(REPLAYED_BYTES.to_owned(), self.proof.replayed_bytes.to_string());
        }
        if let Some(full) = &self.chain {
            details.insert(PROVED_CHAIN.to_owned(), full.0.clone());
        }
        if !self.proof.differs.is_empty() {
            details.insert(NOT_PROVED.to_owned(), self.proof.differs.join("; "));
        }
        details
    }

    /// What the restored instance was, and what made the backup.
    fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = self.sandbox.clone();
        versions.insert("drilled_by".to_owned(), concat!("backup-sla ", env!("CARGO_PKG_VERSION")).to_owned());
        if let Some(point) = &self.point {
            let server = format!("{} {}", point.server.product, point.server.version);
            versions.insert("backed_up_server".to_owned(), server.trim().to_owned());
            versions.insert("backed_up_with".to_owned(), point.tool.clone());
        }
        versions
    }

    /// The JSON of INTERFACE.
    fn report(self, source: &Source, stages: &Stages) -> DrillReport {
        let point = self.point.as_ref();
        DrillReport {
            source: source.name.clone(),
            recovery_point: point.map(|point| point.id.clone()),
            recovery_point_time: point.map(|point| point.as_of),
            verdict: self.verdict,
            reason: self.reason,
            hint: self.hint,
            rto_seconds: self.rto,
            stages: stages.seconds(),
            chain_length: point.map_or(0, |point| point.chain_length),
            drill_kind: self.kind,
            replayed_transactions: self.proof.replayed_transactions,
            proven: proven(&self.proof.comparison.checks),
            not_proven: self.proof.not_proven,
            differs: self.proof.differs,
            losses: point.map(Manifest::losses).unwrap_or_default(),
            checks: self.proof.comparison.checks,
            counted: self.proof.comparison.counted,
            tables: self.proof.comparison.tables,
            sandbox: self.sandbox,
            warnings: self.warnings,
        }
    }
}
