//! Reads a stored file from front to back: the next piece is fetched and decrypted while the one at hand is worked on.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;

use super::entry::Entry;
use crate::error::{Error, OrFailed, Result};
use crate::repository::StoredFile;

/// Path of the data in a backup.
pub const ARCHIVE: &str = "files.tar";
/// Path of the index in a backup.
pub const INDEX: &str = "index.jsonl";

/// Bytes that are fetched at a time.
const PIECE: usize = 4 * 1024 * 1024;
/// Pieces that may wait.
const QUEUE: usize = 2;
/// From here on it is cheaper to begin anew behind a gap than to fetch it.
const GAP: u64 = 8 * PIECE as u64;

/// A stored file that is read ahead.
pub struct Ahead {
    file: Arc<dyn StoredFile>,
    at: u64,
    piece: Bytes,
    queue: Receiver<Result<Bytes>>,
}

impl Ahead {
    /// From byte `at` on.
    pub fn new(file: Arc<dyn StoredFile>, at: u64) -> Self {
        let (send, queue) = sync_channel(QUEUE);
        let from = file.clone();
        let fetch = move || {
            let mut at = at;
            while at < from.len() {
                let piece = from.read_at(at, PIECE);
                let good = piece.as_ref().map_or(0, Bytes::len);
                at += good as u64;
                // Nobody listens any more, or there is nothing more to come.
                if send.send(piece).is_err() || good == 0 {
                    break;
                }
            }
        };
        // Without a thread the queue ends at once, which is an error for whoever reads.
        let _ = std::thread::Builder::new().name("fetch".to_owned()).spawn(fetch);
        Self { file, at, piece: Bytes::new(), queue }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Pass over `bytes`.
    pub fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > GAP && self.at.saturating_add(bytes) <= self.file.len() {
            *self = Self::new(self.file.clone(), self.at + bytes);
            return Ok(());
        }
        if io::copy(&mut self.by_ref().take(bytes), &mut io::sink())? == bytes {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && self.at < self.file.len() {
            let next = self.queue.recv().map_err(|_| io::Error::other("the thread that fetches it died"))?;
            self.piece = next.map_err(io::Error::other)?;
            if self.piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        self.at += length as u64;
        Ok(length)
    }
}

/// The entries of an index.
pub struct IndexReader {
    lines: BufReader<Ahead>,
    line: Vec<u8>,
}

impl IndexReader {
    /// Of this stored file.
    pub fn new(file: Arc<dyn StoredFile>) -> Self {
        Self { lines: BufReader::with_capacity(1 << 18, Ahead::new(file, 0)), line: Vec::new() }
    }
}

impl Iterator for IndexReader {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        self.line.clear();
        match self.lines.read_until(b'\n', &mut self.line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_slice(&self.line).or_failed("cannot read index: a line is damaged")),
            Err(error) => Some(Err(from_io(error).context("cannot read index"))),
        }
    }
}

/// The error that travelled through an `io::Error`, or one made of it.
pub fn from_io(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::failed(error.to_string()),
    }
}
