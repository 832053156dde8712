//! The time zones of this host, for servers that have to know them by name.

use std::path::{Path, PathBuf};

use crate::process::find_program;
use crate::sandbox::{ServerSpec, TimeZones};

/// Where this host's time zones are described.
const ZONES: &str = "/usr/share/zoneinfo";

/// How a server is told of them.
#[derive(Debug)]
pub(super) struct Telling {
    /// The program that prints the statements, and its argument.
    pub(super) program: PathBuf,
    pub(super) zones: &'static str,
    pub(super) table: TimeZones,
    /// Tells this state of the zones from another.
    pub(super) state: u64,
}

/// How the server of `spec` is told, if it has to be; none where this host cannot.
pub(super) fn telling(spec: &ServerSpec) -> Option<Telling> {
    let table = spec.installation.initial?.time_zones?;
    let zones = Path::new(ZONES);
    if !spec.named_time_zones || !zones.is_dir() {
        return None;
    }
    let program = find_program(spec.programs.as_deref(), table.programs)?;
    let real = program.canonicalize().ok()?;
    let is_foreign = |name: &str| real.file_name().is_some_and(|real| real.to_string_lossy().starts_with(name));
    if table.foreign.is_some_and(is_foreign) {
        return None;
    }
    let changed = zones.join("tzdata.zi").metadata().or_else(|_| zones.metadata()).ok()?.modified().ok()?;
    let state = changed.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Some(Telling { program, zones: ZONES, table, state })
}
