//! `serve`: metrics over HTTP, and a good end on SIGTERM.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Product, Running, Server, World, fixture, wait_for};

pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_service_shows_what_other_processes_did_and_ends_on_sigterm() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let world = World::new(&server, &["Chinook"], "");
    let service = world
        .command(&["serve", "--web.listen-address", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut service = Running(service);
    let mut line = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("listening on http://").trim_end_matches("/metrics").to_owned();
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("backup_sla_drill_last_success_timestamp_seconds{source=\"shop\"} 0"), "{metrics}");
    assert!(get(&address, "/-/healthy").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/-/ready").starts_with("HTTP/1.1 200"));
    world.backup();
    world.json(&["drill"], 0);
    wait_for("the drill in the metrics", || {
        get(&address, "/metrics")
            .contains("backup_sla_drill_last_outcome{source=\"shop\",outcome=\"passed\"} 1")
            .then_some(())
    });
    let _ = kill_process(Pid::from_raw(i32::try_from(service.0.id()).unwrap()).unwrap(), Signal::TERM);
    assert!(service.0.wait().unwrap().success());
}
