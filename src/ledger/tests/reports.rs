//! What a report reads of runs.

use super::*;

#[tokio::test]
async fn a_report_has_the_totals_of_each_run_and_says_which_ended_badly() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = open(dir.path(), &clock).await;
    ledger.ensure_source("agama", "mysql", "onsite").await.unwrap();
    let from = clock.wall();
    let rows = |expected, restored| TableResult { rows_expected: expected, rows_restored: restored, ..table("shop.t") };
    let other = TableResult { name: "shop.u".into(), ..rows(40, 39) };
    let slow = RunResult { over_rto: true, tables: vec![rows(2, 1), other], ..passed("a", 9.0) };
    ran(&ledger, drill("agama"), slow).await;
    ran(&ledger, drill("agama"), failed("a")).await;
    let running = ledger.begin(&backup("agama")).await.unwrap();
    clock.advance(60);

    let runs = ledger.runs_between("agama", from, clock.wall()).await.unwrap();
    let reported = ledger.report_on(runs).await.unwrap();
    let totals: Vec<_> =
        reported.iter().map(|one| (one.tables.tables, one.tables.rows_expected, one.tables.rows_restored)).collect();
    assert_eq!(totals, [(2, 42, 40), (0, 0, 0)]);
    let said: Vec<_> = reported.iter().map(|one| (one.run.is_drill(), one.run.over_rto, one.run.is_bad())).collect();
    assert_eq!(said, [(true, true, false), (true, false, true)]);
    let mut unended = reported[0].run.clone();
    unended.outcome = None;
    assert!(!unended.is_bad(), "what still runs is not bad");
    drop(running);
}
