//! What alerts say, the table of all alerts, and how the README says they are loaded.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::rule_files::{ALERTS, RECORDINGS, alerts};
use super::runbooks::blocks;
use super::structure::{names_source, objectives};
use super::{content, path, promtools, text};

/// Where the package puts the runbooks, on the host of the instance.
const RUNBOOKS: &str = "file:///usr/share/doc/backup-sla/docs/runbooks";

#[test]
fn every_alert_has_a_severity_a_static_summary_a_telling_description_and_a_runbook() {
    for alert in alerts() {
        let name = &alert.name;
        let severity = alert.label("severity");
        assert!(["critical", "warning", "none"].contains(&severity), "{name}: {severity}");
        for (label, value) in &alert.labels {
            assert!(!value.as_str().unwrap().contains("{{"), "{name}: label {label} is not static");
        }
        let (summary, description) = (alert.annotation("summary"), alert.annotation("description"));
        assert!(!summary.is_empty() && !summary.contains("{{") && summary.len() < 80, "{name}: {summary}");
        assert!(!summary.ends_with('.'), "{name}: {summary}");
        assert!(description.contains("{{ $labels.") || description.contains("$labels.instance"), "{name}");
        assert!(description.contains('`'), "{name} names no command to type");
        assert_eq!(alert.annotation("runbook_url"), format!("{RUNBOOKS}/{name}.md"));
        assert_eq!(alert.annotations.len(), 3, "{name}");
    }
}

#[test]
fn alerts_about_a_promise_say_what_was_promised_and_what_was_measured() {
    // These say which promises are not there.
    let of_others = ["BackupSlaObjectiveMissing", "BackupSlaRepositoryCheckStale"];
    for alert in alerts().into_iter().filter(|alert| !of_others.contains(&alert.name.as_str())) {
        let description = alert.annotation("description");
        if !objectives(&alert.expression).is_empty() {
            assert!(description.contains("promised"), "{}", alert.name);
            assert!(description.contains("_objective"), "{} does not say how much was promised", alert.name);
            let is_measured = description.contains("$value") || alert.name == "BackupSlaNoRecoveryPoint";
            assert!(is_measured, "{} does not say what was measured", alert.name);
            assert!(names_source(&alert.name), "{}", alert.name);
        }
    }
}

/// Cells of the rows of the first table in a document.
fn table(document: &str) -> Vec<Vec<String>> {
    let lines = document.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.skip(2).map(cells).collect()
}

#[test]
fn the_table_of_alerts_is_what_the_rules_are() {
    let documented: Vec<[String; 3]> = table(&text("docs/alerts.md"))
        .into_iter()
        .map(|row| {
            let [alert, fires, duration, severity] = row.try_into().unwrap();
            assert!(fires.len() > 20, "{alert}: when does it fire?");
            [alert, duration, severity]
        })
        .collect();
    let rules: Vec<[String; 3]> = alerts()
        .into_iter()
        .map(|alert| {
            let link = format!("[{0}](runbooks/{0}.md)", alert.name);
            [link, alert.duration.clone(), alert.label("severity").to_owned()]
        })
        .collect();
    assert_eq!(documented, rules);
}

#[test]
fn the_prometheus_configuration_of_the_readme_is_valid() {
    let readme = text("alerts/README.md");
    let snippet = blocks(&readme, "yaml").remove(0);
    let here = path("alerts").display().to_string();
    let config = snippet.replace("/etc/prometheus/rules", &here);
    assert!(config.matches(&here).count() == 2, "{config}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("prometheus.yml");
    fs::write(&file, config).unwrap();
    for promtool in promtools() {
        content(&promtool, &["check", "config"], std::slice::from_ref(&file));
    }
}

#[test]
fn job_and_runbooks_can_be_changed_as_the_readme_says() {
    let readme = text("alerts/README.md");
    let commands: Vec<String> = blocks(&readme, "sh").into_iter().filter(|block| block.contains("sed -i")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let commands = commands.concat();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup-sla.rules.yml");
    fs::copy(path(ALERTS), &file).unwrap();
    let done = Command::new("sh").args(["-euc", &commands]).current_dir(directory.path()).status().unwrap();
    assert!(done.success());
    let changed = fs::read_to_string(&file).unwrap();
    assert!(!changed.contains("file://") && !changed.contains("job=\"backup-sla\""), "{commands}");
    assert!(!changed.contains("job: backup-sla"), "{commands}");
    assert_eq!(changed.matches("runbook_url: https://wiki.example.org/backup-sla/BackupSla").count(), alerts().len());
    let files: [PathBuf; 2] = [file, path(RECORDINGS)];
    content(&promtools()[0], &["check", "rules"], &files);
}
