//! What is done with a statement, a comment or a client's command that is there as a whole.

use super::StreamScanner;
use super::refusal::refuse;
use crate::domain::manifest::SegmentKind;
use crate::engine::mysql::bodies::is_one_statement;
use crate::engine::mysql::comments;
use crate::engine::mysql::facts::Marker;
use crate::engine::mysql::lexer::{self, Client};
use crate::engine::mysql::vocabulary;
use crate::error::Result;

const END_MARKER: &[u8] = b"-- Dump completed";
/// Views come last, after the programs that they use.
const FINAL_VIEW: &str = "Final view structure for view ";

impl StreamScanner {
    pub(super) fn whole_statement(&mut self) -> Result<()> {
        if lexer::delimiter(&self.text[self.start.unwrap_or_default()..self.at]).is_some() {
            return Err(self.refuse("a command to the client program"));
        }
        let (start, end) = (self.start.take().unwrap_or_default(), self.at);
        // A name with a line break can make the client print this comment early.
        self.ended = false;
        self.at += self.lexer.delimiter.len();
        let mut text = self.cut();
        let is_program = vocabulary::program(&self.facts.text(&text[start..end])).is_some();
        let end = if is_program { end } else { write_alike(&mut text, start, end) };
        let stored = self.leave_rows(&text).to_vec();
        let body = &text[start..end];
        let sql = self.facts.text(body);
        let sets_a_mode_oddly = !self.modes.read(&sql);
        let quoting = self.modes.quoting().unwrap_or_default();
        (self.lexer.plain_backslash, self.lexer.ansi_quotes) = (quoting.plain_backslash, quoting.ansi);
        #[cfg(test)]
        {
            self.seen.statements.push(sql.clone().into_owned());
            self.seen.buffer.extend_from_slice(&text[..end]);
            self.seen.buffers.push(std::mem::take(&mut self.seen.buffer));
            if self.seen.lenient {
                (self.fresh, self.mid_line) = (true, true);
                return Ok(());
            }
        }
        (self.fresh, self.mid_line) = (true, true);
        if vocabulary::is_histogram(&sql) && !comments::is_one_for_all(&sql) {
            // Its columns are called so that some servers would run a part of it as something else.
            self.facts.lossy.extend(self.facts.lost_histogram(&sql));
            self.out.extend_from_slice(&stored[..stored.len() - (text.len() - start)]);
            return Ok(());
        }
        let position = self.position();
        let is_known = vocabulary::follows(&mut self.before, &sql);
        let is_read_otherwise = !self.modes.is_usual() && vocabulary::needs_the_usual_mode(&sql)
            || !self.modes.letters().are_plain() && vocabulary::needs_plain_letters(&sql)
            || self.modes.letters().hide_ends(body);
        if sets_a_mode_oddly || !is_known || is_read_otherwise {
            let shown: String = sql.chars().take(80).collect();
            return Err(refuse("a statement that no dump client writes", &self.facts.place(), &shown));
        }
        if is_program && !is_one_statement(&sql, quoting, self.lexer.client()) {
            let shown: String = sql.chars().take(80).collect();
            return Err(refuse("a program with more text after its end", &self.facts.place(), &shown));
        }
        self.facts.statement(body, &sql, position)?;
        self.out.extend_from_slice(&stored);
        Ok(())
    }

    /// A block comment between statements.
    pub(super) fn whole_comment(&mut self) {
        let start = self.start.take().unwrap_or_default();
        let text = self.cut();
        let stored = self.leave_rows(&text).to_vec();
        self.facts.comment(&String::from_utf8_lossy(&text[start..]));
        #[cfg(test)]
        self.seen.buffer.extend_from_slice(&text);
        self.out.extend_from_slice(&stored);
        self.alone = false;
        (self.fresh, self.mid_line) = (false, self.lexer.client() == Client::MariaDb);
    }

    /// A line comment between statements.
    pub(super) fn whole_line(&mut self) -> Result<()> {
        let start = self.start.take().unwrap_or_default();
        let text = self.cut();
        let lead = self.leave_rows(&text[..start]).to_vec();
        self.insert(&text[start..])?;
        self.out.extend_from_slice(&lead);
        #[cfg(test)]
        if !self.fresh {
            self.seen.buffer.extend_from_slice(&text);
        }
        let line = text[start..].trim_ascii_end();
        if let Some(rest) = line.strip_prefix(b"--") {
            self.ended = line.starts_with(END_MARKER);
            let comment = String::from_utf8_lossy(rest.trim_ascii());
            let position = self.position();
            match marker(&comment) {
                Some(marker) => self.facts.marker(marker, position),
                None => self.facts.comment(&comment),
            }
        }
        self.out.extend_from_slice(&text[start..]);
        self.mid_line = false;
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
        if ends {
            more.extend(self.supplement.take_views());
        }
        let (behind, state) = (std::mem::take(&mut self.text), (self.fresh, self.mid_line));
        for text in more {
            (self.fresh, self.mid_line) = (true, false);
            self.feed(&text)?;
            self.look(true)?;
            // What is left is white space behind the last statement.
            self.out.append(&mut self.text);
            self.at = 0;
        }
        self.text = behind;
        (self.fresh, self.mid_line) = state;
        Ok(())
    }

    /// A `DELIMITER` command.
    pub(super) fn delimiter_line(&mut self) -> Result<()> {
        let end = memchr::memchr(b'\n', &self.text[self.at..]).map_or(self.text.len(), |end| self.at + end + 1);
        let delimiter = lexer::delimiter(&self.text[self.at..end]).unwrap_or_default();
        if delimiter.is_empty() || delimiter.iter().any(|byte| *byte != b';') {
            self.start = Some(self.at);
            return Err(self.refuse("a delimiter that no dump client uses"));
        }
        self.at = end;
        let text = self.cut();
        #[cfg(test)]
        self.seen.buffer.clear();
        let stored = self.leave_rows(&text).to_vec();
        self.out.extend_from_slice(&stored);
        self.lexer.delimiter = delimiter;
        (self.fresh, self.mid_line) = (true, false);
        Ok(())
    }
}

/// Write the statement that stands there in `text` as every server reads it alike; where it ends then.
fn write_alike(text: &mut Vec<u8>, start: usize, end: usize) -> usize {
    let Some(alike) = comments::readable_by_all(&text[start..end]) else { return end };
    let end_alike = start + alike.len();
    text.splice(start..end, alike);
    end_alike
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
