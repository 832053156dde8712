//! When work begins next, for a command beside the service: the same plan, made from what the ledger knows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::job::{JobHistory, JobSpec, Limits, Promise};
use super::plan::Plan;
use super::{wanted, work};
use crate::app::App;
use crate::domain::schedule::Work;
use crate::error::Result;

/// When each scheduled work is due, by source and work. What is due in the past waits or is late.
pub fn next_runs(app: &App) -> Result<BTreeMap<(String, Work), DateTime<Utc>>> {
    let runs = app.block_on(app.ledger.last_runs_by_work())?;
    let sources = app.block_on(app.ledger.snapshot())?.sources;
    let (now, mut due) = (app.clock.wall(), BTreeMap::new());
    for spec in wanted::all_specs(app) {
        let job = spec.job.clone();
        let figures = sources.get(&job.source);
        let runs = runs.get(&(job.source.clone(), job.work));
        let newest = figures.and_then(|figures| figures.points.newest);
        // The pause after a failure began when the run ended.
        let since = runs.and_then(|runs| runs.ended).map_or(now, |ended| ended.min(now));
        due.extend(next_run(spec, &work::history(job.work, runs, figures), newest, (since, now)));
    }
    Ok(due)
}

/// As a service has it that knew `history` at `since` and looks `now`.
fn next_run(
    spec: JobSpec,
    history: &JobHistory,
    newest: Option<DateTime<Utc>>,
    (since, now): (DateTime<Utc>, DateTime<Utc>),
) -> BTreeMap<(String, Work), DateTime<Utc>> {
    let rpo = spec.objective;
    let mut plan = Plan::new(Limits { backups: 1, drills: 1 });
    let known = if history.failures > 0 { since } else { now };
    plan.configure(vec![spec], Limits { backups: 1, drills: 1 }, known, |_| *history);
    plan.begin_first_ones(now, |_| Some(Promise { newest, created: None, rpo }));
    plan.next_runs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;

    use super::*;
    use crate::domain::schedule::Timing;
    use crate::scheduler::job::Job;

    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-11-26T{time}Z").parse().unwrap()
    }

    fn due(work: Work, timing: Timing, history: &JobHistory, newest: Option<DateTime<Utc>>) -> DateTime<Utc> {
        let spec = JobSpec {
            job: Job::new("a", work),
            timing,
            zone: chrono_tz::Tz::UTC,
            jitter: Duration::ZERO,
            objective: Duration::from_hours(24),
        };
        let now = at("12:00:00");
        let since = now - TimeDelta::seconds(40);
        next_run(spec, history, newest, (since, now))[&("a".to_owned(), work)]
    }

    #[test]
    fn what_never_had_a_result_is_due_now_and_everything_else_at_its_time() {
        let nightly = || Timing::parse("0 2 * * *").unwrap();
        let new = JobHistory { asked_since: Some(at("11:00:00")), awaits_first: true, ..JobHistory::default() };
        let (now, tomorrow) = (at("12:00:00"), at("02:00:00") + TimeDelta::days(1));
        assert_eq!(due(Work::FullBackup, nightly(), &new, None), now);
        assert_eq!(due(Work::Drill, nightly(), &new, None), tomorrow, "there is nothing to restore yet");
        assert_eq!(due(Work::Drill, nightly(), &new, Some(now)), now);
        assert_eq!(due(Work::FullBackup, nightly(), &new, Some(now)), tomorrow, "there is a point already");
        let ran = JobHistory { begun: Some(at("02:00:00")), awaits_first: false, ..new };
        assert_eq!(due(Work::FullBackup, nightly(), &ran, Some(now)), tomorrow);
        let late = JobHistory { begun: Some(at("02:00:00") - TimeDelta::days(1)), ..ran };
        assert_eq!(due(Work::FullBackup, nightly(), &late, Some(now)), at("02:00:00"), "nobody began it");
        let hourly = Timing::Every(Duration::from_hours(1));
        assert_eq!(due(Work::FullBackup, hourly, &ran, Some(now)), at("03:00:00"));
    }

    #[test]
    fn what_failed_is_due_after_its_pause_and_not_at_its_next_time() {
        let failed = JobHistory { begun: Some(at("11:50:00")), failures: 1, ..JobHistory::default() };
        let nightly = Timing::parse("50 11 * * *").unwrap();
        assert_eq!(due(Work::FullBackup, nightly, &failed, None), at("12:00:20"), "a minute after it ended");
    }
}
