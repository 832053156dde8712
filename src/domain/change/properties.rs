//! What holds whatever the numbers are.

use proptest::prelude::*;

use super::tests::{Table, backup, judge};
use super::*;

const NAMES: [&str; 4] = ["d.a", "d.b", "e.c", "e.d"];

fn day(day: usize, rows: &[u64], new: u64) -> Manifest {
    let tables: Vec<(&str, Table)> = NAMES.into_iter().zip(rows).map(|(name, rows)| (name, Table::of(*rows))).collect();
    backup(i64::try_from(day).unwrap(), &tables, Some((new, 0.3)))
}

/// Rows of each table on each day.
fn rows() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(0..400_u64, NAMES.len()), 4..9)
}

fn last(days: &[Vec<u64>]) -> Assessment {
    let days: Vec<Manifest> = days.iter().enumerate().map(|(at, rows)| day(at, rows, 10)).collect();
    let (now, past) = days.split_last().unwrap();
    judge(past, now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn growth_alone_is_never_suspect(steps in rows()) {
        let mut grown = vec![0; NAMES.len()];
        let days: Vec<Vec<u64>> = steps.iter().map(|step| {
            grown.iter_mut().zip(step).for_each(|(rows, more)| *rows += more);
            grown.clone()
        }).collect();
        let found = last(&days);
        prop_assert_eq!(found.state, State::Quiet, "{:?}", found);
    }

    #[test]
    fn what_happened_before_in_the_window_is_not_suspect(days in rows()) {
        // The same days once more.
        let twice: Vec<Vec<u64>> = days.iter().chain(&days).cloned().collect();
        prop_assert!(last(&twice).rows_lost < 1e-9);
    }

    #[test]
    fn ten_times_as_many_rows_are_as_suspect(days in rows()) {
        let large: Vec<Vec<u64>> = days.iter().map(|day| day.iter().map(|rows| rows * 10).collect()).collect();
        let (small, large) = (last(&days), last(&large));
        prop_assert!(large.state >= small.state, "{:?} {:?}", small, large);
        prop_assert!((large.rows_lost - small.rows_lost).abs() < 0.2, "{:?} {:?}", small, large);
    }

    #[test]
    fn the_order_of_the_tables_says_nothing(days in rows()) {
        let turned: Vec<Manifest> = days.iter().enumerate().map(|(at, rows)| {
            let mut turned = day(at, rows, 10);
            turned.inventory_mut().tables.reverse();
            turned
        }).collect();
        let (now, past) = turned.split_last().unwrap();
        let turned = judge(past, now);
        prop_assert_eq!((turned.state, turned.reasons), (last(&days).state, last(&days).reasons));
    }

    #[test]
    fn losing_more_is_never_less_suspect(days in rows(), keep in 0..400_u64) {
        let mut worse = days.clone();
        worse.last_mut().unwrap().iter_mut().for_each(|rows| *rows = (*rows).min(keep));
        let (better, worse) = (last(&days), last(&worse));
        prop_assert!(worse.rows_lost >= better.rows_lost - 1e-9, "{:?} {:?}", better, worse);
    }

    #[test]
    fn shares_are_shares_whatever_comes(days in rows(), zeros in any::<bool>()) {
        let mut days = days;
        if zeros {
            days.iter_mut().flatten().for_each(|rows| *rows = 0);
        }
        let found = last(&days);
        for share in [Some(found.rows_lost), found.bytes_lost, found.replaced].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share), "{:?}", found);
        }
    }
}
