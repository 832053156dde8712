//! What the version before manifest format 2 wrote is read like our own: its repository, its ledger, its manifests.
//!
//! `fixtures/format-1.tar.gz` is the directory of a world in which that version (commit 89d092e) took a backup and made a drill of
//! a tree and of a small MariaDB database in January 2025, and a second backup of the tree. It was made once and never changes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Product, Server, World, fixture, wrong};

/// The world of then, with the sources of now.
fn world(tail: &str) -> World {
    let world = World { directory: tempfile::Builder::new().prefix("bsla-").tempdir().unwrap() };
    let output = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--file"])
        .arg(fixture("format-1.tar.gz"))
        .current_dir(world.directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    world.configure_source("ansible", "files", &format!("[source.ansible.files]\npaths = [\"tree\"]\n{tail}"));
    world
}

fn shop(socket: &Path, user: &str) -> String {
    format!(
        "[source.shop]\nkind = \"mysql\"\nrepository = \"local\"\nsla = \"standard\"\nschedule = {{ full = \"0 2 * * *\" }}\n\
         [source.shop.mysql]\nsocket = \"{}\"\nuser = \"{user}\"\ndatabases = [\"shop\"]\n",
        socket.display()
    )
}

fn lines(world: &World, arguments: &[&str]) -> Vec<Value> {
    let ran = world.run(arguments);
    assert_eq!(ran.status, 0, "{arguments:?}: {ran:?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_repository_and_a_ledger_of_the_version_before_open_list_drill_and_verify() {
    let world = world("");
    let listed = lines(&world, &["--json", "list", "ansible"]);
    assert_eq!(listed.len(), 2, "{listed:#?}");
    // The ledger still knows which one a drill passed on.
    let verified: Vec<bool> = listed.iter().map(|point| point["verified_at"].is_string()).collect();
    assert_eq!(verified.iter().filter(|verified| **verified).count(), 1, "{listed:#?}");
    assert!(listed.iter().all(|point| point["foreign"] == false && point["kind"] == "full"), "{listed:#?}");
    let month = ["report", "--month", "2025-01", "--format", "json", "ansible"];
    let report: Value = serde_json::from_str(&world.run(&month).stdout).unwrap();
    assert_eq!(report["evidence"]["is_whole"], true, "{report:#}");

    let manifest: Value = {
        let dump = world.restic(&["dump", "latest", "--path", "/ansible", "/ansible/manifest.json"]);
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        serde_json::from_slice(&dump.stdout).unwrap()
    };
    assert_eq!((&manifest["format"], &manifest["promise"]), (&1.into(), &Value::Null));
    for point in &listed {
        let id = point["id"].as_str().unwrap();
        let drill = world.json(&["drill", "ansible", "--recovery-point", id], 0);
        assert_eq!((&drill["verdict"], wrong(&drill)), (&"passed".into(), Vec::new()), "{drill:#}");
    }
    fs::create_dir(world.path("back")).unwrap();
    let back = world.path("back").display().to_string();
    world.json(&["restore", "ansible", "--to", &back], 0);
    let verified = world.json(&["verify", "ansible", "--against", &back], 0);
    assert_eq!(verified["verdict"], "passed", "{verified:#}");

    // What is backed up now stands beside it, and is of the new format.
    let backup = world.json(&["backup", "ansible"], 0);
    assert_eq!(lines(&world, &["--json", "list", "ansible"]).len(), 3, "{backup:#}");
    let dump = world.restic(&["dump", "latest", "--path", "/ansible", "/ansible/manifest.json"]);
    let manifest: Value = serde_json::from_slice(&dump.stdout).unwrap();
    assert_eq!((&manifest["format"], &manifest["promise"]), (&2.into(), &"exact".into()));
    assert_eq!(world.json(&["drill", "ansible"], 0)["verdict"], "passed");
    world.assert_no_sandbox_left();
}

#[test]
fn a_database_that_the_version_before_backed_up_drills_restores_and_verifies() {
    let server = Server::start(Product::MariaDb);
    let world = world(&shop(&server.socket, &server.user));
    let drill = world.json(&["drill", "shop"], 0);
    assert_eq!((&drill["verdict"], wrong(&drill)), (&"passed".into(), Vec::new()), "{drill:#}");
    // The running server is the one that has nothing yet.
    let restored = world.json(&["restore", "shop", "--to", &server.destination(), "--overwrite"], 0);
    assert_eq!(restored["verified"], true, "{restored:#}");
    assert_eq!(server.sql("SELECT COUNT(*), SUM(total) FROM shop.orders").trim(), "200\t25125.00");
    let verified = world.json(&["verify", "shop", "--against", &server.destination()], 0);
    assert_eq!(verified["verdict"], "passed", "{verified:#}");
    let backup = world.json(&["backup", "shop"], 0);
    assert_eq!(backup["rows"], 203, "{backup:#}");
    assert_eq!(lines(&world, &["--json", "list", "shop"]).len(), 2);
    world.assert_no_sandbox_left();
}
