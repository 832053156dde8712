//! Logs: their formats, and that no password is ever in them, in a command line or in the environment of a child.

use std::fs;
use std::process::Stdio;

use base64::prelude::{BASE64_STANDARD, Engine};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::influx_support::{Influx, day};
use crate::kills::big_server;
use crate::support::{Running, World, entries};

const KEY: &str = "repository-Zq81-key";
const PASSWORD: &str = "database-Vx92-password";

/// A world whose passwords are like nothing else.
fn world() -> (crate::support::Server, World) {
    let server = big_server();
    server.sql(&format!(
        "CREATE USER dba@localhost IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO dba@localhost WITH GRANT OPTION"
    ));
    let world = World::new(&server, &["d"], "");
    world.secret("key", KEY);
    configure(&world, "dba");
    (server, world)
}

fn configure(world: &World, user: &str) {
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("user = \"root\"", &format!("user = \"{user}\"\npassword_env = \"DATABASE_PASSWORD\""));
    fs::write(world.path("config.toml"), text).unwrap();
}

fn run(world: &World, arguments: &[&str], password: &str, filter: &str) -> (i32, String) {
    let mut command = world.command(arguments);
    command.env("DATABASE_PASSWORD", password).env("BACKUP_SLA_LOG", filter);
    let ran = crate::support::finish(command);
    (ran.status, ran.stdout + &ran.stderr)
}

fn assert_silent(text: &str, what: &str) {
    for secret in [KEY, PASSWORD] {
        assert!(!text.contains(secret), "{what} shows {secret}");
    }
}

#[test]
fn no_password_is_in_any_output_however_much_is_logged() {
    let (server, world) = world();
    for format in ["human", "json"] {
        let with = |arguments: &[&'static str]| [&["--log.format", format], arguments].concat();
        for (arguments, password, status) in [
            (with(&["check-config", "--connect"]), PASSWORD, 0),
            (with(&["backup"]), PASSWORD, 0),
            (with(&["drill"]), PASSWORD, 0),
            (with(&["status"]), PASSWORD, 0),
            (with(&["metrics"]), PASSWORD, 0),
            (with(&["--json", "list"]), PASSWORD, 0),
            (with(&["backup"]), "database-Vx92-password-wrong", 1),
        ] {
            let (code, text) = run(&world, &arguments, password, "trace");
            assert_eq!(code, status, "{arguments:?}: {text:.2000}");
            assert_silent(&text, &format!("{arguments:?}"));
        }
    }
    drop(server);
    let (code, text) = run(&world, &["backup"], PASSWORD, "trace");
    assert_eq!(code, 1);
    assert_silent(&text, "a backup of a server that is gone");
    world.secret("key", "repository-Zq81-key-wrong");
    let (code, text) = run(&world, &["--log.format=json", "list"], PASSWORD, "trace");
    assert_eq!(code, 1);
    assert_silent(&text, "a wrong key");
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("rpo =", &format!("password = \"{KEY}\"\nrpo ="))).unwrap();
    for format in ["--log.format=json", "--log.format=human"] {
        let (code, text) = run(&world, &[format, "check-config"], PASSWORD, "trace");
        assert_eq!(code, 2, "{text}");
        assert_silent(&text, "a configuration with a password in it");
    }
}

/// What `serve` says until it has said `last`, then to its end.
fn serve(world: &World, format: &str, last: &str) -> String {
    let mut command = world.command(&["--log.format", format, "--log.level=debug", "serve"]);
    command.args(["--web.listen-address", "127.0.0.1:0"]).env("DATABASE_PASSWORD", PASSWORD);
    let mut service = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut text = String::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(service.0.stderr.take().unwrap())) {
        text += &(line.unwrap() + "\n");
        if text.contains(last) {
            let _ = kill_process(Pid::from_child(&service.0), Signal::TERM);
        }
    }
    let _ = service.0.wait();
    assert!(text.contains(last), "{text}");
    text
}

#[test]
fn the_service_logs_no_password_whether_it_succeeds_or_not() {
    let (server, world) = world();
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("full = \"0 2 * * *\"", "full = \"@every 1s\"")).unwrap();
    assert_silent(&serve(&world, "human", "full backup succeeded"), "a service");
    server.sql("DROP USER dba@localhost");
    fs::remove_dir_all(world.path("state")).unwrap();
    assert_silent(&serve(&world, "json", "full backup failed"), "a service that is refused");
}

#[test]
fn no_password_of_influxdb_is_in_any_output() {
    const USER: &str = "influx-Kw47-password";
    let server = Influx::start_with("auth-enabled = true\n");
    server.query("", &format!("CREATE USER admin WITH PASSWORD '{USER}' WITH ALL PRIVILEGES"));
    let server = server.with_credentials("admin", USER);
    server.query("", "CREATE DATABASE telegraf");
    server.telegraf(day(1), 20);
    let world = crate::influx_support::world(&server, "user = \"admin\"\npassword_file = \"pw\"\n", "");
    world.secret("key", KEY);
    for (password, status) in [(USER, 0), ("influx-Kw47-password-wrong", 1)] {
        world.secret("pw", password);
        for arguments in [["check-config", "--connect"], ["--log.format=json", "backup"]] {
            let (code, text) = run(&world, &arguments, PASSWORD, "trace");
            assert_eq!(code, status, "{arguments:?}: {text:.2000}");
            assert_silent(&text, &format!("{arguments:?}"));
            assert!(!text.contains(USER), "{arguments:?} shows the password");
            assert!(
                !text.contains(&BASE64_STANDARD.encode(format!("admin:{password}"))),
                "{arguments:?} shows the header"
            );
        }
    }
}

#[test]
fn what_ends_a_command_is_a_json_line_too_where_logs_are() {
    let mut command = std::process::Command::new(crate::support::PROGRAM);
    command.args(["--config", "/nonexistent.toml", "--log.format=json", "serve"]);
    let ran = crate::support::finish(command);
    assert_eq!(ran.status, 2);
    let event: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(event["level"], "ERROR");
    assert!(event["message"].as_str().unwrap().starts_with("cannot read configuration /nonexistent.toml"), "{event}");
    assert!(event["hint"].as_str().unwrap().contains("--config"), "{event}");
}

#[test]
fn no_password_is_in_the_command_line_or_environment_of_a_child() {
    let (_server, world) = world();
    for arguments in [["backup"], ["drill"]] {
        let mut command = world.command(&arguments);
        command.env("DATABASE_PASSWORD", PASSWORD).env("NOTIFY_SOCKET", "/nonexistent");
        let mut run = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let mut seen = 0;
        while run.0.try_wait().unwrap().is_none() {
            // Only its own children, so that none of them is gone before its turn comes.
            let children: String = entries(format!("/proc/{}/task", run.0.id()).as_ref())
                .iter()
                .map(|task| fs::read_to_string(task.join("children")).unwrap_or_default())
                .collect();
            for child in children.split_whitespace() {
                let read = |name: &str| fs::read(format!("/proc/{child}/{name}")).unwrap_or_default();
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let line = text(read("cmdline"));
                // Between fork and exec a child still is us.
                if !line.is_empty() && !line.contains("backup-sla") {
                    let environment = text(read("environ"));
                    seen += usize::from(!environment.is_empty());
                    assert_silent(&(line.clone() + &environment), &line);
                    assert!(!environment.contains("NOTIFY_SOCKET"), "{line}: {environment}");
                }
            }
        }
        assert!(run.0.wait().unwrap().success());
        assert!(seen > 0, "no child of {arguments:?} was seen");
    }
}

#[test]
fn json_logs_are_one_object_a_line_with_time_level_message_and_hint() {
    let (_server, world) = world();
    let mut command = world.command(&["--log.format", "json", "--log.level", "info", "serve"]);
    command.env("DATABASE_PASSWORD", PASSWORD).args(["--web.listen-address", "127.0.0.1:0"]);
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let broken = text.replace("full = \"0 2 * * *\"", "full = \"@every 1h\"");
    fs::write(world.path("config.toml"), broken).unwrap();
    let mut service = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let lines = std::io::BufRead::lines(std::io::BufReader::new(service.0.stderr.take().unwrap()));
    let mut messages = Vec::new();
    for line in lines {
        let line = line.unwrap();
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let time = event["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.parse::<chrono::DateTime<chrono::Utc>>().is_ok(), "{line}");
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
        messages.push(event["message"].as_str().unwrap().to_owned());
        if messages.iter().any(|message| message == "full backup succeeded") {
            assert_eq!(event["source"], "shop");
            break;
        }
    }
    assert!(messages.iter().any(|message| message == "full backup begins"), "{messages:?}");
}
