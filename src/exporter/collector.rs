//! From figures to samples: a pure function, so that everything exported can be tested without a server.
//!
//! Everything is built anew each time: no series of a removed source stays behind, and a series that exists now was there,
//! at 0, before its first event.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::catalogue as m;
use super::exposition::Exposition;
use crate::config::{Config, SourceConfig};
use crate::domain::change::State;
use crate::domain::drill::{Stage, Verdict};
use crate::domain::drill_choice::DrillKind;
use crate::domain::forecast::Forecast;
use crate::domain::history::{MetRatios, Verdict as ShareVerdict};
use crate::domain::manifest::BackupKind;
use crate::domain::schedule::{Timing, Work};
use crate::domain::sla::{Judgement, Measured, Objective};
use crate::ledger::{
    BackupFigures, BreakFigures, ChangeFigures, DrillFigures, Operation, Outcome, REPOSITORY_PARTS, SourceFigures,
    Upkeep, UpkeepFigures, UpkeepOutcome,
};
use crate::state::View;
use crate::state::process_facts::ProcessFacts;
use crate::state::service::{Followed, Progress, RepositoryState, SchedulerState};

/// Write down all samples of one scrape that `out` wants.
pub fn collect(view: &View, out: Exposition) -> Exposition {
    collect_lasting(view, collect_timed(view, collect_momentary(view, out)))
}

/// As [`collect`], of what depends on the moment of the scrape, or on more than the ledger, the configuration, what is
/// due and what runs. It is asked for at every scrape, so it looks at nothing else.
pub fn collect_momentary(view: &View, mut out: Exposition) -> Exposition {
    let View { config, service, snapshot: ledger, now, .. } = view;
    for name in config.sources.keys() {
        let newest = ledger.sources.get(name).and_then(|figures| figures.points.newest);
        // What is not there has no age; 0 would look like the youngest of all.
        if let Some(as_of) = newest {
            out.set(&m::RECOVERY_POINT_AGE, &[name], (timestamp(Some(*now)) - timestamp(Some(as_of))).max(0.0));
        }
    }
    let nothing = UpkeepFigures::default();
    for (name, repository) in service.repositories.iter().filter(|(name, _)| config.repositories.contains_key(*name)) {
        let upkeep = ledger.upkeep.get(name).unwrap_or(&nothing);
        repository_state(&mut out, name, repository, upkeep);
        upkeep_state(&mut out, name, upkeep, config, *now);
        let looks = config.scheduler.listing_interval + config.scheduler.listing_timeout;
        out.set(&m::REPOSITORY_LOOK_INTERVAL, &[name], looks.as_secs_f64());
    }
    let tick = service.scheduler.as_ref().and_then(|scheduler| scheduler.last_tick);
    out.set(&m::SCHEDULER_LAST_TICK, &[], timestamp(tick));
    out.set(&m::STATE_WRITABLE, &[], truth(service.state_trouble.is_none()));
    out.set(&m::LEDGERS_SET_ASIDE, &[], whole(service.ledgers_set_aside));
    out.set(&m::LEDGER_SEALS_VERIFIED, &[], timestamp(service.seals.as_ref().map(|seals| seals.at)));
    if let Some(seals) = &service.seals {
        out.set(&m::LEDGER_SEAL_FAULTS, &[], whole(seals.faults));
    }
    let is_current = service.last_reload.as_ref().is_none_or(|reload| reload.error.is_none());
    out.set(&m::CONFIG_LAST_RELOAD_SUCCESS, &[], truth(is_current));
    out.set(&m::SANDBOXES, &[], whole(service.sandboxes));
    out.set(&m::OLDEST_SANDBOX, &[], timestamp(service.oldest_sandbox));
    let followed = config.sources.values().filter(|source| source.schedule.continuous.is_some());
    for SourceConfig { name, .. } in followed {
        // Where nobody follows it, what came since the newest recovery point is not known; before the first everything is missing.
        let figures = ledger.sources.get(name);
        let since = figures.and_then(|figures| figures.points.newest.or(figures.created)).unwrap_or(*now);
        let unseen = Followed { caught_up: since, is_behind: true };
        out.set(&m::INCREMENT_LAG, &[name], service.followed.get(name).unwrap_or(&unseen).lag_seconds(*now));
    }
    let raised = ledger.test_pages.last.as_ref().filter(|page| page.is_raised(*now));
    out.set(&m::TEST_PAGE_CODE, &[], raised.map_or(0.0, |page| f64::from(page.code)));
    out.set(&m::LEDGER_LAST_READ, &[], timestamp(Some(ledger.taken)));
    out.counting_since(service.process.start_seconds);
    process(&mut out, &service.process);
    out
}

/// As [`collect`], of what changes as time passes and is too much to be written at every scrape.
pub fn collect_timed(view: &View, mut out: Exposition) -> Exposition {
    for source in view.config.sources.values() {
        let is_unseen = view.service.repositories.get(&source.repository).is_some_and(|it| it.up == Some(false));
        promises_kept(
            &mut out,
            source,
            (&view.snapshot.measured(&source.name, source.objectives.rpo), is_unseen),
            view.now,
        );
        let figures = view.snapshot.sources.get(&source.name);
        let vanished = figures.map_or(0, |it| it.points.vanished_of(source.objectives.retention, view.now));
        out.set(&m::RECOVERY_POINTS_VANISHED, &[&source.name], whole(vanished));
        let promised = &source.objectives;
        let gaps = figures.map_or(0, |it| it.gaps_within(promised.retention, promised.rpo, view.now).len());
        out.set(&m::RETENTION_GAPS, &[&source.name], whole(gaps as u64));
    }
    out
}

/// As [`collect`], of what is left: it changes only as the ledger, the configuration, what is due or what runs does.
pub fn collect_lasting(view: &View, mut out: Exposition) -> Exposition {
    let View { config, service, snapshot: ledger, met_ratios, forecasts, .. } = view;
    let unknown = SourceFigures::default();
    // Over restarts, not over the loss of the ledger.
    out.counting_since(timestamp(Some(ledger.created)));
    for source in config.sources.values() {
        let figures = ledger.sources.get(&source.name).unwrap_or(&unknown);
        let kind = source.kind.name();
        let info = [source.name.as_str(), kind, kind, &source.repository, &source.sla];
        identity(&mut out, info, &source.labels, figures);
        out.set(&m::SOURCE_RETIRED, &[&source.name], 0.0);
        objectives(&mut out, source);
        points(&mut out, &source.name, figures);
        breaks(&mut out, &source.name, figures, ledger.breaks.get(&source.name));
        promises_kept_so_far(&mut out, source, met_ratios.get(&source.name));
        change(&mut out, source, figures);
        backups(&mut out, &source.name, figures);
        drills(&mut out, &source.name, &figures.drills);
        proofs(&mut out, source, figures);
        forecast(&mut out, &source.name, forecasts.get(&source.name));
        next_runs(&mut out, &source.name, service.scheduler.as_ref());
        running(&mut out, &source.name, figures, &service.running);
    }
    let retired = ledger.sources.iter().filter(|(name, _)| !config.sources.contains_key(*name));
    for (name, figures) in retired {
        // Of what was promised and labelled only the configuration knew.
        let info = [name.as_str(), &figures.kind, &figures.kind, &figures.repository, ""];
        identity(&mut out, info, &BTreeMap::new(), figures);
        out.set(&m::SOURCE_RETIRED, &[name], 1.0);
    }
    let last = ledger.test_pages.last.as_ref();
    out.set(&m::TEST_PAGE_RAISED, &[], timestamp(last.map(|page| page.raised)));
    out.set(&m::TEST_PAGE_CONFIRMED, &[], timestamp(ledger.test_pages.last_confirmed));
    out.set(&m::LEDGER_CREATED, &[], timestamp(Some(ledger.created)));
    out.set(&m::BUILD_INFO, &[&service.version, &service.revision], 1.0);
    out
}

const KINDS: [(BackupKind, &str); 2] = [(BackupKind::Full, "full"), (BackupKind::Incremental, "incremental")];

/// What is exported of a source that is no longer configured too; `info` are the values of the labels of its info.
fn identity(out: &mut Exposition, info: [&str; 5], labels: &BTreeMap<String, String>, figures: &SourceFigures) {
    let name = info[0];
    out.set_with(&m::SOURCE_INFO, &info, labels, 1.0);
    out.set(&m::SOURCE_CREATED, &[name], timestamp(figures.created));
    for (kind, label) in KINDS {
        out.set(&m::RECOVERY_POINTS, &[name, label], whole(figures.points.by_kind.get(&kind).copied().unwrap_or(0)));
    }
}

fn objectives(out: &mut Exposition, source: &SourceConfig) {
    let (name, promised) = ([source.name.as_str()], &source.objectives);
    out.set(&m::RPO_OBJECTIVE, &name, promised.rpo.as_secs_f64());
    out.set(&m::RTO_OBJECTIVE, &name, promised.rto.as_secs_f64());
    out.set(&m::RETENTION_OBJECTIVE, &name, promised.retention.as_secs_f64());
    out.set(&m::DRILL_INTERVAL_OBJECTIVE, &name, promised.drill_interval.as_secs_f64());
    out.set(&m::CHAIN_LENGTH_OBJECTIVE, &name, f64::from(promised.max_chain_length));
    out.set(&m::SLO_OBJECTIVE, &name, promised.objective_ratio);
}

/// Where the repository cannot be looked at (`is_unseen`), nobody knows whether a promise that its recovery points kept is
/// kept still. One that was broken is.
fn promises_kept(
    out: &mut Exposition,
    source: &SourceConfig,
    (measured, is_unseen): (&Measured, bool),
    now: DateTime<Utc>,
) {
    let mut is_pending = false;
    for objective in Objective::ALL {
        let met = match source.objectives.judge(objective, measured, now) {
            Judgement::Met if is_unseen && objective.rests_on_points() => continue,
            Judgement::Met => true,
            Judgement::NotMet => false,
            // Neither: no series.
            Judgement::Pending => {
                is_pending = true;
                continue;
            }
        };
        out.set(&m::OBJECTIVE_MET, &[&source.name, objective.name()], truth(met));
    }
    out.set(&m::SOURCE_PENDING, &[&source.name], truth(is_pending));
}

/// What is not known counts as not met: a promise that nobody can prove was not kept. Where there was only time in which it
/// was pending, there is no share.
fn promises_kept_so_far(out: &mut Exposition, source: &SourceConfig, ratios: Option<&MetRatios>) {
    for objective in Objective::ALL {
        let share = ratios.and_then(|ratios| ratios.get(&objective));
        let labels = [source.name.as_str(), objective.name(), "30d"];
        if let Some(ratio) = share.map_or(Some(0.0), |share| share.ratio()) {
            out.set(&m::OBJECTIVE_MET_RATIO, &labels, ratio);
        }
        let verdict = share.map(|share| share.verdict(source.objectives.objective_ratio));
        out.set(&m::OBJECTIVE_MET_RATIO_JUDGED, &labels, truth(verdict != Some(ShareVerdict::NotYet)));
    }
}

fn next_runs(out: &mut Exposition, source: &str, scheduler: Option<&SchedulerState>) {
    let next = |work| timestamp(scheduler.and_then(|it| it.next_runs.get(&(source.to_owned(), work)).copied()));
    for (work, label) in [(Work::FullBackup, "full"), (Work::IncrementalBackup, "incremental")] {
        out.set(&m::BACKUP_NEXT_RUN, &[source, label], next(work));
    }
    out.set(&m::DRILL_NEXT_RUN, &[source], next(Work::Drill));
}

fn points(out: &mut Exposition, source: &str, figures: &SourceFigures) {
    let (name, points) = ([source], &figures.points);
    out.set(&m::RECOVERY_POINT_TIMESTAMP, &name, timestamp(points.newest));
    out.set(&m::VERIFIED_RECOVERY_POINT_TIMESTAMP, &name, timestamp(points.newest_verified));
    out.set(&m::OLDEST_RECOVERY_POINT_TIMESTAMP, &name, timestamp(points.oldest));
    let window = points.windows.last();
    out.set(&m::RESTORE_WINDOW_START_TIMESTAMP, &name, timestamp(window.map(|window| window.from)));
    out.set(&m::RESTORE_WINDOW_END_TIMESTAMP, &name, timestamp(window.map(|window| window.to)));
    out.set(&m::SUSPECT_RECOVERY_POINT_TIMESTAMP, &name, timestamp(points.newest_suspect));
    out.set(&m::CHAIN_LENGTH, &name, f64::from(points.chain_length));
    for (kind, count) in points.left_out.by_kind() {
        out.set(&m::LEFT_OUT_OBJECTS, &[source, kind], f64::from(count));
    }
}

fn breaks(out: &mut Exposition, source: &str, figures: &SourceFigures, breaks: Option<&BreakFigures>) {
    let name = [source];
    // One that was read when the break was found begins a new chain as well; if it does not, that is another break.
    let newest_full = figures.points.newest_full_finished;
    let open = breaks.map(|it| &it.last).filter(|last| newest_full.is_none_or(|full| full < last.found));
    out.set(&m::CHAIN_BROKEN, &name, f64::from(u8::from(open.is_some())));
    out.set(&m::PITR_GAP, &name, open.map_or(0.0, |last| (last.found - last.lost_since).as_seconds_f64().max(0.0)));
    out.set(&m::CHAIN_BREAKS, &name, whole(breaks.map_or(0, |it| it.count)));
    out.set(&m::CHAIN_LAST_BREAK, &name, timestamp(breaks.map(|it| it.last.found)));
}

fn change(out: &mut Exposition, source: &SourceConfig, figures: &SourceFigures) {
    let name = [source.name.as_str()];
    let change = figures.change.as_ref().filter(|_| source.watch.enabled);
    let state = change.map_or(State::Pending, ChangeFigures::state);
    for severity in [State::Warning, State::Critical] {
        out.set(&m::CHANGE_SUSPECT, &[&source.name, severity.name()], truth(state == severity));
    }
    let judged = change.filter(|change| change.found.state != State::Pending);
    out.set(&m::CHANGE_JUDGED, &name, truth(judged.is_some()));
    let content_judged = judged.is_some_and(|change| change.found.is_content_judged());
    out.set(&m::CHANGE_CONTENT_JUDGED, &name, truth(content_judged));
    let before = judged.filter(|_| state.is_suspect()).and_then(|change| change.found.before.as_ref());
    out.set(&m::CHANGE_BEFORE, &name, timestamp(before.map(|before| before.as_of)));
    out.set(&m::CHANGE_ROWS, &name, whole(change.map_or(0, |change| change.found.rows[1])));
    out.set(&m::CHANGE_ROWS_LOST, &name, judged.map_or(0.0, |it| it.found.rows_lost));
    out.set(&m::CHANGE_TABLES_EMPTIED, &name, whole(judged.map_or(0, |it| it.found.tables_emptied[0])));
    // What is not known is no share.
    let known = [
        (&m::CHANGE_REPLACED, judged.and_then(|it| it.found.replaced)),
        (&m::CHANGE_COMPRESSION, change.and_then(|it| it.found.compression[1])),
    ];
    for (metric, value) in known {
        if let Some(value) = value {
            out.set(metric, &name, value);
        }
    }
}

fn backups(out: &mut Exposition, source: &str, figures: &SourceFigures) {
    let never = BackupFigures::default();
    for (kind, label) in KINDS {
        let backups = figures.backups.get(&kind).unwrap_or(&never);
        let labels = [source, label];
        out.set(&m::BACKUPS, &labels, whole(backups.attempts));
        out.set(&m::BACKUP_FAILURES, &labels, whole(backups.failures));
        out.set(&m::BACKUP_ADDED_BYTES, &labels, backups.added_bytes);
        out.set(&m::BACKUP_LAST_START, &labels, timestamp(backups.last_start));
        let last = backups.last_success.as_ref();
        out.set(&m::BACKUP_LAST_SUCCESS, &labels, timestamp(last.and_then(|run| run.ended)));
        out.set(&m::BACKUP_LAST_DURATION, &labels, last.and_then(|run| run.duration_seconds).unwrap_or(0.0));
        out.set(&m::BACKUP_LAST_SIZE, &labels, whole(last.map_or(0, |run| run.logical_bytes)));
        out.set(&m::BACKUP_LAST_ADDED, &labels, whole(last.map_or(0, |run| run.added_bytes)));
    }
    let succeeded = figures.last_backup.as_ref().is_some_and(|run| run.outcome == Some(Outcome::Succeeded));
    out.set(&m::BACKUP_LAST_RUN_SUCCESS, &[source], truth(succeeded));
}

fn drills(out: &mut Exposition, source: &str, drills: &DrillFigures) {
    let name = [source];
    out.set(&m::DRILLS, &name, whole(drills.attempts));
    out.set(&m::DRILL_FAILURES, &name, whole(drills.failures));
    out.set(&m::DRILLS_OVER_RTO, &name, whole(drills.over_rto));
    let last = drills.last.as_ref().and_then(|run| run.outcome).map(verdict);
    for it in [Verdict::Passed, Verdict::Failed, Verdict::Inconclusive] {
        out.set(&m::DRILL_LAST_OUTCOME, &[source, it.name()], truth(last == Some(it)));
    }
    out.set(&m::DRILL_LAST_SUCCESS, &name, timestamp(drills.last_passed.as_ref().and_then(|run| run.ended)));
    let rto = drills.last_measured.as_ref().and_then(|run| run.rto_seconds);
    out.set(&m::DRILL_LAST_RTO, &name, rto.unwrap_or(0.0));
    for stage in Stage::ALL {
        let entered = drills.stages.iter().find(|(name, _)| name == stage.name());
        out.set(&m::DRILL_STAGE_DURATION, &[source, stage.name()], entered.map_or(0.0, |(_, seconds)| *seconds));
    }
    let rto = &drills.rto;
    let quantiles = [(0.5, rto.p50), (0.95, rto.p95), (1.0, rto.max)];
    out.summarize(&m::DRILL_RTO, &name, &quantiles, rto.sum, rto.count);
    let conclusive = drills.last_conclusive.as_ref();
    out.set(&m::VERIFICATION_CHECKS, &name, whole(conclusive.map_or(0, |run| run.checks)));
    out.set(&m::VERIFICATION_MISMATCHES, &name, whole(conclusive.map_or(0, |run| run.mismatches)));
    out.set(&m::VERIFIED_ROWS, &name, whole(conclusive.map_or(0, |run| run.verified_rows)));
}

fn proofs(out: &mut Exposition, source: &SourceConfig, figures: &SourceFigures) {
    let (name, drills) = ([source.name.as_str()], &figures.drills);
    for kind in DrillKind::ALL {
        let last = drills.kinds.get(&kind).and_then(|it| it.last_passed);
        out.set(&m::DRILL_KIND_LAST_SUCCESS, &[&source.name, kind.name()], timestamp(last));
    }
    out.set(&m::CANARY, &name, timestamp(figures.points.canary));
    out.set(&m::CLOSING_PROOF, &name, timestamp(drills.closing_proof));
    let age = source.closing_proof_age().map_or(0.0, |age| age.as_secs_f64());
    out.set(&m::CLOSING_PROOF_MAX_AGE, &name, age);
    let asked = figures.asked_since.get(&Work::IncrementalBackup).copied();
    out.set(&m::INCREMENTS_SINCE, &name, timestamp(asked));
    out.set(&m::REPLAYED_TRANSACTIONS, &name, whole(drills.replayed_transactions));
    let replay = drills.stages.iter().find(|(name, _)| name == Stage::Replay.name());
    out.set(&m::REPLAY_SECONDS, &name, replay.map_or(0.0, |(_, seconds)| *seconds));
}

fn forecast(out: &mut Exposition, source: &str, forecast: Option<&Forecast>) {
    let (name, of) = ([source], |figure: fn(&Forecast) -> f64| forecast.map_or(0.0, figure));
    out.set(&m::FORECAST_RTO, &name, of(|it| it.rto_seconds));
    out.set(&m::FORECAST_RTO_LOW, &name, of(|it| it.rto_low_seconds));
    out.set(&m::FORECAST_RTO_HIGH, &name, of(|it| it.rto_high_seconds));
    out.set(&m::FORECAST_ERROR, &name, of(|it| it.error_ratio.unwrap_or(0.0)));
    out.set(&m::FORECAST_REPLAY, &name, of(|it| it.replay_seconds));
    out.set(&m::FORECAST_DRILLS, &name, of(|it| it.drills as f64));
}

/// What an outcome says about the backup that was drilled.
fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Passed | Outcome::Succeeded => Verdict::Passed,
        Outcome::Failed => Verdict::Failed,
        Outcome::Inconclusive | Outcome::Interrupted => Verdict::Inconclusive,
    }
}

fn running(out: &mut Exposition, source: &str, figures: &SourceFigures, progress: &[Progress]) {
    for operation in Operation::ALL {
        // The ledger knows those of other processes, the service its own, sooner.
        let recorded = figures.running.iter().filter(|running| running.operation == operation);
        let oldest = progress.iter().find(|running| running.source == source && running.operation == operation);
        let begun = recorded.map(|running| running.started).chain(oldest.map(|running| running.started)).min();
        out.set(&m::OPERATION_START, &[source, operation.name()], timestamp(begun));
        let ratio = oldest.and_then(Progress::ratio).unwrap_or(0.0);
        out.set(&m::OPERATION_PROGRESS, &[source, operation.name()], ratio);
    }
    for operation in [Operation::Backup, Operation::Drill] {
        let missed = figures.missed.get(&operation).copied().unwrap_or(0);
        out.set(&m::MISSED_RUNS, &[source, operation.name()], whole(missed));
    }
}

fn repository_state(out: &mut Exposition, name: &str, repository: &RepositoryState, upkeep: &UpkeepFigures) {
    let check = upkeep.last_result.get(&Upkeep::Check);
    let known = [
        // A look that never ended is not one of 1970.
        (&m::REPOSITORY_LAST_LOOK, repository.last_look.map(|at| timestamp(Some(at)))),
        (&m::REPOSITORY_UNSEEN_SINCE, repository.unseen_since().map(|since| timestamp(Some(since)))),
        (&m::REPOSITORY_UP, repository.up.map(truth)),
        (&m::ENCRYPTION_KEY_AVAILABLE, repository.key_available.map(truth)),
        (&m::REPOSITORY_SIZE, repository.size_bytes.map(whole)),
        (&m::REPOSITORY_AVAILABLE, repository.available_bytes.map(whole)),
        // A repository that can be read and was never checked says so: never happened is 0. Without a check there is no result.
        (&m::REPOSITORY_CHECK_SUCCESS, check.map(|check| truth(check.outcome == UpkeepOutcome::Succeeded))),
        (&m::REPOSITORY_CHECK_TIMESTAMP, repository.up.map(|_| timestamp(check.map(|check| check.ended)))),
    ];
    for (metric, value) in known {
        if let Some(value) = value {
            out.set(metric, &[name], value);
        }
    }
}

/// What is done to a repository beside backups.
fn upkeep_state(out: &mut Exposition, name: &str, upkeep: &UpkeepFigures, config: &Config, now: DateTime<Utc>) {
    let within = config.maintenance.read_all_within;
    let read =
        upkeep.parts.values().filter(|it| it.is_sound && (now - it.at).to_std().is_ok_and(|age| age <= within)).count();
    out.set(&m::REPOSITORY_CHECK_PROGRESS, &[name], read as f64 / f64::from(REPOSITORY_PARTS));
    out.set(&m::MAINTENANCE_LAST_SUCCESS, &[name], timestamp(upkeep.last_success.get(&Upkeep::Maintain).copied()));
    out.set(&m::MAINTENANCE_REMOVED_POINTS, &[name], whole(upkeep.removed_points));
    if let Some(last) = upkeep.last_result.get(&Upkeep::Maintain) {
        out.set(&m::MAINTENANCE_LAST_RUN_SUCCESS, &[name], truth(last.outcome == UpkeepOutcome::Succeeded));
    }
    if let Some(gap) = config.maintenance.schedule.as_ref().and_then(Timing::longest_gap) {
        out.set(&m::MAINTENANCE_INTERVAL, &[name], gap.as_secs_f64());
    }
}

fn process(out: &mut Exposition, facts: &ProcessFacts) {
    out.set(&m::PROCESS_CPU, &[], facts.cpu_seconds);
    out.set(&m::PROCESS_START, &[], facts.start_seconds);
    out.set(&m::PROCESS_RESIDENT, &[], whole(facts.resident_bytes));
    out.set(&m::PROCESS_VIRTUAL, &[], whole(facts.virtual_bytes));
    out.set(&m::PROCESS_OPEN_FDS, &[], whole(facts.open_fds));
    out.set(&m::PROCESS_MAX_FDS, &[], whole(facts.max_fds));
}

/// Seconds since 1970 UTC; 0 for what never happened.
fn timestamp(time: Option<DateTime<Utc>>) -> f64 {
    time.map_or(0.0, |time| time.timestamp_micros() as f64 / 1e6)
}

fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

fn whole(value: u64) -> f64 {
    value as f64
}
