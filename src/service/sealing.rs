//! Comparing the ledger with its seals while the service runs: metrics are made from the ledger, so a record that somebody
//! changed must not be believed until the next report.

use std::sync::Arc;
use std::time::Duration;

use super::damage::DamageWatch;
use crate::clock::Stopwatch;
use crate::ledger::SealWatch;
use crate::operations::ledger_health::watch_ledger;
use crate::run_context::Cancel;
use crate::scheduler::AppWork;
use crate::state::State;

/// Least time between two comparisons.
const INTERVAL: Duration = Duration::from_mins(1);
/// A comparison reads the whole ledger: this many times as long as it took nothing is compared.
const REST: u32 = 50;
/// What has not changed since it was compared is known by its fingerprint. This often that is forgotten, and everything
/// is compared row by row.
const FULL_INTERVAL: Duration = Duration::from_hours(6);
/// Pages that nothing reads are looked at this often: it reads the whole file.
const DAMAGE_INTERVAL: Duration = Duration::from_hours(24);
/// How soon the end is noticed.
const NOTICE: Duration = Duration::from_millis(100);

/// Compare now, again and again, until `stop`, on a thread that nobody waits for.
pub(super) fn begin(work: &Arc<AppWork>, state: &Arc<State>, damage: &DamageWatch, stop: &Cancel) {
    let (work, state, damage, stop) = (work.clone(), state.clone(), damage.clone(), stop.clone());
    std::thread::spawn(move || {
        let mut known = SealWatch::default();
        let mut compared = Stopwatch::start(&work.app().clock);
        // The start looked at all of it.
        let mut looked = Stopwatch::start(&work.app().clock);
        while !stop.is_cancelled() {
            let watch = Stopwatch::start(&work.app().clock);
            if compared.elapsed() >= FULL_INTERVAL {
                known.forget();
                compared = Stopwatch::start(&work.app().clock);
            }
            compare(&work, &state, &damage, &mut known);
            if looked.elapsed() >= DAMAGE_INTERVAL {
                damage.look(&work.app());
                looked = Stopwatch::start(&work.app().clock);
            }
            let rest = INTERVAL.max(watch.elapsed() * REST);
            let watch = Stopwatch::start(&work.app().clock);
            while watch.elapsed() < rest && !stop.is_cancelled() {
                std::thread::sleep(NOTICE);
            }
        }
    });
}

fn compare(work: &AppWork, state: &State, damage: &DamageWatch, known: &mut SealWatch) {
    let app = work.app();
    match watch_ledger(&app, known) {
        Ok(health) => {
            let faults = health.seals.faults;
            let mut is_new = false;
            state.update_service(|service| {
                is_new = faults > 0 && service.seals.as_ref().map(|before| before.faults) != Some(faults);
                health.show(service);
            });
            // A disk that returns something else is not a person who changed something.
            if is_new {
                damage.look(&app);
            }
        }
        // The figures are not read either, and that is told.
        Err(error) => {
            tracing::warn!(hint = error.hint_text(), "cannot compare the ledger with its seals: {error}");
            damage.look(&app);
        }
    }
}
