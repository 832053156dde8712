//! Global transaction identifiers of both products: read out of their events, and the state that they add up to.

use std::collections::BTreeMap;
use std::fmt;

/// One transaction's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gtid {
    MariaDb {
        domain: u32,
        server: u32,
        sequence: u64,
    },
    MySql {
        uuid: [u8; 16],
        /// Empty where it has none.
        tag: String,
        number: u64,
    },
    /// MySQL without GTIDs.
    Anonymous,
}

/// What the event that begins a transaction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub gtid: Gtid,
    /// One statement that needs no commit (MariaDB).
    pub standalone: bool,
    /// It only announces an `ALTER TABLE`, or takes it back (MariaDB): what its statement says is not done.
    pub is_announcement: bool,
    /// When it was committed, in microseconds since 1970; none where the event's own second must do.
    pub committed: Option<i64>,
}

/// Bits of MariaDB's flags, and what stands behind them.
const STANDALONE: u8 = 1;
const HAS_COMMIT_ID: u8 = 2;
const HAS_XA_NAME: u8 = 64 | 128;
/// Bits of the further flags behind that.
const ANNOUNCES: u8 = 2 | 8;

/// The body of MariaDB's event.
pub fn mariadb(body: &[u8], server: u32) -> Option<Begun> {
    let sequence = u64::from_le_bytes(body.get(..8)?.try_into().ok()?);
    let domain = u32::from_le_bytes(body.get(8..12)?.try_into().ok()?);
    let flags = *body.get(12)?;
    let mut at = 13;
    if flags & HAS_COMMIT_ID != 0 {
        at += 8;
    }
    if flags & HAS_XA_NAME != 0 {
        let length = |at: usize| body.get(at).copied().map_or(0, usize::from);
        at += 6 + length(at + 4) + length(at + 5);
    }
    let is_announcement = body.get(at).is_some_and(|flags| flags & ANNOUNCES != 0);
    let standalone = flags & STANDALONE != 0;
    Some(Begun { gtid: Gtid::MariaDb { domain, server, sequence }, standalone, is_announcement, committed: None })
}

/// The body of MySQL's event; `anonymous` where it names no transaction.
pub fn mysql(body: &[u8], anonymous: bool) -> Option<Begun> {
    let uuid = body.get(1..17)?.try_into().ok()?;
    let number = u64::from_le_bytes(body.get(17..25)?.try_into().ok()?);
    let gtid = if anonymous { Gtid::Anonymous } else { Gtid::MySql { uuid, tag: String::new(), number } };
    // Behind a byte of type and two counters; its uppermost bit says that the original time follows.
    let committed = body.get(42..49).map(|bytes| {
        let mut all = [0; 8];
        all[..7].copy_from_slice(bytes);
        i64::from_le_bytes(all) & !(1 << 55)
    });
    Some(Begun { gtid, standalone: false, is_announcement: false, committed })
}

/// The body of MySQL's event with a tag: numbered fields, of which those that matter come in this order.
pub fn tagged(body: &[u8]) -> Option<Begun> {
    let mut rest = body;
    // Version of the format, length, and the last field that must be understood.
    let version = variable(&mut rest)?;
    variable(&mut rest)?;
    variable(&mut rest)?;
    let (mut uuid, mut number, mut tag, mut committed) = (None, None, None, None);
    while !rest.is_empty() && version == 1 {
        match variable(&mut rest)? {
            1 => {
                let mut bytes = [0; 16];
                for byte in &mut bytes {
                    *byte = u8::try_from(variable(&mut rest)?).ok()?;
                }
                uuid = Some(bytes);
            }
            // The sign is the lowest bit.
            2 => number = Some(variable(&mut rest)? >> 1),
            3 => {
                let length = usize::try_from(variable(&mut rest)?).ok()?;
                tag = Some(String::from_utf8(rest.get(..length)?.to_vec()).ok()?);
                rest = &rest[length..];
            }
            6 => {
                committed = i64::try_from(variable(&mut rest)?).ok();
                break;
            }
            // Flags, and two counters.
            0 | 4 | 5 => drop(variable(&mut rest)?),
            _ => break,
        }
    }
    let gtid = Gtid::MySql { uuid: uuid?, tag: tag?, number: number? };
    Some(Begun { gtid, standalone: false, is_announcement: false, committed })
}

/// A number of MySQL's serialization: as many ones at the low end of the first byte as there are further bytes.
fn variable(rest: &mut &[u8]) -> Option<u64> {
    let more = rest.first()?.trailing_ones() as usize;
    let bytes = rest.get(..=more)?;
    let mut all = [0; 8];
    let number = if more == 8 {
        all.copy_from_slice(&bytes[1..]);
        u64::from_le_bytes(all)
    } else {
        all[..=more].copy_from_slice(bytes);
        u64::from_le_bytes(all) >> (more + 1)
    };
    *rest = &rest[more + 1..];
    Some(number)
}

type Uuid = [u8; 16];

/// A UUID for people.
struct Shown<'u>(&'u Uuid);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let mut out = [0; 16];
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MariaDb { domain, server, sequence } => write!(f, "{domain}-{server}-{sequence}"),
            Self::MySql { uuid, tag, number } if tag.is_empty() => write!(f, "{}:{number}", Shown(uuid)),
            Self::MySql { uuid, tag, number } => write!(f, "{}:{tag}:{number}", Shown(uuid)),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

impl Gtid {
    /// As people and servers write it.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.contains(':') {
            let mut parts = text.split(':').map(str::trim);
            let uuid = uuid(parts.next()?)?;
            let last = parts.next()?;
            let (tag, last) = match parts.next() {
                Some(number) => (last.to_ascii_lowercase(), number),
                None => (String::new(), last),
            };
            let number = number(last)?;
            return parts.next().is_none().then_some(Self::MySql { uuid, tag, number });
        }
        let mut parts = text.split('-');
        let (domain, server) =
            (u32::try_from(number(parts.next()?)?).ok()?, u32::try_from(number(parts.next()?)?).ok()?);
        let sequence = number(parts.next()?)?;
        parts.next().is_none().then_some(Self::MariaDb { domain, server, sequence })
    }
}

impl Gtid {
    /// Its number and that of `other`, where both count in the same way.
    pub fn number_beside(&self, other: &Self) -> Option<(u64, u64)> {
        match (self, other) {
            (Self::MariaDb { domain, sequence, .. }, Self::MariaDb { domain: same, sequence: other, .. })
                if domain == same =>
            {
                Some((*sequence, *other))
            }
            (Self::MySql { uuid, tag, number }, Self::MySql { uuid: one, tag: same, number: other })
                if uuid == one && tag == same =>
            {
                Some((*number, *other))
            }
            _ => None,
        }
    }
}

/// A number without a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Which transactions a server has done: of MariaDB the last one of each domain, of MySQL a set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidState {
    domains: BTreeMap<u32, (u32, u64)>,
    /// Intervals without their upper ends, sorted, apart from each other.
    sets: BTreeMap<(Uuid, String), Vec<(u64, u64)>>,
}

#[allow(dead_code)] // for a capture that follows the log
impl GtidState {
    /// As the servers print it; none where it cannot be read.
    pub fn read(text: &str) -> Option<Self> {
        let mut state = Self::default();
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            if !one.contains(':') {
                state.add(&Gtid::read(one)?);
                continue;
            }
            let mut parts = one.split(':').map(str::trim);
            let uuid = uuid(parts.next()?)?;
            let mut tag = String::new();
            for part in parts {
                if part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    tag = part.to_ascii_lowercase();
                    continue;
                }
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let (first, last) = (number(first)?, number(last)?);
                state.insert(uuid, &tag, first, last.checked_add(1)?);
            }
        }
        Some(state)
    }

    /// One transaction more.
    pub fn add(&mut self, gtid: &Gtid) {
        match gtid {
            Gtid::MariaDb { domain, server, sequence } => {
                self.domains.insert(*domain, (*server, *sequence));
            }
            Gtid::MySql { uuid, tag, number } => self.insert(*uuid, tag, *number, number.saturating_add(1)),
            Gtid::Anonymous => {}
        }
    }

    /// What came after this, in order.
    pub fn merge(&mut self, later: &Self) {
        self.domains.extend(later.domains.iter().map(|(domain, last)| (*domain, *last)));
        for ((uuid, tag), intervals) in &later.sets {
            for (first, end) in intervals {
                self.insert(*uuid, tag, *first, *end);
            }
        }
    }

    fn insert(&mut self, uuid: [u8; 16], tag: &str, first: u64, end: u64) {
        let intervals = self.sets.entry((uuid, tag.to_owned())).or_default();
        let (mut first, mut end) = (first, end);
        let from = intervals.partition_point(|one| one.1 < first);
        let until = intervals.partition_point(|one| one.0 <= end);
        if let Some(touched) = intervals.get(from..until).filter(|touched| !touched.is_empty()) {
            first = first.min(touched[0].0);
            end = end.max(touched[touched.len() - 1].1);
        }
        intervals.splice(from..until.max(from), [(first, end)]);
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.sets.is_empty()
    }
}

impl fmt::Display for GtidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (domain, (server, sequence)) in &self.domains {
            write!(f, "{separator}{domain}-{server}-{sequence}")?;
            separator = ",";
        }
        let mut before: Option<&[u8; 16]> = None;
        for ((uuid, tag), intervals) in &self.sets {
            if before != Some(uuid) {
                write!(f, "{separator}{}", Shown(uuid))?;
                separator = ",";
            }
            before = Some(uuid);
            if !tag.is_empty() {
                write!(f, ":{tag}")?;
            }
            for (first, end) in intervals {
                match end - first {
                    1 => write!(f, ":{first}")?,
                    _ => write!(f, ":{first}-{}", end - 1)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "b57584fd-ea28-11f1-b677-02fc00000001";

    #[test]
    fn an_event_of_mysql_9_7_with_a_tag_is_read() {
        let hex = "027400000002d502ea1102f503a9035022c503d902ee04f103000000020404060a6d79746167083c0a400c7f57cdc1de3b6106105d041283120b";
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        let begun = tagged(&bytes).unwrap();
        assert_eq!(begun.gtid.to_string(), format!("{UUID}:mytag:1"));
        assert_eq!(begun.committed, Some(0x0006_613b_dec1_cd57));
        assert_eq!(Gtid::read(&begun.gtid.to_string()), Some(begun.gtid));
        // All that is needed is in the first 52 bytes.
        for end in 0..40 {
            assert!(tagged(&bytes[..end]).is_none_or(|begun| begun.committed.is_none()), "{end}");
        }
        let mut later = bytes;
        later[0] = 4;
        assert_eq!(tagged(&later), None, "a format that is not known");
    }

    #[test]
    fn mariadb_announces_what_it_will_alter() {
        let body = |flags: u8, rest: &[u8]| [&[5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, flags][..], rest].concat();
        let read = |flags: u8, rest: &[u8]| {
            let begun = mariadb(&body(flags, rest), 7).unwrap();
            assert_eq!(begun.gtid.to_string(), "1-7-5");
            (begun.standalone, begun.is_announcement)
        };
        assert_eq!(read(0, &[0; 6]), (false, false));
        assert_eq!(read(1, &[2, 0, 0, 0, 0, 0]), (true, true));
        assert_eq!(read(1, &[8]), (true, true));
        assert_eq!(read(1, &[4]), (true, false), "that is what is done");
        assert_eq!(read(1, &[]), (true, false));
        assert_eq!(read(3, &[2, 0, 0, 0, 0, 0, 0, 0, 0]), (true, false), "a number of its commit");
        assert_eq!(read(3, &[0, 0, 0, 0, 0, 0, 0, 0, 2]), (true, true));
        let name = [1, 0, 0, 0, 2, 1, b'x', b'y', b'z', 2];
        assert_eq!(
            (read(64, &name), read(128, &name), read(64, &name[..9])),
            ((false, true), (false, true), (false, false))
        );
        assert_eq!(mariadb(&body(0, &[])[..12], 7), None);
    }

    #[test]
    fn numbers_of_any_length_are_read() {
        for (bytes, want) in [
            (&[0x02][..], 1),
            (&[0xd5, 0x02], 0xb5),
            (&[0x7f, 1, 0, 0, 0, 0, 0, 0], 1),
            (&[0xff, 1, 0, 0, 0, 0, 0, 0, 0x80], 0x8000_0000_0000_0001),
        ] {
            let mut rest = bytes;
            assert_eq!((variable(&mut rest), rest.len()), (Some(want), 0), "{bytes:?}");
            let mut cut = &bytes[..bytes.len() - 1];
            assert_eq!(variable(&mut cut), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_gtid_is_read_as_it_is_written() {
        for text in ["0-7-175", "4294967295-1-18446744073709551615", &format!("{UUID}:5"), &format!("{UUID}:a_1:5")] {
            assert_eq!(Gtid::read(text).map(|gtid| gtid.to_string()).as_deref(), Some(text));
        }
        for text in
            ["", "1-2", "1-2-3-4", "a-b-c", "+1-2-3", "1-2-", &UUID[1..], &format!("{UUID}:"), &format!("{UUID}:a:b:1")]
        {
            assert_eq!(Gtid::read(text), None, "{text}");
        }
    }

    #[test]
    fn the_state_of_mariadb_is_the_last_of_each_domain_and_that_of_mysql_a_set() {
        let mut state = GtidState::default();
        assert!(state.is_empty());
        for text in ["1-1-9", "0-1-5", "0-2-4"] {
            state.add(&Gtid::read(text).unwrap());
        }
        assert_eq!(state.to_string(), "0-2-4,1-1-9");
        assert!(!state.is_empty());
        let mut set =
            GtidState::read(&format!("{UUID}:1-3:5:tag:7-9:other:1,\n{}:4", UUID.replace("fc", "fd"))).unwrap();
        assert_eq!(set.to_string(), format!("{UUID}:1-3:5:other:1:tag:7-9,{}:4", UUID.replace("fc", "fd")));
        set.add(&Gtid::read(&format!("{UUID}:4")).unwrap());
        set.add(&Gtid::Anonymous);
        set.merge(&GtidState::read(&format!("{UUID}:tag:10")).unwrap());
        assert_eq!(set.to_string(), format!("{UUID}:1-5:other:1:tag:7-10,{}:4", UUID.replace("fc", "fd")));
        state.merge(&GtidState::read("0-3-2").unwrap());
        assert_eq!(state.to_string(), "0-3-2,1-1-9");
        assert_eq!(GtidState::read("nonsense"), None);
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_added_to_it(numbers in proptest::collection::vec(1_u64..40, 0..40)) {
            let mut state = GtidState::default();
            for number in &numbers {
                state.add(&Gtid::read(&format!("{UUID}:{number}")).unwrap());
            }
            let wanted: BTreeSet<u64> = numbers.into_iter().collect();
            let mut found = BTreeSet::new();
            for (first, end) in state.sets.values().flatten() {
                prop_assert!(first < end);
                for number in *first..*end {
                    prop_assert!(found.insert(number));
                }
            }
            prop_assert_eq!(&found, &wanted);
            // As few intervals as possible.
            let starts = wanted.iter().filter(|number| !wanted.contains(&(*number - 1))).count();
            prop_assert_eq!(state.sets.values().flatten().count(), starts);
            prop_assert_eq!(GtidState::read(&state.to_string()), Some(state));
        }
    }
}
