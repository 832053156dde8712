//! OpenMetrics, read by somebody else's parser.

use std::process::Command;

use super::exposition::{pipe, seeded_view};
use super::*;
use crate::exporter::collector::collect;
use crate::exporter::exposition::{Exposition, Format};

/// Prints what the parser of the Python client library (Debian package `python3-prometheus-client`) understood.
const PARSER: &str = r"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = text_string_to_metric_families(sys.stdin.read())
print(json.dumps([[f.name, f.type, f.unit, f.documentation, [[s.name, s.labels, s.value] for s in f.samples]]
                  for f in families]))
";

async fn understood() -> (String, serde_json::Value) {
    let mut view = seeded_view().await;
    let name = "qu\"ote\\n\nline";
    let source = view.config.sources["new"].clone();
    let config = Arc::make_mut(&mut view.config);
    config.sources.insert(name.to_owned(), crate::config::SourceConfig { name: name.to_owned(), ..source });
    let text = collect(&view, Exposition::new(Format::OpenMetrics)).encode();
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", PARSER]);
    let said = pipe(python, &text);
    (text, serde_json::from_str(&said).unwrap())
}

fn value(families: &serde_json::Value, name: &str, labels: &serde_json::Value) -> Option<f64> {
    let samples = families.as_array().unwrap().iter().flat_map(|family| family[4].as_array().unwrap());
    let mut found = samples.filter(|sample| sample[0] == name && sample[1] == *labels);
    let value = found.next()?[2].as_f64();
    assert!(found.next().is_none(), "{name} {labels} is there twice");
    value
}

#[tokio::test]
async fn a_strict_parser_reads_every_family_with_its_type_and_unit() {
    let (text, families) = understood().await;
    assert!(text.ends_with("\n# EOF\n"));
    let read: Vec<(&str, &str, &str)> = families
        .as_array()
        .unwrap()
        .iter()
        .map(|family| [0, 1, 2].map(|field| family[field].as_str().unwrap()).into())
        .collect();
    let declared: Vec<(&str, &str, &str)> = crate::exporter::catalogue::ALL
        .iter()
        .map(|metric| {
            let unit = if metric.unit == "1" { "" } else { metric.unit };
            (metric.name.trim_end_matches("_total"), metric.kind.name(), unit)
        })
        .collect();
    assert_eq!(read, declared);
}

#[tokio::test]
async fn counters_say_since_when_they_count_if_that_is_known() {
    let (text, families) = understood().await;
    let agama = serde_json::json!({"source": "agama", "kind": "full"});
    assert_eq!(value(&families, "backup_sla_backups_total", &agama), Some(2.0));
    assert_eq!(value(&families, "backup_sla_backups_created", &agama), Some(START as f64));
    let agama = serde_json::json!({"source": "agama"});
    assert_eq!(value(&families, "backup_sla_drill_rto_seconds_created", &agama), Some(START as f64));
    assert_eq!(value(&families, "backup_sla_drill_rto_seconds_count", &agama), Some(1.0));
    assert_eq!(value(&families, "backup_sla_drills_total", &serde_json::json!({"source": "new"})), Some(0.0));
    assert_eq!(
        value(&families, "backup_sla_drills_created", &serde_json::json!({"source": "new"})),
        Some(START as f64)
    );
    let started = value(&families, "process_start_time_seconds", &serde_json::json!({}));
    assert_eq!(value(&families, "process_cpu_seconds_created", &serde_json::json!({})), started);
    assert!(!text.contains("_total_created"));
}

#[tokio::test]
async fn labels_with_quotes_backslashes_and_line_ends_come_back_as_they_were() {
    let (_, families) = understood().await;
    let labels = serde_json::json!({"source": "qu\"ote\\n\nline"});
    assert_eq!(value(&families, "backup_sla_rpo_objective_seconds", &labels), Some(86_400.0));
}

#[tokio::test]
async fn both_formats_have_the_same_samples() {
    let view = seeded_view().await;
    let samples = |format| {
        let text = collect(&view, Exposition::new(format)).encode();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_created{"));
        lines.filter(|line| !line.starts_with("process_cpu_seconds_created")).map(str::to_owned).collect::<Vec<_>>()
    };
    // Each format spells the largest quantile in its own way.
    let open: Vec<String> =
        samples(Format::OpenMetrics).iter().map(|line| line.replace("quantile=\"1.0\"", "quantile=\"1\"")).collect();
    let text = samples(Format::Text);
    let differing: Vec<_> = text.iter().zip(&open).filter(|(text, open)| text != open).collect();
    assert_eq!((differing, text.len()), (Vec::new(), open.len()));
}
