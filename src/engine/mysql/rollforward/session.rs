//! One session at a server that does what a log says, event by event.
//!
//! No statement is taken apart or put together as text: rows go as the server's own events (`BINLOG`), a statement goes alone, in the
//! mode and character set in which it was run, so that the server reads it as the source did. Whatever a user wrote into a definition
//! can end no statement and begin no other. Only rows, which are no text of anybody, are sent many at a time.

mod statements;

use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::batch::{Batch, binlog};
use super::compressed;
use super::event::{Event, Events};
use super::setting::{Setting, ready};
use super::variables::{self, Collations};
use super::xa;
use crate::engine::mysql::account::Account;
use crate::engine::mysql::binlog::event::Kind;
use crate::engine::mysql::binlog::gtid;
use crate::engine::mysql::connection::{Refusal, Session};
use crate::engine::mysql::names::{self, Token};
use crate::error::{Error, Result};

/// The longest that one statement may take: an ALTER TABLE copies a whole table.
const LONGEST: Duration = Duration::from_hours(24);
/// Rows that are sent at once, in bytes. One statement at the source may have changed any number.
const CHUNK: usize = 8 * 1024 * 1024;
/// Rows events say with this bit of their flags that the statement ends with them. The flags stand behind the table's number.
const STATEMENT_END: u8 = 1;
/// And with this one that foreign keys are not looked at.
const NO_FOREIGN_KEYS: u8 = 2;
const FLAGS_AT: usize = 6;
/// MariaDB's marks on a transaction: one statement without a commit, and parts of XA.
const STANDALONE: u8 = 1;
const PREPARED_XA: u8 = 64;
const COMPLETED_XA: u8 = 128;

/// Before text of our own: names are quoted for these.
const OUR_OWN: &str = "SET SESSION character_set_client = utf8mb4, sql_mode = ''";

/// Does what a log says.
pub struct Applier<'a> {
    to: &'a Account,
    setting: Setting,
    /// Row events that the server took, or that were left out on purpose, since they were last asked for.
    row_events: u64,
    /// Tables of the statement at hand that are not wanted, by their numbers.
    skipped: BTreeSet<[u8; 6]>,
    /// Single tables that it may change and has had no rows of.
    rowless: BTreeSet<[u8; 6]>,
    /// Nothing is done at the destination.
    only_looks: bool,
    session: Session,
    maria: bool,
    collations: Collations,
    /// The description of the file at hand, which rows need.
    description: Vec<u8>,
    /// What the statement at hand has of tables and rows.
    tables: Vec<Event>,
    rows: Vec<Event>,
    bytes: usize,
    settings: String,
    /// Sets the number that the next statement gives to a row. Servers that took rows in BINLOG forget it when a statement is prepared.
    next_id: Option<String>,
    database: Vec<u8>,
    batch: Batch,
    /// Byte of the log at which the oldest rows stand that are not sent.
    unsent: Option<u64>,
    /// The next statement is only announced, or taken back.
    is_announced: bool,
    /// Identifier of the XA transaction at hand (MariaDB).
    xid: Option<String>,
}

impl<'a> Applier<'a> {
    /// A session at `to`.
    pub fn open(to: &'a Account, setting: Setting) -> Result<Self> {
        let mut session = Session::open(&to.clone().answers_within(LONGEST))?;
        let maria = session.identity()?.product == "MariaDB";
        ready(&mut session, maria, &setting)?;
        let collations = variables::collations(&mut session)?;
        let batch = Batch::new(tells_transactions_apart(&mut session, maria)?);
        Ok(Self {
            to,
            setting,
            row_events: 0,
            skipped: BTreeSet::new(),
            rowless: BTreeSet::new(),
            only_looks: false,
            session,
            maria,
            collations,
            description: Vec::new(),
            tables: Vec::new(),
            rows: Vec::new(),
            bytes: 0,
            settings: String::new(),
            next_id: None,
            database: Vec::new(),
            batch,
            unsent: None,
            is_announced: false,
            xid: None,
        })
    }

    /// From now on nothing is done at the destination: only whether everything can be replayed is looked at.
    pub fn only_looks(&mut self) {
        self.only_looks = true;
    }

    /// How many row events were dealt with since this was last asked.
    pub fn take_row_events(&mut self) -> u64 {
        std::mem::take(&mut self.row_events)
    }

    /// Everything in `log`, one file of a log or what is inside of a transaction.
    pub fn file(&mut self, log: impl Read) -> Result<()> {
        self.events(Events::of(log), None)?;
        if self.batch.is_open() || !self.rows.is_empty() {
            return Err(Error::failed("it ends inside of a transaction"));
        }
        self.send_all()
    }

    /// `inside`: where the event stands that they are in.
    fn events<R: Read>(&mut self, mut events: Events<R>, inside: Option<u64>) -> Result<()> {
        // What it says of itself is in the checked file around it; where it stands is for people.
        let mut at = inside.unwrap_or_default();
        while let Some(event) = events.next()? {
            match self.apply(&event, at) {
                Err(error) if inside.is_none() => return Err(self.placed(error, at)),
                applied => applied?,
            }
            if inside.is_none() {
                at += event.bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Rows that were refused may have come before the event at hand.
    fn placed(&self, error: Error, at: u64) -> Error {
        let place = match self.unsent {
            Some(first) if first < at => format!("the events at bytes {first} to {at}"),
            _ => format!("the event at byte {at}"),
        };
        error.context(format!("cannot replay {place} of the log"))
    }

    fn apply(&mut self, event: &Event, at: u64) -> Result<()> {
        match event.kind()? {
            Kind::FormatDescription => {
                self.description.clone_from(&event.bytes);
                self.send_all()?;
                self.describe()
            }
            Kind::MariaDbGtid => self.mariadb_begin(event.body()),
            Kind::Query { .. } if std::mem::take(&mut self.is_announced) => Ok(()),
            Kind::Query { compressed } => {
                if compressed {
                    let inflated = compressed::query(event)?;
                    return self.query(&inflated);
                }
                self.query(event)
            }
            Kind::Xid => self.commit(),
            Kind::XaPrepare => self.xa_prepare(event.body()),
            Kind::TableMap => self.table(event),
            Kind::Rows { compressed, .. } => {
                let event = if compressed { compressed::rows(event)? } else { event.clone() };
                self.unsent.get_or_insert(at);
                self.rows(event)
            }
            Kind::Prelude => {
                let set = variables::statement(event.header.code, event.body(), &self.collations)?;
                self.send_all()?;
                // In the last statement's character set the quotes of a name could be part of a letter.
                self.run(OUR_OWN)?;
                self.settings.clear();
                if set.starts_with(variables::NEXT_ID) {
                    self.next_id = Some(set);
                    return Ok(());
                }
                self.session.one(&set)?.map_err(|refusal| refused(&refusal, "SET …"))
            }
            Kind::Payload => {
                let inside = compressed::payload(event.body())?;
                self.events(Events::inside(&inside[..]), Some(at))
            }
            Kind::LoadFile | Kind::LoadQuery => Err(Error::failed(
                "LOAD DATA was logged as a statement, with its file in pieces; that cannot be replayed",
            )
            .hint("set binlog_format = ROW at the source and take a full backup")),
            Kind::Incident => Err(Error::failed("the source says that events were lost before this one")),
            Kind::Annotation
            | Kind::AnonymousGtid
            | Kind::Between
            | Kind::Gtid
            | Kind::Heartbeat
            | Kind::Passed
            | Kind::Rotate
            | Kind::StartEncryption
            | Kind::Stop
            | Kind::TaggedGtid => Ok(()),
        }
    }

    /// Rows are read as the file says that they are written. MySQL takes that only between transactions.
    fn describe(&mut self) -> Result<()> {
        let description = STANDARD.encode(&self.description) + "\n";
        self.run(&binlog(&description))?;
        // MySQL waits for a GTID of the log then. The destination has its own.
        if self.maria { Ok(()) } else { self.run("SET SESSION gtid_next = 'AUTOMATIC'") }
    }

    /// MariaDB begins a transaction without a statement.
    fn mariadb_begin(&mut self, body: &[u8]) -> Result<()> {
        // `binlog_alter_two_phase`: what is done is said again when it is done.
        self.is_announced = gtid::mariadb(body, 0).is_some_and(|begun| begun.is_announcement);
        let flags = body.get(12).copied().unwrap_or_default();
        if flags & PREPARED_XA != 0 {
            let xid =
                xa::of_mariadb(body).ok_or_else(|| Error::failed("the name of an XA transaction cannot be read"))?;
            self.xid = Some(xid.clone());
            self.send_all()?;
            self.run(&format!("XA START {xid}"))?;
            self.batch.begun();
        } else if flags & (STANDALONE | COMPLETED_XA) == 0 {
            self.batch.begin();
        }
        Ok(())
    }

    fn xa(&mut self, text: &str) -> Result<()> {
        let word = words(text).nth(1).unwrap_or_default().to_ascii_uppercase();
        self.send_all()?;
        if self.only_looks {
            return Ok(());
        }
        if word == "END" {
            self.xid = None;
        }
        self.session.one(text)?.map_err(|refusal| refused(&refusal, text))?;
        match word.as_str() {
            "START" | "BEGIN" => self.batch.begun(),
            "END" => {}
            _ => self.batch.has_ended(),
        }
        Ok(())
    }

    fn xa_prepare(&mut self, body: &[u8]) -> Result<()> {
        let (one_phase, xid) = body.split_first().ok_or_else(|| Error::failed("an XA transaction is cut off"))?;
        let xid = xa::prepared(xid).ok_or_else(|| Error::failed("the name of an XA transaction cannot be read"))?;
        self.send_all()?;
        if self.xid.take().is_some() {
            self.run(&format!("XA END {xid}"))?;
        }
        self.batch.has_ended();
        if *one_phase != 0 {
            return self.run(&format!("XA COMMIT {xid} ONE PHASE"));
        }
        self.run(&format!("XA PREPARE {xid}"))?;
        self.leave_prepared()
    }

    /// With `pseudo_slave_mode` servers let go of a prepared transaction, as their own replication needs it: any session ends it later, this
    /// one too. Where one does not, its session can do nothing else before that end: then the replay goes on in another.
    fn leave_prepared(&mut self) -> Result<()> {
        // Outside of a transaction it does nothing; in one that is prepared it is refused.
        if self.only_looks || self.session.ask("COMMIT")?.is_ok() {
            return Ok(());
        }
        let fresh = Self::open(self.to, self.setting.clone())?;
        let (description, collations) = (std::mem::take(&mut self.description), std::mem::take(&mut self.collations));
        let (row_events, is_apart) = (self.row_events, self.batch.is_apart);
        *self = Self { row_events, collations, description, ..fresh };
        self.batch.is_apart |= is_apart;
        self.describe()
    }

    fn commit(&mut self) -> Result<()> {
        let rest = self.batch.commit();
        self.do_all(&rest)
    }

    /// The rows that are waiting come before whatever is done next.
    fn send_all(&mut self) -> Result<()> {
        let rest = self.batch.everything();
        self.do_all(&rest)
    }

    fn do_all(&mut self, statements: &[String]) -> Result<()> {
        for statement in statements.iter().filter(|_| !self.only_looks) {
            self.session.ask(statement)?.map_err(|refusal| {
                Error::failed(format!("the server refuses rows of the log: {}", refusal.without_data()))
            })?;
        }
        if !statements.is_empty() {
            self.row_events += self.batch.take_events();
            self.unsent = None;
        }
        Ok(())
    }

    fn table(&mut self, event: &Event) -> Result<()> {
        let body = event.body();
        let (Some(number), Some((database, table))) = (body.first_chunk::<6>(), table_named(body)) else {
            return Err(Error::failed("the description of a table is cut off"));
        };
        let only = self.setting.only.as_ref();
        if self.setting.wanted.has(database) && only.is_none_or(|only| only.has(database, table)) {
            if only.is_some() && self.maria {
                self.rowless.insert(*number);
            }
            self.tables.push(event.clone());
        } else {
            self.skipped.insert(*number);
        }
        Ok(())
    }

    fn rows(&mut self, event: Event) -> Result<()> {
        let ends = event.body().get(FLAGS_AT).is_some_and(|flags| flags & STATEMENT_END != 0);
        let number = event.body().first_chunk::<6>().copied().unwrap_or_default();
        self.rowless.remove(&number);
        if self.skipped.contains(&number) {
            self.row_events += 1;
        } else {
            self.bytes += event.bytes.len();
            self.rows.push(if self.setting.only.is_some() { without_foreign_keys(&event) } else { event });
        }
        if ends {
            self.send()?;
            if let Some(only) = self.setting.only.as_ref().filter(|_| !self.rowless.is_empty()) {
                return Err(
                    only.refused("rows of it may have been changed by a foreign key, which the log does not say")
                );
            }
            self.tables.clear();
            self.skipped.clear();
        } else if self.bytes >= CHUNK {
            self.send()?;
        }
        Ok(())
    }

    /// Rows with the tables that they are of. The server forgets the tables after each, and does nothing before the mark of the end.
    fn send(&mut self) -> Result<()> {
        let Some(last) = self.rows.pop() else { return Ok(()) };
        let mut body = last.body().to_vec();
        if let Some(flags) = body.get_mut(FLAGS_AT) {
            *flags |= STATEMENT_END;
        }
        self.rows.push(last.with(last.header.code, &body));
        let mut lines = String::new();
        for event in self.tables.iter().chain(&self.rows) {
            // Inside of a compressed transaction there are no checksums; the file around it has them.
            let event =
                if event.is_summed == self.is_summed() { event.clone() } else { event.summed(self.is_summed()) };
            STANDARD.encode_string(&event.bytes, &mut lines);
            lines.push('\n');
        }
        let events = self.rows.len() as u64;
        self.rows.clear();
        self.bytes = 0;
        let rest = self.batch.rows(&lines, events);
        self.do_all(&rest)
    }

    fn is_summed(&self) -> bool {
        super::event::has_checksums(&self.description)
    }

    /// A statement of our own. MySQL 9.7 crashes at a prepared BINLOG where it keeps a log itself.
    fn run(&mut self, sql: &str) -> Result<()> {
        if self.only_looks {
            return Ok(());
        }
        self.session.ask(sql)?.map(drop).map_err(|refusal| refused(&refusal, sql))
    }
}

/// Whether it makes a difference at the destination which rows are committed together: to MariaDB's tables whose versions are
/// numbers of transactions, and where MySQL keeps GTIDs and has tables that know no transactions.
fn tells_transactions_apart(session: &mut Session, maria: bool) -> Result<bool> {
    let question = if maria {
        "SELECT EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE GENERATION_EXPRESSION = 'ROW START' AND \
         DATA_TYPE = 'bigint')"
    } else {
        "SELECT @@GLOBAL.enforce_gtid_consistency = 'ON' AND @@GLOBAL.log_bin AND EXISTS (SELECT 1 FROM \
         information_schema.TABLES t JOIN information_schema.ENGINES e ON t.ENGINE = e.ENGINE WHERE e.TRANSACTIONS = 'NO' AND \
         t.TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema'))"
    };
    Ok(session.value(question)?.as_deref() == Some("1"))
}

fn refused(refusal: &Refusal, sql: &str) -> Error {
    // The statement may have a password in it, and rows: its first words say enough.
    let words: Vec<String> = words(sql).collect();
    Error::failed(format!("the server refuses `{} …`: {}", words.join(" "), refusal.without_data()))
}

/// The first two words of a statement, behind comments.
fn words(sql: &str) -> impl Iterator<Item = String> {
    names::tokens(sql, 2).into_iter().filter_map(|token| match token {
        Token::Word(word) => Some(word),
        Token::Quoted(_) | Token::Mark(_) => None,
    })
}

/// Database and name of a table that is described: behind its number and flags, each with its length in front and a zero behind.
fn table_named(body: &[u8]) -> Option<(&str, &str)> {
    let text = |at: usize| {
        let length = usize::from(*body.get(at)?);
        Some((std::str::from_utf8(body.get(at + 1..at + 1 + length)?).ok()?, at + length + 2))
    };
    let (database, next) = text(8)?;
    Some((database, text(next)?.0))
}

/// The same rows; the destination asks for no row of another table, which it may not have, and changes none.
fn without_foreign_keys(event: &Event) -> Event {
    let mut body = event.body().to_vec();
    if let Some(flags) = body.get_mut(FLAGS_AT) {
        *flags |= NO_FOREIGN_KEYS;
    }
    event.with(event.header.code, &body)
}
