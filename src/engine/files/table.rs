//! `[source.NAME.files]`.

use std::path::{Component, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::kind::Table;
use crate::strict::{Fault, Reading, Section, Value, value};

/// Most time for the answer to an assertion, unless said otherwise.
const ASSERTION_TIMEOUT: Duration = Duration::from_mins(10);

/// `[source.NAME.files]`.
#[derive(Debug, Clone)]
pub struct FilesConfig {
    /// Directories and files to back up, absolute, none inside another.
    pub paths: Vec<PathBuf>,
    /// Patterns of what is left out; each is a glob that compiles.
    pub exclude: Vec<String>,
    /// Most time that a command asked of the restored tree may take; default 10 minutes.
    pub assertion_timeout: Duration,
}

/// Read the table of a source.
pub fn read(section: &Section<'_>) -> Table {
    let reading = section.reading();
    if !section.has("paths") {
        section.incomplete("has no `paths`: write paths = [\"/srv/ansible\"]");
    }
    let paths = section.list("paths", "[\"/srv/ansible\"]", |v| plain_path(v, reading)).unwrap_or_default();
    for (index, path) in paths.iter().enumerate() {
        if let Some(outer) = paths[..index].iter().find(|other| path.starts_with(other) || other.starts_with(path)) {
            let (inner, outer) = if path.starts_with(outer) { (path, outer) } else { (outer, path) };
            section.problem(
                "paths",
                format!("{} is inside {}: every file can be in a backup only once", inner.display(), outer.display()),
            );
        }
    }
    let exclude = section.list("exclude", "[\"*.retry\"]", glob).unwrap_or_default();
    if let Some(first) = exclude.first().filter(|first| first.starts_with('!')) {
        let message = format!(
            "`exclude` begins with {first:?}, which takes back what an earlier pattern leaves out, and there is none: put it \
             behind that one (a name that begins with `!` is written \"\\\\!name\")"
        );
        section.problem("exclude", message);
    }
    let assertion_timeout = section.optional("assertion_timeout", value::duration).unwrap_or(ASSERTION_TIMEOUT);
    let config = FilesConfig { paths, exclude, assertion_timeout };
    Table { settings: Arc::new(config), made_elsewhere: false }
}

/// An absolute path without `.` and `..`, which symbolic links would give another meaning.
fn plain_path(value: &Value<'_>, reading: &Reading<'_>) -> Result<PathBuf, Fault> {
    let path = value::path(value, reading)?;
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Fault::new(value, format!("must not contain `..`: {}", path.display())));
    }
    Ok(path.components().collect())
}

fn glob(value: &Value<'_>) -> Result<String, Fault> {
    let pattern = value::text(value)?;
    if pattern.trim_end_matches('/').trim_start_matches('!').is_empty() {
        return Err(Fault::new(value, "is no pattern: write one such as \"*.retry\""));
    }
    match globset::Glob::new(pattern) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => Err(Fault::new(value, format!("is not a pattern: {error}; write one such as \"*.retry\""))),
    }
}
