//! What was reached, beside what was promised: the largest age of the newest recovery point, and what there was at a
//! moment.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Facts, Lifetime};

/// How old the newest recovery point became in some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Achieved {
    /// The largest age; none where there never was a recovery point.
    pub worst_age: Option<TimeDelta>,
    /// When it was that old.
    pub worst_at: Option<DateTime<Utc>>,
    /// For how long there was no recovery point at all.
    pub without: TimeDelta,
}

/// What could be restored at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// As-of time of the newest recovery point.
    pub newest: Option<DateTime<Utc>>,
    /// As-of time of the oldest.
    pub oldest: Option<DateTime<Utc>>,
    /// Increments on top of the newest full.
    pub chain_length: u32,
    /// How many recovery points there were.
    pub points: usize,
}

impl Facts {
    /// What could be restored at `at`.
    pub fn standing(&self, at: DateTime<Utc>) -> Standing {
        let mut standing = Standing::default();
        for point in self.points.iter().filter(|point| point.is_there(at)) {
            standing.points += 1;
            standing.oldest = Some(standing.oldest.map_or(point.as_of, |oldest| oldest.min(point.as_of)));
            if standing.newest.is_none_or(|newest| newest < point.as_of) {
                (standing.newest, standing.chain_length) = (Some(point.as_of), point.chain_length);
            } else if standing.newest == Some(point.as_of) {
                standing.chain_length = standing.chain_length.max(point.chain_length);
            }
        }
        standing
    }

    /// How old the newest recovery point became between `from` and `to`. Between two changes it only grows older, so it
    /// was oldest just before one of them.
    pub fn achieved(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Achieved {
        let mut moments: Vec<DateTime<Utc>> = vec![from, to];
        for point in &self.points {
            moments
                .extend([Some(point.available), point.gone].into_iter().flatten().filter(|at| (from..to).contains(at)));
        }
        moments.sort();
        moments.dedup();
        let mut achieved = Achieved::default();
        for pair in moments.windows(2) {
            let (begin, end) = (pair[0], pair[1]);
            match self.standing(begin).newest {
                None => achieved.without += end - begin,
                Some(newest) if achieved.worst_age.is_none_or(|worst| worst < end - newest) => {
                    (achieved.worst_age, achieved.worst_at) = (Some(end - newest), Some(end));
                }
                Some(_) => {}
            }
        }
        achieved
    }
}

impl Lifetime {
    fn is_there(&self, at: DateTime<Utc>) -> bool {
        self.available <= at && self.gone.is_none_or(|gone| gone > at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + hours * 3600, 0).unwrap()
    }

    fn facts(points: &[(i64, i64, Option<i64>)]) -> Facts {
        let life = |(as_of, available, gone): &(i64, i64, Option<i64>)| Lifetime {
            as_of: at(*as_of),
            chain_length: 0,
            available: at(*available),
            gone: gone.map(at),
        };
        Facts {
            created: at(0),
            ledger_began: at(0),
            had_points: false,
            promises: Vec::new(),
            points: points.iter().map(life).collect(),
            gaps: Vec::new(),
            moments: Vec::new(),
            drills: Vec::new(),
        }
    }

    #[test]
    fn the_newest_point_is_oldest_just_before_the_next_one_is_there() {
        let facts = facts(&[(0, 1, None), (24, 26, None), (48, 49, None)]);
        let achieved = facts.achieved(at(10), at(60));
        assert_eq!((achieved.worst_age, achieved.worst_at), (Some(TimeDelta::hours(26)), Some(at(26))));
        assert_eq!(achieved.without, TimeDelta::zero());
        let end = facts.achieved(at(50), at(100));
        assert_eq!((end.worst_age, end.worst_at), (Some(TimeDelta::hours(52)), Some(at(100))));
    }

    #[test]
    fn a_point_that_goes_away_makes_the_newest_one_older_and_without_any_there_is_no_age() {
        let facts = facts(&[(0, 1, None), (24, 25, Some(30))]);
        assert_eq!(facts.achieved(at(25), at(31)).worst_age, Some(TimeDelta::hours(31)));
        assert_eq!(facts.standing(at(29)).newest, Some(at(24)));
        assert_eq!(
            facts.standing(at(30)),
            Standing { newest: Some(at(0)), oldest: Some(at(0)), chain_length: 0, points: 1 }
        );
        let early = facts.achieved(at(-5), at(1));
        assert_eq!((early.worst_age, early.without), (None, TimeDelta::hours(6)));
    }

    #[test]
    fn of_points_of_one_time_the_longest_chain_counts_and_the_newest_time_whatever_the_order() {
        let there = |points: &[(i64, u32)]| {
            let mut facts = facts(&[]);
            let life = |(as_of, chain_length): &(i64, u32)| {
                let as_of = at(*as_of);
                Lifetime { as_of, chain_length: *chain_length, available: as_of, gone: None }
            };
            facts.points = points.iter().map(life).collect();
            facts.standing(at(50))
        };
        let longest = Standing { newest: Some(at(5)), oldest: Some(at(1)), chain_length: 4, points: 4 };
        assert_eq!(there(&[(1, 9), (5, 2), (5, 4), (3, 8)]), longest);
        assert_eq!(there(&[(5, 4), (3, 8), (5, 2), (1, 9)]), longest);
        assert_eq!(there(&[]), Standing::default());
    }

    #[test]
    fn a_point_is_there_from_the_moment_it_can_be_restored_until_it_is_gone() {
        let facts = facts(&[(0, 2, Some(5))]);
        let points = [1, 2, 4, 5].map(|hour| facts.standing(at(hour)).points);
        assert_eq!(points, [0, 1, 1, 0]);
        let achieved = facts.achieved(at(0), at(9));
        assert_eq!((achieved.worst_age, achieved.worst_at), (Some(TimeDelta::hours(5)), Some(at(5))));
        assert_eq!(achieved.without, TimeDelta::hours(6), "two before it and four after it");
        assert_eq!(facts.achieved(at(3), at(3)), Achieved::default(), "no time at all");
    }

    #[test]
    fn the_worst_age_is_the_first_of_several_that_are_equal() {
        let facts = facts(&[(0, 0, None), (10, 10, None), (20, 20, None)]);
        let achieved = facts.achieved(at(0), at(30));
        assert_eq!((achieved.worst_age, achieved.worst_at), (Some(TimeDelta::hours(10)), Some(at(10))));
        // A change at the very beginning is the state of the beginning, one at the very end comes too late.
        let short = facts.achieved(at(10), at(20));
        assert_eq!((short.worst_age, short.worst_at), (Some(TimeDelta::hours(10)), Some(at(20))));
    }
}
