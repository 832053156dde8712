//! Asking a program something short, as for its version.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{ChildOutput, OwnedChild, command, watch_for_stops};
use crate::error::{Error, OrFailed, Result};

/// A program that says nothing for longer hangs: it lies on a file system that is gone, say.
const LONGEST: Duration = Duration::from_secs(30);
/// Most that is read of an answer, in bytes.
const MOST: u64 = 4 * 1024 * 1024;

/// What `program` prints when it is called with `arguments`.
///
/// Errors: it cannot be started, does not answer in time, or ends badly.
pub fn answer(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = command(program);
    command.args(arguments);
    answer_of(command)
}

/// What `command` prints.
///
/// Errors: as of [`answer`].
pub fn answer_of(mut command: Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = OwnedChild::spawn(command, &name)?;
    watch_for_stops(child.killer());
    let mut said = Vec::new();
    match ChildOutput::new(child)?.never_silent_for(LONGEST).take(MOST).read_to_end(&mut said) {
        Ok(_) => Ok(said),
        Err(error) => match error.downcast::<Error>() {
            Ok(error) => Err(error),
            Err(error) => Err(error).or_failed(format!("cannot run {name}")),
        },
    }
}
