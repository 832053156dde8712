//! Bad input and full disks: one paragraph, a hint, the right exit status, nothing half-written listed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{ALONE, Product, Server, World, fixture};

#[track_caller]
fn fails(world: &World, arguments: &[&str], status: i32, parts: &[&str]) {
    let ran = world.run(arguments);
    assert_eq!(ran.status, status, "{arguments:?}: {ran:?}");
    for part in parts {
        assert!(ran.stderr.contains(part), "{arguments:?}: `{part}` in {}", ran.stderr);
    }
    assert!(ran.stderr.lines().count() <= 8, "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn wrong_configuration_is_explained_with_its_place() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE d");
    let world = World::new(&server, &[], "");
    let good = fs::read_to_string(world.path("config.toml")).unwrap();
    let change = |from: &str, to: &str| fs::write(world.path("config.toml"), good.replace(from, to)).unwrap();

    change("rpo = \"24h\"", "rpo = \"24h\"\nrpoo = \"24h\"");
    fails(&world, &["check-config"], 2, &["config.toml:8:", "rpoo", "rpo"]);
    change("rto = \"5h\"", "rto = \"five\"");
    fails(&world, &["check-config"], 2, &["config.toml:8:", "rto"]);
    change("password_file = \"key\"", "password_file = \"nokey\"");
    fails(&world, &["backup"], 2, &["nokey", "does not exist"]);
    change("", "");
    fs::set_permissions(world.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    fails(&world, &["backup"], 2, &["chmod 600"]);
    fs::set_permissions(world.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    fails(&world, &["backup", "shopp"], 2, &["unknown source shopp", "shop"]);
    fails(&world, &["backup", "--incremental", "--full"], 2, &["cannot be used with"]);
    fails(&world, &["bakup"], 2, &["backup"]);
    change("kind = \"mysql\"", "kind = \"influxdb\"");
    fails(&world, &["check-config"], 2, &[]);
    change("full = \"0 2 * * *\"", "full = \"0 2 * * *\", incremental = { interval = \"1ms\" }");
    fails(&world, &["check-config"], 2, &["`interval` must be between"]);
    change("full = \"0 2 * * *\"", "full = \"0 2 * * *\", incremental = \"continuously\"");
    fails(&world, &["check-config"], 2, &["incremental", "continuously"]);
    fs::write(world.path("config.toml"), &good).unwrap();
    assert_eq!(world.run(&["check-config", "--connect"]).status, 0);
}

#[test]
fn unreachable_servers_and_missing_databases_are_named() {
    let server = Server::start(Product::MariaDb);
    let world = World::new(&server, &["nothing"], "");
    fails(&world, &["backup"], 1, &["no database nothing", "hint: "]);
    fails(&world, &["drill"], 3, &[]);
    let place = server.socket.display().to_string();
    drop(server);
    fails(&world, &["backup"], 1, &["connect to server", &place, "hint: "]);
    fails(&world, &["restore", "shop", "--to", "unix:/nowhere"], 1, &["lists none", "hint: "]);
}

/// A small file system that is unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs"])
            .arg(at)
            .status();
        assert!(mounted.unwrap().success(), "this test needs to mount a tmpfs: run it as root");
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_in_the_repository_publishes_nothing_and_the_next_run_works() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE d; USE d; CREATE TABLE d.t AS SELECT seq, SHA2(seq, 512) a, SHA2(seq + 0.5, 512) b FROM seq_1_to_100000");
    let world = World::new(&server, &["d"], "");
    {
        let _disk = SmallDisk::mount(&world.path("repo"), "6m");
        fails(&world, &["backup"], 1, &["hint: "]);
        assert_eq!(world.listed(), 0);
        server.sql("DELETE FROM d.t WHERE seq > 500");
        world.backup();
        assert_eq!(world.listed(), 1);
    }
}

#[test]
fn a_full_disk_in_the_sandbox_is_inconclusive() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE d; USE d; CREATE TABLE d.t AS SELECT seq, SHA2(seq, 512) a, SHA2(seq + 0.5, 512) b FROM seq_1_to_900000");
    let world = World::new(&server, &["d"], "");
    world.backup();
    // The state directory, and with it the sandbox, on a disk that takes the empty server but not the data.
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("state_dir = \"state\"", "state_dir = \"small/state\"")).unwrap();
    fs::set_permissions(world.directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let _disk = SmallDisk::mount(&world.path("small"), "330m");
    fs::create_dir(world.path("small/state")).unwrap();
    fs::set_permissions(world.path("small/state"), fs::Permissions::from_mode(0o711)).unwrap();
    let report = world.json(&["drill"], 4);
    assert_eq!(report["verdict"], "inconclusive", "{report:#}");
    let said = report["hint"].as_str().unwrap_or_default();
    assert!(said.contains("full"), "{report:#}");
}

#[test]
fn a_server_of_another_series_makes_a_drill_inconclusive() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let world = World::new(&server, &["Chinook"], "");
    world.backup();
    let fake = world.path("programs");
    fs::create_dir(&fake).unwrap();
    fs::write(fake.join("mariadbd"), "#!/bin/sh\necho 'mariadbd  Ver 11.4.2-MariaDB for Linux'\n").unwrap();
    fs::set_permissions(fake.join("mariadbd"), fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("memory =", "programs = \"programs\"\nmemory =")).unwrap();
    let report = world.json(&["drill"], 4);
    assert_eq!(report["verdict"], "inconclusive");
    assert!(report["reason"].as_str().unwrap().contains("cannot find a MariaDB 10.11 server"), "{report:#}");
}
