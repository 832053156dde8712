//! What a drill restores into, in real sandboxes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::server;
use crate::domain::manifest::Manifest;
use crate::sandbox::contract::{self, Subject};
use crate::sandbox::local::tests::bench::bench;
use crate::sandbox::{Access, Place, ServerSpec, Text};

fn manifest() -> Manifest {
    serde_json::from_value(serde_json::json!({
        "format": 1, "id": "p", "source": "metrics", "engine": "influxdb", "kind": "full", "created_by": "0.1", "tool": "",
        "as_of": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z",
        "server": {"product": "InfluxDB", "version": "1.6.7", "series": "1.6"},
        "files": [], "inventory": {"tables": [], "objects": []},
    }))
    .unwrap()
}

/// The answer to a question, without the client of the engine, which wants to know more of the server first.
fn ask(access: &Access, question: &str) -> String {
    let mut server = UnixStream::connect(&access.socket).unwrap();
    write!(server, "POST /query?{question} HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    answer
}

fn is_marked(_: &ServerSpec, access: &Access) -> bool {
    let answer = ask(access, "u=marked&p=secret&q=SHOW+USERS");
    assert!(answer.starts_with("HTTP/1.0 "), "{answer}");
    answer.contains("[[\"marked\",true]]")
}

fn mark(_: &ServerSpec, access: &Access) {
    ask(access, "q=CREATE+USER+marked+WITH+PASSWORD+%27secret%27+WITH+ALL+PRIVILEGES");
}

#[test]
fn influxdb_in_a_local_sandbox_keeps_the_contract() {
    let spec = server::spec(&manifest(), None, 1 << 30);
    let (mut silent, mut broken) = (spec.clone(), spec.clone());
    let (name, _) = &spec.files[0];
    let elsewhere = "[http]\nunix-socket-enabled = false\nbind-address = \"127.0.0.1:";
    let elsewhere =
        Text::from(elsewhere).then(Place::Port(server::HTTP)).then("\"\n[meta]\ndir = \"").then(Place::Data);
    let elsewhere = elsewhere.then("/meta\"\n[data]\ndir = \"").then(Place::Data).then("/data\"\nwal-dir = \"");
    silent.files = vec![(name.clone(), elsewhere.then(Place::Data).then("/wal\"\n"))];
    broken.files = vec![(name.clone(), "no such option".into())];
    let subject = Subject { spec, silent, broken: (broken, "parse config"), mark, is_marked };
    contract::run(bench, &subject, "engine::influxdb::tests::influxdb_in_a_local_sandbox_keeps_the_contract");
}
