use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::clock::{Stopwatch, SystemClock};
use crate::domain::schedule::Continuous;
use crate::exporter::catalogue::{self, ALL, MetricKind};
use crate::exporter::collector::collect;
use crate::exporter::exposition::{Exposition, Format};
use crate::exporter::scrape::Exporter;
use crate::ledger::{LedgerSnapshot, TestPages};
use crate::state::State;
use crate::state::View;

/// The seeded ledger; `new` is configured but never ran.
pub(super) async fn seeded_view() -> View {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = seeded(dir.path(), &clock).await;
    let snapshot = ledger.snapshot().await.unwrap();
    let mut config = config(dir.path(), &["agama", "new"]);
    for source in config.sources.values_mut() {
        source.schedule.continuous = Some(Continuous::default());
    }
    View::new(config, snapshot, service(), clock.wall())
}

fn text_of(view: &View) -> String {
    collect(view, Exposition::new(Format::Text)).encode()
}

async fn exposition() -> String {
    text_of(&seeded_view().await)
}

fn assert_samples(text: &str, expected: &[(&str, f64)]) {
    for (series, value) in expected {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let found = line.unwrap_or_else(|| panic!("no series {series} in\n{text}"));
        assert_eq!(found.parse::<f64>(), Ok(*value), "{series}");
    }
}

#[tokio::test]
async fn what_happened_is_exported() {
    let start = START as f64;
    let text = exposition().await;
    let expected = [
        (
            r#"source_info{source="agama",kind="mysql",engine="mysql",repository="offsite",sla="standard",team="payments"}"#,
            1.0,
        ),
        (r#"source_pending{source="agama"}"#, 0.0),
        (r#"change_suspect{source="agama",severity="critical"}"#, 1.0),
        (r#"change_suspect{source="agama",severity="warning"}"#, 0.0),
        (r#"change_suspect{source="new",severity="critical"}"#, 0.0),
        (r#"change_judged{source="agama"}"#, 1.0),
        (r#"change_judged{source="new"}"#, 0.0),
        (r#"change_content_judged{source="agama"}"#, 1.0),
        (r#"change_content_judged{source="new"}"#, 0.0),
        (r#"change_before_timestamp_seconds{source="agama"}"#, start - 108_000.0),
        (r#"change_rows{source="agama"}"#, 10.0),
        (r#"change_rows_lost_ratio{source="agama"}"#, 0.75),
        (r#"change_tables_emptied{source="agama"}"#, 3.0),
        (r#"change_content_replaced_ratio{source="agama"}"#, 0.5),
        (r#"change_compression_ratio{source="agama"}"#, 0.9),
        (r#"backup_added_bytes_total{source="agama",kind="full"}"#, 70_000.0),
        (r#"source_created_timestamp_seconds{source="agama"}"#, start - 108_000.0),
        (r#"missed_runs_total{source="agama",operation="backup"}"#, 0.0),
        (r#"missed_runs_total{source="agama",operation="drill"}"#, 3.0),
        ("ledger_created_timestamp_seconds", start),
        (r#"source_retired{source="agama"}"#, 0.0),
        (r#"rpo_objective_seconds{source="agama"}"#, 86_400.0),
        (r#"slo_objective_ratio{source="agama"}"#, 0.99),
        (r#"recovery_point_timestamp_seconds{source="agama"}"#, start - 3600.0),
        (r#"recovery_point_age_seconds{source="agama"}"#, 4200.0),
        (r#"verified_recovery_point_timestamp_seconds{source="agama"}"#, start - 108_000.0),
        (r#"oldest_recovery_point_timestamp_seconds{source="agama"}"#, start - 108_000.0),
        (r#"recovery_points{source="agama",kind="full"}"#, 2.0),
        (r#"backups_total{source="agama",kind="full"}"#, 2.0),
        (r#"backup_failures_total{source="agama",kind="full"}"#, 1.0),
        (r#"backup_last_run_success{source="agama"}"#, 0.0),
        (r#"backup_last_start_timestamp_seconds{source="agama",kind="full"}"#, start + 100.0),
        (r#"backup_last_success_timestamp_seconds{source="agama",kind="full"}"#, start + 100.0),
        (r#"backup_last_duration_seconds{source="agama",kind="full"}"#, 42.5),
        (r#"backup_last_size_bytes{source="agama",kind="full"}"#, 3_000_000.0),
        (r#"backup_last_added_bytes{source="agama",kind="full"}"#, 70_000.0),
        (r#"drills_total{source="agama"}"#, 2.0),
        (r#"drill_failures_total{source="agama"}"#, 1.0),
        (r#"drill_last_outcome{source="agama",outcome="failed"}"#, 1.0),
        (r#"drill_last_outcome{source="agama",outcome="passed"}"#, 0.0),
        (r#"drill_last_success_timestamp_seconds{source="agama"}"#, start + 200.0),
        (r#"drill_last_rto_seconds{source="agama"}"#, 80.5),
        (r#"drill_stage_duration_seconds{source="agama",stage="load"}"#, 80.0),
        (r#"drill_stage_duration_seconds{source="agama",stage="replay"}"#, 0.0),
        (r#"drill_rto_seconds{source="agama",quantile="0.95"}"#, 80.5),
        (r#"drill_rto_seconds{source="agama",quantile="1"}"#, 80.5),
        (r#"drill_rto_seconds_sum{source="agama"}"#, 80.5),
        (r#"drill_rto_seconds_count{source="agama"}"#, 1.0),
        (r#"verification_checks{source="agama"}"#, 2.0),
        (r#"verification_mismatches{source="agama"}"#, 1.0),
        (r#"verified_rows{source="agama"}"#, 2.0),
        (r#"operation_start_timestamp_seconds{source="agama",operation="restore"}"#, start + 600.0),
        (r#"operation_start_timestamp_seconds{source="agama",operation="backup"}"#, 0.0),
        (r#"repository_up{repository="offsite"}"#, 1.0),
        (r#"repository_size_bytes{repository="offsite"}"#, 123_456_789_012.0),
        ("sandboxes", 1.0),
        ("ledger_last_read_timestamp_seconds", start + 600.0),
        (r#"build_info{version="1.2.3",revision="abc"}"#, 1.0),
    ];
    let full: Vec<(String, f64)> = expected.iter().map(|(name, v)| (format!("backup_sla_{name}"), *v)).collect();
    assert_samples(&text, &full.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_never_happened_is_zero_and_present_for_every_series_that_an_active_source_has() {
    let text = exposition().await;
    let series = |source: &str| -> Vec<String> {
        let label = format!("source=\"{source}\"");
        let of_it = text.lines().filter(|line| line.contains(&label));
        let of_it = of_it.map(|line| line.rsplit_once(' ').unwrap().0.replace(&label, "source"));
        // What is not there has no age, and of what was not compared there is no share.
        let absent = [
            "backup_sla_recovery_point_age_seconds",
            "backup_sla_change_content_replaced_ratio",
            "backup_sla_change_compression_ratio",
        ];
        of_it.filter(|series| !absent.iter().any(|name| series.starts_with(name))).collect()
    };
    assert_eq!(series("new"), series("agama"));
    let promised = ["_objective", "source_info"];
    for line in text.lines().filter(|line| line.contains("source=\"new\"")) {
        if !promised.iter().any(|part| line.contains(part)) {
            assert!(line.ends_with(" 0"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_source_that_is_no_longer_configured_stays_visible_but_makes_no_promise() {
    let text = exposition().await;
    let of_gone = text.lines().filter(|line| line.contains("source=\"gone\"")).collect::<Vec<_>>();
    assert_eq!(
        of_gone,
        [
            r#"backup_sla_source_info{source="gone",kind="influxdb",engine="influxdb",repository="old",sla=""} 1"#,
            r#"backup_sla_source_created_timestamp_seconds{source="gone"} 1789892000"#,
            r#"backup_sla_source_retired{source="gone"} 1"#,
            r#"backup_sla_recovery_points{source="gone",kind="full"} 1"#,
            r#"backup_sla_recovery_points{source="gone",kind="incremental"} 0"#,
        ]
    );
}

#[tokio::test]
async fn an_interrupted_drill_is_inconclusive() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
    let drill = RunStart { source: "agama".into(), operation: Operation::Drill, kind: None, drill: None };
    let run = ledger.begin(&drill).await.unwrap();
    ledger.finish(&run, &RunResult::new(Outcome::Interrupted, 1.0)).await.unwrap();
    let snapshot = ledger.snapshot().await.unwrap();
    let text = text_of(&View::new(config(dir.path(), &["agama"]), snapshot, service(), clock.wall()));
    assert_samples(&text, &[(r#"backup_sla_drill_last_outcome{source="agama",outcome="inconclusive"}"#, 1.0)]);
    assert_samples(&text, &[(r#"backup_sla_drill_failures_total{source="agama"}"#, 0.0)]);
}

#[tokio::test]
async fn what_is_not_known_of_a_repository_is_not_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let now = SetClock::new().wall();
    let snapshot = LedgerSnapshot {
        taken: now,
        created: now,
        revision: 0,
        test_pages: TestPages::default(),
        upkeep: BTreeMap::new(),
        breaks: BTreeMap::new(),
        sources: BTreeMap::new(),
    };
    let mut service = service();
    service.repositories = BTreeMap::from([
        ("offsite".to_owned(), RepositoryState { up: Some(false), ..RepositoryState::awaited(now) }),
        ("removed".to_owned(), RepositoryState { up: Some(true), ..RepositoryState::default() }),
    ]);
    let now = snapshot.taken;
    let text = text_of(&View::new(config(dir.path(), &[]), snapshot, service, now));
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("repository=")).collect();
    let (maintenance, lines): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| line.contains("_maintenance_"));
    // Never happened is 0, and of what never ended nothing is claimed.
    let expected = [("last_success_timestamp_seconds", 0), ("removed_points_total", 0), ("interval_seconds", 86_400)];
    let line = |(name, value)| format!(r#"backup_sla_maintenance_{name}{{repository="offsite"}} {value}"#);
    assert_eq!(maintenance, expected.map(line));
    // That no look at it ended is no look in 1970.
    let expected = [
        ("up", 0),
        ("unseen_since_timestamp_seconds", now.timestamp()),
        ("look_interval_seconds", 600),
        ("check_timestamp_seconds", 0),
        ("check_progress_ratio", 0),
    ];
    let line = |(name, value)| format!(r#"backup_sla_repository_{name}{{repository="offsite"}} {value}"#);
    assert_eq!(lines, expected.map(line));
}

#[tokio::test]
async fn a_new_source_is_pending_and_neither_met_nor_broken_until_its_first_results_are_due() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
    let mut config = config(dir.path(), &["fresh"]);
    let source = config.sources.get_mut("fresh").unwrap();
    (source.objectives.rpo, source.objectives.drill_interval) = (Duration::from_hours(4), Duration::from_hours(30));
    let objectives = source.objectives.clone();
    ledger.ensure_source("fresh", "mysql", "offsite").await.unwrap();
    ledger.record_promises("fresh", &objectives).await.unwrap();
    let exporter = Exporter::new(State::new(Arc::new(config), clock.clone()));
    let met = async || {
        exporter.state().refresh(&ledger).await.unwrap();
        let text = exporter.render().unwrap();
        let of_it = text.lines().filter(|line| {
            ["source_pending{", "objective_met{", "objective_met_ratio{", "objective_met_ratio_judged{"]
                .iter()
                .any(|name| line.starts_with(&format!("backup_sla_{name}")))
        });
        let short = |line: &str| {
            line.replace("backup_sla_", "").replace("source=\"fresh\",", "").replace(",window=\"30d\"", "")
        };
        let all: Vec<String> =
            of_it.map(short).filter(|line| !line.ends_with("\"} 0") || line.contains("met{")).collect();
        all.join(" ")
    };
    assert_eq!(met().await, r#"source_pending{source="fresh"} 1"#);
    clock.advance(4 * 3600);
    assert_eq!(met().await, r#"source_pending{source="fresh"} 1"#, "the limit belongs to the promise");
    clock.advance(1);
    let broken = r#"objective_met{objective="rpo"} 0 objective_met{objective="retention"} 0 objective_met{objective="chain_length"} 0"#;
    let text = met().await;
    assert!(text.contains("source_pending") && text.contains(broken), "{text}");
    clock.advance(26 * 3600);
    let text = met().await;
    assert_eq!(text.matches("objective_met{").count(), 5, "{text}");
    assert!(!text.contains("source_pending{source=\"fresh\"} 1"), "{text}");
}

/// Give `text` to a program; what it says.
pub(super) fn pipe(mut program: Command, text: &str) -> String {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program:?}: {}: {said}", output.status);
    writer.join().unwrap().unwrap();
    said
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    // Debian package `prometheus`.
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    assert_eq!(pipe(promtool, &exposition().await), "");
}

#[tokio::test]
async fn the_full_exposition_has_every_metric_of_the_catalogue_and_no_other() {
    let text = exposition().await;
    let exported: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let declared: Vec<String> = ALL.iter().map(|metric| format!("{} {}", metric.name, metric.kind.name())).collect();
    assert_eq!(exported, declared);
}

#[test]
fn declarations_follow_the_naming_rules() {
    for metric in ALL {
        let name = metric.name;
        assert!(name.starts_with("backup_sla_") || name.starts_with("process_"), "{name}");
        assert_eq!(metric.kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
        let unit = match metric.unit {
            "1" => "",
            unit => unit,
        };
        assert!(name.trim_end_matches("_total").ends_with(unit), "{name} in {unit}");
        assert!(!metric.labels.iter().any(|label| ["job", "instance", "quantile"].contains(label)), "{name}");
        assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{name}: {}", metric.help);
    }
}

#[test]
fn the_documentation_has_the_table_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let written = std::fs::read_to_string(path).unwrap();
    let table: String = written.lines().filter(|line| line.starts_with('|')).flat_map(|line| [line, "\n"]).collect();
    let expected = catalogue::documentation();
    assert!(table == expected, "docs/metrics.md should have this table:\n\n{expected}");
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, after) = readme.split_once("<!-- metrics: made from the code, see docs/metrics.md -->\n").unwrap();
    let shown = after.split_once("<!-- end of metrics -->").unwrap().0;
    assert!(shown.trim() == expected.trim(), "README.md should have the table of docs/metrics.md between its marks");
}

#[tokio::test]
async fn a_thousand_sources_are_collected_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let mut snapshot = seeded(dir.path(), &clock).await.snapshot().await.unwrap();
    let names: Vec<String> = (0..1000).map(|n| format!("source-{n}")).collect();
    let agama = snapshot.sources["agama"].clone();
    snapshot.sources = names.iter().map(|name| (name.clone(), agama.clone())).collect();
    let config = config(dir.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let view = View::new(config, snapshot, service(), clock.wall());
    let watch = Stopwatch::start(&SystemClock::shared());
    let text = text_of(&view);
    println!("1 000 sources: written down in {:?}, {} bytes", watch.elapsed(), text.len());
    assert!(text.lines().filter(|line| line.starts_with("backup_sla_drills_total{")).count() == 1000);
    assert!(watch.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_was_done_to_a_repository_is_told_and_parts_that_were_read_too_long_ago_count_no_more() {
    let mut view = seeded_view().await;
    let text = text_of(&view);
    assert_samples(
        &text,
        &[
            (r#"backup_sla_repository_check_success{repository="offsite"}"#, 1.0),
            (r#"backup_sla_repository_check_progress_ratio{repository="offsite"}"#, 0.25),
            (r#"backup_sla_maintenance_last_run_success{repository="offsite"}"#, 1.0),
            (r#"backup_sla_maintenance_removed_points_total{repository="offsite"}"#, 3.0),
            (r#"backup_sla_maintenance_interval_seconds{repository="offsite"}"#, 86_400.0),
            (r#"backup_sla_maintenance_removed_points_total{repository="new"}"#, 0.0),
        ],
    );
    view.now += TimeDelta::days(31);
    assert_samples(&text_of(&view), &[(r#"backup_sla_repository_check_progress_ratio{repository="offsite"}"#, 0.0)]);
}
