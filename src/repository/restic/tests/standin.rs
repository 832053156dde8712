//! A backend that stands in for the place's own and lets a test have its hands in it.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use crate::repository::restic::backend::PlaceBackend;

/// What a test does. By default nothing.
pub(super) trait Hands: Debug + Send + Sync + 'static {
    /// After files of this kind were listed, before anybody knows of them.
    fn listed(&self, _kind: FileType) {}

    /// Before a file of this kind is read whole.
    fn reading(&self, _kind: FileType) {}

    /// In place of a write; `write` does it.
    fn writing(&self, write: &dyn Fn() -> RusticResult<()>) -> RusticResult<()> {
        write()
    }
}

/// The backend of a place, with somebody's hands in it.
#[derive(Debug)]
pub(super) struct StandIn<H> {
    pub(super) inner: Arc<PlaceBackend>,
    pub(super) hands: H,
}

impl<H: Hands> ReadBackend for StandIn<H> {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.inner.list_with_size(kind).inspect(|_| self.hands.listed(kind))
    }
    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.hands.reading(kind);
        self.inner.read_full(kind, id)
    }
    fn read_partial(&self, kind: FileType, id: &Id, cache: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.inner.read_partial(kind, id, cache, offset, length)
    }
    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.inner.warmup_path(kind, id)
    }
}

impl<H: Hands> WriteBackend for StandIn<H> {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }
    fn write_bytes(&self, kind: FileType, id: &Id, cache: bool, content: BytesList) -> RusticResult<()> {
        self.hands.writing(&|| self.inner.write_bytes(kind, id, cache, content.clone()))
    }
    fn remove(&self, kind: FileType, id: &Id, cache: bool) -> RusticResult<()> {
        self.inner.remove(kind, id, cache)
    }
}
