//! Drill: restore a recovery point into a sandbox, by the path of a real restore, and hold it against the manifest.
//!
//! `Passed` only if everything promised was found. What cannot be restored, read or found again is `Failed`; a drill
//! host that could not do its part is `Inconclusive` and says so. The sandbox is destroyed in every case.

use std::collections::BTreeMap;
use std::time::Duration;

use super::identity::AnotherRepository;
use super::ownership::Whose;
use super::prove::{Proof, Scope};
use super::recording::{Recorded, new_id};
use super::restore;
use super::select::{Selection, open, select};
use super::stages::Stages;
use crate::app::{App, Source};
use crate::domain::drill::{Check, DrillReport, Stage, Verdict};
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::Manifest;
use crate::engine::{LoadOptions, StoredPoint};
use crate::error::{Error, Kind, Result, Side};
use crate::ledger::{Operation, Outcome, RunResult};
use crate::process::Died;
use crate::run_context::RunContext;
use crate::sandbox::{Access, Instance, SandboxSpec};

/// Free space below which a failed load is put down to the drill host's disk.
const DISK_FULL: u64 = 16 * 1024 * 1024;

/// How often, and how long apart, a sandbox is looked at once something failed.
const LOOKS_AFTER_FAILURE: u32 = 25;
const LOOK: Duration = Duration::from_millis(20);

/// What to drill.
#[derive(Debug, Clone, Default)]
pub struct DrillRequest {
    /// Which recovery point.
    pub selection: Selection,
    /// Leave the sandbox running if the verdict is not `passed`.
    pub keep_on_failure: bool,
}

/// What was found, before it becomes a report.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub verdict: Verdict,
    pub reason: String,
    pub hint: Option<String>,
    pub proof: Proof,
    pub sandbox: BTreeMap<String, String>,
    pub warnings: Vec<String>,
}

impl Default for Finding {
    fn default() -> Self {
        Self {
            verdict: Verdict::Inconclusive,
            reason: String::new(),
            hint: None,
            proof: Proof::default(),
            sandbox: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }
}

/// Drill `source`. An error means that there is no verdict at all: cancelled, locked, or a repository that cannot be
/// opened; it is recorded as a failed drill all the same.
pub fn drill(app: &App, source: &Source, request: &DrillRequest, context: &RunContext) -> Result<DrillReport> {
    let _lock = app.lock(&source.name, "drill")?;
    let run = Recorded::begin(app, source, Operation::Drill, None)?;
    // What was read before, by looks and other drills, proves nothing.
    let source = &source.afresh();
    if let Err(error) = source.repository.open_existing() {
        return Err(run.fail(error.with_kind(Kind::Failed), None));
    }
    // What a killed run left behind holds production data: it goes first.
    if let Err(error) = source.sandbox.reap() {
        tracing::error!(%error, "remove leftover sandboxes");
    }

    // From here the clock of the RTO runs.
    let mut stages = Stages::start(&app.clock);
    let (point, damaged, suspect) =
        match stages.run(Stage::Select, || select(app, source, &request.selection, Whose::Own)) {
            Ok(selected) => (open(source, &selected.published), selected.damaged, selected.suspect),
            Err(error) if error.kind() == Kind::Configuration => return Err(run.fail(error, None)),
            Err(error) => {
                let finding = from_error(&error, unless_unseen(&error));
                return conclude(app, source, run, None, finding, &stages, None);
            }
        };
    let found = restore_and_prove(source, &point, request, &mut stages, context);
    let (finding, rto) = match found {
        Ok(found) if found.0.verdict == Verdict::Passed || !context.cancel.is_cancelled() => found,
        // Whatever broke when we ended it is not the reason.
        _ if context.cancel.is_cancelled() => match context.cancel.error() {
            error if error.kind() == Kind::Cancelled => return Err(run.fail(error, Some(point.manifest.id))),
            error => (from_error(&error, in_time(source, &stages)), None),
        },
        Ok(found) => found,
        Err(error) => (from_error(&error, error.kind()), None),
    };
    let mut finding = blemish(finding, &damaged);
    finding.warnings.splice(0..0, suspect.into_iter().chain(point.manifest.not_in_it()));
    finding.hint = finding.hint.or_else(|| known_beforehand(&finding.proof.comparison.checks, &point.manifest));
    conclude(app, source, run, Some(&point.manifest), finding, &stages, rto)
}

/// What it means that a drill was ended: within the promised recovery time it was ended too early to say anything, later
/// the promise was not kept.
fn in_time(source: &Source, stages: &Stages) -> Kind {
    if stages.total() > source.objectives.rto { Kind::Failed } else { Kind::Inconclusive }
}

/// A drill that could not look at the backup that it should judge says nothing of it.
fn unless_unseen(error: &Error) -> Kind {
    let is_unseen = AnotherRepository::is_why(error) || error.side() == Some(Side::State);
    if is_unseen { Kind::Inconclusive } else { Kind::Failed }
}

/// A repository that cannot be read whole makes the drill red, whatever the point at hand is worth.
fn blemish(mut finding: Finding, damaged: &[Error]) -> Finding {
    let Some(first) = damaged.first() else { return finding };
    finding.proof.comparison.checks.extend(damaged.iter().map(|error| Check {
        name: "repository listing".to_owned(),
        expected: "readable".to_owned(),
        actual: error.to_string(),
        ok: false,
    }));
    if finding.verdict != Verdict::Failed {
        let before = std::mem::take(&mut finding.reason);
        let damage = finding.proof.comparison.reason();
        finding.reason = if before.is_empty() { damage } else { format!("{damage}; {before}") };
        finding.verdict = Verdict::Failed;
        finding.hint = first.hint_text().map(str::to_owned);
    }
    finding
}

/// What a check that does not hold was foreseen to be when the backup was made: then the source is to be mended.
fn known_beforehand(checks: &[Check], manifest: &Manifest) -> Option<String> {
    let fails = |name: String| checks.iter().any(|check| !check.ok && check.name == name);
    let known = manifest.cannot_return.iter().filter(|one| fails(format!("{} {}", one.kind, one.name)));
    let said: Vec<String> = known.map(LeftOut::will_not_return).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Provision, load, prove, destroy. The RTO is given where a correct answer was reached.
fn restore_and_prove(
    source: &Source,
    point: &StoredPoint,
    request: &DrillRequest,
    stages: &mut Stages,
    context: &RunContext,
) -> Result<(Finding, Option<f64>)> {
    let spec = source.engine.sandbox(point)?;
    let mut instance = stages
        .run(Stage::Provision, || {
            let mut instance = source.sandbox.provision(&spec, &new_id(), context)?;
            instance.start(context)?;
            Ok::<_, Error>(instance)
        })
        .map_err(|error| error.on(Side::Sandbox))?;
    let access = instance.access().clone();
    let at = source.engine.destination(&spec, &access);
    let options = LoadOptions { accounts: true, throwaway: true, ..LoadOptions::default() };
    let result = restore::load(source, point, &at, &options, stages, context).and_then(|loaded| {
        let scope = Scope { apart: true, refusals: loaded.refusals.clone(), ..Scope::all() };
        let proof = restore::check(source, point, &at, &scope, stages, context)?;
        Ok((loaded, proof))
    });
    // The clock stops at the answer; tearing down is not part of a recovery.
    let rto = stages.total().as_secs_f64();
    let mut outcome = match result {
        Ok((_, proof)) if !proof.holds() && has_ended(instance.as_mut()) => {
            (from_error(&sandbox_died(&proof.comparison.reason(), instance.as_ref()), Kind::Inconclusive), None)
        }
        Ok((loaded, proof)) => {
            let holds = proof.holds();
            let lacking = loaded.accounts.as_ref().map(|accounts| accounts.lacking.clone()).unwrap_or_default();
            let (verdict, reason) = match (holds, proof.comparison.reason()) {
                (true, reason) => (Verdict::Passed, reason),
                // Only what this host could not take is missing.
                (false, _) if !loaded.lacking.is_empty() && proof.only_differ(&lacking) => {
                    (Verdict::Inconclusive, format!("the sandbox lacks a plugin: {}", loaded.lacking.join("; ")))
                }
                (false, reason) => (Verdict::Failed, reason),
            };
            let mut warnings = [loaded.warnings, proof.notes.clone()].concat();
            warnings.extend(restore::afterthoughts(source, point, &at, &[]));
            let finding = Finding { verdict, reason, proof, warnings, ..Finding::default() };
            (finding, holds.then_some(rto))
        }
        Err(error) => (from_error(&blame(error, instance.as_mut()), Kind::Failed), None),
    };
    outcome.0.sandbox = describe(source, &spec, &access);
    outcome.0.warnings.extend(access.exposure.clone());
    // What a cancelled run leaves has no server any more.
    let may_keep = request.keep_on_failure && !context.cancel.is_cancelled();
    dispose(instance, may_keep, &mut outcome.0);
    Ok(outcome)
}

/// A load or proof failed: if the sandbox itself died or filled up, or what worked on it was killed, that says nothing about
/// the backup.
fn blame(error: Error, instance: &mut dyn Instance) -> Error {
    if error.cause::<Died>().is_some_and(Died::by_another) {
        // Its hint says where to look.
        return error.with_kind(Kind::Inconclusive);
    }
    if error.kind() != Kind::Failed {
        return error;
    }
    if instance.free_bytes().is_some_and(|free| free < DISK_FULL) {
        return error
            .with_kind(Kind::Inconclusive)
            .hint("the disk of the drill host is full; make room and drill again");
    }
    if has_ended(instance) {
        return sandbox_died(&error.to_string(), instance);
    }
    error
}

fn sandbox_died(what: &str, instance: &dyn Instance) -> Error {
    let log = instance.log_tail();
    Error::inconclusive(format!("{what}; the sandbox server died: {log}")).hint(
        "give the sandbox more `memory`; if its log names no reason, something killed it: look for the OOM killer in the kernel's \
         log (journalctl -k)",
    )
}

/// Whether the server is gone. Its connections break a moment before its end can be seen.
fn has_ended(instance: &mut dyn Instance) -> bool {
    for _ in 0..LOOKS_AFTER_FAILURE {
        if !instance.is_running() {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    false
}

fn dispose(instance: Box<dyn Instance>, may_keep: bool, finding: &mut Finding) {
    if may_keep && finding.verdict != Verdict::Passed {
        let place = instance.directory().display().to_string();
        finding.warnings.push(format!("the sandbox was kept in {place}; the next drill removes it"));
        // Its server outlives us on purpose; the next reap finds it by its record.
        std::mem::forget(instance);
    } else if let Err(error) = instance.destroy() {
        tracing::error!(%error, "destroy sandbox");
        finding.warnings.push(format!("the sandbox could not be destroyed: {error}"));
    }
}

fn describe(source: &Source, spec: &SandboxSpec, access: &Access) -> BTreeMap<String, String> {
    let mut described = spec.describe();
    described.extend(access.runs.clone());
    described.insert("sandbox".to_owned(), source.sandbox.kind().to_owned());
    described.insert("network".to_owned(), access.network.clone());
    if !access.isolation.is_empty() {
        described.insert("isolation".to_owned(), access.isolation.clone());
    }
    described
}

/// The verdict that an error means, where `otherwise` is what it means when it does not say itself.
fn from_error(error: &Error, otherwise: Kind) -> Finding {
    let kind = if error.kind() == Kind::Inconclusive { Kind::Inconclusive } else { otherwise };
    Finding {
        verdict: if kind == Kind::Inconclusive { Verdict::Inconclusive } else { Verdict::Failed },
        reason: error.to_string(),
        hint: error.hint_text().map(str::to_owned),
        ..Finding::default()
    }
}

/// Report, record, done.
fn conclude(
    _app: &App,
    source: &Source,
    run: Recorded<'_>,
    manifest: Option<&Manifest>,
    finding: Finding,
    stages: &Stages,
    rto: Option<f64>,
) -> Result<DrillReport> {
    let report = report(source, manifest, finding, stages, rto);
    let outcome = match report.verdict {
        Verdict::Passed => Outcome::Passed,
        Verdict::Failed => Outcome::Failed,
        Verdict::Inconclusive => Outcome::Inconclusive,
    };
    let mut result = RunResult::new(outcome, run.seconds());
    result.reason.clone_from(&report.reason);
    result.hint.clone_from(&report.hint);
    result.recovery_point.clone_from(&report.recovery_point);
    result.recovery_point_time = report.recovery_point_time;
    result.rto_seconds = rto;
    result.over_rto = rto.is_some_and(|rto| rto > source.objectives.rto.as_secs_f64());
    result.logical_bytes = manifest.map_or(0, Manifest::logical_bytes);
    result.rows = report.verified_rows();
    result.chain_length = report.chain_length;
    result.stages = stages.rows();
    result.checks.clone_from(&report.checks);
    result.tables.clone_from(&report.tables);
    result.details = versions(&report.sandbox, manifest);
    run.finish(&result)?;
    Ok(report)
}

/// What the restored instance was, and what made the backup.
fn versions(sandbox: &BTreeMap<String, String>, manifest: Option<&Manifest>) -> BTreeMap<String, String> {
    let mut versions = sandbox.clone();
    versions.insert("drilled_by".to_owned(), concat!("backup-sla ", env!("CARGO_PKG_VERSION")).to_owned());
    if let Some(manifest) = manifest {
        let server = format!("{} {}", manifest.server.product, manifest.server.version);
        versions.insert("backed_up_server".to_owned(), server.trim().to_owned());
        versions.insert("backed_up_with".to_owned(), manifest.tool.clone());
    }
    versions
}

/// The JSON of INTERFACE.
pub(super) fn report(
    source: &Source,
    manifest: Option<&Manifest>,
    finding: Finding,
    stages: &Stages,
    rto: Option<f64>,
) -> DrillReport {
    DrillReport {
        source: source.name.clone(),
        recovery_point: manifest.map(|manifest| manifest.id.clone()),
        recovery_point_time: manifest.map(|manifest| manifest.as_of),
        verdict: finding.verdict,
        reason: finding.reason,
        hint: finding.hint,
        rto_seconds: rto,
        stages: stages.seconds(),
        chain_length: manifest.map_or(0, |manifest| manifest.chain_length),
        checks: finding.proof.comparison.checks,
        tables: finding.proof.comparison.tables,
        sandbox: finding.sandbox,
        warnings: finding.warnings,
        losses: manifest.map(Manifest::losses).unwrap_or_default(),
    }
}
