//! The dashboards without a Grafana: their JSON against a schema, the rules of its linter, and every query against real
//! Prometheus servers that scraped the real exporter.

mod answers;
mod asking;
mod fleet;
mod history;
mod life;
mod model;
mod previews;
mod rules;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use backup_sla::exporter::catalogue;
use serde_json::json;

use self::asking::{Prometheus, of_debian_unstable};

/// Metrics that the dashboards ask for and that nobody exports yet. Each has to leave this list when it is there.
const NOT_EXPORTED_YET: [&str; 0] = [];

/// A directory in memory where there is one: the ledger waits for its disk at every write.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("bsla-");
    if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }.unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn python(arguments: &[&str]) -> (bool, String) {
    // Debian's own: python3-jsonschema is a package of it.
    let output = Command::new("/usr/bin/python3")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-W", "ignore"])
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_dashboards_are_what_their_generator_writes() {
    let (is_good, said) = python(&["scripts/make-dashboards", "--check"]);
    assert!(is_good, "{said}");
}

/// Prints what the schema has against a dashboard.
const VALIDATE: &str = "
import json, sys, jsonschema
schema, dashboard = (json.load(open(name)) for name in sys.argv[1:])
jsonschema.Draft7Validator.check_schema(schema)
for error in jsonschema.Draft7Validator(schema).iter_errors(dashboard):
    print(list(error.absolute_path), error.message[:300])
";

fn against_the_schema(file: &Path) -> String {
    let schema = model::path("schema.json");
    let (ran, said) = python(&["-c", VALIDATE, &schema.to_string_lossy(), &file.to_string_lossy()]);
    assert!(ran, "python3-jsonschema is missing (run scripts/setup --for test), or: {said}");
    said
}

#[test]
fn the_dashboards_keep_to_the_schema_of_grafanas_model_and_a_misspelt_key_does_not() {
    for name in model::NAMES {
        assert_eq!(against_the_schema(&model::path(&format!("{name}.json"))), "", "{name}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.json");
    for (pointer, key, value) in [
        ("", "edittable", json!(false)),
        ("/panels/0", "desciption", json!("x")),
        ("/panels/0/options", "textmode", json!("value")),
        ("/panels/0/fieldConfig/defaults", "unit", json!("secs")),
        ("/panels/0/targets/0", "expression", json!("up")),
        ("/templating/list/1", "refresh", json!(1)),
        ("/panels/7/fieldConfig/overrides/0/properties/0", "id", json!("custom.with")),
    ] {
        let mut dashboard = model::load("fleet");
        dashboard.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing at {pointer}"))[key] = value;
        fs::write(&file, dashboard.to_string()).unwrap();
        assert_ne!(against_the_schema(&file), "", "{pointer}: {key} is let through");
    }
}

/// The parser of Prometheus 3, which knows the syntax of 2.42 too.
fn parser() -> (Prometheus, tempfile::TempDir) {
    let directory = directory();
    let server = Prometheus::start(&of_debian_unstable("prometheus"), directory.path(), "global: {}\n", &[]);
    (server, directory)
}

#[test]
fn every_rule_of_grafanas_linter_holds_and_finds_what_it_is_for() {
    let (prometheus, _directory) = parser();
    let parse = |query: &str| prometheus.parse(query);
    for name in model::NAMES {
        assert_eq!(rules::complaints(&model::load(name), &parse), Vec::<String>::new(), "{name}");
    }
    let expr = "/panels/0/targets/0/expr";
    let selector = "job=~\"$job\", instance=~\"$instance\", source=~\"$source\"";
    let wrong = [
        ("uneditable-dashboard", "/editable", json!(true)),
        ("template-datasource-rule", "/templating/list/0/label", json!("Prometheus")),
        ("template-job-rule", "/templating/list/1/allValue", json!(".*")),
        ("template-instance-rule", "/templating/list/2/multi", json!(false)),
        ("template-source-rule", "/templating/list/3/label", json!("source")),
        ("template-label-promql-rule", "/templating/list/3/query", json!("label_values(up{, job)")),
        ("template-on-time-change-reload-rule", "/templating/list/1/refresh", json!(1)),
        ("panel-datasource-rule", "/panels/0/datasource/uid", json!("abc")),
        ("panel-datasource-rule", "/panels/0/targets/0/datasource/uid", json!("-- Mixed --")),
        ("panel-title-description-rule", "/panels/0/description", json!("")),
        ("panel-units-rule", "/panels/0/fieldConfig/defaults/unit", json!("seconds")),
        ("panel-no-targets-rule", "/panels/0/targets", json!([])),
        ("target-promql-rule", expr, json!("sum(")),
        ("target-job-rule", expr, json!("backup_sla_sandboxes{instance=~\"$instance\"}")),
        ("target-instance-rule", expr, json!("backup_sla_sandboxes{job=~\"$job\", instance=\"$instance\"}")),
        ("target-source-rule", expr, json!("backup_sla_chain_length{job=~\"$job\", instance=~\"$instance\"}")),
        ("target-rate-interval-rule", expr, json!(format!("rate(backup_sla_drills_total{{{selector}}}[5m])"))),
        ("target-counter-agg-rule", expr, json!(format!("sum(backup_sla_drills_total{{{selector}}})"))),
        ("panel-grid-rule", "/panels/0/gridPos/w", json!(5)),
        ("panel-grid-rule", "/panels/0/gridPos/w", json!(1)),
        ("panel-id-rule", "/panels/1/id", json!(1)),
    ];
    for (rule, pointer, value) in wrong {
        let mut dashboard = model::load("fleet");
        *dashboard.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")) = value;
        let found = rules::complaints(&dashboard, &parse);
        assert!(found.iter().any(|it| it.starts_with(&format!("{rule}:"))), "{rule} does not see {pointer}: {found:?}");
    }
}

#[test]
fn every_metric_that_is_asked_for_is_exported() {
    let (prometheus, _directory) = parser();
    let parse = |query: &str| prometheus.parse(query);
    let asked: BTreeSet<String> =
        model::NAMES.iter().flat_map(|name| rules::metrics(&model::load(name), &parse)).collect();
    let declared = |name: &str| {
        let family = name.strip_suffix("_count").unwrap_or(name);
        catalogue::ALL.iter().any(|metric| metric.name == name || metric.name == family)
    };
    for name in NOT_EXPORTED_YET {
        assert!(!declared(name), "{name} is exported now: take it off the list of what is not");
        assert!(asked.contains(name), "{name} is not asked for: take it off the list of what is not exported");
    }
    // What Prometheus itself writes.
    let known = |name: &&String| declared(name) || NOT_EXPORTED_YET.contains(&name.as_str());
    let others: Vec<&String> = asked.iter().filter(|name| !known(name)).collect();
    assert_eq!(others, ["ALERTS", "ALERTS_FOR_STATE", "up"]);
}

#[test]
fn the_files_that_provision_them_are_those_of_the_documentation() {
    use saphyr::{LoadableYamlNode, Yaml};
    let read = |file: &str| fs::read_to_string(model::path(file)).unwrap();
    let datasources = read("provisioning/datasources/backup-sla.yml");
    let datasources = &Yaml::load_from_str(&datasources).unwrap()[0];
    assert_eq!(datasources["apiVersion"].as_integer(), Some(1));
    assert_eq!(datasources["datasources"][0]["type"].as_str(), Some("prometheus"));
    let providers = read("provisioning/dashboards/backup-sla.yml");
    let provider = &Yaml::load_from_str(&providers).unwrap()[0]["providers"][0];
    assert_eq!(provider["type"].as_str(), Some("file"));
    let documentation = fs::read_to_string(model::path("../docs/dashboards.md")).unwrap();
    // Grafana takes every JSON file in this directory for a dashboard: the schema must not get there.
    let copied =
        format!("{} dashboards/fleet.json dashboards/source.json\n", provider["options"]["path"].as_str().unwrap());
    assert!(documentation.contains(&copied), "{copied}");
}
