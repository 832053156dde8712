//! The contract of [`Sandbox`], as tests that every implementation passes with every product. It panics where the contract is
//! broken.
//!
//! A [`Bench`] is one implementation over a place of its own; a [`Subject`] is one product, as its engine asks for it. The test
//! that calls [`run`] is run again as the process that is killed: what a process held is really lost only with it.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Access, Data, Instance, Sandbox, SandboxSpec, ServerSpec};
use crate::clock::SystemClock;
use crate::error::{Error, Kind, Result};
use crate::run_context::RunContext;

/// Tells the process that is killed what to do, and where.
const STEP: &str = "BACKUP_SLA_CONTRACT_STEP";
const PLACE: &str = "BACKUP_SLA_CONTRACT_PLACE";
/// How long something that is about to happen is waited for.
const LOOKS: u32 = 3000;
const LOOK: Duration = Duration::from_millis(10);

/// An implementation over a place of its own, and what is to be seen of it from outside.
pub trait Bench: Sync {
    /// Where another process finds it.
    fn place(&self) -> PathBuf;
    /// Open it; opening twice is what two processes do.
    fn open(&self) -> Box<dyn Sandbox>;
    /// All that there is of instances in this place, also of half-made and half-removed ones.
    fn leftovers(&self) -> Vec<String>;
    /// Processes that run in instances of this place.
    fn processes(&self) -> Vec<u32>;
    /// Who may do what in an instance's directory.
    fn mode(&self, instance: &dyn Instance) -> u32;
    /// Sockets on which somebody outside of the instance could reach its server through a network.
    fn exposed(&self, instance: &dyn Instance) -> Vec<String>;
    /// End a server as the kernel does that is out of memory.
    fn kill(&self, pid: u32);
    /// Whether this process is gone.
    fn is_gone(&self, pid: u32) -> bool;
    /// Copy an instance's data directory to `to`, which does not exist.
    fn take(&self, instance: &dyn Instance, to: &Path);
    /// Put what was taken into the place of an instance that was not started.
    fn lay(&self, from: &Path, instance: &dyn Instance);
}

/// Makes a bench over a new place, or opens the one that is there.
pub type Make = fn(Option<&Path>) -> Box<dyn Bench>;

/// A product, as its engine asks for it.
pub struct Subject {
    /// What is asked for.
    pub spec: ServerSpec,
    /// The same of a server that runs and never answers.
    pub silent: ServerSpec,
    /// The same of a server that cannot start, and what it says then.
    pub broken: (ServerSpec, &'static str),
    /// Leave a mark that the server keeps.
    pub mark: fn(&ServerSpec, &Access),
    /// Whether the mark is there; panics where the server does not answer.
    pub is_marked: fn(&ServerSpec, &Access) -> bool,
}

impl Subject {
    fn spec(&self) -> SandboxSpec {
        server(&self.spec)
    }

    fn is_marked(&self, instance: &dyn Instance) -> bool {
        (self.is_marked)(&self.spec, instance.access())
    }

    fn mark(&self, instance: &dyn Instance) {
        (self.mark)(&self.spec, instance.access());
        assert!(self.is_marked(instance));
    }
}

/// Run the whole suite with a product; `test` is the name of the test that does.
pub fn run(make: Make, subject: &Subject, test: &str) {
    if let (Some(step), Some(place)) = (std::env::var_os(STEP), std::env::var_os(PLACE)) {
        be_killed(&*make(Some(Path::new(&place))), subject, &step == "started");
        return;
    }
    let bench = make(None);
    for promise in [
        a_started_instance_answers_is_private_and_leaves_nothing,
        an_instance_needs_no_start_to_be_destroyed,
        the_files_that_were_laid_are_what_the_server_starts_on,
        instances_at_once_share_nothing,
        a_dropped_instance_and_one_of_a_panic_are_destroyed_too,
        a_server_that_was_killed_is_told,
        a_server_has_no_more_memory_than_it_may_have,
        a_server_that_does_not_start_is_inconclusive_and_says_why,
        another_series_than_the_one_that_is_wanted_is_inconclusive,
        a_cancelled_run_gets_nothing_at_whatever_step,
        what_exists_is_counted_with_its_age,
    ] {
        promise(&*bench, subject);
        assert_eq!(bench.leftovers(), Vec::<String>::new());
    }
    what_a_killed_process_leaves_is_reaped_and_nothing_else(make, &*bench, subject, test);
}

/// What holds of a place without a server.
pub fn run_with_a_directory(make: Make) {
    let bench = make(None);
    let mut instance = bench.open().provision(&SandboxSpec::Directory, "run", &RunContext::silent()).unwrap();
    let place = instance.access().clone();
    assert_eq!(bench.mode(&*instance), 0o700);
    assert_eq!(std::fs::read_dir(&place.directory).unwrap().count(), 0);
    std::fs::write(place.directory.join("file"), "restored").unwrap();
    instance.start(&RunContext::silent()).unwrap();
    assert_eq!(instance.access(), &place, "it needs no start");
    assert!(instance.is_running() && instance.pid().is_none() && instance.free_bytes().unwrap() > 0);
    assert!(!place.network.is_empty());
    instance.destroy().unwrap();
    assert!(!place.directory.exists());
    drop(bench.open().provision(&SandboxSpec::Directory, "run", &RunContext::silent()).unwrap());
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}

fn server(spec: &ServerSpec) -> SandboxSpec {
    SandboxSpec::Server(Box::new(spec.clone()))
}

fn provision(bench: &dyn Bench, spec: &ServerSpec, run: &str) -> Box<dyn Instance> {
    bench.open().provision(&server(spec), run, &RunContext::silent()).unwrap()
}

fn started(bench: &dyn Bench, spec: &ServerSpec, run: &str) -> Box<dyn Instance> {
    let mut instance = provision(bench, spec, run);
    instance.start(&RunContext::silent()).unwrap();
    instance
}

/// Why it could not be provided or started.
fn refused(bench: &dyn Bench, spec: &ServerSpec, context: &RunContext) -> Error {
    let provided = bench.open().provision(&server(spec), "run", context);
    let started = provided.and_then(|mut instance| -> Result<()> { instance.start(context) });
    started.unwrap_err()
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if look() {
            return;
        }
        std::thread::sleep(LOOK);
    }
    panic!("{what}: not within {:?}", LOOK * LOOKS);
}

fn a_started_instance_answers_is_private_and_leaves_nothing(bench: &dyn Bench, subject: &Subject) {
    let instance = started(bench, &subject.spec, "run");
    assert!(!subject.is_marked(&*instance), "it is new");
    subject.mark(&*instance);
    assert_eq!(bench.mode(&*instance), 0o700);
    assert_eq!(bench.exposed(&*instance), Vec::<String>::new());
    let access = instance.access();
    assert!(!access.network.is_empty() && !access.isolation.is_empty());
    assert!(access.runs["server"].starts_with(&format!("{} {}", subject.spec.product, subject.spec.series)));
    assert!(instance.free_bytes().unwrap() > 0);
    let pid = instance.pid().unwrap();
    assert!(bench.processes().contains(&pid));
    instance.destroy().unwrap();
    assert!(bench.is_gone(pid));
}

fn an_instance_needs_no_start_to_be_destroyed(bench: &dyn Bench, subject: &Subject) {
    let mut instance = provision(bench, &subject.spec, "run");
    assert_eq!(bench.mode(&*instance), 0o700);
    assert_eq!(bench.processes(), Vec::<u32>::new(), "nothing runs before the start");
    assert!(instance.is_running(), "nothing has ended");
    assert!(instance.pid().is_none() && instance.free_bytes().unwrap() > 0);
    assert_eq!(bench.open().reap().unwrap(), [], "it is in use");
    instance.destroy().unwrap();
    drop(provision(bench, &subject.spec, "run"));
}

fn the_files_that_were_laid_are_what_the_server_starts_on(bench: &dyn Bench, subject: &Subject) {
    let away = tempfile::tempdir().unwrap();
    let copy = away.path().join("copy");
    let mut first = started(bench, &subject.spec, "first");
    subject.mark(&*first);
    bench.kill(first.pid().unwrap());
    until("the end of a killed server", || !first.is_running());
    bench.take(&*first, &copy);
    first.destroy().unwrap();
    let laid = ServerSpec { data: Data::Laid, ..subject.spec.clone() };
    let mut second = provision(bench, &laid, "second");
    bench.lay(&copy, &*second);
    second.start(&RunContext::silent()).unwrap();
    assert!(subject.is_marked(&*second));
    let again = second.start(&RunContext::silent()).unwrap_err();
    assert_eq!(again.kind(), Kind::Inconclusive);
    assert!(subject.is_marked(&*second), "the server is still the one that was started");
    second.destroy().unwrap();
}

fn instances_at_once_share_nothing(bench: &dyn Bench, subject: &Subject) {
    std::thread::scope(|scope| {
        for number in 0..3 {
            scope.spawn(move || {
                let instance = started(bench, &subject.spec, &format!("run{number}"));
                assert!(!subject.is_marked(&*instance));
                subject.mark(&*instance);
                instance.destroy().unwrap();
            });
        }
    });
}

fn a_dropped_instance_and_one_of_a_panic_are_destroyed_too(bench: &dyn Bench, subject: &Subject) {
    let instance = started(bench, &subject.spec, "run");
    let pid = instance.pid().unwrap();
    drop(instance);
    assert!(bench.is_gone(pid));
    assert_eq!(bench.leftovers(), Vec::<String>::new());
    let ended = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let instance = started(bench, &subject.spec, "run");
                // The only way to bring the number out of a panic.
                std::panic::panic_any(instance.pid().unwrap());
            })
            .join()
    });
    let pid: u32 = *ended.unwrap_err().downcast().unwrap();
    assert!(bench.is_gone(pid));
}

fn a_server_that_was_killed_is_told(bench: &dyn Bench, subject: &Subject) {
    let mut instance = started(bench, &subject.spec, "run");
    assert!(instance.is_running());
    bench.kill(instance.pid().unwrap());
    until("the end of a killed server", || !instance.is_running());
    assert!(!instance.log_tail().is_empty());
    instance.destroy().unwrap();
}

fn a_server_has_no_more_memory_than_it_may_have(bench: &dyn Bench, subject: &Subject) {
    let spec = ServerSpec { memory: 8 << 20, ..subject.spec.clone() };
    let error = refused(bench, &spec, &RunContext::silent());
    assert_eq!(error.kind(), Kind::Inconclusive, "{error}");
    assert!(error.hint_text().unwrap().contains("memory"), "{error} {:?}", error.hint_text());
}

fn a_server_that_does_not_start_is_inconclusive_and_says_why(bench: &dyn Bench, subject: &Subject) {
    let (spec, says) = &subject.broken;
    let error = refused(bench, spec, &RunContext::silent());
    assert_eq!(error.kind(), Kind::Inconclusive, "{error}");
    let text = error.to_string();
    assert!(text.starts_with("cannot start ") && text.contains(&spec.product) && text.contains(says), "{text}");
}

fn another_series_than_the_one_that_is_wanted_is_inconclusive(bench: &dyn Bench, subject: &Subject) {
    let spec = ServerSpec { series: "0.1".to_owned(), ..subject.spec.clone() };
    let error = bench.open().provision(&server(&spec), "run", &RunContext::silent()).err().unwrap();
    assert_eq!(error.kind(), Kind::Inconclusive, "{error}");
    assert!(error.to_string().contains(&format!("{} 0.1", spec.product)), "{error}");
    assert!(error.hint_text().is_some());
}

fn a_cancelled_run_gets_nothing_at_whatever_step(bench: &dyn Bench, subject: &Subject) {
    let context = RunContext::silent();
    context.cancel.cancel();
    assert_eq!(refused(bench, &subject.spec, &context).kind(), Kind::Cancelled);
    let context = RunContext::silent();
    let mut instance = bench.open().provision(&subject.spec(), "run", &context).unwrap();
    context.cancel.cancel();
    assert_eq!(instance.start(&context).unwrap_err().kind(), Kind::Cancelled);
    assert_eq!(bench.processes(), Vec::<u32>::new());
    drop(instance);
    let context = RunContext::silent();
    let mut instance = bench.open().provision(&server(&subject.silent), "run", &context).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("a server that is being started", || !bench.processes().is_empty());
            context.cancel.cancel();
        });
        let error = instance.start(&context).unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled, "{error}");
    });
    until("the end of what was started", || bench.processes().is_empty());
}

fn what_exists_is_counted_with_its_age(bench: &dyn Bench, subject: &Subject) {
    assert_eq!(bench.open().existing().unwrap().len(), 0);
    let clock = SystemClock::shared();
    let before = clock.wall();
    let one = provision(bench, &subject.spec, "one");
    let two = started(bench, &subject.spec, "two");
    let made = bench.open().existing().unwrap();
    assert!(made.len() == 2 && made.iter().all(|made| (before..=clock.wall()).contains(made)), "{made:?} {before}");
    drop((one, two));
    assert_eq!(bench.open().existing().unwrap().len(), 0);
}

/// The process that is killed, and the server that it said it has.
struct Owner(Child);

impl Owner {
    fn start(bench: &dyn Bench, test: &str, step: &str) -> (Self, Option<u32>) {
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(STEP, step)
            .env(PLACE, bench.place())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| line.unwrap().strip_prefix("owner ").map(str::to_owned)).unwrap();
        (Self(owner), said.parse().ok())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn be_killed(bench: &dyn Bench, subject: &Subject, is_started: bool) {
    let instance =
        if is_started { started(bench, &subject.spec, "leaked") } else { provision(bench, &subject.spec, "leaked") };
    println!("\nowner {}", instance.pid().map_or_else(|| "nothing".to_owned(), |pid| pid.to_string()));
    // Until we are killed, or our parent is gone.
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn what_a_killed_process_leaves_is_reaped_and_nothing_else(
    make: Make,
    bench: &dyn Bench,
    subject: &Subject,
    test: &str,
) {
    let live = started(bench, &subject.spec, "live");
    subject.mark(&*live);
    let neighbour = make(None);
    let of_another = started(&*neighbour, &subject.spec, "live");
    subject.mark(&*of_another);
    for step in ["provisioned", "started"] {
        let (owner, server) = Owner::start(bench, test, step);
        assert_eq!(server.is_some(), step == "started");
        assert_eq!(bench.open().reap().unwrap(), [], "both owners live");
        assert_eq!(bench.open().existing().unwrap().len(), 2);
        drop(owner);
        assert!(server.is_none_or(|pid| !bench.is_gone(pid)), "nobody has ended it yet");
        let reaped = bench.open().reap().unwrap();
        assert_eq!(reaped.iter().map(|one| one.pid).collect::<Vec<_>>(), [server], "{step}");
        assert!(reaped[0].directory.ends_with("leaked"), "{reaped:?}");
        // It was killed; a big one takes the kernel a moment to take apart.
        let mut looks = 0;
        while !server.is_none_or(|pid| bench.is_gone(pid)) {
            assert!(looks < 500, "a reaped server still runs");
            std::thread::sleep(std::time::Duration::from_millis(20));
            looks += 1;
        }
        assert_eq!(bench.open().reap().unwrap(), []);
        assert_eq!(bench.open().existing().unwrap().len(), 1);
        assert!(subject.is_marked(&*live) && subject.is_marked(&*of_another), "{step}");
    }
    live.destroy().unwrap();
    of_another.destroy().unwrap();
    assert_eq!([bench.leftovers(), neighbour.leftovers()], [Vec::<String>::new(), Vec::new()]);
}
