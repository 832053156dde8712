//! Where a replay ends: in front of the transaction that is named, found in the log files themselves.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use super::group::Group;
use super::gtid::Gtid;
use super::scanner::LogScanner;
use crate::domain::chain::Until;
use crate::error::{Error, OrFailed, Result};

/// So much of a file is read at a time.
const PIECE: usize = 256 * 1024;
/// Commits of one moment may be written in another order: what differs less is no sign of a clock that was set.
const NOISE: i64 = 1_000_000;

/// One stored log file of an increment, to be read from its beginning.
pub struct LogFile<'f> {
    /// Which increment of the chain, from 0.
    pub increment: usize,
    /// Which file of it, from 0.
    pub file: usize,
    /// Its name at the server.
    pub name: String,
    /// The offset in the server's file that it begins at.
    pub start: u64,
    pub content: Box<dyn Read + 'f>,
}

/// Where a replay ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The increment in which it does.
    pub increment: usize,
    /// The file of it.
    pub file: usize,
    /// Its name.
    pub name: String,
    /// The offset in the server's file.
    pub offset: u64,
    /// As many bytes of the stored file are replayed.
    pub bytes: u64,
    /// The first transaction that is left out; none where everything is replayed.
    pub left_out: Option<Group>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Find it. The files are those of all increments, in order.
pub fn find<'f>(files: impl IntoIterator<Item = Result<LogFile<'f>>>, until: &Until) -> Result<Stop> {
    let mut search = Search::of(until)?;
    let mut stop = None;
    for file in files {
        let found = search.file(file?)?;
        let is_found = found.left_out.is_some();
        stop = Some(found);
        if is_found {
            break;
        }
    }
    let stop = stop.ok_or_else(|| Error::failed("cannot find where the replay ends: there are no increments"))?;
    if stop.left_out.is_none() {
        search.may_end(&stop)?;
    }
    Ok(Stop { notes: search.notes(), ..stop })
}

/// What is looked for.
enum Wanted {
    End,
    Place {
        file: String,
        offset: u64,
    },
    Gtid(Gtid),
    /// Microseconds since 1970.
    Time(i64),
}

struct Search {
    wanted: Wanted,
    /// Where the increments begin.
    first: Option<(String, u64)>,
    /// How far the file goes that is named, once it was there.
    named_end: Option<u64>,
    /// The nearest transactions beside the one that is named.
    below: Option<Gtid>,
    above: Option<Gtid>,
    /// The latest commit so far.
    newest: i64,
    /// Where commit times first go back.
    back: Option<String>,
    /// Transactions that are left out and were committed in time.
    early: u64,
}

impl Search {
    fn of(until: &Until) -> Result<Self> {
        let wanted = match until {
            Until::End => Wanted::End,
            Until::Before { file, offset } => Wanted::Place { file: file.clone(), offset: *offset },
            Until::BeforeGtid(text) => Wanted::Gtid(Gtid::read(text).ok_or_else(|| {
                Error::configuration(format!("cannot read GTID {text}"))
                    .hint("write DOMAIN-SERVER-SEQUENCE (MariaDB), UUID:NUMBER or UUID:TAG:NUMBER (MySQL)")
            })?),
            Until::Time(time) => Wanted::Time(time.timestamp_micros()),
        };
        Ok(Self {
            wanted,
            first: None,
            named_end: None,
            below: None,
            above: None,
            newest: i64::MIN,
            back: None,
            early: 0,
        })
    }

    /// Look through one file.
    fn file(&mut self, mut file: LogFile<'_>) -> Result<Stop> {
        self.enter(&file)?;
        let seen = Arc::new(Mutex::new(VecDeque::new()));
        let into = Arc::clone(&seen);
        let mut scanner = LogScanner::new(file.name.clone(), file.start)
            .reporting(move |group| into.lock().unwrap_or_else(PoisonError::into_inner).push_back(group.clone()));
        let mut left_out: Option<Group> = None;
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.content.read(&mut piece).or_failed(format!("cannot read binary log {}", file.name))?;
            // What comes behind matters only to a time.
            if length == 0 || left_out.is_some() && !matches!(self.wanted, Wanted::Time(_)) {
                break;
            }
            scanner.push(&piece[..length])?;
            for group in std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner)) {
                if left_out.is_some() {
                    self.behind(&group);
                } else if self.is_left_out(&file.name, &group) {
                    left_out = Some(group);
                } else {
                    self.passed(&file.name, &group);
                }
            }
        }
        let (mut offset, mut bytes) = (scanner.group_end(), scanner.bytes_to_group_end());
        if let Some(group) = &left_out {
            (offset, bytes) = (group.offset, group.bytes_before);
        } else if offset < scanner.offset() {
            return Err(Error::failed(format!(
                "cannot replay binary log {}: the transaction at {offset} has no end",
                file.name
            )));
        } else {
            self.leave(&file.name, offset);
            scanner.finish()?;
        }
        Ok(Stop {
            increment: file.increment,
            file: file.file,
            name: file.name,
            offset,
            bytes,
            left_out,
            notes: Vec::new(),
        })
    }

    /// A place in front of all files, or behind the end of the file that is named, is in none.
    fn enter(&mut self, file: &LogFile<'_>) -> Result<()> {
        self.first.get_or_insert_with(|| (file.name.clone(), file.start));
        let Wanted::Place { file: name, offset } = &self.wanted else { return Ok(()) };
        match self.named_end {
            None if *name == file.name && *offset < file.start => {
                Err(self.not_there(&format!("{name} begins at {} in them", file.start)))
            }
            Some(end) if *name != file.name && *offset > end => Err(self.not_there(&format!("{name} ends at {end}"))),
            _ => Ok(()),
        }
    }

    /// A file was looked through up to `end`, and nothing of it is left out.
    fn leave(&mut self, name: &str, end: u64) {
        if matches!(&self.wanted, Wanted::Place { file, .. } if file == name) {
            self.named_end = Some(end);
        }
    }

    /// Whether this is the first transaction that is left out.
    fn is_left_out(&self, name: &str, group: &Group) -> bool {
        match &self.wanted {
            Wanted::End => false,
            // Behind the file that is named, the place was behind its last transaction.
            Wanted::Place { file, offset } => {
                if name == file {
                    group.end > *offset
                } else {
                    self.named_end.is_some()
                }
            }
            Wanted::Gtid(wanted) => group.gtid.as_ref() == Some(wanted),
            Wanted::Time(time) => group.committed > *time,
        }
    }

    /// This one is replayed.
    fn passed(&mut self, name: &str, group: &Group) {
        if group.committed + NOISE < self.newest && self.back.is_none() {
            self.back = Some(format!("{name}:{}", group.offset));
        }
        self.newest = self.newest.max(group.committed);
        let (Wanted::Gtid(wanted), Some(gtid)) = (&self.wanted, &group.gtid) else { return };
        let Some((number, sought)) = gtid.number_beside(wanted) else { return };
        let nearest =
            |one: &Option<Gtid>| one.as_ref().and_then(|one| one.number_beside(wanted)).map(|(number, _)| number);
        if number < sought && nearest(&self.below).is_none_or(|below| number > below) {
            self.below = Some(gtid.clone());
        } else if number > sought && nearest(&self.above).is_none_or(|above| number < above) {
            self.above = Some(gtid.clone());
        }
    }

    /// This one comes behind the first that is left out.
    fn behind(&mut self, group: &Group) {
        if let Wanted::Time(time) = self.wanted
            && group.committed + NOISE <= time
        {
            self.early += 1;
        }
    }

    /// Nothing was left out: whether that can be meant.
    fn may_end(&self, stop: &Stop) -> Result<()> {
        let last = format!("{}:{}", stop.name, stop.offset);
        match &self.wanted {
            Wanted::End | Wanted::Time(_) => Ok(()),
            Wanted::Place { offset, .. } if self.named_end.is_some_and(|end| *offset <= end) => Ok(()),
            Wanted::Place { .. } | Wanted::Gtid(_) => Err(self.not_there(&format!("they end at {last}"))),
        }
    }

    fn not_there(&self, why: &str) -> Error {
        let sought = match &self.wanted {
            Wanted::Place { file, offset } => format!("{file}:{offset}"),
            Wanted::Gtid(gtid) => format!("GTID {gtid}"),
            Wanted::End | Wanted::Time(_) => "this time".to_owned(),
        };
        let (name, offset) = self.first.clone().unwrap_or_default();
        let error = Error::configuration(format!(
            "cannot stop before {sought}: it is not in the increments, which begin at {name}:{offset}; {why}"
        ));
        let beside: Vec<String> = [&self.below, &self.above].into_iter().flatten().map(ToString::to_string).collect();
        if beside.is_empty() {
            error
        } else {
            error.hint(format!("the nearest transactions are {}", beside.join(" and ")))
        }
    }

    fn notes(self) -> Vec<String> {
        let mut notes = Vec::new();
        if let (Wanted::Time(_), Some(place)) = (&self.wanted, &self.back) {
            notes.push(format!("commit times go back at {place}: a clock was set, or a session set its own time"));
        }
        if self.early > 0 {
            notes.push(format!(
                "{} transactions behind the stop say that they were committed before it: a clock was set, or a session set its \
                 own time",
                self.early
            ));
        }
        notes
    }
}

#[cfg(test)]
#[path = "stop_tests.rs"]
mod tests;
