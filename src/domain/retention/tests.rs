use chrono::TimeZone;

use super::*;

pub fn hours(count: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 2, 0, 0).unwrap() + TimeDelta::hours(count)
}

pub fn point(hour: i64) -> Candidate {
    Candidate {
        id: RecoveryPointId(format!("h{hour:06}")),
        as_of: hours(hour),
        needs: None,
        stands_for: 1,
        is_broken: false,
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
fn what_cannot_be_restored_covers_nothing_and_goes_when_it_is_old() {
    let mut points = daily(0..10);
    for at in [3, 6] {
        points[at].needs = Some(RecoveryPointId("gone".to_owned()));
        points[at].is_broken = true;
    }
    points[3].is_proved = true;
    assert_eq!(kept(&points, &policy(3)), [5, 6, 7, 8, 9], "day 6 is as old as promised and covers nothing");
    points[6].as_of -= TimeDelta::hours(1);
    assert_eq!(kept(&points, &policy(3)), [5, 7, 8, 9], "day 5 covers the start");
    let with_counts = Policy { counts: Counts { daily: 7, ..Counts::default() }, ..policy(1) };
    assert_eq!(kept(&points, &with_counts), [1, 2, 4, 5, 7, 8, 9], "the last seven days that have a point");
    // However much is published that restores nothing, what restores something does not grow old.
    let mut broken = daily(0..10);
    for point in &mut broken[4..] {
        point.is_broken = true;
        point.needs = Some(RecoveryPointId("gone".to_owned()));
    }
    assert_eq!(kept(&broken, &policy(3)), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_was_joined_is_as_old_as_all_that_it_stands_for() {
    let hourly = Policy { longest_gap: Duration::from_hours(1), ..policy(3) };
    let mut points = daily(0..10);
    assert_eq!(kept(&points, &hourly), (0..10).collect::<Vec<_>>(), "each gap counts as an hour");
    for point in &mut points {
        point.stands_for = 24;
    }
    assert_eq!(kept(&points, &hourly), kept(&points, &policy(3)));
    // A clock that jumped while a few were made moves nothing far.
    for point in &mut points {
        point.stands_for = 2;
    }
    assert_eq!(kept(&points, &hourly), (0..10).collect::<Vec<_>>());
}

/// Days with a full at night and an increment every six hours.
fn chains_of_a_day(days: std::ops::Range<i64>) -> Vec<Candidate> {
    let mut points: Vec<Candidate> = Vec::new();
    for hour in days.flat_map(|day| (0..4).map(move |part| day * 24 + part * 6)) {
        let needs = points.last().filter(|_| hour % 24 != 0).map(|base| base.id.clone());
        points.push(Candidate { needs, ..point(hour) });
    }
    points
}

#[test]
fn the_chain_that_covers_the_start_stays_up_to_the_promised_time_and_what_is_before_it() {
    let points = chains_of_a_day(0..6);
    // The newest is of day 5, hour 18: the start is day 3, hour 18.
    let plan = plan(&points, &policy(2));
    let removed: Vec<&str> = plan.removed.iter().map(|id| id.0.as_str()).collect();
    let expected: Vec<String> = (0..12).map(|at| points[at].id.0.clone()).collect();
    assert_eq!(removed, expected, "three whole days go, and of day 3 nothing");
    assert_eq!(reasons(&points, &policy(2), &points[12].id), [Reason::NeededBy(points[13].id.clone())]);
    assert!(reasons(&points, &policy(2), &points[20].id).contains(&Reason::NewestChain));
}

#[test]
fn counts_choose_the_full_of_a_period_and_only_without_one_an_increment_with_its_line() {
    let mut points = chains_of_a_day(0..6);
    let with_counts = Policy { counts: Counts { daily: 3, ..Counts::default() }, ..policy(0) };
    let ids = |points: &[Candidate]| -> Vec<String> {
        plan(points, &with_counts).kept.iter().map(|(id, _)| id.0.clone()).collect()
    };
    let fulls = [3, 4].map(|day| points[day * 4].id.0.clone());
    let newest: Vec<String> = points[20..].iter().map(|point| point.id.0.clone()).collect();
    assert_eq!(ids(&points), [&fulls[..], &newest].concat(), "a full of each day, and the newest chain");
    // Day 4 continues the chain of day 3: its last increment stands for it, with all that it needs.
    points[16].needs = Some(points[15].id.clone());
    assert_eq!(ids(&points)[..8], points[12..20].iter().map(|point| point.id.0.clone()).collect::<Vec<_>>());
}

#[test]
fn the_newest_chain_stays_whole_with_all_its_branches() {
    let mut points = daily(0..10);
    for (at, base) in [(2, 1), (3, 1), (4, 2), (5, 0)] {
        points[at].needs = Some(points[base].id.clone());
    }
    points.truncate(6);
    points[1].needs = None;
    assert_eq!(kept(&points, &policy(0)), [0, 1, 2, 3, 4, 5], "day 5 continues day 0 and is the newest");
    points.truncate(5);
    assert_eq!(kept(&points, &policy(0)), [1, 2, 3, 4]);
}

#[test]
fn hundreds_of_thousands_of_increments_are_planned() {
    let mut points: Vec<Candidate> = (0..200_000).map(point).collect();
    for at in 1..points.len() {
        points[at].needs = (at % 10_000 != 0).then(|| points[at - 1].id.clone());
    }
    let removed = plan(&points, &policy(1000)).removed;
    assert_eq!(removed.len(), 170_000, "each is looked up, not searched for: else this takes hours");
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
