//! What is not judged below a path: it is taken out of every number before anything is compared.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::Past;
use super::evidence::Apart;
use crate::domain::manifest::{FileRole, Manifest};

/// Older backups say nothing of rows.
const AS_FAR_AS: TimeDelta = TimeDelta::days(60);

/// Backups without what is apart in them.
pub(super) struct Without {
    past: BTreeMap<String, Manifest>,
    /// The newest one.
    pub now: Manifest,
}

impl Without {
    /// None where nothing is. A backup of a version that did not record it is taken to have had what the first one has that did.
    pub(super) fn of(past: &Past<'_>, now: &Manifest) -> Option<Self> {
        let all = || past.earlier.iter().chain(&past.trusted).chain(&past.suspect).copied();
        let recent = || all().filter(|it| now.as_of - it.as_of <= AS_FAR_AS);
        let records = |it: &&Manifest| !it.evidence.textures.is_empty();
        if now.evidence.apart.is_empty() && recent().all(|it| it.evidence.apart.is_empty()) {
            return None;
        }
        let first = recent().filter(records).min_by_key(|it| it.as_of).unwrap_or(now);
        let without = |it: &Manifest| {
            let apart = if records(&it) { &it.evidence.apart } else { &first.evidence.apart };
            without(it, apart)
        };
        let past = recent().map(|it| (it.id.0.clone(), without(it))).collect();
        Some(Self { past, now: without(now) })
    }

    /// The same past.
    pub(super) fn past<'s>(&'s self, past: &Past<'s>) -> Past<'s> {
        let without = |all: &[&'s Manifest]| all.iter().map(|it| self.past.get(&it.id.0).unwrap_or(it)).collect();
        Past {
            trusted: without(&past.trusted),
            doubted: past.doubted,
            suspect: without(&past.suspect),
            earlier: without(&past.earlier),
            is_accepted: past.is_accepted,
        }
    }
}

fn without(manifest: &Manifest, apart: &BTreeMap<String, Apart>) -> Manifest {
    let mut manifest = manifest.clone();
    for table in &mut manifest.inventory.tables {
        let Some(apart) = apart.get(&table.name) else { continue };
        table.rows = table.rows.saturating_sub(apart.entries);
        for file in manifest.files.iter_mut().filter(|file| file.role == FileRole::Stream) {
            file.bytes = file.bytes.saturating_sub(apart.bytes);
        }
    }
    manifest
}
