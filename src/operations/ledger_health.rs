//! Whether the ledger can be believed: damaged or lost ones beside it, and records that do not fit their seals.

use crate::app::App;
use crate::error::Result;
use crate::ledger::{SealWatch, Sealed, set_aside};
use crate::state::service::{SealCheck, ServiceState};

/// What was found of the ledger. The service and `backup-sla metrics` show the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerHealth {
    /// Damaged or lost ledgers beside the one in use.
    pub set_aside: u64,
    /// Of all records.
    pub seals: SealCheck,
}

/// Compare all records with their seals, once.
pub fn look_at_ledger(app: &App) -> Result<LedgerHealth> {
    Ok(health(app, &app.block_on(app.ledger.verify_seals(&[]))?))
}

/// The same again and again: `watch` is what was known the time before, and the chain must still contain that.
pub fn watch_ledger(app: &App, watch: &mut SealWatch) -> Result<LedgerHealth> {
    Ok(health(app, &app.block_on(app.ledger.watch_seals(watch))?))
}

fn health(app: &App, sealed: &Sealed) -> LedgerHealth {
    let first = sealed.faults.first().map(|fault| fault.what.clone());
    let seals = SealCheck { at: app.clock.wall(), faults: sealed.fault_count, first };
    LedgerHealth { set_aside: ledgers_set_aside(app), seals }
}

/// How many damaged or lost ledgers lie beside the one in use.
pub fn ledgers_set_aside(app: &App) -> u64 {
    set_aside(&app.config.state_dir).len() as u64
}

impl LedgerHealth {
    /// Have it shown, and log what is new of it.
    pub fn show(self, service: &mut ServiceState) {
        let seals = self.seals;
        if seals.faults > 0 && service.seals.as_ref().map(|before| before.faults) != Some(seals.faults) {
            tracing::error!(
                hint = "see the runbook of BackupSlaLedgerTampered; `backup-sla report --json` names what does not fit",
                faults = seals.faults,
                "records of the ledger were changed: {}",
                seals.first.as_deref().unwrap_or_default()
            );
        }
        service.ledgers_set_aside = self.set_aside;
        service.seals = Some(seals);
    }
}
