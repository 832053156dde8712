//! GTIDs: the name of a transaction, and whether a server's state contains it.

use std::str::FromStr;

/// The GTID of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gtid {
    /// `domain-server-sequence`. Within a domain the sequence alone says what is before what.
    MariaDb {
        /// The domain.
        domain: u32,
        /// Number of the transaction in it.
        sequence: u64,
    },
    /// `uuid:number` or `uuid:tag:number`.
    MySql {
        /// UUID of the server that committed it first, in lower case.
        uuid: String,
        /// Its tag, in lower case; empty where it has none.
        tag: String,
        /// Its number.
        number: u64,
    },
}

/// A text that is no GTID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAGtid;

impl FromStr for Gtid {
    type Err = NotAGtid;

    fn from_str(text: &str) -> Result<Self, NotAGtid> {
        let text = text.trim();
        mariadb(text)
            .map(|(domain, sequence)| Self::MariaDb { domain, sequence })
            .or_else(|| with_uuid(text))
            .ok_or(NotAGtid)
    }
}

impl Gtid {
    /// Whether a server's `state` contains it: MariaDB's position (the last of each domain) or MySQL's executed set.
    pub fn is_in(&self, state: &str) -> bool {
        let mut entries = state.trim_start_matches('+').split(',').map(str::trim);
        match self {
            Self::MariaDb { domain, sequence } => {
                entries.filter_map(mariadb).any(|(of, last)| of == *domain && *sequence <= last)
            }
            Self::MySql { uuid, tag, number } => entries.any(|entry| {
                let (of, rest) = entry.split_once(':').unwrap_or((entry, ""));
                of.eq_ignore_ascii_case(uuid)
                    && intervals(rest).any(|(of, range)| of.eq_ignore_ascii_case(tag) && range.contains(number))
            }),
        }
    }
}

fn mariadb(text: &str) -> Option<(u32, u64)> {
    let mut parts = text.split('-');
    let (domain, server, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    let _: u32 = server.parse().ok()?;
    Some((domain.parse().ok()?, sequence.parse().ok()?)).filter(|_| parts.next().is_none())
}

fn with_uuid(text: &str) -> Option<Gtid> {
    let (uuid, rest) = text.split_once(':')?;
    let (tag, number) = rest.rsplit_once(':').unwrap_or(("", rest));
    let is_uuid = uuid.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let is_tag = tag.len() <= 32
        && !tag.starts_with(|first: char| first.is_ascii_digit())
        && tag.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    let number = number.parse().ok().filter(|number| *number > 0)?;
    let (uuid, tag) = (uuid.to_ascii_lowercase(), tag.to_ascii_lowercase());
    (is_uuid && is_tag).then_some(Gtid::MySql { uuid, tag, number })
}

/// The intervals of one UUID, each with its tag: `1-5:7:tag:1-3`.
fn intervals(text: &str) -> impl Iterator<Item = (&str, std::ops::RangeInclusive<u64>)> {
    let mut tag = "";
    text.split(':').map(str::trim).filter_map(move |part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let interval = first.parse().ok().zip(last.parse().ok());
        if interval.is_none() {
            tag = part;
        }
        interval.map(|(first, last)| (tag, first..=last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3E11FA47-71CA-11E1-9E33-C80AA9429562";

    fn is_in(gtid: &str, state: &str) -> bool {
        gtid.parse::<Gtid>().unwrap().is_in(state)
    }

    #[test]
    fn the_sequence_decides_within_a_domain_of_mariadb() {
        assert!(is_in("0-1-57", "0-1-57") && is_in("0-1-57", "0-2-58,1-1-3") && !is_in("0-1-57", "0-1-56,1-1-90"));
        assert!(!is_in("0-1-57", "") && !is_in("2-1-1", "0-1-57"));
    }

    #[test]
    fn a_set_with_uuids_contains_what_lies_in_its_intervals_under_the_same_tag() {
        let state = format!("11111111-71ca-11e1-9e33-c80aa9429562:1-9,\n{}:1-57:60:nightly:1-3:5", UUID.to_lowercase());
        for (gtid, contained) in [
            ("57", true),
            ("58", false),
            ("60", true),
            ("nightly:3", true),
            ("nightly:4", false),
            ("Nightly:5", true),
            ("other:1", false),
        ] {
            assert_eq!(is_in(&format!("{UUID}:{gtid}"), &state), contained, "{gtid}");
        }
        assert!(is_in(&format!("{UUID}:3"), &format!("+{UUID}:1-3")), "what a version before wrote");
        assert!(!is_in(&format!("{UUID}:1"), ""));
    }

    #[test]
    fn what_is_no_single_gtid_is_refused() {
        for text in [
            "",
            "57",
            "0-1",
            "0-1-2-3",
            "0-1-x",
            "0-1-57,1-1-3",
            UUID,
            &format!("{UUID}:1-5"),
            &format!("{UUID}:0"),
            &format!("{UUID}:1a:5"),
            "xx:5",
        ] {
            assert_eq!(text.parse::<Gtid>(), Err(NotAGtid), "{text}");
        }
    }
}
