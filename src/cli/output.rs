//! How results get to people and programs: lines, tables, JSON. And how errors look to everybody.

use std::io::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::display::rfc3339;
use crate::domain::figures::grouped;
use crate::domain::words::Words;
use crate::error::{Error, OrFailed, Result};
use crate::foreign;

/// Print one JSON object on a line of its own.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).or_failed("cannot write JSON")?;
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
        result => result.or_failed("cannot write to standard output"),
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

/// A time with the wall clock of `zone` behind it, unless that is UTC: `2026-01-31T02:00:00Z (2026-01-31 03:00:00 CET)`.
pub fn time_in(at: DateTime<Utc>, zone: Tz) -> String {
    if zone == Tz::UTC { rfc3339(at) } else { format!("{} ({})", rfc3339(at), wall_clock(at, zone)) }
}

/// `2026-01-31 03:00:00 CET`.
pub fn wall_clock(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// What a source has, in its own words: `16 tables, 70 969 rows`.
pub fn contents(words: Words, tables: usize, rows: u64) -> String {
    let Words { table: one, tables: many, rows: of } = words;
    format!("{tables} {}, {} {of}", if tables == 1 { one } else { many }, count(rows))
}

/// `1 234 567`, with spaces that every terminal shows.
pub fn count(number: u64) -> String {
    grouped(number, ' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::files::Files;
    use crate::engine::influxdb::Influxdb;
    use crate::engine::kind::Kind;
    use crate::engine::mysql::Mysql;

    #[test]
    fn figures_read_well() {
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(contents(Mysql.words(), 2, 3), "2 tables, 3 rows");
        assert_eq!(contents(Influxdb.words(), 1, 3_000), "1 measurement, 3 000 values");
        assert_eq!(contents(Files.words(), 1, 2), "1 tree, 2 entries");
        let at = DateTime::from_timestamp(1_769_824_800, 0).unwrap();
        assert_eq!(time_in(at, Tz::UTC), "2026-01-31T02:00:00Z");
        assert_eq!(time_in(at, Tz::Europe__Berlin), "2026-01-31T02:00:00Z (2026-01-31 03:00:00 CET)");
    }
}
