//! The canonical form of a record: a JSON array of its values, in an order that never changes. A column that is added to
//! the schema later is not part of it unless it is added here, under a new [`Subject`]. `process` of a run is not: it only
//! says who is running it.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::Row as _;

use super::chain::{Entry, Subject, failed, hex};
use crate::error::Result;
use crate::ledger::RunId;
use crate::ledger::database::stored::{RUNNING, column};
use crate::ledger::database::{Builder, Connection, Query, Row};

/// Records per query.
const PAGE: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Whole,
    Real,
}
use Type::{Real, Text, Whole};

/// Name and type of a column.
pub(super) type Column = (&'static str, Type);
type Columns = &'static [Column];

/// What never changes, the columns that say which record it is first.
const RUN: Columns = &[
    ("id", Text),
    ("source", Text),
    ("operation", Text),
    ("kind", Text),
    ("started_at", Whole),
    ("begun_revision", Whole),
    ("repository", Text),
];

/// What a run gets when it ends.
const RESULT: Columns = &[
    ("outcome", Text),
    ("reason", Text),
    ("hint", Text),
    ("ended_at", Whole),
    ("ended_revision", Whole),
    ("recovery_point", Text),
    ("recovery_point_time", Whole),
    ("duration_seconds", Real),
    ("rto_seconds", Real),
    ("over_rto", Whole),
    ("logical_bytes", Whole),
    ("added_bytes", Whole),
    ("row_count", Whole),
    ("chain_length", Whole),
    ("check_count", Whole),
    ("mismatch_count", Whole),
    ("verified_rows", Whole),
];

const LEDGER: Columns = &[("created_at", Whole)];
const MISSED: Columns = &[("source", Text), ("operation", Text), ("kind", Text), ("first_at", Whole)];
const MISSED_STATE: Columns = &[("missed", Whole), ("last_at", Whole), ("recorded_at", Whole), ("reason", Text)];
const SOURCE: Columns = &[("name", Text)];
const SOURCE_STATE: Columns = &[("created_at", Whole), ("kind", Text), ("repository", Text)];
const CONFIGURED: Columns = &[
    ("source", Text),
    ("revision", Whole),
    ("work", Text),
    ("schedule", Text),
    ("zone", Text),
    ("jitter", Whole),
    ("began_at", Whole),
];
const CONFIGURED_STATE: Columns = &[("ended_at", Whole)];
const PROMISE: Columns = &[
    ("source", Text),
    ("revision", Whole),
    ("since", Whole),
    ("rpo", Whole),
    ("rto", Whole),
    ("retention", Whole),
    ("drill_interval", Whole),
    ("max_chain_length", Whole),
    ("objective_ratio", Real),
];
const POINT: Columns = &[
    ("source", Text),
    ("id", Text),
    ("seen_revision", Whole),
    ("as_of", Whole),
    ("finished", Whole),
    ("chain_length", Whole),
    ("available_at", Whole),
    ("first_seen", Whole),
];
const POINT_STATE: Columns = &[("gone_at", Whole), ("gone_revision", Whole)];
const TEST_PAGE: Columns = &[("revision", Whole), ("code", Whole), ("raised_at", Whole)];
const TEST_PAGE_STATE: Columns = &[("ends_at", Whole), ("confirmed_at", Whole)];
const LISTED: Columns = &[("source", Text), ("id", Text)];
const LISTED_STATE: Columns = &[
    ("kind", Text),
    ("as_of", Whole),
    ("finished", Whole),
    ("chain_length", Whole),
    ("logical_bytes", Whole),
    ("stored_bytes", Whole),
    ("row_count", Whole),
    ("left_out_tables", Whole),
    ("left_out_views", Whole),
    ("left_out_others", Whole),
    ("suspect", Whole),
];
const VANISHED: Columns = &[("source", Text), ("id", Text), ("seen_revision", Whole)];
const VANISHED_STATE: Columns = &[("gone_early", Whole)];
const REPOSITORY: Columns = &[("name", Text)];
const REPOSITORY_STATE: Columns = &[("adopted_at", Whole), ("identity", Text)];
const ORIGIN: Columns = &[("adopted", Whole)];

const CHANGE: Columns = &[
    ("source", Text),
    ("recovery_point", Text),
    ("revision", Whole),
    ("as_of", Whole),
    ("judged_at", Whole),
    ("state", Text),
    ("found", Text),
];
const CHANGE_STATE: Columns = &[("accepted_at", Whole)];

const BREAK: Columns = &[
    ("id", Text),
    ("source", Text),
    ("kind", Text),
    ("detail", Text),
    ("parent", Text),
    ("lost_since", Whole),
    ("found_at", Whole),
    ("revision", Whole),
];
const GAP: Columns =
    &[("source", Text), ("begins", Whole), ("ends", Whole), ("seen_revision", Whole), ("since_at", Whole)];
const GAP_STATE: Columns = &[("gone_at", Whole)];

const STAGE: Columns = &[("name", Text), ("seconds", Real)];
const CHECK: Columns = &[("name", Text), ("expected", Text), ("actual", Text), ("ok", Whole)];
const TABLE: Columns = &[("name", Text), ("rows_expected", Whole), ("rows_restored", Whole), ("digest_ok", Whole)];
const DETAIL: Columns = &[("name", Text), ("content", Text)];

/// What belongs to a run, in the order of the canonical form.
const PARTS: [(&str, Columns); 4] = [
    ("SELECT * FROM run_stages WHERE run_id IN ", STAGE),
    ("SELECT * FROM run_checks WHERE run_id IN ", CHECK),
    ("SELECT * FROM run_tables WHERE run_id IN ", TABLE),
    ("SELECT * FROM run_details WHERE run_id IN ", DETAIL),
];

impl Subject {
    /// What never changes of a record, and what may.
    fn columns(self) -> (Columns, Columns) {
        match self {
            Self::Ledger => (LEDGER, &[]),
            Self::Run => (RUN, RESULT),
            Self::Missed => (MISSED, MISSED_STATE),
            Self::Source => (SOURCE, SOURCE_STATE),
            Self::Configured => (CONFIGURED, CONFIGURED_STATE),
            Self::Promise => (PROMISE, &[]),
            Self::Point => (POINT, POINT_STATE),
            Self::TestPage => (TEST_PAGE, TEST_PAGE_STATE),
            Self::Listed => (LISTED, LISTED_STATE),
            Self::Vanished => (VANISHED, VANISHED_STATE),
            Self::Repository => (REPOSITORY, REPOSITORY_STATE),
            Self::Origin => (ORIGIN, &[]),
            Self::Adoption => (&[], &[]),
            Self::Change => (CHANGE, CHANGE_STATE),
            Self::Break => (BREAK, &[]),
            Self::Gap => (GAP, GAP_STATE),
        }
    }

    /// How many of the first columns say which record it is.
    fn identity(self) -> usize {
        match self {
            Self::Adoption => 0,
            Self::Ledger
            | Self::Run
            | Self::Source
            | Self::TestPage
            | Self::Repository
            | Self::Origin
            | Self::Break => 1,
            Self::Configured | Self::Promise | Self::Listed | Self::Change => 2,
            Self::Point | Self::Vanished => 3,
            Self::Missed | Self::Gap => 4,
        }
    }
}

/// All records of a kind, some at a time.
pub(super) struct Pages {
    subject: Subject,
    seen: usize,
    /// The one that was read last, where they are read by their names.
    last: (String, String, i64),
}

impl Pages {
    pub(super) fn of(subject: Subject) -> Self {
        Self { subject, seen: 0, last: (String::new(), String::new(), i64::MIN) }
    }

    /// The next ones; nothing at the end. Of what there may be a million of, no page may cost more than the one before.
    pub(super) async fn next(&mut self, tx: &mut Connection) -> Result<Vec<Entry>> {
        let number = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
        let (first, second, third) = self.last.clone();
        let statement = match self.subject {
            Subject::Run => "SELECT * FROM runs WHERE id > ? ORDER BY id LIMIT ?",
            Subject::Point => {
                "SELECT * FROM point_lifetimes WHERE (source, id, seen_revision) > (?, ?, ?) \
                 ORDER BY source, id, seen_revision LIMIT ?"
            }
            Subject::Listed => "SELECT * FROM points WHERE (source, id) > (?, ?) ORDER BY source, id LIMIT ?",
            Subject::Ledger => "SELECT * FROM ledger_origin ORDER BY created_at LIMIT ? OFFSET ?",
            Subject::Missed => "SELECT * FROM missed_runs ORDER BY source, operation, kind, first_at LIMIT ? OFFSET ?",
            Subject::Source => "SELECT * FROM sources ORDER BY name LIMIT ? OFFSET ?",
            Subject::Configured => "SELECT * FROM configured ORDER BY source, revision LIMIT ? OFFSET ?",
            Subject::Promise => "SELECT * FROM promises ORDER BY source, revision LIMIT ? OFFSET ?",
            Subject::TestPage => "SELECT * FROM test_pages ORDER BY revision LIMIT ? OFFSET ?",
            Subject::Vanished => {
                "SELECT * FROM point_lifetimes WHERE gone_early <> 0 ORDER BY source, id, seen_revision LIMIT ? OFFSET ?"
            }
            Subject::Repository => "SELECT * FROM repositories ORDER BY name LIMIT ? OFFSET ?",
            Subject::Origin => "SELECT * FROM seal_origin ORDER BY adopted LIMIT ? OFFSET ?",
            Subject::Adoption => return Ok(Vec::new()),
            Subject::Break => "SELECT * FROM chain_breaks ORDER BY id LIMIT ? OFFSET ?",
            Subject::Gap => "SELECT * FROM gaps ORDER BY source, begins, ends, seen_revision LIMIT ? OFFSET ?",
            Subject::Change => "SELECT * FROM changes ORDER BY source, recovery_point LIMIT ? OFFSET ?",
        };
        let query = sqlx::query(statement);
        let query = match self.subject {
            Subject::Run => query.bind(first).bind(number(PAGE)),
            Subject::Listed => query.bind(first).bind(second).bind(number(PAGE)),
            Subject::Point => query.bind(first).bind(second).bind(third).bind(number(PAGE)),
            _ => query.bind(number(PAGE)).bind(number(self.seen)),
        };
        let rows = query.fetch_all(&mut *tx).await.map_err(failed)?;
        self.seen += rows.len();
        if let Some(row) = rows.last() {
            self.last = match self.subject {
                Subject::Run => (column(row, "id")?, String::new(), 0),
                Subject::Listed => (column(row, "source")?, column(row, "id")?, 0),
                Subject::Point => (column(row, "source")?, column(row, "id")?, column(row, "seen_revision")?),
                _ => self.last.clone(),
            };
        }
        entries(tx, self.subject, &rows).await
    }
}

/// Runs by name after `after`, up to `until` if there is such an end; so many at most.
pub(super) async fn runs_between(
    tx: &mut Connection,
    after: &str,
    until: Option<&str>,
    most: i64,
) -> Result<Vec<Entry>> {
    let statement = "SELECT * FROM runs WHERE id > ? AND (? IS NULL OR id <= ?) ORDER BY id LIMIT ?";
    fetch(tx, Subject::Run, sqlx::query(statement).bind(after).bind(until).bind(until).bind(most)).await
}

/// Kinds of which every source has its own, with the statements for its records and for the sources that have any.
pub(super) const OF_SOURCE: [(Subject, &str, &str); 3] = [
    (Subject::Point, "SELECT * FROM point_lifetimes WHERE source = ?", "SELECT DISTINCT source FROM point_lifetimes"),
    (Subject::Listed, "SELECT * FROM points WHERE source = ?", "SELECT DISTINCT source FROM points"),
    (Subject::Change, "SELECT * FROM changes WHERE source = ?", "SELECT DISTINCT source FROM changes"),
];

/// All records of such a kind that a source has.
pub(super) async fn of_source(tx: &mut Connection, subject: Subject, source: &str) -> Result<Vec<Entry>> {
    let Some((_, statement, _)) = OF_SOURCE.into_iter().find(|(it, ..)| *it == subject) else { return Ok(Vec::new()) };
    fetch(tx, subject, sqlx::query(statement).bind(source)).await
}

/// Table, sealed columns, key and order of what belongs to a record of a kind; the key is the source, or the name of the run.
pub(super) fn tables(subject: Subject) -> Vec<(&'static str, Vec<Column>, &'static str, &'static str)> {
    let (fixed, state) = subject.columns();
    let columns = [fixed, state].concat();
    match subject {
        Subject::Point => vec![("point_lifetimes", columns, "source", "id, seen_revision")],
        Subject::Listed => vec![("points", columns, "source", "id")],
        Subject::Change => vec![("changes", columns, "source", "recovery_point")],
        _ => {
            let of_run: Columns = &[("run_id", Text), ("position", Whole)];
            let parts = [("run_stages", STAGE), ("run_checks", CHECK), ("run_tables", TABLE), ("run_details", DETAIL)];
            let parts = parts.map(|(table, own)| (table, [of_run, own].concat(), "run_id", "run_id, position"));
            std::iter::once(("runs", columns, "id", "id")).chain(parts).collect()
        }
    }
}

/// The records that a query finds.
pub(super) async fn fetch(tx: &mut Connection, subject: Subject, query: Query<'_>) -> Result<Vec<Entry>> {
    let rows = query.fetch_all(&mut *tx).await.map_err(failed)?;
    entries(tx, subject, &rows).await
}

async fn entries(tx: &mut Connection, subject: Subject, rows: &[Row]) -> Result<Vec<Entry>> {
    if subject == Subject::Run {
        with_parts(tx, rows).await
    } else {
        Ok(rows.iter().map(|row| entry(subject, row)).collect())
    }
}

/// Runs by their names.
pub(super) async fn runs(tx: &mut Connection, runs: &[RunId]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for run in runs {
        let query = sqlx::query("SELECT * FROM runs WHERE id = ?").bind(&run.0);
        entries.extend(fetch(tx, Subject::Run, query).await?);
    }
    Ok(entries)
}

fn entry(subject: Subject, row: &Row) -> Entry {
    let (fixed, state) = subject.columns();
    let (fixed, state) = (values(fixed, row), values(state, row));
    let state = if state.is_empty() { String::new() } else { short(state) };
    Entry { subject, name: name(subject, &fixed), content: digest(fixed), state }
}

/// A state as it is sealed: texts of any length are digests of themselves.
fn short(values: Vec<Value>) -> String {
    let shorten = |value: Value| match value {
        Value::String(text) if text.len() > 100 => Value::String(hex(text.as_bytes())),
        other => other,
    };
    Value::Array(values.into_iter().map(shorten).collect()).to_string()
}

fn digest(values: Vec<Value>) -> String {
    hex(Value::Array(values).to_string().as_bytes())
}

/// Entries of runs, with everything that belongs to them.
async fn with_parts(tx: &mut Connection, rows: &[Row]) -> Result<Vec<Entry>> {
    let ids: Vec<String> = rows.iter().map(|row| column(row, "id")).collect::<Result<_>>()?;
    let mut parts = Vec::new();
    for (statement, columns) in PARTS {
        parts.push(parts_of(tx, &ids, statement, columns).await?);
    }
    let mut entries = Vec::new();
    for (row, id) in rows.iter().zip(&ids) {
        let mut entry = entry(Subject::Run, row);
        let result = values(RESULT, row);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (outcome, ended) = (text(&result[0]), text(&result[3]));
        entry.state = if outcome == RUNNING {
            format!("{RUNNING} {}", values(&[("started_at", Whole)], row)[0])
        } else {
            let belonging = parts.iter_mut().map(|part| Value::Array(part.remove(id).unwrap_or_default()));
            format!("{outcome} {ended} {}", digest(result.into_iter().chain(belonging).collect()))
        };
        entries.push(entry);
    }
    Ok(entries)
}

async fn parts_of(
    tx: &mut Connection,
    runs: &[String],
    statement: &'static str,
    columns: Columns,
) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut by_run: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if runs.is_empty() {
        return Ok(by_run);
    }
    let mut query = Builder::new(statement);
    query.push("(");
    let mut list = query.separated(", ");
    for run in runs {
        list.push_bind(run.clone());
    }
    query.push(") ORDER BY run_id, position");
    for row in query.build().fetch_all(tx).await.map_err(failed)? {
        by_run.entry(column(&row, "run_id")?).or_default().push(Value::Array(values(columns, &row)));
    }
    Ok(by_run)
}

/// Values as they are stored. One that is of another type than it should be is told apart from every one that is right.
fn values(columns: &[(&'static str, Type)], row: &Row) -> Vec<Value> {
    let strange = |name: &str| Value::String(format!("{name} is not what it should be"));
    let value = |(name, kind): &(&'static str, Type)| match kind {
        Text => row.try_get::<Option<String>, _>(*name).map_or_else(|_| strange(name), Value::from),
        Whole => row.try_get::<Option<i64>, _>(*name).map_or_else(|_| strange(name), Value::from),
        Real => match row.try_get::<Option<f64>, _>(*name) {
            Ok(Some(number)) if !number.is_finite() => strange(name),
            Ok(number) => Value::from(number),
            Err(_) => strange(name),
        },
    };
    columns.iter().map(value).collect()
}

fn name(subject: Subject, values: &[Value]) -> String {
    let identity = values.iter().take(subject.identity());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    identity.map(text).collect::<Vec<_>>().join("/")
}
