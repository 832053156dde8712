//! A kind of source for tests: one text file, restored into a directory. It is all that a new kind has to bring. Its increments say that
//! nothing else became of what was backed up: lines that were added are in the next full backup only.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::capture::Capture;
use crate::domain::chain::{Break, BreakKind, Place};
use crate::domain::change::evidence::Evidence;
use crate::domain::digest::{Digest, RowSetDigest};
use crate::domain::drill::Check;
use crate::domain::inventory::{Inventory, TableFacts};
use crate::domain::manifest::{FileRole, LogIdentity, Manifest, Position, ServerIdentity, StoredFileFacts};
use crate::domain::promise::Promise;
use crate::domain::words::Words;
use crate::engine::assertion::{Assertion, Form, Question, Sort};
use crate::engine::destination::{Credentials, Destination};
use crate::engine::kind::{Kind, RestoreTo, Settings, Table, Wiring};
use crate::engine::{
    Captured, Dump, Engine, InspectOptions, Inspection, LoadOptions, LoadReport, Preflight, Ready, Since, StoredPoint,
    Tail,
};
use crate::error::{Error, OrFailed, Result};
use crate::repository::{Stream, in_order};
use crate::run_context::RunContext;
use crate::sandbox::{Access, SandboxSpec};
use crate::strict::{Section, value};

const STORED: &str = "note.txt";

/// Sources of kind `toy`.
#[derive(Debug)]
pub struct Toy;

impl Kind for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn words(&self) -> Words {
        Words { table: "note", tables: "notes", rows: "lines" }
    }

    fn read(&self, _source: &str, section: &Section<'_>) -> Table {
        let file = section.required("file", "file = \"note.txt\"", |v| value::path(v, section.reading()));
        let file = file.unwrap_or_default();
        let waits_on_break = section.optional("on_break", |v| value::one_of(v, &["full", "wait"])) == Some("wait");
        Table { settings: Arc::new(ToyTable { file, waits_on_break }), made_elsewhere: false }
    }

    fn form(&self) -> Form {
        Form { key: "contains", example: "\"milk\"", sort: Sort::Query }
    }

    fn destinations(&self) -> &'static [&'static str] {
        &["toy:/PATH/TO/A/DIRECTORY"]
    }

    fn destination(&self, address: &str, _credentials: &Credentials) -> Result<Destination> {
        match address.strip_prefix("toy:") {
            Some(directory) => Ok(Destination::new(PathBuf::from(directory))),
            None => Err(Error::configuration(format!("cannot use `{address}` as a destination: it is no toy"))),
        }
    }

    fn restore_to(&self) -> RestoreTo {
        RestoreTo { arguments: &["toy:/EMPTY"], note: "Put an empty directory there." }
    }
}

#[derive(Debug, Clone)]
struct ToyTable {
    file: PathBuf,
    waits_on_break: bool,
}

impl Settings for ToyTable {
    fn engine(&self, wiring: Wiring) -> Arc<dyn Engine> {
        Arc::new(ToyEngine { table: self.clone(), clock: wiring.clock })
    }
}

struct ToyEngine {
    table: ToyTable,
    clock: Arc<dyn Clock>,
}

/// A note that is there.
struct Note<'e>(&'e ToyEngine);

impl Ready for Note<'_> {
    fn describe(&self) -> Result<Preflight> {
        let lines = read(&self.0.table.file)?.lines().count();
        Ok(Preflight { summary: format!("{lines} lines"), ..Preflight::default() })
    }

    fn dump(self: Box<Self>, _context: &RunContext) -> Result<Dump> {
        let as_of = self.0.clock.wall();
        let text = read(&self.0.table.file)?;
        let streams = in_order(vec![Stream {
            path: STORED.to_owned(),
            reader: Box::new(Cursor::new(text.clone().into_bytes())),
        }]);
        Ok(Dump { streams, as_of, finish: Box::new(move || Ok(captured(&text))) })
    }
}

impl Engine for ToyEngine {
    fn preflight<'e>(&'e self, _context: &RunContext) -> Result<Box<dyn Ready + 'e>> {
        read(&self.table.file)?;
        Ok(Box::new(Note(self)))
    }

    fn has_increments(&self) -> bool {
        true
    }

    fn waits_on_break(&self) -> bool {
        self.table.waits_on_break
    }

    fn changes_since(&self, after: &Manifest, _context: &RunContext) -> Result<Since> {
        let (as_of, text) = (self.clock.wall(), read(&self.table.file)?);
        let before = after.position.as_ref().and_then(|position| position.binlog_offset).unwrap_or_default();
        let kept = usize::try_from(before).ok().and_then(|length| text.get(..length));
        if kept.is_some_and(|kept| Some(position(kept)) == after.position) {
            return Ok(Since::Nothing(as_of));
        }
        Ok(Since::Broken(Break::new(BreakKind::OtherHistory, "somebody wrote another note")))
    }

    fn changes_until(&self, after: &Manifest, _end: &Position, context: &RunContext) -> Result<Since> {
        self.changes_since(after, context)
    }

    fn tail(&self, _context: &RunContext) -> Result<Box<dyn Tail>> {
        Ok(Box::new(ToyTail(self.table.file.clone())))
    }

    fn sandbox(&self, _point: &StoredPoint) -> Result<SandboxSpec> {
        Ok(SandboxSpec::Directory)
    }

    fn destination(&self, _spec: &SandboxSpec, access: &Access) -> Destination {
        Destination::new(access.directory.clone())
    }

    fn table_name(&self, typed: &str) -> Result<String> {
        Ok(typed.to_owned())
    }

    fn load(
        &self,
        point: &StoredPoint,
        to: &Destination,
        options: &LoadOptions,
        _context: &RunContext,
    ) -> Result<LoadReport> {
        let restored = to.place::<PathBuf>()?.join(STORED);
        if restored.exists() && !options.overwrite {
            return Err(Error::failed("cannot restore the note: there is one").hint("use --overwrite"));
        }
        let stored = (point.open)(STORED)?;
        let length = stored.len();
        let text = stored.read_at(0, usize::try_from(length).or_failed("cannot restore the note: it is too long")?)?;
        fs::write(restored, text).or_failed("cannot write the note")?;
        Ok(LoadReport { bytes: length, ..LoadReport::default() })
    }

    fn inspect(
        &self,
        at: &Destination,
        _point: &StoredPoint,
        _options: &InspectOptions,
        _context: &RunContext,
    ) -> Result<Inspection> {
        let text = read(&at.place::<PathBuf>()?.join(STORED))?;
        Ok(Inspection { inventory: inventory(&text), ..Inspection::default() })
    }

    fn assert(&self, at: &Destination, assertion: &Assertion, _context: &RunContext) -> Result<Check> {
        let Question::Query(wanted) = &assertion.question else { panic!("not what its form says") };
        let text = read(&at.place::<PathBuf>()?.join(STORED))?;
        let (name, ok) = (format!("assertion {}", assertion.name), text.contains(wanted));
        Ok(Check { name, expected: "true".to_owned(), actual: ok.to_string(), ok })
    }
}

struct ToyTail(PathBuf);

impl Tail for ToyTail {
    fn end(&mut self) -> Result<Option<Place>> {
        Ok(Place::of(&position(&read(&self.0)?)))
    }
}

/// Where this text ends.
fn position(text: &str) -> Position {
    let (binlog_file, gtid) = (Some(STORED.to_owned()), Some(Digest::of(text.as_bytes()).to_string()));
    let log = LogIdentity { server: "toy".to_owned(), begun: 1, last: None, settled: None, outside: Vec::new() };
    Position { binlog_file, binlog_offset: Some(text.len() as u64), gtid, log: Some(log) }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).or_failed(format!("cannot read {}", file.display()))
}

fn inventory(text: &str) -> Inventory {
    let mut lines = RowSetDigest::default();
    text.lines().for_each(|line| lines.add(&Digest::of(line.as_bytes()).0));
    let note = TableFacts {
        name: "note".to_owned(),
        rows: text.lines().count() as u64,
        digest: lines.finish(),
        definition: Digest::default(),
        newest: BTreeMap::new(),
        next_id: None,
    };
    Inventory { tables: vec![note], ..Inventory::default() }
}

fn captured(text: &str) -> Captured {
    let (bytes, digest) = (text.len() as u64, Digest::of(text.as_bytes()));
    Captured {
        server: ServerIdentity { product: "toy".to_owned(), version: "1".to_owned(), series: "1".to_owned() },
        tool: String::new(),
        settings: BTreeMap::new(),
        position: Some(position(text)),
        files: vec![StoredFileFacts { path: STORED.to_owned(), role: FileRole::Stream, bytes, digest }],
        promise: Promise::Exact(inventory(text)),
        segments: Vec::new(),
        needs: None,
        warnings: Vec::new(),
        left_out: Vec::new(),
        cannot_return: Vec::new(),
        canaries: BTreeMap::new(),
        capture: Capture::default(),
        evidence: Evidence::default(),
    }
}
