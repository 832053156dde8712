//! Loads a stored stream: what stands alone in order, tables beside each other.
//!
//! A run of tables is shared out to several sessions of the client program, largest first; everything else waits for
//! all before it, as it would in a plain `mysql < dump.sql`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::account::Account;
use super::accounts::{self, Restoring};
use super::connection::{Session, code};
use super::defer;
use super::elsewhere;
use super::guard;
use super::names;
use super::nearest::nearest;
use super::needs;
use super::order;
use super::outside;
use super::prepare;
use super::ready;
use super::replay::{Replay, copy};
use super::schemas::{Schema, Schemas};
use super::tool::Tools;
use crate::domain::manifest::{FileRole, Inventory, ObjectKind, Segment, SegmentKind};
use crate::engine::{LoadOptions, LoadReport, StoredPoint};
use crate::error::{Error, OrFailed, Result};
use crate::repository::StoredFile;
use crate::run_context::RunContext;

/// A definition, with everything in front of the rows, is at most this long.
const LONGEST_HEAD: u64 = 64 * 1024 * 1024;

/// Load `point` into the server at `to`.
pub fn load(
    tools: &Tools,
    source: &Account,
    to: &Account,
    point: &StoredPoint,
    options: &LoadOptions,
    context: &RunContext,
) -> Result<LoadReport> {
    let manifest = &point.manifest;
    let selected = select(point, &options.tables)?;
    let mut lacking = Vec::new();
    let mut warnings = guard::check(source, to, manifest, options)?;
    let needs = if options.tables.is_empty() { needs::of(point)? } else { needs::of_tables(point, &selected)? };
    let mut session = Session::open(to)?;
    let ready = ready::look(&mut session, point, &selected, &needs, options.throwaway)?;
    warnings.extend(ready.warnings);
    warnings.extend(accounts::suits(&mut session, point, options)?);
    warnings.extend(prepare::prepare(&mut session, &manifest.server, &needs, options.throwaway)?);
    if !options.throwaway && !needs.directories.is_empty() {
        outside::files_are_free(&mut session, &needs::with_directories(point, &selected)?)?;
    }
    if !options.throwaway && !needs.connected.is_empty() {
        elsewhere::can_be_made(&mut session, &needs::connected(point, &selected)?)?;
    }
    drop(session);
    let stand_ins = if options.throwaway { elsewhere::stand_ins(&manifest.server, &needs) } else { BTreeSet::new() };
    let role = |role| {
        manifest
            .file(role)
            .ok_or_else(|| Error::failed(format!("cannot read manifest {}: it names no {role:?} file", manifest.id)))
    };
    let stream = (point.open)(&role(FileRole::Stream)?.path)?;
    let bytes = selected.iter().map(|segment| segment.bytes).sum();
    context.progress.phase("load", Some(bytes));
    let preamble = manifest.segments.iter().filter(|segment| segment.kind == SegmentKind::Preamble);
    let mut head = Vec::new();
    for segment in preamble {
        copy(stream.as_ref(), segment.offset, segment.bytes, context, |piece| {
            head.extend_from_slice(piece);
            Ok(())
        })?;
    }
    head.extend_from_slice(ready.session.as_bytes());
    let clock_stands = ready::has_events(manifest, &selected) && events_sleep(to)?;
    let accounts = Mutex::new(accounts_first(to, point, options)?);
    let loader = Loader {
        tools,
        to,
        stream: stream.as_ref(),
        preamble: head,
        clock_stands,
        stand_ins,
        context,
        accounts,
        throwaway: options.throwaway,
    };
    let wanted = loader.schemas(&manifest.segments, &selected)?;
    let (schemas, said) =
        Schemas::begin(&mut Session::open(to)?, wanted.clone(), !options.tables.is_empty(), options.overwrite)?;
    warnings.extend(said);
    let brought = loader.bring(&wanted, selected, manifest.inventory(), options);
    let outcome = brought.and_then(|made| loader.finish_accounts().map(|outcome| (made, outcome)));
    // Whatever failed: what took no changes must take none again.
    let ended = outcome.and_then(|(made, outcome)| schemas.end(&mut Session::open(to)?, &made).map(|()| outcome));
    let outcome = ended.inspect_err(|_| match Session::open(to) {
        Ok(mut session) => schemas.give_up(&mut session),
        Err(error) => tracing::error!(%error, "cannot make databases read-only again"),
    })?;
    let (mut accounts, mut refusals) = (None, BTreeMap::new());
    if let Some(outcome) = outcome {
        warnings.extend(outcome.warnings);
        lacking.extend(outcome.lacking);
        accounts = Some(outcome.loaded);
        refusals = outcome.refusals;
    }
    if options.tables.is_empty() {
        let missing = missing_definers(to, point);
        warnings.extend(
            missing.unwrap_or_else(|error| vec![format!("cannot check whether definers have accounts: {error}")]),
        );
    }
    context.progress.finish();
    Ok(LoadReport { warnings, bytes, lacking, accounts, refusals })
}

/// Accounts come before the data, if they come at all.
fn accounts_first<'a>(to: &'a Account, point: &'a StoredPoint, options: &LoadOptions) -> Result<Option<Restoring<'a>>> {
    let file = point.manifest.file(FileRole::Accounts);
    let Some(file) = file.filter(|_| options.accounts && options.tables.is_empty()) else { return Ok(None) };
    Restoring::begin(to, (point.open)(&file.path)?.as_ref(), &point.manifest, options).map(Some)
}

/// Whether no event can run there. Then the clock may stand long ago while events are created: one whose only time has
/// come since would be dropped at once. Where events run, that is as it should be.
fn events_sleep(to: &Account) -> Result<bool> {
    let state = Session::open(to)?.value("SELECT @@event_scheduler")?;
    Ok(state.is_some_and(|state| state != "ON"))
}

/// The segments to replay.
fn select<'a>(point: &'a StoredPoint, tables: &[String]) -> Result<Vec<&'a Segment>> {
    let segments = point.manifest.segments.iter().filter(|segment| segment.kind != SegmentKind::Preamble);
    if tables.is_empty() {
        return Ok(segments.collect());
    }
    let known = &point.manifest.inventory().tables;
    for wanted in tables {
        if !known.iter().any(|table| table.name == *wanted) {
            let near = nearest(wanted, known.iter().map(|table| table.name.as_str()));
            let near = if near.is_empty() { String::new() } else { format!("; similar names are {}", near.join(", ")) };
            return Err(Error::configuration(format!("cannot restore table {wanted}: the backup does not have it"))
                .hint(format!("write it as DATABASE.TABLE, names with special characters in backticks{near}")));
        }
    }
    let named = |segment: &&Segment| {
        segment.kind == SegmentKind::Table && tables.contains(&names::qualified(&segment.database, &segment.table))
    };
    Ok(segments.filter(named).collect())
}

/// Statements that add foreign keys, by database and table.
type Later = BTreeMap<(String, String), Vec<u8>>;

struct Loader<'a> {
    tools: &'a Tools,
    to: &'a Account,
    stream: &'a dyn StoredFile,
    preamble: Vec<u8>,
    /// Whether the clock stands long ago while programs are created.
    clock_stands: bool,
    /// Tables that are made with another engine.
    stand_ins: BTreeSet<&'a String>,
    context: &'a RunContext,
    /// The destination is a sandbox of ours.
    throwaway: bool,
    /// Accounts are there before the definitions that run in their name.
    accounts: Mutex<Option<Restoring<'a>>>,
}

impl Loader<'_> {
    fn run(&self, segments: &[&Segment], sessions: usize) -> Result<()> {
        let sessions = match sessions {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            wanted => wanted,
        };
        for run in segments.chunk_by(|a, b| a.kind == b.kind) {
            if run[0].kind == SegmentKind::Table {
                self.tables(run, sessions.min(run.len()))?;
            } else {
                self.in_order(run)?;
            }
        }
        Ok(())
    }

    /// Take away what the selected tables and views replace, before anything runs beside anything else: foreign keys
    /// that are still there would make the sessions wait for each other's locks.
    fn clear(&self, segments: &[&Segment]) -> Result<()> {
        let mut session = Session::open(self.to)?;
        session.rows("SET SESSION foreign_key_checks = 0")?;
        let present: BTreeSet<String> = session.column("SHOW DATABASES")?.into_iter().collect();
        for segment in segments.iter().filter(|s| !s.table.is_empty() && present.contains(&s.database)) {
            let name = format!("{}.{}", names::quote(&segment.database), names::quote(&segment.table));
            // Either may be in the way, whatever the backup has; dropping the wrong kind does nothing.
            for kind in ["TABLE", "VIEW"] {
                if let Err(error) = session.rows(&format!("DROP {kind} IF EXISTS {name}")) {
                    let is_of_the_other_kind = matches!(code(&error), Some(1347 | 1965));
                    if !is_of_the_other_kind {
                        return Err(error.context(format!("cannot replace {name}")));
                    }
                }
            }
        }
        Ok(())
    }

    /// Everything that was selected; the databases that had to be made for single tables.
    fn bring(
        &self,
        wanted: &[Schema],
        selected: Vec<&Segment>,
        inventory: &Inventory,
        options: &LoadOptions,
    ) -> Result<BTreeSet<String>> {
        if options.overwrite {
            self.clear(&selected)?;
        }
        let made = if options.tables.is_empty() { BTreeSet::new() } else { self.create_databases(wanted)? };
        let selected = order::first_what_others_use(selected, inventory, |segment| self.beginning(segment))?;
        self.run(&selected, options.sessions)?;
        Ok(made)
    }

    /// The databases of the selected segments, as the dump defines them.
    fn schemas(&self, all: &[Segment], selected: &[&Segment]) -> Result<Vec<Schema>> {
        let names: BTreeSet<&String> = selected.iter().map(|segment| &segment.database).collect();
        let mut found: Vec<Schema> = Vec::new();
        for segment in all.iter().filter(|segment| segment.kind == SegmentKind::Barrier) {
            let schema = Schema::of(&String::from_utf8_lossy(&self.beginning(segment)?));
            found.extend(schema.filter(|schema| names.contains(&schema.name)));
        }
        Ok(found)
    }

    /// Single tables may go to a server that has not even their database: make it as it was.
    fn create_databases(&self, wanted: &[Schema]) -> Result<BTreeSet<String>> {
        let mut session = Session::open(self.to)?;
        let present = session.column("SHOW DATABASES")?;
        let mut made = BTreeSet::new();
        for schema in wanted.iter().filter(|schema| !present.contains(&schema.name)) {
            session.rows(&schema.sql)?;
            made.insert(schema.name.clone());
        }
        Ok(made)
    }

    /// The first few lines of a segment.
    fn beginning(&self, segment: &Segment) -> Result<bytes::Bytes> {
        let length = usize::try_from(segment.bytes.min(4096)).or_failed("cannot read the stored dump")?;
        self.stream.read_at(segment.offset, length)
    }

    fn session(&self, database: &str) -> Result<Replay> {
        let mut replay = Replay::start(self.tools, self.to, &self.context.cancel)?.in_sandbox(self.throwaway);
        replay.write(&self.preamble)?;
        // Whatever the dump says: texts in rows and definitions are read as they were when it was stored.
        replay.write(b"SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';\n")?;
        if self.tools.product() == "MariaDB" {
            // Rows may be older than a constraint, or have come in while checks were off.
            replay.write(b"SET SESSION check_constraint_checks = 0;\n")?;
        }
        use_database(&mut replay, database)?;
        Ok(replay)
    }

    /// A session that creates programs.
    fn definitions(&self, database: &str) -> Result<Replay> {
        let mut replay = self.session(database)?;
        if self.clock_stands {
            replay.write(format!("{};\n", ready::EARLY).as_bytes())?;
        }
        Ok(replay)
    }

    /// Whether the segment replaces a view's stand-in by the view.
    fn is_view(&self, segment: &Segment) -> Result<bool> {
        Ok(memchr::memmem::find(&self.beginning(segment)?, b"-- Final view structure for view ").is_some())
    }

    /// What came of the accounts, if they were asked for.
    fn finish_accounts(&self) -> Result<Option<accounts::Outcome>> {
        let restoring = self.accounts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        restoring.map(Restoring::finish).transpose()
    }

    fn grant_objects(&self) -> Result<()> {
        let mut accounts = self.accounts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        accounts.as_mut().map_or(Ok(()), Restoring::grant_objects)
    }

    fn in_order(&self, run: &[&Segment]) -> Result<()> {
        let database = &run[0].database;
        let new = self.new_database(run[0])?;
        let mut replay = self.definitions(if new { "" } else { database })?;
        let mut granted = false;
        // Segments are not always in the order of the stream, which says only now and then which database is in use.
        let mut in_use = Some(database).filter(|_| !new);
        for segment in run {
            if !granted && self.is_view(segment)? {
                // A view is refused if its definer may not use what it reads: routines are there now.
                replay.finish()?;
                self.grant_objects()?;
                replay = self.definitions(&segment.database)?;
                in_use = Some(&segment.database);
                granted = true;
            }
            replay.part(format!("definitions of database {}", names::database(&segment.database)));
            let mut begun = false;
            copy(self.stream, segment.offset, segment.bytes, self.context, |piece| {
                if !std::mem::replace(&mut begun, true) {
                    let switches = piece.starts_with(order::DATABASE);
                    if !switches && in_use != Some(&segment.database) {
                        use_database(&mut replay, &segment.database)?;
                    }
                    in_use = Some(&segment.database).filter(|_| !switches);
                }
                replay.write_definitions(piece)
            })?;
        }
        replay.finish()
    }

    /// Whether the segment creates the database it is for.
    fn new_database(&self, segment: &Segment) -> Result<bool> {
        Ok(memchr::memmem::find(&self.beginning(segment)?, b"\nUSE ").is_some())
    }

    fn tables(&self, run: &[&Segment], sessions: usize) -> Result<()> {
        let mut queue: Vec<&Segment> = run.to_vec();
        queue.sort_by_key(|segment| std::cmp::Reverse(segment.bytes));
        let (next, first_error) = (AtomicUsize::new(0), Mutex::new(None));
        let later = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for _ in 0..sessions {
                scope.spawn(|| {
                    if let Err(error) = self.worker(&queue, &next, &later) {
                        // Nothing more is worth starting; the first failure is the one to report.
                        next.store(queue.len(), Ordering::SeqCst);
                        first_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                    }
                });
            }
        });
        first_error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)?;
        self.foreign_keys(&later.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// One table after another: see [`defer`].
    fn foreign_keys(&self, later: &Later) -> Result<()> {
        if later.is_empty() {
            return Ok(());
        }
        let mut replay = self.session("")?;
        for ((database, table), statement) in later {
            use_database(&mut replay, database)?;
            replay.part(format!("foreign keys of {}", names::qualified(database, table)));
            replay.write(statement)?;
        }
        replay.finish()
    }

    fn worker(&self, queue: &[&Segment], next: &AtomicUsize, later: &Mutex<Later>) -> Result<()> {
        let mut replay: Option<Replay> = None;
        while let Some(segment) = queue.get(next.fetch_add(1, Ordering::SeqCst)) {
            let session = match &mut replay {
                Some(session) => session,
                none => none.insert(self.session("")?),
            };
            self.table(session, segment, later)?;
        }
        replay.map_or(Ok(()), Replay::finish)
    }

    /// A table whose rows are elsewhere: all there is of it is its definition.
    fn stand_in(&self, replay: &mut Replay, segment: &Segment) -> Result<()> {
        if segment.bytes > LONGEST_HEAD {
            return Err(Error::failed(format!("cannot load table {}: its definition is too long", segment.table)));
        }
        let mut definition = Vec::new();
        copy(self.stream, segment.offset, segment.bytes, self.context, |piece| {
            definition.extend_from_slice(piece);
            Ok(())
        })?;
        replay.write(&elsewhere::stand_in(&definition))
    }

    /// Definition, rows, and what follows them. Secondary indexes come after the rows where the result is the same.
    fn table(&self, replay: &mut Replay, segment: &Segment, later: &Mutex<Later>) -> Result<()> {
        use_database(replay, &segment.database)?;
        replay.part(format!("table {}", names::qualified(&segment.database, &segment.table)));
        if self.stand_ins.contains(&names::qualified(&segment.database, &segment.table)) {
            return self.stand_in(replay, segment);
        }
        let rows_end = segment.rows_end.max(segment.rows_start);
        if segment.rows_start > LONGEST_HEAD {
            return Err(Error::failed(format!("cannot load table {}: its definition is too long", segment.table)));
        }
        let mut head = Vec::new();
        copy(self.stream, segment.offset, segment.rows_start, self.context, |piece| {
            head.extend_from_slice(piece);
            Ok(())
        })?;
        let plan = defer::plan(&head, rows_end - segment.rows_start);
        replay.write(&plan.before)?;
        copy(self.stream, segment.offset + segment.rows_start, rows_end - segment.rows_start, self.context, |piece| {
            replay.write(piece)
        })?;
        replay.write(&plan.after)?;
        if !plan.foreign_keys.is_empty() {
            let name = (segment.database.clone(), segment.table.clone());
            later.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name, plan.foreign_keys);
        }
        copy(self.stream, segment.offset + rows_end, segment.bytes - rows_end, self.context, |piece| {
            replay.write(piece)
        })
    }
}

fn use_database(replay: &mut Replay, database: &str) -> Result<()> {
    if database.is_empty() {
        return Ok(());
    }
    replay.write(format!("\nUSE {};\n", names::quote(database)).as_bytes())
}

/// Definers that have no account at the destination: what runs in their name will fail.
fn missing_definers(to: &Account, point: &StoredPoint) -> Result<Vec<String>> {
    let manifest = &point.manifest;
    let objects = manifest.inventory().objects.iter().filter(|object| object.kind != ObjectKind::Account);
    let definers = objects.filter_map(|object| object.definer.as_ref());
    let definers: BTreeSet<&String> = definers.filter(|definer| !accounts::is_the_servers(definer)).collect();
    if definers.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = Session::open(to)?;
    accounts::prepare(&mut session, &manifest.server.product, "")?;
    let there = accounts::read(&mut session, &manifest.server.product)?.all;
    let there: BTreeSet<&str> = there.iter().map(|account| account.name.as_str()).collect();
    let missing = definers.into_iter().filter(|definer| !there.contains(definer.as_str()));
    Ok(missing.map(|definer| format!("definer {definer} has no account at the destination")).collect())
}
