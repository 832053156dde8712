//! One run of the program under test: what it started, how it ended, and whether it ended in time.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::parties::{Process, below, send};
use super::plan::{Party, Source};
use crate::support::Running;

/// Longest time from SIGTERM to the end: a second of `drain`, 45 s in which everything cleans up, 2 s for threads, and what
/// a busy machine adds.
pub const LIMIT_OF_TERM: Duration = Duration::from_secs(60);

pub struct Begun {
    pub what: String,
    child: Running,
    out: PathBuf,
    err: PathBuf,
    started: Instant,
    seen: Vec<Process>,
    status: Option<ExitStatus>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Done {
    pub what: String,
    /// None if a signal ended it.
    pub status: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    /// It did not end by itself and was asked to.
    pub was_asked: bool,
    /// It did not even end then.
    pub was_stuck: bool,
    /// Every process that was seen below it.
    pub seen: Vec<Process>,
}

impl Begun {
    pub fn new(mut command: Command, what: String, log: PathBuf) -> Self {
        let (out, err) = (log.with_extension("out"), log.with_extension("err"));
        command.stdin(Stdio::null()).stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        let child = Running(command.spawn().unwrap());
        Self { what, child, out, err, started: Instant::now(), seen: Vec::new(), status: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap_or_default()).into_owned()
    }

    pub fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.0.try_wait().unwrap();
        }
        self.status.is_some()
    }

    fn look(&mut self) -> bool {
        for process in below(self.pid()) {
            match self.seen.iter_mut().find(|seen| seen.pid == process.pid) {
                Some(seen) => *seen = process,
                None => self.seen.push(process),
            }
        }
        self.has_ended()
    }

    /// Let it go on for so long; whether it still runs.
    pub fn run_for(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            if self.look() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(40)));
        }
    }

    /// Wait until a process of this party is below it.
    pub fn find(&mut self, party: Party, source: Source, within: Duration) -> Option<Process> {
        let until = Instant::now() + within;
        while !self.look() && Instant::now() < until {
            if let Some(process) = self.seen.iter().rev().find(|it| it.is(party, source) && it.lives()) {
                return Some(process.clone());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    pub fn signal(&self, signal: Signal) {
        // After it was waited for, the number may be somebody else's.
        if self.status.is_none() {
            send(self.pid(), signal);
        }
    }

    /// Wait for its end; after `limit` it is asked to end, after [`LIMIT_OF_TERM`] more it is killed.
    pub fn end(mut self, limit: Duration) -> Done {
        let was_asked = self.run_for(limit);
        let mut was_stuck = false;
        if was_asked {
            self.signal(Signal::TERM);
            was_stuck = self.run_for(LIMIT_OF_TERM);
            if was_stuck {
                self.signal(Signal::KILL);
                self.run_for(Duration::from_secs(20));
            }
        }
        let took = self.started.elapsed();
        let status = self.status;
        Done {
            stdout: self.stdout(),
            stderr: self.stderr(),
            what: self.what,
            status: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            took,
            was_asked,
            was_stuck,
            seen: self.seen,
        }
    }
}

impl Done {
    /// The first object that it printed.
    pub fn json(&self) -> Value {
        self.stdout.lines().next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null)
    }

    pub fn said(&self) -> String {
        format!(
            "{}: status {:?}, signal {:?}, after {:.1?}\n  stdout: {:.1500}\n  stderr: {:.1500}",
            self.what,
            self.status,
            self.signal,
            self.took,
            self.stdout.trim(),
            self.stderr.trim()
        )
    }
}
