//! Whole events of a binary log, one at a time; and events made anew, for a server that does not take them as they are.

use std::io::Read;

use crate::engine::mysql::binlog::event::{HEADER, Header, Kind};
use crate::error::{Error, Result};

/// Bytes of a checksum.
const CHECKSUM: usize = 4;
/// A file begins with these.
const MAGIC: [u8; 4] = *b"\xfebin";
/// The largest event that is taken into memory: no server writes one that its own clients could not take.
const LARGEST: u32 = 1 << 30;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub header: Header,
    /// All of it, header and checksum among them.
    pub bytes: Vec<u8>,
    /// It ends with a checksum.
    pub is_summed: bool,
}

impl Event {
    /// What it is; an error for a kind that nobody here knows.
    pub fn kind(&self) -> Result<Kind> {
        self.header
            .kind()
            .ok_or_else(|| Error::failed(format!("it has an event of the unknown kind {}", self.header.code)))
    }

    /// What it says, without header and checksum.
    pub fn body(&self) -> &[u8] {
        let end = self.bytes.len() - if self.is_summed { CHECKSUM } else { 0 };
        &self.bytes[HEADER..end.max(HEADER)]
    }

    /// The same with a checksum, or without one.
    pub fn summed(&self, is_summed: bool) -> Self {
        let body = self.body().to_vec();
        Self { is_summed, ..self.clone() }.with(self.header.code, &body)
    }

    /// The same with another kind and another body.
    pub fn with(&self, code: u8, body: &[u8]) -> Self {
        let size = HEADER + body.len() + if self.is_summed { CHECKSUM } else { 0 };
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&self.bytes[..HEADER]);
        bytes.extend_from_slice(body);
        bytes[4] = code;
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        bytes[9..13].copy_from_slice(&size.to_le_bytes());
        if self.is_summed {
            let sum = checksum(&bytes);
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        Self { header: Header { code, size, ..self.header }, bytes, is_summed: self.is_summed }
    }
}

/// Whether the events of a file have checksums: the description of the file says so in its last byte but its own checksum.
pub fn has_checksums(description: &[u8]) -> bool {
    description.len() > HEADER + CHECKSUM && description[description.len() - CHECKSUM - 1] == 1
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The events of one stored file. That they are whole and right is seen by whoever reads the same bytes beside this.
pub struct Events<R> {
    from: R,
    is_summed: bool,
    has_begun: bool,
}

impl<R: Read> Events<R> {
    /// Of a file from its first byte on.
    pub fn of(from: R) -> Self {
        Self { from, is_summed: false, has_begun: false }
    }

    /// Of what is inside of another event: without a magic number, and without checksums.
    pub fn inside(from: R) -> Self {
        Self { from, is_summed: false, has_begun: true }
    }

    /// The next event; none at the end.
    pub fn next(&mut self) -> Result<Option<Event>> {
        if !std::mem::replace(&mut self.has_begun, true) {
            let mut magic = [0; MAGIC.len()];
            if fill(&mut self.from, &mut magic)? != magic.len() || magic != MAGIC {
                return Err(Error::failed("it is no binary log"));
            }
        }
        let mut head = [0; HEADER];
        match fill(&mut self.from, &mut head)? {
            0 => return Ok(None),
            HEADER => {}
            _ => return Err(cut()),
        }
        let header = Header::read(&head);
        if (header.size as usize) < HEADER || header.size > LARGEST {
            return Err(Error::failed(format!("an event says that it has {} bytes", header.size)));
        }
        let mut bytes = vec![0; header.size as usize];
        bytes[..HEADER].copy_from_slice(&head);
        if fill(&mut self.from, &mut bytes[HEADER..])? != bytes.len() - HEADER {
            return Err(cut());
        }
        if header.kind() == Some(Kind::FormatDescription) {
            self.is_summed = has_checksums(&bytes);
            return Ok(Some(Event { header, bytes, is_summed: true }));
        }
        Ok(Some(Event { header, bytes, is_summed: self.is_summed }))
    }
}

fn cut() -> Error {
    Error::failed("it ends inside of an event")
}

/// As much as there is.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(match error.downcast::<Error>() {
                    Ok(error) => error,
                    Err(error) => Error::failed("cannot read the stored log").because(error),
                });
            }
        }
    }
    Ok(done)
}
