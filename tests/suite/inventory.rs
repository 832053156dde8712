//! Everything that a server can hold is backed up, or named, or known not to matter.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::{Product, Server, World};

/// What docs/what-is-backed-up.md names: words in backticks.
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/what-is-backed-up.md");
    let text = fs::read_to_string(page).unwrap();
    text.lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_documented_inventory_knows_every_table_of_both_products() {
    let documented = documented();
    let mut there = BTreeSet::new();
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::stock(product);
        let tables = server.sql(
            "SELECT CONCAT('mysql.', TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mysql' UNION \
             SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'information_schema'",
        );
        let unknown: Vec<&str> = tables.lines().filter(|table| !documented.contains(*table)).collect();
        assert!(
            tables.lines().count() > 90 && unknown.is_empty(),
            "{product:?} has what the page does not know: {unknown:?}"
        );
        there.extend(tables.lines().map(str::to_owned));
    }
    let is_table = |name: &&String| {
        name.starts_with("mysql.") || name.len() > 4 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    let gone: Vec<&String> = documented.iter().filter(is_table).filter(|name| !there.contains(*name)).collect();
    assert!(gone.is_empty(), "the page names what no server has: {gone:?}");
}

fn warnings(server: &Server) -> String {
    server.sql("CREATE DATABASE IF NOT EXISTS app");
    let backup = World::new(server, &[], "").backup();
    backup["warnings"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned() + "\n").collect()
}

#[test]
fn what_is_not_backed_up_is_named_and_a_stock_server_has_none_of_it() {
    const COMMON: &str = "CREATE SERVER remote FOREIGN DATA WRAPPER mysql OPTIONS (HOST '192.0.2.1', USER 'u', PASSWORD 'very secret'); \
        CREATE TABLE mysql.of_mine (id INT); CREATE VIEW sys.of_mine AS SELECT 1 x; CREATE PROCEDURE mysql.proc_of_mine() SELECT 1; \
        CREATE EVENT mysql.event_of_mine ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1; \
        INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N'); INSERT INTO mysql.time_zone_name VALUES ('Mars/Olympus', LAST_INSERT_ID())";
    const OWN: [&str; 2] = [
        "INSTALL SONAME 'auth_ed25519'; CREATE TABLE app.s (id INT PRIMARY KEY, v INT); INSERT INTO app.s VALUES (1, 1); \
         ANALYZE TABLE app.s PERSISTENT FOR ALL; SET GLOBAL gtid_slave_pos = '0-7-3'",
        "SET PERSIST max_connections = 99; CREATE RESOURCE GROUP batch TYPE = USER; CREATE TABLESPACE ts1 ADD DATAFILE 'ts1.ibd'; \
         CREATE SPATIAL REFERENCE SYSTEM 1000000 NAME 'mine' DEFINITION 'GEOGCS[\"x\",DATUM[\"y\",SPHEROID[\"z\",6378137,298.25]],\
         PRIMEM[\"G\",0],UNIT[\"d\",0.017453292519943278],AXIS[\"Lat\",NORTH],AXIS[\"Lon\",EAST]]'; \
         CREATE TABLE app.s (id INT PRIMARY KEY, v INT); INSERT INTO app.s VALUES (1, 1); ANALYZE TABLE app.s UPDATE HISTOGRAM ON v; \
         UPDATE mysql.server_cost SET cost_value = 0.2 WHERE cost_name = 'row_evaluate_cost'; \
         CREATE USER u@'%' IDENTIFIED BY 'x' PASSWORD HISTORY 3; \
         CHANGE REPLICATION SOURCE TO SOURCE_HOST = '192.0.2.1', SOURCE_USER = 'u' FOR CHANNEL 'far'",
    ];
    const NAMED: [&[&str]; 2] = [
        &["installed plugins: ed25519", "engine-independent statistics: app.s", "gtid_slave_pos): 0-7-3"],
        &[
            "SET PERSIST: max_connections",
            "resource groups: batch",
            "general tablespaces: ts1",
            "reference systems of the operator's own: 1000000",
            "histograms: app.s.v",
            "costs of the optimizer: row_evaluate_cost",
            "PASSWORD HISTORY): u@%",
            "replication sources: far",
        ],
    ];
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::stock(product);
        let said = warnings(&server);
        assert!(!said.contains("not backed up"), "{product:?}: {said}");
        server.sql(OWN[product as usize]);
        server.sql(COMMON);
        let said = warnings(&server);
        let common = [
            "server definitions (CREATE SERVER): remote",
            "own in mysql or sys: mysql.of_mine, sys.of_mine",
            "own in mysql or sys: mysql.proc_of_mine",
            "own in mysql or sys: mysql.event_of_mine",
            "loaded time zones: 1 names",
        ];
        for words in common.iter().chain(NAMED[product as usize]) {
            assert!(said.contains(words), "{product:?}: {words} in\n{said}");
        }
        assert!(!said.contains("very secret"), "{said}");
    }
}
