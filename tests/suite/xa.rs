//! Transactions of XA in a log: replayed in one session, whatever stands between their parts.

use crate::support::{Product, Server, World};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

fn increment(world: &World) {
    let made = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(made["kind"], "incremental", "{made:#}");
}

/// One that is prepared, by a session that ends.
fn prepared(server: &Server, name: &str, sql: &str) {
    server.sql(&format!("USE shop; XA START '{name}'; {sql}; XA END '{name}'; XA PREPARE '{name}'"));
}

#[test]
fn prepared_transactions_end_in_any_order_and_one_that_does_not_stays_prepared() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY, b TEXT); CREATE TABLE shop.u (a INT PRIMARY KEY)");
        let world = World::new(&server, &["shop"], "");
        world.backup();
        server.sql("INSERT INTO shop.t VALUES (0, 'before')");
        for name in ["one", "two", "three", "four"] {
            let number = name.len() * 10 + usize::from(name.as_bytes()[0]);
            prepared(
                &server,
                name,
                &format!("INSERT INTO t VALUES ({number}, '{name}'); INSERT INTO u VALUES ({number})"),
            );
            server.sql(&format!("INSERT INTO shop.t VALUES ({}, 'between')", number + 1000));
        }
        server.sql("XA COMMIT 'three'; XA ROLLBACK 'two'; CREATE TABLE shop.v (a INT PRIMARY KEY); INSERT INTO shop.v VALUES (1)");
        increment(&world);
        // The rest ends in the next increment, or not at all.
        server.sql("XA COMMIT 'one'; INSERT INTO shop.v VALUES (2); USE shop; XA START 'five'; INSERT INTO t VALUES (5, 'five'); XA END 'five'; XA COMMIT 'five' ONE PHASE; INSERT INTO shop.v VALUES (3)");
        increment(&world);
        let destination = Server::start(product);
        world.json(&["restore", "shop", "--to", &destination.destination()], 0);
        for rows in
            ["SELECT * FROM shop.t ORDER BY a", "SELECT * FROM shop.u ORDER BY a", "SELECT * FROM shop.v ORDER BY a"]
        {
            assert_eq!(destination.sql(rows), server.sql(rows), "{product:?}");
        }
        let waiting = |server: &Server| server.sql("XA RECOVER").trim().to_owned();
        assert!(waiting(&destination).ends_with("four"), "{product:?}: {}", waiting(&destination));
        assert_eq!(waiting(&destination), waiting(&server), "{product:?}");
        destination.sql("XA COMMIT 'four'");
        server.sql("XA COMMIT 'four'");
        let rows = "SELECT * FROM shop.t ORDER BY a";
        assert_eq!(destination.sql(rows), server.sql(rows), "{product:?}: what was prepared is whole");
    }
}
