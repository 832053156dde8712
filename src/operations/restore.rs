//! The real restore: the path that every drill takes, into a destination the operator names.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::change::{Destroyed, caution, end_of_alert};
use super::ownership::Whose;
use super::prove::{Proof, Scope, prove};
use super::recording::Recorded;
use super::select::{Selection, open, select};
use super::stages::Stages;
use crate::app::{App, Source};
use crate::domain::drill::{Check, Stage};
use crate::domain::manifest::{FileRole, Manifest, RecoveryPointId};
use crate::engine::{AccountsLoaded, Destination, LoadOptions, LoadReport, StoredPoint};
use crate::error::{Error, Kind, Result, Side};
use crate::ledger::{Operation, Outcome, RunResult};
use crate::run_context::RunContext;

/// What to restore where.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Which recovery point.
    pub selection: Selection,
    /// Of which other host, by name or id; none: only this host's.
    pub host: Option<String>,
    /// Where to.
    pub to: Destination,
    /// What of it and how.
    pub options: LoadOptions,
    /// Compare with the manifest afterwards.
    pub verify: bool,
}

/// What a restore did.
#[derive(Debug, Clone, Serialize)]
pub struct RestoreReport {
    /// Source name.
    pub source: String,
    /// What was restored.
    pub recovery_point: RecoveryPointId,
    /// Its as-of time: everything later is lost.
    pub recovery_point_time: DateTime<Utc>,
    /// Whether everything was compared and is as promised; `None` where it was not asked for.
    pub verified: Option<bool>,
    /// Names what differs; empty where nothing does.
    pub reason: String,
    /// Decision to end.
    pub duration_seconds: f64,
    /// Seconds per stage.
    pub stages: BTreeMap<Stage, f64>,
    /// Every comparison.
    pub checks: Vec<Check>,
    /// What was done about accounts; none where the backup has none or they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<AccountsLoaded>,
    /// What a reader should know.
    pub warnings: Vec<String>,
}

/// Load a recovery point: the stage that drill and restore share.
pub(super) fn load(
    source: &Source,
    point: &StoredPoint,
    to: &Destination,
    options: &LoadOptions,
    stages: &mut Stages,
    context: &RunContext,
) -> Result<LoadReport> {
    stages.run(Stage::Load, || source.engine.load(point, to, options, context))
}

/// Prove what was loaded: the other stage that they share.
pub(super) fn check(
    source: &Source,
    point: &StoredPoint,
    at: &Destination,
    scope: &Scope,
    stages: &mut Stages,
    context: &RunContext,
) -> Result<Proof> {
    stages.run(Stage::Verify, || prove(source, point, at, scope, context))
}

/// Restore `source` as asked.
pub fn restore(app: &App, source: &Source, request: &RestoreRequest, context: &RunContext) -> Result<RestoreReport> {
    let elsewhere;
    let (app, run) = match Recorded::begin(app, source, Operation::Restore, None) {
        // In a disaster the ledger matters least.
        Err(error) if error.side() == Some(Side::State) => {
            elsewhere = app.with_throwaway_ledger(&error)?;
            (&elsewhere, Recorded::begin(&elsewhere, source, Operation::Restore, None)?)
        }
        run => (app, run?),
    };
    let mut stages = Stages::start(&app.clock);
    match bring_back(app, source, request, &mut stages, context) {
        Ok(mut report) => {
            let good = report.verified != Some(false);
            let mut result = RunResult::new(if good { Outcome::Succeeded } else { Outcome::Failed }, run.seconds());
            result.reason.clone_from(&report.reason);
            result.recovery_point = Some(report.recovery_point.clone());
            result.recovery_point_time = Some(report.recovery_point_time);
            result.stages = stages.rows();
            result.checks.clone_from(&report.checks);
            if let Err(error) = run.finish(&result) {
                report.warnings.push(format!("this restore could not be recorded: {error}"));
            }
            Ok(report)
        }
        Err(error) => {
            let kind = if error.kind() == Kind::Inconclusive { Kind::Failed } else { error.kind() };
            Err(run.fail(error.with_kind(kind).context(format!("cannot restore {}", source.name)), None))
        }
    }
}

fn bring_back(
    app: &App,
    source: &Source,
    request: &RestoreRequest,
    stages: &mut Stages,
    context: &RunContext,
) -> Result<RestoreReport> {
    let whose = Whose::asked(request.host.as_deref());
    let selected = stages.run(Stage::Select, || select(app, source, &request.selection, whose))?;
    let point = open(source, &selected.published);
    let caution = cautioned(app, source, request, &point.manifest)?;
    let mut options = request.options.clone();
    for table in &mut options.tables {
        *table = source.engine.table_name(table)?;
    }
    let loaded = load(source, &point, &request.to, &options, stages, context)?;
    let mut report = RestoreReport {
        source: source.name.clone(),
        recovery_point: point.manifest.id.clone(),
        recovery_point_time: point.manifest.as_of,
        verified: None,
        reason: String::new(),
        duration_seconds: 0.0,
        stages: BTreeMap::new(),
        checks: Vec::new(),
        accounts: loaded.accounts.clone().or_else(|| left_out(&point, &options)),
        warnings: [caution.into_iter().collect(), selected.warnings(), loaded.warnings].concat(),
    };
    if request.verify {
        // Assertions ask for the whole database, and for its state in production; a restore is not held to them.
        let scope = Scope {
            apart: false,
            tables: options.tables.clone(),
            accounts: options.accounts,
            kept_accounts: loaded.accounts.map(|accounts| accounts.kept).unwrap_or_default(),
            assertions: false,
            may_have_more: options.overwrite,
            refusals: loaded.refusals,
        };
        let proof = check(source, &point, &request.to, &scope, stages, context)
            .map_err(|error: Error| error.context("verify what was restored"))?;
        let more = proof.more.iter().map(|name| format!("the destination also has {name}, which is not in the backup"));
        report.warnings.extend(more);
        report.warnings.extend(proof.notes.iter().cloned());
        report.verified = Some(proof.holds());
        report.reason = proof.comparison.reason();
        report.checks = proof.comparison.checks;
    }
    report.duration_seconds = stages.total().as_secs_f64();
    report.stages = stages.seconds();
    report.warnings.extend(afterthoughts(source, &point, &request.to, &options.tables));
    // Whether an alert is on changes nothing of what was restored.
    report.warnings.extend(end_of_alert(app, source, &point.manifest).unwrap_or_default());
    Ok(report)
}

/// Said before anything is written, and once more at the end: whoever chose the recovery point may not want this one. It is taken all
/// the same, since only people know whether the change was meant. But what looks destroyed replaces nothing unless it is named.
fn cautioned(app: &App, source: &Source, request: &RestoreRequest, chosen: &Manifest) -> Result<Option<String>> {
    let is_named = matches!(request.selection, Selection::Id(_));
    let caution = caution(app, source, chosen, is_named).unwrap_or_else(|error| {
        tracing::warn!(source = %source.name, "cannot tell whether the data looks destroyed: {error}");
        None
    });
    let Some(caution) = caution else { return Ok(None) };
    if let Some(destroyed) = caution.destroyed.filter(|_| request.options.overwrite && !is_named) {
        return Err(refused(destroyed));
    }
    tracing::error!(source = %source.name, "{}", caution.text);
    Ok(Some(caution.text))
}

fn refused(destroyed: Destroyed) -> Error {
    let Destroyed { point, good, .. } = &destroyed;
    let instead = good
        .as_ref()
        .map_or_else(String::new, |good| format!("--recovery-point {good} restores the last one before; "));
    let hint = format!(
        "{instead}--recovery-point {point} restores this one all the same; without --overwrite an empty place gets it to look at"
    );
    let what = format!("will not overwrite data with recovery point {point} unless it is named");
    Error::failed(what).because(destroyed).hint(hint)
}

/// What is looked at when the time has been taken. That it could not be looked at changes nothing of what was restored.
pub(super) fn afterthoughts(source: &Source, point: &StoredPoint, at: &Destination, tables: &[String]) -> Vec<String> {
    let said = source.engine.afterthoughts(at, point, tables);
    said.unwrap_or_else(|error| vec![format!("the restored data could not be looked at once more: {error}")])
}

/// A restore that leaves accounts out which the backup has says so.
fn left_out(point: &StoredPoint, options: &LoadOptions) -> Option<AccountsLoaded> {
    (!options.accounts && point.manifest.file(FileRole::Accounts).is_some()).then(AccountsLoaded::default)
}
