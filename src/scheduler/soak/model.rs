//! What should be exported, from a plain list of everything that happened: written from the documents (docs/metrics.md), by
//! scanning, without any of the code under test.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::forecast::{self, Drill};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Good,
    Failed,
    Inconclusive,
    Interrupted,
}

#[derive(Debug, Clone)]
pub(super) struct Happened {
    pub source: String,
    pub is_backup: bool,
    pub begun: DateTime<Utc>,
    /// When, how, and in which order results were written.
    pub end: Option<(DateTime<Utc>, End, usize)>,
    pub seconds: f64,
    pub bytes: u64,
    /// The point a drill restored.
    pub point: Option<String>,
    pub checks: (u64, u64),
    pub rows: u64,
    pub over: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Point {
    pub id: String,
    pub as_of: DateTime<Utc>,
    pub bytes: u64,
    pub gone: bool,
}

/// Promised numbers, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promised {
    pub rpo: f64,
    pub rto: f64,
    pub retention: f64,
    pub chain_length: f64,
    pub ratio: f64,
    pub drill_interval: f64,
}

pub(super) const OBJECTIVES: [&str; 5] = ["rpo", "rto", "retention", "drill_interval", "chain_length"];

#[derive(Debug, Default)]
pub(super) struct Model {
    pub created: BTreeMap<String, DateTime<Utc>>,
    pub promised: BTreeMap<String, Promised>,
    pub runs: Vec<Happened>,
    pub points: BTreeMap<String, Vec<Point>>,
    /// By source, operation, kind of job and first occurrence: the count that was told last.
    pub missed: BTreeMap<(String, &'static str, DateTime<Utc>), u32>,
    /// By source: for every minute since it was created, which promises were kept.
    minutes: BTreeMap<String, Vec<[bool; 5]>>,
    results: usize,
}

fn stamp(time: Option<DateTime<Utc>>) -> f64 {
    time.map_or(0.0, |time| time.timestamp_micros() as f64 / 1e6)
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

impl Model {
    pub(super) fn next_result(&mut self) -> usize {
        self.results += 1;
        self.results
    }

    fn listed(&self, source: &str) -> Vec<&Point> {
        self.points.get(source).map(|all| all.iter().filter(|point| !point.gone).collect()).unwrap_or_default()
    }

    fn ended(&self, source: &str, is_backup: bool) -> Vec<(&Happened, DateTime<Utc>, End)> {
        let of_it = self.runs.iter().filter(|run| run.source == source && run.is_backup == is_backup);
        let mut ended: Vec<_> = of_it.filter_map(|run| run.end.map(|(at, end, order)| (order, run, at, end))).collect();
        ended.sort_by_key(|(order, ..)| *order);
        ended.into_iter().map(|(_, run, at, end)| (run, at, end)).collect()
    }

    /// Whether each promise is kept at `now`.
    pub(super) fn met(&self, source: &str, now: DateTime<Utc>) -> [bool; 5] {
        let promised = self.promised[source];
        let age = |time: DateTime<Utc>| (now - time).as_seconds_f64();
        let points = self.listed(source);
        let newest = points.iter().map(|point| point.as_of).max();
        let oldest = points.iter().map(|point| point.as_of).min();
        let drills = self.ended(source, false);
        let passed = drills.iter().rev().find(|(_, _, end)| *end == End::Good);
        let young = self.created.get(source).is_some_and(|created| age(*created) <= promised.retention + promised.rpo);
        [
            newest.is_some_and(|newest| age(newest) <= promised.rpo),
            passed.is_some_and(|(run, ..)| run.seconds <= promised.rto),
            oldest.is_some_and(|oldest| young || age(oldest) >= promised.retention),
            passed.is_some_and(|(_, at, _)| age(*at) <= promised.drill_interval),
            newest.is_some(),
        ]
    }

    /// A minute has passed.
    pub(super) fn note_minute(&mut self, now: DateTime<Utc>) {
        let created: Vec<String> = self.created.keys().cloned().collect();
        for source in created {
            let met = self.met(&source, now);
            self.minutes.entry(source).or_default().push(met);
        }
    }

    /// Shares of the last 30 days, and over how many minutes they were taken.
    fn ratios(&self, source: &str) -> ([f64; 5], usize) {
        let minutes = self.minutes.get(source).map_or(&[][..], Vec::as_slice);
        let window = &minutes[minutes.len().saturating_sub(30 * 24 * 60)..];
        let share = |at: usize| window.iter().filter(|met| met[at]).count() as f64 / window.len().max(1) as f64;
        ([0, 1, 2, 3, 4].map(share), window.len())
    }

    /// Everything of `source`, or of all sources, that depends on what happened, by series.
    pub(super) fn expected(&self, source: Option<&str>, now: DateTime<Utc>) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        for source in self.promised.keys().filter(|name| source.is_none_or(|only| only == *name)) {
            self.of_source(source, now, &mut |name: &str, labels: &str, value: f64| {
                let labels = if labels.is_empty() { String::new() } else { format!(",{labels}") };
                all.insert(format!("backup_sla_{name}{{source=\"{source}\"{labels}}}"), value);
            });
        }
        all
    }

    fn of_source(&self, source: &str, now: DateTime<Utc>, put: &mut dyn FnMut(&str, &str, f64)) {
        put("source_created_timestamp_seconds", "", stamp(self.created.get(source).copied()));
        put("source_retired", "", 0.0);
        let promised = self.promised[source];
        put("rpo_objective_seconds", "", promised.rpo);
        put("rto_objective_seconds", "", promised.rto);
        put("retention_objective_seconds", "", promised.retention);
        put("drill_interval_objective_seconds", "", promised.drill_interval);
        put("chain_length_objective", "", promised.chain_length);
        put("slo_objective_ratio", "", promised.ratio);
        // There are no increments, so no chain can be long, broken or have a hole.
        for name in ["chain_length", "chain_broken", "pitr_gap_seconds"] {
            put(name, "", 0.0);
        }

        let points = self.listed(source);
        let newest = points.iter().map(|point| point.as_of).max();
        put("recovery_points", "kind=\"full\"", points.len() as f64);
        put("recovery_points", "kind=\"incremental\"", 0.0);
        put("recovery_point_timestamp_seconds", "", stamp(newest));
        put("oldest_recovery_point_timestamp_seconds", "", stamp(points.iter().map(|point| point.as_of).min()));
        put("recovery_point_age_seconds", "", newest.map_or(0.0, |newest| stamp(Some(now)) - stamp(Some(newest))));
        let drills = self.ended(source, false);
        let verdict = |id: &str| {
            let of_it = drills.iter().rev().filter(|(run, ..)| run.point.as_deref() == Some(id));
            of_it.map(|(_, _, end)| *end).find(|end| matches!(end, End::Good | End::Failed))
        };
        let verified = points.iter().filter(|point| verdict(&point.id) == Some(End::Good));
        put("verified_recovery_point_timestamp_seconds", "", stamp(verified.map(|point| point.as_of).max()));

        self.backups(source, put);
        self.drills(source, now, &drills, put);
        let newest = points.iter().max_by_key(|point| point.as_of).map(|point| point.bytes as f64);
        let passed = drills.iter().filter(|(_, _, end)| *end == End::Good);
        let passed: Vec<Drill> =
            passed.map(|(run, at, _)| Drill { ended: *at, bytes: run.bytes as f64, seconds: run.seconds }).collect();
        for (name, value) in forecast::figures(&passed, newest, now) {
            put(name, "", value);
        }
        for (objective, met) in OBJECTIVES.iter().zip(self.met(source, now)) {
            put("objective_met", &format!("objective=\"{objective}\""), truth(met));
        }
        for (operation, is_backup) in [("backup", true), ("drill", false)] {
            let missed = self.missed.iter().filter(|((of, what, _), _)| of == source && *what == operation);
            put("missed_runs_total", &format!("operation=\"{operation}\""), missed.map(|(_, n)| f64::from(*n)).sum());
            let running = self.runs.iter().filter(|run| run.source == source && run.is_backup == is_backup);
            let begun = running.filter(|run| run.end.is_none()).map(|run| run.begun).min();
            put("operation_start_timestamp_seconds", &format!("operation=\"{operation}\""), stamp(begun));
        }
    }

    fn backups(&self, source: &str, put: &mut dyn FnMut(&str, &str, f64)) {
        let all: Vec<_> = self.runs.iter().filter(|run| run.source == source && run.is_backup).collect();
        let ended = self.ended(source, true);
        let full = "kind=\"full\"";
        put("backups_total", full, all.len() as f64);
        put("backup_failures_total", full, ended.iter().filter(|(_, _, end)| *end != End::Good).count() as f64);
        put("backup_last_start_timestamp_seconds", full, stamp(all.iter().map(|run| run.begun).max()));
        put("backup_last_run_success", "", truth(ended.last().is_some_and(|(_, _, end)| *end == End::Good)));
        let good = ended.iter().rev().find(|(_, _, end)| *end == End::Good);
        put("backup_last_success_timestamp_seconds", full, stamp(good.map(|(_, at, _)| *at)));
        put("backup_last_duration_seconds", full, good.map_or(0.0, |(run, ..)| run.seconds));
        put("backup_last_size_bytes", full, good.map_or(0.0, |(run, ..)| run.bytes as f64));
        put("backup_last_added_bytes", full, good.map_or(0.0, |(run, ..)| (run.bytes / 10) as f64));
        put("backups_total", "kind=\"incremental\"", 0.0);
    }

    fn drills(
        &self,
        source: &str,
        now: DateTime<Utc>,
        drills: &[(&Happened, DateTime<Utc>, End)],
        put: &mut dyn FnMut(&str, &str, f64),
    ) {
        let all = self.runs.iter().filter(|run| run.source == source && !run.is_backup);
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

    /// Shares with the error that looking once a minute leaves; none in the first two days, when a minute is much.
    pub(super) fn expected_ratios(&self, source: Option<&str>) -> Vec<(String, f64, f64)> {
        let mut all = Vec::new();
        for source in self.promised.keys().filter(|name| source.is_none_or(|only| only == *name)) {
            let (ratios, minutes) = self.ratios(source);
            if minutes < 2 * 24 * 60 {
                continue;
            }
            for (objective, ratio) in OBJECTIVES.iter().zip(ratios) {
                let series = format!(
                    "backup_sla_objective_met_ratio{{source=\"{source}\",objective=\"{objective}\",window=\"30d\"}}"
                );
                // Each change may be off by a minute; there are about as many changes as runs.
                let changes = self.runs.iter().filter(|run| run.source == *source).count().min(400);
                all.push((series, ratio, (changes as f64 + 2.0) / minutes as f64));
            }
        }
        all
    }
}
