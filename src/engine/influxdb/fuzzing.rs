//! Archives and a manifest that `influxd` did not write.

#![allow(clippy::missing_panics_doc)] // a panic is the finding

use super::archive::{TarCheck, ToolManifest};
use super::facts::Facts;
use crate::fuzzing::Pieces;

const BLOCK: usize = 512;

fn check<'i>(pieces: impl Iterator<Item = &'i [u8]>) -> Result<(i64, u64), String> {
    let mut check = TarCheck::default();
    for piece in pieces {
        check.feed(piece)?;
    }
    check.end("it").map_err(|error| error.to_string())
}

/// An archive: how it is cut does not matter, and where it is whole, the `tar` crate finds as many entries in it.
pub fn influx(input: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<ToolManifest>(input) {
        let written = serde_json::to_vec(&manifest).expect("what was read can be written");
        let again: ToolManifest = serde_json::from_slice(&written).expect("what was written can be read");
        assert_eq!(format!("{again:?}"), format!("{manifest:?}"));
    }
    if let Ok(facts) = serde_json::from_slice::<Facts>(input) {
        drop((facts.inventory(), facts.reservations()));
    }
    for archive in [input.to_vec(), with_checksums(input)] {
        let whole = check([archive.as_slice()].into_iter());
        assert_eq!(whole, check(Pieces::of(&archive)));
        let Ok((_, files)) = whole else { continue };
        let mut reader = tar::Archive::new(archive.as_slice());
        let mut found = 0;
        for entry in reader.entries().expect("it is whole").raw(true) {
            drop(entry.expect("it is whole"));
            found += 1;
        }
        assert_eq!(found, files);
    }
}

/// The same archive with right checksums, which no chance finds.
pub(crate) fn with_checksums(input: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (input.to_vec(), 0);
    while let Some(block) = out.get_mut(at..at + BLOCK) {
        at += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().unwrap_or(0);
        let skip = usize::try_from(size).ok().and_then(|size| size.checked_next_multiple_of(BLOCK));
        // Whatever a header says, there is room for one more block behind it.
        at = skip.map_or(usize::MAX, |skip| at.saturating_add(skip)).min(usize::MAX - BLOCK);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_as_long_as_the_address_space_is_refused() {
        for size in [u64::MAX, u64::MAX - 511, u64::MAX - 512, u64::MAX - 1023, u64::MAX - 1024, 1 << 63] {
            let mut header = tar::Header::new_old();
            header.set_size(size);
            let archive = [header.as_bytes().as_slice(), &[0; 2 * BLOCK]].concat();
            influx(&archive);
            assert!(check([with_checksums(&archive).as_slice()].into_iter()).is_err(), "{size}");
        }
    }
}
