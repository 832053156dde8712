//! The scanner beside the real client programs: generated and mutated scripts, and what each of the two makes of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
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

/// Scripts per client.
const SCRIPTS: usize = 400;
/// What scripts are made of. `DELIMITER` comes where a dump has it, behind the end of a statement.
const PARTS: [&str; 52] = [
    "SELECT",
    " 1",
    " - -2",
    "a*/b",
    "a/b",
    "'it''s'",
    "\"a\\\"",
    "'a\\'",
    "`a\\`",
    "`b``c`",
    "''",
    "\"",
    "'",
    "`",
    "\\",
    "\\N",
    "/* it's; \"old` */",
    "/*/ it's; */",
    "/* a /*/ b */",
    "/*!50003 x */",
    "/*!99999 'y' */",
    "/*M!100100 z; */",
    "/*!50003 /* in; */ y */",
    "/*+ it's; */",
    "/*+ x\n ; */",
    "/*",
    "*/",
    "*/*",
    "/*!",
    "-- it's; a `comment\n",
    "--\u{c}it's;\n",
    "--\u{b}x;\n",
    "--x;\n",
    "--\n",
    "# it's; \"x\n",
    ";",
    ";;",
    ";\n",
    "\n",
    "\r\n",
    "\t",
    " ",
    "$$ it's; /* $$",
    "$t1$ ; ' $$ $t1$",
    "a$$b",
    "$",
    "$$",
    "\n;\n;;\nDELIMITER ;;\n",
    "\n;\n;;\nDELIMITER ;\n",
    "\n;\n;;\n delimiter  ;;\n",
    "delimiterx",
    "ü表",
];
const MODES: [&str; 4] = ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"];

fn script() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        12 => proptest::sample::select(PARTS.to_vec()).prop_map(|part| part.as_bytes().to_vec()),
        1 => proptest::sample::select(MODES.to_vec()).prop_map(|mode| format!(";\n;;\nSET sql_mode='{mode}';\n;;\n").into_bytes()),
        1 => proptest::sample::select(vec![vec![0xff], vec![0xc3], vec![0xe4, b'\''], vec![0x1b], vec![0x80, b'$', b'$']]),
    ];
    proptest::collection::vec(part, 1..24).prop_map(|parts| parts.concat())
}

/// What the client has in its buffer whenever it sends a statement, by its own word (`--verbose`).
fn of_the_client(tools: &Tools, socket: &Path, user: &str, script: &[u8]) -> Vec<Vec<u8>> {
    let mut child = Command::new(&tools.client)
        .args([
            "--no-defaults",
            "--batch",
            "--binary-mode",
            "--comments",
            "--verbose",
            "--force",
            "--skip-column-names",
        ])
        .args(["--default-character-set=utf8mb4", &format!("--user={user}"), &format!("--socket={}", socket.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script).unwrap();
    let said = child.wait_with_output().unwrap().stdout;
    let (mut out, mut open): (Vec<Vec<u8>>, Option<Vec<u8>>) = (Vec::new(), None);
    for line in said.split_inclusive(|byte| *byte == b'\n') {
        open = match open {
            Some(text) if line == b"--------------\n" => {
                out.push(text);
                None
            }
            Some(text) => Some([&text, line].concat()),
            None => (line == b"--------------\n").then(Vec::new),
        };
    }
    // A comment that stands alone is sent by itself; so is what is left in the end.
    out.retain(|text| !is_comment(text) && !trimmed(text).is_empty());
    out
}

fn is_comment(text: &[u8]) -> bool {
    let text = trimmed(text);
    (text.starts_with(b"#") || text.starts_with(b"--")) && !text.contains(&b'\n')
}

fn trimmed(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !lexer::is_space(*byte)).unwrap_or(text.len());
    // The client takes off whatever cannot be seen.
    let end = text.iter().rposition(u8::is_ascii_graphic).map_or(start, |end| end + 1);
    &text[start.min(end)..end]
}

/// The client adds a comment that follows on the same line to the statement that ended before it, and a space behind a
/// block comment. A backslash at the end of a line makes it stop printing.
fn is_same(client: &[u8], ours: &[u8]) -> bool {
    if let Some(end) = memchr::memmem::find(ours, b"\\\n") {
        return is_same(client, &ours[..=end]);
    }
    let dense = |text: &[u8]| trimmed(text).iter().copied().filter(|byte| *byte != b' ').collect::<Vec<u8>>();
    let more = dense(client).strip_prefix(dense(ours).as_slice()).map(<[u8]>::to_vec);
    more.is_some_and(|rest| rest.is_empty() || is_comment(&rest))
}

fn reads_as_its_client(product: &str, series: &str, programs: Option<&Path>) {
    let manifest = manifest(product, series);
    let spec = server::spec(&manifest, &Needs::default(), programs, 1 << 30);
    let state = tempfile::tempdir().unwrap();
    let sandbox = LocalSandbox::new(state.path(), SystemClock::shared());
    let spec = SandboxSpec::Server(Box::new(spec));
    let mut instance = sandbox.provision(&spec, "run", &RunContext::silent()).unwrap();
    instance.start(&RunContext::silent()).unwrap();
    let SandboxSpec::Server(server) = &spec else { unreachable!() };
    let tools = Tools::find(&manifest.server, programs).unwrap();
    let (mut runner, mut compared) = (TestRunner::deterministic(), 0);
    for number in 0..SCRIPTS {
        let script = script().new_tree(&mut runner).unwrap().current();
        let mut scanner = StreamScanner::new(tools.reader(), Capture::default());
        scanner.seen.lenient = true;
        let refused = scanner.feed(&script).and_then(|()| scanner.look(true)).is_err();
        let ours = &scanner.seen.buffers;
        let theirs = of_the_client(&tools, &instance.access().socket, &server.user, &script);
        let shown =
            |list: &[Vec<u8>]| list.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>();
        let message = format!(
            "{product} script {number}: {:?}\nours (refused: {refused}): {:#?}\ntheirs: {:#?}",
            String::from_utf8_lossy(&script),
            shown(ours),
            shown(&theirs)
        );
        // An empty statement is not sent.
        let ours: Vec<&Vec<u8>> = ours.iter().filter(|text| !trimmed(text).is_empty() && !is_comment(text)).collect();
        assert!(ours.len() <= theirs.len() || refused, "{message}");
        assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| is_same(theirs, ours)), "{message}");
        // What is not ended by a delimiter is sent in the end; behind a refusal nothing is compared.
        let left = usize::from(!trimmed(&scanner.text).is_empty() || !scanner.seen.buffer.is_empty());
        assert!(refused || theirs.len() <= ours.len() + left, "{message}");
        compared += ours.len();
    }
    assert!(compared > SCRIPTS, "{compared} statements of {SCRIPTS} scripts");
    instance.destroy().unwrap();
}

#[test]
fn a_script_is_cut_where_mariadbs_client_cuts_it() {
    reads_as_its_client("MariaDB", "10.11", None);
}

#[test]
fn a_script_is_cut_where_mysqls_client_cuts_it() {
    let programs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
    reads_as_its_client("MySQL", "9.7", Some(&programs));
}
