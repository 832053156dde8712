//! How figures and times look on a page.

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::domain::history::JUDGED_FROM_DAYS;
use crate::domain::sla::Judgement;
use crate::exporter::refresh::View;

/// What stays as it is in an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Where the page of a source is, from a page that is `base` away from the root.
pub(super) fn source_address(base: &str, name: &str) -> String {
    format!("{base}sources/{}", utf8_percent_encode(name, PLAIN))
}

/// `85 ms`, `2.4 s`, `3m 20s`, `30h 5m`, `12d 3h`: two units at most.
pub(crate) fn duration(seconds: f64) -> String {
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

/// A figure that breaks a promise, as exactly as it takes to look different from what was promised: `2m 3s`, not `2m` beside
/// `promised 2m`.
pub(crate) fn beside(seconds: f64, promised: f64, shown: impl Fn(f64) -> String) -> String {
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
pub(super) fn elapsed(seconds: f64) -> String {
    if seconds < 60.0 { format!("{:.0} s", seconds.floor()) } else { duration(seconds.floor()) }
}

/// The seconds between two times.
pub(super) fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}

/// `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// `1 234 567`, with spaces that do not break.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `3 sources`, `1 source`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number as u64))
}

/// When a share is judged of which `days` are known: `after 7 days, so far 11 hours`.
pub(crate) fn judged_later(days: f64) -> String {
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
pub(crate) fn percent(ratio: f64) -> String {
    let tenths = (ratio * 1000.0 + 1e-9).floor();
    if (tenths % 10.0) == 0.0 { format!("{:.0} %", tenths / 10.0) } else { format!("{:.1} %", tenths / 10.0) }
}

/// RFC 3339, UTC, whole seconds.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `3h 5m ago`; `in 4m` for what is to come.
pub(super) fn age(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
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

/// Now, and the time zone of whoever reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub now: DateTime<Utc>,
    pub zone: Tz,
}

impl Moment {
    /// Of a page.
    pub(super) fn of(view: &View) -> Self {
        Self { now: view.now, zone: view.config.timezone }
    }

    /// The time in the configured zone, where that is another than UTC: `03:00 CET`, with the day where it is another one.
    pub(super) fn local(self, time: DateTime<Utc>) -> Option<String> {
        let local = time.with_timezone(&self.zone);
        if self.zone == Tz::UTC {
            return None;
        }
        let form = if local.date_naive() == time.date_naive() { "%H:%M:%S %Z" } else { "%Y-%m-%d %H:%M:%S %Z" };
        Some(local.format(form).to_string())
    }
}

/// A time with its age behind it.
pub(super) fn time(time: DateTime<Utc>, moment: Moment) -> Markup {
    html! {
        time datetime=(rfc3339(time)) { (rfc3339(time)) } " "
        span.muted { "(" @if let Some(local) = moment.local(time) { (local) ", " } (age(time, moment.now)) ")" }
    }
}

/// An age with its time below it, for narrow columns.
pub(super) fn time_below(time: DateTime<Utc>, moment: Moment) -> Markup {
    html! {
        (age(time, moment.now)) " " time.below datetime=(rfc3339(time)) { (rfc3339(time)) }
        @if let Some(local) = moment.local(time) { span.below { (local) } }
    }
}

/// Whether something holds, in a word and a sign.
pub(super) fn state(is_good: bool, good: &str, bad: &str) -> Markup {
    let (class, sign, word) = if is_good { ("good", "✓", good) } else { ("bad", "✗", bad) };
    html! { span class={ "state " (class) } { span aria-hidden="true" { (sign) " " } (word) } }
}

/// What can be said of a promise, in a word and a sign; none where nobody knows.
pub(super) fn judged(judgement: Option<Judgement>) -> Markup {
    match judgement {
        Some(Judgement::Met) => state(true, "met", ""),
        Some(Judgement::NotMet) => state(false, "", "not met"),
        Some(Judgement::Pending) => pending("pending"),
        None => unsure("not known"),
    }
}

/// What is not due yet.
pub(super) fn pending(words: &str) -> Markup {
    html! { span.state.pending { span aria-hidden="true" { "○ " } (words) } }
}

/// What nobody knows, or what says nothing about the data.
pub(super) fn unsure(word: &str) -> Markup {
    html! { span.state.unsure { span aria-hidden="true" { "? " } (word) } }
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
        assert_eq!(source_address("../", "a/b <é>."), "../sources/a%2Fb%20%3C%C3%A9%3E%2E");
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(100);
        assert_eq!(age(now, now), "now");
        assert_eq!(age(now - chrono::TimeDelta::seconds(3_725), now), "1h 2m ago");
        assert_eq!(age(now + chrono::TimeDelta::seconds(40), now), "in 40s");
        let berlin = Moment { now, zone: chrono_tz::Europe::Berlin };
        assert_eq!(berlin.local(now).as_deref(), Some("05:00:00 CET"));
        let late = now + chrono::TimeDelta::hours(19);
        assert_eq!(berlin.local(late).as_deref(), Some("1970-01-06 00:00:00 CET"), "another day there");
        assert_eq!(Moment { now, zone: Tz::UTC }.local(now), None);
    }
}
