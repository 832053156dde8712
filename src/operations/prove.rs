//! Holds any instance against a manifest: the same for a drill, for a real restore and for `verify --against`.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::Source;
use crate::domain::canary_promise;
use crate::domain::chain::Until;
use crate::domain::closing_proof::{Closed, Judged, compare_closed};
use crate::domain::comparison::{Comparison, compare};
use crate::domain::drill::Check;
use crate::domain::expected::Expected;
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::{Inventory, Manifest, ObjectKind};
use crate::domain::promise::{Changes, Promise};
use crate::engine::{Destination, InspectOptions, Inspection, Proving, Replayed, StoredIncrement, StoredPoint};
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
    /// What was not proved and why, one sentence each; among the notes too.
    pub not_proven: Vec<String>,
    /// Of a closing proof: those of them that are about something that differs, and may. Then the chain is not proved whole.
    pub differs: Vec<String>,
    /// Transactions that were replayed.
    pub replayed_transactions: u64,
    /// Bytes of the log that were replayed.
    pub replayed_bytes: u64,
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
    // The full backup that stands where replay stopped says what must be there, and how it is read.
    let described = point.proved_by.as_deref().map_or(point, |next| &next.full);
    let inspection = source.engine.inspect(at, described, &options, context)?;
    let (mut promised, mut found) = (scope.of(described.manifest.inventory()), scope.of(&inspection.inventory));
    for inventory in [&mut promised, &mut found] {
        inventory.tables.retain(|table| !inspection.untried.contains(&table.name));
    }
    let mut more = if scope.may_have_more { found.take_what_is_not_in(&promised) } else { Vec::new() };
    let changes = &with_counts(point, &scope.replayed.changes);
    let mut differs = Vec::new();
    let (mut comparison, unproved) = match &point.proved_by {
        Some(next) => {
            let judged = closed(&point.manifest, next, changes, (&promised, &found));
            differs = judged.differs;
            (judged.comparison, judged.notes)
        }
        None if point.increments.is_empty() => (compare(&promised, &found), Vec::new()),
        // The full backup's promise, as far as the log tells what has become of it.
        None => Expected::after(&promised, changes).compare(&found),
    };
    let (canary, no_canary) = canary(point, scope, &inspection);
    comparison.checks.extend(canary);
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
    let uncounted = changes.last().and_then(|last| last.given_up.clone()).filter(|_| point.proved_by.is_none());
    let not_proven = [inspection.notes, unproved, no_canary.into_iter().chain(uncounted).collect()].concat();
    let notes = [scope.replayed.notes.clone(), not_proven.clone()].concat();
    let replayed_transactions = changes.iter().map(|changes| changes.transactions).sum();
    let replayed_bytes = changes.iter().map(|changes| changes.bytes).sum();
    Ok(Proof { comparison, more, notes, not_proven, differs, replayed_transactions, replayed_bytes })
}

/// The canary must be what the stored backup and the log say; or why that cannot be said.
fn canary(point: &StoredPoint, scope: &Scope, found: &Inspection) -> (Option<Check>, Option<String>) {
    let owner = point.newest().canary_owner().filter(|_| scope.tables.is_empty());
    let Some(owner) = owner else { return (None, None) };
    let expected = canary_promise::expected(&point.manifest.canaries, &scope.replayed.changes);
    let check = canary_promise::check(&owner, &expected, &found.canaries);
    // A log has what the full backup has not, and a replay may leave that out.
    let fulls = std::iter::once(&point.manifest).chain(point.proved_by.as_deref().map(|next| &next.full.manifest));
    if check.is_some() && !fulls.map(Manifest::inventory).all(canary_promise::has_database) {
        return (None, Some("canary not proved: the full backup does not have its database".to_owned()));
    }
    (check, None)
}

/// Hold what a chain came to against the full backup that follows it.
fn closed(
    base: &Manifest,
    next: &Proving,
    replayed: &[Changes],
    (promised, found): (&Inventory, &Inventory),
) -> Judged {
    let Proving { full: StoredPoint { manifest: next, .. }, is_continued } = next;
    let log = next.position.as_ref().and_then(|position| position.log.as_ref());
    let name = |one: &LeftOut| match one.kind.as_str() {
        LeftOut::ROWS => format!("table {}", one.name),
        kind => format!("{kind} {}", one.name),
    };
    let left_out: BTreeSet<String> = base.left_out.iter().chain(&next.left_out).map(name).collect();
    let chain = Closed {
        base: base.inventory(),
        replayed,
        outside: log.map_or(&[], |log| log.outside.as_slice()),
        may_be_half: !is_continued && !is_quiet(next),
        left_out: &left_out,
    };
    compare_closed(promised, found, &chain)
}

/// Whether the log did not move while the full backup was read.
fn is_quiet(full: &Manifest) -> bool {
    let position = full.position.as_ref();
    let settled = position.and_then(|position| position.log.as_ref()?.settled.as_ref());
    let place = position.and_then(|position| position.binlog_file.as_ref().zip(position.binlog_offset));
    settled.zip(place).is_some_and(|(settled, (file, offset))| settled.file == *file && settled.offset == offset)
}

/// How many increments were replayed to their ends.
fn whole(point: &StoredPoint) -> usize {
    if point.until == Until::End { point.increments.len() } else { point.increments.len().saturating_sub(1) }
}

/// What was read back from the logs, with what was counted at the end of each increment, which no log tells.
fn with_counts(point: &StoredPoint, replayed: &[Changes]) -> Vec<Changes> {
    let mut all = replayed.to_vec();
    for (changes, increment) in all.iter_mut().zip(&point.increments[..whole(point)]) {
        if let Promise::Changes(promised) = &increment.manifest.promise {
            (changes.counted, changes.given_up) = (promised.counted.clone(), promised.given_up.clone());
        }
    }
    all
}

/// What was replayed is what was stored: as many transactions were read back, and as many row events were dealt with at the
/// destination, of each increment that was replayed to its end.
fn complete(point: &StoredPoint, replayed: &Replayed) -> Vec<Check> {
    let counted = |transactions: u64, events: u64| format!("{transactions} transactions, {events} row events");
    let check = |(at, increment): (usize, &StoredIncrement)| {
        let Promise::Changes(promised) = &increment.manifest.promise else { return None };
        let expected = counted(promised.transactions, promised.row_events);
        let done = replayed.changes.get(at).zip(replayed.row_events.get(at));
        let actual = done.map_or_else(|| "nothing".to_owned(), |(read, events)| counted(read.transactions, *events));
        let ok = expected == actual;
        Some(Check { name: format!("replay of {}", increment.manifest.id), expected, actual, ok })
    };
    point.increments[..whole(point)].iter().enumerate().filter_map(check).collect()
}
