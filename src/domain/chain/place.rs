//! Places in binary logs: which comes first, and whether two are in the same log.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use crate::domain::manifest::{Manifest, Position};

/// A file of a log and an offset in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: String,
    /// Offset in it, in bytes.
    pub offset: u64,
}

impl Place {
    /// Read `FILE:OFFSET`.
    pub fn parse(text: &str) -> Option<Self> {
        let (file, offset) = text.trim().rsplit_once(':')?;
        let is_name = !file.is_empty() && !file.contains(['/', ':']) && !file.contains(char::is_whitespace);
        Some(Self { file: file.to_owned(), offset: offset.parse().ok()? }).filter(|_| is_name)
    }

    /// Where a position is; none where it names no file.
    pub fn of(position: &Position) -> Option<Self> {
        Some(Self { file: position.binlog_file.clone()?, offset: position.binlog_offset? })
    }

    /// Which of two places of one log comes first; none where the names do not say it.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        if self.file == other.file {
            return Some(self.offset.cmp(&other.offset));
        }
        let ((name, number), (other_name, other_number)) = (parts(&self.file)?, parts(&other.file)?);
        Some(number.cmp(&other_number)).filter(|order| name == other_name && order.is_ne())
    }

    /// Whether it lies between where `increment` begins and ends, not at either.
    pub fn is_inside(&self, increment: &Manifest) -> bool {
        let end = |position: &Option<Position>| position.as_ref().and_then(Place::of);
        let (Some(from), Some(to)) = (end(&increment.from), end(&increment.position)) else { return false };
        match (self.order(&from), self.order(&to)) {
            (Some(after), Some(before)) => after.is_gt() && before.is_lt(),
            // The server was given another name for its log meanwhile.
            (Some(after), None) => after.is_gt(),
            (None, Some(before)) => before.is_lt(),
            (None, None) => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// Name and number of a file of a log: `binlog.000012`.
fn parts(file: &str) -> Option<(&str, u64)> {
    let (name, number) = file.rsplit_once('.')?;
    Some((name, number.parse().ok()?))
}

/// A file of a log that is known for certain: server, name, number, and when the server began it.
type Anchor<'m> = (&'m str, &'m str, u64, u32);

/// What is known of the log that a backup was taken from.
pub(super) fn anchors(manifest: &Manifest) -> BTreeSet<Anchor<'_>> {
    [&manifest.from, &manifest.position].into_iter().flatten().filter_map(anchor).collect()
}

fn anchor(position: &Position) -> Option<Anchor<'_>> {
    let (log, file) = (position.log.as_ref()?, position.binlog_file.as_deref()?);
    let (name, number) = parts(file).unwrap_or((file, 0));
    Some((log.server.as_str(), name, number, log.begun))
}

/// Whether two backups that have a file in common are of one log, which was not begun anew in between: then later numbers were begun
/// later. What is not known counts as another log.
pub(super) fn is_one_log(a: &BTreeSet<Anchor<'_>>, b: &BTreeSet<Anchor<'_>>) -> bool {
    let agree = |a: &Anchor<'_>, b: &Anchor<'_>| {
        (a.0, a.1) == (b.0, b.1)
            && match a.2.cmp(&b.2) {
                Ordering::Less => a.3 <= b.3,
                Ordering::Equal => a.3 == b.3,
                Ordering::Greater => a.3 >= b.3,
            }
    };
    !a.is_empty() && !b.is_empty() && a.iter().all(|a| b.iter().all(|b| agree(a, b)))
}

/// Whether all backups are of one log that was never begun anew: then no place and no GTID occurs twice.
pub(super) fn are_one_log<'m>(manifests: impl Iterator<Item = &'m Manifest>) -> bool {
    let mut all = BTreeSet::new();
    for manifest in manifests.filter(|manifest| manifest.position.is_some()) {
        let known = anchors(manifest);
        if known.is_empty() {
            return false;
        }
        all.extend(known);
    }
    let all: Vec<Anchor<'_>> = all.into_iter().collect();
    all.windows(2).all(|pair| {
        let (a, b) = (pair[0], pair[1]);
        (a.0, a.1) == (b.0, b.1) && (a.2 < b.2 && a.3 <= b.3)
    })
}

/// Whether two increments hold a part of one log, for certain.
pub(super) fn do_overlap(a: &Manifest, b: &Manifest) -> bool {
    let place = |position: &Option<Position>| position.as_ref().and_then(Place::of);
    let begins_before_end = |a: &Manifest, b: &Manifest| {
        let ends = place(&a.from).zip(place(&b.position));
        ends.and_then(|(from, to)| from.order(&to)).is_some_and(Ordering::is_lt)
    };
    begins_before_end(a, b) && begins_before_end(b, a) && is_one_log(&anchors(a), &anchors(b))
}

/// Whether two positions are the same place of the same log, for certain.
pub(super) fn is_same(a: &Position, b: &Position) -> bool {
    let (Some(one), Some(other)) = (&a.log, &b.log) else { return false };
    let place = Place::of(a);
    place.is_some() && place == Place::of(b) && (&one.server, one.begun) == (&other.server, other.begun)
}

/// Whether `one` ends beyond the place of `other` in the same log, for certain.
pub(super) fn is_beyond(one: &Manifest, other: &Manifest) -> bool {
    let place = |manifest: &Manifest| manifest.position.as_ref().and_then(Place::of);
    let order = place(one).zip(place(other)).and_then(|(one, other)| one.order(&other));
    order.is_some_and(Ordering::is_gt) && is_one_log(&anchors(one), &anchors(other))
}
