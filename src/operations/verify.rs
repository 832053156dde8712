//! `verify --against`: hold any instance against what a backup's manifest promises.

use super::finding::Finding;
use super::ownership::Whose;
use super::prove::{Scope, prove};
use super::recording::Recorded;
use super::select::{Selection, open, select};
use super::stages::Stages;
use crate::app::{App, Source};
use crate::domain::drill::{DrillReport, Stage};
use crate::domain::manifest::{Manifest, ObjectKind};
use crate::engine::{Destination, StoredPoint};
use crate::error::{Error, Result};
use crate::ledger::Operation;
use crate::run_context::RunContext;

/// What `scope` leaves out is said, so that nobody takes it for proved.
fn not_compared(manifest: &Manifest, scope: &Scope) -> Option<String> {
    let accounts = manifest.inventory().objects.iter().filter(|object| object.kind == ObjectKind::Account).count();
    (accounts > 0 && !scope.accounts).then(|| {
        format!("accounts and grants were not compared ({accounts} in the backup): --accounts compares them too")
    })
}

/// An increment says what changes, and not what is there afterwards.
fn no_contents(point: &StoredPoint) -> Error {
    let (id, full) = (&point.newest().id, &point.manifest.id);
    Error::configuration(format!(
        "cannot compare with recovery point {id}: an increment promises changes, not contents"
    ))
    .hint(format!("compare with the full backup that it continues: --recovery-point {full}; a drill proves increments"))
}

/// Compare what is at `against` with a recovery point of `source`, of another `host` where that was asked for. The report has no
/// RTO: nothing was restored.
pub fn verify(
    app: &App,
    source: &Source,
    (selection, host): (&Selection, Option<&str>),
    against: &Destination,
    scope: &Scope,
    context: &RunContext,
) -> Result<DrillReport> {
    // No operation's lock: only the destination is read, and a backup or drill may run meanwhile. But what is compared must stay.
    let _reading = app.reading_from(&source.name, &context.cancel)?;
    let run = Recorded::begin(app, source, Operation::Verify, None)?;
    let mut stages = Stages::start(&app.clock);
    let selected = match stages.run(Stage::Select, || select(app, source, selection, Whose::asked(host))) {
        Ok(selected) => selected,
        Err(error) => return Err(run.fail(error, None)),
    };
    let point = open(source, &selected);
    if !point.increments.is_empty() {
        return Err(run.fail(no_contents(&point), Some(point.newest().id.clone())));
    }
    let proof = match stages.run(Stage::Verify, || prove(source, &point, against, scope, context)) {
        Ok(proof) => proof,
        Err(error) => return Err(run.fail(error, Some(point.manifest.id))),
    };
    let mut finding = Finding::of_proof(proof);
    finding.warnings.splice(0..0, selected.warnings());
    finding.warnings.extend(not_compared(&point.manifest, scope));
    finding.point = Some(point.manifest);
    finding.conclude(source, run, &stages)
}
