//! What is known of a table's rows in a dump.

use std::collections::BTreeMap;

use crate::domain::change::sample::Sampler;
use crate::domain::digest::{Digest, RowSetDigest};

/// As many bytes of rows are kept.
const MOST_KEPT: usize = 64 * 1024;
/// No time value is longer, in its quotes.
pub const LONGEST_TIME: usize = 64;

/// What is known of a table's rows so far.
#[derive(Debug, Default)]
pub struct RowFacts {
    /// Number of rows.
    pub rows: u64,
    /// Length of the longest statement that stores some of them, without its head, in bytes.
    pub longest: u64,
    /// Sum of their digests.
    pub digest: RowSetDigest,
    /// Some of them.
    pub sample: Sampler,
    /// Index and name of the columns whose newest value is wanted, with that value.
    pub newest: Vec<(usize, String, Vec<u8>)>,
    /// Indexes of the columns that the digest leaves out: their values are computed, not data.
    pub skipped: Vec<usize>,
    /// The rows themselves, where they are wanted; none again where they are too long.
    pub kept: Option<Vec<u8>>,
}

impl RowFacts {
    /// Facts of no rows; the newest values of these columns (index, name) are to be kept.
    pub fn watching(columns: Vec<(usize, String)>) -> Self {
        let newest = columns.into_iter().map(|(index, name)| (index, name, Vec::new())).collect();
        Self { newest, ..Self::default() }
    }

    /// The same; the digest is to leave out the columns of these indexes.
    #[must_use]
    pub fn without(self, skipped: Vec<usize>) -> Self {
        Self { skipped, ..self }
    }

    /// The same, which keeps the rows.
    #[must_use]
    pub fn keeping(self) -> Self {
        Self { kept: Some(Vec::new()), ..self }
    }

    /// A piece of a row.
    pub fn keep(&mut self, piece: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(piece);
        }
        self.kept.take_if(|kept| kept.len() > MOST_KEPT);
    }

    /// Digest of all rows.
    pub fn finish(&self) -> Digest {
        self.digest.finish()
    }

    /// Newest value per watched column that had any.
    pub fn newest_values(&self) -> BTreeMap<String, String> {
        let seen = self.newest.iter().filter(|(.., value)| !value.is_empty());
        seen.map(|(_, name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned())).collect()
    }

    /// A watched column has this value.
    pub fn saw(&mut self, slot: usize, value: &[u8]) {
        if value.len() > LONGEST_TIME {
            return;
        }
        // Time values are quoted, of fixed shape, in UTC: they sort as text. NULL and expressions are not values.
        if let Some(value) = value.strip_prefix(b"'").and_then(|value| value.strip_suffix(b"'"))
            && value > self.newest[slot].2.as_slice()
        {
            self.newest[slot].2.clear();
            self.newest[slot].2.extend_from_slice(value);
        }
    }
}
