//! The age of the newest recovery point over time: it grows by a second per second and falls when a backup is published.

use chrono::{DateTime, Days, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::display::seconds;

/// A recovery point as it came into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Published {
    /// From when on it could be restored.
    pub at: DateTime<Utc>,
    /// As-of time of its data.
    pub as_of: DateTime<Utc>,
}

/// The curve: times, never going back, with the age in seconds. Where it falls, one time is there twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sawtooth {
    /// Corners.
    pub corners: Vec<(DateTime<Utc>, f64)>,
    /// When something newer was published.
    pub falls: Vec<DateTime<Utc>>,
}

/// One day of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Day {
    /// Its begin; that of the curve on the first day.
    pub from: DateTime<Utc>,
    /// The largest age.
    pub largest: f64,
    /// Recovery points that were published.
    pub published: usize,
}

impl Sawtooth {
    /// The curve from `from`, or from the first point, to `now`. `listed` is the newest point that is really there: where
    /// it is older than what was published, the end of the curve says so.
    pub(super) fn new(
        mut published: Vec<Published>,
        from: DateTime<Utc>,
        now: DateTime<Utc>,
        listed: Option<DateTime<Utc>>,
    ) -> Self {
        published.retain(|it| it.at <= now);
        published.sort();
        let before = published.iter().filter(|it| it.at <= from).map(|it| it.as_of).max();
        let mut newest = before;
        let mut curve = Self::default();
        if let Some(as_of) = before {
            curve.corners.push((from, seconds(as_of, from)));
        }
        for it in published.iter().filter(|it| it.at > from) {
            if newest.is_some_and(|newest| newest >= it.as_of) {
                continue;
            }
            if let Some(old) = newest {
                curve.corners.push((it.at, seconds(old, it.at)));
            }
            curve.corners.push((it.at, seconds(it.as_of, it.at)));
            curve.falls.push(it.at);
            newest = Some(it.as_of);
        }
        if let Some(newest) = newest {
            curve.corners.push((now, seconds(newest, now)));
            if let Some(listed) = listed.filter(|listed| *listed < newest) {
                curve.corners.push((now, seconds(listed, now)));
            }
        }
        curve
    }

    /// The largest age.
    pub(super) fn largest(&self) -> f64 {
        self.corners.iter().map(|(_, age)| *age).fold(0.0, f64::max)
    }

    /// Day by day as the calendar of `zone` has it, the newest first.
    pub(super) fn days(&self, zone: Tz) -> Vec<Day> {
        let (Some((first, _)), Some((last, _))) = (self.corners.first(), self.corners.last()) else {
            return Vec::new();
        };
        let mut days = Vec::new();
        let mut from = *first;
        while from <= *last {
            let Some(end) = next_midnight(from, zone) else { break };
            let inside = |time: DateTime<Utc>| from <= time && time < end;
            let corners = self.corners.iter().filter(|(time, _)| inside(*time)).map(|(_, age)| *age);
            // At midnight the curve has no corner, but is as high as it gets on many a day.
            let at_end = self.corners.windows(2).find(|pair| pair[0].0 < end && end <= pair[1].0);
            let at_end = at_end.map(|pair| pair[0].1 + seconds(pair[0].0, end));
            let largest = corners.chain(at_end).fold(0.0, f64::max);
            let published = self.falls.iter().filter(|time| inside(**time)).count();
            days.push(Day { from, largest, published });
            from = end;
        }
        days.reverse();
        days
    }
}

/// When the next day begins; where the clock skips midnight, an hour later.
fn next_midnight(time: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
    let day = time.with_timezone(&zone).date_naive().checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0)?;
    let begin = |wall| zone.from_local_datetime(&wall).earliest();
    begin(day).or_else(|| begin(day + TimeDelta::hours(1))).map(|begin| begin.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn published(at_hour: i64, as_of_hour: i64) -> Published {
        Published { at: at(at_hour), as_of: at(as_of_hour) }
    }

    #[test]
    fn the_age_grows_until_something_newer_is_published() {
        let points = vec![published(30, 29), published(5, 4), published(31, 3)];
        let curve = Sawtooth::new(points.clone(), at(0), at(40), Some(at(29)));
        let hours = |n: f64| n * 3600.0;
        let corners = vec![(at(5), hours(1.0)), (at(30), hours(26.0)), (at(30), hours(1.0)), (at(40), hours(11.0))];
        assert_eq!(curve.corners, corners, "what is older than the newest changes nothing");
        assert_eq!((curve.falls.len(), curve.largest()), (2, hours(26.0)));
        let days = curve.days(Tz::UTC);
        assert_eq!(
            days.iter().map(|day| (day.largest / 3600.0, day.published)).collect::<Vec<_>>(),
            [(26.0, 1), (20.0, 1)]
        );
        // In Berlin the second day begins at 23 o'clock UTC.
        let local: Vec<_> =
            curve.days(Tz::Europe__Berlin).iter().map(|day| (day.largest / 3600.0, day.published)).collect();
        assert_eq!(local, [(26.0, 1), (19.0, 1)]);
        let later = Sawtooth::new(points, at(10), at(20), Some(at(4)));
        assert_eq!(later.corners, [(at(10), hours(6.0)), (at(20), hours(16.0))]);
    }

    #[test]
    fn a_point_that_vanished_is_not_shown_as_if_it_were_there() {
        let curve = Sawtooth::new(vec![published(5, 4), published(8, 7)], at(0), at(10), Some(at(4)));
        assert_eq!(curve.corners.last(), Some(&(at(10), 6.0 * 3600.0)));
        assert_eq!(Sawtooth::new(vec![], at(0), at(10), None), Sawtooth::default());
        assert!(Sawtooth::default().days(Tz::UTC).is_empty());
    }

    #[test]
    fn a_day_without_a_midnight_begins_when_the_clock_goes_on() {
        // Beirut puts its clock forward at midnight.
        let time = "2026-03-28T12:00:00Z".parse().unwrap();
        let begin: DateTime<Utc> = "2026-03-28T22:00:00Z".parse().unwrap();
        assert_eq!(next_midnight(time, Tz::Asia__Beirut), Some(begin));
    }
}
