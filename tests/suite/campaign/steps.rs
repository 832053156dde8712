//! One step: new content, a fault, an operation, the judgement under the fault, everything put back, the judgement then.

use std::time::Duration;

use rustix::process::Signal;

use super::chance::Chance;
use super::command::{Begun, Done};
use super::faults;
use super::judge::{Broken, GRACE, Judged, Rule, broken, ensure, forbids_pass, listed, nothing_runs, sound};
use super::parties::{Process, send, surviving};
use super::plan::{Fault, Harm, Lie, Operation, Party, SOURCES, Signalled, Source, Step, Stored};
use super::table::Outcome;
use super::world::{USUAL_LIMIT, World};

/// How long something hangs before whoever waits for it loses patience.
const PATIENCE: Duration = Duration::from_secs(4);

/// What an operation came to.
struct Performed {
    done: Done,
    beside: Option<(Operation, Source, Done)>,
    applied: bool,
    hangs: bool,
}

/// Take one step: what came of each operation. A rule that does not hold ends the round.
pub fn take(world: &mut World<'_>, step: &Step) -> Judged<Vec<Outcome>> {
    if step.changes {
        let mut chance = Chance::of(step.pick, step.number);
        world.content.change(world.servers, step.source, &mut chance);
    }
    if matches!(step.fault, Fault::Damage(..)) {
        world.learn_snapshots(step.source);
    }
    world.published.clear();
    if step.operation == Operation::Serve {
        return super::service::take(world, step).map(|outcome| vec![outcome]);
    }
    let Some(undo) = faults::apply(world, step) else { return Ok(vec![Outcome::NotApplied]) };
    let mut all = Vec::new();
    let mut judged = Ok(());
    for operation in [Some(step.operation), step.then].into_iter().flatten() {
        let step = Step { operation, ..*step };
        let performed = perform(world, &step);
        world.log.push(performed.done.said());
        judged = under_fault(world, &step, &performed);
        if step.operation == Operation::Backup && performed.done.status == Some(0) {
            world.published.extend(performed.done.json()["recovery_point"].as_str().map(str::to_owned));
        }
        all.push((step, performed));
        if judged.is_err() {
            break;
        }
    }
    undo.undo(world, step);
    judged?;
    afterwards(world, step, &all)?;
    Ok(all.iter().map(|(step, performed)| outcome(step, performed)).collect())
}

fn arguments(world: &World<'_>, operation: Operation, source: Source, pick: u64) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let ids: Vec<&String> = world.points.iter().filter(|(_, point)| point.source == source).map(|(id, _)| id).collect();
    let id = ids[usize::try_from((pick >> 8) % ids.len() as u64).unwrap()];
    match operation {
        Operation::Backup => words(&["--json", "backup", source.name()]),
        Operation::Drill if pick.is_multiple_of(3) => {
            words(&["--json", "drill", source.name(), "--recovery-point", id])
        }
        Operation::Drill => words(&["--json", "drill", source.name()]),
        Operation::Restore => world.restoring(id, source),
        Operation::Look => match pick % 3 {
            0 => words(&["--json", "list", source.name()]),
            1 => words(&["--json", "status"]),
            _ => words(&["metrics"]),
        },
        Operation::Serve => unreachable!("the service has steps of its own"),
    }
}

fn begin(world: &mut World<'_>, operation: Operation, source: Source, step: &Step) -> Begun {
    if operation == Operation::Restore {
        world.clear_targets();
    }
    let hours = if let Fault::Clock(hours) = step.fault { hours } else { 0 };
    let arguments = arguments(world, operation, source, step.pick);
    world.begin(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), hours)
}

fn perform(world: &mut World<'_>, step: &Step) -> Performed {
    let usual = world.usual(step.operation, step.source);
    let after = |late: u64| usual.mul_f64(late as f64 / 100.0);
    let mut begun = begin(world, step.operation, step.source, step);
    let (mut applied, mut hangs, mut beside, mut hung) = (true, false, None, None);
    match step.fault {
        Fault::Signal(party, how, late) => {
            let victim = victim(world, &mut begun, party, step.source, after(late));
            applied = victim.is_some() && !begun.has_ended();
            if let (Some(victim), true) = (victim, applied) {
                strike(&victim, how);
                hangs = how == Signalled::Hang;
                hung = hangs.then_some(victim);
            }
        }
        Fault::Terminate(late, twice) => {
            applied = begun.run_for(after(late));
            begun.signal(Signal::TERM);
            if twice && begun.run_for(Duration::from_millis(step.pick % 300)) {
                begun.signal(Signal::TERM);
            }
        }
        Fault::Beside(operation, source, late) => {
            applied = begun.run_for(after(late));
            // One place to restore to cannot take two restores.
            if applied && (operation, step.operation) != (Operation::Restore, Operation::Restore) {
                beside = Some((operation, source, begin(world, operation, source, step).end(USUAL_LIMIT)));
            }
        }
        Fault::Damage(_, Harm::Pipe) | Fault::Lie(Lie::Hangs) => hangs = true,
        _ => {}
    }
    let quiet = matches!(step.fault, Fault::None) && !begun.has_ended();
    let done = begun.end(if hangs { PATIENCE.max(usual * 2) } else { USUAL_LIMIT });
    if let Some(victim) = hung {
        victim.send(Signal::CONT);
    }
    if quiet && done.status == Some(0) {
        world.usual.insert((step.operation as u8, step.source), done.took);
    }
    mend_server(world, step, applied);
    Performed { done, beside, applied, hangs }
}

/// Whom a signal is for.
enum Victim {
    /// By number: our own children, which nobody but us waits for.
    Own(u32),
    Other(Process),
}

impl Victim {
    fn send(&self, signal: Signal) {
        match self {
            Self::Own(pid) => send(*pid, signal),
            Self::Other(process) => process.signal(signal),
        }
    }
}

fn victim(world: &World<'_>, begun: &mut Begun, party: Party, source: Source, late: Duration) -> Option<Victim> {
    match party {
        Party::Us => begun.run_for(late).then(|| Victim::Own(begun.pid())),
        Party::SourceServer => begun.run_for(late).then(|| {
            Victim::Own(if source == Source::Shop { world.servers.shop.pid() } else { world.servers.telegraf.pid() })
        }),
        _ => {
            // Not everything lives for long, git least of all: whoever has ended meanwhile is followed by the next one.
            let share = match party {
                Party::SandboxServer => 10,
                Party::Load => 80,
                _ => 20,
            };
            let mut wait = if source == Source::Tree { Duration::ZERO } else { late / share };
            loop {
                let process = begun.find(party, source, USUAL_LIMIT)?;
                begun.run_for(std::mem::take(&mut wait));
                if process.lives() {
                    return Some(Victim::Other(process));
                }
            }
        }
    }
}

fn strike(victim: &Victim, how: Signalled) {
    match how {
        Signalled::Kill => victim.send(Signal::KILL),
        Signalled::Hang => victim.send(Signal::STOP),
        Signalled::Pause(milliseconds) => {
            victim.send(Signal::STOP);
            std::thread::sleep(Duration::from_millis(milliseconds));
            victim.send(Signal::CONT);
        }
    }
}

/// A source server that was killed runs again.
pub fn mend_server(world: &mut World<'_>, step: &Step, applied: bool) {
    if let (Fault::Signal(Party::SourceServer, Signalled::Kill, _), true) = (step.fault, applied) {
        if step.source == Source::Shop {
            world.servers.shop.stop();
            world.servers.shop.start_again();
        } else {
            world.servers.telegraf.start_again();
        }
    }
}

/// What may be said while the fault stands.
fn under_fault(world: &mut World<'_>, step: &Step, performed: &Performed) -> Judged {
    let done = &performed.done;
    sound(done, step, step.operation, performed.hangs)?;
    if let Some((operation, _, other)) = &performed.beside {
        sound(other, step, *operation, false)?;
        for run in [done, other].into_iter().filter(|run| run.status == Some(1)) {
            let says =
                ["running", "another", "is in use by another service"].iter().any(|word| run.stderr.contains(word));
            ensure(says, Rule::NoFalseRed, || format!("beside another command: {}", run.said()))?;
        }
    }
    world.outside_is_untouched()?;
    let json = done.json();
    let damaged = matches!(step.fault, Fault::Damage(..));
    match step.operation {
        Operation::Drill if damaged && done.status == Some(0) => {
            ensure(!forbids_pass(step.fault), Rule::NoFalseGreen, || format!("beside damage: {}", done.said()))?;
            let id = json["recovery_point"].as_str().unwrap_or_default().to_owned();
            ensure(world.knows(&id), Rule::Agreement, || format!("a drill of nothing: {}", done.said()))?;
            let is_whole = world.is_whole(&id, step.source);
            ensure(is_whole, Rule::NoFalseGreen, || format!("restic cannot restore it: {}", done.said()))
        }
        Operation::Restore if done.status == Some(0) => {
            let id = json["recovery_point"].as_str().unwrap_or_default().to_owned();
            ensure(world.points.contains_key(&id), Rule::Agreement, || {
                format!("a restore of nothing: {}", done.said())
            })?;
            world.holds(&id, done)
        }
        Operation::Look => looks(world, step, done),
        _ => Ok(()),
    }
}

/// A look lists what it can, and ends with 1 if that is not everything.
fn looks(world: &World<'_>, step: &Step, done: &Done) -> Judged {
    let Fault::Damage(stored, harm) = step.fault else { return Ok(()) };
    let is_list = done.what.contains("list");
    let found = listed(done);
    let strange: Vec<&String> = found.keys().filter(|id| !world.knows(id)).collect();
    ensure(!is_list || strange.is_empty(), Rule::Agreement, || format!("it lists {strange:?}: {}", done.said()))?;
    let unreadable = matches!(stored, Stored::Config | Stored::Key | Stored::Snapshot) && harm == Harm::Garbage;
    let told = done.status != Some(0) || done.what.contains("metrics");
    ensure(!unreadable || told, Rule::NoFalseGreen, || format!("beside damage: {}", done.said()))?;
    // Not every pack is needed: what a killed backup stored is nobody's.
    let may_be_lost = stored == Stored::Data && matches!(harm, Harm::Remove | Harm::Empty | Harm::Cut(_));
    let pack_is_lost = may_be_lost && !told && !world.restic(step.source, &["check"]).status.success();
    ensure(!pack_is_lost, Rule::NoFalseGreen, || format!("beside a pack that is lost: {}", done.said()))?;
    let must_tell = done.what.contains("status") && world.lacks_a_point();
    ensure(told || !must_tell, Rule::NoFalseGreen, || format!("beside a point that is gone: {}", done.said()))
}

/// What must be true once the fault is gone.
fn afterwards(world: &mut World<'_>, step: &Step, all: &[(Step, Performed)]) -> Judged {
    let mut may_publish = Vec::new();
    for (step, performed) in all {
        let was_killed = performed.done.status.is_none() || performed.done.status == Some(130);
        if !was_killed {
            nothing_runs(&performed.done)?;
        }
        if step.operation == Operation::Backup {
            may_publish.push(step.source);
        }
        if let Some((Operation::Backup, source, _)) = performed.beside {
            may_publish.push(source);
        }
    }
    let new = world.reconcile(step, &may_publish)?;
    for (step, performed) in all {
        if step.operation == Operation::Backup && performed.done.status == Some(0) {
            let id = performed.done.json()["recovery_point"].as_str().unwrap_or_default().to_owned();
            let said = || format!("published and not listed: {}", performed.done.said());
            ensure(new.contains(&id), Rule::NothingLost, said)?;
        }
    }
    for id in &new {
        if step.fault != Fault::None || step.pick.is_multiple_of(4) {
            world.prove(id)?;
        }
    }
    dated_wrong(world, step, &new)?;
    // What a full disk or a broken ledger could not remember, the metrics cannot say.
    let remembers = !matches!(
        step.fault,
        Fault::Ledger(_) | Fault::Disk(..) | Fault::Clock(_) | Fault::Beside(..) | Fault::Terminate(..)
    );
    // The verdict that the metrics have is the last one.
    let (last, performed) = &all[all.len() - 1];
    let told = remembers && performed.done.status.is_some() && performed.applied && !performed.done.was_asked;
    if told || step.pick.is_multiple_of(5) {
        world.agrees(last, told.then_some(&performed.done))?;
    }
    let was_killed = performed.done.status.is_none();
    if step.proves || was_killed {
        recovers(world, step)?;
        let left = surviving(&performed.done.seen, GRACE);
        ensure(left.is_empty(), Rule::NothingLeft, || format!("after the next runs: {left:?}"))?;
    }
    Ok(())
}

/// Points of a wrong clock are taken away, as somebody would who sees them: else they would be the newest for years.
fn dated_wrong(world: &mut World<'_>, step: &Step, new: &[String]) -> Judged {
    if !matches!(step.fault, Fault::Clock(hours) if hours > 0) || new.is_empty() {
        return Ok(());
    }
    let (name, mut judged) = (step.source.name(), Ok(()));
    let list = world.run(&["--json", "list", name]);
    let found = listed(&list);
    let unnamed: Vec<&String> = new.iter().filter(|id| !found[*id]["suspect"].is_string()).collect();
    let drill = world.run(&["--json", "drill", name]);
    let chosen = drill.json()["recovery_point"].as_str().unwrap_or_default().to_owned();
    if !unnamed.is_empty() {
        judged = broken(Rule::NoFalseGreen, format!("dated after now, and not named: {unnamed:?}: {}", list.said()));
    } else if new.contains(&chosen) || drill.status != Some(0) {
        judged = broken(Rule::NoFalseGreen, format!("beside a point from the future: {}", drill.said()));
    }
    world.learn_snapshots(step.source);
    for id in new {
        let point = world.points.remove(id).unwrap();
        let snapshot = point.snapshot.unwrap_or_default();
        let _ = std::fs::remove_file(world.repository(step.source).join("snapshots").join(snapshot));
    }
    judged
}

/// The same after the service did the work.
pub fn afterwards_of_service(world: &mut World<'_>, step: &Step, seen: &[Process]) -> Judged {
    if step.pick.is_multiple_of(2) {
        world.agrees(step, None)?;
    }
    recovers(world, step)?;
    let left = surviving(seen, GRACE);
    ensure(left.is_empty(), Rule::NothingLeft, || format!("after the next runs: {left:?}"))
}

/// Backups and drills work again, and older points are what they were.
fn recovers(world: &mut World<'_>, step: &Step) -> Judged {
    let as_if = |rule: Rule| move |broken: Broken| Broken { rule, ..broken };
    let name = step.source.name();
    let quiet = Step { fault: Fault::None, operation: Operation::Backup, ..*step };
    let backup = world.run(&["--json", "backup", name]);
    sound(&backup, &quiet, Operation::Backup, false).map_err(as_if(Rule::Recovers))?;
    world.reconcile(&quiet, &[step.source])?;
    let drill = world.run(&["--json", "drill", name]);
    sound(&drill, &quiet, Operation::Drill, false).map_err(as_if(Rule::Recovers))?;
    world.is_clean(step)?;
    if step.pick % 4 == 1 {
        let ids: Vec<String> = world.points.keys().cloned().collect();
        let id = ids[usize::try_from((step.pick >> 16) % ids.len() as u64).unwrap()].clone();
        world.prove(&id)?;
    }
    Ok(())
}

fn outcome(step: &Step, performed: &Performed) -> Outcome {
    if !performed.applied {
        return Outcome::NotApplied;
    }
    match performed.done.status {
        None | Some(0) => Outcome::Survived,
        Some(4) => Outcome::Inconclusive,
        Some(3) => Outcome::Failed,
        Some(1) if step.operation == Operation::Backup && performed.beside.is_none() => Outcome::Failed,
        _ => Outcome::Refused,
    }
}

/// The first backup and drill of every source, undisturbed.
pub fn begin_round(world: &mut World<'_>) -> Judged {
    let quiet = |operation, source| Step {
        number: 0,
        source,
        operation,
        fault: Fault::None,
        then: None,
        changes: false,
        proves: false,
        pick: 1,
    };
    for (operation, word) in [(Operation::Backup, "backup"), (Operation::Drill, "drill")] {
        for source in SOURCES {
            let done = world.run(&["--json", word, source.name()]);
            sound(&done, &quiet(operation, source), operation, false)?;
            world.usual.insert((operation as u8, source), done.took);
        }
    }
    world.reconcile(&quiet(Operation::Backup, Source::Shop), &SOURCES).map(drop)
}
