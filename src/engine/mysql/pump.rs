//! Moves a dump from the client program through the scanner, on a thread of its own, so that reading and scanning
//! overlap with chunking, compressing and encrypting.

use std::io::{self, Read};
use std::sync::Arc;

use super::facts::DumpFacts;
use super::lexer::Client;
use super::stream::StreamScanner;
use super::supplement::Supplement;
use crate::domain::capture::Capture;
use crate::engine::stream::{self, BLOCK, Outcome, Part};
use crate::error::{Error, Result};
use crate::process::{Died, FellSilent};
use crate::run_context::{RunContext, Silent};

/// What a complete dump was.
#[derive(Debug)]
pub struct Complete {
    /// Its contents.
    pub facts: DumpFacts,
    /// Length and digest of the stream.
    pub part: Part,
}

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
) -> Result<DumpFacts> {
    let mut scanner = StreamScanner::new(reading.client, reading.capture).with(reading.supplement);
    let mut buffer = vec![0; BLOCK];
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
            sink(scanner.take_output())?;
        }
    }
    let facts = scanner.finish()?;
    sink(scanner.take_output())?;
    Ok(facts)
}

/// The error that travelled through an `io::Error`, or one made of it.
fn from_io(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => explain(error).context("cannot read the dump"),
        Err(error) => Error::failed("cannot read the dump").because(error),
    }
}

/// What to do about the dump client's usual complaints.
fn explain(error: Error) -> Error {
    const CHANGED: &str =
        "a definition changed while the dump ran: take the backup again, at a time without such changes";
    /// What the client printed has no type.
    const HINTS: [(&str, &str); 5] = [
        ("Table definition has changed", CHANGED),
        ("(1412)", CHANGED),
        ("(1146)", CHANGED),
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
    if error.cause::<FellSilent>().is_some() {
        return error.hint("something holds a lock on a table or on the whole server: look at SHOW FULL PROCESSLIST");
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
) -> Result<(Box<dyn Read + Send>, Outcome<Complete>)> {
    let context = context.clone();
    // What is read from the client is the progress.
    let queue = RunContext { progress: Arc::new(Silent), ..context.clone() };
    let (readers, outcome) = stream::run("dump", &queue, move |sink| {
        let facts = scan(dump, reading, &context, |block| sink.pass(block))?;
        Ok(Complete { facts, part: sink.end()? })
    })?;
    Ok((readers.last(), outcome))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::process::{ChildOutput, OwnedChild};

    fn plain() -> Reading {
        Reading { client: Client::MariaDb, capture: Capture::default(), supplement: Supplement::default() }
    }

    #[test]
    fn a_dump_that_fails_ends_its_stream_with_the_reason() {
        let (mut stream, outcome) =
            start(&b"-- half a dump\nCREATE TABLE `t` ("[..], plain(), &RunContext::silent()).unwrap();
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("end marker"), "{error}");
        assert!(outcome.take().is_err());
    }

    #[test]
    fn a_client_that_fell_silent_is_told_by_the_cause_and_not_by_words() {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null()).stdout(Stdio::piped());
        let silent = ChildOutput::new(OwnedChild::spawn(command, "dump client").unwrap()).unwrap();
        let silent = silent.never_silent_for(Duration::from_millis(50));
        let error = scan(silent, plain(), &RunContext::silent(), |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the dump: dump client printed nothing for 50ms");
        assert!(error.hint_text().unwrap().contains("SHOW FULL PROCESSLIST"), "{:?}", error.hint_text());
        let words = Error::failed("cannot read table `the printer printed nothing for a week`");
        assert_eq!(from_io(io::Error::other(words)).hint_text(), None);
    }

    #[test]
    fn a_cancelled_dump_stops_with_an_error() {
        let context = RunContext::silent();
        context.cancel.cancel();
        let (mut stream, _) = start(io::repeat(b' '), plain(), &context).unwrap();
        assert!(stream.read_to_end(&mut Vec::new()).unwrap_err().to_string().contains("cancelled"));
    }
}
