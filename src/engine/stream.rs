//! The queue between the thread that makes the streams of a backup and the repository that stores them.
//!
//! - Memory is bounded: a few blocks wait, over all streams together.
//! - A stream ends well only when the next one begins, the last one only when the maker returned `Ok`. A maker that fails,
//!   panics or is cancelled fails every stream that was not read to its end by then.
//! - The maker's result is there before a reader sees the end of the last stream, or an error.
//! - A reader that is dropped before its end stops the maker: [`Unread`] is the cause of the error.
//!
//! Streams are made and read in one order. A reader whose stream is not at hand yet waits for those before it.

use std::io::Read;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::reading::{Message, Turn};
pub use self::reading::{Readers, Unread};
use crate::domain::digest::Digest;
use crate::error::{Error, OrFailed, Result};
use crate::run_context::RunContext;

mod reading;
#[cfg(test)]
mod tests;

/// About the size of a block that is handed on, in bytes.
pub const BLOCK: usize = 1024 * 1024;
/// Blocks that may wait; bounds memory.
const QUEUE: usize = 4;
/// How long a maker may take to notice that nobody reads any more. After that it is left to itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Length and digest of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// In bytes.
    pub bytes: u64,
    /// Of all bytes.
    pub digest: Digest,
}

/// Make streams on a thread of this `name`: `make` fills one after the other and ends each.
pub fn run<T: Send + 'static>(
    name: &'static str,
    context: &RunContext,
    make: impl FnOnce(&mut Sink) -> Result<T> + Send + 'static,
) -> Result<(Readers, Outcome<T>)> {
    let (send, receive) = sync_channel(QUEUE);
    let turn = Turn::first(receive);
    let outcome = Outcome(Arc::new(Shared { made: Mutex::new(Made::default()), changed: Condvar::new() }));
    let why = outcome.0.clone();
    let readers = Readers::new(turn.clone(), Arc::new(move || why.reason()));
    let (shared, context) = (outcome.0.clone(), context.clone());
    let work = move || {
        // Dropped after all else, in a panic too.
        let over = Over(&shared);
        let mut sink = Sink::new(send, turn, context);
        let result = make(&mut sink).and_then(|made| sink.flush().map(|()| made));
        let is_good = result.is_ok();
        over.0.put(result);
        if is_good {
            // Only now: whoever sees the last stream end finds the result.
            let _ = sink.send.send(Message::End);
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.or_failed(format!("cannot start the {name} thread"))?;
    Ok((readers, outcome))
}

/// Where the maker puts its streams.
pub struct Sink {
    send: SyncSender<Message>,
    turn: Arc<Turn>,
    context: RunContext,
    block: Vec<u8>,
    hasher: blake3::Hasher,
    bytes: u64,
    /// The stream before is complete; its end is handed on when there is more.
    is_between: bool,
}

impl Sink {
    fn new(send: SyncSender<Message>, turn: Arc<Turn>, context: RunContext) -> Self {
        let (block, hasher) = (Vec::new(), blake3::Hasher::new());
        Self { send, turn, context, block, hasher, bytes: 0, is_between: false }
    }

    /// Add bytes to the stream at hand. An error where nobody reads any more, or the run was cancelled.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.begin()?;
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    /// Add a whole block, without copying it.
    pub fn pass(&mut self, block: Vec<u8>) -> Result<()> {
        self.begin()?;
        self.flush()?;
        self.hand_on(block)
    }

    /// Add everything that `from` gives; `what` it is, for messages.
    pub fn copy(&mut self, mut from: impl Read, what: &str) -> Result<()> {
        loop {
            let mut block = Vec::with_capacity(BLOCK);
            match from.by_ref().take(BLOCK as u64).read_to_end(&mut block) {
                Ok(0) => return self.check(),
                Ok(_) => self.pass(block)?,
                Err(error) => {
                    return Err(match error.downcast::<Error>() {
                        Ok(own) => own,
                        Err(error) => Error::failed(format!("cannot read {what}")).because(error),
                    });
                }
            }
        }
    }

    /// Bytes of the stream at hand so far.
    pub fn written(&self) -> u64 {
        self.bytes + self.block.len() as u64
    }

    /// The stream at hand is complete. Its reader sees the end when the next stream begins, or the maker has succeeded.
    pub fn end(&mut self) -> Result<Part> {
        // An empty stream follows the one before it too.
        self.begin()?;
        self.flush()?;
        let part = Part { bytes: self.bytes, digest: Digest(*self.hasher.finalize().as_bytes()) };
        (self.bytes, self.is_between) = (0, true);
        self.hasher.reset();
        Ok(part)
    }

    /// An error once nobody reads any more, or the run was cancelled: for makers that wait for something else.
    pub fn check(&self) -> Result<()> {
        self.context.cancel.check()?;
        if self.turn.is_abandoned() { Err(Unread::error()) } else { Ok(()) }
    }

    fn begin(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_between) { self.send(Message::End) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return self.check();
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK + BLOCK / 4));
        self.hand_on(block)
    }

    fn hand_on(&mut self, block: Vec<u8>) -> Result<()> {
        self.hasher.update(&block);
        self.bytes += block.len() as u64;
        self.context.progress.advance(block.len() as u64);
        if block.is_empty() { self.check() } else { self.send(Message::Block(block)) }
    }

    fn send(&self, message: Message) -> Result<()> {
        self.check()?;
        self.send.send(message).map_err(|_| Unread::error())
    }
}

/// What a maker returns, once its streams were read.
pub struct Outcome<T>(Arc<Shared<T>>);

impl<T> Outcome<T> {
    /// The result, and the thread is gone. Where there is none because nobody read the streams to their ends, the cause of
    /// the error is [`Unread`].
    pub fn take(&self) -> Result<T> {
        let made = self.0.made();
        let waiting = |made: &mut Made<T>| !made.is_over;
        let waited = self.0.changed.wait_timeout_while(made, PATIENCE, waiting);
        let (mut made, _) = waited.unwrap_or_else(PoisonError::into_inner);
        made.result.take().unwrap_or_else(|| Err(Unread::error()))
    }
}

struct Shared<T> {
    made: Mutex<Made<T>>,
    changed: Condvar,
}

struct Made<T> {
    result: Option<Result<T>>,
    /// Of a failure: kept when the result is taken.
    reason: Option<(String, Option<String>)>,
    /// The thread is gone.
    is_over: bool,
}

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self { result: None, reason: None, is_over: false }
    }
}

impl<T> Shared<T> {
    fn made(&self) -> MutexGuard<'_, Made<T>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, result: Result<T>) {
        let reason = result.as_ref().err().map(|error| (error.to_string(), error.hint_text().map(str::to_owned)));
        let mut made = self.made();
        (made.reason, made.result) = (reason, Some(result));
        self.changed.notify_all();
    }

    /// The failure again, for whoever read the streams.
    fn reason(&self) -> Option<Error> {
        let (reason, hint) = self.made().reason.clone()?;
        let error = Error::failed(reason);
        Some(match hint {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }
}

/// Tells that the thread is gone, whatever ended it.
struct Over<'s, T>(&'s Shared<T>);

impl<T> Drop for Over<'_, T> {
    fn drop(&mut self) {
        self.0.made().is_over = true;
        self.0.changed.notify_all();
    }
}
