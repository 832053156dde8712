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
}
