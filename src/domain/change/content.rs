//! Content that was replaced, and whether what replaced it compresses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::assessment::{Assessment, Past, State, percent};
use super::evidence::NewData;
use super::sample::Sample;
use super::watch::Watch;
use crate::domain::manifest::{Manifest, TableFacts};

/// What does not compress saves no more than this part of what was saved before.
const SAVINGS_LEFT: f64 = 0.5;
/// And it takes at least so much more of each byte.
const MORE_STORED: f64 = 0.1;
/// A row does not take so many times the space in the repository: noise that is written as hex or base64 does compress.
const DENSE: f64 = 4.0;
/// Rows that came may be others, if they are more than this.
const AS_LARGE: f64 = 1.1;
/// The same rows do not take so many times the bytes.
const SWOLLEN: f64 = 2.0;
/// Nearly all of the content.
const NEARLY_ALL: f64 = 0.9;
/// Nearly all is unusual where it was never more than this.
const USUAL_AT_MOST: f64 = 0.5;
/// Backups with enough new data that tell how well it compresses; where the window has fewer, older ones tell too.
const COMPRESSED_LEAST: usize = 3;
/// Pairs of backups that are looked at for what is usual, and how many there must be.
const USUAL_PAIRS: usize = 14;
const USUAL_PAIRS_LEAST: usize = 2;
/// A table of fewer sampled rows says nothing by itself.
const TABLE_ROWS: usize = 8;
/// Fewer tables than this are no share of tables.
const FEW_TABLES: usize = 3;

/// Which table of a later backup continues a table of an earlier one: the one of the same name, or where that is gone or lost most
/// of its rows a new one with the same rows. A table that is renamed is not gone, even if another one has its name now.
pub struct Successors<'m> {
    tables: BTreeMap<&'m str, &'m TableFacts>,
}

impl<'m> Successors<'m> {
    /// Of the tables of `before` in `now`.
    pub fn of(before: &'m Manifest, now: &'m Manifest) -> Self {
        let later: HashMap<&str, &TableFacts> =
            now.inventory().tables.iter().map(|table| (table.name.as_str(), table)).collect();
        let earlier: BTreeSet<&str> = before.inventory().tables.iter().map(|table| table.name.as_str()).collect();
        let new =
            now.inventory().tables.iter().filter(|table| table.rows > 0 && !earlier.contains(table.name.as_str()));
        let mut new = NewTables::of(new, now);
        let mut tables = BTreeMap::new();
        for table in &before.inventory().tables {
            let renamed = || new.with_the_rows_of(table, before);
            let same = later.get(table.name.as_str()).copied();
            let kept = same.filter(|same| same.rows.saturating_mul(2) >= table.rows);
            if let Some(successor) = kept.or_else(renamed).or(same) {
                tables.insert(table.name.as_str(), successor);
            }
        }
        Self { tables }
    }

    /// What continues the table of this name.
    pub fn of_table(&self, name: &str) -> Option<&'m TableFacts> {
        self.tables.get(name).copied()
    }
}

/// Tables that were not there before, by what is in them. Each continues one table at most.
#[derive(Default)]
struct NewTables<'m> {
    by_digest: HashMap<[u8; 32], &'m TableFacts>,
    by_row: HashMap<u64, &'m TableFacts>,
    taken: BTreeSet<&'m str>,
    evidence: Option<&'m BTreeMap<String, Sample>>,
}

impl<'m> NewTables<'m> {
    fn of(new: impl Iterator<Item = &'m TableFacts>, now: &'m Manifest) -> Self {
        let mut tables = Self { evidence: Some(&now.evidence.samples), ..Self::default() };
        for table in new {
            tables.by_digest.insert(table.digest.0, table);
            for row in now.evidence.samples.get(&table.name).map_or(&[][..], Sample::rows) {
                tables.by_row.insert(*row, table);
            }
        }
        tables
    }

    fn with_the_rows_of(&mut self, table: &TableFacts, before: &Manifest) -> Option<&'m TableFacts> {
        if table.rows == 0 {
            return None;
        }
        let sampled = before.evidence.samples.get(&table.name);
        let by_rows = || {
            let sampled = sampled?;
            let candidate = sampled.rows().iter().find_map(|row| self.by_row.get(row))?;
            let later = self.evidence?.get(&candidate.name)?;
            sampled.gone_in(later).filter(|gone| *gone <= 0.5).map(|_| *candidate)
        };
        let found = self.by_digest.get(&table.digest.0).copied().or_else(by_rows)?;
        self.taken.insert(&found.name).then_some(found)
    }
}

impl Assessment {
    /// Whether it could be told if content was encrypted: what is plain was recorded, or new data usually compresses.
    pub fn is_content_judged(&self) -> bool {
        let does_compress = self.compression[0].is_some_and(|usual| usual <= 1.0 - MORE_STORED);
        self.became_noise.is_some() || (self.replaced.is_some() && does_compress)
    }
}

/// Note how much of the content of the last trusted backup `now` replaced, and by what.
pub(super) fn weigh(
    found: &mut Assessment,
    past: &Past<'_>,
    now: &Manifest,
    (successors, watch): (&Successors<'_>, &Watch),
) {
    let Some(before) = past.trusted.last() else { return };
    let new = new_data(past, now);
    found.compression = [usual_compression(past), new.and_then(|new| new.compression(now.logical_bytes()))];
    let sampled = Replaced::of(before, now, successors, watch);
    let bytes = new.and_then(|new| rewritten(before, now, new));
    let share = sampled.as_ref().map(Replaced::share).or_else(|| bytes.filter(|_| !is_sampled(before, now)));
    found.replaced = share;
    let is_known = found.became_noise.is_some();
    let Some(share) = share.filter(|_| found.became_noise < Some(watch.replaced / 2.0)) else { return };
    if !is_known {
        // What is few rows may be most of the bytes.
        let by_bytes = bytes.filter(|_| sampled.as_ref().is_none_or(|it| it.is_more_than_edits(watch)));
        let weighed = by_bytes.map_or(share, |bytes| bytes.max(share));
        if let Some(how) = how_it_is_noise((before, now), new, found.compression) {
            found.replaced = Some(weighed);
            let said = || format!("{} of the content was replaced by data that {how}", percent(weighed));
            return found.weigh(weighed, watch.replaced, said);
        }
    }
    let is_swollen = !is_known && now.rows() > 0 && swollen(&past.trusted, now);
    let reason = if share >= watch.replaced && is_swollen {
        "and a row takes more than twice the bytes"
    } else if sampled.is_some_and(|sampled| sampled.is_nearly_all()) && is_unusual(&past.trusted, watch) {
        "far more than usual"
    } else {
        return;
    };
    found.suspect(State::Warning, format!("{} of the content was replaced, {reason}", percent(share)));
    found.stays |= share >= watch.replaced;
}

/// Why the new data looks as if encryption, or something like it, went over it; none where it does not.
fn how_it_is_noise(
    (before, now): (&Manifest, &Manifest),
    new_data: Option<NewData>,
    compression: [Option<f64>; 2],
) -> Option<String> {
    // What came in addition may be pictures. What it would have taken at most is not held against what was replaced.
    let replaced = new_data.map(|it| it.without(grown(before, now))).and_then(|it| it.compression(now.logical_bytes()));
    if let [Some(usual), Some(new)] = compression
        && replaced.is_some_and(|replaced| is_incompressible(usual, replaced))
    {
        let [new, usual] = [new, usual].map(|it| it * 100.0);
        return Some(format!("does not compress: 100 bytes of it take {new:.0}, usually {usual:.0}"));
    }
    // Of rows that were sampled, a new column would be taken for it.
    let is_the_same = !is_sampled(before, now) && now.rows() as f64 <= before.rows() as f64 * AS_LARGE;
    let times = denser(before, now, compression).filter(|times| is_the_same && *times >= DENSE)?;
    Some(format!("takes {times:.0} times the space"))
}

/// Whether encryption, or something like it, went over the data. What hardly ever compressed cannot tell.
fn is_incompressible(usual: f64, now: f64) -> bool {
    1.0 - now <= (1.0 - usual) * SAVINGS_LEFT && now - usual >= MORE_STORED
}

/// How many times the space in the repository a row takes of what it took, as far as that can be told.
fn denser(before: &Manifest, now: &Manifest, compression: [Option<f64>; 2]) -> Option<f64> {
    let [usual, new] = compression;
    let per_row = |it: &Manifest| (it.rows() > 0).then(|| it.logical_bytes() as f64 / it.rows() as f64);
    let took = per_row(before)? * usual?;
    (took > 0.0).then_some(per_row(now)? * new? / took)
}

/// Everything that was new since the last trusted backup: what is suspect once has nothing new the next time.
fn new_data(past: &Past<'_>, now: &Manifest) -> Option<NewData> {
    let mut new = now.evidence.new_data?;
    for suspect in &past.suspect {
        new = new.and(suspect.evidence.new_data.unwrap_or_default());
    }
    Some(new)
}

/// How well new data compressed: the median of the backups that had enough of it. A source that was still for the whole window
/// is known by older backups, the first of which had all its data as new data.
fn usual_compression(past: &Past<'_>) -> Option<f64> {
    let compression = |it: &&&Manifest| it.evidence.new_data.and_then(|new| new.compression(it.logical_bytes()));
    let mut known: Vec<f64> = past.trusted.iter().filter_map(|it| compression(&it)).collect();
    // What was accepted as the new state says more than what was before it.
    let is_known = known.len() >= COMPRESSED_LEAST || (past.is_accepted && !known.is_empty());
    if !is_known && let Some(first) = past.trusted.first() {
        let older = past.earlier.iter().rev().filter(|it| it.as_of < first.as_of).filter_map(|it| compression(&it));
        known.extend(older.take(COMPRESSED_LEAST - known.len()));
    }
    known.sort_by(f64::total_cmp);
    known.get(known.len().saturating_sub(1) / 2).copied()
}

fn is_sampled(before: &Manifest, now: &Manifest) -> bool {
    !before.evidence.samples.is_empty() || !now.evidence.samples.is_empty()
}

/// The share of the bytes that was written anew, without what came in addition.
fn rewritten(before: &Manifest, now: &Manifest, new: NewData) -> Option<f64> {
    if before.logical_bytes() == 0 {
        return None;
    }
    Some((new.without(grown(before, now)).bytes as f64 / before.logical_bytes() as f64).min(1.0))
}

fn grown(before: &Manifest, now: &Manifest) -> u64 {
    now.logical_bytes().saturating_sub(before.logical_bytes())
}

fn swollen(trusted: &[&Manifest], now: &Manifest) -> bool {
    let per_row = |it: &Manifest| it.logical_bytes() as f64 / it.rows().max(1) as f64;
    let usual = trusted.iter().map(|it| per_row(it)).fold(0.0, f64::max);
    usual > 0.0 && per_row(now) >= usual * SWOLLEN
}

/// Whether it never happened in the window that so much was replaced.
fn is_unusual(trusted: &[&Manifest], watch: &Watch) -> bool {
    let newest = &trusted[trusted.len().saturating_sub(USUAL_PAIRS + 1)..];
    let shares: Vec<f64> = newest
        .windows(2)
        .filter_map(|pair| Replaced::of(pair[0], pair[1], &Successors::of(pair[0], pair[1]), watch))
        .map(|replaced| replaced.share())
        .collect();
    shares.len() >= USUAL_PAIRS_LEAST && shares.into_iter().all(|share| share <= USUAL_AT_MOST)
}

/// What became of the content of sampled tables that are still there.
#[derive(Default)]
struct Replaced {
    /// Rows of tables that could be compared, and rows that were replaced.
    rows: f64,
    gone: f64,
    /// Tables that say something by themselves, and those of which nearly all was replaced.
    tables: usize,
    changed: usize,
    /// The same rows, of tables whose definition is the same: a new column changes every row.
    same_rows: f64,
    same_gone: f64,
}

impl Replaced {
    /// None where less than half of the rows can be compared.
    fn of(before: &Manifest, now: &Manifest, successors: &Successors<'_>, watch: &Watch) -> Option<Self> {
        let (mut found, mut unknown) = (Self::default(), 0.0);
        let mut is_sampled = false;
        for table in before.inventory().tables.iter().filter(|table| table.rows > 0 && !watch.ignores(&table.name)) {
            // What is gone or empty was lost and not replaced.
            let Some(later) = successors.of_table(&table.name).filter(|later| later.rows > 0) else { continue };
            let samples = [(before, table), (now, later)].map(|(of, table)| of.evidence.samples.get(&table.name));
            let rows = table.rows as f64;
            let gone = match samples {
                [Some(sample), Some(later)] => {
                    is_sampled = true;
                    let gone = sample.gone_in(later);
                    if let Some(gone) = gone.filter(|_| sample.rows().len() >= TABLE_ROWS) {
                        found.tables += 1;
                        found.changed += usize::from(gone >= NEARLY_ALL);
                    }
                    gone
                }
                _ if table.digest == later.digest => Some(0.0),
                _ => None,
            };
            let Some(gone) = gone else {
                unknown += rows;
                continue;
            };
            found.rows += rows;
            found.gone += rows * gone;
            if table.definition == later.definition {
                found.same_rows += rows;
                found.same_gone += rows * gone;
            }
        }
        (is_sampled && found.rows > unknown).then_some(found)
    }

    /// The larger one of rows and of tables: a large table that nobody touches must not hide what became of all others.
    fn share(&self) -> f64 {
        let of_tables = if self.changed >= FEW_TABLES { self.changed as f64 / self.tables as f64 } else { 0.0 };
        (self.gone / self.rows).max(of_tables)
    }

    /// Whether rows were replaced as encryption does it: all those of a table, or many. A repository stores a row and what lies
    /// around it, so bytes that were written anew say nothing of a few rows that were edited everywhere.
    fn is_more_than_edits(&self, watch: &Watch) -> bool {
        self.changed > 0 || self.share() >= watch.replaced / 2.0
    }

    fn is_nearly_all(&self) -> bool {
        self.same_rows > 0.0 && self.same_gone / self.same_rows >= NEARLY_ALL && self.same_rows * 2.0 >= self.rows
    }
}
