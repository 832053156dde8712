//! Which process runs a run, so that a later one can tell whether it is still there.

use std::path::Path;

/// Identity of this process.
pub(crate) fn own() -> String {
    let pid = std::process::id();
    of(pid).unwrap_or_else(|| format!("{}/{pid}/", boot()))
}

/// `boot/pid/start`: the boot, the process id, and when in that boot the process started (clock ticks). A process id
/// alone is used again sooner or later, most likely by ourselves after a restart in a container. None if it is gone.
pub(super) fn of(pid: u32) -> Option<String> {
    Some(format!("{}/{pid}/{}", boot(), started(Path::new("/proc"), pid)?))
}

/// Whether the process that wrote `identity` still runs. A zombie does not.
pub(crate) fn is_running(identity: &str) -> bool {
    let mut parts = identity.split('/');
    let (Some(of_boot), Some(pid), Some(start)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Ok(pid) = pid.parse() else { return false };
    of_boot == boot() && started(Path::new("/proc"), pid).is_some_and(|now| now == start)
}

/// Process id of the process that wrote `identity`, if it still runs.
pub(super) fn pid_of(identity: &str) -> Option<u32> {
    if is_running(identity) { identity.split('/').nth(1)?.parse().ok() } else { None }
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Start time of a live process, field 22 of its `stat`; none where there is no such process or it is only waiting to
/// be reaped. The second field is the program's name in parentheses and may itself contain both.
fn started(proc: &Path, pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
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
    fn a_program_name_with_parentheses_and_spaces_does_not_confuse_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("7")).unwrap();
        let line = |state: &str| format!("7 (a) b (c) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 99");
        std::fs::write(dir.path().join("7/stat"), line("S")).unwrap();
        assert_eq!(started(dir.path(), 7).as_deref(), Some("4242"));
        std::fs::write(dir.path().join("7/stat"), line("Z")).unwrap();
        assert_eq!(started(dir.path(), 7), None);
    }
}
