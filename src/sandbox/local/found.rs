//! The program of this host that is the server which was asked for, and where it looks for its own files.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::error::{Error, Kind, Result};
use crate::process::{self, find_program};
use crate::sandbox::ServerSpec;

/// A server's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) program: PathBuf,
    /// As it says itself.
    pub(super) version: String,
}

/// Find the server that `spec` asks for.
///
/// Errors: there is none, or it is another product or series.
pub(super) fn find(spec: &ServerSpec) -> Result<Found> {
    let (names, place) = (spec.installation.server, spec.programs.as_deref());
    let what = || format!("cannot find a {} {} server to restore into", spec.product, spec.series);
    let program = find_program(place, names).ok_or_else(|| {
        let place = place.map_or_else(String::new, |place| format!(" in {}", place.display()));
        Error::inconclusive(format!("{}: there is no program `{}`{place}", what(), names[0])).hint(format!(
            "install the server of that series on the drill host (Debian package {}), or set `programs` in the source's \
             [sandbox] table",
            spec.installation.package
        ))
    })?;
    let said = process::answer(&program, spec.installation.ask);
    let said = said.map_err(|error| error.with_kind(Kind::Inconclusive).context(what()))?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match (spec.installation.identify)(&said) {
        Some(found) if found.series == spec.series => Ok(Found { program, version: found.version }),
        _ => Err(Error::inconclusive(format!("{}: {} is {said}", what(), program.display())).hint(
            "a drill in another series proves nothing: install the source's series, or set `programs` in the source's [sandbox] table",
        )),
    }
}

/// Where a program looks for its own files if nobody tells it, in its own words.
#[derive(Debug)]
pub(super) struct Usual(String);

impl Usual {
    /// Ask the program; one that does not answer says nothing.
    pub(super) fn ask(program: &Path, arguments: &[&str]) -> Self {
        let asked = process::command(program).args(arguments).stdin(Stdio::null()).output();
        Self(String::from_utf8_lossy(&asked.map(|output| output.stdout).unwrap_or_default()).into_owned())
    }

    /// What a program said.
    #[cfg(test)]
    pub(super) fn said(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The place that this option names.
    pub(super) fn place(&self, option: &str) -> Option<PathBuf> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(option)?.strip_prefix(' '))?;
        Some(PathBuf::from(line.trim()))
    }

    /// The same if it is a directory of this host.
    pub(super) fn directory(&self, option: &str) -> Option<PathBuf> {
        self.place(option).filter(|directory| directory.is_dir())
    }
}
