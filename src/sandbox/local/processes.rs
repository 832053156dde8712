//! What `/proc` says about the servers we started: which ones are ours, and what they listen on.
//!
//! A server is known by a mark in its environment, put there when it was started. Numbers are reused, names and
//! directories are shared with people; the mark is not, and it is there from the first moment on, also in what the
//! server starts itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::clock::{Clock, Stopwatch};
use crate::error::{Error, Result};
use crate::process::stat::Stat;

/// How long killed processes may take to vanish: the kernel has to give back their memory first.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// The environment variable that marks a process as part of the instance in the directory it names.
pub(super) const MARK: &str = "BACKUP_SLA_SANDBOX";
/// Pause between two looks at processes that were killed.
const POLL: Duration = Duration::from_millis(5);

/// Kill every process of the instance in `directory` and wait until they are gone, `patience` at most. Gives the
/// oldest of them that is not there for another one only, and those that would not go.
pub(super) fn kill_all(directory: &Path, watch: &Stopwatch, patience: Duration) -> (Option<u32>, Vec<u32>) {
    let there = marked(directory);
    let parents: Vec<u32> = there.iter().filter_map(|pid| parent(*pid)).collect();
    let servers = there.into_iter().filter(|pid| !parents.contains(pid));
    let first = servers.min_by_key(|pid| (Stat::of(*pid).map(|stat| stat.started), *pid));
    loop {
        let left = marked(directory);
        for pid in &left {
            kill_marked(*pid, directory);
        }
        if left.is_empty() || watch.elapsed() > patience {
            return (first, left);
        }
        thread::sleep(POLL);
    }
}

/// Processes of the instance in `directory`. One that has ended but was not reaped has no environment and is not told.
pub(super) fn marked(directory: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_marked(*pid, directory)).collect()
}

fn is_marked(pid: u32, directory: &Path) -> bool {
    let wanted = [MARK.as_bytes(), b"=", directory.as_os_str().as_encoded_bytes()].concat();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
}

/// The handle holds on to one process: the mark is looked at after it was taken, so the number cannot have changed hands.
pub(super) fn kill_marked(pid: u32, directory: &Path) {
    if let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        && let Ok(process) = pidfd_open(number, PidfdFlags::empty())
        && is_marked(pid, directory)
    {
        // Fails if it has just ended; the caller looks again.
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// The process that started it.
fn parent(pid: u32) -> Option<u32> {
    Stat::of(pid).map(|stat| stat.parent)
}

/// The process that `launcher` started in the instance in `directory`, if there is one by now.
pub(super) fn started_by(launcher: u32, directory: &Path) -> Option<u32> {
    marked(directory).into_iter().find(|pid| parent(*pid) == Some(launcher))
}

/// Network sockets (TCP in state LISTEN, any UDP) that `pid` holds, as `/proc/net` writes them: `tcp 0100007F:0CEA`.
/// None if the process cannot be looked at.
pub(super) fn listens_on(pid: u32) -> Option<Vec<String>> {
    let mut sockets = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
        let target = entry.ok().and_then(|entry| fs::read_link(entry.path()).ok());
        let target = target.as_ref().and_then(|target| target.to_str()).unwrap_or_default();
        if let Some(inode) = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
            sockets.insert(inode.to_owned());
        }
    }
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        // A kernel without IPv6 has no tables for it.
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [_, address, _, state, _, _, _, _, _, inode, ..] = fields.as_slice()
                && (*state == "0A" || table.starts_with("udp"))
                && sockets.contains(*inode)
            {
                found.push(format!("{table} {address}"));
            }
        }
    }
    Some(found)
}

/// Whether a socket, as [`listens_on`] tells it, is bound to 127.0.0.1 or ::1.
pub(super) fn is_loopback(socket: &str) -> bool {
    let address = socket.split_whitespace().nth(1).and_then(|address| address.rsplit_once(':')).map_or("", |(a, _)| a);
    // As the kernel writes them on machines of either byte order.
    matches!(address, "0100007F" | "7F000001" | "00000000000000000000000001000000" | "00000000000000000000000000000001")
}

/// End what runs in `directory`. Gives the oldest of the processes that still ran.
pub(super) fn end_processes(directory: &Path, clock: &Arc<dyn Clock>) -> Result<Option<u32>> {
    let (oldest, left) = kill_all(directory, &Stopwatch::start(clock), KILL_PATIENCE);
    if left.is_empty() {
        return Ok(oldest);
    }
    let what = format!("cannot stop sandbox {}: processes {left:?} do not end", directory.display());
    Err(Error::inconclusive(what)
        .hint("they may wait for a disk that does not answer; the restored data was not wiped"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::process::OwnedChild;
    use std::process::{Command, Stdio};

    fn sleeper(mark: &Path) -> OwnedChild {
        let mut command = Command::new("sleep");
        command.arg("1000").env(MARK, mark).stdin(Stdio::null());
        OwnedChild::spawn(command, "sleeper").unwrap()
    }

    #[test]
    fn only_processes_with_the_very_mark_are_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("run"), dir.path().join("run2"));
        let mut ours = sleeper(&one);
        let mut theirs = sleeper(&other);
        let pid = ours.id();
        let (killed, left) = kill_all(&one, &Stopwatch::start(&SystemClock::shared()), Duration::from_secs(10));
        assert_eq!((killed, left), (Some(pid), vec![]));
        assert!(ours.wait_success().unwrap_err().to_string().contains("signal: 9"));
        assert!(theirs.try_wait().unwrap().is_none());
        assert_eq!(marked(&other), [theirs.id()]);
    }

    #[test]
    fn a_listening_process_is_found_out() {
        let me = std::process::id();
        assert!(Stat::of(me).is_some());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = format!("0100007F:{:04X}", listener.local_addr().unwrap().port());
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let datagrams = format!("udp 0100007F:{:04X}", udp.local_addr().unwrap().port());
        let found = listens_on(me).unwrap();
        assert!(found.contains(&format!("tcp {port}")) && found.contains(&datagrams), "{found:?}");
        drop(listener);
        assert!(!listens_on(me).unwrap().contains(&format!("tcp {port}")));
    }
}
