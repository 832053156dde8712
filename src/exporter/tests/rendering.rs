//! What is kept ready between scrapes is never older than it may be.

use std::io::Read;

use super::exposition::seeded_view;
use super::*;
use crate::domain::schedule::Work;
use crate::exporter::catalogue as m;
use crate::exporter::collector::{collect, collect_lasting, collect_momentary, collect_timed};
use crate::exporter::exposition::{Exposition, Family, Format};
use crate::exporter::rendering::{Form, INTERVAL, is_momentary, is_timed};
use crate::exporter::scrape::Exporter;
use crate::state::State;
use crate::state::View;
use crate::state::service::{Progress, Reload, SchedulerState};

const FORMS: [Form; 4] = [
    Form { format: Format::Text, gzip: false },
    Form { format: Format::Text, gzip: true },
    Form { format: Format::OpenMetrics, gzip: false },
    Form { format: Format::OpenMetrics, gzip: true },
];

fn families(view: &View) -> Vec<Family> {
    collect(view, Exposition::new(Format::Text)).into_families().collect()
}

/// Metrics whose text is another one in `b`.
fn differing(a: &View, b: &View) -> Vec<&'static m::Metric> {
    let pairs = families(a).into_iter().zip(families(b));
    pairs.filter(|(a, b)| a.text != b.text).map(|(family, _)| family.metric).collect()
}

#[tokio::test]
async fn every_metric_that_depends_on_the_moment_is_written_for_every_scrape() {
    let view = seeded_view().await;
    for days in [1, 40, 400] {
        let later = View { now: view.now + TimeDelta::days(days), ..view.clone() };
        let lasting = |metric: &&m::Metric| !is_momentary(metric) && !is_timed(metric);
        let kept: Vec<_> = differing(&view, &later).into_iter().filter(lasting).collect();
        assert_eq!(kept, Vec::<&m::Metric>::new());
    }
}

#[tokio::test]
async fn each_metric_is_written_with_its_kind_alone_and_then_says_the_same() {
    let view = seeded_view().await;
    let whole = families(&view);
    let compare = |collect_kind: fn(&View, Exposition) -> Exposition, is_of_kind: &dyn Fn(&m::Metric) -> bool| {
        let written = collect_kind(&view, Exposition::new(Format::Text)).into_families();
        for (Family { metric, text }, whole) in written.zip(&whole) {
            let expected = if is_of_kind(metric) { whole.text.as_str() } else { "" };
            assert_eq!(text, expected, "{}", metric.name);
        }
    };
    compare(collect_momentary, &is_momentary);
    compare(collect_timed, &is_timed);
    compare(collect_lasting, &|metric| !is_momentary(metric) && !is_timed(metric));
}

#[tokio::test]
async fn of_what_the_service_knows_only_due_times_and_what_runs_may_lag() {
    let mut view = seeded_view().await;
    view.service = ServiceState::default();
    let mut other = view.clone();
    other.service = service();
    other.service.scheduler = Some(SchedulerState {
        last_tick: Some(view.now),
        next_runs: BTreeMap::from([
            (("agama".to_owned(), Work::FullBackup), view.now),
            (("agama".to_owned(), Work::Drill), view.now),
        ]),
    });
    other.service.running.push(Progress {
        source: "agama".into(),
        operation: Operation::Backup,
        kind: None,
        started: view.now,
        phase: "backup".into(),
        done_bytes: 1,
        total_bytes: Some(2),
    });
    other.service.last_reload = Some(Reload { at: view.now, error: Some("no".into()) });
    let running = [&m::OPERATION_START, &m::OPERATION_PROGRESS];
    let may_lag = [[&m::BACKUP_NEXT_RUN, &m::DRILL_NEXT_RUN], running, [&m::BUILD_INFO; 2]].concat();
    let differing = differing(&view, &other);
    assert!(differing.len() > 12, "{differing:?}");
    let lagging = differing.into_iter().filter(|metric| !is_momentary(metric) && !may_lag.contains(metric));
    assert_eq!(lagging.collect::<Vec<_>>(), Vec::<&m::Metric>::new());
}

#[tokio::test]
async fn a_promise_that_breaks_as_time_passes_is_shown_broken_within_the_interval() {
    let exported = exported().await;
    let series = r#"backup_sla_objective_met{source="agama",objective="rpo"}"#;
    for form in FORMS {
        assert!(value(&scraped(&exported.exporter, form), series) > 0);
    }
    exported.clock.advance(86_400);
    assert!(Duration::from_hours(24) > INTERVAL);
    for form in FORMS {
        assert!(value(&scraped(&exported.exporter, form), series) < 1);
    }
}

struct Exported {
    exporter: Arc<Exporter>,
    ledger: Ledger,
    clock: Arc<SetClock>,
    _dir: tempfile::TempDir,
}

async fn exported() -> Exported {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = seeded(dir.path(), &clock).await;
    let exporter = Exporter::new(State::new(Arc::new(config(dir.path(), &["agama", "new"])), clock.clone()));
    exporter.state().refresh(&ledger).await.unwrap();
    Exported { exporter, ledger, clock, _dir: dir }
}

fn scraped(exporter: &Exporter, form: Form) -> String {
    let bytes = exporter.scrape(form).unwrap().concat();
    let mut text = String::new();
    if form.gzip {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text
}

fn value(text: &str, series: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn every_form_is_the_whole_exposition_at_every_scrape() {
    let exported = exported().await;
    let without_process = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("process_")).map(str::to_owned).collect()
    };
    for seconds in [0, 7, 100_000] {
        exported.clock.advance(seconds);
        let text = without_process(&exported.exporter.render().unwrap());
        for form in FORMS {
            let scraped = scraped(&exported.exporter, form);
            assert_eq!(scraped.ends_with("# EOF\n"), form.format == Format::OpenMetrics);
            if form.format == Format::Text {
                assert_eq!(without_process(&scraped), text, "{form:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_scrape_right_after_a_change_of_the_ledger_or_the_configuration_shows_it() {
    let exported = exported().await;
    for form in FORMS {
        scraped(&exported.exporter, form);
    }
    let drill = RunStart { source: "agama".into(), operation: Operation::Drill, kind: None, drill: None };
    exported.ledger.begin(&drill).await.unwrap();
    exported.exporter.state().refresh(&exported.ledger).await.unwrap();
    for form in FORMS {
        assert_eq!(value(&scraped(&exported.exporter, form), "backup_sla_drills_total{source=\"agama\"}"), 3);
    }
    exported.exporter.state().set_config(Arc::new(config(Path::new("/none"), &["agama"])));
    for form in FORMS {
        assert!(!scraped(&exported.exporter, form).contains("source=\"new\""));
    }
}

#[tokio::test]
async fn ages_and_ticks_move_although_nothing_else_does() {
    let exported = exported().await;
    let form = FORMS[3];
    for _ in 0..3 {
        exported.clock.advance(10);
        let now = exported.clock.wall();
        exported.exporter.state().update_service(|service| {
            service.scheduler = Some(SchedulerState { last_tick: Some(now), ..SchedulerState::default() });
        });
        let text = scraped(&exported.exporter, form);
        let now = now.timestamp();
        assert_eq!(value(&text, "backup_sla_scheduler_last_tick_timestamp_seconds"), now);
        assert_eq!(value(&text, "backup_sla_recovery_point_age_seconds{source=\"agama\"}"), now - START + 3600);
        assert_eq!(value(&text, "backup_sla_ledger_last_read_timestamp_seconds"), START + 600);
    }
}

#[tokio::test]
async fn due_times_follow_in_the_background() {
    let exported = exported().await;
    let series = "backup_sla_drill_next_run_timestamp_seconds{source=\"agama\"}";
    assert_eq!(value(&scraped(&exported.exporter, FORMS[1]), series), 0);
    let due = exported.clock.wall();
    exported.exporter.state().update_service(|service| {
        let next_runs = BTreeMap::from([(("agama".to_owned(), Work::Drill), due)]);
        service.scheduler = Some(SchedulerState { last_tick: None, next_runs });
    });
    let background = tokio::spawn(exported.exporter.clone().keep_rendered());
    let seen = async {
        while value(&scraped(&exported.exporter, FORMS[1]), series) == 0 {
            // The scheduler looks twice a second and says so each time.
            exported.exporter.state().update_service(|_| {});
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the due time is never served");
    background.abort();
}
