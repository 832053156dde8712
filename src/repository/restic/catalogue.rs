//! What is published: snapshots that carry our tags, each with a manifest in its tree.

use std::collections::{BTreeMap, BTreeSet};

use rustic_core::repofile::{SnapshotFile, SnapshotId};
use rustic_core::{OpenStatus, Repository, TreeId};

use super::bounds;
use super::candidate::path_of;
use super::failure::{DAMAGE_HINT, OrRefused, translate};
use super::session::{Indexed, Session};
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::repository::admission::{MANIFEST_FILE, parse_manifest};
use crate::repository::{Listing, Published};

const OURS: &str = "backup-sla";

/// The tags of a published snapshot. Tags and not other fields, because every restic keeps them when it rewrites a
/// snapshot, and people can filter by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// Name of the source.
    pub source: String,
    /// The recovery point.
    pub point: RecoveryPointId,
    /// Bytes that storing it added; 0 where somebody took the tag away.
    pub stored: u64,
}

impl Tags {
    /// Tags of a recovery point.
    pub fn new(source: &str, point: &RecoveryPointId, stored: u64) -> Self {
        Self { source: source.to_owned(), point: point.clone(), stored }
    }

    /// As they are written.
    pub fn to_list(&self) -> [String; 4] {
        [
            OURS.to_owned(),
            format!("source={}", self.source),
            format!("point={}", self.point),
            format!("stored={}", self.stored),
        ]
    }

    /// None for a snapshot that is not one of ours.
    pub(super) fn of(snapshot: &SnapshotFile) -> Option<Self> {
        let value = |key: &str| {
            snapshot.tags.iter().find_map(|tag| tag.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
        };
        let ours = snapshot.tags.iter().any(|tag| tag == OURS);
        let (source, point) = ours.then_some(()).and_then(|()| Some((value("source")?, value("point")?)))?;
        let stored = value("stored").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        Some(Self { source, point: RecoveryPointId(point), stored })
    }
}

/// A published recovery point, its manifest not yet read.
pub(super) struct Entry {
    pub(super) tags: Tags,
    /// Of its snapshot.
    pub(super) name: String,
    /// The same in full.
    pub(super) snapshot: SnapshotId,
    pub(super) tree: TreeId,
}

/// Every published recovery point (of one source), oldest as-of time first. A snapshot that cannot be read hides no other;
/// whose it was cannot be told.
pub fn list(session: &Session, source: Option<&str>) -> Result<Listing> {
    let (entries, files) = entries(session)?;
    let unnamed = files.len() as u64;
    let mut damaged: Vec<Error> =
        files.into_iter().map(|error| error.context("cannot list all recovery points")).collect();
    let entries: Vec<Entry> =
        entries.into_iter().filter(|entry| source.is_none_or(|wanted| wanted == entry.tags.source)).collect();
    if entries.is_empty() {
        return Ok(Listing { damaged, unnamed, ..Listing::default() });
    }
    let repository = session.indexed()?;
    let mut listing = merge(entries, |entry| read_entry(&repository, entry));
    damaged.append(&mut listing.damaged);
    Ok(Listing { damaged, unnamed, ..listing })
}

/// One listing of all entries. They come in any order, and the listing must not depend on it.
pub(super) fn merge(mut entries: Vec<Entry>, read: impl Fn(&Entry) -> Result<Published>) -> Listing {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut damaged, mut unreadable) = (Vec::new(), Vec::new());
    let mut points: BTreeMap<(String, RecoveryPointId), Published> = BTreeMap::new();
    let mut ambiguous = BTreeSet::new();
    for entry in entries {
        let key = (entry.tags.source.clone(), entry.tags.point.clone());
        let published = match read(&entry) {
            Ok(published) => published,
            Err(error) => {
                let what = format!("cannot list recovery point {} of {} (snapshot {})", key.1, key.0, entry.name);
                damaged.push(error.context(what));
                unreadable.push(key);
                continue;
            }
        };
        // The same one twice is a copy that somebody made with restic; two different ones under one name are not.
        if let Some(other) = points.get(&key)
            && other.manifest != published.manifest
        {
            let what = format!(
                "cannot list recovery point {} of {}: two snapshots with different manifests claim to be it, one is {}",
                key.1, key.0, entry.name
            );
            let hint = "look at both with `restic snapshots`, and forget the one that is not the backup";
            damaged.push(Error::failed(what).hint(hint));
            unreadable.push(key.clone());
            ambiguous.insert(key);
            continue;
        }
        points.insert(key, published);
    }
    points.retain(|key, _| !ambiguous.contains(key));
    let mut points: Vec<Published> = points.into_values().collect();
    points.sort_by(|a, b| (a.manifest.as_of, &a.manifest.id).cmp(&(b.manifest.as_of, &b.manifest.id)));
    Listing { points, damaged, unreadable, ..Listing::default() }
}

/// Whether there is a recovery point.
pub enum Found {
    /// Root of its tree.
    Tree(TreeId),
    /// There is none.
    No,
    /// None that can be read, and something that cannot.
    Perhaps(Error),
}

/// Look for a published recovery point.
pub fn find(session: &Session, source: &str, point: &RecoveryPointId) -> Result<Found> {
    let (entries, mut unreadable) = entries(session)?;
    let mut found: Vec<Entry> =
        entries.into_iter().filter(|entry| entry.tags.source == source && entry.tags.point == *point).collect();
    if found.len() > 1 {
        // Of several copies one that can be read.
        let repository = session.indexed()?;
        found.sort_by_key(|entry| read_entry(&repository, entry).is_ok());
    }
    Ok(match (found.pop(), unreadable.pop()) {
        (Some(entry), _) => Found::Tree(entry.tree),
        (None, Some(error)) => Found::Perhaps(error.context(format!("cannot find recovery point {point} of {source}"))),
        (None, None) => Found::No,
    })
}

/// The manifest file of a tree.
pub fn read_manifest_bytes(repository: &Indexed, tree: TreeId, source: &str) -> Result<Vec<u8>> {
    let what = "cannot read the manifest";
    let node = repository.node_from_path(tree, &path_of(source, MANIFEST_FILE)).or_refused(what)?;
    let mut out = bounds::Manifest::default();
    repository.dump(&node, &mut out).or_refused(what)?;
    Ok(out.0)
}

pub(super) fn read_entry(repository: &Indexed, entry: &Entry) -> Result<Published> {
    let bytes = read_manifest_bytes(repository, entry.tree, &entry.tags.source)?;
    let manifest = parse_manifest(&bytes)?;
    if manifest.source != entry.tags.source || manifest.id != entry.tags.point {
        return Err(Error::failed(format!("the manifest is that of {} of {}", manifest.id, manifest.source))
            .hint("somebody changed the tags of the snapshot: set them back with `restic tag`"));
    }
    Ok(Published { manifest, stored_bytes: entry.tags.stored })
}

/// How often is looked where what was listed is removed before it is read.
const LOOKS: usize = 3;

/// Our entries, and the snapshot files that could not be read. Others remove snapshots at any time: one that is gone by now is no damage.
pub(super) fn entries(session: &Session) -> Result<(Vec<Entry>, Vec<Error>)> {
    let repository: Repository<OpenStatus> = session.open_through(session.backend().clone())?;
    let mut read = BTreeMap::new();
    let mut listed = ids(&repository)?;
    let mut look = 1;
    let unreadable = loop {
        let mut unreadable = read_snapshots(&repository, &listed, &mut read)?;
        if unreadable.is_empty() {
            break unreadable;
        }
        // What took the place of one that is gone was published before that went: it is in the new listing.
        let now = ids(&repository)?;
        let some = unreadable.len();
        unreadable.retain(|id, _| now.contains(id));
        if unreadable.len() == some || look == LOOKS {
            break unreadable;
        }
        (listed, look) = (now, look + 1);
    };
    read.retain(|id, _| listed.contains(id));
    Ok((ours(read), unreadable.into_values().collect()))
}

fn ids(repository: &Repository<OpenStatus>) -> Result<BTreeSet<SnapshotId>> {
    Ok(repository.list::<SnapshotId>().or_refused("cannot list snapshots")?.collect())
}

/// Read those of `listed` that were not read before; why others could not be read.
fn read_snapshots(
    repository: &Repository<OpenStatus>,
    listed: &BTreeSet<SnapshotId>,
    read: &mut BTreeMap<SnapshotId, SnapshotFile>,
) -> Result<BTreeMap<SnapshotId, Error>> {
    let unread: Vec<SnapshotId> = listed.iter().filter(|id| !read.contains_key(*id)).copied().collect();
    let files = repository.stream_files_list::<SnapshotFile>(unread).or_refused("cannot list snapshots")?;
    read.extend(files.flatten());
    let mut unreadable = BTreeMap::new();
    // The errors of many files at a time do not say whose they are.
    for id in listed {
        if read.contains_key(id) {
            continue;
        }
        match repository.get_file::<SnapshotFile>(id) {
            Ok(file) => {
                read.insert(*id, file);
            }
            Err(error) => {
                let error = translate("cannot read snapshots", &error);
                let error = if error.hint_text().is_none() { error.hint(DAMAGE_HINT) } else { error };
                unreadable.insert(*id, error);
            }
        }
    }
    Ok(unreadable)
}

fn ours(read: BTreeMap<SnapshotId, SnapshotFile>) -> Vec<Entry> {
    let entry = |(id, snapshot): (SnapshotId, SnapshotFile)| {
        let tags = Tags::of(&snapshot)?;
        Some(Entry { tags, name: id.to_string(), snapshot: id, tree: snapshot.tree })
    };
    read.into_iter().filter_map(entry).collect()
}
