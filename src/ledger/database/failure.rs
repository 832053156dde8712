//! What went wrong with the database, in words and with what to do.

use crate::error::{Error, Side};

/// What a database error means for the person on call. Codes are SQLite's primary result codes.
pub(in crate::ledger) fn ledger_error(what: &str, error: sqlx::Error) -> Error {
    let code =
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).and_then(|code| code.parse::<u32>().ok());
    let hint = match code.map(|code| code & 0xff) {
        Some(11 | 26) => {
            "the ledger is damaged: the next command, or the next start of the service, sets it aside and starts a new one; \
             history is lost, backups are not (the repository lists them)"
        }
        Some(5 | 6) => "another process kept the ledger locked for 30 s; look for a stuck backup-sla process",
        Some(13) => "the file system of `state_dir` is full",
        Some(8) => "the ledger is read-only for the user who runs backup-sla; check the owner of `state_dir`",
        Some(10) => "the disk of `state_dir` reports an error; check it before trusting anything on it",
        Some(14) => "the ledger cannot be opened by the user who runs backup-sla; check the owner of `state_dir`",
        _ => return Error::failed(what).because(error).on(Side::State),
    };
    Error::failed(what).because(error).hint(hint).on(Side::State)
}
