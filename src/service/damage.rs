//! A ledger that breaks under a running service. It cannot be put beside while it is open, so the service ends with an error
//! that says so; the service manager starts it again, and the start puts the ledger beside.

use std::sync::{Arc, Mutex, PoisonError};

use crate::app::App;
use crate::error::{Error, Side};
use crate::ledger::is_damage;
use crate::run_context::Cancel;

/// Ends the service once its ledger is damaged. Clones share what was found.
#[derive(Debug, Clone)]
pub(super) struct DamageWatch {
    found: Arc<Mutex<Option<Error>>>,
    stop: Cancel,
}

impl DamageWatch {
    pub(super) fn new(stop: &Cancel) -> Self {
        Self { found: Arc::default(), stop: stop.clone() }
    }

    /// End the service where the start would find the same damage. What the start does not find would end it for ever.
    pub(super) fn look(&self, app: &App) {
        if let Err(error) = app.block_on(app.ledger.look_for_damage())
            && is_damage(&error)
        {
            self.end(Error::failed("the ledger was damaged while the service ran").because(error));
        }
    }

    /// End the service where the ledger has no byte left, or is not there any more: what is written goes nowhere.
    pub(super) fn look_for_loss(&self, app: &App) {
        if app.ledger.is_emptied() {
            self.end(Error::failed("the ledger was emptied while the service ran"));
        } else if app.ledger.is_lost() {
            self.end(Error::failed("the ledger was removed or replaced while the service ran"));
        }
    }

    /// Why the service ended, if this ended it.
    pub(super) fn found(&self) -> Option<Error> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn end(&self, error: Error) {
        let error = error
            .hint("the next start sets it aside and starts a new one; see the runbook of BackupSlaLedgerDamaged")
            .on(Side::State);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_none() {
            tracing::error!(
                hint = error.hint_text(),
                "{error}; the service stops, so that the service manager starts it again"
            );
            *found = Some(error);
            self.stop.cancel();
        }
    }
}
