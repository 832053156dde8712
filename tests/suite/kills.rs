//! `kill -9` of us, of the dump client and of the server, at every step: nothing is published, the next run works, and
//! a killed drill leaves no server and no data directory after the next start.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Product, Running, Server, World, entries, wait_for};

pub fn big_server() -> Server {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE d.t (id INT PRIMARY KEY, a VARCHAR(200), b VARCHAR(200), KEY (a)); \
                INSERT INTO d.t SELECT seq, SHA2(seq, 512), SHA2(seq + 0.5, 512) FROM seq_1_to_150000",
    );
    server
}

fn start(world: &World, arguments: &[&str]) -> Running {
    Running(world.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn kill(pid: u32) {
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
}

/// Children of `parent` whose command line contains `word`.
fn child_of(parent: u32, word: &str) -> Option<u32> {
    entries("/proc".as_ref()).into_iter().find_map(|path| {
        let pid: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        let after = stat.rsplit_once(") ")?.1;
        let is_child = after.split(' ').nth(1)?.parse::<u32>().ok()? == parent;
        let line = fs::read_to_string(path.join("cmdline")).ok()?;
        (is_child && line.contains(word)).then_some(pid)
    })
}

/// Files below a directory of the repository.
fn stored(world: &World, place: &str) -> usize {
    let count = |path: PathBuf| if path.is_dir() { entries(&path).len() } else { 1 };
    entries(&world.path("repo").join(place)).into_iter().map(count).sum()
}

/// Names of the recovery points.
fn points(world: &World) -> BTreeSet<String> {
    let ran = world.run(&["--json", "list"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

/// What a backup has come to.
type Reached = Box<dyn Fn(&World, u32) -> bool>;

/// Begin a backup and kill it at the moment that it has `reached` something; whether it was killed before its end.
fn kill_when(world: &World, reached: &Reached) -> bool {
    let mut run = start(world, &["backup"]);
    loop {
        let ended = run.0.try_wait().unwrap().is_some();
        if ended || reached(world, run.0.id()) {
            kill(run.0.id());
            run.0.wait().unwrap();
            return !ended;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_backup_publishes_nothing_or_what_restores_wherever_it_was() {
    let server = big_server();
    let world = World::new(&server, &["d"], "");
    world.backup();
    let mut drilled = points(&world);
    for step in 0..8_u32 {
        // New rows in every run, so that every run has packs to write.
        let (from, to) = (1_000_000 * (step + 1), 1_000_000 * (step + 1) + 40_000);
        server.sql(&format!(
            "USE d; INSERT INTO d.t SELECT seq, SHA2(seq, 512), SHA2(seq + 0.5, 512) FROM seq_{from}_to_{to}"
        ));
        let more = |place: &'static str, by: usize| -> Reached {
            let before = stored(&world, place);
            Box::new(move |world, _| stored(world, place) >= before + by)
        };
        let (what, reached): (&str, Reached) = match step {
            0 => ("the dump began", Box::new(|_, pid| child_of(pid, "mariadb-dump").is_some())),
            1 => ("a file is being written", more("tmp", 1)),
            2 => ("a pack is there", more("data", 1)),
            3 => ("an index is there", more("index", 1)),
            4 => ("the second pack is there", more("data", 2)),
            5 => ("the second index is there", more("index", 2)),
            6 => ("the third index is there", more("index", 3)),
            _ => ("the snapshot is there", more("snapshots", 1)),
        };
        let before = stored(&world, "snapshots");
        let killed = kill_when(&world, &reached);
        // The program ends within moments of its last step: all others are caught for certain.
        assert!(killed || step >= 6, "it ended before {what}");
        let check = world.restic(&["check"]);
        assert!(check.status.success(), "{what}: {}", String::from_utf8_lossy(&check.stderr));
        let now = points(&world);
        let published = stored(&world, "snapshots") - before;
        assert_eq!(now.len(), drilled.len() + published, "{what}");
        assert!(step < 7 || published == 1, "what has a snapshot is listed");
        for point in now.difference(&drilled) {
            let drill = world.json(&["drill", "--recovery-point", point], 0);
            assert_eq!(
                (&drill["verdict"], &drill["recovery_point"]),
                (&"passed".into(), &point.as_str().into()),
                "{what}"
            );
        }
        drilled = now;
    }
    world.backup();
    assert_eq!(points(&world).len(), drilled.len() + 1);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    let status = world.status();
    assert_eq!(status["running"].as_array().unwrap().len(), 0, "{status:#}");
}

#[test]
fn a_dump_client_or_server_that_dies_publishes_nothing() {
    let server = big_server();
    let world = World::new(&server, &["d"], "");
    let mut run = start(&world, &["backup"]);
    let client = wait_for("the dump client", || child_of(run.0.id(), "--single-transaction"));
    kill(client);
    assert_eq!(run.0.wait().unwrap().code(), Some(1));
    assert_eq!(world.listed(), 0);

    // Other rows: what the first one stored before it was killed would be known, and no pack would come before the end.
    server.sql("UPDATE d.t SET a = SHA2(id + 0.25, 512), b = SHA2(id + 0.75, 512)");
    let before = stored(&world, "data");
    let mut run = start(&world, &["backup"]);
    // In the middle of the rows: some of them are in the repository.
    wait_for("the first pack", || (stored(&world, "data") > before).then_some(()));
    kill(server.pid());
    assert_eq!(run.0.wait().unwrap().code(), Some(1));
    assert_eq!(world.listed(), 0);
    let metrics = world.run(&["metrics"]).stdout;
    assert!(metrics.contains("backup_sla_backup_failures_total{source=\"shop\",kind=\"full\"} 2"), "{metrics}");
    assert!(metrics.contains("backup_sla_recovery_point_timestamp_seconds{source=\"shop\"} 0"), "{metrics}");
}

#[test]
fn a_killed_drill_leaves_nothing_after_the_next_start() {
    let server = big_server();
    let world = World::new(&server, &["d"], "");
    world.backup();
    for word in ["mariadbd", "mariadb\0"] {
        let mut run = start(&world, &["drill"]);
        let sandbox = wait_for("the sandbox server", || child_of(run.0.id(), "mariadbd"));
        wait_for(word, || child_of(run.0.id(), word));
        kill(run.0.id());
        run.0.wait().unwrap();
        let drill = world.json(&["drill"], 0);
        assert_eq!(drill["verdict"], "passed");
        let gone = fs::read_to_string(format!("/proc/{sandbox}/stat")).map_or(true, |stat| stat.contains(") Z "));
        assert!(gone, "the orphan is still running");
        world.assert_no_sandbox_left();
    }
}

#[test]
fn an_interrupted_drill_cleans_up_by_itself() {
    let server = big_server();
    let world = World::new(&server, &["d"], "");
    world.backup();
    let mut run = start(&world, &["drill"]);
    let sandbox = wait_for("the sandbox server", || child_of(run.0.id(), "mariadbd"));
    // `timeout` asks the process, and then its group: that is one request.
    for _ in 0..5 {
        let _ = kill_process(Pid::from_raw(i32::try_from(run.0.id()).unwrap()).unwrap(), Signal::TERM);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(run.0.wait().unwrap().code(), Some(1));
    let gone = fs::read_to_string(format!("/proc/{sandbox}/stat")).map_or(true, |stat| stat.contains(") Z "));
    assert!(gone, "the sandbox server is still running");
    world.assert_no_sandbox_left();
}

#[test]
fn two_operations_on_one_source_do_not_run_at_once() {
    let server = big_server();
    let world = World::new(&server, &["d"], "");
    let mut run = start(&world, &["backup"]);
    wait_for("the dump client", || child_of(run.0.id(), "mariadb-dump"));
    let second = world.run(&["backup"]);
    assert_eq!(second.status, 1, "{second:?}");
    assert!(second.stderr.contains("another backup of it is running"), "{second:?}");
    assert!(run.0.wait().unwrap().success());
}
