//! Check: whether every pack that the index promises is there and is what it was, and which recovery points need those that are
//! not.
//!
//! A pack's name is the SHA-256 of its content, and the index that names it is authenticated. So a pack that is what its name says
//! is what was stored; nothing has to be decrypted for that, and the reading goes as fast as the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use rustic_core::{FileType, Id};
use sha2::{Digest, Sha256};

use super::candidate::path_of;
use super::catalogue::{self, Entry};
use super::failure::{DAMAGE_HINT, OrRefused};
use super::session::{Indexed, Session};
use crate::domain::manifest::Manifest;
use crate::error::{Error, Result, Side};
use crate::repository::admission::MANIFEST_FILE;
use crate::repository::{CheckDepth, Checked};
use crate::run_context::RunContext;

/// Bytes that are read at a time.
const PIECE: u32 = 4 << 20;

/// How often everything is looked at again, because somebody changed the repository meanwhile.
const ATTEMPTS: usize = 3;

/// Look at everything that is listed, and read as much of the data as `depth` says. Errors: it could not be looked at.
pub(super) fn check(session: &Session, depth: CheckDepth<'_>, context: &RunContext) -> Result<Checked> {
    for _ in 1..ATTEMPTS {
        let (_, promised) = session.promised_packs()?;
        let found = look(session, depth, context)?;
        // What somebody removed meanwhile is not missing.
        if found.wrong.is_empty() || Arc::ptr_eq(&promised, &session.promised_packs()?.1) {
            return Ok(found);
        }
    }
    look(session, depth, context)
}

/// Names are digests: their first bytes are as good as random.
fn place(id: &Id) -> u32 {
    u32::from_str_radix(&id.to_hex().as_str()[..8], 16).unwrap_or(0)
}

fn look(session: &Session, depth: CheckDepth<'_>, context: &RunContext) -> Result<Checked> {
    let (repository, promised) = session.promised_packs()?;
    let present = session.backend().list_with_size(FileType::Pack).or_refused("cannot list packs")?;
    let present: BTreeMap<Id, u32> = present.into_iter().collect();
    let stored_bytes = promised.values().map(|length| u64::from(*length)).sum();
    let mut found = Checked { stored_bytes, ..Checked::default() };
    let mut bad = BTreeSet::new();
    for (id, length) in promised.iter().filter(|(id, length)| present.get(*id) != Some(*length)) {
        let is = present.get(id).map_or("is missing".to_owned(), |is| format!("has {is} bytes instead of {length}"));
        found.wrong.push(damaged(format!("pack {} {is}", id.to_hex().as_str())));
        bad.insert(*id);
    }
    let wanted: Vec<(Id, u32)> = promised
        .iter()
        .filter(|(id, _)| depth.reads(place(id)) && !bad.contains(*id))
        .map(|(id, length)| (*id, *length))
        .collect();
    let total: u64 = wanted.iter().map(|(_, length)| u64::from(*length)).sum();
    context.progress.phase("check", Some(total));
    for (id, length) in wanted {
        context.cancel.check()?;
        if let Some(error) = is_changed(session, &id, length)? {
            found.wrong.push(error);
            bad.insert(id);
        } else {
            found.read_bytes += u64::from(length);
        }
        context.progress.advance(u64::from(length));
    }
    found.wrong_places = bad.iter().map(place).collect();
    let (entries, unreadable) = catalogue::entries(session)?;
    found.wrong.extend(unreadable);
    for entry in entries {
        context.cancel.check()?;
        let trouble = match look_at(&repository, &entry, &bad) {
            Ok(is_whole) if is_whole => continue,
            Ok(_) => None,
            Err(error) => Some(error),
        };
        // One that was removed meanwhile costs nobody anything.
        if trouble.is_some() && !catalogue::entries(session)?.0.iter().any(|listed| listed.snapshot == entry.snapshot) {
            continue;
        }
        let (source, point) = (entry.tags.source, entry.tags.point);
        found.wrong.extend(trouble.map(|error| error.context(format!("recovery point {point} of {source}"))));
        found.damaged_points.push((source, point));
    }
    Ok(found)
}

fn damaged(what: String) -> Error {
    Error::failed(what).on(Side::Repository).hint(DAMAGE_HINT)
}

/// Read a pack and hold it against its name: what is wrong with it, if something is. Errors: it could not be read, which says
/// nothing of what is in it.
fn is_changed(session: &Session, id: &Id, length: u32) -> Result<Option<Error>> {
    let name = id.to_hex();
    let (mut hasher, mut offset) = (Sha256::new(), 0);
    while offset < length {
        let piece = PIECE.min(length - offset);
        let read = session.backend().read_partial(FileType::Pack, id, false, offset, piece);
        let read = read.or_refused(format!("cannot read pack {}", name.as_str()));
        match read {
            Ok(bytes) => hasher.update(bytes),
            // It went, or became shorter, after it was listed.
            Err(error) if is_gone(&error) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
        offset += piece;
    }
    if Id::new(hasher.finalize().into()) == *id {
        return Ok(None);
    }
    let what = format!("pack {} is not what was stored: its content does not match its name", name.as_str());
    Ok(Some(damaged(what)))
}

fn is_gone(error: &Error) -> bool {
    let kind = error.cause::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::NotFound | ErrorKind::UnexpectedEof))
}

/// Whether a recovery point has all its pieces, none of them in a pack that is bad.
fn look_at(repository: &Indexed, entry: &Entry, bad: &BTreeSet<Id>) -> Result<bool> {
    let is_bad = |pack: Id| bad.contains(&pack);
    let tree = repository.get_index_entry(&entry.tree).or_refused("its directory is not in the index")?;
    if is_bad(*tree.pack) {
        return Ok(false);
    }
    let source = &entry.tags.source;
    let inner = repository.node_from_path(entry.tree, &path_of(source, "")).or_refused("cannot read its directory")?;
    if let Some(subtree) = inner.subtree
        && is_bad(*repository.get_index_entry(&subtree).or_refused("its directory is not in the index")?.pack)
    {
        return Ok(false);
    }
    let Manifest { files, .. } = catalogue::read_entry(repository, entry)?.manifest;
    let names = files.iter().map(|file| file.path.as_str()).chain([MANIFEST_FILE]);
    for name in names {
        let what = || format!("cannot find all of {name}");
        let node = repository.node_from_path(entry.tree, &path_of(source, name)).or_refused(what())?;
        for piece in node.content.iter().flatten() {
            if is_bad(*repository.get_index_entry(piece).or_refused(what())?.pack) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
