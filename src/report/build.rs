//! From records to a report: a pure function.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::month::midnight;
use super::point_in_time::Known;
use super::reasons::Records;
use super::{
    Absence, BackupCount, BreachReport, ChangeReport, DrillDays, DrillReport, Failure, Incomplete, ObjectiveReport,
    PointInTime, Promised, Reached, SourceReport, VanishedReport,
};
use crate::domain::drill_choice::DrillKind;
use crate::domain::history::{Breach, Facts, MetRatios, Promise, Share, Timeline, Verdict};
use crate::domain::manifest::BackupKind;
use crate::domain::sla::Objective;
use crate::ledger::{
    ChainBreak, ChangeFigures, ConfiguredPeriod, MissedRuns, NOT_PROVED, Operation, Outcome, PROVED_CHAIN, PointRow,
    REPLAYED_BYTES, REPLAYED_TRANSACTIONS, ReportedRun, Run, VanishedPoint,
};

/// Everything that is known of one source.
#[derive(Debug, Clone)]
pub struct SourceRecords {
    /// Its name.
    pub source: String,
    /// Its kind.
    pub kind: String,
    /// Where its backups are kept.
    pub repository: String,
    /// Whether the configuration has it.
    pub is_configured: bool,
    /// When it was configured, oldest first; empty where no service of this ledger ever had it.
    pub configured: Vec<ConfiguredPeriod>,
    /// What its promises are judged by.
    pub facts: Facts,
    /// Backups and drills that have ended, in the order in which they began, from [`look_back`] on.
    pub runs: Vec<Run>,
    /// Of those, the drills of the month.
    pub drills: Vec<ReportedRun>,
    /// Recovery points that are listed now.
    pub points: Vec<PointRow>,
    /// Runs that did not begin.
    pub missed: Vec<MissedRuns>,
    /// Backups of data that looked destroyed.
    pub changes: Vec<ChangeFigures>,
    /// Recovery points that went away before their retention.
    pub vanished: Vec<VanishedPoint>,
    /// Breaks of the chain, oldest first.
    pub breaks: Vec<ChainBreak>,
}

/// The time that a report is about.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    /// First moment.
    pub from: DateTime<Utc>,
    /// The first moment after it, `now` at the latest.
    pub until: DateTime<Utc>,
    /// When the report is made.
    pub now: DateTime<Utc>,
    /// When the ledger began: what was before is not known, so it is not judged.
    pub ledger_began: DateTime<Utc>,
    /// What a day is.
    pub timezone: Tz,
}

/// From when on runs are needed: what did not work shortly before is the reason of what is broken now.
pub fn look_back(from: DateTime<Utc>) -> DateTime<Utc> {
    from - TimeDelta::days(31)
}

/// The report on one source; none where it was not known yet.
pub fn source(records: SourceRecords, period: Period) -> Option<SourceReport> {
    let from = period.from.max(records.facts.created).max(period.ledger_began);
    let until = if is_configured(&records) { period.until } else { period.until.min(left(&records)?) };
    if from >= until {
        return None;
    }
    let period = Period { until, ..period };
    let judged = Period { from, ..period };
    let SourceRecords { facts, runs, missed, .. } = &records;
    let in_time = |time: DateTime<Utc>| (from..period.until).contains(&time);
    let of_month: Vec<&Run> = runs.iter().filter(|run| in_time(run.ended.unwrap_or(run.started))).collect();
    let backups: Vec<&Run> = of_month.iter().copied().filter(|run| run.operation == Operation::Backup).collect();
    Some(SourceReport {
        from,
        until,
        not_configured: absences(&records.configured, judged),
        is_configured: is_configured(&records),
        promised: promised(&facts.promises, judged),
        objectives: objectives(&records, judged),
        achieved: reached(facts, &records.drills, judged),
        days: drill_days(&of_month, judged),
        backups: [BackupKind::Full, BackupKind::Incremental].into_iter().filter_map(|it| count(&backups, it)).collect(),
        incomplete: Incomplete::of(&records.points, (from, until)),
        backup_failures: backups.iter().filter(|run| run.is_bad()).map(|run| failure(run)).collect(),
        drills: records.drills.iter().map(drill).collect(),
        missed: missed.iter().filter(|it| it.last >= from && it.first < period.until).cloned().collect(),
        changes: records.changes.iter().filter(|it| in_time(it.judged)).map(ChangeReport::of).collect(),
        vanished: records.vanished.iter().filter(|it| in_time(it.noticed)).map(VanishedReport::of).collect(),
        point_in_time: PointInTime::of(&moments(&records), (from, period.until)),
        source: records.source,
        kind: records.kind,
        repository: records.repository,
    })
}

fn moments(records: &SourceRecords) -> Known<'_> {
    let SourceRecords { runs, points, breaks, facts, .. } = records;
    Known { runs, points, breaks, moments: &facts.moments }
}

/// A source is there until a service found it gone: that a file does not have it is not enough to end a promise.
fn is_configured(records: &SourceRecords) -> bool {
    records.is_configured || records.configured.last().is_some_and(|period| period.ended.is_none())
}

/// When a source that is no longer configured went, with what had begun by then, or, where no service ever had it, the last that
/// was heard of it: nothing was promised of it after that.
fn left(records: &SourceRecords) -> Option<DateTime<Utc>> {
    let Some(last) = records.configured.last() else { return last_sign(records) };
    let ended = last.ended?.max(last.began);
    let begun = records.runs.iter().filter(|run| run.started <= ended);
    begun.filter_map(|run| Some(run.ended? + TimeDelta::microseconds(1))).chain([ended]).max()
}

/// Times in which it was not configured, as far as they are judged: between two in which it was, and after the last.
fn absences(configured: &[ConfiguredPeriod], judged: Period) -> Vec<Absence> {
    let returns = configured.iter().skip(1).map(|period| period.began).chain([judged.until]);
    let between = |(period, back): (&ConfiguredPeriod, DateTime<Utc>)| {
        let (from, until) = (period.ended?.max(judged.from), back.min(judged.until));
        (from < until).then_some(Absence { from, until })
    };
    configured.iter().zip(returns).filter_map(between).collect()
}

fn last_sign(records: &SourceRecords) -> Option<DateTime<Utc>> {
    let runs = records.runs.iter().filter_map(|run| run.ended);
    let missed = records.missed.iter().map(|missed| missed.last);
    runs.chain(missed).max()
}

/// The promises that were in force at some moment of the time.
fn promised(promises: &[Promise], period: Period) -> Vec<Promised> {
    let ends = |at: usize| promises.get(at + 1).map_or(period.until, |next| next.since);
    let in_force =
        |(at, promise): &(usize, &Promise)| ends(*at) > period.from && (*at == 0 || promise.since < period.until);
    promises.iter().enumerate().filter(in_force).map(|(_, promise)| shown(promise)).collect()
}

fn shown(promise: &Promise) -> Promised {
    let objectives = &promise.objectives;
    Promised {
        since: promise.since,
        rpo_seconds: objectives.rpo.as_secs_f64(),
        rto_seconds: objectives.rto.as_secs_f64(),
        retention_seconds: objectives.retention.as_secs_f64(),
        drill_interval_seconds: objectives.drill_interval.as_secs_f64(),
        max_chain_length: objectives.max_chain_length,
        objective_ratio: objectives.objective_ratio,
    }
}

fn objectives(records: &SourceRecords, period: Period) -> Vec<ObjectiveReport> {
    let facts = &records.facts;
    let timeline = Timeline::of(facts, period.from, period.now);
    let ratios = timeline.ratios(period.from, period.until);
    // A promise that is loosened on the last day does not excuse the days before.
    let ratios_in_force = promised(&facts.promises, period).into_iter().map(|it| it.objective_ratio);
    let Some(target) = ratios_in_force.max_by(f64::total_cmp) else { return Vec::new() };
    let known = Records { facts, runs: &records.runs, missed: &records.missed, until: period.until };
    let has_measured = records.drills.iter().any(|drill| drill.run.rto_seconds.is_some());
    let one = |objective: Objective| {
        let breaches = timeline.breaches(objective, period.from, period.until);
        let mut report = one_objective(objective, (&ratios, target), breaches, &known);
        // The last measured recovery time holds until the next one, but a month without any proves nothing.
        if objective == Objective::Rto && !has_measured && report.is_kept == Some(true) {
            report.is_kept = None;
        }
        report
    };
    Objective::ALL.into_iter().map(one).collect()
}

fn one_objective(
    objective: Objective,
    (ratios, target_ratio): (&MetRatios, f64),
    breaches: Vec<Breach>,
    known: &Records<'_>,
) -> ObjectiveReport {
    let share = ratios.get(&objective).copied();
    let is_kept = share.and_then(|share| match share.verdict(target_ratio) {
        Verdict::Enough => Some(true),
        Verdict::TooLittle => Some(false),
        Verdict::NotYet => None,
    });
    let breach = |breach: Breach| BreachReport {
        start: breach.start,
        end: breach.end,
        seconds: (breach.end.unwrap_or(known.until) - breach.start).as_seconds_f64(),
        reason: known.why(objective, &breach),
    };
    ObjectiveReport {
        objective: objective.name(),
        met_ratio: share.and_then(Share::ratio),
        judged_days: share.map(Share::judged_days),
        is_judged: share.is_some_and(|share| share.verdict(target_ratio) != Verdict::NotYet),
        target_ratio,
        is_kept,
        breaches: breaches.into_iter().map(breach).collect(),
    }
}

fn reached(facts: &Facts, drills: &[ReportedRun], period: Period) -> Reached {
    let achieved = facts.achieved(period.from, period.until);
    let standing = facts.standing(period.until);
    let mut measured: Vec<f64> = drills.iter().filter_map(|drill| drill.run.rto_seconds).collect();
    measured.sort_by(f64::total_cmp);
    Reached {
        rpo_worst_seconds: achieved.worst_age.map(TimeDelta::as_seconds_f64),
        rpo_worst_at: achieved.worst_at,
        without_recovery_point_seconds: achieved.without.as_seconds_f64(),
        rto_drills: measured.len(),
        rto_p50_seconds: percentile(&measured, 50),
        rto_p95_seconds: percentile(&measured, 95),
        rto_max_seconds: measured.last().copied(),
        recovery_points: standing.points,
        oldest_recovery_point: standing.oldest,
        newest_recovery_point: standing.newest,
    }
}

/// The smallest of `sorted` that at least `percent` of a hundred do not exceed (nearest rank): always a value that was
/// really measured.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A day counts once it is over; one that is not, only if a drill passed on it already.
fn drill_days(runs: &[&Run], period: Period) -> DrillDays {
    let day_of = |time: DateTime<Utc>| time.with_timezone(&period.timezone).date_naive();
    let passed: std::collections::BTreeSet<NaiveDate> = runs
        .iter()
        .filter(|run| run.is_drill() && run.outcome == Some(Outcome::Passed))
        .filter_map(|run| run.ended.map(day_of))
        .collect();
    let first = day_of(period.from);
    let days = first.iter_days().take_while(|day| midnight(*day, period.timezone) < period.until);
    let is_over = |day: &NaiveDate| {
        day.succ_opt().is_some_and(|next| midnight(next, period.timezone) <= period.until)
            && midnight(*day, period.timezone) >= period.from
    };
    let days: Vec<NaiveDate> = days.filter(|day| is_over(day) || passed.contains(day)).collect();
    let without: Vec<NaiveDate> = days.iter().copied().filter(|day| !passed.contains(day)).collect();
    DrillDays { days: days.len(), with_passed_drill: days.len() - without.len(), without }
}

fn count(backups: &[&Run], kind: BackupKind) -> Option<BackupCount> {
    let of_kind: Vec<&&Run> = backups.iter().filter(|run| run.kind == Some(kind)).collect();
    let failed = of_kind.iter().filter(|run| run.is_bad()).count();
    (!of_kind.is_empty()).then(|| BackupCount {
        kind,
        succeeded: (of_kind.len() - failed) as u64,
        failed: failed as u64,
        added_bytes: of_kind.iter().map(|run| run.added_bytes).sum(),
    })
}

fn failure(run: &Run) -> Failure {
    Failure {
        run: run.id.0.clone(),
        kind: run.kind,
        started: run.started,
        ended: run.ended,
        outcome: run.outcome.map_or("running", Outcome::name),
        reason: run.reason.clone(),
        hint: run.hint.clone(),
    }
}

/// What is kept with a drill and is no version or setting.
const NO_SETTINGS: [&str; 4] = [REPLAYED_TRANSACTIONS, REPLAYED_BYTES, PROVED_CHAIN, NOT_PROVED];

fn sandbox_of(details: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut settings = details.clone();
    settings.retain(|name, _| !NO_SETTINGS.contains(&name.as_str()));
    settings
}

fn drill(reported: &ReportedRun) -> DrillReport {
    let run = &reported.run;
    DrillReport {
        run: run.id.0.clone(),
        started: run.started,
        ended: run.ended,
        recovery_point: run.recovery_point.as_ref().map(|point| point.0.clone()),
        recovery_point_time: run.recovery_point_time,
        verdict: run.outcome.map_or("running", Outcome::name),
        reason: run.reason.clone(),
        rto_seconds: run.rto_seconds,
        is_over_rto: run.over_rto,
        checks: run.checks,
        mismatches: run.mismatches,
        tables: reported.tables,
        drill_kind: run.drill.filter(|kind| *kind != DrillKind::Newest),
        replayed_transactions: reported.details.get(REPLAYED_TRANSACTIONS).and_then(|count| count.parse().ok()),
        sandbox: sandbox_of(&reported.details),
    }
}
