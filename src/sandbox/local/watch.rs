//! Ends a server that outgrows its bounds: one whose disk is full waits for space without an end, and the drill with it;
//! one that takes more memory than it was given takes it from the host.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::process::Killer;
use crate::process::stat::Stat;

/// Free bytes below which nothing more can be loaded.
const FULL: u64 = 4 * 1024 * 1024;
/// How often the server is looked at, and how many times in a row the disk must be full.
const INTERVAL: Duration = Duration::from_millis(100);
const PATIENCE: u32 = 50;

/// Free bytes where `path` is.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(path).ok()?;
    space.f_bavail.checked_mul(space.f_frsize)
}

/// The same; nothing where not one more file can be made. File systems that count no inodes say that they have none.
pub(super) fn room(path: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(path).ok()?;
    if space.f_files > 0 && space.f_favail == 0 { Some(0) } else { free_bytes(path) }
}

/// Resident memory of a process, in bytes.
fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether a child of ours, which nobody reaps meanwhile, has ended.
fn has_ended(pid: u32) -> bool {
    Stat::of(pid).is_some_and(|stat| stat.has_ended())
}

/// What a server must stay within.
pub(super) struct Bounds {
    /// Where it keeps its data.
    pub(super) directory: PathBuf,
    /// Most memory, in bytes, without files that are mapped.
    pub(super) memory: u64,
    /// What we started to start it. The server must not outlive it: nobody else would say that it is to end.
    pub(super) launcher: u32,
}

/// Watches until dropped.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(pid: u32, server: Killer, bounds: Bounds) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let watch = move || {
            let mut full = 0;
            while !asked.load(Ordering::SeqCst) {
                std::thread::sleep(INTERVAL);
                full = if free_bytes(&bounds.directory).is_some_and(|free| free < FULL) { full + 1 } else { 0 };
                let outgrown = resident_bytes(pid).is_some_and(|bytes| bytes > bounds.memory);
                if full >= PATIENCE || outgrown || has_ended(bounds.launcher) {
                    server.kill();
                    return;
                }
            }
        };
        // Without the thread the kernel's limit still holds, and a full disk only takes longer to be noticed.
        let thread = std::thread::Builder::new().name("sandbox watch".to_owned()).spawn(watch).ok();
        Self { stop, thread }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
