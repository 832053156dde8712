//! The loop: threads, time limits, panics, draining. Jobs are scripted, time is real.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use super::*;
use crate::clock::SystemClock;
use crate::domain::schedule::{Timing, Work as Task};

/// Does what it was told to, and takes notes.
struct Script {
    jobs: Vec<(&'static str, Behaviour)>,
    limit: Duration,
    begun: AtomicUsize,
    released: AtomicBool,
    events: Mutex<mpsc::Sender<String>>,
    published: Mutex<Vec<Vec<Progress>>>,
}

#[derive(Clone, Copy)]
enum Behaviour {
    Return,
    Panic,
    /// Until it is cancelled.
    Hang,
    /// Until it is released, or cancelled.
    Work,
    /// Until it is released, whatever anybody asks.
    Deaf,
}

impl Script {
    fn start(jobs: Vec<(&'static str, Behaviour)>, limit: Duration) -> (Arc<Self>, mpsc::Receiver<String>, Stopper) {
        Self::start_draining(jobs, limit, Duration::from_millis(200))
    }

    /// The same with a time in which what runs may end. Says "draining" at every round of the loop after the stop.
    fn start_draining(
        jobs: Vec<(&'static str, Behaviour)>,
        limit: Duration,
        drain: Duration,
    ) -> (Arc<Self>, mpsc::Receiver<String>, Stopper) {
        let (events, inbox) = mpsc::channel();
        let (begun, published) = (AtomicUsize::new(0), Mutex::default());
        let script = Arc::new(Self {
            jobs,
            limit,
            begun,
            released: AtomicBool::new(false),
            events: Mutex::new(events),
            published,
        });
        let mut scheduler = Scheduler::new(script.clone(), SystemClock::shared()).unwrap();
        scheduler.clean_up = Duration::from_millis(200);
        let stop = Cancel::default();
        let (stopped, of_loop) = (stop.clone(), script.clone());
        let round = move |stopped: &Cancel| {
            if stopped.is_cancelled() {
                of_loop.say("draining".to_owned());
            }
        };
        let thread = std::thread::spawn(move || scheduler.run(&stopped, || drain, || round(&stopped)));
        (script, inbox, Stopper { stop, thread: Some(thread) })
    }

    fn say(&self, text: String) {
        let _ = self.events.lock().unwrap().send(text);
    }
}

struct Stopper {
    stop: Cancel,
    thread: Option<std::thread::JoinHandle<Vec<Job>>>,
}

impl Stopper {
    fn stop(&mut self) -> Vec<Job> {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Workplace for Script {
    fn jobs(&self) -> Result<Vec<(JobSpec, JobHistory)>> {
        let spec = |(name, _): &(&str, Behaviour)| JobSpec {
            job: Job::new(*name, Task::FullBackup),
            timing: Timing::Every(Duration::from_hours(1)),
            zone: chrono_tz::UTC,
            jitter: Duration::ZERO,
            objective: Duration::from_hours(24),
        };
        Ok(self.jobs.iter().map(|job| (spec(job), JobHistory::default())).collect())
    }
    fn limits(&self) -> Limits {
        Limits { backups: 2, drills: 1 }
    }
    fn promise(&self, _source: &str) -> Option<Promise> {
        None
    }
    fn perform(&self, start: &Start, context: &RunContext) -> Ended {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let behaviour = self.jobs.iter().find(|(name, _)| *name == start.job.source).unwrap().1;
        context.progress.phase("backup", Some(100));
        context.progress.advance(40);
        self.say(format!("{} begins", start.job.source));
        match behaviour {
            Behaviour::Return => {}
            Behaviour::Panic => panic!("a bug, on purpose"),
            Behaviour::Hang => {
                while !context.cancel.is_cancelled() {
                    std::thread::yield_now();
                }
                self.say(format!("{}: {}", start.job.source, context.cancel.error()));
            }
            Behaviour::Deaf => {
                while !self.released.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                self.say(format!("{} ends at last", start.job.source));
            }
            Behaviour::Work => {
                while !self.released.load(Ordering::SeqCst) && !context.cancel.is_cancelled() {
                    std::thread::yield_now();
                }
                let how = if context.cancel.is_cancelled() { "is cancelled" } else { "ends by itself" };
                self.say(format!("{} {how}", start.job.source));
            }
        }
        Ended::Done
    }
    fn missed(&self, _missed: &Missed) {}
    fn is_unwanted(&self, _job: &Job) -> bool {
        false
    }
    fn time_limit(&self, _job: &Job) -> Duration {
        self.limit
    }
    fn publish(&self, scheduler: SchedulerState, running: Vec<Progress>) {
        assert!(scheduler.last_tick.is_some());
        self.published.lock().unwrap().push(running);
    }
}

fn wait(inbox: &mpsc::Receiver<String>, wanted: &str) {
    loop {
        let event = inbox.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{wanted}: nothing came"));
        if event == wanted {
            return;
        }
    }
}

#[test]
fn a_job_that_panics_takes_nothing_with_it() {
    let jobs = vec![("a-bad", Behaviour::Panic), ("b-bad", Behaviour::Panic), ("c-good", Behaviour::Return)];
    let (_script, inbox, mut scheduler) = Script::start(jobs, Duration::from_hours(1));
    wait(&inbox, "c-good begins");
    assert_eq!(scheduler.stop(), []);
}

#[test]
fn a_job_that_takes_too_long_is_ended_with_the_reason() {
    let (_script, inbox, mut scheduler) = Script::start(vec![("slow", Behaviour::Hang)], Duration::from_millis(100));
    wait(&inbox, "slow: it took longer than 100ms");
    assert_eq!(scheduler.stop(), []);
}

#[test]
fn what_runs_may_end_within_the_drain_then_is_cancelled_and_nothing_new_begins() {
    let jobs = vec![("a", Behaviour::Hang), ("b", Behaviour::Hang), ("waits", Behaviour::Return)];
    let (script, inbox, mut scheduler) = Script::start(jobs, Duration::from_hours(1));
    let begun: Vec<String> = (0..2).map(|_| inbox.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    assert_eq!(begun.iter().filter(|event| event.ends_with(" begins")).count(), 2, "{begun:?}");
    assert_eq!(scheduler.stop(), []);
    assert_eq!(script.begun.load(Ordering::SeqCst), 2, "`waits` had no place and must not begin");
}

#[test]
fn a_job_that_ends_by_itself_while_draining_is_not_cancelled() {
    let (hour, jobs) = (Duration::from_hours(1), vec![("short", Behaviour::Work)]);
    let (script, inbox, mut scheduler) = Script::start_draining(jobs, hour, hour);
    wait(&inbox, "short begins");
    scheduler.stop.cancel();
    // The loop has seen that it has to end, and lets it work.
    for _ in 0..3 {
        let event = inbox.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(event, "draining", "it was cancelled");
    }
    script.released.store(true, Ordering::SeqCst);
    wait(&inbox, "short ends by itself");
    assert_eq!(scheduler.stop(), []);
}

#[test]
fn a_job_that_cannot_be_ended_gives_its_place_to_others_and_keeps_nobody_from_stopping() {
    // Two places: both taken by what nobody can end.
    let jobs = vec![("a", Behaviour::Deaf), ("b", Behaviour::Deaf), ("c", Behaviour::Return)];
    let (script, inbox, mut scheduler) = Script::start(jobs, Duration::from_millis(100));
    wait(&inbox, "c begins");
    let stuck = |running: &Vec<Progress>| running.iter().filter(|one| ["a", "b"].contains(&&*one.source)).count();
    let still_shown = || script.published.lock().unwrap().last().map(stuck);
    assert_eq!(still_shown(), Some(2), "they go on, and are seen to");
    assert_eq!(scheduler.stop().len(), 2, "they are named");
    script.released.store(true, Ordering::SeqCst);
}

#[test]
fn progress_is_published_while_a_job_runs() {
    let (script, inbox, mut scheduler) = Script::start(vec![("slow", Behaviour::Hang)], Duration::from_millis(1200));
    wait(&inbox, "slow: it took longer than 1s 200ms");
    scheduler.stop();
    let published = script.published.lock().unwrap();
    let seen = published
        .iter()
        .flatten()
        .any(|progress| progress.source == "slow" && progress.phase == "backup" && progress.ratio() == Some(0.4));
    assert!(seen, "{published:?}");
}
