//! Words and signs of a page.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::display::{age, rfc3339};
use crate::domain::sla::Judgement;
use crate::state::View;

/// What stays as it is in an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Where the page of a source is, from a page that is `base` away from the root.
pub(super) fn source_address(base: &str, name: &str) -> String {
    format!("{base}sources/{}", utf8_percent_encode(name, PLAIN))
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
    fn addresses_and_local_times_read_well() {
        assert_eq!(source_address("../", "a/b <é>."), "../sources/a%2Fb%20%3C%C3%A9%3E%2E");
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(100);
        let berlin = Moment { now, zone: chrono_tz::Europe::Berlin };
        assert_eq!(berlin.local(now).as_deref(), Some("05:00:00 CET"));
        let late = now + chrono::TimeDelta::hours(19);
        assert_eq!(berlin.local(late).as_deref(), Some("1970-01-06 00:00:00 CET"), "another day there");
        assert_eq!(Moment { now, zone: Tz::UTC }.local(now), None);
    }
}
