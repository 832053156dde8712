//! Digests: an order-independent one for the rows of a table, an ordinary one for definitions and files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 256-bit digest, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a digest of 64 hex digits");
        // A sign is a part of a number for the standard library, and of no digest.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Sum of the digests of all rows: the same for the same rows in any order, and a row that appears twice counts twice
/// (an XOR would lose such pairs).
///
/// Guards against loss, damage and software errors; it is not meant to resist somebody who crafts rows to collide.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowSetDigest {
    lanes: [u64; 4],
}

impl RowSetDigest {
    /// Add one row's digest.
    pub fn add(&mut self, row: &[u8; 32]) {
        for (lane, bytes) in self.lanes.iter_mut().zip(row.chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            *lane = lane.wrapping_add(u64::from_le_bytes(word));
        }
    }

    /// The digest of all rows so far.
    pub fn finish(&self) -> Digest {
        let mut out = [0; 32];
        for (bytes, lane) in out.chunks_exact_mut(8).zip(self.lanes) {
            bytes.copy_from_slice(&lane.to_le_bytes());
        }
        Digest(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&str]) -> Digest {
        let mut set = RowSetDigest::default();
        for row in rows {
            set.add(&Digest::of(row.as_bytes()).0);
        }
        set.finish()
    }

    #[test]
    fn the_order_of_rows_does_not_matter_but_their_number_does() {
        assert_eq!(sum(&["a", "b", "c"]), sum(&["c", "a", "b"]));
        assert_ne!(sum(&["a", "a"]), sum(&[]));
        assert_ne!(sum(&["a", "a", "b"]), sum(&["a", "b"]));
        assert_ne!(sum(&["a", "b"]), sum(&["a", "c"]));
    }

    #[test]
    fn text_form_round_trips() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert!("xyz".parse::<Digest>().is_err());
    }

    #[test]
    fn a_text_of_another_length_or_alphabet_is_no_digest() {
        let good = Digest::of(b"x").to_string();
        assert_eq!(good.len(), 64);
        let bad = [String::new(), good[1..].to_owned(), format!("{good}0"), good[2..].to_owned(), format!("{good}00")];
        for text in bad.into_iter().chain([
            format!("{}g", &good[1..]),
            "é".repeat(32),
            format!("a{}b", "é".repeat(31)),
            "+f".repeat(32),
            "-0".repeat(32),
        ]) {
            let error = text.parse::<Digest>().unwrap_err();
            assert_eq!(error, format!("`{text}` is not a digest of 64 hex digits"));
        }
        assert_eq!("0f".repeat(32).parse::<Digest>(), Ok(Digest([15; 32])));
    }

    #[test]
    fn the_digest_of_rows_is_the_sum_of_four_little_endian_words() {
        // Stored promises hold this number: it must never change.
        assert_eq!(sum(&["a"]), Digest::of(b"a"));
        let mut set = RowSetDigest::default();
        let mut row = [0; 32];
        (row[0], row[7], row[8], row[31]) = (255, 255, 1, 128);
        set.add(&row);
        set.add(&row);
        let mut twice = [0; 32];
        // Each word carries within itself and drops what is too much.
        (twice[0], twice[1], twice[7], twice[8]) = (254, 1, 254, 2);
        assert_eq!(set.finish(), Digest(twice));
    }
}
