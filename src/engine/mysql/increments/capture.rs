//! The capture itself: file after file, scanned as it comes, to the place where the log ended when it was asked.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};

use super::fetch::{Fetch, PIECE, read};
use super::log::Log;
use super::truth::Truth;
use crate::domain::canary::Canaries;
use crate::domain::capture;
use crate::domain::captured::Captured;
use crate::domain::chain::{Break, BreakKind};
use crate::domain::change::evidence::Evidence;
use crate::domain::manifest::{FileRole, LogIdentity, Place, Position, StoredFileFacts};
use crate::domain::promise::{Changes, Promise};
use crate::engine::Dump;
use crate::engine::mysql::account::Account;
use crate::engine::mysql::binlog::event::{Header, Kind};
use crate::engine::mysql::binlog::{Group, LogScanner, Scanned};
use crate::engine::mysql::source::Survey;
use crate::engine::mysql::tool::Tools;
use crate::engine::stream::{self, Sink};
use crate::error::{Error, Result};
use crate::repository::{Stream, in_order};
use crate::run_context::{RunContext, Silent};

/// A file begins with these bytes.
const MAGIC: usize = 4;
/// Where an event's header has its length, and how long the header is.
const LENGTH_AT: usize = 9;
const EVENT_HEADER: usize = 19;
/// What a server writes when it is shut down, and its client does not fetch: at most this long.
const STOP_EVENT: u64 = 23;

/// What is to be captured.
pub(super) struct From {
    /// Where the backup before ends.
    pub(super) position: Position,
    /// The files from there on, with their sizes.
    pub(super) files: Vec<(String, u64)>,
    /// The log as it was when it was asked.
    pub(super) log: Log,
    /// GTID state at its end.
    pub(super) gtid: Option<String>,
}

/// A capture that can begin.
pub(super) struct Capture {
    pub(super) tools: Tools,
    pub(super) account: Account,
    pub(super) survey: Survey,
    pub(super) from: From,
    pub(super) as_of: DateTime<Utc>,
    pub(super) truth: Truth,
}

/// One file of the log, or what has come of it since.
#[derive(Debug, Clone)]
struct Part {
    /// Its name in the backup.
    path: String,
    file: String,
    start: u64,
    /// Where it has to end.
    end: u64,
    /// It is written to: it may go on by then.
    is_in_use: bool,
}

/// Begin to stream.
pub(super) fn start(capture: Capture, context: &RunContext) -> Result<Dump> {
    let Capture { tools, account, survey, from, as_of, truth } = capture;
    let parts = parts(&from);
    let bytes = parts.iter().map(|part| part.end - part.start).sum();
    context.progress.phase("backup", Some(bytes));
    let queue = RunContext { progress: Arc::new(Silent), ..context.clone() };
    let (making, names) = (parts.clone(), parts.iter().map(|part| part.path.clone()).collect::<Vec<_>>());
    let known = from.position.log.as_ref();
    let (its_context, settled) = (context.clone(), known.and_then(|log| log.settled.clone()));
    let outside = Arc::new(known.map(|log| log.outside.clone()).unwrap_or_default());
    let maker = Maker { tools: tools.clone(), account, settled, outside };
    let (mut readers, outcome) =
        stream::run("binary log", &queue, move |sink| maker.make(&making, sink, &its_context))?;
    let mut streams: Vec<Stream> = Vec::new();
    let last = names.len().saturating_sub(1);
    for path in &names[..last] {
        streams.push(Stream { path: path.clone(), reader: readers.reader() });
    }
    streams.extend(names.last().map(|path| Stream { path: path.clone(), reader: readers.last() }));
    let (progress, cancel) = (context.progress.clone(), context.cancel.clone());
    let finish = Box::new(move || {
        progress.finish();
        let made = outcome.take()?;
        let changes = truth.told(made.scanned.changes(), &survey.databases, &cancel);
        Ok(captured(&survey, &tools, from, (made, changes)))
    });
    Ok(Dump { streams: in_order(streams), as_of, finish })
}

fn parts(from: &From) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, (file, size)) in from.files.iter().enumerate() {
        let is_in_use = *file == from.log.file;
        let start = if at == 0 { from.position.binlog_offset.unwrap_or(MAGIC as u64) } else { MAGIC as u64 };
        let end = if is_in_use { from.log.offset } else { *size };
        // Nothing came into it since.
        if start < end {
            let path = format!("{:05}.{file}", parts.len() + 1);
            parts.push(Part { path, file: file.clone(), start, end, is_in_use });
        }
    }
    parts
}

/// What was captured.
struct Made {
    files: Vec<StoredFileFacts>,
    scanned: Scanned,
}

struct Maker {
    tools: Tools,
    account: Account,
    /// Where the log was when the full backup before had been read; none for what continues an increment.
    settled: Option<Place>,
    /// Tables that were read outside of its snapshot.
    outside: Arc<Vec<String>>,
}

impl Maker {
    fn make(&self, parts: &[Part], sink: &mut Sink, context: &RunContext) -> Result<Made> {
        let (mut files, mut before) = (Vec::new(), None);
        for part in parts {
            let mut scanner = LogScanner::new(&part.file, part.start);
            if let Some(before) = before.take() {
                scanner = scanner.after(before);
            }
            let redefined = Redefined { outside: self.outside.clone(), ..Redefined::default() };
            let seen = redefined.clone();
            scanner = scanner.reporting(move |group| seen.look(group));
            self.part(part, &mut scanner, &redefined, sink, context)?;
            let stored = sink.end()?;
            let (path, role) = (part.path.clone(), FileRole::Log);
            files.push(StoredFileFacts { path, role, bytes: stored.bytes, digest: stored.digest });
            before = Some(scanner.finish()?);
        }
        let scanned = before.ok_or_else(|| Error::failed("cannot fetch the binary log: there is nothing in it"))?;
        Ok(Made { files, scanned })
    }

    fn part(
        &self,
        part: &Part,
        scanner: &mut LogScanner,
        redefined: &Redefined,
        sink: &mut Sink,
        context: &RunContext,
    ) -> Result<()> {
        let mut fetch = Fetch::start(&self.tools, &self.account, (&part.file, part.start), &context.cancel)?;
        let mut window = Window::of(part.start, part.end);
        let mut buffer = vec![0; PIECE];
        while !window.is_full() {
            context.cancel.check()?;
            let read = read(&mut fetch, &mut buffer)?;
            if read == 0 {
                break;
            }
            let kept = window.keep(&buffer[..read]);
            scanner.push(&kept)?;
            self.changed_meanwhile(part, redefined)?;
            context.progress.advance(kept.len() as u64);
            sink.write(&kept)?;
        }
        complete(part, scanner)
    }

    /// Definitions that changed while the full backup was read are in it already, or half: nothing can be replayed on it.
    fn changed_meanwhile(&self, part: &Part, redefined: &Redefined) -> Result<()> {
        let Some(settled) = &self.settled else { return Ok(()) };
        let Some(at) = redefined.first() else { return Ok(()) };
        // Files before the one in which it was read to its end are before that end.
        let is_before =
            if settled.file == part.file { at < settled.offset } else { is_earlier(&part.file, &settled.file) };
        if !is_before {
            return Ok(());
        }
        let why = format!(
            "a definition, an account or a table that is not transactional changed at {}:{at}, while the full backup was read",
            part.file
        );
        let broken = Break::new(BreakKind::ChangedMeanwhile, why);
        Err(Error::failed("cannot continue the full backup").because(broken))
    }
}

/// Whether a file of a log comes before another one.
fn is_earlier(file: &str, other: &str) -> bool {
    super::log::number(file) < super::log::number(other)
}

/// Where the first statement stands that may define something otherwise, or the first row of a table that was read outside of the
/// snapshot.
#[derive(Debug, Clone, Default)]
struct Redefined {
    first: Arc<OnceLock<u64>>,
    outside: Arc<Vec<String>>,
}

impl Redefined {
    fn look(&self, group: &Group) {
        let defines = !group.has_statement_format && group.statements.iter().any(|statement| may_define(statement));
        if defines || self.outside.iter().any(|table| group.tables.contains_key(table)) {
            let _ = self.first.set(group.offset);
        }
    }

    fn first(&self) -> Option<u64> {
        self.first.get().copied()
    }
}

/// Whether a statement may define something that a full backup has.
fn may_define(statement: &str) -> bool {
    let words: Vec<String> = statement.split_whitespace().take(3).map(str::to_ascii_uppercase).collect();
    let first = words.first().map_or("", String::as_str);
    let is_temporary = words.iter().any(|word| word == "TEMPORARY");
    !is_temporary
        && !matches!(
            first,
            "ANALYZE" | "CHECK" | "FLUSH" | "OPTIMIZE" | "REPAIR" | "SET" | "SAVEPOINT" | "BEGIN" | "COMMIT"
        )
}

/// Of what the client sends: its header, and then no more than was asked for.
pub(super) struct Window {
    header: Vec<u8>,
    /// Bytes behind the header that are still to come.
    left: u64,
    /// Then its header is among the bytes that were asked for.
    is_from_the_beginning: bool,
    /// Head of the first event behind the header.
    first: Vec<u8>,
}

impl Window {
    /// Of a file that is fetched from `start`, to `end`.
    pub(super) fn of(start: u64, end: u64) -> Self {
        let is_from_the_beginning = start == MAGIC as u64;
        Self { header: Vec::new(), left: end - start, is_from_the_beginning, first: Vec::new() }
    }

    /// Nothing more is wanted.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0 && self.is_begun()
    }

    fn is_begun(&self) -> bool {
        header_length(&self.header).is_some_and(|length| self.header.len() >= length)
    }

    pub(super) fn keep(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = header_length(&self.header);
            if length.is_none_or(|length| self.header.len() < length) {
                let missing = length.unwrap_or(MAGIC + EVENT_HEADER) - self.header.len();
                let (head, tail) = rest.split_at(missing.min(rest.len()));
                self.header.extend_from_slice(head);
                kept.extend_from_slice(head);
                rest = tail;
                let is_whole = header_length(&self.header).is_some_and(|length| self.header.len() == length);
                if is_whole && self.is_from_the_beginning {
                    self.left = self.left.saturating_sub((self.header.len() - MAGIC) as u64);
                }
                continue;
            }
            let wanted = rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            kept.extend_from_slice(&rest[..wanted]);
            self.left -= wanted as u64;
            self.look_at_first(&rest[..wanted]);
            // What was told again is no part of what was asked for.
            rest = if self.left > 0 { &rest[wanted..] } else { &[] };
        }
        kept
    }
}

impl Window {
    /// In the middle of a file that is encrypted, the server of MariaDB tells again how, though it has decrypted what follows.
    fn look_at_first(&mut self, bytes: &[u8]) {
        if self.is_from_the_beginning || self.first.len() == EVENT_HEADER {
            return;
        }
        let missing = EVENT_HEADER - self.first.len();
        self.first.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let Ok(head) = <&[u8; EVENT_HEADER]>::try_from(self.first.as_slice()) else { return };
        let head = Header::read(head);
        if head.kind() == Some(Kind::StartEncryption) && head.end == 0 {
            self.left += u64::from(head.size);
        }
    }
}

/// Length of magic and format description together, once their beginning is there.
pub(super) fn header_length(header: &[u8]) -> Option<usize> {
    let length = header.get(MAGIC + LENGTH_AT..MAGIC + EVENT_HEADER)?.first_chunk::<4>()?;
    Some(MAGIC + (u32::from_le_bytes(*length) as usize).max(EVENT_HEADER))
}

/// The file came to the end that it has to have, and no transaction is open there.
fn complete(part: &Part, scanner: &LogScanner) -> Result<()> {
    let (file, offset) = (&part.file, scanner.offset());
    let is_whole = offset == part.end || (!part.is_in_use && part.end - offset <= STOP_EVENT);
    if !is_whole {
        return Err(Error::failed(format!(
            "cannot fetch {file}: it ends at {offset}, where the server said {}",
            part.end
        ))
        .hint("the connection broke off, or somebody removed the file meanwhile: the next backup tries again"));
    }
    if scanner.group_end() != offset {
        let what = format!("cannot use {file}: at {offset} a transaction is open");
        return Err(Error::failed(what).hint("the server was writing it: the next backup tries again"));
    }
    Ok(())
}

fn captured(survey: &Survey, tools: &Tools, from: From, (made, changes): (Made, Changes)) -> Captured {
    let server = from.log.server.clone();
    let position = Position {
        binlog_file: Some(from.log.file),
        binlog_offset: Some(from.log.offset),
        gtid: from.gtid,
        log: Some(LogIdentity {
            server,
            begun: made.scanned.header.timestamp,
            last: made.scanned.last_group.clone(),
            settled: None,
            outside: Vec::new(),
        }),
    };
    let warnings = changes.unreplayable.iter().map(|why| {
        format!("this increment cannot be replayed: {why}; the next backup is a full one; set binlog_format = ROW at the source")
    });
    Captured {
        server: survey.server.clone(),
        tool: tools.version.clone(),
        settings: survey.settings.clone(),
        position: Some(position),
        files: made.files,
        warnings: warnings.collect(),
        promise: Promise::Changes(changes),
        segments: Vec::new(),
        needs: None,
        left_out: Vec::new(),
        cannot_return: Vec::new(),
        canaries: Canaries::new(),
        capture: capture::Capture::default(),
        evidence: Evidence::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Magic, a format description of 30 bytes, and what follows.
    fn file(behind: usize) -> Vec<u8> {
        let mut bytes = b"\xfebin".to_vec();
        let mut description = vec![0; 30];
        description[LENGTH_AT] = 30;
        bytes.extend(description);
        bytes.extend((0..behind).map(|at| u8::try_from(at).unwrap()));
        bytes
    }

    fn kept(start: u64, end: u64, behind: usize, piece: usize) -> Vec<u8> {
        let mut window = Window::of(start, end);
        let mut kept = Vec::new();
        for bytes in file(behind).chunks(piece) {
            if !window.is_full() {
                kept.extend(window.keep(bytes));
            }
        }
        kept
    }

    #[test]
    fn no_byte_behind_the_end_is_taken_whatever_the_pieces() {
        for piece in [1, 3, 33, 34, 35, 100] {
            // From the beginning, the header is part of what was asked for.
            assert_eq!(kept(4, 34 + 20, 50, piece), file(20), "{piece}");
            assert_eq!(kept(4, 34, 50, piece), file(0), "{piece}");
            // From the middle it comes on top.
            assert_eq!(kept(1000, 1020, 50, piece), file(20), "{piece}");
        }
    }

    #[test]
    fn what_mariadb_tells_again_of_an_encrypted_file_is_beside_what_was_asked_for() {
        let event = |kind: u8, end: u32, length: u8| {
            let mut bytes = vec![0; length.into()];
            (bytes[4], bytes[LENGTH_AT]) = (kind, length);
            bytes[13..17].copy_from_slice(&end.to_le_bytes());
            bytes
        };
        for (first, told) in [(event(164, 0, 40), 40), (event(164, 540, 40), 0), (event(16, 0, 40), 0)] {
            let sent = [file(0), first, event(16, 531, 31), event(16, 562, 31)].concat();
            for piece in [1, 7, 19, 1000] {
                let (start, end) = (500, 531 + if told == 0 { 40 } else { 0 });
                let (mut window, mut kept) = (Window::of(start, end), Vec::new());
                for bytes in sent.chunks(piece) {
                    if !window.is_full() {
                        kept.extend(window.keep(bytes));
                    }
                }
                assert!(window.is_full() && kept == sent[..sent.len() - 31], "{told} {piece}: {}", kept.len());
            }
        }
        // From its beginning the event is one of the file.
        let sent = [file(0), event(164, 0, 40), event(16, 0, 31)].concat();
        let mut window = Window::of(4, 74);
        assert_eq!(window.keep(&sent), sent[..74]);
    }

    #[test]
    fn statements_that_define_nothing_are_no_change() {
        for nothing in [
            "ANALYZE TABLE t",
            "create temporary table t (a int)",
            "DROP TEMPORARY TABLE t",
            "DROP TABLE IF EXISTS x".replace("TABLE", "TEMPORARY TABLE").as_str(),
            "FLUSH TABLES",
        ] {
            assert!(!may_define(nothing), "{nothing}");
        }
        for change in [
            "CREATE TABLE t (a INT)",
            "TRUNCATE t",
            "GRANT SELECT ON *.* TO a",
            "ALTER TABLE t ADD b INT",
            "DROP VIEW v",
        ] {
            assert!(may_define(change), "{change}");
        }
    }
}
