//! The transactions of stored logs, for people.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::DateTime;

use super::{Content, beginning, logs};
use crate::domain::logged::{LoggedRows, LoggedTransaction};
use crate::engine::StoredIncrement;
use crate::engine::mysql::binlog::{Group, LogScanner};
use crate::error::{OrFailed, Result};
use crate::run_context::RunContext;

/// So much of a log is read at a time.
const PIECE: usize = 256 * 1024;

/// Call `seen` with every transaction of `increment`, in order.
pub fn events(
    increment: &StoredIncrement,
    seen: &mut dyn FnMut(LoggedTransaction) -> Result<()>,
    context: &RunContext,
) -> Result<()> {
    for file in logs(increment) {
        let (name, start) = beginning(increment, &file.path);
        let mut log = Content { stored: (increment.open)(&file.path)?, at: 0 };
        let groups = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&groups);
        let mut scanner = LogScanner::new(name, start)
            .reporting(move |group| into.lock().unwrap_or_else(PoisonError::into_inner).push(group.clone()));
        let mut piece = vec![0; PIECE];
        loop {
            context.cancel.check()?;
            let length = log.read(&mut piece).or_failed(format!("cannot read binary log {name}"))?;
            if length == 0 {
                break;
            }
            scanner.push(&piece[..length])?;
            for group in std::mem::take(&mut *groups.lock().unwrap_or_else(PoisonError::into_inner)) {
                seen(logged(name, group))?;
            }
        }
        scanner.finish()?;
    }
    Ok(())
}

fn logged(file: &str, group: Group) -> LoggedTransaction {
    let rows = group.tables.into_iter().map(|(name, rows)| {
        let rows = LoggedRows { inserted: rows.inserted, updated: rows.updated, deleted: rows.deleted };
        (name, rows)
    });
    LoggedTransaction {
        time: DateTime::from_timestamp_micros(group.committed).unwrap_or_default(),
        position: format!("{file}:{}", group.offset),
        gtid: group.gtid.map(|gtid| gtid.to_string()),
        tables: rows.collect(),
        statements: group.statements,
        statement_format: group.has_statement_format,
    }
}
