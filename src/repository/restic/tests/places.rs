//! Places and passwords for the tests.

use secrecy::SecretString;
use tempfile::TempDir;

pub const PASSWORD: &str = "correct horse";

pub fn password() -> SecretString {
    SecretString::from(PASSWORD)
}

pub fn place() -> TempDir {
    tempfile::Builder::new().prefix("backup-sla-test-").tempdir().unwrap()
}
