//! A sample of a table's rows (or of a tree's files) that two backups can be compared by: which share of the rows of the earlier
//! one is gone in the later one, without reading either again.
//!
//! Every row has a digest, and a sample is the rows with the smallest ones. Which rows these are does not depend on their
//! order, and of what both backups have, both keep the same: as far as both samples reach, they can be compared one by one.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::texture::Texture;
use crate::domain::digest::Digest;

/// Rows of one table at most.
pub const MOST: usize = 64;
/// Rows of one table at least, however many tables there are.
const LEAST: usize = 8;
/// Rows of all tables together, as far as [`LEAST`] allows.
const ALL: usize = 4096;
/// So many times as many rows are looked into.
const LOOKED_INTO: usize = 4;
/// So many times as many rows as the digests say are copies of few.
const COPIES: u64 = 2;
/// Fewer rows than this do not say where the others of their table went.
const MOVED_LEAST: usize = 2;
/// Digits of one row in the text form.
const DIGITS: usize = 16;

/// In the text form, in front of a sample that is all there is.
const WHOLE: char = '=';

/// The rows with the smallest digests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// In ascending order.
    rows: Vec<u64>,
    /// There are no others.
    is_whole: bool,
}

/// A sample that is being taken.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// Those with the smallest digests, in ascending order: more than the sample has, so that chance weighs less.
    rows: Vec<Row>,
    /// There are no others.
    is_whole: bool,
    limit: usize,
}

/// What is the same row however often it comes.
#[derive(Debug, Clone, Copy)]
struct Row {
    digest: u64,
    texture: Texture,
    times: u64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { rows: Vec::new(), is_whole: true, limit: MOST }
    }
}

impl Sampler {
    /// Take note of a row.
    pub fn add(&mut self, digest: &[u8; 32]) {
        self.add_with(digest, Texture::default);
    }

    /// Take note of a row, and of what is in it if it is looked at.
    pub fn add_with(&mut self, digest: &[u8; 32], texture: impl FnOnce() -> Texture) {
        let row = digest.iter().take(8).fold(0, |row: u64, byte| (row << 8) | u64::from(*byte));
        let is_full = self.rows.len() >= self.limit * LOOKED_INTO;
        if is_full && self.rows.last().is_some_and(|last| row > last.digest) {
            self.is_whole = false;
            return;
        }
        match self.rows.binary_search_by_key(&row, |row| row.digest) {
            Ok(at) => self.rows[at].times += 1,
            Err(at) => {
                self.rows.insert(at, Row { digest: row, texture: texture(), times: 1 });
                self.shorten();
            }
        }
    }

    /// One of so many `tables`: keep fewer rows of each, from now on too.
    pub fn share_with(&mut self, tables: usize) {
        self.limit = self.limit.min((ALL / tables.max(1)).clamp(LEAST, MOST));
        self.shorten();
        self.rows.shrink_to_fit();
    }

    /// What was taken.
    pub fn finish(&self) -> Sample {
        let rows = self.rows.iter().take(self.limit).map(|row| row.digest).collect();
        Sample { rows, is_whole: self.is_whole && self.rows.len() <= self.limit }
    }

    /// What is in so many rows, if they are all like those that were looked into. Where a few rows come so often that most of the
    /// table is copies of them, and none of them was looked into, nothing is said of the copies.
    pub fn texture_of(&self, rows: u64) -> Texture {
        let (mut sum, mut seen) = (Texture::default(), 0_u64);
        for row in &self.rows {
            sum += row.texture.times(row.times, 1);
            seen = seen.saturating_add(row.times);
        }
        let all = self.all_like(seen);
        sum.times(if rows / COPIES > all { all } else { rows }, seen)
    }

    /// How many rows there are by the digests, if they are spread evenly and `seen` of them are among those that were looked into.
    fn all_like(&self, seen: u64) -> u64 {
        let last = self.rows.last().map_or(0, |row| row.digest);
        if self.is_whole || last == 0 {
            return seen;
        }
        u64::try_from(u128::from(seen) * u128::from(u64::MAX) / u128::from(last)).unwrap_or(u64::MAX)
    }

    fn shorten(&mut self) {
        let most = self.limit * LOOKED_INTO;
        if self.rows.len() > most {
            self.rows.truncate(most);
            self.is_whole = false;
        }
    }
}

impl Sample {
    /// The rows, by which a table that was renamed is found again.
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// The share of the rows of `self` that is gone in `later`; none where the samples say nothing.
    pub fn gone_in(&self, later: &Self) -> Option<f64> {
        let reach = self.reach()?.min(later.reach()?);
        let within = &self.rows[..self.rows.partition_point(|row| *row <= reach)];
        if within.is_empty() {
            return None;
        }
        let gone = within.iter().filter(|row| later.rows.binary_search(row).is_err()).count();
        Some(gone as f64 / within.len() as f64)
    }

    /// Of the rows of `self` that are gone in `same`, which is the same table later, the share that is in `other`; none where the
    /// samples say nothing. Without `same` all are gone.
    pub fn moved_to(&self, same: Option<&Self>, other: &Self) -> Option<f64> {
        let mut reach = self.reach()?.min(other.reach()?);
        if let Some(same) = same {
            reach = reach.min(same.reach()?);
        }
        let is_in = |sample: &Self, row: &u64| sample.rows.binary_search(row).is_ok();
        let within = self.rows.iter().take_while(|row| **row <= reach);
        let gone: Vec<&u64> = within.filter(|row| !same.is_some_and(|same| is_in(same, row))).collect();
        let moved = gone.iter().filter(|row| is_in(other, row)).count();
        (gone.len() >= MOVED_LEAST).then(|| moved as f64 / gone.len() as f64)
    }

    /// All rows up to this one are in it.
    fn reach(&self) -> Option<u64> {
        if self.is_whole { Some(u64::MAX) } else { self.rows.last().copied() }
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(1 + self.rows.len() * DIGITS);
        text.extend(self.is_whole.then_some(WHOLE));
        for row in &self.rows {
            write!(text, "{row:016x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = |piece: &[u8]| std::str::from_utf8(piece).ok().and_then(|it| u64::from_str_radix(it, 16).ok());
        let after = text.strip_prefix(WHOLE);
        let pieces = after.unwrap_or(&text).as_bytes().chunks(DIGITS);
        let rows: Option<Vec<u64>> =
            pieces.map(|piece| Some(piece).filter(|piece| piece.len() == DIGITS).and_then(digits)).collect();
        let rows = rows.ok_or_else(|| de::Error::custom("a sample of rows is not made of 16 hex digits each"))?;
        if rows.is_sorted_by(|a, b| a < b) {
            Ok(Self { rows, is_whole: after.is_some() })
        } else {
            Err(de::Error::custom("a sample of rows is not in order"))
        }
    }
}

impl FromIterator<Digest> for Sample {
    fn from_iter<T: IntoIterator<Item = Digest>>(digests: T) -> Self {
        let mut sampler = Sampler::default();
        digests.into_iter().for_each(|digest| sampler.add(&digest.0));
        sampler.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: std::ops::Range<u64>) -> Sample {
        rows.map(|row| Digest::of(&row.to_le_bytes())).collect()
    }

    fn gone(before: &Sample, after: &Sample) -> f64 {
        before.gone_in(after).unwrap()
    }

    #[test]
    fn the_share_of_rows_that_are_gone_is_found_whatever_was_added() {
        let before = sample(0..10_000);
        assert!(gone(&before, &before).abs() < f64::EPSILON);
        assert!(gone(&before, &sample(0..200_000)).abs() < f64::EPSILON, "growth takes nothing away");
        assert!((gone(&before, &sample(10_000..20_000)) - 1.0).abs() < f64::EPSILON);
        assert!((gone(&before, &sample(5_000..15_000)) - 0.5).abs() < 0.2);
        assert!(gone(&before, &sample(1_000..11_000)) < 0.3);
        assert!((gone(&sample(0..10), &sample(1..12)) - 0.1).abs() < f64::EPSILON, "small ones are compared whole");
        assert!((gone(&before, &sample(0..0)) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn samples_of_different_size_are_compared_as_far_as_both_reach() {
        let mut small = Sampler::default();
        small.share_with(20_000);
        (0..10_000_u64).for_each(|row| small.add(&Digest::of(&row.to_le_bytes()).0));
        let (small, large) = (small.finish(), sample(0..10_000));
        assert_eq!((small.rows().len(), large.rows().len()), (LEAST, MOST));
        assert_eq!((large.gone_in(&small), small.gone_in(&large)), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn rows_that_come_after_a_sample_was_made_smaller_do_not_make_it_wrong() {
        let mut late = Sampler::default();
        (0..5_000_u64).for_each(|row| late.add(&Digest::of(&row.to_le_bytes()).0));
        late.share_with(20_000);
        (5_000..10_000_u64).for_each(|row| late.add(&Digest::of(&row.to_le_bytes()).0));
        assert_eq!(late.finish().rows(), &sample(0..10_000).rows()[..LEAST]);
    }

    #[test]
    fn what_is_in_the_sampled_rows_stands_for_all_and_follows_them() {
        let mut sampler = Sampler::default();
        // Every fourth row is noise, and some rows come twice.
        let texture = |row: u64| Texture::of(100, row.is_multiple_of(4));
        (0..10_000_u64).chain(0..50).for_each(|row| {
            sampler.add_with(&Digest::of(&row.to_le_bytes()).0, || texture(row));
        });
        let whole = sampler.texture_of(10_000).bytes;
        // Each of the two is rounded down.
        assert!((150_000..=350_000).contains(&whole[1]) && whole[0] + whole[1] >= 999_999, "{whole:?}");
        let mut digests: Vec<(u64, u64)> = (0..10_000).map(|row| (sample(row..row + 1).rows()[0], row)).collect();
        digests.sort_unstable();
        sampler.share_with(20_000);
        let looked_into = &digests[..LEAST * LOOKED_INTO];
        // A row that comes twice counts twice.
        let weigh = |rows: &mut dyn Iterator<Item = u64>| rows.map(|row| if row < 50 { 2 } else { 1 }).sum::<u64>();
        let all = weigh(&mut looked_into.iter().map(|(_, row)| *row));
        let noise = weigh(&mut looked_into.iter().map(|(_, row)| *row).filter(|row| row.is_multiple_of(4)));
        let of_32 = |weight: u64| weight * 32 * 100 / all;
        assert_eq!(sampler.texture_of(32).bytes, [of_32(all - noise), of_32(noise)]);
        assert_eq!(sampler.finish().rows().len(), LEAST);
        assert_eq!(Sampler::default().texture_of(9), Texture::default());
    }

    #[test]
    fn copies_of_one_row_count_as_often_as_they_come_and_are_never_taken_for_something_else() {
        let tokens = |count: u64| {
            let mut sampler = Sampler::default();
            for row in (0..20_000).map(|_| u64::MAX).chain(0..count) {
                sampler.add_with(&Digest::of(&row.to_le_bytes()).0, || Texture::of(100, row != u64::MAX));
            }
            sampler.texture_of(20_000 + count).bytes
        };
        assert_eq!(tokens(50), [2_000_000, 5_000]);
        // Of many others, the one that comes so often may not be among those that are looked into.
        for count in [300, 1_000, 3_000] {
            let [plain, noise] = tokens(count);
            assert!(plain == 0 || plain > noise, "{plain} {noise}");
            assert!(noise < count * 100 * 3 / 2, "{count}: {noise}");
        }
    }

    #[test]
    fn a_backup_without_samples_says_nothing() {
        let some = sample(0..100);
        assert_eq!(some.gone_in(&Sample::default()), None);
        assert_eq!(Sample::default().gone_in(&some), None);
        assert_eq!(sample(0..0).gone_in(&some), None);
    }

    #[test]
    fn text_form_round_trips_and_nothing_else_is_read() {
        for (some, length) in [(sample(0..100), MOST * DIGITS), (sample(0..3), 1 + 3 * DIGITS), (sample(0..0), 1)] {
            let text = serde_json::to_string(&some).unwrap();
            assert_eq!(text.len(), 2 + length);
            assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), some);
        }
        for bad in ["\"12\"", "\"000000000000000g\"", "\"00000000000000020000000000000001\"", "\"ééééééééé\"", "7"]
        {
            assert!(serde_json::from_str::<Sample>(bad).is_err(), "{bad}");
        }
    }
}
