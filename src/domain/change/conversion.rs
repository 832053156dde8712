//! Plain content that became noise: what encryption does, all at once or a little with each backup.
//!
//! It is told by two figures that move against each other in one table or tree: plain bytes that are gone and noise that came. A purge
//! takes plain bytes and brings no noise; an import, a new archive or a column of hashes brings noise and takes nothing.

use std::collections::BTreeMap;

use super::content::Successors;
use super::sample::Sample;
use super::texture::Texture;
use super::watch::Watch;
use super::{Assessment, Past, percent};
use crate::domain::manifest::Manifest;

/// Fewer bytes than this are no content.
const FEW_BYTES: f64 = 4.0 * 1024.0;
/// Nor are fewer files than this a share of files.
const FEW_FILES: f64 = 8.0;
/// What is hardly plain at all counts as so much: a few texts among pictures come and go.
const PLAIN_LEAST: f64 = 0.1;
/// Encryption makes nothing shorter than this share. Compression does.
const NOT_SHORTER: f64 = 0.9;
/// A table became noise when so much of it did; and how many tables are a share of tables.
const MOST_OF_IT: f64 = 0.5;
const FEW_TABLES: usize = 3;
/// Less than this may be chance: samples are small.
const CHANCE: f64 = 0.05;

/// What became noise of the tables or trees of an earlier backup, by name.
struct Converted<'m> {
    tables: BTreeMap<&'m str, Table>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Table {
    /// Bytes that were plain, those of them that are counted at least, and those that became noise.
    plain: f64,
    least: f64,
    bytes: f64,
    /// Files that were plain and those that became noise.
    plain_files: f64,
    files: f64,
}

impl<'m> Converted<'m> {
    /// Between two backups; none where one of them did not record it.
    fn between(before: &'m Manifest, now: &Manifest, successors: &Successors<'_>, watch: &Watch) -> Option<Self> {
        let (before_all, now_all) = (&before.evidence.textures, &now.evidence.textures);
        if before_all.is_empty() || now_all.is_empty() {
            return None;
        }
        let judged = before_all.iter().filter(|(name, _)| !watch.ignores(name));
        let table = |(name, before): (&'m String, &Texture)| {
            // What is gone or empty was lost and did not become anything.
            let later = successors.of_table(name).filter(|later| later.rows > 0);
            let now = later.and_then(|later| now_all.get(&later.name));
            let [plain, noise] = before.bytes.map(|it| it as f64);
            let mut table = Table {
                plain,
                least: plain.max((plain + noise) * PLAIN_LEAST),
                plain_files: before.files[0] as f64,
                ..Table::default()
            };
            if let Some(now) = now {
                table.bytes = became_noise(before.bytes, now.bytes);
                let length = |it: &Texture| (it.bytes[0] as f64) + it.bytes[1] as f64;
                if length(now) >= length(before) * NOT_SHORTER {
                    table.files = became_noise(before.files, now.files);
                }
            }
            (name.as_str(), table)
        };
        Some(Self { tables: judged.map(table).collect() })
    }

    /// Add what was noise in `suspect`, which came between the two, and is there still. Plain data that was added since hides nothing.
    fn with_what_stayed(mut self, [before, suspect, now]: [&Manifest; 3], watch: &Watch) -> Self {
        let successors = [suspect, now].map(|it| Successors::of(before, it));
        let Some(then) = Converted::between(before, suspect, &successors[0], watch) else { return self };
        for (name, table) in &mut self.tables {
            let Some(then) = then.tables.get(name) else { continue };
            let at = |it: &Successors<'_>, of: &Manifest| {
                let later = it.of_table(name)?;
                let gone = gone(before.evidence.samples.get(*name)?, of.evidence.samples.get(&later.name)?);
                Some((gone, *of.evidence.textures.get(&later.name)?))
            };
            let was = before.evidence.textures.get(*name).copied().unwrap_or_default();
            let [Some((gone_then, _)), Some((gone_now, is))] = [at(&successors[0], suspect), at(&successors[1], now)]
            else {
                continue;
            };
            // The rows of before are back, whatever else came.
            if gone_now < gone_then * 0.5 {
                continue;
            }
            let more = |now: u64, before: u64| now.saturating_sub(before) as f64;
            table.bytes = table.bytes.max(then.bytes.min(more(is.bytes[1], was.bytes[1])));
            table.files = table.files.max(then.files.min(more(is.files[1], was.files[1])));
        }
        self
    }

    /// The largest of what became noise by bytes, by files and by tables: one large file must not hide what became of all others,
    /// nor many small ones what became of it.
    fn share(&self) -> f64 {
        let sum = |of: fn(&Table) -> f64| self.tables.values().map(of).sum::<f64>();
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
        let bytes = sum(|it| it.bytes);
        if bytes < FEW_BYTES {
            return 0.0;
        }
        let of_bytes = share(bytes, sum(|it| it.least));
        let files = sum(|it| it.plain_files);
        let of_files = if files >= FEW_FILES { share(sum(|it| it.files), files) } else { 0.0 };
        let tables = || self.tables.values().filter(|it| it.plain >= FEW_BYTES);
        let changed = tables().filter(|it| it.bytes >= it.least * MOST_OF_IT).count();
        let of_tables = if changed >= FEW_TABLES { changed as f64 / tables().count() as f64 } else { 0.0 };
        of_bytes.max(of_files).max(of_tables)
    }
}

/// How much of what was plain is noise now, at most.
fn became_noise(before: [u64; 2], now: [u64; 2]) -> f64 {
    before[0].saturating_sub(now[0]).min(now[1].saturating_sub(before[1])) as f64
}

fn gone(before: &Sample, now: &Sample) -> f64 {
    before.gone_in(now).unwrap_or(1.0)
}

/// Note how much plain content became noise since the last trusted backup, and since the oldest one of the window. Nothing where
/// that was not recorded.
pub(super) fn weigh(found: &mut Assessment, past: &Past<'_>, now: &Manifest, watch: &Watch) {
    let share_since = |before: &Manifest| {
        let mut converted = Converted::between(before, now, &Successors::of(before, now), watch)?;
        let suspect = [past.suspect.first(), past.suspect.last()];
        for suspect in suspect.into_iter().flatten() {
            converted = converted.with_what_stayed([before, suspect, now], watch);
        }
        Some(converted.share())
    };
    let Some(newest) = past.trusted.last().and_then(|it| share_since(it)) else { return };
    let records = |it: &&&Manifest| !it.evidence.textures.is_empty();
    let first = past.trusted.iter().find(records);
    let oldest = first.and_then(|it| share_since(it)).unwrap_or(newest);
    let share = newest.max(oldest);
    found.became_noise = Some(share);
    found.weigh(share, watch.replaced, || {
        let said = format!("{} of the plain content became data that looks encrypted", percent(share));
        let is_gradual = oldest > newest + CHANCE;
        let since = first.filter(|_| is_gradual).map(|it| it.as_of.format("%Y-%m-%d").to_string());
        since.map_or(said.clone(), |day| format!("{said}, little by little since {day}"))
    });
}

/// The newest of `good` in which nothing had become noise since the oldest one.
pub(super) fn last_clean<'m>(good: &[&'m Manifest], watch: &Watch) -> Option<&'m Manifest> {
    let first = good.iter().find(|it| !it.evidence.textures.is_empty())?;
    let is_clean = |it: &&&Manifest| {
        let converted = Converted::between(first, it, &Successors::of(first, it), watch);
        converted.is_none_or(|it| it.share() < CHANCE)
    };
    good.iter().rfind(is_clean).copied()
}
