//! The rules of Grafana's dashboard linter (github.com/grafana/dashboard-linter), all of them and without an exclusion, and
//! some that are ours. Queries are read by the parser of the real Prometheus.
//!
//! Where its releases differ, what satisfies all of them is asked for, except for the label of the data source: its
//! documentation and its older releases say `Data Source`, the newest warns and would have `Data source`.

use std::collections::BTreeSet;

use backup_sla::exporter::catalogue;
use serde_json::Value;

use super::model::{self, annotations, list, panels, text, variables};

/// Turns a query into Prometheus's own syntax tree, or says what is wrong with it.
pub type Parse<'a> = &'a dyn Fn(&str) -> Result<Value, String>;

/// What is wrong with the dashboard, each beginning with the name of the rule.
pub fn complaints(dashboard: &Value, parse: Parse<'_>) -> Vec<String> {
    let mut found = of_variables(dashboard, parse);
    found.extend(of_panels(dashboard));
    for (place, expr) in model::questions(dashboard) {
        found.extend(of_query(&expr, parse).into_iter().map(|(rule, what)| format!("{rule}: {place}: {what}")));
    }
    if dashboard["editable"] != false {
        found.push("uneditable-dashboard: it can be edited".into());
    }
    found.extend(of_layout(dashboard));
    found
}

fn of_variables(dashboard: &Value, parse: Parse<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let sources: Vec<&Value> = variables(dashboard).iter().filter(|it| it["type"] == "datasource").collect();
    let is_right = |it: &Value| {
        let name = ["datasource", "prometheus_datasource"].contains(&text(it, "name"));
        name && ["Data Source", "Prometheus Data Source"].contains(&text(it, "label")) && it["query"] == "prometheus"
    };
    if sources.len() != 1 || !is_right(sources[0]) {
        found.push("template-datasource-rule: there must be one, for Prometheus, with the usual name and label".into());
    }
    for (name, label) in [("job", "Job"), ("instance", "Instance"), ("source", "Source")] {
        let wrong = match variables(dashboard).iter().find(|it| it["name"] == name) {
            None => "is missing".to_owned(),
            Some(it) => wrong_list(it, label),
        };
        if !wrong.is_empty() {
            found.push(format!("template-{name}-rule: {wrong}"));
        }
    }
    for it in variables(dashboard).iter().filter(|it| it["type"] == "query") {
        if it["refresh"] != 2 {
            found.push(format!("template-on-time-change-reload-rule: {}", text(it, "name")));
        }
        let parsed = model::label_values(it).map(|(selector, _)| parse(&expanded(selector)));
        if !matches!(parsed, Some(Ok(_))) {
            found.push(format!("template-label-promql-rule: {}: {parsed:?}", text(it, "query")));
        }
        let uses = |(_, expr): &(String, String)| expr.contains(&format!("${}", text(it, "name")));
        if !model::questions(dashboard).iter().any(uses) {
            found.push(format!("template-unused-rule: {}", text(it, "name")));
        }
    }
    found
}

fn wrong_list(variable: &Value, label: &str) -> String {
    let mut wrong = Vec::new();
    for (is_right, what) in [
        (is_templated(&variable["datasource"]), "does not use the templated data source"),
        (variable["type"] == "query", "is no query"),
        (variable["label"] == label, "has another label"),
        (variable["multi"] == true && variable["includeAll"] == true, "is not for several and all"),
        (variable["allValue"] == ".+", "has another allValue than .+"),
    ] {
        if !is_right {
            wrong.push(what);
        }
    }
    wrong.join(", ")
}

fn is_templated(datasource: &Value) -> bool {
    ["$datasource", "${datasource}"].contains(&text(datasource, "uid")) && datasource["type"] == "prometheus"
}

/// Of the linter's list of Grafana's units, those that something of ours could have.
const UNITS: [&str; 17] = [
    "none",
    "short",
    "percentunit",
    "bytes",
    "decbytes",
    "binBps",
    "Bps",
    "dateTimeAsIso",
    "dateTimeAsLocal",
    "dateTimeAsSystem",
    "dateTimeFromNow",
    "s",
    "m",
    "h",
    "d",
    "dtdurations",
    "bool_yes_no",
];

fn of_panels(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        let title = text(panel, "title");
        let mut complain = |rule: &str, is_right: bool| {
            if !is_right {
                found.push(format!("{rule}: {title} ({})", panel["id"]));
            }
        };
        complain("panel-title-description-rule", !title.is_empty() && !text(panel, "description").is_empty());
        let targets = list(&panel["targets"]);
        complain("panel-no-targets-rule", !targets.is_empty());
        let datasources = targets.iter().map(|target| &target["datasource"]).chain([&panel["datasource"]]);
        // No other kind of data source: the rules for Loki (target-logql-rule, target-logql-auto-rule) find nothing.
        complain("panel-datasource-rule", datasources.into_iter().all(is_templated));
        let config = &panel["fieldConfig"];
        let overridden = list(&config["overrides"]).iter().flat_map(|it| list(&it["properties"]));
        let units = overridden.filter(|it| it["id"] == "unit").map(|it| &it["value"]);
        let mut units = units.chain([&config["defaults"]["unit"]]);
        complain("panel-units-rule", units.all(|unit| unit.as_str().is_some_and(|unit| UNITS.contains(&unit))));
    }
    for annotation in annotations(dashboard).iter().filter(|it| !is_templated(&it["datasource"])) {
        found.push(format!("panel-datasource-rule: annotation {}", text(annotation, "name")));
    }
    found
}

/// As the linter does: outside of strings, durations that nobody writes stand for Grafana's.
fn expanded(expr: &str) -> String {
    let mut parts: Vec<String> = expr.split('"').map(str::to_owned).collect();
    for part in parts.iter_mut().step_by(2) {
        *part = part
            .replace("$__rate_interval", &format!("{RATE_INTERVAL}ms"))
            .replace("$__interval", "4867856611ms")
            .replace("$__range", "6069770749ms")
            .replace('$', "");
    }
    parts.join("\"")
}

const RATE_INTERVAL: u64 = 8_869_990_787;

fn of_query(expr: &str, parse: Parse<'_>) -> Vec<(&'static str, String)> {
    let tree = match parse(&expanded(expr)) {
        Ok(tree) => tree,
        Err(error) => return vec![("target-promql-rule", format!("{expr}: {error}"))],
    };
    let mut found = Vec::new();
    each_selector(&tree, "", &mut |selector, function| {
        let name = text(selector, "name");
        for label in ["job", "instance"] {
            if matcher(selector, label) != Some(("=~", &format!("${label}"))) {
                let rule = if label == "job" { "target-job-rule" } else { "target-instance-rule" };
                found.push((rule, format!("{name} in {expr}")));
            }
        }
        let is_range = selector["type"] == "matrixSelector";
        if name.ends_with("_total") && !(is_range && ["rate", "irate", "increase"].contains(&function)) {
            found.push(("target-counter-agg-rule", format!("{name} in {expr}")));
        }
        if ["rate", "irate"].contains(&function) && selector["range"] != RATE_INTERVAL {
            found.push(("target-rate-interval-rule", format!("{name} in {expr}")));
        }
        let of_source = matcher(selector, "source");
        let is_right = match name {
            // Some alerts have no source.
            "ALERTS" | "ALERTS_FOR_STATE" => of_source == Some(("=~", "$source|")),
            _ if has_source(name) => of_source == Some(("=~", "$source")),
            _ => of_source.is_none(),
        };
        if !is_right {
            found.push(("target-source-rule", format!("{name} in {expr}")));
        }
    });
    found
}

/// Whether series of this name have the label `source`, as the exporter declares it.
fn has_source(series: &str) -> bool {
    let family = series.strip_suffix("_count").or_else(|| series.strip_suffix("_sum")).unwrap_or(series);
    let declared = catalogue::ALL.iter().find(|metric| metric.name == series || metric.name == family);
    declared.map_or_else(|| series.contains("_forecast_"), |metric| metric.labels.contains(&"source"))
}

/// Calls `seen` with every selector of the tree and the function that it is the argument of.
fn each_selector(tree: &Value, function: &str, seen: &mut dyn FnMut(&Value, &str)) {
    match text(tree, "type") {
        "vectorSelector" | "matrixSelector" => seen(tree, function),
        "call" => {
            for argument in list(&tree["args"]) {
                each_selector(argument, text(&tree["func"], "name"), seen);
            }
        }
        _ => {
            let children = ["expr", "lhs", "rhs", "param"].into_iter().filter_map(|name| tree.get(name));
            children.for_each(|child| each_selector(child, "", seen));
        }
    }
}

fn matcher<'a>(selector: &'a Value, label: &str) -> Option<(&'a str, &'a str)> {
    let found = list(&selector["matchers"]).iter().find(|matcher| matcher["name"] == label)?;
    Some((text(found, "type"), text(found, "value")))
}

/// Names of all metrics that the dashboard asks for.
pub fn metrics(dashboard: &Value, parse: Parse<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let lists = variables(dashboard).iter().filter_map(model::label_values);
    let selectors = lists.map(|(selector, _)| selector.to_owned());
    for expr in model::questions(dashboard).into_iter().map(|(_, expr)| expr).chain(selectors) {
        let tree = parse(&expanded(&expr)).unwrap();
        each_selector(&tree, "", &mut |selector, _| {
            names.insert(text(selector, "name").to_owned());
        });
    }
    names
}

/// Ours: the grid has no holes at the right and no panels on top of each other, and links lead to dashboards that are there.
fn of_layout(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let cells = |panel: &Value| {
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
        (y..y + h).flat_map(move |row| (x..x + w).map(move |column| (row, column)))
    };
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let title = text(panel, "title");
        if !ids.insert(panel["id"].as_u64()) {
            found.push(format!("panel-id-rule: {title}"));
        }
        if !cells(panel).all(|cell| cell.1 < 24 && taken.insert(cell)) {
            found.push(format!("panel-grid-rule: {title} covers another or is outside"));
        }
    }
    let height = taken.iter().map(|(row, _)| row + 1).max().unwrap_or(0);
    if taken.len() as u64 != height * 24 {
        found.push("panel-grid-rule: there is a hole".into());
    }
    let uids: Vec<Value> = model::NAMES.iter().map(|name| model::load(name)["uid"].clone()).collect();
    for panel in panels(dashboard) {
        let properties = list(&panel["fieldConfig"]["overrides"]).iter().flat_map(|it| list(&it["properties"]));
        for link in properties.filter(|it| it["id"] == "links").flat_map(|it| list(&it["value"])) {
            let uid = text(link, "url").split('/').nth(2).unwrap_or_default().to_owned();
            if !uids.contains(&Value::from(uid)) {
                found.push(format!("link-rule: {} leads nowhere", text(panel, "title")));
            }
        }
    }
    found
}
