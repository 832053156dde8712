//! How runs end, and what becomes of recovery points.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{End, Point};
use super::{Soak, Under};
use crate::domain::drill::{Check, TableResult};
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::domain::schedule::Work;
use crate::ledger::{Outcome, PointRow, RunResult};
use crate::scheduler::job::Ended;

impl Soak {
    /// What was to end until `until` ends, each at its time.
    pub(super) async fn end_until(&mut self, until: DateTime<Utc>) {
        loop {
            self.under_way.sort_by_key(|under| under.ends);
            if self.under_way.first().is_none_or(|under| under.ends > until) {
                return;
            }
            let under = self.under_way.remove(0);
            self.clock.set(under.ends);
            let ended = if under.job.work == Work::Drill {
                self.end_drill(&under).await
            } else {
                self.end_backup(&under).await
            };
            self.plan.ended(&under.job, ended, under.ends);
            self.compare(Some(&under.job.source)).await;
        }
    }

    async fn end_backup(&mut self, under: &Under) -> Ended {
        let (now, order) = (self.now(), self.model.next_result());
        let happened = self.model.runs[under.at].clone();
        let is_good = !self.chance.percent(12);
        let end = if is_good { End::Good } else { End::Failed };
        self.model.runs[under.at].end = Some((now, end, order));
        let outcome = if is_good { Outcome::Succeeded } else { Outcome::Failed };
        let mut result = RunResult::new(outcome, happened.seconds);
        if is_good {
            let id = RecoveryPointId(format!("{}-{}", happened.source, under.at));
            result.recovery_point = Some(id.clone());
            result.recovery_point_time = Some(happened.begun);
            (result.logical_bytes, result.added_bytes) = (happened.bytes, happened.bytes / 10);
            let row = PointRow {
                id: id.clone(),
                kind: BackupKind::Full,
                as_of: happened.begun,
                finished: now,
                chain_length: 0,
                logical_bytes: happened.bytes,
                stored_bytes: happened.bytes / 10,
                rows: 1,
            };
            self.repository.entry(happened.source.clone()).or_default().push(row);
            let points = self.model.points.entry(happened.source.clone()).or_default();
            points.push(Point { id: id.0, as_of: happened.begun, bytes: happened.bytes, gone: false });
            self.list(&happened.source).await;
        }
        self.ledger.finish(&under.run, &result).await.unwrap();
        if is_good { Ended::Done } else { Ended::Again }
    }

    async fn end_drill(&mut self, under: &Under) -> Ended {
        let (now, order) = (self.now(), self.model.next_result());
        let source = under.job.source.clone();
        let newest = self.repository.get(&source).and_then(|points| points.iter().max_by_key(|point| point.as_of));
        let (point, bytes) = (newest.map(|point| point.id.clone()), newest.map_or(0, |point| point.logical_bytes));
        let end = match self.chance.below(100) {
            _ if point.is_none() => End::Failed,
            0..6 => End::Failed,
            6..14 => End::Inconclusive,
            _ => End::Good,
        };
        let rto = self.config.sources[&source].objectives.rto.as_secs_f64();
        let happened = &mut self.model.runs[under.at];
        happened.end = Some((now, end, order));
        happened.point = point.as_ref().map(|point| point.0.clone());
        (happened.over, happened.bytes) = (happened.seconds > rto, bytes);
        let outcome = match end {
            End::Good => Outcome::Passed,
            End::Failed => Outcome::Failed,
            End::Inconclusive | End::Interrupted => Outcome::Inconclusive,
        };
        let mut result = RunResult::new(outcome, happened.seconds);
        (result.recovery_point, result.logical_bytes) = (point, bytes);
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

    pub(super) async fn list(&self, source: &str) {
        let points = self.repository.get(source).map(Vec::as_slice).unwrap_or_default();
        self.ledger.reconcile_points(source, points).await.unwrap();
    }

    /// Retention, once a day; of `d` more is removed than may be.
    pub(super) async fn maintain(&mut self) {
        let now = self.now();
        for source in self.config.sources.values() {
            let kept = if source.name == "d" {
                Duration::from_hours(5 * 24)
            } else {
                source.objectives.retention + Duration::from_hours(30)
            };
            let oldest = now - TimeDelta::from_std(kept).unwrap();
            if let Some(points) = self.repository.get_mut(&source.name) {
                points.retain(|point| point.as_of >= oldest);
                let there: Vec<&str> = points.iter().map(|point| point.id.0.as_str()).collect();
                for point in self.model.points.get_mut(&source.name).into_iter().flatten() {
                    point.gone |= !there.contains(&point.id.as_str());
                }
            }
            self.list(&source.name).await;
        }
        self.compare(None).await;
    }
}
