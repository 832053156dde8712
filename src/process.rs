//! Child processes: own process group, killed and reaped by ownership, stderr kept, a stream that ends well only on exit 0.
//!
//! Knows nothing of what the children do. A group lives as long as its leader: what the leader leaves behind in its
//! group is killed when the leader is reaped, never later (the number could then belong to somebody else).

mod ended;
pub mod identity;
mod locked;
mod output;
mod program;
mod question;
mod said;
pub mod stat;
mod stopped;

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

pub use self::ended::{Died, FellSilent, is_from_outside};

use self::locked::locked;
pub use self::output::ChildOutput;
pub use self::program::{command, find_program};
pub use self::question::{answer, answer_of};
pub use self::said::Telling;
use self::said::{Said, collect};
pub use self::stopped::watch_for_stops;
use crate::error::{Error, Result};

/// How much of what a child said goes into a message, in lines.
const TAIL_LINES: usize = 40;
/// How long the end of stderr is waited for once the child is gone: a process that left the group may hold it open.
const STDERR_GRACE: Duration = Duration::from_secs(1);
/// How long a child may take to go once it was killed: one that the kernel keeps (a disk that does not answer) is left behind.
const DEATH: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const DEATH_LOOK: Duration = Duration::from_millis(5);

/// A running child in its own process group. Dropping it kills the group and reaps the child.
#[derive(Debug)]
pub struct OwnedChild {
    name: String,
    child: Child,
    stderr_ended: Option<Receiver<()>>,
    said: Arc<Mutex<Said>>,
    status: Option<ExitStatus>,
    group: Killer,
}

/// Kills a child's whole group from any thread, say because the run was cancelled while another thread is blocked on
/// the child's output. Does nothing once the child was reaped, so it never hits a stranger with the same number.
#[derive(Debug, Clone)]
pub struct Killer {
    group: Pid,
    reaped: Arc<Mutex<bool>>,
    /// Killed by us because somebody had stopped it.
    was_stopped: Arc<AtomicBool>,
}

impl Killer {
    /// Send SIGKILL to the group.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Whether the child was reaped, so that there is nobody to kill.
    #[cfg(test)]
    fn is_over(&self) -> bool {
        *locked(&self.reaped)
    }

    fn signal(&self, signal: Signal) {
        let reaped = locked(&self.reaped);
        if !*reaped {
            // The only way to fail is that nobody is left to receive it.
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl OwnedChild {
    /// Start `command` in a process group of its own; its stderr is collected. Standard input and output are the
    /// caller's to set: left unset they are inherited, and a child that reads a terminal it does not own is stopped.
    pub fn spawn(command: Command, name: &str) -> Result<Self> {
        Self::spawn_telling(command, name, None)
    }

    /// The same of a child that tells on stderr what it is at, in lines that begin like this: only the newest is kept.
    pub fn spawn_telling(mut command: Command, name: &str, telling: Option<Telling>) -> Result<Self> {
        command.stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|e| {
            let program = command.get_program().to_string_lossy().into_owned();
            Error::failed(format!("cannot start {name} (`{program}`)")).because(e)
        })?;
        let said = Arc::new(Mutex::new(Said::by(telling)));
        let stderr_ended = child.stderr.take().map(|pipe| {
            let (ended, wait) = sync_channel(1);
            let heard = said.clone();
            std::thread::spawn(move || {
                collect(pipe, &heard);
                // Nobody may be waiting any more.
                let _ = ended.send(());
            });
            wait
        });
        let group = Killer { group: Pid::from_child(&child), reaped: Arc::default(), was_stopped: Arc::default() };
        Ok(Self { name: name.to_owned(), child, stderr_ended, said, status: None, group })
    }

    /// Process id; also the id of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A handle that can kill the child's group from another thread.
    pub fn killer(&self) -> Killer {
        self.group.clone()
    }

    /// The child's standard output, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The child's standard input, once.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Write all of `bytes` to the child's standard input and close it. For little: a child that answers before it has
    /// read all would wait for its output to be taken.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.take_stdin() {
            Some(mut pipe) => pipe.write_all(bytes),
            None => Ok(()),
        }
    }

    /// Last lines the child wrote to stderr so far.
    pub fn stderr_tail(&self) -> String {
        let lines = self.stderr_lines();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("; ")
    }

    /// Last lines the child wrote to stderr so far, one by one, oldest first.
    pub fn stderr_lines(&self) -> Vec<String> {
        locked(&self.said).lines.iter().cloned().collect()
    }

    /// Exit status if the child has ended.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.reap(WaitIdOptions::NOHANG)
    }

    /// Wait for the end; an exit status other than 0 is an error that carries the child's own words.
    pub fn wait_success(&mut self) -> Result<()> {
        // A child that reads its input to the end would wait for us for ever.
        drop(self.take_stdin());
        let status = self
            .reap(WaitIdOptions::empty())
            .and_then(|status| status.ok_or_else(|| io::Error::other("no exit status")))
            .map_err(|e| Error::failed(format!("cannot wait for {}", self.name)).because(e))?;
        if status.success() {
            return Ok(());
        }
        let died =
            Died::new(status, self.group.was_stopped.load(Ordering::SeqCst), self.stderr_tail())
                .at(locked(&self.said).at.clone());
        let hint = died.hint();
        let error = Error::failed(format!("{} {died}", self.name)).because(died);
        Err(match hint {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }

    /// Send a signal to the child's whole group.
    pub fn signal(&self, signal: Signal) {
        self.group.signal(signal);
    }

    /// Kill the child's whole group and wait until the child is gone, or is clearly kept by the kernel.
    pub fn kill_now(&mut self) {
        self.group.kill();
        let mut waited = Duration::ZERO;
        // Fails only if it is not our child any more: then there is nothing to wait for.
        while let Ok(None) = self.reap(WaitIdOptions::NOHANG) {
            if waited > DEATH {
                tracing::error!(pid = self.id(), "{} was killed and does not end: the kernel keeps it", self.name);
                return;
            }
            std::thread::sleep(DEATH_LOOK);
            waited += DEATH_LOOK;
        }
    }

    /// Take the exit status if there is one. The child is left a zombie until what remains of its group was killed:
    /// as long as it is one, nobody else can get its number.
    fn reap(&mut self, options: WaitIdOptions) -> io::Result<Option<ExitStatus>> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.group.group), options) {
                Ok(Some(_)) => break,
                Ok(None) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut reaped = locked(&self.group.reaped);
        let _ = kill_process_group(self.group.group, Signal::KILL);
        self.status = Some(self.child.wait()?);
        *reaped = true;
        drop(reaped);
        if let Some(ended) = self.stderr_ended.take() {
            let _ = ended.recv_timeout(STDERR_GRACE);
        }
        Ok(self.status)
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.kill_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    fn start(script: &str) -> (OwnedChild, BufReader<ChildStdout>) {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = OwnedChild::spawn(command, "shell").unwrap();
        let output = BufReader::new(child.take_stdout().unwrap());
        (child, output)
    }

    fn line(output: &mut impl BufRead) -> String {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Returns once every process that could write to the pipe is gone; fails if one of them was left to write.
    fn assert_ends(mut output: impl Read) {
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }

    #[test]
    fn dropping_a_child_kills_its_whole_group() {
        let (child, mut output) = start("(sleep 1000; echo late) & echo $!; wait");
        assert!(!line(&mut output).is_empty());
        drop(child);
        assert_ends(output);
    }

    #[test]
    fn what_a_child_leaves_in_its_group_ends_with_it() {
        let (mut child, mut output) = start("(sleep 1000; echo late) & echo started; echo why >&2; exit 3");
        assert_eq!(line(&mut output), "started");
        let error = child.wait_success().unwrap_err();
        assert!(error.to_string().contains("exit status: 3: why"), "{error}");
        assert_ends(output);
    }

    #[test]
    fn waiting_for_a_child_closes_its_input_first() {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        OwnedChild::spawn(command, "cat").unwrap().wait_success().unwrap();
    }

    #[test]
    fn only_the_last_lines_of_stderr_are_kept_and_long_ones_are_cut() {
        let mut command = Command::new("sh");
        command.arg("-c").arg("seq 1000 >&2; head -c 5000 /dev/zero | tr '\\0' x >&2; exit 1").stdin(Stdio::null());
        let mut child = OwnedChild::spawn(command, "shell").unwrap();
        child.wait_success().unwrap_err();
        let lines = child.stderr_lines();
        assert_eq!(lines.len(), said::LINES);
        assert_eq!(lines.iter().map(String::len).max(), Some(2_000));
        assert!(lines.contains(&"1000".to_owned()) && !lines.contains(&"1".to_owned()));
    }
}
