//! Reads a dump as the client program would, on its way into the repository (or, when restored data is proved, out of
//! the sandbox): counts and digests rows, notes every object and where it stands, re-cuts statements, sees the end.
//!
//! Statement borders are those of the client ([`lexer`]). Data cannot forge a border: markers are looked for
//! between statements only. Only definitions are held in memory, never rows.

mod refusal;
mod whole;

use self::refusal::refuse;
use super::facts::DumpFacts;
use super::lexer::{self, Ahead, Client, Lexer, Step};
use super::modes::Modes;
use super::row_facts::RowFacts;
use super::rows::{RowScanner, Scanned};
use super::supplement::Supplement;
use super::vocabulary;
use crate::domain::capture::Capture;
use crate::error::{Error, Result};

/// A definition longer than this is not one: the stream is damaged or hostile.
const LONGEST_DEFINITION: usize = 64 * 1024 * 1024;
/// A line of blanks, a `DELIMITER` or a dollar quote that is longer is none of a dump client's.
const LONGEST_UNDECIDED: usize = 4096;
/// First line of newer MariaDB dumps; older clients and MySQL refuse it, so exactly this line is taken out.
const SANDBOX_LINE: &[u8] = b"/*M!999999\\- enable the sandbox mode */";

#[derive(Debug)]
enum Mode {
    Statement,
    Rows,
}

/// The scanner. Feed it the dump, take the stream to be stored out of it.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // independent of each other
pub struct StreamScanner {
    mode: Mode,
    lexer: Lexer,
    /// Text since the last statement border, and how much of it was looked at.
    text: Vec<u8>,
    at: usize,
    /// Where in it the first character stands that is not white space.
    start: Option<usize>,
    /// Inside of a comment that goes to the end of the line; whether it stands alone.
    line_comment: Option<bool>,
    /// Inside of a block comment that stands alone.
    alone: bool,
    /// The statement before, where it matters.
    before: vocabulary::Before,
    /// The `sql_mode` at hand.
    modes: Modes,
    /// The client has nothing of a statement yet, not even white space.
    fresh: bool,
    /// The text begins in the middle of a line.
    mid_line: bool,
    rows: RowScanner,
    /// `INSERT … VALUES` of the rows at hand; empty when none were seen since the last other statement.
    header: Vec<u8>,
    row_facts: RowFacts,
    out: Vec<u8>,
    drained: u64,
    ended: bool,
    facts: DumpFacts,
    supplement: Supplement,
    #[cfg(test)]
    seen: Seen,
}

/// What the client would run, for a comparison with what it does run.
#[cfg(test)]
#[derive(Debug, Default)]
struct Seen {
    /// Every statement that is not rows.
    statements: Vec<String>,
    /// The same with the comments that the client has in its buffer in front of it.
    buffers: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    /// Whatever a statement says is good.
    lenient: bool,
}

impl StreamScanner {
    /// A scanner of a dump that this client is to read, described in this way.
    pub fn new(client: Client, capture: Capture) -> Self {
        Self {
            mode: Mode::Statement,
            lexer: Lexer::new(client),
            text: Vec::new(),
            at: 0,
            start: None,
            line_comment: None,
            alone: false,
            before: vocabulary::Before::default(),
            modes: Modes::default(),
            fresh: true,
            mid_line: false,
            rows: RowScanner::default(),
            header: Vec::new(),
            row_facts: RowFacts::default(),
            out: Vec::new(),
            drained: 0,
            ended: false,
            facts: DumpFacts::of(capture),
            supplement: Supplement::default(),
            #[cfg(test)]
            seen: Seen::default(),
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
                            "cannot read the dump: unexpected text between the rows of `{}`: {shown:?}",
                            self.facts.current_table()
                        )));
                    }
                    Scanned::Computed(bad) => {
                        let shown = String::from_utf8_lossy(&input[at + bad..input.len().min(at + bad + 40)]);
                        let place = format!("the rows of `{}`", self.facts.current_table());
                        return Err(refuse("a value that no dump client writes", &place, &shown));
                    }
                },
                Mode::Statement => {
                    self.text.push(input[at]);
                    at += 1;
                    self.look(false)?;
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
        if matches!(self.mode, Mode::Statement) {
            self.look(true)?;
        }
        if !self.ended || matches!(self.mode, Mode::Rows) || self.start.is_some() {
            return Err(Error::failed("cannot read the dump: it stops before its end marker `-- Dump completed`")
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

    /// Look at what came in, as far as its meaning does not depend on what is still to come.
    fn look(&mut self, complete: bool) -> Result<()> {
        while self.at < self.text.len() {
            if let Some(alone) = self.line_comment {
                self.in_line_comment(alone, complete)?;
            } else if self.at == 0 && self.position() == 0 && SANDBOX_LINE.starts_with(&self.text) {
                // The rest of the line is to come.
                if self.text.len() < SANDBOX_LINE.len() && !complete {
                    return Ok(());
                }
                self.facts.sandbox_line_removed = true;
                self.text.clear();
            } else if self.begins_line() && self.is_delimiter_line(complete) == Some(true) {
                self.delimiter_line()?;
            } else if self.begins_line() && self.is_delimiter_line(complete).is_none() {
                return self.wait();
            } else {
                let ahead = Ahead::new(&self.text, self.at, complete);
                let Some(step) = self.lexer.step(ahead, self.fresh) else { return self.wait() };
                self.take(step)?;
            }
        }
        if self.text.len() > LONGEST_DEFINITION {
            return Err(Error::failed(format!(
                "cannot read the dump: a statement is longer than {LONGEST_DEFINITION} bytes"
            )));
        }
        Ok(())
    }

    /// What the place at hand means depends on what is still to come. It is looked at again from here on with every byte,
    /// so there is an end to it.
    fn wait(&self) -> Result<()> {
        if self.text.len() - self.at <= LONGEST_UNDECIDED {
            return Ok(());
        }
        let shown: String = String::from_utf8_lossy(&self.text[self.at..]).chars().take(80).collect();
        Err(refuse("a blank line, a command or a quote that no dump client writes", &self.facts.place(), &shown))
    }

    /// Whether the client would look for a command here.
    fn begins_line(&self) -> bool {
        let begins = if self.at == 0 { !self.mid_line } else { self.text[self.at - 1] == b'\n' };
        begins && self.start.is_none() && (self.fresh || self.lexer.client() == Client::MySql)
    }

    /// Whether the line at hand is a `DELIMITER` command; none if that cannot be told yet.
    fn is_delimiter_line(&self, complete: bool) -> Option<bool> {
        const WORD: &[u8] = b"delimiter";
        let line = &self.text[self.at..];
        let word = line.trim_ascii_start();
        let known = word.len().min(WORD.len());
        if !word[..known].eq_ignore_ascii_case(&WORD[..known]) || word.is_empty() && line.contains(&b'\n') {
            return Some(false);
        }
        let whole = complete || line.contains(&b'\n');
        whole.then(|| lexer::delimiter(line).is_some())
    }

    fn take(&mut self, step: Step) -> Result<()> {
        let byte = self.text[self.at];
        if self.start.is_none() && !lexer::is_space(byte) {
            self.start = Some(self.at);
        }
        let body = &self.text[self.start.unwrap_or(self.at)..self.at];
        match step {
            Step::End => return self.whole_statement(),
            Step::LineComment => {
                self.line_comment = Some(body.is_empty());
                return Ok(());
            }
            Step::Opened => self.alone = body.is_empty(),
            Step::Closed if self.alone => {
                self.at += 2;
                self.whole_comment();
                return Ok(());
            }
            Step::Command => return Err(self.refuse("a command to the client program")),
            Step::Take(_) if self.begins_rows(byte) => {
                self.at += usize::from(byte != b'(');
                return self.begin_rows();
            }
            Step::Closed | Step::Take(_) => {}
        }
        self.fresh &= byte == b'\n';
        self.at += if let Step::Take(length) = step { length } else { 2 };
        Ok(())
    }

    /// Whether the head of rows ends before `byte`.
    fn begins_rows(&self, byte: u8) -> bool {
        let body = &self.text[self.start.unwrap_or(self.at)..self.at];
        self.lexer.is_plain() && (byte == b'(' || lexer::is_space(byte)) && is_insert(body)
    }

    fn in_line_comment(&mut self, alone: bool, complete: bool) -> Result<()> {
        let byte = self.text[self.at];
        self.at += 1;
        if byte == b'\n' || complete && self.at == self.text.len() {
            self.line_comment = None;
            self.lexer.end_line();
            if alone {
                self.whole_line()?;
            }
        }
        Ok(())
    }

    /// What the client would do with this must not be stored: somebody may load it by hand.
    fn refuse(&self, what: &str) -> Error {
        let from = self.start.unwrap_or_default();
        let shown: String = String::from_utf8_lossy(&self.text[from..]).chars().take(80).collect();
        refuse(what, &self.facts.place(), &shown)
    }

    /// The text up to the place at hand; what was seen behind it stays.
    fn cut(&mut self) -> Vec<u8> {
        let rest = self.text.split_off(self.at);
        self.at = 0;
        std::mem::replace(&mut self.text, rest)
    }

    fn begin_rows(&mut self) -> Result<()> {
        let start = self.start.unwrap_or_default();
        let is_known = vocabulary::begins_rows(&self.facts.text(&self.text[start..self.at]));
        if !is_known || !self.modes.is_usual() || !self.modes.letters().are_plain() {
            return Err(self.refuse("rows that no dump client writes"));
        }
        self.start = None;
        let text = self.cut();
        let header = text[start..].trim_ascii_end().to_vec();
        if header != self.header {
            let lead = self.leave_rows(&text[..start]).to_vec();
            // What stands between the last statement and this one; the scanner writes the header itself.
            self.out.extend_from_slice(&lead);
            let position = self.position();
            self.row_facts = self.facts.begin_rows(&String::from_utf8_lossy(&header), position);
            self.header = header;
        }
        (self.fresh, self.mid_line) = (true, true);
        self.mode = Mode::Rows;
        let rest = std::mem::take(&mut self.text);
        self.feed(&rest)
    }

    /// Something else than rows of the same header follows; what of `text` does so.
    fn leave_rows<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        if self.header.is_empty() {
            return text;
        }
        let longest = self.row_facts.longest + self.header.len() as u64 + 2;
        self.facts.needs.longest_statement = self.facts.needs.longest_statement.max(longest);
        self.header.clear();
        self.rows.close(&mut self.out);
        let position = self.position();
        self.facts.end_rows(std::mem::take(&mut self.row_facts), position);
        // The line end behind the statement's terminator; closing our own statement wrote one.
        text.strip_prefix(b"\n").unwrap_or(text)
    }
}

/// Whether the definition of a table, as a server prints it, can be part of a dump.
pub fn can_carry(client: Client, definition: &str) -> bool {
    let mut scanner = StreamScanner::new(client, Capture::default());
    let dump = format!("USE `d`;\n{definition};\n-- Dump completed\n");
    scanner.feed(dump.as_bytes()).is_ok() && scanner.finish().is_ok_and(|facts| facts.inventory().tables.len() == 1)
}

fn is_insert(text: &[u8]) -> bool {
    text.starts_with(b"INSERT ") && text.ends_with(b" VALUES")
}

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests;
