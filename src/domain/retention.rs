//! Retention: which recovery points of a source stay, each with why, and which may go. Pure.
//!
//! A point goes only if nothing keeps it, and what a kept one is replayed on top of stays with it. The promise (`retention`) is kept
//! whole: any moment of it can be asked for, so the last point before its start stays too. What is counted beside it (daily, weekly,
//! monthly) only adds to what stays. What cannot be restored covers nothing and stands for no day.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

use super::manifest::RecoveryPointId;

/// How many points are kept beside the promised time: the newest of each of the last days, weeks and months that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Days.
    pub daily: u32,
    /// Weeks, from Monday.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
}

/// What is kept of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The promised time.
    pub within: Duration,
    /// The most that may lie between two points before the time between them stops to count: a clock that was put forward, or
    /// an outage, must not make every point look old at once.
    pub longest_gap: Duration,
    /// What is kept beside it.
    pub counts: Counts,
    /// Whose days, weeks and months.
    pub zone: Tz,
}

/// A recovery point of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a reason of its own
pub struct Candidate {
    /// Its name.
    pub id: RecoveryPointId,
    /// As-of time.
    pub as_of: DateTime<Utc>,
    /// The point that it is replayed on top of; none for a full.
    pub needs: Option<RecoveryPointId>,
    /// How many points it is: an increment that took the place of others stands for them all.
    pub stands_for: u32,
    /// It is an increment, and what it is replayed on top of is not there: it restores nothing.
    pub is_broken: bool,
    /// Its date cannot be right.
    pub is_misdated: bool,
    /// It may be another host's.
    pub is_of_nobody: bool,
    /// A drill has passed on it.
    pub is_proved: bool,
    /// It is the last before data that looks destroyed, and nobody said that this was meant.
    pub is_before_change: bool,
}

/// Why a point stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is the newest.
    Newest,
    /// It is part of the chain of the newest full.
    NewestChain,
    /// It is of the promised time.
    WithinRetention,
    /// It is the last before the promised time: what was at its start comes from it.
    CoversStart,
    /// It is the last of one of the days that are kept.
    Daily,
    /// … of one of the weeks.
    Weekly,
    /// … of one of the months.
    Monthly,
    /// It is the newest that a drill passed on.
    LastProved,
    /// It is the last before data that looks destroyed.
    BeforeChange,
    /// Its date cannot be right, so nobody knows how old it is.
    Misdated,
    /// It was made before hosts were recorded, and several hosts have recovery points of this source.
    OfNobody,
    /// This point, which stays, is replayed on top of it.
    NeededBy(RecoveryPointId),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::NewestChain => f.write_str("newest chain"),
            Self::WithinRetention => f.write_str("within retention"),
            Self::CoversStart => f.write_str("covers the start of retention"),
            Self::Daily => f.write_str("daily"),
            Self::Weekly => f.write_str("weekly"),
            Self::Monthly => f.write_str("monthly"),
            Self::LastProved => f.write_str("newest that a drill passed on"),
            Self::BeforeChange => f.write_str("last before a suspect change"),
            Self::Misdated => f.write_str("its date cannot be right"),
            Self::OfNobody => f.write_str("no host is recorded, and several share the repository"),
            Self::NeededBy(id) => write!(f, "needed by {id}"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What becomes of the points of one source, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Those that stay, with at least one reason each.
    pub kept: Vec<(RecoveryPointId, BTreeSet<Reason>)>,
    /// Those that may go.
    pub removed: Vec<RecoveryPointId>,
}

/// Decide on all points of one source. The order of `points` does not matter.
pub fn plan(points: &[Candidate], policy: &Policy) -> Plan {
    let mut points: Vec<&Candidate> = points.iter().collect();
    points.sort_by(|a, b| (a.as_of, &a.id).cmp(&(b.as_of, &b.id)));
    let by_id: ById<'_> = points.iter().map(|point| (&point.id, *point)).collect();
    let mut reasons: Reasons<'_> = BTreeMap::new();
    for point in &points {
        let own = [
            (point.is_misdated, Reason::Misdated),
            (point.is_of_nobody, Reason::OfNobody),
            (point.is_before_change, Reason::BeforeChange),
        ];
        for (_, reason) in own.into_iter().filter(|(applies, _)| *applies) {
            keep(&mut reasons, point, reason);
        }
    }
    // One that lies about its time stands for no day and covers nothing.
    let dated: Vec<&Candidate> = points.iter().copied().filter(|point| !point.is_misdated).collect();
    if let Some(newest) = dated.last() {
        keep(&mut reasons, newest, Reason::Newest);
    }
    let whole: Vec<&Candidate> = dated.iter().copied().filter(|point| !point.is_broken).collect();
    keep_newest_chain(&mut reasons, &whole, &by_id);
    if let Some(proved) = whole.iter().rfind(|point| point.is_proved) {
        keep(&mut reasons, proved, Reason::LastProved);
    }
    keep_promised(&mut reasons, &dated, &whole, policy);
    keep_counted(&mut reasons, &whole, policy);
    for (point, by) in needed(&by_id, reasons.keys().copied().collect()) {
        keep(&mut reasons, point, Reason::NeededBy(by));
    }
    let mut plan = Plan::default();
    for point in points {
        match reasons.remove(&point.id) {
            Some(why) => plan.kept.push((point.id.clone(), why)),
            None => plan.removed.push(point.id.clone()),
        }
    }
    plan
}

type ById<'p> = BTreeMap<&'p RecoveryPointId, &'p Candidate>;
type Reasons<'p> = BTreeMap<&'p RecoveryPointId, BTreeSet<Reason>>;

fn keep<'p>(reasons: &mut Reasons<'p>, point: &'p Candidate, reason: Reason) {
    reasons.entry(&point.id).or_default().insert(reason);
}

/// The newest full, and all that continues it, are never removed.
fn keep_newest_chain<'p>(reasons: &mut Reasons<'p>, whole: &[&'p Candidate], by_id: &ById<'p>) {
    let Some(full) = whole.iter().rfind(|point| point.needs.is_none()) else { return };
    let mut of_chain: BTreeMap<&RecoveryPointId, bool> = BTreeMap::from([(&full.id, true)]);
    for point in whole {
        let (mut way, mut at) = (Vec::new(), Some(*point));
        let is_of_chain = loop {
            let Some(here) = at else { break false };
            match of_chain.get(&here.id) {
                Some(known) => break *known,
                // Of a circle none is.
                None => of_chain.insert(&here.id, false),
            };
            way.push(here);
            at = here.needs.as_ref().and_then(|base| by_id.get(base).copied());
        };
        of_chain.extend(way.into_iter().map(|point| (&point.id, is_of_chain)));
    }
    for point in whole.iter().filter(|point| point.needs.is_some() && of_chain.get(&point.id) == Some(&true)) {
        keep(reasons, point, Reason::NewestChain);
    }
    keep(reasons, full, if whole.last() == Some(full) { Reason::Newest } else { Reason::NewestChain });
}

/// The promised time, and the last point before its start.
fn keep_promised<'p>(reasons: &mut Reasons<'p>, dated: &[&'p Candidate], whole: &[&'p Candidate], policy: &Policy) {
    let ages = ages(whole, policy.longest_gap);
    for (point, age) in whole.iter().zip(&ages) {
        if *age <= policy.within {
            keep(reasons, point, Reason::WithinRetention);
        }
    }
    if let Some(at) = ages.iter().rposition(|age| *age >= policy.within) {
        keep(reasons, whole[at], Reason::CoversStart);
    }
    // What restores nothing tells nobody how time went on.
    let newest = whole.last().map(|point| point.as_of);
    for point in dated.iter().filter(|point| point.is_broken) {
        let age = newest.and_then(|newest| (newest - point.as_of).to_std().ok()).unwrap_or_default();
        if age <= policy.within {
            keep(reasons, point, Reason::WithinRetention);
        }
    }
}

/// What is counted beside the promise.
fn keep_counted<'p>(reasons: &mut Reasons<'p>, whole: &[&'p Candidate], policy: &Policy) {
    let local = |point: &Candidate| point.as_of.with_timezone(&policy.zone).date_naive();
    let week = |point: &Candidate| {
        let date = local(point);
        date - TimeDelta::days(i64::from(date.weekday().num_days_from_monday()))
    };
    let month = |point: &Candidate| local(point).with_day(1).unwrap_or_else(|| local(point));
    for point in last_of_each(whole, policy.counts.daily, local) {
        keep(reasons, point, Reason::Daily);
    }
    for point in last_of_each(whole, policy.counts.weekly, week) {
        keep(reasons, point, Reason::Weekly);
    }
    for point in last_of_each(whole, policy.counts.monthly, month) {
        keep(reasons, point, Reason::Monthly);
    }
}

/// How old each is: the time between it and the newest, in which no stretch without a point counts more than `longest_gap`.
fn ages(dated: &[&Candidate], longest_gap: Duration) -> Vec<Duration> {
    let mut ages = vec![Duration::ZERO; dated.len()];
    for at in (0..dated.len().saturating_sub(1)).rev() {
        let gap = (dated[at + 1].as_of - dated[at].as_of).to_std().unwrap_or_default();
        // Where points were joined into one, there were some on the way.
        let longest = longest_gap.saturating_mul(dated[at + 1].stands_for.max(1));
        ages[at] = ages[at + 1].saturating_add(gap.min(longest));
    }
    ages
}

/// The newest full of each of the last `count` periods that have a point; of a period without a full the newest increment, which keeps
/// everything that it is replayed on top of.
fn last_of_each<'p>(
    whole: &[&'p Candidate],
    count: u32,
    period: impl Fn(&Candidate) -> NaiveDate,
) -> impl Iterator<Item = &'p Candidate> {
    let mut newest: BTreeMap<NaiveDate, &Candidate> = BTreeMap::new();
    for point in whole {
        let chosen = newest.entry(period(point)).or_insert(point);
        if point.needs.is_none() || chosen.needs.is_some() {
            *chosen = point;
        }
    }
    newest.into_values().rev().take(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Everything that `kept` are replayed on top of, with who needs it.
fn needed<'p>(by_id: &ById<'p>, kept: Vec<&'p RecoveryPointId>) -> Vec<(&'p Candidate, RecoveryPointId)> {
    let (mut out, mut seen, mut open) = (Vec::new(), BTreeSet::new(), kept);
    while let Some(id) = open.pop() {
        let base = by_id.get(id).and_then(|point| point.needs.as_ref()).and_then(|base| by_id.get(base));
        if let Some(base) = base.filter(|_| seen.insert(id)) {
            out.push((*base, id.clone()));
            open.push(&base.id);
        }
    }
    out
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod year_tests;
