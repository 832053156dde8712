//! One reading of one file: its text, its surroundings, and everything found wrong in it so far.
//!
//! Knows positions, not keys.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::NotBuilt;
use crate::error::Error;

/// Everything a reader of a part of the file needs besides the part itself. Problems are collected, never returned
/// early, so that one run shows all of them.
pub(super) struct Reading<'t> {
    file: &'t Path,
    text: &'t str,
    directory: PathBuf,
    environment: &'t dyn Fn(&str) -> Option<OsString>,
    problems: RefCell<Vec<(usize, String)>>,
    not_built: RefCell<Vec<(usize, NotBuilt)>>,
    password_files: RefCell<Vec<PathBuf>>,
}

impl<'t> Reading<'t> {
    /// Start to read `text`, which is the content of `file`.
    pub(super) fn new(file: &'t Path, text: &'t str, environment: &'t dyn Fn(&str) -> Option<OsString>) -> Self {
        let directory = file.parent().unwrap_or(Path::new(""));
        // `absolute` fails only on an empty path or without a current directory; relative paths then stay relative.
        let directory = std::path::absolute(Path::new(".").join(directory)).unwrap_or_else(|_| directory.to_owned());
        Self {
            file,
            text,
            directory,
            environment,
            problems: RefCell::default(),
            not_built: RefCell::default(),
            password_files: RefCell::default(),
        }
    }

    /// Record that a password is in the file at `path`.
    pub(super) fn has_password_file(&self, path: &Path) {
        self.password_files.borrow_mut().push(path.to_owned());
    }

    /// Where passwords are.
    pub(super) fn password_files(&self) -> Vec<PathBuf> {
        self.password_files.borrow().clone()
    }

    /// The file that is read.
    pub(super) fn file(&self) -> &Path {
        self.file
    }

    /// `path` as seen from the directory of the file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let path = self.directory.join(path);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Environment variable `name`, if it is set.
    pub(super) fn environment(&self, name: &str) -> Option<OsString> {
        (self.environment)(name)
    }

    /// Record that the text at byte `at` is wrong; `message` says what to write instead.
    pub(super) fn problem(&self, at: usize, message: impl Into<String>) {
        self.problems.borrow_mut().push((at, message.into()));
    }

    /// Record that the text at byte `at` asks for `feature`, which is valid but does not exist yet.
    pub(super) fn not_built(&self, at: usize, subject: Subject<'_>, feature: &str) {
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
    pub(super) fn finish(&self) -> Result<Vec<NotBuilt>, Error> {
        let mut problems = self.problems.borrow().clone();
        if problems.is_empty() {
            let mut not_built = self.not_built.borrow().clone();
            not_built.sort_by_key(|(at, _)| *at);
            return Ok(not_built.into_iter().map(|(_, feature)| feature).collect());
        }
        problems.sort();
        problems.dedup();
        let lines: Vec<String> = problems
            .iter()
            .map(|(at, message)| {
                let (line, column) = self.position(*at);
                format!("{}:{line}:{column}: {message}", self.file.display())
            })
            .collect();
        Err(Error::configuration(lines.join("\n")))
    }

    /// Line and column of byte `at`, both from 1; columns count characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Whom a feature concerns.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'n> {
    /// The service as a whole.
    Service,
    /// The source of this name.
    Source(&'n str),
    /// The repository of this name.
    Repository(&'n str),
}

/// The word of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// "`a`, `b`, `c`".
pub(super) fn quoted_list<'k>(words: impl IntoIterator<Item = &'k str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_only_when_it_is_near() {
        let known = ["repository", "retention", "rpo", "rto"];
        assert_eq!(nearest("repostory", known), Some("repository"));
        assert_eq!(nearest("Retention", known), Some("retention"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let none = |_: &str| None;
        let reading = Reading::new(Path::new("c.toml"), "a = 1\nä = ö", &none);
        assert_eq!(reading.position(0), (1, 1));
        assert_eq!(reading.position("a = 1\nä = ".len()), (2, 5));
        assert_eq!(reading.position(10_000), (2, 6));
    }
}
