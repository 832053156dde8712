//! The password of a repository, as it is configured now: a file is read each time, because it may have changed.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Kind, Result};
use crate::strict::read_secret_file;

/// What an editor may put in front of a text. The restic program does not take it as part of a password.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Where the password comes from.
#[derive(Debug, Clone)]
pub enum Secret {
    /// It cannot change while this process lives.
    Fixed(SecretString),
    /// The only line of a private file.
    File(PathBuf),
}

impl Secret {
    /// The password, and what earlier versions took for it: they left a byte-order mark in front of a file's line, so there
    /// may be repositories that were created with it.
    pub fn candidates(&self) -> Result<[SecretString; 2]> {
        let password = match self {
            Self::Fixed(password) => password.clone(),
            Self::File(path) => read_secret_file(path).map_err(|error| {
                error.with_kind(Kind::Failed).hint(
                    "put the file back as it was: without its password no backup of this repository can be restored",
                )
            })?,
        };
        let marked = format!("{BYTE_ORDER_MARK}{}", password.expose_secret());
        Ok([password, SecretString::from(marked)])
    }
}
