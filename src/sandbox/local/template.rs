//! Empty data directories, made once and kept in `<state_dir>/templates/<key>`: making one takes seconds that a real
//! restore would not lose, for there the server is installed already.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::OFlags;

use super::copying::copy_tree;
use super::isolation::Isolation;
use super::launch::{Limits, last_words, launch};
use super::waiting::Patience;
use super::workspace::Workspace;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::process::{self, OwnedChild};
use crate::run_context::Cancel;
use crate::sandbox::{Generated, Template};

/// How long making one may take.
pub(super) const TIME_TO_MAKE: Duration = Duration::from_mins(3);

/// The kept data directory of `template`, made in a workspace of `make_workspace` if there is none.
pub(super) fn kept(
    state_dir: &Path,
    product: &str,
    template: &Template,
    patience: &Patience<'_>,
    make_workspace: impl FnOnce() -> Result<Workspace>,
) -> Result<PathBuf> {
    let key = &template.key;
    if key.is_empty() || key.starts_with('.') || key.contains(['/', '\0']) {
        return Err(Error::inconclusive(format!("keep empty data directory: `{key}` is not a file name")));
    }
    let directory = state_dir.join("templates");
    let what = || format!("keep empty data directory {}", directory.join(key).display());
    DirBuilder::new().mode(0o700).recursive(true).create(&directory).or_inconclusive(what())?;
    let finished = directory.join(key);
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
    initialise(&workspace, product, template, patience)?;
    let making = directory.join(format!("{key}.making"));
    if making.exists() {
        fs::remove_dir_all(&making).or_inconclusive(what())?;
    }
    place(&workspace.data(), &making, &finished).or_inconclusive(what())?;
    workspace.remove()?;
    Ok(finished)
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

fn generate(workspace: &Workspace, file: &Generated, cancel: &Cancel) -> Result<()> {
    let path = workspace.directory().join(&file.name);
    let what = || format!("make {} with {}", path.display(), file.program.display());
    let mut output = File::create(&path).or_inconclusive(what())?;
    output.write_all(file.head.as_bytes()).or_inconclusive(what())?;
    let mut command = process::command(&file.program);
    command.args(&file.args).stdin(Stdio::null()).stdout(output);
    let mut child = OwnedChild::spawn(command, &file.program.to_string_lossy())?;
    cancel.takes_down(child.killer());
    child.wait_success().map_err(|error| error.with_kind(Kind::Inconclusive).context(what()))
}

fn initialise(workspace: &Workspace, product: &str, template: &Template, patience: &Patience<'_>) -> Result<()> {
    let what = format!("initialise an empty data directory of {product}");
    let product = format!("{product} initialisation");
    for file in &template.files {
        generate(workspace, file, patience.cancel)?;
    }
    workspace.make_data()?;
    workspace.hand_over()?;
    let isolation = Isolation::possible(workspace, false);
    let limits = Limits { isolation, memory: None, loopback: None, outside: Vec::new() };
    let mut child = launch(workspace, &product, &template.program, &template.args, &limits)?;
    patience.cancel.takes_down(child.killer());
    patience.until(
        TIME_TO_MAKE,
        || format!("wait for {product}"),
        || child.try_wait().or_inconclusive(format!("wait for {product}")),
    )?;
    child.wait_success().map_err(|_| {
        Error::new(Kind::Inconclusive, format!("{what}: {}", last_words(&child)))
            .hint("the server's initialisation program must work on this host; is the disk full?")
    })
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
