//! Names a process so that a later one can tell whether it is still there. A process id alone is used again sooner or later,
//! most likely by ourselves after a restart in a container.

use super::stat::Stat;

/// Identity of this process.
pub fn own() -> String {
    let pid = std::process::id();
    of(pid).unwrap_or_else(|| format!("{}/{pid}/", boot()))
}

/// `boot/pid/start`: the boot, the process id, and when in that boot the process started (clock ticks). None if it is gone.
pub fn of(pid: u32) -> Option<String> {
    Some(format!("{}/{pid}/{}", boot(), started(pid)?))
}

/// When a process that runs was started, in clock ticks since boot. None where there is no such process or it is only
/// waiting to be reaped.
pub fn started(pid: u32) -> Option<u64> {
    Stat::of(pid).filter(|stat| !stat.has_ended()).map(|stat| stat.started)
}

/// Whether the process that wrote `identity` still runs.
pub fn is_running(identity: &str) -> bool {
    let mut parts = identity.split('/');
    let (Some(of_boot), Some(pid), Some(start)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Ok(pid) = pid.parse() else { return false };
    of_boot == boot() && started(pid).is_some_and(|now| now.to_string() == start)
}

/// Process id of the process that wrote `identity`, if it still runs.
pub fn pid_of(identity: &str) -> Option<u32> {
    if is_running(identity) { identity.split('/').nth(1)?.parse().ok() } else { None }
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn our_own_process_is_running_and_a_reused_id_is_not() {
        let own = own();
        assert!(is_running(&own));
        assert!(!is_running(&format!("{own}0")), "same pid, other start time");
        assert!(!is_running(&format!("other-boot{own}")));
        assert!(!is_running(""));
        assert_eq!(pid_of(&own), Some(std::process::id()));
        assert_eq!(pid_of(&format!("{own}0")), None);
    }

    #[test]
    fn a_process_that_only_waits_to_be_reaped_runs_no_more() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = of(child.id()).unwrap();
        assert!(is_running(&identity));
        child.kill().unwrap();
        while Stat::of(child.id()).is_some_and(|stat| !stat.has_ended()) {
            std::thread::yield_now();
        }
        assert!(Stat::of(child.id()).is_some(), "it is not reaped yet");
        assert_eq!((of(child.id()), started(child.id()), is_running(&identity)), (None, None, false));
        child.wait().unwrap();
    }
}
