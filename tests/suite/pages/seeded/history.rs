//! What one source of the fleet went through, day by day.

use backup_sla::domain::drill::{Check, TableResult};
use backup_sla::domain::manifest::BackupKind;
use backup_sla::ledger::{Ledger, Operation, Outcome, PointRow, RunResult, RunStart};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Fate, SetClock, now, point};

pub(super) struct History<'a> {
    pub ledger: &'a Ledger,
    pub clock: &'a SetClock,
    pub name: &'a str,
    pub kind: &'a str,
    pub fate: Fate,
    pub seed: i64,
}

impl History<'_> {
    pub(super) async fn write(&self) {
        let days = if self.name == "agama" || self.fate != Fate::Good { 34 } else { 32 };
        let mut points = Vec::new();
        for day in (0..days).rev() {
            let midnight = now() - TimeDelta::days(day) - TimeDelta::seconds(now().timestamp() % 86_400);
            let at = midnight + TimeDelta::minutes(120 + self.seed / 150);
            let grows = 1.0 + 0.3 * (1.0 - f64::from(i32::try_from(day).unwrap()) / 34.0);
            let bytes = (1.9e9 * grows * (0.9 + 0.02 * noise(self.seed + day))) as u64;
            if self.fate == Fate::BackupsFail && matches!(day, 0 | 1 | 9) {
                self.broken_backup(at).await;
            } else {
                let full = point("a1", BackupKind::Full, at, bytes, 0);
                self.backup(&full).await;
                points.push(full);
            }
            if self.name == "agama" && day < 9 {
                let last = if day == 0 { 12 } else { 22 };
                for hour in (1..=last).filter(|hour| !(day == 3 && (9..12).contains(hour))) {
                    let at = at + TimeDelta::hours(hour) + TimeDelta::minutes(3);
                    let more = (bytes / 90) as f64 * (0.4 + noise(self.seed + day * 24 + hour));
                    let chain = u32::try_from(hour).unwrap();
                    let point = point("a2", BackupKind::Incremental, at, more as u64, chain);
                    self.backup(&point).await;
                    points.push(point);
                }
            }
            let drilled = points.iter().rev().find(|point| point.kind == BackupKind::Full).unwrap().clone();
            if !(self.name == "warehouse" && day == 0) {
                self.drill(day, midnight + TimeDelta::minutes(270 + self.seed / 150), &drilled).await;
            }
        }
        self.ledger.reconcile_points(self.name, &points).await.unwrap();
    }

    async fn backup(&self, point: &PointRow) {
        let begins =
            RunStart { source: self.name.into(), operation: Operation::Backup, kind: Some(point.kind), drill: None };
        self.clock.set(point.as_of);
        let run = self.ledger.begin(&begins).await.unwrap();
        self.clock.set(point.finished);
        let result = RunResult {
            recovery_point: Some(point.id.clone()),
            recovery_point_time: Some(point.as_of),
            logical_bytes: point.logical_bytes,
            added_bytes: point.stored_bytes,
            chain_length: point.chain_length,
            ..RunResult::new(Outcome::Succeeded, 95.0)
        };
        self.ledger.finish(&run, &result).await.unwrap();
    }

    async fn broken_backup(&self, at: DateTime<Utc>) {
        let begins = RunStart {
            source: self.name.into(),
            operation: Operation::Backup,
            kind: Some(BackupKind::Full),
            drill: None,
        };
        self.clock.set(at);
        let run = self.ledger.begin(&begins).await.unwrap();
        self.clock.set(at + TimeDelta::seconds(4));
        let result = RunResult {
            reason: "dump database billing: mariadb-dump ended with status 2: Got error 1045: Access denied for user \
                     'backup'@'localhost' (using password: YES)"
                .into(),
            hint: Some("check the account and its password_file; docs/mysql-privileges.md lists what it needs".into()),
            ..RunResult::new(Outcome::Failed, 4.0)
        };
        self.ledger.finish(&run, &result).await.unwrap();
    }

    async fn drill(&self, day: i64, at: DateTime<Utc>, point: &PointRow) {
        let begins = RunStart { source: self.name.into(), operation: Operation::Drill, kind: None, drill: None };
        self.clock.set(at);
        let run = self.ledger.begin(&begins).await.unwrap();
        let load = 100.0 + 60.0 * noise(self.seed + day * 7) + if day == 12 { 140.0 } else { 0.0 };
        let stages = [("select", 0.8), ("provision", 4.2), ("load", load), ("verify", 31.0 + 9.0 * noise(day))];
        let stages: Vec<(String, f64)> = stages.into_iter().map(|(name, seconds)| (name.to_owned(), seconds)).collect();
        let rto: f64 = stages.iter().map(|(_, seconds)| seconds).sum();
        self.clock.set(at + TimeDelta::seconds(rto as i64 + 3));
        let outcome = match (self.fate, day) {
            (Fate::DrillFails, 0) => Outcome::Failed,
            (Fate::NoSandbox, 0 | 1) => Outcome::Inconclusive,
            _ => Outcome::Passed,
        };
        let mut result = RunResult {
            recovery_point: Some(point.id.clone()),
            recovery_point_time: Some(point.as_of),
            rto_seconds: Some(rto),
            stages,
            checks: self.checks(outcome),
            tables: self.tables(outcome),
            ..RunResult::new(outcome, rto + 3.0)
        };
        match outcome {
            Outcome::Failed => {
                (result.rto_seconds, result.reason) =
                    (None, "2 of 14 checks do not agree, the first: rows agama.orders".into());
                result.hint = Some(
                    "see the checks that disagree; `drill --keep-on-failure` leaves the sandbox to look into".into(),
                );
            }
            Outcome::Inconclusive => {
                (result.rto_seconds, result.stages) = (None, vec![("select".into(), 0.7), ("provision".into(), 3.0)]);
                (result.checks, result.tables) = (Vec::new(), Vec::new());
                result.reason = "start sandbox: there is no mysqld of series 8.4 on this host".into();
                result.hint =
                    Some("install the server's package, or set `programs` in [source.tickets.sandbox]".into());
            }
            _ => {}
        }
        self.ledger.finish(&run, &result).await.unwrap();
    }

    fn names(&self) -> Vec<String> {
        let names: &[&str] = match self.kind {
            "mysql" => &["customers", "order_items", "orders", "products", "stock", "suppliers"],
            "influxdb" => &["cpu", "disk", "mem", "net"],
            _ => &["srv/files"],
        };
        names
            .iter()
            .map(|name| if self.kind == "files" { (*name).to_owned() } else { format!("{}.{name}", self.name) })
            .collect()
    }

    fn checks(&self, outcome: Outcome) -> Vec<Check> {
        let check = |name: String, expected: &str, actual: &str| Check {
            ok: expected == actual,
            name,
            expected: expected.into(),
            actual: actual.into(),
        };
        let mut checks = Vec::new();
        for name in self.names() {
            let lost = outcome == Outcome::Failed && name == "agama.orders";
            checks.push(check(format!("rows {name}"), "184023", if lost { "184019" } else { "184023" }));
            let digest = "blake3:5f0c6a9b1e7d44c2";
            checks.push(check(format!("digest {name}"), digest, if lost { "blake3:c19e02f7ab5530d8" } else { digest }));
        }
        checks
    }

    fn tables(&self, outcome: Outcome) -> Vec<TableResult> {
        let table = |name: String| {
            let lost = outcome == Outcome::Failed && name == "agama.orders";
            let rows_restored = if lost { 184_019 } else { 184_023 };
            TableResult { name, rows_expected: 184_023, rows_restored, digest_ok: !lost }
        };
        self.names().into_iter().map(table).collect()
    }
}

/// Noise without randomness: 0–1.
fn noise(seed: i64) -> f64 {
    let mixed = (seed.unsigned_abs() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / f64::from(1 << 24)
}
