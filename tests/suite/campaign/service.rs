//! Steps in which the service does the work: it answers whatever happens, says what is wrong, and ends when it is asked to.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::command::{Begun, LIMIT_OF_TERM};
use super::faults;
use super::judge::{Judged, Rule, broken, ensure, nothing_runs};
use super::parties::Process;
use super::plan::{Fault, Harm, Operation, Party, Reload, SOURCES, Signalled, Source, Step, Stored};
use super::steps::mend_server;
use super::table::Outcome;
use super::world::World;
use crate::serving::get;

/// The schedule of the source that the step is about.
const BUSY: &str = "full = \"@every 3s\", drill = \"@every 4s\", backup_timeout = \"6s\"";
const BRISK: &str = "[scheduler]\ndrain = \"1s\"\nlisting_interval = \"1s\"\n";
/// A look that hangs is given up, a job that takes too long is ended: all of it within this time.
const SOON: Duration = Duration::from_secs(90);
/// A page is made without asking anybody: less than any limit of something that hangs.
const ANSWER: Duration = Duration::from_secs(20);

struct Running {
    begun: Begun,
    address: String,
}

impl Running {
    fn metrics(&mut self) -> Judged<String> {
        self.answer("/metrics")
    }

    /// An answer in time, or the rule of limits is broken. Empty if the service has ended.
    fn answer(&mut self, path: &str) -> Judged<String> {
        let asked = Instant::now();
        let answer = get(&self.address, path);
        let took = asked.elapsed();
        // One that gives up stops listening before everything has ended.
        if self.begun.has_ended() || (answer.is_err() && !self.begun.run_for(LIMIT_OF_TERM)) {
            return Ok(String::new());
        }
        match answer {
            Ok(answer) if took <= ANSWER => Ok(answer),
            other => broken(Rule::Limits, format!("{path} after {took:.1?}: {other:.300?}")),
        }
    }

    fn value(&mut self, series: &str) -> Judged<Option<f64>> {
        let metrics = self.metrics()?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("backup_sla_")?.strip_prefix(series));
        Ok(line.and_then(|line| line.trim().parse().ok()))
    }

    /// Wait until one of these series has its value.
    fn comes_to(&mut self, rule: Rule, any: &[(&str, f64)]) -> Judged {
        let until = Instant::now() + SOON;
        loop {
            for (series, wanted) in any {
                if self.value(series)? == Some(*wanted) {
                    return Ok(());
                }
            }
            if self.begun.has_ended() || Instant::now() > until {
                return broken(rule, format!("none of {any:?} in {SOON:?}: {:.2000}", tail(&self.begun.stderr())));
            }
            self.begun.run_for(Duration::from_millis(300));
        }
    }
}

fn tail(text: &str) -> &str {
    let from = text.char_indices().rev().nth(2_000).map_or(0, |(at, _)| at);
    &text[from..]
}

pub fn take(world: &mut World<'_>, step: &Step) -> Judged<Outcome> {
    world.configure(&SOURCES, BRISK, Some((step.source, BUSY)));
    let early = step.pick.is_multiple_of(2);
    let mut undo = None;
    if early {
        undo = faults::apply(world, step);
    }
    let begun = world.begin(&["serve", "--web.listen-address", "127.0.0.1:0"], 0);
    let judged = serve(world, step, begun, early, &mut undo);
    if let Some(undo) = undo {
        undo.undo(world, step);
    }
    world.configure(&SOURCES, "", None);
    let (outcome, seen) = judged?;
    let quiet = Step { operation: Operation::Backup, fault: Fault::None, ..*step };
    let new = world.reconcile(&quiet, &[step.source])?;
    if let Some(id) = new.last() {
        world.prove(id)?;
    }
    super::steps::afterwards_of_service(world, step, &seen)?;
    Ok(outcome)
}

fn serve(
    world: &mut World<'_>,
    step: &Step,
    begun: Begun,
    early: bool,
    undo: &mut Option<faults::Undo>,
) -> Judged<(Outcome, Vec<Process>)> {
    let Some(mut service) = start(begun, step, early)? else { return Ok((Outcome::Refused, Vec::new())) };
    // Something is at work then.
    service.begun.run_for(Duration::from_millis(500 + step.pick % 2_500));
    if !early {
        *undo = faults::apply(world, step);
    }
    let mut applied = undo.is_some();
    service.answer("/-/healthy")?;
    match step.fault {
        Fault::Signal(Party::Us, how, late) => {
            service.begun.run_for(Duration::from_millis(late * 20));
            match how {
                Signalled::Kill => service.begun.signal(Signal::KILL),
                Signalled::Hang | Signalled::Pause(_) => {
                    service.begun.signal(Signal::STOP);
                    std::thread::sleep(Duration::from_secs(1));
                    service.begun.signal(Signal::CONT);
                }
            }
        }
        Fault::Signal(party, how, _) => applied = strike(world, step, &mut service, party, how)?,
        Fault::Reload(reload) => reloads(world, step, &mut service, reload)?,
        _ if applied => stands(step, &mut service)?,
        _ => {}
    }
    service.begun.run_for(Duration::from_millis(1_000 + step.pick % 1_500));
    service.answer("/api/v1/status")?;
    service.answer("/")?;
    end(world, step, service, applied)
}

/// It listens; none if it refused to start, and said why.
fn start(mut begun: Begun, step: &Step, early: bool) -> Judged<Option<Running>> {
    let until = Instant::now() + SOON;
    loop {
        if let Some(line) = begun.stdout().lines().find_map(|line| line.strip_prefix("listening on http://")) {
            let address = line.split('/').next().unwrap_or_default().to_owned();
            return Ok(Some(Running { begun, address }));
        }
        if !begun.run_for(Duration::from_millis(50)) {
            let done = begun.end(Duration::ZERO);
            let may = early && matches!(step.fault, Fault::Disk(..) | Fault::Ledger(_)) && done.status == Some(1);
            return if may { Ok(None) } else { broken(Rule::Recovers, format!("it does not start: {}", done.said())) };
        }
        if Instant::now() > until {
            return broken(Rule::Limits, format!("it does not listen: {}", begun.stderr()));
        }
    }
}

/// A signal to one of those who work for the service.
fn strike(world: &mut World<'_>, step: &Step, service: &mut Running, party: Party, how: Signalled) -> Judged<bool> {
    let name = step.source.name();
    let failures = format!("backup_failures_total{{source=\"{name}\",kind=\"full\"}}");
    let before = service.value(&failures)?;
    let (victim, process) = if party == Party::SourceServer {
        let servers = &world.servers;
        (if step.source == Source::Shop { servers.shop.pid() } else { servers.telegraf.pid() }, None)
    } else {
        let Some(process) = service.begun.find(party, step.source, Duration::from_secs(8)) else { return Ok(false) };
        (process.pid, Some(process))
    };
    let send = |signal: Signal| match &process {
        Some(process) => process.signal(signal),
        None => super::parties::send(victim, signal),
    };
    let applied = process.as_ref().is_none_or(Process::lives);
    match how {
        Signalled::Kill => send(Signal::KILL),
        Signalled::Pause(milliseconds) => {
            send(Signal::STOP);
            service.begun.run_for(Duration::from_millis(milliseconds));
            send(Signal::CONT);
        }
        Signalled::Hang => {
            send(Signal::STOP);
            let judged = hangs(step, service, party, (&failures, before), process.as_ref());
            send(Signal::CONT);
            judged?;
        }
    }
    mend_server(world, step, true);
    Ok(applied)
}

/// A backup that hangs is ended by its limit, while everything answers.
fn hangs(
    step: &Step,
    service: &mut Running,
    party: Party,
    (failures, before): (&str, Option<f64>),
    process: Option<&Process>,
) -> Judged {
    let until = Instant::now() + SOON;
    let is_backup = party == Party::SourceServer || (party == Party::Dump && step.source == Source::Telegraf);
    while is_backup && service.value(failures)? == before && process.is_none_or(Process::lives) {
        ensure(Instant::now() < until, Rule::Limits, || {
            format!("a backup that hangs is not ended: {}", tail(&service.begun.stderr()))
        })?;
        service.begun.run_for(Duration::from_millis(500));
    }
    Ok(())
}

fn reloads(world: &World<'_>, step: &Step, service: &mut Running, reload: Reload) -> Judged {
    let name = step.source.name();
    let success = "config_last_reload_success";
    match reload {
        Reload::Invalid => {
            let text = fs::read_to_string(world.path("config.toml")).unwrap();
            fs::write(world.path("config.toml"), text.replace("rpo = ", "rpoo = ")).unwrap();
            service.begun.signal(Signal::HUP);
            service.comes_to(Rule::NoFalseGreen, &[(success, 0.0)])?;
        }
        Reload::Changed => {
            let text = fs::read_to_string(world.path("config.toml")).unwrap();
            fs::write(world.path("config.toml"), text.replace("rpo = \"24h\"", "rpo = \"12h\"")).unwrap();
            service.begun.signal(Signal::HUP);
            let series = format!("rpo_objective_seconds{{source=\"{name}\"}}");
            service.comes_to(Rule::Agreement, &[(&series, 43_200.0)])?;
        }
        Reload::Without => {
            let others: Vec<Source> = SOURCES.into_iter().filter(|source| *source != step.source).collect();
            world.configure(&others, BRISK, None);
            service.begun.signal(Signal::HUP);
            service.comes_to(Rule::Agreement, &[(&format!("source_retired{{source=\"{name}\"}}"), 1.0)])?;
        }
    }
    world.configure(&SOURCES, BRISK, Some((step.source, BUSY)));
    service.begun.signal(Signal::HUP);
    service.comes_to(Rule::Recovers, &[(success, 1.0)])
}

/// What a service must say of a fault that stands.
fn stands(step: &Step, service: &mut Running) -> Judged {
    let repository = step.source.repository();
    let up = format!("repository_up{{repository=\"{repository}\"}}");
    let key = format!("encryption_key_available{{repository=\"{repository}\"}}");
    match step.fault {
        Fault::Unmounted | Fault::LinkedDirectory("snapshots" | "keys") => {
            service.comes_to(Rule::NoFalseGreen, &[(&up, 0.0)])
        }
        // A flipped bit may be in a part of the key's file that nobody needs.
        Fault::Damage(Stored::Config | Stored::Key, harm) if !matches!(harm, Harm::Flip | Harm::Swap) => {
            service.comes_to(Rule::NoFalseGreen, &[(&up, 0.0), (&key, 0.0)])
        }
        _ => {
            for _ in 0..8 {
                service.begun.run_for(Duration::from_millis(400));
                service.answer("/-/healthy")?;
                service.metrics()?;
            }
            Ok(())
        }
    }
}

fn end(world: &mut World<'_>, step: &Step, service: Running, applied: bool) -> Judged<(Outcome, Vec<Process>)> {
    let mut begun = service.begun;
    let killed = matches!(step.fault, Fault::Signal(Party::Us, Signalled::Kill, _));
    begun.signal(Signal::TERM);
    if let Fault::Terminate(late, true) = step.fault {
        begun.run_for(Duration::from_millis(late * 5));
        begun.signal(Signal::TERM);
    }
    let asked = Instant::now();
    let in_time = !begun.run_for(LIMIT_OF_TERM);
    let took = asked.elapsed();
    let done = begun.end(Duration::ZERO);
    world.log.push(done.said());
    ensure(in_time, Rule::Limits, || format!("SIGTERM took more than {took:.0?}: {}", tail(&done.stderr)))?;
    ensure(!done.stderr.contains("panicked"), Rule::Agreement, || tail(&done.stderr).to_owned())?;
    let twice = matches!(step.fault, Fault::Terminate(_, true)) && done.status == Some(130);
    // Where it cannot go on without its ledger, it says so and is started again.
    let gave_up = matches!(step.fault, Fault::Ledger(_)) && done.status == Some(1) && done.stderr.contains("ledger");
    let good = done.status == Some(0) || gave_up || twice || (killed && done.signal == Some(9));
    ensure(good, Rule::Agreement, || format!("{:?} {:?}: {}", done.status, done.signal, tail(&done.stderr)))?;
    if done.status == Some(0) {
        nothing_runs(&done)?;
    }
    Ok((if applied { Outcome::Survived } else { Outcome::NotApplied }, done.seen))
}
