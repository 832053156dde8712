//! Single values: what each may look like, and what to write when it does not.
//!
//! Knows nothing about keys: a fault continues a sentence that starts with one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use chrono_tz::Tz;
use toml::de::DeValue;

use super::nearest::{nearest, quoted_list};
use super::reading::Reading;
use super::section::{Fault, Value};
use crate::domain::schedule::{self, Timing};

/// Longest accepted duration. It keeps "now minus retention" far from the edges of every date type.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

const DURATION: &str = "a duration such as \"15m\", \"24h\" or \"30d\"";
const SIZE: &str = "a size such as \"512MiB\" or \"1GiB\"";

/// Non-empty text.
pub fn text<'r>(value: &'r Value<'r>) -> Result<&'r str, Fault> {
    let text = string(value, "a string")?;
    if text.trim().is_empty() { Err(Fault::new(value, "must not be empty")) } else { Ok(text) }
}

/// True or false.
pub fn boolean(value: &Value<'_>) -> Result<bool, Fault> {
    match value.get_ref() {
        DeValue::Boolean(truth) => Ok(*truth),
        _ => Err(Fault::wrong_type(value, "true or false")),
    }
}

/// One of `words`.
pub fn one_of<'k>(value: &Value<'_>, words: &[&'k str]) -> Result<&'k str, Fault> {
    let text = string(value, &format!("one of {}", quoted_list(words.iter().copied())))?;
    words.iter().copied().find(|word| *word == text).ok_or_else(|| Fault::new(value, not_among(text, words)))
}

/// The rest of "`key` …" for a word that is not among `words`.
fn not_among(text: &str, words: &[&str]) -> String {
    let advice = match nearest(text, words.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("write one of {}", quoted_list(words.iter().copied())),
    };
    format!("cannot be {text:?}: {advice}")
}

/// Name of a table that exists elsewhere in the file: `[kind.NAME]` for one of `names`.
pub fn reference(value: &Value<'_>, kind: &str, names: &[&str]) -> Result<String, Fault> {
    let text = text(value)?;
    if names.contains(&text) {
        return Ok(text.to_owned());
    }
    let advice = match nearest(text, names.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None if names.is_empty() => format!("add a table [{kind}.{text}]"),
        None => format!("the file has {}", quoted_list(names.iter().copied())),
    };
    Err(Fault::new(value, format!("names {text:?}, but there is no [{kind}.{text}]: {advice}")))
}

/// A positive duration.
pub fn duration(value: &Value<'_>) -> Result<Duration, Fault> {
    parse_duration(string(value, DURATION)?).map_err(|message| Fault::new(value, message))
}

/// A positive duration, `every` for each time, or `never`.
pub fn how_often(value: &Value<'_>) -> Result<Option<Duration>, Fault> {
    match string(value, "\"every\", \"never\" or a duration such as \"7d\"")? {
        "every" => Ok(Some(Duration::ZERO)),
        "never" => Ok(None),
        _ => duration(value).map(Some),
    }
}

/// `text` as a positive duration of at most a century; the error continues "`key` …".
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|cause| format!("is not a duration: {text:?} ({cause}); write {DURATION}"))?;
    if duration.is_zero() {
        return Err(format!("must be longer than zero: write {DURATION}"));
    }
    if duration > LONGEST {
        return Err(format!("is longer than a century: {text:?}; write {DURATION}"));
    }
    Ok(duration)
}

/// A positive number of bytes.
pub fn size(value: &Value<'_>) -> Result<u64, Fault> {
    let text = string(value, SIZE)?;
    let ByteSize(bytes) =
        ByteSize::from_str(text).map_err(|_| Fault::new(value, format!("is not a size: {text:?}; write {SIZE}")))?;
    if bytes == 0 { Err(Fault::new(value, format!("must be more than zero: write {SIZE}"))) } else { Ok(bytes) }
}

/// A cron expression or `@every DURATION`.
pub fn schedule(value: &Value<'_>) -> Result<Timing, Fault> {
    Timing::parse(string(value, schedule::EXPECTED)?.trim()).map_err(|message| Fault::new(value, message))
}

/// When something is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Pace {
    /// At these times.
    Timed(Timing),
    /// All the time.
    Continuous,
    /// All the time, as a table says.
    Table,
}

/// A schedule, `continuous`, or a table that says how.
pub fn pace(value: &Value<'_>) -> Result<Pace, Fault> {
    if value.get_ref().is_table() {
        return Ok(Pace::Table);
    }
    let is_continuous = string(value, schedule::EXPECTED)?.trim() == schedule::CONTINUOUS;
    if is_continuous { Ok(Pace::Continuous) } else { self::schedule(value).map(Pace::Timed) }
}

/// A name of the IANA time zone database.
pub fn timezone(value: &Value<'_>) -> Result<Tz, Fault> {
    let wanted = "a time zone such as \"UTC\" or \"Europe/Berlin\"";
    let text = string(value, wanted)?;
    Tz::from_str(text).map_err(|_| {
        let advice = match nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("write {wanted}"),
        };
        Fault::new(value, format!("is not a time zone: {text:?}; {advice}"))
    })
}

/// A whole number from `least` to `most`.
pub fn integer(value: &Value<'_>, least: u32, most: u32) -> Result<u32, Fault> {
    let wanted = format!("a whole number from {least} to {most}");
    let DeValue::Integer(integer) = value.get_ref() else { return Err(Fault::wrong_type(value, &wanted)) };
    u32::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| Fault::new(value, format!("must be {wanted}, not {integer}")))
}

/// A share: more than 0, at most 1.
pub fn ratio(value: &Value<'_>) -> Result<f64, Fault> {
    let wanted = "a share above 0 and up to 1, such as 0.99";
    let number = match value.get_ref() {
        DeValue::Float(float) => float.as_str(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        _ => return Err(Fault::wrong_type(value, wanted)),
    };
    let ratio: Option<f64> = number.parse().ok();
    ratio
        .filter(|ratio| *ratio > 0.0 && *ratio <= 1.0)
        .ok_or_else(|| Fault::new(value, format!("must be {wanted}, not {number}")))
}

/// A path, made absolute from the directory of the file.
pub fn path(value: &Value<'_>, reading: &Reading<'_>) -> Result<PathBuf, Fault> {
    text(value).map(|path| reading.resolve(path))
}

/// Name of a host, as people and the restic program read it.
pub fn host_name(value: &Value<'_>) -> Result<String, Fault> {
    let text = text(value)?;
    let fine = text.len() <= 253 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    let wanted = "must be a host name such as \"db1.example.org\": letters, digits, `.`, `-` and `_`";
    if fine { Ok(text.to_owned()) } else { Err(Fault::new(value, wanted)) }
}

/// A relative path that stays below its root: inside an archive.
pub fn inner_path(value: &Value<'_>) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(text(value)?);
    let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if inside {
        return Ok(path);
    }
    Err(Fault::new(value, "must be a path inside the archive, such as \"dumps/shop.sql\": no leading `/`, no `..`"))
}

/// `HOST:PORT`; `:PORT` means every address.
pub fn address(value: &Value<'_>) -> Result<String, Fault> {
    let wanted = "an address such as \"[::]:10909\" or \"127.0.0.1:10909\"";
    let text = string(value, wanted)?;
    let address = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    if address.parse::<SocketAddr>().is_ok() || address.rsplit_once(':').is_some_and(is_host_and_port) {
        return Ok(address);
    }
    Err(Fault::new(value, format!("is not an address: {text:?}; write {wanted}")))
}

fn is_host_and_port((host, port): (&str, &str)) -> bool {
    is_host(host) && port.parse::<u16>().is_ok()
}

/// Could `host` be a host name? (An IPv6 address with a port needs brackets, so no colon here.)
fn is_host(host: &str) -> bool {
    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// Name or address of a host, without a port.
pub fn host(value: &Value<'_>) -> Result<String, Fault> {
    let text = text(value)?;
    if is_host(text) || text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(Fault::new(value, format!("is not a host: {text:?}; write a name or an address, the port goes in `port`")))
}

/// Refuse `user:password@` at the start of a URL without its scheme: URLs are shown in logs and metrics.
pub fn refuse_password(value: &Value<'_>, rest: &str) -> Result<(), Fault> {
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            Err(Fault::new(value, "holds a password: take it out, urls are shown"))
        }
        _ => Ok(()),
    }
}

fn string<'r>(value: &'r Value<'r>, wanted: &str) -> Result<&'r str, Fault> {
    value.get_ref().as_str().ok_or_else(|| Fault::wrong_type(value, wanted))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_duration_as_people_write_it_reads_back_the_same(seconds in 1..LONGEST.as_secs(), nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse_duration(&humantime::format_duration(duration).to_string()), Ok(duration));
        }

        #[test]
        fn a_number_and_a_unit_is_that_many_units(count in 1..20_000_u64) {
            for (unit, seconds) in [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)] {
                prop_assert_eq!(parse_duration(&format!("{count}{unit}")), Ok(Duration::from_secs(count * seconds)));
            }
        }

        #[test]
        fn no_text_makes_a_reader_panic_and_none_yields_zero(text in "\\PC{0,12}") {
            prop_assert!(parse_duration(&text).ok() != Some(Duration::ZERO));
        }
    }
}
