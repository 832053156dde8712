//! The one error type: what was attempted, on what, why it failed, and what to try.
//!
//! Policy: library code returns errors and does not log them; they are logged once, where they are handled (a run's
//! end, `main`). A message reads "cannot verb object: cause", and alone tells what failed, on what, and why. The hint is an
//! imperative: what the person on call should do. A cause that decides anything is a type ([`Error::cause`]), never a text.

use std::error::Error as StdError;
use std::fmt;

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an error means for the run it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The user's configuration or arguments are wrong; nothing was attempted. Exit status 2.
    Configuration,
    /// The operation was attempted and failed. In a drill this is a failed verdict: the backup does not restore.
    Failed,
    /// The drill host could not do its part (no server of that version, disk full): says nothing about the backup.
    Inconclusive,
    /// The user or the service asked to stop.
    Cancelled,
    /// Another process or thread holds what is needed; nothing was attempted, and a later attempt may succeed.
    Busy,
}

/// Where an error comes from, where that decides who has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The state directory of this host: ledger, locks, what waits there.
    State,
    /// The repository.
    Repository,
    /// The sandbox of a drill.
    Sandbox,
}

impl Side {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state directory",
            Self::Repository => "repository",
            Self::Sandbox => "sandbox",
        }
    }
}

/// An error with its object, cause and hint.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    side: Option<Side>,
    what: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `what` reads "cannot verb object" or "cannot verb object: cause".
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, side: None, what: what.into(), hint: None, source: None }
    }

    /// The configuration or the arguments are wrong.
    pub fn configuration(what: impl Into<String>) -> Self {
        Self::new(Kind::Configuration, what)
    }

    /// The operation failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what)
    }

    /// The drill host could not do its part.
    pub fn inconclusive(what: impl Into<String>) -> Self {
        Self::new(Kind::Inconclusive, what)
    }

    /// The run was asked to stop.
    pub fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "cancelled")
    }

    /// Add the cause; it is shown after the message.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Add what the reader should try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Put what was being done in front: "`context`: `message`". Kind, cause and hint stay.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.what = format!("{context}: {}", self.what);
        self
    }

    /// Same error, other meaning: for a caller who knows better what the failure says.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Say where it comes from; what was said nearer to the cause stays.
    #[must_use]
    pub fn on(mut self, side: Side) -> Self {
        self.side.get_or_insert(side);
        self
    }

    /// Where it comes from, where that is known.
    pub fn side(&self) -> Option<Side> {
        self.side
    }

    /// What the error means for the run.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to try, where we know it.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The cause, where it is of this type.
    pub fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        self.source.as_deref()?.downcast_ref::<E>()
    }

    /// Exit status of a command that ends with this error (INTERFACE: 1 failed, 2 configuration, 4 inconclusive).
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Configuration => 2,
            Kind::Failed | Kind::Cancelled | Kind::Busy => 1,
            Kind::Inconclusive => 4,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.what.clone();
        let mut next: Option<&dyn StdError> = self.source.as_deref().map(|e| e as &dyn StdError);
        while let Some(cause) = next {
            // Some libraries repeat the cause in their own message.
            let said = cause.to_string();
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            next = cause.source();
        }
        f.write_str(&text)
    }
}

// The causes are part of `Display`, so `source` stays empty: a printer that walks sources must not say them twice.
impl StdError for Error {}

/// Short form of `map_err` for foreign errors: `io.or_failed("cannot read manifest")?`.
pub trait OrFailed<T> {
    /// Turn a foreign error into [`Kind::Failed`] with `what` in front.
    fn or_failed(self, what: impl fmt::Display) -> Result<T>;
    /// Turn a foreign error into [`Kind::Inconclusive`] with `what` in front.
    fn or_inconclusive(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> OrFailed<T> for std::result::Result<T, E> {
    fn or_failed(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error::failed(what.to_string()).because(e))
    }
    fn or_inconclusive(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error::inconclusive(what.to_string()).because(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_context_then_object_then_cause() {
        let cause = std::io::Error::other("disk on fire");
        let error =
            Error::failed("cannot write pack").because(cause).context("cannot store backup 01").hint("buy a disk");
        assert_eq!(error.to_string(), "cannot store backup 01: cannot write pack: disk on fire");
        assert_eq!(error.hint_text(), Some("buy a disk"));
        assert_eq!(error.exit_code(), 1);
    }
}
