//! `labels = { team = "payments" }` of a source: what an operator wants to have on its metrics, for routing.

use std::collections::BTreeMap;

use crate::strict::{Fault, Section, Value};

const EXAMPLE: &str = "{ team = \"payments\" }";
/// Names that mean something already: on metrics of this program, in Prometheus, in alerts.
const RESERVED: [&str; 17] = [
    "alertname",
    "alertstate",
    "engine",
    "instance",
    "job",
    "kind",
    "le",
    "objective",
    "operation",
    "outcome",
    "quantile",
    "repository",
    "severity",
    "sla",
    "source",
    "stage",
    "window",
];
/// Bytes of a value.
const LONGEST: usize = 128;

/// The labels of a source. Bad ones are reported, each at its place.
pub(super) fn labels(source: &Section<'_>) -> BTreeMap<String, String> {
    let table = source.optional("labels", |value| {
        let wanted = format!("a table such as {EXAMPLE}");
        value.get_ref().as_table().ok_or_else(|| Fault::wrong_type(value, &wanted))
    });
    let mut labels = BTreeMap::new();
    for (name, value) in table.into_iter().flatten() {
        let (place, name) = (name.span().start, name.get_ref().as_ref());
        let problem = |at: usize, what: String| source.reading().problem(at, format!("label `{name}` {what}"));
        match (check_name(name), text(value)) {
            (Err(what), _) => problem(place, what),
            (_, Err(what)) => problem(value.span().start, what),
            (Ok(()), Ok(text)) => {
                labels.insert(name.to_owned(), text.to_owned());
            }
        }
    }
    labels
}

fn check_name(name: &str) -> Result<(), String> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if name.len() > 64 || !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
        let rule = "1 to 64 of A-Z, a-z, 0-9 and `_`, the first no digit";
        return Err(format!("has a name that Prometheus does not take: write {rule}"));
    }
    if name.starts_with("__") || name.starts_with("exported_") || RESERVED.contains(&name) {
        return Err("has a name that is reserved: choose another, such as `team` or `tenant`".to_owned());
    }
    Ok(())
}

fn text<'v>(value: &'v Value<'_>) -> Result<&'v str, String> {
    let example = "a text such as \"payments\"";
    let Some(text) = value.get_ref().as_str() else { return Err(format!("must be {example}")) };
    if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!("must be {example}: 1 to {LONGEST} bytes, none of them a control character"));
    }
    Ok(text)
}
