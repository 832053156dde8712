//! Bodies of events while they stream by: kept as far as they are needed, counted, or unpacked.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::Damage;
use super::event::{Change, HEADER, Header, Kind};
use super::rows::{Head, RowCounter, RowsHead};
use super::table_map::{packed, take};

/// So much is unpacked at a time.
const PIECE: usize = 32 * 1024;
/// What stands in front of rows or of a compressed transaction is shorter.
const LONGEST_HEAD: usize = 256 * 1024;
/// The largest window of zstd that is unpacked: 128 MiB, what its highest level asks for.
const WINDOW: u32 = 27;
const UNPACK: &str = "a compressed transaction cannot be unpacked";

/// What is done with the body of an event.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Passed,
    /// Its beginning is kept.
    Kept(Kept),
    Rows(Box<Rows>),
    Payload(Box<Payload>),
}

/// The beginning of a body.
#[derive(Debug)]
pub struct Kept {
    pub bytes: Vec<u8>,
    limit: usize,
    /// It goes on.
    pub is_cut: bool,
}

impl Kept {
    pub fn up_to(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, is_cut: false }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        self.is_cut |= taken < bytes.len();
    }
}

/// Rows, compressed or not.
#[derive(Debug)]
pub struct Rows {
    change: Change,
    extra: bool,
    inflate: Option<Inflate>,
    gathered: Vec<u8>,
    /// What stands in front of them, once it is there.
    pub head: Option<RowsHead>,
    counter: Option<RowCounter>,
    /// Nothing stands behind the head.
    pub is_empty: bool,
    /// It is no such event, or cannot be unpacked.
    is_bad: bool,
}

impl Rows {
    pub fn new(change: Change, extra: bool, compressed: bool) -> Self {
        Self {
            change,
            extra,
            inflate: compressed.then(Inflate::default),
            gathered: Vec::new(),
            head: None,
            counter: None,
            is_empty: true,
            is_bad: false,
        }
    }

    pub fn change(&self) -> Change {
        self.change
    }

    /// Take in the next piece; `counter` makes one for rows with this head.
    pub fn push(&mut self, bytes: &[u8], counter: impl FnOnce(&RowsHead, Change) -> Option<RowCounter>) {
        if self.head.is_some() {
            return self.rows(bytes);
        }
        if self.is_bad {
            return;
        }
        self.gathered.extend_from_slice(bytes);
        match RowsHead::read(&self.gathered, self.change, self.extra) {
            Head::More => self.is_bad = self.gathered.len() > LONGEST_HEAD,
            Head::Malformed => self.is_bad = true,
            Head::Read(head, length) => {
                self.counter = counter(&head, self.change);
                self.head = Some(head);
                let gathered = std::mem::take(&mut self.gathered);
                self.rows(&gathered[length..]);
            }
        }
    }

    fn rows(&mut self, bytes: &[u8]) {
        self.is_empty &= bytes.is_empty();
        let Some(counter) = &mut self.counter else { return };
        match &mut self.inflate {
            None => counter.push(bytes),
            Some(inflate) => self.is_bad |= !inflate.push(bytes, |plain| counter.push(plain)),
        }
    }

    /// The rows themselves, where they were wanted and all of them are there.
    pub fn kept(&self) -> Option<&[u8]> {
        self.count()?;
        self.counter.as_ref()?.kept()
    }

    /// How many there were; none where that could not be told.
    pub fn count(&self) -> Option<u64> {
        let is_whole = !self.is_bad && self.inflate.as_ref().is_none_or(|inflate| inflate.ended);
        self.counter.as_ref().filter(|_| is_whole)?.finish()
    }
}

/// MariaDB's compression.
#[derive(Debug)]
struct Inflate {
    head: Vec<u8>,
    unpacked: Decompress,
    ended: bool,
}

impl Default for Inflate {
    fn default() -> Self {
        Self { head: Vec::new(), unpacked: Decompress::new(true), ended: false }
    }
}

impl Inflate {
    /// Whether it could be unpacked.
    fn push(&mut self, mut bytes: &[u8], mut plain: impl FnMut(&[u8])) -> bool {
        // A byte that says how many bytes say how long it is.
        while self.head.first().is_none_or(|first| self.head.len() <= usize::from(first & 7)) {
            let Some(byte) = take(&mut bytes, 1) else { return true };
            self.head.extend(byte);
        }
        let mut out = vec![0; PIECE];
        while !bytes.is_empty() && !self.ended {
            let (read, written) = (self.unpacked.total_in(), self.unpacked.total_out());
            let Ok(status) = self.unpacked.decompress(bytes, &mut out, FlushDecompress::None) else { return false };
            let read = usize::try_from(self.unpacked.total_in() - read).unwrap_or(0);
            let written = usize::try_from(self.unpacked.total_out() - written).unwrap_or(0);
            plain(&out[..written]);
            bytes = &bytes[read..];
            self.ended = status == Status::StreamEnd;
            if read == 0 && written == 0 {
                return self.ended && bytes.is_empty();
            }
        }
        bytes.is_empty()
    }
}

/// A compressed transaction of MySQL.
#[derive(Debug, Default)]
pub struct Payload {
    fields: Vec<u8>,
    packing: Option<Packing>,
    pub inside: Cutter,
}

enum Packing {
    None,
    Zstd { decoder: Box<Decoder<'static>>, ended: bool },
}

impl std::fmt::Debug for Packing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Zstd { .. } => "Zstd",
        })
    }
}

/// Cuts what is inside of a payload into events: they have neither checksums nor positions.
#[derive(Debug, Default)]
pub struct Cutter {
    header: Vec<u8>,
    /// The event at hand, and how many bytes of it are missing.
    pub event: Option<(Header, Kind, Body, usize)>,
}

/// What comes next inside of a payload.
pub enum Cut<'b> {
    More,
    Header(Header),
    /// Bytes of the event at hand.
    Body(&'b [u8]),
}

impl Cutter {
    /// What the bytes begin with, taken off.
    pub fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Cut<'b> {
        if let Some((_, _, _, left)) = &mut self.event {
            let length = bytes.len().min(*left);
            *left -= length;
            return Cut::Body(take(bytes, length).unwrap_or_default());
        }
        let length = bytes.len().min(HEADER - self.header.len());
        self.header.extend(take(bytes, length).unwrap_or_default());
        let Ok(header) = <&[u8; HEADER]>::try_from(self.header.as_slice()) else { return Cut::More };
        let header = Header::read(header);
        self.header.clear();
        Cut::Header(header)
    }

    /// Nothing is half done.
    fn is_at_border(&self) -> bool {
        self.header.is_empty() && self.event.is_none()
    }
}

impl Payload {
    /// Take in the next piece; `plain` gets what is inside.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut plain: impl FnMut(&mut Cutter, &[u8]) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        while self.packing.is_none() {
            let Some(byte) = take(&mut bytes, 1) else { return Ok(()) };
            self.fields.extend(byte);
            self.packing = self.fields()?;
        }
        let Some(Packing::Zstd { decoder, ended }) = self.packing.as_mut() else {
            return plain(&mut self.inside, bytes);
        };
        let mut input = InBuffer::around(bytes);
        let mut out = vec![0; PIECE];
        while !*ended {
            let mut output = OutBuffer::around(out.as_mut_slice());
            let more = decoder.run(&mut input, &mut output).map_err(|_| UNPACK)?;
            let written = output.as_slice().len();
            plain(&mut self.inside, &out[..written])?;
            *ended = more == 0;
            if input.pos == bytes.len() && written < PIECE {
                break;
            }
        }
        if input.pos < bytes.len() {
            return Err("a compressed transaction has something behind its end".into());
        }
        Ok(())
    }

    /// How it is packed, once its fields are there.
    fn fields(&self) -> Result<Option<Packing>, Damage> {
        if self.fields.len() > 1024 {
            return Err("a compressed transaction begins with unknown fields".into());
        }
        let mut rest = self.fields.as_slice();
        let mut kind = 0;
        loop {
            let Some(field) = packed(&mut rest) else { return Ok(None) };
            if field == 0 {
                break;
            }
            let Some(length) = packed(&mut rest) else { return Ok(None) };
            let Some(mut value) = usize::try_from(length).ok().and_then(|length| take(&mut rest, length)) else {
                return Ok(None);
            };
            if field == 2 {
                kind = packed(&mut value).unwrap_or(u64::MAX);
            }
        }
        match kind {
            0 => {
                let mut decoder = Decoder::new().map_err(|_| UNPACK)?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW)).map_err(|_| UNPACK)?;
                Ok(Some(Packing::Zstd { decoder: Box::new(decoder), ended: false }))
            }
            255 => Ok(Some(Packing::None)),
            other => Err(Damage(format!("a transaction is compressed in a way that is not known ({other})"))),
        }
    }

    /// Whether all of it was there.
    pub fn is_whole(&self) -> bool {
        let is_unpacked = match &self.packing {
            None => false,
            Some(Packing::None) => true,
            Some(Packing::Zstd { ended, .. }) => *ended,
        };
        is_unpacked && self.inside.is_at_border()
    }
}
