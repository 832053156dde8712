//! What servers compress in their logs: single events of MariaDB (zlib), whole transactions of MySQL (zstd).

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::event::Event;
use crate::error::{Error, Result};

/// The most that one event may become.
const LARGEST: usize = 1 << 30;

/// A compressed statement as it was before.
pub fn query(event: &Event) -> Result<Event> {
    let body = event.body();
    let inflated = (|| {
        let half = u16::from_le_bytes(*body.get(11..)?.first_chunk()?);
        let text = 13 + usize::from(half) + usize::from(*body.get(8)?) + 1;
        let (head, text) = body.split_at_checked(text)?;
        Some([head, &inflate(text)?].concat())
    })();
    Ok(event.with(2, &inflated.ok_or_else(wrong)?))
}

/// Compressed rows as they were before.
pub fn rows(event: &Event) -> Result<Event> {
    let (code, has_extra) = match event.header.code {
        code @ 166..=168 => (code - 166 + 23, false),
        code @ 169..=171 => (code - 169 + 30, true),
        _ => return Err(wrong()),
    };
    let body = event.body();
    let inflated = (|| {
        let mut at = 8;
        if has_extra {
            // Its length counts its own two bytes.
            at += usize::from(u16::from_le_bytes(*body.get(at..)?.first_chunk()?));
        }
        let (columns, length) = packed(body.get(at..)?)?;
        at += length + columns.div_ceil(8);
        // An update has the columns before and after.
        if matches!(event.header.code, 167 | 170) {
            at += columns.div_ceil(8);
        }
        let (head, rows) = body.split_at_checked(at)?;
        Some([head, &inflate(rows)?].concat())
    })();
    Ok(event.with(code, &inflated.ok_or_else(wrong)?))
}

/// The events of a compressed transaction.
pub fn payload(body: &[u8]) -> Result<Vec<u8>> {
    let (mut rest, mut is_zstd, mut size) = (body, false, 0);
    let found = (|| {
        loop {
            let field = number(&mut rest)?;
            if field == 0 {
                return Some(rest);
            }
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let mut value = rest.get(..length)?;
            rest = &rest[length..];
            match field {
                2 => is_zstd = number(&mut value)? == 0,
                3 => size = usize::try_from(number(&mut value)?).ok()?,
                _ => {}
            }
        }
    })();
    let packed = found.filter(|_| is_zstd && size <= LARGEST).ok_or_else(wrong)?;
    let mut out = Vec::new();
    let read = zstd::Decoder::new(packed).and_then(|decoder| decoder.take(LARGEST as u64).read_to_end(&mut out));
    match read {
        Ok(_) if out.len() == size => Ok(out),
        _ => Err(wrong()),
    }
}

fn wrong() -> Error {
    Error::failed("a compressed event cannot be read")
}

/// A byte that tells how many bytes the length before has, that length (the highest byte first), and a zlib stream.
fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = bytes.split_first()?;
    let (length, packed) = rest.split_at_checked(usize::from(head & 0x07))?;
    let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let mut out = Vec::new();
    ZlibDecoder::new(packed).take(LARGEST as u64).read_to_end(&mut out).ok()?;
    (head & 0xf0 == 0x80 && out.len() == length).then_some(out)
}

/// A number in the servers' packed form, and how many bytes it takes.
fn packed(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.first()? {
        small @ 0..=250 => Some((usize::from(small), 1)),
        252 => Some((usize::from(u16::from_le_bytes(*bytes.get(1..)?.first_chunk()?)), 3)),
        _ => None,
    }
}

/// The same, taken away from what is left.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let wide = |length: usize, rest: &[u8]| {
        let mut all = [0; 8];
        all[..length].copy_from_slice(rest.get(1..=length)?);
        Some(u64::from_le_bytes(all))
    };
    let (number, taken) = match *rest.first()? {
        small @ 0..=250 => (u64::from(small), 1),
        252 => (wide(2, rest)?, 3),
        253 => (wide(3, rest)?, 4),
        254 => (wide(8, rest)?, 9),
        _ => return None,
    };
    *rest = &rest[taken..];
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_transaction_of_mysql_9_7_is_read_or_refused() {
        let text = "0201000301af0101790028b52ffd20af85030082851320a029ad01ffffff3f5655f84f56fd94617fce4ae45961b4716f9fe5be6e72cb147fe7a096ac91";
        let cut: Vec<u8> =
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
        assert!(payload(&cut).is_err(), "cut off");
        let plain = b"events of a transaction, events of a transaction".repeat(3);
        let packed = zstd::encode_all(&plain[..], 3).unwrap();
        let body = |size: u8| {
            let mut body = vec![2, 1, 0, 3, 1, size, 1, 1, u8::try_from(packed.len()).unwrap(), 0];
            body.extend(&packed);
            body
        };
        let size = u8::try_from(plain.len()).unwrap();
        assert_eq!(payload(&body(size)).unwrap(), plain);
        assert!(payload(&body(size - 1)).is_err());
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        use std::io::Write as _;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"select 1").unwrap();
        let packed = encoder.finish().unwrap();
        let whole = [&[0x81, 8][..], &packed].concat();
        assert_eq!(inflate(&whole).unwrap(), b"select 1");
        assert_eq!(inflate(&[&[0x81, 9][..], &packed].concat()), None);
        assert_eq!(inflate(&[&[0x11, 8][..], &packed].concat()), None);
        assert_eq!(inflate(&whole[..whole.len() - 5]), None);
    }
}
