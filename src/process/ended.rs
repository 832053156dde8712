//! How a child ended that did not end well, as the cause of an error: whoever judges a run must know whether the child itself
//! gave up, or something else on this host ended it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

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
}

impl Died {
    /// A child that ended with `status` after these last words; `was_stopped`: we killed it because somebody had stopped it.
    pub fn new(status: ExitStatus, was_stopped: bool, said: String) -> Self {
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        Self { status, was_stopped, said }
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
        write!(f, "ended with {}: {}", self.status, self.said)
    }
}

impl std::error::Error for Died {}

/// Whether the status is that of a program, or of one that it ran and waited for, which a signal from outside ended.
pub fn is_from_outside(status: ExitStatus) -> bool {
    let number = status.signal().or_else(|| status.code().map(|code| code - BY_SIGNAL));
    number.is_some_and(|number| FROM_OUTSIDE.iter().any(|signal| signal.as_raw() == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_comes_from_outside_and_a_crash_does_not() {
        let by = |raw| is_from_outside(ExitStatus::from_raw(raw));
        assert!(by(9) && by(15), "killed");
        assert!(by(137 << 8) && by(143 << 8), "something that it ran was killed");
        assert!(!by(11) && !by(6) && !by(139 << 8), "crashed");
        assert!(!by(1 << 8) && !by(9 << 8), "gave up");
    }
}
