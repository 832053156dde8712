//! The scanner on logs that real servers wrote, as files and as their clients give them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use super::super::gtid::GtidState;
use super::*;
use crate::clock::SystemClock;
use crate::domain::needs::Needs;
use crate::domain::promise::Origin;
use crate::engine::mysql::account::Account;
use crate::engine::mysql::connection::Session;
use crate::engine::mysql::tests::manifest;
use crate::engine::mysql::{names, server};
use crate::run_context::RunContext;
use crate::sandbox::local::LocalSandbox;
use crate::sandbox::{Place, Sandbox, SandboxSpec, Text};

const MARIADB: &str = include_str!("../../../../tests/fixtures/binlog-mariadb.sql");
const MYSQL: &str = include_str!("../../../../tests/fixtures/binlog-mysql.sql");

/// A log file: its name, and what is in it.
type File = (String, Vec<u8>);

/// A server that keeps binary logs.
struct Server {
    session: Session,
    is_mariadb: bool,
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers")
}

fn with_server(is_mariadb: bool, settings: &[(&str, &str)], test: impl FnOnce(&mut Server)) {
    let (product, series) = if is_mariadb { ("MariaDB", "10.11") } else { ("MySQL", "9.7") };
    let programs = (!is_mariadb).then(programs);
    let mut spec = server::spec(&manifest(product, series), &Needs::default(), programs.as_deref(), 1 << 30);
    spec.options.retain(|(name, _)| name != "skip-log-bin");
    spec.options.push(("log-bin".to_owned(), Text::from(Place::Own).then("/log")));
    spec.options.push(("server-id".to_owned(), "7".into()));
    spec.options.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
    let state = tempfile::tempdir().unwrap();
    let sandbox = LocalSandbox::new(state.path(), SystemClock::shared());
    let user = spec.user.clone();
    let mut instance = sandbox.provision(&SandboxSpec::Server(Box::new(spec)), "run", &RunContext::silent()).unwrap();
    instance.start(&RunContext::silent()).unwrap();
    let account = Account::of_sandbox(instance.access().socket.clone(), user);
    let session = Session::open(&account).unwrap();
    test(&mut Server { session, is_mariadb });
    instance.destroy().unwrap();
}

impl Server {
    fn run(&mut self, script: &str) {
        for line in script.lines().filter(|line| !line.starts_with("--")) {
            if let Err(refusal) = self.session.ask(line.trim_end_matches(';')).unwrap() {
                panic!("{line}: {refusal}");
            }
        }
    }

    fn position(&mut self) -> (String, u64) {
        let status = if self.is_mariadb { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
        let row = self.session.rows(status).unwrap().remove(0);
        (row[0].clone().unwrap(), row[1].as_deref().unwrap().parse().unwrap())
    }

    /// Every log file from this one on.
    fn files(&mut self, from: &str) -> Vec<File> {
        let base = self.session.value("SELECT @@log_bin_basename").unwrap().unwrap();
        let directory = Path::new(&base).parent().unwrap();
        let names = self.session.column("SHOW BINARY LOGS").unwrap();
        let names = names.into_iter().filter(|name| name.as_str() >= from);
        names.map(|name| (name.clone(), fs::read(directory.join(name)).unwrap())).collect()
    }

    /// The same through the client, from `start` of the first file on.
    fn fetched(&mut self, from: &str, start: u64) -> Vec<File> {
        let into = tempfile::tempdir().unwrap();
        let account = self.session.value("SELECT SUBSTRING_INDEX(USER(), '@', 1)").unwrap().unwrap();
        let socket = self.session.value("SELECT @@socket").unwrap().unwrap();
        let done = Command::new(self.reader())
            .args(["--no-defaults", "--read-from-remote-server", "--raw", "--to-last-log"])
            .arg(format!("--user={account}"))
            .arg(format!("--socket={socket}"))
            .arg(format!("--start-position={start}"))
            .arg(format!("--result-file={}/", into.path().display()))
            .arg(from)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut names: Vec<_> = fs::read_dir(into.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
            .iter()
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
            .collect()
    }

    fn reader(&self) -> PathBuf {
        if self.is_mariadb { PathBuf::from("mariadb-binlog") } else { programs().join("mysqlbinlog") }
    }

    /// How many rows every table has, history among them.
    fn counts(&mut self) -> BTreeMap<String, u64> {
        let tables = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', \
             'SYSTEM VERSIONED') AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')";
        let mut out = BTreeMap::new();
        for row in self.session.rows(tables).unwrap() {
            let [database, table, kind] = [0, 1, 2].map(|at| row[at].clone().unwrap());
            let all = if kind == "SYSTEM VERSIONED" { " FOR SYSTEM_TIME ALL" } else { "" };
            let count = format!("SELECT COUNT(*) FROM {}.{}{all}", names::quote(&database), names::quote(&table));
            let count = self.session.value(&count).unwrap().unwrap().parse().unwrap();
            out.insert(names::qualified(&database, &table), count);
        }
        out
    }
}

/// What is in these files, from `start` of the first on, taken in pieces of this length.
fn scan(files: &[File], start: u64, piece: usize) -> Scanned {
    let mut before: Option<Scanned> = None;
    for (name, bytes) in files {
        let start = if before.is_none() { start } else { 4 };
        let mut scanner = LogScanner::new(name, start);
        if let Some(before) = before {
            assert_eq!(before.next_file.as_deref(), Some(name.as_str()));
            scanner = scanner.after(before);
        }
        bytes.chunks(piece).for_each(|piece| scanner.push(piece).unwrap());
        assert_eq!(scanner.bytes_to_group_end(), bytes.len() as u64, "{name}");
        assert_eq!(scanner.group_end(), scanner.offset(), "{name}");
        before = Some(scanner.finish().unwrap());
    }
    before.unwrap()
}

/// The same from a place in a file of the server.
fn scan_from(files: &[File], start: u64) -> Scanned {
    let mut files = files.to_vec();
    let length = u32::from_le_bytes(files[0].1[13..17].try_into().unwrap()) as usize;
    files[0].1.drain(4 + length..usize::try_from(start).unwrap());
    scan(&files, start, 4096)
}

/// Rows that must be there afterwards; none where they cannot be counted.
fn expected(base: &BTreeMap<String, u64>, changes: &Changes) -> BTreeMap<String, Option<u64>> {
    let mut out: BTreeMap<String, Option<u64>> = base.iter().map(|(name, rows)| (name.clone(), Some(*rows))).collect();
    out.retain(|name, _| !changes.dropped.iter().any(|database| name.starts_with(&format!("{database}."))));
    if changes.uncounted.is_some() {
        for rows in out.values_mut() {
            *rows = None;
        }
    }
    for (name, table) in &changes.tables {
        let before = match &table.origin {
            Origin::Gone => {
                out.remove(name);
                continue;
            }
            Origin::Before => base.get(name).copied(),
            Origin::BeforeOrNothing => Some(base.get(name).copied().unwrap_or(0)),
            Origin::Nothing => Some(0),
            Origin::Renamed(from) => base.get(from).copied(),
            Origin::RenamedOrNothing(from) => Some(base.get(from).copied().unwrap_or(0)),
        };
        if let Some(before) = before {
            let counted = table.uncounted.is_none();
            out.insert(name.clone(), counted.then(|| before + table.inserted - table.deleted));
        }
    }
    out
}

/// Run a workload, and hold what its log says against what the server has. The tables that cannot be counted.
fn counts_are_right(server: &mut Server, script: &str) -> Vec<String> {
    let (before, then) = script.split_once("-- then\n").unwrap();
    server.run(before);
    let (file, start) = server.position();
    let base = server.counts();
    server.run(then);
    let found = server.counts();
    let files = server.files(&file);
    let whole = scan(&server.files(""), 4, 4096);
    let part = scan_from(&files, start);
    // The whole history of the server begins with nothing.
    let mut doubted = Vec::new();
    for (base, scanned) in [(&BTreeMap::new(), &whole), (&base, &part)] {
        let expected = expected(base, &scanned.changes());
        let names: Vec<_> = expected.keys().collect();
        assert_eq!(names, found.keys().collect::<Vec<_>>());
        for (name, rows) in &expected {
            if let Some(rows) = rows {
                assert_eq!(*rows, found[name], "{name}: {:?}", scanned.changes().tables.get(name));
            }
        }
        doubted = expected.iter().filter(|(_, rows)| rows.is_none()).map(|(name, _)| name.clone()).collect();
    }
    let (last, end) = server.position();
    assert_eq!((files.last().unwrap().0.as_str(), part.offset), (last.as_str(), end));
    assert_eq!(whole.last_group, part.last_group);
    // However it is cut, and whoever gives it.
    for piece in [1, 7, usize::MAX] {
        let again = scan(&server.files(""), 4, piece);
        assert_eq!(
            (again.changes(), again.offset, again.last_group),
            (whole.changes(), whole.offset, whole.last_group.clone())
        );
    }
    let fetched = scan(&server.fetched(&file, start), start, 4096);
    assert_eq!(
        (fetched.changes(), fetched.offset, &fetched.last_group),
        (part.changes(), part.offset, &part.last_group)
    );
    assert_eq!((&fetched.header, fetched.gtids()), (&part.header, part.gtids()));
    let all = server.files("");
    let (mut decoded, mut grouped) = (decoded(server, &all), grouped(&all));
    for rows in [&mut decoded, &mut grouped] {
        // Here the server's own tables are no tables, and MySQL's client does not know how long a GEOMETRY is.
        rows.retain(|(table, _), _| !table.starts_with("mysql.") && table != "app.odd");
    }
    assert_eq!(grouped, decoded);
    doubted
}

/// Rows in these files, by table and by how they change, as the client decodes them.
fn decoded(server: &Server, files: &[File]) -> BTreeMap<(String, &'static str), u64> {
    let directory = tempfile::tempdir().unwrap();
    let mut out = BTreeMap::new();
    for (name, bytes) in files {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        let mut client = Command::new(server.reader());
        let said = client.args(["--no-defaults", "-v", "--base64-output=decode-rows"]).arg(path).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            for (mark, kind) in
                [("### INSERT INTO ", "insert"), ("### UPDATE ", "update"), ("### DELETE FROM ", "delete")]
            {
                if let Some(table) = line.strip_prefix(mark) {
                    *out.entry((table.replace('`', ""), kind)).or_default() += 1;
                }
            }
        }
    }
    out
}

/// The same as the groups say it.
fn grouped(files: &[File]) -> BTreeMap<(String, &'static str), u64> {
    let (seen, mut out) = (Arc::new(Mutex::new(Vec::new())), BTreeMap::new());
    for (name, bytes) in files {
        let into = Arc::clone(&seen);
        let mut scanner = LogScanner::new(name, 4).reporting(move |group| into.lock().unwrap().push(group.clone()));
        scanner.push(bytes).unwrap();
        scanner.finish().unwrap();
    }
    for (table, rows) in seen.lock().unwrap().iter().flat_map(|group| group.tables.clone()) {
        for (kind, count) in [("insert", rows.inserted), ("update", rows.updated), ("delete", rows.deleted)] {
            if count > 0 {
                *out.entry((table.clone(), kind)).or_default() += count;
            }
        }
    }
    out
}

/// Flip bits and cut: what is wrong is never taken for right.
fn damage_is_seen(file: &File) {
    let mut random = 7_u64;
    for _ in 0..200 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(random >> 20).unwrap() % file.1.len();
        let mut bytes = file.1.clone();
        bytes[at] ^= 1 << (random >> 61);
        let mut scanner = LogScanner::new(&file.0, 4);
        let found = scanner.push(&bytes).and_then(|()| scanner.finish().map(drop));
        assert!(found.is_err() || at == 21, "byte {at}");
        let mut scanner = LogScanner::new(&file.0, 4);
        scanner.push(&file.1[..at]).unwrap();
        assert!(scanner.bytes_to_group_end() <= at as u64 && scanner.group_end() <= at as u64);
    }
}

/// What MariaDB says of transactions that it did.
fn gtids_are_right(server: &mut Server) {
    let all = scan(&server.files(""), 4, 4096);
    let asked = if server.is_mariadb { "SELECT @@gtid_binlog_pos" } else { "SELECT @@gtid_executed" };
    let said = GtidState::read(&server.session.value(asked).unwrap().unwrap()).unwrap();
    assert_eq!(all.gtids().to_string(), said.to_string());
}

#[test]
fn the_log_of_mariadb_says_how_many_rows_each_table_has() {
    let doubtful = [
        "app.child",
        "app.created",
        "app.grandchild",
        "app.lose_rows",
        "app.part",
        "app.part_side",
        "app.plain",
        "app.self",
    ];
    for settings in [
        &[("binlog-format", "ROW")][..],
        &[
            ("binlog-format", "ROW"),
            ("binlog-row-image", "MINIMAL"),
            ("log-bin-compress", "ON"),
            ("log-bin-compress-min-len", "10"),
        ],
        &[
            ("binlog-format", "ROW"),
            ("binlog-checksum", "NONE"),
            ("binlog-annotate-row-events", "OFF"),
            ("binlog-row-metadata", "FULL"),
        ],
    ] {
        with_server(true, settings, |server| {
            let doubted = counts_are_right(server, MARIADB);
            assert_eq!(doubted, doubtful, "{settings:?}");
            gtids_are_right(server);
            if !settings.contains(&("binlog-checksum", "NONE")) {
                damage_is_seen(&server.files("")[0]);
            }
        });
    }
}

#[test]
fn the_log_of_mysql_says_how_many_rows_each_table_has() {
    for settings in [
        &[("gtid-mode", "ON"), ("enforce-gtid-consistency", "ON")][..],
        &[("gtid-mode", "OFF"), ("binlog-row-image", "MINIMAL"), ("binlog-transaction-compression", "ON")],
        &[("binlog-checksum", "NONE"), ("binlog-row-metadata", "FULL"), ("binlog-row-image", "NOBLOB")],
    ] {
        with_server(false, settings, |server| {
            let doubted = counts_are_right(server, MYSQL);
            assert_eq!(doubted, ["app.part"], "{settings:?}");
            gtids_are_right(server);
            if !settings.contains(&("binlog-checksum", "NONE")) {
                damage_is_seen(&server.files("")[0]);
            }
        });
    }
}

#[test]
fn statements_in_statement_format_leave_nothing_counted() {
    with_server(true, &[("binlog-format", "MIXED")], |server| {
        let doubted = counts_are_right(server, MARIADB);
        assert!(doubted.contains(&"app.untouched".to_owned()), "{doubted:?}");
    });
}
