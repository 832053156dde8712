//! Increments that follow each other, put together: the server's own bytes again, in one stored file per log file.
//!
//! What they change is counted anew from the bytes as they come, so that a hole or a wrong order is found before anything is published.

use std::sync::Arc;

use super::capture::header_length;
use super::fetch::PIECE;
use crate::domain::captured::Captured;
use crate::domain::chain::Place;
use crate::domain::counts::joined;
use crate::domain::manifest::{FileRole, StoredFileFacts};
use crate::domain::promise::{Changes, Promise};
use crate::engine::mysql::binlog::{LogScanner, Scanned};
use crate::engine::mysql::rollforward::{beginning, logs};
use crate::engine::stream::{self, Sink};
use crate::engine::{Dump, StoredIncrement};
use crate::error::{Error, Result};
use crate::repository::{StoredFile, Stream, in_order};
use crate::run_context::{RunContext, Silent};

/// A file of the server's log, in the parts that it was stored in.
struct Whole {
    /// Its name in the new increment.
    path: String,
    /// Its name at the server, and where in it the first part begins.
    name: String,
    start: u64,
    parts: Vec<Arc<dyn StoredFile>>,
}

/// One increment that brings what `increments` bring, in order, and ends where the last of them ends.
pub(in crate::engine::mysql) fn join(increments: &[StoredIncrement], context: &RunContext) -> Result<Dump> {
    let Some(last) = increments.last().map(|increment| increment.manifest.clone()) else {
        return Err(Error::failed("cannot join increments: there are none"));
    };
    let wholes = wholes(increments)?;
    let paths: Vec<String> = wholes.iter().map(|whole| whole.path.clone()).collect();
    let queue = RunContext { progress: Arc::new(Silent), ..context.clone() };
    let (its_context, end) = (context.clone(), last.position.as_ref().and_then(Place::of));
    let (mut readers, outcome) =
        stream::run("join increments", &queue, move |sink| make(&wholes, end.as_ref(), sink, &its_context))?;
    let mut streams: Vec<Stream> = Vec::new();
    let (newest, others) = paths.split_last().map_or((None, &[][..]), |(newest, others)| (Some(newest), others));
    streams.extend(others.iter().map(|path| Stream { path: path.clone(), reader: readers.reader() }));
    streams.extend(newest.map(|path| Stream { path: path.clone(), reader: readers.last() }));
    let as_of = last.as_of;
    let changes = |increment: &StoredIncrement| match &increment.manifest.promise {
        Promise::Changes(changes) => Some(changes.clone()),
        Promise::Exact(_) | Promise::Pending => None,
    };
    // No log tells again what was counted beside it.
    let all: Vec<Changes> = increments.iter().filter_map(changes).collect();
    let counted = joined(&all);
    let (owed, given_up) = all.last().map(|last| (last.owed.clone(), last.given_up.clone())).unwrap_or_default();
    let finish = Box::new(move || {
        let (files, scanned) = outcome.take()?;
        let changes = Changes { counted, owed, given_up, ..scanned.changes() };
        Ok(Captured::up_to(&last, files, changes))
    });
    Ok(Dump { streams: in_order(streams), as_of, finish })
}

fn wholes(increments: &[StoredIncrement]) -> Result<Vec<Whole>> {
    let mut wholes: Vec<Whole> = Vec::new();
    for increment in increments {
        for file in logs(increment) {
            let (name, start) = beginning(increment, &file.path);
            let part = (increment.open)(&file.path)?;
            match wholes.last_mut() {
                Some(whole) if whole.name == name => whole.parts.push(part),
                _ => {
                    let path = format!("{:05}.{name}", wholes.len() + 1);
                    wholes.push(Whole { path, name: name.to_owned(), start, parts: vec![part] });
                }
            }
        }
    }
    if wholes.is_empty() { Err(Error::failed("cannot join increments: nothing is in them")) } else { Ok(wholes) }
}

fn make(
    wholes: &[Whole],
    end: Option<&Place>,
    sink: &mut Sink,
    context: &RunContext,
) -> Result<(Vec<StoredFileFacts>, Scanned)> {
    let (mut files, mut before) = (Vec::new(), None);
    for whole in wholes {
        let mut scanner = LogScanner::new(&whole.name, whole.start);
        if let Some(before) = before.take() {
            scanner = scanner.after(before);
        }
        for (number, part) in whole.parts.iter().enumerate() {
            // Each part has the file's header in front; it is wanted once.
            let skipped = if number == 0 { 0 } else { header(&**part, &whole.name)? };
            copy(&**part, skipped, &mut scanner, sink, context)?;
        }
        let stored = sink.end()?;
        files.push(StoredFileFacts {
            path: whole.path.clone(),
            role: FileRole::Log,
            bytes: stored.bytes,
            digest: stored.digest,
        });
        before = Some(scanner.finish()?);
    }
    let scanned = before.ok_or_else(|| Error::failed("cannot join increments: nothing is in them"))?;
    let is_end = |end: &Place| wholes.last().is_some_and(|last| last.name == end.file);
    if let Some(end) = end.filter(|end| is_end(end) && (scanned.offset, scanned.group_end) != (end.offset, end.offset))
    {
        let what =
            format!("cannot join increments: together they end at {}, and the last of them at {end}", scanned.offset);
        return Err(Error::failed(what));
    }
    Ok((files, scanned))
}

/// Bytes of the header that a stored part begins with.
fn header(part: &dyn StoredFile, name: &str) -> Result<u64> {
    let begin = part.read_at(0, PIECE.min(4096))?;
    let length = header_length(&begin).filter(|length| *length as u64 <= part.len());
    length
        .map(|length| length as u64)
        .ok_or_else(|| Error::failed(format!("cannot join parts of {name}: one has no header")))
}

fn copy(
    part: &dyn StoredFile,
    from: u64,
    scanner: &mut LogScanner,
    sink: &mut Sink,
    context: &RunContext,
) -> Result<()> {
    let mut at = from;
    while at < part.len() {
        context.cancel.check()?;
        let piece = part.read_at(at, PIECE)?;
        if piece.is_empty() {
            return Err(Error::failed(format!("cannot join increments: a stored log ends at byte {at}")));
        }
        scanner.push(&piece)?;
        sink.write(&piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}
