//! Logs that no server wrote.

#![allow(clippy::missing_panics_doc)] // a panic is the finding

use super::scanner::{LogScanner, Scanned};
use crate::error::Result;
use crate::fuzzing::Pieces;

fn scan<'i>(pieces: impl Iterator<Item = &'i [u8]>) -> Result<Scanned> {
    let mut scanner = LogScanner::new("log.000001", 4);
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish()
}

/// The scanner of binary logs: how the input is cut does not matter, and what is whole lies within it.
pub fn binlog(input: &[u8]) {
    let whole = scan([input].into_iter());
    let cut = scan(Pieces::of(input));
    match (&whole, &cut) {
        (Ok(whole), Ok(cut)) => {
            assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
            assert!(whole.group_end <= whole.offset);
        }
        (whole, cut) => {
            assert_eq!(whole.as_ref().err().map(ToString::to_string), cut.as_ref().err().map(ToString::to_string));
        }
    }
}
