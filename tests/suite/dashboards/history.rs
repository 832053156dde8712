//! Thirty-one days of scrapes, made in seconds: the real exporter under a clock of ours on a real ledger, written down as
//! Prometheus would have kept it, for `promtool tsdb create-blocks-from openmetrics`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use backup_sla::config::Config;
use backup_sla::exporter::collector::collect;
use backup_sla::exporter::exposition::{Exposition, Format};
use backup_sla::state::State;
use backup_sla::state::service::{RepositoryState, SchedulerState, ServiceState};
use chrono::{DateTime, TimeDelta, Utc};

use super::fleet::{NEWCOMER, NEWCOMER_HOURS};
use super::life::Life;

const DAYS: i64 = 31;
/// How far scrapes are apart. Prometheus must look back further than this (`--query.lookback-delta`).
const STEP: TimeDelta = TimeDelta::minutes(30);
/// What Prometheus adds to every series.
const TARGET: &str = "job=\"backup-sla\",instance=\"backup-1:10909\"";

/// Everything that is exported until `end`, into `file`.
pub async fn write(directory: &Path, config: Config, end: DateTime<Utc>, file: &Path) {
    let mut life = Life::begin(directory, config.clone(), end).await;
    let mut early = config.clone();
    early.sources.remove(NEWCOMER);
    let state = State::new(Arc::new(early), life.clock.clone());
    let mut out = BufWriter::new(File::create(file).unwrap());
    let steps = i32::try_from(TimeDelta::days(DAYS).num_seconds() / STEP.num_seconds()).unwrap();
    for step in 0..=steps {
        let now = end - STEP * (steps - step);
        life.go_on_until(now).await;
        if now >= end - TimeDelta::hours(NEWCOMER_HOURS) {
            state.set_config(Arc::new(config.clone()));
        }
        let next_runs = life.next_runs();
        state.update_service(|service| {
            show(service, f64::from(step) / f64::from(steps), end);
            service.scheduler = Some(SchedulerState { last_tick: Some(now), next_runs });
        });
        state.refresh(&life.ledger).await.unwrap();
        let text = collect(&state.view().unwrap(), Exposition::new(Format::OpenMetrics)).encode();
        let time = now.timestamp();
        writeln!(out, "up{{{TARGET}}} 1 {time}").unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let comma = if labels == "}" { "" } else { "," };
            if !name.ends_with("_created") {
                writeln!(out, "{name}{{{TARGET}{comma}{labels} {value} {time}").unwrap();
            }
        }
    }
    writeln!(out, "# EOF").unwrap();
    out.flush().unwrap();
}

/// What only a service that runs would know; `done` is the share of the time that has passed.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn show(service: &mut ServiceState, done: f64, end: DateTime<Utc>) {
    let gib = |number: f64| Some((number * 1_073_741_824.0) as u64);
    let repository = |size: f64, available: f64| RepositoryState {
        awaited_since: None,
        last_look: Some(end),
        up: Some(true),
        key_available: Some(true),
        size_bytes: gib(size),
        available_bytes: gib(available),
    };
    service.repositories.insert("vault".into(), repository(41.0 + 8.0 * done, 120.0 - 8.0 * done));
    service.repositories.insert("offsite".into(), repository(410.0 + 160.0 * done, 640.0 - 160.0 * done));
    service.process.start_seconds = (end - TimeDelta::days(12)).timestamp() as f64;
    service.process.resident_bytes = 24 << 20;
}

/// Blocks of a Prometheus database in `data` from what was written.
pub fn import(promtool: &Path, file: &Path, data: &Path) {
    let output = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "--max-block-duration=744h", "openmetrics"])
        .args([file, data])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
