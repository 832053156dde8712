//! Random access to a stored file.

use std::sync::Arc;

use bytes::Bytes;
use rustic_core::vfs::OpenFile;

use super::candidate::{measure, path_of};
use super::catalogue::{self, Found};
use super::failure::{DAMAGE_HINT, OrRefused};
use super::session::{Indexed, Session};
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::repository::StoredFile;

/// Open `path` of a published recovery point.
pub fn open(session: &Session, source: &str, point: &RecoveryPointId, path: &str) -> Result<Arc<dyn StoredFile>> {
    let name = format!("{path} of recovery point {point} of {source}");
    let tree = match catalogue::find(session, source, point)? {
        Found::Tree(tree) => tree,
        Found::No => return Err(Error::failed(format!("cannot open {name}: there is no such recovery point"))),
        Found::Perhaps(error) => return Err(error),
    };
    let repository = session.indexed()?;
    let node = repository.node_from_path(tree, &path_of(source, path)).or_refused(format!("cannot open {name}"))?;
    if !node.is_file() {
        return Err(Error::failed(format!("cannot open {name}: it is not a file")));
    }
    let (length, _) = measure(&repository, &node).map_err(|e| e.context(format!("cannot open {name}")))?;
    if length != node.meta.size {
        return Err(Error::failed(format!(
            "cannot open {name}: it is {length} bytes long, but the snapshot records {}",
            node.meta.size
        ))
        .hint(DAMAGE_HINT));
    }
    let content = repository.open_file(&node).or_refused(format!("cannot open {name}"))?;
    Ok(Arc::new(Opened { repository, content, length, name }))
}

struct Opened {
    repository: Arc<Indexed>,
    content: OpenFile,
    length: u64,
    name: String,
}

impl StoredFile for Opened {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        let left = self.length.saturating_sub(offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(Bytes::new());
        }
        let what = || format!("cannot read {length} bytes at {offset} of {}", self.name);
        let start = usize::try_from(offset).map_err(|e| Error::failed(what()).because(e))?;
        let bytes = self.repository.read_file_at(&self.content, start, length).or_refused(what())?;
        if bytes.len() == length {
            Ok(bytes)
        } else {
            Err(Error::failed(format!("{}: only {} bytes came", what(), bytes.len())).hint(DAMAGE_HINT))
        }
    }
}
