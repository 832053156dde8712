use super::*;
use crate::domain::sla::Objective;
use crate::exporter::scrape::Exporter;
use crate::state::State;

/// `sources` sources with a point per hour for 30 days.
pub(crate) async fn hourly(dir: &Path, clock: &Arc<SetClock>, sources: usize) -> (Ledger, Arc<Exporter>) {
    let names: Vec<String> = (0..sources).map(|n| format!("source{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let config = config(dir, &names);
    let ledger = Ledger::open(dir, clock.clone()).await.unwrap();
    let points: Vec<PointRow> =
        (0..720).map(|hour| point(&format!("p{hour}"), clock.wall() - TimeDelta::hours(hour))).collect();
    for name in names {
        ledger.ensure_source(name, "mysql", "offsite").await.unwrap();
        ledger.record_promises(name, &config.sources[name].objectives).await.unwrap();
        ledger.reconcile_points(name, &points).await.unwrap();
    }
    let exporter = Exporter::new(State::new(Arc::new(config), clock.clone()));
    (ledger, exporter)
}

#[tokio::test]
async fn a_ratio_follows_the_clock_although_nothing_happens_and_is_in_the_exposition() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let (ledger, exporter) = hourly(dir.path(), &clock, 1).await;
    exporter.state().refresh(&ledger).await.unwrap();
    let ratio = || exporter.state().view().unwrap().met_ratios["source0"][&Objective::Rpo].ratio().unwrap();
    assert!((ratio() - 1.0).abs() < 1e-9, "{}", ratio());
    // The RPO of 24 hours runs out after a day; after three of 30 two are lost.
    clock.advance(3 * 86_400);
    exporter.state().refresh(&ledger).await.unwrap();
    assert!((ratio() - 28.0 / 30.0).abs() < 1e-6, "{}", ratio());
    let text = exporter.render().unwrap();
    let line =
        format!("backup_sla_objective_met_ratio{{source=\"source0\",objective=\"rpo\",window=\"30d\"}} {}", ratio());
    assert!(text.contains(&line), "{line}");
    assert!(text.contains("objective_met_ratio{source=\"source0\",objective=\"drill_interval\",window=\"30d\"} 0\n"));
}
