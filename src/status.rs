//! Promised against measured, per source: what `status` prints, `/api/v1/status` answers and the status page shows.
//!
//! Pure: everything comes from what was read already. It knows nothing of HTTP, HTML or terminals. The JSON form is an
//! interface (docs/status-api.md): fields are added, never changed.

mod change;
mod kept;
mod running;
mod words;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::SourceConfig;
use crate::domain::chain::{Gap, Window};
use crate::domain::change::State;
use crate::domain::drill_choice::DrillKind;
use crate::domain::forecast::Forecast;
use crate::domain::history::{Share, Verdict};
use crate::domain::left_out::LeftOutCounts;
use crate::domain::sla::{self, Judgement, Objective, Objectives};
use crate::error::Side;
use crate::ledger::{ChainBreak, Operation, Outcome, Run, SourceFigures, Upkeep, UpkeepOutcome};
use crate::state::View;

pub use self::change::Change;
pub use self::kept::{Kept, kept};
pub use self::running::{RunningNow, next_runs, running};

/// Operations that are begun by a schedule.
const SCHEDULED: [Operation; 2] = [Operation::Backup, Operation::Drill];

/// Promised and measured figures of one source; seconds throughout. What never happened is null.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// Name in the configuration.
    pub source: String,
    /// `mysql`, `influxdb`, `files`.
    pub kind: String,
    /// Name of its repository.
    pub repository: String,
    /// What is wrong with the repository or the state directory; where the former could not be asked, the figures are the last known ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it is wrong with: `repository` or `state directory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem_side: Option<&'static str>,
    /// The first of what the ledger has that is not as it was written: then the figures may be false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_problem: Option<String>,
    /// Whether the service is asked to remove what is beyond its retention.
    #[serde(skip)]
    pub removes_older: bool,
    /// What the last check of its repository found wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository_damage: Option<String>,
    /// What the source had and its newest recovery point has not, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Recovery points whose date cannot be right, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspicions: Vec<String>,
    /// Recovery points of the same source that other hosts made, which count for nothing here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_hosts: Option<String>,
    /// What was promised.
    pub objectives: Promised,
    /// What is.
    pub measured: Measured,
    /// Between which times any moment can be restored, oldest first. A full backup that no increment continues is a single moment.
    pub windows: Vec<Window>,
    /// Where any moment is promised: stretches between them, within the retention, that lose more than the RPO allows; oldest first.
    pub gaps: Vec<Gap>,
    /// What a restore of the newest recovery point would take now (docs/forecast.md); null where that cannot be said.
    pub forecast: Option<Forecast>,
    /// Whether each promise is kept now.
    pub met: Met,
    /// The promises of a new source that are not judged yet, and until when at most; empty where all are.
    pub pending: BTreeMap<&'static str, DateTime<Utc>>,
    /// Share of the last 30 days, or of the time since the source was first seen, in which each objective was met; null where
    /// nothing is known or everything was pending.
    pub met_ratio_30d: BTreeMap<&'static str, Option<f64>>,
    /// Days of those that the share rests on; null where nothing is known.
    pub judged_days_30d: BTreeMap<&'static str, Option<f64>>,
    /// Whether the share is at least the promised one; null where that is not known, or too early to say.
    pub kept_30d: BTreeMap<&'static str, Option<bool>>,
    /// When the ledger began: nothing is known of drills and runs before.
    pub history_since: DateTime<Utc>,
    /// Whether there are recovery points from before: the history that belonged to them was lost.
    pub history_is_partial: bool,
    /// Scheduled runs that did not begin, by operation, since the ledger began.
    pub missed_runs: BTreeMap<Operation, u64>,
    /// Names of the operations that run now.
    pub running: Vec<String>,
    /// The backup whose result was written last.
    pub last_backup: Option<Ended>,
    /// The drill whose result was written last.
    pub last_drill: Option<Ended>,
    /// Breaks of the chain since the ledger began.
    pub breaks: u64,
    /// The newest break of a chain; missing where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_break: Option<ChainBreak>,
    /// The newest backup that was compared with those before it; null before the first, and where that is turned off.
    pub change: Option<Change>,
}

/// The objectives as numbers.
#[allow(missing_docs)] // as in `Objectives`
#[derive(Debug, Clone, Serialize)]
pub struct Promised {
    pub rpo_seconds: f64,
    pub rto_seconds: f64,
    pub retention_seconds: f64,
    pub drill_interval_seconds: f64,
    pub max_chain_length: u32,
    pub objective_ratio: f64,
}

/// What promises are held against, and a little more.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Points that the repository lists.
    pub recovery_points: u64,
    /// As-of time of the newest.
    pub recovery_point_time: Option<DateTime<Utc>>,
    /// Its age.
    pub rpo_seconds: Option<f64>,
    /// As-of time of the newest that a drill passed on.
    pub verified_recovery_point_time: Option<DateTime<Utc>>,
    /// Its age.
    pub verified_rpo_seconds: Option<f64>,
    /// As-of time of the oldest.
    pub oldest_recovery_point_time: Option<DateTime<Utc>>,
    /// Since when whoever asks for any moment loses at most the RPO; null where no incremental backups are scheduled.
    pub any_moment_since: Option<DateTime<Utc>>,
    /// Of the last drill that measured one.
    pub rto_seconds: Option<f64>,
    /// When a drill of the newest point last passed.
    pub last_passed_drill_time: Option<DateTime<Utc>>,
    /// As-of time of the newest full backup that proved the chain of increments before it; missing where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing_proof_time: Option<DateTime<Utc>>,
    /// When the newest canary was written that is in the repository; missing where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_time: Option<DateTime<Utc>>,
    /// Increments that a restore of the newest point replays.
    pub chain_length: u32,
    /// Points that are gone from the repository although the promised retention still asks for them.
    pub vanished: u64,
    /// Points whose date cannot be right: they are listed and count for nothing else.
    pub suspect: u64,
    /// How many things the source had and the newest point has not.
    pub left_out: LeftOutCounts,
}

/// Whether each promise is kept now; null while it is pending, and of one that recovery points kept while their repository cannot
/// be read: nobody knows whether they are still there.
#[allow(missing_docs)] // as in `Objective`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Met {
    pub rpo: Option<bool>,
    pub rto: Option<bool>,
    pub retention: Option<bool>,
    pub drill_interval: Option<bool>,
    pub max_chain_length: Option<bool>,
}

impl Met {
    /// The same where recovery points cannot be seen: a promise that they kept may be broken by now, one that they broke is.
    fn without_points(self) -> Self {
        let known = |met: Option<bool>, objective: Objective| met.filter(|met| !(*met && objective.rests_on_points()));
        Self {
            rpo: known(self.rpo, Objective::Rpo),
            rto: known(self.rto, Objective::Rto),
            retention: known(self.retention, Objective::Retention),
            drill_interval: known(self.drill_interval, Objective::DrillInterval),
            max_chain_length: known(self.max_chain_length, Objective::ChainLength),
        }
    }
}

/// A run that has ended.
#[derive(Debug, Clone, Serialize)]
pub struct Ended {
    /// `succeeded`, `failed`, `passed`, `inconclusive`, `interrupted`.
    pub outcome: String,
    /// Of a drill: what was drilled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<DrillKind>,
    /// When its result was written.
    pub time: Option<DateTime<Utc>>,
    /// Why it did not end well; empty where it did.
    pub reason: String,
    /// What to try, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl SourceStatus {
    /// The same, with what is wrong with its repository.
    #[must_use]
    pub fn with_problem(mut self, problem: Option<(String, Side)>) -> Self {
        (self.problem, self.problem_side) = problem.map(|(problem, side)| (problem, side.name())).unzip();
        if self.is_unseen() {
            self.met = self.met.without_points();
        }
        self
    }

    /// The same, with what its newest recovery point has not.
    #[must_use]
    pub fn with_left_out(mut self, left_out: Vec<String>) -> Self {
        self.left_out = left_out;
        self
    }

    /// The same, with what is said of points whose date cannot be right.
    #[must_use]
    pub fn with_suspicions(mut self, suspicions: Vec<String>) -> Self {
        self.suspicions = suspicions;
        self
    }

    /// The same, with what other hosts have in the repository.
    #[must_use]
    pub fn with_other_hosts(mut self, other_hosts: Option<String>) -> Self {
        self.other_hosts = other_hosts;
        self
    }

    /// Whether what is said of its recovery points is what was last listed, because the repository could not be asked.
    pub fn is_unseen(&self) -> bool {
        self.problem_side == Some(Side::Repository.name())
    }

    /// What can be said of a promise now; none where nobody knows, because the repository cannot be read.
    pub fn judged(&self, objective: Objective) -> Option<Judgement> {
        let met = match objective {
            Objective::Rpo => self.met.rpo,
            Objective::Rto => self.met.rto,
            Objective::Retention => self.met.retention,
            Objective::DrillInterval => self.met.drill_interval,
            Objective::ChainLength => self.met.max_chain_length,
        };
        match met {
            Some(true) => Some(Judgement::Met),
            Some(false) => Some(Judgement::NotMet),
            None => {
                let is_pending = !self.is_unseen() || self.pending.contains_key(objective.name());
                is_pending.then_some(Judgement::Pending)
            }
        }
    }

    /// Since when the retention is kept without a hole.
    pub fn reaches_back(&self) -> Option<DateTime<Utc>> {
        let oldest = self.measured.oldest_recovery_point_time;
        if self.gaps.is_empty() { oldest } else { self.measured.any_moment_since.or(oldest) }
    }

    /// Whether nobody knows of a promise whether it is kept.
    pub fn is_unknown(&self) -> bool {
        Objective::ALL.into_iter().any(|objective| self.judged(objective).is_none())
    }

    /// Whether its first backup or its first drill is not due yet.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether somebody has to do something: a promise is not kept, its repository is in trouble, the newest backup lacks
    /// a table, recovery points are gone before their time, the data looks destroyed, there is no backup because it failed, or
    /// the ledger that all of this is read from is not as it was written.
    pub fn is_bad(&self) -> bool {
        let is_destroyed = self.change.as_ref().is_some_and(|change| change.state == State::Critical);
        let lacks_some = self.measured.left_out.table > 0 || self.measured.vanished > 0;
        let is_trouble = [&self.problem, &self.ledger_problem, &self.repository_damage].iter().any(|it| it.is_some());
        !self.broken().is_empty() || is_trouble || lacks_some || is_destroyed || self.has_first_failed()
    }

    /// Whether there is no recovery point and the last attempt to make one did not succeed.
    pub fn has_first_failed(&self) -> bool {
        let has_failed = self.last_backup.as_ref().is_some_and(|run| run.outcome != Outcome::Succeeded.name());
        self.measured.recovery_points == 0 && has_failed
    }

    /// Whether the first backup is what a pending promise waits for; if not, it is the first passed drill.
    pub fn awaits_backup(&self) -> bool {
        let of_backup = [Objective::Rpo, Objective::Retention, Objective::ChainLength];
        of_backup.iter().any(|objective| self.pending.contains_key(objective.name()))
    }

    /// The promises that are not kept now.
    pub fn broken(&self) -> Vec<Objective> {
        Objective::ALL.into_iter().filter(|objective| self.judged(*objective) == Some(Judgement::NotMet)).collect()
    }
}

fn measured(figures: &SourceFigures, objectives: &Objectives, now: DateTime<Utc>) -> Measured {
    // Clocks that differ a little make nothing younger than new.
    let age = |time: Option<DateTime<Utc>>| time.map(|time| (now - time).as_seconds_f64().max(0.0));
    Measured {
        recovery_points: figures.points.by_kind.values().sum(),
        recovery_point_time: figures.points.newest,
        rpo_seconds: age(figures.points.newest),
        verified_recovery_point_time: figures.points.newest_verified,
        verified_rpo_seconds: age(figures.points.newest_verified),
        oldest_recovery_point_time: figures.points.oldest,
        any_moment_since: figures.any_moment_since(objectives.rpo),
        rto_seconds: figures.drills.last_measured.as_ref().and_then(|run| run.rto_seconds),
        last_passed_drill_time: figures.drills.last_passed.as_ref().and_then(|run| run.ended),
        closing_proof_time: figures.drills.closing_proof,
        canary_time: figures.points.canary,
        chain_length: figures.points.chain_length,
        vanished: figures.points.vanished_of(objectives.retention, now),
        suspect: figures.points.suspect,
        left_out: figures.points.left_out,
    }
}

fn promised(objectives: &Objectives) -> Promised {
    Promised {
        rpo_seconds: objectives.rpo.as_secs_f64(),
        rto_seconds: objectives.rto.as_secs_f64(),
        retention_seconds: objectives.retention.as_secs_f64(),
        drill_interval_seconds: objectives.drill_interval.as_secs_f64(),
        max_chain_length: objectives.max_chain_length,
        objective_ratio: objectives.objective_ratio,
    }
}

fn met(objectives: &Objectives, measured: &sla::Measured, now: DateTime<Utc>) -> Met {
    let met = |objective| match objectives.judge(objective, measured, now) {
        Judgement::Met => Some(true),
        Judgement::NotMet => Some(false),
        Judgement::Pending => None,
    };
    Met {
        rpo: met(Objective::Rpo),
        rto: met(Objective::Rto),
        retention: met(Objective::Retention),
        drill_interval: met(Objective::DrillInterval),
        max_chain_length: met(Objective::ChainLength),
    }
}

fn of_each<T>(value: impl Fn(Objective) -> Option<T>) -> BTreeMap<&'static str, Option<T>> {
    Objective::ALL.into_iter().map(|objective| (objective.name(), value(objective))).collect()
}

fn ended(run: &Run) -> Ended {
    let outcome = run.outcome.map_or("running", Outcome::name);
    let (time, reason, hint) = (run.ended, run.reason.clone(), run.hint.clone());
    Ended { outcome: outcome.to_owned(), kind: run.drill, time, reason, hint }
}

fn pending(
    objectives: &Objectives,
    measured: &sla::Measured,
    now: DateTime<Utc>,
) -> BTreeMap<&'static str, DateTime<Utc>> {
    let is_pending = |objective: &Objective| objectives.judge(*objective, measured, now) == Judgement::Pending;
    let until = |objective: Objective| Some((objective.name(), objectives.first_due(objective, measured)?));
    Objective::ALL.into_iter().filter(is_pending).filter_map(until).collect()
}

/// The status of every configured source, by name.
pub fn all(view: &View) -> Vec<SourceStatus> {
    view.config.sources.values().map(|config| of(view, config)).collect()
}

/// What the last check of a repository found wrong; none where it found nothing, or there was none.
fn damage(view: &View, repository: &str) -> Option<String> {
    match &view.snapshot.upkeep.get(repository)?.last_result.get(&Upkeep::Check)?.outcome {
        UpkeepOutcome::Failed(reason, _) => Some(reason.clone()),
        UpkeepOutcome::Succeeded | UpkeepOutcome::Inconclusive(..) => None,
    }
}

/// The status of one configured source.
pub fn of(view: &View, config: &SourceConfig) -> SourceStatus {
    let nothing = SourceFigures::default();
    let figures = view.snapshot.sources.get(&config.name).unwrap_or(&nothing);
    let state = view.service.repositories.get(&config.repository);
    let is_down = state.is_some_and(|state| state.up == Some(false));
    let ratios = view.met_ratios.get(&config.name);
    let share = |objective: Objective| ratios.and_then(|ratios| ratios.get(&objective)).copied();
    let kept = |share: Share| match share.verdict(config.objectives.objective_ratio) {
        Verdict::Enough => Some(true),
        Verdict::TooLittle => Some(false),
        Verdict::NotYet => None,
    };
    let held_against = view.snapshot.measured(&config.name, config.objectives.rpo);
    let problem = is_down.then(|| {
        (format!("repository {} could not be read when it was last tried", config.repository), Side::Repository)
    });
    let status = SourceStatus {
        source: config.name.clone(),
        kind: config.kind.name().to_owned(),
        repository: config.repository.clone(),
        problem: None,
        ledger_problem: view.service.seals.as_ref().and_then(|seals| seals.first.clone()),
        removes_older: view.config.maintenance.schedule.is_some(),
        repository_damage: damage(view, &config.repository),
        left_out: Vec::new(),
        suspicions: Vec::new(),
        other_hosts: view.service.other_hosts.get(&config.name).cloned(),
        problem_side: None,
        objectives: promised(&config.objectives),
        measured: measured(figures, &config.objectives, view.now),
        windows: figures.points.windows.clone(),
        gaps: figures.gaps_within(config.objectives.retention, config.objectives.rpo, view.now),
        forecast: view.forecasts.get(&config.name).copied(),
        met: met(&config.objectives, &held_against, view.now),
        pending: pending(&config.objectives, &held_against, view.now),
        met_ratio_30d: of_each(|objective| share(objective)?.ratio()),
        judged_days_30d: of_each(|objective| Some(share(objective)?.judged_days())),
        kept_30d: of_each(|objective| kept(share(objective)?)),
        history_since: view.snapshot.created,
        history_is_partial: view.snapshot.is_history_partial(&config.name),
        missed_runs: SCHEDULED.into_iter().map(|it| (it, figures.missed.get(&it).copied().unwrap_or(0))).collect(),
        running: figures.running.iter().map(|run| running::name(run.operation, run.kind)).collect(),
        last_backup: figures.last_backup.as_ref().map(ended),
        last_drill: figures.drills.last.as_ref().map(ended),
        breaks: view.snapshot.breaks.get(&config.name).map_or(0, |breaks| breaks.count),
        last_break: view.snapshot.breaks.get(&config.name).map(|breaks| breaks.last.clone()),
        change: figures.change.as_ref().filter(|_| config.watch.enabled).map(Change::of),
    };
    status.with_problem(problem)
}
