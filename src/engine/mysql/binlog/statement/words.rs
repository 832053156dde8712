//! The words of a statement, taken one after the other.

use crate::engine::mysql::names::{self, Token};

/// The rest of a statement.
pub struct Words<'t> {
    rest: &'t [Token],
    database: &'t str,
    folds: bool,
}

/// What stands in front of a created or altered thing's name.
pub struct Head {
    /// In capitals.
    pub kind: String,
    pub replaces: bool,
    pub is_temporary: bool,
    pub ignores: bool,
}

/// A word or a name as it is written.
pub fn text(token: &Token) -> &str {
    match token {
        Token::Word(text) | Token::Quoted(text) => text,
        Token::Mark(_) => "",
    }
}

/// The pattern for all names in the database of this one.
pub fn all_beside(qualified: &str) -> String {
    names::split_qualified(qualified)
        .map_or_else(String::new, |(database, _)| format!("{}.*", names::database(&database)))
}

impl<'t> Words<'t> {
    /// Of a statement that was sent with this database in use.
    pub fn new(tokens: &'t [Token], database: &'t str) -> Self {
        Self { rest: tokens, database, folds: false }
    }

    /// Names of databases and tables mean the same in small letters.
    #[must_use]
    pub fn folding(self, folds: bool) -> Self {
        Self { folds, ..self }
    }

    /// The database in use.
    pub fn in_use(&self) -> &'t str {
        self.database
    }

    pub fn is_next(&self, word: &str) -> bool {
        self.rest.first().is_some_and(|token| token.is_word(word))
    }

    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// One token less.
    pub fn skip(&mut self) -> Option<&'t Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next token, a word, in capitals.
    pub fn keyword(&mut self) -> Option<String> {
        match self.skip()? {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }

    pub fn eats(&mut self, word: &str) -> bool {
        let is_next = self.is_next(word);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    pub fn eats_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.eats(word))
    }

    pub fn eats_mark(&mut self, mark: char) -> bool {
        let is_next = self.rest.first() == Some(&Token::Mark(mark));
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    /// `IF EXISTS`, `IF NOT EXISTS`.
    pub fn eats_condition(&mut self) -> bool {
        let at = |at: usize, word: &str| self.rest.get(at).is_some_and(|token| token.is_word(word));
        let length = match () {
            () if at(0, "IF") && at(1, "EXISTS") => 2,
            () if at(0, "IF") && at(1, "NOT") && at(2, "EXISTS") => 3,
            () => 0,
        };
        self.rest = &self.rest[length..];
        length > 0
    }

    /// `WAIT n`, `NOWAIT`.
    pub fn eats_wait(&mut self) {
        if self.eats("WAIT") {
            self.skip();
        } else {
            self.eats("NOWAIT");
        }
    }

    /// Whether this word stands anywhere in the rest.
    pub fn has(&self, word: &str) -> bool {
        self.rest.iter().any(|token| token.is_word(word))
    }

    /// What stands behind this word, wherever it does.
    pub fn follows(&self, word: &'t str) -> impl Iterator<Item = &'t Token> {
        self.rest.windows(2).filter(move |pair| pair[0].is_word(word)).map(|pair| &pair[1])
    }

    /// The values of an option outside of parentheses, with or without `=`.
    pub fn values(&self, option: &'t str) -> Vec<&'t Token> {
        let (mut out, mut depth) = (Vec::new(), 0_i64);
        for (at, token) in self.rest.iter().enumerate() {
            match token {
                Token::Mark('(') => depth += 1,
                Token::Mark(')') => depth -= 1,
                token if depth == 0 && token.is_word(option) => {
                    let is_set = self.rest.get(at + 1) == Some(&Token::Mark('='));
                    out.extend(self.rest.get(at + 1 + usize::from(is_set)));
                }
                _ => {}
            }
        }
        out
    }

    /// Go behind these words, wherever they stand next.
    pub fn seek(&mut self, words: &[&str]) -> bool {
        let is = |found: &[Token]| found.iter().zip(words).all(|(token, word)| token.is_word(word));
        let found = self.rest.windows(words.len()).position(is);
        if let Some(at) = found {
            self.rest = &self.rest[at + words.len()..];
        }
        found.is_some()
    }

    /// A name without a database.
    pub fn one_name(&mut self) -> Option<String> {
        match self.skip()? {
            Token::Word(name) | Token::Quoted(name) if self.folds => Some(name.to_lowercase()),
            Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
            Token::Mark(_) => None,
        }
    }

    /// A name with its database, or that in use, as checks write it.
    pub fn table(&mut self) -> Option<String> {
        let first = self.one_name()?;
        if self.eats_mark('.') {
            return Some(names::qualified(&first, &self.one_name()?));
        }
        (!self.database.is_empty()).then(|| names::qualified(self.database, &first))
    }

    /// One or several.
    pub fn tables(&mut self) -> Option<Vec<String>> {
        let mut all = vec![self.table()?];
        while self.eats_mark(',') {
            all.push(self.table()?);
        }
        Some(all)
    }

    /// What is created or altered.
    pub fn head(&mut self) -> Option<Head> {
        let (mut replaces, mut is_temporary, mut ignores) = (false, false, false);
        loop {
            let word = self.keyword()?;
            match word.as_str() {
                "OR" => replaces = self.eats("REPLACE"),
                "TEMPORARY" => is_temporary = true,
                "DEFINER" | "ALGORITHM" if self.eats_mark('=') => {
                    self.skip()?;
                    if self.eats_mark('(') {
                        self.eats_mark(')');
                    }
                    if self.eats_mark('@') {
                        self.skip()?;
                    }
                }
                "IGNORE" => ignores = true,
                "SQL" | "SECURITY" | "INVOKER" | "DEFINER" | "AGGREGATE" | "UNIQUE" | "FULLTEXT" | "SPATIAL"
                | "VECTOR" | "ONLINE" | "OFFLINE" | "UNDO" | "JSON" | "RELATIONAL" | "DUALITY" | "MATERIALIZED" => {}
                _ => return Some(Head { kind: word, replaces, is_temporary, ignores }),
            }
        }
    }

    /// The actions behind an altered table's name: what commas outside of parentheses divide.
    pub fn actions(&self) -> Vec<Words<'t>> {
        let (mut out, mut from, mut depth) = (Vec::new(), 0, 0_i64);
        for (at, token) in self.rest.iter().enumerate() {
            match token {
                Token::Mark('(') => depth += 1,
                Token::Mark(')') => depth -= 1,
                Token::Mark(',') if depth == 0 => {
                    out.push(Self { rest: &self.rest[from..at], ..*self });
                    from = at + 1;
                }
                _ => {}
            }
        }
        out.push(Self { rest: &self.rest[from..], ..*self });
        out
    }
}
