//! Store and read back: streams become files of a tree that no snapshot names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::iter::Flatten;
use std::option;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::repofile::{Metadata, Node, NodeType, SnapshotFile, SnapshotSummary};
use rustic_core::{BackupOptions, DataId, FileType, Id, ReadSource, ReadSourceEntry, RusticResult, TreeId};

use super::failure::{DAMAGE_HINT, OrRefused};
use super::gate::{Gate, GatedReader};
use super::session::{Indexed, Session};
use crate::domain::change::evidence::NewData;
use crate::error::{Error, Result};
use crate::repository::admission::StreamCheck;
use crate::repository::{Candidate, NewCandidate, Streams};

/// The index still promises what the lost pack held, so the same content would not be stored again.
const LOST_HINT: &str = "the repository lost a file that its index knows: after `restic rebuild-index` (newer versions: \
                         `restic repair index`) the next backup stores the missing pieces again; look at the disk";

/// What [`super::publication`] needs of a candidate.
pub struct Stored {
    /// Root of the tree with `/SOURCE/STREAM`, sizes still unknown to it.
    pub tree: TreeId,
}

/// Store all streams of `new`, then read them back from the disk.
pub fn store(session: &Session, new: NewCandidate) -> Result<Candidate> {
    let gate = Gate::new(session.backend().clone());
    let delivered = Delivered::default();
    let (tree, new_data) = archive(session, &gate, &new.source, new.streams, &delivered)
        .map_err(|e| e.context(format!("cannot store backup {} of {}", new.id, new.source)))?;
    let delivered: BTreeMap<String, u64> = delivered
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(|(path, count)| (path.clone(), count.load(Ordering::SeqCst)))
        .collect();
    let files = read_back(session, &new.source, tree, &delivered)
        .map_err(|e| e.context(format!("cannot read back backup {} of {}", new.id, new.source)))?;
    Ok(Candidate {
        source: new.source,
        id: new.id,
        as_of: new.as_of,
        files,
        added_bytes: gate.added_bytes(),
        new_data,
        handle: Box::new(Stored { tree }),
    })
}

/// Path of a stored file in the repository's own terms.
pub fn path_of(source: &str, file: &str) -> PathBuf {
    Path::new("/").join(source).join(file)
}

/// Bytes handed on so far, by path.
type Delivered = Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>;

fn archive(
    session: &Session,
    gate: &Arc<Gate>,
    source: &str,
    streams: Streams,
    delivered: &Delivered,
) -> Result<(TreeId, Option<NewData>)> {
    let entries = Entries {
        streams,
        check: StreamCheck::default(),
        source: source.to_owned(),
        gate: gate.clone(),
        delivered: delivered.clone(),
    };
    let mut options = BackupOptions::default();
    options.no_scan = true;
    options.parent_opts.force = true;
    let repository = session.open_through(gate.clone())?.to_indexed_ids().or_refused("cannot read the index")?;
    let streams = Once(Mutex::new(Some(entries)));
    let outcome = repository.archive(&options, &streams, SnapshotFile::default(), &[Path::new("/").join(source)]);
    // The gate's failure is the cause, what the archiver says is what came of it.
    gate.close()?;
    let archived = outcome.or_refused("cannot archive the streams")?;
    let new_data = |summary: SnapshotSummary| NewData {
        bytes: summary.data_added_files,
        stored_bytes: summary.data_added_files_packed,
    };
    Ok((archived.tree, archived.summary.map(new_data)))
}

/// The streams as the archiver takes them. It swallows errors, so they are reported at the gate, and nothing follows one.
struct Entries {
    streams: Streams,
    check: StreamCheck,
    source: String,
    gate: Arc<Gate>,
    delivered: Delivered,
}

impl Entries {
    fn entry(&mut self) -> Result<Option<ReadSourceEntry<GatedReader>>> {
        let Some(stream) = self.streams.next().transpose()? else {
            self.check.end()?;
            return Ok(None);
        };
        // The tree builder relies on the order.
        self.check.next(&stream.path)?;
        let count = Arc::new(AtomicU64::new(0));
        let mut delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        delivered.insert(stream.path.clone(), count.clone());
        Ok(Some(ReadSourceEntry {
            path: path_of(&self.source, &stream.path),
            node: Node::new_node(OsStr::new(&stream.path), NodeType::File, Metadata::default()),
            open: Some(GatedReader::new(stream.reader, stream.path, self.gate.clone(), count)),
        }))
    }
}

impl Iterator for Entries {
    type Item = RusticResult<ReadSourceEntry<GatedReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.gate.has_failed() {
            return None;
        }
        match self.entry() {
            Ok(entry) => entry.map(Ok),
            Err(error) => {
                self.gate.fail(error);
                None
            }
        }
    }
}

/// Gives the entries, once.
struct Once(Mutex<Option<Entries>>);

impl ReadSource for Once {
    type Open = GatedReader;
    type Iter = Flatten<option::IntoIter<Entries>>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().into_iter().flatten()
    }
}

/// Path and length of each file as the repository itself now says, with an index read from the disk after the last
/// write. Every pack was held against its hash as it was written; here each file must be found, be as long as what was
/// delivered, lie in packs that are there and long enough, and its first and last piece must decrypt.
fn read_back(
    session: &Session,
    source: &str,
    tree: TreeId,
    delivered: &BTreeMap<String, u64>,
) -> Result<Vec<(String, u64)>> {
    let repository = session.indexed()?;
    let packs: BTreeMap<Id, u32> =
        session.backend().list_with_size(FileType::Pack).or_refused("cannot list packs")?.into_iter().collect();
    let mut files = Vec::new();
    for (path, sent) in delivered {
        let node = repository.node_from_path(tree, &path_of(source, path)).or_refused(format!("cannot find {path}"))?;
        let (length, used) = measure(&repository, &node).map_err(|e| e.context(path))?;
        if length != *sent {
            return Err(Error::failed(format!("cannot trust {path}: {length} bytes are stored, {sent} were sent"))
                .hint(DAMAGE_HINT));
        }
        for (pack, end) in used {
            if packs.get(&pack).is_none_or(|size| *size < end) {
                let pack = pack.to_hex();
                return Err(Error::failed(format!(
                    "cannot trust {path}: pack {} is missing or cut off",
                    pack.as_str()
                ))
                .hint(LOST_HINT));
            }
        }
        let open = repository.open_file(&node).or_refused(format!("cannot open {path}"))?;
        for offset in [0, length.saturating_sub(1)] {
            let offset =
                usize::try_from(offset).map_err(|e| Error::failed(format!("cannot read {path}")).because(e))?;
            let piece = repository.read_file_at(&open, offset, 1).or_refused(format!("cannot decrypt {path}"))?;
            if piece.len() as u64 != length.min(1) {
                return Err(Error::failed(format!("cannot decrypt {path}: a piece is empty")).hint(DAMAGE_HINT));
            }
        }
        files.push((path.clone(), length));
    }
    Ok(files)
}

/// Length of a file as its pieces add up, and the packs it needs with the length each must at least have.
pub fn measure(repository: &Indexed, node: &Node) -> Result<(u64, BTreeSet<(Id, u32)>)> {
    let mut length = 0;
    let mut packs: BTreeMap<Id, u32> = BTreeMap::new();
    for piece in node.content.iter().flatten() {
        let entry = repository.get_index_entry::<DataId>(piece).or_refused("cannot find a piece in the index")?;
        length += u64::from(entry.data_length());
        let end = entry.location.offset.saturating_add(entry.location.length);
        let pack = packs.entry(*entry.pack).or_default();
        *pack = (*pack).max(end);
    }
    Ok((length, packs.into_iter().collect()))
}
