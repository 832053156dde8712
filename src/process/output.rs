//! A child's standard output as a reader whose end is good only if the child's was.

use std::io::{self, Read};
use std::process::ChildStdout;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{FellSilent, Killer, OwnedChild};
use crate::error::{Error, Result};

/// A child's standard output that ends with `Ok(0)` only if the child exited with status 0.
pub struct ChildOutput {
    child: OwnedChild,
    stdout: ChildStdout,
    longest_silence: Option<Duration>,
    ended: bool,
}

impl ChildOutput {
    /// A handle that can end the child, and with it a blocked read, from another thread.
    pub fn killer(&self) -> Killer {
        self.child.killer()
    }

    /// Read the output of a child that was started with piped stdout.
    pub fn new(mut child: OwnedChild) -> Result<Self> {
        let stdout = child
            .take_stdout()
            .ok_or_else(|| Error::failed(format!("cannot read the output of {}: it has no pipe", child.name)))?;
        Ok(Self { child, stdout, longest_silence: None, ended: false })
    }

    /// Kill the child, and end with an error, when it prints nothing for `longest` while it is listened to.
    #[must_use]
    pub fn never_silent_for(mut self, longest: Duration) -> Self {
        self.longest_silence = Some(longest);
        self
    }

    /// Wait until there is something to read; false when that took too long.
    fn wait(&self) -> io::Result<bool> {
        let Some(longest) = self.longest_silence else { return Ok(true) };
        let timeout = Timespec::try_from(longest).map_err(io::Error::other)?;
        loop {
            match poll(&mut [PollFd::new(&self.stdout, PollFlags::IN)], Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for ChildOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if !self.wait()? {
            self.child.kill_now();
            let silence = FellSilent(self.longest_silence.unwrap_or_default());
            let error = Error::inconclusive(format!("{} {silence}", self.child.name)).because(silence);
            return Err(io::Error::other(error));
        }
        let read = self.stdout.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.child.wait_success().map_err(io::Error::other)?;
            self.ended = true;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn shell(script: &str) -> ChildOutput {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).stdin(Stdio::null()).stdout(Stdio::piped());
        ChildOutput::new(OwnedChild::spawn(command, "shell").unwrap()).unwrap()
    }

    #[test]
    fn output_ends_well_only_on_exit_0() {
        let mut text = String::new();
        shell("echo hello").read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
        let error = shell("echo half; echo the reason >&2; exit 3").read_to_string(&mut text).unwrap_err();
        assert!(error.to_string().contains("exit status: 3: the reason"), "{error}");
        let error = shell("echo half; kill -9 $$").read_to_string(&mut text).unwrap_err();
        assert!(error.to_string().contains("signal: 9"), "{error}");
    }

    #[test]
    fn a_child_that_falls_silent_is_killed_and_a_slow_reader_is_not_its_fault() {
        let mut output = shell("echo begun; sleep 0.2; echo more; sleep 1000").never_silent_for(Duration::from_secs(3));
        let mut text = [0; 11];
        output.read_exact(&mut text[..6]).unwrap();
        std::thread::sleep(Duration::from_millis(3200));
        output.read_exact(&mut text[6..]).unwrap();
        let error = output.read(&mut text).unwrap_err();
        assert_eq!(error.to_string(), "shell printed nothing for 3s");
        let error = error.downcast::<Error>().unwrap();
        assert_eq!(error.cause(), Some(&FellSilent(Duration::from_secs(3))));
    }

    #[test]
    fn a_killer_ends_a_blocked_read_and_is_harmless_afterwards() {
        let mut output = shell("echo begun; sleep 1000");
        let killer = output.killer();
        let mut begun = [0; 6];
        output.read_exact(&mut begun).unwrap();
        let thread = std::thread::spawn({
            let killer = killer.clone();
            move || killer.kill()
        });
        let error = output.read(&mut begun).unwrap_err();
        assert!(error.to_string().contains("signal: 9"), "{error}");
        thread.join().unwrap();
        assert!(killer.is_over());
        killer.kill();
    }
}
