//! Finding, opening and parsing the file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::Config;
use crate::engine::kind::Kinds;
use crate::error::{Error, Result};
use crate::strict::{Reading, trust};

const DEFAULT_FILE: &str = "/etc/backup-sla/config.toml";
const FILE_VARIABLE: &str = "BACKUP_SLA_CONFIG";

/// The file to use: `explicit` (`--config`), else `$BACKUP_SLA_CONFIG`, else `/etc/backup-sla/config.toml`.
pub fn find(explicit: Option<&Path>) -> PathBuf {
    choose(explicit, std::env::var_os(FILE_VARIABLE))
}

fn choose(explicit: Option<&Path>, from_environment: Option<OsString>) -> PathBuf {
    let from_environment = from_environment.filter(|path| !path.is_empty()).map(PathBuf::from);
    explicit.map(Path::to_owned).or(from_environment).unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))
}

/// Read and validate the file at `path`, whose sources are of `kinds`. Password files are read too.
///
/// # Errors
/// [`Kind::Configuration`](crate::error::Kind::Configuration) with every problem on a line of its own.
pub fn load(path: &Path, kinds: Kinds) -> Result<Config> {
    parse(&read(path)?, path, kinds)
}

/// Validate `text` as the content of `file`, which gives the directory for relative paths and the name in messages.
///
/// # Errors
/// [`Kind::Configuration`](crate::error::Kind::Configuration) with every problem on a line of its own.
pub fn parse(text: &str, file: &Path, kinds: Kinds) -> Result<Config> {
    parse_with(text, file, kinds, &|name| std::env::var_os(name))
}

/// [`parse`] with the environment as a function.
pub(super) fn parse_with(
    text: &str,
    file: &Path,
    kinds: Kinds,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Config> {
    let reading = Reading::new(file, text, environment);
    let (table, mistakes) = DeTable::parse_recoverable(text);
    if !mistakes.is_empty() {
        // What the parser made up to go on would only yield false problems.
        for mistake in mistakes {
            let at = mistake.span().map_or(0, |span| span.start);
            reading.problem(at, format!("not valid TOML: {}", mistake.message()));
        }
        reading.finish()?;
    }
    let mut config = super::resolve::config(&reading, table.get_ref(), kinds);
    config.not_built = reading.finish()?;
    Ok(config)
}

/// Text of the file at `path`, unless anybody could have written it.
fn read(path: &Path) -> Result<String> {
    let failed = |cause: std::io::Error| {
        let hint = match cause.kind() {
            ErrorKind::NotFound => format!("create it, name another with --config FILE, or set {FILE_VARIABLE}"),
            ErrorKind::PermissionDenied => "run as the user of the service, or let this user read the file".to_owned(),
            _ => "give a readable TOML file with --config FILE".to_owned(),
        };
        Error::configuration(format!("cannot read configuration {}", path.display())).because(cause).hint(hint)
    };
    let mut file = File::open(path).map_err(failed)?;
    trust::refuse_written_by_all("configuration", path, &file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    String::from_utf8(bytes).map_err(|cause| {
        let before = &cause.as_bytes()[..cause.utf8_error().valid_up_to()];
        let line = String::from_utf8_lossy(before).matches('\n').count() + 1;
        Error::configuration(format!("{}:{line}: not valid UTF-8", path.display())).hint("save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_option_goes_before_the_variable_and_the_variable_before_the_default() {
        let variable = || Some(OsString::from("/from/variable.toml"));
        assert_eq!(choose(Some(Path::new("mine.toml")), variable()), Path::new("mine.toml"));
        assert_eq!(choose(None, variable()), Path::new("/from/variable.toml"));
        assert_eq!(choose(None, Some(OsString::new())), Path::new(DEFAULT_FILE));
        assert_eq!(choose(None, None), Path::new(DEFAULT_FILE));
    }

    #[test]
    fn a_missing_file_is_a_configuration_error_that_says_how_to_name_another() {
        let error = load(Path::new("/nonexistent/config.toml"), &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration);
        let message = "cannot read configuration /nonexistent/config.toml: No such file or directory (os error 2)";
        assert_eq!(error.to_string(), message);
        assert!(error.hint_text().unwrap().contains("--config"));
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(directory.path(), &[]).unwrap_err().kind(), Kind::Configuration);
    }

    #[test]
    fn a_file_that_everybody_may_write_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o646)).unwrap();
        let error = load(file.path(), &[]).unwrap_err();
        assert!(error.to_string().ends_with("everybody may write it (mode 0646)"), "{error}");
        assert!(error.hint_text().unwrap().contains("chmod o-w"));
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
        assert!(!load(file.path(), &[]).unwrap_err().to_string().contains("everybody"));
    }

    #[test]
    fn a_file_that_is_not_text_names_the_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"timezone = \"UTC\"\n\xff = 1\n").unwrap();
        assert!(load(file.path(), &[]).unwrap_err().to_string().ends_with(":2: not valid UTF-8"));
    }
}
