//! One session at a server that does what a log says, event by event.
//!
//! No statement is taken apart or put together as text: rows go as the server's own events (`BINLOG`), a statement goes alone, in the
//! mode and character set in which it was run, so that the server reads it as the source did. Whatever a user wrote into a definition
//! can end no statement and begin no other.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::compressed;
use super::event::{Event, Events};
use super::query::Query;
use super::setting::{Setting, ready};
use super::variables::{self, Collations};
use super::xa;
use crate::engine::mysql::account::Account;
use crate::engine::mysql::binlog::event::{Kind, THREAD_SPECIFIC};
use crate::engine::mysql::binlog::gtid;
use crate::engine::mysql::connection::{Refusal, Session};
use crate::engine::mysql::names;
use crate::error::{Error, Result};

/// The longest that one statement may take: an ALTER TABLE copies a whole table.
const LONGEST: Duration = Duration::from_hours(24);
/// Rows that are sent at once, in bytes. One statement at the source may have changed any number.
const CHUNK: usize = 8 * 1024 * 1024;
/// Rows events say with this bit of their flags that the statement ends with them. The flags stand behind the table's number.
const STATEMENT_END: u8 = 1;
const FLAGS_AT: usize = 6;
/// The table is not there; a DROP of several tables is logged although some were not.
const NO_SUCH_TABLE: u16 = 1051;
/// MariaDB's marks on a transaction: one statement without a commit, and parts of XA.
const STANDALONE: u8 = 1;
const PREPARED_XA: u8 = 64;
const COMPLETED_XA: u8 = 128;

/// Before text of our own: names are quoted for these.
const OUR_OWN: &str = "SET SESSION character_set_client = utf8mb4, sql_mode = ''";
/// An account could not be made or changed: it is there, or is not.
const ACCOUNT_FAILED: u16 = 1396;
/// No such database, table, column or routine.
const NOT_THERE: [u16; 5] = [1049, 1054, 1141, 1146, 1305];

/// Does what a log says.
pub struct Applier<'a> {
    to: &'a Account,
    setting: Setting,
    /// Row events that the server took, or that were left out on purpose, since they were last asked for.
    row_events: u64,
    /// Tables of the statement at hand that are not wanted, by their numbers.
    skipped: BTreeSet<[u8; 6]>,
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
    database: Vec<u8>,
    is_open: bool,
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
        Ok(Self {
            to,
            setting,
            row_events: 0,
            skipped: BTreeSet::new(),
            session,
            maria,
            collations,
            description: Vec::new(),
            tables: Vec::new(),
            rows: Vec::new(),
            bytes: 0,
            settings: String::new(),
            database: Vec::new(),
            is_open: false,
            is_announced: false,
            xid: None,
        })
    }

    /// How many row events were dealt with since this was last asked.
    pub fn take_row_events(&mut self) -> u64 {
        std::mem::take(&mut self.row_events)
    }

    /// Everything in `log`, one file of a log or what is inside of a transaction.
    pub fn file(&mut self, log: impl Read) -> Result<()> {
        self.events(Events::of(log))?;
        if self.is_open || !self.rows.is_empty() {
            return Err(Error::failed("it ends inside of a transaction"));
        }
        Ok(())
    }

    fn events<R: Read>(&mut self, mut events: Events<R>) -> Result<()> {
        // What it says of itself is in the checked file around it; where it stands is for people.
        let mut at = 0_u64;
        while let Some(event) = events.next()? {
            self.apply(&event)
                .map_err(|error| error.context(format!("cannot replay the event at byte {at} of the log")))?;
            at += event.bytes.len() as u64;
        }
        Ok(())
    }

    fn apply(&mut self, event: &Event) -> Result<()> {
        match event.kind()? {
            Kind::FormatDescription => {
                self.description.clone_from(&event.bytes);
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
            Kind::Xid => self.end("COMMIT"),
            Kind::XaPrepare => self.xa_prepare(event.body()),
            Kind::TableMap => self.table(event),
            Kind::Rows { compressed, .. } => {
                let event = if compressed { compressed::rows(event)? } else { event.clone() };
                self.rows(event)
            }
            Kind::Prelude => {
                let set = variables::statement(event.header.code, event.body(), &self.collations)?;
                // In the last statement's character set the quotes of a name could be part of a letter.
                self.run(OUR_OWN)?;
                self.settings.clear();
                self.session.one(&set)?.map_err(|refusal| refused(&refusal, "SET …"))
            }
            Kind::Payload => {
                let inside = compressed::payload(event.body())?;
                self.events(Events::inside(&inside[..]))
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
        let description = STANDARD.encode(&self.description);
        self.run(&format!("BINLOG '\n{description}\n'"))?;
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
            self.is_open = true;
            return self.run(&format!("XA START {xid}"));
        }
        if flags & (STANDALONE | COMPLETED_XA) == 0 {
            self.is_open = true;
            return self.run("BEGIN");
        }
        Ok(())
    }

    fn query(&mut self, event: &Event) -> Result<()> {
        let query = Query::read(event.body()).ok_or_else(|| Error::failed("a statement is cut off"))?;
        let text = std::str::from_utf8(query.text).map_err(|_| {
            Error::failed("a statement is not written in UTF-8")
                .hint("it can be replayed by `mariadb-binlog … | mariadb` by hand")
        })?;
        match first_word(text).as_str() {
            "BEGIN" => {
                self.is_open = true;
                return self.run("BEGIN");
            }
            "COMMIT" => return self.end("COMMIT"),
            "ROLLBACK" if !text.to_ascii_uppercase().contains(" TO ") => return self.end("ROLLBACK"),
            "XA" => return self.xa(text),
            _ => {}
        }
        if !self.setting.wanted.takes(event.body(), query.database, event.header.has(THREAD_SPECIFIC)) {
            return Ok(());
        }
        let settings = query.settings(self.maria, event.header.timestamp)?;
        if query.database != self.database {
            self.use_database(query.database, text)?;
        }
        if self.leaves_out(text) {
            return Ok(());
        }
        if settings != self.settings {
            self.session.one(&settings)?.map_err(|refusal| refused(&refusal, "SET …"))?;
            self.settings = settings;
        }
        match self.session.one(text)? {
            Ok(()) if query.error == 0 => Ok(()),
            Ok(()) => {
                Err(Error::failed(format!("a statement that failed at the source with {} succeeds here", query.error)))
            }
            Err(refusal) if refusal.number == query.error => Ok(()),
            // It was logged with all its tables, though not all were there.
            Err(refusal) if refusal.number == NO_SUCH_TABLE && first_word(text) == "DROP" => Ok(()),
            // The destination's own account of this name is kept, as it is when a full backup is loaded.
            Err(refusal) if refusal.number == ACCOUNT_FAILED && self.keeps_accounts(text) => Ok(()),
            // Rights on something that is not replayed.
            Err(refusal) if NOT_THERE.contains(&refusal.number) && self.is_about_others(text) => Ok(()),
            Err(refusal) => Err(refused(&refusal, text)),
        }
    }

    /// Without accounts, what the log says of them is left out too.
    fn leaves_out(&self, text: &str) -> bool {
        !self.setting.accounts && is_about_accounts(text)
    }

    fn keeps_accounts(&self, text: &str) -> bool {
        !self.setting.throwaway && first_word(text) == "CREATE"
    }

    fn is_about_others(&self, text: &str) -> bool {
        self.setting.wanted.is_restricted() && matches!(first_word(text).as_str(), "GRANT" | "REVOKE")
    }

    fn use_database(&mut self, database: &[u8], text: &str) -> Result<()> {
        let name = std::str::from_utf8(database)
            .map_err(|_| Error::failed("the name of a database is not written in UTF-8"))?;
        // One that is not replayed need not be there. In its place is one in which nothing can be meant by accident.
        self.run(OUR_OWN)?;
        self.settings.clear();
        let name = if name.is_empty() || self.setting.wanted.has(name) { name } else { "information_schema" };
        // One that this very statement makes, or took away, cannot be used.
        if !name.is_empty()
            && let Err(refusal) = self.session.one(&format!("USE {}", names::quote(name)))?
        {
            let is_missing = refusal.number == 1049 && matches!(first_word(text).as_str(), "CREATE" | "DROP");
            return if is_missing { Ok(()) } else { Err(refused(&refusal, "USE")) };
        }
        database.clone_into(&mut self.database);
        // The database's collation goes with it.
        self.settings.clear();
        Ok(())
    }

    fn xa(&mut self, text: &str) -> Result<()> {
        let word = text.split_whitespace().nth(1).unwrap_or_default().to_ascii_uppercase();
        self.is_open = matches!(word.as_str(), "START" | "BEGIN" | "END");
        if word == "END" {
            self.xid = None;
        }
        self.session.one(text)?.map_err(|refusal| refused(&refusal, text))
    }

    /// The session that prepared an XA transaction can do nothing else before its end, which may come much later: it is left.
    fn xa_prepare(&mut self, body: &[u8]) -> Result<()> {
        let (one_phase, xid) = body.split_first().ok_or_else(|| Error::failed("an XA transaction is cut off"))?;
        let xid = xa::prepared(xid).ok_or_else(|| Error::failed("the name of an XA transaction cannot be read"))?;
        if self.xid.take().is_some() {
            self.run(&format!("XA END {xid}"))?;
        }
        self.is_open = false;
        if *one_phase != 0 {
            return self.run(&format!("XA COMMIT {xid} ONE PHASE"));
        }
        self.run(&format!("XA PREPARE {xid}"))?;
        let fresh = Self::open(self.to, self.setting.clone())?;
        let (description, collations) = (std::mem::take(&mut self.description), std::mem::take(&mut self.collations));
        let row_events = self.row_events;
        *self = Self { row_events, collations, description, ..fresh };
        self.describe()
    }

    fn end(&mut self, word: &str) -> Result<()> {
        self.is_open = false;
        self.run(word)
    }

    fn table(&mut self, event: &Event) -> Result<()> {
        let body = event.body();
        let (Some(number), Some(database)) = (body.first_chunk::<6>(), table_database(body)) else {
            return Err(Error::failed("the description of a table is cut off"));
        };
        if self.setting.wanted.has(database) {
            self.tables.push(event.clone());
        } else {
            self.skipped.insert(*number);
        }
        Ok(())
    }

    fn rows(&mut self, event: Event) -> Result<()> {
        let ends = event.body().get(FLAGS_AT).is_some_and(|flags| flags & STATEMENT_END != 0);
        if event.body().first_chunk::<6>().is_some_and(|number| self.skipped.contains(number)) {
            self.row_events += 1;
        } else {
            self.bytes += event.bytes.len();
            self.rows.push(event);
        }
        if ends {
            self.send()?;
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
        let mut text = String::from("BINLOG '");
        for event in self.tables.iter().chain(&self.rows) {
            text.push('\n');
            // Inside of a compressed transaction there are no checksums; the file around it has them.
            let event =
                if event.is_summed == self.is_summed() { event.clone() } else { event.summed(self.is_summed()) };
            STANDARD.encode_string(&event.bytes, &mut text);
        }
        text.push_str("\n'");
        let sent = self.rows.len() as u64;
        (self.rows, self.bytes) = (Vec::new(), 0);
        self.run(&text)?;
        self.row_events += sent;
        Ok(())
    }

    fn is_summed(&self) -> bool {
        super::event::has_checksums(&self.description)
    }

    /// A statement of our own. MySQL 9.7 crashes at a prepared BINLOG where it keeps a log itself.
    fn run(&mut self, sql: &str) -> Result<()> {
        self.session.ask(sql)?.map(drop).map_err(|refusal| refused(&refusal, sql))
    }
}

/// Whether a statement is about accounts.
fn is_about_accounts(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().take(3).map(str::to_ascii_uppercase).collect();
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let second = if word(1) == "OR" { word(2) } else { word(1) };
    match word(0) {
        "GRANT" | "REVOKE" => true,
        "CREATE" | "ALTER" | "DROP" | "RENAME" => {
            matches!(second, "USER" | "ROLE") || words.join(" ").contains("OR REPLACE USER")
        }
        "SET" => matches!(word(1), "PASSWORD" | "DEFAULT") && (word(1) == "PASSWORD" || word(2) == "ROLE"),
        _ => false,
    }
}

fn refused(refusal: &Refusal, sql: &str) -> Error {
    // The statement may have a password in it, and rows: its first words say enough.
    let words: Vec<&str> = sql.split_whitespace().take(2).collect();
    Error::failed(format!("the server refuses `{} …`: {}", words.join(" "), refusal.without_data()))
}

/// The database of a table that is described: behind its number and flags, with its length in front.
fn table_database(body: &[u8]) -> Option<&str> {
    let length = usize::from(*body.get(8)?);
    std::str::from_utf8(body.get(9..9 + length)?).ok()
}

/// In capitals.
fn first_word(text: &str) -> String {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    text[..end].to_ascii_uppercase()
}
