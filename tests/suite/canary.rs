//! Canaries at real servers: a row that is written before each backup comes back in every drill, or the drill says so.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::serving::Service;
use crate::support::{Product, Server, World, wait_for, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];
const ROW: &str = "SELECT written, value FROM backup_sla_canary.canary WHERE owner LIKE 'shop@%'";

/// A world whose source, of which only the database `shop` is asked for, has canaries.
fn world(server: &Server) -> World {
    let world = World::new(server, &["shop"], "");
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("[source.shop.mysql]\n", "[source.shop.mysql]\ncanary = true\n");
    fs::write(world.path("config.toml"), text).unwrap();
    world
}

fn shop(server: &Server) {
    server
        .sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT, b CHAR(100)) ENGINE=InnoDB");
}

/// What the server has, as a check says it.
fn written(server: &Server) -> String {
    server.sql(ROW).trim().replace('\t', " ")
}

fn backup(world: &World, kind: &str) {
    let made = world.json(&["backup", "shop", &format!("--{kind}")], 0);
    let warnings = made["warnings"].to_string();
    assert!(!warnings.contains("canary"), "{kind}: {warnings}");
}

fn drill(world: &World, more: &[&str]) -> Value {
    let drill = world.json(&[&["drill", "shop"][..], more].concat(), 0);
    assert_eq!(drill["verdict"], "passed", "{more:?} {:?} {}", wrong(&drill), drill["reason"]);
    drill
}

/// What the check of a drill says.
fn canary(drill: &Value) -> &Value {
    let checks = drill["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "canary").unwrap_or(&Value::Null)
}

#[test]
fn the_canary_of_each_backup_comes_back_exactly_whatever_the_log_is_like() {
    let logs: [(Product, &[&str]); 5] = [
        (Product::MariaDb, &[]),
        (Product::MariaDb, &["--binlog-format=ROW", "--binlog-row-image=MINIMAL", "--log-bin-compress=1"]),
        (Product::MariaDb, &["--binlog-format=STATEMENT"]),
        (Product::MySql, &[]),
        (Product::MySql, &["--binlog-row-image=MINIMAL", "--binlog-transaction-compression=ON"]),
    ];
    for (product, options) in logs {
        let server = Server::start_with(product, options);
        shop(&server);
        let world = world(&server);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    server.sql("INSERT INTO shop.t (b) VALUES ('x'), ('y'); DELETE FROM shop.t WHERE b = 'x' LIMIT 1");
                }
            });
            backup(&world, "full");
            let first = written(&server);
            let of_full = drill(&world, &[]);
            assert_eq!(canary(&of_full)["expected"], first.as_str(), "{product:?} {options:?}");
            backup(&world, "incremental");
            let second = written(&server);
            // MariaDB's log knows times to the second.
            server.sql("SELECT SLEEP(1.1)");
            backup(&world, "incremental");
            is_over.store(true, Ordering::SeqCst);
            let third = written(&server);
            assert!(first < second && second < third, "{first} {second} {third}");
            let of_chain = drill(&world, &[]);
            assert_eq!(canary(&of_chain)["expected"], third.as_str(), "{product:?} {options:?}");
            assert_eq!(
                (canary(&of_chain)["ok"].as_bool(), &canary(&of_chain)["actual"]),
                (Some(true), &third.as_str().into())
            );
            assert!(of_chain["proven"].to_string().contains("canary (1)"), "{}", of_chain["proven"]);
            // A moment between two of them has the one before.
            let time = third.split(' ').next().unwrap();
            let before = format!("{}.000Z", time.split('.').next().unwrap());
            let before = chrono::DateTime::parse_from_rfc3339(&before).unwrap() - chrono::TimeDelta::milliseconds(1);
            let between = drill(&world, &["--at", &before.to_rfc3339()]);
            assert_eq!(canary(&between)["expected"], second.as_str(), "{product:?} {options:?}");
            let metrics = world.run(&["metrics"]).stdout;
            let metric = metrics
                .lines()
                .find_map(|line| line.strip_prefix("backup_sla_canary_timestamp_seconds{source=\"shop\"} "));
            let at = chrono::DateTime::parse_from_rfc3339(time).unwrap();
            let off = metric.unwrap().parse::<f64>().unwrap() - at.timestamp_micros() as f64 / 1e6;
            assert!(off.abs() < 1e-3, "{metric:?} {time}");
            assert_eq!(world.status()["measured"]["canary_time"], time);
        });
        backup(&world, "full");
        backup(&world, "incremental");
        assert!(!canary(&drill(&world, &["--closed-chain"])).is_null());
        assert_eq!(server.sql("SELECT COUNT(*) FROM backup_sla_canary.canary").trim(), "1");
        world.assert_no_sandbox_left();
    }
}

#[test]
fn another_canary_or_none_fails_the_verification() {
    for product in BOTH {
        let server = Server::start(product);
        shop(&server);
        let world = world(&server);
        backup(&world, "full");
        let there = Server::start(product);
        let to = there.destination();
        world.json(&["restore", "shop", "--to", &to], 0);
        assert!(!canary(&world.json(&["verify", "shop", "--against", &to], 0)).is_null());
        for change in ["UPDATE backup_sla_canary.canary SET value = 'x'", "DELETE FROM backup_sla_canary.canary"] {
            there.sql(change);
            let verified = world.json(&["verify", "shop", "--against", &to], 3);
            assert!(wrong(&verified).contains(&"canary".to_owned()), "{product:?} {change}: {:?}", wrong(&verified));
        }
    }
}

#[test]
fn a_canary_that_cannot_be_written_fails_no_backup_and_is_named_with_what_mends_it() {
    for product in BOTH {
        let server = Server::start(product);
        shop(&server);
        server.sql(
            "CREATE USER backup@localhost; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, REPLICATION CLIENT, REPLICATION SLAVE, RELOAD ON *.* \
             TO backup@localhost",
        );
        let world = world(&server);
        let text = fs::read_to_string(world.path("config.toml")).unwrap();
        fs::write(world.path("config.toml"), text.replace("user = \"root\"", "user = \"backup\"")).unwrap();
        let looked = world.run(&["check-config", "--connect"]);
        let grant = "GRANT CREATE, INSERT, DELETE ON backup_sla_canary.* TO 'backup'@'localhost'";
        assert!(looked.status == 0 && looked.stdout.contains(grant), "{looked:?}");
        let said = |kind: &str| {
            let made = world.json(&["backup", "shop", kind], 0);
            made["warnings"].to_string()
        };
        assert!(said("--full").contains("cannot write the canary"), "{product:?}");
        let metric = "backup_sla_canary_timestamp_seconds{source=\"shop\"} 0";
        assert!(world.run(&["metrics"]).stdout.contains(metric));
        server.sql(grant);
        assert!(!said("--incremental").contains("canary"), "{product:?}");
        // The chain began without it.
        let first = drill(&world, &[]);
        assert!(canary(&first).is_null() && first["not_proven"].to_string().contains("canary not proved"), "{first:#}");
        assert!(!said("--full").contains("canary"), "{product:?}");
        assert_eq!(canary(&drill(&world, &[]))["ok"], true);
        server.sql("SET GLOBAL read_only = 1");
        let before = written(&server);
        assert!(said("--incremental").contains("read-only"), "{product:?}");
        assert_eq!(written(&server), before);
        assert!(world.run(&["check-config", "--connect"]).stdout.contains("canary: the server is read-only"));
        server.sql("SET GLOBAL read_only = 0");
        // Somebody else's work there makes it unknown, and the next one is known again.
        said("--incremental");
        server.sql("DELETE FROM backup_sla_canary.canary; INSERT INTO shop.t VALUES ()");
        server.sql("REVOKE INSERT ON backup_sla_canary.* FROM backup@localhost");
        assert!(said("--incremental").contains("GRANT CREATE, INSERT, DELETE"), "{product:?}");
        assert!(canary(&drill(&world, &[])).is_null());
        server.sql(grant);
        assert!(!said("--incremental").contains("canary"), "{product:?}");
        assert_eq!(canary(&drill(&world, &[]))["expected"], written(&server).as_str());
    }
}

#[test]
fn two_hosts_at_one_server_have_a_canary_each() {
    for product in BOTH {
        let server = Server::start(product);
        shop(&server);
        let worlds = [world(&server), world(&server)];
        fs::write(worlds[1].path("state/host-id"), "0f").unwrap();
        for kind in ["full", "incremental"] {
            for world in &worlds {
                backup(world, kind);
            }
        }
        assert_eq!(server.sql("SELECT COUNT(*) FROM backup_sla_canary.canary").trim(), "2", "{product:?}");
        let seen: Vec<Value> = worlds.iter().map(|world| canary(&drill(world, &[]))["expected"].clone()).collect();
        assert!(seen.iter().all(Value::is_string) && seen[0] != seen[1], "{seen:?}");
    }
}

#[test]
fn a_server_that_is_followed_gets_no_increment_because_of_its_canary_alone() {
    for product in BOTH {
        let server = Server::start(product);
        shop(&server);
        let world = world(&server);
        let text = fs::read_to_string(world.path("config.toml")).unwrap();
        let text = text.replace(
            "schedule = { full = \"0 2 * * *\" }",
            "schedule = { full = \"0 0 29 2 *\", incremental = { interval = \"1s\" } }",
        );
        fs::write(world.path("config.toml"), text.replace("rpo = \"24h\"", "rpo = \"1m\"")).unwrap();
        let service = Service::start(&world);
        let points = || {
            let ran = world.run(&["--json", "list", "shop"]);
            let all: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            all
        };
        wait_for("an increment", || points().iter().any(|point| point["kind"] == "incremental").then_some(()));
        let (before, canary) = (points(), written(&server));
        wait_for("another canary", || (written(&server) != canary).then_some(()));
        let newest = before.last().unwrap()["time"].clone();
        wait_for("time to move on", || (points().last().unwrap()["time"] != newest).then_some(()));
        assert_eq!(points().len(), before.len() + 1, "{product:?}: as many as without a canary");
        let at = chrono::DateTime::parse_from_rfc3339(written(&server).split(' ').next().unwrap()).unwrap();
        service.wait("canary_timestamp_seconds{source=\"shop\"}", |value| value >= at.timestamp() as f64);
        assert_eq!(service.value("chain_breaks_total{source=\"shop\"}"), 0.0, "{}", service.said());
        service.stop();
        assert_eq!(canary_of_newest(&world), Some(true), "{product:?}");
    }
}

fn canary_of_newest(world: &World) -> Option<bool> {
    canary(&drill(world, &[]))["ok"].as_bool()
}
