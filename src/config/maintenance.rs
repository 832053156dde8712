//! `[maintenance]`: when recovery points beyond their retention are removed, and how soon all stored data is read again.

use super::MaintenanceConfig;
use crate::display::limit;
use crate::domain::retention::Counts;
use crate::domain::schedule::Timing;
use crate::strict::{Section, value};

/// Most days, weeks or months that may be kept.
const MOST: u32 = 10_000;

/// Read the table, if there is one.
pub(super) fn maintenance(file: &Section<'_>) -> MaintenanceConfig {
    let mut maintenance = MaintenanceConfig::default();
    let Some(section) = file.table("maintenance", "[maintenance]") else { return maintenance };
    maintenance.schedule = section.optional("schedule", value::schedule);
    if let Some(keep) = section.table("keep", "{ daily = 7, weekly = 5, monthly = 0 }") {
        let count = |key| keep.optional(key, |v| value::integer(v, 0, MOST)).unwrap_or(0);
        maintenance.keep = Counts { daily: count("daily"), weekly: count("weekly"), monthly: count("monthly") };
    }
    if let Some(check) = section.table("check", "{ read_all_within = \"30d\" }") {
        let within = check.optional("read_all_within", value::duration);
        maintenance.read_all_within = within.unwrap_or(maintenance.read_all_within);
    }
    let timeout = section.optional("timeout", value::duration);
    maintenance.timeout = timeout.unwrap_or(maintenance.timeout);
    let gap = maintenance.schedule.as_ref().and_then(Timing::shortest_gap);
    if gap.is_some_and(|gap| gap > maintenance.read_all_within) {
        let within = maintenance.read_all_within;
        let message = format!("`schedule` must come at least once within `read_all_within` ({})", limit(within));
        section.problem("schedule", message);
    }
    maintenance
}
