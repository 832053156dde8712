//! The SLA report on a month, made from the ledger alone: what is said of a month is the same whether the repositories can
//! be reached or not.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::error::{Error, Result};
use crate::ledger::{Run, Sealed};
use crate::report::build::{self, Period, SourceRecords, look_back};
use crate::report::{Evidence, Month, SlaReport};

/// Most entries of missed runs that are read of a source.
const MISSED: u32 = 100_000;

/// The report on `month`, on these sources or, without any, on all that the ledger knows.
///
/// Errors: the month has not begun, or nobody knows one of the sources.
pub fn report(app: &App, month: Month, sources: &[String]) -> Result<SlaReport> {
    let now = app.clock.wall();
    let timezone = app.config.timezone;
    let (from, end) = month.bounds(timezone);
    if from >= now {
        return Err(Error::configuration(format!("cannot report on {month}: the month has not begun")));
    }
    let known = app.block_on(app.ledger.all_sources())?;
    let names = chosen(app, &known, sources)?;
    let ledger_began = app.block_on(app.ledger.began())?;
    // First, so that what is written meanwhile is after the end of the chain that the report names.
    let sealed = app.block_on(app.ledger.verify_seals(&[]))?;
    let period = Period { from, until: end.min(now), now, ledger_began, timezone };
    let mut reports = Vec::new();
    for name in names {
        let Some((kind, repository)) = known.get(&name) else { continue };
        if let Some(records) = records(app, (&name, kind, repository), period)? {
            reports.extend(build::source(records, period));
        }
    }
    Ok(SlaReport {
        month: month.to_string(),
        timezone: timezone.to_string(),
        from,
        until: period.until,
        is_complete: now >= end,
        generated: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        evidence: evidence(sealed, ledger_began),
        test_pages: app.block_on(app.ledger.test_pages_between(from, period.until))?,
        sources: reports,
    })
}

fn chosen(app: &App, known: &BTreeMap<String, (String, String)>, wanted: &[String]) -> Result<Vec<String>> {
    if wanted.is_empty() {
        return Ok(known.keys().cloned().collect());
    }
    // A source that is no longer configured has a past too.
    let unknown: Vec<String> = wanted.iter().filter(|name| !known.contains_key(*name)).cloned().collect();
    app.names(&unknown)?;
    let once: BTreeSet<String> = wanted.iter().cloned().collect();
    Ok(once.into_iter().collect())
}

fn evidence(sealed: Sealed, ledger_began: DateTime<Utc>) -> Evidence {
    Evidence {
        ledger_began,
        sealed_since: sealed.since,
        adopted: sealed.adopted,
        is_whole: sealed.is_whole(),
        head: sealed.head,
        faults: sealed.faults,
        fault_count: sealed.fault_count,
    }
}

fn records(app: &App, (name, kind, repository): (&str, &str, &str), period: Period) -> Result<Option<SourceRecords>> {
    let ledger = &app.ledger;
    let since = look_back(period.from);
    let Some(facts) = app.block_on(ledger.facts(name, since))? else { return Ok(None) };
    let runs = app.block_on(ledger.runs_between(name, since, period.until))?;
    let drills: Vec<Run> = runs
        .iter()
        .filter(|run| run.is_drill() && run.ended.is_some_and(|ended| ended >= period.from))
        .cloned()
        .collect();
    Ok(Some(SourceRecords {
        source: name.to_owned(),
        kind: kind.to_owned(),
        repository: repository.to_owned(),
        is_configured: app.config.sources.contains_key(name),
        configured: app.block_on(ledger.configured_periods(name))?,
        facts,
        drills: app.block_on(ledger.report_on(drills))?,
        runs,
        points: app.block_on(ledger.points(name))?,
        missed: app.block_on(ledger.missed_runs(name, since, MISSED))?,
        changes: app.block_on(ledger.suspect_changes(name))?,
        vanished: app.block_on(ledger.vanished_points(name))?,
        breaks: app.block_on(ledger.breaks(name))?,
    }))
}
