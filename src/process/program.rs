//! Finding programs, and what they may see of our environment.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command that sees of our environment only what any program may: no password that the configuration takes from a
/// variable, no option of a client program, nothing of the service manager.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Find a program: in `directory` if given, else in `PATH` and the usual system directories. The first of `names` wins.
/// Relative entries of `PATH` are passed over: what runs must not depend on the working directory.
pub fn find_program(directory: Option<&Path>, names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let directories: Vec<PathBuf> = match directory {
        Some(directory) => vec![directory.to_owned()],
        None => std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(usual).collect(),
    };
    names.iter().find_map(|name| directories.iter().map(|dir| dir.join(name)).find(|file| is_program(file)))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_run_is_not_a_program() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tool"), "").unwrap();
        assert_eq!(find_program(Some(dir.path()), &["tool"]), None);
        assert!(find_program(None, &["no such tool", "sh"]).is_some());
    }
}
