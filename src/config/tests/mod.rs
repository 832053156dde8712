//! The configuration as a whole: the documented example, and every sort of mistake.

mod document;
mod example;
mod mistakes;

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Config;
use super::load::parse_with;
use crate::app::KINDS;
use crate::error::{Kind, Result};

/// A directory with private files, each holding its own name as the password, and no `config.toml` yet.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new(password_files: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in password_files {
            let path = directory.path().join(name);
            std::fs::write(&path, format!("{name}-secret\n")).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn parse(&self, text: &str) -> Result<Config> {
        parse_with(text, &self.path().join("config.toml"), KINDS, &environment)
    }

    /// Every problem with `text`, one per item, without the directory.
    fn problems(&self, text: &str) -> Vec<String> {
        let Err(error) = self.parse(text) else { return Vec::new() };
        assert_eq!(error.kind(), Kind::Configuration);
        let message = error.to_string().replace(&format!("{}/", self.path().display()), "");
        message.lines().map(str::to_owned).collect()
    }
}

/// The environment that the tests see.
fn environment(name: &str) -> Option<OsString> {
    match name {
        "BACKUP_KEY" => Some("from the environment".into()),
        "EMPTY" => Some(OsString::new()),
        _ => None,
    }
}

/// A small good configuration, to be made bad one key at a time.
const GOOD: &str = r#"# A minimal file.
[repository.offsite]
kind = "restic"
url = "store"
password_file = "key"

[sla.standard]
rpo = "24h"
rto = "5h"
retention = "30d"
drill_interval = "24h"

[source.shop]
kind = "mysql"
repository = "offsite"
sla = "standard"

[source.shop.mysql]
socket = "/run/mysqld/mysqld.sock"
"#;
