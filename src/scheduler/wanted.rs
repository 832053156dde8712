//! What a configuration wants done, and when.

use super::job::{Job, JobSpec};
use crate::app::App;
use crate::config::SourceConfig;
use crate::domain::schedule::Work;
use crate::ledger::Operation;

/// The operation that a job is recorded as.
pub(super) fn operation(work: Work) -> Operation {
    if work.is_backup() { Operation::Backup } else { Operation::Drill }
}

/// What can be done.
pub(super) const BUILT: [Work; 3] = Work::ALL;

/// Everything that is scheduled and can be done.
pub(super) fn all_specs(app: &App) -> impl Iterator<Item = JobSpec> + '_ {
    let config = &app.config;
    let sources = config.sources.values().filter(|source| config.not_built_of(&source.name).next().is_none());
    sources.flat_map(|source| specs(source, &BUILT, config.timezone))
}

/// When each of `works` is due on a source; what has no schedule is missing.
pub(super) fn specs<'s>(
    source: &'s SourceConfig,
    works: &'s [Work],
    zone: chrono_tz::Tz,
) -> impl Iterator<Item = JobSpec> + 's {
    works.iter().filter_map(move |work| {
        let work = *work;
        let objectives = &source.objectives;
        let objective = if work.is_backup() { objectives.rpo } else { objectives.drill_interval };
        Some(JobSpec {
            job: Job::new(&*source.name, work),
            timing: source.timing(work)?.clone(),
            zone,
            jitter: source.schedule.jitter,
            objective,
        })
    })
}
