use chrono::Timelike;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn dues(expression: &str, zone: Tz, from: &str, until: &str) -> Vec<String> {
    let (timing, until) = (Timing::parse(expression).unwrap(), at(until));
    let first = timing.next_after(at(from), zone);
    std::iter::successors(first, |due| timing.next_after(*due, zone))
        .take_while(|due| *due <= until)
        .map(|due| due.format("%d %H:%M").to_string())
        .collect()
}

const BERLIN: Tz = Tz::Europe__Berlin;

#[test]
fn a_schedule_is_five_cron_fields_or_an_interval() {
    for good in ["0 2 * * *", "*/15 * * * *", "30 4 * * MON-FRI", "0 0 1 JAN *", "0 0 29 2 *"] {
        assert!(matches!(Timing::parse(good), Ok(Timing::Cron(_))), "{good}");
    }
    assert!(matches!(Timing::parse("@every 15m"), Ok(Timing::Every(every)) if every.as_secs() == 900));
    for bad in ["", "0 2 * *", "0 0 2 * * *", "60 2 * * *", "a b c d e", "@daily", "@every 0s", "@every", "@every x"] {
        assert!(Timing::parse(bad).is_err(), "{bad}");
    }
    let never = Timing::parse("0 0 30 2 *").unwrap_err();
    assert!(never.contains("there is no such day"), "{never}");
}

#[test]
fn an_interval_is_from_a_second_to_a_century() {
    let every = |text: &str| Timing::parse(&format!("@every {text}"));
    for (text, days) in [("36600days", 36_600), ("1day", 1)] {
        assert_eq!(every(text), Ok(Timing::Every(Duration::from_hours(24 * days))), "{text}");
    }
    assert_eq!(every("1s"), Ok(Timing::Every(Duration::from_secs(1))));
    for (text, why) in [("999ms", "shorter than a second"), ("36600days 1s", "longer than a century")] {
        let error = every(text).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    for (text, why) in [("0", "1 field)"), ("0 2 * * * *", "6 fields)"), ("0 2 * * @", "only `@every`")] {
        let error = Timing::parse(text).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn backups_are_work_of_their_kind_and_a_drill_is_no_backup() {
    let kinds = [Some(BackupKind::Incremental), Some(BackupKind::Full), None];
    assert_eq!(Work::ALL.map(Work::backup_kind), kinds);
    assert_eq!(Work::ALL.map(Work::is_backup), [true, true, false]);
    assert_eq!(Work::ALL.map(Work::name), ["incremental backup", "full backup", "drill"]);
}

#[test]
fn an_interval_without_length_ends_too() {
    let (begun, later) = (at("2026-11-24T00:00:00Z"), at("2026-11-24T00:00:00.001Z"));
    let nothing = Timing::Every(Duration::ZERO);
    assert_eq!(nothing.last_due(begun, later, Tz::UTC), Some(later));
    assert_eq!(nothing.count_due(begun, later, Tz::UTC, 5), 5);
}

#[test]
fn what_was_due_at_the_moment_that_is_counted_from_is_not_due_again() {
    let (daily, due) = (Timing::parse("0 2 * * *").unwrap(), at("2026-11-24T02:00:00Z"));
    let (second, day) = (TimeDelta::seconds(1), TimeDelta::days(1));
    assert_eq!(daily.last_due(due, due + day - second, Tz::UTC), None);
    assert_eq!(daily.last_due(due - second, due, Tz::UTC), Some(due));
    let count = |from, until, most| daily.count_due(from, until, Tz::UTC, most);
    assert_eq!((count(due, due + day - second, 9), count(due, due + day, 9)), (0, 1));
    assert_eq!((count(due, due + day * 5, 5), count(due, due + day * 5, 4), count(due, due + day, 0)), (5, 4, 0));
}

#[test]
fn a_time_that_the_clock_skips_is_due_right_after_the_gap() {
    // 29 March 2026, 02:00 → 03:00 in Berlin, which is 01:00 UTC.
    let night = ("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(dues("30 2 * * *", BERLIN, night.0, night.1), ["29 01:00", "30 00:30"]);
    // What repeats goes on at its pace.
    let hour = dues("*/15 * * * *", BERLIN, "2026-03-29T00:40:00Z", "2026-03-29T01:20:00Z");
    assert_eq!(hour, ["29 00:45", "29 01:00", "29 01:15"]);
}

#[test]
fn a_time_that_comes_twice_is_due_once_and_what_repeats_goes_on() {
    // 25 October 2026, 03:00 → 02:00 in Berlin, which is 01:00 UTC.
    let night = ("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(dues("30 2 * * *", BERLIN, night.0, night.1), ["25 00:30", "26 01:30"]);
    let hours = dues("*/30 * * * *", BERLIN, "2026-10-24T23:40:00Z", "2026-10-25T02:10:00Z");
    assert_eq!(hours, ["25 00:00", "25 00:30", "25 01:00", "25 01:30", "25 02:00"]);
}

#[test]
fn an_interval_runs_on_the_time_line_and_knows_no_zone() {
    let every = Timing::parse("@every 90m").unwrap();
    let begun = at("2026-10-25T00:10:00Z");
    assert_eq!(every.next_after(begun, BERLIN), Some(at("2026-10-25T01:40:00Z")));
    assert_eq!(every.last_due(begun, at("2026-10-25T01:39:59Z"), BERLIN), None);
    assert_eq!(every.last_due(begun, at("2026-10-25T05:00:00Z"), BERLIN), Some(at("2026-10-25T04:40:00Z")));
    assert_eq!(every.count_due(begun, at("2026-10-25T05:00:00Z"), BERLIN, 100), 3);
}

#[test]
fn counting_a_long_downtime_ends_where_it_was_told_to() {
    let minutely = Timing::parse("* * * * *").unwrap();
    let (from, to) = (at("1970-01-01T00:00:00Z"), at("2026-11-24T00:00:30Z"));
    assert_eq!(minutely.count_due(from, to, Tz::UTC, 1000), 1000);
    assert_eq!(minutely.last_due(from, to, Tz::UTC), Some(at("2026-11-24T00:00:00Z")));
}

#[test]
fn the_shortest_gap_is_the_one_that_jitter_must_fit_into() {
    let gap = |text: &str| Timing::parse(text).unwrap().shortest_gap().unwrap();
    assert_eq!(gap("0 2 * * *"), Duration::from_hours(24));
    assert_eq!(gap("0,10 4 * * *"), Duration::from_mins(10));
    assert_eq!(gap("@every 15m"), Duration::from_mins(15));
    assert_eq!(gap("0 0 29 2 *"), Duration::from_hours(4 * 365 * 24 + 24), "29 February of 1972 to 1976");
}

#[test]
fn jitter_is_the_same_for_the_same_occurrence_and_spread_over_sources() {
    let (jitter, due) = (Duration::from_mins(10), at("2026-11-24T02:00:00Z"));
    let delays: Vec<Duration> = (0..1000).map(|n| delay_within(jitter, &format!("source {n}"), due)).collect();
    assert_eq!(delays[7], delay_within(jitter, "source 7", due));
    assert!(delays.iter().all(|delay| *delay < jitter));
    let in_first_half = delays.iter().filter(|delay| **delay < jitter / 2).count();
    assert!((400..600).contains(&in_first_half), "{in_first_half}");
    assert_eq!(delay_within(Duration::ZERO, "a", due), Duration::ZERO);
    // It is a number of 2^-32ths of the jitter, so the jitter itself is never reached.
    let whole = |n: u32| delay_within(Duration::from_secs(1 << 32), &format!("source {n}"), due).subsec_nanos() == 0;
    assert!((0..20).all(whole));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,12}") {
        let _ = Timing::parse(&text);
        let _ = Timing::parse(&format!("@every {text}"));
    }

    #[test]
    fn dues_only_go_forward_and_the_last_one_is_the_one_before_the_next(
        seconds in 1_700_000_000_i64..1_900_000_000,
        (expression, zone) in (0..6_usize, 0..5_usize).prop_map(|(e, z)| (
            ["0 2 * * *", "30 2 * * SUN", "*/7 * * * *", "0 */3 1,15 * *", "59 23 L * *", "@every 37m"][e],
            [Tz::UTC, BERLIN, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::Asia__Kolkata][z],
        )),
    ) {
        let timing = Timing::parse(expression).unwrap();
        let start = DateTime::from_timestamp(seconds, 0).unwrap();
        let next = timing.next_after(start, zone).unwrap();
        let after = timing.next_after(next, zone).unwrap();
        prop_assert!(start < next && next < after);
        prop_assert_eq!(timing.last_due(start, next, zone), Some(next));
        prop_assert_eq!(timing.last_due(start, after - TimeDelta::seconds(1), zone), Some(next));
        prop_assert_eq!(timing.count_due(start, after, zone, 100), 2);
        if let Timing::Cron(_) = timing {
            prop_assert_eq!(next.second(), 0);
        }
    }
}

#[test]
fn the_longest_gap_is_the_one_after_which_something_is_late() {
    let gap = |text: &str| Timing::parse(text).unwrap().longest_gap().unwrap();
    assert_eq!(gap("0 6 * * *"), Duration::from_hours(24));
    assert_eq!(gap("0 6 * * 1-5"), Duration::from_hours(72), "from Friday to Monday");
    assert_eq!(gap("@every 90m"), Duration::from_mins(90));
}
