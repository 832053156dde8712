//! Reading the rule files, as values.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

use super::text;

pub const ALERTS: &str = "alerts/backup-sla.rules.yml";
pub const RECORDINGS: &str = "alerts/backup-sla.recording.yml";

/// An alert or a recorded series.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: String,
    pub expression: String,
    /// How long it has to hold; empty for an alert without `for`.
    pub duration: String,
    pub labels: Map<String, Value>,
    pub annotations: Map<String, Value>,
}

impl Rule {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

pub fn alerts() -> Vec<Rule> {
    rules(ALERTS, "alert")
}

pub fn recordings() -> Vec<Rule> {
    rules(RECORDINGS, "record")
}

fn rules(file: &str, kind: &str) -> Vec<Rule> {
    let file = document(file);
    let groups = file["groups"].as_array().unwrap().iter();
    let rules: Vec<Rule> =
        groups.flat_map(|group| group["rules"].as_array().unwrap()).map(|rule| read(rule, kind)).collect();
    assert!(!rules.is_empty());
    rules
}

fn read(rule: &Value, kind: &str) -> Rule {
    let string = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    let map = |key: &str| rule[key].as_object().cloned().unwrap_or_default();
    let (name, expression) = (string(kind), string("expr"));
    assert!(!name.is_empty() && !expression.is_empty(), "{rule}");
    Rule { name, expression, duration: string("for"), labels: map("labels"), annotations: map("annotations") }
}

/// The one document of a YAML file.
pub fn document(file: &str) -> Value {
    let text = text(file);
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(documents.len(), 1, "{file}");
    value(&documents[0])
}

fn value(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::FloatingPoint(number)) => number.into_inner().into(),
        Yaml::Value(Scalar::Boolean(truth)) => (*truth).into(),
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Sequence(all) => all.iter().map(value).collect(),
        Yaml::Mapping(pairs) => {
            let mut map = Map::new();
            for (key, it) in pairs {
                match (key.as_str().unwrap(), value(it)) {
                    ("<<", Value::Object(merged)) => map.extend(merged),
                    (key, it) => _ = map.insert(key.to_owned(), it),
                }
            }
            map.into()
        }
        other => panic!("no plain value: {other:?}"),
    }
}
