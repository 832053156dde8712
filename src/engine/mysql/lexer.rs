//! Where statements end for the client program, which reads SQL in a way of its own: line by line, by rules that are not
//! quite the server's. A dump means what its client makes of it, so every rule of the client is here, the odd ones too.
//! A test runs the real clients against this.

const DELIMITER: &[u8] = b"delimiter";

/// Whose client it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `mariadb`
    MariaDb,
    /// `mysql`
    MySql,
}

impl Client {
    /// The client of a server product.
    pub fn of(product: &str) -> Self {
        if product == "MySQL" { Self::MySql } else { Self::MariaDb }
    }
}

/// What begins at a place of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This many bytes that mean nothing by themselves.
    Take(usize),
    /// A comment to the end of the line.
    LineComment,
    /// A block comment begins with these two bytes.
    Opened,
    /// A block comment ends with these two bytes.
    Closed,
    /// The statement ends: the delimiter is here.
    End,
    /// A command to the client, or what it takes for one.
    Command,
}

/// Comments that are text to the client, until the line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    None,
    /// `/*!`
    Versioned,
    /// `/*+` of MySQL: nothing inside of it counts.
    Hint,
}

/// The client's state between two places of the text.
#[derive(Debug)]
pub struct Lexer {
    client: Client,
    /// Ends a statement.
    pub delimiter: Vec<u8>,
    /// `NO_BACKSLASH_ESCAPES`, as the server's last answer said.
    pub plain_backslash: bool,
    /// `ANSI_QUOTES`, likewise.
    pub ansi_quotes: bool,
    /// The quote that is open, or 0; `$` for a text between dollar signs.
    quote: u8,
    tag: Vec<u8>,
    comment: bool,
    special: Special,
}

/// The text from a place on, as far as it is there.
#[derive(Debug, Clone, Copy)]
pub struct Ahead<'t> {
    text: &'t [u8],
    at: usize,
    /// Nothing follows the text.
    complete: bool,
}

impl<'t> Ahead<'t> {
    /// What stands at `at`, which is inside of the text.
    pub fn new(text: &'t [u8], at: usize, complete: bool) -> Self {
        Self { text, at, complete }
    }

    /// The byte that stands `offset` further on the same line, 0 behind the line's end; none if it is not there yet.
    fn peek(&self, offset: usize) -> Option<u8> {
        let rest = &self.text[self.at..];
        let rest = &rest[..rest.len().min(offset + 1)];
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n')
            && end <= offset
        {
            return Some(0);
        }
        rest.get(offset).copied().or(self.complete.then_some(0))
    }

    /// Whether `wanted` stands here.
    fn begins(&self, wanted: &[u8]) -> Option<bool> {
        for (offset, byte) in wanted.iter().enumerate() {
            if self.peek(offset)? != *byte {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Whether what stands in front of this may be part of a name.
    fn follows_name(&self) -> bool {
        self.text[..self.at].last().is_some_and(|byte| is_of_name(*byte))
    }
}

/// White space to the client.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// What names may consist of without quotes.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || (0x80..=0xfe).contains(&byte)
}

impl Lexer {
    /// Whose rules these are.
    pub fn client(&self) -> Client {
        self.client
    }

    /// At the beginning of a text.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            delimiter: b";".to_vec(),
            plain_backslash: false,
            ansi_quotes: false,
            quote: 0,
            tag: Vec::new(),
            comment: false,
            special: Special::None,
        }
    }

    /// Whether neither quotes nor a comment are open.
    pub fn is_outside(&self) -> bool {
        self.quote == 0 && !self.comment
    }

    /// Whether neither quotes nor a comment of any kind are open.
    pub fn is_plain(&self) -> bool {
        self.is_outside() && self.special == Special::None
    }

    /// What begins at this place; none if more text is needed to know. `fresh`: the client has nothing of the statement yet.
    pub fn step(&mut self, ahead: Ahead<'_>, fresh: bool) -> Option<Step> {
        let byte = ahead.text[ahead.at];
        if byte == b'\n' {
            self.special = Special::None;
            return Some(Step::Take(1));
        }
        if byte == b'\\' && !self.comment && !self.keeps_backslash() {
            return self.backslash(ahead);
        }
        let is_open = self.quote == 0 && self.special != Special::Hint;
        if is_open && !self.comment {
            if ahead.begins(&self.delimiter)? {
                return Some(Step::End);
            }
            if byte == b'#' || byte == b'-' && self.dashes(ahead, fresh)? {
                return Some(Step::LineComment);
            }
        }
        if is_open && self.opens(ahead)? {
            let inside = std::mem::replace(&mut self.comment, true);
            return Some(if inside { Step::Take(2) } else { Step::Opened });
        }
        if self.comment && self.special == Special::None && ahead.begins(b"*/")? {
            self.comment = false;
            return Some(Step::Closed);
        }
        self.plain(byte, ahead).map(Step::Take)
    }

    /// A comment went to the end of the line.
    pub fn end_line(&mut self) {
        self.special = Special::None;
    }

    fn keeps_backslash(&self) -> bool {
        let by_name = self.client == Client::MariaDb && (self.quote == b'`' || self.quote == b'"' && self.ansi_quotes);
        self.quote != 0 && (self.plain_backslash || by_name)
    }

    fn backslash(&self, ahead: Ahead<'_>) -> Option<Step> {
        let next = ahead.peek(1)?;
        Some(match next {
            // The client takes the backslash for the end of the line, and at a real end that is so.
            0 if ahead.text.get(ahead.at + 1).is_none_or(|byte| *byte == b'\n') && self.quote != 0 => Step::Take(1),
            0 => Step::Command,
            b'`' if self.quote == b'`' => Step::Take(1),
            _ if self.quote != 0 || next == b'N' => Step::Take(2),
            _ => Step::Command,
        })
    }

    fn dashes(&self, ahead: Ahead<'_>, fresh: bool) -> Option<bool> {
        if ahead.peek(1)? != b'-' {
            return Some(false);
        }
        let next = ahead.peek(2)?;
        Some(next == 0 || is_space(next) || self.client == Client::MariaDb && fresh)
    }

    /// Whether a comment begins that the client takes for one.
    fn opens(&self, ahead: Ahead<'_>) -> Option<bool> {
        if !ahead.begins(b"/*")? {
            return Some(false);
        }
        let next = ahead.peek(2)?;
        Some(match self.client {
            _ if next == b'!' => false,
            Client::MySql => next != b'+',
            Client::MariaDb => next != b'M' || ahead.peek(3)? != b'!',
        })
    }

    fn plain(&mut self, byte: u8, ahead: Ahead<'_>) -> Option<usize> {
        if self.quote == 0 {
            if byte == b'/' && ahead.peek(1)? == b'*' {
                match ahead.peek(2)? {
                    b'!' => self.special = Special::Versioned,
                    b'+' if self.client == Client::MySql => self.special = Special::Hint,
                    _ => {}
                }
            } else if byte == b'*' && self.special != Special::None && ahead.peek(1)? == b'/' {
                self.special = Special::None;
            }
        }
        if self.quote != 0 && byte == self.quote {
            if byte != b'$' {
                self.quote = 0;
            } else if ahead.begins(&self.tag)? {
                self.quote = 0;
                return Some(self.tag.len());
            }
        } else if !self.comment && self.quote == 0 && self.special != Special::Hint {
            if matches!(byte, b'\'' | b'"' | b'`') {
                self.quote = byte;
            } else if byte == b'$' && self.client == Client::MySql && !ahead.follows_name() {
                return self.dollar(ahead);
            }
        }
        Some(1)
    }

    /// `$$` or `$tag$` begins a text.
    fn dollar(&mut self, ahead: Ahead<'_>) -> Option<usize> {
        let rest = &ahead.text[ahead.at..];
        let name = rest[1..].iter().take_while(|byte| **byte != b'$' && is_of_name(**byte)).count();
        match rest.get(1 + name) {
            Some(b'$') => {}
            None if !ahead.complete => return None,
            _ => return Some(1),
        }
        self.tag = rest[..2 + name].to_vec();
        self.quote = b'$';
        Some(self.tag.len())
    }
}

/// The delimiter that a line sets, if that is what the line is for; empty where it names none. To the client every word that
/// begins so is the command, where it looks for one: at the beginning of a line, and of a statement that is complete.
pub fn delimiter(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let blank = line.iter().take_while(|byte| is_space(**byte)).count();
    let line = &line[blank..];
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let is_command = line.len() >= DELIMITER.len() && line[..DELIMITER.len()].eq_ignore_ascii_case(DELIMITER);
    is_command.then(|| line[end..].trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the client sees the end of the first statement; an error where it sees a command before.
    fn end(client: Client, text: &[u8]) -> Result<Option<usize>, usize> {
        let (mut lexer, mut at) = (Lexer::new(client), 0);
        while at < text.len() {
            match lexer.step(Ahead::new(text, at, true), at == 0).unwrap() {
                Step::Take(length) => at += length,
                Step::Opened | Step::Closed => at += 2,
                Step::LineComment => {
                    at += text[at..].iter().position(|byte| *byte == b'\n').unwrap_or(text.len() - at);
                    lexer.end_line();
                }
                Step::End => return Ok(Some(at)),
                Step::Command => return Err(at),
            }
        }
        Ok(None)
    }

    #[test]
    fn each_product_has_its_own_client() {
        assert_eq!((Client::of("MySQL"), Client::of("MariaDB")), (Client::MySql, Client::MariaDb));
    }

    #[test]
    fn a_dollar_behind_a_name_opens_no_text() {
        for name in [&b"a"[..], b"Z", b"9", b"_", "é".as_bytes(), b"\x80", b"\xfe"] {
            let text = [name, b"$$;$$;"].concat();
            assert_eq!(end(Client::MySql, &text), Ok(Some(name.len() + 2)), "{name:?}");
            let tagged = [b" $", name, b"$;$x$;$", name, b"$;"].concat();
            assert_eq!(end(Client::MySql, &tagged), Ok(Some(tagged.len() - 1)), "{name:?}");
        }
        for other in [&b" "[..], b"(", b"\xff", b"."] {
            let text = [other, b"$$;$$;"].concat();
            assert_eq!(end(Client::MySql, &text), Ok(Some(text.len() - 1)), "{other:?}");
            assert_eq!(end(Client::MariaDb, &text), Ok(Some(other.len() + 2)), "{other:?}");
        }
        assert_eq!(end(Client::MySql, b" $a b$;"), Ok(Some(6)), "no tag has a space");
    }

    #[test]
    fn a_backslash_in_quotes_takes_what_it_escapes_and_never_a_line_or_a_names_end() {
        for client in [Client::MariaDb, Client::MySql] {
            assert_eq!(end(client, b"'a\\';';"), Ok(Some(6)), "{client:?}");
            assert_eq!(end(client, b"'a\\\n';"), Ok(Some(5)), "{client:?}: the end of a line");
            assert_eq!(end(client, b"'a\\\0';"), Err(2), "{client:?}: what the client takes for one");
            assert_eq!(end(client, b"`a\\`;"), Ok(Some(4)), "{client:?}: a name");
            assert_eq!(end(client, b"\\N;"), Ok(Some(2)), "{client:?}: NULL");
            assert_eq!(end(client, b"a \\! x;"), Err(2), "{client:?}: a command");
        }
    }

    #[test]
    fn two_dashes_are_a_comment_before_space_and_for_mariadb_at_the_beginning() {
        for client in [Client::MariaDb, Client::MySql] {
            assert_eq!(end(client, b"a -- ;\n;"), Ok(Some(7)), "{client:?}");
            assert_eq!(end(client, b"a --\n;"), Ok(Some(5)), "{client:?}");
            assert_eq!(end(client, b"a --1;\n;"), Ok(Some(5)), "{client:?}");
            assert_eq!(end(client, b"a # ;\n;"), Ok(Some(6)), "{client:?}");
        }
        assert_eq!((end(Client::MariaDb, b"--1;\n;"), end(Client::MySql, b"--1;\n;")), (Ok(Some(5)), Ok(Some(3))));
    }
}
