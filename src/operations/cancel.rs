//! Cancel: ask what runs on a source to end. It cleans up by itself: nothing unpublished is listed, no sandbox is left.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::app::{App, Source};
use crate::clock::Stopwatch;
use crate::error::{Error, OrFailed, Result};
use crate::ledger::{LiveRun, Operation, Outcome, RunId};
use crate::run_context::RunContext;

/// How long the end of a cancelled run is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A run that ended because it was asked to.
#[derive(Debug, Clone, Serialize)]
pub struct Cancelled {
    /// Source name.
    pub source: String,
    /// What ran.
    pub operation: Operation,
    /// Its run in the ledger.
    pub run: RunId,
    /// How it ended; a run that was about to end anyway may have succeeded.
    pub outcome: Option<Outcome>,
}

/// Cancel what runs on `source` (only `operation`, if given) and wait for its end.
///
/// A run of the service is asked for through the state directory, so that the service goes on; a run of the command line
/// by SIGTERM to its process. Errors: nothing runs, or it does not end.
pub fn cancel(
    app: &App,
    source: &Source,
    operation: Option<Operation>,
    context: &RunContext,
) -> Result<Vec<Cancelled>> {
    let runs = app.block_on(app.ledger.live_runs(&source.name))?;
    let runs: Vec<LiveRun> = runs.into_iter().filter(|run| operation.is_none_or(|it| it == run.operation)).collect();
    if runs.is_empty() {
        return Err(Error::failed(format!("cannot cancel {}: nothing runs", source.name))
            .hint("`backup-sla status` shows what is running"));
    }
    let service = app.service_pid()?;
    for run in &runs {
        if service == Some(run.pid) {
            let request = app.cancel_request(&source.name, run.operation, run.kind);
            ask(&request, &run.id).or_failed(format!("cannot write {}", request.display()))?;
        } else {
            terminate(run)?;
        }
    }
    runs.iter().map(|run| ended(app, source, run, context)).collect()
}

/// A new file: whatever is in its place, a link among it, goes.
fn ask(request: &Path, run: &RunId) -> io::Result<()> {
    match fs::remove_file(request) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(request)?.write_all(run.0.as_bytes())
}

fn terminate(run: &LiveRun) -> Result<()> {
    let what = || format!("cannot stop process {}", run.pid);
    let pid = i32::try_from(run.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error::failed(format!("{}: this is not a process id", what())))?;
    match kill_process(pid, Signal::TERM) {
        // It ended by itself meanwhile.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Error::failed(what()).because(error).hint("cancel it as the user who started it")),
    }
}

fn ended(app: &App, source: &Source, run: &LiveRun, context: &RunContext) -> Result<Cancelled> {
    let watch = Stopwatch::start(&app.clock);
    loop {
        context.cancel.check()?;
        app.block_on(app.ledger.recover())?;
        let report = app.block_on(app.ledger.run_report(&run.id))?.run;
        if report.outcome.is_some() {
            let (source, operation) = (source.name.clone(), run.operation);
            return Ok(Cancelled { source, operation, run: run.id.clone(), outcome: report.outcome });
        }
        if watch.elapsed() > PATIENCE {
            let what = format!("cannot cancel {} of {}: it did not end within a minute", run.operation, source.name);
            return Err(Error::failed(what)
                .hint("see what its process waits for (`ps`, a hung mount), and the log of the service"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_into_no_file_that_a_link_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let (request, other) = (dir.path().join("shop.drill.cancel"), dir.path().join("other"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &request).unwrap();
        for _ in 0..2 {
            ask(&request, &RunId("01run".to_owned())).unwrap();
            assert_eq!(fs::read_to_string(&request).unwrap(), "01run");
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    }
}
