//! How runs end, and what becomes of recovery points.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{End, by_time};
use super::{Soak, Under};
use crate::clock::Clock;
use crate::domain::drill::{Check, TableResult};
use crate::domain::manifest::RecoveryPointId;
use crate::domain::schedule::Work;
use crate::ledger::{Outcome, PointRow, RunResult};
use crate::scheduler::job::{Ended, Job};

impl Soak {
    /// What was to end until so much has passed ends, each at its time.
    pub(super) async fn end_until(&mut self, passed: TimeDelta) {
        loop {
            self.under_way.sort_by_key(|under| under.ends);
            if self.under_way.first().is_none_or(|under| under.ends > passed) {
                return;
            }
            let under = self.under_way.remove(0);
            self.clock.pass(under.ends);
            let ended = if under.job.work == Work::Drill {
                self.end_drill(&under).await
            } else {
                self.end_backup(&under).await
            };
            let now = self.clock.wall();
            self.plan.ended(&under.job, ended, now);
            if let Some(awaited) = self.awaited.get_mut(&under.job) {
                awaited.ended(ended, now);
            }
            self.full_is_due(&under.job, ended, now);
            self.compare(Some(&under.job.source)).await;
        }
    }

    async fn end_backup(&mut self, under: &Under) -> Ended {
        let (now, order) = (self.clock.wall(), self.model.next_result());
        let source = &under.job.source;
        let chain_length = match under.job.work {
            Work::IncrementalBackup => self.newest(source).map(|newest| newest.chain_length + 1),
            _ => Some(0),
        };
        let is_good = chain_length.is_some() && !self.chance.percent(12);
        let happened = &mut self.model.runs.get_mut(source).unwrap()[under.at];
        happened.end = Some((now, if is_good { End::Good } else { End::Failed }, order));
        let mut result = RunResult::new(if is_good { Outcome::Succeeded } else { Outcome::Failed }, happened.seconds);
        if let Some(chain_length) = chain_length.filter(|_| is_good) {
            self.made += 1;
            let id = RecoveryPointId(format!("{source}-{}", self.made));
            result.recovery_point = Some(id.clone());
            result.recovery_point_time = Some(happened.begun);
            result.chain_length = chain_length;
            (result.logical_bytes, result.added_bytes) = (happened.bytes, happened.bytes / 10);
            let row = PointRow {
                id,
                kind: under.job.work.backup_kind().unwrap(),
                as_of: happened.begun,
                finished: now,
                chain_length,
                logical_bytes: happened.bytes,
                stored_bytes: happened.bytes / 10,
                rows: 1,
                left_out: crate::domain::left_out::LeftOutCounts::default(),
                // Each point is a window of its own.
                window_from: Some(happened.begun),
                line: None,
                canary: None,
            };
            self.model.repository.entry(source.clone()).or_default().push(row);
            self.list(source).await;
        }
        self.ledger.finish(&under.run, &result).await.unwrap();
        let is_incremental = under.job.work == Work::IncrementalBackup;
        match is_good {
            true if is_incremental && self.chance.percent(4) => Ended::FullIsDue,
            true => Ended::Done,
            false if is_incremental && self.chance.percent(30) => Ended::AwaitsFull,
            false => Ended::Again,
        }
    }

    /// What the end of a backup says of the full backups of its source.
    fn full_is_due(&mut self, job: &Job, ended: Ended, now: DateTime<Utc>) {
        let full = Job::new(job.source.clone(), Work::FullBackup);
        if *job == full {
            self.awaits_full = false;
        }
        if matches!(ended, Ended::FullIsDue | Ended::AwaitsFull) {
            self.awaits_full |= ended == Ended::AwaitsFull;
            self.awaited.get_mut(&full).unwrap().is_found_due(now);
        }
    }

    fn newest(&self, source: &str) -> Option<&PointRow> {
        self.model.repository.get(source)?.iter().max_by_key(|point| by_time(point))
    }

    async fn end_drill(&mut self, under: &Under) -> Ended {
        let (now, order) = (self.clock.wall(), self.model.next_result());
        let source = &under.job.source;
        let newest = self.newest(source);
        let (point, bytes) = (newest.map(|point| point.id.clone()), newest.map_or(0, |point| point.logical_bytes));
        let chain_length = newest.map_or(0, |point| point.chain_length);
        let end = match self.chance.below(100) {
            _ if point.is_none() => End::Failed,
            0..6 => End::Failed,
            6..14 => End::Inconclusive,
            _ => End::Good,
        };
        let rto = self.model.promised[source].rto;
        let happened = &mut self.model.runs.get_mut(source).unwrap()[under.at];
        happened.end = Some((now, end, order));
        happened.point = point.as_ref().map(|point| point.0.clone());
        (happened.over, happened.bytes) = (happened.seconds > rto, bytes);
        let outcome = match end {
            End::Good => Outcome::Passed,
            End::Failed => Outcome::Failed,
            End::Inconclusive | End::Interrupted => Outcome::Inconclusive,
        };
        let mut result = RunResult::new(outcome, happened.seconds);
        (result.recovery_point, result.logical_bytes, result.chain_length) = (point, bytes, chain_length);
        if end == End::Good {
            result.rto_seconds = Some(happened.seconds);
            result.over_rto = happened.over;
            result.stages = vec![("load".to_owned(), happened.seconds)];
        }
        if end != End::Inconclusive {
            (happened.checks, happened.rows) = ((3, u64::from(end == End::Failed)), 1000 + order as u64);
            let check = |at| Check {
                name: format!("{at}"),
                expected: "1".into(),
                actual: "1".into(),
                ok: at > 0 || end == End::Good,
            };
            result.checks = (0..3).map(check).collect();
            let rows = happened.rows;
            result.tables =
                vec![TableResult { name: "t".into(), rows_expected: rows, rows_restored: rows, digest_ok: true }];
        }
        self.ledger.finish(&under.run, &result).await.unwrap();
        if end == End::Inconclusive { Ended::Again } else { Ended::Done }
    }

    /// The repository is looked at.
    pub(super) async fn list(&mut self, source: &str) {
        let points = self.model.repository.get(source).map(Vec::as_slice).unwrap_or_default();
        self.ledger.reconcile_points(source, points).await.unwrap();
        self.model.listed_again(source, self.clock.wall());
    }

    /// Retention, once a day; of `d` more is removed than may be. A chain goes as a whole.
    pub(super) async fn maintain(&mut self) {
        let now = self.clock.wall();
        let configured: BTreeMap<String, Duration> =
            self.config.sources.values().map(|it| (it.name.clone(), it.objectives.retention)).collect();
        for (source, retention) in configured {
            let kept = if source == "d" { Duration::from_hours(5 * 24) } else { retention + Duration::from_hours(30) };
            let oldest = now - TimeDelta::from_std(kept).unwrap();
            if let Some(points) = self.model.repository.get_mut(&source) {
                remove_before(oldest, points);
            }
            self.list(&source).await;
        }
        self.compare(None).await;
    }
}

fn remove_before(oldest: DateTime<Utc>, points: &mut Vec<PointRow>) {
    points.sort_by_key(by_time);
    // The last full backup at or before the limit begins the chain that the limit is in.
    let is_needed_from = points.iter().rfind(|point| point.chain_length == 0 && point.as_of <= oldest);
    let from = match is_needed_from {
        Some(full) if points.iter().any(|point| point.chain_length > 0) => full.as_of,
        _ => oldest,
    };
    points.retain(|point| point.as_of >= from);
}
