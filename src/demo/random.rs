//! Deterministic randomness: splitmix64. The same key gives the same numbers on every machine, for ever.

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The stream that belongs to `table` and `row`: a row can be made again without making those before it.
    pub(super) fn of(table: u64, row: u64) -> Self {
        let mut seed = Self(table.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ row);
        let first = seed.next();
        Self(first)
    }

    /// Next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound` (at least 1).
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, each as likely as the other.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    /// One of `items`, the first ones far more often, as words and names are.
    pub(super) fn pick_skewed<T: Copy>(&mut self, items: &[T]) -> T {
        let first = self.index(items.len());
        items[self.index(first + 1)]
    }

    /// A position in something of length `len`.
    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }
}
