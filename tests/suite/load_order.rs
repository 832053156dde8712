//! What the dump client's own order, and a plain load, cannot bring back.

use crate::support::{Product, Server, World, wrong};

#[test]
fn a_default_from_a_sequence_of_a_later_database_comes_back() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE a; CREATE DATABASE b; CREATE DATABASE c;
         CREATE SEQUENCE b.s START WITH 7; CREATE SEQUENCE c.s2; CREATE SEQUENCE a.own; SELECT NEXTVAL(b.s);
         CREATE TABLE a.t (id BIGINT DEFAULT (NEXT VALUE FOR b.s), x BIGINT DEFAULT (NEXT VALUE FOR a.own), v INT);
         CREATE TABLE b.u (id BIGINT DEFAULT (NEXT VALUE FOR c.s2), v INT);
         INSERT INTO a.t (v) VALUES (1), (2); INSERT INTO b.u (v) VALUES (3);
         CREATE FUNCTION c.f() RETURNS INT DETERMINISTIC RETURN 5; CREATE VIEW a.over_later AS SELECT c.f() AS x;
         CREATE VIEW b.over_view AS SELECT x FROM a.over_later; CREATE PROCEDURE a.p() SELECT 1;
         CREATE EVENT b.e ON SCHEDULE EVERY 1 DAY DO SELECT 1;
         CREATE TRIGGER b.tr BEFORE INSERT ON b.u FOR EACH ROW SET NEW.v = NEW.v + c.f()",
    );
    let world = World::new(&server, &[], "");
    world.backup();
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "{drill:#}");
    let other = Server::start(Product::MariaDb);
    let restored = world.json(&["restore", "shop", "--to", &other.destination()], 0);
    assert_eq!(restored["verified"], true, "{restored:#}");
    other.sql("INSERT INTO a.t (v) VALUES (9)");
    assert_eq!(other.sql("SELECT x FROM b.over_view"), "5");
}

#[test]
fn rows_that_violate_a_check_come_back_and_are_named() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; USE d;
         CREATE TABLE bad (a INT CHECK (a > 0), b INT, CONSTRAINT `sum of` CHECK (a + b < 10));
         CREATE TABLE good (a INT, j JSON, CONSTRAINT small CHECK (a < 10)); INSERT INTO good VALUES (1, NULL);
         SET check_constraint_checks = 0; INSERT INTO bad VALUES (-1, 2), (5, 50), (1, 1)",
    );
    let world = World::new(&server, &[], "");
    world.backup();
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "{drill:#}");
    let said = drill["warnings"].to_string();
    assert!(said.contains("table d.bad: rows violate its CHECK `a`"), "{said}");
    assert!(said.contains("table d.bad: rows violate its CHECK `sum of`"), "{said}");
    assert!(!said.contains("d.good"), "{said}");
}
