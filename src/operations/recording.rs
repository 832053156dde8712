//! A run in the ledger: begun before anything happens, ended whatever happens.

use std::time::Duration;

use super::listing::know;
use crate::app::{App, Source};
use crate::clock::Stopwatch;
use crate::domain::drill_choice::DrillKind;
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::error::{Error, Kind, Result};
use crate::ledger::{Operation, Outcome, RunId, RunResult, RunStart, is_damage};

/// A name for a recovery point or a sandbox: sorts by time, unique, lower case.
pub(super) fn new_id() -> String {
    ulid::Ulid::generate().to_string().to_lowercase()
}

/// How often a result is offered to a ledger that does not take it, and how long is waited in between.
const RESULT_ATTEMPTS: u32 = 60;
const RESULT_PAUSE: Duration = Duration::from_secs(5);
/// How soon it is noticed meanwhile that the process is to end.
const NOTICE: Duration = Duration::from_millis(100);

/// A run that is being recorded.
pub(super) struct Recorded<'a> {
    app: &'a App,
    operation: Operation,
    id: RunId,
    watch: Stopwatch,
    finished: bool,
}

impl<'a> Recorded<'a> {
    pub(super) fn begin(app: &'a App, source: &Source, operation: Operation, kind: Option<BackupKind>) -> Result<Self> {
        Self::started(app, source, (operation, kind, None))
    }

    /// A drill of this kind.
    pub(super) fn begin_drill(app: &'a App, source: &Source, kind: DrillKind) -> Result<Self> {
        Self::started(app, source, (Operation::Drill, None, Some(kind)))
    }

    fn started(
        app: &'a App,
        source: &Source,
        (operation, kind, drill): (Operation, Option<BackupKind>, Option<DrillKind>),
    ) -> Result<Self> {
        know(app, &[source])?;
        let start = RunStart { source: source.name.clone(), operation, kind, drill };
        let id = app.block_on(app.ledger.begin(&start))?;
        Ok(Self { app, operation, id, watch: Stopwatch::start(&app.clock), finished: false })
    }

    pub(super) fn operation(&self) -> Operation {
        self.operation
    }

    pub(super) fn seconds(&self) -> f64 {
        self.watch.elapsed().as_secs_f64()
    }

    /// Write the result. A ledger that cannot take it now is asked again for a while: a result that is lost would be a run that
    /// never ended.
    pub(super) fn finish(mut self, result: &RunResult) -> Result<()> {
        self.finished = true;
        let mut written = self.app.block_on(self.app.ledger.finish(&self.id, result));
        for _ in 0..RESULT_ATTEMPTS {
            let Err(error) = &written else { break };
            tracing::error!(run = %self.id, hint = error.hint_text(), "cannot record the result, trying again: {error}");
            if is_damage(error) || !self.pause() {
                // Damage does not go away. The next start records it as interrupted.
                break;
            }
            written = self.app.block_on(self.app.ledger.finish(&self.id, result));
        }
        written
    }

    /// Wait a little; false once the process is to end.
    fn pause(&self) -> bool {
        let watch = Stopwatch::start(&self.app.clock);
        while watch.elapsed() < RESULT_PAUSE && !self.app.stop.is_cancelled() {
            std::thread::sleep(NOTICE);
        }
        !self.app.stop.is_cancelled()
    }

    /// Record the failure and give it back; what went wrong matters more than a ledger that cannot take it.
    pub(super) fn fail(self, error: Error, point: Option<RecoveryPointId>) -> Error {
        let outcome = match error.kind() {
            Kind::Cancelled => Outcome::Interrupted,
            Kind::Inconclusive => Outcome::Inconclusive,
            Kind::Failed | Kind::Configuration | Kind::Busy => Outcome::Failed,
        };
        let mut result = RunResult::new(outcome, self.seconds());
        result.reason = error.to_string();
        result.hint = error.hint_text().map(str::to_owned);
        result.recovery_point = point;
        if let Err(also) = self.finish(&result) {
            tracing::error!(hint = also.hint_text(), "cannot record that the run failed: {also}");
        }
        error
    }
}

impl Drop for Recorded<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let result = if std::thread::panicking() {
                let doing = match self.operation {
                    Operation::Backup => "backing up",
                    Operation::Drill => "drilling",
                    Operation::Restore => "restoring",
                    Operation::Verify => "verifying",
                };
                RunResult {
                    reason: format!("the program panicked while {doing} (a bug)"),
                    hint: Some("report it with what the log says at this time".to_owned()),
                    ..RunResult::new(Outcome::Failed, self.seconds())
                }
            } else {
                let reason = "the operation ended without a result".to_owned();
                RunResult { reason, ..RunResult::new(Outcome::Interrupted, self.seconds()) }
            };
            if let Err(error) = self.app.block_on(self.app.ledger.finish(&self.id, &result)) {
                tracing::error!(hint = error.hint_text(), "cannot record that the run was interrupted: {error}");
            }
        }
    }
}
