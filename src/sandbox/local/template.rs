//! Data directories of new servers, made once and kept in `<state_dir>/templates/<key>`: making one takes seconds that a real
//! restore would not lose, for there the server is installed already.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::OFlags;

use super::copying::copy_tree;
use super::found::Found;
use super::isolation::Isolation;
use super::launch::{self, Limits, last_words, launch};
use super::time_zones::{self, Telling};
use super::waiting::Patience;
use super::workspace::Workspace;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::process::{self, OwnedChild, find_program};
use crate::run_context::Cancel;
use crate::sandbox::{Decisive, Initial, Place, ServerSpec, Text};

/// How long making one may take.
pub(super) const TIME_TO_MAKE: Duration = Duration::from_mins(3);
/// The file with the statements that name time zones.
const ZONES_FILE: &str = "zones.sql";

/// A data directory to be made or found.
pub(super) struct Template<'a> {
    spec: &'a ServerSpec,
    initial: &'a Initial,
    found: &'a Found,
    zones: Option<Telling>,
}

impl<'a> Template<'a> {
    /// What the server of `spec` starts on; none where that is nothing.
    pub(super) fn of(spec: &'a ServerSpec, found: &'a Found) -> Option<Self> {
        let initial = spec.installation.initial.as_ref()?;
        Some(Self { spec, initial, found, zones: time_zones::telling(spec) })
    }

    fn value(&self, decisive: &Decisive) -> String {
        let given = self.spec.options.iter().find(|(name, _)| name == decisive.option);
        // Of an instance's places nothing that is kept may depend.
        given.map_or_else(|| decisive.usual.to_owned(), |(_, value)| value.written(|_| String::new()))
    }

    /// Product, version and whatever else changes the result.
    fn key(&self) -> Result<String> {
        let plain =
            |text: &str| -> String { text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect() };
        let mut parts = vec![self.spec.product.to_lowercase(), plain(&self.found.version)];
        parts.extend(self.initial.decisive.iter().map(|one| format!("{}{}", one.label, self.value(one))));
        parts.extend(self.zones.as_ref().map(|zones| format!("zones{}", zones.state)));
        let key = parts.join("-");
        if key.starts_with('.') || key.contains(['/', '\0']) {
            return Err(Error::inconclusive(format!(
                "cannot keep an empty data directory: `{key}` is not a file name"
            )));
        }
        Ok(key)
    }

    fn product(&self) -> String {
        format!("{} {}", self.spec.product, self.found.version)
    }

    /// The program that makes it, and its arguments.
    fn command(&self, workspace: &Workspace) -> Result<(PathBuf, Vec<String>)> {
        let (initial, installation) = (self.initial, &self.spec.installation);
        let program = match initial.programs {
            [] => self.found.program.clone(),
            names => find_program(self.spec.programs.as_deref(), names).ok_or_else(|| {
                let what = format!("cannot make an empty data directory of {}", self.product());
                Error::inconclusive(format!("{what}: there is no program `{}`", names[0]))
                    .hint(format!("it comes with the server (Debian package {})", installation.package))
            })?,
        };
        let mut options = vec![(initial.directory.to_owned(), Text::from(Place::Data))];
        for decisive in initial.decisive.iter().filter(|decisive| decisive.is_told) {
            let value = self.value(decisive);
            if value != decisive.usual {
                options.push((decisive.option.to_owned(), value.into()));
            }
        }
        if let Some(zones) = &self.zones {
            let file = Text::from(Place::Own).then(format!("/{ZONES_FILE}"));
            options.push((zones.table.option.to_owned(), file));
        }
        let mut args: Vec<String> = installation.first.iter().map(|arg| (*arg).to_owned()).collect();
        args.extend(launch::arguments(&options, |text| launch::written(text, workspace, None)));
        args.extend(initial.arguments.iter().map(|arg| (*arg).to_owned()));
        Ok((program, args))
    }

    /// The kept data directory, made in a workspace of `make_workspace` if there is none.
    pub(super) fn kept(
        &self,
        state_dir: &Path,
        patience: &Patience<'_>,
        make_workspace: impl FnOnce() -> Result<Workspace>,
    ) -> Result<PathBuf> {
        let key = self.key()?;
        let directory = state_dir.join("templates");
        let what = || format!("cannot keep empty data directory {}", directory.join(&key).display());
        DirBuilder::new().mode(0o700).recursive(true).create(&directory).or_inconclusive(what())?;
        let finished = directory.join(&key);
        if finished.is_dir() {
            return Ok(finished);
        }
        // One maker at a time; the others find the result.
        let lock = lock_file(&directory.join(format!("{key}.lock"))).or_inconclusive(what())?;
        patience.until(TIME_TO_MAKE, what, || match lock.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).or_inconclusive(what()),
        })?;
        if finished.is_dir() {
            return Ok(finished);
        }
        let mut workspace = make_workspace()?;
        self.initialise(&workspace, patience)?;
        let making = directory.join(format!("{key}.making"));
        if making.exists() {
            fs::remove_dir_all(&making).or_inconclusive(what())?;
        }
        place(&workspace.data(), &making, &finished).or_inconclusive(what())?;
        workspace.remove()?;
        Ok(finished)
    }

    fn initialise(&self, workspace: &Workspace, patience: &Patience<'_>) -> Result<()> {
        let what = format!("cannot make an empty data directory of {}", self.product());
        let product = format!("the initialisation of {}", self.product());
        if let Some(zones) = &self.zones {
            describe_zones(workspace, zones, patience.cancel)?;
        }
        let (program, args) = self.command(workspace)?;
        workspace.make_data()?;
        workspace.hand_over()?;
        let isolation = Isolation::possible(workspace, false);
        let limits = Limits { isolation, memory: None, loopback: None, outside: Vec::new() };
        let mut child = launch(workspace, &product, &program, &args, &limits)?;
        patience.cancel.takes_down(child.killer());
        patience.until(TIME_TO_MAKE, || what.clone(), || child.try_wait().or_inconclusive(&what))?;
        child.wait_success().map_err(|_| {
            Error::new(Kind::Inconclusive, format!("{what}: {}", last_words(&child)))
                .hint("the server's initialisation program must work on this host; is the disk full?")
        })
    }
}

/// Emptied or made, and never what a link leads to.
fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

/// Copy `from` to `finished` by way of `making`. What cannot be finished goes at once: the disk may be full of it, and the
/// ledger is on the same one.
fn place(from: &Path, making: &Path, finished: &Path) -> io::Result<()> {
    let placed = copy_tree(from, making).and_then(|()| {
        // After a power cut there is a whole one or none.
        rustix::fs::syncfs(&File::open(making)?)?;
        fs::rename(making, finished)
    });
    if placed.is_err() {
        // What matters is why it failed; the next try removes what is left.
        let _ = fs::remove_dir_all(making);
    }
    placed
}

/// Write the statements that name this host's time zones.
fn describe_zones(workspace: &Workspace, zones: &Telling, cancel: &Cancel) -> Result<()> {
    let path = workspace.directory().join(ZONES_FILE);
    let what = || format!("cannot write time zones to {} with {}", path.display(), zones.program.display());
    let mut output = File::create(&path).or_inconclusive(what())?;
    output.write_all(zones.table.head.as_bytes()).or_inconclusive(what())?;
    let mut command = process::command(&zones.program);
    command.arg(zones.zones).stdin(Stdio::null()).stdout(output);
    let mut child = OwnedChild::spawn(command, &zones.program.to_string_lossy())?;
    cancel.takes_down(child.killer());
    child.wait_success().map_err(|error| error.with_kind(Kind::Inconclusive).context(what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, other) = (dir.path().join("key.lock"), dir.path().join("other"));
        std::os::unix::fs::symlink(&other, &lock).unwrap();
        lock_file(&lock).unwrap_err();
        assert!(!other.exists());
        fs::remove_file(&lock).unwrap();
        lock_file(&lock).unwrap();
    }

    #[test]
    fn a_template_that_cannot_be_finished_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("data/mysql")).unwrap();
        fs::write(at("data/mysql/user.frm"), [7; 5000]).unwrap();
        // Something that is not copied, as a disk that is full in the middle would not.
        std::os::unix::fs::symlink("user.frm", at("data/mysql/link")).unwrap();
        assert!(place(&at("data"), &at("key.making"), &at("key")).is_err());
        assert!(!at("key.making").exists() && !at("key").exists());
        fs::remove_file(at("data/mysql/link")).unwrap();
        place(&at("data"), &at("key.making"), &at("key")).unwrap();
        assert_eq!(fs::read(at("key/mysql/user.frm")).unwrap(), [7; 5000]);
    }
}
