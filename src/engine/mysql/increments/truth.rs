//! Counts rows at the end of an increment: in a consistent snapshot, whose place in the log the increment ends at. So the counts are of
//! exactly that place, and a replay to it must come to the same.
//!
//! MariaDB says which place a snapshot has, and nobody waits. MySQL does not: its writers wait while the snapshot is opened, behind
//! `FLUSH TABLES WITH READ LOCK`, which gives up by itself. Tried: reading the place before and after, or `log_status`, tells what is in the
//! log, and a transaction is in the log before a snapshot sees it.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

use super::log::{self, Log};
use crate::clock::{Stopwatch, SystemClock};
use crate::display;
use crate::domain::chain::Place;
use crate::domain::counts::{ANY, Counts, owed, rank};
use crate::domain::manifest::{Manifest, Position};
use crate::domain::promise::{Changes, Promise};
use crate::engine::mysql::account::Account;
use crate::engine::mysql::connection::Session;
use crate::engine::mysql::names;
use crate::error::Result;
use crate::run_context::Cancel;

/// As many seconds each of the three steps of the lock waits at most: who writes waits as long.
const LOCK_WAIT: u32 = 1;
/// After as many seconds without a word the server ends the session, and with it the lock: also where this host is gone.
const IDLE_LOCKED: u32 = 5;
/// The same while the increment is stored, before anything is counted.
const IDLE: u32 = 3600;
/// Beside the budget, for what takes no time.
const SLACK: Duration = Duration::from_secs(5);
/// The statement took longer than it may: of MariaDB, of MySQL.
const TOO_LONG: [u16; 2] = [1969, 3024];

/// A snapshot.
struct Snapshot {
    session: Session,
    maria: bool,
    budget: Duration,
    /// Where it stands in the log.
    file: String,
    offset: u64,
    /// The GTID state there, where the server says it.
    gtid: Option<String>,
    /// The tables that there were just before.
    there: String,
}

/// What was counted.
#[derive(Debug, Default)]
struct Counted {
    rows: Counts,
    /// Why something that was to be counted was not.
    given_up: Option<String>,
    /// All tables that were to be counted were.
    is_complete: bool,
}

/// More of the log than this is stored before anything can be counted for so long that a snapshot would burden the server.
const MOST_TO_STORE: u64 = 256 << 20;

/// Open one, or say why there is none.
fn open(account: &Account, product: &str, budget: Duration) -> Result<std::result::Result<Snapshot, String>> {
    let maria = product == "MariaDB";
    let mut session = Session::open(&account.clone().answers_within(budget + SLACK))?;
    session.rows("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    let there = match there(&mut session, maria)? {
        Ok(there) => there,
        Err(why) => return Ok(Err(why)),
    };
    let place = if maria { of_mariadb(&mut session)? } else { of_mysql(&mut session)? };
    let (file, offset, gtid) = match place {
        Ok(place) => place,
        Err(why) => return Ok(Err(why)),
    };
    session.rows(&format!("SET SESSION wait_timeout = {IDLE}"))?;
    Ok(Ok(Snapshot { session, maria, budget, file, offset, gtid, there }))
}

/// Stands for all tables and partitions that InnoDB has now. A name may mean another table by the time it is counted: a snapshot has rows,
/// not names.
fn there(session: &mut Session, maria: bool) -> Result<std::result::Result<String, String>> {
    let tables = if maria { "INNODB_SYS_TABLES" } else { "INNODB_TABLES" };
    let asked = format!(
        "SELECT CONCAT(COUNT(*), ' ', COALESCE(SUM(CRC32(CONCAT(NAME, ' ', TABLE_ID))), 0)) FROM information_schema.{tables}"
    );
    Ok(match session.ask(&asked)? {
        Ok(rows) => Ok(rows.into_iter().next().and_then(|mut row| row.pop().flatten()).unwrap_or_default()),
        Err(refusal) => Err(format!("which tables there are cannot be asked, for which it takes PROCESS: {refusal}")),
    })
}

/// Whether rows are counted at the end of an increment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// That is not asked for.
    Never,
    /// Not of this one: what it leaves to be counted is remembered.
    Later,
    /// For so long.
    Now(Duration),
}

/// What an increment tells beyond its log.
pub struct Truth {
    counting: Counting,
    snapshot: Option<Snapshot>,
    /// Why there is no snapshot although it was asked for.
    given_up: Option<String>,
    /// Tables that are to be counted since before.
    owed: BTreeSet<String>,
}

impl Truth {
    /// Open a snapshot, where rows are counted now, behind the backup `after`.
    pub fn open(account: &Account, product: &str, counting: Counting, after: &Manifest) -> Self {
        let owed = match &after.promise {
            Promise::Changes(changes) => changes.owed.clone(),
            Promise::Exact(_) | Promise::Pending => BTreeSet::new(),
        };
        let mut truth = Self { counting, snapshot: None, given_up: None, owed };
        if let Counting::Now(budget) = counting {
            match open(account, product, budget) {
                Ok(Ok(snapshot)) => truth.snapshot = Some(snapshot),
                Ok(Err(why)) => truth.give_up(&why),
                Err(error) => truth.give_up(&error.to_string()),
            }
        }
        truth
    }

    /// It is a good increment all the same.
    fn give_up(&mut self, why: &str) {
        self.snapshot = None;
        self.given_up = Some(format!("rows were not counted at the end of the increment: {why}"));
    }

    /// Have `log` end where the snapshot stands.
    pub fn ends(&mut self, log: &mut Log, from: &Position) {
        let Some(snapshot) = &self.snapshot else { return };
        let end = Position {
            binlog_file: Some(snapshot.file.clone()),
            binlog_offset: Some(snapshot.offset),
            gtid: snapshot.gtid.clone(),
            log: from.log.clone(),
        };
        let order = Place::of(from).zip(Place::of(&end)).and_then(|(from, end)| from.order(&end));
        if order.is_none_or(Ordering::is_gt) {
            // Behind the last transaction the server may have put notes of its own, at which the backup before ends.
            self.snapshot = None;
            return;
        }
        if let Err(broken) = log.end_at(&end) {
            self.give_up(&broken.to_string());
        }
    }

    /// So many bytes of the log are stored first.
    pub fn waits_for(&mut self, bytes: u64) {
        if self.snapshot.is_some() && bytes > MOST_TO_STORE {
            self.give_up("there is much of the log to be stored first");
        }
    }

    /// `changes` of such an increment, with what is counted now.
    pub fn told(self, mut changes: Changes, databases: &[String], cancel: &Cancel) -> Changes {
        if self.counting == Counting::Never {
            return changes;
        }
        let unknown = owed(&self.owed, &changes);
        let counted =
            self.snapshot.map(|snapshot| snapshot.count(databases, &changes, &unknown, cancel)).unwrap_or_default();
        (changes.counted, changes.given_up) = (counted.rows, counted.given_up.or(self.given_up));
        changes.owed = owed(&self.owed, &changes);
        if counted.is_complete {
            // Whatever it stood for was counted.
            changes.owed.remove(ANY);
        }
        changes
    }
}

type AtPlace = std::result::Result<(String, u64, Option<String>), String>;

fn of_mariadb(session: &mut Session) -> Result<AtPlace> {
    session.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")?;
    let mut status = |name: &str| -> Result<Option<String>> {
        let rows = session.rows(&format!("SHOW STATUS LIKE 'binlog_snapshot_{name}'"))?;
        Ok(rows.into_iter().next().and_then(|mut row| row.pop().flatten()))
    };
    let (file, offset) = (status("file")?, status("position")?.and_then(|offset| offset.parse().ok()));
    let place = file.filter(|file| !file.is_empty()).zip(offset);
    Ok(place
        .map(|(file, offset)| (file, offset, None))
        .ok_or_else(|| "the server does not say where it stands".to_owned()))
}

fn of_mysql(session: &mut Session) -> Result<AtPlace> {
    // Behind a statement that runs for long, everybody would wait with us.
    let long = "SELECT COUNT(*) FROM performance_schema.processlist WHERE COMMAND IN ('Query', 'Execute') AND TIME >= 1 AND ID <> CONNECTION_ID() AND \
                USER <> 'event_scheduler'";
    if session.ask(long)?.is_ok_and(|rows| rows.first().and_then(|row| row.first()) != Some(&Some("0".to_owned()))) {
        return Ok(Err("a statement runs for long, behind which writers would wait".to_owned()));
    }
    session.rows(&format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}, wait_timeout = {IDLE_LOCKED}"))?;
    if let Err(refusal) = session.ask("FLUSH TABLES WITH READ LOCK")? {
        return Ok(Err(format!("the server's tables cannot be locked for a moment: {refusal}")));
    }
    let place = session.ask("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")?.map(|_| log::end(session));
    session.rows("UNLOCK TABLES")?;
    match place {
        Ok(place) => Ok(place?.map(in_one_line).ok_or_else(|| "the server keeps no binary log".to_owned())),
        Err(refusal) => Ok(Err(refusal.to_string())),
    }
}

fn in_one_line((file, offset, gtid): (String, u64, Option<String>)) -> (String, u64, Option<String>) {
    let gtid = gtid.map(|set| set.replace(['\n', ' '], "")).filter(|set| !set.is_empty());
    (file, offset, gtid)
}

impl Snapshot {
    /// Count what `changes` and those before left to be counted, as far as that fits in.
    fn count(mut self, databases: &[String], changes: &Changes, owed: &BTreeSet<String>, cancel: &Cancel) -> Counted {
        let mut counted = Counted::default();
        if let Err(error) = self.tables(databases, changes, owed, (&mut counted, cancel)) {
            // It is a good increment all the same.
            counted.given_up = Some(error.to_string());
        }
        // This is not to be cut short by what is left of the budget.
        let is_same = self.limit(SLACK).is_ok()
            && matches!(there(&mut self.session, self.maria), Ok(Ok(now)) if now == self.there);
        if !counted.rows.is_empty() && !is_same {
            counted = Counted::default();
            counted.given_up = Some("a table was made, altered or dropped while rows were counted".to_owned());
        }
        counted
    }

    fn tables(
        &mut self,
        databases: &[String],
        changes: &Changes,
        owed: &BTreeSet<String>,
        (counted, cancel): (&mut Counted, &Cancel),
    ) -> Result<()> {
        if databases.is_empty() {
            return Ok(());
        }
        let watch = Stopwatch::start(&SystemClock::shared());
        self.limit(self.budget)?;
        let list = databases.iter().map(|name| names::quote_text(name)).collect::<Vec<_>>().join(", ");
        let asked = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES WHERE ENGINE = 'InnoDB' AND \
             TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA IN ({list})"
        );
        let mut ranked = Vec::new();
        let tables = match self.session.ask(&asked)? {
            Ok(tables) => tables,
            Err(refusal) => {
                let budget = display::limit(self.budget);
                counted.given_up = Some(format!("no rows were counted within `truth_budget` = {budget}: {refusal}"));
                return Ok(());
            }
        };
        for row in tables {
            let [Some(database), Some(table), Some(estimated)] = row.as_slice() else { continue };
            let name = names::qualified(database, table);
            if let Some(rank) = rank(&name, estimated.parse().unwrap_or(0), changes, owed) {
                ranked.push((rank, name, format!("{}.{}", names::quote(database), names::quote(table))));
            }
        }
        ranked.sort_unstable();
        let all = ranked.len();
        for (_, name, quoted) in ranked {
            cancel.check()?;
            let left = self.budget.saturating_sub(watch.elapsed());
            if left < Duration::from_millis(1) || self.limit(left).is_err() {
                break;
            }
            match self.session.ask(&format!("SELECT COUNT(*) FROM {quoted}"))? {
                Ok(rows) => {
                    let rows = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
                    counted.rows.extend(rows.map(|rows| (name, rows)));
                }
                Err(refusal) if TOO_LONG.contains(&refusal.number) => break,
                // It was altered or dropped since: not this one.
                Err(refusal) => tracing::debug!("cannot count the rows of {name}: {refusal}"),
            }
        }
        counted.is_complete = counted.rows.len() == all;
        if !counted.is_complete {
            let (budget, done) = (display::limit(self.budget), counted.rows.len());
            counted.given_up =
                Some(format!("rows of {done} of {all} tables were counted within `truth_budget` = {budget}"));
        }
        Ok(())
    }

    fn limit(&mut self, left: Duration) -> Result<()> {
        let limit = if self.maria {
            format!("SET SESSION max_statement_time = {}.{:03}", left.as_secs(), left.subsec_millis())
        } else {
            format!("SET SESSION max_execution_time = {}", left.as_millis())
        };
        self.session.rows(&limit).map(drop)
    }
}
