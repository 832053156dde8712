//! What the kernel says about this process, for the `process_*` metrics.

use std::path::Path;

use rustix::process::Resource;

use crate::process::stat::Stat;

/// Unit of the times in `/proc/*/stat`: part of the kernel's interface, 100 wherever we run.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process; zero where the kernel does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessFacts {
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
    /// Start, in seconds since 1970 UTC.
    pub start_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Address space, in bytes.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Most file descriptors it may open.
    pub max_fds: u64,
}

impl ProcessFacts {
    /// Read `/proc/self`: kernel memory, no disk.
    pub fn read() -> Self {
        Self::read_from(Path::new("/proc")).unwrap_or_default()
    }

    fn read_from(proc: &Path) -> Option<Self> {
        let own = proc.join("self");
        let stat = Stat::own()?;
        let status = std::fs::read_to_string(own.join("status")).ok()?;
        let kibibytes = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key))?;
            value.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        let boot = std::fs::read_to_string(proc.join("stat")).ok()?;
        let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok())?;
        Some(Self {
            cpu_seconds: stat.cpu_ticks as f64 / TICKS_PER_SECOND,
            start_seconds: boot + stat.started as f64 / TICKS_PER_SECOND,
            resident_bytes: kibibytes("VmRSS:").unwrap_or(0) * 1024,
            virtual_bytes: kibibytes("VmSize:").unwrap_or(0) * 1024,
            open_fds: std::fs::read_dir(own.join("fd")).map_or(0, |entries| entries.count() as u64),
            max_fds: rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn the_figures_of_this_process_are_plausible() {
        let facts = ProcessFacts::read();
        let now = SystemClock::default().wall().timestamp() as f64;
        assert!(facts.start_seconds <= now + 1.0 && facts.start_seconds > now - 3600.0, "{facts:?}");
        assert!(facts.resident_bytes > 1 << 20 && facts.virtual_bytes >= facts.resident_bytes, "{facts:?}");
        assert!(facts.open_fds >= 3 && facts.max_fds >= facts.open_fds, "{facts:?}");
    }
}
