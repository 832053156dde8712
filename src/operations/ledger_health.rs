//! Whether the ledger can be believed: damaged or lost ones beside it, and records that do not fit their seals.

use crate::app::App;
use crate::error::Result;
use crate::ledger::{ChainHead, set_aside};
use crate::state::service::{SealCheck, ServiceState};

/// What was found of the ledger. The service and `backup-sla metrics` show the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerHealth {
    /// Damaged or lost ledgers beside the one in use.
    pub set_aside: u64,
    /// Of all records.
    pub seals: SealCheck,
}

/// Compare all records with their seals. `known` is where the chain ended before, which it must still contain.
pub fn look_at_ledger(app: &App, known: &mut Option<ChainHead>) -> Result<LedgerHealth> {
    let sealed = app.block_on(app.ledger.verify_seals(known.as_slice()))?;
    let first = sealed.faults.first().map(|fault| fault.what.clone());
    let seals = SealCheck { at: app.clock.wall(), faults: sealed.fault_count, first };
    // What does not fit goes on being told: the end that was known is kept.
    if sealed.is_whole() {
        *known = Some(sealed.head);
    }
    Ok(LedgerHealth { set_aside: ledgers_set_aside(app), seals })
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
                "the ledger is not as it was written: {}",
                seals.first.as_deref().unwrap_or_default()
            );
        }
        service.ledgers_set_aside = self.set_aside;
        service.seals = Some(seals);
    }
}
