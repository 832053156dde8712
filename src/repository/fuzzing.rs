//! Manifests that nobody wrote.

#![allow(clippy::missing_panics_doc)] // a panic is the finding

use super::admission::parse_manifest;
use crate::domain::comparison::compare;

/// What is read is written as what reads the same; the sums over it have an end.
pub fn manifest(input: &[u8]) {
    let Ok(manifest) = parse_manifest(input) else { return };
    let written = serde_json::to_vec_pretty(&manifest).expect("what was read can be written");
    let again = parse_manifest(&written).expect("what was written can be read");
    assert_eq!(again, manifest);
    drop((manifest.rows(), manifest.logical_bytes(), manifest.losses()));
    let mut names: Vec<_> = manifest.inventory().tables.iter().map(|table| &table.name).collect();
    let mut objects: Vec<_> = manifest.inventory().objects.iter().map(|object| (object.kind, &object.name)).collect();
    let count = (names.len(), objects.len());
    names.sort();
    names.dedup();
    objects.sort();
    objects.dedup();
    if count == (names.len(), objects.len()) {
        let reason = compare(manifest.inventory(), again.inventory()).reason();
        assert!(
            reason.is_empty() || manifest.inventory().tables.iter().any(|table| table.next_id == Some(0)),
            "{reason}"
        );
    }
}
