//! How results look to people: tables, sizes, durations. And how errors look to everybody.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::domain::words::{Words, words};
use crate::error::{Error, OrFailed, Result};
use crate::foreign;

/// Print one JSON object on a line of its own.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).or_failed("write JSON")?;
    print(&foreign::json(&text))
}

/// Print a line to standard output. Whatever others put into it, it stays one.
pub fn line(text: &str) -> Result<()> {
    print(&foreign::one_line(text))
}

/// A reader that went away is not an error worth a panic.
fn print(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.or_failed("write to standard output"),
    }
}

/// Print text of several lines.
pub fn text(text: &str) -> Result<()> {
    print(&foreign::lines(text.strip_suffix('\n').unwrap_or(text)))
}

/// Say what went wrong and what to try.
pub fn error(error: &Error) {
    crate::logging::report(error);
}

/// A table without lines, easy to read and to cut.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// `2026-01-31T02:00:00Z`.
pub fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The same with the wall clock of `zone` behind it, unless that is UTC: `2026-01-31T02:00:00Z (2026-01-31 03:00:00 CET)`.
pub fn time_in(at: DateTime<Utc>, zone: Tz) -> String {
    if zone == Tz::UTC { time(at) } else { format!("{} ({})", time(at), wall_clock(at, zone)) }
}

/// `2026-01-31 03:00:00 CET`.
pub fn wall_clock(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// `1h 5m`, `3m 20s`, `2.4 s`, `85 ms`.
pub fn duration(seconds: f64) -> String {
    if seconds < 0.0995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds.trunc()).unwrap_or(std::time::Duration::MAX);
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// What a source of `kind` has, in its own words: `16 tables, 70 969 rows`.
pub fn contents(kind: &str, tables: usize, rows: u64) -> String {
    let Words { table: one, tables: many, rows: of } = words(kind);
    format!("{tables} {}, {} {of}", if tables == 1 { one } else { many }, count(rows))
}

/// Thousands are easier to read in groups: `1 234 567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(duration(0.0123), "12 ms");
        assert_eq!(duration(12.34), "12.3 s");
        assert_eq!(duration(3_725.0), "1h 2m");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(contents("mysql", 2, 3), "2 tables, 3 rows");
        assert_eq!(contents("influxdb", 1, 3_000), "1 measurement, 3 000 values");
        assert_eq!(contents("files", 1, 2), "1 tree, 2 entries");
        assert_eq!(size(1_572_864), "1.5 MiB");
        let at = DateTime::from_timestamp(1_769_824_800, 0).unwrap();
        assert_eq!(time_in(at, Tz::UTC), "2026-01-31T02:00:00Z");
        assert_eq!(time_in(at, Tz::Europe__Berlin), "2026-01-31T02:00:00Z (2026-01-31 03:00:00 CET)");
    }
}
