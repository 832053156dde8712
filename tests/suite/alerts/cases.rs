//! Every alert has its unit tests: what is tested is named for what happens to it, and that is what has to be there.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::promql::parse;
use super::rule_files::{Rule, alerts, document, recordings};
use super::structure::{assert_known, names_source, objectives};
use super::unit_tests;

/// Fires, and is mended.
const RESOLVES: &str = "resolves";
/// Fires, and its series go away.
const VANISHES: &str = "vanishes";
/// Is at the limit, or over it for less than the rule waits.
const JUST_BELOW: &str = "just-below";
/// Would fire if there were a promise.
const NO_OBJECTIVE: &str = "no-objective";
/// Would fire if it were still configured.
const RETIRED: &str = "retired";

/// One series that an alert is tested with, and what was expected of it when.
struct Situation {
    /// Values of its labels.
    subjects: BTreeSet<String>,
    /// In order of time: the label values of all alerts that are expected.
    evaluations: Vec<BTreeSet<String>>,
}

fn documents() -> Vec<Value> {
    let named = unit_tests().into_iter().map(|file| format!("alerts/tests/{}", file.file_name().unwrap().display()));
    named.map(|name| document(&name)).collect()
}

fn groups(documents: &[Value]) -> impl Iterator<Item = &Value> {
    documents.iter().flat_map(|file| file["tests"].as_array().unwrap())
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The groups of unit tests that are named for an alert.
fn situations(documents: &[Value], alert: &str) -> Vec<Situation> {
    let named = |group: &&Value| group["name"].as_str().is_some_and(|name| name.split(',').next() == Some(alert));
    groups(documents).filter(named).map(|group| situation(group, alert)).collect()
}

fn situation(group: &Value, alert: &str) -> Situation {
    let mut subjects = BTreeSet::new();
    for series in array(&group["input_series"]) {
        for selector in parse(series["series"].as_str().unwrap()).selectors {
            subjects.extend(selector.matchers.into_iter().map(|(.., value)| value));
        }
    }
    let mut evaluations: Vec<(Duration, BTreeSet<String>)> = Vec::new();
    for case in array(&group["alert_rule_test"]).iter().filter(|case| case["alertname"] == alert) {
        let expected = array(&case["exp_alerts"]).iter().flat_map(|it| it["exp_labels"].as_object().unwrap().values());
        let values = expected.map(|value| value.as_str().unwrap().to_owned()).collect();
        evaluations.push((humantime::parse_duration(case["eval_time"].as_str().unwrap()).unwrap(), values));
    }
    evaluations.sort_by_key(|(time, _)| *time);
    Situation { subjects, evaluations: evaluations.into_iter().map(|(_, values)| values).collect() }
}

impl Situation {
    fn is_expected(&self, subject: &str) -> bool {
        self.evaluations.iter().any(|values| values.contains(subject))
    }

    /// Whether it fires at some time and not at a later one.
    fn ends(&self, subject: &str) -> bool {
        let fires = self.evaluations.iter().position(|values| values.contains(subject));
        fires.is_some_and(|at| self.evaluations[at..].iter().any(|values| !values.contains(subject)))
    }
}

fn assert_tested(alert: &Rule, situations: &[Situation]) {
    let name = &alert.name;
    let is_silent = |situation: &Situation| situation.evaluations.iter().any(BTreeSet::is_empty);
    // The watchdog is silent of one instance while another is well.
    assert!(situations.iter().any(is_silent) || name == "BackupSlaWatchdog", "{name} is never silent");
    for subject in [RESOLVES, VANISHES] {
        assert!(situations.iter().any(|situation| situation.ends(subject)), "{name}: no `{subject}` fires and ends");
    }
    let mut silent = vec![JUST_BELOW];
    if names_source(name) {
        silent.push(RETIRED);
    }
    if !objectives(&alert.expression).is_empty() && name != "BackupSlaObjectiveMissing" {
        silent.push(NO_OBJECTIVE);
    }
    for subject in silent {
        assert!(situations.iter().any(|situation| situation.subjects.contains(subject)), "{name}: no `{subject}`");
        assert!(!situations.iter().any(|situation| situation.is_expected(subject)), "{name} fires for `{subject}`");
    }
}

#[test]
fn every_alert_is_tested_firing_just_below_resolved_vanishing_retired_and_without_an_objective() {
    let documents = documents();
    for alert in alerts() {
        assert_tested(&alert, &situations(&documents, &alert.name));
    }
}

#[test]
fn every_recorded_series_is_tested() {
    let documents = documents();
    let asked = groups(&documents).flat_map(|group| array(&group["promql_expr_test"]));
    let asked: Vec<&str> = asked.map(|case| case["expr"].as_str().unwrap()).collect();
    for recording in recordings() {
        assert!(asked.contains(&recording.name.as_str()), "{} is not tested", recording.name);
    }
}

#[test]
fn unit_tests_name_series_and_alerts_that_there_are() {
    let documents = documents();
    let known: Vec<String> = alerts().into_iter().map(|alert| alert.name).collect();
    for group in groups(&documents) {
        for series in array(&group["input_series"]) {
            assert_known(&parse(series["series"].as_str().unwrap()), "a unit test");
        }
        for case in array(&group["alert_rule_test"]) {
            assert!(known.iter().any(|name| case["alertname"] == *name), "{case}");
        }
    }
}
