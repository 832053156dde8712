//! The files of a restic repository in a place: our own backend for `rustic_core`.
//!
//! What is written is read again and held against its name, which is the SHA-256 of its content. Others can write to the place:
//! nothing is read further than [`super::bounds`] allows.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use super::bounds;
use super::failure::{DAMAGE_HINT, io_failure, passed_on};
use crate::error::{Error, Result, Side};
use crate::repository::place::{Item, ItemKind, Opened, Place, STAGING, Unexpected};

const CONFIG: &str = "config";
pub(super) const DATA: &str = "data";

/// The files of a restic repository. Knows their names, nothing of their content.
#[derive(Debug)]
pub struct PlaceBackend {
    place: Arc<dyn Place>,
}

impl PlaceBackend {
    /// The repository in `place`; nothing is touched yet.
    pub fn new(place: Arc<dyn Place>) -> Self {
        Self { place }
    }

    /// What it is in.
    pub fn place(&self) -> &dyn Place {
        &*self.place
    }

    /// Create the directories of the layout.
    pub fn create_layout(&self) -> Result<()> {
        let top = ["keys", "snapshots", "index", DATA].map(str::to_owned);
        let packs = (0..=255_u8).map(|prefix| format!("{DATA}/{prefix:02x}"));
        let directories: Vec<String> = top.into_iter().chain(packs).collect();
        let made = self.place.make_directories(&directories);
        made.map_err(|e| io_failure(format!("cannot create repository in {}", self.location()), e))
    }

    /// Whether there is nothing here but, at most, a layout whose creation was interrupted before anything was stored.
    pub fn is_begun_layout(&self) -> io::Result<bool> {
        let known = ["keys", "snapshots", "index", DATA, "locks", STAGING, "lost+found"];
        if self.place.list("")?.iter().any(|item| !known.contains(&item.name.as_str())) {
            return Ok(false);
        }
        let kept = [FileType::Snapshot, FileType::Index, FileType::Pack];
        Ok(kept.into_iter().all(|kind| self.files(kind).is_ok_and(|files| files.is_empty())))
    }

    /// Remove the keys of a layout that never got its config: they would open, and decrypt nothing.
    pub fn remove_keys(&self) -> Result<()> {
        for (id, _) in self.files(FileType::Key).map_err(|e| io_failure("cannot list keys", e))? {
            self.remove_file(FileType::Key, &id)?;
        }
        Ok(())
    }

    /// An error that names every symbolic link where a directory should be. They are followed nowhere.
    pub fn refuse_links(&self) -> Result<()> {
        let failed = |e| io_failure(format!("cannot look at the directories of {}", self.location()), e);
        let links = |directory: &str, is_looked_for: &dyn Fn(&str) -> bool| -> io::Result<Vec<String>> {
            let links = self.place.list(directory)?.into_iter().filter(|item| item.kind == ItemKind::Link);
            Ok(links.map(|item| item.name).filter(|name| is_looked_for(name)).collect())
        };
        let ours = ["keys", "snapshots", "index", "locks", DATA, STAGING];
        let mut found = links("", &|name| ours.contains(&name)).map_err(failed)?;
        let is_prefix = |name: &str| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        match links(DATA, &is_prefix) {
            Ok(below) => found.extend(below.into_iter().map(|name| format!("{DATA}/{name}"))),
            // If it is a link itself it is in the list.
            Err(error) if Unexpected::is_why(&error) => {}
            Err(error) => return Err(failed(error)),
        }
        if found.is_empty() {
            return Ok(());
        }
        found.sort();
        let shown: Vec<String> = found.iter().map(|name| self.place.name_of(name)).collect();
        let what =
            format!("cannot use repository {}: {} may not be a symbolic link", self.location(), shown.join(", "));
        Err(Error::failed(what).on(Side::Repository).hint(format!(
            "whoever can change a link decides where backups are written. For a directory on another disk, remove the link, make a \
             directory in its place and mount the other one there: `mount --bind OTHER {}`",
            shown[0]
        )))
    }

    /// For messages.
    fn name(&self, kind: FileType, id: &Id) -> String {
        self.place.name_of(&path(kind, id))
    }

    fn files(&self, kind: FileType) -> io::Result<Vec<(Id, u32)>> {
        Ok(match kind {
            FileType::Config => self.place.look_at(CONFIG)?.map(|_| (Id::default(), 0)).into_iter().collect(),
            FileType::Pack => ids(&self.place.list_deep(DATA)?),
            other => ids(&self.place.list(other.dirname())?),
        })
    }

    fn write_file(&self, kind: FileType, id: &Id, content: &BytesList) -> io::Result<()> {
        match self.place.write(&path(kind, id), content.slice()) {
            // The name is the hash of the content: the reading back that follows says whether it is the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn write_and_read_back(&self, kind: FileType, id: &Id, content: &BytesList) -> Result<()> {
        let outcome = self
            .write_file(kind, id, content)
            .map_err(|e| io_failure(format!("cannot write {}", self.name(kind, id)), e))
            .and_then(|()| self.read_back(kind, id, content.size()));
        if outcome.is_err() && kind == FileType::Snapshot {
            // Renamed but not known to be safe on the disk: a snapshot that was reported as failed must not be listed.
            let _ = self.remove_file(kind, id);
        }
        outcome
    }

    fn read_back(&self, kind: FileType, id: &Id, length: usize) -> Result<()> {
        let name = self.name(kind, id);
        let opened = self.place.open(&path(kind, id));
        let Opened { length: stored, mut bytes } =
            opened.map_err(|e| io_failure(format!("cannot read back {name}"), e))?;
        // The config's name is fixed; every other file is named by the hash of its content.
        let same = stored == length as u64 && (kind == FileType::Config || id.blob_matches_reader(stored, &mut bytes));
        if same { Ok(()) } else { Err(damaged(&name)) }
    }

    fn read_whole(&self, kind: FileType, id: &Id) -> Result<Bytes> {
        let name = self.name(kind, id);
        let failed = |e| io_failure(format!("cannot read {name}"), e);
        let Opened { length, bytes } = self.place.open(&path(kind, id)).map_err(failed)?;
        let longest = bounds::longest(kind);
        if length > longest {
            return Err(bounds::too_long(&name, length, longest));
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        // It may grow while it is read.
        bytes.take(longest).read_to_end(&mut content).map_err(failed)?;
        if kind != FileType::Config && !id.blob_matches_reader(content.len() as u64, &mut content.as_slice()) {
            return Err(damaged(&name));
        }
        Ok(content.into())
    }

    fn read_part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes> {
        self.place.read(&path(kind, id), offset.into(), length as usize).map_err(|e| {
            let is_damage = matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound);
            let what = format!("cannot read {length} bytes at {offset} of {}", self.name(kind, id));
            let error = io_failure(what, e);
            if is_damage { error.hint(DAMAGE_HINT) } else { error }
        })
    }

    fn remove_file(&self, kind: FileType, id: &Id) -> Result<()> {
        let removed = self.place.remove(&path(kind, id));
        removed.map_err(|e| io_failure(format!("cannot remove {}", self.name(kind, id)), e))
    }
}

/// Where a file is in the place.
fn path(kind: FileType, id: &Id) -> String {
    let name = id.to_hex();
    let name = name.as_str();
    match kind {
        FileType::Config => CONFIG.to_owned(),
        FileType::Pack => format!("{DATA}/{}/{name}", &name[..2]),
        other => format!("{}/{name}", other.dirname()),
    }
}

fn damaged(name: &str) -> Error {
    Error::failed(format!("{name} is damaged: its content does not match its name")).hint(DAMAGE_HINT)
}

/// The id that a file is named by. Written otherwise than ids are, in capitals, it could not be opened by it.
pub(super) fn id_of(name: &[u8]) -> Option<Id> {
    let id: Id = std::str::from_utf8(name).ok().filter(|name| name.len() == 64)?.parse().ok()?;
    (id.to_hex().as_str().as_bytes() == name).then_some(id)
}

/// The files among `items` that are named by an id, with their lengths. Any other is none of ours (restic's own temporary
/// files, an editor's backup …); what is no file and has the name of one is refused by name when it is opened.
pub(super) fn ids(items: &[Item]) -> Vec<(Id, u32)> {
    let named = |item: &Item| {
        let name = item.name.rsplit('/').next().unwrap_or_default();
        Some((id_of(name.as_bytes())?, u32::try_from(item.length).unwrap_or(u32::MAX)))
    };
    items.iter().filter_map(named).collect()
}

impl ReadBackend for PlaceBackend {
    fn location(&self) -> String {
        self.place.location()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let listed = self.files(kind);
        listed.map_err(|e| passed_on(io_failure(format!("cannot list {} in {}", kind.dirname(), self.location()), e)))
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.read_whole(kind, id).map_err(passed_on)
    }

    fn read_partial(&self, kind: FileType, id: &Id, _: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.read_part(kind, id, offset, length).map_err(passed_on)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.name(kind, id)
    }
}

impl WriteBackend for PlaceBackend {
    fn create(&self) -> RusticResult<()> {
        self.create_layout().map_err(passed_on)
    }

    fn write_bytes(&self, kind: FileType, id: &Id, _: bool, content: BytesList) -> RusticResult<()> {
        self.write_and_read_back(kind, id, &content).map_err(passed_on)
    }

    fn remove(&self, kind: FileType, id: &Id, _: bool) -> RusticResult<()> {
        self.remove_file(kind, id).map_err(passed_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_name_is_no_id_as_ids_are_written_is_not_listed() {
        let name = "0123456789abcdef".repeat(4);
        assert_eq!(id_of(name.as_bytes()).map(|id| id.to_hex().as_str().to_owned()), Some(name.clone()));
        for other in [name.to_uppercase(), name.replace('f', "F"), name[1..].to_owned(), name.replace('f', "g")] {
            assert!(id_of(other.as_bytes()).is_none(), "{other}");
        }
    }
}
