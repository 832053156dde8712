//! Every query of the dashboards, asked of real Prometheus servers that scraped the real service on a ledger with a past.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use backup_sla::app::KINDS;
use backup_sla::config;
use chrono::Utc;
use serde_json::{Value, json};

use super::asking::{Prometheus, Series, of_debian_12, of_debian_unstable};
use super::fleet::{self, FLEET, RETIRED};
use super::life::Life;
use super::model::{self, ALL, Chosen, list, panels, text};
use super::{NOT_EXPORTED_YET, directory, runtime};
use crate::files;
use crate::serving::Service;
use crate::support::{World, wait_for};

/// Alerts that fire on the fleet: one of a source, one of a repository, one of the service.
pub const RULES: &str = r#"
groups:
- name: dashboards
  interval: 1s
  rules:
  - alert: BackupSlaRpoBreached
    expr: time() - (backup_sla_recovery_point_timestamp_seconds > 0) > on (job, instance, source) backup_sla_rpo_objective_seconds
    labels: { severity: critical }
  - alert: BackupSlaRepositoryDown
    expr: backup_sla_repository_up == 0
    labels: { severity: warning }
  - alert: BackupSlaWatchdog
    expr: up{job="backup-sla"} == 1
    labels: { severity: none }
"#;

/// A source that is really there, in a repository that is.
const REAL: &str = "[repository.local]\nkind = \"restic\"\nurl = \"repo\"\npassword_file = \"key\"\n\
                    [source.handbook]\nkind = \"files\"\nrepository = \"local\"\nsla = \"standard\"\n\
                    files = { paths = [\"tree\"] }\n";

/// The real service on a ledger with a past: one source really backed up and drilled, the others remembered.
fn seeded_service() -> Service {
    let world = World { directory: directory() };
    world.secret("key", "correct horse");
    files::fill(&world.path("tree"));
    fs::write(world.path("config.toml"), fleet::configuration() + REAL).unwrap();
    let config = config::load(&world.path("config.toml"), KINDS).unwrap();
    runtime().block_on(async {
        let now = Utc::now();
        let mut life = Life::begin(&world.path("state"), config, now).await;
        life.go_on_until(now).await;
        life.ledger.close().await;
    });
    world.json(&["backup", "handbook"], 0);
    world.json(&["drill", "handbook"], 0);
    Service::start_in(world, "")
}

/// Prometheus that has scraped the service a few times and whose alerts fire.
fn watch(program: &Path, service: &Service, directory: &Path) -> Prometheus {
    let rules = directory.join("rules.yml");
    fs::write(&rules, RULES).unwrap();
    let configuration = format!(
        "global: {{ scrape_interval: 1s }}\nrule_files: [ {:?} ]\nscrape_configs:\n\
         - job_name: backup-sla\n  static_configs: [ {{ targets: ['{}'] }} ]\n",
        rules.display(),
        service.address
    );
    let prometheus = Prometheus::start(program, directory, &configuration, &[]);
    wait_for("scrapes and alerts", || {
        let number = |query: &str| prometheus.instant(query).first().map_or(0.0, |series| series.values[0]);
        let scrapes = number("min(count_over_time(backup_sla_build_info[1m]))");
        (scrapes >= 3.0 && number("count(count by (alertname) (ALERTS_FOR_STATE))") >= 3.0).then_some(())
    });
    prometheus
}

/// What Grafana would get for a query of a panel.
fn found_by(prometheus: &Prometheus, target: &Value, chosen: Chosen<'_>) -> Vec<Series> {
    let query = chosen.fill(text(target, "expr"));
    if target["instant"] == true { prometheus.instant(&query) } else { over_a_minute(prometheus, &query) }
}

fn over_a_minute(prometheus: &Prometheus, query: &str) -> Vec<Series> {
    let now = Utc::now().timestamp();
    let (start, end) = ((now - 60).to_string(), now.to_string());
    prometheus.result("query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "2")])
}

pub fn is_on_its_way(expr: &str) -> bool {
    NOT_EXPORTED_YET.iter().any(|name| expr.contains(name))
}

/// What a panel gets is what it shows: series for every query, with the labels it names, in magnitudes that can be.
fn assert_answered(prometheus: &Prometheus, panel: &Value) {
    let mut labels = BTreeSet::new();
    for target in list(&panel["targets"]) {
        let place = format!("{} {}: {}", text(panel, "title"), text(target, "refId"), text(target, "expr"));
        let found = found_by(prometheus, target, ALL);
        assert!(!found.is_empty() || is_on_its_way(text(target, "expr")), "{place} finds nothing");
        for series in &found {
            for label in model::legend_labels(text(target, "legendFormat")) {
                assert_ne!(series.label(label), "", "{place}: no label {label} in {}", series.labels);
            }
            assert_ne!(series.label("source"), RETIRED, "{place}");
            labels.extend(series.labels.as_object().unwrap().keys().cloned());
            for value in &series.values {
                assert!(can_be(panel, target, *value), "{place}: {value} of {}", series.labels);
            }
        }
    }
    for field in list(&panel["transformations"]).iter().filter(|it| it["id"] == "organize") {
        for name in field["options"]["renameByName"].as_object().unwrap().keys() {
            let of_query = name.strip_prefix("Value #");
            let mut refs = list(&panel["targets"]).iter().map(|target| text(target, "refId"));
            let is_there = of_query.map_or_else(|| labels.contains(name), |wanted| refs.any(|it| it == wanted));
            assert!(is_there, "{}: no field {name} among {labels:?}", text(panel, "title"));
        }
    }
}

/// A property of what one query fills: its own, or that of all fields of the panel.
fn property(panel: &Value, target: &Value, id: &str) -> Value {
    let renames = list(&panel["transformations"]).iter().find(|it| it["id"] == "organize");
    let column = format!("Value #{}", text(target, "refId"));
    let name = renames.map_or(&Value::Null, |it| &it["options"]["renameByName"][&column]);
    let own = |it: &&Value| {
        let matcher = &it["matcher"];
        *matcher == json!({"id": "byFrameRefID", "options": target["refId"]})
            || (!name.is_null() && *matcher == json!({"id": "byName", "options": name}))
    };
    let overrides = list(&panel["fieldConfig"]["overrides"]).iter().filter(own);
    let found = overrides.flat_map(|it| list(&it["properties"])).find(|it| it["id"] == id);
    found.map_or(&panel["fieldConfig"]["defaults"][id], |it| &it["value"]).clone()
}

/// Whether a field may have this value: nothing that never happened happened in 1970, and what has no date has a text.
fn can_be(panel: &Value, target: &Value, value: f64) -> bool {
    match property(panel, target, "unit").as_str().unwrap() {
        "s" => (0.0..3e8).contains(&value),
        "percentunit" => (-1000.0..10_000.0).contains(&value),
        "dateTimeFromNow" if value == 0.0 => {
            list(&property(panel, target, "mappings")).iter().any(|it| it["options"]["0"]["text"].is_string())
        }
        "dateTimeFromNow" => (1e12..1e14).contains(&value),
        _ => (0.0..1e15).contains(&value) || is_named(panel, target, value),
    }
}

/// Whether the panel shows a word in place of the value.
fn is_named(panel: &Value, target: &Value, value: f64) -> bool {
    let word = |mapping: &Value| mapping["options"][value.to_string()]["text"].is_string();
    list(&property(panel, target, "mappings")).iter().any(word)
}

fn assert_all_queries_answer(program: &Path) {
    let service = seeded_service();
    let place = directory();
    let prometheus = watch(program, &service, place.path());
    for name in model::NAMES {
        let dashboard = model::load(name);
        for panel in panels(&dashboard) {
            assert_answered(&prometheus, panel);
        }
        assert_variables_list(&prometheus, &dashboard, &service.address);
        for annotation in model::annotations(&dashboard) {
            assert_marks(&prometheus, annotation);
        }
        assert_choice_counts(&prometheus, &dashboard);
    }
    drop(service);
    assert_death_is_seen(&prometheus);
}

/// A service that has died is listed as down, and no number stands for what it said when it lived.
fn assert_death_is_seen(prometheus: &Prometheus) {
    wait_for("the service to be missed", || (prometheus.instant("up")[0].values[0] == 0.0).then_some(()));
    let fleet = model::load("fleet");
    let panel = |title: &str| panels(&fleet).into_iter().find(|panel| panel["title"] == title).unwrap().clone();
    let exporters = panel("Exporters");
    let columns = &list(&exporters["transformations"])[1]["options"]["renameByName"];
    let is_up = |target: &&Value| columns[format!("Value #{}", text(target, "refId"))] == "Up";
    let target = list(&exporters["targets"]).iter().find(is_up).unwrap();
    let found = found_by(prometheus, target, ALL);
    assert!(found.len() == 1 && found[0].values == [0.0], "{found:?}");
    for title in ["In SLA", "Out of SLA", "Worst RPO"] {
        let found = found_by(prometheus, &panel(title)["targets"][0], ALL);
        assert!(found.is_empty(), "{title}: {found:?}");
    }
}

fn assert_variables_list(prometheus: &Prometheus, dashboard: &Value, instance: &str) {
    for variable in model::variables(dashboard) {
        let Some((selector, label)) = model::label_values(variable) else { continue };
        let answer = prometheus.ask(&format!("label/{label}/values"), &[("match[]", &ALL.fill(selector))]);
        let values: Vec<&str> = list(&answer["data"]).iter().map(|value| value.as_str().unwrap()).collect();
        let expected = match label {
            "job" => vec!["backup-sla"],
            "instance" => vec![instance],
            // Not the one that is retired.
            _ => {
                let mut names: Vec<&str> = FLEET.iter().map(|subject| subject.name).chain(["handbook"]).collect();
                names.sort_unstable();
                names
            }
        };
        assert_eq!(values, expected, "{selector}");
    }
}

/// An annotation is at the values of its query, in milliseconds, or where the value is 1: Grafana draws nothing else.
fn assert_marks(prometheus: &Prometheus, annotation: &Value) {
    let name = text(annotation, "name");
    let found = over_a_minute(prometheus, &ALL.fill(text(annotation, "expr")));
    assert!(!found.is_empty(), "{name} finds nothing");
    for series in found {
        let is_time = annotation["useValueForTime"] == true;
        let is_right = |value: &f64| if is_time { (1e12..1e14).contains(value) } else { *value == 1.0 };
        assert!(series.values.iter().all(is_right), "{name}: {:?}", series.values);
        for label in model::legend_labels(text(annotation, "textFormat")) {
            assert_ne!(series.label(label), "", "{name}: no label {label}");
        }
    }
}

/// With one source chosen nothing of another is shown.
fn assert_choice_counts(prometheus: &Prometheus, dashboard: &Value) {
    let chosen = Chosen { source: "shop", job: "backup-sla", ..ALL };
    for panel in panels(dashboard) {
        for target in list(&panel["targets"]) {
            let found = found_by(prometheus, target, chosen);
            let place = format!("{} {}", text(panel, "title"), text(target, "refId"));
            assert!(!found.is_empty() || is_on_its_way(text(target, "expr")), "{place} finds nothing of one source");
            for series in found {
                assert!(["", "shop"].contains(&series.label("source")), "{place} shows {}", series.labels);
            }
        }
    }
    let nobody = Chosen { job: "nobody", ..ALL };
    for panel in panels(dashboard) {
        for target in list(&panel["targets"]) {
            let found = found_by(prometheus, target, nobody);
            assert!(found.is_empty(), "{} {} ignores the job", text(panel, "title"), text(target, "refId"));
        }
    }
}

#[test]
fn every_query_finds_what_its_panel_shows_in_prometheus_2() {
    assert_all_queries_answer(&of_debian_12("prometheus"));
}

#[test]
fn every_query_finds_what_its_panel_shows_in_prometheus_3() {
    assert_all_queries_answer(&of_debian_unstable("prometheus"));
}
