//! The grammar of programs, as far as it tells which semicolons are inside of one: that of MySQL, and both of MariaDB. Of a
//! text that a server refuses nothing runs, so only texts that are valid need to be read right.

use super::tokens::Token;

/// Deeper blocks than this are none of a person's.
const DEEPEST: usize = 100;
/// Why a text is not read as one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The server finds no end of the first statement and refuses all of it.
    Refused,
    /// Something follows, or the text is not understood here.
    Malformed,
}

/// Whether a part of it was read.
pub type Parsed = Result<(), Stop>;

/// One reading of a text.
pub struct Parser<'t> {
    pub(super) tokens: Vec<Token<'t>>,
    pub(super) at: usize,
    pub(super) depth: usize,
}

impl<'t> Parser<'t> {
    /// Of these tokens.
    pub fn new(tokens: Vec<Token<'t>>) -> Self {
        Self { tokens, at: 0, depth: 0 }
    }

    /// Whether they are one program of this kind (a word in capitals), and nothing behind it.
    pub fn program(mut self, kind: &str) -> Parsed {
        self.name(kind)?;
        match kind {
            "TRIGGER" => self.trigger()?,
            "EVENT" => self.event()?,
            "PROCEDURE" => self.procedure()?,
            "FUNCTION" => self.function()?,
            "LIBRARY" => self.foreign()?,
            _ => self.package()?,
        }
        if self.tokens.get(self.at) == Some(&Token::Open) {
            return Err(Stop::Refused);
        }
        while self.mark(';') {
            self.at += 1;
        }
        if self.at >= self.tokens.len() { Ok(()) } else { Err(Stop::Malformed) }
    }

    /// One statement, without the semicolon behind it.
    pub(super) fn statement(&mut self) -> Parsed {
        self.deeper()?;
        while self.is_label() {
            self.at += if self.mark('<') { 5 } else { 2 };
        }
        let Some(Token::Word(word)) = self.tokens.get(self.at).copied() else {
            self.simple();
            self.depth -= 1;
            return Ok(());
        };
        match word.to_ascii_uppercase().as_str() {
            "BEGIN" => {
                self.at += if self.is_at(1, "NOT") { 3 } else { 1 };
                self.block()?;
            }
            "IF" => self.branches()?,
            "CASE" => self.cases()?,
            "LOOP" => {
                self.at += 1;
                self.statements(&["END"])?;
                self.close(&["LOOP"])?;
            }
            "REPEAT" => self.repeat()?,
            "WHILE" | "FOR" => {
                self.skip_to(&["DO", "LOOP"])?;
                self.at += 1;
                self.statements(&["END"])?;
                self.close(&["WHILE", "FOR", "LOOP"])?;
            }
            "DECLARE" if self.is_at(2, "HANDLER") => self.handler()?,
            "CREATE" | "ALTER" if self.is_of_an_event() => {
                self.skip_to(&["DO"])?;
                self.at += 1;
                self.statement()?;
            }
            _ => self.simple(),
        }
        self.depth -= 1;
        Ok(())
    }

    /// Statements, each with its semicolon, up to one of these words.
    fn statements(&mut self, until: &[&str]) -> Parsed {
        while !self.is_any(until) || self.is_label() {
            self.inside()?;
            self.statement()?;
            self.semicolon()?;
        }
        Ok(())
    }

    /// Behind `BEGIN`.
    pub(super) fn block(&mut self) -> Parsed {
        while !(self.is("END") || self.is("EXCEPTION") && self.is_at(1, "WHEN")) {
            self.inside()?;
            self.statement()?;
            self.semicolon()?;
        }
        if self.is("EXCEPTION") {
            self.at += 1;
            while self.is("WHEN") {
                self.skip_to(&["THEN"])?;
                self.at += 1;
                self.statements(&["WHEN", "END"])?;
            }
        }
        self.close(&[])
    }

    fn branches(&mut self) -> Parsed {
        while self.is_any(&["IF", "ELSEIF", "ELSIF"]) {
            self.at += 1;
            self.condition()?;
            self.statements(&["ELSEIF", "ELSIF", "ELSE", "END"])?;
        }
        if self.is("ELSE") {
            self.at += 1;
            self.statements(&["END"])?;
        }
        self.close(&["IF"])
    }

    fn cases(&mut self) -> Parsed {
        self.at += 1;
        let mut inner = 0_usize;
        while inner > 0 || !self.is("WHEN") {
            self.inside()?;
            inner += usize::from(self.is("CASE"));
            inner -= usize::from(inner > 0 && self.is("END"));
            self.at += 1;
        }
        while self.is("WHEN") {
            self.at += 1;
            self.condition()?;
            self.statements(&["WHEN", "ELSE", "END"])?;
        }
        if self.is("ELSE") {
            self.at += 1;
            self.statements(&["END"])?;
        }
        self.close(&["CASE"])
    }

    fn repeat(&mut self) -> Parsed {
        self.at += 1;
        self.statements(&["UNTIL"])?;
        while !(self.is("END") && self.is_at(1, "REPEAT")) {
            self.inside()?;
            self.at += 1;
        }
        self.close(&["REPEAT"])
    }

    /// `DECLARE … HANDLER FOR` conditions, and the statement for them.
    fn handler(&mut self) -> Parsed {
        self.at += 4;
        loop {
            self.inside()?;
            let words = match () {
                () if self.is("SQLSTATE") => 2 + usize::from(self.is_at(1, "VALUE")),
                () if self.is("NOT") => 2,
                () => 1,
            };
            self.at += words;
            if !self.mark(',') {
                break;
            }
            self.at += 1;
        }
        self.statement()
    }

    fn is_of_an_event(&self) -> bool {
        // CREATE OR REPLACE DEFINER = user @ host EVENT
        let at = if self.is_at(1, "OR") { 3 } else { 1 };
        let at = match () {
            () if !self.is_at(at, "DEFINER") => at,
            () if self.tokens.get(self.at + at + 3) == Some(&Token::Mark('@')) => at + 5,
            () => at + 3,
        };
        let rest = self.tokens.get(self.at + at..).unwrap_or_default();
        let mut words = rest.iter().take_while(|token| **token != Token::Mark(';'));
        self.is_at(at, "EVENT")
            && words.any(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("DO")))
    }

    /// Behind the `THEN` of a condition. A CASE in it has as many of its own as it has WHENs.
    fn condition(&mut self) -> Parsed {
        let mut inner = 0_usize;
        loop {
            self.inside()?;
            let is_then = self.is("THEN");
            inner += usize::from(self.is("WHEN"));
            self.at += 1;
            if is_then && inner == 0 {
                return Ok(());
            }
            inner -= usize::from(is_then);
        }
    }

    /// `END`, one of these words where there are any, and the label.
    pub(super) fn close(&mut self, words: &[&str]) -> Parsed {
        if !self.is("END") {
            return Err(Stop::Malformed);
        }
        self.at += 1;
        if !words.is_empty() {
            if !self.is_any(words) {
                return Err(Stop::Malformed);
            }
            self.at += 1;
        }
        if matches!(self.tokens.get(self.at), Some(Token::Word(_) | Token::Name)) {
            self.at += 1;
            if self.mark('.') {
                self.at += 2;
            }
        }
        Ok(())
    }

    /// A statement without others in it goes up to the semicolon, or to the end of the text.
    pub(super) fn simple(&mut self) {
        while !self.mark(';') && !matches!(self.tokens.get(self.at), None | Some(Token::Open | Token::Odd)) {
            self.at += 1;
        }
    }

    pub(super) fn semicolon(&mut self) -> Parsed {
        if !self.mark(';') {
            return self.inside().and(Err(Stop::Malformed));
        }
        self.at += 1;
        Ok(())
    }

    /// To one of these words, outside of parentheses.
    pub(super) fn skip_to(&mut self, words: &[&str]) -> Parsed {
        while !self.is_any(words) {
            self.inside()?;
            if self.mark('(') { self.parentheses()? } else { self.at += 1 }
        }
        Ok(())
    }

    /// Behind the parentheses that begin here, if any.
    pub(super) fn parentheses(&mut self) -> Parsed {
        let mut depth = 0_usize;
        loop {
            if self.mark('(') {
                depth += 1;
            } else if depth == 0 {
                return Ok(());
            } else if self.mark(')') {
                depth -= 1;
            }
            self.inside()?;
            self.at += 1;
        }
    }

    /// There is more of this statement.
    pub(super) fn inside(&self) -> Parsed {
        match self.tokens.get(self.at) {
            None | Some(Token::Odd | Token::Mark(';')) => Err(Stop::Malformed),
            Some(Token::Open) => Err(Stop::Refused),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn deeper(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth <= DEEPEST { Ok(()) } else { Err(Stop::Malformed) }
    }

    pub(super) fn mark(&self, mark: char) -> bool {
        self.tokens.get(self.at) == Some(&Token::Mark(mark))
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.is_at(0, word)
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    /// Whether this word stands so much further on, and is no name behind a dot or an `@`.
    pub(super) fn is_at(&self, offset: usize, word: &str) -> bool {
        let at = self.at + offset;
        let mark = |back: usize| match at.checked_sub(back).and_then(|at| self.tokens.get(at)) {
            Some(Token::Mark(mark)) => *mark,
            _ => ' ',
        };
        let is_name = mark(1) == '@' || mark(1) == '.' && mark(2) != '.';
        !is_name && matches!(self.tokens.get(at), Some(Token::Word(text)) if text.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_label(&self) -> bool {
        let mark = |offset: usize, mark: char| self.tokens.get(self.at + offset) == Some(&Token::Mark(mark));
        let is_plain =
            matches!(self.tokens.get(self.at), Some(Token::Word(_) | Token::Name)) && mark(1, ':') && !mark(2, '=');
        is_plain || mark(0, '<') && mark(1, '<') && mark(3, '>') && mark(4, '>')
    }
}
