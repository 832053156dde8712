//! Shops that live: their rows, and the manifests of their backups.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};

use crate::domain::change::evidence::{Apart, NewData};
use crate::domain::change::sample::Sampler;
use crate::domain::change::texture::Texture;
use crate::domain::digest::Digest;
use crate::domain::manifest::{FileRole, Manifest, RecoveryPointId, StoredFileFacts, TableFacts};
use crate::repository::Storing;
use crate::repository::contract;
use crate::repository::memory::MemoryRepository;

/// Each row of the model stands for so many of the source, where there are many.
pub(super) const MANY: u64 = 100;

/// Numbers that look random and are the same every time.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit.max(1)
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Its content: another one is another row.
    pub(super) content: u64,
    pub(super) plain: u64,
    pub(super) noise: u64,
    /// Whether the beginning of a file is noise.
    pub(super) begins_with_noise: bool,
    /// Whether the repository has it already.
    pub(super) is_stored: bool,
}

/// A table, or a tree of files.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// How many rows of the source each of them is.
    pub(super) times: u64,
    pub(super) definition: u64,
    pub(super) is_tree: bool,
    pub(super) apart: Apart,
}

/// A source, day by day.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    pub(super) tables: BTreeMap<&'static str, Table>,
    pub(super) chance: Chance,
    days: i64,
}

impl Shop {
    pub(super) fn new(seed: u64) -> Self {
        Self { tables: BTreeMap::new(), chance: Chance::new(seed), days: 0 }
    }

    pub(super) fn table(&mut self, name: &'static str) -> &mut Table {
        self.tables.entry(name).or_insert_with(|| Table { times: MANY, ..Table::default() })
    }

    /// So many rows more, of about so many bytes each.
    pub(super) fn grow(&mut self, name: &'static str, rows: u64, [plain, noise]: [u64; 2]) {
        for _ in 0..rows {
            let vary = |chance: &mut Chance, bytes: u64| bytes / 2 + chance.below(bytes.max(1));
            let (plain, noise) = (vary(&mut self.chance, plain), vary(&mut self.chance, noise));
            let row =
                Row { content: self.chance.next(), plain, noise, begins_with_noise: noise > plain, is_stored: false };
            self.table(name).rows.push(row);
        }
    }

    /// So many of a hundred rows get other values of the same sort.
    pub(super) fn update(&mut self, name: &'static str, percent: u64) {
        let mut chance = self.chance.clone();
        let chosen = self.table(name).rows.iter_mut();
        chosen.for_each(|row| {
            if chance.percent(percent) {
                (row.content, row.is_stored) = (chance.next(), false);
            }
        });
        self.chance = chance;
    }

    /// So many of a hundred rows become noise, which is written in `times / 4` of the bytes.
    pub(super) fn encrypt(&mut self, name: &'static str, percent: u64, times: u64) {
        let mut chance = self.chance.clone();
        for row in &mut self.table(name).rows {
            if row.plain > 0 && chance.percent(percent) {
                let noise = row.noise + row.plain * times / 4;
                *row = Row { content: chance.next(), plain: 0, noise, begins_with_noise: true, is_stored: false };
            }
        }
        self.chance = chance;
    }

    /// The manifest of tonight's backup.
    pub(super) fn backup(&mut self) -> Manifest {
        let as_of = DateTime::UNIX_EPOCH + TimeDelta::days(self.days);
        let mut manifest = empty();
        (manifest.as_of, manifest.finished) = (as_of, as_of);
        manifest.id = RecoveryPointId(format!("{:03}", self.days));
        self.days += 1;
        let (mut all, mut new) = (0, NewData::default());
        for (name, table) in &mut self.tables {
            let mut sampler = Sampler::default();
            for row in &mut table.rows {
                let (bytes, packed) = (row.plain + row.noise, row.plain * 3 / 10 + row.noise);
                all += bytes * table.times;
                if !std::mem::replace(&mut row.is_stored, true) {
                    new = new.and(NewData { bytes: bytes * table.times, stored_bytes: packed * table.times });
                }
                let mut files = [0, 0];
                if table.is_tree {
                    files[usize::from(row.begins_with_noise)] = 1;
                }
                let mut digest = [0; 32];
                digest[..8].copy_from_slice(&row.content.to_be_bytes());
                sampler.add_with(&digest, || Texture { bytes: [row.plain, row.noise], files });
            }
            let rows = table.rows.len() as u64 * table.times;
            manifest.inventory_mut().tables.push(TableFacts {
                name: (*name).to_owned(),
                rows: rows + table.apart.entries,
                digest: Digest::of(&table.rows.iter().flat_map(|row| row.content.to_le_bytes()).collect::<Vec<u8>>()),
                definition: Digest::of(&table.definition.to_le_bytes()),
                newest: BTreeMap::new(),
                next_id: None,
            });
            // Files are all looked at, of rows only the sample is.
            let texture = if table.is_tree { whole(table) } else { sampler.texture_of(rows) };
            manifest.evidence.textures.insert((*name).to_owned(), texture);
            manifest.evidence.samples.insert((*name).to_owned(), sampler.finish());
            if table.apart.entries > 0 {
                manifest.evidence.apart.insert((*name).to_owned(), table.apart);
                all += table.apart.bytes;
            }
        }
        manifest.evidence.new_data = Some(new);
        let role = FileRole::Stream;
        manifest.files = vec![StoredFileFacts { path: "d".to_owned(), role, bytes: all, digest: Digest::default() }];
        manifest
    }
}

fn whole(tree: &Table) -> Texture {
    let mut texture = Texture::default();
    for row in &tree.rows {
        let files = if row.begins_with_noise { [0, 1] } else { [1, 0] };
        texture += Texture { bytes: [row.plain, row.noise], files };
    }
    texture
}

fn empty() -> Manifest {
    let repository = MemoryRepository::default();
    let candidate = contract::candidate("shop", "0", contract::moment(0), &[("d", b"x")]);
    let mut manifest = contract::manifest(&repository.store(candidate).unwrap());
    manifest.inventory_mut().tables.clear();
    manifest
}
