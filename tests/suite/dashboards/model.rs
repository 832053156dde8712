//! The dashboards as they are in the repository, and what Grafana makes of a query before it asks.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub const NAMES: [&str; 2] = ["fleet", "source"];

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(name)
}

pub fn load(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path(&format!("{name}.json"))).unwrap()).unwrap()
}

/// Everything that is a panel; rows only carry titles.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row").collect()
}

pub fn variables(dashboard: &Value) -> &[Value] {
    list(&dashboard["templating"]["list"])
}

pub fn annotations(dashboard: &Value) -> &[Value] {
    list(&dashboard["annotations"]["list"])
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Every expression that Prometheus is asked, with where it is: panels and annotations.
pub fn questions(dashboard: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for panel in panels(dashboard) {
        for target in list(&panel["targets"]) {
            all.push((format!("{} {}", text(panel, "title"), text(target, "refId")), text(target, "expr").to_owned()));
        }
    }
    for annotation in annotations(dashboard) {
        all.push((format!("annotation {}", text(annotation, "name")), text(annotation, "expr").to_owned()));
    }
    all
}

/// What was chosen: in its lists, each a regular expression, and how long the time range is.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    pub job: &'a str,
    pub instance: &'a str,
    pub source: &'a str,
    pub range: &'a str,
}

/// `All` in every list.
pub const ALL: Chosen<'_> = Chosen { job: ".+", instance: ".+", source: ".+", range: "3600s" };

impl Chosen<'_> {
    /// The query that is sent.
    pub fn fill(&self, expr: &str) -> String {
        let pairs = [
            ("$__range", self.range),
            ("$__rate_interval", "60s"),
            ("$__interval", "15s"),
            ("$job", self.job),
            ("$instance", self.instance),
            ("$source", self.source),
        ];
        let filled = pairs.iter().fold(expr.to_owned(), |text, (name, value)| text.replace(name, value));
        assert!(!filled.contains('$'), "a variable is left in {filled}");
        filled
    }
}

/// A variable's `label_values(SELECTOR, LABEL)`.
pub fn label_values(variable: &Value) -> Option<(&str, &str)> {
    let inner = text(variable, "query").strip_prefix("label_values(")?.strip_suffix(')')?;
    let (selector, label) = inner.rsplit_once(", ")?;
    Some((selector, label))
}

/// Labels that a legend names.
pub fn legend_labels(legend: &str) -> Vec<&str> {
    legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim())).collect()
}
