//! The real restore: the path that every drill takes, into a destination the operator names.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::change::{Destroyed, caution, end_of_alert};
use super::doubts::doubted;
use super::finding::Finding;
use super::ownership::Whose;
use super::prove::{Proof, Scope, prove};
use super::recording::Recorded;
use super::select::{Selection, open, select};
use super::stages::Stages;
use crate::app::{App, Source};
use crate::domain::drill::{Check, Stage, Verdict};
use crate::domain::manifest::{FileRole, RecoveryPointId};
use crate::engine::{AccountsLoaded, Destination, LoadOptions, LoadReport, Replayed, StoredPoint};
use crate::error::{Error, Kind, Result, Side};
use crate::ledger::{Operation, Outcome};
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

/// Load a recovery point, and replay what continues it: the stages that drill and restore share.
pub(super) fn load(
    source: &Source,
    point: &StoredPoint,
    to: &Destination,
    options: &LoadOptions,
    stages: &mut Stages,
    context: &RunContext,
) -> Result<(LoadReport, Replayed)> {
    let loaded = stages.run(Stage::Load, || source.engine.load(point, to, options, context))?;
    let replayed = if point.increments.is_empty() {
        Replayed::default()
    } else {
        stages.run(Stage::Replay, || source.engine.replay(point, to, options, context))?
    };
    Ok((loaded, replayed))
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
    // What is restored must not be removed meanwhile; in a disaster a lock matters least.
    let _reading = app.reading_from(&source.name, &context.cancel).ok();
    // The decision to restore fell now: from here on it is what a drill does and measures.
    let mut stages = Stages::start(&app.clock);
    match bring_back(app, source, request, &mut stages, context) {
        Ok(mut restored) => {
            let outcome = if restored.verified == Some(false) { Outcome::Failed } else { Outcome::Succeeded };
            // The data is back: a ledger that cannot take that changes nothing.
            if let Err(error) = restored.finding.record(source, run, outcome, &stages) {
                restored.finding.warnings.push(format!("this restore is not in the ledger: {error}"));
            }
            Ok(restored.report(source, &stages))
        }
        Err(error) => {
            let kind = if error.kind() == Kind::Inconclusive { Kind::Failed } else { error.kind() };
            Err(run.fail(error.with_kind(kind).context(format!("cannot restore {}", source.name)), None))
        }
    }
}

/// Data that is back.
struct Restored {
    id: RecoveryPointId,
    as_of: DateTime<Utc>,
    /// None where it was not asked for.
    verified: Option<bool>,
    accounts: Option<AccountsLoaded>,
    duration_seconds: f64,
    finding: Finding,
}

impl Restored {
    fn report(self, source: &Source, stages: &Stages) -> RestoreReport {
        RestoreReport {
            source: source.name.clone(),
            recovery_point: self.id,
            recovery_point_time: self.as_of,
            verified: self.verified,
            reason: self.finding.reason,
            duration_seconds: self.duration_seconds,
            stages: stages.seconds(),
            checks: self.finding.proof.comparison.checks,
            accounts: self.accounts,
            warnings: self.finding.warnings,
        }
    }
}

fn bring_back(
    app: &App,
    source: &Source,
    request: &RestoreRequest,
    stages: &mut Stages,
    context: &RunContext,
) -> Result<Restored> {
    let whose = Whose::asked(request.host.as_deref());
    let selected = stages.run(Stage::Select, || select(app, source, &request.selection, whose))?;
    let point = open(source, &selected);
    refuse_single_tables(source, &point, &request.options)?;
    refuse_in_place(&point, &request.options)?;
    let shown = point.shown();
    let caution = cautioned(app, source, request, &point)?;
    let doubt = told_of_doubts(app, source, &point);
    let mut options = request.options.clone();
    for table in &mut options.tables {
        *table = source.engine.table_name(table)?;
    }
    let (loaded, replayed) = load(source, &point, &request.to, &options, stages, context)?;
    let accounts = loaded.accounts.clone().or_else(|| left_out(&point, &options));
    let mut warnings =
        [caution.into_iter().chain(doubt).collect(), selected.warnings(), loaded.warnings.clone()].concat();
    let mut finding = Finding::default();
    if request.verify {
        let scope = scope(&options, loaded, replayed);
        let proof = check(source, &point, &request.to, &scope, stages, context)
            .map_err(|error: Error| error.context("cannot verify what was restored"))?;
        let more = proof.more.iter().map(|name| format!("the destination also has {name}, which is not in the backup"));
        warnings.extend(more);
        finding = Finding::of_proof(proof);
    }
    let duration_seconds = stages.total().as_secs_f64();
    warnings.append(&mut finding.warnings);
    warnings.extend(told_apart(&point, &options));
    warnings.extend(afterthoughts(source, &point, &request.to, &options.tables));
    // Whether an alert is on changes nothing of what was restored.
    warnings.extend(end_of_alert(app, source, &shown).unwrap_or_default());
    let verified = request.verify.then_some(finding.verdict == Verdict::Passed);
    let (id, as_of) = (shown.id.clone(), shown.as_of);
    let finding = Finding { point: Some(shown), warnings, ..finding };
    Ok(Restored { id, as_of, verified, accounts, duration_seconds, finding })
}

/// What the increments create may be there already, and then the replay stops half way: with the old data gone.
fn refuse_in_place(point: &StoredPoint, options: &LoadOptions) -> Result<()> {
    if !options.overwrite || point.increments.is_empty() {
        return Ok(());
    }
    let id = &point.newest().id;
    Err(Error::configuration(format!("will not overwrite data with recovery point {id}: its increments are replayed into an empty place only"))
        .hint("restore into an empty server, compare, and put that in place of the old one or copy from it: /usr/share/doc/backup-sla/docs/restore.md"))
}

/// Not every engine can tell what a transaction did to one table from what it did to others.
fn refuse_single_tables(source: &Source, point: &StoredPoint, options: &LoadOptions) -> Result<()> {
    if options.tables.is_empty() || point.increments.is_empty() || source.engine.replays_single_tables() {
        return Ok(());
    }
    let (id, full, count) = (&point.newest().id, &point.manifest.id, point.increments.len());
    let what =
        format!("cannot restore single tables of recovery point {id}: {count} increments are replayed for it, whole");
    Err(Error::configuration(what).hint(format!(
        "restore all of it into an empty place and copy the table from there, or take the table from the full backup: \
         --recovery-point {full}"
    )))
}

/// Other tables of the same transactions are not replayed: what was consistent among them need not be any more.
fn told_apart(point: &StoredPoint, options: &LoadOptions) -> Option<String> {
    (!options.tables.is_empty() && !point.increments.is_empty()).then(|| {
        format!(
            "of every transaction only what it did to {} was replayed: other tables are as the destination has them",
            options.tables.join(", ")
        )
    })
}

/// What is held against the manifest. Assertions ask for the whole database, and for its state in production; a restore is not
/// held to them.
fn scope(options: &LoadOptions, loaded: LoadReport, replayed: Replayed) -> Scope {
    Scope {
        apart: false,
        tables: options.tables.clone(),
        accounts: options.accounts,
        kept_accounts: loaded.accounts.map(|accounts| accounts.kept).unwrap_or_default(),
        assertions: false,
        may_have_more: options.overwrite,
        refusals: loaded.refusals,
        replayed,
    }
}

/// Said before anything is written, and once more at the end: whoever chose the recovery point may not want this one. It is taken all
/// the same, since only people know whether the change was meant. But what looks destroyed replaces nothing unless it is named.
fn cautioned(app: &App, source: &Source, request: &RestoreRequest, point: &StoredPoint) -> Result<Option<String>> {
    let is_named = matches!(request.selection, Selection::Id(_));
    let caution = caution(app, source, (&point.shown(), &point.manifest), is_named).unwrap_or_else(|error| {
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

/// The same of what a drill found wrong: who needs the data now may need just this, wrong as it is.
fn told_of_doubts(app: &App, source: &Source, point: &StoredPoint) -> Option<String> {
    let doubt = doubted(app, source, point).unwrap_or_else(|error| {
        tracing::warn!(source = %source.name, "cannot tell whether a drill of this recovery point failed: {error}");
        None
    })?;
    tracing::error!(source = %source.name, "{doubt}");
    Some(doubt)
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
    said.unwrap_or_else(|error| vec![format!("cannot check the restored data for violated constraints: {error}")])
}

/// A restore that leaves accounts out which the backup has says so.
fn left_out(point: &StoredPoint, options: &LoadOptions) -> Option<AccountsLoaded> {
    (!options.accounts && point.manifest.file(FileRole::Accounts).is_some()).then(AccountsLoaded::default)
}
