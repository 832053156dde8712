//! What is not judged below a path: it is taken out of every number before anything is compared.

use std::collections::BTreeMap;

use super::assessment::Past;
use super::evidence::Apart;
use crate::domain::manifest::{FileRole, Manifest};
use crate::domain::promise::Promise;

/// Backups without what is apart in them.
pub(super) struct Without {
    past: BTreeMap<String, Manifest>,
    /// The newest one.
    pub now: Manifest,
}

impl Without {
    /// None where nothing is. A backup of a version that did not record it is taken to have had what the first one has that did.
    pub(super) fn of(past: &Past<'_>, now: &Manifest) -> Option<Self> {
        // However old: where backups are seldom, old ones are compared, too.
        let all = || past.earlier.iter().chain(&past.trusted).chain(&past.suspect).copied();
        let first = all().filter(|it| records(it)).min_by_key(|it| it.as_of).unwrap_or(now);
        let without = |it: &Manifest| without(it, &first.evidence.apart);
        let past: BTreeMap<String, Manifest> = all().filter_map(|it| Some((it.id.0.clone(), without(it)?))).collect();
        let now_without = without(now);
        let is_needed = now_without.is_some() || !past.is_empty();
        is_needed.then(|| Self { past, now: now_without.unwrap_or_else(|| now.clone()) })
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
            words: past.words,
        }
    }
}

fn records(manifest: &Manifest) -> bool {
    !manifest.evidence.textures.is_empty()
}

/// None where it is the same. Where it was not recorded, it is `unless_recorded`.
fn without(manifest: &Manifest, unless_recorded: &BTreeMap<String, Apart>) -> Option<Manifest> {
    let is_recorded = records(manifest);
    let apart = if is_recorded { &manifest.evidence.apart } else { unless_recorded };
    if apart.is_empty() {
        return None;
    }
    let mut manifest = manifest.clone();
    let Promise::Exact(inventory) = &mut manifest.promise else { return None };
    for table in &mut inventory.tables {
        let Some(apart) = apart.get(&table.name) else { continue };
        table.rows = table.rows.saturating_sub(apart.entries);
        for file in manifest.files.iter_mut().filter(|file| file.role == FileRole::Stream) {
            file.bytes = file.bytes.saturating_sub(apart.bytes);
        }
    }
    if !is_recorded {
        // They are of what is apart as well as of the rest.
        manifest.evidence.samples.retain(|name, _| !apart.contains_key(name));
    }
    Some(manifest)
}
