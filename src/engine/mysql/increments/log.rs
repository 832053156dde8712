//! The server's binary log as the server tells of it: its files, where it ends, and which server it is.

use crate::domain::chain::{Break, BreakKind};
use crate::domain::manifest::Position;
use crate::engine::mysql::connection::Session;
use crate::error::{Error, Result};

/// No binary log is kept.
const NO_LOG: u16 = 1381;
/// The words of older and of newer servers.
const STATUS: [&str; 2] = ["SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"];
/// Length of what MySQL puts in front of an encrypted file.
const ENCRYPTION_HEADER: u64 = 512;
/// The statement is not known.
const UNKNOWN: u16 = 1064;

/// A server's binary log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `server_uuid` of MySQL, `server_id` of MariaDB.
    pub server: String,
    /// Its files with their sizes, oldest first.
    pub files: Vec<(String, u64)>,
    /// File that is written to.
    pub file: String,
    /// Where it ends.
    pub offset: u64,
    /// GTID state at its end.
    pub gtid: Option<String>,
}

/// What tells the server from others: `server_uuid` of MySQL, `server_id` of MariaDB.
pub fn server(session: &mut Session, product: &str) -> Result<String> {
    let question = if product == "MariaDB" { "SELECT @@server_id" } else { "SELECT @@server_uuid" };
    let answer = session.value(question)?;
    answer.ok_or_else(|| Error::failed("cannot tell which server it is: it does not say"))
}

/// The log now; none where the server keeps none.
pub fn read(session: &mut Session, product: &str) -> Result<Option<Log>> {
    let server = server(session, product)?;
    let Some((file, offset, executed)) = end(session)? else { return Ok(None) };
    let files = match session.ask("SHOW BINARY LOGS")? {
        Ok(rows) => rows,
        Err(refusal) if refusal.number == NO_LOG => return Ok(None),
        Err(refusal) => {
            return Err(Error::failed(format!("cannot list binary logs: {refusal}"))
                .hint("the privileges for increments are in /usr/share/doc/backup-sla/docs/mysql-privileges.md"));
        }
    };
    let file_and_size = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let (name, size) = (row.next()??, row.next()??.parse::<u64>().ok()?);
        // In front of an encrypted file of MySQL stands what is in no position.
        let is_encrypted = row.next().flatten().is_some_and(|said| said == "Yes");
        Some((name, size.saturating_sub(if is_encrypted { ENCRYPTION_HEADER } else { 0 })))
    };
    let files: Option<Vec<(String, u64)>> = files.into_iter().map(file_and_size).collect();
    let files = files.ok_or_else(|| Error::failed("cannot list binary logs: the answer has no name and size"))?;
    let gtid = if product == "MariaDB" {
        session.value("SELECT @@gtid_binlog_pos")?
    } else {
        executed.map(|set| set.replace(['\n', ' '], ""))
    };
    Ok(Some(Log { server, files, file, offset, gtid: gtid.filter(|gtid| !gtid.is_empty()) }))
}

/// File and offset at which the log ends, and what else the server says there.
pub fn end(session: &mut Session) -> Result<Option<(String, u64, Option<String>)>> {
    for statement in STATUS {
        match session.ask(statement)? {
            Ok(rows) => {
                let Some(row) = rows.into_iter().next() else { return Ok(None) };
                let text = |at: usize| row.get(at).cloned().flatten();
                let (Some(file), Some(offset)) = (text(0), text(1).and_then(|offset| offset.parse().ok())) else {
                    return Err(Error::failed(
                        "cannot read where the binary log ends: the answer has no file and offset",
                    ));
                };
                return Ok(Some((file, offset, text(4))));
            }
            Err(refusal) if refusal.number == UNKNOWN => {}
            Err(refusal) => {
                return Err(Error::failed(format!("cannot read where the binary log ends: {refusal}"))
                    .hint("the privileges for increments are in /usr/share/doc/backup-sla/docs/mysql-privileges.md"));
            }
        }
    }
    Err(Error::failed("cannot read where the binary log ends: the server knows no statement that tells"))
}

/// Databases whose changes alone are logged, and those whose are not; both empty where there is no filter.
pub fn filters(session: &mut Session) -> Result<(String, String)> {
    for statement in STATUS {
        if let Ok(rows) = session.ask(statement)? {
            let text = |at: usize| rows.first().and_then(|row| row.get(at).cloned().flatten()).unwrap_or_default();
            return Ok((text(2), text(3)));
        }
    }
    Err(Error::failed("cannot read which databases are logged"))
}

impl Log {
    /// The files that have what came after `from`, the last of them being written to; or why the log does not continue there.
    pub fn since(&self, from: &Position) -> std::result::Result<Vec<(String, u64)>, Break> {
        let (Some(file), Some(offset), Some(identity)) = (&from.binlog_file, from.binlog_offset, &from.log) else {
            return Err(Break::new(BreakKind::Unknown, "the backup does not say where in which log it ends"));
        };
        if identity.server != self.server {
            let (was, is) = (&identity.server, &self.server);
            return Err(Break::new(BreakKind::OtherServer, format!("it is another server: {is}, where it was {was}")));
        }
        let Some(first) = self.files.iter().position(|(name, _)| name == file) else {
            let oldest = self.files.first().map_or("none", |(name, _)| name);
            // Names end in a number that grows.
            let is_older = number(file).zip(number(oldest)).is_none_or(|(wanted, oldest)| wanted < oldest);
            return Err(if is_older {
                let why = format!(
                    "{file} is no longer there, the oldest log is {oldest}: it was removed before it was archived"
                );
                Break::new(BreakKind::Purged, why)
            } else {
                let why = format!("{file} is not there, the log in use is {}: the log was begun anew", self.file);
                Break::new(BreakKind::Behind, why)
            });
        };
        let (_, size) = self.files[first];
        let ends = if *file == self.file { self.offset } else { size };
        if ends < offset {
            let why = format!(
                "{file} ends at {ends}, before the archived position {offset}: the server lost its end, or was restored"
            );
            return Err(Break::new(BreakKind::Behind, why));
        }
        let Some(last) = self.files.iter().position(|(name, _)| *name == self.file).filter(|last| *last >= first)
        else {
            let why = format!("the log in use, {}, comes before {file}: the log was begun anew", self.file);
            return Err(Break::new(BreakKind::Behind, why));
        };
        Ok(self.files[first..=last].to_vec())
    }

    /// Take it for one that ends at `end`; or why it has no such place.
    pub fn end_at(&mut self, end: &Position) -> std::result::Result<(), Break> {
        let files = self.since(end)?;
        let (Some((file, _)), Some(offset)) = (files.first(), end.binlog_offset) else { return Ok(()) };
        (self.file, self.offset, self.gtid) = (file.clone(), offset, end.gtid.clone());
        Ok(())
    }

    /// Whether it ends where a backup does.
    pub fn ends_at(&self, from: &Position) -> bool {
        from.binlog_file.as_deref() == Some(&self.file) && from.binlog_offset == Some(self.offset)
    }
}

pub fn number(name: &str) -> Option<u64> {
    name.rsplit_once('.')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::LogIdentity;

    fn log() -> Log {
        Log {
            server: "7".to_owned(),
            files: vec![("b.000003".to_owned(), 900), ("b.000004".to_owned(), 500), ("b.000005".to_owned(), 700)],
            file: "b.000005".to_owned(),
            offset: 700,
            gtid: None,
        }
    }

    fn at(file: &str, offset: u64) -> Position {
        let log =
            Some(LogIdentity { server: "7".to_owned(), begun: 1, last: None, settled: None, outside: Vec::new() });
        Position { binlog_file: Some(file.to_owned()), binlog_offset: Some(offset), gtid: None, log }
    }

    fn names(from: &Position) -> Result<Vec<String>, BreakKind> {
        let files = log().since(from).map_err(|broken| broken.kind)?;
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn the_files_from_the_archived_one_on_are_read() {
        assert_eq!(names(&at("b.000004", 400)).unwrap(), ["b.000004", "b.000005"]);
        assert_eq!(names(&at("b.000004", 500)).unwrap(), ["b.000004", "b.000005"]);
        assert_eq!(names(&at("b.000005", 700)).unwrap(), ["b.000005"]);
        assert!(log().ends_at(&at("b.000005", 700)));
        assert!(!log().ends_at(&at("b.000005", 699)) && !log().ends_at(&at("b.000004", 700)));
    }

    #[test]
    fn a_log_is_read_to_a_place_before_its_end() {
        let mut log = log();
        log.end_at(&at("b.000004", 450)).unwrap();
        assert_eq!(log.since(&at("b.000003", 4)).unwrap().len(), 2, "the file behind is left out");
        assert!(log.ends_at(&at("b.000004", 450)));
        assert_eq!(log.since(&at("b.000004", 451)).unwrap_err().kind, BreakKind::Behind);
        assert_eq!(log.end_at(&at("b.000002", 4)).unwrap_err().kind, BreakKind::Purged);
    }

    #[test]
    fn a_log_that_does_not_continue_says_how() {
        assert_eq!(names(&at("b.000002", 4)), Err(BreakKind::Purged));
        assert_eq!(names(&at("b.000006", 4)), Err(BreakKind::Behind));
        assert_eq!(names(&at("b.000004", 501)), Err(BreakKind::Behind));
        assert_eq!(names(&at("b.000005", 701)), Err(BreakKind::Behind));
        let unknown = Position { log: None, ..at("b.000004", 400) };
        assert_eq!(names(&unknown), Err(BreakKind::Unknown));
        let mut elsewhere = at("b.000004", 400);
        elsewhere.log.as_mut().unwrap().server = "8".to_owned();
        assert_eq!(names(&elsewhere), Err(BreakKind::OtherServer));
        let renumbered = Log { file: "b.000003".to_owned(), offset: 900, ..log() };
        assert_eq!(renumbered.since(&at("b.000004", 400)).unwrap_err().kind, BreakKind::Behind);
    }
}
