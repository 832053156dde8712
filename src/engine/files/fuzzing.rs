//! Archives and indexes that this program did not write.

#![allow(clippy::missing_panics_doc)] // a panic is the finding

use std::cmp::Ordering;
use std::io::{self, Read};

use super::entry::{DigestTree, Entry, order};
use super::tape::{self, Accounts, BLOCK};
use super::text::Name;
use crate::engine::influxdb::fuzzing::with_checksums;

/// An archive: an entry that is read is written as one that reads the same.
pub fn tape(input: &[u8]) {
    entries(input);
    entries(&with_checksums(input));
}

fn entries(mut input: &[u8]) {
    let nobody = Accounts::default();
    while let Ok(Some(entry)) = tape::next(&mut input) {
        let data = entry.size.next_multiple_of(BLOCK as u64);
        if let Some(known) = plain(&entry) {
            let written = tape::header(&known, &nobody, &nobody).expect("what was read can be written");
            let again = tape::next(&mut written.as_slice()).expect("what was written can be read");
            assert_eq!(again.as_ref().and_then(plain), Some(known));
        }
        if io::copy(&mut input.by_ref().take(data), &mut io::sink()).unwrap_or(0) < data {
            return;
        }
    }
}

/// As the index would have it: an archive has one way more to write a path, and paths that nobody can have.
fn plain(entry: &Entry) -> Option<Entry> {
    let mut entry = entry.clone();
    let has_nul = |name: &Name| name.0.contains(&0);
    let names = [Some(&entry.path), entry.target.as_ref(), entry.hard_link.as_ref()];
    if names.into_iter().flatten().any(|name| has_nul(name) || name.0.is_empty()) {
        return None;
    }
    // A header has room for a larger one than is written.
    if entry.device.is_some_and(|(major, minor)| major.max(minor) >= 1 << 21) {
        return None;
    }
    while entry.path.0.pop_if(|byte| *byte == b'/').is_some() {}
    if entry.path.0.is_empty() {
        return None;
    }
    Some(entry)
}

/// The lines of an index: each is written again as it was meant, and the digest tree takes them in any order.
pub fn index(input: &[u8]) {
    let mut tree = DigestTree::new(b"a");
    let mut last: Option<Entry> = None;
    for line in input.split(|byte| *byte == b'\n') {
        if let Some(name) = std::str::from_utf8(line).ok().and_then(Name::parse) {
            let shown = name.to_string();
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert_eq!(Name::parse(&shown), Some(name));
        }
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { continue };
        let written = serde_json::to_vec(&entry).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<Entry>(&written).ok().as_ref(), Some(&entry));
        tree.add(&entry);
        if let Some(last) = &last {
            let both = (order(&last.path.0, &entry.path.0), order(&entry.path.0, &last.path.0));
            assert_eq!(both.0, both.1.reverse());
            assert_eq!(both.0 == Ordering::Equal, last.path == entry.path);
        }
        last = Some(entry);
    }
    tree.finish();
}
