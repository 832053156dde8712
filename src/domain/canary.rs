//! Canaries: rows of our own, written into a source before a backup, that must come back exactly. Pure.
//!
//! What a backup promises of them is read from what it stores, never remembered from what was written.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::host::HostIdentity;

/// The database that has them.
pub const DATABASE: &str = "backup_sla_canary";
/// Its only table.
pub const TABLE: &str = "canary";
/// That table, as tables are named in manifests.
pub const QUALIFIED: &str = "backup_sla_canary.canary";
/// Of more owners than this on one server nothing is promised.
const MOST_OWNERS: usize = 100;

/// One canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// When it was written, by the clock of whoever wrote it.
    pub written: DateTime<Utc>,
    /// A text that no other canary has.
    pub value: String,
}

impl Canary {
    /// The time as it is written.
    pub fn time(&self) -> String {
        self.written.to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// One as it was written; none where it is none of ours.
    pub fn read(time: &str, value: &str) -> Option<Self> {
        let written = DateTime::parse_from_rfc3339(time).ok()?.to_utc();
        let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let canary = Self { written, value: value.to_owned() };
        (is_plain && canary.time() == time).then_some(canary)
    }

    /// Time and value, for people.
    pub fn shown(&self) -> String {
        format!("{} {}", self.time(), self.value)
    }
}

/// The newest canary of each owner.
pub type Canaries = BTreeMap<String, Canary>;

/// Whose canary it is: two hosts, or two sources of one, may share a server.
pub fn owner(source: &str, host: &HostIdentity) -> String {
    format!("{source}@{}", host.id)
}

/// What an increment does to canaries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryChanges {
    /// Something else than a canary was done to their table: nothing is known of those before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
    /// The newest of each owner, behind that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub newest: Canaries,
}

impl CanaryChanges {
    /// Whether there are none.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Something else was done to their table.
    pub fn forget(&mut self) {
        self.newest.clear();
        self.forgotten = true;
    }

    /// Somebody wrote one.
    pub fn write(&mut self, owner: String, canary: Canary) {
        self.newest.insert(owner, canary);
        if self.newest.len() > MOST_OWNERS {
            self.forget();
        }
    }

    /// These came behind.
    pub fn add(&mut self, later: Self) {
        if later.forgotten {
            self.forget();
        }
        for (owner, canary) in later.newest {
            self.write(owner, canary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_read_only_as_it_was_written() {
        let written = DateTime::from_timestamp(1_800_000_000, 5000).unwrap();
        let one = Canary { written, value: "v1".to_owned() };
        assert_eq!(one.time(), "2027-01-15T08:00:00.000005Z");
        assert_eq!(Canary::read(&one.time(), &one.value), Some(one));
        for (time, value) in [
            ("2027-01-15T08:00:00Z", "v1"),
            ("2027-01-15T09:00:00.000005+01:00", "v1"),
            ("2027-01-15T08:00:00.000005Z", ""),
            ("2027-01-15T08:00:00.000005Z", "a b"),
            ("yesterday", "v1"),
        ] {
            assert_eq!(Canary::read(time, value), None, "{time} {value}");
        }
    }
}
