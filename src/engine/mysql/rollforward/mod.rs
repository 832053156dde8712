//! Rolls a restored server forward: does there what the logs of increments say, to exactly the wanted place.

mod batch;
mod compressed;
mod event;
mod events;
mod session;
mod setting;
mod single;
mod variables;
mod wanted;
mod words;
mod xa;

use std::io::{self, Read};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};

pub use self::events::events;
use self::session::Applier;
use self::setting::Setting;
use super::account::Account;
use super::binlog::stop::{self, LogFile, Stop};
use super::binlog::{LogScanner, Scanned};
use crate::domain::chain::Until;
use crate::domain::manifest::{FileRole, StoredFileFacts};
use crate::engine::{LoadOptions, Replayed, StoredIncrement, StoredPoint};
use crate::error::{Error, OrFailed, Result};
use crate::repository::StoredFile;
use crate::run_context::{RunContext, Silent};

/// Bytes that are read from the repository at once.
const PIECE: u64 = 1024 * 1024;

/// An error where the destination would not take a replay, or where what is asked for cannot be replayed. Nothing is changed.
pub fn look(to: &Account, point: &StoredPoint, options: &LoadOptions, context: &RunContext) -> Result<()> {
    let setting = Setting::of(&point.manifest, options);
    let only = setting.only.clone();
    let mut applier = Applier::open(to, setting)?;
    let Some(only) = only else { return Ok(()) };
    // Single tables may hang together with others by what the log says: that is found out before anything is loaded.
    applier.only_looks();
    let quiet = RunContext { progress: Arc::new(Silent), ..context.clone() };
    for changes in walk(&mut applier, point, stop(point)?.as_ref(), &quiet)?.changes {
        only.allow(&changes)?;
    }
    Ok(())
}

/// Replay the increments of `point` at `to`.
pub fn roll_forward(
    to: &Account,
    point: &StoredPoint,
    options: &LoadOptions,
    context: &RunContext,
) -> Result<Replayed> {
    let bytes = point.increments.iter().flat_map(logs).map(|file| file.bytes).sum();
    context.progress.phase("replay", Some(bytes));
    let stop = stop(point)?;
    let setting = Setting::of(&point.manifest, options);
    let only = setting.only.clone();
    let mut replayed = walk(&mut Applier::open(to, setting)?, point, stop.as_ref(), context)?;
    if let Some(only) = only {
        replayed.changes.iter_mut().for_each(|changes| only.keep(changes));
    }
    replayed.notes = stop.iter().flat_map(ended).collect();
    context.progress.finish();
    Ok(replayed)
}

/// Have `applier` do what the increments say, up to `stop`.
fn walk(applier: &mut Applier<'_>, point: &StoredPoint, stop: Option<&Stop>, context: &RunContext) -> Result<Replayed> {
    let mut replayed = Replayed::default();
    let folds = point.manifest.settings.get("lower_case_table_names").is_some_and(|mode| mode != "0");
    for (number, increment) in point.increments.iter().enumerate() {
        let mut scanned = None;
        for (at, file) in logs(increment).enumerate() {
            let end = match stop {
                Some(stop) if (stop.increment, stop.file) == (number, at) => stop.bytes,
                Some(stop) if (stop.increment, stop.file) < (number, at) => break,
                _ => file.bytes,
            };
            let what = || format!("cannot replay {} of increment {}", file.path, increment.manifest.id);
            let stored = (increment.open)(&file.path)?;
            let mut log = Log::of(stored, end, beginning(increment, &file.path), context);
            log.scanner = match scanned.take() {
                Some(before) => log.scanner.after(before),
                None => log.scanner,
            }
            .folding_names(folds);
            applier.file(&mut log).map_err(|error| log.why(error).context(what()))?;
            scanned = Some(log.finish().map_err(|error| error.context(what()))?);
        }
        replayed.row_events.push(applier.take_row_events());
        replayed.changes.push(scanned.map(|scanned: Scanned| scanned.changes()).unwrap_or_default());
    }
    Ok(replayed)
}

/// Where replay ends; none at the end of everything. Only the last increment has the place that is named.
fn stop(point: &StoredPoint) -> Result<Option<Stop>> {
    let Some((number, last)) = point.increments.iter().enumerate().next_back() else { return Ok(None) };
    if point.until == Until::End {
        return Ok(None);
    }
    let files = logs(last).enumerate().map(|(at, file)| {
        let (name, start) = beginning(last, &file.path);
        let content = Box::new(Content { stored: (last.open)(&file.path)?, at: 0 });
        Ok(LogFile { increment: number, file: at, name: name.to_owned(), start, content })
    });
    stop::find(files, &point.until).map(Some)
}

/// A stored file, to be read from its beginning.
struct Content {
    stored: Arc<dyn StoredFile>,
    at: u64,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.stored.read_at(self.at, buffer.len()).map_err(io::Error::other)?;
        buffer[..piece.len()].copy_from_slice(&piece);
        self.at += piece.len() as u64;
        Ok(piece.len())
    }
}

/// Where replay ended, for people.
fn ended(stop: &Stop) -> Vec<String> {
    let Stop { name, offset, left_out, notes, .. } = stop;
    let before = left_out.as_ref().map(|group| {
        let gtid = group.gtid.as_ref().map_or_else(String::new, |gtid| format!(" {gtid}"));
        let time = DateTime::from_timestamp_micros(group.committed).unwrap_or_default();
        let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let what = group.statements.first().cloned().unwrap_or_else(|| {
            let tables: Vec<&str> = group.tables.keys().take(3).map(String::as_str).collect();
            format!("rows of {}", tables.join(", "))
        });
        format!("; the first one that is left out is{gtid} of {time}: {what}")
    });
    let said = format!("replay ended at {name}:{offset}{}", before.unwrap_or_default());
    std::iter::once(said).chain(notes.iter().cloned()).collect()
}

/// The files of an increment that are replayed, in order.
pub(super) fn logs(increment: &StoredIncrement) -> impl Iterator<Item = &StoredFileFacts> {
    increment.manifest.files.iter().filter(|file| file.role == FileRole::Log)
}

/// A stored file as it is read for the replay, and looked at on the way: whether it is whole, and what is in it.
struct Log<'a> {
    stored: Arc<dyn StoredFile>,
    at: u64,
    end: u64,
    piece: bytes::Bytes,
    scanner: LogScanner,
    context: &'a RunContext,
    /// Why it cannot be read on.
    trouble: Option<Error>,
}

impl<'a> Log<'a> {
    fn of(stored: Arc<dyn StoredFile>, end: u64, (name, start): (&str, u64), context: &'a RunContext) -> Self {
        let scanner = LogScanner::new(name, start);
        Self { stored, at: 0, end, piece: bytes::Bytes::new(), scanner, context, trouble: None }
    }

    fn more(&mut self) -> Result<()> {
        self.context.cancel.check()?;
        let length = PIECE.min(self.end - self.at);
        let piece = self.stored.read_at(self.at, usize::try_from(length).or_failed("cannot read the stored log")?)?;
        if piece.len() as u64 != length {
            return Err(Error::failed(format!(
                "cannot read the stored log: it ends at byte {}",
                self.at + piece.len() as u64
            )));
        }
        self.scanner.push(&piece)?;
        self.at += length;
        self.context.progress.advance(length);
        self.piece = piece;
        Ok(())
    }

    /// What came before what `error` says: a stored log that is wrong comes before what a server made of it.
    fn why(&mut self, error: Error) -> Error {
        self.trouble.take().unwrap_or(error)
    }

    /// It was read to its end: what was in it.
    fn finish(self) -> Result<Scanned> {
        if self.at != self.end {
            return Err(Error::failed("it was not replayed to its end"));
        }
        self.scanner.finish()
    }
}

impl Read for Log<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty()
            && self.at < self.end
            && let Err(error) = self.more()
        {
            self.trouble = Some(error);
            return Err(io::Error::other("the stored log cannot be read"));
        }
        let taken = buffer.len().min(self.piece.len());
        buffer[..taken].copy_from_slice(&self.piece.split_to(taken));
        Ok(taken)
    }
}

/// Name of the server's file, and where in it the stored part begins.
pub(super) fn beginning<'m>(increment: &'m StoredIncrement, path: &'m str) -> (&'m str, u64) {
    let name = path.split_once('.').map_or(path, |(_, name)| name);
    let from = increment.manifest.from.as_ref();
    let continues = from.filter(|from| from.binlog_file.as_deref() == Some(name) && path.starts_with("00001."));
    (name, continues.and_then(|from| from.binlog_offset).unwrap_or(4))
}
