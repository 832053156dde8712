//! When the work of a source begins next, as far as a command beside the service can tell: from the configuration and the ledger.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::app::App;
use crate::config::SourceConfig;
use crate::domain::schedule::{Timing, Work, delay_within};
use crate::error::Result;
use crate::scheduler::{Job, JobHistory};

/// When each scheduled work is due, by source and work. What is due in the past waits or is late.
pub fn next_runs(app: &App, names: &[String]) -> Result<BTreeMap<(String, Work), DateTime<Utc>>> {
    let last = app.block_on(app.ledger.last_runs_by_work())?;
    let known = app.block_on(app.ledger.snapshot())?.sources;
    let mut due = BTreeMap::new();
    for name in names {
        for work in Work::ALL {
            let key = (name.clone(), work);
            let history = JobHistory {
                asked_since: known.get(name).and_then(|figures| figures.asked_since.get(&work)).copied(),
                begun: last.get(&key).and_then(|runs| runs.started),
                ..JobHistory::default()
            };
            let has_points = known.get(name).is_some_and(|figures| figures.points.newest.is_some());
            if let Some(at) = next_run(app, &app.config.sources[name], (work, has_points), &history) {
                due.insert(key, at);
            }
        }
    }
    Ok(due)
}

fn next_run(
    app: &App,
    config: &SourceConfig,
    (work, has_points): (Work, bool),
    history: &JobHistory,
) -> Option<DateTime<Utc>> {
    let (timing, now) = (config.timing(work)?, app.clock.wall());
    // The first full backup of a new source begins at once, its first drill as soon as there is something to restore.
    let is_first = history.begun.is_none() && has_points == (work == Work::Drill);
    let due = match (timing, history.begun) {
        (Timing::Every(_), None) => return Some(now),
        (Timing::Cron(_), None) if is_first => return Some(now),
        (Timing::Every(_) | Timing::Cron(_), begun) => {
            timing.next_after(begun.or(history.asked_since).unwrap_or(now).min(now), app.config.timezone)?
        }
    };
    let delay = delay_within(config.schedule.jitter, &Job::new(&config.name, work).to_string(), due);
    Some(due + TimeDelta::from_std(delay).unwrap_or_default())
}
