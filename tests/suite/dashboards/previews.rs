//! A month of history behind a real Prometheus, and the dashboards drawn from what it answers.

use std::fs;
use std::path::{Path, PathBuf};

use backup_sla::app::KINDS;
use backup_sla::config;
use chrono::Utc;
use serde_json::Value;

use super::answers::{RULES, is_on_its_way};
use super::asking::{Prometheus, of_debian_12};
use super::model::{self, list, panels, text};
use super::{directory, fleet, history, python, runtime};
use crate::pages::browser::Browser;
use crate::support::{World, wait_for};

/// Rules of alerts/, and only where there are none those that the queries are tried with.
fn rule_files(directory: &Path) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_rules = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "yml")
            && fs::read_to_string(path).unwrap().lines().any(|line| line.starts_with("groups:"))
    };
    let found: Vec<PathBuf> = entries.filter(is_rules).collect();
    if !found.is_empty() {
        return found;
    }
    let own = directory.join("rules.yml");
    fs::write(&own, RULES).unwrap();
    vec![own]
}

/// Prometheus as if it had scraped the fleet for a month, with the alerts that fire on it now.
fn month(world: &World) -> Prometheus {
    world.secret("key", "correct horse");
    let text = fleet::configuration();
    let config = config::parse(&text, &world.path("config.toml"), KINDS).unwrap();
    let file = world.path("history.om");
    runtime().block_on(history::write(&world.path("state"), config, Utc::now(), &file));
    history::import(&of_debian_12("promtool"), &file, &world.path("data"));
    fs::remove_file(&file).unwrap();
    let rules = rule_files(world.directory.path());
    let configuration = format!("global: {{ evaluation_interval: 1s }}\nrule_files: {rules:?}\n");
    // The last scrape is not repeated.
    let arguments = ["--query.lookback-delta=45m", "--storage.tsdb.retention.time=60d"];
    let program = of_debian_12("prometheus");
    let prometheus = Prometheus::start(&program, world.directory.path(), &configuration, &arguments);
    wait_for("the watchdog", || {
        let firing = prometheus.instant("ALERTS{alertname=\"BackupSlaWatchdog\", alertstate=\"firing\"}");
        (!firing.is_empty()).then_some(())
    });
    prometheus
}

#[test]
fn the_dashboards_are_drawn_from_a_month_of_history() {
    let world = World { directory: directory() };
    let prometheus = month(&world);
    let address = format!("http://{}", prometheus.address);
    let mut browser = Browser::start();
    for (name, choice) in [("fleet", "source=.+"), ("source", "source=shop")] {
        let page = world.path(&format!("{name}.html"));
        let (is_drawn, said) = python(&[
            "scripts/preview-dashboards",
            "--prometheus",
            &address,
            "--choose",
            choice,
            "--page",
            &page.to_string_lossy(),
            name,
        ]);
        assert!(is_drawn, "{said}");
        browser.look(1440, "dark");
        browser.open(&format!("file://{}", page.display()));
        let empty =
            browser.evaluate("[...document.querySelectorAll('.panel[data-empty]')].map((p) => p.dataset.title)");
        let all_on_its_way = |panel: &&Value| list(&panel["targets"]).iter().all(|it| is_on_its_way(text(it, "expr")));
        let dashboard = model::load(name);
        let expected: Vec<_> =
            panels(&dashboard).into_iter().filter(all_on_its_way).map(|it| text(it, "title")).collect();
        assert_eq!(empty, Value::from(expected), "{name}");
        browser.picture(&format!("dashboard-{name}"));
    }
}
