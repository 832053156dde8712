//! Places and passwords for the tests.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use tempfile::TempDir;

use crate::repository::place::local::LocalPlace;
use crate::repository::restic::backend::PlaceBackend;

pub const PASSWORD: &str = "correct horse";

pub fn password() -> SecretString {
    SecretString::from(PASSWORD)
}

pub fn place() -> TempDir {
    tempfile::Builder::new().prefix("backup-sla-test-").tempdir().unwrap()
}

/// The files of a repository in the directory `root`.
pub fn files(root: PathBuf) -> PlaceBackend {
    PlaceBackend::new(Arc::new(LocalPlace::new(root)))
}
