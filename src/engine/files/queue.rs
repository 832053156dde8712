//! Hands the archive from the thread that makes it to the repository that stores it: bounded, and with an end that is
//! good only if everything before was.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::digest::Digest;
use crate::error::{Error, Result};
use crate::run_context::RunContext;

/// About the size of a block that is handed on, in bytes.
const BLOCK: usize = 1024 * 1024;
/// Blocks that may wait; bounds memory.
const QUEUE: usize = 4;

/// Length and digest of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// In bytes.
    pub bytes: u64,
    /// Of all bytes.
    pub digest: Digest,
}

/// Result of the thread; there before its streams end.
pub type Outcome<T> = Arc<Mutex<Option<Result<T>>>>;

/// Where the thread puts the archive.
pub struct Sink {
    send: SyncSender<Option<Vec<u8>>>,
    block: Vec<u8>,
    hasher: blake3::Hasher,
    bytes: u64,
    context: RunContext,
}

impl Sink {
    /// Add bytes. An error where nobody reads any more, or the run was cancelled.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK { self.pass_on() } else { Ok(()) }
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.bytes + self.block.len() as u64
    }

    fn pass_on(&mut self) -> Result<()> {
        self.context.cancel.check()?;
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK + BLOCK / 4));
        self.hasher.update(&block);
        self.bytes += block.len() as u64;
        self.context.progress.advance(block.len() as u64);
        self.send.send(Some(block)).map_err(|_| Error::failed("store archive: the repository stopped reading"))
    }

    /// Hand on what is left. The stream is not at its end before [`run`] says that everything was good.
    pub fn finish(&mut self) -> Result<Part> {
        self.pass_on()?;
        Ok(Part { bytes: self.bytes, digest: Digest(*self.hasher.finalize().as_bytes()) })
    }
}

/// The streams that a thread makes, and what it says about them.
pub struct Running<T> {
    /// The archive.
    pub archive: Box<dyn Read + Send>,
    /// What was spooled meanwhile; reading it waits for the archive to end.
    pub spooled: Box<dyn Read + Send>,
    /// What the thread returned.
    pub outcome: Outcome<T>,
}

/// Run `make` on a thread of its own. It fills the archive and returns what it spooled.
pub fn run<T: Send + 'static>(
    context: &RunContext,
    make: impl FnOnce(&mut Sink) -> Result<(T, File)> + Send + 'static,
) -> Result<Running<T>> {
    let (send, queue) = sync_channel(QUEUE);
    let (hand_over, spooled) = sync_channel(1);
    let outcome: Outcome<T> = Arc::default();
    let (shared, context) = (outcome.clone(), context.clone());
    let work = move || {
        let mut sink = Sink { send: send.clone(), block: Vec::new(), hasher: blake3::Hasher::new(), bytes: 0, context };
        let result = make(&mut sink).and_then(|(value, mut file)| {
            file.rewind().map_err(|error| Error::failed("read the index back").because(error))?;
            Ok((value, file))
        });
        // The outcome must be there before a reader sees an end, good or bad.
        let (result, file) = match result {
            Ok((value, file)) => (Ok(value), Some(file)),
            Err(error) => (Err(error), None),
        };
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        if let Some(file) = file {
            let _ = hand_over.send(file);
            let _ = send.send(None);
        }
    };
    let thread = std::thread::Builder::new().name("walk".to_owned()).spawn(work);
    thread.map_err(|error| Error::failed("start the thread that reads files").because(error))?;
    let why = |outcome: &Outcome<T>| why(outcome.clone());
    Ok(Running {
        archive: Box::new(Blocks { queue, block: Vec::new(), at: 0, ended: false, why: why(&outcome) }),
        spooled: Box::new(Spooled { file: None, wait: spooled, why: why(&outcome) }),
        outcome,
    })
}

type Why = Box<dyn Fn() -> String + Send>;

fn why<T: Send + 'static>(outcome: Outcome<T>) -> Why {
    Box::new(move || match &*outcome.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(Err(error)) => error.to_string(),
        _ => "read files: the thread died".to_owned(),
    })
}

struct Blocks {
    queue: Receiver<Option<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
    ended: bool,
    why: Why,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && !self.ended {
            if self.at == self.block.len() {
                match self.queue.recv() {
                    Ok(Some(block)) => (self.block, self.at) = (block, 0),
                    Ok(None) => self.ended = true,
                    // The thread is gone without its good end: whatever came so far must not pass for an archive.
                    Err(_) => return Err(io::Error::other((self.why)())),
                }
                continue;
            }
            let take = (buffer.len() - filled).min(self.block.len() - self.at);
            buffer[filled..filled + take].copy_from_slice(&self.block[self.at..self.at + take]);
            (filled, self.at) = (filled + take, self.at + take);
        }
        Ok(filled)
    }
}

struct Spooled {
    file: Option<File>,
    wait: Receiver<File>,
    why: Why,
}

impl Read for Spooled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.file.is_none() {
            self.file = Some(self.wait.recv().map_err(|_| io::Error::other((self.why)()))?);
        }
        self.file.as_mut().map_or(Ok(0), |file| file.read(buffer))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn both_streams_end_well_only_if_everything_was_good() {
        let mut running = run(&RunContext::silent(), |sink| {
            sink.write(&vec![7; 3_000_000])?;
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"index").unwrap();
            Ok((sink.finish()?, file))
        })
        .unwrap();
        let (mut archive, mut index) = (Vec::new(), String::new());
        running.archive.read_to_end(&mut archive).unwrap();
        running.spooled.read_to_string(&mut index).unwrap();
        let part = running.outcome.lock().unwrap().take().unwrap().unwrap();
        assert_eq!((archive.len(), part.bytes, index.as_str()), (3_000_000, 3_000_000, "index"));
        assert_eq!(part.digest, Digest::of(&archive));

        let mut running = run::<()>(&RunContext::silent(), |sink| {
            sink.write(&vec![7; 3_000_000])?;
            Err(Error::failed("the reason"))
        })
        .unwrap();
        assert_eq!(running.archive.read_to_end(&mut Vec::new()).unwrap_err().to_string(), "the reason");
        assert_eq!(running.spooled.read_to_end(&mut Vec::new()).unwrap_err().to_string(), "the reason");
    }

    #[test]
    fn a_cancelled_run_and_one_that_nobody_reads_end() {
        let context = RunContext::silent();
        context.cancel.cancel();
        let endless = |sink: &mut Sink| loop {
            sink.write(&[0; 4096])?;
        };
        let mut running = run::<()>(&context, endless).unwrap();
        assert!(running.archive.read_to_end(&mut Vec::new()).unwrap_err().to_string().contains("cancelled"));

        let running = run::<()>(&RunContext::silent(), endless).unwrap();
        let mut spooled = running.spooled;
        drop(running.archive);
        let error = spooled.read(&mut [0; 10]).unwrap_err();
        assert!(error.to_string().contains("stopped reading"), "{error}");
    }
}
