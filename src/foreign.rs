//! Text of others on its way to a person: answers of servers, names of objects and files, words of programs. A character
//! that a terminal, a log viewer or a browser obeys is written as what it is called, so that nothing that is backed up can
//! move the cursor, clear a line, set a title or turn a line's direction round. What machines read stays exact.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// `text` on one line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed, name)
}

/// `text` with its own lines and tabs.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_obeyed(c) && !matches!(c, '\n' | '\t'), name)
}

/// JSON with the same meaning: such characters are in its strings only, where they have a second form.
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |c| is_obeyed(c) && c >= '\u{7f}',
        |out, c| {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // A string takes everything.
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

/// HTML in which text of others has no direction of its own.
pub fn html(text: String) -> String {
    match lines(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// Whether something obeys `c` instead of showing it: control characters (C0, C1), marks, embeddings, overrides and isolates of
/// text direction, separators of lines and paragraphs.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

fn name(out: &mut String, c: char) {
    // A string takes everything.
    let _ = match c {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        c if c < '\u{100}' => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
}

fn escaped(text: &str, is_to_be: impl Fn(char) -> bool, write: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&is_to_be) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_to_be(c) { write(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Takes log lines, each in one piece. Escape sequences of others are written out by whoever makes the lines, and colours are
/// its own, so ESC is let through.
pub struct LogLines<W: Write> {
    /// Where they go.
    pub out: W,
    /// Each is a JSON object.
    pub json: bool,
}

impl<W: Write> Write for LogLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let (line, end) = text.strip_suffix('\n').map_or((text, ""), |line| (line, "\n"));
                let line = if self.json { json(line) } else { escaped(line, |c| is_obeyed(c) && c != '\u{1b}', name) };
                self.out.write_all(&[line.as_bytes(), end.as_bytes()].concat())?;
            }
            Err(_) => self.out.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOSTILE: &str = "a\u{1b}]0;title\u{7}\r\n\u{9b}2J\u{202e}evil\u{2066}\u{7f}\tz";

    #[test]
    fn what_a_terminal_obeys_is_written_by_name() {
        assert_eq!(one_line(HOSTILE), "a\\x1b]0;title\\x07\\r\\n\\x9b2J\\u{202e}evil\\u{2066}\\x7f\\tz");
        assert_eq!(lines("a\tb\n\u{1b}c"), "a\tb\n\\x1bc");
        assert!(matches!(one_line("Grüße, 日本 🙂 é"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_log_line_stays_one_and_keeps_its_colours() {
        let mut out = Vec::new();
        LogLines { out: &mut out, json: false }
            .write_all("\u{1b}[32m INFO\u{1b}[0m said \"x\u{202e}\nERROR y\"\n".as_bytes())
            .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\u{1b}[32m INFO\u{1b}[0m said \"x\\u{202e}\\nERROR y\"\n");
    }

    #[test]
    fn a_log_line_for_programs_stays_json() {
        let mut out = Vec::new();
        LogLines { out: &mut out, json: true }.write_all("{\"said\":\"\u{9b}\u{202e}\"}\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"said\":\"\\u009b\\u202e\"}\n");
    }

    proptest! {
        #[test]
        fn nothing_that_is_obeyed_is_left_and_json_means_the_same(text in any::<String>()) {
            let text = text + HOSTILE;
            prop_assert!(!one_line(&text).chars().any(is_obeyed));
            let exact = serde_json::to_string(&text).unwrap();
            let shown = json(&exact);
            prop_assert!(!shown.chars().any(is_obeyed));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
