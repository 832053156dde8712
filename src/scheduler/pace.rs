//! When an increment of a source that is followed is due. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::chain::Place;
use crate::domain::schedule::Continuous;

/// On an idle server the time up to which nothing is missing is published at least so often.
const LONGEST_IDLE: Duration = Duration::from_mins(15);

/// The end of the chain and of the source's own log.
pub(super) struct Seen<'s> {
    /// Where the chain ends, and up to when nothing is missing.
    pub(super) archived: (Option<&'s Place>, DateTime<Utc>),
    /// Where the log ends; none where the source keeps none.
    pub(super) end: Option<&'s Place>,
    /// Since the last increment; none where this process made none.
    pub(super) since_published: Option<Duration>,
    /// Now.
    pub(super) now: DateTime<Utc>,
}

impl Seen<'_> {
    /// Nothing came since.
    pub(super) fn is_idle(&self) -> bool {
        self.end.is_some() && self.archived.0 == self.end
    }

    /// Bytes that came, at least.
    fn bytes(&self) -> u64 {
        match (self.archived.0, self.end) {
            (Some(archived), Some(end)) if archived.file == end.file => end.offset.saturating_sub(archived.offset),
            (_, Some(end)) => end.offset,
            (_, None) => 0,
        }
    }

    /// Whether an increment is due.
    pub(super) fn is_due(&self, continuous: &Continuous, rpo: Duration) -> bool {
        if self.is_idle() {
            let longest = (rpo / 4).clamp(continuous.interval.min(LONGEST_IDLE), LONGEST_IDLE);
            return self.now - self.archived.1 >= TimeDelta::from_std(longest).unwrap_or(TimeDelta::MAX);
        }
        self.since_published.is_none_or(|since| since >= continuous.interval) || self.bytes() >= continuous.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: &str, offset: u64) -> Place {
        Place { file: file.to_owned(), offset }
    }

    fn is_due(end: Option<&Place>, since: Option<u64>, age: i64) -> bool {
        let (archived, now) = (place("b.000007", 1000), DateTime::UNIX_EPOCH + TimeDelta::days(9));
        let archived = (Some(&archived), now - TimeDelta::seconds(age));
        let seen = Seen { archived, end, since_published: since.map(Duration::from_secs), now };
        seen.is_due(&Continuous::default(), Duration::from_mins(20))
    }

    #[test]
    fn what_came_is_due_after_the_interval_and_much_of_it_at_once() {
        let (little, much) = (place("b.000007", 1001), place("b.000007", 1000 + (16 << 20)));
        assert!(!is_due(Some(&little), Some(9), 9) && is_due(Some(&little), Some(10), 10));
        assert!(is_due(Some(&little), None, 3), "nothing was published since the start");
        assert!(is_due(Some(&much), Some(1), 1));
        // In the next file at least what is in it came.
        assert!(!is_due(Some(&place("b.000008", 4)), Some(1), 1));
        assert!(is_due(Some(&place("b.000008", 16 << 20)), Some(1), 1));
        assert!(is_due(None, Some(10), 10) && !is_due(None, Some(9), 9), "whoever takes it says why there is no log");
    }

    #[test]
    fn on_an_idle_server_time_moves_on_in_quarters_of_the_rpo() {
        let same = place("b.000007", 1000);
        assert!(!is_due(Some(&same), Some(299), 299));
        assert!(is_due(Some(&same), Some(300), 300));
        assert!(is_due(Some(&same), None, 300) && !is_due(Some(&same), None, 20));
    }
}
