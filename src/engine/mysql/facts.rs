//! What a dump was found to contain: tables, objects, segments, position.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::canary_sql;
use super::columns::{Column, columns, indexes, lossy_columns, split_next_id, without_implied_charset};
use super::event_ends;
use super::names::{self, Created};
use super::order;
use super::row_facts::RowFacts;
use super::table_options::{ROWS_ELSEWHERE, TRANSACTIONAL, storage_engine};
use crate::domain::canary::{self, Canaries};
use crate::domain::capture::{Capture, DefinitionRule, DigestRule};
use crate::domain::change::sample::Sample;
use crate::domain::change::texture::Texture;
use crate::domain::digest::Digest;
use crate::domain::manifest::{Inventory, ObjectFacts, ObjectKind, Position, Reach, Segment, SegmentKind, TableFacts};
use crate::domain::needs::Needs;
use crate::error::{Error, Result};

/// Time columns per table whose newest value is kept.
const WATCHED_COLUMNS: usize = 4;

/// A comment of the dump client that begins a part of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker(pub SegmentKind);

/// One table of the dump.
#[derive(Debug)]
struct Table {
    definition: Digest,
    columns: Vec<Column>,
    next_id: Option<u64>,
    rows: RowFacts,
}

/// What a dump contains. Filled while it streams by.
#[derive(Debug, Default)]
pub struct DumpFacts {
    /// The sandbox-mode line of newer MariaDB clients was there and was taken out.
    pub sandbox_line_removed: bool,
    /// Position of the snapshot, as far as the dump says it.
    pub position: Position,
    /// Tables that are not part of the consistent snapshot, with their storage engine.
    pub not_in_snapshot: Vec<String>,
    /// Tables whose rows no dump contains: they are elsewhere.
    pub without_rows: Vec<String>,
    /// Parts of the stream in order.
    pub segments: Vec<Segment>,
    tables: BTreeMap<String, Table>,
    objects: BTreeMap<(ObjectKind, String), ObjectFacts>,
    /// What its definitions rely on.
    pub needs: Needs,
    /// What its tables do to each other.
    pub reach: Reach,
    /// What the dump's text cannot carry exactly, one sentence each.
    pub lossy: Vec<String>,
    database: String,
    table: String,
    open: Option<Segment>,
    /// Settings under which the next program is created: part of what it does.
    session: BTreeMap<String, String>,
    /// Triggers of the table at hand so far: they run in this order.
    triggers: usize,
    /// The part of the stream at hand has libraries.
    libraries: bool,
    capture: Capture,
}

/// Settings that a program keeps from its creation.
const KEPT_SETTINGS: [&str; 4] = ["sql_mode", "character_set_client", "collation_connection", "time_zone"];

impl DumpFacts {
    /// Facts of a dump that is read in this way.
    pub fn of(capture: Capture) -> Self {
        Self { capture, ..Self::default() }
    }

    /// A statement as text. A program is printed in the character set of whoever created it: read as if every byte were a
    /// letter, two names stay two. Manifests of the first rule know such names without their letters.
    pub fn text<'a>(&self, body: &'a [u8]) -> Cow<'a, str> {
        match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) if self.capture.digest_rule == DigestRule::AllColumns => String::from_utf8_lossy(body),
            Err(_) => body.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
        }
    }

    /// Everything that must exist after a restore.
    pub fn inventory(&self) -> Inventory {
        let table = |(name, table): (&String, &Table)| TableFacts {
            name: name.clone(),
            rows: table.rows.rows,
            digest: table.rows.finish(),
            definition: table.definition,
            newest: table.rows.newest_values(),
            next_id: table.next_id,
        };
        Inventory {
            tables: self.tables.iter().map(table).collect(),
            objects: self.objects.values().cloned().collect(),
            reach: None,
        }
    }

    /// Samples of the rows of all tables that have any.
    pub fn samples(&self) -> BTreeMap<String, Sample> {
        let share = |rows: &RowFacts| {
            let mut sample = rows.sample.clone();
            sample.share_with(self.tables.len());
            sample.finish()
        };
        self.with_rows().map(|(name, rows)| (name.clone(), share(rows))).collect()
    }

    /// How much of them is plain and how much is noise.
    pub fn textures(&self) -> BTreeMap<String, Texture> {
        self.with_rows().map(|(name, rows)| (name.clone(), rows.sample.texture_of(rows.rows))).collect()
    }

    fn with_rows(&self) -> impl Iterator<Item = (&String, &RowFacts)> {
        self.tables.iter().map(|(name, table)| (name, &table.rows)).filter(|(_, rows)| rows.rows > 0)
    }

    /// Canaries among the rows.
    pub fn canaries(&self) -> Canaries {
        let table = self.tables.get(&names::qualified(canary::DATABASE, canary::TABLE));
        table.and_then(|table| table.rows.kept.as_deref()).map(canary_sql::canaries).unwrap_or_default()
    }

    /// Qualified name of the table at hand, for messages.
    pub fn current_table(&self) -> String {
        names::qualified(&self.database, &self.table)
    }

    /// Qualified name of the table that the part of the stream at hand is about; empty where it is about none.
    pub fn open_table(&self) -> String {
        let about = self.open.as_ref().filter(|segment| !segment.table.is_empty());
        about.map_or_else(String::new, |segment| names::qualified(&segment.database, &segment.table))
    }

    /// The database in use, unquoted.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// A part of the stream begins at `position`.
    pub fn marker(&mut self, marker: Marker, position: u64) {
        self.begin_segment(marker.0, position);
    }

    /// A comment between statements.
    pub fn comment(&mut self, text: &str) {
        self.read_position(text);
    }

    /// The stream is complete and `position` bytes long.
    pub fn end(&mut self, position: u64) {
        self.close_segment(position);
    }

    /// One sentence on a statement about histograms that is not stored.
    pub fn lost_histogram(&self, sql: &str) -> Option<String> {
        let table = names::qualified(&self.database, &names::first_identifier(sql)?);
        Some(format!(
            "table {table}: its histograms are not backed up, because a column's name contains `/*` or `*/`; after a restore run \
             ANALYZE TABLE … UPDATE HISTOGRAM there"
        ))
    }

    /// Rows of the table named in `header` begin at `position`.
    pub fn begin_rows(&mut self, header: &str, position: u64) -> RowFacts {
        self.table = names::first_identifier(header).unwrap_or_default();
        if let Some(segment) = &mut self.open
            && segment.rows_end == 0
        {
            segment.rows_start = position - segment.offset;
        }
        let name = self.current_table();
        let Some(table) = self.tables.get_mut(&name) else { return RowFacts::default() };
        if table.rows.rows > 0 {
            return std::mem::take(&mut table.rows);
        }
        // What is computed when it is read is no sign of age.
        let is_time = |column: &Column| column.is_time && column.is_data(self.capture);
        let times = indexes(header, &table.columns, is_time).into_iter().take(WATCHED_COLUMNS);
        let skipped = indexes(header, &table.columns, |column| !column.is_data(self.capture));
        let rows = RowFacts::watching(times.collect()).without(skipped.into_iter().map(|(index, _)| index).collect());
        if (self.database.as_str(), self.table.as_str()) == (canary::DATABASE, canary::TABLE) {
            rows.keeping()
        } else {
            rows
        }
    }

    /// They end before `position`.
    pub fn end_rows(&mut self, mut rows: RowFacts, position: u64) {
        // Of many thousand tables few rows each are kept, so that their samples fit into memory.
        rows.sample.share_with(self.tables.len());
        let name = self.current_table();
        if let Some(segment) = &mut self.open {
            segment.rows_end = position - segment.offset;
        }
        let empty =
            || Table { definition: Digest::default(), columns: Vec::new(), next_id: None, rows: RowFacts::default() };
        self.tables.entry(name).or_insert_with(empty).rows = rows;
    }

    /// Where in the server the stream is, for messages.
    pub fn place(&self) -> String {
        match &self.open {
            Some(segment) if segment.kind == SegmentKind::Table => format!("table {}", self.current_table()),
            _ if self.database.is_empty() => "its beginning".to_owned(),
            _ => format!("database {}", names::database(&self.database)),
        }
    }

    /// A statement that is not an `INSERT`, at `position`: `body` without its delimiter, `sql` the same as text.
    pub fn statement(&mut self, body: &[u8], sql: &str, position: u64) -> Result<()> {
        if self.libraries && ["DROP FUNCTION ", "DROP PROCEDURE "].iter().any(|drop| opened(sql).starts_with(drop)) {
            // Libraries are a part of their own: routines of other databases may use them.
            self.begin_segment(SegmentKind::Barrier, position);
        } else if sql.starts_with(order::LIBRARY) {
            self.libraries = true;
        }
        if sql.starts_with("USE ") {
            self.database = names::first_identifier(sql)
                .ok_or_else(|| Error::failed(format!("cannot read the dump: no name in `{sql}`")))?;
            if let Some(segment) = self.open.as_mut().filter(|segment| segment.database.is_empty()) {
                segment.database.clone_from(&self.database);
            }
        } else if let Some(rest) = sql.strip_prefix("DO SETVAL").or_else(|| sql.strip_prefix("SELECT SETVAL")) {
            // The sequence's next value is part of what must come back.
            let name = names::qualified(&self.database, &names::first_identifier(rest).unwrap_or_default());
            if let Some(sequence) = self.objects.get_mut(&(ObjectKind::Sequence, name)) {
                sequence.definition = Digest::of(&[&sequence.definition.0, body].concat());
            }
        } else if let Some((name, value)) = names::setting(sql) {
            if KEPT_SETTINGS.contains(&name.as_str()) {
                self.session.insert(name, value);
            }
        } else if let Some(created) = names::created(sql) {
            self.created(created, body, sql)?;
        }
        Ok(())
    }

    fn created(&mut self, created: Created, body: &[u8], sql: &str) -> Result<()> {
        let kind = match created.kind.as_str() {
            "TABLE" => return self.created_table(created.name, sql),
            "DATABASE" => ObjectKind::Database,
            // The stand-in that lets views refer to each other; the view itself comes at the end.
            "VIEW" if sql.starts_with("/*!50001 CREATE VIEW") => return Ok(()),
            "VIEW" => ObjectKind::View,
            "TRIGGER" => ObjectKind::Trigger,
            "EVENT" => ObjectKind::Event,
            "PROCEDURE" => ObjectKind::Procedure,
            "FUNCTION" => ObjectKind::Function,
            "PACKAGE" | "PACKAGE BODY" => ObjectKind::Package,
            "SEQUENCE" => ObjectKind::Sequence,
            // Manifests of the first rule do not know them.
            "LIBRARY" if self.capture.definition_rule == DefinitionRule::AsPrinted => return Ok(()),
            "LIBRARY" => ObjectKind::Library,
            other => {
                return Err(Error::failed(format!(
                    "cannot read the dump: it creates a {other}, which this version does not know"
                )));
            }
        };
        let mut name = match kind {
            ObjectKind::Database => names::database(&created.name),
            _ => names::qualified(&self.database, &created.name),
        };
        if created.kind == "PACKAGE BODY" {
            name.push_str(" body");
        }
        let definition = match kind {
            ObjectKind::Database | ObjectKind::Sequence if !sql.contains(&names::quote(&created.name)) => {
                // `sql_quote_show_create` decides whether these names are printed with quotes; that is no difference.
                Digest::of(sql.replacen(&created.name, &names::quote(&created.name), 1).as_bytes())
            }
            _ => self.definition(kind, body),
        };
        let settings =
            || self.session.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\0");
        let ends = (kind == ObjectKind::Event).then(|| event_ends::of(sql, &settings())).flatten();
        let facts = ObjectFacts { kind, name: name.clone(), definition, shown: None, definer: created.definer, ends };
        if self.objects.insert((kind, name.clone()), facts).is_some() {
            return Err(Error::failed(format!("cannot read the dump: {kind} {name} is defined twice")));
        }
        Ok(())
    }

    /// A program does what its text says under the settings it was created with; triggers also have an order.
    fn definition(&mut self, kind: ObjectKind, body: &[u8]) -> Digest {
        let mut text = match self.capture.definition_rule {
            DefinitionRule::AsPrinted => body.to_vec(),
            DefinitionRule::Unquoted | DefinitionRule::DefaultCollation => names::with_bare_definer(body),
        };
        match kind {
            ObjectKind::Procedure
            | ObjectKind::Function
            | ObjectKind::Package
            | ObjectKind::Library
            | ObjectKind::Event => {}
            ObjectKind::Trigger => {
                self.triggers += 1;
                text.extend_from_slice(format!("\0trigger {}", self.triggers).as_bytes());
            }
            _ => return Digest::of(body),
        }
        for (name, value) in &self.session {
            text.extend_from_slice(format!("\0{name}={value}").as_bytes());
        }
        Digest::of(&text)
    }

    fn created_table(&mut self, table: String, sql: &str) -> Result<()> {
        let name = names::qualified(&self.database, &table);
        if let Some(segment) = &mut self.open {
            segment.table.clone_from(&table);
        }
        self.table = table;
        self.triggers = 0;
        self.needs.add_table(&name, sql);
        self.reach.add_table(&self.database, &name, sql);
        self.lossy.extend(lossy_columns(&name, sql));
        if let Some(engine) = storage_engine(sql)
            && !TRANSACTIONAL.contains(&engine.to_ascii_lowercase().as_str())
        {
            let list = if ROWS_ELSEWHERE.contains(&engine.to_ascii_lowercase().as_str()) {
                &mut self.without_rows
            } else {
                &mut self.not_in_snapshot
            };
            list.push(format!("{name} ({engine})"));
        }
        let (definition, next_id) = split_next_id(sql);
        let is_implied = self.capture.definition_rule == DefinitionRule::DefaultCollation;
        let definition = Digest::of(without_implied_charset(&definition, is_implied).as_bytes());
        let entry = Table { definition, columns: columns(sql), next_id, rows: RowFacts::default() };
        if self.tables.insert(name.clone(), entry).is_some() {
            return Err(Error::failed(format!("cannot read the dump: table {name} is defined twice")));
        }
        Ok(())
    }

    fn begin_segment(&mut self, kind: SegmentKind, position: u64) {
        self.libraries = false;
        self.close_segment(position);
        self.open = Some(Segment {
            kind,
            database: self.database.clone(),
            table: String::new(),
            offset: position,
            bytes: 0,
            rows_start: 0,
            rows_end: 0,
        });
    }

    fn close_segment(&mut self, position: u64) {
        let mut done = self.open.take().unwrap_or_else(|| Segment {
            kind: SegmentKind::Preamble,
            database: String::new(),
            table: String::new(),
            offset: 0,
            bytes: 0,
            rows_start: 0,
            rows_end: 0,
        });
        done.bytes = position - done.offset;
        self.segments.push(done);
    }

    fn read_position(&mut self, text: &str) {
        let quoted = |key: &str| {
            let rest = &text[text.find(key)? + key.len()..];
            let (_, rest) = rest.split_once('\'')?;
            rest.split_once('\'').map(|(value, _)| value.replace(['\n', ' '], "").trim_start_matches('+').to_owned())
        };
        for key in ["MASTER_LOG_FILE=", "SOURCE_LOG_FILE="] {
            self.position.binlog_file = quoted(key).or(self.position.binlog_file.take());
        }
        for key in ["MASTER_LOG_POS=", "SOURCE_LOG_POS="] {
            if let Some(at) = text.find(key) {
                let digits: String = text[at + key.len()..].chars().take_while(char::is_ascii_digit).collect();
                self.position.binlog_offset = digits.parse().ok().or(self.position.binlog_offset);
            }
        }
        for key in ["gtid_slave_pos=", "GTID_PURGED="] {
            self.position.gtid = quoted(key).or(self.position.gtid.take());
        }
    }
}

/// A statement without the version comment that it begins with.
fn opened(sql: &str) -> &str {
    sql.strip_prefix("/*!").map_or(sql, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start())
}
