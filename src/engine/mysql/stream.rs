//! Reads a dump as the client program would, on its way into the repository (or, when restored data is proved, out of
//! the sandbox): counts and digests rows, notes every object and where it stands, re-cuts statements, sees the end.
//!
//! Statement borders follow the rules of the `mysql` client: quotes, comments, `DELIMITER`. Data cannot forge a border:
//! markers are looked for between statements only. Only definitions are held in memory, never rows.

use super::facts::{DumpFacts, Marker};
use super::names;
use super::rows::{RowFacts, RowScanner, Scanned};
use super::supplement::Supplement;
use crate::domain::capture::Capture;
use crate::domain::manifest::SegmentKind;
use crate::error::{Error, Result};

/// A definition longer than this is not one: the stream is damaged or hostile.
const LONGEST_DEFINITION: usize = 64 * 1024 * 1024;
/// First line of newer MariaDB dumps; older clients and MySQL refuse it, so exactly this line is taken out.
const SANDBOX_LINE: &[u8] = b"/*M!999999\\- enable the sandbox mode */";
/// White space to the client too: `--` with one of them behind it begins a comment.
const FORM_FEED: u8 = 0x0c;
const VERTICAL_TAB: u8 = 0x0b;
const END_MARKER: &[u8] = b"-- Dump completed";
/// Views come last, after the programs that they use.
const FINAL_VIEW: &str = "Final view structure for view ";

/// Lexical place inside a statement that is being collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only white space so far.
    Start,
    Plain,
    /// Inside quotes of this kind.
    Quoted(u8),
    /// Behind a backslash inside quotes of this kind.
    Escape(u8),
    LineComment,
    BlockComment,
    /// A line that is not SQL: a comment between statements, or a client command.
    WholeLine,
}

#[derive(Debug)]
enum Mode {
    Statement,
    Rows,
}

/// The scanner. Feed it the dump, take the stream to be stored out of it.
#[derive(Debug)]
pub struct StreamScanner {
    mode: Mode,
    place: Place,
    /// Text since the last statement border, and where in it the first character stands that is not white space.
    text: Vec<u8>,
    start: usize,
    /// Where in it the last block comment's text begins.
    comment: usize,
    delimiter: Vec<u8>,
    backslash_escapes: bool,
    rows: RowScanner,
    /// `INSERT … VALUES` of the rows at hand; empty when none were seen since the last other statement.
    header: Vec<u8>,
    row_facts: RowFacts,
    out: Vec<u8>,
    drained: u64,
    ended: bool,
    facts: DumpFacts,
    supplement: Supplement,
    /// Every statement that is not rows, for a comparison with what the client would run.
    #[cfg(test)]
    statements: Vec<String>,
}

impl StreamScanner {
    /// A scanner of a dump that is read in this way.
    pub fn new(capture: Capture) -> Self {
        Self {
            mode: Mode::Statement,
            place: Place::Start,
            text: Vec::new(),
            start: 0,
            comment: 0,
            delimiter: b";".to_vec(),
            backslash_escapes: true,
            rows: RowScanner::default(),
            header: Vec::new(),
            row_facts: RowFacts::default(),
            out: Vec::new(),
            drained: 0,
            ended: false,
            facts: DumpFacts::of(capture),
            supplement: Supplement::default(),
            #[cfg(test)]
            statements: Vec::new(),
        }
    }

    /// The same with what the client does not print.
    pub fn with(mut self, supplement: Supplement) -> Self {
        self.supplement = supplement;
        self
    }

    /// Take in the next piece of the dump.
    pub fn feed(&mut self, input: &[u8]) -> Result<()> {
        let mut at = 0;
        while at < input.len() {
            match self.mode {
                Mode::Rows => match self.rows.scan(&input[at..], &self.header, &mut self.row_facts, &mut self.out) {
                    Scanned::More => return Ok(()),
                    Scanned::Ended(used) => {
                        at += used;
                        self.mode = Mode::Statement;
                    }
                    Scanned::Malformed(bad) => {
                        let shown =
                            String::from_utf8_lossy(&input[at + bad..input.len().min(at + bad + 40)]).into_owned();
                        return Err(Error::failed(format!(
                            "read dump: unexpected text between the rows of `{}`: {shown:?}",
                            self.facts.current_table()
                        )));
                    }
                },
                Mode::Statement => {
                    self.text.push(input[at]);
                    at += 1;
                    self.statement_byte()?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of the stored stream that are ready. They belong to the caller from now on.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.drained += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    /// Bytes that are ready to be taken.
    pub fn ready(&self) -> usize {
        self.out.len()
    }

    /// The input is complete: give out the rest and what was learnt. A dump without its end marker is an error.
    pub fn finish(&mut self) -> Result<DumpFacts> {
        if !self.ended || matches!(self.mode, Mode::Rows) || self.place != Place::Start {
            return Err(Error::failed("read dump: it stops before its end marker `-- Dump completed`")
                .hint("the dump client or the server died; see the server's log"));
        }
        let rest = std::mem::take(&mut self.text);
        self.out.extend_from_slice(&rest);
        let end = self.position();
        self.facts.end(end);
        Ok(std::mem::take(&mut self.facts))
    }

    fn position(&self) -> u64 {
        self.drained + self.out.len() as u64
    }

    fn statement_byte(&mut self) -> Result<()> {
        let byte = self.text[self.text.len() - 1];
        match self.place {
            Place::Start if byte.is_ascii_whitespace() || byte == VERTICAL_TAB => {}
            Place::Start => {
                self.start = self.text.len() - 1;
                self.place = Place::Plain;
                self.plain_byte(byte)?;
            }
            Place::Plain => self.plain_byte(byte)?,
            Place::Quoted(quote) if byte == quote => self.place = Place::Plain,
            Place::Quoted(quote) if byte == b'\\' && quote != b'`' && self.backslash_escapes => {
                self.place = Place::Escape(quote);
            }
            Place::Escape(quote) => self.place = Place::Quoted(quote),
            Place::LineComment if byte == b'\n' => self.place = Place::Plain,
            // Version comments (`/*!…`, `/*M!…`) are text to the server, so they are text to us.
            Place::BlockComment if byte == b'!' && self.opens_version_comment() => self.place = Place::Plain,
            // The star that opens a comment does not close it: `/*/`.
            Place::BlockComment if self.text[self.comment..].ends_with(b"*/") => {
                // A comment that stands alone is no part of the statement behind it.
                let alone = self.text[self.start..].starts_with(b"/*") && self.comment == self.start + 2;
                self.place = Place::Plain;
                if alone {
                    self.whole_comment();
                }
            }
            Place::WholeLine if byte == b'\n' => self.whole_line()?,
            Place::Quoted(_) | Place::LineComment | Place::BlockComment | Place::WholeLine => {}
        }
        if self.text.len() > LONGEST_DEFINITION {
            return Err(Error::failed(format!("read dump: a statement is longer than {LONGEST_DEFINITION} bytes")));
        }
        Ok(())
    }

    fn opens_version_comment(&self) -> bool {
        matches!(&self.text[self.comment..], b"!" | b"M!")
    }

    fn plain_byte(&mut self, byte: u8) -> Result<()> {
        let body = &self.text[self.start..];
        match byte {
            b'\'' | b'"' | b'`' => self.place = Place::Quoted(byte),
            b'#' => self.place = Place::LineComment,
            b'*' if body.ends_with(b"/*") => {
                self.place = Place::BlockComment;
                self.comment = self.text.len();
            }
            b' ' | b'\n' | b'\t' | b'\r' | FORM_FEED | VERTICAL_TAB => {
                let (word, line) = (&body[..body.len() - 1], byte == b'\n');
                if word == b"--" || word.eq_ignore_ascii_case(b"DELIMITER") {
                    self.place = Place::WholeLine;
                    if line {
                        self.whole_line()?;
                    }
                } else if word == SANDBOX_LINE && self.position() == 0 {
                    self.facts.sandbox_line_removed = true;
                    self.text.clear();
                    self.place = Place::Start;
                } else if word.ends_with(b"--") && !line {
                    self.place = Place::LineComment;
                } else if is_insert(word) {
                    self.begin_rows();
                }
            }
            b'(' if is_insert(&body[..body.len() - 1]) => {
                self.text.pop();
                self.begin_rows();
                return self.feed(b"(");
            }
            _ if body.ends_with(&self.delimiter) => self.whole_statement()?,
            _ => {}
        }
        Ok(())
    }

    fn begin_rows(&mut self) {
        let end = self.text.trim_ascii_end().len();
        let header = self.text[self.start..end].to_vec();
        if header != self.header {
            self.leave_rows();
            // What stands between the last statement and this one; the scanner writes the header itself.
            let lead = self.text[..self.start].to_vec();
            self.out.extend_from_slice(&lead);
            let position = self.position();
            self.row_facts = self.facts.begin_rows(&String::from_utf8_lossy(&header), position);
            self.header = header;
        }
        self.text.clear();
        self.place = Place::Start;
        self.mode = Mode::Rows;
    }

    /// Something else than rows of the same header follows.
    fn leave_rows(&mut self) {
        if !self.header.is_empty() {
            let longest = self.row_facts.longest + self.header.len() as u64 + 2;
            self.facts.needs.longest_statement = self.facts.needs.longest_statement.max(longest);
            self.header.clear();
            // The line end behind the statement's terminator; closing our own statement writes one.
            if self.start > 0 && self.text[0] == b'\n' {
                self.text.remove(0);
                self.start -= 1;
            }
            self.rows.close(&mut self.out);
            let position = self.position();
            self.facts.end_rows(std::mem::take(&mut self.row_facts), position);
        }
    }

    fn whole_statement(&mut self) -> Result<()> {
        self.leave_rows();
        let text = std::mem::take(&mut self.text);
        let body = &text[self.start..text.len() - self.delimiter.len()];
        let sql = self.facts.text(body);
        if let Some(mode) = sql_mode(&sql) {
            self.backslash_escapes = !mode.contains("NO_BACKSLASH_ESCAPES");
        }
        #[cfg(test)]
        self.statements.push(sql.clone().into_owned());
        self.facts.statement(body, &sql)?;
        self.out.extend_from_slice(&text);
        self.place = Place::Start;
        Ok(())
    }

    /// A block comment between statements.
    fn whole_comment(&mut self) {
        self.leave_rows();
        let text = std::mem::take(&mut self.text);
        self.facts.comment(&String::from_utf8_lossy(&text[self.start..]));
        self.out.extend_from_slice(&text);
        self.place = Place::Start;
    }

    /// A line comment between statements, or `DELIMITER`.
    fn whole_line(&mut self) -> Result<()> {
        self.leave_rows();
        let text = std::mem::take(&mut self.text);
        let start = self.start;
        self.insert(&text[start..])?;
        self.start = start;
        let line = text[self.start..].trim_ascii_end();
        self.out.extend_from_slice(&text[..self.start]);
        if let Some(rest) = line.strip_prefix(b"--") {
            self.ended = line.starts_with(END_MARKER);
            let comment = String::from_utf8_lossy(rest.trim_ascii());
            let position = self.position();
            match marker(&comment) {
                Some(marker) => self.facts.marker(marker, position),
                None => self.facts.comment(&comment),
            }
        } else {
            self.delimiter = line[b"DELIMITER".len()..].trim_ascii().to_vec();
        }
        self.out.extend_from_slice(&text[self.start..]);
        self.place = Place::Start;
        Ok(())
    }

    /// In front of `line`, where what is not the client's own belongs there.
    fn insert(&mut self, line: &[u8]) -> Result<()> {
        let Some(comment) = line.strip_prefix(b"--").map(|rest| String::from_utf8_lossy(rest.trim_ascii())) else {
            return Ok(());
        };
        let ends = line.starts_with(END_MARKER);
        let mut more = Vec::new();
        if ends || marker(&comment).is_some() {
            more.extend(self.supplement.take_after_table(&self.facts.open_table()));
        }
        if ends || comment.starts_with(FINAL_VIEW) {
            more.extend(self.supplement.take_rest(self.facts.database()));
        }
        for text in more {
            self.place = Place::Start;
            self.feed(&text)?;
            // What is left is white space behind the last statement.
            let rest = std::mem::take(&mut self.text);
            self.out.extend_from_slice(&rest);
        }
        Ok(())
    }
}

fn is_insert(text: &[u8]) -> bool {
    text.starts_with(b"INSERT ") && text.ends_with(b" VALUES")
}

/// The value of a statement that sets `sql_mode`.
fn sql_mode(statement: &str) -> Option<String> {
    let head: String = names::tokens(statement, 6)
        .iter()
        .map(|token| match token {
            names::Token::Word(text) => text.to_ascii_lowercase(),
            names::Token::Quoted(text) => format!("'{text}'"),
            names::Token::Mark(mark) => mark.to_string(),
        })
        .collect();
    head.strip_prefix("setsql_mode=").map(str::to_owned)
}

/// What a comment between statements announces.
fn marker(comment: &str) -> Option<Marker> {
    const TABLE: [&str; 1] = ["Table structure for table "];
    const PLACEHOLDER: [&str; 2] = ["Temporary table structure for view ", "Temporary view structure for view "];
    const ALONE: [&str; 6] = [
        "Current Database: ",
        "Sequence structure for ",
        "Dumping events for database ",
        "Dumping routines for database ",
        FINAL_VIEW,
        "Final temporary table structure for view ",
    ];
    let starts = |list: &[&str]| list.iter().any(|prefix| comment.starts_with(prefix));
    if starts(&TABLE) || starts(&PLACEHOLDER) {
        Some(Marker(SegmentKind::Table))
    } else if starts(&ALONE) {
        Some(Marker(SegmentKind::Barrier))
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests;
