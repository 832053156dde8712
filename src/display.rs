//! How figures and times look to people, everywhere: pages, reports, commands.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::domain::figures::grouped;
pub use crate::domain::figures::size;
use crate::domain::history::JUDGED_FROM_DAYS;

/// `85 ms`, `2.4 s`, `3m 20s`, `30h 5m`, `12d 3h`: two units at most.
pub fn duration(seconds: f64) -> String {
    if seconds < 0.0 {
        return format!("−{}", duration(-seconds));
    }
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive, and the cast saturates
    let whole = seconds.round() as u64;
    let (minutes, hours) = (whole / 60, whole / 3600);
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{small_unit}"),
    };
    // Promises are written in hours up to two days.
    match whole {
        0..3600 => two(minutes, "m", whole % 60, "s"),
        3600..172_800 => two(hours, "h", minutes % 60, "m"),
        _ => two(hours / 24, "d", hours % 24, "h"),
    }
}

/// A limit from the configuration, as people write it there: `200ms`, `30s`, `15m`, `24h`, `30d`.
pub fn limit(limit: Duration) -> String {
    if limit < Duration::from_mins(1) {
        return humantime::format_duration(limit).to_string();
    }
    duration(limit.as_secs_f64())
}

/// A figure that breaks a promise, as exactly as it takes to look different from what was promised: `2m 3s`, not `2m` beside
/// `promised 2m`.
pub fn beside(seconds: f64, promised: f64, shown: impl Fn(f64) -> String) -> String {
    let limit = shown(promised);
    let in_minutes = if seconds < 60.0 { seconds } else { (seconds / 60.0).floor() * 60.0 };
    let candidates = [shown(in_minutes), shown(seconds), exactly(seconds)];
    candidates.into_iter().find(|text| *text != limit).unwrap_or_else(|| format!("just over {limit}"))
}

/// All units down to the second; hours up to two days, as promises are written.
fn exactly(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the cast saturates
    let whole = seconds.max(0.0) as u64;
    let days = if whole < 172_800 { 0 } else { whole / 86_400 };
    let hours = whole / 3600 - days * 24;
    let units = [(days, "d"), (hours, "h"), (whole / 60 % 60, "m"), (whole % 60, "s")];
    let said: Vec<String> = units.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    said.join(" ")
}

/// A duration in whole seconds, as the script of the page counts them.
pub fn elapsed(seconds: f64) -> String {
    if seconds < 60.0 { format!("{:.0} s", seconds.floor()) } else { duration(seconds.floor()) }
}

/// The seconds between two times.
pub fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}

/// `1 234 567`, with spaces that do not break.
pub fn count(number: u64) -> String {
    grouped(number, '\u{202f}')
}

/// `3 sources`, `1 source`.
pub fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number as u64))
}

/// When a share is judged of which `days` are known: `after 7 days, so far 11 hours`.
pub fn judged_later(days: f64) -> String {
    // Rounded down: 6.99 days are not 7.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive, and the cast saturates
    let hours = (days * 24.0) as usize;
    let so_far = match hours {
        0 if days <= 0.0 => "none".to_owned(),
        0 => "less than an hour".to_owned(),
        1..24 => counted(hours, "hour"),
        _ => counted(hours / 24, "day"),
    };
    format!("after {JUDGED_FROM_DAYS} days, so far {so_far}")
}

/// `99.2 %`, rounded down: a share that is not enough must not look as if it were.
pub fn percent(ratio: f64) -> String {
    let tenths = (ratio * 1000.0 + 1e-9).floor();
    if (tenths % 10.0) == 0.0 { format!("{:.0} %", tenths / 10.0) } else { format!("{:.1} %", tenths / 10.0) }
}

/// RFC 3339, UTC, whole seconds.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `3h 5m ago`; `in 4m` for what is to come.
pub fn age(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    // Seconds after the minute are noise in an age.
    let seconds = seconds(time, now).round();
    match seconds.abs() {
        0.0..1.0 => "now".to_owned(),
        _ if seconds > 0.0 => format!("{} ago", rough(seconds)),
        _ => format!("in {}", rough(-seconds)),
    }
}

/// A duration to the minute.
fn rough(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.0}s") } else { duration((seconds / 60.0).floor() * 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let cases = [
            (0.0123, "12 ms"),
            (12.34, "12.3 s"),
            (59.97, "1m"),
            (200.0, "3m 20s"),
            (86_400.0, "24h"),
            (108_300.0, "30h 5m"),
            (30.0 * 86_400.0, "30d"),
            (-60.0, "−1m"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(duration(f64::MAX), "213503982334601d 7h");
        let limits = [(200, "200ms"), (30_000, "30s"), (90_000, "1m 30s"), (86_400_000, "24h")];
        for (milliseconds, text) in limits {
            assert_eq!(limit(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(percent(0.9899), "98.9 %");
        assert_eq!(percent(0.99), "99 %");
        assert_eq!(percent(1.0), "100 %");
        let beside = |seconds, promised| super::beside(seconds, promised, duration);
        assert_eq!(beside(185.0, 120.0), "3m");
        assert_eq!(beside(123.0, 120.0), "2m 3s", "not 2m, which was promised");
        assert_eq!(beside(86_420.0, 86_400.0), "24h 20s");
        assert_eq!(beside(120.3, 120.0), "just over 2m");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(counted(1, "source"), "1 source");
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(100);
        assert_eq!(age(now, now), "now");
        assert_eq!(age(now - chrono::TimeDelta::seconds(3_725), now), "1h 2m ago");
        assert_eq!(age(now + chrono::TimeDelta::seconds(40), now), "in 40s");
    }
}
