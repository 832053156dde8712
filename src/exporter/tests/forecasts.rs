use super::*;
use crate::domain::drill::Stage;
use crate::domain::forecast::{Forecast, MAX_AGE, Size};
use crate::exporter::scrape::Exporter;
use crate::state::State;

const DAY: i64 = 86_400;

/// A drill of `bytes` that loaded for `seconds` and ended as told.
async fn drilled(ledger: &Ledger, clock: &SetClock, outcome: Outcome, bytes: u64, seconds: f64) {
    let start = RunStart { source: "agama".into(), operation: Operation::Drill, kind: None, drill: None };
    let run = ledger.begin(&start).await.unwrap();
    clock.advance(60);
    let stages = vec![(Stage::Provision.name().to_owned(), 2.0), (Stage::Load.name().to_owned(), seconds)];
    let result = RunResult {
        logical_bytes: bytes,
        // A failed drill may have measured one too: everything agreed, and then the listing was damaged.
        rto_seconds: Some(2.0 + seconds),
        stages,
        ..RunResult::new(outcome, 3.0 + seconds)
    };
    ledger.finish(&run, &result).await.unwrap();
}

struct Place {
    ledger: Ledger,
    exporter: Arc<Exporter>,
    clock: Arc<SetClock>,
    _dir: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
        ledger.ensure_source("agama", "mysql", "offsite").await.unwrap();
        let exporter = Exporter::new(State::new(Arc::new(config(dir.path(), &["agama", "new"])), clock.clone()));
        Self { ledger, exporter, clock, _dir: dir }
    }

    async fn lists(&self, points: &[(&str, i64, u64)]) {
        let row = |(id, days_ago, bytes): &(&str, i64, u64)| PointRow {
            logical_bytes: *bytes,
            ..point(id, self.clock.wall() - TimeDelta::days(*days_ago))
        };
        let points: Vec<PointRow> = points.iter().map(row).collect();
        self.ledger.reconcile_points("agama", &points).await.unwrap();
    }

    /// So many that passed, of 1000 bytes in 12 s.
    async fn drills(&self, count: usize) {
        for _ in 0..count {
            drilled(&self.ledger, &self.clock, Outcome::Passed, 1000, 10.0).await;
        }
    }

    async fn forecast(&self) -> Option<Forecast> {
        self.exporter.state().refresh(&self.ledger).await.unwrap();
        self.exporter.state().view().unwrap().forecasts.get("agama").copied()
    }
}

#[tokio::test]
async fn the_forecast_is_for_the_newest_point_and_rests_on_passed_drills_alone() {
    let place = Place::new().await;
    assert_eq!(place.forecast().await, None, "nothing is known");
    place.drills(3).await;
    assert_eq!(place.forecast().await, None, "there is nothing to restore");
    place.lists(&[("old", 3, 1000), ("new", 1, 2000)]).await;
    let first = place.forecast().await.unwrap();
    assert_eq!((first.drills, first.error_ratio), (3, Some(0.0)));
    assert_eq!(first.size, Size { logical_bytes: 2000, chain_length: 0, replay_bytes: 0 });
    // Loading goes by bytes after its first two seconds, provisioning does not.
    assert!((first.rto_seconds - 20.0).abs() < 1e-9, "{first:?}");
    for outcome in [Outcome::Failed, Outcome::Inconclusive, Outcome::Interrupted] {
        drilled(&place.ledger, &place.clock, outcome, 2000, 9000.0).await;
    }
    assert_eq!(place.forecast().await, Some(first));
    place.clock.advance(DAY);
    drilled(&place.ledger, &place.clock, Outcome::Passed, 2000, 23.0).await;
    let second = place.forecast().await.unwrap();
    assert_eq!(second.drills, 4);
    assert!((second.error_ratio.unwrap() - 5.0 / 25.0).abs() < 1e-9, "{second:?}");
}

#[tokio::test]
async fn a_forecast_is_exported_as_it_is_and_zero_where_there_is_none() {
    let place = Place::new().await;
    place.drills(2).await;
    place.lists(&[("point", 1, 1000)]).await;
    assert_eq!(place.forecast().await, None, "two drills are too few");
    place.drills(1).await;
    place.forecast().await.unwrap();
    let text = place.exporter.render().unwrap();
    let stretch = 2.0_f64.powf(17.0 / 19.0);
    let figures = [
        ("rto_seconds", 12.0),
        ("rto_low_seconds", 12.0 / stretch),
        ("rto_high_seconds", 12.0 * stretch),
        ("error_ratio", 0.0),
        ("drills", 3.0),
    ];
    for (name, value) in figures {
        let of = |source: &str| -> f64 {
            let series = format!("\nbackup_sla_forecast_{name}{{source=\"{source}\"}} ");
            let (_, rest) = text.split_once(&series).unwrap_or_else(|| panic!("{series}{text}"));
            rest.lines().next().unwrap().parse().unwrap()
        };
        assert!((of("agama") - value).abs() < 1e-9, "{name}: {}", of("agama"));
        assert!(of("new") < f64::MIN_POSITIVE, "{name}");
    }
}

#[tokio::test]
async fn a_forecast_follows_the_ledger_and_ends_when_its_last_drill_is_too_old() {
    let place = Place::new().await;
    place.drills(3).await;
    place.lists(&[("a", 2, 1000)]).await;
    let small = place.forecast().await.unwrap();
    place.lists(&[("a", 2, 1000), ("b", 1, 5000)]).await;
    let large = place.forecast().await.unwrap();
    assert!(large.rto_seconds > small.rto_seconds, "{large:?}");
    place.lists(&[("a", 2, 1000)]).await;
    assert_eq!(place.forecast().await, Some(small), "the newest point is gone again");
    // The first of the three drills ended two minutes before the last.
    place.clock.advance(MAX_AGE.num_seconds() - 121);
    assert_eq!(place.forecast().await, Some(small));
    place.clock.advance(1);
    place.clock.advance(61);
    assert_eq!(place.forecast().await, None);
    // A clock that is put back makes it young again.
    place.clock.advance(-2 * DAY);
    assert_eq!(place.forecast().await, Some(small));
}
