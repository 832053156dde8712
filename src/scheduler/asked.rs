//! What the service is asked for, written down: since when, and, once it is no longer asked for, what of it did not begin until
//! then. Nobody can make a miss undone by taking a source out of the configuration, and nobody is blamed for a time in which nobody
//! asked for anything.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::entry::TOLERANCE;
use super::job::MOST_COUNTED;
use super::wanted::{operation, specs};
use crate::config::{Config, SourceConfig};
use crate::domain::schedule::{CONTINUOUS, Timing, Work};
use crate::error::Result;
use crate::ledger::{Asked, Configured, LastRuns, Ledger, MissedRuns};

/// Why it is told only now.
const GONE: &str = "it had not begun when its schedule was changed or taken out of the configuration";

/// What `config` asks for, of these works. Of a source with anything that is not built nothing is done.
pub(super) fn asked(config: &Config, works: &[Work]) -> Vec<Configured> {
    let of_source = |source: &SourceConfig| {
        let jobs = specs(source, works, config.timezone).map(|spec| Configured {
            source: source.name.clone(),
            asked: Some(Asked {
                work: spec.job.work,
                schedule: spec.timing.to_string(),
                zone: spec.zone.to_string(),
                jitter: spec.jitter,
            }),
        });
        let followed = source.schedule.continuous.map(|_| Configured {
            source: source.name.clone(),
            asked: Some(Asked {
                work: Work::IncrementalBackup,
                schedule: CONTINUOUS.to_owned(),
                zone: config.timezone.to_string(),
                jitter: std::time::Duration::ZERO,
            }),
        });
        let jobs = jobs.chain(followed.filter(|_| works.contains(&Work::IncrementalBackup)));
        let is_built = config.not_built_of(&source.name).next().is_none();
        let itself = Configured { source: source.name.clone(), asked: None };
        std::iter::once(itself).chain(jobs.filter(move |_| is_built)).collect::<Vec<_>>()
    };
    config.sources.values().flat_map(of_source).collect()
}

/// The service is asked for `asked` from `now` on.
pub(super) async fn record(ledger: &Ledger, asked: &[Configured], now: DateTime<Utc>) -> Result<()> {
    let gone: Vec<_> = ledger.configured().await?.into_iter().filter(|(known, _)| !asked.contains(known)).collect();
    if !gone.is_empty() {
        let runs = ledger.last_runs_by_work().await?;
        for (configured, began) in &gone {
            let Some(asked) = &configured.asked else { continue };
            let runs = runs.get(&(configured.source.clone(), asked.work));
            if let Some(missed) = missed_until(now, &configured.source, asked, *began, runs) {
                ledger.record_missed(&missed).await?;
            }
        }
    }
    ledger.record_configured(asked).await
}

/// What was due since the last run, and is late at `now`.
fn missed_until(
    now: DateTime<Utc>,
    source: &str,
    asked: &Asked,
    began: DateTime<Utc>,
    runs: Option<&LastRuns>,
) -> Option<MissedRuns> {
    let (timing, zone): (Timing, Tz) = (Timing::parse(&asked.schedule).ok()?, asked.zone.parse().ok()?);
    let known = runs.map_or([None, None], |runs| [runs.started, runs.missed_until]);
    let after = known.into_iter().flatten().fold(began, DateTime::max);
    let late = now - TOLERANCE - TimeDelta::from_std(asked.jitter).ok()?;
    let last = timing.last_due(after, late, zone)?;
    Some(MissedRuns {
        source: source.to_owned(),
        operation: operation(asked.work),
        kind: asked.work.backup_kind(),
        first: timing.next_after(after, zone)?,
        last,
        count: timing.count_due(after, last, zone, MOST_COUNTED),
        reason: GONE.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-06-10T{time}Z").parse().unwrap()
    }

    #[test]
    fn what_is_taken_out_is_late_since_its_last_run_or_since_it_was_asked_for() {
        let asked = |schedule: &str| Asked {
            work: Work::FullBackup,
            schedule: schedule.into(),
            zone: "UTC".into(),
            jitter: std::time::Duration::from_mins(10),
        };
        let ran = LastRuns { started: Some(at("02:00:10")), ..LastRuns::default() };
        let told = LastRuns { missed_until: Some(at("04:00:00")), ..ran.clone() };
        let cases = [
            ("0 * * * *", None, "07:15:00", Some((at("02:00:00"), at("07:00:00"), 6))),
            ("0 * * * *", None, "07:14:59", Some((at("02:00:00"), at("06:00:00"), 5))),
            ("0 * * * *", Some(&ran), "07:30:00", Some((at("03:00:00"), at("07:00:00"), 5))),
            ("0 * * * *", Some(&told), "07:30:00", Some((at("05:00:00"), at("07:00:00"), 3))),
            ("0 * * * *", Some(&ran), "03:10:00", None),
            ("@every 1h", Some(&ran), "05:59:00", Some((at("03:00:10"), at("05:00:10"), 3))),
            ("nonsense", Some(&ran), "05:59:00", None),
        ];
        for (schedule, runs, now, expected) in cases {
            let missed = missed_until(at(now), "a", &asked(schedule), at("01:30:00"), runs);
            let told = missed.map(|missed| (missed.first, missed.last, missed.count));
            assert_eq!(told, expected, "{schedule} at {now}");
        }
    }
}
