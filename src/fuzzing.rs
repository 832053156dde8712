//! What the fuzzers in `fuzz/` run: readers of what others may write, each with what must hold beyond not ending the
//! program. An input is the bytes that a reader would meet; a property that does not hold is a panic.
//!
//! The properties stand beside the readers, in modules named `fuzzing`. A test runs every committed input through them.

pub use crate::engine::files::fuzzing::{index, tape};
pub use crate::engine::influxdb::fuzzing::influx;
pub use crate::engine::mysql::binlog::fuzzing::binlog;
pub use crate::engine::mysql::fuzzing::sql;
pub use crate::exporter::web::web_file as web;
pub use crate::repository::fuzzing::manifest;
pub use crate::repository::restic::fuzzing::{keys, listing};

/// Lengths of the pieces in which an input is given to a reader that takes pieces: the same ones for the same input.
pub(crate) struct Pieces<'i> {
    rest: &'i [u8],
    state: u64,
}

impl<'i> Pieces<'i> {
    pub(crate) fn of(input: &'i [u8]) -> Self {
        let hash = blake3::hash(input);
        let state = hash.as_bytes().iter().fold(0, |state: u64, byte| state.rotate_left(8) ^ u64::from(*byte));
        Self { rest: input, state }
    }
}

impl<'i> Iterator for Pieces<'i> {
    type Item = &'i [u8];

    fn next(&mut self) -> Option<&'i [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = self.state >> 33;
        // Mostly single bytes and short pieces, some that hold several rows.
        let longest = if random.is_multiple_of(5) { 200 } else { 7 };
        let length = usize::try_from(1 + (random >> 8) % longest).unwrap_or(1);
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 9] = [
        ("sql", super::sql),
        ("manifest", super::manifest),
        ("influx", super::influx),
        ("tape", super::tape),
        ("index", super::index),
        ("keys", super::keys),
        ("web", super::web),
        ("listing", super::listing),
        ("binlog", super::binlog),
    ];

    #[test]
    fn every_committed_input_of_the_fuzzers_keeps_what_must_hold() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, run) in TARGETS {
            assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).exists(), "{name}");
            let inputs = fs::read_dir(fuzz.join("corpus").join(name)).unwrap();
            let mut count = 0;
            for input in inputs {
                let path = input.unwrap().path();
                println!("{}", path.display());
                run(&fs::read(&path).unwrap());
                count += 1;
            }
            assert!(count > 0, "no input for {name}");
        }
        let there = fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
        assert_eq!(there, TARGETS.len(), "a target that is not run here");
    }
}
