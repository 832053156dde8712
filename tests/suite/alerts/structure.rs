//! What rules may be made of.

use std::collections::{BTreeMap, BTreeSet};

use backup_sla::exporter::catalogue::{self, MetricKind};

use super::promql::{Expression, Selector, parse};
use super::rule_files::{Rule, alerts, recordings};
use crate::files;
use crate::serving::{Service, get};

/// Metrics that rules and runbooks name and that the exporter does not have yet. A test fails as soon as it has one of them:
/// take it off the list then.
pub const NOT_YET_EXPORTED: [&str; 0] = [];

/// Metrics that are absent until something happened.
const ABSENT_AT_FIRST: [&str; 7] = [
    "backup_sla_increment_lag_seconds",
    "backup_sla_repository_check_success",
    "backup_sla_maintenance_last_run_success",
    "backup_sla_maintenance_interval_seconds",
    "backup_sla_ledger_seal_faults",
    "backup_sla_repository_last_look_timestamp_seconds",
    "backup_sla_repository_unseen_since_timestamp_seconds",
];

/// What Prometheus itself makes.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// Numbers other than 0 and 1, and ranges, that an alert has; every other one is a promise in the wrong place.
const LITERALS: &[(&str, &[&str])] = &[
    // A break is told for an hour, also when a full backup has followed at once.
    ("BackupSlaChainBroken", &["3600"]),
    // A scheduler that ticks twice a second and a ledger that is read every few seconds.
    ("BackupSlaSchedulerStalled", &["300", "300"]),
    ("BackupSlaWatchdog", &["300"]),
    ("BackupSlaLedgerUnread", &["300"]),
    // Of the usual interval: one look may be late.
    ("BackupSlaRepositoryUnseen", &["2"]),
    // Of the usual interval: two may be late or fail.
    ("BackupSlaRetentionOverdue", &["3"]),
    // Of the promised RTO.
    ("BackupSlaOperationStuck", &["2"]),
    // Of the promised RPO.
    ("BackupSlaRpoAtRisk", &["0.8"]),
    ("BackupSlaIncrementLagging", &["0.8"]),
    // What is a little late is not missed.
    ("BackupSlaBackupMissed", &["900"]),
    // Against what is usual.
    ("BackupSlaSizeAnomaly", &["0.5", "5"]),
    ("BackupSlaRtoRegression", &["1.5", "60", "5"]),
    // Days, at the pace of one.
    ("BackupSlaRepositoryFilling", &["7", "1d"]),
    ("BackupSlaSourceDisappeared", &["1d"]),
    // By how much clocks may differ.
    ("BackupSlaTimestampInFuture", &["300", "300", "300", "300", "300", "300"]),
];

/// Labels that series are joined on and grouped by, and nothing less: a source `shop` may be on two instances.
const KEYS: [&[&str]; 5] = [
    &["job", "instance"],
    &["job", "instance", "source"],
    &["job", "instance", "source", "kind"],
    &["job", "instance", "repository"],
    &["job", "instance", "source", "objective", "window"],
];

/// Labels of a metric of the exporter, or of a series that is recorded from it; none if there is no such metric.
fn labels_of(name: &str) -> Option<Vec<String>> {
    let of_summary = |metric: &catalogue::Metric| {
        let rest = name.strip_prefix(metric.name);
        metric.kind == MetricKind::Summary && rest.is_some_and(|rest| ["_sum", "_count"].contains(&rest))
    };
    let found = catalogue::ALL.iter().find(|metric| metric.name == name || of_summary(metric));
    found.map(|metric| {
        let quantile = (metric.kind == MetricKind::Summary && metric.name == name).then_some("quantile");
        metric.labels.iter().copied().chain(quantile).map(str::to_owned).collect()
    })
}

/// Every series that is selected is exported, recorded, or made by Prometheus, and has the labels that are asked for.
pub fn assert_known(expression: &Expression, place: &str) {
    let recorded: Vec<String> = recordings().into_iter().map(|rule| rule.name).collect();
    for Selector { name, matchers } in &expression.selectors {
        let is_of_others = OF_PROMETHEUS.contains(&name.as_str()) || NOT_YET_EXPORTED.contains(&name.as_str());
        if name.is_empty() || is_of_others || recorded.contains(name) {
            continue;
        }
        let labels = labels_of(name).unwrap_or_else(|| panic!("{place}: there is no metric {name}"));
        for (label, ..) in matchers {
            let is_of_scrape = ["job", "instance", "env"].contains(&label.as_str());
            // Labels of the operator's own (`labels = { team = "…" }`).
            let is_of_scrape = is_of_scrape || name == "backup_sla_source_info" && label == "team";
            assert!(is_of_scrape || labels.contains(label), "{place}: {name} has no label {label}");
        }
    }
}

/// Metrics of promises that an expression names.
pub fn objectives(expression: &str) -> BTreeSet<String> {
    let names = parse(expression).selectors.into_iter().map(|selector| selector.name);
    names.filter(|name| name.contains("_objective")).collect()
}

/// Whether an alert is about one source each time.
pub fn names_source(alert: &str) -> bool {
    let group_of = |name: &str| alerts().into_iter().find(|rule| rule.name == name).unwrap();
    group_of(alert).annotation("description").contains("$labels.source")
}

fn all() -> Vec<Rule> {
    alerts().into_iter().chain(recordings()).collect()
}

#[test]
fn rules_name_metrics_and_labels_that_are_exported() {
    for rule in all() {
        assert_known(&parse(&rule.expression), &rule.name);
    }
    for name in NOT_YET_EXPORTED {
        assert!(labels_of(name).is_none(), "{name} is exported now: take it off the list NOT_YET_EXPORTED");
    }
}

#[test]
fn what_rules_select_is_in_a_real_scrape() {
    // With a backup there is a repository to tell of.
    let world = files::world("", "");
    std::fs::create_dir(world.path("tree")).unwrap();
    std::fs::write(world.path("tree/file"), "content").unwrap();
    assert_eq!(world.run(&["backup"]).status, 0);
    let service = Service::start_in(world, "");
    let scrape = get(&service.address, "/metrics").unwrap();
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    let exported: Vec<Selector> = lines.flat_map(|line| parse(line).selectors).collect();
    let is_exported = |wanted: &Selector| {
        exported.iter().filter(|series| series.name == wanted.name).any(|series| {
            let equal = wanted.matchers.iter().filter(|(label, operator, _)| operator == "=" && label != "job");
            equal.into_iter().all(|(label, _, value)| series.label(label) == Some(value))
        })
    };
    let recorded: Vec<String> = recordings().into_iter().map(|rule| rule.name).collect();
    for rule in all() {
        for wanted in parse(&rule.expression).selectors {
            let name = wanted.name.as_str();
            let is_of_others = OF_PROMETHEUS.contains(&name) || recorded.iter().any(|recorded| recorded == name);
            assert!(
                is_of_others
                    || NOT_YET_EXPORTED.contains(&name)
                    || ABSENT_AT_FIRST.contains(&name)
                    || is_exported(&wanted),
                "{}: {wanted:?} is not in the scrape",
                rule.name
            );
        }
    }
}

#[test]
fn joins_compare_job_instance_and_what_is_joined() {
    for rule in all() {
        for (word, labels) in parse(&rule.expression).groupings {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let is_right = match word.as_str() {
                "on" | "by" => KEYS.contains(&labels.as_slice()),
                "group_left" => labels.is_empty() || labels == ["repository"],
                "without" => labels == ["kind"],
                _ => false,
            };
            assert!(is_right, "{}: {word} {labels:?}", rule.name);
        }
    }
}

#[test]
fn alerts_have_no_promise_of_their_own() {
    let allowed: BTreeMap<&str, &[&str]> = LITERALS.iter().copied().collect();
    for alert in alerts() {
        let expression = parse(&alert.expression);
        let numbers = expression.numbers.iter().filter(|number| !["0", "1"].contains(&number.as_str()));
        let found: Vec<&str> = numbers.chain(&expression.durations).map(String::as_str).collect();
        let expected = allowed.get(alert.name.as_str()).copied().unwrap_or_default();
        assert_eq!(found, expected, "{}", alert.name);
    }
}

#[test]
fn no_alert_uses_an_age_that_was_computed_elsewhere() {
    for rule in all() {
        assert!(!rule.expression.contains("backup_sla_recovery_point_age_seconds"), "{}", rule.name);
    }
}

#[test]
fn alerts_about_sources_leave_retired_ones_out() {
    let about_sources: Vec<Rule> = alerts().into_iter().filter(|alert| names_source(&alert.name)).collect();
    assert!(about_sources.len() > 15);
    for alert in about_sources {
        assert!(alert.expression.contains("backup_sla_source_retired"), "{}", alert.name);
    }
}

#[test]
fn names_follow_their_conventions() {
    let mut seen = BTreeSet::new();
    for alert in alerts() {
        let rest = alert.name.strip_prefix("BackupSla").unwrap_or_default();
        assert!(rest.starts_with(char::is_uppercase) && rest.chars().all(char::is_alphanumeric), "{}", alert.name);
        assert!(seen.insert(alert.name.clone()), "{} is there twice", alert.name);
    }
    for recording in recordings() {
        let parts: Vec<&str> = recording.name.split(':').collect();
        assert!(parts.len() == 3 && parts[1].starts_with("backup_sla_"), "{}: level:metric:operation", recording.name);
        assert!(["source", "source_kind", "source_objective"].contains(&parts[0]), "{}", recording.name);
        assert!(seen.insert(recording.name.clone()), "{} is there twice", recording.name);
    }
}
