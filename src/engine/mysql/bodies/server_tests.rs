//! The reader of programs beside real servers: whatever they take and print is one statement, and of what is taken for one they
//! run nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::tests::generated;
use super::*;
use crate::clock::SystemClock;
use crate::domain::needs::Needs;
use crate::engine::mysql::names;
use crate::engine::mysql::server;
use crate::engine::mysql::tests::manifest;
use crate::engine::mysql::tool::Tools;
use crate::run_context::RunContext;
use crate::sandbox::local::LocalSandbox;
use crate::sandbox::{Instance, Sandbox, SandboxSpec};

/// Programs per product, as they are and changed.
const HONEST: usize = 120;
const CHANGED: usize = 300;
/// Called, it leaves a row that no rollback takes away.
const SETUP: &str = "CREATE DATABASE e;\nUSE e;\nCREATE TABLE seen (a INT) ENGINE=MyISAM;\n\
    CREATE TABLE u (a INT, begin INT, end INT, `end;` INT);\nCREATE TABLE v (a INT);\nCREATE PROCEDURE other() DO 1;\nDELIMITER //\n\
    CREATE PROCEDURE x() BEGIN INSERT INTO e.seen VALUES (1); END //\n";
/// Put into a program, somewhere.
const PARTS: [&str; 24] = [
    "; CALL x(); ",
    "; CALL x() -- ",
    "END; CALL x(); ",
    "END IF; CALL x(); ",
    "; BEGIN NOT ATOMIC CALL x(); END ",
    "; ",
    "BEGIN ",
    "END ",
    "END; ",
    " AS begin ",
    " AS end ",
    "CASE ",
    "WHEN 1 THEN ",
    "ELSE ",
    "IF 1 THEN ",
    "l: ",
    "DO ",
    "'",
    "`",
    "/*!99999 ",
    "/*!50003 ",
    "/*!80000 END; CALL x(); */ ",
    "*/ ",
    "RETURN 1; CALL x(); ",
];

/// Put behind a program.
const TAILS: [&str; 8] = [
    "",
    "",
    "; CALL x()",
    ";\n CALL x(); END",
    "; CALL x() -- END",
    "; CALL x(); SELECT 1 AS end",
    " ; /* END */ CALL x(); BEGIN NOT ATOMIC SELECT 1; END",
    "; SET @a = 1; CALL x(); END IF; END",
];

/// A program with some parts put in or taken out, and what follows it.
fn changed() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), prop::option::weighted(0.7, select(PARTS.to_vec())));
    let changes = prop_oneof![1 => Just(Vec::new()), 3 => proptest::collection::vec(change, 1..3)];
    (generated::program(), changes, select(TAILS.to_vec())).prop_map(|(program, changes, tail)| {
        let mut words: Vec<String> = program.split_inclusive(' ').map(str::to_owned).collect();
        for (at, part) in changes {
            let at = at.index(words.len());
            match part {
                Some(part) => words.insert(at, part.to_owned()),
                None => drop(words.remove(at)),
            }
            words.push(String::new());
        }
        words.concat() + tail
    })
}

struct Server {
    instance: Box<dyn Instance>,
    tools: Tools,
    socket: PathBuf,
    user: String,
}

impl Server {
    fn start(product: &str, series: &str, programs: Option<&Path>, state: &Path) -> Self {
        let manifest = manifest(product, series);
        let spec = server::spec(&manifest, &Needs::default(), programs, 1 << 30);
        let user = spec.user.clone();
        let sandbox = LocalSandbox::new(state, SystemClock::shared());
        let mut instance =
            sandbox.provision(&SandboxSpec::Server(Box::new(spec)), "run", &RunContext::silent()).unwrap();
        instance.start(&RunContext::silent()).unwrap();
        let socket = instance.access().socket.clone();
        Self { instance, tools: Tools::find(&manifest.server, programs).unwrap(), socket, user }
    }

    /// What the client program prints when it goes through `script` to its end, whatever fails.
    fn run(&self, script: &str) -> String {
        let mut child = Command::new(&self.tools.client)
            .args([
                "--no-defaults",
                "--batch",
                "--raw",
                "--binary-mode",
                "--comments",
                "--force",
                "--skip-column-names",
            ])
            .args(["--default-character-set=utf8mb4", &format!("--user={}", self.user)])
            .arg(format!("--socket={}", self.socket.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    }

    /// Have `program` made and dropped again; its definition as the server prints it, if it took it, and how often `x` was
    /// called since the start.
    fn take(&self, program: &str) -> (Option<String>, u64) {
        let created = names::created(program).unwrap();
        let (kind, name) = (created.kind, names::quote(&created.name));
        // By itself: a quote that is not closed goes on to the end.
        self.run(&format!("USE e;\nDELIMITER //\n{program}\n//\n"));
        let said = self.run(&format!(
            "USE e;\nSHOW CREATE {kind} {name};\nSELECT 'ends';\nDROP {kind} IF EXISTS {name};\nSELECT COUNT(*) FROM e.seen;\n"
        ));
        let (shown, count) = said.split_once("ends\n").unwrap_or_else(|| panic!("{program}: {said}"));
        let shown = shown.find("CREATE ").map(|at| shown[at..].to_owned());
        (shown, count.trim().parse().unwrap())
    }
}

fn runs_nothing(product: &str, series: &str, programs: Option<&Path>) {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(product, series, programs, state.path());
    server.run(SETUP);
    let (client, mut runner, mut taken) = (Client::of(product), TestRunner::deterministic(), 0);
    for number in 0..HONEST {
        let program = generated::program().new_tree(&mut runner).unwrap().current();
        let (shown, _) = server.take(&program);
        assert!(is_one_statement(&program, Quoting::default(), client), "{product} {number}: {program}");
        let Some(shown) = shown else { continue };
        taken += 1;
        // Behind the statement there are columns with character sets and times.
        let statement = shown.rsplit_once("\tutf8mb4\t").map_or(shown.as_str(), |(statement, _)| statement);
        assert!(is_one_statement(statement, Quoting::default(), client), "{product} {number}: {shown}");
    }
    assert!(taken > HONEST / 2, "{product} took {taken} of {HONEST}");
    let forged = "CREATE PROCEDURE p() BEGIN SELECT 1; END; CALL x()";
    let mut before = server.take(forged).1;
    assert_eq!(before, 1, "{product}: it would be noticed");
    let (mut accepted, mut ran) = (0, 0);
    for number in 0..CHANGED {
        let program = changed().new_tree(&mut runner).unwrap().current();
        if names::created(&program).is_none() || crate::engine::mysql::vocabulary::program(&program).is_none() {
            continue;
        }
        let is_accepted = is_one_statement(&program, Quoting::default(), client);
        let (shown, after) = server.take(&program);
        assert!(!is_accepted || after == before, "{product} {number} runs something: {program}");
        accepted += usize::from(is_accepted && shown.is_some());
        ran += usize::from(after > before);
        before = after;
    }
    assert!(
        accepted > CHANGED / 20 && ran > CHANGED / 20,
        "{product}: {accepted} accepted and taken, {ran} ran something"
    );
    server.instance.destroy().unwrap();
}

#[test]
fn what_is_taken_for_one_program_runs_nothing_on_mariadb() {
    runs_nothing("MariaDB", "10.11", None);
}

#[test]
fn what_is_taken_for_one_program_runs_nothing_on_mysql() {
    let programs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
    runs_nothing("MySQL", "9.7", Some(&programs));
}
