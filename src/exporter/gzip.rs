//! Gzip in pieces that are compressed apart and sent as one.
//!
//! The pieces become one gzip member, not several: clients exist that stop reading after the first.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// What a file begins with: deflate, no name, no time, unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// A last block with nothing in it.
const LAST_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// Part of a text, compressed without reference to any other part.
#[derive(Debug)]
pub struct Piece {
    blocks: Bytes,
    sum: Crc,
}

impl Piece {
    /// Compress `text`.
    pub fn new(text: &str) -> Self {
        let mut sum = Crc::new();
        sum.update(text.as_bytes());
        let mut compress = Compress::new(Compression::fast(), false);
        let mut blocks = Vec::with_capacity(text.len() / 8 + 64);
        loop {
            let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
            let rest = text.as_bytes().get(read..).unwrap_or_default();
            // A full flush ends at a byte's end and closes no stream: the next piece can follow.
            // Compressing into memory does not fail; what could not be written yet is asked for again.
            let _ = compress.compress_vec(rest, &mut blocks, FlushCompress::Full);
            if blocks.len() < blocks.capacity() {
                break;
            }
            blocks.reserve(blocks.capacity());
        }
        Self { blocks: blocks.into(), sum }
    }
}

/// One gzip file of `pieces`, in parts that can be sent one after the other.
pub fn file<'p>(pieces: impl IntoIterator<Item = &'p Piece>) -> Vec<Bytes> {
    let mut parts = vec![Bytes::from_static(&HEAD)];
    let mut sum = Crc::new();
    for piece in pieces {
        parts.push(piece.blocks.clone());
        sum.combine(&piece.sum);
    }
    let mut end = LAST_BLOCK.to_vec();
    end.extend(sum.sum().to_le_bytes());
    end.extend(sum.amount().to_le_bytes());
    parts.push(end.into());
    parts
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_are_read_back_as_one_text() {
        let noise: String =
            (0..200_000_u32).map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 90)).collect();
        let texts = ["", "a", &"series{a=\"b\"} 1\n".repeat(20_000), "", &noise, "# EOF\n"];
        let pieces: Vec<Piece> = texts.iter().map(|text| Piece::new(text)).collect();
        let whole = file(&pieces).concat();
        let mut back = String::new();
        // The reader of a single member: what it leaves over would be lost on many clients.
        flate2::read::GzDecoder::new(whole.as_slice()).read_to_string(&mut back).unwrap();
        assert_eq!(back, texts.concat());
        assert!(whole.len() < back.len());
    }
}
