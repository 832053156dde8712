//! The third state of a promise: of a new source it is *pending* until its first backup and its first drill are due.
//!
//! A source cannot have a recovery point in the second in which it is configured. Calling that broken wakes somebody for
//! nothing, calling it kept would be a lie. A promise says how late the first result may come: the first recovery point
//! within the RPO, the first passed drill within the drill interval, both counted from when the source was first seen. From
//! then on it is broken, whatever the reason is. A drill that failed is a result as well: its promises do not wait for another
//! one. A backup that failed is none: it is tried again, and may still come in time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{CLOCK_SKEW, Measured, Objective, Objectives};

/// What can be said of a promise at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is kept.
    Met,
    /// It is broken.
    NotMet,
    /// The first result is not due yet.
    Pending,
}

impl Judgement {
    /// Name in JSON and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::Pending => "pending",
        }
    }
}

/// Whether a source that was first seen at `created` is older than the ledger: then its drills may have been in another one,
/// and it is not new.
pub fn is_older_than_ledger(created: DateTime<Utc>, ledger_began: DateTime<Utc>) -> bool {
    created < ledger_began
}

impl Objectives {
    /// What can be said of a promise now.
    pub fn judge(&self, objective: Objective, measured: &Measured, now: DateTime<Utc>) -> Judgement {
        if self.are_met(objective, measured, now) {
            Judgement::Met
        } else if self.is_pending(objective, measured, now) {
            Judgement::Pending
        } else {
            Judgement::NotMet
        }
    }

    /// When the first result of a promise is due at the latest; none where there was one, and where the source is not new.
    pub fn first_due(&self, objective: Objective, measured: &Measured) -> Option<DateTime<Utc>> {
        let within = match objective {
            Objective::Rpo | Objective::Retention | Objective::ChainLength => {
                (!measured.ever_had_point).then_some(self.rpo)
            }
            Objective::Rto | Objective::DrillInterval if measured.ever_failed_drill => None,
            Objective::Rto => measured.rto_seconds.is_none().then_some(self.drill_interval),
            Objective::DrillInterval => measured.last_passed_drill.is_none().then_some(self.drill_interval),
        };
        let created = measured.created.filter(|_| !measured.is_history_partial)?;
        created.checked_add_signed(delta(within?))
    }

    fn is_pending(&self, objective: Objective, measured: &Measured, now: DateTime<Utc>) -> bool {
        // What was first seen in the future was dated by a wrong clock: it must not be pending until then.
        let is_dated_well = measured.created.is_some_and(|it| (now - it).as_seconds_f64() >= -CLOCK_SKEW);
        is_dated_well && self.first_due(objective, measured).is_some_and(|due| now <= due)
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600;

    fn promised(rpo: u64, interval: u64) -> Objectives {
        let seconds = Duration::from_secs;
        Objectives {
            rpo: seconds(rpo),
            rto: seconds(600),
            retention: seconds(30 * 86_400),
            drill_interval: seconds(interval),
            max_chain_length: 5,
            objective_ratio: 0.99,
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn judged(promised: &Objectives, measured: &Measured, now: i64) -> [Judgement; 5] {
        Objective::ALL.map(|objective| promised.judge(objective, measured, at(now)))
    }

    use Judgement::{Met, NotMet, Pending};

    #[test]
    fn a_new_source_is_pending_until_its_first_results_are_due() {
        let promised = promised(4 * 3600, 24 * 3600);
        let new = Measured { created: Some(at(0)), ..Measured::default() };
        assert_eq!(judged(&promised, &new, 1), [Pending; 5]);
        assert_eq!(judged(&promised, &new, 4 * HOUR), [Pending; 5], "the limit belongs to the promise");
        assert_eq!(judged(&promised, &new, 4 * HOUR + 1), [NotMet, Pending, NotMet, Pending, NotMet]);
        assert_eq!(judged(&promised, &new, 24 * HOUR + 1), [NotMet; 5]);
        let backed_up = Measured { ever_had_point: true, newest: Some(at(60)), oldest: Some(at(60)), ..new };
        assert_eq!(judged(&promised, &backed_up, 120), [Met, Pending, Met, Pending, Met]);
        let drilled = Measured { rto_seconds: Some(9.0), last_passed_drill: Some(at(200)), ..backed_up };
        assert_eq!(judged(&promised, &drilled, 300), [Met; 5]);
    }

    #[test]
    fn a_failed_first_drill_is_not_pending_and_a_passed_one_mends_it() {
        let promised = promised(4 * 3600, 24 * 3600);
        let backed_up = Measured {
            created: Some(at(0)),
            ever_had_point: true,
            newest: Some(at(60)),
            oldest: Some(at(60)),
            ..Measured::default()
        };
        let failed = Measured { ever_failed_drill: true, ..backed_up };
        assert_eq!(judged(&promised, &failed, 300), [Met, NotMet, Met, NotMet, Met]);
        let mended = Measured { rto_seconds: Some(9.0), last_passed_drill: Some(at(400)), ..failed };
        assert_eq!(judged(&promised, &mended, 500), [Met; 5]);
    }

    #[test]
    fn what_is_not_new_is_not_pending() {
        let promised = promised(4 * 3600, 24 * 3600);
        let new = Measured { created: Some(at(0)), ..Measured::default() };
        let emptied = Measured { ever_had_point: true, ..new };
        assert_eq!(judged(&promised, &emptied, 60), [NotMet, Pending, NotMet, Pending, NotMet]);
        let after_a_loss = Measured {
            is_history_partial: true,
            ever_had_point: true,
            newest: Some(at(0)),
            oldest: Some(at(0)),
            ..new
        };
        assert_eq!(judged(&promised, &after_a_loss, 60), [Met, NotMet, Met, NotMet, Met]);
        let adopted = Measured {
            newest: Some(at(-60)),
            oldest: Some(at(-90 * HOUR)),
            created: Some(at(-90 * HOUR)),
            ..after_a_loss
        };
        let adopted = Measured { is_history_partial: false, ..adopted };
        assert_eq!(judged(&promised, &adopted, 60), [Met, NotMet, Met, NotMet, Met]);
        assert_eq!(judged(&promised, &Measured::default(), 60), [NotMet; 5], "nobody knows since when it is there");
        let ahead = Measured { created: Some(at(HOUR)), ..Measured::default() };
        assert_eq!(judged(&promised, &ahead, 0), [NotMet; 5]);
    }

    proptest! {
        /// Whatever happens or does not, a promise is pending only before its first result is due and never again after
        /// it: a source whose first backup fails or never comes becomes red.
        #[test]
        fn nothing_is_pending_for_ever(
            rpo in 0..100_000_u64,
            interval in 0..100_000_u64,
            had_point in any::<bool>(),
            is_partial in any::<bool>(),
            newest in prop::option::of(-200_000..200_000_i64),
            rto in prop::option::of(0..2000_u32),
            passed in prop::option::of(-200_000..200_000_i64),
            failed in any::<bool>(),
            now in -200_000..400_000_i64,
        ) {
            let promised = promised(rpo, interval);
            let measured = Measured {
                created: Some(at(0)),
                ever_had_point: had_point || newest.is_some(),
                is_history_partial: is_partial,
                newest: newest.map(at),
                oldest: newest.map(at),
                newest_gap: None,
                rto_seconds: rto.map(f64::from),
                last_passed_drill: passed.map(at),
                ever_failed_drill: failed,
                chain_length: 0,
            };
            for (objective, judged) in Objective::ALL.into_iter().zip(judged(&promised, &measured, now)) {
                let longest = match objective {
                    Objective::Rpo | Objective::Retention | Objective::ChainLength => rpo,
                    Objective::Rto | Objective::DrillInterval => interval,
                };
                let is_over = now > i64::try_from(longest).unwrap();
                prop_assert!(judged != Pending || !is_over && !is_partial, "{objective:?} at {now}");
                let is_of_drill = matches!(objective, Objective::Rto | Objective::DrillInterval);
                prop_assert!(judged != Pending || !(failed && is_of_drill), "{objective:?} after a failed drill");
                prop_assert_eq!(judged == Met, promised.are_met(objective, &measured, at(now)));
                let first = promised.first_due(objective, &measured);
                prop_assert!(judged != Pending || first == Some(at(i64::try_from(longest).unwrap())));
            }
        }
    }

    #[test]
    fn a_source_that_was_first_seen_a_little_in_the_future_is_new_and_one_further_ahead_is_dated_wrong() {
        let promised = promised(3600, 3600);
        let seen = |ahead| Measured { created: Some(at(ahead)), ..Measured::default() };
        assert_eq!(judged(&promised, &seen(300), 0), [Pending; 5]);
        assert_eq!(judged(&promised, &seen(301), 0), [NotMet; 5]);
    }

    #[test]
    fn the_first_backup_is_due_within_the_rpo_and_the_first_drill_within_its_interval() {
        let promised = promised(100, 700);
        let due = |measured: &Measured| Objective::ALL.map(|objective| promised.first_due(objective, measured));
        let new = Measured { created: Some(at(0)), ..Measured::default() };
        let [backup, drill] = [100, 700].map(|seconds| Some(at(seconds)));
        assert_eq!(due(&new), [backup, drill, backup, drill, backup]);
        assert_eq!(due(&Measured { ever_had_point: true, ..new }), [None, drill, None, drill, None]);
        assert_eq!(due(&Measured { rto_seconds: Some(1.0), ..new }), [backup, None, backup, drill, backup]);
        assert_eq!(due(&Measured { last_passed_drill: Some(at(1)), ..new }), [backup, drill, backup, None, backup]);
        assert_eq!(due(&Measured { ever_failed_drill: true, ..new }), [backup, None, backup, None, backup]);
        assert_eq!(due(&Measured { is_history_partial: true, ..new }), [None; 5]);
        assert_eq!(due(&Measured { created: None, ..new }), [None; 5]);
    }

    #[test]
    fn a_source_is_older_than_the_ledger_only_if_it_was_there_before() {
        assert!(is_older_than_ledger(at(0), at(1)));
        assert!(!is_older_than_ledger(at(1), at(1)), "both began together");
        assert!(!is_older_than_ledger(at(2), at(1)));
    }
}
