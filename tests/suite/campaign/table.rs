//! What was tried and what came of it, by kind of fault.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// The operation was over before the fault came.
    NotApplied,
    /// Nothing was done, and it was said why.
    Refused,
    /// The host could not do its part, and that was said.
    Inconclusive,
    /// It failed, and it was said why.
    Failed,
    /// It went well, or nothing was lost by a kill.
    Survived,
    /// A rule did not hold.
    Broken,
}

#[derive(Default)]
pub struct Table(BTreeMap<String, BTreeMap<Outcome, u64>>);

impl Table {
    pub fn add(&mut self, kind: String, outcome: Outcome) {
        *self.0.entry(kind).or_default().entry(outcome).or_default() += 1;
    }

    pub fn merge(&mut self, other: Self) {
        for (kind, row) in other.0 {
            for (outcome, count) in row {
                *self.0.entry(kind.clone()).or_default().entry(outcome).or_default() += count;
            }
        }
    }

    /// Faults that came in time.
    pub fn tried(&self) -> u64 {
        let all = self.0.iter().filter(|(kind, _)| *kind != "no fault").flat_map(|(_, row)| row);
        all.filter(|(outcome, _)| **outcome != Outcome::NotApplied).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Outcome::{Broken, Failed, Inconclusive, NotApplied, Refused, Survived};
        writeln!(
            f,
            "| kind of fault | tried | refused | inconclusive | failed with reason | survived | broken rules | came too late |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        let line = |f: &mut fmt::Formatter<'_>, kind: &str, of: &dyn Fn(Outcome) -> u64| {
            let counts = [Refused, Inconclusive, Failed, Survived, Broken].map(of);
            write!(f, "| {kind} | {} ", counts.iter().sum::<u64>())?;
            counts.iter().try_for_each(|count| write!(f, "| {count} "))?;
            writeln!(f, "| {} |", of(NotApplied))
        };
        for (kind, row) in &self.0 {
            line(f, kind, &|outcome| row.get(&outcome).copied().unwrap_or(0))?;
        }
        line(f, "all", &|outcome| self.0.values().map(|row| row.get(&outcome).copied().unwrap_or(0)).sum())
    }
}
