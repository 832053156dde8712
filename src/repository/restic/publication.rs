//! Publish: the directory with true sizes and the manifest, read back, and then, last, the snapshot.

use std::ffi::OsStr;

use chrono::{DateTime, Utc};
use rustic_core::jiff::{Timestamp, Zoned, tz::TimeZone};
use rustic_core::repofile::{BlobType, Metadata, Node, NodeType, SnapshotFile, SnapshotSummary, Tree};
use rustic_core::{DataId, SnapshotOptions, TreeId};

use super::candidate::{Stored, measure, path_of};
use super::catalogue::{self, Tags};
use super::cipher::{Cipher, hash};
use super::failure::{DAMAGE_HINT, OrRefused};
use super::gate::Gate;
use super::session::Session;
use crate::domain::manifest::Manifest;
use crate::error::{Error, OrFailed, Result};
use crate::repository::Candidate;
use crate::repository::admission::MANIFEST_FILE;

/// Pieces of the manifest; a reader holds one in memory at a time.
const MANIFEST_PIECE_BYTES: usize = 1 << 20;
/// Directory bit of a file mode as the format writes it (that of Go).
const DIRECTORY: u32 = 1 << 31;

/// Publish `candidate`; returns the bytes that the whole backup added, without the snapshot file itself (under 1 KiB).
pub fn publish(session: &Session, candidate: &Candidate, stored: &Stored, manifest: &Manifest) -> Result<u64> {
    let gate = Gate::new(session.backend().clone());
    let content = serde_json::to_vec_pretty(manifest).or_failed("cannot write the manifest")?;
    let tree = write_tree(session, &gate, candidate, stored, (manifest, &content));
    gate.close()?;
    let tree = tree?;
    read_back(session, candidate, tree, &content)?;
    let added = candidate.added_bytes + gate.added_bytes();
    save_snapshot(session, candidate, manifest, (tree, added))?;
    Ok(added)
}

fn write_tree(
    session: &Session,
    gate: &Gate,
    candidate: &Candidate,
    stored: &Stored,
    (manifest, content): (&Manifest, &[u8]),
) -> Result<TreeId> {
    let repository = session.indexed()?;
    let compress = repository.config().version >= 2;
    let cipher = Cipher::new(&session.master_key()?, compress)?;
    let time = timestamp(candidate.as_of)?;

    let pieces: Vec<Vec<u8>> = content.chunks(MANIFEST_PIECE_BYTES).map(<[u8]>::to_vec).collect();
    let mut files = vec![file(
        MANIFEST_FILE,
        time,
        content.len() as u64,
        pieces.iter().map(|piece| DataId::from(hash(piece))).collect(),
    )];
    for (path, bytes) in &candidate.files {
        let node = repository
            .node_from_path(stored.tree, &path_of(&candidate.source, path))
            .or_refused(format!("cannot find {path}"))?;
        files.push(file(path, time, *bytes, node.content.unwrap_or_default()));
    }
    files.sort_by(|a, b| a.name().cmp(&b.name()));
    let (directory, subtree) = serialize(files)?;
    let mut node = Node::new_node(OsStr::new(&candidate.source), NodeType::Dir, metadata(time, DIRECTORY | 0o700, 0));
    node.subtree = Some(subtree);
    let (root, tree) = serialize(vec![node])?;

    let packs = [
        cipher.write_pack(gate, BlobType::Data, &pieces)?,
        cipher.write_pack(gate, BlobType::Tree, &[directory, root])?,
    ];
    cipher.write_index(gate, &packs, manifest.finished)?;
    Ok(tree)
}

/// Read what will be listed as a reader will find it: index, tree, sizes and manifest, from the disk.
fn read_back(session: &Session, candidate: &Candidate, tree: TreeId, manifest: &[u8]) -> Result<()> {
    let repository = session.indexed()?;
    for (path, bytes) in &candidate.files {
        let node = repository
            .node_from_path(tree, &path_of(&candidate.source, path))
            .or_refused(format!("cannot read back {path}"))?;
        let (length, _) = measure(&repository, &node).map_err(|e| e.context(format!("cannot read back {path}")))?;
        if length != *bytes || node.meta.size != *bytes {
            return Err(Error::failed(format!(
                "cannot read back {path}: {length} bytes are stored and {} are noted, {bytes} were sent",
                node.meta.size
            ))
            .hint(DAMAGE_HINT));
        }
    }
    let found = catalogue::read_manifest_bytes(&repository, tree, &candidate.source)?;
    if found == manifest {
        Ok(())
    } else {
        Err(Error::failed("cannot read back the manifest: it is not the one that was written").hint(DAMAGE_HINT))
    }
}

fn save_snapshot(
    session: &Session,
    candidate: &Candidate,
    manifest: &Manifest,
    (tree, added): (TreeId, u64),
) -> Result<()> {
    let mut options = SnapshotOptions::default();
    options.time = Some(Zoned::new(timestamp(candidate.as_of)?, TimeZone::UTC));
    // For people and `restic snapshots --host`; whose it is, the manifest says.
    options.host = manifest.host.as_ref().map(|host| host.name.clone());
    let mut snapshot = SnapshotFile::from_options(&options).or_refused("cannot make the snapshot")?;
    snapshot.program_version = format!("backup-sla {}", env!("CARGO_PKG_VERSION"));
    snapshot.tree = tree;
    snapshot.paths.add(path_of(&candidate.source, "").to_string_lossy().trim_end_matches('/').to_owned());
    for tag in Tags::new(&candidate.source, &candidate.id, added).to_list() {
        snapshot.tags.add(tag);
    }
    let mut summary = SnapshotSummary::default();
    summary.total_files_processed = candidate.files.len() as u64 + 1;
    summary.total_bytes_processed = candidate.files.iter().map(|(_, bytes)| bytes).sum();
    summary.data_added_packed = added;
    snapshot.summary = Some(summary);
    let repository = session.open_through(session.backend().clone())?;
    repository.save_snapshots(vec![snapshot]).or_refused("cannot write the snapshot")
}

fn file(name: &str, time: Timestamp, size: u64, content: Vec<DataId>) -> Node {
    let mut node = Node::new_node(OsStr::new(name), NodeType::File, metadata(time, 0o600, size));
    node.content = Some(content);
    node
}

fn metadata(time: Timestamp, mode: u32, size: u64) -> Metadata {
    Metadata {
        mode: Some(mode),
        mtime: Some(time),
        atime: Some(time),
        ctime: Some(time),
        size,
        links: 1,
        ..Metadata::default()
    }
}

fn serialize(nodes: Vec<Node>) -> Result<(Vec<u8>, TreeId)> {
    let tree = Tree { nodes };
    tree.serialize().map_err(|e| Error::failed("cannot write the directory of the backup").because(e.to_string()))
}

fn timestamp(time: DateTime<Utc>) -> Result<Timestamp> {
    Timestamp::from_microsecond(time.timestamp_micros()).or_failed("cannot convert the as-of time")
}
