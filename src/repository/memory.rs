//! A repository in memory: for tests of what stands on the seam. Passes the same contract suite as the others.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::admission::{StreamCheck, check_manifest, check_new};
use super::{Candidate, CheckDepth, Checked, Listing, NewCandidate, Published, Repository, StoredFile, Storing};
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::error::{Error, OrFailed, Result};
use crate::run_context::RunContext;

type Files = BTreeMap<String, Bytes>;
type Points = BTreeMap<(String, RecoveryPointId), (Published, Files)>;

/// Keeps everything in memory; clones share it, as two processes share a place.
#[derive(Clone, Default)]
pub struct MemoryRepository {
    points: Arc<Mutex<Points>>,
}

impl MemoryRepository {
    fn points(&self) -> MutexGuard<'_, Points> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_unused(&self, source: &str, id: &RecoveryPointId) -> Result<()> {
        if self.points().contains_key(&(source.to_owned(), id.clone())) {
            return Err(Error::failed(format!("cannot store backup {id} of {source}: it is published already")));
        }
        Ok(())
    }
}

impl Repository for MemoryRepository {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn exists(&self) -> Result<bool> {
        Ok(true)
    }

    fn open_existing(&self) -> Result<()> {
        Ok(())
    }

    fn listing(&self, source: Option<&str>) -> Result<Listing> {
        let points = self.points();
        let mut out: Vec<Published> = points
            .iter()
            .filter(|((name, _), _)| source.is_none_or(|wanted| wanted == name))
            .map(|(_, (published, _))| published.clone())
            .collect();
        out.sort_by(|a, b| (a.manifest.as_of, &a.manifest.id).cmp(&(b.manifest.as_of, &b.manifest.id)));
        Ok(Listing { points: out, ..Listing::default() })
    }

    fn storing(&self) -> Result<&dyn Storing> {
        Ok(self)
    }

    fn open(&self, source: &str, point: &RecoveryPointId, path: &str) -> Result<Arc<dyn StoredFile>> {
        let points = self.points();
        let (_, files) = points.get(&(source.to_owned(), point.clone())).ok_or_else(|| {
            Error::failed(format!("cannot open {path}: there is no recovery point {point} of {source}"))
        })?;
        let bytes = files.get(path).ok_or_else(|| {
            Error::failed(format!("cannot open {path}: recovery point {point} of {source} has no such file"))
        })?;
        Ok(Arc::new(MemoryFile(bytes.clone())))
    }
}

impl Storing for MemoryRepository {
    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn store(&self, candidate: NewCandidate) -> Result<Candidate> {
        check_new(&candidate)?;
        self.check_unused(&candidate.source, &candidate.id)?;
        let mut files = Files::new();
        let mut check = StreamCheck::default();
        for stream in candidate.streams {
            let mut stream = stream?;
            check.next(&stream.path)?;
            let mut bytes = Vec::new();
            stream.reader.read_to_end(&mut bytes).or_failed(format!("cannot read stream {}", stream.path))?;
            files.insert(stream.path, bytes.into());
        }
        check.end()?;
        Ok(Candidate {
            source: candidate.source,
            id: candidate.id,
            as_of: candidate.as_of,
            files: files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect(),
            added_bytes: files.values().map(|bytes| bytes.len() as u64).sum(),
            new_data: None,
            handle: Box::new(files),
        })
    }

    fn publish(&self, candidate: Candidate, manifest: &Manifest) -> Result<u64> {
        check_manifest(&candidate, manifest)?;
        self.check_unused(&candidate.source, &candidate.id)?;
        let handle: Box<dyn Any> = candidate.handle;
        let files =
            handle.downcast::<Files>().map_err(|_| Error::failed("cannot publish: not a candidate of this kind"))?;
        let stored_bytes = candidate.added_bytes;
        let published = Published { manifest: manifest.clone(), stored_bytes };
        self.points().insert((candidate.source, candidate.id), (published, *files));
        Ok(stored_bytes)
    }

    fn forget(&self, source: &str, forgotten: &[RecoveryPointId]) -> Result<()> {
        let mut points = self.points();
        let key = |id: &RecoveryPointId| (source.to_owned(), id.clone());
        if let Some(missing) = forgotten.iter().find(|id| !points.contains_key(&key(id))) {
            return Err(Error::failed(format!("cannot forget recovery point {missing} of {source}: there is none")));
        }
        for id in forgotten {
            points.remove(&key(id));
        }
        Ok(())
    }

    fn check(&self, depth: CheckDepth<'_>, _: &RunContext) -> Result<Checked> {
        let stored_bytes = self.points().values().map(|(published, _)| published.stored_bytes).sum();
        // What is in memory is as it was put there: reading it takes nothing.
        let read_bytes = if depth == CheckDepth::Content { stored_bytes } else { 0 };
        Ok(Checked { read_bytes, stored_bytes, ..Checked::default() })
    }
}

struct MemoryFile(Bytes);

impl StoredFile for MemoryFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(length).min(self.0.len());
        Ok(self.0.slice(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::contract;

    #[test]
    fn memory_keeps_the_contract() {
        contract::run(&|| {
            let repository = MemoryRepository::default();
            Box::new(move || Box::new(repository.clone()) as Box<dyn Storing>)
        });
    }
}
