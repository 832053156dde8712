//! `kill -9` of us, of the dump client and of the server, at every step: nothing is published, the next run works, and
//! a killed drill leaves no server and no data directory after the next start.

use std::fs;
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

#[test]
fn a_killed_backup_publishes_nothing_wherever_it_was() {
    let server = big_server();
    let world = World::new(&server, &["d"], "");
    // Once to the end, to know how long it takes.
    let began = std::time::Instant::now();
    world.backup();
    let whole = began.elapsed();
    let mut killed = 0;
    for step in 1..=12_u32 {
        let mut run = start(&world, &["backup"]);
        std::thread::sleep(whole * step / 12);
        let ended = run.0.try_wait().unwrap().is_some();
        kill(run.0.id());
        run.0.wait().unwrap();
        killed += u32::from(!ended);
        // Either it was published whole or not at all, and what is listed restores.
        let check = world.restic(&["check"]);
        assert!(check.status.success(), "step {step}: {}", String::from_utf8_lossy(&check.stderr));
    }
    assert!(killed >= 6, "only {killed} runs were killed in time");
    let before = world.listed();
    world.backup();
    assert_eq!(world.listed(), before + 1);
    let drill = world.json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed");
    let status = world.status();
    assert_eq!(status["running"].as_array().unwrap().len(), 0, "{status:#}");
}

#[test]
fn a_dump_client_or_server_that_dies_publishes_nothing() {
    let server = big_server();
    let world = World::new(&server, &["d"], "");
    let mut run = start(&world, &["backup"]);
    let client = wait_for("the dump client", || child_of(run.0.id(), "mariadb-dump"));
    kill(client);
    assert_eq!(run.0.wait().unwrap().code(), Some(1));
    assert_eq!(world.listed(), 0);

    let mut run = start(&world, &["backup"]);
    wait_for("the dump client", || child_of(run.0.id(), "mariadb-dump"));
    std::thread::sleep(Duration::from_millis(50));
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
    let _ = kill_process(Pid::from_raw(i32::try_from(run.0.id()).unwrap()).unwrap(), Signal::TERM);
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
