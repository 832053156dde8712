//! Rows of `INSERT … VALUES`: finds where each ends, digests it, and cuts statements anew at content-defined rows.
//!
//! The dump client cuts statements by size, so one changed row moves every later statement header and a deduplicating
//! repository stores nearly everything again. Here a statement ends after a row whose own digest says so: the same
//! rows give the same statements wherever they stand. Rows may be of any length; nothing of a row is kept in memory.

use memchr::memchr2;

use super::literals::Literal;
use super::row_facts::{LONGEST_TIME, RowFacts};
use super::texture;

/// No statement is cut before it has this many bytes (except at the table's end).
const STATEMENT_MIN: u64 = 32 * 1024;
/// Average length aimed at.
const STATEMENT_AVERAGE: u64 = 192 * 1024;
/// A statement is cut after the row that takes it beyond this.
const STATEMENT_MAX: u64 = 1024 * 1024;

/// Where in a row the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    Text,
    Escape,
}

/// Scans one statement's rows after another: texts in them are read as in the usual `sql_mode`. Keeps state between buffers of any size.
#[derive(Debug)]
pub struct RowScanner {
    place: Place,
    /// How far its value was read; none between rows.
    value: Option<Literal>,
    column: usize,
    /// Inside a value that the digest leaves out.
    skipping: bool,
    capture: Option<(usize, Vec<u8>)>,
    partial: Option<Box<blake3::Hasher>>,
    row_bytes: u64,
    /// How a row begins that is spread over buffers.
    begun: Vec<u8>,
    /// Bytes of the statement that is open in the output; none when the next row needs a header.
    open: Option<u64>,
}

/// How a call to [`RowScanner::scan`] ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Scanned {
    /// The input is used up; the statement goes on.
    More,
    /// The statement's terminator was consumed; this many bytes of the input were used.
    Ended(usize),
    /// The text between two rows is not what a dump has there.
    Malformed(usize),
    /// A row has something there that is no value of a dump client's.
    Computed(usize),
}

impl Default for RowScanner {
    fn default() -> Self {
        Self {
            place: Place::Plain,
            value: None,
            column: 0,
            skipping: false,
            capture: None,
            partial: None,
            row_bytes: 0,
            begun: Vec::new(),
            open: None,
        }
    }
}

impl RowScanner {
    /// Scan `input`, which continues behind `header` (`INSERT INTO … VALUES`): digest rows into `facts`, write them to `out`
    /// in statements of our own cut.
    pub fn scan(&mut self, input: &[u8], header: &[u8], facts: &mut RowFacts, out: &mut Vec<u8>) -> Scanned {
        let mut at = 0;
        while at < input.len() {
            if self.value.is_none() {
                match input[at] {
                    b'(' => self.begin_row(header, out),
                    b',' | b' ' | b'\n' | b'\r' => {
                        at += 1;
                        continue;
                    }
                    b';' => return Scanned::Ended(at + 1),
                    _ => return Scanned::Malformed(at),
                }
            }
            let start = at;
            at = match self.scan_row(input, start, facts) {
                Ok(end) => end,
                Err(bad) => return Scanned::Computed(bad),
            };
            let piece = &input[start..at];
            out.extend_from_slice(piece);
            facts.keep(piece);
            self.row_bytes += piece.len() as u64;
            // Where columns are left out, the rest was added while the row was taken apart.
            let rest = if facts.skipped.is_empty() { piece } else { &[] };
            let is_split = self.value.is_some() || !self.begun.is_empty();
            if is_split {
                let take = piece.len().min(texture::LOOKED_AT.saturating_sub(self.begun.len()));
                self.begun.extend_from_slice(&piece[..take]);
            }
            if self.value.is_none() {
                self.end_row(rest, if is_split { None } else { Some(piece) }, facts, out);
            } else if !rest.is_empty() {
                self.partial.get_or_insert_default().update(rest);
            }
        }
        Scanned::More
    }

    /// Close the open statement, if any: something else than rows of the same header follows.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.extend_from_slice(b";\n");
        }
    }

    fn begin_row(&mut self, header: &[u8], out: &mut Vec<u8>) {
        if let Some(bytes) = &mut self.open {
            out.extend_from_slice(b",\n");
            *bytes += 2;
        } else {
            out.extend_from_slice(header);
            out.push(b'\n');
            self.open = Some(header.len() as u64 + 1);
        }
        self.row_bytes = 0;
        self.column = 0;
    }

    /// `whole` is the row, where it is in one piece.
    fn end_row(&mut self, piece: &[u8], whole: Option<&[u8]>, facts: &mut RowFacts, out: &mut Vec<u8>) {
        let digest = match self.partial.take() {
            Some(mut hasher) => hasher.update(piece).finalize(),
            None => blake3::hash(piece),
        };
        let digest = digest.as_bytes();
        facts.rows += 1;
        facts.digest.add(digest);
        facts.sample.add_with(digest, || texture::of_row(whole.unwrap_or(&self.begun), self.row_bytes));
        self.begun.clear();
        let bytes = self.open.unwrap_or(0) + self.row_bytes;
        facts.longest = facts.longest.max(bytes);
        self.open = Some(bytes);
        // The chance to cut grows with the row's length, so that statements of short and of long rows come out alike.
        let draw = u64::from(u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]));
        let chosen = draw < (self.row_bytes << 32) / STATEMENT_AVERAGE;
        if bytes >= STATEMENT_MAX || (bytes >= STATEMENT_MIN && chosen) {
            self.close(out);
        }
    }

    /// Advance to the end of the row or of the input; returns the position behind the last byte that belongs to the row, or, as
    /// an error, that of what no dump client writes.
    fn scan_row(&mut self, input: &[u8], start: usize, facts: &mut RowFacts) -> Result<usize, usize> {
        let skip = !facts.skipped.is_empty();
        let watch = !facts.newest.is_empty() || skip;
        let mut value_start = start;
        // First byte that the digest has not seen; none inside a value that it leaves out.
        let mut unseen = (skip && !self.skipping).then_some(start);
        let mut at = start;
        while at < input.len() {
            match self.place {
                Place::Escape => {
                    self.place = Place::Text;
                    at += 1;
                }
                Place::Text => match memchr2(b'\'', b'\\', &input[at..]) {
                    None => at = input.len(),
                    Some(skip) => {
                        at += skip + 1;
                        if input[at - 1] == b'\'' {
                            self.place = Place::Plain;
                        } else {
                            self.place = Place::Escape;
                        }
                    }
                },
                Place::Plain => {
                    let byte = input[at];
                    let Some(value) = self.value else {
                        // The parenthesis that begins the row.
                        at += 1;
                        self.value = Some(Literal::First);
                        if watch {
                            self.begin_value(facts);
                            value_start = at;
                            self.turn(input, at, &mut unseen, facts);
                        }
                        continue;
                    };
                    self.value = Some(value.after(byte).ok_or(at)?);
                    at += 1;
                    match byte {
                        b'\'' => self.place = Place::Text,
                        b')' => {
                            self.value = None;
                            self.end_value(&input[value_start..at - 1], facts);
                            if skip {
                                let from = unseen.unwrap_or(at - 1);
                                self.partial.get_or_insert_default().update(&input[from..at]);
                                self.skipping = false;
                            }
                            return Ok(at);
                        }
                        b',' if watch => {
                            self.end_value(&input[value_start..at - 1], facts);
                            self.column += 1;
                            self.begin_value(facts);
                            value_start = at;
                            unseen = unseen.or(skip.then_some(at - 1));
                            self.turn(input, at, &mut unseen, facts);
                        }
                        _ => {}
                    }
                }
            }
        }
        if let Some(from) = unseen {
            self.partial.get_or_insert_default().update(&input[from..at]);
        }
        if let Some((_, text)) = &mut self.capture {
            // One byte more than any time has tells that it is none.
            let take = (input.len() - value_start).min((LONGEST_TIME + 1).saturating_sub(text.len()));
            text.extend_from_slice(&input[value_start..value_start + take]);
        }
        Ok(at)
    }

    /// A value begins at `at`: if the digest leaves it out, it has seen everything before.
    fn turn(&mut self, input: &[u8], at: usize, unseen: &mut Option<usize>, facts: &RowFacts) {
        self.skipping = facts.skipped.contains(&self.column);
        if self.skipping
            && let Some(from) = unseen.take()
        {
            self.partial.get_or_insert_default().update(&input[from..at]);
        }
    }

    fn begin_value(&mut self, facts: &RowFacts) {
        let slot = facts.newest.iter().position(|(index, ..)| *index == self.column);
        self.capture = slot.map(|slot| (slot, Vec::new()));
    }

    fn end_value(&mut self, rest: &[u8], facts: &mut RowFacts) {
        let Some((slot, mut text)) = self.capture.take() else { return };
        if text.is_empty() {
            facts.saw(slot, rest);
        } else {
            text.extend_from_slice(rest);
            facts.saw(slot, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::digest::Digest;

    fn scan_in_pieces(sql: &[u8], size: usize) -> (u64, Digest, Vec<u8>, BTreeMap<String, String>) {
        let mut facts = RowFacts::watching(vec![(1, "at".into())]);
        let (mut scanner, mut out) = (RowScanner::default(), Vec::new());
        let mut last = Scanned::More;
        for piece in sql.chunks(size) {
            last = scanner.scan(piece, b"INSERT INTO `t` VALUES", &mut facts, &mut out);
        }
        assert!(matches!(last, Scanned::Ended(_)), "{last:?}");
        scanner.close(&mut out);
        (facts.rows, facts.finish(), out, facts.newest_values())
    }

    #[test]
    fn quotes_escapes_parentheses_and_buffer_edges_do_not_confuse_the_scanner() {
        let sql = br"(1,'2024-01-01 00:00:00','a\'),(b;'),(2,NULL,'it''s \\'),(-3.5,'2025-06-01 10:00:00',0x00FF),(4,'2023-01-01 00:00:00',_binary '(\0,'),(5,NULL,_utf8mb4 'POINT(1 2)');";
        let (rows, digest, out, newest) = scan_in_pieces(sql, sql.len());
        assert_eq!(rows, 5);
        assert_eq!(newest["at"], "2025-06-01 10:00:00");
        let text = String::from_utf8(out.clone()).unwrap();
        assert!(text.starts_with("INSERT INTO `t` VALUES\n(1,'2024"), "{text}");
        assert!(text.ends_with("'POINT(1 2)');\n"), "{text}");
        for size in [1, 2, 3, 7, 16] {
            assert_eq!(scan_in_pieces(sql, size), (rows, digest, out.clone(), newest.clone()), "pieces of {size}");
        }
    }

    #[test]
    fn columns_that_are_left_out_do_not_change_the_digest_whatever_they_contain() {
        let digest = |sql: &str, skipped: &[usize], size: usize| {
            let mut facts = RowFacts::watching(vec![(0, "at".into())]).without(skipped.to_vec());
            let (mut scanner, mut out) = (RowScanner::default(), Vec::new());
            for piece in sql.as_bytes().chunks(size) {
                scanner.scan(piece, b"H", &mut facts, &mut out);
            }
            (facts.rows, facts.finish(), facts.newest_values())
        };
        let (one, other) = ("('2024',0.5,'x'),('2025','a,\\'(b',2);", "('2024',-1e3,'x'),('2025',NULL,2);");
        let want = digest(one, &[1], one.len());
        assert_eq!(want.0, 2);
        assert_ne!(digest(one, &[], 64).1, want.1);
        assert_ne!(digest(one, &[1], 64), digest(&one.replace("'x'", "'y'"), &[1], 64));
        // Where nothing is left out but the first and the last.
        assert_ne!(digest(one, &[0, 2], 64).1, digest(other, &[0, 2], 64).1);
        assert_eq!(digest(one, &[0, 1, 2], 64).1, digest("(1,2,3),(4,5,6);", &[0, 1, 2], 64).1);
        for size in 1..=one.len() {
            assert_eq!(digest(one, &[1], size), want, "pieces of {size}");
            assert_eq!(digest(other, &[1], size), want, "pieces of {size}");
        }
    }

    #[test]
    fn the_longest_statement_is_counted_with_its_head() {
        let longest = |sql: &[u8]| {
            let (mut facts, mut scanner, mut out) = (RowFacts::default(), RowScanner::default(), Vec::new());
            scanner.scan(sql, b"INSERT", &mut facts, &mut out);
            scanner.close(&mut out);
            (facts.longest, out.len() as u64)
        };
        // All of it but `;` and the end of the line.
        for sql in ["(1);", "(1),(22),(333);", "('it''s'),(NULL);"] {
            let (counted, written) = longest(sql.as_bytes());
            assert_eq!(counted + 2, written, "{sql}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_time_is_none_however_it_comes() {
        let sql = format!("(1,'{}'),(2,'2024-01-01 00:00:00');", "9".repeat(200));
        for size in [sql.len(), 100, 70, 64, 1] {
            let (.., newest) = scan_in_pieces(sql.as_bytes(), size);
            assert_eq!(newest["at"], "2024-01-01 00:00:00", "pieces of {size}");
        }
    }

    #[test]
    fn garbage_between_rows_is_an_error() {
        let mut scanner = RowScanner::default();
        let mut out = Vec::new();
        let end = scanner.scan(b"(1)x(2);", b"H", &mut RowFacts::default(), &mut out);
        assert_eq!(end, Scanned::Malformed(3));
    }

    #[test]
    fn a_row_with_something_computed_is_refused_wherever_a_buffer_ends() {
        for (sql, bad) in
            [("(1,f());", 3), ("(1),('a',(SELECT 1));", 9), ("('a',0x41/*!+f()*/);", 9), ("(1,'a''b'+1);", 9)]
        {
            for size in 1..=sql.len() {
                let (mut scanner, mut facts) = (RowScanner::default(), RowFacts::watching(vec![(1, "at".into())]));
                let seen = sql.as_bytes().chunks(size).enumerate().find_map(|(piece, text)| {
                    match scanner.scan(text, b"H", &mut facts, &mut Vec::new()) {
                        Scanned::Computed(at) => Some(piece * size + at),
                        _ => None,
                    }
                });
                assert_eq!(seen, Some(bad), "{sql} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_changed_row_moves_only_the_statements_near_it() {
        let rows = |changed: usize| -> Vec<u8> {
            let row = |i: usize| {
                format!("({i},'{}')", Digest::of(&(i + usize::from(i == changed) * 1_000_000).to_le_bytes()))
            };
            let all: Vec<String> = (0..60_000).map(row).collect();
            format!("{};", all.join(",")).into_bytes()
        };
        let statements = |sql: &[u8]| -> std::collections::HashSet<Vec<u8>> {
            let (.., out, _) = scan_in_pieces(sql, 100_000);
            out.split(|byte| *byte == b';').map(<[u8]>::to_vec).collect()
        };
        let (before, after) = (statements(&rows(usize::MAX)), statements(&rows(20_000)));
        assert!(before.len() > 10 && before.len() < 100, "{}", before.len());
        assert!(after.difference(&before).count() <= 2);
    }
}
