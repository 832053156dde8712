//! How a child ended that did not end well, as the cause of an error: whoever judges a run must know whether the child itself
//! gave up, or something else on this host ended it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;

/// What a shell and its like add to the number of the signal that ended what they ran.
const BY_SIGNAL: i32 = 128;
/// Signals that come from outside: from the kernel's OOM killer, from a person, from limits. What a program does to itself
/// (`SEGV`, `ABRT`) is not among them.
const FROM_OUTSIDE: [Signal; 7] =
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::XCPU, Signal::XFSZ];

/// A child that did not exit with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Died {
    status: ExitStatus,
    was_stopped: bool,
    said: String,
    /// What it had begun last, where it told that.
    at: Option<String>,
}

impl Died {
    /// A child that ended with `status` after these last words; `was_stopped`: we killed it because somebody had stopped it.
    pub fn new(status: ExitStatus, was_stopped: bool, said: String) -> Self {
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        Self { status, was_stopped, said, at: None }
    }

    /// The same of one that had begun this last.
    #[must_use]
    pub fn at(mut self, at: Option<String>) -> Self {
        self.at = at;
        self
    }

    /// What a child that crashed had begun last, where it told that. Nobody else ended it, and it did not give up.
    pub fn crashed_at(&self) -> Option<&str> {
        let is_crash = by_signal(self.status).is_some() && !self.by_another() && !self.was_stopped;
        self.at.as_deref().filter(|_| is_crash)
    }

    /// Whether something else on this host ended it. Then its end says nothing about what it worked on.
    pub fn by_another(&self) -> bool {
        is_from_outside(self.status)
    }

    /// What the person on call can look at.
    pub fn hint(&self) -> Option<&'static str> {
        if self.was_stopped {
            return Some("somebody stopped it (SIGSTOP, or a debugger): find out who, and let it run");
        }
        let killed = "something on this host killed it: look for the OOM killer in the kernel's log (journalctl -k), and at who \
                      else ends processes here";
        self.by_another().then_some(killed)
    }
}

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.was_stopped {
            return write!(f, "was stopped by a signal for too long and was ended: {}", self.said);
        }
        write!(f, "ended with {}", self.status)?;
        match self.at.as_ref().filter(|_| by_signal(self.status).is_some()) {
            Some(at) => write!(f, " while it was at {at}: {}", self.said),
            None => write!(f, ": {}", self.said),
        }
    }
}

impl std::error::Error for Died {}

/// A child that was ended because it had printed nothing for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FellSilent(pub Duration);

impl fmt::Display for FellSilent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "printed nothing for {}", humantime::format_duration(self.0))
    }
}

impl std::error::Error for FellSilent {}

/// Whether the status is that of a program, or of one that it ran and waited for, which a signal from outside ended.
pub fn is_from_outside(status: ExitStatus) -> bool {
    by_signal(status).is_some_and(|number| FROM_OUTSIDE.iter().any(|signal| signal.as_raw() == number))
}

/// The signal that ended it, or what it ran and waited for.
fn by_signal(status: ExitStatus) -> Option<i32> {
    status.signal().or_else(|| status.code().map(|code| code - BY_SIGNAL)).filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_ended_by_a_signal_is_told_with_what_it_was_at() {
        let died = |raw: i32| Died::new(ExitStatus::from_raw(raw), false, String::new()).at(Some("table t".to_owned()));
        assert_eq!(died(8).to_string(), "ended with signal: 8 (SIGFPE) while it was at table t: it said nothing");
        assert_eq!((died(8).crashed_at(), died(139 << 8).crashed_at()), (Some("table t"), Some("table t")));
        assert!(died(9).to_string().contains("at table t") && died(9).crashed_at().is_none(), "killed");
        assert!(!died(2 << 8).to_string().contains("table t") && died(2 << 8).crashed_at().is_none(), "gave up");
    }

    #[test]
    fn a_kill_comes_from_outside_and_a_crash_does_not() {
        let by = |raw| is_from_outside(ExitStatus::from_raw(raw));
        assert!(by(9) && by(15), "killed");
        assert!(by(137 << 8) && by(143 << 8), "something that it ran was killed");
        assert!(!by(11) && !by(6) && !by(139 << 8), "crashed");
        assert!(!by(1 << 8) && !by(9 << 8), "gave up");
    }
}
