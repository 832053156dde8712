//! `serve`: the service as its users see it. Sources are of kind files, which are the quickest.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

pub use crate::serving::Service;
use crate::support::{Product, Running, Server, World, fixture, wait_for};

pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A world with one source, `tree`, of kind files, and this schedule.
pub fn world(schedule: &str) -> World {
    let directory = tempfile::Builder::new().prefix("bsla-").tempdir().unwrap();
    let world = World { directory };
    world.secret("key", "correct horse");
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/a"), "one").unwrap();
    configure(&world, schedule, "");
    world
}

fn configure(world: &World, schedule: &str, more: &str) {
    world.configure_source("tree", "files", &format!("[source.tree.files]\npaths = [\"tree\"]\n{more}"));
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("schedule = { full = \"0 2 * * *\" }", &format!("schedule = {schedule}"));
    // Written beside and renamed, as editors do.
    fs::write(world.path("config.new"), text).unwrap();
    fs::rename(world.path("config.new"), world.path("config.toml")).unwrap();
}

/// A file that takes a long time to back up and no space: holes are read as zeros, and the last byte is data.
fn make_slow(tree: &Path) {
    let file = fs::File::create(tree.join("slow")).unwrap();
    file.write_at(b"x", 200 << 30).unwrap();
}

const NEVER: &str = "{ full = \"0 0 29 2 *\" }";

#[test]
fn the_service_shows_what_other_processes_did_and_ends_on_sigterm() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let world = World::new(&server, &["Chinook"], "");
    let service = Service::start(&world);
    assert_eq!(service.value("drill_last_success_timestamp_seconds{source=\"shop\"}"), 0.0);
    assert!(service.get("/-/healthy").starts_with("HTTP/1.1 200"));
    assert!(service.get("/-/ready").starts_with("HTTP/1.1 200"));
    // The service's own first backup.
    service.wait("recovery_points{source=\"shop\",kind=\"full\"}", |value| value == 1.0);
    world.backup();
    world.json(&["drill"], 0);
    service.wait("drill_last_outcome{source=\"shop\",outcome=\"passed\"}", |value| value == 1.0);
    service.stop();
}

#[test]
fn work_begins_by_itself_and_again_and_again() {
    let world = world("{ full = \"@every 1s\", drill = \"@every 2s\" }");
    let service = Service::start(&world);
    service.wait("backups_total{source=\"tree\",kind=\"full\"}", |value| value >= 3.0);
    service.wait("drills_total{source=\"tree\"}", |value| value >= 2.0);
    service.wait("drill_last_outcome{source=\"tree\",outcome=\"passed\"}", |value| value == 1.0);
    assert!(service.value("backup_next_run_timestamp_seconds{source=\"tree\",kind=\"full\"}") > 0.0);
    assert!(service.value("scheduler_last_tick_timestamp_seconds") > 0.0);
    assert_eq!(service.value("backup_failures_total{source=\"tree\",kind=\"full\"}"), 0.0);
    let points = service.value("recovery_points{source=\"tree\",kind=\"full\"}");
    service.stop();
    assert!(world.listed() as f64 >= points, "what was shown is in the repository");
    world.assert_no_sandbox_left();
}

#[test]
fn a_second_service_on_one_state_directory_is_refused() {
    let world = world(NEVER);
    let service = Service::start(&world);
    let second = world.run(&["serve", "--web.listen-address", "127.0.0.1:0"]);
    assert_eq!(second.status, 1, "{second:?}");
    assert!(second.stderr.contains("is in use by another service") && second.stderr.contains("hint:"), "{second:?}");
    service.stop();
    Service::start(&world).stop();
}

#[test]
fn a_changed_configuration_is_followed_and_a_bad_one_changes_nothing() {
    let world = world(NEVER);
    let service = Service::start(&world);
    assert_eq!(service.value("config_last_reload_success"), 1.0);
    let good = fs::read_to_string(world.path("config.toml")).unwrap();

    fs::write(world.path("config.toml"), good.replace("rpo = ", "rpoo = ")).unwrap();
    service.wait("config_last_reload_success", |value| value == 0.0);
    assert_eq!(service.value("rpo_objective_seconds{source=\"tree\"}"), 86_400.0);
    assert!(service.said().contains("did you mean `rpo`"), "{}", service.said());

    fs::write(world.path("config.toml"), good.replace("state_dir = \"state\"", "state_dir = \"elsewhere\"")).unwrap();
    service.signal(Signal::HUP);
    wait_for("the refusal", || service.said().contains("restart the service").then_some(()));
    assert_eq!(service.value("config_last_reload_success"), 0.0);

    fs::write(world.path("config.toml"), good.replace("rpo = \"24h\"", "rpo = \"12h\"")).unwrap();
    service.signal(Signal::HUP);
    service.wait("rpo_objective_seconds{source=\"tree\"}", |value| value == 43_200.0);
    service.wait("config_last_reload_success", |value| value == 1.0);

    configure(&world, "{ full = \"@every 1s\" }", "");
    service.wait("backups_total{source=\"tree\",kind=\"full\"}", |value| value >= 2.0);
    service.stop();
}

#[test]
fn a_source_that_is_added_with_its_recovery_points_is_looked_at_at_once_and_one_that_goes_is_retired() {
    let world = world(NEVER);
    let text = |state: &str, with_second: bool| {
        let text = fs::read_to_string(world.path("config.toml")).unwrap();
        let (before, tree) = text.split_once("[source.tree]").unwrap();
        let second = format!("[source.second]{}", tree.replace("source.tree", "source.second"));
        let before = before.replace("state_dir = \"state\"", &format!("state_dir = \"{state}\""));
        format!("{before}[source.tree]{tree}\n{}", if with_second { &second } else { "" })
    };
    let (elsewhere, without, with) = (text("elsewhere", true), text("state", false), text("state", true));
    fs::write(world.path("config.toml"), elsewhere).unwrap();
    world.json(&["backup", "second"], 0);
    fs::write(world.path("config.toml"), &without).unwrap();
    let service = Service::start(&world);
    assert!(!service.get("/metrics").contains("source=\"second\""));
    fs::write(world.path("config.toml"), with).unwrap();
    service.signal(Signal::HUP);
    // Long before the next look that comes by itself.
    service.wait("recovery_points{source=\"second\",kind=\"full\"}", |value| value == 1.0);
    let created = service.value("source_created_timestamp_seconds{source=\"second\"}");
    assert!(created < service.value("ledger_created_timestamp_seconds"), "it is as old as its data");
    assert_eq!(service.value("missed_runs_total{source=\"second\",operation=\"backup\"}"), 0.0);
    fs::write(world.path("config.toml"), without).unwrap();
    service.signal(Signal::HUP);
    service.wait("source_retired{source=\"second\"}", |value| value == 1.0);
    service.stop();
    let report = world.json(&["report", "--month", &chrono::Utc::now().format("%Y-%m").to_string()], 0);
    let second = &report["sources"][0];
    assert_eq!((&second["source"], &second["is_configured"]), (&"second".into(), &false.into()), "{report:#}");
    let until = |source: &serde_json::Value| source["until"].as_str().unwrap().to_owned();
    assert!(until(second) < until(&report["sources"][1]), "judged until it went: {report:#}");
}

#[test]
fn a_backup_that_takes_too_long_has_failed_and_is_tried_again() {
    let world = world("{ full = \"@every 1h\", backup_timeout = \"3s\" }");
    make_slow(&world.path("tree"));
    let service = Service::start(&world);
    service.wait("operation_start_timestamp_seconds{source=\"tree\",operation=\"backup\"}", |value| value > 0.0);
    service.wait("backup_failures_total{source=\"tree\",kind=\"full\"}", |value| value == 1.0);
    let begun = service.value("backup_last_start_timestamp_seconds{source=\"tree\",kind=\"full\"}");
    // The failure is counted before the scheduler plans the second attempt: a minute after the first has ended, which a
    // busy machine may put off, and long before the next time of the schedule.
    service.wait("backup_next_run_timestamp_seconds{source=\"tree\",kind=\"full\"}", |next| {
        (60.0..600.0).contains(&(next - begun))
    });
    assert!(service.said().contains("it took longer than 3s"), "{}", service.said());
    service.stop();
    assert_eq!(world.status()["last_backup"]["outcome"], "failed");
}

#[test]
fn a_running_operation_can_be_cancelled_and_the_service_goes_on() {
    let world = world("{ full = \"@every 1h\" }");
    make_slow(&world.path("tree"));
    let service = Service::start(&world);
    service.wait("operation_start_timestamp_seconds{source=\"tree\",operation=\"backup\"}", |value| value > 0.0);
    wait_for("the run in the ledger", || (world.run(&["cancel", "tree", "--drill"]).status == 1).then_some(()));
    let cancelled = wait_for("a run to cancel", || {
        let ran = world.run(&["--json", "cancel", "tree"]);
        (ran.status == 0).then_some(ran.stdout)
    });
    assert!(cancelled.contains("\"operation\":\"backup\"") && cancelled.contains("interrupted"), "{cancelled}");
    service.wait("backup_failures_total{source=\"tree\",kind=\"full\"}", |value| value == 1.0);
    service.wait("operation_start_timestamp_seconds{source=\"tree\",operation=\"backup\"}", |value| value == 0.0);
    let nothing = world.run(&["cancel", "tree"]);
    assert!(nothing.status == 1 && nothing.stderr.contains("nothing runs"), "{nothing:?}");
    service.stop();

    let mut by_hand = Running(world.command(&["backup"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_for("it to be cancelled", || (world.run(&["cancel", "tree", "--backup"]).status == 0).then_some(()));
    assert_eq!(by_hand.0.wait().unwrap().code(), Some(1));
    assert_eq!(world.listed_or_none(), 0);
}

#[test]
fn an_old_request_to_cancel_means_no_later_run_and_a_source_may_move_to_another_repository() {
    let world = world("{ full = \"@every 1s\" }");
    let service = Service::start(&world);
    service.wait("backups_total{source=\"tree\",kind=\"full\"}", |value| value >= 1.0);
    for _ in 0..3 {
        let begun = service.value("backups_total{source=\"tree\",kind=\"full\"}");
        fs::write(world.path("state/locks/tree.backup.cancel"), "old").unwrap();
        service.wait("backups_total{source=\"tree\",kind=\"full\"}", |value| value > begun + 1.0);
    }
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let other = "[repository.other]\nkind = \"restic\"\nurl = \"elsewhere\"\npassword_file = \"key\"\n";
    let text = text.replace("[sla.standard]", &format!("{other}[sla.standard]"));
    fs::write(world.path("config.toml"), text.replace("repository = \"local\"", "repository = \"other\"")).unwrap();
    service.signal(Signal::HUP);
    service.wait(
        "source_info{source=\"tree\",kind=\"files\",engine=\"files\",repository=\"other\",sla=\"standard\"}",
        |value| value == 1.0,
    );
    service.wait("repository_up{repository=\"other\"}", |value| value == 1.0);
    service.wait("recovery_points{source=\"tree\",kind=\"full\"}", |value| value >= 1.0);
    service.stop();
    assert!(world.path("elsewhere/snapshots").is_dir());
}

#[test]
fn a_pipe_in_the_repository_keeps_the_service_from_neither_starting_nor_ending() {
    let world = world(NEVER);
    world.json(&["backup"], 0);
    fs::remove_file(world.path("repo/config")).unwrap();
    // Whoever opens it waits for a writer that never comes.
    let made = std::process::Command::new("mkfifo").arg(world.path("repo/config")).status().unwrap();
    assert!(made.success());
    let service = Service::start(&world);
    wait_for("the refusal", || service.said().contains("is a named pipe and not a file").then_some(()));
    service.stop();
}

#[test]
fn sigterm_lets_what_runs_end_for_a_while_and_then_cancels_it() {
    let world = world(NEVER);
    world.json(&["backup"], 0);
    configure(&world, "{ full = \"@every 1s\" }", "[scheduler]\ndrain = \"500ms\"\n");
    make_slow(&world.path("tree"));
    let service = Service::start(&world);
    service.wait("operation_start_timestamp_seconds{source=\"tree\",operation=\"backup\"}", |value| value > 0.0);
    service.stop();
    configure(&world, NEVER, "");
    let service = Service::start(&world);
    assert_eq!(service.value("backup_failures_total{source=\"tree\",kind=\"full\"}"), 1.0);
    assert_eq!(service.value("recovery_points{source=\"tree\",kind=\"full\"}"), 1.0);
    service.stop();
}

#[test]
fn a_killed_service_goes_on_where_it_was() {
    let world = world("{ full = \"@every 1s\", drill = \"@every 1s\" }");
    let (mut backups, mut drills) = (0.0, 0.0);
    for _ in 0..5 {
        let service = Service::start(&world);
        let counted = [
            ("backups_total{source=\"tree\",kind=\"full\"}", &mut backups),
            ("drills_total{source=\"tree\"}", &mut drills),
        ];
        for (counter, before) in counted {
            let now = service.value(counter);
            assert!(now >= *before, "{counter} went back: {before} {now}");
            service.wait(counter, |value| value > now);
            *before = service.value(counter);
        }
        service.kill();
    }
    let service = Service::start(&world);
    service.wait("drill_last_outcome{source=\"tree\",outcome=\"passed\"}", |value| value == 1.0);
    service.stop();
    world.assert_no_sandbox_left();
}
