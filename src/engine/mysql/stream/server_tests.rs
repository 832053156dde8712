//! The scanner beside real servers: rows and definitions that are made of literals and of what would compute something. What
//! is accepted must be as many rows to the server, and call nothing, whatever `sql_mode` is in force.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::clock::SystemClock;
use crate::domain::needs::Needs;
use crate::engine::mysql::server;
use crate::engine::mysql::tests::manifest;
use crate::engine::mysql::tool::Tools;
use crate::run_context::RunContext;
use crate::sandbox::local::LocalSandbox;
use crate::sandbox::{Sandbox, SandboxSpec};

/// Scripts per product, of which most are refused.
const SCRIPTS: usize = 400;
/// Called, it leaves a row that no rollback takes away.
const SETUP: &str = "CREATE DATABASE e;\nUSE e;\nCREATE TABLE seen (a INT) ENGINE=MyISAM;\nCREATE TABLE t (a LONGBLOB);\n\
    DELIMITER //\nCREATE FUNCTION f() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO e.seen VALUES (1); RETURN 1; END //\n";
/// As dump clients write them.
const PLAIN: [&str; 22] = [
    "0",
    "-1",
    "007",
    "0.5",
    "-.5",
    "1.",
    "1e20",
    "-1.5E-10",
    "1e+3",
    "NULL",
    "''",
    "'it''s'",
    "'\\\\'",
    "'\\''",
    "'\\0\\n\\r\\Z\\\"'",
    "0x00fF",
    "0x4",
    "_binary 'a\\'b'",
    "_utf8mb4'a'",
    "_binary 0x41",
    "x'41'",
    "b'01'",
];
/// What somebody would have a server compute, and what may lead a reader astray on the way there.
const ODD: [&str; 46] = [
    "f()",
    "`f`()",
    "e.f()",
    "(f())",
    "(SELECT f())",
    "+f()",
    "-f()",
    "'a'=f()",
    "@a:=f()",
    "{fn f()}",
    "CASE f() WHEN 1 THEN 2 END",
    "/*!50003 f() */",
    "/*!99999 ' */",
    "/*!80016 ' */",
    "/*M!100100 f() */",
    "/*/ ' */",
    "/* ' */",
    "/*! '",
    "*/",
    "-- '\n",
    "--\t'\n",
    "#'\n",
    "'",
    "\"",
    "\\",
    "'\\'",
    "\"'\"",
    "`'`",
    "\"a\"",
    "`a`",
    "\\'",
    "''",
    "),(",
    "),(f(),'",
    ") SELECT f() --",
    "DEFAULT",
    "N'a'",
    "DATE'2024-01-01'",
    "_foo'a'",
    "1.2.3",
    "00x41",
    "0b1",
    "1e",
    "\n",
    "\u{a0}",
    "\0",
];
/// What may stand around rows and definitions.
const AROUND: [&str; 18] = [
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES';\n",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';\n",
    "SET sql_mode = '';\n",
    "SET @a = 1, sql_mode = 'NO_BACKSLASH_ESCAPES';\n",
    "SET @@sql_mode = 'ANSI_QUOTES';\n",
    "SET @saved_sql_mode = @@sql_mode;\n",
    "SET @saved_sql_mode = 'NO_BACKSLASH_ESCAPES';\n",
    "SET sql_mode = @saved_sql_mode;\n",
    "SET SQL_MODE=@OLD_SQL_MODE;\n",
    "/*!99999 SET sql_mode = '' */;\n",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES ';\n",
    "SET character_set_client = gbk;\n",
    "SET NAMES utf8mb4;\n",
    "DELIMITER ;;\n",
    "DELIMITER ;\n",
    ";;\n",
    "LOCK TABLES `t` WRITE;\nUNLOCK TABLES;\n",
    "DO SETVAL(`s`, f(), 0);\n",
];

fn value() -> impl Strategy<Value = String> {
    let special = prop_oneof![
        Just("''"),
        Just("\\'"),
        Just("\\\\"),
        Just("\""),
        Just("`"),
        Just("\n"),
        Just("\\0"),
        Just("-- "),
        Just("/*"),
        Just("),(f()"),
        Just("ü表"),
        Just(";")
    ];
    let text = (select(vec!["", "_binary ", "_utf8mb4 ", "_latin1"]), proptest::collection::vec(special, 0..6))
        .prop_map(|(charset, parts)| format!("{charset}'{}'", parts.concat()));
    let odd = (select(ODD.to_vec()), select(vec!["", "1", "'a'", "0x4"]), any::<bool>())
        .prop_map(|(odd, beside, behind)| if behind { format!("{beside}{odd}") } else { format!("{odd}{beside}") });
    prop_oneof![8 => select(PLAIN.to_vec()).prop_map(str::to_owned), 6 => text, 1 => odd]
}

fn rows() -> impl Strategy<Value = String> {
    let row = prop_oneof![9 => value().prop_map(|value| format!("({value})")), 1 => (value(), value()).prop_map(|(a, b)| format!("({a},{b})"))];
    let head = prop_oneof![
        6 => Just("INSERT INTO `t` VALUES "),
        1 => Just("INSERT  IGNORE INTO `t` (`a`) VALUES\n"),
        1 => select(vec!["INSERT INTO `t` SELECT f() UNION VALUES ", "INSERT INTO `e`.`t` VALUES ",
            "insert into `t` values ",
            "INSERT INTO `t`VALUES",
            "/*!50003 INSERT INTO `t` VALUES (f()) */;\nINSERT INTO `t` VALUES", "INSERT INTO `t` /*!99999 ' */ SELECT f() -- '\n VALUES "]),
    ];
    (head, proptest::collection::vec(row, 1..4)).prop_map(|(head, rows)| format!("{head}{};\n", rows.join(",")))
}

fn table() -> impl Strategy<Value = String> {
    let behind = prop_oneof![
        select(vec![
            "AS SELECT f()",
            "SELECT f()",
            "/*!80016 x */",
            "/*!50100 */",
            "( */ AS SELECT f()",
            "; SELECT f()",
            "--\t'\n AS SELECT f() -- '",
        ])
        .prop_map(str::to_owned),
        (
            select(ODD.to_vec()),
            select(vec![" AS SELECT f() AS b", " AS SELECT f() AS b -- '", " AS SELECT f() AS b /*'*/"])
        )
            .prop_map(|(odd, query)| format!("{odd}{query}")),
        Just(String::new())
    ];
    (select(vec!["''", "'\\''", "'\\'", "'\\\\'", "'*/'", "\"a\""]), behind)
        .prop_map(|(comment, behind)| format!("CREATE TABLE `u` (`a` int COMMENT {comment}) {behind};\n"))
}

fn script() -> impl Strategy<Value = String> {
    let part = prop_oneof![6 => rows(), 3 => table(), 2 => select(AROUND.to_vec()).prop_map(str::to_owned)];
    proptest::collection::vec(part, 1..4).prop_map(|parts| format!("USE `e`;\n{}-- Dump completed\n", parts.concat()))
}

struct Client {
    tools: Tools,
    socket: PathBuf,
    user: String,
}

impl Client {
    /// What the client program prints when it goes through `script` to its end, whatever fails.
    fn run(&self, script: &[u8]) -> String {
        let mut child = Command::new(&self.tools.client)
            .args(["--no-defaults", "--batch", "--binary-mode", "--comments", "--force", "--skip-column-names"])
            .args(["--default-character-set=utf8mb4", &format!("--user={}", self.user)])
            .arg(format!("--socket={}", self.socket.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script).unwrap();
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    }
}

/// What the scanner makes of a script: the stream that it stores, and how many rows it has.
fn scanned(client: &Client, script: &str) -> Option<(Vec<u8>, u64)> {
    let mut scanner = StreamScanner::new(client.tools.reader(), Capture::default());
    scanner.feed(script.as_bytes()).ok()?;
    let facts = scanner.finish().ok()?;
    let rows = facts.inventory().tables.iter().filter(|table| table.name == "e.t").map(|table| table.rows).sum();
    Some((scanner.take_output(), rows))
}

fn computes_nothing(product: &str, series: &str, programs: Option<&Path>) {
    let manifest = manifest(product, series);
    let spec = server::spec(&manifest, &Needs::default(), programs, 1 << 30);
    let state = tempfile::tempdir().unwrap();
    let sandbox = LocalSandbox::new(state.path(), SystemClock::shared());
    let spec = SandboxSpec::Server(Box::new(spec));
    let mut instance = sandbox.provision(&spec, "run", &RunContext::silent()).unwrap();
    instance.start(&RunContext::silent()).unwrap();
    let SandboxSpec::Server(server) = &spec else { unreachable!() };
    let tools = Tools::find(&manifest.server, programs).unwrap();
    let client = Client { tools, socket: instance.access().socket.clone(), user: server.user.clone() };
    client.run(SETUP.as_bytes());
    assert_eq!(client.run(b"SELECT e.f(); SELECT COUNT(*) FROM e.seen").trim(), "1\n1", "it would be noticed");
    let (mut runner, mut accepted, mut compared) = (TestRunner::deterministic(), 0, 0);
    for number in 0..SCRIPTS {
        let script = script().new_tree(&mut runner).unwrap().current();
        let Some((stored, rows)) = scanned(&client, &script) else { continue };
        accepted += 1;
        let mode = ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"][number % 4];
        let begin = format!("SET sql_mode = '{mode}';\nSET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';\nUSE e;\n");
        client.run(&[begin.as_bytes(), &stored].concat());
        let after = "SELECT (SELECT COUNT(*) FROM e.seen), (SELECT COUNT(*) FROM e.t);\nTRUNCATE e.t;\nDROP TABLE IF EXISTS e.u;\n";
        let said = client.run(after.as_bytes());
        let (seen, stored) = said.trim().split_once('\t').unwrap_or_else(|| panic!("{script:?}: {said:?}"));
        assert_eq!(seen, "1", "{product} script {number} computes something: {script}");
        // Statements that the server refuses store nothing.
        let stored: u64 = stored.parse().unwrap();
        assert!(stored <= rows, "{product} script {number}: {stored} rows, not {rows}: {script}");
        compared += usize::from(stored == rows && rows > 0);
    }
    assert!(accepted > SCRIPTS / 10 && compared > accepted / 3, "{accepted} accepted, {compared} with all rows");
    for value in PLAIN {
        let script = format!("USE `e`;\nINSERT INTO `t` VALUES ({value}),({value});\n-- Dump completed\n");
        let (stored, rows) = scanned(&client, &script).unwrap_or_else(|| panic!("{value} is refused"));
        client.run(&stored);
        assert_eq!((client.run(b"SELECT COUNT(*) FROM e.t; TRUNCATE e.t").trim(), rows), ("2", 2), "{product} {value}");
    }
    instance.destroy().unwrap();
}

#[test]
fn what_is_stored_computes_nothing_on_mariadb() {
    computes_nothing("MariaDB", "10.11", None);
}

#[test]
fn what_is_stored_computes_nothing_on_mysql() {
    let programs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
    computes_nothing("MySQL", "9.7", Some(&programs));
}
