//! A month in a time zone.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};

/// A calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    first: NaiveDate,
}

impl Month {
    /// `2026-10`.
    pub fn parse(text: &str) -> Result<Self> {
        let is_shaped = text.len() == 7
            && text.bytes().enumerate().all(|(at, b)| if at == 4 { b == b'-' } else { b.is_ascii_digit() });
        let first = is_shaped.then(|| NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok()).flatten();
        let first = first.ok_or_else(|| {
            Error::configuration(format!("cannot read month `{text}`: it is not of the form YYYY-MM"))
                .hint("for example 2026-10")
        })?;
        Ok(Self { first })
    }

    /// The month before the one of `now`: the last that has ended.
    pub fn last(now: DateTime<Utc>, timezone: Tz) -> Self {
        let today = now.with_timezone(&timezone).date_naive();
        let this = today.with_day(1).unwrap_or(today);
        let before = this.pred_opt().unwrap_or(this);
        Self { first: before.with_day(1).unwrap_or(before) }
    }

    /// Its first moment and the first one after it.
    pub fn bounds(self, timezone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        let next = self.first.checked_add_months(chrono::Months::new(1)).unwrap_or(self.first);
        (midnight(self.first, timezone), midnight(next, timezone))
    }
}

/// The first moment of a day. Where clocks are put forward at midnight, the day begins later.
pub(super) fn midnight(day: NaiveDate, timezone: Tz) -> DateTime<Utc> {
    let mut quarters =
        (0..96).map(|quarter| day.and_time(chrono::NaiveTime::MIN) + chrono::TimeDelta::minutes(15 * quarter));
    let first = quarters.find_map(|time| timezone.from_local_datetime(&time).earliest());
    first.map_or_else(|| day.and_time(chrono::NaiveTime::MIN).and_utc(), |time| time.with_timezone(&Utc))
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first.format("%Y-%m"))
    }
}
