//! A place in memory, for tests: like a bucket it has no directories, no stamps, no locks and no limit.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Item, ItemKind, Opened, Place};

/// Clones share one place, as two processes do.
#[derive(Debug, Clone, Default)]
pub struct MemoryPlace {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl MemoryPlace {
    /// The files by path.
    pub fn files(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn content(&self, file: &str) -> io::Result<Bytes> {
        self.files().get(file).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Place for MemoryPlace {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn make(&self) -> io::Result<()> {
        Ok(())
    }

    fn prove_writable(&self) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, directory: &str) -> io::Result<Vec<Item>> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let mut items: BTreeMap<String, Item> = BTreeMap::new();
        for (path, content) in &*self.files() {
            let Some(rest) = path.strip_prefix(&prefix) else { continue };
            let (name, kind, length) = match rest.split_once('/') {
                Some((name, _)) => (name, ItemKind::Directory, 0),
                None => (rest, ItemKind::File, content.len() as u64),
            };
            items.insert(name.to_owned(), Item { name: name.to_owned(), kind, length, stamp: None });
        }
        Ok(items.into_values().collect())
    }

    fn look_at(&self, path: &str) -> io::Result<Option<Item>> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok(self.list(directory)?.into_iter().find(|item| item.name == name))
    }

    fn open(&self, file: &str) -> io::Result<Opened> {
        let content = self.content(file)?;
        Ok(Opened { length: content.len() as u64, bytes: Box::new(Cursor::new(content)) })
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Bytes> {
        let content = self.content(file)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match start.checked_add(length) {
            Some(end) if end <= content.len() => Ok(content.slice(start..end)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write(&self, file: &str, parts: &[Bytes]) -> io::Result<()> {
        let mut files = self.files();
        if files.contains_key(file) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.insert(file.to_owned(), parts.concat().into());
        Ok(())
    }

    fn rename(&self, file: &str, new: &str) -> io::Result<()> {
        let mut files = self.files();
        if files.contains_key(new) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = files.remove(file).ok_or(io::ErrorKind::NotFound)?;
        files.insert(new.to_owned(), content);
        Ok(())
    }

    fn remove(&self, file: &str) -> io::Result<()> {
        self.files().remove(file).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::place::contract;

    #[test]
    fn memory_keeps_the_contract_of_places() {
        contract::run(&|| {
            let place = MemoryPlace::default();
            Box::new(move || Box::new(place.clone()) as Box<dyn Place>)
        });
    }
}
