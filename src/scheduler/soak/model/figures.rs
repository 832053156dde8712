//! The metrics that follow from what happened, series by series.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::forecast::{self, Drill};
use super::super::world::CHAINED;
use super::{End, Happened, Model, OBJECTIVES, by_time};
use crate::domain::manifest::BackupKind;
use crate::domain::schedule::Work;

const KINDS: [(Work, BackupKind, &str); 2] = [
    (Work::FullBackup, BackupKind::Full, "kind=\"full\""),
    (Work::IncrementalBackup, BackupKind::Incremental, "kind=\"incremental\""),
];

/// What should not be exported.
const ABSENT: f64 = f64::NAN;

fn stamp(time: Option<DateTime<Utc>>) -> f64 {
    time.map_or(0.0, |time| time.timestamp_micros() as f64 / 1e6)
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

impl Model {
    /// Everything of `source`, or of all sources, that depends on what happened, by series.
    pub(in super::super) fn expected(&self, source: Option<&str>, now: DateTime<Utc>) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        for source in self.created.keys().filter(|name| source.is_none_or(|only| only == *name)) {
            self.of_source(source, now, &mut |name: &str, labels: &str, value: f64| {
                let labels = if labels.is_empty() { String::new() } else { format!(",{labels}") };
                all.insert(format!("backup_sla_{name}{{source=\"{source}\"{labels}}}"), value);
            });
        }
        all.insert("backup_sla_ledger_created_timestamp_seconds".to_owned(), stamp(Some(self.ledger_created)));
        all
    }

    fn of_source(&self, source: &str, now: DateTime<Utc>, put: &mut dyn FnMut(&str, &str, f64)) {
        let points = self.listed(source);
        put("source_created_timestamp_seconds", "", stamp(self.created.get(source).copied()));
        put("source_retired", "", truth(self.retired.contains(source)));
        for (_, kind, label) in KINDS {
            put("recovery_points", label, points.iter().filter(|point| point.kind == kind).count() as f64);
        }
        if self.retired.contains(source) {
            return;
        }
        let promised = self.promised[source];
        put("rpo_objective_seconds", "", promised.rpo);
        put("rto_objective_seconds", "", promised.rto);
        put("retention_objective_seconds", "", promised.retention);
        put("drill_interval_objective_seconds", "", promised.drill_interval);
        put("chain_length_objective", "", promised.chain_length);
        put("slo_objective_ratio", "", promised.ratio);
        // No run of this world finds that an increment does not link.
        for name in ["chain_broken", "pitr_gap_seconds", "chain_breaks_total", "chain_last_break_timestamp_seconds"] {
            put(name, "", 0.0);
        }
        put("retention_gaps", "", self.gaps(source, &self.sound(source, now), now) as f64);
        // Of backups that leave nothing out.
        for kind in [r#"kind="table""#, r#"kind="view""#, r#"kind="other""#] {
            put("left_out_objects", kind, 0.0);
        }
        let points = self.sound(source, now);
        let newest = points.iter().copied().max_by_key(|point| by_time(point));
        put("chain_length", "", newest.map_or(0.0, |newest| f64::from(newest.chain_length)));
        let as_of = newest.map(|newest| newest.as_of);
        put("recovery_point_timestamp_seconds", "", stamp(as_of));
        for end in ["start", "end"] {
            put(&format!("restore_window_{end}_timestamp_seconds"), "", stamp(as_of));
        }
        put("oldest_recovery_point_timestamp_seconds", "", stamp(points.iter().map(|point| point.as_of).min()));
        put(
            "recovery_point_age_seconds",
            "",
            as_of.map_or(ABSENT, |as_of| (stamp(Some(now)) - stamp(Some(as_of))).max(0.0)),
        );
        let drills = self.ended(source, false);
        let mut verdicts: BTreeMap<&str, End> = BTreeMap::new();
        for (run, _, end) in drills.iter().filter(|(_, _, end)| matches!(end, End::Good | End::Failed)) {
            verdicts.extend(run.point.as_deref().map(|point| (point, *end)));
        }
        let verified = points.iter().filter(|point| verdicts.get(point.id.0.as_str()) == Some(&End::Good));
        put("verified_recovery_point_timestamp_seconds", "", stamp(verified.map(|point| point.as_of).max()));

        self.backups(source, put);
        self.drills(source, now, &drills, put);
        let passed = drills.iter().filter(|(_, _, end)| *end == End::Good);
        let passed: Vec<Drill> =
            passed.map(|(run, at, _)| Drill { ended: *at, bytes: run.bytes as f64, seconds: run.seconds }).collect();
        // The naive forecast knows no increments.
        if source != CHAINED {
            put("forecast_replay_seconds", "", 0.0);
            // It is made when facts change, and not as time passes.
            let suspect = self.suspect.get(source);
            let newest = self
                .listed(source)
                .iter()
                .filter(|point| !suspect.is_some_and(|ids| ids.contains(&point.id.0)))
                .max_by_key(|point| by_time(point));
            for (name, value) in forecast::figures(&passed, newest.map(|newest| newest.logical_bytes as f64), now) {
                put(name, "", value);
            }
        }
        for (objective, met) in OBJECTIVES.iter().zip(self.met(source, now)) {
            put("objective_met", &format!("objective=\"{objective}\""), met.map_or(ABSENT, truth));
        }
        put("source_pending", "", truth(self.met(source, now).contains(&None)));
        for (operation, is_backup) in [("backup", true), ("drill", false)] {
            let of_it = |work: Work| work.is_backup() == is_backup;
            let missed = self.missed.iter().filter(|((of, work, _), _)| of == source && of_it(*work));
            put(
                "missed_runs_total",
                &format!("operation=\"{operation}\""),
                missed.map(|(_, (n, _))| f64::from(*n)).sum(),
            );
            let running = self.runs(source).iter().filter(|run| run.end.is_none() && of_it(run.work));
            let begun = running.map(|run| run.begun).min();
            put("operation_start_timestamp_seconds", &format!("operation=\"{operation}\""), stamp(begun));
        }
    }

    fn backups(&self, source: &str, put: &mut dyn FnMut(&str, &str, f64)) {
        let ended = self.ended(source, true);
        put("backup_last_run_success", "", truth(ended.last().is_some_and(|(_, _, end)| *end == End::Good)));
        for (work, _, kind) in KINDS {
            let all: Vec<_> = self.runs(source).iter().filter(|run| run.work == work).collect();
            let ended: Vec<_> = ended.iter().filter(|(run, ..)| run.work == work).collect();
            put("backups_total", kind, all.len() as f64);
            put("backup_failures_total", kind, ended.iter().filter(|(_, _, end)| *end != End::Good).count() as f64);
            let good = ended.iter().filter(|(_, _, end)| *end == End::Good);
            put("backup_added_bytes_total", kind, good.map(|(run, ..)| (run.bytes / 10) as f64).sum());
            put("backup_last_start_timestamp_seconds", kind, stamp(all.iter().map(|run| run.begun).max()));
            let good = ended.iter().rev().find(|(_, _, end)| *end == End::Good);
            put("backup_last_success_timestamp_seconds", kind, stamp(good.map(|(_, at, _)| *at)));
            put("backup_last_duration_seconds", kind, good.map_or(0.0, |(run, ..)| run.seconds));
            put("backup_last_size_bytes", kind, good.map_or(0.0, |(run, ..)| run.bytes as f64));
            put("backup_last_added_bytes", kind, good.map_or(0.0, |(run, ..)| (run.bytes / 10) as f64));
        }
    }

    fn drills(
        &self,
        source: &str,
        now: DateTime<Utc>,
        drills: &[(&Happened, DateTime<Utc>, End)],
        put: &mut dyn FnMut(&str, &str, f64),
    ) {
        let all = self.runs(source).iter().filter(|run| run.work == Work::Drill);
        put("drills_total", "", all.count() as f64);
        let ends = |end: End| drills.iter().filter(move |(_, _, it)| *it == end);
        put("drill_failures_total", "", ends(End::Failed).count() as f64);
        put("drills_over_rto_total", "", ends(End::Good).filter(|(run, ..)| run.over).count() as f64);
        let last = drills.last().map(|(_, _, end)| *end);
        put("drill_last_outcome", "outcome=\"passed\"", truth(last == Some(End::Good)));
        put("drill_last_outcome", "outcome=\"failed\"", truth(last == Some(End::Failed)));
        let inconclusive = matches!(last, Some(End::Inconclusive | End::Interrupted));
        put("drill_last_outcome", "outcome=\"inconclusive\"", truth(inconclusive));
        let passed = ends(End::Good).next_back();
        put("drill_last_success_timestamp_seconds", "", stamp(passed.map(|(_, at, _)| *at)));
        // All drills of this world are of the newest point, and no chain closes.
        put("drill_kind_last_success_timestamp_seconds", "drill_kind=\"newest\"", stamp(passed.map(|(_, at, _)| *at)));
        for kind in ["closed_chain", "random", "oldest", "named"] {
            put("drill_kind_last_success_timestamp_seconds", &format!("drill_kind=\"{kind}\""), 0.0);
        }
        for name in
            ["canary_timestamp_seconds", "closing_proof_timestamp_seconds", "replayed_transactions", "replay_seconds"]
        {
            put(name, "", 0.0);
        }
        put("drill_last_rto_seconds", "", passed.map_or(0.0, |(run, ..)| run.seconds));
        put("drill_stage_duration_seconds", "stage=\"load\"", passed.map_or(0.0, |(run, ..)| run.seconds));
        let mut window: Vec<f64> =
            ends(End::Good).filter(|(_, at, _)| *at > now - TimeDelta::days(30)).map(|(run, ..)| run.seconds).collect();
        window.sort_by(f64::total_cmp);
        // Nearest rank: the smallest that at least this share of all does not exceed.
        for (label, share) in [("0.5", 0.5), ("0.95", 0.95), ("1", 1.0)] {
            let covers = |value: &&f64| {
                window.iter().filter(|other| *other <= *value).count() as f64 >= share * window.len() as f64 - 1e-9
            };
            put(
                "drill_rto_seconds",
                &format!("quantile=\"{label}\""),
                window.iter().find(covers).copied().unwrap_or(0.0),
            );
        }
        put("drill_rto_seconds_count", "", ends(End::Good).count() as f64);
        put("drill_rto_seconds_sum", "", ends(End::Good).map(|(run, ..)| run.seconds).sum());
        let conclusive = drills.iter().rev().find(|(_, _, end)| matches!(end, End::Good | End::Failed));
        put("verification_checks", "", conclusive.map_or(0.0, |(run, ..)| run.checks.0 as f64));
        put("verification_mismatches", "", conclusive.map_or(0.0, |(run, ..)| run.checks.1 as f64));
        put("verified_rows", "", conclusive.map_or(0.0, |(run, ..)| run.rows as f64));
    }

    /// Shares of all sources with the error that looking once a minute leaves; none in the first two days, when a minute is
    /// much. What a minute that came twice counts as is not held.
    pub(in super::super) fn expected_ratios(&self, now: DateTime<Utc>) -> Vec<(String, f64, f64)> {
        let mut all = Vec::new();
        for source in self.created.keys().filter(|source| !self.retired.contains(*source)) {
            for (objective, (met, judged)) in OBJECTIVES.iter().zip(self.kept_minutes(source, now)) {
                if judged < 2 * 24 * 60 {
                    continue;
                }
                let ratio = met as f64 / judged as f64;
                let series = format!(
                    "backup_sla_objective_met_ratio{{source=\"{source}\",objective=\"{objective}\",window=\"30d\"}}"
                );
                // Each change may be off by a minute; there are about as many changes as runs, and as recovery points where
                // the runs are lost.
                let changes = (self.runs(source).len() + self.listed(source).len()).min(400);
                all.push((series, ratio, (changes as f64 + 2.0 + self.repeated as f64) / judged as f64));
            }
        }
        all
    }
}
