//! What stands between one run and the repository: a failure anywhere closes it for everything that follows.
//!
//! `rustic_core` logs a failed reader and goes on without that file, and goes on reading after a failed write. The gate turns
//! both into an end: the first failure is kept, every later read and write is refused. The snapshot that the archiver
//! writes at its end stays at the gate: a candidate is listed nowhere, the published snapshot is written by
//! [`super::publication`].

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use super::failure::{passed_on, translate};
use crate::error::{Error, Result};

/// A backend for one run.
#[derive(Debug)]
pub struct Gate {
    inner: Arc<dyn WriteBackend>,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    /// Held for reading by every write; closing waits for them.
    closed: RwLock<bool>,
    added: AtomicU64,
}

impl Gate {
    /// A gate in front of `inner`, open.
    pub fn new(inner: Arc<dyn WriteBackend>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            closed: RwLock::new(false),
            added: AtomicU64::new(0),
        })
    }

    /// Whether something failed.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Keep the first failure and refuse everything from now on.
    pub fn fail(&self, error: Error) {
        let mut first = self.first();
        if !self.failed.swap(true, Ordering::SeqCst) {
            *first = Some(error);
        }
    }

    /// End the run: wait for writes under way in threads of the archiver, refuse later ones, tell the first failure.
    pub fn close(&self) -> Result<()> {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
        match self.first().take() {
            Some(error) => Err(error),
            None if self.has_failed() => Err(Error::failed("cannot go on: this backup has failed already")),
            None => Ok(()),
        }
    }

    /// Bytes that this run added to the repository.
    pub fn added_bytes(&self) -> u64 {
        self.added.load(Ordering::SeqCst)
    }

    fn first(&self) -> MutexGuard<'_, Option<Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused() -> Error {
    Error::failed("cannot go on: an earlier step of this backup failed")
}

impl ReadBackend for Gate {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.inner.list_with_size(kind)
    }
    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.inner.read_full(kind, id)
    }
    fn read_partial(&self, kind: FileType, id: &Id, cache: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.inner.read_partial(kind, id, cache, offset, length)
    }
    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.inner.warmup_path(kind, id)
    }
}

impl WriteBackend for Gate {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(&self, kind: FileType, id: &Id, cache: bool, content: BytesList) -> RusticResult<()> {
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed || self.has_failed() {
            return Err(passed_on(refused()));
        }
        if kind == FileType::Snapshot {
            return Ok(());
        }
        let size = content.size() as u64;
        self.inner.write_bytes(kind, id, cache, content).inspect_err(|error| {
            self.fail(translate("cannot store in the repository", error));
        })?;
        self.added.fetch_add(size, Ordering::SeqCst);
        Ok(())
    }

    /// A run removes nothing.
    fn remove(&self, _: FileType, _: &Id, _: bool) -> RusticResult<()> {
        Err(passed_on(Error::failed("cannot remove a file during a backup")))
    }
}

/// Reads one stream for the archiver: full buffers only (its chunker crawls on short reads), errors reported at the
/// gate (it swallows them), an end at once when anything else of the run failed.
pub struct GatedReader {
    inner: Box<dyn Read + Send>,
    path: String,
    gate: Arc<Gate>,
    delivered: Arc<AtomicU64>,
}

impl GatedReader {
    /// Read `inner`; `delivered` counts the bytes handed on.
    pub fn new(inner: Box<dyn Read + Send>, path: String, gate: Arc<Gate>, delivered: Arc<AtomicU64>) -> Self {
        Self { inner, path, gate, delivered }
    }
}

impl Read for GatedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.gate.has_failed() {
                return Err(io::Error::other(refused()));
            }
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let text = error.to_string();
                    self.gate.fail(stream_failure(&self.path, error));
                    return Err(io::Error::other(text));
                }
            }
        }
        self.delivered.fetch_add(filled as u64, Ordering::SeqCst);
        Ok(filled)
    }
}

/// The reader's own error with its meaning and hint, where it is one of ours.
fn stream_failure(path: &str, error: io::Error) -> Error {
    let what = format!("cannot read stream {path}");
    match error.downcast::<Error>() {
        Ok(own) => own.context(what),
        Err(error) => Error::failed(what).because(error),
    }
}
