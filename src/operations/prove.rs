//! Holds any instance against a manifest: the same for a drill, for a real restore and for `verify --against`.

use std::collections::BTreeMap;

use crate::app::Source;
use crate::domain::chain::Until;
use crate::domain::comparison::{Comparison, compare};
use crate::domain::drill::Check;
use crate::domain::expected::Expected;
use crate::domain::manifest::{Inventory, ObjectKind};
use crate::domain::promise::Promise;
use crate::engine::{Destination, InspectOptions, Replayed, StoredIncrement, StoredPoint};
use crate::error::Result;
use crate::run_context::RunContext;

/// What of a manifest must hold.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools)] // each is a question of its own
pub struct Scope {
    /// Only these tables; empty means everything.
    pub tables: Vec<String>,
    /// Accounts and grants too.
    pub accounts: bool,
    /// Accounts that are not compared: the load left them as the destination has them, and said so.
    pub kept_accounts: Vec<String>,
    /// The operator's assertions too.
    pub assertions: bool,
    /// What is there beyond the promise is no difference, only worth a word: the destination had it before.
    pub may_have_more: bool,
    /// The destination is a sandbox, which can reach no other server.
    pub apart: bool,
    /// What the destination said when it refused something, by the name of the check that misses it.
    pub refusals: BTreeMap<String, String>,
    /// What was replayed on top of the full backup.
    pub replayed: Replayed,
}

impl Scope {
    /// Everything.
    pub fn all() -> Self {
        Self { accounts: true, assertions: true, ..Self::default() }
    }

    fn of(&self, inventory: &Inventory) -> Inventory {
        let mut scoped = inventory.clone();
        if !self.tables.is_empty() {
            scoped.tables.retain(|table| self.tables.contains(&table.name));
            scoped.objects.clear();
        }
        let left_out = |name: &String| !self.accounts || self.kept_accounts.contains(name);
        scoped.objects.retain(|object| object.kind != ObjectKind::Account || !left_out(&object.name));
        scoped
    }
}

/// Result of a proof.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// Every comparison and assertion.
    pub comparison: Comparison,
    /// What is there beyond the promise, where that is allowed.
    pub more: Vec<String>,
    /// What a reader should know of the comparison.
    pub notes: Vec<String>,
}

impl Proof {
    /// Whether everything is as promised. Nothing compared is nothing proved.
    pub fn holds(&self) -> bool {
        !self.comparison.checks.is_empty() && self.comparison.checks.iter().all(|check| check.ok)
    }
}

impl Proof {
    /// Whether everything that differs is one of these accounts.
    pub fn only_differ(&self, accounts: &[String]) -> bool {
        let names: Vec<String> = accounts.iter().map(|name| format!("{} {name}", ObjectKind::Account)).collect();
        self.comparison.checks.iter().filter(|check| !check.ok).all(|check| names.contains(&check.name))
    }
}

/// Describe what is at `at` and compare it with what `point` promises.
pub fn prove(
    source: &Source,
    point: &StoredPoint,
    at: &Destination,
    scope: &Scope,
    context: &RunContext,
) -> Result<Proof> {
    let options = InspectOptions { only: scope.tables.clone(), may_have_more: scope.may_have_more, apart: scope.apart };
    let inspection = source.engine.inspect(at, point, &options, context)?;
    let (mut promised, mut found) = (scope.of(point.manifest.inventory()), scope.of(&inspection.inventory));
    for inventory in [&mut promised, &mut found] {
        inventory.tables.retain(|table| !inspection.untried.contains(&table.name));
    }
    let mut more = if scope.may_have_more { found.take_what_is_not_in(&promised) } else { Vec::new() };
    let (mut comparison, unproved) = if point.increments.is_empty() {
        (compare(&promised, &found), Vec::new())
    } else {
        // The full backup's promise, as far as the log tells what has become of it.
        Expected::after(&promised, &scope.replayed.changes).compare(&found)
    };
    comparison.checks.extend(complete(point, &scope.replayed));
    for check in comparison.checks.iter_mut().filter(|check| !check.ok) {
        if let Some(said) = scope.refusals.get(&check.name) {
            check.actual = format!("{} ({said})", check.actual);
        }
    }
    comparison.checks.extend(inspection.checks);
    more.extend(inspection.more);
    comparison.checks.extend(inspection.problems.into_iter().map(|problem| Check {
        name: "read restored data".to_owned(),
        expected: "everything readable".to_owned(),
        actual: problem,
        ok: false,
    }));
    if scope.assertions {
        for assertion in &source.assertions {
            comparison.checks.push(source.engine.assert(at, assertion, context)?);
        }
    }
    let notes = [scope.replayed.notes.clone(), inspection.notes, unproved].concat();
    Ok(Proof { comparison, more, notes })
}

/// What was replayed is what was stored: as many transactions were read back, and as many row events were dealt with at the
/// destination, of each increment that was replayed to its end.
fn complete(point: &StoredPoint, replayed: &Replayed) -> Vec<Check> {
    let whole =
        if point.until == Until::End { point.increments.len() } else { point.increments.len().saturating_sub(1) };
    let counted = |transactions: u64, events: u64| format!("{transactions} transactions, {events} row events");
    let check = |(at, increment): (usize, &StoredIncrement)| {
        let Promise::Changes(promised) = &increment.manifest.promise else { return None };
        let expected = counted(promised.transactions, promised.row_events);
        let done = replayed.changes.get(at).zip(replayed.row_events.get(at));
        let actual = done.map_or_else(|| "nothing".to_owned(), |(read, events)| counted(read.transactions, *events));
        let ok = expected == actual;
        Some(Check { name: format!("replay of {}", increment.manifest.id), expected, actual, ok })
    };
    point.increments[..whole].iter().enumerate().filter_map(check).collect()
}
