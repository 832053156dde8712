//! Comparing the ledger with its seals while the service runs: metrics are made from the ledger, so a record that somebody
//! changed must not be believed until the next report.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::exporter::refresh::Exporter;
use crate::exporter::service_state::SealCheck;
use crate::ledger::{ChainHead, Sealed};
use crate::run_context::Cancel;
use crate::scheduler::AppWork;

/// Least time between two comparisons.
const INTERVAL: Duration = Duration::from_mins(1);
/// A comparison reads the whole ledger: this many times as long as it took nothing is compared.
const REST: u32 = 50;
/// How soon the end is noticed.
const NOTICE: Duration = Duration::from_millis(100);

/// Compare now, again and again, until `stop`, on a thread that nobody waits for.
pub(super) fn begin(work: &Arc<AppWork>, exporter: &Arc<Exporter>, stop: &Cancel) {
    let (work, exporter, stop) = (work.clone(), exporter.clone(), stop.clone());
    std::thread::spawn(move || {
        let mut known = None;
        while !stop.is_cancelled() {
            let watch = Stopwatch::start(&work.app().clock);
            compare(&work, &exporter, &mut known);
            let rest = INTERVAL.max(watch.elapsed() * REST);
            let watch = Stopwatch::start(&work.app().clock);
            while watch.elapsed() < rest && !stop.is_cancelled() {
                std::thread::sleep(NOTICE);
            }
        }
    });
}

/// `known` is where the chain ended before: it must still contain that.
fn compare(work: &AppWork, exporter: &Exporter, known: &mut Option<ChainHead>) {
    let app = work.app();
    match app.block_on(app.ledger.verify_seals(known.as_slice())) {
        Ok(sealed) => {
            let check = SealCheck { at: app.clock.wall(), faults: sealed.fault_count, first: first(&sealed) };
            exporter.update_service(|service| {
                if service.seals.as_ref().map(|before| before.faults) != Some(check.faults) && check.faults > 0 {
                    tracing::error!(
                        hint = "see the runbook of BackupSlaLedgerTampered; `backup-sla report --json` names what does not fit",
                        faults = check.faults,
                        "the ledger is not as it was written: {}",
                        check.first.as_deref().unwrap_or_default()
                    );
                }
                service.seals = Some(check);
            });
            // What does not fit goes on being told: the end that was known is kept.
            if sealed.is_whole() {
                *known = Some(sealed.head);
            }
        }
        // The figures are not read either, and that is told.
        Err(error) => tracing::warn!(hint = error.hint_text(), "cannot compare the ledger with its seals: {error}"),
    }
}

fn first(sealed: &Sealed) -> Option<String> {
    sealed.faults.first().map(|fault| fault.what.clone())
}
