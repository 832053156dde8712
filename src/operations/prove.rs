//! Holds any instance against a manifest: the same for a drill, for a real restore and for `verify --against`.

use crate::app::Source;
use crate::domain::comparison::{Comparison, compare};
use crate::domain::drill::Check;
use crate::domain::manifest::{Inventory, Manifest, ObjectKind};
use crate::engine::Destination;
use crate::error::Result;
use crate::run_context::RunContext;

/// What of a manifest must hold.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only these tables; empty means everything.
    pub tables: Vec<String>,
    /// Accounts and grants too.
    pub accounts: bool,
    /// The operator's assertions too.
    pub assertions: bool,
}

impl Scope {
    /// Everything.
    pub fn all() -> Self {
        Self { tables: Vec::new(), accounts: true, assertions: true }
    }

    fn of(&self, inventory: &Inventory) -> Inventory {
        let mut scoped = inventory.clone();
        if !self.tables.is_empty() {
            scoped.tables.retain(|table| self.tables.contains(&table.name));
            scoped.objects.clear();
        }
        if !self.accounts {
            scoped.objects.retain(|object| object.kind != ObjectKind::Account);
        }
        scoped
    }
}

/// Result of a proof.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// Every comparison and assertion.
    pub comparison: Comparison,
}

impl Proof {
    /// Whether everything is as promised.
    pub fn holds(&self) -> bool {
        self.comparison.checks.iter().all(|check| check.ok)
    }
}

/// Describe what is at `at` and compare it with `manifest`.
pub fn prove(
    source: &Source,
    manifest: &Manifest,
    at: &Destination,
    scope: &Scope,
    context: &RunContext,
) -> Result<Proof> {
    let inspection = source.engine.inspect(at, manifest, context)?;
    let mut comparison = compare(&scope.of(&manifest.inventory), &scope.of(&inspection.inventory));
    comparison.checks.extend(inspection.problems.into_iter().map(|problem| Check {
        name: "read restored data".to_owned(),
        expected: "everything readable".to_owned(),
        actual: problem,
        ok: false,
    }));
    if scope.assertions {
        for assertion in &source.assertions {
            comparison.checks.push(source.engine.assert(at, assertion)?);
        }
    }
    Ok(Proof { comparison })
}
