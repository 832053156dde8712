//! `verify --against`: hold any instance against what a backup's manifest promises.

use super::drill::{Finding, report};
use super::ownership::Whose;
use super::prove::{Scope, prove};
use super::recording::Recorded;
use super::select::{Selection, open, select};
use super::stages::Stages;
use crate::app::{App, Source};
use crate::domain::drill::{DrillReport, Stage, Verdict};
use crate::domain::manifest::{Manifest, ObjectKind};
use crate::engine::Destination;
use crate::error::Result;
use crate::ledger::{Operation, Outcome, RunResult};
use crate::run_context::RunContext;

/// What `scope` leaves out is said, so that nobody takes it for proved.
fn not_compared(manifest: &Manifest, scope: &Scope) -> Option<String> {
    let accounts = manifest.inventory.objects.iter().filter(|object| object.kind == ObjectKind::Account).count();
    (accounts > 0 && !scope.accounts).then(|| {
        format!("accounts and grants were not compared ({accounts} in the backup): --accounts compares them too")
    })
}

/// Compare what is at `against` with a recovery point of `source`, where it was asked for of another `host`. The report has no RTO: nothing was restored.
pub fn verify(
    app: &App,
    source: &Source,
    (selection, host): (&Selection, Option<&str>),
    against: &Destination,
    scope: &Scope,
    context: &RunContext,
) -> Result<DrillReport> {
    let run = Recorded::begin(app, source, Operation::Verify, None)?;
    let mut stages = Stages::start(&app.clock);
    let selected = match stages.run(Stage::Select, || select(app, source, selection, Whose::asked(host))) {
        Ok(selected) => selected,
        Err(error) => return Err(run.fail(error, None)),
    };
    let point = open(source, &selected.published);
    let proof = stages.run(Stage::Verify, || prove(source, &point, against, scope, context));
    let proof = match proof {
        Ok(proof) => proof,
        Err(error) => return Err(run.fail(error, Some(selected.published.manifest.id))),
    };
    let verdict = if proof.holds() { Verdict::Passed } else { Verdict::Failed };
    let mut warnings = [selected.warnings(), proof.notes.clone()].concat();
    warnings.extend(not_compared(&point.manifest, scope));
    let published = selected.published;
    let finding = Finding { verdict, reason: proof.comparison.reason(), proof, warnings, ..Finding::default() };
    let outcome = if verdict == Verdict::Passed { Outcome::Passed } else { Outcome::Failed };
    let mut result = RunResult::new(outcome, run.seconds());
    let report = report(source, Some(&published.manifest), finding, &stages, None);
    result.reason.clone_from(&report.reason);
    result.recovery_point.clone_from(&report.recovery_point);
    result.recovery_point_time = report.recovery_point_time;
    result.stages = stages.rows();
    result.checks.clone_from(&report.checks);
    result.tables.clone_from(&report.tables);
    run.finish(&result)?;
    Ok(report)
}
