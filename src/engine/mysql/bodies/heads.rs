//! What stands in front of a program's body: its name, and whatever its kind has besides.

use super::parser::{Parsed, Parser, Stop};
use super::tokens::Token;

/// Words of a routine's head between its parameters and its body.
const CHARACTERISTICS: [&str; 14] = [
    "COMMENT",
    "CONTAINS",
    "DATA",
    "DEFINER",
    "DETERMINISTIC",
    "INVOKER",
    "LANGUAGE",
    "MODIFIES",
    "NO",
    "NOT",
    "READS",
    "SECURITY",
    "SQL",
    "JAVASCRIPT",
];
/// What a function's body begins with, which its type does not contain.
const FUNCTION_BODIES: [&str; 10] = ["RETURN", "BEGIN", "IF", "CASE", "LOOP", "REPEAT", "WHILE", "FOR", "AS", "IS"];

impl Parser<'_> {
    /// Go behind the name of what is created.
    pub(super) fn name(&mut self, kind: &str) -> Parsed {
        let first = kind.split(' ').next().unwrap_or_default();
        let follows = |parser: &Self| parser.at > 0 && parser.tokens[parser.at - 1] == Token::Mark('=');
        // A definer may be called like this.
        while !self.is(first) || follows(self) {
            self.inside()?;
            self.at += 1;
        }
        self.at += kind.split(' ').count();
        if self.is("IF") {
            self.at += 3;
        }
        self.at += 1;
        if self.mark('.') {
            self.at += 2;
        }
        Ok(())
    }

    pub(super) fn trigger(&mut self) -> Parsed {
        self.skip_to(&["FOR"])?;
        self.at += 3;
        if self.is_any(&["FOLLOWS", "PRECEDES"]) {
            self.at += 2;
        }
        self.statement()
    }

    pub(super) fn event(&mut self) -> Parsed {
        self.skip_to(&["DO"])?;
        self.at += 1;
        self.statement()
    }

    pub(super) fn procedure(&mut self) -> Parsed {
        self.parentheses()?;
        let mut is_foreign = false;
        while !self.is_label() && (self.is_any(&CHARACTERISTICS) || self.is_beside_a_characteristic()) {
            is_foreign |= self.names_a_language();
            self.at += 1;
        }
        if is_foreign {
            self.foreign()
        } else if self.is_any(&["AS", "IS"]) {
            self.declared_block()
        } else {
            self.statement()
        }
    }

    pub(super) fn function(&mut self) -> Parsed {
        self.parentheses()?;
        // Under ORACLE this is the type, and the body begins with AS.
        let is_of_oracle = self.is("RETURN");
        self.at += 1;
        let bodies = if is_of_oracle { &FUNCTION_BODIES[8..] } else { &FUNCTION_BODIES[..] };
        let mut is_foreign = false;
        while !self.is_label() && !self.is_any(bodies) {
            self.inside()?;
            is_foreign |= self.names_a_language();
            if self.mark('(') { self.parentheses()? } else { self.at += 1 }
        }
        if is_foreign {
            self.foreign()
        } else if self.is_any(&["AS", "IS"]) {
            self.declared_block()
        } else {
            self.statement()
        }
    }

    /// A package, or its body.
    pub(super) fn package(&mut self) -> Parsed {
        self.skip_to(&["AS", "IS"])?;
        self.at += 1;
        self.declarations()?;
        if self.is("BEGIN") {
            self.at += 1;
            return self.block();
        }
        self.close(&[])
    }

    /// A body in another language is a text. A server that does not know the language refuses it.
    pub(super) fn foreign(&mut self) -> Parsed {
        self.skip_to(&["AS"])?;
        self.text()
    }

    /// `AS`, and a text.
    fn text(&mut self) -> Parsed {
        self.at += 1;
        match self.tokens.get(self.at) {
            Some(Token::Text) => {
                self.at += 1;
                Ok(())
            }
            // `$$` is the name of something to a server that does not know it as a quote.
            _ => Err(Stop::Refused),
        }
    }

    fn names_a_language(&self) -> bool {
        let next = self.tokens.get(self.at + 1);
        self.is("LANGUAGE") && matches!(next, Some(Token::Word(name)) if !name.eq_ignore_ascii_case("SQL"))
    }

    /// The text of a comment.
    fn is_beside_a_characteristic(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        matches!(self.tokens.get(self.at), Some(Token::Text))
            && matches!(before, Some(Token::Word(word)) if word.eq_ignore_ascii_case("COMMENT"))
    }

    /// `AS`, declarations, `BEGIN … END` and its name.
    fn declared_block(&mut self) -> Parsed {
        self.at += 1;
        self.declarations()?;
        if !self.is("BEGIN") {
            return Err(Stop::Malformed);
        }
        self.at += 1;
        self.block()
    }

    /// Up to the `BEGIN` of a block or the `END` of a package.
    fn declarations(&mut self) -> Parsed {
        self.deeper()?;
        while !self.is_any(&["BEGIN", "END"]) {
            self.inside()?;
            if self.is_any(&["PROCEDURE", "FUNCTION"]) {
                while !self.is_any(&["AS", "IS"]) && !self.mark(';') {
                    self.inside()?;
                    self.at += 1;
                }
                if !self.mark(';') {
                    self.declared_block()?;
                }
            } else {
                self.simple();
            }
            self.semicolon()?;
        }
        self.depth -= 1;
        Ok(())
    }
}
