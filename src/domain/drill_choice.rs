//! Which restores a scheduled drill tries: the newest recovery point every time, and beside it what would otherwise never be tried. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::chain::{Chains, Closing, Plan, Target, Window};
use super::manifest::{Manifest, RecoveryPointId};

/// Why something is drilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillKind {
    /// The newest recovery point, with its whole chain.
    #[default]
    Newest,
    /// A chain that a newer full has closed, compared with that full.
    ClosedChain,
    /// Any moment of the restore windows.
    Random,
    /// The oldest recovery point.
    Oldest,
    /// What somebody named: a recovery point, a moment, a place.
    Named,
}

impl DrillKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Newest, Self::ClosedChain, Self::Random, Self::Oldest, Self::Named];

    /// Name in metrics, JSON and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::ClosedChain => "closed_chain",
            Self::Random => "random",
            Self::Oldest => "oldest",
            Self::Named => "named",
        }
    }

    /// Name for people.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Newest => "newest recovery point",
            Self::ClosedChain => "closing proof",
            Self::Random => "random moment",
            Self::Oldest => "oldest recovery point",
            Self::Named => "as named",
        }
    }

    /// The switch of `backup-sla drill` that asks for it, where there is one.
    pub fn switch(self) -> Option<&'static str> {
        match self {
            Self::ClosedChain => Some("--closed-chain"),
            Self::Random => Some("--random"),
            Self::Oldest => Some("--oldest"),
            Self::Newest | Self::Named => None,
        }
    }

    /// Whether the promises on drills and the recovery time are about it.
    pub fn counts_for_promises(self) -> bool {
        self == Self::Newest
    }

    /// Whether the operator's questions are asked: they are about the state of now, such as how fresh the orders are.
    pub fn asks_assertions(self) -> bool {
        matches!(self, Self::Newest | Self::Named)
    }
}

/// A chain that was proved wrong is tried again after this time.
const WRONG_AGAIN: Duration = Duration::from_hours(24 * 7);

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
    /// Those whose chains came to something else that may be: nothing is wrong, and another try would say the same.
    pub not_whole: BTreeSet<RecoveryPointId>,
    /// Those whose chains were wrong, and when that was last found.
    pub wrong: BTreeMap<RecoveryPointId, DateTime<Utc>>,
    /// When the last of them was.
    pub last_proof: Option<DateTime<Utc>>,
    /// When a random moment was last drilled.
    pub random: Option<DateTime<Utc>>,
    /// When the oldest was last drilled.
    pub oldest: Option<DateTime<Utc>>,
    /// What failed and has not passed since, the newest first.
    pub failed: Vec<FailedDrill>,
}

/// A drill that failed, where no later one of the same has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDrill {
    /// Why it was drilled.
    pub kind: DrillKind,
    /// The recovery point that was restored, or the one within which replay stopped.
    pub point: RecoveryPointId,
    /// The moment that was restored: the as-of time of the point where all of it was.
    pub moment: Option<DateTime<Utc>>,
    /// Of a closing proof: the full backup that the chain begins with.
    pub chain: Option<RecoveryPointId>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// What was wrong.
    pub reason: String,
}

impl FailedDrill {
    /// Whether it says something of `point`, whose chain begins with `full`.
    pub fn concerns(&self, point: &RecoveryPointId, full: &RecoveryPointId) -> bool {
        match &self.chain {
            Some(chain) => chain == full,
            None => self.point == *point || self.point == *full,
        }
    }

    /// Whether it says something of what a restore works through: a full backup and increments, in order, by name. What was wrong in one
    /// of them is in all that continue it, unless one of those `passed` since.
    pub fn concerns_line(
        &self,
        line: &[&RecoveryPointId],
        passed: impl Fn(&RecoveryPointId) -> Option<DateTime<Utc>>,
    ) -> bool {
        if let Some(chain) = &self.chain {
            return line.first() == Some(&chain);
        }
        let at = line.iter().position(|id| **id == self.point);
        let has_passed = |id: &&RecoveryPointId| passed(id).is_some_and(|passed| passed > self.ended);
        at.is_some_and(|at| !line[at + 1..].iter().any(has_passed))
    }

    /// One sentence for whoever may restore it.
    pub fn sentence(&self) -> String {
        let at = self.ended.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (point, reason) = (&self.point, &self.reason);
        match (&self.chain, self.kind) {
            (Some(chain), _) => {
                format!("the closing proof of the chain that begins with {chain} failed at {at}: {reason}")
            }
            (None, DrillKind::Newest) => format!("a drill of {point} failed at {at}: {reason}"),
            (None, kind) => format!("a drill of {point} ({}) failed at {at}: {reason}", kind.shown()),
        }
    }

    /// What has to be restored to try the same once more; none where that is no longer there.
    fn again(&self, chains: &Chains<'_>) -> Option<Target> {
        let whole = Target::Id(self.point.clone());
        let of_point = chains.plan(&whole).ok()?.as_of();
        // Ledgers know microseconds.
        let is_whole = self.moment.is_none_or(|moment| moment.timestamp_micros() == of_point.timestamp_micros());
        let target = if is_whole { whole } else { Target::At(self.moment?) };
        chains.plan(&target).is_ok_and(|plan| plan.newest().id == self.point).then_some(target)
    }
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
        choices.extend(unproved(chains, past, now));
    }
    let mut add = |kind, every: Option<Duration>, last: Option<DateTime<Utc>>, target: Option<Target>| {
        let chosen = target.filter(|_| is_due(every, last, now)).and_then(|target| choice(kind, &target));
        // What is tried anyway is tried once.
        choices.extend(chosen.filter(|chosen| !choices.iter().any(|known| known.plan == chosen.plan)));
    };
    // Another moment would pass, and the one that failed would be bad all the same.
    let again = past.failed.iter().filter(|it| it.kind == DrillKind::Random).find_map(|it| it.again(chains));
    let last = past.random.filter(|_| again.is_none());
    let target = again.or_else(|| any_moment(&chains.windows(), random).map(Target::At));
    add(DrillKind::Random, policy.random, last, target);
    add(DrillKind::Oldest, policy.oldest, past.oldest, Some(Target::Oldest));
    choices
}

/// Chains that can be proved and were not, newest first: what was closed last is most likely to be needed. All that were closed since
/// the last proof, and of older ones one: whoever begins to prove them may have a month of them. One that was wrong is tried again after
/// a week, behind the others.
fn unproved<'m>(chains: &Chains<'m>, past: &Past, now: DateTime<Utc>) -> Vec<Choice<'m>> {
    let is_wanted = |full: &RecoveryPointId| {
        let has_passed = past.proved.contains(full) || past.not_whole.contains(full);
        !has_passed && is_due(Some(WRONG_AGAIN), past.wrong.get(full).copied(), now)
    };
    let proof = |(full, closing): (&'m Manifest, Closing<'m>)| match closing {
        // Whether definitions changed while that full backup was read shows when an increment continues it.
        Closing::Proof { plan, next } if is_wanted(&full.id) && chains.is_continued(&next.id) => {
            Some(Choice { kind: DrillKind::ClosedChain, plan, proof: Some(next) })
        }
        _ => None,
    };
    let mut unproved: Vec<Choice<'m>> = chains.closings().into_iter().rev().filter_map(proof).collect();
    unproved.sort_by_key(|choice| past.wrong.contains_key(&choice.plan.full.id));
    let is_new =
        |choice: &Choice<'m>| past.last_proof.zip(choice.proof).is_some_and(|(last, next)| next.finished > last);
    let new = unproved.iter().filter(|choice| is_new(choice)).count();
    unproved.into_iter().take(new + 1).collect()
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
