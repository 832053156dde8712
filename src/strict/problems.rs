//! Everything that is wrong with one file, each with its place.

use std::cell::RefCell;
use std::fmt::Display;

use super::nearest::{nearest, quoted_list};

/// Line and column, both from 1.
pub type Place = (usize, usize);

/// What was found wrong so far. Collected, never returned early, so that one run shows all of it.
#[derive(Debug)]
pub struct Problems {
    file: String,
    found: RefCell<Vec<(Option<Place>, String)>>,
}

impl Problems {
    /// None yet, in `file`.
    pub fn in_file(file: impl Display) -> Self {
        Self { file: file.to_string(), found: RefCell::default() }
    }

    /// Record that what is at `place` is wrong; `message` says what to write instead.
    pub fn at(&self, place: Place, message: impl Into<String>) {
        self.found.borrow_mut().push((Some(place), message.into()));
    }

    /// Record that the file as a whole is wrong.
    pub fn anywhere(&self, message: impl Into<String>) {
        self.found.borrow_mut().push((None, message.into()));
    }

    /// All of them in the order of the file, a line each; none if nothing is wrong.
    pub fn text(&self) -> Option<String> {
        let mut found = self.found.borrow().clone();
        found.sort();
        found.dedup();
        let line = |(place, message): &(Option<Place>, String)| match place {
            Some((line, column)) => format!("{}:{line}:{column}: {message}", self.file),
            None => format!("{}: {message}", self.file),
        };
        (!found.is_empty()).then(|| found.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

/// "unknown key `rpoo` in [sla.standard]: did you mean `rpo`?"
pub fn unknown_key(key: &str, table: &str, known: &[&str]) -> String {
    let advice = match nearest(key, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known keys are {}", quoted_list(known.iter().copied())),
    };
    format!("unknown key `{key}` in {table}: {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_in_the_order_of_the_file_and_each_once() {
        let problems = Problems::in_file("c.toml");
        assert_eq!(problems.text(), None);
        problems.at((10, 1), "b");
        problems.at((9, 7), "a");
        problems.at((10, 1), "b");
        problems.anywhere("is empty");
        assert_eq!(problems.text().unwrap(), "c.toml: is empty\nc.toml:9:7: a\nc.toml:10:1: b");
    }
}
