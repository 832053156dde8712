//! Which restores a scheduled drill tries: the newest recovery point every time, and beside it what would otherwise never be tried. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::chain::{Chains, Closing, Plan, Target, Window};
use super::manifest::{Manifest, RecoveryPointId};

/// Why something is drilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillKind {
    /// The newest recovery point, with its whole chain.
    Newest,
    /// A chain that a newer full has closed, compared with that full.
    ClosedChain,
    /// Any moment of the restore windows.
    Random,
    /// The oldest recovery point.
    Oldest,
}

/// How often each is drilled. The newest is every time, and each closed chain once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether closed chains are proved.
    pub closed_chains: bool,
    /// The least time between two random moments; none: never.
    pub random: Option<Duration>,
    /// The least time between two drills of the oldest; none: never.
    pub oldest: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        let days = |days: u64| Some(Duration::from_hours(24 * days));
        Self { closed_chains: true, random: days(7), oldest: days(30) }
    }
}

/// What was drilled before, with a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// The fulls whose chains were proved.
    pub proved: BTreeSet<RecoveryPointId>,
    /// When a random moment was last drilled.
    pub random: Option<DateTime<Utc>>,
    /// When the oldest was last drilled.
    pub oldest: Option<DateTime<Utc>>,
}

/// One restore to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice<'m> {
    /// Why.
    pub kind: DrillKind,
    /// What is restored.
    pub plan: Plan<'m>,
    /// The manifest that says what must be there: of the full that closed the chain. None: that of the plan.
    pub proof: Option<&'m Manifest>,
}

/// What a drill at `now` tries, in this order; the newest first. `random` says which moment is any.
///
/// A target that cannot be restored is no choice here: the drill of the newest point, which is selected as every restore is, says so.
pub fn choose<'m>(
    chains: &Chains<'m>,
    past: &Past,
    policy: &Policy,
    (now, random): (DateTime<Utc>, u64),
) -> Vec<Choice<'m>> {
    let choice = |kind, target: &Target| Some(Choice { kind, plan: chains.plan(target).ok()?, proof: None });
    let mut choices: Vec<Choice<'m>> = choice(DrillKind::Newest, &Target::Newest).into_iter().collect();
    if policy.closed_chains {
        choices.extend(unproved(chains, past));
    }
    let mut add = |kind, every: Option<Duration>, last: Option<DateTime<Utc>>, target: Option<Target>| {
        let chosen = target.filter(|_| is_due(every, last, now)).and_then(|target| choice(kind, &target));
        // What is tried anyway is tried once.
        choices.extend(chosen.filter(|chosen| !choices.iter().any(|known| known.plan == chosen.plan)));
    };
    add(DrillKind::Random, policy.random, past.random, any_moment(&chains.windows(), random).map(Target::At));
    add(DrillKind::Oldest, policy.oldest, past.oldest, Some(Target::Oldest));
    choices
}

/// Chains that can be proved and were not, newest first: what was closed last is most likely to be needed.
fn unproved<'m>(chains: &Chains<'m>, past: &Past) -> Vec<Choice<'m>> {
    let proof = |(full, closing): (&'m Manifest, Closing<'m>)| match closing {
        Closing::Proof { plan, next } if !past.proved.contains(&full.id) => {
            Some(Choice { kind: DrillKind::ClosedChain, plan, proof: Some(next) })
        }
        _ => None,
    };
    chains.closings().into_iter().rev().filter_map(proof).collect()
}

/// What was never done is due. A time to come was written by a wrong clock, and says nothing.
fn is_due(every: Option<Duration>, last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let Some(every) = every else { return false };
    last.and_then(|last| (now - last).to_std().ok()).is_none_or(|age| age >= every)
}

/// A moment of the windows, each as likely as any other; among single moments any of them.
fn any_moment(windows: &[Window], random: u64) -> Option<DateTime<Utc>> {
    let length = |window: &Window| u64::try_from((window.to - window.from).num_microseconds()?).ok();
    let lengths: Vec<u64> = windows.iter().map(|window| length(window).unwrap_or(0)).collect();
    let total: u64 = lengths.iter().fold(0, |sum, length| sum.saturating_add(*length));
    if total == 0 {
        let count = (windows.len() as u64).max(1);
        return windows.get(usize::try_from(random % count).unwrap_or(0)).map(|window| window.from);
    }
    let mut rest = random % total;
    for (window, length) in windows.iter().zip(lengths) {
        if rest < length {
            return Some(window.from + TimeDelta::microseconds(i64::try_from(rest).unwrap_or(0)));
        }
        rest -= length;
    }
    None
}

#[cfg(test)]
mod tests;
