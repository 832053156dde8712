//! Files of a repository that no backup program wrote.

#![allow(clippy::missing_panics_doc)] // a panic is the finding

use std::collections::BTreeSet;

use chrono::DateTime;
use rustic_core::TreeId;
use rustic_core::repofile::{MasterKey, SnapshotFile, SnapshotId};

use super::backend::id_of;
use super::bounds::{Asked, MOST_KEY_MEMORY, MOST_KEY_WORK, check_unpacked, lengths};
use super::catalogue::{Entry, Tags, merge};
use super::cipher::Cipher;
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::error::Error;
use crate::repository::Published;

/// Plain files, and those that somebody with the password may have written: what a key may ask for has limits, and tags
/// mean what they meant when they are written again.
pub fn keys(input: &[u8]) {
    if let Ok(asked) = serde_json::from_slice::<Asked>(input)
        && let Ok(work) = asked.work()
    {
        assert!(work <= MOST_KEY_WORK && asked.n.saturating_mul(asked.r).saturating_mul(128) <= MOST_KEY_MEMORY);
    }
    if check_unpacked(input).is_ok() {
        drop(lengths(input));
    }
    if let Some(tags) = serde_json::from_slice::<SnapshotFile>(input).ok().as_ref().and_then(Tags::of) {
        let mut snapshot = SnapshotFile::default();
        for tag in tags.to_list() {
            snapshot.tags.add(tag);
        }
        assert_eq!(Tags::of(&snapshot), Some(tags));
    }
    let cipher = Cipher::new(&MasterKey::new(), false).expect("a new key is a key");
    assert!(cipher.decrypt(input).is_none(), "something was decrypted that was not encrypted");
    if let Some(id) = id_of(input) {
        assert_eq!(id.to_hex().as_str().as_bytes(), input, "what is listed is opened by another name");
    }
}

/// Snapshots in any order, four bytes each: whose, which point, as of when, and what is wrong with it. The listing does not
/// depend on the order in which they come, and nothing is in it twice.
pub fn listing(input: &[u8]) {
    let entries = |order: &mut dyn Iterator<Item = (usize, &[u8])>| -> Vec<(Entry, Vec<u8>)> {
        order.map(|(number, bytes)| (entry(number, bytes), bytes.to_vec())).collect()
    };
    let all = || input.chunks_exact(4).enumerate().take(64);
    let middle = all().count() / 2;
    let first = listed(entries(&mut all()));
    assert_eq!(first, listed(entries(&mut all().rev())));
    assert_eq!(first, listed(entries(&mut all().skip(middle).chain(all().take(middle)))));
    let keys: Vec<_> = first.0.iter().map(|point| (point.0, point.1.clone())).collect();
    assert!(keys.is_sorted(), "{keys:?}");
    let unique: BTreeSet<_> = first.0.iter().map(|point| (&point.2, &point.1)).collect();
    assert_eq!(unique.len(), first.0.len(), "{:?}", first.0);
}

type Listed = (Vec<(i64, RecoveryPointId, String, u64)>, Vec<String>);

fn listed(entries: Vec<(Entry, Vec<u8>)>) -> Listed {
    let bytes: std::collections::BTreeMap<String, Vec<u8>> =
        entries.iter().map(|(entry, bytes)| (entry.name.clone(), bytes.clone())).collect();
    let listing = merge(entries.into_iter().map(|(entry, _)| entry).collect(), |entry| {
        let bytes = &bytes[&entry.name];
        if bytes[3] & 3 == 3 {
            return Err(Error::failed("it cannot be read"));
        }
        let stored_bytes = entry.tags.stored;
        Ok(Published { manifest: manifest(&entry.tags, bytes[2], bytes[3] & 4), stored_bytes })
    });
    let points = listing.points.into_iter().map(|point| {
        let manifest = point.manifest;
        (manifest.as_of.timestamp(), manifest.id, manifest.source, point.stored_bytes)
    });
    (points.collect(), listing.damaged.iter().map(ToString::to_string).collect())
}

fn entry(number: usize, bytes: &[u8]) -> Entry {
    let point = RecoveryPointId(format!("point {}", bytes[1] & 3));
    let tags = Tags::new(if bytes[0] & 1 == 0 { "shop" } else { "tree" }, &point, u64::from(bytes[3] >> 4));
    Entry { tags, name: format!("{number:064x}"), snapshot: SnapshotId::default(), tree: TreeId::default() }
}

fn manifest(tags: &Tags, as_of: u8, chain_length: u8) -> Manifest {
    let time = DateTime::from_timestamp(i64::from(as_of & 3), 0).expect("it is near 1970");
    let text = serde_json::json!({
        "format": 1, "id": tags.point, "source": tags.source, "engine": "files", "kind": "full", "as_of": time,
        "chain_length": chain_length, "finished": time, "created_by": "", "tool": "", "files": [],
        "server": { "product": "", "version": "", "series": "" }, "inventory": { "tables": [], "objects": [] },
    });
    serde_json::from_value(text).expect("it has all that a manifest needs")
}
