//! The same as [`crate::waits`] of InfluxDB, and of the lock at the ledger.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::files;
use crate::influx_support::{Influx, day, meddling_before, world};
use crate::leftovers::server_in;
use crate::support::{Running, World, entries, wait_for};
use crate::waits::{PROMPT, begin, ended, ends_when_asked, reached, signal};

/// No question to InfluxDB may take longer.
const LIMIT: &str = "query_timeout = \"3s\"\n";
/// What the three seconds may become where the machine is busy, and where something is asked twice.
const SOON: Duration = Duration::from_secs(40);

fn telegraf() -> Influx {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf");
    server.telegraf(day(1), 50);
    server.flush();
    server
}

/// A backup that has begun.
fn backing_up(world: &World) -> Running {
    let backup = begin(world, &["backup"]);
    let lock = world.path("state/locks/telegraf.backup.lock");
    wait_for("the backup to begin", || lock.exists().then_some(()));
    backup
}

#[test]
fn a_backup_of_an_influxdb_that_is_stopped_fails_in_its_time_and_ends_when_asked() {
    let server = telegraf();
    let world = world(&server, "", "");
    signal(server.pid(), Signal::STOP);
    let ran = ends_when_asked(&world, backing_up(&world), "a backup of a stopped InfluxDB");
    assert!(ran.status == 1 && ran.stderr.contains("cancelled"), "{ran:?}");
    world.configure_influx(&server, LIMIT, "");
    let begun = Instant::now();
    let ran = world.run(&["backup"]);
    assert!(ran.status == 1 && ran.stderr.contains("no answer within 3s"), "{ran:?}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    signal(server.pid(), Signal::CONT);
    world.json(&["backup"], 0);
}

#[test]
fn a_backup_ends_when_asked_though_influxdb_or_its_tool_is_stopped_while_the_tool_runs() {
    let server = telegraf();
    for stopped in [server.pid().to_string(), "$$".to_owned()] {
        let world = world(&server, "", "");
        let script = format!("echo $$ > {}\nkill -STOP {stopped}", world.path("reached").display());
        let programs = meddling_before(&world, &script);
        world.configure_influx(&server, &format!("programs = {programs:?}\n"), "");
        let backup = backing_up(&world);
        reached(&world);
        let ran = ends_when_asked(&world, backup, &format!("a backup with {stopped} stopped"));
        assert_eq!(ran.status, 1, "{ran:?}");
        signal(server.pid(), Signal::CONT);
    }
}

/// Process of the InfluxDB in the sandbox; not that of a tool that loads it.
fn influxd_in_the_sandbox(world: &World) -> u32 {
    wait_for("the InfluxDB in the sandbox", || {
        let (pid, _) = server_in(&world.path("state"))?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).into_owned();
        (command.contains("influxd") && command.contains("-config")).then_some(pid)
    })
}

#[test]
fn a_drill_whose_influxdb_is_stopped_is_inconclusive_in_its_time_and_ends_when_asked() {
    let server = telegraf();
    let world = world(&server, LIMIT, "");
    world.json(&["backup"], 0);
    let drill = begin(&world, &["drill"]);
    signal(influxd_in_the_sandbox(&world), Signal::STOP);
    ends_when_asked(&world, drill, "a drill whose InfluxDB is stopped");

    let drill = begin(&world, &["--json", "drill"]);
    signal(influxd_in_the_sandbox(&world), Signal::STOP);
    let stopped = Instant::now();
    let ran = ended(drill);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(ran.status == 4 && report["verdict"] == "inconclusive", "{ran:?}");
    assert!(stopped.elapsed() < Duration::from_mins(3), "{:?}", stopped.elapsed());
    world.assert_no_sandbox_left();
    // It said nothing about the backup.
    world.json(&["drill"], 0);
}

/// Whether the process has this file open.
fn has_open(process: u32, file: &Path) -> bool {
    let open = entries(Path::new(&format!("/proc/{process}/fd")));
    open.iter().any(|link| fs::read_link(link).is_ok_and(|target| target == file))
}

#[test]
fn commands_that_wait_for_the_lock_at_the_ledger_end_when_asked() {
    for asked in [Signal::TERM, Signal::INT] {
        for arguments in [&["check-config", "--connect"] as &[&str], &["demo", "--once", "--dir"]] {
            let world = files::world("", "");
            fs::create_dir(world.path("tree")).unwrap();
            let is_demo = arguments[0] == "demo";
            let state = if is_demo { world.path("demo/state") } else { world.path("state") };
            let place = world.path("demo").display().to_string();
            let command = if is_demo { [arguments, &[place.as_str()]].concat() } else { arguments.to_vec() };
            let make = || {
                fs::create_dir_all(&state).unwrap();
                let lock = fs::File::create(state.join("ledger.lock")).unwrap();
                flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
                lock
            };
            let before = (!is_demo).then(make);
            let mut running = begin(&world, &command);
            let _lock = before.unwrap_or_else(|| {
                // It begins in an empty directory.
                wait_for("the demo to begin", || world.path("demo/production").exists().then_some(()));
                make()
            });
            let file = state.join("ledger.lock").canonicalize().unwrap();
            wait_for("the wait for the lock", || has_open(running.0.id(), &file).then_some(()));
            let since = Instant::now();
            signal(running.0.id(), asked);
            wait_for("the end", || running.0.try_wait().unwrap());
            assert!(since.elapsed() < PROMPT, "{command:?} took {:?}", since.elapsed());
            let ran = ended(running);
            assert!(ran.status != 0 && ran.stderr.contains("ledger.lock"), "{command:?}: {ran:?}");
        }
    }
}
