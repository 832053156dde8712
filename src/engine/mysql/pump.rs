//! Moves a dump from the client program through the scanner, on a thread of its own, so that reading and scanning
//! overlap with chunking, compressing and encrypting.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use super::facts::DumpFacts;
use super::lexer::Client;
use super::stream::StreamScanner;
use super::supplement::Supplement;
use crate::domain::capture::Capture;
use crate::domain::digest::Digest;
use crate::error::{Error, OrFailed, Result};
use crate::process::Died;
use crate::run_context::RunContext;

/// Bytes read from the program at a time, and about the size of a block handed on.
const BLOCK: usize = 1024 * 1024;
/// Blocks that may wait; bounds memory.
const QUEUE: usize = 4;

/// What a complete dump was.
#[derive(Debug)]
pub struct Complete {
    /// Its contents.
    pub facts: DumpFacts,
    /// Length of the stream, in bytes.
    pub bytes: u64,
    /// Digest of the stream.
    pub digest: Digest,
}

/// Result of a pump; filled when the stream has been read to its end.
pub type Outcome = Arc<Mutex<Option<Result<Complete>>>>;

/// How a dump is read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// By this client, when it is loaded.
    pub client: Client,
    /// Its pieces are described in this way.
    pub capture: Capture,
    /// Completed by what its client does not print.
    pub supplement: Supplement,
}

/// Scan `dump`, read in this way, to its end and give every block of the stream to be stored to `sink`.
pub fn scan(
    mut dump: impl Read,
    reading: Reading,
    context: &RunContext,
    mut sink: impl FnMut(Vec<u8>) -> Result<()>,
) -> Result<Complete> {
    let mut scanner = StreamScanner::new(reading.client, reading.capture).with(reading.supplement);
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    let mut buffer = vec![0; BLOCK];
    let mut pass_on = |block: Vec<u8>| {
        hasher.update(&block);
        bytes += block.len() as u64;
        sink(block)
    };
    loop {
        context.cancel.check()?;
        let read = match dump.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(from_io(error)),
        };
        scanner.feed(&buffer[..read])?;
        context.progress.advance(read as u64);
        if scanner.ready() >= BLOCK {
            pass_on(scanner.take_output())?;
        }
    }
    let facts = scanner.finish()?;
    pass_on(scanner.take_output())?;
    Ok(Complete { facts, bytes, digest: Digest(*hasher.finalize().as_bytes()) })
}

/// The error that travelled through an `io::Error`, or one made of it.
fn from_io(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => explain(error).context("read dump"),
        Err(error) => Error::failed("read dump").because(error),
    }
}

/// What to do about the dump client's usual complaints.
fn explain(error: Error) -> Error {
    const CHANGED: &str =
        "a definition changed while the dump ran: take the backup again, at a time without such changes";
    const HINTS: [(&str, &str); 6] = [
        ("Table definition has changed", CHANGED),
        ("(1412)", CHANGED),
        ("(1146)", CHANGED),
        (
            "printed nothing for",
            "something holds a lock on a table or on the whole server: look at SHOW FULL PROCESSLIST",
        ),
        (
            "references invalid table",
            "the view named above is broken at the source: mend or drop it, else it could not be restored",
        ),
        (
            "Lost connection",
            "the server ended the connection: see its log, and its net_write_timeout and max_allowed_packet",
        ),
    ];
    if let Some(at) = error.cause::<Died>().and_then(Died::crashed_at) {
        let hint = format!(
            "the dump client itself crashed at {at}, or soon after: try it by hand on that table alone; then update the client \
             (`programs`), or change the table: mariadb-dump 10.11 crashes at a FEDERATED table with an INVISIBLE column"
        );
        return error.hint(hint);
    }
    let said = error.to_string();
    match HINTS.iter().find(|(words, _)| said.contains(words)) {
        Some((_, hint)) if error.hint_text().is_none() => error.hint(*hint),
        _ => error,
    }
}

/// Start the pump; the reader gives the stream, the outcome is there once the reader has ended.
pub fn start(
    dump: impl Read + Send + 'static,
    reading: Reading,
    context: &RunContext,
) -> Result<(Box<dyn Read + Send>, Outcome)> {
    let (send, queue) = sync_channel(QUEUE);
    let outcome: Outcome = Arc::default();
    let (shared, context) = (outcome.clone(), context.clone());
    let pump = move || {
        let result = scan(dump, reading, &context, |block| {
            send.send(Some(block)).map_err(|_| Error::failed("store dump: the repository stopped reading"))
        });
        // The outcome must be there before the reader sees the end. Only a complete dump ends the stream well.
        let ended_well = result.is_ok();
        *shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
        if ended_well {
            let _ = send.send(None);
        }
    };
    std::thread::Builder::new().name("dump".to_owned()).spawn(pump).or_failed("start dump thread")?;
    Ok((Box::new(Blocks { queue, block: Vec::new(), at: 0, ended: false, outcome: outcome.clone() }), outcome))
}

struct Blocks {
    queue: Receiver<Option<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
    ended: bool,
    outcome: Outcome,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && !self.ended {
            if self.at == self.block.len() {
                match self.queue.recv() {
                    Ok(Some(block)) => (self.block, self.at) = (block, 0),
                    Ok(None) => self.ended = true,
                    // The pump is gone without its good end: whatever came so far must not pass for a dump.
                    Err(_) => return Err(io::Error::other(self.why())),
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

impl Blocks {
    fn why(&self) -> String {
        match &*self.outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(Err(error)) => error.to_string(),
            _ => "read dump: the dump thread died".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Reading {
        Reading { client: Client::MariaDb, capture: Capture::default(), supplement: Supplement::default() }
    }

    #[test]
    fn a_dump_that_fails_ends_its_stream_with_the_reason() {
        let (mut stream, outcome) =
            start(&b"-- half a dump\nCREATE TABLE `t` ("[..], plain(), &RunContext::silent()).unwrap();
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("end marker"), "{error}");
        assert!(outcome.lock().unwrap().take().unwrap().is_err());
    }

    #[test]
    fn a_cancelled_dump_stops_with_an_error() {
        let context = RunContext::silent();
        context.cancel.cancel();
        let (mut stream, _) = start(io::repeat(b' '), plain(), &context).unwrap();
        assert!(stream.read_to_end(&mut Vec::new()).unwrap_err().to_string().contains("cancelled"));
    }
}
