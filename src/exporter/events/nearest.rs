//! The transactions nearest to a time, of many that come in order.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Found, FoundTransaction};

/// Keeps those nearest to a time, in bounded memory.
pub struct Nearest {
    around: DateTime<Utc>,
    most: usize,
    kept: VecDeque<FoundTransaction>,
    /// Some before, and some after those that are kept, are left out.
    before: bool,
    after: bool,
}

impl Nearest {
    /// At most `most`, which is not 0, near `around`.
    pub fn new(around: DateTime<Utc>, most: usize) -> Self {
        Self { around, most, kept: VecDeque::new(), before: false, after: false }
    }

    /// Whether one of this time may be nearer than those that are kept: where none is, none that comes later is either.
    pub fn wants(&self, time: DateTime<Utc>) -> bool {
        let is_nearer = |front: &FoundTransaction| self.distance(front.0.time) > self.distance(time);
        // Times in a log may go back a little: before the time that is asked for nothing is over.
        self.kept.len() < self.most || time < self.around || self.kept.front().is_some_and(is_nearer)
    }

    /// The next one, if it [is wanted](Self::wants).
    pub fn push(&mut self, next: FoundTransaction) {
        if !self.wants(next.0.time) {
            self.after = true;
            return;
        }
        self.kept.push_back(next);
        if self.kept.len() > self.most {
            self.kept.pop_front();
            self.before = true;
        }
    }

    /// What was kept.
    pub fn found(self) -> Found {
        Found { transactions: self.kept.into(), is_cut_before: self.before, is_cut_after: self.after, uncovered: None }
    }

    fn distance(&self, time: DateTime<Utc>) -> TimeDelta {
        (time - self.around).abs()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::logged::LoggedTransaction;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn transaction(second: i64) -> FoundTransaction {
        let logged = LoggedTransaction {
            time: at(second),
            position: format!("log.000001:{second}"),
            gtid: None,
            tables: BTreeMap::new(),
            statements: Vec::new(),
            statement_format: false,
        };
        (logged, Vec::new())
    }

    fn nearest(seconds: &[i64], around: i64, most: usize) -> (Vec<i64>, bool, bool) {
        let mut nearest = Nearest::new(at(around), most);
        for second in seconds {
            nearest.push(transaction(*second));
        }
        let found = nearest.found();
        let kept = found.transactions.iter().map(|(it, _)| it.time.timestamp()).collect();
        (kept, found.is_cut_before, found.is_cut_after)
    }

    #[test]
    fn what_is_nearest_is_kept_and_it_is_told_on_which_side_there_is_more() {
        assert_eq!(nearest(&[1, 2, 3, 4, 5, 6, 7, 8], 4, 3), (vec![3, 4, 5], true, true));
        assert_eq!(nearest(&[1, 2, 3], 9, 2), (vec![2, 3], true, false));
        assert_eq!(nearest(&[1, 2, 3], 0, 2), (vec![1, 2], false, true));
        assert_eq!(nearest(&[1, 2], 1, 2), (vec![1, 2], false, false));
    }

    #[test]
    fn of_many_at_the_very_time_those_that_came_first_are_kept() {
        assert_eq!(nearest(&[3, 4, 4, 4, 4], 4, 2), (vec![4, 4], true, true));
    }

    proptest! {
        #[test]
        fn none_that_is_left_out_is_nearer_than_one_that_is_kept(
            mut seconds in prop::collection::vec(0_i64..60, 0..80),
            around in 0_i64..60,
            most in 1_usize..20,
        ) {
            seconds.sort_unstable();
            let (kept, before, after) = nearest(&seconds, around, most);
            prop_assert_eq!(kept.len(), seconds.len().min(most));
            prop_assert_eq!(before || after, seconds.len() > most);
            let mut distances: Vec<i64> = seconds.iter().map(|second| (second - around).abs()).collect();
            distances.sort_unstable();
            let mut of_kept: Vec<i64> = kept.iter().map(|second| (second - around).abs()).collect();
            of_kept.sort_unstable();
            prop_assert_eq!(&of_kept[..], &distances[..of_kept.len()]);
        }
    }
}
