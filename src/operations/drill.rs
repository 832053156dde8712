//! Drill: restore a recovery point into a sandbox, by the path of a real restore, and hold it against the manifest.
//!
//! `Passed` only if everything promised was found. What cannot be restored, read or found again is `Failed`; a drill
//! host that could not do its part is `Inconclusive` and says so. The sandbox is destroyed in every case.

use std::collections::BTreeMap;
use std::time::Duration;

use super::finding::Finding;
use super::identity::AnotherRepository;
use super::ownership::Whose;
use super::prove::{Proof, Scope};
use super::recording::{Recorded, new_id};
use super::restore;
use super::select::{Selection, open, select};
use super::stages::Stages;
use crate::app::{App, Source};
use crate::domain::drill::{Check, DrillReport, Stage, Verdict};
use crate::domain::drill_choice::DrillKind;
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::Manifest;
use crate::engine::{LoadOptions, LoadReport, StoredPoint};
use crate::error::{Error, Kind, Result, Side};
use crate::process::Died;
use crate::run_context::RunContext;
use crate::sandbox::{Access, Instance, SandboxSpec};

/// Free space below which a failed load is put down to the drill host's disk.
const DISK_FULL: u64 = 16 * 1024 * 1024;

/// Where closing proofs are described.
const INCREMENTS: &str = "/usr/share/doc/backup-sla/docs/increments.md";

/// How often, and how long apart, a sandbox is looked at once something failed.
const LOOKS_AFTER_FAILURE: u32 = 25;
const LOOK: Duration = Duration::from_millis(20);

/// What to drill.
#[derive(Debug, Clone, Default)]
pub struct DrillRequest {
    /// Which recovery point.
    pub selection: Selection,
    /// Why.
    pub kind: DrillKind,
    /// Leave the sandbox running if the verdict is not `passed`.
    pub keep_on_failure: bool,
}

/// Drill `source`. An error means that there is no verdict at all: cancelled, locked, or a repository that cannot be
/// opened; it is recorded as a failed drill all the same.
pub fn drill(app: &App, source: &Source, request: &DrillRequest, context: &RunContext) -> Result<DrillReport> {
    // One operation at a time on a source: beside a backup the measured time would not be that of a recovery.
    let _lock = app.lock(&source.name, "drill")?;
    // What is restored must not be removed meanwhile.
    let _reading = app.reading_from(&source.name, &context.cancel)?;
    drill_locked(app, source, request, context)
}

/// The same where the source is locked and the repository is read.
pub(super) fn drill_locked(
    app: &App,
    source: &Source,
    request: &DrillRequest,
    context: &RunContext,
) -> Result<DrillReport> {
    // From here on every end is in the ledger: a drill that nobody hears of looks like one that was not needed.
    let run = Recorded::begin_drill(app, source, request.kind)?;
    // What was read before, by looks and other drills, proves nothing: all of it comes from the place again.
    let source = &source.afresh();
    if let Err(error) = source.repository.open_existing() {
        return Err(run.fail(error.with_kind(Kind::Failed), None));
    }
    // What a killed run left behind holds production data: it goes first.
    if let Err(error) = source.sandbox.reap() {
        tracing::error!(hint = error.hint_text(), "cannot remove leftover sandboxes: {error}");
    }

    // A recovery begins with the decision: the clock of the RTO runs from here, choosing included.
    let mut stages = Stages::start(&app.clock);
    // Only what the repository lists now can be restored, whatever the ledger remembers.
    let (point, damaged, suspect) =
        match stages.run(Stage::Select, || select(app, source, &request.selection, Whose::Own)) {
            Ok(selected) => (open(source, &selected), selected.damaged, selected.suspect),
            Err(error) if error.kind() == Kind::Configuration => return Err(run.fail(error, None)),
            Err(error) => {
                let kind = Some(request.kind);
                let finding = Finding { kind, ..Finding::of_error(&error, unless_unseen(&error)) };
                return finding.conclude(source, run, &stages);
            }
        };
    // The way of a real restore, into a sandbox, and everything that was promised is looked for there.
    let found = restore_and_prove(source, &point, request, &mut stages, context);
    let finding = match found {
        Ok(found) if found.verdict == Verdict::Passed || !context.cancel.is_cancelled() => found,
        // Whatever broke when we ended it is not the reason.
        _ if context.cancel.is_cancelled() => match context.cancel.error() {
            error if error.kind() == Kind::Cancelled => return Err(run.fail(error, Some(point.newest().id.clone()))),
            error => Finding::of_error(&error, in_time(source, &stages)),
        },
        Ok(found) => found,
        Err(error) => Finding::of_error(&error, error.kind()),
    };
    // One good point does not make a repository good in which others cannot be read.
    let mut finding = blemish(finding, &damaged);
    finding.warnings.splice(0..0, suspect.into_iter().chain(point.manifest.not_in_it()));
    finding.hint = finding.hint.or_else(|| known_beforehand(&finding.proof.comparison.checks, &point.manifest));
    if request.kind == DrillKind::ClosedChain && finding.verdict == Verdict::Failed && !finding.proof.holds() {
        let unlogged = "something was changed without the server's log (sql_log_bin = 0, copied files), or the log was replayed wrongly";
        finding.hint = finding.hint.or_else(|| Some(format!("{unlogged}: {INCREMENTS}")));
    }
    finding.point = Some(point.shown());
    finding.kind = Some(request.kind);
    finding.chain = point.proved_by.is_some().then(|| point.manifest.id.clone());
    // Verdict, ledger, report.
    finding.conclude(source, run, &stages)
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

/// Provision, load, prove, destroy.
fn restore_and_prove(
    source: &Source,
    point: &StoredPoint,
    request: &DrillRequest,
    stages: &mut Stages,
    context: &RunContext,
) -> Result<Finding> {
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
    let result = restore::load(source, point, &at, &options, stages, context).and_then(|(loaded, replayed)| {
        // The operator's questions are about the state of now.
        let assertions = request.kind.asks_assertions();
        let scope = Scope { apart: true, refusals: loaded.refusals.clone(), replayed, assertions, ..Scope::all() };
        let proof = restore::check(source, point, &at, &scope, stages, context)?;
        Ok((loaded, proof))
    });
    // The clock stops at the answer; tearing down is not part of a recovery.
    let rto = stages.total().as_secs_f64();
    let mut finding = match result {
        Ok((_, proof)) if !proof.holds() && has_ended(instance.as_mut()) => {
            Finding::of_error(&sandbox_died(&proof.comparison.reason(), instance.as_ref()), Kind::Inconclusive)
        }
        Ok((loaded, proof)) => {
            let mut finding = judge(&loaded, proof);
            finding.rto = (finding.verdict == Verdict::Passed).then_some(rto);
            finding.warnings.splice(0..0, loaded.warnings);
            finding.warnings.extend(restore::afterthoughts(source, point, &at, &[]));
            finding
        }
        Err(error) => Finding::of_error(&blame(error, instance.as_mut()), Kind::Failed),
    };
    finding.sandbox = describe(source, &spec, &access);
    finding.warnings.extend(access.exposure.clone());
    // What a cancelled run leaves has no server any more.
    let may_keep = request.keep_on_failure && !context.cancel.is_cancelled();
    dispose(instance, may_keep, &mut finding);
    Ok(finding)
}

/// What the proof means of what was loaded.
fn judge(loaded: &LoadReport, proof: Proof) -> Finding {
    let lacking = loaded.accounts.as_ref().map(|accounts| accounts.lacking.clone()).unwrap_or_default();
    // Only what this host could not take is missing.
    let lacks_plugin = !proof.holds() && !loaded.lacking.is_empty() && proof.only_differ(&lacking);
    let finding = Finding::of_proof(proof);
    if !lacks_plugin {
        return finding;
    }
    let reason = format!("the sandbox lacks a plugin: {}", loaded.lacking.join("; "));
    Finding { verdict: Verdict::Inconclusive, reason, ..finding }
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
        tracing::error!(hint = error.hint_text(), "the sandbox was left behind: {error}");
        finding.warnings.push(format!("the sandbox was left behind: {error}"));
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
