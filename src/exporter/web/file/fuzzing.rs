//! Web configuration files that nobody wrote.

#![allow(clippy::missing_panics_doc)] // a panic is the finding

use std::path::Path;

use super::declared;

/// The file's text: what is wrong with it is said with its place.
pub fn web_file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(error) = declared::parse(Path::new("/web.yml"), text) {
        assert!(error.to_string().starts_with("/web.yml:"), "{error}");
    }
}
