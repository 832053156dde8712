//! Canaries: a row that is written into the source before a backup and must be in it.
//!
//! One that cannot be written, or is not in the backup, makes no backup worse: it is said, and the newest one in the repository gets old.

use std::time::Duration;

use crate::app::{App, Source};
use crate::domain::canary::{Canary, owner};
use crate::domain::manifest::Manifest;
use crate::error::{Error, Result};
use crate::run_context::RunContext;

/// Beside continuous increments they are not written more often, nor more seldom than a quarter of the RPO asks for: those of two sources
/// of one server would call for each other's increments.
const APART: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(1));

/// What came of writing one.
pub(super) struct Written(Result<Option<Canary>>);

/// Write one, where that is asked for.
pub(super) fn write(app: &App, source: &Source, context: &RunContext) -> Written {
    Written(source.engine.write_canary(&owner(&source.name, &app.host.identity), context))
}

impl Written {
    /// What is to be said where the backup has not what was written before it.
    pub(super) fn said(self, manifest: &Manifest) -> Option<String> {
        match self.0 {
            Ok(None) => None,
            Ok(Some(written)) if manifest.canary() == Some(&written) => None,
            Ok(Some(written)) => Some(format!(
                "the canary of {}, which was written before, is not in this backup: find out what else writes to its database, or keeps \
                 it out of the log",
                written.time()
            )),
            Err(error) => Some(in_words(&error)),
        }
    }
}

fn in_words(error: &Error) -> String {
    error.hint_text().map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"))
}

/// Canaries of a source that is followed.
#[derive(Default)]
pub(super) struct Paced {
    /// When one was last tried, on the monotonic clock.
    tried: Option<Duration>,
    /// What was said last.
    said: Option<String>,
}

impl Paced {
    /// Write one, if it is time.
    pub(super) fn write(&mut self, app: &App, source: &Source, context: &RunContext) -> Written {
        let now = app.clock.monotonic();
        let apart = (source.objectives.rpo / 4).clamp(APART.0, APART.1);
        if self.tried.is_some_and(|tried| now.saturating_sub(tried) < apart) {
            return Written(Ok(None));
        }
        self.tried = Some(now);
        write(app, source, context)
    }

    /// Say once what is to be said.
    pub(super) fn tell(&mut self, source: &Source, written: Written, manifest: &Manifest) {
        if matches!(written.0, Ok(None)) {
            return;
        }
        let said = written.said(manifest);
        if let Some(said) = said.as_ref().filter(|said| self.said.as_ref() != Some(*said)) {
            tracing::warn!(source = %source.name, "{said}");
        }
        self.said = said;
    }
}
