//! Points in time as people type them: RFC 3339, or a wall clock time of the configured zone. Pure.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// Forms of a wall clock time that are understood.
const FORMS: [&str; 4] = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];

/// Why a text is no point in time. [`std::fmt::Display`] says what is wrong, [`TimeFault::hint`] what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeFault {
    /// No form that is known.
    #[error("cannot read time {text:?}")]
    Unreadable {
        /// What was typed.
        text: String,
    },
    /// Clocks were put back: it comes twice.
    #[error("cannot tell which {text:?} is meant: it comes twice in {zone}")]
    Twice {
        /// What was typed.
        text: String,
        /// The zone.
        zone: Tz,
        /// Both readings, in RFC 3339.
        readings: [String; 2],
    },
    /// Clocks were put forward: it does not come at all.
    #[error("cannot tell which time {text:?} is: clocks in {zone} skip it")]
    Skipped {
        /// What was typed.
        text: String,
        /// The zone.
        zone: Tz,
        /// By the clock before and by the clock after, in RFC 3339.
        readings: [String; 2],
    },
}

impl TimeFault {
    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                "write \"2026-11-26 11:29\" (in the zone of the configuration) or 2026-11-26T11:29:00Z".to_owned()
            }
            Self::Twice { readings: [first, second], .. } | Self::Skipped { readings: [first, second], .. } => {
                format!("write {first} or {second}")
            }
        }
    }
}

/// The moment that `text` names: with an offset as it says, without one by the clock of `zone`.
pub fn parse(text: &str, zone: Tz) -> Result<DateTime<Utc>, TimeFault> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let typed = FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let wall = typed.ok_or_else(|| TimeFault::Unreadable { text: text.to_owned() })?;
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(time) => Ok(time.to_utc()),
        LocalResult::Ambiguous(first, second) => {
            let readings = [first.to_rfc3339(), second.to_rfc3339()];
            Err(TimeFault::Twice { text: text.to_owned(), zone, readings })
        }
        LocalResult::None => {
            // The clock a day before and a day after: no zone changes twice in between.
            let by_clock_of = |near: NaiveDateTime| {
                let offset = zone.offset_from_utc_datetime(&near).fix();
                offset.from_local_datetime(&wall).single().map_or_else(|| wall.to_string(), |time| time.to_rfc3339())
            };
            let readings = [by_clock_of(wall - TimeDelta::days(1)), by_clock_of(wall + TimeDelta::days(1))];
            Err(TimeFault::Skipped { text: text.to_owned(), zone, readings })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Tz = Tz::Europe__Berlin;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn a_wall_clock_time_is_one_of_the_configured_zone_and_an_offset_counts_as_it_is() {
        for (typed, zone, meant) in [
            ("2026-11-26 11:29", BERLIN, "2026-11-26T10:29:00Z"),
            ("2026-11-26T11:29:30", BERLIN, "2026-11-26T10:29:30Z"),
            ("2026-11-26 11:29:30", BERLIN, "2026-11-26T10:29:30Z"),
            (" 2026-11-26T11:29 ", BERLIN, "2026-11-26T10:29:00Z"),
            ("2026-07-01 11:29", BERLIN, "2026-07-01T09:29:00Z"),
            ("2026-11-26 11:29", Tz::UTC, "2026-11-26T11:29:00Z"),
            ("2026-11-26T11:29:00Z", BERLIN, "2026-11-26T11:29:00Z"),
            ("2026-11-26T11:29:00-05:00", BERLIN, "2026-11-26T16:29:00Z"),
        ] {
            assert_eq!(parse(typed, zone), Ok(at(meant)), "{typed} in {zone}");
        }
    }

    #[test]
    fn a_time_that_comes_twice_is_refused_with_both_readings() {
        let fault = parse("2026-10-25 02:30", BERLIN).unwrap_err();
        assert!(fault.to_string().contains("comes twice in Europe/Berlin"), "{fault}");
        assert_eq!(fault.hint(), "write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00");
    }

    #[test]
    fn a_time_that_clocks_skip_is_refused_with_both_readings() {
        let fault = parse("2026-03-29 02:30", BERLIN).unwrap_err();
        assert!(fault.to_string().contains("clocks in Europe/Berlin skip it"), "{fault}");
        assert_eq!(fault.hint(), "write 2026-03-29T02:30:00+01:00 or 2026-03-29T02:30:00+02:00");
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for typed in ["", "yesterday", "2026-11-26", "11:29", "2026-13-01 10:00", "1764156540"] {
            let fault = parse(typed, BERLIN).unwrap_err();
            assert!(
                matches!(fault, TimeFault::Unreadable { .. }) && fault.hint().contains("2026-11-26 11:29"),
                "{typed}"
            );
        }
    }
}
