//! What was promised: the objectives of one SLA.

mod pending;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use self::pending::{Judgement, is_older_than_ledger};

/// Promised numbers of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Objectives {
    /// Largest age of the newest listed recovery point. Whether drills pass on points is promised by `drill_interval`.
    pub rpo: Duration,
    /// Largest time from the decision to restore to the first correct answer.
    pub rto: Duration,
    /// How far back recovery points are kept; where incremental backups are asked for, any moment.
    pub retention: Duration,
    /// Largest time between two passed drills.
    pub drill_interval: Duration,
    /// Largest number of increments on top of a full.
    pub max_chain_length: u32,
    /// Share of time in which the objectives must be met, 0–1.
    pub objective_ratio: f64,
}

/// One of the promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Objective {
    /// Age of the newest recovery point that is listed, drilled or not.
    Rpo,
    /// Recovery time of the last drill that measured one.
    Rto,
    /// How far back recovery points reach; where incremental backups are asked for, without a hole.
    Retention,
    /// Time since the last passed drill.
    DrillInterval,
    /// Increments on top of a full.
    ChainLength,
}

impl Objective {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rpo, Self::Rto, Self::Retention, Self::DrillInterval, Self::ChainLength];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rpo => "rpo",
            Self::Rto => "rto",
            Self::Retention => "retention",
            Self::DrillInterval => "drill_interval",
            Self::ChainLength => "chain_length",
        }
    }

    /// Whether it is kept by recovery points that are there now; the others are kept by drills that were.
    pub fn rests_on_points(self) -> bool {
        matches!(self, Self::Rpo | Self::Retention | Self::ChainLength)
    }
}

/// What is known of a source now; `None` is what never happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// When the source was first seen.
    pub created: Option<DateTime<Utc>>,
    /// Whether it is older than the ledger: what was known of its drills is lost.
    pub is_history_partial: bool,
    /// Whether there ever was a recovery point.
    pub ever_had_point: bool,
    /// As-of time of the newest recovery point.
    pub newest: Option<DateTime<Utc>>,
    /// As-of time of the oldest.
    pub oldest: Option<DateTime<Utc>>,
    /// Where any moment is promised, the end of the newest gap of which more is lost than the RPO allows.
    pub newest_gap: Option<DateTime<Utc>>,
    /// Last measured recovery time, in seconds.
    pub rto_seconds: Option<f64>,
    /// When a drill last passed.
    pub last_passed_drill: Option<DateTime<Utc>>,
    /// Whether a drill ever failed. An inconclusive one says nothing of the backup.
    pub ever_failed_drill: bool,
    /// Increments on top of the newest full.
    pub chain_length: u32,
}

/// Clocks of different machines may differ by this much, in seconds.
pub(super) const CLOCK_SKEW: f64 = 300.0;

impl Objectives {
    /// Whether a promise is kept now. What never happened keeps no promise.
    pub fn are_met(&self, objective: Objective, measured: &Measured, now: DateTime<Utc>) -> bool {
        let age = |time: Option<DateTime<Utc>>| time.map(|time| (now - time).as_seconds_f64());
        // What lies in the future was dated by a wrong clock and says nothing.
        let within = |seconds: Option<f64>, limit: Duration| {
            seconds.is_some_and(|s| (-CLOCK_SKEW..=limit.as_secs_f64()).contains(&s))
        };
        match objective {
            Objective::Rpo => within(age(measured.newest), self.rpo),
            Objective::Rto => within(measured.rto_seconds, self.rto),
            Objective::Retention => {
                // A source younger than the promised retention cannot have older points yet; from then on it must. Its first
                // point may come as late as the RPO allows.
                let is_young = within(age(measured.created), self.retention.saturating_add(self.rpo));
                let reaches_back = age(measured.oldest).is_some_and(|s| s >= self.retention.as_secs_f64());
                // Where any moment is promised, a hole breaks that until it is older than the promised time.
                let is_outlived = |end| age(Some(end)).is_some_and(|s| s >= self.retention.as_secs_f64());
                let is_whole = measured.newest_gap.is_none_or(is_outlived);
                measured.oldest.is_some() && (is_young || reaches_back) && is_whole
            }
            Objective::DrillInterval => within(age(measured.last_passed_drill), self.drill_interval),
            Objective::ChainLength => measured.newest.is_some() && measured.chain_length <= self.max_chain_length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_keeps_no_promise_and_limits_are_included() {
        let hours = Duration::from_hours;
        let promised = Objectives {
            rpo: hours(24),
            rto: hours(5),
            retention: hours(48),
            drill_interval: hours(24),
            max_chain_length: 2,
            objective_ratio: 0.99,
        };
        let now = DateTime::UNIX_EPOCH + hours(1000);
        let met = |measured: &Measured| Objective::ALL.map(|objective| promised.are_met(objective, measured, now));
        assert_eq!(met(&Measured::default()), [false; 5]);
        let ago = |h| Some(now - hours(h));
        let good = Measured {
            created: ago(100),
            is_history_partial: false,
            ever_had_point: true,
            newest: ago(24),
            oldest: ago(48),
            newest_gap: None,
            rto_seconds: Some(5.0 * 3600.0),
            last_passed_drill: ago(24),
            ever_failed_drill: false,
            chain_length: 2,
        };
        assert_eq!(met(&good), [true; 5]);
        let bad = Measured {
            newest: ago(25),
            oldest: ago(47),
            rto_seconds: Some(18_001.0),
            last_passed_drill: ago(25),
            chain_length: 3,
            ..good
        };
        assert_eq!(met(&bad), [false; 5]);
        let future = Some(now + hours(1));
        assert!(!promised.are_met(Objective::Rpo, &Measured { newest: future, ..good }, now));
        assert!(promised.are_met(Objective::Retention, &Measured { created: ago(47), ..bad }, now));
    }

    #[test]
    fn a_limit_is_part_of_the_promise_and_the_next_moment_is_not() {
        let seconds = Duration::from_secs;
        let promised = Objectives {
            rpo: seconds(100),
            rto: seconds(50),
            retention: seconds(1000),
            drill_interval: seconds(200),
            max_chain_length: 0,
            objective_ratio: 0.99,
        };
        let now = DateTime::UNIX_EPOCH + seconds(100_000);
        let met = |objective, measured: Measured| promised.are_met(objective, &measured, now);
        let ago = |millis| Some(now - chrono::TimeDelta::milliseconds(millis));
        let good = Measured { created: ago(5_000_000), newest: ago(0), oldest: ago(1_000_000), ..Measured::default() };
        for (age, is_met) in [(100_000, true), (100_001, false), (-300_000, true), (-300_001, false)] {
            assert_eq!(met(Objective::Rpo, Measured { newest: ago(age), ..good }), is_met, "{age}");
        }
        assert!(!met(Objective::DrillInterval, good));
        for (age, is_met) in [(200_000, true), (200_001, false), (-300_000, true), (-300_001, false)] {
            let measured = Measured { last_passed_drill: ago(age), ..good };
            assert_eq!(met(Objective::DrillInterval, measured), is_met, "{age}");
        }
        for (rto, is_met) in [(50.0, true), (50.001, false)] {
            assert_eq!(met(Objective::Rto, Measured { rto_seconds: Some(rto), ..good }), is_met, "{rto}");
        }
        // Points must reach back so far as soon as the source is older than retention and RPO together.
        for (created, oldest, is_met) in [
            (1_100_000, 1000, true),
            (1_100_001, 1000, false),
            (1_100_001, 1_000_000, true),
            (1_100_001, 999_999, false),
            (-300_001, 1000, false),
        ] {
            let measured = Measured { created: ago(created), oldest: ago(oldest), ..good };
            assert_eq!(met(Objective::Retention, measured), is_met, "{created}, {oldest}");
        }
        for (gap, is_met) in [(1_000_000, true), (999_999, false)] {
            let young = Measured { created: ago(1000), newest_gap: ago(gap), ..good };
            assert_eq!(met(Objective::Retention, Measured { newest_gap: ago(gap), ..good }), is_met, "{gap}");
            assert_eq!(met(Objective::Retention, young), is_met, "a young source has no excuse for a hole: {gap}");
        }
        let no_point = Measured { created: ago(1000), oldest: None, ..good };
        assert!(!met(Objective::Retention, no_point), "nothing is kept");
        assert!(met(Objective::ChainLength, good));
        assert!(!met(Objective::ChainLength, Measured { chain_length: 1, ..good }));
        assert!(!met(Objective::ChainLength, Measured { newest: None, ..good }), "there is nothing to restore");
    }
}
