//! Multi-row INSERT statements, one row per line, of about a megabyte each: what a dump looks like and loads fast.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

/// A statement is ended once it is longer than this.
const STATEMENT_BYTES: usize = 1_000_000;

/// Writes the rows of one table.
pub(super) struct Insert<'a, W: Write> {
    out: &'a mut W,
    head: String,
    statement: String,
}

impl<'a, W: Write> Insert<'a, W> {
    /// Rows for `table`; `columns` is the list that stands in parentheses.
    pub(super) fn into(out: &'a mut W, table: &str, columns: &[&str]) -> Self {
        let head = format!("INSERT INTO `{table}` (`{}`) VALUES\n", columns.join("`,`"));
        Self { out, head, statement: String::with_capacity(STATEMENT_BYTES + 100_000) }
    }

    /// Start a row; it ends when the returned value is dropped.
    pub(super) fn row(&mut self) -> io::Result<Row<'_>> {
        if self.statement.len() > STATEMENT_BYTES {
            self.flush()?;
        }
        self.statement.push_str(if self.statement.is_empty() { &self.head } else { ",\n" });
        Ok(Row { text: &mut self.statement, first: true })
    }

    /// End the last statement.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.statement.is_empty() {
            self.statement.push_str(";\n");
            self.out.write_all(self.statement.as_bytes())?;
            self.statement.clear();
        }
        Ok(())
    }
}

/// One row in the making.
pub(super) struct Row<'a> {
    text: &'a mut String,
    first: bool,
}

impl Row<'_> {
    /// A value that is SQL already: a number, an expression, `NULL`.
    pub(super) fn raw(&mut self, value: impl Display) -> &mut Self {
        self.separate();
        write!(self.text, "{value}").expect("a String takes everything");
        self
    }

    /// A text, quoted.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.separate();
        self.text.push('\'');
        for c in value.chars() {
            match c {
                '\'' => self.text.push_str("\\'"),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\0' => self.text.push_str("\\0"),
                c => self.text.push(c),
            }
        }
        self.text.push('\'');
        self
    }

    /// Something that needs no escaping, in quotes: a date, an enum value, generated JSON without quotes in it.
    pub(super) fn quoted(&mut self, value: impl Display) -> &mut Self {
        self.separate();
        write!(self.text, "'{value}'").expect("a String takes everything");
        self
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        self.separate();
        if value.is_empty() {
            self.text.push_str("''");
            return self;
        }
        self.text.push_str("0x");
        for byte in value {
            self.text.push(char::from(HEX[usize::from(byte >> 4)]));
            self.text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        self
    }

    /// NULL.
    pub(super) fn null(&mut self) -> &mut Self {
        self.raw("NULL")
    }

    fn separate(&mut self) {
        self.text.push(if self.first { '(' } else { ',' });
        self.first = false;
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        self.text.push(')');
    }
}
