//! The scanner: takes a log file as the server's client gives it, piece by piece, and believes nothing of it.

use flate2::Crc;

use super::Damage;
use super::body::Body;
use super::event::{ARTIFICIAL, HEADER, Header, IGNORABLE, IN_USE, Kind};
use super::group::{At, Dialect, Group, Groups};
use super::gtid::GtidState;
use super::table_map::take;
use super::tally::Tally;
use crate::domain::chain::{Break, BreakKind};
use crate::domain::position::LastGroup;
use crate::domain::promise::Changes;
use crate::error::{Error, Result};

/// The first bytes of a log file.
const MAGIC: &[u8; 4] = b"\xfebin";
/// The same of one that MySQL encrypted.
const ENCRYPTED: &[u8; 4] = b"\xfdbin";
/// Bytes of a checksum.
const CHECKSUM: usize = 4;
/// Of a format description: version, the server's name, time, length of a header.
const DESCRIPTION: usize = 2 + 50 + 4 + 1;
/// Longer than any server's.
const LONGEST_DESCRIPTION: usize = 1024;
/// What a log file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHeader {
    /// When the server began the file, in seconds since 1970.
    pub timestamp: u32,
    /// `server_id` of the server that wrote it.
    pub server_id: u32,
    /// As it calls itself.
    pub server_version: String,
    /// Every event has a checksum. Without, only the structure is checked.
    pub has_checksums: bool,
}

/// What a scan found.
#[derive(Debug)]
#[allow(dead_code)] // for a capture that follows the log
pub struct Scanned {
    /// Offset in the server's file behind the last event.
    pub offset: u64,
    /// Offset behind the last whole group.
    pub group_end: u64,
    pub last_group: Option<LastGroup>,
    pub header: LogHeader,
    /// The file that the server went on with, where it says so.
    pub next_file: Option<String>,
    /// The server stopped at its end.
    pub has_stopped: bool,
    gtids: GtidState,
    tally: Tally,
}

#[allow(dead_code)] // for a capture that follows the log
impl Scanned {
    /// All changes up to the end of the last whole group, of this file and those before.
    pub fn changes(&self) -> Changes {
        self.tally.changes()
    }

    /// Transactions of this file and those before.
    pub fn gtids(&self) -> &GtidState {
        &self.gtids
    }
}

/// The event at hand.
#[derive(Debug)]
struct Event {
    header: Header,
    kind: Kind,
    body: Body,
    /// Bytes of the body that are missing, and of the checksum behind it.
    left: usize,
    checksum_left: usize,
    crc: Crc,
    checksum: Vec<u8>,
    /// It is in the server's file.
    is_stored: bool,
}

/// The scanner of one file.
#[derive(Debug)]
pub struct LogScanner {
    file: String,
    start: u64,
    offset: u64,
    /// Bytes taken in, and those of them up to the end of the last whole group.
    fed: u64,
    fed_to_group_end: u64,
    magic: Vec<u8>,
    head: Vec<u8>,
    /// Bytes taken in before the event at hand.
    begun: u64,
    event: Option<Event>,
    /// The body of a format description.
    description: Vec<u8>,
    header: Option<LogHeader>,
    next_file: Option<String>,
    has_stopped: bool,
    is_bad: bool,
    groups: Groups,
}

impl LogScanner {
    /// The scanner of a file that the client was asked for from `start` on: 4 for all of it, or the end of a group.
    pub fn new(file: impl Into<String>, start: u64) -> Self {
        Self {
            file: file.into(),
            start,
            offset: MAGIC.len() as u64,
            fed: 0,
            fed_to_group_end: 0,
            magic: Vec::new(),
            head: Vec::new(),
            begun: 0,
            event: None,
            description: Vec::new(),
            header: None,
            next_file: None,
            has_stopped: false,
            is_bad: false,
            groups: Groups::default(),
        }
    }

    /// The next file of the same log: its changes are added to those of the file before.
    #[must_use]
    pub fn after(mut self, before: Scanned) -> Self {
        self.groups.gtids = before.gtids;
        self.groups.tally = before.tally;
        self
    }

    /// The server keeps names of tables in small letters, however statements write them (`lower_case_table_names`).
    #[must_use]
    pub fn folding_names(mut self, folds: bool) -> Self {
        self.groups.folds_names = folds;
        self
    }

    /// Call `report` with every group that is whole.
    #[must_use]
    pub fn reporting(mut self, report: impl FnMut(&Group) + Send + 'static) -> Self {
        self.groups.report = Some(Box::new(report));
        self
    }

    /// Take in the next piece.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.is_bad {
            return Err(self.damaged("it was damaged before"));
        }
        while !bytes.is_empty() {
            let before = bytes.len();
            let taken = self.step(&mut bytes);
            self.fed += (before - bytes.len()) as u64;
            if let Err(Damage(what)) = taken.and_then(|()| self.close_event()) {
                self.is_bad = true;
                return Err(self.damaged(&what));
            }
        }
        Ok(())
    }

    /// Nothing follows.
    pub fn finish(self) -> Result<Scanned> {
        let is_cut = self.is_bad || !self.head.is_empty() || self.event.is_some();
        match self.header {
            Some(header) if !is_cut => Ok(Scanned {
                offset: self.offset,
                group_end: self.groups.end,
                last_group: self.groups.last,
                header,
                next_file: self.next_file,
                has_stopped: self.has_stopped,
                gtids: self.groups.gtids,
                tally: self.groups.tally,
            }),
            _ => Err(self.damaged("it ends in the middle of an event")),
        }
    }

    /// Offset in the server's file behind the last whole event.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Offset behind the last whole group: where a replay may stop, and an increment end.
    pub fn group_end(&self) -> u64 {
        self.groups.end
    }

    /// How many of the bytes that were taken in are up to there.
    pub fn bytes_to_group_end(&self) -> u64 {
        self.fed_to_group_end
    }

    /// What the file says of itself, once that is read.
    pub fn header(&self) -> Option<&LogHeader> {
        self.header.as_ref()
    }

    /// Changes so far, up to the end of the last whole group.
    #[cfg(test)]
    pub fn changes(&self) -> Changes {
        self.groups.tally.changes()
    }

    fn damaged(&self, what: &str) -> Error {
        let place = format!("binary log {} is damaged at offset {}: {what}", self.file, self.offset);
        Error::failed(format!("cannot read binary log {}", self.file)).because(Break::new(BreakKind::Damaged, place))
    }

    /// Take off what belongs together.
    fn step(&mut self, bytes: &mut &[u8]) -> Result<(), Damage> {
        if self.magic.len() < MAGIC.len() {
            let length = bytes.len().min(MAGIC.len() - self.magic.len());
            self.magic.extend(take(bytes, length).unwrap_or_default());
            if self.magic == ENCRYPTED {
                return Err("it is encrypted; only the server can read it".into());
            }
            return if MAGIC.starts_with(&self.magic) { Ok(()) } else { Err("it is no binary log".into()) };
        }
        let Some(event) = &mut self.event else {
            if self.head.is_empty() {
                self.begun = self.fed;
            }
            let length = bytes.len().min(HEADER - self.head.len());
            self.head.extend(take(bytes, length).unwrap_or_default());
            return if self.head.len() == HEADER { self.open_event() } else { Ok(()) };
        };
        if event.left > 0 {
            let part = take(bytes, bytes.len().min(event.left)).unwrap_or_default();
            event.left -= part.len();
            event.crc.update(part);
            if event.is_stored {
                self.groups.hash(part);
            }
            if event.kind == Kind::FormatDescription {
                self.description.extend_from_slice(part);
                return Ok(());
            }
            return self.groups.feed(&mut event.body, part);
        }
        let part = take(bytes, bytes.len().min(event.checksum_left)).unwrap_or_default();
        event.checksum_left -= part.len();
        event.checksum.extend_from_slice(part);
        if event.is_stored {
            self.groups.hash(part);
        }
        Ok(())
    }

    fn open_event(&mut self) -> Result<(), Damage> {
        let mut bytes = [0; HEADER];
        bytes.copy_from_slice(&self.head);
        self.head.clear();
        let header = Header::read(&bytes);
        let kind = match header.kind() {
            Some(kind) => kind,
            None if header.has(IGNORABLE) => Kind::Passed,
            None => {
                return Err(Damage(format!("an event is of kind {}, which this version does not know", header.code)));
            }
        };
        let is_description = kind == Kind::FormatDescription;
        if self.header.is_none() && !is_description {
            return Err("it does not begin with a format description".into());
        }
        let has_checksum = is_description || self.header.as_ref().is_some_and(|header| header.has_checksums);
        let checksum_left = if has_checksum { CHECKSUM } else { 0 };
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        let left = size.checked_sub(HEADER + checksum_left);
        let left = left.filter(|left| !is_description || (DESCRIPTION + 1..LONGEST_DESCRIPTION).contains(left));
        let left = left.ok_or_else(|| Damage(format!("an event is {} bytes long", header.size)))?;
        let is_stored = self.place(&header, kind)?;
        let mut crc = Crc::new();
        if is_description {
            // The server flips this flag after it has written the rest.
            let [low, high] = (header.flags & !IN_USE).to_le_bytes();
            crc.update(&bytes[..HEADER - 2]);
            crc.update(&[low, high]);
        } else {
            crc.update(&bytes);
        }
        let at = At { offset: self.offset, fed: self.begun };
        let body = if is_stored || is_description { self.groups.begin(&header, kind, at)? } else { Body::Passed };
        if is_stored {
            self.groups.hash(&bytes);
        }
        self.description.clear();
        self.event = Some(Event { header, kind, body, left, checksum_left, crc, checksum: Vec::new(), is_stored });
        Ok(())
    }

    /// Whether the event is in the server's file: there it begins where the one before ends.
    fn place(&self, header: &Header, kind: Kind) -> Result<bool, Damage> {
        // Above four GiB the upper part is missing.
        let ends = |offset: u64| {
            let end = offset.wrapping_add(header.size.into()) & u64::from(u32::MAX);
            end == u64::from(header.end)
        };
        let is_description = kind == Kind::FormatDescription;
        if kind == Kind::Heartbeat {
            return Ok(false);
        }
        if header.end == 0 && (is_description || kind == Kind::StartEncryption || header.has(ARTIFICIAL)) {
            return Ok(is_description && self.header.is_none() && self.start == MAGIC.len() as u64);
        }
        if is_description {
            return match &self.header {
                None if ends(MAGIC.len() as u64) => Ok(true),
                None => Err(Damage(format!("the format description says that it ends at {}", header.end))),
                Some(_) => Err("a second format description".into()),
            };
        }
        if ends(self.offset) {
            return Ok(true);
        }
        let want = self.offset + u64::from(header.size);
        Err(Damage(format!("an event says that it ends at {}, and it ends at {want}", header.end)))
    }

    /// Check the event at hand, where it is whole.
    fn close_event(&mut self) -> Result<(), Damage> {
        let Some(event) = self.event.take_if(|event| event.left == 0 && event.checksum_left == 0) else {
            return Ok(());
        };
        let is_description = event.kind == Kind::FormatDescription;
        let is_right = event.checksum.is_empty() || event.checksum == event.crc.sum().to_le_bytes();
        // The server does not correct the checksum of what it makes for one reader where it writes none itself.
        let is_unchecked = is_description && event.header.end == 0 && self.description.last() == Some(&0);
        if !is_right && !is_unchecked {
            return Err(Damage(format!("the checksum of an event of kind {} is wrong", event.header.code)));
        }
        if event.kind == Kind::Incident {
            return Err("the server lost events here (incident)".into());
        }
        let size = u64::from(event.header.size);
        if is_description {
            let is_first = self.header.is_none();
            self.describe(&event.header)?;
            if !is_first {
                return Ok(());
            }
            let end = MAGIC.len() as u64 + size;
            if self.start != MAGIC.len() as u64 && self.start < end {
                return Err(Damage(format!("no event begins at {}", self.start)));
            }
            self.offset = self.start.max(end);
        } else if event.is_stored {
            self.offset += size;
        } else {
            return Ok(());
        }
        if let (Kind::Rotate, Body::Kept(kept)) = (event.kind, &event.body) {
            self.next_file = kept.bytes.get(8..).map(|name| String::from_utf8_lossy(name).into_owned());
        }
        self.has_stopped = event.kind == Kind::Stop;
        self.groups.end_event(&event.header, event.kind, event.body)?;
        self.groups.settle(self.offset);
        if self.groups.end == self.offset {
            self.fed_to_group_end = self.fed;
        }
        Ok(())
    }

    /// Read the format description.
    fn describe(&mut self, header: &Header) -> Result<(), Damage> {
        let body = self.description.as_slice();
        let version = u16::from_le_bytes([body[0], body[1]]);
        if version != 4 || usize::from(body[DESCRIPTION - 1]) != HEADER {
            return Err(Damage(format!("it is in format {version}, which this version does not know")));
        }
        let has_checksums = match body.last() {
            Some(0) => false,
            Some(1) => true,
            other => {
                return Err(Damage(format!("its checksums are of kind {other:?}, which this version does not know")));
            }
        };
        let name = body[2..52].split(|byte| *byte == 0).next().unwrap_or_default();
        let server_version = String::from_utf8_lossy(name).into_owned();
        let is_mariadb = server_version.contains("MariaDB");
        self.groups.dialect = Dialect { is_mariadb, names_all: is_mariadb || is_at_least(&server_version, (5, 7)) };
        let timestamp = header.timestamp;
        let described = LogHeader { timestamp, server_id: header.server_id, server_version, has_checksums };
        if self.header.as_ref().is_some_and(|first| *first != described) {
            return Err("a second format description says something else".into());
        }
        self.header = Some(described);
        Ok(())
    }
}

/// Whether a version as servers write it is this one or a later one.
fn is_at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= wanted
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod server_tests;
#[cfg(test)]
#[path = "scanner_tests.rs"]
mod tests;
