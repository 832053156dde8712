//! Dumps that nobody wrote.

#![allow(clippy::missing_panics_doc)] // a panic is the finding

use super::lexer::Client;
use super::sql::{Kind, Quoting, pieces, statements};
use super::stream::StreamScanner;
use super::{defer, names};
use crate::domain::capture::Capture;
use crate::domain::manifest::{Inventory, Segment, SegmentKind};
use crate::error::Result;
use crate::fuzzing::Pieces;

struct Scanned {
    stored: Vec<u8>,
    facts: String,
    inventory: Inventory,
    segments: Vec<Segment>,
}

fn scan<'i>(client: Client, pieces: impl Iterator<Item = &'i [u8]>) -> Result<Scanned> {
    let mut scanner = StreamScanner::new(client, Capture::default());
    let mut stored = Vec::new();
    for piece in pieces {
        scanner.feed(piece)?;
        stored.extend(scanner.take_output());
    }
    let facts = scanner.finish()?;
    stored.extend(scanner.take_output());
    let (inventory, segments) = (facts.inventory(), facts.segments.clone());
    Ok(Scanned { stored, facts: format!("{facts:?}"), inventory, segments })
}

/// The scanner of dumps: how the input is cut does not matter; what is stored is read again as the same; the parts cover
/// it. Then what is done with such text at a restore.
pub fn sql(input: &[u8]) {
    for client in [Client::MariaDb, Client::MySql] {
        let whole = scan(client, [input].into_iter());
        let cut = scan(client, Pieces::of(input));
        assert_eq!(whole.is_ok(), cut.is_ok(), "{:?} and cut {:?}", whole.as_ref().err(), cut.as_ref().err());
        let (Ok(whole), Ok(cut)) = (whole, cut) else { continue };
        assert_eq!(whole.facts, cut.facts);
        assert_eq!(whole.stored, cut.stored);
        covers(&whole);
        let again = scan(client, [whole.stored.as_slice()].into_iter()).expect("what is stored can be read again");
        assert_eq!(String::from_utf8_lossy(&again.stored), String::from_utf8_lossy(&whole.stored));
        assert_eq!(again.inventory, whole.inventory);
    }
    let text = String::from_utf8_lossy(input);
    for mode in ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"] {
        drop(statements(&text, Quoting::of_mode(mode)));
    }
    let (database, name) = text.split_at(text.floor_char_boundary(text.len() / 2));
    if !database.is_empty() && !name.is_empty() {
        let both = Some((database.to_owned(), name.to_owned()));
        assert_eq!(names::split_qualified(&names::qualified(database, name)), both);
    }
}

fn covers(scanned: &Scanned) {
    let mut end = 0;
    for segment in &scanned.segments {
        assert_eq!(segment.offset, end, "a gap in front of {segment:?}");
        assert!(segment.rows_start <= segment.rows_end && segment.rows_end <= segment.bytes, "{segment:?}");
        end += segment.bytes;
        if segment.kind == SegmentKind::Table {
            let from = usize::try_from(segment.offset).expect("it is in memory");
            let rows = usize::try_from(segment.offset + segment.rows_start).expect("it is in memory");
            drop(defer::plan(&scanned.stored[from..rows], u64::MAX));
            let end = usize::try_from(segment.offset + segment.rows_end).expect("it is in memory");
            computes_nothing(&scanned.stored[rows..end]);
        }
    }
    assert_eq!(end, scanned.stored.len() as u64);
}

/// Rows, read once more by the reader of whole statements: nothing in them is a name, a call or a comment.
fn computes_nothing(rows: &[u8]) {
    let text: String = rows.iter().map(|byte| char::from(*byte)).collect();
    let all = statements(&text, Quoting::default());
    // What stands between the rows of a table may set other rules.
    if !all.iter().all(|statement| statement.sql.starts_with("INSERT")) {
        return;
    }
    for statement in all {
        let pieces = pieces(&statement.sql, Quoting::default());
        let values = pieces.iter().skip_while(|piece| !piece.is_word("VALUES")).skip(1);
        for piece in values {
            let is_plain = match piece.kind {
                Kind::Text => piece.text.starts_with('\''),
                Kind::Mark => matches!(piece.text, "(" | ")" | "," | "+" | "-" | "."),
                Kind::Word => {
                    let first = piece.text.as_bytes()[0];
                    let letter = ["NULL", "x", "b"].iter().any(|word| piece.is_word(word));
                    letter || first == b'_' || first.is_ascii_digit() || piece.text.starts_with(['e', 'E'])
                }
                Kind::Name | Kind::Comment | Kind::Open => false,
            };
            assert!(is_plain, "{:?} in {}", piece.text, statement.sql);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inputs_with_values_modes_and_versions_are_read_to_their_end() {
        for input in [
            &include_bytes!("../../../fuzz/corpus/sql/literals")[..],
            include_bytes!("../../../fuzz/corpus/sql/modes"),
            include_bytes!("../../../fuzz/corpus/sql/versions"),
        ] {
            for client in [Client::MariaDb, Client::MySql] {
                scan(client, [input].into_iter()).map(|_| ()).unwrap();
            }
        }
    }

    #[test]
    #[should_panic(expected = "\"f\" in INSERT")]
    fn a_call_in_rows_is_a_finding() {
        computes_nothing(b"INSERT INTO `t` VALUES\n(1,'a',_binary 'b',x'41',-1.5E-10,NULL),\n(f());\n");
    }
}
