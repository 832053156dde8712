//! Upkeep of the repositories while the service runs: at the configured times each repository is maintained and checked, one
//! after the other. Backups and drills go on meanwhile.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::clock::Stopwatch;
use crate::error::{Error, Kind};
use crate::ledger::{Upkeep, UpkeepFigures};
use crate::operations::check::{HOW_TO_GO_ON, Reading, check};
use crate::operations::maintain::maintain;
use crate::operations::observe::by_repository;
use crate::run_context::{Cancel, RunContext};
use crate::scheduler::AppWork;
use crate::state::State;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// How soon the end is noticed.
const NOTICE: Duration = Duration::from_millis(100);

/// Look again and again, until `stop`, on a thread that nobody waits for: whatever it does can be broken off anywhere.
pub(super) fn begin(work: &Arc<AppWork>, state: &Arc<State>, stop: &Cancel) {
    let (work, state, stop) = (work.clone(), state.clone(), stop.clone());
    std::thread::spawn(move || {
        // Before the service began nothing was missed: what was due then is done at once, and only once.
        let mut asked: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
        while !stop.is_cancelled() {
            let app = work.app();
            for (name, interval) in due(&app, &state, &mut asked) {
                if !stop.is_cancelled() {
                    // However this ends, and whether or not that can be written down: the next turn comes at its time.
                    asked.insert(name.clone(), app.clock.wall());
                    turn(&app, &name, interval, &stop);
                    state.changed();
                }
            }
            let watch = Stopwatch::start(&app.clock);
            while watch.elapsed() < LOOK && !stop.is_cancelled() {
                std::thread::sleep(NOTICE);
            }
        }
    });
}

/// The repositories whose time has come, each with the time until it comes again.
fn due(app: &App, state: &State, asked: &mut BTreeMap<String, DateTime<Utc>>) -> Vec<(String, Duration)> {
    let Some(timing) = &app.config.maintenance.schedule else {
        asked.clear();
        return Vec::new();
    };
    let Ok(view) = state.view() else { return Vec::new() };
    let now = app.clock.wall();
    let interval = timing.shortest_gap().unwrap_or(app.config.maintenance.read_all_within);
    let mut due = Vec::new();
    for name in by_repository(app).into_keys() {
        let known = view.snapshot.upkeep.get(&name).and_then(last_begun);
        let since = *asked.entry(name.clone()).or_insert(known.unwrap_or(now));
        let begun = known.map_or(since, |known| known.max(since));
        // A clock that was put back does not make it wait for the old time to come again.
        let next = timing.next_after(begun.min(now), app.config.timezone);
        if next.is_some_and(|next| next <= now) {
            due.push((name, interval));
        }
    }
    due
}

fn last_begun(figures: &UpkeepFigures) -> Option<DateTime<Utc>> {
    figures.last.get(&Upkeep::Check).map(|run| run.started)
}

/// Maintain and check one repository. What fails is said here, once.
fn turn(app: &App, name: &str, interval: Duration, stop: &Cancel) {
    let context = RunContext { cancel: Cancel::default(), ..RunContext::silent() };
    let limit = app.config.maintenance.timeout;
    let done = std::thread::scope(|scope| {
        let (over, end) = std::sync::mpsc::channel::<()>();
        let cancel = context.cancel.clone();
        let watch = Stopwatch::start(&app.clock);
        scope.spawn(move || {
            while end.recv_timeout(NOTICE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                if stop.is_cancelled() {
                    cancel.cancel();
                } else if watch.elapsed() > limit {
                    cancel.time_out(limit);
                }
            }
        });
        let done = catch_unwind(AssertUnwindSafe(|| {
            tell(name, "maintained", None, maintain(app, name, false, &context).map(|report| report.warnings));
            let checked = check(app, name, Reading::Due(interval), &context);
            tell(name, "checked", Some(HOW_TO_GO_ON), checked.map(|report| report.problems));
        }));
        drop(over);
        done
    });
    if done.is_err() {
        tracing::error!(repository = %name, "its maintenance panicked: this is a bug in backup-sla");
    }
}

fn tell(name: &str, done: &str, hint: Option<&str>, ended: Result<Vec<String>, Error>) {
    match ended {
        Ok(said) if said.is_empty() => tracing::info!(repository = %name, "repository {name} was {done}"),
        Ok(said) => {
            for said in said {
                if let Some(hint) = hint {
                    tracing::error!(repository = %name, hint, "repository {name} was {done}: {said}");
                } else {
                    tracing::warn!(repository = %name, "repository {name} was {done}: {said}");
                }
            }
        }
        Err(error) if matches!(error.kind(), Kind::Busy | Kind::Cancelled) => {
            tracing::info!(repository = %name, "repository {name} was not {done}: {error}");
        }
        Err(error) => tracing::error!(repository = %name, hint = error.hint_text(), "{error}"),
    }
}
