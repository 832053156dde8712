//! From the begin of an upkeep to its end in the ledger: whatever happens in between is written down.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::error::{Error, Result};
use crate::ledger::{Upkeep, UpkeepOutcome, UpkeepRun};

/// An upkeep of a repository that has begun.
pub(super) struct Recording<'a> {
    app: &'a App,
    repository: &'a str,
    operation: Upkeep,
    started: DateTime<Utc>,
}

impl<'a> Recording<'a> {
    /// It begins now.
    pub(super) fn begin(app: &'a App, repository: &'a str, operation: Upkeep) -> Self {
        Self { app, repository, operation, started: app.clock.wall() }
    }

    /// It has ended like this; `fill` adds what it brought. `parts` of the data were read whole, each sound or not.
    pub(super) fn finish(
        self,
        outcome: UpkeepOutcome,
        parts: &[(u32, bool)],
        fill: impl FnOnce(&mut UpkeepRun),
    ) -> Result<()> {
        let Self { app, repository, operation, started } = self;
        let mut run = UpkeepRun {
            repository: repository.to_owned(),
            operation,
            outcome,
            started,
            ended: app.clock.wall(),
            removed_points: 0,
            freed_bytes: 0,
            read_bytes: 0,
        };
        fill(&mut run);
        app.block_on(app.ledger.record_upkeep(&run, parts))
    }
}

/// An error as it is kept.
pub(super) fn said(error: &Error) -> (String, Option<String>) {
    (error.to_string(), error.hint_text().map(str::to_owned))
}
