//! A child that somebody stopped (`SIGSTOP`) would hold its run for ever: whoever waits for it sees no end, no error and no
//! sign of life. One that stays stopped is killed, and its error says why.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Pid;

use super::Killer;
use super::locked::locked;
use super::stat::Stat;

/// How often children are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How many looks in a row have to find one stopped.
const PATIENCE: u32 = 60;

static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

struct Watched {
    child: Killer,
    looks: u32,
}

/// Kill this child if somebody stops it and it stays that way for a minute.
pub fn watch_for_stops(child: Killer) {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.push(Watched { child, looks: 0 });
    if watched.len() == 1 {
        // Without the thread the limit of the run still holds.
        let _ = thread::Builder::new().name("stopped children".to_owned()).spawn(watch);
    }
}

fn watch() {
    loop {
        thread::sleep(LOOK);
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain_mut(|one| one.look(PATIENCE));
        if watched.is_empty() {
            return;
        }
    }
}

impl Watched {
    /// Whether it is worth another look.
    fn look(&mut self, patience: u32) -> bool {
        // Held while we look: until it is reaped, the number is this child's.
        let reaped = locked(&self.child.reaped);
        if *reaped {
            return false;
        }
        self.looks = if is_stopped(self.child.group) { self.looks + 1 } else { 0 };
        drop(reaped);
        if self.looks < patience {
            return true;
        }
        self.child.was_stopped.store(true, Ordering::SeqCst);
        self.child.kill();
        false
    }
}

fn is_stopped(process: Pid) -> bool {
    Stat::of(process.as_raw_nonzero().get().cast_unsigned()).is_some_and(|stat| stat.is_stopped())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use rustix::process::Signal;

    use super::*;
    use crate::process::{Died, OwnedChild, command};

    #[test]
    fn a_child_that_stays_stopped_is_ended_and_one_that_goes_on_is_not() {
        let start = || {
            let mut command = command("sleep");
            command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null());
            OwnedChild::spawn(command, "sleeper").unwrap()
        };
        let (mut stopped, running) = (start(), start());
        stopped.signal(Signal::STOP);
        while !is_stopped(stopped.killer().group) {
            thread::yield_now();
        }
        let mut one = Watched { child: stopped.killer(), looks: 0 };
        assert!(one.look(2), "once is not for long");
        assert!(!one.look(2));
        let error = stopped.wait_success().unwrap_err();
        assert!(error.to_string().contains("sleeper was stopped by a signal"), "{error}");
        assert!(error.cause::<Died>().unwrap().by_another() && error.hint_text().unwrap().contains("SIGSTOP"));
        assert!(!one.look(1), "it is gone");
        let mut other = Watched { child: running.killer(), looks: 0 };
        assert!(other.look(1) && other.look(1));
    }
}
