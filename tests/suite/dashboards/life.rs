//! Nine weeks of a fleet in a real ledger, invented and always the same: what the dashboards are tried on. It ends at any
//! moment, so that a service which is started on it finds its last backups hours old.
// The figures are made up: what they lose when they are rounded does not matter.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backup_sla::clock::Clock;
use backup_sla::config::Config;
use backup_sla::domain::drill::Check;
use backup_sla::domain::drill_choice::DrillKind;
use backup_sla::domain::left_out::LeftOutCounts;
use backup_sla::domain::manifest::{BackupKind, RecoveryPointId};
use backup_sla::domain::schedule::Work;
use backup_sla::ledger::{Ledger, MissedRuns, Operation, Outcome, PointRow, RunResult, RunStart};
use chrono::{DateTime, TimeDelta, Utc};

use super::fleet::{FLEET, Fate, NEWCOMER_HOURS, RETIRED, Subject, repository_of};

/// How long ago it begins: more than the retention that is promised.
pub const DAYS: i64 = 64;
/// A clock that goes where it is put.
pub struct SetClock(AtomicI64);

impl SetClock {
    pub fn set(&self, time: DateTime<Utc>) {
        self.0.store(time.timestamp_micros(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// Noise without randomness: 0–1.
fn noise(seed: i64) -> f64 {
    let mixed = (seed.unsigned_abs() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / f64::from(1 << 24)
}

/// Something that happens to a source, and how many days before the end its day is.
struct Deed {
    begins: DateTime<Utc>,
    subject: usize,
    day: i64,
    what: What,
}

enum What {
    Backup {
        kind: BackupKind,
        chain_length: u32,
        is_good: bool,
    },
    Drill(Outcome),
    /// Increments that did not begin.
    Miss,
    /// The source is configured.
    Appear,
}

impl What {
    /// The scheduled work that it is.
    fn work(&self) -> Option<Work> {
        match self {
            Self::Backup { kind: BackupKind::Full, .. } => Some(Work::FullBackup),
            Self::Drill(_) => Some(Work::Drill),
            _ => None,
        }
    }
}

pub struct Life {
    pub clock: Arc<SetClock>,
    pub ledger: Ledger,
    config: Config,
    end: DateTime<Utc>,
    deeds: VecDeque<Deed>,
    points: BTreeMap<&'static str, Vec<PointRow>>,
}

impl Life {
    /// A ledger in `directory` that began almost [`DAYS`] before `end`, with nothing in it but the names of the sources.
    pub async fn begin(directory: &Path, config: Config, end: DateTime<Utc>) -> Self {
        let clock = Arc::new(SetClock(AtomicI64::new(0)));
        // An hour before the first backup.
        clock.set(end - TimeDelta::days(DAYS - 1) - TimeDelta::hours(8));
        let ledger = Ledger::open(directory, clock.clone()).await.unwrap();
        ledger.ensure_source(RETIRED, "mysql", "offsite").await.unwrap();
        ledger.reconcile_points(RETIRED, &[point("old", BackupKind::Full, clock.wall(), 9e9, 0)]).await.unwrap();
        let life = Self { clock, ledger, config, end, deeds: deeds(end).into(), points: BTreeMap::new() };
        for subject in &FLEET {
            if subject.fate != Fate::NothingYet {
                life.meet(subject).await;
            }
        }
        life
    }

    async fn meet(&self, subject: &Subject) {
        let objectives = &self.config.sources[subject.name].objectives;
        self.ledger.ensure_source(subject.name, subject.kind, repository_of(subject.kind)).await.unwrap();
        self.ledger.record_promises(subject.name, objectives).await.unwrap();
    }

    /// Let everything happen that has ended by `time`, which is then now.
    pub async fn go_on_until(&mut self, time: DateTime<Utc>) {
        while self.deeds.front().is_some_and(|deed| deed.begins + Self::takes(deed) <= time) {
            let Some(deed) = self.deeds.pop_front() else { break };
            self.happen(&deed).await;
        }
        self.clock.set(time);
    }

    /// When the next full backups and drills are due.
    pub fn next_runs(&self) -> BTreeMap<(String, Work), DateTime<Utc>> {
        let mut next = BTreeMap::new();
        for (at, subject) in FLEET.iter().enumerate().filter(|(_, subject)| subject.fate != Fate::NothingYet) {
            for work in [Work::FullBackup, Work::Drill] {
                let is_it = |deed: &&Deed| deed.subject == at && deed.what.work() == Some(work);
                let first_after = self.deeds.iter().find(is_it).map(|deed| deed.begins);
                let after_the_end = daily(self.end + TimeDelta::days(1), at, work == Work::Drill);
                next.insert((subject.name.to_owned(), work), first_after.unwrap_or(after_the_end));
            }
        }
        next
    }

    fn takes(deed: &Deed) -> TimeDelta {
        let seconds = match deed.what {
            What::Drill(_) => Self::stages(deed).iter().map(|(_, seconds)| seconds).sum::<f64>() + 3.0,
            What::Backup { is_good: false, .. } => 4.0,
            What::Backup { .. } => 90.0 + FLEET[deed.subject].gib * 9.0,
            What::Miss | What::Appear => 0.0,
        };
        TimeDelta::milliseconds((seconds * 1000.0) as i64)
    }

    async fn happen(&mut self, deed: &Deed) {
        let subject = &FLEET[deed.subject];
        self.clock.set(deed.begins);
        match deed.what {
            What::Appear => self.meet(subject).await,
            What::Miss => self.miss(subject).await,
            What::Backup { kind, chain_length, is_good } => self.back_up(deed, kind, chain_length, is_good).await,
            What::Drill(outcome) => self.drill(deed, outcome).await,
        }
    }

    async fn miss(&self, subject: &Subject) {
        let now = self.clock.wall();
        let missed = MissedRuns {
            source: subject.name.into(),
            operation: Operation::Backup,
            kind: Some(BackupKind::Incremental),
            first: now - TimeDelta::hours(4),
            last: now,
            count: 2,
            reason: "the service was down".into(),
        };
        self.ledger.record_missed(&missed).await.unwrap();
    }

    async fn back_up(&mut self, deed: &Deed, kind: BackupKind, chain_length: u32, is_good: bool) {
        let subject = &FLEET[deed.subject];
        let start =
            RunStart { source: subject.name.into(), operation: Operation::Backup, kind: Some(kind), drill: None };
        let run = self.ledger.begin(&start).await.unwrap();
        let took = Self::takes(deed);
        self.clock.set(deed.begins + took);
        if !is_good {
            let reason = "dump database wiki: mariadb-dump ended with status 2: Access denied for user 'backup'";
            let result = RunResult { reason: reason.into(), ..RunResult::new(Outcome::Failed, took.as_seconds_f64()) };
            return self.ledger.finish(&run, &result).await.unwrap();
        }
        let seed = deed.begins.timestamp() / 3600;
        let grown = subject.gib * (1.0 + 0.25 * (DAYS - deed.day) as f64 / DAYS as f64) * 1_073_741_824.0;
        let bytes = if kind == BackupKind::Full { grown } else { grown * (0.004 + 0.006 * noise(seed)) };
        let row = point(subject.name, kind, deed.begins, bytes, chain_length);
        let points = self.points.entry(subject.name).or_default();
        points.push(row.clone());
        let kept_from = deed.begins - TimeDelta::days(31);
        points.retain(|point| point.as_of >= kept_from);
        self.ledger.reconcile_points(subject.name, points).await.unwrap();
        let result = RunResult {
            recovery_point: Some(row.id),
            recovery_point_time: Some(row.as_of),
            logical_bytes: row.logical_bytes,
            added_bytes: row.stored_bytes,
            chain_length,
            ..RunResult::new(Outcome::Succeeded, took.as_seconds_f64())
        };
        self.ledger.finish(&run, &result).await.unwrap();
    }

    async fn drill(&self, deed: &Deed, outcome: Outcome) {
        let subject = &FLEET[deed.subject];
        let start = RunStart { source: subject.name.into(), operation: Operation::Drill, kind: None, drill: None };
        let run = self.ledger.begin(&start).await.unwrap();
        self.clock.set(deed.begins + Self::takes(deed));
        let stages = Self::stages(deed);
        let rto: f64 = stages.iter().map(|(_, seconds)| seconds).sum();
        let promised = self.config.sources[subject.name].objectives.rto.as_secs_f64();
        let newest = self.points.get(subject.name).and_then(|points| points.last());
        let is_passed = outcome == Outcome::Passed;
        if subject.name == "shop" && is_passed && deed.day % 7 == 0 {
            self.prove(subject).await;
        }
        let check = |at: i64| Check {
            name: format!("rows orders_{at}"),
            expected: "184023".into(),
            actual: if at == 3 && !is_passed { "184019" } else { "184023" }.into(),
            ok: at != 3 || is_passed,
        };
        let compared = if outcome == Outcome::Inconclusive { 0 } else { 14 };
        let result = RunResult {
            recovery_point: newest.map(|point| point.id.clone()),
            recovery_point_time: newest.map(|point| point.as_of),
            // A restore of increments loads the full below them, too.
            logical_bytes: self.chain(subject).iter().map(|point| point.logical_bytes).sum(),
            chain_length: newest.map_or(0, |point| point.chain_length),
            rto_seconds: is_passed.then_some(rto),
            over_rto: is_passed && rto > promised,
            stages: if is_passed { stages } else { Vec::new() },
            checks: (0..compared).map(check).collect(),
            ..RunResult::new(outcome, rto + 3.0)
        };
        self.ledger.finish(&run, &result).await.unwrap();
    }

    /// The newest full backup and what continues it.
    fn chain(&self, subject: &Subject) -> &[PointRow] {
        let points = self.points.get(subject.name).map_or(&[][..], Vec::as_slice);
        let full = points.iter().rposition(|point| point.kind == BackupKind::Full).unwrap_or(0);
        &points[full..]
    }

    /// The newest full backup proves the chain before it.
    async fn prove(&self, subject: &Subject) {
        let drill = Some(DrillKind::ClosedChain);
        let run = RunStart { source: subject.name.into(), operation: Operation::Drill, kind: None, drill };
        let run = self.ledger.begin(&run).await.unwrap();
        let full = self.chain(subject).first();
        let result = RunResult {
            recovery_point: full.map(|full| full.id.clone()),
            recovery_point_time: full.map(|full| full.as_of),
            ..RunResult::new(Outcome::Passed, 300.0)
        };
        self.ledger.finish(&run, &result).await.unwrap();
    }

    /// A restore takes as long as its data is large; `shop` replays its increments, `warehouse` becomes slow.
    fn stages(deed: &Deed) -> Vec<(String, f64)> {
        let subject = &FLEET[deed.subject];
        let seed = deed.begins.timestamp() / 86_400 + deed.subject as i64 * 1000;
        let days = (DAYS - deed.day) as f64 / DAYS as f64;
        let slower = if subject.fate == Fate::Slower { 0.62 + 0.40 * days * days } else { 0.8 + 0.2 * days };
        let slip = if subject.name == "billing" && deed.day == 12 { 1.9 } else { 1.0 };
        let load = subject.gib * 44.0 * slower * slip * (0.94 + 0.12 * noise(seed));
        let replay = if subject.name == "shop" { 200.0 + 320.0 * noise(seed + 7) } else { 0.0 };
        let verify = 20.0 + subject.gib * 6.0 * (0.9 + 0.2 * noise(seed + 3));
        let stages = [("select", 1.1), ("provision", 6.4), ("load", load), ("replay", replay), ("verify", verify)];
        stages.into_iter().map(|(name, seconds)| (name.to_owned(), seconds)).collect()
    }
}

fn point(name: &str, kind: BackupKind, as_of: DateTime<Utc>, bytes: f64, chain_length: u32) -> PointRow {
    let id = RecoveryPointId(format!("{name}-{}", as_of.timestamp()));
    let stored = if kind == BackupKind::Full { bytes / 40.0 } else { bytes / 3.0 };
    PointRow {
        id,
        kind,
        as_of,
        finished: as_of + TimeDelta::seconds(90),
        chain_length,
        logical_bytes: bytes as u64,
        stored_bytes: stored as u64,
        rows: (bytes / 130.0) as u64,
        left_out: LeftOutCounts::default(),
        window_from: Some(as_of),
        line: None,
        canary: Some(as_of),
    }
}

/// When the full backup or the drill of a day that ends at `end` begins: seven and five hours before; `shop` is drilled
/// before its full backup, when its chain is longest.
fn daily(end: DateTime<Utc>, subject: usize, is_drill: bool) -> DateTime<Utc> {
    let hours = match (is_drill, FLEET[subject].name) {
        (true, "shop") => 8,
        (true, _) => 5,
        (false, _) => 7,
    };
    end - TimeDelta::hours(hours) + TimeDelta::minutes(4 * subject as i64)
}

/// Everything that happens until `end`, in order: a backup and a drill a day, each source at a time of its own.
fn deeds(end: DateTime<Utc>) -> Vec<Deed> {
    let mut all = Vec::new();
    for (subject, Subject { name, fate, .. }) in FLEET.iter().enumerate() {
        if *fate == Fate::NothingYet {
            all.push(Deed { begins: end - TimeDelta::hours(NEWCOMER_HOURS), subject, day: 0, what: What::Appear });
            continue;
        }
        for day in 0..DAYS {
            let today = end - TimeDelta::days(day);
            let full = daily(today, subject, false);
            let is_good = *fate != Fate::BackupsFail || !matches!(day, 0 | 1 | 17);
            let what = What::Backup { kind: BackupKind::Full, chain_length: 0, is_good };
            all.push(Deed { begins: full, subject, day, what });
            let outcome = match (fate, day) {
                (Fate::DrillFails, 0) => Outcome::Failed,
                _ if *name == "shop" && day == 5 => Outcome::Failed,
                (Fate::NoSandbox, 9 | 10) => Outcome::Inconclusive,
                _ => Outcome::Passed,
            };
            all.push(Deed { begins: daily(today, subject, true), subject, day, what: What::Drill(outcome) });
            if *name == "shop" {
                all.extend(increments(full, subject, day).into_iter().filter(|deed| deed.begins < end));
            }
        }
    }
    all.sort_by_key(|deed| deed.begins);
    all
}

/// Every four hours; on one day the service was down for two of them.
fn increments(full: DateTime<Utc>, subject: usize, day: i64) -> Vec<Deed> {
    let increment = |number: u32| {
        let what = match (day, number) {
            (8, 3) => return None,
            (8, 4) => What::Miss,
            _ => {
                let chain_length = if day == 8 && number > 4 { number - 2 } else { number };
                What::Backup { kind: BackupKind::Incremental, chain_length, is_good: true }
            }
        };
        Some(Deed { begins: full + TimeDelta::hours(4 * i64::from(number)), subject, day, what })
    };
    (1..=5).filter_map(increment).collect()
}
