//! Check: whether everything in a repository is there and is what it was, and which recovery points whatever is wrong costs.
//!
//! The structure is looked at each time. Of the data a part is read each time, the part that was read longest ago first, so
//! that all of it was read within a promised time; or all of it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::identity::check_identity;
use super::observe::by_repository;
use super::upkeep::{Recording, said};
use crate::app::App;
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::ledger::{REPOSITORY_PARTS as PARTS, Upkeep, UpkeepOutcome};
use crate::repository::{CheckDepth, Checked};
use crate::run_context::RunContext;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The structure only.
    Structure,
    /// What is due, where this is done so often: all of it is read within the configured time.
    Due(Duration),
    /// All data.
    All,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Name of the repository.
    pub repository: String,
    /// Everything is as it should be.
    pub ok: bool,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
    /// Recovery points that cannot be restored whole because of it, by source.
    pub damaged_points: BTreeMap<String, Vec<RecoveryPointId>>,
    /// Bytes of stored data that were read.
    pub read_bytes: u64,
    /// Bytes of stored data that there are.
    pub stored_bytes: u64,
}

/// Check the repository `name`. What is wrong with it is in the report; an error means that it could not be checked.
pub fn check(app: &App, name: &str, reading: Reading, context: &RunContext) -> Result<CheckReport> {
    let sources = by_repository(app).remove(name).unwrap_or_default();
    let Some(source) = sources.first() else {
        let what = format!("cannot check repository {name}: no source of the configuration uses it");
        let known: Vec<String> = by_repository(app).into_keys().collect();
        return Err(Error::configuration(what).hint(format!("the configuration has {}", known.join(", "))));
    };
    let source = source.afresh();
    let _lock = app.lock(name, "repository.check")?;
    let parts = match reading {
        Reading::Structure => Vec::new(),
        Reading::All => (0..PARTS).collect(),
        Reading::Due(interval) => due(app, name, interval)?,
    };
    let recording = Recording::begin(app, name, Upkeep::Check);
    let look = || {
        source.repository.open_existing()?;
        check_identity(app, &source)?;
        let depth = match parts.len() {
            0 => CheckDepth::Structure,
            all if all == PARTS as usize => CheckDepth::Content,
            _ => CheckDepth::Parts { parts: &parts, of: PARTS },
        };
        source.repository.storing()?.check(depth, context)
    };
    let found = look().map(|checked| report(name, checked));
    let found = found.map_err(|error| error.context(format!("cannot check repository {name}")));
    let outcome = match &found {
        Ok(report) => report.problems.first().map_or(UpkeepOutcome::Succeeded, |first| {
            UpkeepOutcome::Failed(format!("repository {name} is damaged: {first}"), Some(HOW_TO_GO_ON.to_owned()))
        }),
        // That it could not be looked at says nothing of what is stored.
        Err(error) => {
            let (reason, hint) = said(error);
            UpkeepOutcome::Inconclusive(reason, hint)
        }
    };
    let is_sound = outcome == UpkeepOutcome::Succeeded;
    let recorded = recording.finish(outcome, if is_sound { &parts } else { &[] }, |run| {
        run.read_bytes = found.as_ref().map_or(0, |report| report.read_bytes);
    });
    found.and_then(|report| recorded.map(|()| report))
}

/// What to do about a damaged repository.
pub const HOW_TO_GO_ON: &str =
    "take a new backup of each source now; then see the runbook BackupSlaRepositoryCheckFailed";

/// The parts that are due, those read longest ago first.
fn due(app: &App, name: &str, interval: Duration) -> Result<Vec<u32>> {
    let read = app.block_on(app.ledger.upkeep())?.remove(name).unwrap_or_default().parts;
    Ok(oldest(&read, share(interval, app.config.maintenance.read_all_within)))
}

/// How many parts have their turn each time.
fn share(interval: Duration, within: Duration) -> usize {
    let share = interval.as_secs_f64() / within.as_secs_f64().max(1.0);
    let parts = (share * f64::from(PARTS)).ceil().clamp(1.0, f64::from(PARTS));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 1 and PARTS
    let parts = parts as usize;
    parts
}

/// The `count` parts that were read longest ago; those never read come first.
fn oldest(read: &BTreeMap<u32, DateTime<Utc>>, count: usize) -> Vec<u32> {
    let mut parts: Vec<u32> = (0..PARTS).collect();
    parts.sort_by_key(|part| (read.get(part), *part));
    parts.truncate(count);
    parts
}

fn report(name: &str, checked: Checked) -> CheckReport {
    let mut damaged_points: BTreeMap<String, Vec<RecoveryPointId>> = BTreeMap::new();
    for (source, id) in checked.damaged_points {
        damaged_points.entry(source).or_default().push(id);
    }
    let problems: Vec<String> = checked.wrong.iter().map(ToString::to_string).collect();
    CheckReport {
        repository: name.to_owned(),
        ok: problems.is_empty(),
        problems,
        damaged_points,
        read_bytes: checked.read_bytes,
        stored_bytes: checked.stored_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_have_their_turn_within_the_time() {
        let hours = Duration::from_hours;
        assert_eq!(share(hours(24), hours(30 * 24)), 3, "64 parts in 30 days: 22 turns");
        assert_eq!(share(hours(24), hours(24)), 64);
        assert_eq!(share(hours(48), hours(24)), 64, "no more than there are");
        assert_eq!(share(Duration::from_secs(1), hours(24 * 365)), 1, "no less than one");
    }

    #[test]
    fn what_was_never_read_comes_first_and_then_what_was_read_longest_ago() {
        let at = |hour: i64| DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hour);
        let mut read: BTreeMap<u32, DateTime<Utc>> = (0..PARTS).map(|part| (part, at(i64::from(part)))).collect();
        assert_eq!(oldest(&read, 3), [0, 1, 2]);
        read.insert(0, at(100));
        read.remove(&40);
        assert_eq!(oldest(&read, 3), [40, 1, 2]);
        assert_eq!(oldest(&BTreeMap::new(), 2), [0, 1]);
    }
}
