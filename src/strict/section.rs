//! Strict reading of one table: keys are taken by name, and what nobody took is reported.
//!
//! Knows TOML tables, not what any key means.

use std::cell::RefCell;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::problems::unknown_key;
use super::reading::{Reading, Subject};

/// A value with its place in the file.
pub type Value<'t> = Spanned<DeValue<'t>>;

/// Why a value cannot be used. The message continues the sentence that starts with the key: "must be …".
#[derive(Debug)]
pub struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    /// The fault of `value`; `message` continues "`key` …".
    pub fn new(value: &Value<'_>, message: impl Into<String>) -> Self {
        Self { at: value.span().start, message: message.into() }
    }

    /// The value has the wrong type; `wanted` is an example-bearing phrase: "a duration such as \"24h\"".
    pub fn wrong_type(value: &Value<'_>, wanted: &str) -> Self {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        Self::new(value, format!("must be {wanted}, not {found}"))
    }
}

/// One table while it is read. Asking for a key makes it known; dropping the section reports the keys that nobody
/// asked for, so a reader cannot forget to be strict. Ask for *all* keys before giving up on a table.
pub struct Section<'r> {
    reading: &'r Reading<'r>,
    table: &'r DeTable<'r>,
    /// `source.shop.mysql`; empty for the whole file.
    path: String,
    at: usize,
    known: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<(&'static str, String)>>,
    refused: RefCell<Vec<&'static str>>,
}

impl<'r> Section<'r> {
    /// The whole file.
    pub fn root(reading: &'r Reading<'r>, table: &'r DeTable<'r>) -> Self {
        Self::new(reading, table, String::new(), 0)
    }

    fn new(reading: &'r Reading<'r>, table: &'r DeTable<'r>, path: String, at: usize) -> Self {
        let (known, missing, refused) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { reading, table, path, at, known, missing, refused }
    }

    /// The reading this section belongs to.
    pub fn reading(&self) -> &'r Reading<'r> {
        self.reading
    }

    /// Is `key` in the file, whatever its value?
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Place of `key` itself; of the section if it has no such key.
    fn key_at(&self, key: &str) -> usize {
        self.table.get_key_value(key).map_or(self.at, |(key, _)| key.span().start)
    }

    /// Report a problem with `key`.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        self.reading.problem(self.key_at(key), message);
    }

    /// Record that `key` asks for something that does not exist yet.
    pub fn not_built(&self, key: &str, subject: Subject<'_>, feature: &str) {
        self.reading.not_built(self.key_at(key), subject, feature);
    }

    /// Report that one of several keys must be there and none is.
    pub fn incomplete(&self, message: impl std::fmt::Display) {
        self.reading.problem(self.at, format!("{} {message}", self.title()));
    }

    /// Value of `key` if it is there and good. A bad value is reported and reads as `None`.
    pub fn optional<T>(&self, key: &'static str, read: impl FnOnce(&'r Value<'r>) -> Result<T, Fault>) -> Option<T> {
        let value = self.take(key)?;
        read(value).map_err(|fault| self.reading.problem(fault.at, format!("`{key}` {}", fault.message))).ok()
    }

    /// Value of `key`, whose absence is a problem too; `example` shows what to write: `rpo = "24h"`.
    pub fn required<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&'r Value<'r>) -> Result<T, Fault>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing.borrow_mut().push((key, format!("{} has no `{key}`: write {example}", self.title())));
        }
        self.optional(key, read)
    }

    /// Items of the array `key`, each bad one reported; `None` if there is no such key. An empty array is a problem.
    pub fn list<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl Fn(&'r Value<'r>) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        let wanted = format!("an array such as {example}");
        let items = self.optional(key, |value| match value.get_ref() {
            DeValue::Array(items) if items.is_empty() => {
                Err(Fault::new(value, format!("is empty: write {wanted}, or remove the key")))
            }
            DeValue::Array(items) => Ok(items),
            _ => Err(Fault::wrong_type(value, &wanted)),
        })?;
        let mut values = Vec::new();
        for item in items {
            match read(item) {
                Ok(value) => values.push(value),
                Err(fault) => self.reading.problem(fault.at, format!("an item of `{key}` {}", fault.message)),
            }
        }
        Some(values)
    }

    /// The table `key`, if it is there; `example` shows how to write it.
    pub fn table(&self, key: &'static str, example: &str) -> Option<Section<'r>> {
        let table = self.optional(key, |value| as_table(value, example))?;
        Some(Section::new(self.reading, table, self.path_of(key), self.key_at(key)))
    }

    /// The tables of the array `key`; none if there is no such key.
    pub fn tables(&self, key: &'static str, example: &str) -> Vec<Section<'r>> {
        let path = self.path_of(key);
        self.list(key, example, |value| {
            let table = as_table(value, example)?;
            Ok(Section::new(self.reading, table, path.clone(), value.span().start))
        })
        .unwrap_or_default()
    }

    /// The tables inside table `key` with their names: `[source.shop]`, `[source.telegraf]`. Bad names are reported.
    pub fn named_tables(&self, key: &'static str) -> Vec<(&'r str, Section<'r>)> {
        let example = format!("[{key}.NAME]");
        let Some(parent) = self.optional(key, |value| as_table(value, &example)) else { return Vec::new() };
        let mut sections: Vec<(&str, Self)> = Vec::new();
        for (name, value) in parent {
            if let Err(message) = check_name(name.get_ref()) {
                self.reading.problem(name.span().start, format!("{key} name {message}"));
            }
            let path = format!("{key}.{}", name.get_ref());
            match as_table(value, &format!("[{path}]")) {
                Ok(table) => {
                    let section = Section::new(self.reading, table, path, name.span().start);
                    sections.push((name.get_ref().as_ref(), section));
                }
                Err(fault) => self.reading.problem(fault.at, format!("`{path}` {}", fault.message)),
            }
        }
        // The parser sorts by name; people read from the top.
        sections.sort_by_key(|(_, section)| section.at);
        sections
    }

    /// Report `key` if it is there, for a reason that is better than "unknown".
    pub fn refuse(&self, key: &'static str, message: &str) {
        self.refused.borrow_mut().push(key);
        if self.has(key) {
            self.problem(key, message);
        }
    }

    fn take(&self, key: &'static str) -> Option<&'r Value<'r>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.table.get(key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn title(&self) -> String {
        if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", self.path) }
    }
}

fn as_table<'r>(value: &'r Value<'r>, example: &str) -> Result<&'r DeTable<'r>, Fault> {
    value.get_ref().as_table().ok_or_else(|| Fault::wrong_type(value, &format!("a table such as {example}")))
}

/// Names become metric labels, paths and tags, so they are kept to what is safe in all of them.
fn check_name(name: &str) -> Result<(), String> {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.len() <= 64 && name.starts_with(first) && name.chars().all(|c| first(c) || c == '_' || c == '-');
    if good {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not allowed: write 1 to 64 of a-z, 0-9, `_` and `-`, the first a letter or a digit \
         (names become labels, paths and tags)"
    ))
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let known = self.known.take();
        let mut missing = self.missing.take();
        let refused = self.refused.take();
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) || refused.contains(&name) {
                continue;
            }
            if let Some(meant) = nearest(name, known.iter().copied()) {
                // One mistake, one line: the misspelt key is not missing as well.
                missing.retain(|(key, _)| *key != meant);
            }
            self.reading.problem(key.span().start, unknown_key(name, &self.title(), &known));
        }
        for (_, message) in missing {
            self.reading.problem(self.at, message);
        }
    }
}
