use proptest::prelude::*;

use super::tests::{hours, point};
use super::*;

/// A year of backups at random gaps, some of them increments: of the point before, of an older one, or of one that is gone.
fn histories() -> impl Strategy<Value = Vec<Candidate>> {
    let step = (1_i64..60, 0_usize..6, any::<bool>(), 0_u8..40);
    prop::collection::vec(step, 0..60).prop_map(|steps| {
        let mut hour = 0;
        let mut points: Vec<Candidate> = Vec::new();
        for (gap, continues, is_proved, mark) in steps {
            hour += gap;
            // Three in six are fulls.
            let base =
                continues.checked_sub(3).and_then(|back| points.len().checked_sub(1 + back)).map(|at| &points[at]);
            let is_lost = base.is_some() && mark == 2;
            let needs = base.map(|base| base.id.clone()).filter(|_| !is_lost);
            let needs = if is_lost { Some(RecoveryPointId("gone".to_owned())) } else { needs };
            let is_broken = is_lost || base.is_some_and(|base| base.is_broken);
            points.push(Candidate {
                needs,
                is_broken,
                is_proved,
                is_misdated: mark == 0,
                is_before_change: mark == 1,
                ..point(hour)
            });
        }
        points
    })
}

/// Whether the state of an hour can be restored from those of `points` that `stays` has: it is that of a point, or lies between one and
/// what it continues.
fn has_moment(points: &[Candidate], stays: &dyn Fn(&RecoveryPointId) -> bool, hour: i64) -> bool {
    let find = |id: &RecoveryPointId| points.iter().find(|point| point.id == *id && stays(id));
    let is_whole = |point: &Candidate| {
        let mut at = Some(point);
        while let Some(base) = at.and_then(|point| point.needs.as_ref()) {
            at = find(base);
        }
        at.is_some() && !point.is_misdated
    };
    let listed = points.iter().filter(|point| stays(&point.id) && is_whole(point));
    let time = hours(hour);
    listed.into_iter().any(|point| {
        let base = point.needs.as_ref().and_then(find).filter(|base| is_whole(base));
        point.as_of == time || base.is_some_and(|base| base.as_of <= time && time <= point.as_of)
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (0_u64..400, 1_u64..100, 0_u32..4, 0_u32..4, 0_u32..4).prop_map(|(within, gap, daily, weekly, monthly)| Policy {
        within: Duration::from_hours(within),
        longest_gap: Duration::from_hours(gap),
        counts: Counts { daily, weekly, monthly },
        zone: chrono_tz::Europe::Berlin,
    })
}

proptest! {
    #[test]
    fn every_point_stays_or_goes_and_what_goes_was_promised_by_nobody(points in histories(), policy in policies()) {
        let plan = plan(&points, &policy);
        prop_assert_eq!(plan.kept.len() + plan.removed.len(), points.len());
        let stays = |id: &RecoveryPointId| plan.kept.iter().any(|(kept, _)| kept == id);
        prop_assert!(plan.kept.iter().all(|(_, why)| !why.is_empty()));
        let newest = points.iter().rfind(|point| !point.is_misdated);
        for point in &points {
            let is_safe = stays(&point.id);
            // Never more than what really passed is taken for its age.
            if let Some(newest) = newest.filter(|_| !point.is_misdated) {
                let age = (newest.as_of - point.as_of).to_std().unwrap();
                prop_assert!(is_safe || age > policy.within);
            }
            prop_assert!(is_safe || !(point.is_misdated || point.is_before_change));
            // Nothing that stays lacks what it needs.
            let base = point.needs.as_ref().and_then(|base| points.iter().find(|point| point.id == *base));
            if let Some(base) = base.filter(|_| is_safe) {
                prop_assert!(stays(&base.id));
            }
        }
        if let Some(proved) = points.iter().rfind(|point| point.is_proved && !point.is_misdated && !point.is_broken) {
            prop_assert!(stays(&proved.id));
        }
        if let Some(full) = points.iter().rfind(|point| point.needs.is_none() && !point.is_misdated) {
            prop_assert!(stays(&full.id));
        }
        // Any moment of the promised time that could be asked for before can be asked for after.
        if let Some(newest) = newest {
            prop_assert!(stays(&newest.id));
            let start = newest.as_of - TimeDelta::from_std(policy.within).unwrap();
            let last_before = |only_kept: bool| {
                points.iter().rfind(|p| {
                    !p.is_misdated && !p.is_broken && p.as_of <= start && (!only_kept || stays(&p.id))
                })
            };
            if last_before(false).is_some() {
                prop_assert!(last_before(true).is_some(), "the start is covered no more");
            }
        }
    }

    #[test]
    fn every_moment_of_the_promised_time_that_could_be_restored_can_be_restored_afterwards(
        points in histories(), policy in policies(),
    ) {
        let plan = plan(&points, &policy);
        let stays = |id: &RecoveryPointId| plan.kept.iter().any(|(kept, _)| kept == id);
        let last = points.iter().rfind(|point| !point.is_misdated).map_or(0, |point| (point.as_of - hours(0)).num_hours());
        let promised = i64::try_from(policy.within.as_secs() / 3600).unwrap();
        for hour in (last - promised).max(0)..=last {
            let before = has_moment(&points, &|_| true, hour);
            prop_assert!(!before || has_moment(&points, &stays, hour), "hour {hour}: {:?}", plan.removed);
        }
    }

    #[test]
    fn what_was_planned_and_done_is_not_undone_by_planning_again(points in histories(), policy in policies()) {
        let first = plan(&points, &policy);
        let left: Vec<Candidate> = points.into_iter().filter(|point| !first.removed.contains(&point.id)).collect();
        let again = plan(&left, &policy);
        // Gaps that the removal made may make the rest look younger, never older.
        prop_assert!(again.removed.is_empty(), "{:?}", again.removed);
    }

    #[test]
    fn a_clock_put_forward_costs_no_more_than_the_longest_gap(
        points in histories(), policy in policies(), jump in 1_i64..10_000,
    ) {
        prop_assume!(points.len() > 1);
        // Days that are counted are those of the dates; the promised time is what must hold.
        let policy = Policy { counts: Counts::default(), ..policy };
        let mut right = points.clone();
        for point in &mut right {
            point.is_misdated = false;
            // What is old because others are broken is no matter of clocks.
            (point.is_broken, point.needs) = (false, point.needs.take().filter(|_| !point.is_broken));
        }
        let mut wrong = right.clone();
        let last = wrong.len() - 1;
        wrong[last].as_of += TimeDelta::hours(jump);
        let longer = Policy { within: policy.within.saturating_sub(policy.longest_gap), ..policy.clone() };
        let (with_right, with_wrong) = (plan(&right, &longer), plan(&wrong, &policy));
        for id in &with_wrong.removed {
            prop_assert!(with_right.removed.contains(id), "{id}");
        }
    }
}
