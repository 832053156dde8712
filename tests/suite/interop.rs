//! Restore without us: any restic program and the database's own client.

use std::process::{Command, Stdio};

use crate::support::{Product, Server, World, entries, fixture};

#[test]
fn the_restic_program_lists_checks_and_dumps_and_the_client_loads_it() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let world = World::new(&server, &["Chinook"], "");
    let backup = world.backup();

    let output = world.restic(&["check", "--read-data"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = world.restic(&["snapshots", "--json", "--tag", "backup-sla"]);
    let snapshots: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 1, "{snapshots:#}");
    let id = snapshots[0]["short_id"].as_str().unwrap();

    let output = world.restic(&["ls", id]);
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let dump = listing.lines().find(|line| line.ends_with("/dump.sql")).unwrap_or_else(|| panic!("{listing}"));
    let target = Server::start(Product::MariaDb);
    let mut restic = Command::new("/usr/bin/restic")
        .args(["--no-cache", "--repo"])
        .arg(world.path("repo"))
        .arg("--password-file")
        .arg(world.path("key"))
        .args(["dump", id, dump])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let loaded = target.client().stdin(restic.stdout.take().unwrap()).output().unwrap();
    assert!(restic.wait().unwrap().success());
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    let report = world.json(&["verify", "shop", "--against", &target.destination()], 0);
    assert_eq!(report["verdict"], "passed");

    // `restic restore` writes files of the true size.
    let out = world.path("out");
    let output = world.restic(&["restore", id, "--target", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = std::fs::metadata(format!("{}{dump}", out.display())).unwrap();
    assert!(file.len() > 400_000 && file.len() <= backup["logical_bytes"].as_u64().unwrap());
}

#[test]
fn a_small_change_stores_little() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE t (id INT PRIMARY KEY, a CHAR(64), b CHAR(64)); \
         INSERT INTO t SELECT seq, SHA2(seq, 256), SHA2(seq + 0.5, 256) FROM seq_1_to_600000",
    );
    let world = World::new(&server, &["d"], "");
    let first = world.backup()["stored_bytes"].as_u64().unwrap();
    server.sql("UPDATE d.t SET a = SHA2(a, 256) WHERE id BETWEEN 250000 AND 255999");
    let second = world.backup()["stored_bytes"].as_u64().unwrap();
    assert!(second * 100 <= first * 5, "a change of 1 % stored {second} after {first}");
    assert!(!entries(&world.path("repo/data")).is_empty());
}
