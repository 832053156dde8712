//! What every repository refuses before it stores or publishes anything. Pure: knows no implementation.

use std::collections::BTreeSet;

use super::{Candidate, NewCandidate};
use crate::domain::manifest::{MANIFEST_FORMAT, Manifest};
use crate::error::{Error, Result};

/// File name of the manifest beside the streams; no stream may take it.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Refuse a candidate whose names cannot be stored or found again.
pub fn check_new(candidate: &NewCandidate) -> Result<()> {
    let what = format!("cannot store backup {} of {}", candidate.id, candidate.source);
    check_name(&candidate.source).map_err(|e| e.context(format!("{what}: name of the source")))?;
    check_name(&candidate.id.0).map_err(|e| e.context(format!("{what}: name of the recovery point")))?;
    Ok(())
}

/// Looks at the streams of a candidate as they come.
#[derive(Debug, Default)]
pub struct StreamCheck {
    last: Option<String>,
}

impl StreamCheck {
    /// Refuse a stream whose name cannot be stored, is taken, or is out of order.
    pub fn next(&mut self, path: &str) -> Result<()> {
        check_name(path).map_err(|e| e.context("cannot store a stream: its name"))?;
        if path == MANIFEST_FILE {
            return Err(Error::failed(format!(
                "cannot store a stream with the name {MANIFEST_FILE}: that is the manifest"
            )));
        }
        match self.last.as_deref() {
            Some(last) if last == path => {
                return Err(Error::failed(format!("cannot store two streams with the name {path}")));
            }
            Some(last) if last > path => {
                return Err(Error::failed(format!("cannot store stream {path} after {last}: they must be in order")));
            }
            _ => {}
        }
        self.last = Some(path.to_owned());
        Ok(())
    }

    /// Refuse a backup of nothing.
    pub fn end(&self) -> Result<()> {
        if self.last.is_some() { Ok(()) } else { Err(Error::failed("the backup has no streams")) }
    }
}

/// Refuse a manifest that promises anything else than what was stored and read back.
pub fn check_manifest(candidate: &Candidate, manifest: &Manifest) -> Result<()> {
    let what = format!("cannot publish backup {} of {}", candidate.id, candidate.source);
    if manifest.source != candidate.source || manifest.id != candidate.id {
        return Err(Error::failed(format!("{what}: the manifest is that of {} of {}", manifest.id, manifest.source)));
    }
    if manifest.as_of != candidate.as_of {
        return Err(Error::failed(format!(
            "{what}: the manifest is as of {}, the candidate as of {}",
            manifest.as_of, candidate.as_of
        )));
    }
    let promised: BTreeSet<(&str, u64)> = manifest.files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
    let stored: BTreeSet<(&str, u64)> = candidate.files.iter().map(|(path, bytes)| (path.as_str(), *bytes)).collect();
    if promised == stored {
        return Ok(());
    }
    let describe = |files: &BTreeSet<(&str, u64)>| {
        files.iter().map(|(path, bytes)| format!("{path} of {bytes} bytes")).collect::<Vec<_>>().join(", ")
    };
    Err(Error::failed(format!(
        "{what}: the manifest promises {}, stored is {}",
        describe(&promised),
        describe(&stored)
    )))
}

/// Parse what was published; a newer format is refused instead of guessed at.
pub fn parse_manifest(bytes: &[u8]) -> Result<Manifest> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let broken = |e: serde_json::Error| Error::failed("cannot read the manifest").because(e);
    let Format { format } = serde_json::from_slice(bytes).map_err(broken)?;
    if format > MANIFEST_FORMAT {
        return Err(Error::failed(format!(
            "cannot read the manifest: format {format} is newer than {MANIFEST_FORMAT}"
        ))
        .hint("it was written by a newer version of backup-sla: use that version or a later one"));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(broken)?;
    match manifest.contradiction() {
        None => Ok(manifest),
        Some(what) => {
            let failed = format!("cannot read manifest {} of {}: it is {what}", manifest.id, manifest.source);
            Err(Error::failed(failed).hint("the manifest is damaged or was changed: use another recovery point"))
        }
    }
}

/// A name is one path component that survives paths, shells, and lists separated by commas.
fn check_name(name: &str) -> Result<()> {
    let fine = !name.is_empty()
        && name != "."
        && name != ".."
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ',' | '*' | '?' | '['));
    if fine {
        Ok(())
    } else {
        Err(Error::failed(format!(
            "`{}` cannot be used: names have no slash, comma, wildcard or control character",
            name.escape_debug()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_path_components() {
        for good in ["agama", "01J9ZK", "dump.sql", "größe", "a b", "x=y"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a,b", "a\nb", "a\0b", "*"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_manifest_of_a_newer_format_is_refused_with_a_hint() {
        let error = parse_manifest(br#"{"format": 99, "everything": "else"}"#).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read the manifest: format 99 is newer than {MANIFEST_FORMAT}"));
        assert!(error.hint_text().is_some());
        let next = format!(r#"{{"format": {}}}"#, MANIFEST_FORMAT + 1);
        assert!(parse_manifest(next.as_bytes()).unwrap_err().to_string().contains("is newer than"), "not damage");
    }
}
