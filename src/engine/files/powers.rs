//! What this process may do to restored files. What it may not cannot be held against a backup.

use std::fs;

use super::entry::Entry;

const CHOWN: u32 = 0;
const SYS_ADMIN: u32 = 21;
const MKNOD: u32 = 27;
const SETFCAP: u32 = 31;

/// Capabilities of this process, as far as restoring files needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // one per capability
pub struct Powers {
    /// Give files to other owners.
    pub owners: bool,
    /// Make device nodes.
    pub devices: bool,
    /// Set `trusted.*` attributes.
    pub trusted: bool,
    /// Set file capabilities.
    pub capabilities: bool,
}

impl Powers {
    /// Of this process.
    pub fn of_this_process() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
        let has = |capability: u32| mask.unwrap_or(0) >> capability & 1 == 1;
        Self { owners: has(CHOWN), devices: has(MKNOD), trusted: has(SYS_ADMIN), capabilities: has(SETFCAP) }
    }

    /// Whether the attribute `name` can be set.
    pub fn may_set(self, name: &[u8]) -> bool {
        match name {
            name if name.starts_with(b"trusted.") => self.trusted,
            name if name.starts_with(b"security.") => self.capabilities,
            _ => true,
        }
    }

    /// What restoring cannot have kept of `promised` is as promised in `found`: it is not compared.
    pub fn forgive(self, promised: &Entry, found: &mut Entry) {
        if !self.owners {
            (found.uid, found.gid) = (promised.uid, promised.gid);
        }
        if self.trusted && self.capabilities {
            return;
        }
        found.xattrs.retain(|name, _| self.may_set(&name.0));
        let kept = promised.xattrs.iter().filter(|(name, _)| !self.may_set(&name.0));
        found.xattrs.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    }

    /// What is not compared, for people; empty where everything is.
    pub fn lacking(self) -> Vec<&'static str> {
        let all = [
            (self.owners, "owners"),
            (self.devices, "device nodes"),
            (self.trusted, "`trusted.*` attributes"),
            (self.capabilities, "file capabilities"),
        ];
        all.into_iter().filter(|(has, _)| !has).map(|(_, what)| what).collect()
    }
}
