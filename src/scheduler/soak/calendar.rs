//! A naive calendar, for checking the real one: every minute is looked at.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

/// Minutes in `(from, until]` at which `expression` (`*`, `*/N` and numbers; day, month and weekday are `*`) is due in `zone`.
/// A time of day counts once a day, at the first minute that is not before it.
pub(super) fn dues(expression: &str, zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let fields: Vec<&str> = expression.split(' ').collect();
    assert_eq!(fields[2..], ["*", "*", "*"], "the naive calendar knows no days");
    let matches = |field: &str, value: u32| match field.strip_prefix("*/") {
        Some(step) => value.is_multiple_of(step.parse().unwrap()),
        None => field == "*" || field.parse() == Ok(value),
    };
    let fixed = match (fields[0].parse::<u32>(), fields[1].parse::<u32>()) {
        (Ok(minute), Ok(hour)) => Some(hour * 60 + minute),
        _ => None,
    };
    let mut dues = Vec::new();
    let mut last_day = None;
    // From the day before: whether a day had its turn has to be known.
    let mut at = from - TimeDelta::days(1);
    at = at - TimeDelta::seconds(i64::from(at.second())) - TimeDelta::nanoseconds(i64::from(at.nanosecond()));
    while at <= until {
        let local = at.with_timezone(&zone);
        let is_due = match fixed {
            Some(time_of_day) => {
                let day = (local.year(), local.ordinal());
                let has_come = local.hour() * 60 + local.minute() >= time_of_day && last_day != Some(day);
                if has_come {
                    last_day = Some(day);
                }
                // The first day of all was entered somewhere in its middle.
                has_come && at > from
            }
            None => matches(fields[0], local.minute()) && matches(fields[1], local.hour()),
        };
        if is_due && at > from {
            dues.push(at);
        }
        at += TimeDelta::minutes(1);
    }
    dues
}
