//! What a kind of repository cannot do: a type, so that a caller can ask for it and take another way.

use std::fmt;

use crate::error::Error;

/// What a kind of repository cannot do. It is the cause of the error that [`super::Repository`] and [`super::Storing`] answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// It is only read.
    Storing,
    /// Backups cannot be taken out of it.
    Forgetting,
    /// It cannot be checked beyond what its listing says.
    Checking,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Storing => "this kind of repository is read only",
            Self::Forgetting | Self::Checking => "this kind of repository does not support it",
        })
    }
}

impl std::error::Error for Unsupported {}

impl Unsupported {
    /// The answer of the repository at `location`.
    pub fn by(self, location: &str) -> Error {
        let (verb, hint) = match self {
            Self::Storing => (
                "store backups in",
                "set `repository` of the source to one that backup-sla can write, and leave this one to the job that fills it",
            ),
            Self::Forgetting => ("remove backups from", "remove them with the program that made them"),
            Self::Checking => ("check", "check it with the program that made it; drills read what they restore"),
        };
        Error::configuration(format!("cannot {verb} repository {location}")).because(self).hint(hint)
    }

    /// What is not supported, if that is why something failed.
    pub fn why(error: &Error) -> Option<Self> {
        error.cause::<Self>().copied()
    }
}
