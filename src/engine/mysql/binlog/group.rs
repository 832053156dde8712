//! Event groups: transactions, and statements that need none. Where they begin and end, and what they touch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Damage;
use super::body::{Body, Cut, Cutter, Kept, Rows};
use super::canaries;
use super::event::{Change, HEADER, Header, Kind, THREAD_SPECIFIC};
use super::gtid::{self, Begun, Gtid, GtidState};
use super::query::{KEPT, Query};
use super::rows::{RowCounter, RowsHead};
use super::statement::{self, Effect, Order};
use super::table_map::{self, TableMap};
use super::table_rows::TableRows;
use super::tally::{Done, Tally};
use crate::domain::digest::Digest;
use crate::domain::position::LastGroup;
use crate::engine::mysql::names;
use crate::engine::mysql::source::SYSTEM_DATABASES;

/// As much of a table map is read: the names of columns behind it are not.
const MAP_KEPT: usize = 64 * 1024;
/// As much of other events.
const SHORT: usize = 4096;
/// Columns of all tables of a statement; with more of them, rows are not counted.
const MOST_COLUMNS: usize = 1 << 20;
/// Tables of a statement. No server can open more.
const MOST_TABLES: usize = 1 << 19;
/// Statements of a group that are shown.
const MOST_SHOWN: usize = 20;

/// A transaction, or a statement of its own, for people and for a replay that has to stop somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Where it begins in the server's file.
    pub offset: u64,
    /// Where it ends there.
    pub end: u64,
    /// Bytes in front of it in what was scanned.
    pub bytes_before: u64,
    /// None where the server gives none.
    pub gtid: Option<Gtid>,
    /// When it was committed, in microseconds since 1970, by the server's clock or by what a session pretended.
    pub committed: i64,
    /// Tables whose rows it names, by qualified name.
    pub tables: BTreeMap<String, TableRows>,
    /// Its statements that are not rows, without passwords; the first few.
    pub statements: Vec<String>,
    /// Rows are changed by statements.
    pub has_statement_format: bool,
}

/// Where an event begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct At {
    /// In the server's file.
    pub offset: u64,
    /// In what was scanned.
    pub fed: u64,
}

/// Called with each group that is whole.
pub type Report = Box<dyn FnMut(&Group) + Send>;

/// A group that is not whole yet.
#[derive(Debug, Default)]
struct Open {
    group: Group,
    hasher: blake3::Hasher,
    /// A transaction is open: it ends with a commit.
    is_transaction: bool,
    has_ended: bool,
    /// What its statement says is not done.
    is_announcement: bool,
    /// The transaction's name, where it is one of XA.
    xa: Option<String>,
    done: Done,
    /// Tables of the statement at hand.
    maps: BTreeMap<u64, TableMap>,
    columns: usize,
    /// Those that were opened twice: they may refer to themselves.
    twice: BTreeSet<u64>,
    /// Which of them have rows, and whether a foreign key may have deleted others without a word of it.
    touched: BTreeMap<u64, bool>,
}

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    pub is_mariadb: bool,
    /// Every group begins with an event that names it, or says that it has no name.
    pub names_all: bool,
}

/// The state of a log between its events.
#[derive(Default)]
pub struct Groups {
    pub dialect: Dialect,
    /// The server keeps names of tables in small letters.
    pub folds_names: bool,
    open: Option<Open>,
    /// Behind the last group that is whole.
    pub end: u64,
    pub last: Option<LastGroup>,
    pub gtids: GtidState,
    pub tally: Tally,
    pub report: Option<Report>,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("end", &self.end).field("last", &self.last).finish_non_exhaustive()
    }
}

impl Groups {
    /// An event begins at `at`: what is to be done with its body.
    pub fn begin(&mut self, header: &Header, kind: Kind, at: At) -> Result<Body, Damage> {
        if let Some(open) = &self.open {
            if let Kind::MariaDbGtid | Kind::Gtid | Kind::AnonymousGtid | Kind::TaggedGtid = kind {
                return Err(Damage(format!("the transaction at {} has no end", open.group.offset)));
            }
            if let Kind::Between | Kind::StartEncryption | Kind::Rotate | Kind::Stop | Kind::FormatDescription = kind {
                return Err(Damage(format!("the transaction at {} is interrupted", open.group.offset)));
            }
            if open.has_ended {
                return Err(Damage(format!("the transaction at {} goes on behind its end", open.group.offset)));
            }
        } else {
            self.open_at(header, kind, at)?;
        }
        Ok(match kind {
            Kind::Query { .. } => Body::Kept(Kept::up_to(KEPT)),
            Kind::TableMap => Body::Kept(Kept::up_to(MAP_KEPT)),
            Kind::Rows { change, extra, compressed } => Body::Rows(Box::new(Rows::new(change, extra, compressed))),
            Kind::Payload => Body::Payload(Box::default()),
            Kind::MariaDbGtid
            | Kind::Gtid
            | Kind::AnonymousGtid
            | Kind::TaggedGtid
            | Kind::XaPrepare
            | Kind::Rotate => Body::Kept(Kept::up_to(SHORT)),
            _ => Body::Passed,
        })
    }

    /// A group begins with this event, or none does.
    fn open_at(&mut self, header: &Header, kind: Kind, at: At) -> Result<(), Damage> {
        match kind {
            Kind::MariaDbGtid | Kind::Gtid | Kind::AnonymousGtid | Kind::TaggedGtid => {}
            Kind::Query { .. } | Kind::Prelude | Kind::LoadFile if !self.dialect.names_all => {}
            Kind::Query { .. }
            | Kind::Prelude
            | Kind::LoadFile
            | Kind::Rows { .. }
            | Kind::TableMap
            | Kind::Xid
            | Kind::XaPrepare
            | Kind::Payload
            | Kind::LoadQuery
            | Kind::Annotation => {
                return Err(Damage(format!("an event of kind {} is part of no transaction", header.code)));
            }
            _ => return Ok(()),
        }
        let committed = i64::from(header.timestamp) * 1_000_000;
        let group = Group { offset: at.offset, bytes_before: at.fed, committed, ..Group::default() };
        self.open = Some(Open { group, ..Open::default() });
        Ok(())
    }

    /// Bytes of the event at hand as they are in the file, its header and checksum among them.
    pub fn hash(&mut self, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            open.hasher.update(bytes);
        }
    }

    /// Bytes of its body.
    pub fn feed(&mut self, body: &mut Body, bytes: &[u8]) -> Result<(), Damage> {
        match body {
            Body::Passed => {}
            Body::Kept(kept) => kept.push(bytes),
            Body::Rows(rows) => rows.push(bytes, |head, change| self.counter(head, change)),
            Body::Payload(payload) => payload.push(bytes, |cutter, plain| self.inside(cutter, plain))?,
        }
        Ok(())
    }

    fn counter(&self, head: &RowsHead, change: Change) -> Option<RowCounter> {
        let map = self.open.as_ref()?.maps.get(&head.table)?;
        let counter = RowCounter::new(map, head, change);
        Some(if canaries::are_rows_of(map) { counter.keeping() } else { counter })
    }

    /// Bytes of events within an event.
    fn inside(&mut self, cutter: &mut Cutter, mut bytes: &[u8]) -> Result<(), Damage> {
        loop {
            match cutter.next(&mut bytes) {
                Cut::More => return Ok(()),
                Cut::Header(header) => {
                    let length = usize::try_from(header.size).ok().and_then(|size| size.checked_sub(HEADER));
                    let length = length.ok_or("an event inside of a compressed transaction has a nonsense length")?;
                    let kind = header.kind().filter(|kind| {
                        matches!(
                            kind,
                            Kind::Query { .. }
                                | Kind::TableMap
                                | Kind::Rows { .. }
                                | Kind::Xid
                                | Kind::XaPrepare
                                | Kind::Prelude
                                | Kind::Annotation
                                | Kind::Passed
                        )
                    });
                    let kind = kind.ok_or_else(|| {
                        Damage(format!("a compressed transaction has an event of kind {} in it", header.code))
                    })?;
                    let body = self.begin(&header, kind, At::default())?;
                    cutter.event = Some((header, kind, body, length));
                }
                Cut::Body(part) => {
                    if let Some((_, _, body, _)) = &mut cutter.event {
                        self.feed(body, part)?;
                    }
                }
            }
            if let Some((header, kind, body, _)) = cutter.event.take_if(|(_, _, _, left)| *left == 0) {
                self.end_event(&header, kind, body)?;
            } else if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// The event at hand is whole.
    pub fn end_event(&mut self, header: &Header, kind: Kind, body: Body) -> Result<(), Damage> {
        let Some(open) = &mut self.open else { return Ok(()) };
        match (kind, body) {
            (Kind::MariaDbGtid, Body::Kept(kept)) => open.begun(gtid::mariadb(&kept.bytes, header.server_id), true)?,
            (Kind::Gtid, Body::Kept(kept)) => open.begun(gtid::mysql(&kept.bytes, false), false)?,
            (Kind::AnonymousGtid, Body::Kept(kept)) => open.begun(gtid::mysql(&kept.bytes, true), false)?,
            (Kind::TaggedGtid, Body::Kept(kept)) => open.begun(gtid::tagged(&kept.bytes), false)?,
            (Kind::Query { compressed }, Body::Kept(kept)) => {
                let query = Query::read(&kept.bytes, compressed, kept.is_cut).ok_or("a statement cannot be read")?;
                let query = Query { folds_names: self.folds_names, ..query };
                open.query(&query, header.has(THREAD_SPECIFIC));
            }
            (Kind::LoadQuery, _) => {
                open.statement_format("LOAD DATA");
                let why = "LOAD DATA was logged as a statement, with its file in pieces";
                open.done.unreplayable.get_or_insert_with(|| why.to_owned());
                open.has_ended = !open.is_transaction;
            }
            (Kind::TableMap, Body::Kept(kept)) => open.map(&kept.bytes)?,
            (Kind::Rows { .. }, Body::Rows(rows)) => open.rows(&rows, self.dialect)?,
            (Kind::Xid, _) => {
                if !open.is_transaction {
                    return Err("a commit stands where no transaction is open".into());
                }
                open.has_ended = true;
            }
            (Kind::XaPrepare, Body::Kept(kept)) => {
                // The first byte says that it is committed at once.
                let waits = kept.bytes.first() == Some(&0);
                open.done.prepared = open.xa.take().filter(|_| waits);
                if waits && open.done.prepared.is_none() {
                    open.done.doubt_rows("a transaction of XA without a name");
                }
                open.has_ended = true;
            }
            (Kind::Payload, Body::Payload(payload)) if !payload.is_whole() || !open.has_ended => {
                return Err("a compressed transaction has no end".into());
            }
            _ => {}
        }
        Ok(())
    }

    /// The event that ends at `end` is done: so may be the group.
    pub fn settle(&mut self, end: u64) {
        let Some(mut open) = self.open.take_if(|open| open.has_ended) else {
            if self.open.is_none() {
                self.end = end;
            }
            return;
        };
        open.end_statement(self.dialect);
        open.group.end = end;
        open.group.tables.clone_from(&open.done.rows);
        self.end = end;
        self.last = Some(LastGroup { offset: open.group.offset, digest: Digest(*open.hasher.finalize().as_bytes()) });
        if let Some(gtid) = &open.group.gtid {
            self.gtids.add(gtid);
        }
        self.tally.add(open.done, end - open.group.offset);
        if let Some(report) = &mut self.report {
            report(&open.group);
        }
    }
}

impl Open {
    fn begun(&mut self, begun: Option<Begun>, is_mariadb: bool) -> Result<(), Damage> {
        let begun = begun.ok_or("the beginning of a transaction cannot be read")?;
        self.is_transaction = is_mariadb && !begun.standalone;
        self.is_announcement = begun.is_announcement;
        if let Some(committed) = begun.committed {
            self.group.committed = committed;
        }
        self.group.gtid = Some(begun.gtid).filter(|gtid| *gtid != Gtid::Anonymous);
        Ok(())
    }

    fn query(&mut self, query: &Query, is_thread_specific: bool) {
        let order = query.text.as_deref().map_or(Order::Statement, statement::order);
        match order {
            Order::Begin => self.is_transaction = true,
            Order::Xa(name) => {
                self.is_transaction = true;
                self.xa = Some(name);
            }
            Order::Commit => self.has_ended = true,
            // What is not part of the transaction stays: only the tables outside of it, and the log does not say which those are.
            Order::Rollback => {
                self.has_ended = true;
                self.done.doubt_rows("a transaction was rolled back");
            }
            Order::RollbackTo => self.done.doubt_rows("a part of a transaction was rolled back"),
            Order::XaCommit(name) => {
                self.done.committed = Some(name);
                self.has_ended = true;
            }
            Order::XaRollback(name) => {
                self.done.rolled_back = Some(name);
                self.has_ended = true;
            }
            Order::Inside => {}
            Order::Statement => self.statement(query, is_thread_specific),
        }
    }

    fn statement(&mut self, query: &Query, is_thread_specific: bool) {
        let understood = statement::effects(query, is_thread_specific);
        self.group.has_statement_format |= understood.is_rows;
        if !understood.is_rows && self.group.statements.len() < MOST_SHOWN {
            self.group.statements.push(query.shown());
        }
        if !self.is_announcement {
            self.done.effects(understood.effects);
            self.done.canaries.statement(query);
        }
        self.is_transaction |= understood.begins;
        self.has_ended = !self.is_transaction;
    }

    fn statement_format(&mut self, what: &str) {
        self.group.has_statement_format = true;
        let why = format!("{what} in statement format");
        self.done.effects(vec![Effect::Uncounted(why.clone()), Effect::Stated("*".to_owned(), why)]);
    }

    fn map(&mut self, body: &[u8]) -> Result<(), Damage> {
        let mut map = TableMap::read(body).ok_or("the map of a table cannot be read")?;
        self.columns += map.columns.as_ref().map_or(0, Vec::len);
        if self.columns > MOST_COLUMNS {
            map.columns = None;
        }
        if self.maps.len() >= MOST_TABLES {
            return Err("a statement changes more tables than a server can open".into());
        }
        let id = map.id;
        if self.maps.insert(id, map).is_some() {
            self.twice.insert(id);
        }
        Ok(())
    }

    fn rows(&mut self, rows: &Rows, dialect: Dialect) -> Result<(), Damage> {
        let head = rows.head.as_ref().ok_or("the rows of a table cannot be read")?;
        self.done.row_events += 1;
        let map = self.maps.get(&head.table);
        if let Some(effects) = map.and_then(|map| statement::defined_by(&map.database, &map.table)) {
            self.done.effects(effects);
        } else if let Some(map) = map {
            let name = names::qualified(&map.database, &map.table);
            let is_told = head.ignores_foreign_keys() || !dialect.is_mariadb && head.logs_cascades();
            *self.touched.entry(head.table).or_default() |= rows.change() == Change::Delete && !is_told;
            let table = self.done.rows.entry(name.clone()).or_default();
            match (rows.count(), rows.change()) {
                (Some(count), Change::Insert) => table.inserted += count,
                (Some(count), Change::Update | Change::PartialUpdate) => table.updated += count,
                (Some(count), Change::Delete) => table.deleted += count,
                (None, _) => self.done.doubt(name, "the log has rows of it that cannot be counted"),
            }
            if canaries::are_rows_of(map) {
                self.done.canaries.rows(map, head, rows.change(), rows.kept());
            }
        } else if !head.ends_statement() || !rows.is_empty {
            return Err(Damage(format!("rows belong to a table {} that nothing names", head.table)));
        }
        if head.ends_statement() {
            self.end_statement(dialect);
            self.has_ended |= !self.is_transaction;
        }
        Ok(())
    }

    /// What a foreign key does to other rows is not in every log. There the tables that it may have changed are named and have
    /// no rows; or nothing of them is there at all.
    fn end_statement(&mut self, dialect: Dialect) {
        let (maps, touched) = (std::mem::take(&mut self.maps), std::mem::take(&mut self.touched));
        let twice = std::mem::take(&mut self.twice);
        self.columns = 0;
        let cascading = |id: &u64| touched.get(id) == Some(&true);
        // Of a statement in several databases that is not said.
        let databases = maps.values().map(|map| map.database.as_str()).collect::<BTreeSet<&str>>().len();
        let deleting = maps.keys().filter(|id| cascading(id)).count();
        for (id, map) in maps.into_iter().filter(|(_, map)| !SYSTEM_DATABASES.contains(&map.database.as_str())) {
            let name = names::qualified(&map.database, &map.table);
            if dialect.is_mariadb {
                // Whatever else was opened to be changed, beside a table of which rows were deleted.
                if deleting > usize::from(cascading(&id) && !twice.contains(&id)) {
                    self.done
                        .doubt(name, "rows of it may have been deleted by a foreign key, which the log does not say");
                } else if !touched.contains_key(&id) {
                    self.done.touch(name);
                }
            } else if cascading(&id) && (map.flags & table_map::HAS_PARENT != 0 || databases > 1) {
                let why = format!(
                    "rows were deleted of {name}, to which a foreign key refers, and the log does not say what it did"
                );
                self.done.effects(vec![Effect::Uncounted(why)]);
            }
        }
    }
}
