//! One reading of one file: its text, its surroundings, and everything found wrong in it so far.
//!
//! Knows positions, not keys.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::problems::{Place, Problems};
use crate::error::Error;

/// A configured feature that this version does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBuilt {
    /// Source it concerns, if one.
    pub source: Option<String>,
    /// Repository it concerns, if one.
    pub repository: Option<String>,
    /// "line 12, column 1: sandbox kind `docker` is not built yet".
    pub sentence: String,
}

/// Everything a reader of a part of the file needs besides the part itself. Problems are collected, never returned
/// early, so that one run shows all of them.
pub struct Reading<'t> {
    file: &'t Path,
    text: &'t str,
    directory: PathBuf,
    environment: &'t dyn Fn(&str) -> Option<OsString>,
    problems: Problems,
    not_built: RefCell<Vec<(usize, NotBuilt)>>,
    password_files: RefCell<Vec<PathBuf>>,
}

impl<'t> Reading<'t> {
    /// Start to read `text`, which is the content of `file`.
    pub fn new(file: &'t Path, text: &'t str, environment: &'t dyn Fn(&str) -> Option<OsString>) -> Self {
        let directory = file.parent().unwrap_or(Path::new(""));
        // `absolute` fails only on an empty path or without a current directory; relative paths then stay relative.
        let directory = std::path::absolute(Path::new(".").join(directory)).unwrap_or_else(|_| directory.to_owned());
        Self {
            file,
            text,
            directory,
            environment,
            problems: Problems::in_file(file.display()),
            not_built: RefCell::default(),
            password_files: RefCell::default(),
        }
    }

    /// Record that a password is in the file at `path`.
    pub fn has_password_file(&self, path: &Path) {
        self.password_files.borrow_mut().push(path.to_owned());
    }

    /// Where passwords are.
    pub fn password_files(&self) -> Vec<PathBuf> {
        self.password_files.borrow().clone()
    }

    /// The file that is read.
    pub fn file(&self) -> &Path {
        self.file
    }

    /// `path` as seen from the directory of the file.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let path = self.directory.join(path);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Environment variable `name`, if it is set.
    pub fn environment(&self, name: &str) -> Option<OsString> {
        (self.environment)(name)
    }

    /// Record that the text at byte `at` is wrong; `message` says what to write instead.
    pub fn problem(&self, at: usize, message: impl Into<String>) {
        self.problems.at(self.position(at), message);
    }

    /// Record that the text at byte `at` asks for `feature`, which is valid but does not exist yet.
    pub fn not_built(&self, at: usize, subject: Subject<'_>, feature: &str) {
        let (line, column) = self.position(at);
        let (source, repository) = match subject {
            Subject::Service => (None, None),
            Subject::Source(name) => (Some(name.to_owned()), None),
            Subject::Repository(name) => (None, Some(name.to_owned())),
        };
        let sentence = format!("line {line}, column {column}: {feature} is not built yet");
        self.not_built.borrow_mut().push((at, NotBuilt { source, repository, sentence }));
    }

    /// The features that are not built in the order of the file, or all problems as one error, a line each.
    pub fn finish(&self) -> Result<Vec<NotBuilt>, Error> {
        if let Some(problems) = self.problems.text() {
            return Err(Error::configuration(problems));
        }
        let mut not_built = self.not_built.borrow().clone();
        not_built.sort_by_key(|(at, _)| *at);
        Ok(not_built.into_iter().map(|(_, feature)| feature).collect())
    }

    /// Line and column of byte `at`, both from 1; columns count characters.
    fn position(&self, at: usize) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Whom a feature concerns.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'n> {
    /// The service as a whole.
    Service,
    /// The source of this name.
    Source(&'n str),
    /// The repository of this name.
    Repository(&'n str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let none = |_: &str| None;
        let reading = Reading::new(Path::new("c.toml"), "a = 1\nä = ö", &none);
        assert_eq!(reading.position(0), (1, 1));
        assert_eq!(reading.position("a = 1\nä = ".len()), (2, 5));
        assert_eq!(reading.position(10_000), (2, 6));
    }
}
