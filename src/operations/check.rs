//! Check: whether everything in a repository is there and is what it was, and which recovery points whatever is wrong costs.
//!
//! The structure is looked at each time. Of the data a part is read each time, the part that was read longest ago first, so
//! that all of it was read within a promised time; or all of it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::identity::check_identity;
use super::observe::by_repository;
use super::upkeep::{Recording, said};
use crate::app::App;
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::ledger::{PartRead, REPOSITORY_PARTS as PARTS, Upkeep, UpkeepOutcome};
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
    let known = app.block_on(app.ledger.upkeep())?.remove(name).unwrap_or_default().parts;
    let parts = wanted(&known, reading, app.config.maintenance.read_all_within);
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
    let found = look().map_err(|error| error.context(format!("cannot check repository {name}")));
    let read: Vec<(u32, bool)> = found
        .as_ref()
        .map_or(Vec::new(), |checked| parts.iter().map(|part| (*part, !checked.is_in_part(*part, PARTS))).collect());
    let found = found.map(|checked| report(name, checked));
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
    let recorded = recording.finish(outcome, &read, |run| {
        run.read_bytes = found.as_ref().map_or(0, |report| report.read_bytes);
    });
    found.and_then(|report| recorded.map(|()| report))
}

/// What to do about a damaged repository.
pub const HOW_TO_GO_ON: &str =
    "take a new backup of each source now; then see the runbook BackupSlaRepositoryCheckFailed";

/// The parts that are read: what is asked for, and always what was damaged when it was last read. Damage that is not looked at
/// again would be forgotten.
fn wanted(known: &BTreeMap<u32, PartRead>, reading: Reading, within: Duration) -> Vec<u32> {
    let damaged = known.iter().filter(|(_, read)| !read.is_sound).map(|(part, _)| *part);
    let asked = match reading {
        Reading::Structure => Vec::new(),
        Reading::All => (0..PARTS).collect(),
        Reading::Due(interval) => oldest(known, share(interval, within)),
    };
    damaged.chain(asked).collect::<BTreeSet<u32>>().into_iter().collect()
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
fn oldest(read: &BTreeMap<u32, PartRead>, count: usize) -> Vec<u32> {
    let mut parts: Vec<u32> = (0..PARTS).collect();
    parts.sort_by_key(|part| (read.get(part).map(|read| read.at), *part));
    parts.truncate(count);
    parts
}

fn report(name: &str, checked: Checked) -> CheckReport {
    let mut damaged_points: BTreeMap<String, Vec<RecoveryPointId>> = BTreeMap::new();
    for (source, id) in checked.damaged_points {
        damaged_points.entry(source).or_default().push(id);
    }
    for points in damaged_points.values_mut() {
        points.sort();
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
        let at =
            |hour: i64| PartRead { at: chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hour), is_sound: true };
        let mut read: BTreeMap<u32, PartRead> = (0..PARTS).map(|part| (part, at(i64::from(part)))).collect();
        assert_eq!(oldest(&read, 3), [0, 1, 2]);
        read.insert(0, at(100));
        read.remove(&40);
        assert_eq!(oldest(&read, 3), [40, 1, 2]);
        assert_eq!(oldest(&BTreeMap::new(), 2), [0, 1]);
    }

    #[test]
    fn what_was_damaged_is_read_again_by_every_check_until_it_is_sound() {
        let read = |is_sound| PartRead { at: chrono::DateTime::UNIX_EPOCH, is_sound };
        let mut known: BTreeMap<u32, PartRead> = (0..PARTS).map(|part| (part, read(part != 60))).collect();
        let hours = Duration::from_hours;
        let wanted_of = |known: &BTreeMap<u32, PartRead>, reading| wanted(known, reading, hours(64));
        assert_eq!(wanted_of(&known, Reading::Structure), [60]);
        assert_eq!(wanted_of(&known, Reading::Due(hours(1))), [0, 60]);
        assert_eq!(wanted_of(&known, Reading::All).len(), PARTS as usize);
        known.insert(60, read(true));
        assert_eq!(wanted_of(&known, Reading::Structure), [0; 0]);
    }
}
