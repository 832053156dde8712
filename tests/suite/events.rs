//! An accident: found among the transactions of stored increments, and undone by a restore to just before it.

use serde_json::Value;

use crate::support::{Product, Server, World};

/// Transactions near now, one object each.
fn events(world: &World, arguments: &[&str]) -> Vec<Value> {
    let now = chrono::Utc::now().to_rfc3339();
    let all = [&["--json", "events", "shop", "--around", &now, "--within", "1h"][..], arguments].concat();
    let ran = world.run(&all);
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn increment(world: &World) {
    let made = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(made["kind"], "incremental", "{made:#}");
}

/// What is there after a restore to a new server.
fn restored(world: &World, product: Product, before: [&str; 2], sql: &str) -> String {
    let destination = Server::start(product);
    let to = destination.destination();
    let report = world.json(&["restore", "shop", "--to", &to, before[0], before[1]], 0);
    assert_eq!(report["verified"], true, "{report:#}");
    destination.sql(sql)
}

fn accident_is_found_and_undone(product: Product, settings: &[&str]) {
    let server = Server::start_with(product, settings);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (a INT PRIMARY KEY); CREATE TABLE shop.still (a INT); INSERT INTO shop.orders VALUES (1), (2)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    server.sql("INSERT INTO shop.orders VALUES (3), (4); FLUSH BINARY LOGS; DELETE FROM shop.orders WHERE a = 1; INSERT INTO shop.still VALUES (1)");
    increment(&world);
    server.sql("INSERT INTO shop.orders VALUES (5); DROP TABLE shop.orders; INSERT INTO shop.still VALUES (2); CREATE USER late@localhost IDENTIFIED BY 'hidden'");
    increment(&world);

    let all = events(&world, &[]);
    let summaries: Vec<String> = all.iter().map(|one| format!("{}{}", one["tables"], one["statements"])).collect();
    assert_eq!(all.len(), 7, "{product:?}: {summaries:#?}");
    assert!(!format!("{all:?}").contains("hidden"), "{all:#?}");
    let dropped = events(&world, &["--kind", "ddl", "--table", "shop.orders"]);
    assert_eq!(dropped.len(), 1, "{dropped:#?}");
    assert!(dropped[0]["statements"][0].as_str().unwrap().starts_with("DROP TABLE"), "{dropped:#?}");
    let deleted = events(&world, &["--kind", "delete"]);
    assert_eq!((deleted.len(), &deleted[0]["tables"]["shop.orders"]["deleted"]), (1, &1.into()), "{deleted:#?}");

    // The place that is named brings back what was there just before, and so does what its own line says.
    let rows = "SELECT GROUP_CONCAT(a ORDER BY a) FROM shop.orders";
    let position = dropped[0]["position"].as_str().unwrap();
    assert_eq!(restored(&world, product, ["--before-position", position], rows), "2,3,4,5");
    let line = dropped[0]["restore"].as_str().unwrap();
    let before: Vec<&str> = line.split(' ').skip(3).take(2).collect();
    assert_eq!(restored(&world, product, [before[0], before[1]], rows), "2,3,4,5", "{line}");
    let position = deleted[0]["position"].as_str().unwrap();
    assert_eq!(restored(&world, product, ["--before-position", position], rows), "1,2,3,4");

    let text = world.run(&["events", "shop", "--around", "2001-01-01 00:00"]);
    assert_eq!(text.status, 1, "{text:?}");
    assert!(text.stderr.contains("no increment reaches there"), "{text:?}");
    let ends = |name: &str| world.run(&["restore", "shop", "--to", "unix:/nowhere", "--before-position", name]);
    assert_ne!(ends("nowhere.000001:4").status, 0);
}

#[test]
fn an_accident_on_mariadb_is_found_and_undone() {
    accident_is_found_and_undone(Product::MariaDb, &[]);
}

#[test]
fn an_accident_on_mysql_is_found_and_undone_with_and_without_gtids() {
    accident_is_found_and_undone(Product::MySql, &[]);
    accident_is_found_and_undone(Product::MySql, &["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]);
}

/// MariaDB says such a statement when it begins, and again when it is done or given up.
#[test]
fn an_alteration_that_is_logged_in_two_phases_is_replayed_once() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.still (a INT); INSERT INTO shop.still VALUES (1), (1)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    server.sql("SET SESSION binlog_alter_two_phase = 1; ALTER TABLE shop.still ADD COLUMN c INT; INSERT INTO shop.still VALUES (2, 3)");
    let refused = server.try_sql("SET SESSION binlog_alter_two_phase = 1; ALTER TABLE shop.still ADD UNIQUE (a)");
    assert!(!refused.status.success());
    increment(&world);
    let destination = Server::start(Product::MariaDb);
    let report = world.json(&["restore", "shop", "--to", &destination.destination()], 0);
    assert_eq!(report["verified"], true, "{report:#}");
    assert_eq!(destination.sql("SELECT COUNT(*), SUM(c) FROM shop.still"), "3\t3");
}
