use chrono::TimeZone;
use proptest::prelude::*;

use super::*;

fn hours(count: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 2, 0, 0).unwrap() + TimeDelta::hours(count)
}

fn point(hour: i64) -> Candidate {
    Candidate {
        id: RecoveryPointId(format!("h{hour:06}")),
        as_of: hours(hour),
        needs: None,
        is_misdated: false,
        is_of_nobody: false,
        is_proved: false,
        is_before_change: false,
    }
}

fn daily(days: impl Iterator<Item = i64>) -> Vec<Candidate> {
    days.map(|day| point(day * 24)).collect()
}

fn policy(days: u64) -> Policy {
    Policy {
        within: Duration::from_hours(days * 24),
        longest_gap: Duration::from_hours(48),
        counts: Counts::default(),
        zone: chrono_tz::UTC,
    }
}

/// Days of those that stay.
fn kept(points: &[Candidate], policy: &Policy) -> Vec<i64> {
    let plan = plan(points, policy);
    let day = |id: &RecoveryPointId| id.0[1..].parse::<i64>().unwrap() / 24;
    plan.kept.iter().map(|(id, _)| day(id)).collect()
}

fn reasons(points: &[Candidate], policy: &Policy, id: &RecoveryPointId) -> Vec<Reason> {
    let plan = plan(points, policy);
    plan.kept.iter().find(|(kept, _)| kept == id).map(|(_, why)| why.iter().cloned().collect()).unwrap_or_default()
}

#[test]
fn the_promised_time_stays_and_the_last_point_before_its_start() {
    let mut points = daily(0..10);
    assert_eq!(kept(&points, &policy(3)), [6, 7, 8, 9], "day 6 is exactly as old as promised");
    // Half a day later the start lies between two points: the older one covers it.
    points.push(point(9 * 24 + 12));
    assert_eq!(kept(&points, &policy(3)), [6, 7, 8, 9, 9]);
    assert_eq!(reasons(&points, &policy(3), &point(6 * 24).id), [Reason::CoversStart]);
    assert_eq!(reasons(&points, &policy(3), &point(7 * 24).id), [Reason::WithinRetention]);
}

#[test]
fn a_moment_decides_at_the_start_of_the_promised_time() {
    let exact = [point(0), point(24), point(48), point(72)];
    assert_eq!(reasons(&exact, &policy(3), &point(0).id), [Reason::WithinRetention, Reason::CoversStart]);
    let mut later = exact.to_vec();
    later[3].as_of += TimeDelta::microseconds(1);
    assert_eq!(reasons(&later, &policy(3), &point(0).id), [Reason::CoversStart]);
    later[1].as_of = later[3].as_of - TimeDelta::days(3);
    assert_eq!(reasons(&later, &policy(3), &point(0).id), [], "the next one covers the start");
}

#[test]
fn nothing_is_left_without_a_point() {
    assert_eq!(plan(&[], &policy(3)), Plan::default());
    let only = [point(0)];
    assert_eq!(reasons(&only, &policy(3), &only[0].id), [Reason::Newest, Reason::WithinRetention]);
}

#[test]
fn without_new_backups_nothing_becomes_older() {
    // Time is counted back from the newest point: there is no `now` that could run ahead of it.
    assert_eq!(kept(&daily(0..4), &policy(3)), [0, 1, 2, 3]);
}

#[test]
fn a_clock_put_forward_or_an_outage_counts_as_two_days() {
    let jumped = daily((0..10).chain([70]));
    assert_eq!(kept(&jumped, &policy(5)), [6, 7, 8, 9, 70]);
    let mut unlimited = policy(5);
    unlimited.longest_gap = Duration::MAX;
    assert_eq!(kept(&jumped, &unlimited), [9, 70], "what it would do otherwise");
    // Backups that go on afterwards make the old ones go in the end.
    assert_eq!(kept(&daily((0..10).chain(70..76)), &policy(5)), [70, 71, 72, 73, 74, 75]);
}

#[test]
fn the_newest_of_each_day_week_and_month_stays_beside_it() {
    let mut points = daily(0..120);
    points.extend((0..120).map(|day| point(day * 24 + 6)));
    let mut policy = policy(1);
    policy.counts = Counts { daily: 3, weekly: 2, monthly: 3 };
    // 2026-01-01 was a Thursday; day 119 is 30 April, a Thursday.
    let stay: Vec<(i64, Reason)> = [
        (58, Reason::Monthly), // 28 February
        (89, Reason::Monthly), // 31 March
        (115, Reason::Weekly), // Sunday 26 April
        (117, Reason::Daily),
        (118, Reason::Daily),
        (119, Reason::Daily),
        (119, Reason::Weekly),
        (119, Reason::Monthly),
    ]
    .into();
    for (day, reason) in stay {
        let id = point(day * 24 + 6).id;
        assert!(reasons(&points, &policy, &id).contains(&reason), "{day} {reason}");
    }
    let days: Vec<i64> = kept(&points, &policy);
    assert_eq!(
        days,
        [58, 89, 115, 117, 118, 119, 119],
        "the last of a day; of the newest day all, and the one that covers its start"
    );
}

#[test]
fn days_are_those_of_the_zone() {
    // 23:30 in Berlin and half an hour past midnight there.
    let mut points = vec![point(0), point(1), point(200)];
    points[0].as_of = Utc.with_ymd_and_hms(2026, 7, 1, 21, 30, 0).unwrap();
    points[1].as_of = Utc.with_ymd_and_hms(2026, 7, 1, 22, 30, 0).unwrap();
    points[2].as_of = Utc.with_ymd_and_hms(2026, 7, 9, 12, 0, 0).unwrap();
    let mut policy = policy(1);
    policy.counts.daily = 3;
    policy.longest_gap = Duration::MAX;
    policy.zone = chrono_tz::Europe::Berlin;
    assert_eq!(plan(&points, &policy).removed, []);
    policy.zone = chrono_tz::America::New_York;
    assert_eq!(plan(&points, &policy).removed, [points[0].id.clone()], "there it is one day");
}

#[test]
fn what_was_proved_last_and_what_was_before_a_change_stay() {
    let mut points = daily(0..20);
    points[1].is_before_change = true;
    points[2].is_proved = true;
    points[3].is_proved = true;
    assert_eq!(kept(&points, &policy(2)), [1, 3, 17, 18, 19]);
    assert_eq!(reasons(&points, &policy(2), &points[3].id), [Reason::LastProved]);
    assert_eq!(reasons(&points, &policy(2), &points[1].id), [Reason::BeforeChange]);
}

#[test]
fn a_point_of_a_wrong_date_stays_and_stands_for_nothing() {
    let mut points = daily(0..10);
    points.push(Candidate { is_misdated: true, is_proved: true, ..point(90 * 24) });
    points[0].is_misdated = true;
    let with_counts = Policy { counts: Counts { daily: 1, ..Counts::default() }, ..policy(2) };
    assert_eq!(kept(&points, &with_counts), [0, 7, 8, 9, 90]);
    assert_eq!(reasons(&points, &policy(2), &points[10].id), [Reason::Misdated]);
    assert!(reasons(&points, &policy(2), &points[9].id).contains(&Reason::Newest));
}

#[test]
fn what_may_be_another_hosts_stays() {
    let mut points = daily(0..10);
    points[1].is_of_nobody = true;
    assert_eq!(kept(&points, &policy(2)), [1, 7, 8, 9]);
    assert_eq!(reasons(&points, &policy(2), &points[1].id), [Reason::OfNobody]);
}

#[test]
fn what_a_kept_point_is_replayed_on_stays_however_old() {
    let mut points = daily(0..10);
    for at in 1..8 {
        points[at].needs = Some(points[at - 1].id.clone());
    }
    assert_eq!(kept(&points, &policy(2)), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(reasons(&points, &policy(2), &points[0].id), [Reason::NeededBy(points[1].id.clone())]);
    points[8].needs = None;
    assert_eq!(kept(&points, &policy(1)), [8, 9]);
    // A circle that somebody made, or a base that is not there, ends nothing.
    points[9].needs = Some(RecoveryPointId("gone".to_owned()));
    points[0].needs = Some(points[7].id.clone());
    assert_eq!(kept(&points, &policy(2)).len(), 10);
}

#[test]
fn reasons_read_as_people_say_them() {
    let said: Vec<String> = [
        Reason::Newest,
        Reason::WithinRetention,
        Reason::CoversStart,
        Reason::LastProved,
        Reason::BeforeChange,
        Reason::NeededBy(RecoveryPointId("01a".to_owned())),
    ]
    .iter()
    .map(Reason::to_string)
    .collect();
    assert_eq!(
        said,
        [
            "newest",
            "within retention",
            "covers the start of retention",
            "newest that a drill passed on",
            "last before a suspect change",
            "needed by 01a"
        ]
    );
}

/// A year of backups at random gaps, some of them increments.
fn histories() -> impl Strategy<Value = Vec<Candidate>> {
    let step = (1_i64..60, any::<bool>(), any::<bool>(), 0_u8..40);
    prop::collection::vec(step, 0..60).prop_map(|steps| {
        let mut hour = 0;
        let mut points: Vec<Candidate> = Vec::new();
        for (gap, is_increment, is_proved, mark) in steps {
            hour += gap;
            let needs = points.last().filter(|_| is_increment).map(|base| base.id.clone());
            points.push(Candidate {
                needs,
                is_proved,
                is_misdated: mark == 0,
                is_before_change: mark == 1,
                ..point(hour)
            });
        }
        points
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
            if let Some(base) = point.needs.as_ref().filter(|_| is_safe) {
                prop_assert!(stays(base));
            }
        }
        if let Some(proved) = points.iter().rfind(|point| point.is_proved && !point.is_misdated) {
            prop_assert!(stays(&proved.id));
        }
        // Any moment of the promised time that could be asked for before can be asked for after.
        if let Some(newest) = newest {
            prop_assert!(stays(&newest.id));
            let start = newest.as_of - TimeDelta::from_std(policy.within).unwrap();
            let last_before = |only_kept: bool| {
                points.iter().rfind(|p| !p.is_misdated && p.as_of <= start && (!only_kept || stays(&p.id)))
            };
            if last_before(false).is_some() {
                prop_assert!(last_before(true).is_some(), "the start is covered no more");
            }
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
