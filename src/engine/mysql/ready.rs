//! Whether the destination's settings take what the backup holds: looked at before anything is loaded. What a session may
//! set is set for the load; what only the operator may set is an error that says to what.

use std::collections::BTreeMap;

use super::connection::Session;
use super::names;
use super::needs;
use super::probe::Probe;
use super::trust;
use crate::domain::manifest::{Manifest, ObjectKind, Segment, SegmentKind};
use crate::domain::needs::Needs;
use crate::engine::StoredPoint;
use crate::error::{Error, Result};

/// Settings of a server that decide whether a load succeeds.
const SETTINGS: [&str; 16] = [
    "event_scheduler",
    "innodb_force_primary_key",
    "innodb_page_size",
    "innodb_strict_mode",
    "log_bin",
    "log_bin_trust_function_creators",
    "lower_case_table_names",
    "max_allowed_packet",
    "max_statement_time",
    "read_only",
    "secure_timestamp",
    "sql_require_primary_key",
    "super_read_only",
    "transaction_read_only",
    "tx_read_only",
    "wait_timeout",
];
/// Most that `max_allowed_packet` can be.
const LARGEST_PACKET: u64 = 1024 * 1024 * 1024;
/// Seconds that a session of the load may wait for the repository.
const LONGEST_WAIT: u64 = 28_800;
/// The clock of sessions that create events stands at this second.
pub const EARLY: &str = "SET SESSION timestamp = 86400";

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Statements at the head of every session of the load, one a line.
    pub session: String,
    /// What should be known but does not forbid the load.
    pub warnings: Vec<String>,
    /// What forbids it, and what to do about it.
    problems: Vec<(String, String)>,
}

impl Ready {
    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.session = format!("{}SET SESSION {name} = {value};\n", self.session);
    }
}

/// Look at the destination of `selected`; an error names everything that has to be set there. `sandbox`: it is ours, and
/// throwaway.
pub fn look(
    session: &mut Session,
    point: &StoredPoint,
    selected: &[&Segment],
    needs: &Needs,
    sandbox: bool,
) -> Result<Ready> {
    let manifest = &point.manifest;
    let list = SETTINGS.map(|name| format!("'{name}'")).join(", ");
    let rows = session.rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({list})"))?;
    let pair = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        Some((row.next()?, row.next()?))
    };
    let there: BTreeMap<String, String> = rows.into_iter().filter_map(pair).collect();
    let has_events = has_events(manifest, selected);
    let mut ready = judge(&there, manifest, needs, has_events);
    let is = |name: &str, value: &str| there.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
    // Some accounts may write all the same.
    if (is("read_only", "ON") || is("super_read_only", "ON")) && Probe::make(session).is_err() {
        let name = if is("super_read_only", "ON") { "super_read_only" } else { "read_only" };
        ready.problems.push((format!("it is read-only ({name})"), format!("SET GLOBAL {name} = OFF")));
    }
    if !sandbox && is("log_bin", "ON") && is("log_bin_trust_function_creators", "OFF") {
        ready.problems.extend(trust::problem(session, point, selected)?);
    }
    if is("innodb_force_primary_key", "ON")
        && let Some(table) = needs::without_key(point, selected)?
    {
        ready.problems.push((
            format!("it refuses tables without a primary key, such as {table} (innodb_force_primary_key)"),
            "SET GLOBAL innodb_force_primary_key = OFF".to_owned(),
        ));
    }
    if is("secure_timestamp", "YES") && has_events {
        ready.problems.push((
            "its sessions cannot set their clock, which restored events need (secure_timestamp)".to_owned(),
            "start it with secure_timestamp = NO".to_owned(),
        ));
    }
    if ready.problems.is_empty() {
        if sandbox {
            ready.warnings.clear();
        }
        return Ok(ready);
    }
    let (what, how): (Vec<String>, Vec<String>) = ready.problems.into_iter().unzip();
    Err(Error::failed(format!("cannot restore with the destination's settings: {}", what.join("; ")))
        .hint(format!("at the destination: {}; then try again", how.join("; "))))
}

/// Whether events come back: single tables bring none.
pub fn has_events(manifest: &Manifest, selected: &[&Segment]) -> bool {
    let all = selected.iter().any(|segment| segment.kind == SegmentKind::Barrier);
    all && manifest.inventory().objects.iter().any(|object| object.kind == ObjectKind::Event)
}

/// The rules that need nothing but the settings. Names of the source's own settings are those of its manifest.
fn judge(there: &BTreeMap<String, String>, manifest: &Manifest, needs: &Needs, has_events: bool) -> Ready {
    let mut ready = Ready::default();
    let is = |name: &str, value: &str| there.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
    let number = |name: &str| there.get(name).and_then(|value| value.parse::<u64>().ok());
    let source = |name: &str| manifest.settings.get(name).map(String::as_str);
    let source_number = |name: &str| source(name).and_then(|value| value.parse::<u64>().ok());

    if let Some(packet) = number("max_allowed_packet").filter(|packet| *packet <= needs.longest_statement) {
        let wanted = (needs.longest_statement + 1).next_multiple_of(1024 * 1024).min(LARGEST_PACKET);
        ready.problems.push((
            format!(
                "a row needs {} bytes in one statement, and max_allowed_packet is {packet}",
                needs.longest_statement
            ),
            format!("SET GLOBAL max_allowed_packet = {wanted}, and the same in its option file under [mysqld]"),
        ));
    }
    if folds_names(there, manifest) {
        ready.problems.push((
            "it would change the case of names (lower_case_table_names)".to_owned(),
            "initialise it anew with lower_case_table_names = 0".to_owned(),
        ));
    }
    // What a session may set.
    if let Some(strict) = source("innodb_strict_mode").filter(|strict| !is("innodb_strict_mode", strict)) {
        ready.set("innodb_strict_mode", strict);
    }
    if is("sql_require_primary_key", "ON") {
        ready.set("sql_require_primary_key", "OFF");
    }
    if is("transaction_read_only", "ON") || is("tx_read_only", "ON") {
        ready.session += "SET SESSION TRANSACTION READ WRITE;\n";
    }
    if there.get("max_statement_time").and_then(|limit| limit.parse::<f64>().ok()).is_some_and(|limit| limit > 0.0) {
        ready.set("max_statement_time", 0);
    }
    if number("wait_timeout").is_some_and(|seconds| seconds < LONGEST_WAIT) {
        ready.set("wait_timeout", LONGEST_WAIT);
    }
    // What a person should know.
    if let (Some(page), Some(wanted)) = (number("innodb_page_size"), source_number("innodb_page_size"))
        && page < wanted
    {
        ready.warnings.push(format!(
            "innodb_page_size is {page} at the destination, {wanted} at the source: long rows and keys may not fit"
        ));
    }
    if has_events && !is("event_scheduler", "ON") {
        ready
            .warnings
            .push("restored events do not run until `SET GLOBAL event_scheduler = ON` at the destination".to_owned());
    }
    if is("log_bin", "ON") {
        ready.warnings.push(
            "the restore is written to the destination's binary log, too: its replicas receive it, and its disk needs room for both"
                .to_owned(),
        );
    }
    ready
}

/// Whether names that differ from their lower case would not come back as they were.
fn folds_names(there: &BTreeMap<String, String>, manifest: &Manifest) -> bool {
    let folds = |value: Option<&String>| value.is_some_and(|value| value != "0");
    if folds(manifest.settings.get("lower_case_table_names")) || !folds(there.get("lower_case_table_names")) {
        return false;
    }
    let databases = manifest.inventory().objects.iter().filter(|object| object.kind == ObjectKind::Database);
    let named = databases
        .map(|object| names::unquoted(&object.name))
        .chain(manifest.inventory().tables.iter().map(|table| table.name.clone()));
    named.into_iter().any(|name| name != name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(settings: &[(&str, &str)], tables: &[&str]) -> Manifest {
        let tables: Vec<_> = tables
            .iter()
            .map(|name| serde_json::json!({"name": name, "rows": 0, "digest": "0".repeat(64), "definition": "0".repeat(64)}))
            .collect();
        let mut made: Manifest = serde_json::from_value(serde_json::json!({
            "format": 1, "id": "p", "source": "shop", "engine": "mysql", "kind": "full", "created_by": "0.1", "tool": "",
            "as_of": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z",
            "server": {"product": "MariaDB", "version": "10.11", "series": "10.11"},
            "files": [], "inventory": {"tables": tables, "objects": []},
        }))
        .unwrap();
        made.settings = map(settings);
        made
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn judged(there: &[(&str, &str)], source: &[(&str, &str)], longest: u64) -> Ready {
        let needs = Needs { longest_statement: longest, ..Needs::default() };
        judge(&map(there), &manifest(source, &["d.t"]), &needs, false)
    }

    #[test]
    fn a_packet_that_is_too_small_is_named_with_the_value_that_is_enough() {
        let ready = judged(&[("max_allowed_packet", "16777216")], &[], 20_000_000);
        assert!(ready.problems[0].1.contains("max_allowed_packet = 20971520"), "{ready:?}");
        assert_eq!(judged(&[("max_allowed_packet", "16777216")], &[], 16_777_215), Ready::default());
        assert_eq!(judged(&[("max_allowed_packet", "16777216")], &[], 16_777_216).problems.len(), 1);
    }

    #[test]
    fn what_a_session_may_set_is_set() {
        let there = [
            ("innodb_strict_mode", "ON"),
            ("sql_require_primary_key", "ON"),
            ("max_statement_time", "30.000000"),
            ("wait_timeout", "60"),
        ];
        let ready = judged(&there, &[("innodb_strict_mode", "OFF")], 0);
        assert_eq!(
            ready.session,
            "SET SESSION innodb_strict_mode = OFF;\nSET SESSION sql_require_primary_key = OFF;\n\
             SET SESSION max_statement_time = 0;\nSET SESSION wait_timeout = 28800;\n"
        );
        assert_eq!(judged(&[("innodb_strict_mode", "ON")], &[("innodb_strict_mode", "ON")], 0), Ready::default());
    }

    #[test]
    fn names_with_capitals_need_a_server_that_keeps_them() {
        let needs = Needs::default();
        let there = map(&[("lower_case_table_names", "1")]);
        let problems = |source: &str, table: &str| {
            judge(&there, &manifest(&[("lower_case_table_names", source)], &[table]), &needs, false).problems.len()
        };
        assert_eq!((problems("0", "d.Orders"), problems("0", "d.orders"), problems("1", "d.orders")), (1, 0, 0));
    }

    #[test]
    fn events_are_spoken_of_only_where_they_come_back() {
        let mut with_event = manifest(&[], &["d.t"]);
        let event = serde_json::json!({"kind": "event", "name": "d.e", "definition": "0".repeat(64)});
        with_event.inventory_mut().objects.push(serde_json::from_value(event).unwrap());
        let segment = |kind: &str| {
            let fields = serde_json::json!({"kind": kind, "database": "d", "table": "t", "offset": 0, "bytes": 0});
            serde_json::from_value::<Segment>(fields).unwrap()
        };
        let (table, rest) = (segment("table"), segment("barrier"));
        assert!(has_events(&with_event, &[&table, &rest]) && !has_events(&with_event, &[&table]));
        let said = |events| judge(&map(&[]), &with_event, &Needs::default(), events).warnings.len();
        assert_eq!((said(true), said(false)), (1, 0));
    }

    #[test]
    fn a_smaller_page_and_a_binary_log_are_told() {
        let ready = judged(&[("innodb_page_size", "4096"), ("log_bin", "ON")], &[("innodb_page_size", "16384")], 0);
        assert_eq!((ready.warnings.len(), ready.problems.len()), (2, 0), "{ready:?}");
    }
}
