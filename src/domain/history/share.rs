//! For how much of a window a promise was met, and whether that is enough time to judge by.

use chrono::TimeDelta;

use crate::domain::sla::Judgement;

/// Days over which the share is taken.
pub const WINDOW_DAYS: i64 = 30;

/// Days of the window that must have been judged before a share says something: of a promise of 99 %, a minute that fails on
/// the first day is no verdict on a month.
pub const JUDGED_FROM_DAYS: i64 = 7;

/// Time in which a promise was met, of the time in which it was met or not. Time in which it was pending is in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Time in which it was met.
    pub met: TimeDelta,
    /// Time in which it was met or not met.
    pub judged: TimeDelta,
}

/// What a share says of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was met for at least the promised share of the time.
    Enough,
    /// It was met for less.
    TooLittle,
    /// There is not enough time to judge by.
    NotYet,
}

impl Share {
    /// Take note of some time.
    pub(super) fn add(&mut self, judgement: Judgement, time: TimeDelta) {
        match judgement {
            Judgement::Met => (self.met, self.judged) = (self.met + time, self.judged + time),
            Judgement::NotMet => self.judged += time,
            Judgement::Pending => {}
        }
    }

    /// The share, 0–1; none where no time was judged.
    pub fn ratio(self) -> Option<f64> {
        (self.judged > TimeDelta::zero()).then(|| self.met.as_seconds_f64() / self.judged.as_seconds_f64())
    }

    /// Days that were judged.
    pub fn judged_days(self) -> f64 {
        self.judged.as_seconds_f64() / 86_400.0
    }

    /// The share against the promised one. It is judged as soon as there is enough time, or as soon as so much is lost that
    /// even a whole window without another loss would be too little.
    pub fn verdict(self, promised: f64) -> Verdict {
        let Some(ratio) = self.ratio() else { return Verdict::NotYet };
        let budget = (1.0 - promised) * TimeDelta::days(WINDOW_DAYS).as_seconds_f64();
        let is_lost = (self.judged - self.met).as_seconds_f64() > budget;
        if self.judged < TimeDelta::days(JUDGED_FROM_DAYS) && !is_lost {
            Verdict::NotYet
        } else if ratio >= promised {
            Verdict::Enough
        } else {
            Verdict::TooLittle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_judged_after_a_week_or_when_the_month_is_lost_already() {
        let share = |met_hours: i64, judged_hours: i64| Share {
            met: TimeDelta::hours(met_hours),
            judged: TimeDelta::hours(judged_hours),
        };
        assert_eq!((share(0, 0).ratio(), share(0, 0).verdict(0.99)), (None, Verdict::NotYet));
        assert_eq!(share(23, 24).verdict(0.99), Verdict::NotYet, "an hour of the first day");
        assert_eq!(share(167, 167).verdict(0.99), Verdict::NotYet);
        assert_eq!(share(168, 168).verdict(0.99), Verdict::Enough);
        assert_eq!(share(166, 168).verdict(0.99), Verdict::TooLittle);
        // 1 % of 30 days are 7.2 hours.
        assert_eq!(share(17, 24).verdict(0.99), Verdict::NotYet);
        assert_eq!(share(16, 24).verdict(0.99), Verdict::TooLittle, "no month can make up for that");
        assert_eq!(share(23, 24).verdict(1.0), Verdict::TooLittle, "nothing may be lost");
        assert_eq!(share(0, 1).verdict(0.0), Verdict::NotYet);
    }

    #[test]
    fn time_counts_where_the_promise_was_judged() {
        let hour = TimeDelta::hours(1);
        let mut share = Share::default();
        share.add(Judgement::Pending, hour);
        assert_eq!((share, share.ratio(), share.judged_days()), (Share::default(), None, 0.0));
        share.add(Judgement::NotMet, hour);
        assert_eq!((share.met, share.judged, share.ratio()), (TimeDelta::zero(), hour, Some(0.0)));
        share.add(Judgement::Met, hour * 3);
        assert_eq!((share.met, share.judged, share.ratio()), (hour * 3, hour * 4, Some(0.75)));
        share.add(Judgement::Met, hour * 32);
        assert!((share.judged_days() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn what_is_lost_is_held_against_the_whole_window() {
        let share = |lost: i64, judged: i64| Share {
            met: TimeDelta::seconds(judged - lost),
            judged: TimeDelta::seconds(judged),
        };
        let (day, half) = (86_400, 0.5);
        // Half of 30 days may be lost, and no second more.
        assert_eq!(share(15 * day, 30 * day).verdict(half), Verdict::Enough);
        assert_eq!(share(15 * day + 1, 30 * day).verdict(half), Verdict::TooLittle);
        assert_eq!(share(3 * day, 7 * day - 1).verdict(half), Verdict::NotYet);
        assert_eq!(share(3 * day, 7 * day).verdict(half), Verdict::Enough);
        assert_eq!(share(4 * day, 7 * day).verdict(half), Verdict::TooLittle);
        // An eighth of 30 days.
        let budget = 90 * 3600;
        assert_eq!(share(budget, 5 * day).verdict(0.875), Verdict::NotYet);
        assert_eq!(share(budget + 1, 5 * day).verdict(0.875), Verdict::TooLittle);
    }
}
