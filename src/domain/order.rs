//! Which recovery points were dated by a wrong clock. Pure.
//!
//! A clock can be put wrong and right again; the order in which a ledger saw its own backups published cannot. Backups of
//! one source follow each other, so their as-of times rise in that order. Where they do not, the points that have to be
//! taken out for the rest to rise, as few as possible, are suspect. A full may be read for hours, and increments are published meanwhile:
//! that it is older than they are is no contradiction ([`in_order`]).

use chrono::{DateTime, TimeDelta, Utc};

/// How far two right clocks may be apart.
#[allow(clippy::cast_possible_truncation)] // it is a whole number
const SKEW: TimeDelta = TimeDelta::seconds(super::sla::CLOCK_SKEW as i64);

/// Whether something of `time` cannot be, because it is still to come.
pub fn is_to_come(time: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    time > now + SKEW
}

/// The last moment that [`is_to_come`] lets pass.
pub fn latest(now: DateTime<Utc>) -> DateTime<Utc> {
    now + SKEW
}

/// What a backup says of when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// As-of time.
    pub as_of: DateTime<Utc>,
    /// When the last byte was stored.
    pub finished: DateTime<Utc>,
    /// It is a full.
    pub is_full: bool,
}

/// The times by which backups are held against the order in which they were published. Increments that were published while a full was
/// read are newer: it counts as if it were of the newest of them. Fulls follow each other.
pub fn in_order(published: &[Dated]) -> Vec<DateTime<Utc>> {
    let time = |(at, one): (usize, &Dated)| {
        let before = published[..at].iter().filter(|other| other.as_of <= one.finished);
        let contradicts = |other: &Dated| other.is_full && other.as_of > one.as_of;
        if !one.is_full || before.clone().any(contradicts) {
            return one.as_of;
        }
        before.map(|other| other.as_of).max().map_or(one.as_of, |newest| newest.max(one.as_of))
    };
    published.iter().enumerate().map(time).collect()
}

/// For as-of times in the order of publication: which of them do not fit into it. What is to come at `now` never does. Of
/// two that contradict each other the one that was published later is believed: clocks are put right more often than wrong.
pub fn suspects(published: &[DateTime<Utc>], now: DateTime<Utc>) -> Vec<bool> {
    let mut suspect: Vec<bool> = published.iter().map(|time| is_to_come(*time, now)).collect();
    let candidates: Vec<usize> = (0..published.len()).filter(|at| !suspect[*at]).collect();
    let rising = longest_rising(&candidates, published);
    for at in candidates {
        // The neighbours among those that rise.
        let next = rising.partition_point(|other| *other <= at);
        let before = rising.partition_point(|other| *other < at).checked_sub(1);
        let is_late = rising.get(next).is_some_and(|next| published[at] > published[*next] + SKEW);
        let is_early = before.is_some_and(|before| published[at] < published[rising[before]] - SKEW);
        suspect[at] = is_late || is_early;
    }
    suspect
}

/// The same for what is remembered until somebody looks again: what is to come is suspect only if what was published after it
/// contradicts it. A clock that is behind for a moment leaves no mark on what is right.
pub fn contradicted(published: &[DateTime<Utc>], now: DateTime<Utc>) -> Vec<bool> {
    let mut suspect = suspects(published, now);
    let mut earliest_after: Option<DateTime<Utc>> = None;
    for (at, time) in published.iter().enumerate().rev() {
        if is_to_come(*time, now) {
            suspect[at] = earliest_after.is_some_and(|after| *time > after + SKEW);
        }
        earliest_after = Some(earliest_after.map_or(*time, |after| after.min(*time)));
    }
    suspect
}

/// The longest selection of `candidates` whose times never fall, in their order. Of several the one with later members.
fn longest_rising(candidates: &[usize], times: &[DateTime<Utc>]) -> Vec<usize> {
    // Nearly always nothing is wrong.
    if candidates.is_sorted_by_key(|at| times[*at]) {
        return candidates.to_vec();
    }
    // For each, from the end: how many can follow from it, itself included, and which is the next.
    let mut best: Vec<(usize, Option<usize>)> = vec![(1, None); candidates.len()];
    for at in (0..candidates.len()).rev() {
        for next in (at + 1..candidates.len()).rev() {
            if times[candidates[next]] >= times[candidates[at]] && best[next].0 + 1 > best[at].0 {
                best[at] = (best[next].0 + 1, Some(next));
            }
        }
    }
    let mut next = (0..best.len()).max_by_key(|at| (best[*at].0, *at));
    let mut out = Vec::new();
    while let Some(at) = next {
        out.push(candidates[at]);
        next = best[at].1;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    fn found(days: &[i64], now: i64) -> Vec<i64> {
        let times: Vec<_> = days.iter().copied().map(day).collect();
        let suspect = suspects(&times, day(now));
        days.iter().zip(suspect).filter_map(|(day, is_suspect)| is_suspect.then_some(*day)).collect()
    }

    #[test]
    fn a_point_that_was_dated_ahead_is_suspect_before_and_after_its_date_has_come() {
        assert_eq!(found(&[1, 2, 3], 3), [0; 0]);
        assert_eq!(found(&[1, 62, 3], 3), [62]);
        assert_eq!(found(&[1, 62, 3, 4, 5], 70), [62], "its date has come, and no backup since day 5");
        assert_eq!(found(&[1, 62, 3, 4, 63, 64], 70), [62], "later ones are dated after it");
        assert_eq!(found(&[1, 62], 62), [0; 0], "nothing contradicts it");
        assert_eq!(found(&[62, 3], 70), [62], "one against one: the later one is believed");
    }

    #[test]
    fn a_point_that_was_dated_back_is_suspect_and_not_those_before_it() {
        assert_eq!(found(&[50, 51, 52, 1, 53], 54), [1]);
        assert_eq!(found(&[50, 51, 52, 1], 54), [1]);
        assert_eq!(found(&[1, 50, 20, 51, 52], 60), [50], "one against one: the later one is believed");
        // The one right before it contradicts it, and not another that is within what clocks differ.
        let times = [day(20) + TimeDelta::minutes(2), day(50), day(20), day(51)];
        assert_eq!(suspects(&times, day(60)), [false, false, true, false]);
    }

    #[test]
    fn a_full_that_was_read_while_increments_were_published_contradicts_none_of_them() {
        let full = |from, to| Dated { as_of: day(from), finished: day(to), is_full: true };
        let increment = |at| Dated { as_of: day(at), finished: day(at), is_full: false };
        let found = |published: &[Dated]| {
            let suspect = suspects(&in_order(published), day(99));
            let dated = published.iter().zip(suspect).filter(|(_, is_suspect)| *is_suspect);
            dated.map(|(one, _)| (one.as_of - DateTime::UNIX_EPOCH).num_days()).collect::<Vec<_>>()
        };
        assert_eq!(found(&[full(10, 11), increment(12), increment(14), full(13, 15), increment(16)]), [0; 0]);
        assert_eq!(
            found(&[full(10, 11), increment(12), increment(14), full(13, 13), increment(16)]),
            [14],
            "it was over: the later one is believed"
        );
        assert_eq!(
            found(&[full(10, 11), increment(12), increment(14), full(1, 15), increment(16)]),
            [1],
            "fulls follow"
        );
        assert_eq!(found(&[full(10, 11), increment(62), increment(14), full(13, 15), increment(16)]), [62]);
        assert_eq!(found(&[full(62, 11), increment(12), increment(14), full(13, 15), increment(16)]), [62]);
    }

    #[test]
    fn a_clock_that_is_put_back_by_seconds_makes_nobody_suspect() {
        let times = [day(1), day(1) - TimeDelta::seconds(200), day(2)];
        assert_eq!(suspects(&times, day(3)), [false; 3]);
    }

    #[test]
    fn a_clock_that_is_behind_for_a_moment_leaves_no_mark_on_what_is_right() {
        let times = [day(50), day(51), day(52)];
        assert_eq!(suspects(&times, day(10)), [true; 3]);
        assert_eq!(contradicted(&times, day(10)), [false; 3]);
        let ahead = [day(1), day(62), day(63), day(3)];
        assert_eq!(contradicted(&ahead, day(3)), [false, true, true, false]);
    }

    proptest! {
        #[test]
        fn what_is_left_never_falls_by_more_than_clocks_differ_and_one_wrong_date_is_found(
            mut days in prop::collection::vec(0_i64..100, 3..40),
            at in any::<prop::sample::Index>(),
        ) {
            let times: Vec<_> = days.iter().copied().map(day).collect();
            let suspect = suspects(&times, day(200));
            let left: Vec<_> = times.iter().zip(&suspect).filter(|(_, is)| !**is).map(|(time, _)| *time).collect();
            prop_assert!(!left.is_empty());
            prop_assert!(left.windows(2).all(|pair| pair[1] >= pair[0] - SKEW), "{left:?}");

            days.sort_unstable();
            days.dedup();
            prop_assume!(days.len() > 2);
            let at = at.index(days.len() - 2);
            days[at] += 150;
            prop_assert_eq!(found(&days, 300), vec![days[at]]);
        }
    }

    #[test]
    fn right_clocks_may_be_five_minutes_apart_and_not_a_moment_more() {
        let (micro, now) = (TimeDelta::microseconds(1), day(3));
        assert_eq!(latest(now), now + TimeDelta::minutes(5));
        assert!(!is_to_come(latest(now), now) && is_to_come(latest(now) + micro, now));
        let (first, apart) = (day(1), TimeDelta::minutes(5));
        // The later of two is believed, so the earlier is the suspect.
        assert_eq!(suspects(&[first, first - apart], now), [false; 2]);
        assert_eq!(suspects(&[first, first - apart - micro], now), [true, false]);
        // Two against one: the one that was dated back.
        assert_eq!(suspects(&[day(0), first, first - apart, day(2)], now), [false; 4]);
        assert_eq!(suspects(&[day(0), first, first, first - apart - micro], now), [false, false, false, true]);
        let ahead = latest(day(1)) + micro;
        assert_eq!(contradicted(&[ahead, ahead - apart], day(1)), [false; 2]);
        assert_eq!(contradicted(&[ahead, ahead - apart - micro], day(1)), [true, false]);
    }

    #[test]
    fn a_time_to_come_is_contradicted_by_the_earliest_of_all_that_followed() {
        assert_eq!(contradicted(&[day(60), day(70), day(61)], day(3)), [false, true, false]);
        assert_eq!(contradicted(&[day(65), day(61), day(70)], day(3)), [true, false, false]);
        // What is not to come is judged as ever.
        assert_eq!(contradicted(&[day(50), day(51), day(1)], day(54)), [false, false, true]);
    }

    #[test]
    fn of_two_ways_to_rise_the_one_that_was_published_later_is_believed() {
        assert_eq!(found(&[50, 51, 1, 2], 60), [50, 51]);
        assert_eq!(found(&[10, 20, 12, 30], 60), [20]);
        assert_eq!(found(&[5, 5, 1, 1], 60), [5, 5], "equal times rise");
        assert_eq!(found(&[5, 5, 5, 1, 1], 60), [1, 1]);
        assert_eq!(found(&[9, 1, 8, 2, 7, 3], 60), [9, 8, 7]);
    }

    #[test]
    fn the_longest_selection_is_made_of_its_candidates_in_their_order() {
        let times = [5, 1, 5, 2, 9, 3].map(day);
        assert_eq!(longest_rising(&[0, 1, 2, 3, 4, 5], &times), [1, 3, 5]);
        assert_eq!(longest_rising(&[0, 2, 4], &times), [0, 2, 4]);
        assert_eq!(longest_rising(&[0, 1, 2, 4, 5], &times), [1, 2, 4], "as long as 0, 2, 4, and later");
        assert_eq!(longest_rising(&[4, 5], &times), [5]);
        assert_eq!(longest_rising(&[], &times), [0; 0]);
    }
}
