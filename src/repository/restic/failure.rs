//! Turns the errors of `rustic_core` and of the file system into ours: one line, the cause, a hint.

use std::error::Error as StdError;
use std::fmt::Display;
use std::io;

use rustic_core::{ErrorKind, RusticError, RusticResult};

use crate::error::{Error, Result, Side};
use crate::repository::place::Unexpected;

/// Hint where stored data is not what was written.
pub const DAMAGE_HINT: &str = "the repository is damaged or incomplete: run `restic check --read-data` on it, look at the \
                               disk, and restore from another recovery point or repository; a snapshot that is lost for good can be moved out of \
                               its directory `snapshots`";

/// Short form of `map_err` for `rustic_core`'s errors.
pub trait OrRefused<T> {
    /// Put `what` in front of the message of `rustic_core`.
    fn or_refused(self, what: impl Display) -> Result<T>;
}

impl<T> OrRefused<T> for RusticResult<T> {
    fn or_refused(self, what: impl Display) -> Result<T> {
        self.map_err(|error| translate(what, &error))
    }
}

/// Our error with the messages of the whole chain; an error of our own backend inside keeps its hint.
pub fn translate(what: impl Display, error: &RusticError) -> Error {
    let mut text = what.to_string();
    let mut hint = None;
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        let message = if let Some(foreign) = as_foreign(cause) {
            if foreign.is_code("C001") {
                hint = Some(DAMAGE_HINT.to_owned());
            }
            first_sentence(foreign)
        } else {
            hint = cause.downcast_ref::<Error>().and_then(Error::hint_text).map(str::to_owned).or(hint);
            cause.to_string()
        };
        text.push_str(": ");
        text.push_str(&message);
        next = cause.source();
    }
    let out = Error::failed(text).on(Side::Repository);
    match hint {
        Some(hint) => out.hint(hint),
        None => out,
    }
}

/// `rustic_core` boxes its errors before it nests them.
fn as_foreign<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a RusticError> {
    cause.downcast_ref::<RusticError>().or_else(|| cause.downcast_ref::<Box<RusticError>>().map(|inner| &**inner))
}

/// What `rustic_core` says without its report form (kind, links, back trace).
fn first_sentence(error: &RusticError) -> String {
    let line = error.display_log();
    let line = line.strip_prefix("Error: ").unwrap_or(&line);
    let line = line.split(" (kind: related to ").next().unwrap_or(line);
    line.replace('\n', " ").trim_end_matches('.').to_owned()
}

/// An error of our backend in the form that `rustic_core` passes on; [`translate`] finds it again.
pub fn passed_on(error: Error) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, "repository access failed", error)
}

/// A failed system call on the repository, with what the person on call can do about it.
pub fn io_failure(what: impl Display, error: io::Error) -> Error {
    let hint = match error.kind() {
        _ if Unexpected::is_why(&error) => {
            "nothing in a repository's directory may be a link, a pipe or a device: see who put it there and who can write to \
             the directory; a repository that is to be on another disk is moved, or mounted, as a whole"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the repository's file system is full: free space there or make it larger; nothing half-written is listed"
        }
        io::ErrorKind::PermissionDenied => "the user that runs backup-sla must own the repository",
        io::ErrorKind::ReadOnlyFilesystem => "the repository's file system is mounted read-only",
        io::ErrorKind::NotFound => DAMAGE_HINT,
        _ => "look at the disk or mount that the repository is on",
    };
    Error::failed(what.to_string()).because(error).hint(hint).on(Side::Repository)
}
