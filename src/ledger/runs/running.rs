//! Who runs what now.

use super::run::{Operation, RunId};
use crate::domain::manifest::BackupKind;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::ledger_error;
use crate::ledger::database::stored::{self, column};
use crate::process::identity;

/// A run whose process is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRun {
    /// The run.
    pub id: RunId,
    /// What it does.
    pub operation: Operation,
    /// The kind of backup that it makes, if it makes one.
    pub kind: Option<BackupKind>,
    /// Process that runs it.
    pub pid: u32,
}

impl Ledger {
    /// As if the process that runs what runs now had been killed.
    #[cfg(test)]
    pub(crate) async fn disown_running(&self) -> Result<()> {
        let gone = sqlx::query("UPDATE runs SET process = 'gone/1/1' WHERE outcome = 'running'");
        gone.execute(&self.pool).await.map(|_| ()).map_err(|e| ledger_error("cannot disown running operations", e))
    }

    /// What runs on `source` now, oldest first, by whichever process of this host.
    pub async fn live_runs(&self, source: &str) -> Result<Vec<LiveRun>> {
        let rows = sqlx::query(
            "SELECT id, operation, kind, process FROM runs WHERE source = ? AND outcome = 'running' ORDER BY begun_revision",
        )
        .bind(source)
        .fetch_all(&self.pool)
        .await
        .map_err(|e| ledger_error("cannot read running operations", e))?;
        let mut live = Vec::new();
        for row in &rows {
            let process: String = column(row, "process")?;
            if let Some(pid) = identity::pid_of(&process) {
                let operation = stored::operation(column(row, "operation")?)?;
                let kind = stored::kind(column(row, "kind")?)?;
                live.push(LiveRun { id: RunId(column(row, "id")?), operation, kind, pid });
            }
        }
        Ok(live)
    }
}
